//! Truth matching on activations whose truth is planted, and on a truth that has been shuffled.

use std::path::Path;

use ndarray::{Array2, Axis};
use nissl_core::features::{
    Annotation, Dictionary, Encoding, ExplainedVariance, Features, FeaturesPlan, FeaturesWriter,
};
use nissl_core::recording::{RecordingPlan, RecordingWriter, Source};
use nissl_core::seed::rng;
use nissl_core::split::{Split, held_out};
use nissl_core::store::{Existing, Provenance};
use nissl_core::{Column, Progress, Recording, Table};
use nissl_probe::strength::Sign;
use nissl_probe::truth::{Matches, Truth, TruthMatch, match_columns, match_features};
use proptest::prelude::*;
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_distr::{Distribution, StandardNormal};

const CONCEPTS: usize = 8;
const FEATURES: usize = 24;
const SEQUENCES: usize = 100;
const LENGTH: usize = 40;

/// Activations `[sample, feature]` in which feature `3 c + 1` tells concept `c` and all others are
/// noise.
struct Planted {
    activations: Array2<f32>,
    truth: Truth,
    sequences: Vec<u32>,
}

fn planted(seed: u64, noise: f32) -> Planted {
    let mut rng = rng(seed, 7);
    let samples = SEQUENCES * LENGTH;
    let labels: Vec<Vec<bool>> = (0..CONCEPTS)
        .map(|concept| {
            let share = 0.02 + 0.05 * concept as f32;
            (0..samples).map(|_| rng.random::<f32>() < share).collect()
        })
        .collect();
    let activations = Array2::from_shape_fn((samples, FEATURES), |(sample, feature)| {
        let normal: f32 = StandardNormal.sample(&mut rng);
        if feature % 3 == 1 {
            f32::from(u8::from(labels[feature / 3][sample])) + noise * normal
        } else {
            normal
        }
    });
    let names = (0..CONCEPTS).map(|concept| format!("concept{concept}")).collect();
    let sequences = (0..samples).map(|sample| (sample / LENGTH) as u32).collect();
    Planted { activations, truth: Truth { names, labels }, sequences }
}

fn matched(planted: &Planted, settings: &TruthMatch) -> Matches {
    let fraction = settings.held_out.unwrap_or(0.2);
    let split = held_out(&planted.sequences, fraction, settings.seed);
    matched_on(planted, &split, settings)
}

fn matched_on(planted: &Planted, split: &Split, settings: &TruthMatch) -> Matches {
    let columns = |wanted: &[usize]| Ok(planted.activations.select(Axis(1), wanted));
    let features = planted.activations.ncols();
    let progress = Progress::silent();
    let Planted { truth, sequences, .. } = planted;
    match_columns(features, &columns, truth, sequences, split, settings, &progress)
        .expect("matches")
}

fn quick() -> TruthMatch {
    TruthMatch { resamples: 100, held_out: Some(0.4), least: 10, ..TruthMatch::default() }
}

#[test]
fn every_planted_feature_is_found_with_its_concept() {
    for seed in 0..3 {
        let found = matched(&planted(seed, 0.05), &quick());
        assert_eq!(found.recovered, CONCEPTS);
        assert!(found.mean_auroc > 0.9999 && found.low > 0.9999, "{}", found.mean_auroc);
        for (concept, result) in found.concepts.iter().enumerate() {
            assert_eq!(result.auroc.feature, 3 * concept + 1);
            assert_eq!((result.f1.feature, result.f1.sign), (3 * concept + 1, Sign::Plus));
            assert!(result.f1.held_out > 0.99 && result.f1.precision > 0.99, "{result:?}");
            assert!(result.f1.threshold > 0.1 && result.f1.threshold < 1.1);
            let back = &found.features[3 * concept + 1];
            assert_eq!(back.concept.as_deref(), Some(format!("concept{concept}").as_str()));
            assert!(back.precision > 0.99 && back.recall > 0.99, "{back:?}");
        }
        // What noise happens to match on one side does not hold on the other.
        for noise in (0..FEATURES).filter(|feature| feature % 3 != 1) {
            let area = found.features[noise].auroc;
            assert!(area.is_nan() || area <= 0.65, "{:?}", found.features[noise]);
        }
    }
}

#[test]
fn a_shuffled_truth_is_not_recovered_though_choices_look_good_where_they_were_made() {
    for seed in 0..3 {
        let mut planted = planted(seed, 0.05);
        for labels in &mut planted.truth.labels {
            labels.shuffle(&mut rng(seed, 8));
        }
        // Few samples to fit make the best of many features look better than it is.
        let settings = TruthMatch { held_out: Some(0.8), seed, ..quick() };
        let found = matched(&planted, &settings);
        assert_eq!(found.recovered, 0);
        assert!((found.mean_auroc - 0.5).abs() < 0.03, "{}", found.mean_auroc);
        assert!(found.low < 0.5 + 0.02 && found.high > 0.5 - 0.02);
        let fit = found.concepts.iter().map(|concept| concept.auroc.fit).sum::<f64>();
        assert!(fit / CONCEPTS as f64 > found.mean_auroc + 0.05, "{fit} {}", found.mean_auroc);
    }
}

#[test]
fn signed_features_are_tried_both_ways_and_others_are_not() {
    let mut turned = planted(1, 0.05);
    turned.activations.mapv_inplace(|value| -value);
    let found = matched(&turned, &quick());
    assert_eq!(found.recovered, CONCEPTS);
    for (concept, result) in found.concepts.iter().enumerate() {
        assert_eq!((result.auroc.feature, result.auroc.sign), (3 * concept + 1, Sign::Minus));
        assert_eq!((result.f1.feature, result.f1.sign), (3 * concept + 1, Sign::Minus));
        assert!(result.f1.threshold < -0.1, "{result:?}");
        assert_eq!(found.features[3 * concept + 1].sign, Sign::Minus);
    }
    // Without negative values a feature that falls silent for its concept does not tell it.
    let mut above = planted(1, 0.05);
    above.activations.mapv_inplace(|value| (3.0 - value).max(0.0));
    let found = matched(&above, &quick());
    assert!(found.concepts.iter().all(|concept| concept.auroc.sign == Sign::Plus));
    assert_eq!(found.recovered, 0);
}

#[test]
fn rare_concepts_are_skipped_and_named() {
    let mut planted = planted(2, 0.05);
    planted.truth.labels[3].fill(false);
    planted.truth.labels[3][..25].fill(true);
    planted.truth.labels[5].fill(true);
    let found = matched(&planted, &quick());
    assert_eq!(found.skipped, ["concept3", "concept5"]);
    assert_eq!((found.concepts.len(), found.recovered), (CONCEPTS - 2, CONCEPTS - 2));
    planted.truth.labels.iter_mut().for_each(|labels| labels.fill(false));
    let none = matched(&planted, &quick());
    assert!(none.mean_auroc.is_nan() && none.concepts.is_empty());
    assert!(none.features.iter().all(|feature| feature.concept.is_none()));
}

#[test]
fn intervals_cover_as_often_as_they_say_only_when_drawn_by_sequence() {
    // A concept that holds for whole sequences, and a score that is shifted for whole sequences:
    // within a sequence samples say the same thing again and again.
    let clustered = |seed: u64| {
        let mut rng = rng(seed, 9);
        let (mut labels, mut values) = (Vec::new(), Vec::new());
        for sequence in 0..80 {
            let label = sequence % 2 == 0;
            let shift: f32 = StandardNormal.sample(&mut rng);
            for _ in 0..20 {
                let normal: f32 = StandardNormal.sample(&mut rng);
                labels.push(label);
                values.push(f32::from(u8::from(label)) + shift + 0.5 * normal);
            }
        }
        let activations = Array2::from_shape_fn((labels.len(), 1), |(sample, _)| values[sample]);
        let sequences = (0..labels.len()).map(|sample| (sample / 20) as u32).collect();
        let truth = Truth { names: vec!["c".to_owned()], labels: vec![labels] };
        Planted { activations, truth, sequences }
    };
    // The difference of two scores is normal with mean 1 and variance 2 (1 + 1/4): Φ(1 / √2.5).
    let known = 0.736_46;
    let settings = TruthMatch { resamples: 200, least: 1, ..quick() };
    let covered = |by_sequence: bool| {
        let trials = 100;
        let inside = (0..trials).filter(|&trial| {
            let mut planted = clustered(trial);
            let split = held_out(&planted.sequences, 0.6, trial);
            if !by_sequence {
                planted.sequences = (0..planted.sequences.len() as u32).collect();
            }
            let found = matched_on(&planted, &split, &settings);
            let area = found.concepts[0].auroc;
            area.sign == Sign::Plus && area.low <= known && known <= area.high
        });
        inside.count() as f64 / f64::from(trials as u32)
    };
    let (right, wrong) = (covered(true), covered(false));
    assert!(right >= 0.85, "{right}");
    assert!(wrong <= 0.6, "drawn by sample: {wrong}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn the_order_of_features_does_not_matter(seed in 0u64..100) {
        let mut planted = planted(seed, 0.5);
        let before = matched(&planted, &TruthMatch { resamples: 10, ..quick() });
        let mut order: Vec<usize> = (0..FEATURES).collect();
        order.shuffle(&mut rng(seed, 10));
        planted.activations = planted.activations.select(Axis(1), &order);
        let after = matched(&planted, &TruthMatch { resamples: 10, ..quick() });
        prop_assert!((before.mean_auroc - after.mean_auroc).abs() < 1e-12);
        for (old, new) in before.concepts.iter().zip(&after.concepts) {
            prop_assert_eq!(old.auroc.feature, order[new.auroc.feature]);
            prop_assert!((old.f1.held_out - new.f1.held_out).abs() < 1e-12);
        }
    }
}

/// A recording and features on disk, of a planted truth.
fn stored(folder: &Path, planted: &Planted) -> (Features, Recording) {
    let features = planted.activations.ncols();
    let units = Table::new()
        .with("unit", Column::U32((0..features as u32).collect()))
        .with("site", Column::Text(vec!["layers.0.mlp.act".to_owned(); features]))
        .with("index", Column::U32((0..features as u32).collect()));
    let provenance = Provenance::here(&"test", 0, "cpu");
    let plan = RecordingPlan::new(units.clone(), Source::default(), provenance.clone());
    let mut writer =
        RecordingWriter::create(&folder.join("rec"), plan, Existing::Refuse).expect("begins");
    let position = (0..planted.sequences.len()).map(|sample| (sample % LENGTH) as u32).collect();
    let mut samples = Table::new()
        .with("sequence", Column::U32(planted.sequences.clone()))
        .with("position", Column::U32(position));
    for (name, labels) in planted.truth.names.iter().zip(&planted.truth.labels) {
        samples = samples.with(format!("truth.{name}"), Column::Bool(labels.clone()));
    }
    writer.push(planted.activations.view(), samples).expect("pushes");
    let recording = writer.finish().expect("ends");
    let plan = FeaturesPlan::new(units, serde_json::json!({"method": "neurons"}), provenance);
    let dictionary = || Ok(Dictionary::new(Array2::eye(features), Encoding::Identity));
    let mut writer = FeaturesWriter::create(&folder.join("f"), &plan, Existing::Refuse, dictionary)
        .expect("begins");
    writer.push(planted.activations.view()).expect("pushes");
    (writer.finish(ExplainedVariance::default()).expect("ends"), recording)
}

#[test]
fn what_is_matched_is_written_beside_the_features() {
    let folder = tempfile::tempdir().expect("a folder");
    let planted = planted(4, 0.05);
    let (mut features, recording) = stored(folder.path(), &planted);
    let settings = quick();
    let found =
        match_features(&features, &recording, &settings, &Progress::silent()).expect("matches");
    assert_eq!(found, matched(&planted, &settings));
    // Twice, since a second run must replace the rows of the first.
    found.write(&mut features).expect("writes");
    found.write(&mut features).expect("writes");
    let scores = features.annotation(Annotation::Scores).expect("reads").expect("there");
    assert_eq!(scores.rows(), 2 * CONCEPTS);
    assert!(scores.f64s("score").expect("f64").iter().all(|score| *score > 0.99));
    let features = Features::open(features.path()).expect("opens");
    let names = features.table().texts("truth.match").expect("text");
    assert_eq!(names[4], "concept1");
    assert!(features.table().f32s("truth.score").expect("f32")[4] > 0.99);
}

#[test]
fn a_recording_without_truth_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut planted = planted(4, 0.05);
    planted.truth = Truth::default();
    let (features, recording) = stored(folder.path(), &planted);
    let outcome = match_features(&features, &recording, &quick(), &Progress::silent());
    let message = outcome.expect_err("no truth").to_string();
    assert!(
        message.contains("truth.<concept>") && message.contains("samples.parquet"),
        "{message}"
    );
}
