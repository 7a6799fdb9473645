//! Difference of means against its closed form, and everything a label column can hold.

use std::path::Path;

use ndarray::{Array1, Array2, Axis};
use nissl_core::features::Decompose;
use nissl_core::recording::{RecordingPlan, Source};
use nissl_core::seed::rng;
use nissl_core::store::{Existing, Provenance};
use nissl_core::{Column, Error, Progress, Recording, RecordingWriter, Table};
use nissl_decompose::{DiffMeans, Method, Options, decompose};
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

use crate::harness::all;

const UNITS: usize = 12;
const SAMPLES: usize = 2500;

/// A recording whose sample table has `columns` besides its own.
fn labelled(folder: &Path, activity: &Array2<f32>, columns: Vec<(&str, Column)>) -> Recording {
    let (samples, units) = activity.dim();
    let table = Table::new()
        .with("unit", Column::U32((0..units as u32).collect()))
        .with("site", Column::Text(vec!["layers.0.mlp.act".to_owned(); units]))
        .with("index", Column::U32((0..units as u32).collect()));
    let plan = RecordingPlan::new(table, Source::default(), Provenance::default());
    let mut writer = RecordingWriter::create(folder, plan, Existing::Refuse).expect("begins");
    let table = Table::new()
        .with("sequence", Column::U32((0..samples as u32).map(|at| at / 50).collect()))
        .with("position", Column::U32((0..samples as u32).map(|at| at % 50).collect()));
    let table = columns.into_iter().fold(table, |table, (name, column)| table.with(name, column));
    writer.push(activity.view(), table).expect("pushes");
    writer.finish().expect("finishes")
}

/// Noise, to which `shift` is added where `yes`.
fn shifted(yes: &[bool], shift: &Array1<f32>, seed: u64) -> Array2<f32> {
    let mut rng = rng(seed, 3);
    let mut activity = Array2::from_shape_simple_fn((yes.len(), shift.len()), || {
        let value: f32 = StandardNormal.sample(&mut rng);
        1.0 + 0.5 * value
    });
    for (mut row, _) in activity.rows_mut().into_iter().zip(yes).filter(|(_, yes)| **yes) {
        row += shift;
    }
    activity
}

fn fit(method: &DiffMeans, recording: &Recording) -> nissl_core::features::Dictionary {
    method.fit(recording, &all(recording.samples()), &Progress::silent()).expect("fits")
}

#[test]
fn the_direction_is_the_difference_of_the_means() {
    for seed in 0..3 {
        let mut rng = rng(seed, 9);
        let yes: Vec<bool> = (0..SAMPLES).map(|_| rng.random_bool(0.3)).collect();
        let other: Vec<bool> = (0..SAMPLES).map(|_| rng.random_bool(0.5)).collect();
        let shift = Array1::from_shape_fn(UNITS, |unit| if unit < 3 { 1.0 } else { 0.0 });
        let activity = shifted(&yes, &shift, seed);
        let folder = tempfile::tempdir().expect("a folder");
        let columns =
            vec![("truth.b", Column::Bool(other)), ("truth.a", Column::Bool(yes.clone()))];
        let recording = labelled(&folder.path().join("rec"), &activity, columns);
        let found = fit(&DiffMeans { labels: "truth.*".to_owned() }, &recording);
        let mean = |want: bool| {
            let rows: Vec<usize> = (0..SAMPLES).filter(|&at| yes[at] == want).collect();
            activity.select(Axis(0), &rows).mapv(f64::from).mean_axis(Axis(0)).expect("rows")
        };
        let gap = mean(true) - mean(false);
        let unit = &gap / gap.dot(&gap).sqrt();
        for (found, truth) in found.decoder.row(1).iter().zip(&unit) {
            assert!((f64::from(*found) - truth).abs() < 1e-5, "seed {seed}: {found} {truth}");
        }
        let cosine = |row: usize| {
            let row = found.decoder.row(row);
            row.dot(&shift) / (row.dot(&row) * shift.dot(&shift)).sqrt()
        };
        assert!(cosine(1) > 0.98, "seed {seed}: {}", cosine(1));
        // A label that has nothing to do with the shift must not find it.
        assert!(cosine(0).abs() < 0.8, "seed {seed}: {}", cosine(0));
        // Samples are told apart by their projection, centred at the mean of all.
        let scores = found.encode(activity.view()).expect("encodes");
        let side = |want: bool| {
            let rows: Vec<f32> =
                (0..SAMPLES).filter(|&at| yes[at] == want).map(|at| scores[[at, 1]]).collect();
            rows.iter().sum::<f32>() / rows.len() as f32
        };
        assert!(side(true) > 0.5 && side(false) < 0.0, "{} {}", side(true), side(false));
    }
}

#[test]
fn every_kind_of_label_is_read_and_named() {
    let kinds = ["cat", "dog", "", "cat", "bird"];
    let text: Vec<String> = (0..100).map(|at| kinds[at % 5].to_owned()).collect();
    let lists: Vec<Vec<String>> = (0..100)
        .map(|at| kinds[..at % 3].iter().map(|kind| (*kind).to_owned()).collect())
        .collect();
    let numbers: Vec<u32> = (0..100).map(|at| at % 2).collect();
    let activity =
        Array2::from_shape_fn((100, 3), |(row, unit)| ((row * 7 + unit * 3) % 11) as f32);
    let folder = tempfile::tempdir().expect("a folder");
    let columns = vec![
        ("label", Column::Text(text)),
        ("concepts", Column::Texts(lists)),
        ("trial", Column::U32(numbers)),
        ("truth.always", Column::Bool(vec![true; 100])),
        ("speed", Column::F32(vec![0.5; 100])),
    ];
    let recording = labelled(&folder.path().join("rec"), &activity, columns);
    for (labels, names) in [
        ("label", vec!["bird", "cat", "dog"]),
        ("concepts", vec!["cat", "dog"]),
        ("tria*", vec!["0", "1"]),
        ("tr*", vec!["trial=0", "trial=1"]),
    ] {
        let out = folder.path().join(format!("features of {}", labels.replace('*', "all")));
        let method = Method::DiffMeans(DiffMeans { labels: labels.to_owned() });
        let options = Options { held_out: 0.0, ..Options::default() };
        let features = decompose(&method, &recording, &out, &options, &Progress::silent());
        let features = features.expect("decomposes");
        assert_eq!(features.table().texts("label").expect("labels"), names, "{labels}");
        assert_eq!(features.features(), names.len());
        assert_eq!(features.method(), "diff-means");
    }
    let told = |labels: &str| {
        let method = DiffMeans { labels: labels.to_owned() };
        method.fit(&recording, &all(100), &Progress::silent()).expect_err("refused")
    };
    assert!(told("speed").to_string().contains("`speed` is f32"), "{}", told("speed"));
    let absent = told("lable");
    assert!(absent.to_string().contains("`lable`"), "{absent}");
    let Error::File { help: Some(help), .. } = absent else { panic!("{absent}") };
    assert!(help.contains("label"), "{help}");
    assert!(told("truth.always").to_string().contains("tell no samples apart"));
    assert!(told("").to_string().contains("`labels` is empty"));
}

#[test]
fn missing_activity_is_told_by_its_sample() {
    let mut activity = Array2::<f32>::ones((100, 3));
    activity[[57, 2]] = f32::NAN;
    let labels = Column::Bool((0..100).map(|at| at % 2 == 0).collect());
    let folder = tempfile::tempdir().expect("a folder");
    let recording = labelled(&folder.path().join("rec"), &activity, vec![("label", labels)]);
    let rows: Vec<usize> = (20..100).collect();
    let error = DiffMeans::default().fit(&recording, &rows, &Progress::silent());
    assert!(matches!(error, Err(Error::NotFinite { sample: 57, unit: 2, .. })), "{error:?}");
}
