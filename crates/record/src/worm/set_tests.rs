//! Files to sets of recordings and to the published table, and what must leave nothing behind.

use std::path::{Path, PathBuf};

use ndarray::Array2;
use nissl_core::store::{Existing, write_bytes};
use nissl_core::{Progress, Recording};

use super::import::{ImportWorms, export, import, survey};
use super::set::{self, Arrangement};
use super::{Homogenise, statistics};
use crate::files::{Layout, Value, write};

/// A file of two worms of Kato 2015, in one of which two columns bear the same name.
fn kato(folder: &Path, dt: f64) -> PathBuf {
    let traces = |neurons: usize| {
        Value::of_matrix(&Array2::from_shape_fn((700, neurons), |(t, n)| {
            (t as f64 * 0.05 * (n + 1) as f64).sin()
        }))
    };
    let times = || Value::row((0..700).map(|at| at as f64 * dt).collect());
    let worms = Value::map([
        (
            "IDs",
            Value::List(vec![Value::texts(["AVAL", "", "AVAL"]), Value::texts(["RID", "VB02"])]),
        ),
        ("traces", Value::List(vec![traces(3), traces(2)])),
        ("tv", Value::List(vec![times(), times()])),
    ]);
    let path = folder.join("kato.mat");
    write(&path, &Value::map([("WT_Stim", worms)]), Layout::Matlab5).expect("writes");
    path
}

fn made(from: &Path, settings: &ImportWorms, out: &Path) -> nissl_core::Result<super::Imported> {
    import(&[from.to_owned()], settings, out, Existing::Refuse, &Progress::silent())
}

#[test]
fn a_file_becomes_a_recording_for_each_worm_and_a_table() {
    let folder = tempfile::tempdir().expect("a folder");
    let shown = folder.path().join("shown.csv");
    write_bytes(&shown, b"name,begin_s,end_s\nO2,10,20\nsalt,15,30\n").expect("writes");
    let settings = ImportWorms { stimuli: Some(shown), ..ImportWorms::default() };
    let out = folder.path().join("worms");
    let imported = made(&kato(folder.path(), 0.3), &settings, &out).expect("imports");
    assert_eq!(imported.worms.len(), 2);
    assert_eq!(imported.left_out[0].neuron.column, 2, "the second AVAL");
    let set = set::open(&out).expect("opens");
    let (summary, recording) = &set[1];
    assert_eq!((summary.worm.as_str(), summary.folder.as_str()), ("worm1", "worm1"));
    assert_eq!(recording.unit_table().texts("name").expect("names"), ["RID", "VB2"]);
    assert_eq!(recording.unit_table().texts("class").expect("classes"), ["RID", "VB"]);
    assert_eq!(recording.unit_table().texts("label_raw").expect("names"), ["RID", "VB02"]);
    let samples = recording.sample_columns(&["time_s", "stimulus"]).expect("columns");
    let (time, shown) = (samples.f64s("time_s").expect("s"), samples.texts("stimulus").expect("s"));
    let at = |seconds: f64| shown[time.iter().position(|t| *t >= seconds).expect("there")].as_str();
    assert_eq!(
        [at(5.0), at(12.0), at(16.0), at(25.0), at(40.0)],
        ["", "O2", "O2+salt", "salt", ""]
    );
    recording.verify().expect("whole");
    let told = statistics::statistics(&imported.worms);
    assert_eq!((told[0].worms, told[0].published_worms, told[0].distinct), (2, Some(12), 3));
    assert!((told[0].labelled - 1.5).abs() < 1e-9 && (told[0].recorded - 2.0).abs() < 1e-9);
    let coverage = statistics::coverage(&imported.worms);
    let rid = super::slot("RID").expect("a slot");
    assert_eq!(coverage.u32s("worms").expect("counts")[rid], 1);
    assert!(coverage.bools("Kato2015/worm1").expect("a worm")[rid]);
    let again = survey(&[out], &ImportWorms::default(), &Progress::silent()).expect("surveys");
    assert_eq!(again.worms, imported.worms);
}

#[test]
fn aligned_and_joined_recordings_have_all_300_neurons() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = kato(folder.path(), 0.3);
    let aligned = ImportWorms { arrange: Arrangement::Aligned, ..ImportWorms::default() };
    made(&file, &aligned, &folder.path().join("a")).expect("imports");
    let one = Recording::open(&folder.path().join("a/worm1")).expect("opens");
    let row = one.rows(&[3]).expect("reads");
    let present: Vec<usize> = (0..300).filter(|&slot| row[[0, slot]].is_finite()).collect();
    assert_eq!(
        (one.units(), present),
        (300, vec![super::slot("RID"), super::slot("VB2")].into_iter().flatten().collect())
    );
    let joined = ImportWorms { arrange: Arrangement::Joined, ..ImportWorms::default() };
    made(&file, &joined, &folder.path().join("j")).expect("imports");
    let all = Recording::open(&folder.path().join("j")).expect("opens");
    assert_eq!((all.units(), all.samples()), (300, 2 * one.samples()));
    let sequences = all.sequences().expect("sequences");
    assert_eq!((sequences[0], sequences[all.samples() - 1]), (0, 1), "a worm is a sequence");
    let worm = super::recording::read(&one).expect("reads");
    let (values, mask) = worm.matrix();
    assert_eq!(values.dim(), (one.samples(), 300));
    assert_eq!(mask.row(0).iter().filter(|&&there| there).count(), 2);
    assert!(values.iter().all(|value| value.is_finite()), "zero, and not a measurement");
}

#[test]
fn recordings_go_to_the_published_table_and_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = kato(folder.path(), 0.3);
    made(&file, &ImportWorms::default(), &folder.path().join("set")).expect("imports");
    let direct = folder.path().join("direct.parquet");
    made(&file, &ImportWorms::default(), &direct).expect("imports");
    let exported = folder.path().join("exported.parquet");
    let sources = [folder.path().join("set")];
    let rows = export(&sources, &exported, Existing::Refuse, &Progress::silent());
    assert_eq!(rows.expect("exports"), 4);
    for table in [direct, exported] {
        let settings = ImportWorms {
            selection: super::hub::Selection {
                worms: vec!["worm1".to_owned()],
                neurons: vec!["VB2".to_owned()],
                from: Some(10.0),
                to: Some(60.0),
            },
            ..ImportWorms::default()
        };
        let out = table.with_extension("rec");
        let imported = made(&table, &settings, &out).expect("imports");
        assert_eq!((imported.worms.len(), imported.worms[0].neurons), (1, 1));
        let part = Recording::open(&out.join("worm1")).expect("opens");
        let whole = Recording::open(&folder.path().join("set/worm1")).expect("opens");
        let times = part.sample_columns(&["time_s"]).expect("times");
        let first = times.f64s("time_s").expect("times")[0];
        let at = (first / 0.333).round() as usize;
        assert!((10.0..10.4).contains(&first) && part.samples() == 150);
        assert_eq!(
            part.rows(&[0]).expect("reads")[[0, 0]],
            whole.rows(&[at]).expect("reads")[[0, 1]]
        );
        let smooth = Homogenise { window: 3, ..Homogenise::default() };
        let wrong = ImportWorms { homogenise: smooth, ..ImportWorms::default() };
        let told = made(&table, &wrong, &folder.path().join("no")).expect_err("processed already");
        assert!(told.to_string().contains("processed already"), "{told}");
    }
}

#[test]
fn after_an_error_nothing_is_left() {
    let folder = tempfile::tempdir().expect("a folder");
    let inner = folder.path().join("in");
    std::fs::create_dir(&inner).expect("a folder");
    kato(&inner, 0.3);
    // The second file has times in milliseconds.
    let bad = folder.path().join("bad");
    std::fs::create_dir(&bad).expect("a folder");
    std::fs::copy(kato(&bad, 300.0), inner.join("z.mat")).expect("copies");
    for out in ["set", "table.parquet"] {
        let out = folder.path().join(out);
        let told = format!("{:?}", made(&inner, &ImportWorms::default(), &out).expect_err("ms"));
        assert!(told.contains("--time-unit ms") && told.contains("z.mat"), "{told}");
    }
    let mut left: Vec<String> = std::fs::read_dir(folder.path())
        .expect("lists")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    left.sort();
    assert_eq!(left, ["bad", "in"]);
    let progress = Progress::silent();
    progress.interrupt();
    let out = folder.path().join("set");
    let settings = ImportWorms::default();
    let stopped = import(std::slice::from_ref(&bad), &settings, &out, Existing::Refuse, &progress);
    assert!(stopped.is_err() && !out.exists());
}

#[test]
fn what_is_in_the_way_is_kept_unless_it_is_a_set() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = kato(folder.path(), 0.3);
    let out = folder.path().join("set");
    made(&file, &ImportWorms::default(), &out).expect("imports");
    assert!(made(&file, &ImportWorms::default(), &out).is_err(), "it exists");
    let replace = |out: &Path| {
        let settings = ImportWorms::default();
        let quiet = Progress::silent();
        import(std::slice::from_ref(&file), &settings, out, Existing::Overwrite, &quiet)
    };
    replace(&out).expect("replaces a set");
    let thesis = folder.path().join("thesis");
    write_bytes(&thesis.join("text.tex"), b"years of work").expect("writes");
    assert!(replace(&thesis).is_err());
    assert!(thesis.join("text.tex").exists());
    let nobody = ImportWorms {
        selection: super::hub::Selection { worms: vec!["worm9".to_owned()], ..Default::default() },
        ..ImportWorms::default()
    };
    assert!(made(&file, &nobody, &folder.path().join("none")).is_err());
    assert!(!folder.path().join("none").exists());
}
