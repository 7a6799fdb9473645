//! The weights of a checkpoint (safetensors or PyTorch's zip files), tensor by tensor.
//!
//! Every key is taken by the network that is built, or named by it as ignored; all that is missing,
//! unknown or of another shape is reported at once. Numbers in f16, bf16 and f64 become f32.
//!
//! Memory: files are mapped; each tensor is held once, as f32.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use nissl_core::{Error, Result};

use super::ops::{LayerNorm, Linear};
use crate::files::Files;
use nissl_core::files::Element;

/// The tensors of a checkpoint, taken one after the other.
pub(crate) struct Checkpoint {
    files: Files,
    taken: BTreeSet<String>,
    problems: Vec<String>,
    device: Device,
}

impl Checkpoint {
    /// Opens the checkpoint at `path`: a folder, or a file.
    pub(crate) fn open(path: &Path, device: &Device) -> Result<Self> {
        Ok(Self::of(Files::open(path)?, device))
    }

    /// The checkpoint whose file is `bytes`; `name` stands for it in messages.
    pub(crate) fn in_memory(name: &str, bytes: &'static [u8], device: &Device) -> Result<Self> {
        Ok(Self::of(Files::in_memory(name, bytes)?, device))
    }

    fn of(files: Files, device: &Device) -> Self {
        let (taken, problems, device) = (BTreeSet::new(), Vec::new(), device.clone());
        Self { files, taken, problems, device }
    }

    /// Takes `prefix` off every key that has it: files made from a bare network lack it.
    #[must_use]
    pub(crate) fn without_prefix(mut self, prefix: &str) -> Self {
        self.files = self.files.without_prefix(prefix);
        self
    }

    /// Gives keys that end with `old` the ending `new`: older files of a family spell some otherwise.
    #[must_use]
    pub(crate) fn respelt(mut self, old: &str, new: &str) -> Self {
        self.files = self.files.respelt(|key| match key.strip_suffix(old) {
            Some(start) => format!("{start}{new}"),
            None => key,
        });
        self
    }

    /// The shape of a tensor, where it is there.
    pub(crate) fn shape(&self, key: &str) -> Option<&[usize]> {
        self.files.get(key).map(|(_, stored)| stored.shape.as_slice())
    }

    /// The names of all tensors.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.files.places.keys().map(String::as_str)
    }

    /// The files.
    pub(crate) fn files(&self) -> &Files {
        &self.files
    }

    /// The file, or the index of the files.
    pub(crate) fn path(&self) -> &Path {
        &self.files.path
    }

    /// A vector `[size]`.
    pub(crate) fn vector(&mut self, key: &str, size: usize) -> Tensor<1> {
        self.take(key, [size])
    }

    /// A matrix as it is stored.
    pub(crate) fn matrix(&mut self, key: &str, shape: [usize; 2]) -> Tensor<2> {
        self.take(key, shape)
    }

    /// A map stored `[output, input]`, with its bias, at `name.weight` and `name.bias`.
    pub(crate) fn linear(&mut self, name: &str, [input, output]: [usize; 2], bias: Bias) -> Linear {
        let weight = self.matrix(&format!("{name}.weight"), [output, input]).transpose();
        self.with_bias(name, weight, output, bias)
    }

    /// A map stored `[input, output]`, as GPT-2's are.
    pub(crate) fn linear_as_stored(&mut self, name: &str, [input, output]: [usize; 2]) -> Linear {
        let weight = self.matrix(&format!("{name}.weight"), [input, output]);
        self.with_bias(name, weight, output, Bias::Present)
    }

    fn with_bias(&mut self, name: &str, weight: Tensor<2>, output: usize, bias: Bias) -> Linear {
        let bias = match bias {
            Bias::Absent => None,
            Bias::Present => Some(self.vector(&format!("{name}.bias"), output)),
        };
        Linear { weight, bias }
    }

    /// Gain and bias at `name.weight` and `name.bias`.
    pub(crate) fn layer_norm(&mut self, name: &str, size: usize, epsilon: f64) -> LayerNorm {
        let gain = self.vector(&format!("{name}.weight"), size);
        let bias = self.vector(&format!("{name}.bias"), size);
        LayerNorm { gain, bias, epsilon }
    }

    /// Gain and bias `[size]` of a norm that has neither.
    pub(crate) fn bare_norm(&self, size: usize) -> (Tensor<1>, Tensor<1>) {
        (Tensor::ones([size], &self.device), Tensor::zeros([size], &self.device))
    }

    /// A tensor; where it cannot be had, the problem is kept for [`Self::finish`] and a stand-in given.
    pub(crate) fn take<const D: usize>(&mut self, key: &str, shape: [usize; D]) -> Tensor<D> {
        match self.read(key, &shape) {
            Ok(values) => Tensor::from_data(TensorData::new(values, shape), &self.device),
            Err(problem) => {
                self.problems.push(problem);
                Tensor::zeros([1; D], &self.device)
            }
        }
    }

    fn read(&mut self, key: &str, shape: &[usize]) -> std::result::Result<Vec<f32>, String> {
        let Some((file, stored)) = self.files.get(key) else {
            return Err(format!("`{key}` is missing"));
        };
        self.taken.insert(key.to_owned());
        let wrong_type =
            || format!("`{key}` is of type {}, expected F32, F16, BF16 or F64", stored.element);
        if matches!(stored.element, Element::Other(_)) {
            return Err(wrong_type());
        }
        if stored.shape != shape {
            return Err(format!("`{key}` has shape {:?}, expected {shape:?}", stored.shape));
        }
        if !stored.element.is_float() {
            return Err(wrong_type());
        }
        file.all(stored).ok_or_else(wrong_type)
    }

    /// Ends the loading: every key that was not taken must end with one of `ignored`.
    ///
    /// # Errors
    /// All that is missing, unknown, or of another shape or type.
    pub(crate) fn finish(mut self, ignored: &[&str]) -> Result<()> {
        let ignore = |key: &str| ignored.iter().any(|end| key.ends_with(end));
        for key in self.files.places.keys().filter(|key| !self.taken.contains(*key) && !ignore(key))
        {
            self.problems.push(format!("`{key}` is unknown"));
        }
        if self.problems.is_empty() {
            return Ok(());
        }
        let found = in_short(&self.problems);
        Err(Error::file(
            &self.files.path,
            "tensors",
            found,
            "the tensors that config.json describes",
        )
        .with_help("are config.json and the weights of the same network?"))
    }
}

/// The first three problems of each kind, and how many more there are: a whole family of tensors
/// that does not fit has one cause.
fn in_short(problems: &[String]) -> String {
    let mut seen: BTreeMap<Vec<&str>, usize> = BTreeMap::new();
    let shown: Vec<&str> = problems
        .iter()
        .filter(|problem| {
            let after_key = problem.rsplit('`').next().unwrap_or_default();
            let count = seen.entry(after_key.split_whitespace().take(2).collect()).or_default();
            *count += 1;
            *count <= 3
        })
        .map(String::as_str)
        .collect();
    match problems.len() - shown.len() {
        0 => shown.join("; "),
        more => format!("{}; and {more} more", shown.join("; ")),
    }
}

/// Whether a linear map has a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bias {
    /// It has none.
    Absent,
    /// It has one.
    Present,
}

impl From<bool> for Bias {
    fn from(present: bool) -> Self {
        if present { Self::Present } else { Self::Absent }
    }
}
