//! Recordings written, cut off, resumed, damaged.

use std::path::Path;

use ndarray::Array2;

use super::*;
use crate::store::{self, Existing, Provenance};
use crate::table::Column;

fn plan(units: usize, layout: Layout) -> RecordingPlan {
    let table = Table::new()
        .with("unit", Column::U32((0..units as u32).collect()))
        .with("site", Column::Text((0..units).map(|u| format!("site.{}", u / 2)).collect()))
        .with("index", Column::U32((0..units as u32).map(|u| u % 2).collect()));
    let mut plan = RecordingPlan::new(table, Source::default(), Provenance::default());
    plan.layout = layout;
    plan.shard_bytes = 4 * units * 5;
    plan
}

fn batch(first: usize, rows: usize, units: usize) -> (Array2<f32>, Table) {
    let activity = Array2::from_shape_fn((rows, units), |(r, u)| ((first + r) * 10 + u) as f32);
    let table = Table::new()
        .with("sequence", Column::U32(vec![(first / rows) as u32; rows]))
        .with("position", Column::U32((0..rows as u32).collect()));
    (activity, table)
}

fn write(folder: &Path, batches: std::ops::Range<usize>, existing: Existing) -> RecordingWriter {
    let mut writer =
        RecordingWriter::create(folder, plan(6, Layout::Dense), existing).expect("begins");
    for number in batches {
        let (activity, samples) = batch(number * 3, 3, 6);
        writer.push(activity.view(), samples).expect("pushes");
    }
    writer
}

#[test]
fn what_is_recorded_is_read_in_every_layout() {
    for (layout, precision) in [
        (Layout::Dense, Precision::F32),
        (Layout::Csr, Precision::F32),
        (Layout::Dense, Precision::Bf16),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut plan = plan(6, layout);
        plan.precision = precision;
        let mut writer =
            RecordingWriter::create(folder.path(), plan, Existing::Refuse).expect("begins");
        for number in 0..7 {
            let (activity, samples) = batch(number * 3, 3, 6);
            writer.push(activity.view(), samples).expect("pushes");
        }
        let recording = writer.finish().expect("finishes");
        assert_eq!((recording.samples(), recording.units()), (21, 6));
        recording.verify().expect("sound");
        let tolerance = if precision == Precision::Bf16 { 0.005 } else { 0.0 };
        let mut seen = 0;
        for block in recording.blocks(4) {
            let block = block.expect("reads");
            assert_eq!(block.start, seen);
            for ((row, unit), value) in block.activity.indexed_iter() {
                let truth = ((seen + row) * 10 + unit) as f32;
                assert!((value - truth).abs() <= truth * tolerance, "{value} {truth}");
            }
            seen += block.activity.nrows();
        }
        assert_eq!(seen, 21);
        assert_eq!(
            recording.rows(&[2, 3, 20]).expect("reads").column(0).to_vec(),
            [20., 30., 200.]
        );
        assert!(recording.rows(&[21]).is_err());
        let one = recording.only(&"site.1".parse().expect("a glob")).expect("is there");
        assert_eq!(one.rows(&[1]).expect("reads").row(0).to_vec(), [12.0, 13.0]);
        assert_eq!(recording.sequences().expect("reads")[3..6], [1, 1, 1]);
        let sample = recording.sample_columns(&["sample"]).expect("reads");
        assert_eq!(sample.u64s("sample").expect("u64"), (0..21).collect::<Vec<u64>>());
    }
}

#[test]
fn a_run_that_was_cut_off_goes_on_to_the_same_bytes() {
    let whole = tempfile::tempdir().expect("a folder");
    let whole_run = write(whole.path(), 0..9, Existing::Refuse).finish().expect("finishes");

    let cut = tempfile::tempdir().expect("a folder");
    drop(write(cut.path(), 0..5, Existing::Refuse)); // killed: the open shard is lost
    assert!(matches!(Recording::open(cut.path()), Err(Error::Incomplete { .. })));
    // The thread may still be at its last shard; a killed process has no such thread.
    std::thread::sleep(std::time::Duration::from_millis(300));
    let writer = RecordingWriter::create(cut.path(), plan(6, Layout::Dense), Existing::Resume)
        .expect("resumes");
    let committed = writer.committed() as usize;
    assert!(committed > 0 && committed < 15 && committed.is_multiple_of(3), "{committed}");
    drop(writer);
    let resumed = write(cut.path(), committed / 3..9, Existing::Resume);
    let resumed = resumed.finish().expect("finishes");
    assert_eq!(resumed.manifest().shards, whole_run.manifest().shards);
}

#[test]
fn resuming_with_other_settings_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), 0..3, Existing::Refuse).suspend().expect("suspends");
    let mut other = plan(6, Layout::Dense);
    other.provenance.config = serde_json::json!({"context": 7});
    let error = RecordingWriter::create(folder.path(), other, Existing::Resume).err();
    assert!(error.expect("differs").to_string().contains("provenance.config"));
}

#[test]
fn nothing_recorded_is_no_recording() {
    let folder = tempfile::tempdir().expect("a folder");
    let writer = RecordingWriter::create(folder.path(), plan(6, Layout::Dense), Existing::Refuse)
        .expect("begins");
    assert!(matches!(writer.finish(), Err(Error::Empty { .. })));
    assert!(Recording::open(folder.path()).is_err());
}

#[test]
fn shards_that_were_damaged_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let recording = write(folder.path(), 0..4, Existing::Refuse).finish().expect("finishes");
    let shard = folder.path().join(&recording.manifest().shards[0].file);
    let mut bytes = std::fs::read(&shard).expect("reads");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    store::write_bytes(&shard, &bytes).expect("writes");
    assert!(matches!(recording.verify(), Err(Error::Checksum { .. })));
    store::write_bytes(&shard, &bytes[..last]).expect("writes");
    assert!(recording.blocks(100).next().expect("one").is_err());
}
