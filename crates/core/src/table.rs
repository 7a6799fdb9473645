//! Tables about the axes of a noun (units, samples, features, examples), stored as Parquet.
//!
//! Memory: a [`Table`] is in memory; [`TableWriter`] and [`Table::read_groups`] stream row groups.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::builder::{Float32Builder, ListBuilder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, Int32Type, Int64Type, UInt32Type, UInt64Type};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Float32Array, Float64Array, RecordBatch, StringArray,
    UInt32Array, UInt64Array,
};
use arrow_schema::DataType;
use parquet::arrow::ArrowWriter;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::error::{Error, IoContext, Result};

/// A column of a table.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Column {
    /// Whole numbers below 2³².
    U32(Vec<u32>),
    /// Whole numbers.
    U64(Vec<u64>),
    /// Numbers; missing is NaN.
    F32(Vec<f32>),
    /// Numbers; missing is NaN.
    F64(Vec<f64>),
    /// Yes or no.
    Bool(Vec<bool>),
    /// Text; missing is empty.
    Text(Vec<String>),
    /// A list of numbers in each row.
    Numbers(Vec<Vec<f32>>),
    /// A list of texts in each row.
    Texts(Vec<Vec<String>>),
}

impl Column {
    /// The number of rows.
    pub fn rows(&self) -> usize {
        match self {
            Self::U32(v) => v.len(),
            Self::U64(v) => v.len(),
            Self::F32(v) => v.len(),
            Self::F64(v) => v.len(),
            Self::Bool(v) => v.len(),
            Self::Text(v) => v.len(),
            Self::Numbers(v) => v.len(),
            Self::Texts(v) => v.len(),
        }
    }

    /// What it holds, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::U32(_) => "u32",
            Self::U64(_) => "u64",
            Self::F32(_) => "f32",
            Self::F64(_) => "f64",
            Self::Bool(_) => "bool",
            Self::Text(_) => "string",
            Self::Numbers(_) => "list of f32",
            Self::Texts(_) => "list of string",
        }
    }

    fn append(&mut self, other: Self) -> Result<(), (&'static str, &'static str)> {
        let kinds = (other.kind(), self.kind());
        match (self, other) {
            (Self::U32(a), Self::U32(b)) => a.extend(b),
            (Self::U64(a), Self::U64(b)) => a.extend(b),
            (Self::F32(a), Self::F32(b)) => a.extend(b),
            (Self::F64(a), Self::F64(b)) => a.extend(b),
            (Self::Bool(a), Self::Bool(b)) => a.extend(b),
            (Self::Text(a), Self::Text(b)) => a.extend(b),
            (Self::Numbers(a), Self::Numbers(b)) => a.extend(b),
            (Self::Texts(a), Self::Texts(b)) => a.extend(b),
            _ => return Err(kinds),
        }
        Ok(())
    }

    /// The rows `rows`, in that order.
    ///
    /// # Panics
    /// When a row is outside the table.
    #[must_use]
    pub fn take(&self, rows: &[usize]) -> Self {
        fn pick<T: Clone>(values: &[T], rows: &[usize]) -> Vec<T> {
            rows.iter().map(|&row| values[row].clone()).collect()
        }
        match self {
            Self::U32(v) => Self::U32(pick(v, rows)),
            Self::U64(v) => Self::U64(pick(v, rows)),
            Self::F32(v) => Self::F32(pick(v, rows)),
            Self::F64(v) => Self::F64(pick(v, rows)),
            Self::Bool(v) => Self::Bool(pick(v, rows)),
            Self::Text(v) => Self::Text(pick(v, rows)),
            Self::Numbers(v) => Self::Numbers(pick(v, rows)),
            Self::Texts(v) => Self::Texts(pick(v, rows)),
        }
    }

    fn to_arrow(&self) -> ArrayRef {
        match self {
            Self::U32(v) => Arc::new(UInt32Array::from(v.clone())),
            Self::U64(v) => Arc::new(UInt64Array::from(v.clone())),
            Self::F32(v) => Arc::new(Float32Array::from(v.clone())),
            Self::F64(v) => Arc::new(Float64Array::from(v.clone())),
            Self::Bool(v) => Arc::new(BooleanArray::from(v.clone())),
            Self::Text(v) => Arc::new(StringArray::from_iter_values(v)),
            Self::Numbers(v) => {
                let mut list = ListBuilder::new(Float32Builder::new());
                for row in v {
                    list.values().append_slice(row);
                    list.append(true);
                }
                Arc::new(list.finish())
            }
            Self::Texts(v) => {
                let mut list = ListBuilder::new(StringBuilder::new());
                for row in v {
                    for text in row {
                        list.values().append_value(text);
                    }
                    list.append(true);
                }
                Arc::new(list.finish())
            }
        }
    }

    /// Columns of other tools' types come in as the nearest of ours.
    fn from_arrow(array: &dyn Array) -> Option<Self> {
        macro_rules! numbers {
            ($type:ty, $variant:ident, $missing:expr, $as:ty) => {
                Self::$variant(
                    array
                        .as_primitive_opt::<$type>()?
                        .iter()
                        .map(|value| value.map_or($missing, |value| value as $as))
                        .collect(),
                )
            };
        }
        Some(match array.data_type() {
            DataType::UInt32 => numbers!(UInt32Type, U32, 0, u32),
            DataType::UInt64 => numbers!(UInt64Type, U64, 0, u64),
            DataType::Int32 => numbers!(Int32Type, F64, f64::NAN, f64),
            DataType::Int64 => numbers!(Int64Type, F64, f64::NAN, f64),
            DataType::Float32 => numbers!(Float32Type, F32, f32::NAN, f32),
            DataType::Float64 => numbers!(Float64Type, F64, f64::NAN, f64),
            DataType::Boolean => Self::Bool(
                array.as_boolean_opt()?.iter().map(|value| value.unwrap_or(false)).collect(),
            ),
            DataType::Utf8 => Self::Text(texts(array.as_string_opt::<i32>()?.iter())),
            DataType::LargeUtf8 => Self::Text(texts(array.as_string_opt::<i64>()?.iter())),
            DataType::Utf8View => Self::Text(texts(array.as_string_view_opt()?.iter())),
            DataType::List(_) => {
                let lists: Vec<Self> = array
                    .as_list_opt::<i32>()?
                    .iter()
                    .map(|row| row.map_or(Some(Self::F32(Vec::new())), |row| Self::from_arrow(&row)))
                    .collect::<Option<_>>()?;
                if lists.iter().any(|list| matches!(list, Self::Text(_))) {
                    let row = |list| if let Self::Text(row) = list { row } else { Vec::new() };
                    Self::Texts(lists.into_iter().map(row).collect())
                } else {
                    let row = |list| match list {
                        Self::F32(row) => row,
                        Self::F64(row) => row.into_iter().map(|value| value as f32).collect(),
                        _ => Vec::new(),
                    };
                    Self::Numbers(lists.into_iter().map(row).collect())
                }
            }
            _ => return None,
        })
    }
}

fn texts<'a>(values: impl Iterator<Item = Option<&'a str>>) -> Vec<String> {
    values.map(|text| text.unwrap_or_default().to_owned()).collect()
}

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
        let builder = ParquetRecordBatchReaderBuilder::try_new(file)
            .map_err(|error| broken(path, &error))?;
        let schema = builder.schema().clone();
        let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        if let Some(only) = only {
            if let Some(absent) = only.iter().find(|name| !names.iter().any(|n| n == *name)) {
                let near = crate::error::nearest(absent, names.iter().map(String::as_str));
                return Err(Error::file(path, "columns", "no such column", format!("`{absent}`"))
                    .with_help(format!("the file has {}", near.join(", "))));
            }
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
                Err(other) => Error::file(&self.path, "content", other, "columns as in the first rows"),
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
            .with("tokens", Column::Texts(vec![vec!["x".into()], vec![], vec!["y".into(), "z".into()]]))
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
