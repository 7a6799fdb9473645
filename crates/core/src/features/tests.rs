//! Features are read as written, resumed after a crash, and refused when damaged.

use std::path::Path;

use ndarray::{Array2, array};
use parquet::file::reader::FileReader;
use proptest::prelude::*;

use super::*;
use crate::numbers::{Block, to_bytes};
use crate::store::{Existing, Provenance, write_bytes, write_shard};
use crate::table::Column;

fn plan(units: usize) -> FeaturesPlan {
    let table = Table::new()
        .with("unit", Column::U32((0..units as u32).collect()))
        .with("site", Column::Text(vec!["embed".to_owned(); units]))
        .with("index", Column::U32((0..units as u32).collect()));
    let method = serde_json::json!({"method": "test", "k": 3});
    let mut plan = FeaturesPlan::new(table, method, Provenance::default());
    plan.shard_bytes = 200;
    plan
}

fn dictionary() -> Dictionary {
    let decoder = array![[1.0, 0.0, 0.5, 0.0], [0.0, 2.0, 0.0, 0.0], [0.0, 0.0, 0.0, -1.0]];
    let mut dictionary = Dictionary::new(decoder, Encoding::Projection);
    dictionary.loss = vec![3.0, 2.0, 1.5];
    dictionary.restarts = vec![1.5, 1.75];
    dictionary.decoder_bias = Some(array![0.1, 0.2, 0.3, 0.4]);
    dictionary.warnings = vec![Warning::ManyFeatures { features: 3, samples: 5 }];
    dictionary
}

fn block(first: usize) -> Array2<f32> {
    // Feature 2 is silent but for what is far below the rest.
    Array2::from_shape_fn((4, 3), |(row, feature)| match feature {
        0 => ((first + row) % 3) as f32,
        1 => -0.5,
        _ => 1e-9 * ((first + row) % 2) as f32,
    })
}

fn write(folder: &Path, blocks: std::ops::Range<usize>, existing: Existing) -> FeaturesWriter {
    let mut writer =
        FeaturesWriter::create(folder, &plan(4), existing, || Ok(dictionary())).expect("begins");
    for number in blocks {
        writer.push(block(4 * number).view()).expect("pushes");
    }
    writer
}

fn written(folder: &Path) -> Features {
    let variance = ExplainedVariance { fit: Some(0.5), held_out: None };
    write(folder, 0..10, Existing::Refuse).finish(variance).expect("finishes")
}

#[test]
fn a_dictionary_alone_is_finished_without_samples() {
    let folder = tempfile::tempdir().expect("a folder");
    let features = write(folder.path(), 0..0, Existing::Refuse).finish_dictionary().expect("done");
    let table = features.table();
    assert_eq!((features.samples(), table.bools("dead").expect("dead")), (0, &[false; 3][..]));
    assert_eq!(table.f32s("max").expect("max"), [0.0; 3]);
    assert_eq!(features.dictionary().warnings, dictionary().warnings);
    let refused = features.require_samples().expect_err("no samples").to_string();
    assert!(refused.contains("`samples` is 0"), "{refused}");
    assert_eq!(features.columns(&[1]).expect("no rows").dim(), (0, 1));
    let other = tempfile::tempdir().expect("a folder");
    assert!(write(other.path(), 0..1, Existing::Refuse).finish_dictionary().is_err());
}

#[test]
fn a_transcoder_is_read_as_written_and_predicts_its_target() {
    let folder = tempfile::tempdir().expect("a folder");
    let (activation, norm) = (Activation::TopK { k: 1 }, InputNorm::Length);
    let mut transcoder = dictionary();
    transcoder.encoding = Encoding::Sparse { activation, norm, centred: false };
    transcoder.encoder_bias = Some(array![0.0, -0.5, 0.25]);
    transcoder.output_decoder = Some(array![[1.0, 2.0], [-1.0, 0.5], [0.0, 3.0]]);
    transcoder.output_bias = Some(array![0.5, -0.5]);
    transcoder.skip = Some(array![[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 2.0]]);
    let mut plan = plan(4);
    plan.output_units = Some(Table::new().with("unit", Column::U32(vec![0, 1])));
    let begin = |plan: &FeaturesPlan, dictionary: &Dictionary| {
        let dictionary = dictionary.clone();
        FeaturesWriter::create(folder.path(), plan, Existing::Overwrite, || Ok(dictionary))
    };
    let mut writer = begin(&plan, &transcoder).expect("begins");
    let samples = array![[2.0f32, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, -3.0]];
    let activations = transcoder.encode(samples.view()).expect("encodes");
    // √4 · (1, 0, 0, 0) by the first feature; √4 · −1 · −1 + 0.25 by the last.
    assert_eq!(activations, array![[2.0, 0.0, 0.0], [0.0, 0.0, 2.25]]);
    let predicted = transcoder.predict(samples.view(), activations.view()).expect("predicts");
    assert_eq!(predicted, array![[2.0 + 0.5 + 2.0, 4.0 - 0.5], [0.5, 6.75 - 0.5 - 6.0]]);
    writer.push(activations.view()).expect("pushes");
    let features = writer.finish(ExplainedVariance::default()).expect("finishes");
    let mut found = features.dictionary().clone();
    found.warnings.clone_from(&transcoder.warnings);
    assert_eq!(found, transcoder);
    assert_eq!(features.output_unit_table().rows(), 2);

    plan.output_units = Some(Table::new().with("unit", Column::U32(vec![0])));
    let error = begin(&plan, &transcoder).err().expect("one output unit of two");
    assert!(error.to_string().contains("output"), "{error}");
}

#[test]
fn what_is_written_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let features = written(folder.path());
    features.verify().expect("sound");
    let mut expected = dictionary();
    expected.warnings.push(Warning::DeadFeatures { dead: 1, features: 3 });
    assert_eq!(features.dictionary(), &expected);
    assert_eq!((features.samples(), features.units(), features.method()), (40, 4, "test"));
    assert!(features.manifest().shards.len() > 1);
    assert_eq!(features.column(0).expect("reads")[..4], [0.0, 1.0, 2.0, 0.0]);
    let both = features.columns(&[1, 0]).expect("reads");
    assert_eq!(both.row(2).to_vec(), [-0.5, 2.0]);
    let rows = features.rows(&[2, 3, 39]).expect("reads");
    assert_eq!(rows.row(2), block(36).row(3));
    assert!(features.rows(&[40]).is_err() && features.rows(&[3, 2]).is_err());
    assert!(features.column(3).is_err());
    let mut seen = 0;
    for block_read in features.activation_blocks(3) {
        let read = block_read.expect("reads");
        assert_eq!(read.start, seen);
        for (row, values) in read.activity.rows().into_iter().enumerate() {
            assert_eq!(values, block(seen + row).row(0));
        }
        seen += read.activity.nrows();
    }
    assert_eq!(seen, 40);
}

#[test]
fn the_table_of_features_says_what_they_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let features = written(folder.path());
    let table = features.table();
    let close = |name: &str, truth: [f32; 3]| {
        for (found, truth) in table.f32s(name).expect("is there").iter().zip(truth) {
            assert!((found - truth).abs() < 1e-6, "{name}: {found} {truth}");
        }
    };
    // Of 40 samples, 14 are 0 and 13 each are 1 and 2.
    close("density", [26.0 / 40.0, 1.0, 0.5]);
    close("mean", [39.0 / 40.0, -0.5, 0.0]);
    close("max", [2.0, -0.5, 0.0]);
    assert_eq!(table.bools("dead").expect("is there"), [false, false, true]);
}

#[test]
fn a_run_that_was_cut_off_goes_on_to_the_same_bytes() {
    let whole = tempfile::tempdir().expect("a folder");
    let expected = written(whole.path());
    let cut = tempfile::tempdir().expect("a folder");
    drop(write(cut.path(), 0..7, Existing::Refuse));
    assert!(matches!(Features::open(cut.path()), Err(Error::Incomplete { .. })));
    let not_again = || Err(Error::setting("fit", "called", "the dictionary that is there"));
    let mut other = plan(4);
    other.method = serde_json::json!({"method": "test", "k": 4});
    let refused = FeaturesWriter::create(cut.path(), &other, Existing::Resume, not_again);
    assert!(refused.err().expect("differs").to_string().contains("`method`"));
    let mut writer =
        FeaturesWriter::create(cut.path(), &plan(4), Existing::Resume, not_again).expect("resumes");
    let committed = writer.committed() as usize;
    assert!(committed > 0 && committed < 28 && committed.is_multiple_of(4), "{committed}");
    for number in committed / 4..10 {
        writer.push(block(4 * number).view()).expect("pushes");
    }
    let resumed = writer.finish(ExplainedVariance::default()).expect("finishes");
    assert_eq!(resumed.manifest().shards, expected.manifest().shards);
    assert_eq!(resumed.table(), expected.table());
    let again = FeaturesWriter::create(cut.path(), &plan(4), Existing::Resume, not_again);
    assert!(matches!(again.err(), Some(Error::Exists { .. })));
}

#[test]
fn a_failed_fit_leaves_nothing_and_keeps_what_was_there() {
    let parent = tempfile::tempdir().expect("a folder");
    let folder = parent.path().join("features");
    let fails = || Err(Error::setting("k", 9, "at most 4"));
    assert!(FeaturesWriter::create(&folder, &plan(4), Existing::Refuse, fails).is_err());
    assert!(!folder.exists());
    let wrong = FeaturesWriter::create(&folder, &plan(5), Existing::Refuse, || Ok(dictionary()));
    assert!(matches!(wrong.err(), Some(Error::Units { found: 4, expected: 5, .. })));
    written(&folder);
    assert!(FeaturesWriter::create(&folder, &plan(4), Existing::Overwrite, fails).is_err());
    Features::open(&folder).expect("still there").verify().expect("sound");
}

#[test]
fn activations_that_cannot_be_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut writer = write(folder.path(), 0..1, Existing::Refuse);
    assert!(writer.push(Array2::zeros((1, 2)).view()).is_err());
    let told = writer.push(array![[0.0, f32::INFINITY, 0.0]].view()).expect_err("infinite");
    assert!(told.to_string().contains("feature 1 for sample 4"), "{told}");
    let empty = tempfile::tempdir().expect("a folder");
    let nothing = write(empty.path(), 0..0, Existing::Refuse);
    assert!(matches!(nothing.finish(ExplainedVariance::default()), Err(Error::Empty { .. })));
}

/// Puts a shard with a sound checksum in place of the first: only its content lies.
fn lie(features: &Features, indptr: &[i64], indices: &[u32], values: &[f32]) -> Error {
    let rows = features.manifest().shards[0].rows;
    let bytes = to_bytes(&[
        ("indptr", Block::i64s(indptr)),
        ("indices", Block::u32s(indices, &[indices.len()])),
        ("values", Block::f32s(values, &[values.len()])),
    ])
    .expect("fits");
    let file = features.manifest().shards[0].file.clone();
    let mut manifest = features.manifest().clone();
    manifest.shards[0] = write_shard(features.path(), &file, rows, &bytes).expect("writes");
    manifest.write(features.path()).expect("writes");
    let opened = Features::open(features.path()).expect("the shards are not read yet");
    opened.columns(&[0]).expect_err("a lie")
}

#[test]
fn shards_that_lie_give_errors() {
    let folder = tempfile::tempdir().expect("a folder");
    let features = written(folder.path());
    let rows = features.manifest().shards[0].rows as usize;
    let flat = |value: i64| vec![value; rows + 1];
    let one = |last: i64| {
        let mut starts = flat(0);
        starts[rows] = last;
        starts
    };
    let mut falling = flat(1);
    falling[0] = 0;
    falling[2] = 0;
    let told = lie(&features, &falling, &[0], &[1.0]);
    assert!(told.to_string().contains("indptr"), "{told}");
    let told = lie(&features, &flat(-1), &[0], &[1.0]);
    assert!(told.to_string().contains("indptr"), "{told}");
    let told = lie(&features, &one(1)[1..], &[0], &[1.0]);
    assert!(told.to_string().contains("one more than the rows"), "{told}");
    let told = lie(&features, &one(5), &[0], &[1.0]);
    assert!(told.to_string().contains("elements"), "{told}");
    let told = lie(&features, &one(1), &[3], &[1.0]);
    assert!(told.to_string().contains("below 3"), "{told}");
    let told = lie(&features, &one(2), &[1, 1], &[1.0, 2.0]);
    assert!(told.to_string().contains("ascending"), "{told}");
    let told = lie(&features, &one(1), &[1], &[f32::NAN]);
    assert!(told.to_string().contains("finite"), "{told}");
    let told = lie(&features, &one(2), &[0, 1], &[1.0]);
    assert!(told.to_string().contains("elements"), "{told}");
}

#[test]
fn damaged_files_give_errors() {
    for file in ["dictionary.safetensors", "activations-00000.safetensors", "features.parquet"] {
        let folder = tempfile::tempdir().expect("a folder");
        let features = written(folder.path());
        let path = folder.path().join(file);
        let bytes = std::fs::read(&path).expect("reads");
        for cut in [0, 7, 8, bytes.len() / 2, bytes.len() - 1] {
            write_bytes(&path, &bytes[..cut]).expect("writes");
            let outcome = Features::open(folder.path()).and_then(|opened| opened.column(0));
            assert!(outcome.is_err(), "{file} cut to {cut}");
        }
        if file != "features.parquet" {
            let mut other = bytes.clone();
            *other.last_mut().expect("bytes") ^= 1;
            write_bytes(&path, &other).expect("writes");
            assert!(matches!(features.verify(), Err(Error::Checksum { .. })), "{file}");
        }
    }
}

#[test]
fn a_dictionary_that_does_not_fit_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    written(folder.path());
    let path = folder.path().join("dictionary.safetensors");
    let decoder = dictionary().decoder;
    let cases: [Vec<(&str, Block<'_>)>; 5] = [
        vec![("encoder", Block::matrix(decoder.view()))],
        vec![("decoder", Block::f32s(&[1.0; 8], &[2, 4]))],
        vec![("decoder", Block::f32s(&[f32::NAN; 12], &[3, 4]))],
        vec![("decoder", Block::matrix(decoder.view())), ("threshold", Block::f32s(&[1.0], &[1]))],
        vec![("decoder", Block::u32s(&[1; 12], &[3, 4]))],
    ];
    for (number, blocks) in cases.iter().enumerate() {
        write_bytes(&path, &to_bytes(blocks).expect("fits")).expect("writes");
        let told = Features::open(folder.path()).expect_err("does not fit").to_string();
        assert!(told.contains("dictionary.safetensors"), "case {number}: {told}");
    }
}

#[test]
fn other_stages_add_tables_and_histograms() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut features = written(folder.path());
    assert!(features.annotation(Annotation::Examples).expect("reads").is_none());
    let rows = 3000;
    let sorted = Table::new()
        .with("feature", Column::U32((0..rows).map(|row| row / 1500).collect()))
        .with("rank", Column::U32((0..rows).collect()));
    features.set_annotation(Annotation::Examples, &sorted).expect("writes");
    assert_eq!(features.annotation(Annotation::Examples).expect("reads"), Some(sorted.clone()));
    // A row group ends where a feature ends.
    let sizes: Vec<usize> = {
        let path = folder.path().join("examples.parquet");
        let file = std::fs::File::open(path).expect("opens");
        let reader = parquet::file::reader::SerializedFileReader::new(file).expect("reads");
        reader.metadata().row_groups().iter().map(|group| group.num_rows() as usize).collect()
    };
    assert_eq!(sizes, [1500, 1500]);
    let backwards = sorted.take(&(0..rows as usize).rev().collect::<Vec<_>>());
    assert!(features.set_annotation(Annotation::Examples, &backwards).is_err());
    features.set_annotation(Annotation::Scores, &backwards).expect("any order");
    let outside = Table::new().with("feature", Column::U32(vec![3]));
    assert!(features.set_annotation(Annotation::Effects, &outside).is_err());
    assert!(features.set_annotation(Annotation::Effects, &Table::new()).is_err());

    let columns = Table::new().with("truth.score", Column::F32(vec![0.1, 0.2, 0.3]));
    features.set_columns(&columns).expect("writes");
    assert!(features.set_columns(&columns.take(&[0])).is_err());
    let opened = Features::open(folder.path()).expect("opens");
    assert_eq!(opened.table().f32s("truth.score").expect("is there"), [0.1, 0.2, 0.3]);
    assert_eq!(opened.table().u32s("feature").expect("is there"), [0, 1, 2]);

    assert!(features.histograms().expect("reads").is_none());
    let edges = Array2::from_shape_fn((3, 5), |(_, bin)| bin as f32);
    let counts = Array2::from_shape_fn((3, 4), |(feature, bin)| (feature + bin) as u32);
    features.set_histograms(&edges, &counts).expect("writes");
    assert_eq!(features.histograms().expect("reads"), Some((edges.clone(), counts.clone())));
    assert!(features.set_histograms(&counts.mapv(|v| v as f32), &counts).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn saved_is_loaded(
        values in prop::collection::vec(-2i8..3, 3..120),
        shard_bytes in 1usize..400,
        step in 1usize..7,
        loss in prop::collection::vec(0.0f32..10.0, 0..5),
        bias in any::<bool>(),
    ) {
        let rows = values.len() / 3;
        let dense = Array2::from_shape_vec(
            (rows, 3),
            values[..3 * rows].iter().map(|&value| f32::from(value) / 2.0).collect(),
        ).expect("fits");
        let mut dictionary = dictionary();
        dictionary.loss = loss;
        dictionary.warnings.clear();
        if bias {
            dictionary.encoder = Some(&dictionary.decoder * 2.0);
            dictionary.encoder_bias = Some(array![0.5, -1.0, 0.0]);
            dictionary.threshold = Some(array![0.0, 1.0, 2.0]);
            dictionary.output_decoder = Some(array![[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]);
        }
        let folder = tempfile::tempdir().expect("a folder");
        let mut plan = plan(4);
        plan.shard_bytes = shard_bytes;
        let saved = dictionary.clone();
        let mut writer =
            FeaturesWriter::create(folder.path(), &plan, Existing::Refuse, || Ok(saved)).expect("begins");
        for first in (0..rows).step_by(step) {
            let last = (first + step).min(rows);
            writer.push(dense.slice(ndarray::s![first..last, ..])).expect("pushes");
        }
        writer.finish(ExplainedVariance::default()).expect("finishes");
        let back = Features::open(folder.path()).expect("opens");
        dictionary.warnings = back.manifest().detail.warnings.clone();
        prop_assert_eq!(back.dictionary(), &dictionary);
        prop_assert_eq!(back.columns(&[0, 1, 2]).expect("reads"), dense);
    }
}
