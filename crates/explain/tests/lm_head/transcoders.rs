//! Features from one site to another: what they read and what they write, each by its own side.

use std::path::Path;

use ndarray::Array2;
use nissl_core::features::{
    Activation, Dictionary, Encoding, Features, FeaturesPlan, FeaturesWriter, InputNorm,
};
use nissl_core::network::{Part, ResidualWeights};
use nissl_core::store::{Existing, Provenance};
use nissl_core::{Column, Table};
use nissl_explain::composition;
use nissl_explain::lm_head::{FeatureWeights, LmHead, MatrixWeights};
use nissl_explain::shown::Shown;

use crate::support::{decoded, normal, unit};

const FEATURES: usize = 5;
const WIDTH: usize = 16;
const TOKENS: usize = 40;
/// The token that feature `f` reads is `3 f`, the one it writes `3 f + 1`.
const APART: usize = 3;

/// Rows of length 1, so that each token is the one that its own row reads best.
fn head() -> Array2<f32> {
    let mut head = normal(TOKENS, WIDTH, 3);
    for mut row in head.rows_mut() {
        let length = row.dot(&row).sqrt();
        row /= length;
    }
    head
}

fn network(gain: &[f32]) -> MatrixWeights {
    MatrixWeights::new("planted", head())
        .with_part(Part::Up, vec![normal(8, WIDTH, 4), normal(8, WIDTH, 5)])
        .and_then(|weights| weights.with_part(Part::Down, vec![normal(8, WIDTH, 6); 2]))
        .expect("fits")
        .with_input_gains(vec![vec![1.0; WIDTH], gain.to_vec()])
}

fn site(name: &str) -> Table {
    Table::new()
        .with("unit", Column::U32((0..WIDTH as u32).collect()))
        .with("site", Column::Text(vec![name.to_owned(); WIDTH]))
        .with("index", Column::U32((0..WIDTH as u32).collect()))
}

/// A transcoder of the second layer's MLP whose features each read one token and write another.
fn transcoder(folder: &Path, input: &str) -> Features {
    let head = head();
    let rows = |offset: usize| {
        Array2::from_shape_fn((FEATURES, WIDTH), |(f, u)| head[[APART * f + offset, u]])
    };
    let activation = Activation::Relu;
    let encoding = Encoding::Sparse { activation, norm: InputNorm::None, centred: false };
    let mut dictionary = Dictionary::new(rows(0), encoding);
    dictionary.output_decoder = Some(rows(1));
    let provenance = Provenance::here(&"test", 0, "cpu");
    let method = serde_json::json!({"method": "transcoder"});
    let mut plan = FeaturesPlan::new(site(input), method, provenance);
    plan.output_units = Some(site("layers.1.mlp.out"));
    FeaturesWriter::create(&folder.join("f"), &plan, Existing::Overwrite, || Ok(dictionary))
        .and_then(FeaturesWriter::finish_dictionary)
        .expect("writes")
}

#[test]
fn a_transcoder_writes_by_its_target_and_reads_by_its_input() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut gain = vec![1.0; WIDTH];
    gain[2] = -3.0;
    let network = network(&gain);
    let both = LmHead { parts: vec![Part::Down, Part::Up], ..LmHead::default() };
    for input in ["layers.1.mlp.in", "layers.1.resid.mid"] {
        let features = transcoder(folder.path(), input);
        let weights = FeatureWeights::of(&network, &features).expect("fits");
        let (all, _) = decoded(&weights, &both);
        for feature in 0..FEATURES {
            let first = |part| unit(&all, part, 0, feature).first();
            assert_eq!(first(Part::Up), Some((APART * feature) as u32), "{input}");
            assert_eq!(first(Part::Down), Some((APART * feature + 1) as u32), "{input}");
        }
        // Only what is behind the norm sees the stream through its gain.
        let found = weights.input_gain(0, Part::Up).expect("reads");
        assert_eq!(found, (input == "layers.1.mlp.in").then(|| gain.clone()));
        assert_eq!(weights.input_gain(0, Part::Down).expect("reads"), None);
    }
    // What an MLP reads is nowhere written.
    let features = transcoder(folder.path(), "layers.1.mlp.pre");
    let error = FeatureWeights::of(&network, &features).err().expect("refused").to_string();
    assert!(error.contains("mlp.pre") && error.contains("mlp.in"), "{error}");
}

#[test]
fn both_sides_of_a_transcoder_are_shown_and_written_down() {
    let folder = tempfile::tempdir().expect("a folder");
    let features = transcoder(folder.path(), "layers.1.mlp.in");
    let shown = Shown::of(&features, 2).expect("shows");
    assert_eq!(shown.reads, ["layers.1.mlp.in"]);
    assert_eq!(shown.writes, ["layers.1.mlp.out"]);
    let dictionary = features.dictionary();
    let strongest = |row: ndarray::ArrayView1<'_, f32>| {
        (0..WIDTH).max_by(|&a, &b| row[a].abs().total_cmp(&row[b].abs())).expect("units")
    };
    let (read, written) =
        (strongest(dictionary.decoder.row(2)), strongest(dictionary.written().row(2)));
    assert_eq!(shown.units[0].name, format!("layers.1.mlp.in:{read}"));
    assert_eq!(shown.written_units[0].name, format!("layers.1.mlp.out:{written}"));
    assert!((shown.written_units[0].weight - dictionary.written()[[2, written]]).abs() < 1e-6);
    assert_eq!((shown.units_in_all, shown.written_units_in_all), (WIDTH, WIDTH));

    composition::write(&features, 3).expect("writes");
    let table = Table::read(&features.path().join(composition::FILE), None).expect("reads");
    assert_eq!(table.rows(), FEATURES * 2 * 3);
    let (sides, sites) =
        (table.texts("side").expect("a column"), table.texts("site").expect("a column"));
    for (row, (side, site)) in sides.iter().zip(sites).enumerate() {
        let is_read = row % 6 < 3;
        assert_eq!(side, if is_read { "read" } else { "written" });
        assert_eq!(site, if is_read { "layers.1.mlp.in" } else { "layers.1.mlp.out" });
    }
}
