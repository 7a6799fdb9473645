//! One test for each kind of bad input of the spec, section 8, that concerns decoding; interruption.

use ndarray::Array2;
use nissl_core::network::{Part, TokenTable};
use nissl_core::store::{Existing, Provenance};
use nissl_core::{Error, Progress};
use nissl_explain::lm_head::{
    FeatureWeights, HeadMap, LmHead, MatrixWeights, Search, Span, Warning, decode, decode_to,
    search,
};

use crate::support::{decoded, normal};

fn weights() -> MatrixWeights {
    MatrixWeights::new("m", normal(90, 16, 0))
        .with_part(Part::Up, vec![normal(40, 16, 1), normal(40, 16, 2)])
        .expect("fits")
}

fn refusal(settings: &LmHead) -> String {
    decode(&weights(), settings, &Progress::silent(), |_| Ok(())).expect_err("refused").to_string()
}

#[test]
fn vectors_of_another_width_than_the_head_are_refused() {
    let wrong =
        MatrixWeights::new("m", normal(90, 16, 0)).with_part(Part::Up, vec![normal(4, 15, 1)]);
    let error = wrong.err().expect("refused").to_string();
    assert!(error.contains("15") && error.contains("16"), "{error}");
    let network = weights();
    let wrong = FeatureWeights::new(&network, normal(4, 15, 1), None);
    assert!(wrong.err().expect("refused").to_string().contains("15"));
    let wrong = FeatureWeights::new(&network, normal(4, 16, 1), Some(normal(5, 16, 1)));
    assert!(wrong.err().expect("refused").to_string().contains("encoder"));
}

#[test]
fn an_empty_head_and_one_that_is_not_finite_are_refused() {
    let empty = MatrixWeights::new("m", Array2::zeros((0, 16)));
    let empty = empty.with_part(Part::Up, vec![normal(4, 16, 1)]).expect("fits");
    let error =
        decode(&empty, &LmHead::default(), &Progress::silent(), |_| Ok(())).expect_err("none");
    assert!(error.to_string().contains("the head of m"), "{error}");
    let mut head = normal(90, 16, 0);
    head[[7, 3]] = f32::NAN;
    let broken =
        MatrixWeights::new("m", head).with_part(Part::Up, vec![normal(4, 16, 1)]).expect("fits");
    let error =
        decode(&broken, &LmHead::default(), &Progress::silent(), |_| Ok(())).expect_err("NaN");
    assert!(error.to_string().contains("`head`"), "{error}");
}

#[test]
fn parts_layers_and_units_that_are_not_there_are_named() {
    let plain = LmHead::default();
    let part = refusal(&LmHead { parts: vec![Part::Gate], ..plain.clone() });
    assert!(part.contains("gate") && part.contains("up"), "{part}");
    let layer = refusal(&LmHead { layers: vec![Span::from(1..3)], ..plain.clone() });
    assert!(layer.contains("`layers`") && layer.contains("1..3"), "{layer}");
    let unit = refusal(&LmHead { units: vec![Span::from(40..41)], ..plain.clone() });
    assert!(unit.contains("`units`") && unit.contains("0 to 39"), "{unit}");
    let regex = refusal(&LmHead { only: Some("(".to_owned()), ..plain });
    assert!(regex.contains("`only`"), "{regex}");
}

#[test]
fn rows_that_the_tokenizer_does_not_know_are_left_out_and_said_to_be() {
    let mut head = normal(90, 16, 0);
    // An unnamed row that would win everywhere.
    let great = &head.row(3) * 50.0;
    head.row_mut(85).assign(&great);
    let labels: Vec<String> = (0..80).map(|token| format!("t{token}")).collect();
    let named = MatrixWeights::new("m", head)
        .with_labels(labels)
        .and_then(|weights| weights.with_part(Part::Up, vec![normal(40, 16, 1)]))
        .expect("fits");
    let (all, warnings) = decoded(&named, &LmHead::default());
    assert!(all.iter().all(|one| one.tokens.iter().all(|&(token, _)| token < 80)));
    assert_eq!(warnings[0], Warning::UnnamedTokens { tokenizer: 80, vocabulary: 90 });
    assert!(warnings[0].to_string().contains("rows from 80 on were left out"), "{}", warnings[0]);
}

#[test]
fn the_first_layer_of_an_untied_network_asks_for_the_embedding() {
    let untied = weights().with_embedding(normal(90, 16, 5)).expect("fits");
    let (by_head, warnings) = decoded(&untied, &LmHead::default());
    assert!(warnings.contains(&Warning::UntiedFirstLayer));
    let embed = LmHead { head: TokenTable::Embed, ..LmHead::default() };
    let (by_embedding, warnings) = decoded(&untied, &embed);
    assert!(!warnings.contains(&Warning::UntiedFirstLayer));
    assert_ne!(by_head[0].tokens, by_embedding[0].tokens);
    let later = LmHead { layers: vec![Span::from(1..2)], ..LmHead::default() };
    assert!(!decoded(&untied, &later).1.contains(&Warning::UntiedFirstLayer));
    assert!(!decoded(&weights(), &LmHead::default()).1.contains(&Warning::UntiedFirstLayer));
}

#[test]
fn vectors_with_nan_have_no_tokens_and_do_not_spoil_the_mean() {
    let mut up = normal(40, 16, 1);
    up[[11, 0]] = f32::NAN;
    up[[12, 5]] = f32::INFINITY;
    let broken =
        MatrixWeights::new("m", normal(90, 16, 0)).with_part(Part::Up, vec![up]).expect("fits");
    for settings in [
        LmHead::default(),
        LmHead::recommended(),
        LmHead { two_stage: true, projection: 8, candidates: 20, ..LmHead::default() },
    ] {
        let (all, warnings) = decoded(&broken, &settings);
        assert!(warnings.contains(&Warning::NotFinite { units: 2 }), "{warnings:?}");
        for one in &all {
            let broken = one.unit == 11 || one.unit == 12;
            assert_eq!(one.tokens.is_empty(), broken, "unit {}", one.unit);
            assert_eq!(one.entropy.is_nan(), broken, "unit {}", one.unit);
        }
    }
    let hits = search(&broken, &LmHead::default(), &[1], &Search::default(), &Progress::silent());
    assert!(hits.expect("finds").iter().all(|hit| hit.unit != 11 && hit.unit != 12));
}

#[test]
fn a_search_for_tokens_that_are_not_there_is_refused() {
    let find = |settings: &LmHead, tokens: &[u32]| {
        search(&weights(), settings, tokens, &Search::default(), &Progress::silent())
            .expect_err("refused")
            .to_string()
    };
    assert!(find(&LmHead::default(), &[90]).contains("`token` is 90"));
    let few = LmHead { first_tokens: Some(10), ..LmHead::default() };
    assert!(find(&few, &[20]).contains("tokens that take part"));
    assert!(find(&LmHead::default(), &[]).contains("is empty"));
}

#[test]
fn an_interrupted_map_goes_on_and_ends_with_the_same_bytes() {
    let folder = tempfile::tempdir().expect("a folder");
    let (whole, broken) = (folder.path().join("whole"), folder.path().join("broken"));
    // A block of one unit: ten shards of eight blocks.
    let settings = LmHead { block: 1, ..LmHead::default() };
    let run = |path: &std::path::Path, existing, progress: &Progress| {
        decode_to(&weights(), &settings, (path, existing), Provenance::default(), progress)
    };
    let map = run(&whole, Existing::Refuse, &Progress::silent()).expect("decodes");
    assert_eq!(map.manifest().detail.rows, 80);
    // Stop once the second shard is there.
    let progress = Progress::silent();
    let watch = (progress.clone(), broken.join("part-00001.parquet"));
    let stopper = std::thread::spawn(move || {
        while !watch.1.exists() {
            std::thread::yield_now();
        }
        watch.0.interrupt();
    });
    let outcome = run(&broken, Existing::Refuse, &progress);
    stopper.join().expect("stops");
    if let Err(error) = outcome {
        assert!(matches!(error, Error::Interrupted { .. }), "{error}");
        let error = HeadMap::open(&broken).expect_err("unfinished").to_string();
        assert!(error.contains("incomplete"), "{error}");
        let other = LmHead { top: 3, ..settings.clone() };
        let error = decode_to(
            &weights(),
            &other,
            (&broken, Existing::Resume),
            Provenance::default(),
            &Progress::silent(),
        );
        assert!(error.expect_err("other settings").to_string().contains("other settings"));
        run(&broken, Existing::Resume, &Progress::silent()).expect("goes on");
    }
    let bytes = |path: &std::path::Path| std::fs::read(path.join("units.parquet")).expect("reads");
    assert_eq!(bytes(&whole), bytes(&broken));
    assert!(!broken.join("part-00000.parquet").exists());
    assert!(run(&whole, Existing::Refuse, &Progress::silent()).is_err(), "it is there already");
    map.manifest().verify(&whole).expect("whole");
    let lines = folder.path().join("units.jsonl");
    map.write_jsonl(&lines).expect("writes");
    let text = std::fs::read_to_string(&lines).expect("reads");
    assert_eq!(text.lines().count(), 80);
    let line: serde_json::Value =
        serde_json::from_str(text.lines().next().expect("a line")).expect("JSON");
    assert_eq!(line["part"], "up");
    assert_eq!(line["texts"].as_array().expect("texts").len(), 10);
}
