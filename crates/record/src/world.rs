//! Texts with planted truth: the folder that `nissl world language` wrote, as documents.

use std::path::Path;

use nissl_core::store::{Kind, Manifest};
use nissl_core::{Error, Result, Table};

use crate::text::Document;

/// The stories of a world's folder, each with the truth about its tokens.
///
/// Memory: one row group of the sample table.
///
/// # Errors
/// No world, or a text and sample table that do not fit each other.
pub fn stories(folder: &Path) -> Result<impl Iterator<Item = Result<Document>> + use<>> {
    Manifest::<serde_json::Value>::read(folder, Kind::World)?;
    let samples = folder.join("samples.parquet");
    let mut groups = Table::read_groups(&samples, None)?;
    let texts =
        crate::text::documents(&[folder.join("text.txt")], "text", crate::text::Documents::Line)?;
    let mut pending = Table::new();
    let mut used = 0;
    Ok(texts.enumerate().map(move |(number, document)| {
        let mut document = document?;
        let number = number as u32;
        // Read on until the next story begins, so that this one is whole.
        let complete = |table: &Table| {
            table.u32s("sequence").ok().and_then(<[u32]>::last).is_some_and(|&last| last > number)
        };
        while !complete(&pending) {
            let Some(group) = groups.next() else { break };
            let rest: Vec<usize> = (used..pending.rows()).collect();
            pending = pending.take(&rest);
            used = 0;
            pending.append(group?)?;
        }
        let rest = &pending.u32s("sequence").unwrap_or_default()[used..];
        let begin = used + rest.partition_point(|&other| other < number);
        let end = used + rest.partition_point(|&other| other <= number);
        if begin == end {
            return Err(Error::file(
                &samples,
                "sequence",
                "no row",
                format!("rows of story {number}, line {} of text.txt", number + 1),
            ));
        }
        document.truth = Some(pending.take(&(begin..end).collect::<Vec<_>>()));
        used = end;
        Ok(document)
    }))
}
