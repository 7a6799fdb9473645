//! What is exported and imported again is what it was.

use std::path::Path;

use ndarray::Array2;
use nissl_core::numbers::Precision;
use nissl_core::recording::{RecordingPlan, Source};
use nissl_core::store::{Existing, Provenance, write_bytes};
use nissl_core::{Column, Error, Progress, Recording, RecordingWriter, Table};
use proptest::prelude::*;

use super::{Export, Exported, export};
use crate::import::{Format, Import, import};

fn record(folder: &Path, activity: &Array2<f32>, names: Option<Vec<String>>) -> Recording {
    let (samples, units) = activity.dim();
    let mut table = Table::new()
        .with("unit", Column::U32((0..units as u32).collect()))
        .with("site", Column::Text(vec!["layers.0.mlp.act".to_owned(); units]))
        .with("index", Column::U32((0..units as u32).collect()));
    if let Some(names) = names {
        table = table.with("name", Column::Text(names));
    }
    let mut plan = RecordingPlan::new(table, Source::default(), Provenance::default());
    // Two rows a shard, so that blocks and groups do not end together.
    plan.shard_bytes = 8 * units;
    let mut writer = RecordingWriter::create(folder, plan, Existing::Refuse).expect("begins");
    for row in 0..samples {
        let about = Table::new()
            .with("sequence", Column::U32(vec![row as u32 / 3]))
            .with("position", Column::U32(vec![row as u32 % 3]))
            .with("token", Column::Text(vec![format!("t,\"{row}\"\n")]))
            .with("time_s", Column::F64(vec![row as f64 / 3.0]))
            .with("truth.even", Column::Bool(vec![row % 2 == 0]));
        writer.push(activity.slice(ndarray::s![row..=row, ..]), about).expect("pushes");
    }
    writer.finish().expect("finishes")
}

fn bits(recording: &Recording) -> Vec<Option<u32>> {
    let all: Vec<usize> = (0..recording.samples()).collect();
    let activity = recording.rows(&all).expect("reads");
    activity.iter().map(|v| (!v.is_nan()).then_some(v.to_bits())).collect()
}

fn out(recording: &Recording, settings: &Export, path: &Path) -> nissl_core::Result<Exported> {
    export(recording, settings, path, Existing::Refuse, &Progress::silent())
}

const NAMES: [&str; 4] = ["npy", "csv", "parquet", "safetensors"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn import_undoes_export(
        units in 1usize..5,
        raw in prop::collection::vec(any::<u32>(), 1..40),
    ) {
        let samples = raw.len().div_ceil(units);
        let value = |(r, u): (usize, usize)| f32::from_bits(raw[(r * units + u) % raw.len()]);
        let activity = Array2::from_shape_fn((samples, units), value);
        let folder = tempfile::tempdir().expect("a folder");
        let recording = record(&folder.path().join("rec"), &activity, None);
        for name in NAMES {
            let file = folder.path().join(format!("x.{name}"));
            let made = out(&recording, &Export::default(), &file).expect("exports");
            prop_assert_eq!((made.samples, made.units, made.format.name()), (samples, units, name));
            let back = folder.path().join(name);
            let back = import(&file, &Import::default(), &back, Existing::Refuse, &Progress::silent())
                .expect("imports");
            prop_assert_eq!(back.units(), units, "{}", name);
            prop_assert_eq!(bits(&back), bits(&recording), "{}", name);
        }
    }
}

#[test]
fn samples_and_names_survive_in_tables() {
    let folder = tempfile::tempdir().expect("a folder");
    let activity = Array2::from_shape_fn((9, 2), |(r, u)| (r * 2 + u) as f32);
    let names = vec!["AVAL, left".to_owned(), "AVAR".to_owned()];
    let recording = record(&folder.path().join("rec"), &activity, Some(names.clone()));
    for name in ["csv", "parquet"] {
        let file = folder.path().join(format!("x.{name}"));
        let settings = Export { samples: true, ..Export::default() };
        out(&recording, &settings, &file).expect("exports");
        let back = folder.path().join(name);
        let back = import(&file, &Import::default(), &back, Existing::Refuse, &Progress::silent())
            .expect("imports");
        assert_eq!(bits(&back), bits(&recording), "{name}");
        assert_eq!(back.unit_table().texts("name").expect("named"), names);
        let columns = ["sample", "sequence", "position", "time_s", "truth.even"];
        let table = |of: &Recording| of.sample_columns(&columns).expect("there");
        assert_eq!(table(&back), table(&recording), "{name}");
        let tokens = back.sample_columns(&["token"]).expect("there");
        assert_eq!(tokens.texts("token").expect("text")[8].trim(), "t,\"8\"");
    }
}

#[test]
fn names_that_an_importer_would_mistake_are_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    let activity = Array2::from_shape_fn((2, 2), |(r, u)| (r * 2 + u) as f32);
    for (number, names) in [["1", "2"], ["token", "7"], ["", "b"]].into_iter().enumerate() {
        let here = folder.path().join(number.to_string());
        let named = Some(names.map(str::to_owned).to_vec());
        let recording = record(&here.join("rec"), &activity, named);
        let file = here.join("x.csv");
        out(&recording, &Export::default(), &file).expect("exports");
        let text = std::fs::read_to_string(&file).expect("reads");
        assert!(text.starts_with("layers.0.mlp.act.0,"), "{text}");
        let back = here.join("back");
        let back = import(&file, &Import::default(), &back, Existing::Refuse, &Progress::silent())
            .expect("imports");
        assert_eq!(bits(&back), bits(&recording));
    }
}

#[test]
fn what_is_in_the_way_stays_and_half_a_file_does_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let activity = Array2::from_elem((4, 2), 1.5);
    let recording = record(&folder.path().join("rec"), &activity, None);
    let file = folder.path().join("x.npy");
    write_bytes(&file, b"mine").expect("writes");
    let refused = out(&recording, &Export::default(), &file).expect_err("in the way");
    assert!(matches!(refused, Error::Exists { .. }));
    assert_eq!(std::fs::read(&file).expect("reads"), b"mine");
    let quiet = Progress::silent();
    let folder_in_the_way = folder.path().join("rec");
    let settings = Export { format: Some(Format::Npy), ..Export::default() };
    let over = export(&recording, &settings, &folder_in_the_way, Existing::Overwrite, &quiet);
    assert!(over.is_err());
    export(&recording, &settings, &file, Existing::Overwrite, &quiet).expect("replaces");

    // A shard that is damaged half-way.
    let shard = recording.path().join(&recording.manifest().shards[1].file);
    write_bytes(&shard, b"damaged").expect("writes");
    for name in NAMES {
        let file = folder.path().join(format!("half.{name}"));
        out(&recording, &Export::default(), &file).expect_err("damaged");
        assert!(!file.exists(), "{name}");
    }
    let left: Vec<_> = std::fs::read_dir(folder.path()).expect("lists").flatten().collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn settings_must_fit_the_format() {
    let folder = tempfile::tempdir().expect("a folder");
    let recording = record(&folder.path().join("rec"), &Array2::from_elem((1, 1), 0.5), None);
    let to = |name: &str, settings: &Export| out(&recording, settings, &folder.path().join(name));
    let samples = Export { samples: true, ..Export::default() };
    let half = Export { dtype: Some(crate::Dtype::F16), ..Export::default() };
    let brain = Export { dtype: Some(crate::Dtype::Bf16), ..Export::default() };
    assert!(to("x.npy", &samples).is_err());
    assert!(to("x.csv", &half).is_err());
    assert!(to("x.npy", &brain).is_err());
    assert!(to("x.npz", &Export::default()).is_err());
    assert!(to("x.unknown", &Export::default()).is_err());
    for (name, settings) in [("x.npy", &half), ("x.safetensors", &brain)] {
        to(name, settings).expect("fits");
        let (file, back) = (folder.path().join(name), folder.path().join(format!("{name}.back")));
        let back = import(&file, &Import::default(), &back, Existing::Refuse, &Progress::silent())
            .expect("imports");
        assert_eq!(bits(&back), bits(&recording));
        assert_eq!(back.manifest().detail.dtype, Precision::F32);
    }
}
