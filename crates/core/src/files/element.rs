//! The types of numbers in files, and how they become f32.

use std::fmt;

use half::{bf16, f16};
use nissl_kernels::convert::{bf16_to_f32, f16_to_f32};

/// The type of a tensor's numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Element {
    F64,
    F32,
    F16,
    BF16,
    I64,
    I32,
    I16,
    I8,
    U64,
    U32,
    U16,
    U8,
    Bool,
    /// A type that is not read, such as those of quantised tensors, by its name.
    Other(String),
}

impl Element {
    /// Bytes of a number; `None` of a type that is not read.
    pub fn size(&self) -> Option<usize> {
        match self {
            Self::F64 | Self::I64 | Self::U64 => Some(8),
            Self::F32 | Self::I32 | Self::U32 => Some(4),
            Self::F16 | Self::BF16 | Self::I16 | Self::U16 => Some(2),
            Self::I8 | Self::U8 | Self::Bool => Some(1),
            Self::Other(_) => None,
        }
    }

    /// Whether it is one that weights are computed with.
    pub fn is_float(&self) -> bool {
        matches!(self, Self::F64 | Self::F32 | Self::F16 | Self::BF16)
    }

    /// The numbers that `bytes` stand for, rounded to f32.
    pub(crate) fn decode(&self, bytes: &[u8], out: &mut [f32]) {
        match self {
            Self::F32 => each(bytes, out, f32::from_le_bytes),
            Self::F64 => each(bytes, out, |b| f64::from_le_bytes(b) as f32),
            Self::F16 => by_blocks(bytes, out, f16::from_le_bytes, f16_to_f32),
            Self::BF16 => by_blocks(bytes, out, bf16::from_le_bytes, bf16_to_f32),
            Self::I64 => each(bytes, out, |b| i64::from_le_bytes(b) as f32),
            Self::I32 => each(bytes, out, |b| i32::from_le_bytes(b) as f32),
            Self::I16 => each(bytes, out, |b| i16::from_le_bytes(b).into()),
            Self::I8 => each(bytes, out, |[b]: [u8; 1]| b.cast_signed().into()),
            Self::U64 => each(bytes, out, |b| u64::from_le_bytes(b) as f32),
            Self::U32 => each(bytes, out, |b| u32::from_le_bytes(b) as f32),
            Self::U16 => each(bytes, out, |b| u16::from_le_bytes(b).into()),
            Self::U8 => each(bytes, out, |[b]: [u8; 1]| b.into()),
            Self::Bool => each(bytes, out, |[b]: [u8; 1]| f32::from(b != 0)),
            Self::Other(_) => {}
        }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other(name) => f.write_str(name),
            known => write!(f, "{known:?}"),
        }
    }
}

fn each<const N: usize>(bytes: &[u8], out: &mut [f32], number: impl Fn([u8; N]) -> f32) {
    for (bytes, out) in bytes.as_chunks::<N>().0.iter().zip(out) {
        *out = number(*bytes);
    }
}

fn by_blocks<T: Copy + Default>(
    bytes: &[u8],
    out: &mut [f32],
    number: impl Fn([u8; 2]) -> T,
    widen: impl Fn(&[T], &mut [f32]),
) {
    let mut block = [T::default(); 512];
    for (bytes, out) in bytes.as_chunks::<2>().0.chunks(512).zip(out.chunks_mut(512)) {
        let block = &mut block[..bytes.len()];
        for (half, bytes) in block.iter_mut().zip(bytes) {
            *half = number(*bytes);
        }
        widen(block, out);
    }
}
