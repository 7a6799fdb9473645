//! Safetensors checkpoints: one file, shards with an index, or bytes in memory.
//!
//! Every key is taken by the network that is built, or named by it as ignored; all that is missing,
//! unknown or of another shape is reported at once. Numbers in f16, bf16 and f64 become f32.
//!
//! Memory: files are mapped; each tensor is held once, as f32.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use nissl_core::error::IoContext;
use nissl_core::{Error, Result};
use nissl_kernels::Mapped;
use safetensors::Dtype;
use safetensors::tensor::{Metadata, SafeTensors, TensorInfo};
use serde_json::Value;

use super::ops::{LayerNorm, Linear};

pub(crate) const SINGLE: &str = "model.safetensors";
pub(crate) const INDEX: &str = "model.safetensors.index.json";
/// Formats that run code when they are read.
const PICKLES: [&str; 2] = ["pytorch_model.bin", "pytorch_model.bin.index.json"];

/// The tensors of a checkpoint, taken one after the other.
pub(crate) struct Checkpoint {
    path: PathBuf,
    shards: Vec<Shard>,
    /// Our name of a key (its prefix taken off) to its shard and its name there.
    places: BTreeMap<String, (usize, String)>,
    taken: BTreeSet<String>,
    problems: Vec<String>,
    device: Device,
}

struct Shard {
    path: PathBuf,
    bytes: Bytes,
    header: Metadata,
    data_starts: usize,
}

enum Bytes {
    Mapped(Mapped),
    Static(&'static [u8]),
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(mapped) => mapped,
            Self::Static(bytes) => bytes,
        }
    }
}

impl Checkpoint {
    /// Opens the checkpoint in `folder`.
    pub(crate) fn open(folder: &Path, device: &Device) -> Result<Self> {
        let index = folder.join(INDEX);
        if folder.join(SINGLE).exists() || !index.exists() {
            let path = folder.join(SINGLE);
            if !path.exists()
                && let Some(pickle) = PICKLES.iter().find(|name| folder.join(name).exists())
            {
                return Err(Error::file(folder.join(pickle), "format", "a pickle", SINGLE).with_help(
                    "pickles can run code when they are loaded and are not read; save the network with `safe_serialization=True`",
                ));
            }
            let shard = Shard::read(&path)?;
            return Self::of(path, vec![shard], device);
        }
        let mut shards = Vec::new();
        let promised = read_index(&index)?;
        for file in promised.values().collect::<BTreeSet<_>>() {
            let path = folder.join(file);
            if !path.exists() {
                return Err(Error::file(
                    &index,
                    "weight_map",
                    format!("`{file}`, which is absent"),
                    "files in the same folder",
                )
                .with_help("download the missing shard"));
            }
            shards.push(Shard::read(&path)?);
        }
        let checkpoint = Self::of(index.clone(), shards, device)?;
        let absent: Vec<_> =
            promised.keys().filter(|key| !checkpoint.places.contains_key(*key)).take(5).collect();
        if !absent.is_empty() {
            return Err(Error::file(
                &index,
                "weight_map",
                format!("{absent:?}, in none of the shards"),
                "keys that the shards hold",
            ));
        }
        Ok(checkpoint)
    }

    /// The checkpoint whose file is `bytes`; `name` stands for it in messages.
    pub(crate) fn in_memory(name: &str, bytes: &'static [u8], device: &Device) -> Result<Self> {
        let shard = Shard::parse(PathBuf::from(name), Bytes::Static(bytes))?;
        Self::of(PathBuf::from(name), vec![shard], device)
    }

    fn of(path: PathBuf, shards: Vec<Shard>, device: &Device) -> Result<Self> {
        let mut places = BTreeMap::new();
        for (number, shard) in shards.iter().enumerate() {
            for key in shard.header.offset_keys() {
                if places.insert(key.clone(), (number, key.clone())).is_some() {
                    return Err(Error::file(&shard.path, key, "in two shards", "each key in one"));
                }
            }
        }
        let (taken, problems, device) = (BTreeSet::new(), Vec::new(), device.clone());
        Ok(Self { path, shards, places, taken, problems, device })
    }

    /// Takes `prefix` off every key that has it: files made from a bare network lack it.
    #[must_use]
    pub(crate) fn without_prefix(mut self, prefix: &str) -> Self {
        let bare = |key: String| key.strip_prefix(prefix).map(str::to_owned).unwrap_or(key);
        self.places = self.places.into_iter().map(|(key, place)| (bare(key), place)).collect();
        self
    }

    /// Gives keys that end with `old` the ending `new`: older files of a family spell some otherwise.
    #[must_use]
    pub(crate) fn respelt(mut self, old: &str, new: &str) -> Self {
        let spell = |key: String| match key.strip_suffix(old) {
            Some(start) => format!("{start}{new}"),
            None => key,
        };
        self.places = self.places.into_iter().map(|(key, place)| (spell(key), place)).collect();
        self
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

    /// A tensor; where it cannot be had, the problem is kept for [`Self::finish`] and a stand-in given.
    fn take<const D: usize>(&mut self, key: &str, shape: [usize; D]) -> Tensor<D> {
        match self.read(key, &shape) {
            Ok(values) => Tensor::from_data(TensorData::new(values, shape), &self.device),
            Err(problem) => {
                self.problems.push(problem);
                Tensor::zeros([1; D], &self.device)
            }
        }
    }

    fn read(&mut self, key: &str, shape: &[usize]) -> std::result::Result<Vec<f32>, String> {
        let Some((shard, stored)) = self.places.get(key) else {
            return Err(format!("`{key}` is missing"));
        };
        self.taken.insert(key.to_owned());
        let shard = &self.shards[*shard];
        let info = shard.header.info(stored).ok_or_else(|| format!("`{key}` is missing"))?;
        if info.shape != shape {
            return Err(format!("`{key}` has shape {:?}, expected {shape:?}", info.shape));
        }
        shard.floats(info).ok_or_else(|| {
            format!("`{key}` is of type {:?}, expected F32, F16, BF16 or F64", info.dtype)
        })
    }

    /// Ends the loading: every key that was not taken must end with one of `ignored`.
    ///
    /// # Errors
    /// All that is missing, unknown, or of another shape or type.
    pub(crate) fn finish(mut self, ignored: &[&str]) -> Result<()> {
        let ignore = |key: &str| ignored.iter().any(|end| key.ends_with(end));
        for key in self.places.keys().filter(|key| !self.taken.contains(*key) && !ignore(key)) {
            self.problems.push(format!("`{key}` is unknown"));
        }
        if self.problems.is_empty() {
            return Ok(());
        }
        let found = in_short(&self.problems);
        Err(Error::file(&self.path, "tensors", found, "the tensors that config.json describes")
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

impl Shard {
    fn read(path: &Path) -> Result<Self> {
        let bytes = Mapped::open(path).at(path, "open")?;
        Self::parse(path.to_owned(), Bytes::Mapped(bytes))
    }

    fn parse(path: PathBuf, bytes: Bytes) -> Result<Self> {
        let (size, header) = SafeTensors::read_metadata(&bytes).map_err(|error| {
            let found = format!("{error} in {} bytes", bytes.len());
            Error::file(&path, "header", found, "a safetensors header that fits the file")
                .with_help("the file is truncated or damaged; obtain it again")
        })?;
        let data_starts = size + 8;
        let needed = data_starts + header.data_len();
        if bytes.len() != needed {
            let found = format!("{} bytes", bytes.len());
            return Err(Error::file(&path, "size", found, format!("{needed} bytes by its header"))
                .with_help("the file is truncated or damaged; obtain it again"));
        }
        Ok(Self { path, bytes, header, data_starts })
    }

    fn floats(&self, info: &TensorInfo) -> Option<Vec<f32>> {
        let (from, to) = info.data_offsets;
        let bytes = self.bytes.get(self.data_starts + from..self.data_starts + to)?;
        Some(match info.dtype {
            Dtype::F32 => bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            Dtype::F64 => {
                bytes.as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b) as f32).collect()
            }
            Dtype::F16 => {
                let halves: Vec<f16> =
                    bytes.as_chunks::<2>().0.iter().map(|b| f16::from_le_bytes(*b)).collect();
                halves.to_f32_vec()
            }
            Dtype::BF16 => {
                let halves: Vec<bf16> =
                    bytes.as_chunks::<2>().0.iter().map(|b| bf16::from_le_bytes(*b)).collect();
                halves.to_f32_vec()
            }
            _ => return None,
        })
    }
}

/// Key to file, from an index.
fn read_index(path: &Path) -> Result<BTreeMap<String, String>> {
    let bytes = std::fs::read(path).at(path, "open")?;
    let value: Value = serde_json::from_slice(&bytes)
        .map_err(|error| Error::file(path, "content", error, "JSON"))?;
    let Some(map) = value.get("weight_map").and_then(Value::as_object) else {
        return Err(Error::file(path, "weight_map", "absent", "an object from keys to files"));
    };
    map.iter()
        .map(|(key, file)| match file.as_str() {
            Some(file) if !file.contains(['/', '\\']) && !file.starts_with("..") => {
                Ok((key.clone(), file.to_owned()))
            }
            _ => Err(Error::file(path, "weight_map", file, "names of files in the same folder")),
        })
        .collect()
}
