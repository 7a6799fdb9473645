//! Weights of a checkpoint in f64.
//!
//! What is stored in f64 is rounded to f32, as everywhere in nissl.

use ndarray::{Array2, ArrayD, Axis, IxDyn};
use nissl_core::{Error, Result};

use crate::files::Files;

/// Tensors by their names.
pub(super) struct Weights<'a> {
    pub(super) files: &'a Files,
}

impl Weights<'_> {
    pub(super) fn has(&self, key: &str) -> bool {
        self.files.places.contains_key(key)
    }

    /// The sizes of a tensor.
    pub(super) fn shape(&self, key: &str) -> Result<&[usize]> {
        let found = self.files.get(key).map(|(_, stored)| stored.shape.as_slice());
        found.ok_or_else(|| self.absent(key))
    }

    fn absent(&self, key: &str) -> Error {
        let names: Vec<_> = self.files.places.keys().take(6).map(String::as_str).collect();
        let found = format!("absent among {} …", names.join(", "));
        Error::file(&self.files.path, key, found, "a tensor of this network")
    }

    /// A tensor of any shape.
    fn any(&self, key: &str) -> Result<ArrayD<f64>> {
        let (file, stored) = self.files.get(key).ok_or_else(|| self.absent(key))?;
        let values = stored.element.is_float().then(|| file.all(stored)).flatten();
        let Some(values) = values else {
            let found = format!("of type {}", stored.element);
            return Err(Error::file(&self.files.path, key, found, "F32, F16, BF16 or F64"));
        };
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            return Err(Error::file(&self.files.path, key, value, "finite numbers"));
        }
        let values = values.into_iter().map(f64::from).collect();
        ArrayD::from_shape_vec(IxDyn(&stored.shape), values)
            .map_err(|error| Error::file(&self.files.path, key, error, "an array"))
    }

    /// A tensor of a shape that is known.
    fn shaped(&self, key: &str, shape: &[usize]) -> Result<ArrayD<f64>> {
        let array = self.any(key)?;
        if array.shape() == shape {
            return Ok(array);
        }
        let found = format!("of shape {:?}", array.shape());
        Err(Error::file(&self.files.path, key, found, format!("{shape:?}")))
    }

    pub(super) fn matrix(&self, key: &str, shape: [usize; 2]) -> Result<Array2<f64>> {
        let values = self.shaped(key, &shape)?.into_raw_vec_and_offset().0;
        Array2::from_shape_vec(shape, values)
            .map_err(|error| Error::file(&self.files.path, key, error, "a matrix"))
    }

    pub(super) fn vector(&self, key: &str, size: usize) -> Result<Vec<f64>> {
        Ok(self.shaped(key, &[size])?.into_raw_vec_and_offset().0)
    }

    /// A vector, or zeros where there is none.
    pub(super) fn vector_or_zero(&self, key: &str, size: usize) -> Result<Vec<f64>> {
        if self.has(key) { self.vector(key, size) } else { Ok(vec![0.0; size]) }
    }

    /// A tensor `[head, residual, unit]` as `[residual, head · unit]`.
    pub(super) fn to_heads(&self, key: &str, shape: [usize; 3]) -> Result<Array2<f64>> {
        let [heads, residual, width] = shape;
        let array = self.shaped(key, &shape)?;
        let mut out = Array2::zeros((residual, heads * width));
        for (head, part) in array.axis_iter(Axis(0)).enumerate() {
            for (row, part) in part.axis_iter(Axis(0)).enumerate() {
                for (unit, value) in part.iter().enumerate() {
                    out[[row, head * width + unit]] = *value;
                }
            }
        }
        Ok(out)
    }

    /// A tensor `[head, unit, residual]` as `[head · unit, residual]`.
    pub(super) fn heads_to_residual(&self, key: &str, shape: [usize; 3]) -> Result<Array2<f64>> {
        let [heads, width, residual] = shape;
        let values = self.shaped(key, &shape)?.into_raw_vec_and_offset().0;
        Array2::from_shape_vec([heads * width, residual], values)
            .map_err(|error| Error::file(&self.files.path, key, error, "a matrix"))
    }

    /// A bias `[head, unit]` as one vector, or zeros where there is none.
    pub(super) fn head_bias(&self, key: &str, shape: [usize; 2]) -> Result<Vec<f64>> {
        if !self.has(key) {
            return Ok(vec![0.0; shape[0] * shape[1]]);
        }
        Ok(self.shaped(key, &shape)?.into_raw_vec_and_offset().0)
    }
}
