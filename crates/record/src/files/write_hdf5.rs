//! A tree of named parts as HDF5, plainly or in the manner of MATLAB 7.3.
//!
//! Plainly: maps are groups, lists of texts are arrays of text, and other lists are groups whose
//! members are numbered. Nothing is left out.
//! Memory: the file.

use std::path::Path;

use hdf5_pure::FileBuilder;
use hdf5_pure::mat::{CellWriter, MatBuilder, MatClass, MatError, Options, StructWriter};
use nissl_core::{Error, Result, store};

use super::value::{Numbers, Value};

/// Numbers from which a dataset is compressed in chunks.
const CHUNKED: usize = 4096;

pub(super) fn write_plain(path: &Path, tree: &Value) -> Result<()> {
    let mut file = FileBuilder::new();
    for (name, value) in parts(tree)? {
        match grouped(value) {
            Some(members) => {
                let mut group = file.create_group(name);
                fill(&mut group, &members);
                file.add_group(group.finish());
            }
            None => dataset(value, || file.create_dataset(name)),
        }
    }
    let bytes = file.finish().map_err(|error| told(path, error))?;
    store::write_bytes(path, &bytes)
}

fn parts(tree: &Value) -> Result<&[(String, Value)]> {
    match tree {
        Value::Map(parts) => Ok(parts),
        other => Err(Error::setting("content", other.kind(), "named parts")),
    }
}

/// The members of what becomes a group.
fn grouped(value: &Value) -> Option<Vec<(String, Value)>> {
    match value {
        Value::Map(parts) => Some(parts.clone()),
        Value::List(parts) if !parts.iter().all(|part| matches!(part, Value::Text(_))) => {
            let named = parts.iter().enumerate().map(|(at, part)| (at.to_string(), part.clone()));
            Some(named.collect())
        }
        _ => None,
    }
}

fn fill(group: &mut hdf5_pure::GroupBuilder, members: &[(String, Value)]) {
    for (name, value) in members {
        match grouped(value) {
            Some(inner) => {
                let mut part = group.create_group(name);
                fill(&mut part, &inner);
                group.add_group(part.finish());
            }
            None => dataset(value, || group.create_dataset(name)),
        }
    }
}

fn dataset<'a>(value: &Value, create: impl FnOnce() -> &'a mut hdf5_pure::DatasetBuilder) {
    match value {
        Value::Numbers(numbers) => {
            let shape: Vec<u64> = numbers.shape.iter().map(|&n| n as u64).collect();
            let dataset = create().with_f64_data(&numbers.values).with_shape(&shape);
            if numbers.values.len() > CHUNKED && shape.len() == 2 {
                let rows = (CHUNKED as u64 / shape[1].max(1)).clamp(1, shape[0]);
                dataset.with_chunks(&[rows, shape[1]]).with_shuffle().with_deflate(4);
            }
        }
        Value::Text(text) => {
            create().with_vlen_strings(&[text.as_str()]).with_shape(&[]);
        }
        Value::List(parts) => {
            let texts: Vec<&str> = parts.iter().filter_map(Value::text).collect();
            create().with_vlen_strings(&texts).with_shape(&[texts.len() as u64]);
        }
        Value::Map(_) | Value::Nothing => {}
    }
}

pub(super) fn write_matlab(path: &Path, tree: &Value) -> Result<()> {
    let mut file = MatBuilder::new(Options::default());
    for (name, value) in parts(tree)? {
        variable(&mut file, name, value).map_err(|error| told(path, error))?;
    }
    let bytes = file.finish().map_err(|error| told(path, error))?;
    store::write_bytes(path, &bytes)
}

fn variable(file: &mut MatBuilder, name: &str, value: &Value) -> std::result::Result<(), MatError> {
    match value {
        Value::Nothing => file.write_empty(name, MatClass::Double, &[0, 0])?,
        Value::Numbers(numbers) if numbers.values.is_empty() => {
            file.write_empty(name, MatClass::Double, &[0, 0])?
        }
        Value::Numbers(numbers) => {
            let (shape, values) = column_major(numbers);
            file.write_f64(name, &shape, &values)?
        }
        Value::Text(text) => file.write_char(name, text)?,
        Value::List(parts) => file.cell(name, &[parts.len(), 1], |cells| cell(cells, parts))?,
        Value::Map(parts) => file.struct_(name, |inner| structure(inner, parts))?,
    };
    Ok(())
}

fn structure(
    inner: &mut StructWriter<'_>,
    parts: &[(String, Value)],
) -> std::result::Result<(), MatError> {
    parts.iter().try_for_each(|(name, value)| variable(inner.builder(), name, value))
}

fn cell(cells: &mut CellWriter<'_>, parts: &[Value]) -> std::result::Result<(), MatError> {
    for part in parts {
        match part {
            Value::Nothing => cells.push_empty(MatClass::Double, &[0, 0])?,
            Value::Numbers(numbers) if numbers.values.is_empty() => {
                cells.push_empty(MatClass::Double, &[0, 0])?
            }
            Value::Numbers(numbers) => {
                let (shape, values) = column_major(numbers);
                cells.push_f64(&shape, &values)?
            }
            Value::Text(text) => cells.push_char(text)?,
            Value::List(inner) => cells.push_cell(&[inner.len(), 1], |c| cell(c, inner))?,
            Value::Map(inner) => cells.push_struct(|s| structure(s, inner))?,
        };
    }
    Ok(())
}

/// The shape as MATLAB has it, at least two axes, and the numbers first axis fastest.
fn column_major(numbers: &Numbers) -> (Vec<usize>, Vec<f64>) {
    let shape = match numbers.shape[..] {
        [] => vec![1, 1],
        [rows] => vec![rows, 1],
        _ => numbers.shape.clone(),
    };
    let reversed: Vec<usize> = numbers.shape.iter().rev().copied().collect();
    let turned = Numbers::column_major(reversed, numbers.values.clone());
    (shape, turned.map_or_else(|| numbers.values.clone(), |turned| turned.values))
}

fn told(path: &Path, error: impl std::fmt::Display) -> Error {
    Error::file(path, "content", error, "parts that HDF5 can hold")
}
