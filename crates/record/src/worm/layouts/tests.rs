//! Each of the twelve layouts, written as its laboratory writes it, is read as it was meant.

use std::path::{Path, PathBuf};

use ndarray::Array2;
use nissl_core::store::write_bytes;

use super::{Dataset, files, read};
use crate::files::{Layout, Value, write};
use crate::worm::raw::RawWorm;

const SAMPLES: usize = 12;

/// `[time, neuron]`: 100 times the neuron and the sample.
fn traces(neurons: usize) -> Array2<f64> {
    Array2::from_shape_fn((SAMPLES, neurons), |(t, n)| (100 * n + t) as f64)
}

fn times(dt: f64) -> Vec<f64> {
    (0..SAMPLES).map(|at| at as f64 * dt).collect()
}

fn labels(names: &[&str]) -> Value {
    // An empty array stands where a neuron has no name.
    let label = |name: &&str| {
        if name.is_empty() { Value::row(Vec::new()) } else { Value::Text((*name).to_owned()) }
    };
    Value::List(names.iter().map(label).collect())
}

#[track_caller]
fn opened(path: &Path, dataset: Dataset) -> Vec<RawWorm> {
    let (detected, worms) = read(path, None).expect("reads");
    assert_eq!(detected, dataset, "told from the names in it");
    for worm in &worms {
        worm.validate().expect("parts that fit each other");
        assert_eq!(worm.dataset, dataset.name());
    }
    worms
}

#[track_caller]
fn is(worm: &RawWorm, labels: &[Option<&str>], dt: f64) {
    let found: Vec<Option<&str>> = worm.labels.iter().map(Option::as_deref).collect();
    assert_eq!(found, labels);
    assert!((worm.time[5] - worm.time[4] - dt).abs() < 1e-9, "{:?}", worm.time);
    for (row, trace) in worm.traces.rows().into_iter().enumerate() {
        assert_eq!(trace[3], (100 * worm.columns[row] + 3) as f64, "row {row}");
    }
}

#[test]
fn structs_of_worms_in_both_versions_of_matlab() {
    let folder = tempfile::tempdir().expect("a folder");
    let worms = |fields: [&str; 3]| {
        Value::map([
            (fields[0], Value::List(vec![labels(&["AVAL", ""]), labels(&["RID", "DB01", "x"])])),
            (
                fields[1],
                Value::List(vec![Value::of_matrix(&traces(2)), Value::of_matrix(&traces(3))]),
            ),
            (fields[2], Value::List(vec![Value::row(times(0.3)), Value::row(times(0.25))])),
        ])
    };
    for (variable, fields, dataset) in [
        ("WT_Stim", ["IDs", "traces", "timeVectorSeconds"], Dataset::Kato2015),
        ("WT_NoStim", ["NeuronNames", "deltaFOverF_bc", "tv"], Dataset::Kato2015),
        ("npr1_let", ["IDs", "traces", "timeVectorSeconds"], Dataset::Nichols2017),
        ("WT_fasted", ["IDs", "traces", "timeVectorSeconds"], Dataset::Skora2018),
        (
            "MNhisCl_RIShisCl",
            ["neuron_ID", "traces_bleach_corrected", "time_vector"],
            Dataset::Kaplan2020,
        ),
        ("Uzel_WT", ["IDs", "traces", "tv"], Dataset::Uzel2022),
    ] {
        for layout in [Layout::Matlab5, Layout::Matlab73] {
            let path = folder.path().join("x.mat");
            write(&path, &Value::map([(variable, worms(fields))]), layout).expect("writes");
            let read = opened(&path, dataset);
            assert_eq!(read.len(), 2, "{variable} {layout:?}");
            is(&read[0], &[Some("AVAL"), None], 0.3);
            is(&read[1], &[Some("RID"), Some("DB01"), Some("x")], 0.25);
        }
    }
}

#[test]
fn nejatbakhsh_is_nwb_at_four_hertz_without_columns_of_nan() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.nwb");
    let mut data = traces(3);
    data.column_mut(1).fill(f64::NAN);
    let series = Value::map([("data", Value::of_matrix(&data))]);
    let activity = Value::map([
        ("SignalRawFluor", Value::map([("SignalCalciumImResponseSeries", series)])),
        ("NeuronIDs", Value::map([("labels", Value::texts(["AVAL", "AVAR", "RID"]))])),
    ]);
    let tree = Value::map([("processing", Value::map([("CalciumActivity", activity)]))]);
    write(&path, &tree, Layout::Hdf5).expect("writes");
    let worms = opened(&path, Dataset::Nejatbakhsh2020);
    is(&worms[0], &[Some("AVAL"), Some("RID")], 0.25);
    assert_eq!(worms[0].left_out[0].label, "AVAR");
}

#[test]
fn yemini_has_left_neurons_before_right_ones_in_each_of_many_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("Head_Activity.mat");
    // Two files; AVA is paired, RID is not, and the right AVA was not seen in the second file.
    let trace = |column: usize| {
        Value::row((0..SAMPLES + 4).map(|t| (100 * column + t) as f64 - 4.0).collect())
    };
    let nan = f64::NAN;
    let tree = Value::map([
        ("fps", Value::number(4.0)),
        ("files", Value::texts(["one", "two"])),
        ("neurons", Value::texts(["AVA", "RID"])),
        (
            "is_L",
            Value::List(vec![Value::row(vec![1.0, 1.0, 0.0, 0.0]), Value::row(vec![nan, nan])]),
        ),
        (
            "norm_traces",
            Value::List(vec![
                Value::List(vec![trace(0), trace(0), trace(1), Value::row(vec![])]),
                Value::List(vec![trace(2), trace(1)]),
            ]),
        ),
    ]);
    write(&path, &tree, Layout::Matlab5).expect("writes");
    let worms = opened(&path, Dataset::Yemini2021);
    assert_eq!(worms.len(), 2);
    is(&worms[0], &[Some("AVAL"), Some("AVAR"), Some("RID")], 0.25);
    is(&worms[1], &[Some("AVAL"), Some("RID")], 0.25);
    assert!(worms[1].file.ends_with("#two"));
    assert_eq!(worms[0].time.len(), SAMPLES, "four samples are dropped");
}

#[test]
fn dag_has_its_labels_in_a_file_beside_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("2023-01-01-05-data.h5");
    let tree = Value::map([
        ("gcamp", Value::map([("traces_array_F_F20", Value::of_matrix(&traces(3)))])),
        ("timing", Value::map([("timestamp_confocal", Value::row(times(0.6)))])),
    ]);
    write(&path, &tree, Layout::Hdf5).expect("writes");
    assert!(read(&path, None).is_err(), "without the labels");
    let label = |name: &str| Value::map([("label", Value::Text(name.to_owned()))]);
    let map = Value::map([("1", label("AVAL")), ("3", label("RI?"))]);
    let labels = Value::map([("2023-01-01-05", map)]);
    write(&folder.path().join("NeuroPAL_labels_dict.json"), &labels, Layout::Json).expect("writes");
    is(&opened(&path, Dataset::Dag2023)[0], &[Some("AVAL"), None, Some("RI?")], 0.6);
    assert_eq!(files(folder.path()).expect("lists"), [path], "the labels are no recording");
}

#[test]
fn flavell_is_json_or_hdf5_with_behaviour() {
    let folder = tempfile::tempdir().expect("a folder");
    let label = Value::map([("2", Value::map([("label", Value::Text("AVA?".to_owned()))]))]);
    let by_neuron = traces(2).reversed_axes().as_standard_layout().to_owned();
    let tree = Value::map([
        ("timestamp_confocal", Value::row(times(0.6))),
        ("trace_array", Value::of_matrix(&by_neuron)),
        ("labeled", label),
        ("velocity", Value::row(times(1.0))),
    ]);
    for (name, layout) in [("a.json", Layout::Json), ("a.h5", Layout::Hdf5)] {
        let path = folder.path().join(name);
        write(&path, &tree, layout).expect("writes");
        let worms = opened(&path, Dataset::Flavell2023);
        is(&worms[0], &[None, Some("AVA?")], 0.6);
        assert_eq!(worms[0].behaviour[0].1[7], 7.0);
    }
}

#[test]
fn leifer_is_texts_and_interpolated_traces_are_left_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("7_gcamp.txt");
    let samples = 400;
    let wave = |t: usize, n: usize| ((t * (n + 3)) as f64 * 0.37).sin() * 20.0 + 100.0;
    let mut lines = Vec::new();
    for t in 0..samples {
        // The third trace is a straight line for a while, the fourth has a long gap.
        let third = if (100..200).contains(&t) { t as f64 } else { wave(t, 2) };
        let fourth = if (50..90).contains(&t) { f64::NAN } else { wave(t, 3) };
        let fifth = f64::NAN;
        lines.push(format!("{} {} {third} {fourth} {fifth}", wave(t, 0), wave(t, 1)));
    }
    write_bytes(&path, lines.join("\n").as_bytes()).expect("writes");
    let times: Vec<String> = (0..samples).map(|t| (t as f64 * 0.5).to_string()).collect();
    write_bytes(&folder.path().join("7_t.txt"), times.join("\n").as_bytes()).expect("writes");
    let names = "AVA \n\nRID\nAVBL\nAVBR\nmore\n";
    write_bytes(&folder.path().join("7_labels.txt"), names.as_bytes()).expect("writes");
    let worms = opened(&path, Dataset::Leifer2023);
    assert_eq!(worms[0].labels, [Some("AVA".to_owned()), None]);
    let gone: Vec<(usize, &str)> =
        worms[0].left_out.iter().map(|gone| (gone.column, gone.reason.as_str())).collect();
    assert_eq!(gone.iter().map(|gone| gone.0).collect::<Vec<_>>(), [4, 2, 3]);
    assert!(gone[1].1.contains("straight lines") && gone[2].1.contains("40 samples in a row"));
    write_bytes(&folder.path().join("7_labels.txt"), b"AVAL\n").expect("writes");
    assert!(read(&path, None).expect_err("too few names").to_string().contains("labels"));
}

#[test]
fn lin_uses_flagged_neurons_and_the_last_times() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.mat");
    let by_neuron = traces(3).reversed_axes().as_standard_layout().to_owned();
    let tree = Value::map([
        ("use_flag", Value::row(vec![1.0, 0.0, 1.0])),
        ("proofread_neurons", Value::texts(["AWAL", "AWAR", "ASHL"])),
        ("corrected_F", Value::of_matrix(&by_neuron)),
        ("F_0", Value::row(vec![-1.0, -2.0, -3.0])),
        (
            "times",
            Value::map([("file", Value::Text("t".to_owned())), ("times", Value::row(times(0.4)))]),
        ),
    ]);
    write(&path, &tree, Layout::Matlab5).expect("writes");
    let worms = opened(&path, Dataset::Lin2023);
    let found: Vec<Option<&str>> = worms[0].labels.iter().map(Option::as_deref).collect();
    assert_eq!(found, [Some("AWAL"), Some("ASHL")]);
    assert_eq!((worms[0].traces[[1, 0]], worms[0].traces[[1, 3]]), (-3.0, 203.0));
}

fn venkatachalam() -> String {
    let line = |before: &str, samples: &dyn Fn(usize) -> usize| {
        let samples: Vec<String> = (0..SAMPLES).map(|at| samples(at).to_string()).collect();
        format!("{before}{},{}", ",".repeat(98), samples.join(","))
    };
    let mut lines = vec![line("a,neuron,c,d,e,f,g,h,i", &|frame| frame)];
    for (n, name) in ["AVAL", "", "RID"].iter().enumerate() {
        lines.push(line(&format!("1,{name},,,,,,,"), &|t| 100 * n + t));
    }
    lines.join("\n")
}

#[test]
fn venkatachalam_is_a_table_plain_or_zipped() {
    let folder = tempfile::tempdir().expect("a folder");
    let plain = folder.path().join("x.csv");
    write_bytes(&plain, venkatachalam().as_bytes()).expect("writes");
    is(&opened(&plain, Dataset::Venkatachalam2024)[0], &[Some("AVAL"), None, Some("RID")], 0.375);
    let zipped = folder.path().join("x.zip");
    let mut archive = nissl_core::archive::ArchiveWriter::create(&zipped).expect("creates");
    archive.member("a/one.csv", &[venkatachalam().as_bytes()]).expect("writes");
    archive.member("readme.md", &[b"text"]).expect("writes");
    archive.finish().expect("writes");
    let worms = opened(&zipped, Dataset::Venkatachalam2024);
    assert!(worms[0].file.ends_with("#a/one.csv"));
}

fn told(path: &Path, dataset: Option<Dataset>) -> String {
    format!("{:?}", read(path, dataset).expect_err("refused"))
}

#[test]
fn unknown_layouts_and_missing_keys_tell_what_was_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.mat");
    let tree = Value::map([("signals", Value::of_matrix(&traces(2)))]);
    write(&path, &tree, Layout::Matlab5).expect("writes");
    let text = told(&path, None);
    assert!(text.contains("signals (numbers 12 × 2)") && text.contains("--dataset"), "{text}");
    let text = told(&path, Some(Dataset::Kato2015));
    assert!(text.contains("`IDs` or `NeuronNames`") && text.contains("signals"), "{text}");
}

#[test]
fn parts_of_different_length_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path: PathBuf = folder.path().join("x.mat");
    let with = |names: Value, traces: Value, time: Value| {
        let worm = Value::map([("IDs", names), ("traces", traces), ("tv", time)]);
        write(&path, &Value::map([("Uzel_WT", worm)]), Layout::Matlab5).expect("writes");
        told(&path, None)
    };
    let matrix = || Value::of_matrix(&traces(2));
    let two = || Value::texts(["AVAL", "RID"]);
    let text = with(two(), matrix(), Value::row(vec![0.0, 1.0]));
    assert!(text.contains("rows of Uzel_WT/traces") && text.contains("12"), "{text}");
    let text = with(Value::texts(["AVAL"]), matrix(), Value::row(times(0.3)));
    assert!(text.contains("Uzel_WT/IDs") && text.contains("2, the columns"), "{text}");
    let text = with(two(), Value::Text("x".to_owned()), Value::row(times(0.3)));
    assert!(text.contains("a matrix of numbers"), "{text}");
}
