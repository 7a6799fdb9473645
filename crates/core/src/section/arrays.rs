//! Arrays of f64 with a JSON header, in one safetensors file.
//!
//! Memory: the whole file.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use ndarray::{Array1, Array2, ArrayD, Ix1, Ix2, IxDyn};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, IoContext, Result};
use crate::store;

/// The key of the header among the metadata.
const HEADER: &str = "nissl";

/// Named arrays and a header.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Arrays {
    /// The header, as JSON.
    pub header: serde_json::Value,
    /// By name.
    pub arrays: BTreeMap<String, ArrayD<f64>>,
}

impl Arrays {
    /// No arrays yet, with a header.
    ///
    /// # Errors
    /// A header that JSON cannot hold.
    pub fn new(header: &impl Serialize) -> Result<Self> {
        let header = serde_json::to_value(header)
            .map_err(|error| Error::setting("header", error, "what JSON can hold"))?;
        Ok(Self { header, arrays: BTreeMap::new() })
    }

    /// Writes them atomically.
    ///
    /// # Errors
    /// A failed file operation.
    pub fn write(&self, path: &Path) -> Result<()> {
        let bytes: Vec<Vec<u8>> = self
            .arrays
            .values()
            .map(|array| array.iter().flat_map(|value| value.to_le_bytes()).collect())
            .collect();
        let mut views = Vec::with_capacity(bytes.len());
        for ((name, array), bytes) in self.arrays.iter().zip(&bytes) {
            let view = TensorView::new(Dtype::F64, array.shape().to_vec(), bytes)
                .map_err(|error| Error::setting(name, error, "an array that fits its shape"))?;
            views.push((name.as_str(), view));
        }
        let metadata = HashMap::from([(HEADER.to_owned(), self.header.to_string())]);
        let whole = safetensors::serialize(views, Some(metadata))
            .map_err(|error| Error::setting("arrays", error, "arrays that fit their shapes"))?;
        store::write_bytes(path, &whole)
    }

    /// Reads them.
    ///
    /// # Errors
    /// A file that is damaged, not of f64, without our header, or with a number that is not finite.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).at(path, "open")?;
        let damaged = |error: safetensors::SafeTensorError| {
            Error::file(path, "header", error, "a safetensors header that fits the file")
        };
        let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(damaged)?;
        let text = metadata.metadata().as_ref().and_then(|map| map.get(HEADER));
        let Some(text) = text else {
            return Err(Error::file(path, HEADER, "absent", "a header that nissl wrote"));
        };
        let header =
            serde_json::from_str(text).map_err(|error| Error::file(path, HEADER, error, "JSON"))?;
        let mut arrays = BTreeMap::new();
        for (name, view) in SafeTensors::deserialize(&bytes).map_err(damaged)?.tensors() {
            if view.dtype() != Dtype::F64 {
                return Err(Error::file(path, name, format!("{:?}", view.dtype()), "F64"));
            }
            let chunks = view.data().as_chunks::<8>().0;
            let values: Vec<f64> = chunks.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
            if let Some(value) = values.iter().find(|value| !value.is_finite()) {
                return Err(Error::file(path, name, value, "finite numbers"));
            }
            let array = ArrayD::from_shape_vec(IxDyn(view.shape()), values)
                .map_err(|error| Error::file(path, &name, error, "an array"))?;
            arrays.insert(name, array);
        }
        Ok(Self { header, arrays })
    }

    /// The header in its type.
    ///
    /// # Errors
    /// A header of another kind of file.
    pub fn typed<T: DeserializeOwned>(&self, path: &Path) -> Result<T> {
        serde_json::from_value(self.header.clone())
            .map_err(|error| Error::file(path, HEADER, error, "the header of this kind of file"))
    }

    /// Takes a matrix out.
    ///
    /// # Errors
    /// No such array, or one of another number of axes.
    pub fn matrix(&mut self, path: &Path, name: &str) -> Result<Array2<f64>> {
        let array = self.take(path, name)?;
        let found = format!("of shape {:?}", array.shape());
        array
            .into_dimensionality::<Ix2>()
            .map_err(|_axes| Error::file(path, name, found, "a matrix"))
    }

    /// Takes a vector out.
    ///
    /// # Errors
    /// As [`Self::matrix`].
    pub fn vector(&mut self, path: &Path, name: &str) -> Result<Array1<f64>> {
        let array = self.take(path, name)?;
        let found = format!("of shape {:?}", array.shape());
        array
            .into_dimensionality::<Ix1>()
            .map_err(|_axes| Error::file(path, name, found, "a vector"))
    }

    fn take(&mut self, path: &Path, name: &str) -> Result<ArrayD<f64>> {
        self.arrays.remove(name).ok_or_else(|| {
            let known = self.arrays.keys().take(6).cloned().collect::<Vec<_>>().join(", ");
            Error::file(path, "arrays", known, format!("`{name}` among them"))
        })
    }
}
