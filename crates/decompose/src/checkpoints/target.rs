//! Where a checkpoint is written, and the files it is made of.

use std::path::{Path, PathBuf};

use ndarray::{Array1, Array2};
use nissl_core::numbers::{Block, to_bytes};
use nissl_core::store::{Existing, write_bytes};
use nissl_core::{Error, Result};
use serde_json::Value;

/// The output and what may be there.
pub(super) struct Target<'a> {
    pub out: &'a Path,
    pub existing: Existing,
}

impl Target<'_> {
    /// The paths of these files in the output folder.
    ///
    /// # Errors
    /// One that is there and must stay.
    pub(super) fn files<const N: usize>(&self, names: [&str; N]) -> Result<[PathBuf; N]> {
        let paths = names.map(|name| self.out.join(name));
        if self.out.is_file() {
            return Err(Error::setting(
                "out",
                self.out.display(),
                "a folder, or a new name for one",
            ));
        }
        paths.iter().try_for_each(|path| self.free(path))?;
        Ok(paths)
    }

    /// The path of the one file of a checkpoint: the output itself where it has the file's ending, else
    /// `name` in the output folder.
    ///
    /// # Errors
    /// It is there and must stay.
    pub(super) fn file(&self, name: &str) -> Result<PathBuf> {
        let own =
            self.out.extension().is_some() && self.out.extension() == Path::new(name).extension();
        if !own {
            return self.files([name]).map(|[path]| path);
        }
        self.free(self.out)?;
        Ok(self.out.to_owned())
    }

    fn free(&self, path: &Path) -> Result<()> {
        if path.is_dir() || (path.exists() && self.existing != Existing::Overwrite) {
            return Err(Error::Exists { path: path.display().to_string() });
        }
        Ok(())
    }
}

/// Writes tensors as a safetensors file.
pub(super) fn safetensors(path: &Path, tensors: &[(&str, Tensor<'_>)]) -> Result<()> {
    let blocks: Vec<_> = tensors.iter().map(|(name, tensor)| (*name, tensor.block())).collect();
    write_bytes(path, &to_bytes(&blocks)?)
}

/// Writes settings as indented JSON.
pub(super) fn json(path: &Path, value: &Value) -> Result<()> {
    write_bytes(path, format!("{value:#}\n").as_bytes())
}

/// A tensor that is written.
pub(super) enum Tensor<'a> {
    Matrix(&'a Array2<f32>),
    /// A matrix whose columns are written as rows.
    Transposed(&'a Array2<f32>),
    Vector(&'a Array1<f32>),
}

impl Tensor<'_> {
    fn block(&self) -> Block<'_> {
        match self {
            Self::Matrix(matrix) => Block::matrix(matrix.view()),
            Self::Transposed(matrix) => Block::matrix(matrix.t()),
            Self::Vector(vector) => {
                Block::f32s(vector.as_slice().unwrap_or_default(), &[vector.len()])
            }
        }
    }

    /// The numbers, the last axis fastest, and the shape.
    pub(super) fn numbers(&self) -> (Vec<f32>, Vec<usize>) {
        match self {
            Self::Matrix(matrix) => (matrix.iter().copied().collect(), matrix.shape().to_vec()),
            Self::Transposed(matrix) => {
                (matrix.t().iter().copied().collect(), matrix.t().shape().to_vec())
            }
            Self::Vector(vector) => (vector.to_vec(), vec![vector.len()]),
        }
    }
}
