//! What other stages say about features: tables and histograms beside them.

use ndarray::Array2;

use super::{FEATURE_TABLE, Features};
use crate::error::{Error, Result};
use crate::numbers::{Block, NumberFile, to_bytes};
use crate::store::write_bytes;
use crate::table::{Table, TableWriter};

/// A table about features that a later stage makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Annotation {
    /// Samples that activate a feature, with their windows; sorted by feature.
    Examples,
    /// What a feature is, in words.
    Explanations,
    /// How well an explanation or a feature does.
    Scores,
    /// What a feature does to the output.
    Effects,
    /// The nearest features of each.
    Neighbours,
}

impl Annotation {
    /// Its name in messages, and that of its file without the ending.
    pub fn name(self) -> &'static str {
        match self {
            Self::Examples => "examples",
            Self::Explanations => "explanations",
            Self::Scores => "scores",
            Self::Effects => "effects",
            Self::Neighbours => "neighbours",
        }
    }

    fn file(self) -> String {
        format!("{}.parquet", self.name())
    }
}

/// Rows after which a row group of examples ends at the next feature.
const GROUP: usize = 1024;
/// The file of the histograms.
const HISTOGRAMS: &str = "histograms.safetensors";

impl Features {
    /// A table about the features, when a stage has made it.
    ///
    /// # Errors
    /// A table that is damaged or is about features that do not exist.
    pub fn annotation(&self, which: Annotation) -> Result<Option<Table>> {
        let path = self.path().join(which.file());
        if !path.exists() {
            return Ok(None);
        }
        let table = Table::read(&path, None)?;
        self.check(which.name(), &table)?;
        Ok(Some(table))
    }

    /// Writes a table about the features; one that is there is replaced.
    ///
    /// # Errors
    /// No column `feature`, features that do not exist, examples that are not sorted by feature,
    /// or a failed file operation.
    pub fn set_annotation(&self, which: Annotation, table: &Table) -> Result<()> {
        self.check(which.name(), table)?;
        let path = self.path().join(which.file());
        if which != Annotation::Examples {
            return table.write(&path);
        }
        let features = table.u32s("feature")?;
        if !features.is_sorted() {
            return Err(Error::setting("examples.feature", "unsorted", "rows sorted by feature"));
        }
        let mut writer = TableWriter::create(&path);
        let mut begin = 0;
        while begin < features.len() || begin == 0 {
            let mut end = (begin + GROUP).min(features.len());
            while end < features.len() && features[end] == features[end - 1] {
                end += 1;
            }
            writer.push(&table.take(&(begin..end).collect::<Vec<_>>()))?;
            writer.end_group()?;
            if end == begin {
                break;
            }
            begin = end;
        }
        writer.finish()
    }

    /// Adds columns to the table of features, or replaces them: one row for each feature.
    ///
    /// # Errors
    /// Another number of rows, or a failed file operation.
    pub fn set_columns(&mut self, columns: &Table) -> Result<()> {
        if columns.rows() != self.features() {
            return Err(Error::setting(
                "rows",
                columns.rows(),
                format!("{}, one for each feature", self.features()),
            ));
        }
        let table = columns
            .columns()
            .fold(self.table.clone(), |table, (name, column)| table.with(name, column.clone()));
        table.write(&self.path().join(FEATURE_TABLE))?;
        self.table = table;
        Ok(())
    }

    /// Writes how often activations fall between `edges` `[feature, bin + 1]`: `counts`
    /// `[feature, bin]`.
    ///
    /// # Errors
    /// Sizes that do not fit, or a failed file operation.
    pub fn set_histograms(&self, edges: &Array2<f32>, counts: &Array2<u32>) -> Result<()> {
        let (features, bins) = counts.dim();
        if features != self.features() || edges.dim() != (features, bins + 1) {
            return Err(Error::setting(
                "histograms",
                format!("edges {:?} with counts {:?}", edges.shape(), counts.shape()),
                format!("[{0}, bins + 1] with [{0}, bins]", self.features()),
            ));
        }
        let counts: Vec<u32> = counts.iter().copied().collect();
        let bytes = to_bytes(&[
            ("edges", Block::matrix(edges.view())),
            ("counts", Block::u32s(&counts, &[features, bins])),
        ])?;
        write_bytes(&self.path().join(HISTOGRAMS), &bytes)
    }

    /// The histograms, edges `[feature, bin + 1]` and counts `[feature, bin]`, when they are there.
    ///
    /// # Errors
    /// A file that is damaged or does not fit the features.
    pub fn histograms(&self) -> Result<Option<(Array2<f32>, Array2<u32>)>> {
        let path = self.path().join(HISTOGRAMS);
        if !path.exists() {
            return Ok(None);
        }
        let file = NumberFile::open(&path)?;
        let edges = file.matrix("edges")?;
        let shape = (edges.nrows(), edges.ncols().saturating_sub(1));
        if file.shape("counts") != Some(&[shape.0, shape.1]) || shape.0 != self.features() {
            return Err(Error::file(
                &path,
                "counts",
                format!("{:?}", file.shape("counts").unwrap_or_default()),
                format!("[{}, {}]", self.features(), shape.1),
            ));
        }
        let counts = file.u32s("counts", 0, shape.0 * shape.1)?;
        let counts = Array2::from_shape_vec(shape, counts)
            .map_err(|error| Error::file(&path, "counts", error, "a matrix"))?;
        Ok(Some((edges, counts)))
    }

    fn check(&self, name: &str, table: &Table) -> Result<()> {
        let features = table.u32s("feature")?;
        match features.iter().find(|&&feature| feature as usize >= self.features()) {
            None => Ok(()),
            Some(outside) => Err(Error::setting(
                format!("{name}.feature"),
                outside,
                format!("below {}", self.features()),
            )),
        }
    }
}
