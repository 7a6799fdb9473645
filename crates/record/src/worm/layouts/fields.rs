//! Parts of a layout, each taken by its name or with an error that tells it.

use ndarray::Array2;
use nissl_core::{Error, Result};

use crate::files::{Container, Value};

/// A file, and where in it the layout is looked for.
pub(super) struct Fields<'a> {
    pub(super) file: &'a Container,
    prefix: String,
}

impl<'a> Fields<'a> {
    pub(super) fn new(file: &'a Container, prefix: &str) -> Self {
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Self { file, prefix }
    }

    /// The first of `names` that is there.
    pub(super) fn find(&self, names: &[&str]) -> Result<Option<(String, Value)>> {
        for name in names {
            let path = format!("{}{name}", self.prefix);
            if let Some(value) = self.file.read(&path)? {
                return Ok(Some((path, value)));
            }
        }
        Ok(None)
    }

    /// The first of `names` that is there; none is an error that tells the keys.
    pub(super) fn get(&self, names: &[&str]) -> Result<(String, Value)> {
        let wanted = || names.iter().map(|n| format!("{}{n}", self.prefix)).collect::<Vec<_>>();
        self.find(names)?.ok_or_else(|| self.file.without(&wanted().join("` or `")))
    }

    /// The error of a part that is something else than it should be.
    pub(super) fn wrong(&self, key: &str, found: &Value, expected: &str) -> Error {
        Error::file(self.file.path(), key, found.kind(), expected)
    }

    pub(super) fn matrix(&self, key: &str, value: &Value) -> Result<Array2<f64>> {
        value.matrix().ok_or_else(|| self.wrong(key, value, "a matrix of numbers"))
    }

    pub(super) fn vector(&self, key: &str, value: &Value) -> Result<Vec<f64>> {
        value.vector().ok_or_else(|| self.wrong(key, value, "a row of numbers"))
    }
}

/// The names in a list whose elements may be texts, lists of candidates, empty, or numbers.
pub(super) fn labels(value: &Value) -> Vec<Option<String>> {
    value.list().iter().map(label).collect()
}

/// The first text among the candidates.
fn label(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        Value::List(parts) => parts.iter().find_map(label),
        _ => None,
    }
}

/// `[neuron, time]` from a matrix one of whose axes has `samples` entries; the first is preferred.
///
/// `None` when neither has.
pub(super) fn neurons_first(matrix: Array2<f64>, samples: usize) -> Option<Array2<f64>> {
    let (rows, columns) = matrix.dim();
    if rows == samples {
        Some(matrix.reversed_axes().as_standard_layout().to_owned())
    } else if columns == samples {
        Some(matrix)
    } else {
        None
    }
}
