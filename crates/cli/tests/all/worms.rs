//! Recorded worms on the command line: raw file to recordings, to the published table, and back.

use std::path::Path;

use ndarray::Array2;
use nissl_record::files::{Layout, Value, write};

use crate::support::{json, run, succeed};

/// A file of two worms in the layout of Uzel 2022, one of them too short to be taken.
fn raw(folder: &Path, dt: f64) {
    let traces = |samples: usize, neurons: usize| {
        Value::of_matrix(&Array2::from_shape_fn((samples, neurons), |(t, n)| {
            (t as f64 * 0.05 * (n + 1) as f64).sin().abs()
        }))
    };
    let times = |samples: usize| Value::row((0..samples).map(|at| at as f64 * dt).collect());
    let names = || Value::texts(["AVAL", "RID", "VB02"]);
    let worms = Value::map([
        ("IDs", Value::List(vec![names(), names()])),
        ("traces", Value::List(vec![traces(700, 3), traces(50, 3)])),
        ("tv", Value::List(vec![times(700), times(50)])),
    ]);
    let tree = Value::map([("Uzel_WT", worms)]);
    write(&folder.join("uzel.mat"), &tree, Layout::Matlab73).expect("writes");
}

#[test]
fn a_raw_file_becomes_recordings_that_are_decomposed_as_any_other() {
    let folder = tempfile::tempdir().expect("a folder");
    raw(folder.path(), 0.3);
    let told = succeed(folder.path(), "import worm uzel.mat -o worms");
    assert!(told.stdout.contains("Uzel2022\t1\t3.0\t3.0\t3"), "{}", told.stdout);
    assert!(told.stdout.contains("Uzel et al. 2022"), "the paper is told: {}", told.stdout);
    assert!(told.stderr.contains("50 samples, fewer than 600"), "{}", told.stderr);
    let line = "decompose snmf worms/worm0 -k 2 --iterations 20 -o features";
    succeed(folder.path(), line);
    let told = succeed(folder.path(), "info worms/worm0");
    assert!(told.stdout.contains("worm"), "{}", told.stdout);
    let told = json(folder.path(), "import worm worms --coverage");
    assert_eq!(told["datasets"][0]["labelled"], 3.0);
    assert_eq!(told["coverage"][0], serde_json::json!(["AVAL", 1]));
}

#[test]
fn the_published_table_is_read_in_part() {
    let folder = tempfile::tempdir().expect("a folder");
    raw(folder.path(), 0.3);
    succeed(folder.path(), "import worm uzel.mat -o hub.parquet");
    let line = "import worm hub.parquet --dataset uzel2022 --worm worm0 --neuron AVAL --from 10 \
                --to 60 -o part";
    let told = json(folder.path(), line);
    assert_eq!(told["worms"][0]["neurons"], 1);
    assert_eq!(told["worms"][0]["samples"], 150);
    succeed(folder.path(), "export worm part -o part.parquet");
    let told = json(folder.path(), "import worm part.parquet --coverage");
    assert_eq!(told["worms"][0]["labels"], serde_json::Value::Null);
    assert_eq!(told["worms"][0]["labelled"], 1);
}

#[test]
fn mistakes_are_told_with_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    raw(folder.path(), 300.0);
    for (line, told) in [
        ("import worm uzel.mat -o worms", "--time-unit ms"),
        ("import worm uzel.mat", "--out"),
        ("import worm gone.mat -o worms", "gone.mat"),
        ("import worm uzel.mat --dataset Kaplan2020 -o worms", "Uzel_WT"),
        ("import worm uzel.mat --dataset nobody -o worms", "nobody"),
        ("export worm gone -o x.csv", ".parquet"),
    ] {
        let outcome = run(folder.path(), line);
        assert_eq!(outcome.code, 2, "{line}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(told), "{line}: {}", outcome.stderr);
    }
    let left = std::fs::read_dir(folder.path()).expect("lists").count();
    assert_eq!(left, 1, "nothing but the raw file");
}
