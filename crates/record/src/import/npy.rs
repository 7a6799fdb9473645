//! One array of NumPy (`.npy`, versions 1 to 3).
//!
//! The header is a Python literal of three known keys; it is scanned for just these, so that no
//! header can make the reader recurse, and pickled objects are refused, never executed.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use nissl_core::{Error, IoContext, Result};

use super::dense::{self, Element, Extent, Order};
use super::{Import, Matrix};

/// Longer headers are no headers of a matrix.
const LONGEST_HEADER: u64 = 1 << 16;

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
    let bad = |found: String| Error::file(path, "header", found, "a header of .npy that fits");
    let mut fixed = [0; 12];
    if ends.saturating_sub(starts) < 12 {
        return Err(bad(format!("in {} bytes", ends.saturating_sub(starts))));
    }
    file.read_exact_at(&mut fixed, starts).at(path, "read")?;
    if fixed[..6] != *b"\x93NUMPY" {
        return Err(Error::file(path, "magic", "another", "that of .npy"));
    }
    let (begins, size) = match fixed[6] {
        1 => (10, u64::from(u16::from_le_bytes([fixed[8], fixed[9]]))),
        2 | 3 => (12, u64::from(u32::from_le_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]))),
        version => return Err(bad(format!("of version {version}"))),
    };
    if size > LONGEST_HEADER || starts + begins + size > ends {
        return Err(bad(format!("{size} bytes long in {} bytes", ends - starts)));
    }
    let mut text = vec![0; size as usize];
    file.read_exact_at(&mut text, starts + begins).at(path, "read")?;
    let text = String::from_utf8(text).map_err(|_binary| bad("no text".to_owned()))?;
    let array = scan(&text).map_err(bad)?;
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
    let starts = starts + begins + size;
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

struct Header {
    descr: String,
    fortran_order: bool,
    shape: Vec<u64>,
}

/// Reads `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }`.
fn scan(text: &str) -> Result<Header, String> {
    let (mut descr, mut fortran_order, mut shape) = (None, None, None);
    let mut rest = text.trim().strip_prefix('{').ok_or("no dictionary")?.trim_start();
    while !rest.starts_with('}') {
        let (key, after) = quoted(rest).ok_or("without a key where one is due")?;
        rest = after.trim_start().strip_prefix(':').ok_or("without a colon")?.trim_start();
        match key {
            "descr" => {
                if rest.starts_with('[') {
                    return Err("of a structured type, with named fields".to_owned());
                }
                let (value, after) = quoted(rest).ok_or("without a type")?;
                (descr, rest) = (Some(value.to_owned()), after);
            }
            "fortran_order" => {
                let (value, after) = if let Some(after) = rest.strip_prefix("True") {
                    (true, after)
                } else {
                    (false, rest.strip_prefix("False").ok_or("without True or False")?)
                };
                (fortran_order, rest) = (Some(value), after);
            }
            "shape" => {
                let inside = rest.strip_prefix('(').ok_or("without a shape")?;
                let (axes, after) = inside.split_once(')').ok_or("without the end of a shape")?;
                let axes = axes.split(',').map(|axis| axis.trim().trim_end_matches('L'));
                let axes: Result<Vec<u64>, _> =
                    axes.filter(|axis| !axis.is_empty()).map(str::parse).collect();
                let axes = axes.map_err(|error| format!("of a shape with {error}"))?;
                (shape, rest) = (Some(axes), after);
            }
            other => return Err(format!("with the unknown key `{other}`")),
        }
        rest = rest.trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    }
    Ok(Header {
        descr: descr.ok_or("without `descr`")?,
        fortran_order: fortran_order.ok_or("without `fortran_order`")?,
        shape: shape.ok_or("without `shape`")?,
    })
}

/// A quoted word and what follows it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
    text[1..].split_once(quote)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_numpy_are_understood() {
        let header =
            scan("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }   \n").expect("one");
        assert_eq!((header.descr.as_str(), header.fortran_order), ("<f4", false));
        assert_eq!(header.shape, [3, 2]);
        let old = scan("{\"shape\":(3L,),\"fortran_order\":True,\"descr\":\"|b1\"}").expect("one");
        assert_eq!((old.shape.as_slice(), old.fortran_order), (&[3][..], true));
        assert!(scan("{'descr': '<f4', 'fortran_order': False, 'shape': ()}").is_ok());
    }

    #[test]
    fn other_literals_are_refused() {
        for text in [
            "",
            "{",
            "{'descr'",
            "{'descr': '<f4'}",
            "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1, 1)}",
            "{'descr': '<f4', 'fortran_order': 1, 'shape': (1, 1)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 1)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999, 1)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1), 'more': 1}",
            &"{[".repeat(30_000),
        ] {
            assert!(scan(text).is_err(), "{}", &text[..text.len().min(80)]);
        }
    }
}
