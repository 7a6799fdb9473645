//! One array of NumPy (`.npy`, versions 1 to 3).
//!
//! Pickled objects are refused, never executed.

use std::fs::File;
use std::path::Path;

use nissl_core::files::npy;
use nissl_core::{Error, IoContext, Result};

use super::dense::{self, Element, Extent, Order};
use super::{Import, Matrix};

pub(super) fn open(path: &Path, settings: &Import) -> Result<Matrix> {
    let file = super::open_file(path)?;
    let length = file.metadata().at(path, "look at")?.len();
    let extent = header(path, &file, 0, length)?;
    dense::open(path, file, extent, settings.transpose)
}

/// Where the matrix lies of the array that fills the bytes `starts..ends` of a file.
///
/// # Errors
/// A header that is damaged, longer than the file, or of an array that is no matrix of numbers.
pub(super) fn header(path: &Path, file: &File, starts: u64, ends: u64) -> Result<Extent> {
    let array = npy::header(path, file, starts, ends)?;
    let (element, big_endian) = element(path, &array.descr)?;
    let &[rows, columns] = array.shape.as_slice() else {
        return Err(Error::file(
            path,
            "shape",
            format!("{:?}, an array of {} axes", array.shape, array.shape.len()),
            "two axes, samples and units",
        )
        .with_help("reshape it in NumPy, as in `x.reshape(len(x), -1)`, and save it again"));
    };
    let order = if array.fortran_order { Order::Columns } else { Order::Rows };
    let starts = array.begins;
    Ok(Extent { starts, ends, element, big_endian, shape: [rows, columns], order })
}

fn element(path: &Path, descr: &str) -> Result<(Element, bool)> {
    let (order, kind) = descr.split_at_checked(1).unwrap_or(("", ""));
    let element = match kind {
        "b1" => Element::Bool,
        "i1" => Element::I8,
        "u1" => Element::U8,
        "i2" => Element::I16,
        "u2" => Element::U16,
        "i4" => Element::I32,
        "u4" => Element::U32,
        "i8" => Element::I64,
        "u8" => Element::U64,
        "f2" => Element::F16,
        "f4" => Element::F32,
        "f8" => Element::F64,
        _ => {
            let objects = kind.starts_with('O');
            let found = if objects { "Python objects (a pickle)" } else { descr };
            let error = Error::file(path, "dtype", found, "booleans, whole numbers or floats");
            return Err(error.with_help(if objects {
                "a pickle can run code, so it is never opened: save `x.astype('float32')`"
            } else {
                "save `x.astype('float32')`"
            }));
        }
    };
    match order {
        "<" | "|" | "=" => Ok((element, false)),
        ">" => Ok((element, true)),
        _ => Err(Error::file(path, "dtype", descr, "a byte order of `<`, `>` or `|`")),
    }
}
