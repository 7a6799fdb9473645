//! A tree of named parts as a MATLAB file of version 5, compressed.
//!
//! Source: MathWorks, MAT-File Format, chapter 1.
//! Memory: the file.

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use nissl_core::{Error, Result, store};

use super::value::{Numbers, Value};

const INT8: u32 = 1;
const UINT16: u32 = 4;
const INT32: u32 = 5;
const UINT32: u32 = 6;
const DOUBLE: u32 = 9;
const MATRIX: u32 = 14;
const COMPRESSED: u32 = 15;

const CELL: u32 = 1;
const STRUCT: u32 = 2;
const CHAR: u32 = 4;
const DOUBLES: u32 = 6;

/// Writes the named parts of `tree` as variables.
///
/// # Errors
/// A tree that is no map, a name that MATLAB does not allow, or a failed file operation.
pub(super) fn write(path: &Path, tree: &Value) -> Result<()> {
    let Value::Map(variables) = tree else {
        return Err(Error::setting("variables", tree.kind(), "named parts"));
    };
    let mut bytes = vec![b' '; 116];
    let head = b"MATLAB 5.0 MAT-file, written by nissl";
    bytes[..head.len()].copy_from_slice(head);
    bytes.extend([0; 8]);
    bytes.extend([0x00, 0x01, b'I', b'M']);
    for (name, value) in variables {
        named(name)?;
        let whole = element(MATRIX, &matrix(name, value)?);
        let mut packed = ZlibEncoder::new(Vec::new(), Compression::default());
        packed.write_all(&whole).map_err(|error| Error::io(path, "compress", error))?;
        let packed = packed.finish().map_err(|error| Error::io(path, "compress", error))?;
        bytes.extend(COMPRESSED.to_le_bytes());
        bytes.extend((packed.len() as u32).to_le_bytes());
        bytes.extend(packed);
    }
    store::write_bytes(path, &bytes)
}

/// The longest name, without the zero at its end.
const LONGEST_NAME: usize = 31;

fn named(name: &str) -> Result<()> {
    let letters = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if letters && name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.len() <= LONGEST_NAME
    {
        return Ok(());
    }
    let expected = format!("at most {LONGEST_NAME} letters, digits and _, a letter first");
    Err(Error::setting("name", name, expected))
}

fn element(kind: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(data.len() + 16);
    bytes.extend(kind.to_le_bytes());
    bytes.extend((data.len() as u32).to_le_bytes());
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

fn head(class: u32, shape: &[usize], name: &str) -> Vec<u8> {
    let mut flags = class.to_le_bytes().to_vec();
    flags.extend([0; 4]);
    let shape: Vec<u8> = shape.iter().flat_map(|&n| (n as i32).to_le_bytes()).collect();
    let mut bytes = element(UINT32, &flags);
    bytes.extend(element(INT32, &shape));
    bytes.extend(element(INT8, name.as_bytes()));
    bytes
}

fn matrix(name: &str, value: &Value) -> Result<Vec<u8>> {
    Ok(match value {
        Value::Nothing => {
            let mut bytes = head(DOUBLES, &[0, 0], name);
            bytes.extend(element(DOUBLE, &[]));
            bytes
        }
        Value::Numbers(numbers) => {
            let shape = match numbers.shape[..] {
                [] => vec![1, 1],
                [rows] => vec![rows, 1],
                _ => numbers.shape.clone(),
            };
            // The order of MATLAB is that of the axes in reverse, read in rows.
            let reversed: Vec<usize> = numbers.shape.iter().rev().copied().collect();
            let turned = Numbers::column_major(reversed, numbers.values.clone())
                .ok_or_else(|| Error::setting(name, "numbers of another shape", "a whole array"))?;
            let data: Vec<u8> =
                turned.values.iter().flat_map(|value| value.to_le_bytes()).collect();
            let mut bytes = head(DOUBLES, &shape, name);
            bytes.extend(element(DOUBLE, &data));
            bytes
        }
        Value::Text(text) => {
            let units: Vec<u16> = text.encode_utf16().collect();
            let data: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
            let mut bytes = head(CHAR, &[usize::from(!units.is_empty()), units.len()], name);
            bytes.extend(element(UINT16, &data));
            bytes
        }
        Value::List(parts) => {
            let mut bytes = head(CELL, &[parts.len(), 1], name);
            for part in parts {
                bytes.extend(element(MATRIX, &matrix("", part)?));
            }
            bytes
        }
        Value::Map(parts) => {
            let mut bytes = head(STRUCT, &[1, 1], name);
            let width = LONGEST_NAME + 1;
            bytes.extend(element(INT32, &(width as i32).to_le_bytes()));
            let mut names = Vec::with_capacity(parts.len() * width);
            for (name, _) in parts {
                named(name)?;
                names.extend(name.as_bytes());
                names.resize(names.len().next_multiple_of(width), 0);
            }
            bytes.extend(element(INT8, &names));
            for (_, part) in parts {
                bytes.extend(element(MATRIX, &matrix("", part)?));
            }
            bytes
        }
    })
}
