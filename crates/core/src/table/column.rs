//! A column of a table, and what other tools' columns become.

use std::sync::Arc;

use arrow_array::builder::{Float32Builder, ListBuilder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, Int32Type, Int64Type, UInt32Type, UInt64Type};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Float32Array, Float64Array, StringArray, UInt32Array,
    UInt64Array,
};
use arrow_schema::DataType;

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

    pub(super) fn append(&mut self, other: Self) -> Result<(), (&'static str, &'static str)> {
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

    pub(super) fn to_arrow(&self) -> ArrayRef {
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
    pub(super) fn from_arrow(array: &dyn Array) -> Option<Self> {
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
                    .map(|row| {
                        row.map_or(Some(Self::F32(Vec::new())), |row| Self::from_arrow(&row))
                    })
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
