//! An opened checkpoint: its weights, its configuration, and how both are asked.

use std::path::Path;

use ndarray::{Array1, Array2};
use nissl_core::files::{Classes, TensorFile};
use nissl_core::{Error, Result};
use serde_json::Value;

use super::find::{CONFIGURATIONS, configuration, weights};
use super::weights::Rows;
use super::{DecoderRows, Load, Role, Source};

/// The weights and the configuration of a checkpoint.
pub(super) struct Opened {
    /// The file of the weights.
    pub file: TensorFile,
    /// The configuration, null where there is none.
    pub config: Value,
    /// What the user says.
    pub load: Load,
}

impl Opened {
    pub(super) fn open(path: &Path, load: &Load) -> Result<Self> {
        let weights = if path.is_dir() { weights(path, load)? } else { path.to_owned() };
        let file = TensorFile::open_with(&weights, Classes::Skip)?;
        let folder = weights.parent().unwrap_or(Path::new(""));
        let mut config = Value::Null;
        let above = folder.parent().filter(|_| folder.ends_with("checkpoints"));
        for folder in [Some(folder), above].into_iter().flatten() {
            for name in CONFIGURATIONS {
                let path = folder.join(name);
                if config.is_null() && path.is_file() {
                    config = configuration(&path)?;
                }
            }
        }
        Ok(Self { file, config, load: load.clone() })
    }

    pub(super) fn path(&self) -> &Path {
        self.file.path()
    }

    /// The folder of the weights.
    pub(super) fn folder(&self) -> &Path {
        self.path().parent().unwrap_or(Path::new(""))
    }

    /// The name of the folder, whose own path may be `.`.
    pub(super) fn folder_name(&self) -> Option<String> {
        let folder = self.folder();
        let whole = folder.canonicalize().unwrap_or_else(|_gone| folder.to_owned());
        Some(whole.file_name()?.to_string_lossy().into_owned())
    }

    /// The value of the configuration under the first of `keys` that is there; dots lead into objects.
    pub(super) fn value(&self, keys: &[&str]) -> Option<&Value> {
        let found = keys
            .iter()
            .find_map(|key| key.split('.').try_fold(&self.config, |value, part| value.get(part)));
        found
            .or_else(|| keys.iter().find_map(|key| self.file.values().get(*key)))
            .filter(|value| !value.is_null())
    }

    pub(super) fn text(&self, keys: &[&str]) -> Option<&str> {
        self.value(keys)?.as_str()
    }

    pub(super) fn flag(&self, keys: &[&str]) -> Option<bool> {
        self.value(keys)?.as_bool()
    }

    /// # Errors
    /// A value that is no number.
    pub(super) fn number(&self, keys: &[&str]) -> Result<Option<f64>> {
        let Some(value) = self.value(keys) else { return Ok(None) };
        match value.as_f64().filter(|number| number.is_finite()) {
            Some(number) => Ok(Some(number)),
            None => Err(self.wrong(keys[0], value, "a number")),
        }
    }

    /// # Errors
    /// Neither in the configuration nor a tensor, or no whole number.
    pub(super) fn k(&self, keys: &[&str]) -> Result<usize> {
        let found = match self.value(keys) {
            Some(value) => {
                value.as_u64().ok_or_else(|| self.wrong(keys[0], value, "a whole number"))?
            }
            None if self.has("k") => {
                let k = self.scalar("k")?;
                if k < 0.0 || k.fract() != 0.0 {
                    return Err(self.wrong("k", k, "a whole number"));
                }
                k as u64
            }
            None => {
                return Err(self.wrong(
                    keys[0],
                    "absent",
                    "how many features a sample may activate",
                ));
            }
        };
        Ok(usize::try_from(found).unwrap_or(usize::MAX))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.file.tensors().contains_key(name)
    }

    /// An error about this checkpoint.
    pub(super) fn wrong(&self, field: &str, found: impl ToString, expected: &str) -> Error {
        Error::file(self.path(), field, found, expected)
    }

    pub(super) fn shape(&self, name: &str) -> Result<&[usize]> {
        let Some(stored) = self.file.tensors().get(name) else {
            let names: Vec<_> = self.file.tensors().keys().take(12).cloned().collect();
            let found = format!("absent beside {}", names.join(", "));
            return Err(self.wrong(name, found, "a tensor of this file"));
        };
        Ok(&stored.shape)
    }

    /// # Errors
    /// No such tensor, or a value that is not finite.
    fn numbers(&self, name: &str) -> Result<Vec<f32>> {
        let numbers = self.file.f32s(name)?;
        match numbers.iter().position(|value| !value.is_finite()) {
            None => Ok(numbers),
            Some(at) => {
                let found = format!("{} in place {at}", numbers[at]);
                Err(self.wrong(name, found, "finite numbers"))
            }
        }
    }

    /// The one number of a tensor.
    pub(super) fn scalar(&self, name: &str) -> Result<f32> {
        let shape = self.shape(name)?;
        if shape.iter().product::<usize>() != 1 {
            return Err(self.wrong(name, format!("{shape:?}"), "a single number"));
        }
        Ok(self.numbers(name)?[0])
    }

    /// The length of a tensor of one axis.
    pub(super) fn length(&self, name: &str) -> Result<usize> {
        match self.shape(name)? {
            [length] if *length > 0 => Ok(*length),
            other => Err(self.wrong(name, format!("{other:?}"), "one axis of at least 1")),
        }
    }

    pub(super) fn vector(&self, name: &str, length: usize) -> Result<Array1<f32>> {
        let shape = self.shape(name)?;
        if shape != [length] {
            return Err(self.wrong(name, format!("{shape:?}"), &format!("[{length}]")));
        }
        Ok(Array1::from(self.numbers(name)?))
    }

    /// Numbers of any shape as a matrix of this one.
    pub(super) fn flattened(&self, name: &str, shape: [usize; 2]) -> Result<Array2<f32>> {
        self.matrix_of(name, shape)
    }

    /// A matrix of a linear layer, whose layout is PyTorch's own: `[output, input]`.
    pub(super) fn linear(&self, name: &str) -> Result<Array2<f32>> {
        let shape = self.shape(name)?;
        let &[rows, columns] = shape else {
            return Err(self.wrong(name, format!("{shape:?}"), "two axes"));
        };
        if rows == 0 || columns == 0 {
            return Err(self.wrong(name, format!("{shape:?}"), "at least 1 along each axis"));
        }
        self.matrix_of(name, [rows, columns])
    }

    /// As [`Self::linear`], of this shape.
    pub(super) fn linear_of(&self, name: &str, shape: [usize; 2]) -> Result<Array2<f32>> {
        let found = self.shape(name)?;
        if found != shape {
            return Err(self.wrong(name, format!("{found:?}"), &format!("{shape:?}")));
        }
        self.matrix_of(name, shape)
    }

    fn matrix_of(&self, name: &str, shape: [usize; 2]) -> Result<Array2<f32>> {
        Array2::from_shape_vec(shape, self.numbers(name)?)
            .map_err(|error| self.wrong(name, error, "a matrix"))
    }

    /// The encoder `[feature, unit]` of `features` features; a square one lies as `documented`.
    pub(super) fn encoder(
        &self,
        name: &str,
        features: usize,
        documented: Rows,
    ) -> Result<Array2<f32>> {
        let matrix = self.linear(name)?;
        let rows = match matrix.dim() {
            (rows, columns) if rows == features && columns == features => documented,
            (rows, _) if rows == features => Rows::Features,
            (_, columns) if columns == features => Rows::Units,
            dim => {
                let expected = format!("{features} features along one axis, as the biases have");
                return Err(self.wrong(name, format!("{dim:?}"), &expected));
            }
        };
        Ok(rows.features_first(matrix))
    }

    /// The decoder `[feature, output unit]`, whose orientation the shape tells; of a square one the user.
    pub(super) fn decoder(
        &self,
        name: &str,
        features: usize,
        outputs: usize,
    ) -> Result<Array2<f32>> {
        let shape = self.shape(name)?;
        if features == outputs && shape == [features, features] {
            let rows = match self.load.decoder_rows {
                Some(DecoderRows::Features) => Rows::Features,
                Some(DecoderRows::Units) => Rows::Units,
                None => {
                    let found = format!("{shape:?}, as many features as units");
                    let expected = "a shape that tells features from units";
                    return Err(self.wrong(name, found, expected).with_help(
                        "say what its rows are with --decoder-rows features or --decoder-rows units",
                    ));
                }
            };
            return Ok(rows.features_first(self.linear(name)?));
        }
        let rows = if shape == [features, outputs] {
            Rows::Features
        } else if shape == [outputs, features] {
            Rows::Units
        } else {
            let expected = format!(
                "[{features}, {outputs}] or [{outputs}, {features}], the features and units of the biases"
            );
            return Err(self.wrong(name, format!("{shape:?}"), &expected));
        };
        Ok(rows.features_first(self.linear(name)?))
    }

    /// Tells in the source what was passed over.
    pub(super) fn notes(&self, source: &mut Source) {
        if !self.file.skipped().is_empty() {
            let names = self.file.skipped().join(", ");
            source.notes.push(format!("pickled classes were passed over and not run: {names}"));
        }
    }

    /// Whether the user or the checkpoint says that it is a transcoder.
    pub(super) fn transcodes(&self, told: bool) -> bool {
        self.load.role.map_or(told, |role| role == Role::Transcoder)
    }
}
