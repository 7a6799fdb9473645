//! Tensors in files: safetensors, PyTorch's zip archives, NumPy's arrays and archives, mapped and read in
//! part.
//!
//! All give the same thing: names, types, shapes, and numbers at some stride in the file. Nothing in
//! a file is executed.

mod element;
pub mod npy;
mod pickle;
mod plain;
mod safetensors;
#[cfg(test)]
mod tests;
mod torch;
mod write;

use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use nissl_kernels::Mapped;

pub use element::Element;
pub use write::{Item, write_arrays, write_torch};

use crate::archive::directory;
use crate::error::{Error, IoContext, Result};

/// What a zip archive begins with.
const ARCHIVE: &[u8] = b"PK";

/// A tensor of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The type of its numbers.
    pub element: Element,
    /// Its sizes along each axis.
    pub shape: Vec<usize>,
    /// How many numbers lie between neighbours along each axis.
    pub strides: Vec<usize>,
    /// The byte of the file at which its first number begins.
    pub starts: usize,
}

/// A file of named tensors, mapped into memory.
///
/// Memory: the names; numbers are read from the map as they are asked for.
pub struct TensorFile {
    path: PathBuf,
    bytes: Bytes,
    contents: Contents,
}

/// What a file says beside its numbers.
#[derive(Default)]
struct Contents {
    tensors: BTreeMap<String, Stored>,
    values: BTreeMap<String, serde_json::Value>,
    skipped: Vec<String>,
}

/// What becomes of a pickle that names classes of other programs. None is ever loaded or run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Classes {
    /// The file is refused.
    #[default]
    Refuse,
    /// Their objects are passed over; the plain values in their attributes are kept.
    Skip,
}

enum Bytes {
    Mapped(Mapped),
    Unpacked(Vec<u8>),
    Static(&'static [u8]),
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(mapped) => mapped,
            Self::Unpacked(bytes) => bytes,
            Self::Static(bytes) => bytes,
        }
    }
}

impl TensorFile {
    /// Opens a file of any of the formats, told apart by its first bytes.
    ///
    /// Of a PyTorch archive that wraps its tensors (`state_dict`, `model_state_dict` or `model`) the
    /// wrapped ones are given; nested names are joined with dots. Of an archive of NumPy with compressed
    /// members all arrays are unpacked into memory; a single array has the name of its file.
    ///
    /// # Errors
    /// A file that cannot be read, is damaged, or whose pickle is a program rather than data.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_with(path, Classes::Refuse)
    }

    /// As [`Self::open`], with a choice of what becomes of pickled classes.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(path: &Path, classes: Classes) -> Result<Self> {
        Self::of(path.to_owned(), Bytes::Mapped(Mapped::open(path).at(path, "open")?), classes)
    }

    /// Reads the file whose bytes are in memory; `name` stands for it in messages.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn in_memory(name: &str, bytes: &'static [u8]) -> Result<Self> {
        Self::of(PathBuf::from(name), Bytes::Static(bytes), Classes::Refuse)
    }

    fn of(path: PathBuf, mut bytes: Bytes, classes: Classes) -> Result<Self> {
        let contents = if bytes.starts_with(ARCHIVE) {
            let members = directory(&path, &*bytes)?;
            if npy::is_archive(&members) {
                let (tensors, unpacked) = npy::arrays(&path, &bytes, &members)?;
                if let Some(unpacked) = unpacked {
                    bytes = Bytes::Unpacked(unpacked);
                }
                Contents { tensors, ..Contents::default() }
            } else {
                torch::tensors(&path, &bytes, &members, classes)?
            }
        } else if bytes.starts_with(npy::MAGIC) {
            let name = path.file_stem().map(|name| name.to_string_lossy().into_owned());
            let array = npy::array(&path, &bytes, 0, bytes.len())?;
            let tensors = BTreeMap::from([(name.unwrap_or_default(), array)]);
            Contents { tensors, ..Contents::default() }
        } else if is_bare_pickle(&bytes) {
            return Err(Error::file(&path, "format", "a bare pickle", "a zip archive of PyTorch")
                .with_help("files of PyTorch before 1.6 are not read; load and save it again with a newer `torch.save`"));
        } else {
            safetensors::tensors(&path, &bytes)?
        };
        Ok(Self { path, bytes, contents })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All bytes of the file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether it is a zip archive; else it is safetensors.
    pub fn is_archive(&self) -> bool {
        self.bytes.starts_with(ARCHIVE)
    }

    /// Its tensors by name, sorted.
    pub fn tensors(&self) -> &BTreeMap<String, Stored> {
        &self.contents.tensors
    }

    /// Texts, numbers and truth values that stand beside the tensors, by the keys that lead to them,
    /// joined with dots: of a safetensors file its metadata.
    pub fn values(&self) -> &BTreeMap<String, serde_json::Value> {
        &self.contents.values
    }

    /// The pickled classes whose objects were passed over ([`Classes::Skip`]), sorted.
    pub fn skipped(&self) -> &[String] {
        &self.contents.skipped
    }

    /// All numbers of a tensor, the last axis fastest, as f32.
    ///
    /// # Errors
    /// No such tensor, or numbers that f32 cannot stand for.
    pub fn f32s(&self, name: &str) -> Result<Vec<f32>> {
        let stored = self.contents.tensors.get(name).ok_or_else(|| {
            let known: Vec<_> = self.contents.tensors.keys().take(5).collect();
            let found = format!("absent among {} ({known:?} …)", self.contents.tensors.len());
            Error::file(&self.path, name, found, "a tensor of this file")
        })?;
        self.all(stored).ok_or_else(|| {
            Error::file(&self.path, name, format!("of type {}", stored.element), "real numbers")
        })
    }

    /// All numbers of a tensor; `None` where its type has none.
    pub fn all(&self, stored: &Stored) -> Option<Vec<f32>> {
        stored.element.size()?;
        let mut out = vec![0.0; stored.shape.iter().product()];
        // From the first axis on which the rest is one run.
        let mut run = 1;
        let mut axes = stored.shape.len();
        while axes > 0 && (stored.strides[axes - 1] == run || stored.shape[axes - 1] == 1) {
            run *= stored.shape[axes - 1];
            axes -= 1;
        }
        if run == 0 || out.is_empty() {
            return Some(out);
        }
        let mut index = vec![0; axes];
        for run in out.chunks_mut(run) {
            let from = index.iter().zip(&stored.strides).map(|(i, stride)| i * stride).sum();
            self.run(stored, from, run);
            for axis in (0..axes).rev() {
                index[axis] += 1;
                if index[axis] < stored.shape[axis] {
                    break;
                }
                index[axis] = 0;
            }
        }
        Some(out)
    }

    /// Fills `out` with neighbouring numbers from the `from`th after the tensor's first, for `stored` of
    /// this file and numbers inside it.
    pub fn run(&self, stored: &Stored, from: usize, out: &mut [f32]) {
        let size = stored.element.size().unwrap_or(0);
        let starts = stored.starts + from * size;
        stored.element.decode(&self.bytes[starts..starts + out.len() * size], out);
    }
}

impl std::fmt::Debug for TensorFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TensorFile")
            .field("path", &self.path)
            .field("tensors", &self.contents.tensors.len())
            .finish_non_exhaustive()
    }
}

/// Whether a file begins as a pickle of protocol 2 to 5, which no safetensors header does: its length
/// would be beyond all bounds, or its text no object.
fn is_bare_pickle(bytes: &[u8]) -> bool {
    bytes.len() > 2
        && bytes[0] == 0x80
        && (2..=5).contains(&bytes[1])
        && bytes.get(8) != Some(&b'{')
}

/// The strides of numbers without gaps, the last axis fastest.
fn dense(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(shape[axis]);
    }
    strides
}
