//! Explanations of features whose meaning is planted in a small text.

mod describing;
#[path = "../../probe/tests/toy/mod.rs"]
mod toy;

use std::path::Path;

use burn::tensor::Tensor;
use ndarray::{Array2, Axis};
use nissl_core::features::{
    Annotation, Dictionary, Encoding, ExplainedVariance, Features, FeaturesPlan, FeaturesWriter,
};
use nissl_core::recording::{RecordingPlan, RecordingWriter, Source};
use nissl_core::seed::rng;
use nissl_core::store::{Existing, Provenance};
use nissl_core::{Column, Progress, Recording, Table};
use nissl_explain::examples::{Example, Examples, find};
use nissl_explain::logit_lens::{LogitLens, applies, logit_lens, residual_directions};
use nissl_explain::name::{Background, Form, Name, Pattern, name, plain};
use nissl_explain::{Explain, all};
use rand::RngExt;
use toy::{ReadOut, SITE, Toy, UNITS, WORDS};

const DAYS: [&str; 5] = [" Monday", " Tuesday", " Wednesday", " Thursday", " Friday"];
const FILL: u32 = 400;
const LENGTH: usize = 50;
const NOISE: usize = 20;

/// Planted features: days, after `the`, numbers, the beginning, a mixture; then one that is never
/// active, then noise.
const DAY: usize = 0;
const AFTER_THE: usize = 1;
const NUMBER: usize = 2;
const BEGINNING: usize = 3;
const DEAD: usize = 4;
const FIRST_NOISE: usize = 5;

struct Text {
    tokens: Vec<String>,
    activations: Array2<f32>,
}

fn text(seed: u64, sequences: usize) -> Text {
    let mut rng = rng(seed, 3);
    let samples = sequences * LENGTH;
    let tokens: Vec<String> = (0..samples)
        .map(|_| match rng.random_range(0..100) {
            0..2 => DAYS[rng.random_range(0..DAYS.len())].to_owned(),
            2..8 => " the".to_owned(),
            8..11 => format!(" {}", rng.random_range(10..99)),
            // Words of many kinds, none of them common.
            _ => {
                let letter = |n: u32| char::from(b'a' + (n % 26) as u8);
                let word = rng.random_range(0..FILL);
                format!(" v{}{}o", letter(word), letter(word / 26))
            }
        })
        .collect();
    let mut activations = Array2::zeros((samples, FIRST_NOISE + NOISE));
    for sample in 0..samples {
        let position = sample % LENGTH;
        let strength = 1.0 + rng.random::<f32>();
        let mut set = |feature: usize, on: bool| {
            if on {
                activations[[sample, feature]] = strength;
            }
        };
        set(DAY, DAYS.contains(&tokens[sample].as_str()));
        set(AFTER_THE, position > 0 && tokens[sample - 1] == " the");
        set(NUMBER, tokens[sample].chars().any(|c| c.is_ascii_digit()));
        set(BEGINNING, position < 2);
        for noise in FIRST_NOISE..FIRST_NOISE + NOISE {
            if rng.random::<f32>() < 0.1 {
                activations[[sample, noise]] = rng.random();
            }
        }
    }
    Text { tokens, activations }
}

fn unit_table(sites: &[(&str, usize)]) -> Table {
    let mut names = Vec::new();
    let mut indices = Vec::new();
    for &(site, units) in sites {
        names.extend(vec![site.to_owned(); units]);
        indices.extend(0..units as u32);
    }
    Table::new()
        .with("unit", Column::U32((0..names.len() as u32).collect()))
        .with("site", Column::Text(names))
        .with("index", Column::U32(indices))
}

/// Writes a recording of `activity` and features with `activations`.
fn stored(
    folder: &Path,
    tokens: &[String],
    activity: &Array2<f32>,
    dictionary: Dictionary,
    activations: &Array2<f32>,
) -> (Features, Recording) {
    let units = unit_table(&[(SITE, activity.ncols())]);
    let provenance = Provenance::here(&"test", 0, "cpu");
    let mut plan = RecordingPlan::new(units.clone(), Source::default(), provenance.clone());
    plan.shard_bytes = 1 << 20;
    let mut writer =
        RecordingWriter::create(&folder.join("rec"), plan, Existing::Refuse).expect("begins");
    let samples = 0..tokens.len();
    let table = Table::new()
        .with("sequence", Column::U32(samples.clone().map(|s| (s / LENGTH) as u32).collect()))
        .with("position", Column::U32(samples.clone().map(|s| (s % LENGTH) as u32).collect()))
        .with("token", Column::Text(tokens.to_vec()));
    for from in samples.step_by(10_000) {
        let rows: Vec<usize> = (from..(from + 10_000).min(tokens.len())).collect();
        writer.push(activity.select(Axis(0), &rows).view(), table.take(&rows)).expect("pushes");
    }
    let recording = writer.finish().expect("ends");
    let plan = FeaturesPlan::new(units, serde_json::json!({"method": "neurons"}), provenance);
    let mut writer =
        FeaturesWriter::create(&folder.join("f"), &plan, Existing::Refuse, || Ok(dictionary))
            .expect("begins");
    writer.push(activations.view()).expect("pushes");
    (writer.finish(ExplainedVariance::default()).expect("ends"), recording)
}

fn planted(folder: &Path, seed: u64, sequences: usize) -> (Text, Features, Recording) {
    let text = text(seed, sequences);
    let units = text.activations.ncols();
    let dictionary = Dictionary::new(Array2::eye(units), Encoding::Identity);
    let (features, recording) =
        stored(folder, &text.tokens, &text.activations, dictionary, &text.activations);
    (text, features, recording)
}

fn same(example: &Example, text: &Text, feature: usize) {
    let sample = example.sample as usize;
    assert_eq!(example.sequence as usize, sample / LENGTH);
    assert_eq!(example.position as usize, sample % LENGTH);
    assert_eq!(example.activation.to_bits(), text.activations[[sample, feature]].to_bits());
    let start = (sample - example.focus).max(sample / LENGTH * LENGTH);
    assert_eq!(start, sample.saturating_sub(15).max(sample / LENGTH * LENGTH));
    let end = (sample + 16).min((sample / LENGTH + 1) * LENGTH);
    assert_eq!(example.tokens, text.tokens[start..end]);
    let around: Vec<f32> = (start..end).map(|row| text.activations[[row, feature]]).collect();
    assert_eq!(example.activations, around);
}

#[test]
fn examples_are_the_strongest_samples_with_their_own_windows() {
    let folder = tempfile::tempdir().expect("a folder");
    // More samples than a row group of the sample table and than many blocks.
    let (text, features, recording) = planted(folder.path(), 1, 1400);
    let settings = Examples::default();
    let found = find(&features, &recording, &settings, &Progress::silent()).expect("finds");
    for (feature, examples) in found.iter().enumerate() {
        let mut order: Vec<usize> = (0..text.tokens.len())
            .filter(|&sample| text.activations[[sample, feature]] > 0.0)
            .collect();
        let value = |sample: usize| text.activations[[sample, feature]];
        order.sort_by(|&a, &b| value(b).total_cmp(&value(a)).then(a.cmp(&b)));
        let strongest: Vec<usize> =
            examples.iter().filter(|e| e.quantile == 0).map(|e| e.sample as usize).collect();
        assert_eq!(strongest, order[..order.len().min(25)]);
        for example in examples {
            same(example, &text, feature);
        }
        if feature == DEAD {
            assert!(examples.is_empty());
            continue;
        }
        for quantile in 1..=5 {
            let part: Vec<&Example> = examples.iter().filter(|e| e.quantile == quantile).collect();
            assert_eq!(part.len(), 4);
            assert!(part.is_sorted_by(|a, b| a.activation >= b.activation));
        }
        // The parts lie one below the other, and roughly where fifths of all active samples lie.
        let least = |q: u32| part_bound(examples, q, f32::INFINITY, f32::min);
        let most = |q: u32| part_bound(examples, q, f32::NEG_INFINITY, f32::max);
        assert!((1..5).all(|q| least(q) >= most(q + 1)), "feature {feature}");
        let place = |activation: f32| {
            order.partition_point(|&sample| value(sample) > activation) as f64 / order.len() as f64
        };
        assert!(place(least(3)) > 0.25 && place(most(3)) < 0.75, "feature {feature}");
    }
    let again = find(&features, &recording, &settings, &Progress::silent()).expect("finds");
    assert_eq!(found, again);
    let other = Examples { seed: 1, ..settings };
    assert_ne!(found, find(&features, &recording, &other, &Progress::silent()).expect("finds"));
}

fn part_bound(examples: &[Example], quantile: u32, start: f32, fold: fn(f32, f32) -> f32) -> f32 {
    let part = examples.iter().filter(|example| example.quantile == quantile);
    part.map(|example| example.activation).fold(start, fold)
}

fn names(seed: u64) -> Vec<Name> {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, features, recording) = planted(folder.path(), seed, 200);
    let explained = all(&features, &recording, None, &Explain::default(), &Progress::silent());
    explained.expect("explains").names
}

#[test]
fn planted_meanings_are_named_and_noise_is_said_to_have_none() {
    let mut mistaken = 0;
    for seed in 0..3 {
        let names = names(seed);
        let Some(Pattern::Token(days)) = &names[DAY].pattern else { panic!("{:?}", names[DAY]) };
        // A day that chance keeps out of thirty examples cannot be listed.
        let known: Vec<String> = DAYS.iter().map(|day| plain(day)).collect();
        assert!(days.len() >= 4 && days.iter().all(|day| known.contains(day)), "{days:?}");
        assert!(names[DAY].score > 0.8 && names[DAY].precision > 0.7, "{:?}", names[DAY]);
        assert!(names[DAY].lift > 30.0, "{:?}", names[DAY]);
        let after = Pattern::Before { back: 1, tokens: vec!["the".to_owned()] };
        assert_eq!(names[AFTER_THE].pattern.as_ref(), Some(&after));
        assert_eq!(names[AFTER_THE].text, "after the");
        assert_eq!(names[NUMBER].pattern, Some(Pattern::Form(Form::Number)));
        assert_eq!(names[BEGINNING].pattern, Some(Pattern::Beginning));
        assert_eq!(names[DEAD].text, "never active");
        for noise in &names[FIRST_NOISE..] {
            mistaken += usize::from(noise.pattern.is_some());
            assert_eq!(noise.pattern.is_none(), noise.text == "no pattern found");
        }
    }
    assert!(mistaken <= 1, "{mistaken} of {} noise features were given a meaning", 3 * NOISE);
}

#[test]
fn a_pattern_is_judged_on_examples_that_it_was_not_drawn_from() {
    // Every example has its own token, so a list of seen tokens covers all that were seen and none else.
    let tokens: Vec<String> = (0..40).map(|n| format!("x{}", "y".repeat(n))).collect();
    let background = Background::of_tokens(&tokens);
    let example = |rank: u32| Example {
        rank,
        sample: u64::from(rank),
        position: 9,
        tokens: vec![tokens[rank as usize].clone()],
        activations: vec![1.0],
        ..Example::default()
    };
    let examples: Vec<Example> = (0..12).map(example).collect();
    let name = name(&examples, None, &background);
    assert_eq!((name.pattern, name.score), (None, 0.0));
}

#[test]
fn the_lens_shows_the_planted_word_for_plus_and_not_for_minus() {
    for seed in 0..2 {
        let network = Toy::new(seed, ReadOut::Linear);
        let decoder =
            Array2::from_shape_fn((WORDS, UNITS), |(f, u)| 3.0 * network.directions[f][u]);
        let table = unit_table(&[(SITE, UNITS)]);
        let settings = LogitLens { tokens: 5, ..LogitLens::default() };
        let lens = |decoder: &Array2<f32>| {
            logit_lens(&network, decoder.view(), &table, &settings, &Progress::silent())
        };
        let found = lens(&decoder).expect("runs");
        for (feature, effects) in found.iter().enumerate() {
            let word = ((feature + 1) % WORDS) as u32;
            assert_eq!(effects.plus.tokens[0].0, word);
            assert!((effects.plus.tokens[0].1 - 1.5).abs() < 0.25, "of unit length: {effects:?}");
            assert!(effects.plus.stands_out(WORDS), "{effects:?}");
            assert!(effects.minus.tokens.iter().all(|(token, _)| *token != word));
            assert!(!effects.minus.stands_out(WORDS), "{effects:?}");
            assert_eq!(effects.plus.tokens.len(), 5);
        }
        let silent = lens(&Array2::zeros((2, UNITS))).expect("runs");
        assert!(silent[0].plus.tokens.is_empty());
    }
}

fn rows(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().try_to_vec().expect("f32")
}

#[test]
fn parts_of_sites_and_several_sites_add_up() {
    let network = Toy::new(3, ReadOut::Linear);
    let width = 2 * WORDS;
    let table = unit_table(&[(SITE, UNITS), ("layers.0.resid.post", width)]);
    let mut random = rng(3, 4);
    let both = Array2::from_shape_fn((2, UNITS + width), |_| random.random::<f32>());
    let found = rows(residual_directions(&network, both.view(), &table).expect("fits"));
    let units: Vec<usize> = (0..UNITS).collect();
    let first = both.select(Axis(1), &units);
    let mlp = unit_table(&[(SITE, UNITS)]);
    let alone = rows(residual_directions(&network, first.view(), &mlp).expect("fits"));
    for (place, value) in found.iter().enumerate() {
        let expected = alone[place] + both[[place / width, UNITS + place % width]];
        assert!((value - expected).abs() < 1e-5);
    }
    // Ten units in the middle of a site stand where they stand there.
    let some: Vec<usize> = (20..30).collect();
    let mut masked = Array2::zeros((2, UNITS));
    for &unit in &some {
        masked.column_mut(unit).assign(&first.column(unit));
    }
    let part = residual_directions(&network, first.select(Axis(1), &some).view(), &mlp.take(&some));
    let whole = residual_directions(&network, masked.view(), &mlp).expect("fits");
    assert_eq!(rows(part.expect("fits")), rows(whole));
    for (site, near) in [("layers.7.mlp.act", "layers.0.mlp.act"), ("logits", "mlp.act")] {
        let table = unit_table(&[(site, WORDS)]);
        let decoder = Array2::ones((1, WORDS));
        assert!(!applies(&network, &table));
        let error = residual_directions(&network, decoder.view(), &table).expect_err("no such");
        assert!(format!("{error:?}").contains(near), "{error:?}");
    }
}

#[test]
fn everything_is_written_beside_the_features() {
    let folder = tempfile::tempdir().expect("a folder");
    let network = Toy::new(2, ReadOut::Linear);
    let words: Vec<usize> = Toy::text(2, 60, LENGTH).concat().iter().map(|&w| w as usize).collect();
    let tokens: Vec<String> = words.iter().map(|word| format!("w{word}e")).collect();
    let decoder = Array2::from_shape_fn((WORDS, UNITS), |(f, u)| network.directions[f][u]);
    let activity = Array2::from_shape_fn((words.len(), UNITS), |(sample, unit)| {
        4.0 * network.directions[words[sample]][unit]
    });
    let mut codes = activity.dot(&decoder.t());
    codes.mapv_inplace(|value| if value.abs() < 1e-4 { 0.0 } else { value });
    let dictionary = Dictionary::new(decoder, Encoding::Projection);
    let (features, recording) = stored(folder.path(), &tokens, &activity, dictionary, &codes);
    let run = || {
        let settings = Explain { parts: 3, ..Explain::default() };
        all(&features, &recording, Some(&network), &settings, &Progress::silent())
            .expect("explains")
    };
    let explained = run();
    assert_eq!(explained, run());
    for (feature, name) in explained.names.iter().enumerate() {
        assert_eq!(name.text, format!("w{feature}e"), "{name:?}");
    }
    assert_eq!(explained.good().len(), WORDS);
    let examples = features.annotation(Annotation::Examples).expect("reads").expect("there");
    assert!(examples.u32s("feature").expect("u32").is_sorted());
    assert_eq!(examples.text_lists("tokens").expect("lists").len(), examples.rows());
    let effects = features.annotation(Annotation::Effects).expect("reads").expect("there");
    assert_eq!(effects.rows(), WORDS * 2 * 25);
    assert_eq!(effects.u32s("token_id").expect("u32")[0], 1);
    assert_eq!(effects.texts("kind").expect("text")[0], "direct");
    let explanations =
        features.annotation(Annotation::Explanations).expect("reads").expect("there");
    assert_eq!(explanations.rows(), 3 * WORDS);
    assert!(explanations.texts("text").expect("text")[1].starts_with("#1, #"));
    let parts = Table::read(&features.path().join("composition.parquet"), None).expect("reads");
    assert_eq!(parts.rows(), 3 * WORDS);
    assert!(parts.f32s("share").expect("f32").iter().all(|share| (share - 0.25).abs() < 1e-6));
}
