//! From a Recording to a plain matrix that any other tool reads: one row a sample.
//!
//! `import(export(x))` is `x`: every f32 value survives in every format.
//! Memory: one block of rows; Parquet holds one row group of 64 MiB.

mod csv;
mod graph;
mod npy;
mod parquet;
#[cfg(test)]
mod round_trip;
mod safetensors;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use nissl_core::store::{self, Existing};
use nissl_core::table::TableGroups;
use nissl_core::{Column, Error, IoContext, Progress, Recording, Result, Table};
use serde::{Deserialize, Serialize};

pub use self::graph::{ExportedGraph, export_graph};

use crate::import::{Format, is_missing, is_sample_column};
use crate::network::Dtype;

/// How a recording leaves as a plain file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Args)]
#[serde(default, deny_unknown_fields)]
pub struct Export {
    /// Write this format instead of what the extension says
    #[arg(long = "as", value_enum, value_name = "FORMAT")]
    pub format: Option<Format>,
    /// Write the columns of the sample table before the units (csv, parquet)
    #[arg(long)]
    pub samples: bool,
    /// The precision of the values (npy, safetensors); without it that of the recording
    #[arg(long, value_enum)]
    pub dtype: Option<Dtype>,
}

/// What was exported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// The file.
    pub path: PathBuf,
    /// Its format.
    pub format: Format,
    /// Its rows.
    pub samples: usize,
    /// Its columns of activity.
    pub units: usize,
    /// Its size.
    pub bytes: u64,
}

/// Writes the activity of `recording` to the file `out`.
///
/// The file appears under its name only when all is written.
///
/// # Errors
/// A format that is not named or cannot be written, settings that do not fit it, a file that
/// `existing` protects, an interrupt, or a failed file operation.
pub fn export(
    recording: &Recording,
    settings: &Export,
    out: &Path,
    existing: Existing,
    progress: &Progress,
) -> Result<Exported> {
    let format = settings.format.or_else(|| Format::of_extension(out)).ok_or_else(|| {
        Error::setting(
            "output",
            out.display(),
            "a name ending in .npy, .csv, .parquet or .safetensors",
        )
    })?;
    let tabular = matches!(format, Format::Csv | Format::Parquet);
    if settings.samples && !tabular {
        let found = format!("set for {}", format.name());
        return Err(Error::setting("samples", found, "csv or parquet, which have named columns"));
    }
    if settings.dtype.is_some() && tabular {
        let found = format!("set for {}", format.name());
        return Err(Error::setting("dtype", found, "npy or safetensors; the others keep f32"));
    }
    if out.is_dir() || (out.exists() && existing != Existing::Overwrite) {
        return Err(Error::Exists { path: out.display().to_string() });
    }
    let stage = progress.stage("export", recording.samples() as u64, "samples");
    let run = Run { recording, settings, out, progress, stage: &stage };
    match format {
        Format::Npy => npy::write(&run)?,
        Format::Csv => csv::write(&run)?,
        Format::Parquet => parquet::write(&run)?,
        Format::Safetensors => safetensors::write(&run)?,
        Format::Npz => {
            return Err(Error::setting("output", "npz", "npy, which holds one matrix as well"));
        }
        Format::Hdf5 | Format::Mat | Format::Json | Format::Edf => {
            let expected = "npy, csv, parquet or safetensors";
            return Err(Error::setting("output", format.name(), expected));
        }
    }
    let bytes = std::fs::metadata(out).at(out, "look at")?.len();
    let (samples, units) = (recording.samples(), recording.units());
    Ok(Exported { path: out.to_owned(), format, samples, units, bytes })
}

/// What every format needs to know.
struct Run<'a> {
    recording: &'a Recording,
    settings: &'a Export,
    out: &'a Path,
    progress: &'a Progress,
    stage: &'a nissl_core::progress::Stage,
}

impl Run<'_> {
    /// Rows that are in memory at once.
    fn rows_in_block(&self) -> usize {
        const VALUES: usize = 2 << 20;
        (VALUES / self.recording.units().max(1)).clamp(1, 16_384)
    }

    /// Hands every block `[sample, unit]` with its rows of the sample table, when these are wanted.
    fn each(
        &self,
        mut block: impl FnMut(ndarray::ArrayView2<'_, f32>, Table) -> Result<()>,
    ) -> Result<()> {
        let mut about = if self.settings.samples { Some(SampleRows::open(self)?) } else { None };
        for part in self.recording.blocks(self.rows_in_block()) {
            let part = part?;
            self.progress.check(|| format!("{} samples; nothing is left of them", part.start))?;
            let rows = part.activity.nrows();
            let samples = about.as_mut().map_or_else(|| Ok(Table::new()), |a| a.take(rows))?;
            block(part.activity.view(), samples)?;
            self.stage.advance(rows as u64);
        }
        Ok(())
    }

    /// The name of each column of activity: that of the unit, or its site and index.
    ///
    /// No name is one that an importer would take for something else.
    fn labels(&self) -> Result<Vec<String>> {
        let table = self.recording.unit_table();
        let (sites, indices) = (table.texts("site")?, table.u32s("index")?);
        let names = table.texts("name").ok();
        // A line of numbers would be read as the first sample.
        let names = names.filter(|names| names.iter().any(|name| tells(name)));
        Ok((0..table.rows())
            .map(|unit| {
                let given = names.map(|names| names[unit].trim().to_owned());
                let by_site = format!("{}.{}", sites[unit], indices[unit]);
                [given, Some(by_site)]
                    .into_iter()
                    .flatten()
                    .find(|label| !label.is_empty() && !is_sample_column(label))
                    .unwrap_or_else(|| format!("unit.{unit}"))
            })
            .collect())
    }
}

/// Whether a name shows that the line it stands in is one of names.
fn tells(name: &str) -> bool {
    let name = name.trim();
    !is_missing(name) && name.parse::<f32>().is_err() && !is_sample_column(name)
}

/// The sample table, read in step with the activity.
struct SampleRows {
    path: PathBuf,
    groups: TableGroups,
    waiting: Table,
    used: usize,
}

impl SampleRows {
    fn open(run: &Run<'_>) -> Result<Self> {
        let names = run.recording.sample_column_names()?;
        let wanted: Vec<&str> =
            names.iter().map(String::as_str).filter(|name| *name != "sample").collect();
        let path = run.recording.path().join("samples.parquet");
        let groups = Table::read_groups(&path, Some(&wanted))?;
        Ok(Self { path, groups, waiting: Table::new(), used: 0 })
    }

    fn take(&mut self, rows: usize) -> Result<Table> {
        let mut taken = Table::new();
        let mut missing = rows;
        while missing > 0 {
            if self.used == self.waiting.rows() {
                let Some(group) = self.groups.next() else {
                    let found = "shorter than the activity";
                    return Err(Error::file(&self.path, "rows", found, "one row a sample"));
                };
                (self.waiting, self.used) = (group?, 0);
            }
            let count = missing.min(self.waiting.rows() - self.used);
            let places: Vec<usize> = (self.used..self.used + count).collect();
            taken.append(self.waiting.take(&places))?;
            self.used += count;
            missing -= count;
        }
        Ok(taken)
    }
}

/// A file that gets its name when all is written, and vanishes otherwise.
struct Aside {
    path: PathBuf,
    unnamed: PathBuf,
    file: Option<BufWriter<File>>,
}

impl Aside {
    fn create(path: &Path) -> Result<Self> {
        let unnamed = store::aside(path);
        let file = BufWriter::with_capacity(1 << 20, store::create_file(&unnamed)?);
        Ok(Self { path: path.to_owned(), unnamed, file: Some(file) })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.file {
            Some(file) => file.write_all(bytes).at(&self.path, "write"),
            None => Ok(()),
        }
    }

    fn finish(mut self) -> Result<()> {
        if let Some(mut file) = self.file.take() {
            let outcome = file.flush().and_then(|()| file.get_ref().sync_all());
            let outcome = outcome.and_then(|()| std::fs::rename(&self.unnamed, &self.path));
            outcome.at(&self.path, "write").inspect_err(|_| self.remove())?;
        }
        Ok(())
    }

    fn remove(&self) {
        std::fs::remove_file(&self.unnamed).ok();
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            self.remove();
        }
    }
}

/// # Errors
/// A column that a cell cannot hold.
fn cells(path: &Path, name: &str, column: &Column) -> Result<Vec<String>> {
    Ok(match column {
        Column::U32(values) => values.iter().map(ToString::to_string).collect(),
        Column::U64(values) => values.iter().map(ToString::to_string).collect(),
        Column::F32(values) => values.iter().map(|&value| csv::number(value)).collect(),
        Column::F64(values) => values
            .iter()
            .map(|value| if value.is_nan() { String::new() } else { value.to_string() })
            .collect(),
        Column::Bool(values) => values.iter().map(ToString::to_string).collect(),
        Column::Text(values) => values.clone(),
        other => {
            return Err(Error::file(path, name, other.kind(), "one value a sample")
                .with_help("export to .parquet, which holds lists"));
        }
    })
}
