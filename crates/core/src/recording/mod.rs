//! `Recording`: activity of units over samples, with a table about each axis.
//!
//! From a network or from a brain, the same type. On disk: see `docs/formats.md`.
//! Memory: the unit table and one block; activity and sample table are streamed.

mod csr;
mod stream;
#[cfg(test)]
mod tests;
mod writer;

use std::ops::Range;
use std::path::{Path, PathBuf};

use ndarray::{Array2, s};
use serde::{Deserialize, Serialize};

pub use csr::Csr;
pub use stream::ActivityStream;
pub use writer::{RecordingPlan, RecordingWriter};

use crate::error::{Error, Result};
use crate::numbers::{NumberFile, Precision};
use crate::site::{Site, SiteGlob, select};
use crate::store::{Input, Kind, Manifest};
use crate::table::{Column, Table};

/// How activity lies in the shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Every value.
    #[default]
    Dense,
    /// Compressed sparse rows: only the values that are not zero.
    Csr,
}

/// What a recording was made from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// The network, when activity was computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// The site globs that were recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sites: Vec<String>,
    /// The importer, when activity was measured or computed elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub importer: Option<String>,
    /// The file that was imported, or the texts that were read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
}

/// The part of the manifest that only recordings have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordingDetail {
    /// The number of samples.
    pub samples: u64,
    /// The number of units.
    pub units: usize,
    /// The precision of the stored values.
    pub dtype: Precision,
    /// Dense or sparse.
    pub layout: Layout,
    /// Where the activity comes from.
    pub source: Source,
    /// Whether all samples were written.
    pub complete: bool,
}

/// Activity of units over samples.
#[derive(Clone, Debug)]
pub struct Recording {
    path: PathBuf,
    manifest: Manifest<RecordingDetail>,
    unit_table: Table,
    columns: Range<usize>,
}

/// Consecutive samples of a recording.
#[derive(Clone, Debug, PartialEq)]
pub struct ActivityBlock {
    /// The first sample.
    pub start: usize,
    /// `[sample, unit]`; missing measurements are NaN.
    pub activity: Array2<f32>,
}

impl Recording {
    /// Opens a complete recording.
    ///
    /// # Errors
    /// No recording, one that is incomplete, or tables and shards that do not fit the manifest.
    pub fn open(path: &Path) -> Result<Self> {
        let manifest = Manifest::<RecordingDetail>::read(path, Kind::Recording)?;
        let detail = &manifest.detail;
        if !detail.complete {
            return Err(Error::Incomplete {
                path: path.display().to_string(),
                found: manifest.shards.iter().map(|shard| shard.rows).sum(),
                expected: "all".to_owned(),
            });
        }
        let rows: u64 = manifest.shards.iter().map(|shard| shard.rows).sum();
        if rows != detail.samples {
            return Err(Error::file(
                path.join(crate::store::MANIFEST),
                "samples",
                detail.samples,
                format!("{rows}, the rows of its shards"),
            ));
        }
        let units_file = path.join("units.parquet");
        let unit_table = Table::read(&units_file, None)?;
        unit_table.texts("site")?;
        if unit_table.rows() != detail.units {
            return Err(Error::file(
                units_file,
                "rows",
                unit_table.rows(),
                format!("{}, the units of the manifest", detail.units),
            ));
        }
        let columns = 0..detail.units;
        Ok(Self { path: path.to_owned(), manifest, unit_table, columns })
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its manifest.
    pub fn manifest(&self) -> &Manifest<RecordingDetail> {
        &self.manifest
    }

    /// The number of samples.
    pub fn samples(&self) -> usize {
        self.manifest.detail.samples as usize
    }

    /// The number of units.
    pub fn units(&self) -> usize {
        self.columns.len()
    }

    /// One row for each unit: `unit`, `site`, `index`, and more.
    pub fn unit_table(&self) -> &Table {
        &self.unit_table
    }

    /// The sites its units belong to, in order.
    pub fn sites(&self) -> Vec<Site> {
        let mut sites: Vec<Site> = Vec::new();
        for name in self.unit_table.texts("site").unwrap_or_default() {
            if sites.last().is_none_or(|last| last.name() != name) {
                sites.push(Site::new(name.as_str()));
            }
        }
        sites
    }

    /// The same recording limited to the units of the sites that `glob` selects.
    ///
    /// # Errors
    /// No such site, or sites that do not stand side by side.
    pub fn only(&self, glob: &SiteGlob) -> Result<Self> {
        let sites = self.sites();
        select(&self.path.display().to_string(), &sites, std::slice::from_ref(glob))?;
        let names = self.unit_table.texts("site")?;
        let chosen: Vec<usize> = (0..names.len()).filter(|&u| glob.matches(&names[u])).collect();
        let (first, last) = (chosen[0], chosen[chosen.len() - 1]);
        if last + 1 - first != chosen.len() {
            return Err(Error::setting("site", glob.pattern(), "sites recorded side by side"));
        }
        let columns = self.columns.start + first..self.columns.start + last + 1;
        let unit_table = self.unit_table.take(&chosen);
        let units = (0..chosen.len() as u32).collect();
        let unit_table = unit_table.with("unit", Column::U32(units));
        Ok(Self { unit_table, columns, ..self.clone() })
    }

    /// The path and checksum of this recording, for the provenance of what is made from it.
    ///
    /// # Errors
    /// A manifest that has gone.
    pub fn input(&self) -> Result<Input> {
        Input::of(&self.path)
    }

    /// The names of the columns of the sample table.
    ///
    /// # Errors
    /// A sample table that cannot be read.
    pub fn sample_column_names(&self) -> Result<Vec<String>> {
        let mut groups = Table::read_groups(&self.samples_file(), None)?;
        let first = groups.next().transpose()?;
        Ok(first.map_or_else(Vec::new, |table| table.names().map(str::to_owned).collect()))
    }

    /// Whole columns of the sample table, one row a sample.
    ///
    /// # Errors
    /// No such column, or a table that does not fit the activity.
    pub fn sample_columns(&self, names: &[&str]) -> Result<Table> {
        let table = Table::read(&self.samples_file(), Some(names))?;
        if table.rows() != self.samples() {
            return Err(Error::file(
                self.samples_file(),
                "rows",
                table.rows(),
                format!("{}, the samples of the manifest", self.samples()),
            ));
        }
        Ok(table)
    }

    /// The sequence of each sample.
    ///
    /// # Errors
    /// A sample table without that column.
    pub fn sequences(&self) -> Result<Vec<u32>> {
        Ok(self.sample_columns(&["sequence"])?.u32s("sequence")?.to_vec())
    }

    fn samples_file(&self) -> PathBuf {
        self.path.join("samples.parquet")
    }

    /// All samples in order, at most `rows` at a time.
    pub fn blocks(&self, rows: usize) -> impl Iterator<Item = Result<ActivityBlock>> + '_ {
        let rows = rows.max(1);
        let mut start = 0;
        self.manifest.shards.iter().flat_map(move |shard| {
            let first = start;
            start += shard.rows as usize;
            let size = shard.rows as usize;
            let opened = NumberFile::open(&self.path.join(&shard.file));
            let (file, failure) = match opened {
                Ok(file) => (Some(file), None),
                Err(error) => (None, Some(Err(error))),
            };
            let blocks = file.into_iter().flat_map(move |file| {
                (0..size).step_by(rows).map(move |from| {
                    let activity = self.read_rows(&file, from, (from + rows).min(size))?;
                    Ok(ActivityBlock { start: first + from, activity })
                })
            });
            failure.into_iter().chain(blocks)
        })
    }

    /// The samples `rows`, which must be sorted `[sample, unit]`.
    ///
    /// # Errors
    /// A sample outside the recording, or a shard that cannot be read.
    pub fn rows(&self, rows: &[usize]) -> Result<Array2<f32>> {
        let mut out = Array2::zeros((rows.len(), self.units()));
        if let Some(&outside) = rows.iter().find(|&&row| row >= self.samples()) {
            return Err(Error::setting("sample", outside, format!("below {}", self.samples())));
        }
        if !rows.is_sorted() {
            return Err(Error::setting("samples", "unsorted", "sorted sample numbers"));
        }
        let (mut start, mut done) = (0, 0);
        for shard in &self.manifest.shards {
            let end = start + shard.rows as usize;
            if done < rows.len() && rows[done] < end {
                let file = NumberFile::open(&self.path.join(&shard.file))?;
                while done < rows.len() && rows[done] < end {
                    // One read for each run of samples that stand close together.
                    let first = rows[done];
                    let count = rows[done..]
                        .iter()
                        .take_while(|&&row| row < end && row - first < LONGEST_READ)
                        .count();
                    let last = rows[done + count - 1];
                    let block = self.read_rows(&file, first - start, last + 1 - start)?;
                    for (at, &row) in rows.iter().enumerate().skip(done).take(count) {
                        out.row_mut(at).assign(&block.row(row - first));
                    }
                    done += count;
                }
            }
            start = end;
        }
        Ok(out)
    }

    fn read_rows(&self, file: &NumberFile, from: usize, to: usize) -> Result<Array2<f32>> {
        let units = self.manifest.detail.units;
        let whole = match self.manifest.detail.layout {
            Layout::Dense => {
                let activity = file.rows("activity", from, to)?;
                if activity.ncols() != units {
                    return Err(Error::file(
                        file.path(),
                        "activity",
                        format!("{} units", activity.ncols()),
                        format!("{units} units"),
                    ));
                }
                activity
            }
            Layout::Csr => Csr::read(file, units, from, to)?.to_dense(),
        };
        if self.columns == (0..units) {
            Ok(whole)
        } else {
            Ok(whole.slice(s![.., self.columns.clone()]).to_owned())
        }
    }

    /// # Errors
    /// A shard whose bytes are not those that were written.
    pub fn verify(&self) -> Result<()> {
        self.manifest.verify(&self.path)
    }
}

/// Samples read at once when single ones are gathered.
const LONGEST_READ: usize = 1024;

/// # Errors
/// The first value of `block` that is NaN or infinite.
pub fn require_finite(block: &ActivityBlock) -> Result<()> {
    match block.activity.indexed_iter().find(|(_, value)| !value.is_finite()) {
        None => Ok(()),
        Some(((row, unit), value)) => Err(Error::NotFinite {
            sample: (block.start + row) as u64,
            unit: unit as u64,
            found: *value,
        }),
    }
}
