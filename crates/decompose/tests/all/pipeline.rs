//! From a recording on disk to features on disk, and everything that can be wrong with the input.

use ndarray::{Array2, Axis};
use nissl_core::features::{Features, Warning};
use nissl_core::store::Existing;
use nissl_core::{Error, Progress};
use nissl_decompose::snmf::Sparsity;
use nissl_decompose::{Kmeans, Method, Neurons, Nmf, Options, Pca, Snmf, decompose};

use crate::harness::{SEQUENCE, plant, record, recorded};

fn methods(k: usize) -> Vec<Method> {
    vec![
        Method::Neurons(Neurons { k: Some(k) }),
        Method::Pca(Pca { k, ..Pca::default() }),
        Method::Kmeans(Kmeans { k, ..Kmeans::default() }),
        Method::Nmf(Nmf { k, iterations: 30, ..Nmf::default() }),
        Method::Snmf(Snmf {
            k,
            sparsity: Sparsity::Count(5),
            iterations: 30,
            restarts: 2,
            ..Snmf::default()
        }),
    ]
}

fn run(method: &Method, activity: &Array2<f32>) -> Result<Features, Error> {
    let (folder, recording) = recorded(activity.view());
    let out = folder.path().join("features");
    let outcome = decompose(method, &recording, &out, &Options::default(), &Progress::silent());
    if outcome.is_err() {
        assert!(!out.exists(), "{}: something was left behind", method.method().name());
    }
    outcome
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let activity = plant(64, 800, 6, 1).activity.mapv(f32::abs);
    let (folder, recording) = recorded(activity.view());
    for method in methods(6) {
        let name = method.method().name();
        let run = |seed: u64, out: &str| {
            let out = folder.path().join(format!("{name}-{out}"));
            let options = Options { seed, ..Options::default() };
            decompose(&method, &recording, &out, &options, &Progress::silent()).expect("decomposes")
        };
        let (one, two, other) = (run(3, "one"), run(3, "two"), run(4, "other"));
        assert_eq!(one.manifest().shards, two.manifest().shards, "{name}");
        let checksum = |features: &Features| features.manifest().detail.dictionary.clone();
        assert_eq!(checksum(&one), checksum(&two), "{name}");
        if name != "neurons" {
            assert_ne!(checksum(&one), checksum(&other), "{name}: another split, another fit");
        }
        one.verify().expect("sound");
        assert_eq!((one.samples(), one.features(), one.method()), (800, 6, name));
        let expected = one.dictionary().encode(activity.view()).expect("encodes");
        let mut seen = 0;
        for block in one.activation_blocks(333) {
            let block = block.expect("reads");
            let rows: Vec<usize> = (seen..seen + block.activity.nrows()).collect();
            assert_eq!(block.activity, expected.select(Axis(0), &rows), "{name}");
            seen += rows.len();
        }
        assert_eq!(seen, 800);
        let density = one.table().f32s("density").expect("is there");
        for (feature, density) in density.iter().enumerate() {
            let active = expected.column(feature).iter().filter(|value| **value != 0.0).count();
            assert!((density - active as f32 / 800.0).abs() < 1e-6, "{name}");
        }
    }
}

#[test]
fn explained_variance_is_measured_on_sequences_that_were_held_out() {
    let planted = plant(64, 1000, 6, 2);
    let options = Options { held_out: 0.2, ..Options::default() };
    let (folder, recording) = recorded(planted.activity.view());
    let sequences = recording.sequences().expect("reads");
    let split = nissl_core::split::held_out(&sequences, 0.2, 0);
    assert_eq!(split.held_out.len(), 4 * SEQUENCE);
    let method = Method::Pca(Pca { k: 6, ..Pca::default() });
    let out = folder.path().join("features");
    let features =
        decompose(&method, &recording, &out, &options, &Progress::silent()).expect("decomposes");
    let variance = features.explained_variance();
    let judged = planted.activity.select(Axis(0), &split.held_out);
    let truth = nissl_decompose::explained_variance(features.dictionary(), judged.view())
        .expect("encodes")
        .expect("defined");
    assert!((variance.held_out.expect("held out") - truth).abs() < 1e-9);
    let (fit, held_out) = (variance.fit.expect("fit"), variance.held_out.expect("held out"));
    assert!(fit > 0.8 && held_out > 0.8 && fit < 1.0, "{variance:?}");

    // Nothing of a held-out sample may reach the dictionary.
    let mut other = planted.activity.clone();
    for &sample in &split.held_out {
        other.row_mut(sample).fill(100.0);
    }
    let (folder, recording) = recorded(other.view());
    let out = folder.path().join("features");
    let blind =
        decompose(&method, &recording, &out, &options, &Progress::silent()).expect("decomposes");
    assert_eq!(blind.dictionary().decoder, features.dictionary().decoder);
    assert!(blind.explained_variance().held_out.is_none_or(|value| value < 0.5));
}

#[test]
fn too_many_features_are_refused() {
    let narrow = plant(10, 400, 3, 1).activity.mapv(f32::abs);
    let short = plant(60, 20, 3, 1).activity.mapv(f32::abs);
    for method in methods(30) {
        let name = method.method().name();
        let told = run(&method, &narrow).expect_err("more than units").to_string();
        assert!(told.contains("`k` is 30") && told.contains("10, the units"), "{name}: {told}");
        if name != "neurons" {
            let told = run(&method, &short).expect_err("more than samples").to_string();
            assert!(told.contains("`k` is 30") && told.contains("samples"), "{name}: {told}");
        }
    }
}

#[test]
fn missing_activity_is_named() {
    let mut activity = plant(20, 400, 3, 1).activity.mapv(f32::abs);
    activity[[77, 13]] = f32::NAN;
    for method in methods(3) {
        let error = run(&method, &activity).expect_err("missing");
        assert!(
            matches!(error, Error::NotFinite { sample: 77, unit: 13, .. }),
            "{}: {error}",
            method.method().name()
        );
    }
}

#[test]
fn silence_and_settings_out_of_range_are_refused() {
    for method in methods(3) {
        let told = run(&method, &Array2::zeros((400, 20))).expect_err("silent").to_string();
        assert!(told.contains("not zero"), "{}: {told}", method.method().name());
    }
    let activity = plant(20, 400, 3, 1).activity.mapv(f32::abs);
    for method in methods(0) {
        let told = run(&method, &activity).expect_err("none").to_string();
        assert!(told.contains("`k` is 0"), "{}: {told}", method.method().name());
    }
    let sparsity = Sparsity::Fraction(1.5);
    let told = run(&Method::Snmf(Snmf { k: 3, sparsity, ..Snmf::default() }), &activity);
    assert!(told.expect_err("no fraction").to_string().contains("sparsity"));
}

#[test]
fn doubts_are_told() {
    let activity = plant(40, 100, 3, 1).activity;
    let method = Snmf { k: 30, iterations: 10, restarts: 1, ..Snmf::default() };
    let features = run(&Method::Snmf(method), &activity).expect("decomposes");
    let warnings = &features.manifest().detail.warnings;
    assert!(
        warnings.iter().any(|w| matches!(w, Warning::ManyFeatures { features: 30, .. })),
        "{warnings:?}"
    );
    assert_eq!(features.dictionary().warnings, *warnings);
}

#[test]
fn a_run_that_was_cut_off_goes_on_to_the_same_bytes() {
    let planted = plant(64, 800, 6, 5);
    let (folder, recording) = recorded(planted.activity.view());
    let method = methods(6).pop().expect("snmf");
    let whole = folder.path().join("whole");
    let options = Options::default();
    let progress = Progress::silent();
    let expected = decompose(&method, &recording, &whole, &options, &progress).expect("decomposes");
    assert!(matches!(
        decompose(&method, &recording, &whole, &options, &progress),
        Err(Error::Exists { .. })
    ));

    // What a killed run leaves: the dictionary, and a manifest that is not complete.
    let cut = folder.path().join("cut");
    std::fs::create_dir(&cut).expect("creates");
    for file in ["dictionary.safetensors", "units.parquet"] {
        std::fs::copy(whole.join(file), cut.join(file)).expect("copies");
    }
    let mut manifest = expected.manifest().clone();
    manifest.detail.complete = false;
    manifest.detail.samples = 0;
    manifest.shards.clear();
    manifest.write(&cut).expect("writes");
    assert!(matches!(Features::open(&cut), Err(Error::Incomplete { .. })));
    let resume = Options { existing: Existing::Resume, ..options.clone() };
    let other = Options { seed: 9, ..resume.clone() };
    assert!(decompose(&method, &recording, &cut, &other, &progress).is_err());
    let resumed = decompose(&method, &recording, &cut, &resume, &progress).expect("goes on");
    assert_eq!(resumed.manifest().shards, expected.manifest().shards);
    assert_eq!(resumed.explained_variance(), expected.explained_variance());
}

#[test]
fn an_interrupt_leaves_nothing_and_a_failed_overwrite_keeps_the_old() {
    let planted = plant(30, 400, 4, 6);
    let (folder, recording) = recorded(planted.activity.view());
    let method = Method::Pca(Pca { k: 4, ..Pca::default() });
    let out = folder.path().join("features");
    let stopped = Progress::silent();
    stopped.interrupt();
    let outcome = decompose(&method, &recording, &out, &Options::default(), &stopped);
    assert!(matches!(outcome, Err(Error::Interrupted { .. })));
    assert!(!out.exists());

    let progress = Progress::silent();
    let before =
        decompose(&method, &recording, &out, &Options::default(), &progress).expect("decomposes");
    let again = Options { existing: Existing::Overwrite, ..Options::default() };
    assert!(decompose(&method, &recording, &out, &again, &stopped).is_err());
    assert_eq!(Features::open(&out).expect("kept").manifest(), before.manifest());
    let kmeans = Method::Kmeans(Kmeans { k: 4, ..Kmeans::default() });
    let after = decompose(&kmeans, &recording, &out, &again, &progress).expect("replaces");
    assert_eq!(after.method(), "kmeans");
}

#[test]
fn a_folder_that_is_no_artefact_is_left_alone() {
    let planted = plant(30, 400, 4, 6);
    let folder = tempfile::tempdir().expect("a folder");
    let recording = record(&folder.path().join("recording"), planted.activity.view());
    let out = folder.path().join("thesis");
    std::fs::create_dir(&out).expect("creates");
    nissl_core::store::write_bytes(&out.join("thesis.txt"), b"years of work").expect("writes");
    let options = Options { existing: Existing::Overwrite, ..Options::default() };
    let method = Method::Neurons(Neurons::default());
    assert!(decompose(&method, &recording, &out, &options, &Progress::silent()).is_err());
    assert!(out.join("thesis.txt").exists());
}
