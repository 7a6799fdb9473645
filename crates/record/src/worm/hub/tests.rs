//! The published table: what is written is read, only what is asked for, and damage is refused.

use std::path::Path;

use nissl_core::store::{self, Existing};
use nissl_core::{Column, Progress, Table};

use super::{Hub, HubWriter, Selection};
use crate::worm::{Dataset, Fluorescence, Homogenise, Naming, Outcome, RawWorm, Signal, Worm};

fn worm(dataset: &str, name: &str, labels: &[&str]) -> Worm {
    let samples = 900;
    let traces = ndarray::Array2::from_shape_fn((labels.len(), samples), |(n, t)| {
        (t as f64 * (0.05 + 0.01 * n as f64)).sin() + n as f64
    });
    let time = (0..samples).map(|t| t as f64 * 0.25).collect();
    let names = labels.iter().map(|label| Some((*label).to_owned())).collect();
    let mut raw = RawWorm::new(traces, time, names, Fluorescence::OverF20);
    dataset.clone_into(&mut raw.dataset);
    raw.file = format!("{name}.mat");
    let wanted = [Signal::Residual];
    let made = Homogenise::default().worm(raw, name, Naming::Plain, &wanted, &Progress::silent());
    match made.expect("homogenises") {
        Outcome::Worm(worm) => *worm,
        Outcome::Skipped(why) => panic!("{why}"),
    }
}

fn table(path: &Path) -> Vec<Worm> {
    let worms = vec![
        worm("Kato2015", "worm0", &["AVAL", "RID", "x"]),
        worm("Kato2015", "worm1", &["AVAL", "DB01"]),
        worm("Uzel2022", "worm0", &["AVAR", "RID"]),
    ];
    let mut writer = HubWriter::create(path, Existing::Refuse).expect("creates");
    for worm in &worms {
        writer.push(worm).expect("writes");
    }
    assert_eq!(writer.finish().expect("finishes"), 7);
    worms
}

fn only(worms: &[&str], neurons: &[&str], from: Option<f64>, to: Option<f64>) -> Selection {
    let owned = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect();
    Selection { worms: owned(worms), neurons: owned(neurons), from, to }
}

#[test]
fn what_is_written_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hub.parquet");
    let written = table(&path);
    let hub = Hub::open(&path).expect("opens");
    let found = hub.worms(&[], &Selection::default()).expect("lists");
    assert_eq!(found.len(), 3);
    for (place, worm) in found.iter().zip(&written) {
        let read = hub.read(place, &Selection::default()).expect("reads");
        assert_eq!(read.calcium, worm.calcium);
        assert_eq!(read.original, worm.original);
        assert_eq!(read.neurons, worm.neurons);
        assert_eq!((&read.methods, read.fluorescence), (&worm.methods, worm.fluorescence));
        let near = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4);
        assert!(near(&read.time, &worm.time) && read.time.len() == worm.time.len());
    }
}

#[test]
fn a_part_is_read_by_data_set_worm_neuron_and_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hub.parquet");
    let written = table(&path);
    let hub = Hub::open(&path).expect("opens");
    let part = only(&["worm0"], &["RID"], Some(10.0), Some(60.0));
    let found = hub.worms(&[Dataset::Kato2015], &part).expect("lists");
    assert_eq!(found.len(), 1);
    let read = hub.read(&found[0], &part).expect("reads");
    assert_eq!(read.neurons.len(), 1);
    let (first, last) = (read.time[0], read.time[read.time.len() - 1]);
    assert!((10.0..10.4).contains(&first) && (59.6..60.0).contains(&last), "{first} {last}");
    let at = written[0].time.iter().position(|time| *time >= 10.0).expect("inside");
    let row = written[0].row("RID").expect("there");
    assert_eq!(read.calcium[[0, 0]], written[0].calcium[[row, at]]);
    for (datasets, nothing) in [
        (vec![Dataset::Dag2023], Selection::default()),
        (vec![], only(&["worm7"], &[], None, None)),
        (vec![], only(&[], &["VD9"], None, None)),
    ] {
        assert!(hub.worms(&datasets, &nothing).is_err(), "{nothing:?}");
    }
    let late = only(&["worm1"], &[], Some(1e6), None);
    let found = hub.worms(&[], &late).expect("lists");
    assert!(hub.read(&found[0], &late).expect_err("too late").to_string().contains("1000000"));
    assert!(only(&[], &[], Some(2.0), Some(1.0)).validate().is_err());
}

/// A table as another tool writes it: few columns, doubles, no data set.
fn foreign(path: &Path, time: Vec<f32>, neurons: &[&str]) {
    let rows = neurons.len();
    let samples = time.len();
    let trace: Vec<f32> = (0..samples).map(|t| (t as f32 * 0.1).sin()).collect();
    Table::new()
        .with("worm", Column::Text(vec!["worm0".to_owned(); rows]))
        .with("neuron", Column::Text(neurons.iter().map(|name| (*name).to_owned()).collect()))
        .with("calcium_data", Column::Numbers(vec![trace; rows]))
        .with("time_in_seconds", Column::Numbers(vec![time; rows]))
        .write(path)
        .expect("writes");
}

#[test]
fn a_subset_of_columns_is_enough_and_half_precision_times_are_made_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hub.parquet");
    for samples in [3604, 1300] {
        let halves =
            (0..samples).map(|at| half::f16::from_f64(f64::from(at) * 0.333).to_f32()).collect();
        foreign(&path, halves, &["AVAL", "3"]);
        let hub = Hub::open(&path).expect("opens");
        let found = hub.worms(&[], &Selection::default()).expect("lists");
        let read = hub.read(&found[0], &Selection::default()).expect("reads");
        for (at, time) in read.time.iter().enumerate() {
            assert!((time - at as f64 * 0.333).abs() < 1e-9, "{samples}, {at}: {time}");
        }
        assert_eq!(read.neurons[0].slot, crate::worm::slot("AVAL"));
        assert!(!read.neurons[1].labelled && read.neurons[1].slot.is_none());
        store::write_bytes(&path, b"").expect("empties");
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hub.parquet");
    let even: Vec<f32> = (0..900).map(|at| at as f32 * 0.333).collect();
    foreign(&path, even.clone(), &["AVAL", "AVAL"]);
    let hub = Hub::open(&path).expect("opens");
    let error = hub.worms(&[], &Selection::default()).expect_err("twice").to_string();
    assert!(error.contains("AVAL") && error.contains("twice"), "{error}");
    let mut falling = even;
    falling.swap(10, 20);
    foreign(&path, falling, &["AVAL"]);
    let hub = Hub::open(&path).expect("opens");
    let found = hub.worms(&[], &Selection::default()).expect("lists");
    let error = hub.read(&found[0], &Selection::default()).expect_err("falls").to_string();
    assert!(error.contains("times that rise"), "{error}");
    Table::new().with("worm", Column::Text(vec!["a".into()])).write(&path).expect("writes");
    let error = format!("{:?}", Hub::open(&path).err().expect("refused"));
    assert!(error.contains("`neuron`") && error.contains("the file has worm"), "{error}");
}

#[test]
fn damaged_tables_are_refused_and_never_panic() {
    use rand::RngExt;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hub.parquet");
    table(&path);
    let bytes = std::fs::read(&path).expect("reads");
    let try_all = |bytes: &[u8]| -> bool {
        store::write_bytes(&path, bytes).expect("writes");
        let Ok(hub) = Hub::open(&path) else { return false };
        let Ok(worms) = hub.worms(&[], &Selection::default()) else { return false };
        worms.iter().all(|worm| hub.read(worm, &Selection::default()).is_ok())
    };
    for part in 0..20 {
        assert!(!try_all(&bytes[..bytes.len() * part / 20]), "{part} of 20 parts");
    }
    let mut rng = nissl_core::seed::rng(3, 0);
    for _ in 0..60 {
        let mut flipped = bytes.clone();
        let at = rng.random_range(0..flipped.len());
        flipped[at] ^= 1 << rng.random_range(0..8);
        try_all(&flipped);
    }
}

#[test]
fn a_writer_given_up_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hub.parquet");
    let mut writer = HubWriter::create(&path, Existing::Refuse).expect("creates");
    writer.push(&worm("Kato2015", "worm0", &["AVAL"])).expect("writes");
    drop(writer);
    assert_eq!(std::fs::read_dir(folder.path()).expect("lists").count(), 0);
    assert!(HubWriter::create(&path, Existing::Refuse).expect("creates").finish().is_err());
}
