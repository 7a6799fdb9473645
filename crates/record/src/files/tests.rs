//! Containers written by h5py and SciPy are read as they were meant; damaged ones are refused.

use std::path::{Path, PathBuf};

use super::{Container, Layout, Value, write};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/containers").join(name)
}

fn read(file: &Container, path: &str) -> Value {
    file.read(path).expect("reads").unwrap_or_else(|| panic!("no {path}"))
}

#[test]
fn hdf5_of_old_and_new_versions_holds_what_h5py_wrote() {
    for name in ["old.h5", "new.h5"] {
        let file = Container::open(&fixture(name)).expect("opens");
        assert_eq!(file.format(), "HDF5");
        let traces = read(&file, "gcamp/traces").matrix().expect("a matrix");
        assert_eq!((traces.dim(), traces[[7, 3]]), ((12, 5), 38.0), "{name}");
        let vector = |path: &str| read(&file, path).vector().expect("numbers");
        assert_eq!(vector("gcamp/half"), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(vector("gcamp/big"), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(vector("gcamp/bytes"), [-2.0, -1.0, 0.0, 1.0]);
        assert_eq!(vector("gcamp/flags"), [1.0, 0.0]);
        assert_eq!(read(&file, "gcamp/one").scalar(), Some(3.5));
        assert_eq!(read(&file, "gcamp/text").text(), Some("hello"));
        let texts = |path: &str| -> Vec<String> {
            let value = read(&file, path);
            value.list().iter().filter_map(Value::text).map(str::to_owned).collect()
        };
        assert_eq!(texts("gcamp/fixed"), ["AVAL", "RID"]);
        assert_eq!(texts("gcamp/variable"), ["AVAL", "RIDü", ""]);
        assert_eq!(read(&file, "table").at("b").and_then(Value::vector), Some(vec![2.5, 3.5]));
        assert_eq!(read(&file, "table").at("c/1").and_then(Value::text), Some("y"));
        assert_eq!(read(&file, "soft/one").scalar(), Some(3.5), "soft links are followed");
        assert_eq!(file.read("gcamp/absent").expect("reads"), None);
        assert_eq!(file.read("other_file").expect("reads"), None, "other files are not opened");
    }
}

#[test]
fn matlab_cells_are_references_with_axes_in_reverse() {
    for name in ["old.h5", "new.h5"] {
        let file = Container::open(&fixture(name)).expect("opens");
        let cell = read(&file, "cell");
        let numbers = cell.at("0").and_then(Value::matrix).expect("a matrix");
        assert_eq!((numbers.dim(), numbers[[2, 1]], numbers[[1, 0]]), ((3, 2), 5.0, 1.0));
        assert_eq!(cell.at("1").and_then(Value::text), Some("AVAL"));
        assert_eq!(cell.at("2").and_then(Value::vector), Some(vec![]));
        assert_eq!(cell.at("3"), Some(&Value::Nothing), "a null reference is a missing element");
    }
}

#[test]
fn matlab_5_holds_what_scipy_wrote() {
    for name in ["plain.mat", "compressed.mat"] {
        let file = Container::open(&fixture(name)).expect("opens");
        assert_eq!(file.format(), "MATLAB 5");
        let labels = read(&file, "IDs");
        assert_eq!(labels.at("0").and_then(Value::text), Some("AVAL"));
        assert_eq!(labels.at("1").and_then(Value::vector), Some(vec![]));
        assert_eq!(labels.at("3/1").and_then(Value::text), Some("b"), "cells in cells");
        let traces = read(&file, "worms/traces");
        let second = traces.at("1").and_then(Value::matrix).expect("a matrix");
        assert_eq!((second.dim(), second[[2, 1]], second[[0, 1]]), ((3, 2), 15.0, 11.0));
        assert_eq!(read(&file, "single/fps").scalar(), Some(4.0));
        assert_eq!(read(&file, "single/deep/x").vector(), Some(vec![1.0, -2.0]));
        let sparse = read(&file, "sparse").matrix().expect("a matrix");
        assert_eq!(sparse, ndarray::array![[0.0, 2.0, 0.0], [3.0, 0.0, 4.0]]);
        assert_eq!(read(&file, "logical").vector(), Some(vec![1.0, 0.0]));
        assert_eq!(read(&file, "rows/0").text(), Some("abc"));
        assert_eq!(read(&file, "rows/1").text(), Some("de "));
        let cube = read(&file, "cube");
        let cube = cube.numbers().expect("numbers");
        assert_eq!((cube.shape.as_slice(), cube.values[23]), ([2, 3, 4].as_slice(), 23.0));
        assert_eq!(cube.values[5], 5.0);
    }
}

#[test]
fn a_missing_key_tells_those_that_were_found() {
    for name in ["old.h5", "plain.mat"] {
        let file = Container::open(&fixture(name)).expect("opens");
        let told = format!("{:?}", file.without("traces"));
        let known = if name == "old.h5" { "gcamp/traces (12 × 5)" } else { "IDs (a list of 4)" };
        assert!(told.contains("`traces`") && told.contains(known), "{told}");
    }
}

#[test]
fn other_files_are_told_apart() {
    let folder = tempfile::tempdir().expect("a folder");
    for (bytes, told) in [
        (b"<!DOCTYPE html><html>".as_slice(), "a web page"),
        (b"", "0 bytes"),
        (b"MATLAB 7.3 MAT-file, Platform", "without its content"),
        (b"\x01\x02\x03", "no known kind"),
    ] {
        let path = folder.path().join("x.mat");
        nissl_core::store::write_bytes(&path, bytes).expect("writes");
        let error = Container::open(&path).err().expect("refused").to_string();
        assert!(error.contains(told), "{error}");
    }
}

/// Reads all there is; whatever comes, it must be a value or an error.
fn reads_or_refuses(path: &Path) -> bool {
    let Ok(file) = Container::open(path) else { return false };
    let paths = file.paths(200);
    let all = file.read("");
    paths.is_ok() && all.is_ok()
}

#[test]
fn truncated_files_are_refused_or_read_and_never_panic() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("cut");
    for name in ["old.h5", "new.h5", "plain.mat", "compressed.mat"] {
        let bytes = std::fs::read(fixture(name)).expect("a fixture");
        for part in 0..40 {
            let cut = bytes.len() * part / 40;
            nissl_core::store::write_bytes(&path, &bytes[..cut]).expect("writes");
            reads_or_refuses(&path);
        }
        let most = &bytes[..bytes.len() * 3 / 4];
        nissl_core::store::write_bytes(&path, most).expect("writes");
        assert!(!reads_or_refuses(&path), "{name} of which a quarter is gone");
    }
}

#[test]
fn files_with_flipped_bits_are_refused_or_read_and_never_panic() {
    use rand::RngExt;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("flipped");
    for name in ["old.h5", "new.h5", "plain.mat", "compressed.mat"] {
        let bytes = std::fs::read(fixture(name)).expect("a fixture");
        let mut rng = nissl_core::seed::rng(7, bytes.len() as u64);
        for _ in 0..80 {
            let mut flipped = bytes.clone();
            for _ in 0..rng.random_range(1..4) {
                let at = rng.random_range(0..flipped.len());
                flipped[at] ^= 1 << rng.random_range(0..8);
            }
            nissl_core::store::write_bytes(&path, &flipped).expect("writes");
            reads_or_refuses(&path);
        }
    }
}

#[test]
fn what_is_written_is_read_in_every_layout() {
    let matrix = ndarray::Array2::from_shape_fn((700, 9), |(i, j)| (i * 10 + j) as f64);
    let tree = Value::map([
        ("traces", Value::of_matrix(&matrix)),
        ("names", Value::texts(["AVAL", "RID", "DB01"])),
        ("worm", Value::map([("fps", Value::number(4.0)), ("file", Value::Text("a b".into()))])),
        ("time", Value::row(vec![0.0, 0.5, 1.0])),
    ]);
    let cells =
        Value::List(vec![Value::row(vec![1.0, 2.0]), Value::Text("x".into()), Value::Nothing]);
    let folder = tempfile::tempdir().expect("a folder");
    for layout in [Layout::Hdf5, Layout::Matlab5, Layout::Matlab73, Layout::Json] {
        let mut tree = tree.clone();
        if let (Value::Map(parts), true) = (&mut tree, layout != Layout::Hdf5) {
            parts.push(("cells".to_owned(), cells.clone()));
        }
        let path = folder.path().join("x.bin");
        write(&path, &tree, layout).expect("writes");
        let file = Container::open(&path).expect("opens");
        assert_eq!(read(&file, "traces").matrix(), Some(matrix.clone()), "{layout:?}");
        assert_eq!(read(&file, "names/2").text(), Some("DB01"), "{layout:?}");
        assert_eq!(read(&file, "worm/fps").vector(), Some(vec![4.0]), "{layout:?}");
        assert_eq!(read(&file, "worm/file").text(), Some("a b"), "{layout:?}");
        assert_eq!(read(&file, "time").vector(), Some(vec![0.0, 0.5, 1.0]), "{layout:?}");
        if layout != Layout::Hdf5 {
            let cells = read(&file, "cells");
            assert_eq!(cells.at("0").and_then(Value::vector), Some(vec![1.0, 2.0]), "{layout:?}");
            assert_eq!(cells.at("1").and_then(Value::text), Some("x"), "{layout:?}");
            let last = cells.at("2").and_then(Value::vector).unwrap_or_default();
            assert!(last.is_empty(), "{layout:?}");
        }
    }
    let bad = Value::map([("2x", Value::number(1.0))]);
    assert!(write(&folder.path().join("bad.mat"), &bad, Layout::Matlab5).is_err());
    assert!(!folder.path().join("bad.mat").exists());
}
