//! Tables about the axes of a noun (units, samples, features, examples), stored as Parquet.
//!
//! Memory: a [`Table`] is in memory; [`TableWriter`] and [`Table::read_groups`] stream row groups.

mod column;
mod writer;

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

pub use column::Column;
pub use writer::TableWriter;

use crate::error::{Error, IoContext, Result};

/// Named columns of equal length.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    columns: Vec<(String, Column)>,
}

impl Table {
    /// A table without columns.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same table with one more column, or with that column replaced.
    ///
    /// # Panics
    /// When the column has another number of rows: that is an error of the calling code.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, column: Column) -> Self {
        let name = name.into();
        assert!(
            self.columns.is_empty() || column.rows() == self.rows(),
            "column {name} has {} rows, the table {}",
            column.rows(),
            self.rows()
        );
        match self.columns.iter_mut().find(|(other, _)| *other == name) {
            Some((_, old)) => *old = column,
            None => self.columns.push((name, column)),
        }
        self
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.columns.first().map_or(0, |(_, column)| column.rows())
    }

    /// The names of the columns, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(name, _)| name.as_str())
    }

    /// The columns with their names.
    pub fn columns(&self) -> impl Iterator<Item = (&str, &Column)> {
        self.columns.iter().map(|(name, column)| (name.as_str(), column))
    }

    /// A column by its name.
    pub fn get(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|(other, _)| other == name).map(|(_, column)| column)
    }

    /// The rows `rows`, in that order.
    ///
    /// # Panics
    /// When a row is outside the table.
    #[must_use]
    pub fn take(&self, rows: &[usize]) -> Self {
        let columns =
            self.columns.iter().map(|(name, column)| (name.clone(), column.take(rows))).collect();
        Self { columns }
    }

    /// Appends the rows of a table with the same columns.
    ///
    /// # Errors
    /// A column that one of them lacks or that has another type.
    pub fn append(&mut self, other: Self) -> Result<()> {
        if self.columns.is_empty() {
            *self = other;
            return Ok(());
        }
        if self.columns.len() != other.columns.len() {
            return Err(Error::setting(
                "columns",
                other.columns.len(),
                format!("{} as before", self.columns.len()),
            ));
        }
        for ((name, column), (other_name, more)) in self.columns.iter_mut().zip(other.columns) {
            if *name != other_name {
                return Err(Error::setting("column", other_name, format!("`{name}` as before")));
            }
            column
                .append(more)
                .map_err(|(found, expected)| Error::setting(name.as_str(), found, expected))?;
        }
        Ok(())
    }

    /// Writes the table aside and renames it to `path`.
    ///
    /// # Errors
    /// A full disk or another failed file operation.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut writer = TableWriter::create(path);
        writer.push(self)?;
        writer.finish()
    }

    /// Reads the columns `only` of a Parquet file, or all of them.
    ///
    /// # Errors
    /// A file that is not Parquet, lacks a column, or has a type that tables do not know.
    pub fn read(path: &Path, only: Option<&[&str]>) -> Result<Self> {
        let mut whole = Self::new();
        for group in Self::read_groups(path, only)? {
            whole.append(group?)?;
        }
        Ok(whole)
    }

    /// Reads the columns `only` a row group at a time.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_groups(path: &Path, only: Option<&[&str]>) -> Result<TableGroups> {
        let file = File::open(path).at(path, "open")?;
        let builder =
            ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| broken(path, &error))?;
        let schema = builder.schema().clone();
        let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        if let Some(only) = only
            && let Some(absent) = only.iter().find(|name| !names.iter().any(|n| n == *name))
        {
            let near = crate::error::nearest(absent, names.iter().map(String::as_str));
            return Err(Error::file(path, "columns", "no such column", format!("`{absent}`"))
                .with_help(format!("the file has {}", near.join(", "))));
        }
        let wanted = |name: &String| only.is_none_or(|only| only.contains(&name.as_str()));
        let roots: Vec<usize> = (0..names.len()).filter(|&i| wanted(&names[i])).collect();
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
        let rows = builder.metadata().file_metadata().num_rows().max(0) as usize;
        let reader = builder
            .with_projection(mask)
            .with_batch_size(ROWS_IN_GROUP)
            .build()
            .map_err(|error| broken(path, &error))?;
        Ok(TableGroups { path: path.to_owned(), reader, rows })
    }

    fn to_batch(&self) -> Result<RecordBatch> {
        RecordBatch::try_from_iter(
            self.columns.iter().map(|(name, column)| (name.as_str(), column.to_arrow())),
        )
        .map_err(|error| Error::setting("columns", error, "columns of equal length"))
    }
}

macro_rules! getters {
    ($($name:ident: $variant:ident -> $type:ty, $kind:literal;)*) => {
        impl Table {
            $(
                #[doc = concat!("The column `name`, which must hold ", $kind, ".")]
                ///
                /// # Errors
                /// No such column, or another type.
                pub fn $name(&self, name: &str) -> Result<&[$type]> {
                    match self.get(name) {
                        Some(Column::$variant(values)) => Ok(values),
                        Some(other) => Err(Error::setting(name, other.kind(), $kind)),
                        None => Err(Error::setting(
                            name,
                            "absent",
                            format!("a column among {}", self.names().collect::<Vec<_>>().join(", ")),
                        )),
                    }
                }
            )*
        }
    };
}

getters! {
    u32s: U32 -> u32, "u32";
    u64s: U64 -> u64, "u64";
    f32s: F32 -> f32, "f32";
    f64s: F64 -> f64, "f64";
    bools: Bool -> bool, "bool";
    texts: Text -> String, "string";
    number_lists: Numbers -> Vec<f32>, "list of f32";
    text_lists: Texts -> Vec<String>, "list of string";
}

/// Rows of a row group, and of a block while reading.
const ROWS_IN_GROUP: usize = 65_536;

/// Row groups of a Parquet file, in order.
pub struct TableGroups {
    path: PathBuf,
    reader: ParquetRecordBatchReader,
    rows: usize,
}

impl TableGroups {
    /// The rows of the whole file.
    pub fn rows(&self) -> usize {
        self.rows
    }
}

impl Iterator for TableGroups {
    type Item = Result<Table>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = match self.reader.next()? {
            Ok(batch) => batch,
            Err(error) => return Some(Err(broken(&self.path, &error))),
        };
        let mut table = Table::new();
        for (field, array) in batch.schema().fields().iter().zip(batch.columns()) {
            let Some(column) = Column::from_arrow(array) else {
                return Some(Err(Error::file(
                    &self.path,
                    field.name().as_str(),
                    field.data_type(),
                    "numbers, booleans, text, or lists of them",
                )));
            };
            table.columns.push((field.name().clone(), column));
        }
        Some(Ok(table))
    }
}

fn broken(path: &Path, error: &impl ToString) -> Error {
    Error::file(path, "content", error.to_string(), "a readable Parquet file")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table {
        Table::new()
            .with("unit", Column::U32(vec![0, 1, 2]))
            .with("sample", Column::U64(vec![7, 8, 1 << 40]))
            .with("density", Column::F32(vec![0.5, f32::NAN, 1.0]))
            .with("time_s", Column::F64(vec![0.1, 0.2, 0.3]))
            .with("dead", Column::Bool(vec![true, false, false]))
            .with("site", Column::Text(vec!["a".into(), "ü".into(), String::new()]))
            .with("activations", Column::Numbers(vec![vec![1.0], vec![], vec![2.0, 3.0]]))
            .with(
                "tokens",
                Column::Texts(vec![vec!["x".into()], vec![], vec!["y".into(), "z".into()]]),
            )
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("t.parquet");
        sample().write(&path).expect("writes");
        let back = Table::read(&path, None).expect("reads");
        assert_eq!(format!("{back:?}"), format!("{:?}", sample()));
        let one = Table::read(&path, Some(&["site"])).expect("reads");
        assert_eq!(one.texts("site").expect("text"), ["a", "ü", ""]);
        assert!(one.u32s("unit").is_err());
        assert!(one.f32s("site").is_err());
        assert_eq!(std::fs::read_dir(folder.path()).expect("lists").count(), 1);
    }

    #[test]
    fn an_absent_column_is_named_with_what_is_near() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("t.parquet");
        sample().write(&path).expect("writes");
        let error = Table::read(&path, Some(&["densty"])).expect_err("misspelt");
        assert!(format!("{error:?}").contains("density"), "{error:?}");
    }

    #[test]
    fn damaged_files_give_errors_not_panics() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("t.parquet");
        sample().write(&path).expect("writes");
        let bytes = std::fs::read(&path).expect("reads");
        for cut in [0, 3, 4, bytes.len() / 2, bytes.len() - 1] {
            let path = folder.path().join("cut.parquet");
            crate::store::write_bytes(&path, &bytes[..cut]).expect("writes");
            assert!(Table::read(&path, None).is_err(), "{cut} bytes");
        }
    }

    #[test]
    fn a_writer_given_up_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut writer = TableWriter::create(&folder.path().join("t.parquet"));
        writer.push(&sample()).expect("writes");
        drop(writer);
        assert_eq!(std::fs::read_dir(folder.path()).expect("lists").count(), 0);
    }
}
