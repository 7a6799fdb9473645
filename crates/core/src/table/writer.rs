//! Writing Parquet row group by row group.

use std::fs::File;
use std::path::{Path, PathBuf};

use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::{ROWS_IN_GROUP, Table, broken};
use crate::error::{Error, IoContext, Result};

/// Writes a Parquet file row group by row group, aside until [`TableWriter::finish`].
pub struct TableWriter {
    path: PathBuf,
    aside: PathBuf,
    writer: Option<ArrowWriter<File>>,
}

impl TableWriter {
    /// A writer of `path`; the file appears under its name only when all is written.
    pub fn create(path: &Path) -> Self {
        let aside = crate::store::aside(path);
        Self { path: path.to_owned(), aside, writer: None }
    }

    /// Writes the rows of `table` as row groups of at most 65,536 rows.
    ///
    /// # Errors
    /// Other columns than in the first call, or a failed file operation.
    pub fn push(&mut self, table: &Table) -> Result<()> {
        let batch = table.to_batch()?;
        if self.writer.is_none() {
            let file = crate::store::create_file(&self.aside)?;
            let level = ZstdLevel::try_new(1).map_err(|error| broken(&self.path, &error))?;
            let properties = WriterProperties::builder()
                .set_compression(Compression::ZSTD(level))
                .set_max_row_group_row_count(Some(ROWS_IN_GROUP))
                .set_created_by("nissl".to_owned())
                .build();
            let writer = ArrowWriter::try_new(file, batch.schema(), Some(properties))
                .map_err(|error| self.failed(error))?;
            self.writer = Some(writer);
        }
        if let Some(writer) = &mut self.writer {
            let outcome = writer.write(&batch);
            outcome.map_err(|error| self.failed(error))?;
        }
        Ok(())
    }

    /// Ends the current row group, so that readers can skip to what follows.
    ///
    /// # Errors
    /// A failed file operation.
    pub fn end_group(&mut self) -> Result<()> {
        if let Some(writer) = &mut self.writer {
            let outcome = writer.flush();
            outcome.map_err(|error| self.failed(error))?;
        }
        Ok(())
    }

    /// Syncs the file and gives it its name.
    ///
    /// # Errors
    /// Nothing was pushed, or a failed file operation.
    pub fn finish(mut self) -> Result<()> {
        let Some(writer) = self.writer.take() else {
            return Err(Error::Empty {
                what: self.path.display().to_string(),
                expected: "at least one row group".to_owned(),
            });
        };
        let file = writer.into_inner().map_err(|error| self.failed(error))?;
        file.sync_all().at(&self.aside, "sync")?;
        std::fs::rename(&self.aside, &self.path).at(&self.path, "rename")
    }

    fn failed(&self, error: parquet::errors::ParquetError) -> Error {
        if let parquet::errors::ParquetError::External(inner) = error {
            return match inner.downcast::<std::io::Error>() {
                Ok(io) => Error::io(&self.path, "write", *io),
                Err(other) => {
                    Error::file(&self.path, "content", other, "columns as in the first rows")
                }
            };
        }
        Error::file(&self.path, "content", error, "columns as in the first rows")
    }
}

impl Drop for TableWriter {
    fn drop(&mut self) {
        if self.writer.take().is_some() {
            // Given up half-way: the unnamed file is of no use to anybody.
            std::fs::remove_file(&self.aside).ok();
        }
    }
}
