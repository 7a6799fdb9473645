//! Matrices of other programs: in, decomposed, read with a plain safetensors reader, and out.

use ndarray::Array2;
use nissl_worlds::planted::{Planted, PlantedFeatures};
use safetensors::SafeTensors;

use crate::support::{
    checksums, fail, fixture, json, made, manifest, prose, scratch, succeed, write,
};

/// The bytes of an .npy file, version 1.0, little-endian f32 in C order, put together by hand.
fn npy(matrix: &Array2<f32>) -> Vec<u8> {
    let mut header = format!(
        "{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}",
        matrix.nrows(),
        matrix.ncols()
    );
    // Magic, version and length take 10 bytes; the data begins at a multiple of 64.
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(matrix.iter().flat_map(|value| value.to_le_bytes()));
    bytes
}

/// A tensor of a safetensors file, `[row, column]`.
fn tensor(file: &std::path::Path, name: &str) -> Array2<f32> {
    let bytes = std::fs::read(file).expect("a file");
    let tensors = SafeTensors::deserialize(&bytes).expect("safetensors");
    let view = tensors.tensor(name).expect("the tensor");
    assert_eq!(view.dtype(), safetensors::Dtype::F32);
    let values =
        view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    Array2::from_shape_vec((view.shape()[0], view.shape()[1]), values).expect("a matrix")
}

/// The share of planted features that a dictionary has with a signed cosine of at least 0.95.
fn recovered(planted: &Planted, dictionary: &Array2<f32>) -> f64 {
    let norm = |row: ndarray::ArrayView1<'_, f32>| row.dot(&row).sqrt().max(1e-12);
    let found = planted.dictionary.rows().into_iter().filter(|truth| {
        dictionary.rows().into_iter().any(|row| row.dot(truth) / (norm(row) * norm(*truth)) >= 0.95)
    });
    found.count() as f64 / planted.dictionary.nrows() as f64
}

#[test]
fn snmf_recovers_the_features_of_a_matrix_that_another_program_wrote() {
    for seed in [1, 2] {
        let folder = scratch();
        // Spec 01 §6A at half its size: 2 % of the units, activation probability 0.3.
        let world = PlantedFeatures {
            units: 256,
            samples: 2000,
            features: 10,
            support: 6,
            seed,
            ..PlantedFeatures::default()
        };
        let planted = world.generate().expect("a world");
        write(folder.path(), "planted.npy", npy(&planted.activity));
        let imported = json(folder.path(), "import planted.npy -o rec");
        assert_eq!((&imported["samples"], &imported["units"]), (&2000.into(), &256.into()));
        succeed(
            folder.path(),
            &format!(
                "decompose snmf rec -k 10 --sparsity 6 --iterations 300 --seed {seed} -o snmf"
            ),
        );
        let snmf = tensor(&folder.path().join("snmf/dictionary.safetensors"), "decoder");
        assert_eq!(snmf.dim(), (10, 256));
        for feature in snmf.rows() {
            assert_eq!(feature.iter().filter(|value| **value != 0.0).count(), 6, "kept units");
        }
        let share = recovered(&planted, &snmf);
        assert!(share >= 0.95, "seed {seed}: SNMF recovers {share}");

        // Controls that must fail: a rotation-free method and random directions.
        succeed(folder.path(), "decompose pca rec -k 10 -o pca");
        let pca = tensor(&folder.path().join("pca/dictionary.safetensors"), "decoder");
        let share = recovered(&planted, &pca);
        assert!(share <= 0.1, "seed {seed}: PCA recovers {share}");
        let other = PlantedFeatures { seed: seed + 100, ..world }.generate().expect("a world");
        assert!(recovered(&other, &snmf) == 0.0, "features of another world");
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let folder = scratch();
    let recording = made().join("rec").display().to_string();
    let line = format!("decompose snmf {recording} -k 6 --iterations 20 --restarts 2");
    for (seed, out) in [(7, "a"), (7, "b"), (8, "c")] {
        succeed(folder.path(), &format!("{line} --seed {seed} -o {out}"));
    }
    let bytes = |name: &str| {
        let file = folder.path().join(name).join("dictionary.safetensors");
        std::fs::read(file).expect("a dictionary")
    };
    assert!(bytes("a") == bytes("b"), "same seed");
    assert!(bytes("a") != bytes("c"), "another seed");
    assert_eq!(checksums(folder.path(), "a"), checksums(folder.path(), "b"));
}

#[test]
fn the_number_of_threads_changes_no_byte() {
    let folder = scratch();
    write(folder.path(), "a.txt", prose(30, 40));
    let gpt2 = fixture("gpt2").display().to_string();
    for threads in [1, 2, 3] {
        let flags = format!("--threads {threads}");
        let line = format!("record {gpt2} --site ** --text a.txt -o rec{threads} {flags}");
        succeed(folder.path(), &line);
        for method in ["pca -k 6", "kmeans -k 6", "snmf -k 6 --iterations 30 --restarts 3"] {
            let name = method.split(' ').next().expect("a name");
            let line = format!("decompose {method} rec{threads} --site layers.1.mlp.act {flags}");
            succeed(folder.path(), &format!("{line} -o {name}{threads}"));
        }
    }
    for name in ["rec", "pca", "kmeans", "snmf"] {
        let sums = |threads: usize| checksums(folder.path(), &format!("{name}{threads}"));
        assert_eq!(sums(1), sums(2), "{name} with one thread and two");
        assert_eq!(sums(1), sums(3), "{name} with one thread and three");
    }
}

#[test]
fn truth_leaves_and_enters_with_the_samples() {
    let folder = scratch();
    let recording = made().join("rec").display().to_string();
    for format in ["csv", "parquet"] {
        succeed(folder.path(), &format!("export {recording} --samples -o x.{format}"));
        let told = json(folder.path(), &format!("import x.{format} -o {format}"));
        assert_eq!(told["units"], 64, "{format}: sample columns became units");
        assert_eq!(checksums(folder.path(), format), checksums(made(), "rec"), "{format}");
        let line = format!("decompose pca {format} -k 8 -o f --overwrite");
        succeed(folder.path(), &line);
        let truth = json(folder.path(), "probe truth f");
        assert!(truth["concepts"].as_array().expect("concepts").len() > 10, "{format}");
    }
}

#[test]
fn every_format_gives_back_what_it_was_given() {
    let folder = scratch();
    let recording = made().join("rec").display().to_string();
    let expected = checksums(made(), "rec");
    for format in ["npy", "csv", "parquet", "safetensors"] {
        let written = json(folder.path(), &format!("export {recording} -o x.{format}"));
        assert_eq!(written["units"], 64, "{format}");
        succeed(folder.path(), &format!("import x.{format} -o {format}"));
        assert_eq!(checksums(folder.path(), format), expected, "{format}");
    }
    fail(folder.path(), &format!("export {recording} -o x.npy"), 2, &["x.npy exists already"]);
    fail(folder.path(), &format!("export {recording} -o x.doc"), 2, &["csv", "npy", "parquet"]);
}

#[test]
fn an_imported_matrix_can_be_turned_and_named() {
    let folder = scratch();
    let matrix = Array2::from_shape_fn((3, 5), |(row, column)| (10 * row + column) as f32);
    write(folder.path(), "m.npy", npy(&matrix));
    let told = json(folder.path(), "import m.npy --transpose --site v1 --dtype f16 -o rec");
    assert_eq!((&told["samples"], &told["units"]), (&5.into(), &3.into()));
    assert_eq!(manifest(folder.path(), "rec")["dtype"], "f16");
    let recording = nissl_core::Recording::open(&folder.path().join("rec")).expect("a recording");
    let sites: Vec<String> = recording.sites().iter().map(ToString::to_string).collect();
    assert_eq!(sites, ["v1"]);
    let block = recording.blocks(10).next().expect("a block").expect("activity");
    assert_eq!(block.activity, matrix.t());
}

#[test]
fn damaged_matrices_are_refused_and_leave_nothing() {
    let folder = scratch();
    let whole = npy(&Array2::from_elem((20, 4), 1.5));
    write(folder.path(), "short.npy", &whole[..whole.len() - 7]);
    write(folder.path(), "text.npy", "these are not numbers");
    write(folder.path(), "words.csv", "a,b\n1,2\n3,four\n");
    write(folder.path(), "ragged.csv", "a,b\n1,2\n3\n");
    write(folder.path(), "empty.csv", "");
    write(folder.path(), "cut.safetensors", &[9, 0, 0, 0, 0, 0, 0, 0, b'{'][..]);
    for (file, parts) in [
        ("short.npy", &["short.npy"][..]),
        ("text.npy", &["text.npy"]),
        ("words.csv", &["words.csv", "four", "line 3"]),
        ("ragged.csv", &["ragged.csv", "line 3"]),
        ("empty.csv", &["empty.csv"]),
        ("cut.safetensors", &["cut.safetensors"]),
        ("absent.npy", &["absent.npy", "nothing is there"]),
    ] {
        fail(folder.path(), &format!("import {file} -o rec"), 2, parts);
        assert!(!folder.path().join("rec").exists(), "{file} leaves a folder");
    }
}
