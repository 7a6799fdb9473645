//! From a plain matrix that another tool wrote to a Recording: one row a sample, one column a unit.
//!
//! Missing values (empty CSV fields, nulls, NaN) become NaN. Nothing in a file is ever executed.
//! Memory: one block of rows; the file is streamed, whatever its size.

mod columns;
mod container;
mod csv;
#[cfg(test)]
mod damaged;
mod dense;
mod edf;
mod format;
#[cfg(test)]
mod hostile;
mod npy;
mod npz;
mod parquet;
mod safetensors;

use std::fs::File;
use std::path::Path;

use clap::Args;
use ndarray::{Array2, s};
use nissl_core::recording::{RecordingPlan, Source};
use nissl_core::store::{Existing, Provenance};
use nissl_core::{Column, Error, IoContext, Progress, Recording, RecordingWriter, Result, Table};
use serde::{Deserialize, Serialize};

pub(crate) use self::columns::{is_missing, is_sample_column};
pub use self::format::Format;
pub(crate) use self::parquet::numbers;

use crate::network::Dtype;

/// How a foreign file becomes a recording.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Args)]
#[serde(default, deny_unknown_fields)]
pub struct Import {
    /// The site that all units are said to belong to
    #[arg(long, default_value_t = Import::default().site)]
    pub site: String,
    /// The array to take from a file that holds several (safetensors, npz, HDF5, MATLAB, JSON)
    #[arg(long, value_name = "NAME")]
    pub tensor: Option<String>,
    /// Read a file whose rows are units and whose columns are samples (not csv, parquet, edf)
    #[arg(long)]
    pub transpose: bool,
    /// Read the file as this format instead of asking its first bytes
    #[arg(long = "as", value_enum, value_name = "FORMAT")]
    pub format: Option<Format>,
    /// The precision of the stored values
    #[arg(long, value_enum, default_value_t = Import::default().dtype)]
    pub dtype: Dtype,
    /// Further columns (csv, parquet) that tell about samples and are no units
    #[arg(long = "sample-column", value_name = "NAME")]
    pub sample_columns: Vec<String>,
}

impl Default for Import {
    fn default() -> Self {
        Self {
            site: "imported".to_owned(),
            tensor: None,
            transpose: false,
            format: None,
            dtype: Dtype::F32,
            sample_columns: Vec::new(),
        }
    }
}

impl Import {
    fn validate(&self, format: Format) -> Result<()> {
        let named = format.name();
        let tabular = matches!(format, Format::Csv | Format::Parquet | Format::Edf);
        if self.site.trim().is_empty() {
            return Err(Error::setting("site", "empty", "a name such as `imported`"));
        }
        if tabular && self.transpose {
            return Err(Error::setting(
                "transpose",
                format!("set for {named}"),
                "npy, npz, safetensors, hdf5, mat or json, whose rows can be reached out of order",
            ));
        }
        if !matches!(format, Format::Csv | Format::Parquet) && !self.sample_columns.is_empty() {
            let found = format!("set for {named}");
            return Err(Error::setting("sample-column", found, "csv or parquet"));
        }
        match &self.tensor {
            Some(name) if tabular || format == Format::Npy => Err(Error::setting(
                "tensor",
                format!("{name} for {named}"),
                "safetensors, npz, hdf5, mat or json, which hold several arrays",
            )),
            _ => Ok(()),
        }
    }
}

/// A foreign matrix, ready to be read in order.
struct Matrix {
    /// The number of columns, at least one.
    units: usize,
    /// The names of the columns, when the file gives them.
    names: Option<Vec<String>>,
    /// How much there is to read, and in what that is counted.
    total: (u64, &'static str),
    /// The rows.
    chunks: Box<dyn Iterator<Item = Result<Chunk>>>,
}

/// Consecutive rows of a foreign matrix.
struct Chunk {
    /// `[sample, unit]`
    activity: Array2<f32>,
    /// What the file says about these samples; maybe nothing.
    samples: Table,
    /// How much of the total this was.
    progress: u64,
}

/// The whole matrix `[row, column]` in `path`, in memory: heads, labels' vectors and other small
/// matrices that are no recordings.
///
/// # Errors
/// A file that is no matrix, is damaged or lies about itself, or settings that do not fit the format.
pub fn matrix(path: &Path, settings: &Import) -> Result<Array2<f32>> {
    let (_, matrix) = opened(path, settings)?;
    let mut values = Vec::new();
    for chunk in matrix.chunks {
        values.extend(chunk?.activity);
    }
    let rows = values.len() / matrix.units;
    Array2::from_shape_vec((rows, matrix.units), values)
        .map_err(|error| Error::file(path, "shape", error, "a matrix"))
}

/// The matrix in `path`, in the format that the settings or the file tell.
fn opened(path: &Path, settings: &Import) -> Result<(Format, Matrix)> {
    drop(open_file(path)?);
    let format = settings.format.map_or_else(|| format::sniff(path), Ok)?;
    settings.validate(format)?;
    let matrix = match format {
        Format::Npy => npy::open(path, settings)?,
        Format::Npz => npz::open(path, settings)?,
        Format::Csv => csv::open(path, settings)?,
        Format::Parquet => parquet::open(path, settings)?,
        Format::Safetensors => safetensors::open(path, settings)?,
        Format::Hdf5 | Format::Mat | Format::Json => container::open(path, settings)?,
        Format::Edf => edf::open(path, settings)?,
    };
    Ok((format, matrix))
}

/// The most units a recording can be imported with.
const MOST_UNITS: u64 = 1 << 24;

/// Rows of `units` values that are in memory at once.
fn rows_in_block(units: usize) -> usize {
    const VALUES: usize = 2 << 20;
    (VALUES / units.max(1)).clamp(1, 16_384)
}

/// Imports the matrix in `path` (rows samples) as a recording in the folder `out`.
///
/// Samples get sequence 0 and their row as position unless the file says otherwise. After an error
/// nothing is left of what was begun; after an interrupt it can be resumed.
///
/// # Errors
/// A file that is no matrix, is damaged or lies about itself, settings that do not fit the format,
/// an output folder that `existing` protects, an interrupt, or a failed file operation.
pub fn import(
    path: &Path,
    settings: &Import,
    out: &Path,
    existing: Existing,
    progress: &Progress,
) -> Result<Recording> {
    let (format, matrix) = opened(path, settings)?;
    let source = Source {
        importer: Some(format.name().to_owned()),
        files: vec![path.display().to_string()],
        ..Source::default()
    };
    let provenance = Provenance::here(settings, 0, "cpu").with_input(path)?;
    let units = unit_table(&settings.site, matrix.units, matrix.names.clone());
    let mut plan = RecordingPlan::new(units, source, provenance);
    plan.precision = settings.dtype.into();

    let was_there = out.exists();
    let created = RecordingWriter::create(out, plan, existing);
    let mut writer = created.inspect_err(|_| {
        if !was_there {
            std::fs::remove_dir_all(out).ok();
        }
    })?;
    let resumed = writer.committed() > 0;
    match push_all(matrix, &mut writer, progress) {
        Ok(()) => {
            let finished = writer.finish();
            finished.inspect_err(|_| withdraw(out, was_there, resumed))
        }
        Err(error @ Error::Interrupted { .. }) => {
            writer.suspend()?;
            Err(error)
        }
        Err(error) => {
            // The writing thread must have ended before its files are removed; what it says of
            // them no longer matters.
            writer.suspend().ok();
            withdraw(out, was_there, resumed);
            Err(error)
        }
    }
}

fn push_all(matrix: Matrix, writer: &mut RecordingWriter, progress: &Progress) -> Result<()> {
    let mut skip = writer.committed() as usize;
    let mut first = 0u64;
    let mut given = columns::Given::default();
    let (total, unit) = matrix.total;
    let stage = progress.stage("import", total, unit);
    for chunk in matrix.chunks {
        progress.check(|| format!("{first} samples"))?;
        let Chunk { activity, samples, progress: read } = chunk?;
        let rows = activity.nrows();
        let samples = given.complete(samples, first, rows)?;
        let drop = skip.min(rows);
        skip -= drop;
        first += rows as u64;
        if drop < rows {
            let left: Vec<usize> = (drop..rows).collect();
            let samples = if drop == 0 { samples } else { samples.take(&left) };
            writer.push(activity.slice(s![drop.., ..]), samples)?;
        }
        stage.advance(read);
    }
    Ok(())
}

/// Removes what a failed import began; an earlier, resumable run is kept.
fn withdraw(out: &Path, was_there: bool, resumed: bool) {
    if resumed {
        return;
    }
    if was_there {
        // It was empty, or an artefact that the user let us replace: all in it is ours.
        for entry in std::fs::read_dir(out).into_iter().flatten().flatten() {
            std::fs::remove_file(entry.path()).ok();
        }
    } else {
        std::fs::remove_dir_all(out).ok();
    }
}

fn unit_table(site: &str, units: usize, names: Option<Vec<String>>) -> Table {
    let numbers: Vec<u32> = (0..units as u32).collect();
    let table = Table::new()
        .with("unit", Column::U32(numbers.clone()))
        .with("site", Column::Text(vec![site.to_owned(); units]))
        .with("index", Column::U32(numbers));
    match names {
        Some(names) => table.with("name", Column::Text(names)),
        None => table,
    }
}

/// Opens a file that can be read to its end: no folder, device or pipe.
pub(crate) fn open_file(path: &Path) -> Result<File> {
    let about = std::fs::metadata(path).at(path, "look at")?;
    if about.is_dir() {
        let error = Error::file(path, "kind", "a folder", "a file");
        return Err(if path.join(nissl_core::store::MANIFEST).exists() {
            error.with_help("this is an artefact already; give it to the next command as it is")
        } else {
            error
        });
    }
    if !about.is_file() {
        return Err(Error::file(path, "kind", "a device or pipe", "a regular file"));
    }
    File::open(path).at(path, "open")
}

/// The number of units and samples of a file that says `rows` by `columns`.
fn checked_shape(path: &Path, rows: u64, columns: u64) -> Result<(usize, usize)> {
    if rows == 0 || columns == 0 {
        return Err(Error::file(
            path,
            "shape",
            format!("{rows} samples by {columns} units"),
            "at least one of each",
        ));
    }
    if columns > MOST_UNITS || rows > u64::from(u32::MAX) {
        return Err(Error::file(
            path,
            "shape",
            format!("{rows} samples by {columns} units"),
            format!("at most {} samples and {MOST_UNITS} units", u32::MAX),
        )
        .with_help("if rows of the file are units, use --transpose"));
    }
    Ok((rows as usize, columns as usize))
}
