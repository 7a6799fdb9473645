//! Venkatachalam 2024: a table, in a zip archive or plain, one line a neuron.
//!
//! Columns from the 108th on are samples; their heads are numbers of frames, 0.375 s each. The
//! column `neuron` holds the names.

use std::path::Path;

use ndarray::Array2;
use nissl_core::{Error, IoContext, Result, archive};

use crate::worm::raw::{Fluorescence, RawWorm};

/// The columns before the samples: nine about the neuron, and 98 blank ones.
const BEFORE: usize = 107;
const FRAME: f64 = 0.375;
const MOST_BYTES: u64 = 1 << 30;

pub(super) fn read(path: &Path) -> Result<Vec<RawWorm>> {
    let length = std::fs::metadata(path).at(path, "look at")?.len();
    if length > MOST_BYTES {
        return Err(Error::file(path, "size", length, format!("at most {MOST_BYTES} bytes")));
    }
    let bytes = std::fs::read(path).at(path, "read")?;
    if !bytes.starts_with(b"PK") {
        return Ok(vec![table(path, &bytes)?]);
    }
    let members = archive::directory(path, bytes.as_slice())?;
    let tables: Vec<_> = members
        .iter()
        .filter(|member| {
            let extension = Path::new(&member.name).extension();
            let is_table = extension.is_some_and(|end| end.eq_ignore_ascii_case("csv"));
            is_table && !member.name.contains("__MACOSX")
        })
        .collect();
    if tables.is_empty() {
        let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
        return Err(Error::file(path, "members", names.join(", "), "a .csv table"));
    }
    tables
        .into_iter()
        .map(|member| {
            let content = member.content(path, &bytes)?;
            let mut worm = table(path, &content)?;
            worm.file = format!("{}#{}", path.display(), member.name);
            Ok(worm)
        })
        .collect()
}

fn table(path: &Path, bytes: &[u8]) -> Result<RawWorm> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes);
    let broken = |error: csv::Error| Error::file(path, "content", error, "a CSV table");
    let heads: Vec<String> =
        reader.headers().map_err(broken)?.iter().map(|head| head.trim().to_owned()).collect();
    let Some(names) = heads.iter().position(|head| head.eq_ignore_ascii_case("neuron")) else {
        let found: Vec<&str> =
            heads.iter().filter(|head| !head.is_empty()).take(20).map(String::as_str).collect();
        return Err(Error::file(path, "columns", "without it", "`neuron`")
            .with_help(format!("the file has {}", found.join(", "))));
    };
    let frames: Vec<f64> = heads.iter().skip(BEFORE).map_while(|head| head.parse().ok()).collect();
    if frames.len() < 2 {
        let found = heads.len();
        return Err(Error::file(path, "columns", found, "frames from the 108th on"));
    }
    let (mut labels, mut values) = (Vec::new(), Vec::new());
    for (line, record) in reader.records().enumerate() {
        let record = record.map_err(broken)?;
        let label = record.get(names).map(str::trim).filter(|label| !label.is_empty());
        labels.push(label.map(str::to_owned));
        for at in 0..frames.len() {
            let field = record.get(BEFORE + at).unwrap_or("").trim();
            values.push(if crate::import::is_missing(field) {
                f64::NAN
            } else {
                field.parse().map_err(|_error| {
                    let place = format!("line {}, column {}", line + 2, BEFORE + at + 1);
                    Error::file(path, place, field, "a number")
                })?
            });
        }
    }
    let traces = Array2::from_shape_vec((labels.len(), frames.len()), values)
        .map_err(|error| Error::file(path, "content", error, "a table"))?;
    let time = frames.iter().map(|frame| frame * FRAME).collect();
    Ok(RawWorm::new(traces, time, labels, Fluorescence::Normalised))
}
