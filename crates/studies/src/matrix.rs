//! A plain matrix as a recording on disk, for studies of planted numbers.

use std::path::Path;

use ndarray::ArrayView2;
use nissl_core::recording::{RecordingPlan, Source};
use nissl_core::store::{Existing, Provenance};
use nissl_core::{Column, Recording, RecordingWriter, Result, Table};

/// Writes `activity` `[sample, unit]` to `folder`, every sample a sequence of its own.
///
/// # Errors
/// A failed file operation.
pub(crate) fn recording_of(activity: ArrayView2<'_, f32>, folder: &Path) -> Result<Recording> {
    let (samples, units) = activity.dim();
    let unit_table = Table::new()
        .with("unit", Column::U32((0..units as u32).collect()))
        .with("site", Column::Text(vec!["planted".to_owned(); units]))
        .with("index", Column::U32((0..units as u32).collect()));
    let source = Source { importer: Some("planted".to_owned()), ..Source::default() };
    let plan = RecordingPlan::new(unit_table, source, Provenance::here(&(), 0, "cpu"));
    let mut writer = RecordingWriter::create(folder, plan, Existing::Refuse)?;
    let table = Table::new()
        .with("sequence", Column::U32((0..samples as u32).collect()))
        .with("position", Column::U32(vec![0; samples]));
    writer.push(activity, table)?;
    writer.finish()
}
