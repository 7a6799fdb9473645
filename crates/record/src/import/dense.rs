//! A matrix that lies uncompressed in a file, row after row or column after column.
//!
//! Memory: one block; columns of a transposed file are gathered by reads at their places.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use ndarray::Array2;
use nissl_core::{Error, IoContext, Result, Table};

use super::{Chunk, Matrix, checked_shape, rows_in_block};

/// The type of the numbers in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    Bool,
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    F16,
    Bf16,
    F32,
    F64,
}

impl Element {
    fn size(self) -> usize {
        match self {
            Self::Bool | Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 | Self::F16 | Self::Bf16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::I64 | Self::U64 | Self::F64 => 8,
        }
    }
}

/// Which neighbours in the file are neighbours in the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Values of one sample stand together (C order).
    Rows,
    /// Values of one unit stand together (Fortran order).
    Columns,
}

/// Where and how a matrix lies in a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    /// The byte at which it begins.
    pub starts: u64,
    /// The byte after which the file has nothing of it.
    pub ends: u64,
    pub element: Element,
    pub big_endian: bool,
    /// Rows and columns as the file names them.
    pub shape: [u64; 2],
    pub order: Order,
}

impl Extent {
    /// The same numbers seen with rows and columns exchanged: no byte moves.
    fn transposed(self) -> Self {
        let order = match self.order {
            Order::Rows => Order::Columns,
            Order::Columns => Order::Rows,
        };
        Self { shape: [self.shape[1], self.shape[0]], order, ..self }
    }
}

struct Dense {
    path: PathBuf,
    file: File,
    extent: Extent,
    samples: usize,
    units: usize,
}

/// The matrix at `extent` in `file`.
///
/// # Errors
/// A matrix that is empty, too large, or longer than what the file has.
pub(super) fn open(path: &Path, file: File, extent: Extent, transpose: bool) -> Result<Matrix> {
    let extent = if transpose { extent.transposed() } else { extent };
    let [rows, columns] = extent.shape;
    let (samples, units) = checked_shape(path, rows, columns)?;
    let needed =
        rows.checked_mul(columns).and_then(|n| n.checked_mul(extent.element.size() as u64));
    let there = extent.ends.saturating_sub(extent.starts);
    if needed.is_none_or(|needed| needed > there) {
        let needed = needed.map_or("more than 2⁶⁴".to_owned(), |needed| needed.to_string());
        return Err(Error::file(
            path,
            "shape",
            format!("{rows} samples by {columns} units, {needed} bytes"),
            format!("at most the {there} bytes that the file has (truncated?)"),
        ));
    }
    let dense = Dense { path: path.to_owned(), file, extent, samples, units };
    let block = rows_in_block(units);
    let chunks = (0..samples).step_by(block).map(move |from| {
        let activity = dense.rows(from, (from + block).min(dense.samples))?;
        let progress = activity.nrows() as u64;
        Ok(Chunk { activity, samples: Table::new(), progress })
    });
    Ok(Matrix { units, names: None, total: (rows, "samples"), chunks: Box::new(chunks) })
}

impl Dense {
    /// `[sample, unit]`
    fn rows(&self, from: usize, to: usize) -> Result<Array2<f32>> {
        let rows = to - from;
        let mut values = Vec::with_capacity(rows * self.units);
        let shaped = match self.extent.order {
            Order::Rows => {
                let place = |at: usize| (from + at / self.units, at % self.units);
                self.read(from * self.units, rows * self.units, &mut values, place)?;
                Array2::from_shape_vec((rows, self.units), values)
            }
            Order::Columns => {
                for unit in 0..self.units {
                    let place = |at: usize| (from + at, unit);
                    self.read(unit * self.samples + from, rows, &mut values, place)?;
                }
                Array2::from_shape_vec((self.units, rows), values)
                    .map(|gathered| gathered.reversed_axes().as_standard_layout().into_owned())
            }
        };
        shaped.map_err(|error| Error::file(&self.path, "shape", error, "a matrix"))
    }

    /// Appends `count` values from the `first` on; `place` gives sample and unit for messages.
    fn read(
        &self,
        first: usize,
        count: usize,
        out: &mut Vec<f32>,
        place: impl Fn(usize) -> (usize, usize),
    ) -> Result<()> {
        let size = self.extent.element.size();
        let mut bytes = vec![0; count * size];
        let at = self.extent.starts + (first * size) as u64;
        self.file.read_exact_at(&mut bytes, at).at(&self.path, "read")?;
        if self.extent.big_endian && size > 1 {
            bytes.chunks_exact_mut(size).for_each(<[u8]>::reverse);
        }
        decode(self.extent.element, &bytes, out).map_err(|(at, value)| {
            let (sample, unit) = place(at);
            too_large(&self.path, &format!("sample {sample}, unit {unit}"), value)
        })
    }
}

/// A number that f32 cannot hold.
pub(super) fn too_large(path: &Path, place: &str, value: impl ToString) -> Error {
    Error::file(path, place, value, "a magnitude below 3.4e38, the largest of f32")
        .with_help("scale the values before importing them")
}

/// Appends little-endian numbers as f32; the first that f32 cannot hold is the error.
fn decode(element: Element, bytes: &[u8], out: &mut Vec<f32>) -> Result<(), (usize, f64)> {
    macro_rules! numbers {
        ($type:ty, $size:literal, $to:expr) => {
            out.extend(bytes.chunks_exact($size).map(|chunk| {
                let mut raw = [0; $size];
                raw.copy_from_slice(chunk);
                $to(<$type>::from_le_bytes(raw))
            }))
        };
    }
    match element {
        Element::Bool => out.extend(bytes.iter().map(|&byte| f32::from(u8::from(byte != 0)))),
        Element::I8 => numbers!(i8, 1, f32::from),
        Element::U8 => numbers!(u8, 1, f32::from),
        Element::I16 => numbers!(i16, 2, f32::from),
        Element::U16 => numbers!(u16, 2, f32::from),
        Element::I32 => numbers!(i32, 4, |value| value as f32),
        Element::U32 => numbers!(u32, 4, |value| value as f32),
        Element::I64 => numbers!(i64, 8, |value| value as f32),
        Element::U64 => numbers!(u64, 8, |value| value as f32),
        Element::F16 => numbers!(f16, 2, f16::to_f32),
        Element::Bf16 => numbers!(bf16, 2, bf16::to_f32),
        Element::F32 => numbers!(f32, 4, |value| value),
        Element::F64 => {
            for (at, chunk) in bytes.chunks_exact(8).enumerate() {
                let mut raw = [0; 8];
                raw.copy_from_slice(chunk);
                let value = f64::from_le_bytes(raw);
                let narrow = value as f32;
                if narrow.is_infinite() && value.is_finite() {
                    return Err((at, value));
                }
                out.push(narrow);
            }
        }
    }
    Ok(())
}
