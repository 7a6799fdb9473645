//! Columns of a Parquet file: numbers are units, text and booleans tell about samples.
//!
//! Memory: one block of rows, and one page of each column while it is decoded.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, Schema};
use ndarray::Array2;
use nissl_core::{Column, Error, Result, Table};

use super::columns::{Role, counts, role};
use super::dense::too_large;
use super::{Chunk, Import, Matrix, checked_shape, rows_in_block};

pub(super) fn open(path: &Path, settings: &Import) -> Result<Matrix> {
    let file = super::open_file(path)?;
    // What another writer says about its own types in memory is not needed to read numbers.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder = guarded(path, || {
        ParquetRecordBatchReaderBuilder::try_new_with_options(file, options)
            .map_err(|error| broken(path, error))
    })?;
    let schema = Arc::clone(builder.schema());
    let roles = roles(path, &schema, &settings.sample_columns)?;
    let units = roles.iter().filter(|role| **role == Role::Unit).count();
    let rows = builder.metadata().file_metadata().num_rows().max(0) as u64;
    let (_, units) = checked_shape(path, rows, units as u64)?;
    let names = schema
        .fields()
        .iter()
        .zip(&roles)
        .filter(|(_, role)| **role == Role::Unit)
        .map(|(field, _)| field.name().clone())
        .collect();
    let reader = guarded(path, || {
        builder.with_batch_size(rows_in_block(units)).build().map_err(|error| broken(path, error))
    })?;
    let blocks = Blocks { path: path.to_owned(), reader, roles, units, seen: 0, rows, over: false };
    Ok(Matrix { units, names: Some(names), total: (rows, "samples"), chunks: Box::new(blocks) })
}

fn roles(path: &Path, schema: &Schema, more: &[String]) -> Result<Vec<Role>> {
    let of = |field: &Arc<arrow_schema::Field>| {
        let by_name = match field.name().as_str() {
            // The index of a data frame.
            "__index_level_0__" => Role::Free,
            name => role(name, more),
        };
        let kind = field.data_type();
        let number = kind.is_integer() || kind.is_floating();
        let about = matches!(kind, DataType::Boolean | DataType::Utf8 | DataType::LargeUtf8);
        match by_name {
            Role::Dropped => Ok(Role::Dropped),
            Role::Unit if about => Ok(Role::Free),
            Role::Count | Role::Seconds if !number => {
                Err(Error::file(path, field.name().as_str(), kind, "numbers, as its name says"))
            }
            other if number || about => Ok(other),
            _ => Err(Error::file(path, field.name().as_str(), kind, "numbers, text or booleans")
                .with_help("write the file again without that column, or with it as numbers")),
        }
    };
    schema.fields().iter().map(of).collect()
}

struct Blocks {
    path: PathBuf,
    reader: ParquetRecordBatchReader,
    roles: Vec<Role>,
    units: usize,
    seen: u64,
    rows: u64,
    over: bool,
}

impl Iterator for Blocks {
    type Item = Result<Chunk>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let path = self.path.clone();
        let reader = &mut self.reader;
        let batch =
            guarded(&path, || reader.next().transpose().map_err(|error| broken(&path, error)));
        let chunk = batch.and_then(|batch| match batch {
            Some(batch) => self.chunk(&batch).map(Some),
            None if self.seen == self.rows => Ok(None),
            None => {
                let (path, found) = (&self.path, format!("{} rows", self.seen));
                Err(Error::file(path, "content", found, format!("the {} of its header", self.rows)))
            }
        });
        self.over = !matches!(chunk, Ok(Some(_)));
        chunk.transpose()
    }
}

impl Blocks {
    fn chunk(&mut self, batch: &RecordBatch) -> Result<Chunk> {
        let rows = batch.num_rows();
        let mut activity = Array2::zeros((rows, self.units));
        let mut samples = Table::new();
        let mut unit = 0;
        let schema = batch.schema();
        for ((field, array), role) in schema.fields().iter().zip(batch.columns()).zip(&self.roles) {
            let name = field.name().as_str();
            match role {
                Role::Unit => {
                    let values = self.narrow(name, &numbers(array.as_ref()))?;
                    activity.column_mut(unit).iter_mut().zip(values).for_each(|(to, v)| *to = v);
                    unit += 1;
                }
                Role::Dropped => {}
                _ => samples = samples.with(name, self.about(name, array.as_ref(), *role)?),
            }
        }
        self.seen += rows as u64;
        Ok(Chunk { activity, samples, progress: rows as u64 })
    }

    fn about(&self, name: &str, array: &dyn Array, role: Role) -> Result<Column> {
        let place = |at: usize| format!("column `{name}`, row {}", self.seen + at as u64);
        if let Some(texts) = array.as_string_opt::<i32>() {
            return Ok(Column::Text(texts.iter().map(|t| t.unwrap_or_default().into()).collect()));
        }
        if let Some(flags) = array.as_boolean_opt() {
            return match flags.iter().position(|flag| flag.is_none()) {
                Some(at) => Err(Error::file(&self.path, place(at), "missing", "true or false")
                    .with_help("store the column as numbers, where missing values are NaN")),
                None => Ok(Column::Bool(flags.iter().map(|flag| flag == Some(true)).collect())),
            };
        }
        let values = numbers(array);
        Ok(match role {
            Role::Count => counts(&values).map_err(|(at, value)| {
                let expected = "a whole number from 0 to 4,294,967,295";
                Error::file(&self.path, place(at), value, expected)
            })?,
            Role::Seconds => Column::F64(values),
            Role::Text => Column::Text(values.iter().map(ToString::to_string).collect()),
            _ => Column::F32(self.narrow(name, &values)?),
        })
    }

    fn narrow(&self, name: &str, values: &[f64]) -> Result<Vec<f32>> {
        let lost = |value: &f64| value.is_finite() && (*value as f32).is_infinite();
        if let Some(at) = values.iter().position(lost) {
            let place = format!("column `{name}`, row {}", self.seen + at as u64);
            return Err(too_large(&self.path, &place, values[at]));
        }
        Ok(values.iter().map(|&value| value as f32).collect())
    }
}

/// The numbers of a column; missing ones are NaN.
pub(crate) fn numbers(array: &dyn Array) -> Vec<f64> {
    macro_rules! each {
        ($($type:ty: $to:expr;)*) => {
            $(if let Some(values) = array.as_primitive_opt::<$type>() {
                return values.iter().map(|value| value.map_or(f64::NAN, $to)).collect();
            })*
        };
    }
    each! {
        Float32Type: f64::from;
        Float64Type: |value| value;
        Float16Type: f64::from;
        Int8Type: f64::from;
        Int16Type: f64::from;
        Int32Type: f64::from;
        Int64Type: |value| value as f64;
        UInt8Type: f64::from;
        UInt16Type: f64::from;
        UInt32Type: f64::from;
        UInt64Type: |value| value as f64;
    }
    vec![f64::NAN; array.len()]
}

/// Damaged pages can make the decoder panic; that is an error of the file, not of ours.
fn guarded<T>(path: &Path, read: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_panic| Err(broken(path, "damaged so that it cannot be decoded")))
}

fn broken(path: &Path, error: impl ToString) -> Error {
    Error::file(path, "content", error, "a readable Parquet file")
}
