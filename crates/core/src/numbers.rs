//! Arrays in safetensors files: written whole, read whole or by rows.

use std::borrow::Cow;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use ndarray::{Array1, Array2, ArrayView2};
use safetensors::tensor::{Metadata, TensorInfo};
use safetensors::{Dtype, View};
use serde::{Deserialize, Serialize};

use crate::error::{Error, IoContext, Result};

/// How activity is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of an f32.
    Bf16,
}

impl Precision {
    fn dtype(self) -> Dtype {
        match self {
            Self::F32 => Dtype::F32,
            Self::F16 => Dtype::F16,
            Self::Bf16 => Dtype::BF16,
        }
    }

    /// `values` in this precision, as little-endian bytes.
    pub fn encode(self, values: &[f32]) -> Vec<u8> {
        match self {
            Self::F32 => bytemuck::cast_slice(values).to_vec(),
            Self::F16 => {
                let mut out = vec![f16::ZERO; values.len()];
                out.convert_from_f32_slice(values);
                bytemuck::cast_slice(&out).to_vec()
            }
            Self::Bf16 => {
                let mut out = vec![bf16::ZERO; values.len()];
                out.convert_from_f32_slice(values);
                bytemuck::cast_slice(&out).to_vec()
            }
        }
    }
}

/// An array to be written.
pub struct Block<'a> {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Cow<'a, [u8]>,
}

impl View for &Block<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

impl<'a> Block<'a> {
    /// Numbers of any shape, kept as f32.
    pub fn f32s(values: &'a [f32], shape: &[usize]) -> Self {
        let bytes = Cow::Borrowed(bytemuck::cast_slice(values));
        Self { dtype: Dtype::F32, shape: shape.to_vec(), bytes }
    }

    /// Numbers of any shape, rounded to `precision`.
    pub fn rounded(values: &[f32], shape: &[usize], precision: Precision) -> Self {
        let bytes = Cow::Owned(precision.encode(values));
        Self { dtype: precision.dtype(), shape: shape.to_vec(), bytes }
    }

    /// A matrix, kept as f32.
    pub fn matrix(values: ArrayView2<'_, f32>) -> Self {
        let flat: Vec<f32> = values.iter().copied().collect();
        let bytes = Cow::Owned(bytemuck::cast_slice(&flat).to_vec());
        Self { dtype: Dtype::F32, shape: values.shape().to_vec(), bytes }
    }

    /// Indices.
    pub fn u32s(values: &'a [u32], shape: &[usize]) -> Self {
        let bytes = Cow::Borrowed(bytemuck::cast_slice(values));
        Self { dtype: Dtype::U32, shape: shape.to_vec(), bytes }
    }

    /// Offsets.
    pub fn i64s(values: &'a [i64]) -> Self {
        let bytes = Cow::Borrowed(bytemuck::cast_slice(values));
        Self { dtype: Dtype::I64, shape: vec![values.len()], bytes }
    }
}

/// The bytes of a safetensors file that holds `blocks`.
///
/// # Errors
/// Blocks whose size does not fit their shape.
pub fn to_bytes(blocks: &[(&str, Block<'_>)]) -> Result<Vec<u8>> {
    safetensors::serialize(blocks.iter().map(|(name, block)| (*name, block)), None)
        .map_err(|error| Error::setting("tensors", error, "blocks that fit their shapes"))
}

/// An open safetensors file, of which only the header is in memory.
pub struct NumberFile {
    path: PathBuf,
    file: File,
    header: Metadata,
    data_starts: u64,
}

/// No header is longer than this, by the format.
const LONGEST_HEADER: u64 = 100_000_000;

impl NumberFile {
    /// Opens `path` and checks its header against its length.
    ///
    /// # Errors
    /// A file that is no safetensors file, or is truncated.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).at(path, "open")?;
        let length = file.metadata().at(path, "look at")?.len();
        let bad = |found: String| {
            Error::file(path, "header", found, "a safetensors header that fits the file")
        };
        let mut size = [0; 8];
        if length < 8 {
            return Err(bad(format!("{length} bytes in all")));
        }
        file.read_exact_at(&mut size, 0).at(path, "read")?;
        let header_size = u64::from_le_bytes(size);
        if header_size > LONGEST_HEADER || header_size + 8 > length {
            return Err(bad(format!("{header_size} bytes long in a file of {length}")));
        }
        let mut header = vec![0; header_size as usize];
        file.read_exact_at(&mut header, 8).at(path, "read")?;
        let header: Metadata =
            serde_json::from_slice(&header).map_err(|error| bad(error.to_string()))?;
        let end = header.tensors().values().map(|info| info.data_offsets.1).max().unwrap_or(0);
        let data_starts = 8 + header_size;
        if data_starts + end as u64 > length {
            return Err(bad(format!(
                "of {end} bytes of numbers in a file of {length} (truncated?)"
            )));
        }
        Ok(Self { path: path.to_owned(), file, header, data_starts })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names of its arrays, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.header.tensors().into_keys().collect();
        names.sort();
        names
    }

    /// The shape of an array, when it is there.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.header.info(name).map(|info| info.shape.as_slice())
    }

    /// The type of an array and the byte of the file at which it begins, when it is there.
    pub fn place(&self, name: &str) -> Option<(Dtype, u64)> {
        let info = self.header.info(name)?;
        Some((info.dtype, self.data_starts + info.data_offsets.0 as u64))
    }

    fn info(&self, name: &str) -> Result<&TensorInfo> {
        self.header.info(name).ok_or_else(|| {
            Error::file(
                &self.path,
                "tensors",
                self.names().join(", "),
                format!("`{name}` among them"),
            )
        })
    }

    fn bytes(&self, info: &TensorInfo, skip: usize, size: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; size];
        let at = self.data_starts + (info.data_offsets.0 + skip) as u64;
        self.file.read_exact_at(&mut bytes, at).at(&self.path, "read")?;
        Ok(bytes)
    }

    /// The elements `from..to` of an array, counted over its flattened form, as f32.
    ///
    /// # Errors
    /// No such array, one of whole numbers, or a range outside it.
    pub fn f32s(&self, name: &str, from: usize, to: usize) -> Result<Vec<f32>> {
        let info = self.info(name)?;
        let size = match info.dtype {
            Dtype::F64 => 8,
            Dtype::F32 => 4,
            Dtype::F16 | Dtype::BF16 => 2,
            other => {
                return Err(Error::file(
                    &self.path,
                    name,
                    format!("{other:?}"),
                    "F32, F16, BF16 or F64",
                ));
            }
        };
        self.check_range(info, name, from, to)?;
        let bytes = self.bytes(info, from * size, (to - from) * size)?;
        Ok(match info.dtype {
            Dtype::F64 => bytes
                .chunks_exact(8)
                .map(|b| {
                    f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f32
                })
                .collect(),
            Dtype::F32 => bytemuck::pod_collect_to_vec(&bytes),
            Dtype::F16 => {
                let halves: Vec<f16> = bytemuck::pod_collect_to_vec(&bytes);
                halves.to_f32_vec()
            }
            _ => {
                let halves: Vec<bf16> = bytemuck::pod_collect_to_vec(&bytes);
                halves.to_f32_vec()
            }
        })
    }

    /// The elements `from..to` of an array of u32.
    ///
    /// # Errors
    /// No such array, another type, or a range outside it.
    pub fn u32s(&self, name: &str, from: usize, to: usize) -> Result<Vec<u32>> {
        let info = self.typed(name, Dtype::U32)?;
        self.check_range(info, name, from, to)?;
        Ok(bytemuck::pod_collect_to_vec(&self.bytes(info, from * 4, (to - from) * 4)?))
    }

    /// A whole array of i64.
    ///
    /// # Errors
    /// No such array, or another type.
    pub fn i64s(&self, name: &str) -> Result<Vec<i64>> {
        let info = self.typed(name, Dtype::I64)?;
        let size = info.data_offsets.1 - info.data_offsets.0;
        Ok(bytemuck::pod_collect_to_vec(&self.bytes(info, 0, size)?))
    }

    /// A whole vector.
    ///
    /// # Errors
    /// No such array, or another number of axes.
    pub fn vector(&self, name: &str) -> Result<Array1<f32>> {
        let &[size] = self.info(name)?.shape.as_slice() else {
            return Err(self.axes(name, "one axis"));
        };
        Ok(Array1::from(self.f32s(name, 0, size)?))
    }

    /// The rows `from..to` of a matrix.
    ///
    /// # Errors
    /// No such array, another number of axes, or rows outside it.
    pub fn rows(&self, name: &str, from: usize, to: usize) -> Result<Array2<f32>> {
        let &[_, columns] = self.info(name)?.shape.as_slice() else {
            return Err(self.axes(name, "two axes"));
        };
        let values = self.f32s(name, from * columns, to * columns)?;
        Array2::from_shape_vec((to - from, columns), values)
            .map_err(|error| Error::file(&self.path, name, error, "a matrix"))
    }

    /// A whole matrix.
    ///
    /// # Errors
    /// As [`Self::rows`].
    pub fn matrix(&self, name: &str) -> Result<Array2<f32>> {
        let rows = self.info(name)?.shape.first().copied().unwrap_or(0);
        self.rows(name, 0, rows)
    }

    fn typed(&self, name: &str, dtype: Dtype) -> Result<&TensorInfo> {
        let info = self.info(name)?;
        if info.dtype == dtype {
            Ok(info)
        } else {
            let found = format!("{:?}", info.dtype);
            Err(Error::file(&self.path, name, found, format!("{dtype:?}")))
        }
    }

    fn check_range(&self, info: &TensorInfo, name: &str, from: usize, to: usize) -> Result<()> {
        let elements: usize = info.shape.iter().product();
        if from <= to && to <= elements {
            return Ok(());
        }
        let found = format!("{elements} elements");
        Err(Error::file(&self.path, name, found, format!("elements {from} to {to}")))
    }

    fn axes(&self, name: &str, expected: &str) -> Error {
        let found = format!("of shape {:?}", self.shape(name).unwrap_or_default());
        Error::file(&self.path, name, found, expected)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn rows_are_read_as_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.safetensors");
        let matrix = array![[1.0f32, 2.0], [3.0, 4.0], [5.0, 6.5]];
        let flat: Vec<f32> = matrix.iter().copied().collect();
        let bytes = to_bytes(&[
            ("full", Block::matrix(matrix.view())),
            ("half", Block::rounded(&flat, &[3, 2], Precision::F16)),
            ("brain", Block::rounded(&flat, &[3, 2], Precision::Bf16)),
            ("places", Block::u32s(&[7, 8], &[2])),
            ("offsets", Block::i64s(&[0, 1])),
        ])
        .expect("fits");
        crate::store::write_bytes(&path, &bytes).expect("writes");
        let file = NumberFile::open(&path).expect("opens");
        for name in ["full", "half", "brain"] {
            assert_eq!(file.rows(name, 1, 3).expect("reads"), matrix.slice(ndarray::s![1..3, ..]));
        }
        assert_eq!(file.u32s("places", 0, 2).expect("reads"), [7, 8]);
        assert_eq!(file.i64s("offsets").expect("reads"), [0, 1]);
        assert!(file.rows("full", 2, 4).is_err());
        assert!(file.vector("full").is_err());
        assert!(file.u32s("full", 0, 1).is_err());
        assert!(file.matrix("absent").is_err());
    }

    #[test]
    fn files_that_lie_about_their_size_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.safetensors");
        let bytes = to_bytes(&[("x", Block::f32s(&[1.0; 100], &[100]))]).expect("fits");
        let lies: [Vec<u8>; 5] = [
            Vec::new(),
            bytes[..7].to_vec(),
            bytes[..bytes.len() - 1].to_vec(),
            u64::MAX.to_le_bytes().to_vec(),
            [&(1u64 << 40).to_le_bytes()[..], b"{}"].concat(),
        ];
        for (number, lie) in lies.iter().enumerate() {
            crate::store::write_bytes(&path, lie).expect("writes");
            assert!(NumberFile::open(&path).is_err(), "lie {number}");
        }
    }
}
