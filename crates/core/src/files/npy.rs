//! Headers of NumPy's arrays (`.npy`, versions 1 to 3).
//!
//! The header is a Python literal of three known keys; it is scanned for just these, so that no
//! header can make the reader recurse, and nothing pickled is opened.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Element, Stored};
use crate::archive::{Member, ReadAt};
use crate::error::{Error, IoContext, Result};

/// What such a file begins with.
pub(super) const MAGIC: &[u8] = b"\x93NUMPY";
/// The ending of the arrays of an archive.
const ENDING: &str = ".npy";
/// Longer headers are no headers of an array.
const LONGEST_HEADER: u64 = 1 << 16;

/// What a header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The type of the numbers, such as `<f4`.
    pub descr: String,
    /// Whether the first axis is the fastest.
    pub fortran_order: bool,
    /// The size along each axis.
    pub shape: Vec<u64>,
    /// The byte of the file at which the numbers begin.
    pub begins: u64,
}

/// The header of the array that fills the bytes `starts..ends` of a file; `path` names it in messages.
///
/// # Errors
/// A header that is damaged, or longer than the file.
pub fn header<S: ReadAt + ?Sized>(
    path: &Path,
    source: &S,
    starts: u64,
    ends: u64,
) -> Result<Header> {
    let bad = |found: String| Error::file(path, "header", found, "a header of .npy that fits");
    let mut fixed = [0; 12];
    if ends.saturating_sub(starts) < 12 {
        return Err(bad(format!("in {} bytes", ends.saturating_sub(starts))));
    }
    source.fill(&mut fixed, starts).at(path, "read")?;
    if &fixed[..6] != MAGIC {
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
    source.fill(&mut text, starts + begins).at(path, "read")?;
    let text = String::from_utf8(text).map_err(|_binary| bad("no text".to_owned()))?;
    let begins = starts + begins + size;
    scan(&text).map(|header| Header { begins, ..header }).map_err(bad)
}

/// The array in the bytes `starts..` of `bytes`.
pub(super) fn array(path: &Path, bytes: &[u8], starts: usize, ends: usize) -> Result<Stored> {
    let header = header(path, bytes, starts as u64, ends as u64)?;
    let wrong = |found: String| Error::file(path, "shape", found, "an array inside the file");
    let shape: Option<Vec<usize>> =
        header.shape.iter().map(|size| usize::try_from(*size).ok()).collect();
    let count = shape
        .as_ref()
        .and_then(|shape| shape.iter().try_fold(1usize, |count, size| count.checked_mul(*size)));
    let (Some(shape), Some(count)) = (shape, count) else {
        return Err(wrong(format!("{:?}, beyond all memory", header.shape)));
    };
    let element = element(&header.descr);
    let begins = header.begins as usize;
    if let Some(size) = element.size()
        && count.checked_mul(size).is_none_or(|size| size > ends - begins)
    {
        let held = ends - begins;
        return Err(wrong(format!("{shape:?} of {element} in {held} bytes (truncated?)"))
            .with_help("the file is truncated or damaged; obtain it again"));
    }
    let mut strides = vec![1usize; shape.len()];
    if header.fortran_order {
        for axis in 1..shape.len() {
            strides[axis] = strides[axis - 1].saturating_mul(shape[axis - 1]);
        }
    } else {
        strides = super::dense(&shape);
    }
    Ok(Stored { element, shape, strides, starts: begins })
}

/// Arrays by name, and the bytes in which they lie where these are not the file's.
type Arrays = (BTreeMap<String, Stored>, Option<Vec<u8>>);

/// The arrays of an archive; where one of its members is compressed, also all arrays unpacked one
/// behind the other, in which they then lie.
pub(super) fn arrays(path: &Path, bytes: &[u8], members: &[Member]) -> Result<Arrays> {
    let named = || members.iter().filter_map(|m| Some((m.name.strip_suffix(ENDING)?, m)));
    let mut unpacked = named().any(|(_, member)| member.compressed).then(Vec::new);
    let mut arrays = BTreeMap::new();
    for (name, member) in named() {
        let stored = if let Some(all) = &mut unpacked {
            let starts = all.len();
            all.extend_from_slice(&member.content(path, bytes)?);
            array(path, all, starts, all.len())
        } else {
            let place = member.place(path, bytes)?;
            array(path, bytes, place.start as usize, place.end as usize)
        }?;
        arrays.insert(name.to_owned(), stored);
    }
    Ok((arrays, unpacked))
}

/// Whether an archive is one of arrays.
pub(super) fn is_archive(members: &[Member]) -> bool {
    members.iter().any(|member| member.name.ends_with(ENDING))
}

fn element(descr: &str) -> Element {
    match descr.trim_start_matches(['<', '|', '=']) {
        "f8" => Element::F64,
        "f4" => Element::F32,
        "f2" => Element::F16,
        "i8" => Element::I64,
        "i4" => Element::I32,
        "i2" => Element::I16,
        "i1" => Element::I8,
        "u8" => Element::U64,
        "u4" => Element::U32,
        "u2" => Element::U16,
        "u1" => Element::U8,
        "b1" => Element::Bool,
        _ => Element::Other(descr.chars().take(60).collect()),
    }
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
        begins: 0,
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
