//! MATLAB files of version 5 to 7: numbers, texts, cell and struct arrays, sparse matrices.
//!
//! Objects, function handles and other classes are read as nothing. Both byte orders.
//!
//! Source: MathWorks, MAT-File Format, chapter 1.
//! Memory: the file, and what it holds; at most 2 GiB after decompression.

use std::io::Read;
use std::path::Path;

use flate2::read::ZlibDecoder;
use nissl_core::{Error, IoContext, Result};

use super::value::{Numbers, Value};

const MOST_BYTES: u64 = 2 << 30;
const DEEPEST: usize = 24;
/// The most elements of a sparse matrix that is unfolded.
const MOST_UNFOLDED: usize = 1 << 26;

const HEADER: usize = 128;
const INT8: u32 = 1;
const UINT8: u32 = 2;
const INT16: u32 = 3;
const UINT16: u32 = 4;
const INT32: u32 = 5;
const UINT32: u32 = 6;
const SINGLE: u32 = 7;
const DOUBLE: u32 = 9;
const INT64: u32 = 12;
const UINT64: u32 = 13;
const MATRIX: u32 = 14;
const COMPRESSED: u32 = 15;
const UTF8: u32 = 16;
const UTF16: u32 = 17;
const UTF32: u32 = 18;

type Outcome<T> = std::result::Result<T, String>;

/// All variables in the file at `path`.
pub(super) fn read(path: &Path) -> Result<Value> {
    let length = std::fs::metadata(path).at(path, "look at")?.len();
    if length > MOST_BYTES {
        let expected = format!("at most {MOST_BYTES} bytes, the most that this version can hold");
        return Err(Error::file(path, "size", length, expected));
    }
    let bytes = std::fs::read(path).at(path, "read")?;
    variables(&bytes).map(Value::Map).map_err(|found| {
        Error::file(path, "content", found, "a readable MATLAB file of version 5")
            .with_help("the file may be cut off or damaged; copy it again from its source")
    })
}

fn variables(bytes: &[u8]) -> Outcome<Vec<(String, Value)>> {
    let order = bytes.get(HEADER - 2..HEADER).ok_or("shorter than its header")?;
    let big = match order {
        b"IM" => false,
        b"MI" => true,
        _ => return Err("without the mark of its byte order".to_owned()),
    };
    let mut budget = MOST_BYTES;
    let mut reader = Reader { bytes: &bytes[HEADER..], big, at: 0 };
    let mut found = Vec::new();
    while reader.at < reader.bytes.len() {
        let element = reader.element()?;
        match element.kind {
            MATRIX => found.push(matrix(element.data, big, 0)?),
            COMPRESSED => {
                let mut unpacked = Vec::new();
                ZlibDecoder::new(element.data)
                    .take(budget)
                    .read_to_end(&mut unpacked)
                    .map_err(|error| format!("compressed and damaged ({error})"))?;
                budget = budget
                    .checked_sub(unpacked.len() as u64)
                    .filter(|&left| left > 0)
                    .ok_or(format!("more than {MOST_BYTES} bytes when decompressed"))?;
                let mut inner = Reader { bytes: &unpacked, big, at: 0 };
                let element = inner.element()?;
                if element.kind == MATRIX {
                    found.push(matrix(element.data, big, 0)?);
                }
            }
            // What is no variable, such as the data of other tools, is passed over.
            _ => {}
        }
    }
    found.retain(|(name, _)| !name.is_empty());
    Ok(found)
}

/// Elements in a row.
struct Reader<'a> {
    bytes: &'a [u8],
    big: bool,
    at: usize,
}

struct Element<'a> {
    kind: u32,
    data: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Outcome<&'a [u8]> {
        let end = self.at.checked_add(count).filter(|&end| end <= self.bytes.len());
        let end = end.ok_or_else(|| {
            format!("cut off: {count} bytes are told, {} are there", self.bytes.len() - self.at)
        })?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn word(&mut self) -> Outcome<u32> {
        let mut word = [0; 4];
        word.copy_from_slice(self.take(4)?);
        Ok(if self.big { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) })
    }

    fn element(&mut self) -> Outcome<Element<'a>> {
        let first = self.word()?;
        if first >> 16 != 0 {
            // Up to four bytes stand in the tag itself.
            let (kind, length) = (first & 0xffff, (first >> 16) as usize);
            let data = self.take(4)?;
            let data = data.get(..length).ok_or("a short element of more than four bytes")?;
            return Ok(Element { kind, data });
        }
        let length = self.word()? as usize;
        let data = self.take(length)?;
        if first != COMPRESSED {
            // The last element may come without its padding.
            let padding = (8 - length % 8) % 8;
            self.at = (self.at + padding).min(self.bytes.len());
        }
        Ok(Element { kind: first, data })
    }

    fn numbers(&mut self) -> Outcome<Vec<f64>> {
        let element = self.element()?;
        numbers(&element, self.big)
    }

    fn text(&mut self) -> Outcome<String> {
        let element = self.element()?;
        Ok(String::from_utf8_lossy(element.data).trim_end_matches('\0').to_owned())
    }
}

fn numbers(element: &Element<'_>, big: bool) -> Outcome<Vec<f64>> {
    macro_rules! each {
        ($type:ty, $as:expr) => {
            element
                .data
                .chunks_exact(size_of::<$type>())
                .map(|bytes| {
                    let mut own = [0; size_of::<$type>()];
                    own.copy_from_slice(bytes);
                    let value =
                        if big { <$type>::from_be_bytes(own) } else { <$type>::from_le_bytes(own) };
                    $as(value)
                })
                .collect()
        };
    }
    Ok(match element.kind {
        INT8 => each!(i8, f64::from),
        UINT8 | UTF8 => each!(u8, f64::from),
        INT16 => each!(i16, f64::from),
        UINT16 | UTF16 => each!(u16, f64::from),
        INT32 => each!(i32, f64::from),
        UINT32 | UTF32 => each!(u32, f64::from),
        SINGLE => each!(f32, f64::from),
        DOUBLE => each!(f64, |value| value),
        INT64 => each!(i64, |value| value as f64),
        UINT64 => each!(u64, |value| value as f64),
        other => return Err(format!("an element of the unknown type {other}")),
    })
}

/// The name and value of an array.
fn matrix(data: &[u8], big: bool, depth: usize) -> Outcome<(String, Value)> {
    const COMPLEX: u32 = 0x0800;
    if data.is_empty() {
        return Ok((String::new(), Value::Nothing));
    }
    if depth > DEEPEST {
        return Err(format!("arrays more than {DEEPEST} deep"));
    }
    let mut reader = Reader { bytes: data, big, at: 0 };
    let flags = reader.element()?;
    let flags = flags.data.get(..4).ok_or("an array without flags")?;
    let mut word = [0; 4];
    word.copy_from_slice(flags);
    let flags = if big { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) };
    let class = flags & 0xff;
    if class == 17 {
        // Opaque objects have no shape.
        return Ok((String::new(), Value::Nothing));
    }
    let shape = reader.numbers()?.into_iter().map(length).collect::<Outcome<Vec<usize>>>()?;
    let name = reader.text()?;
    let count = shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n));
    let count = count.ok_or("an array of impossible size")?;
    let value = match class {
        1 => Value::List(cells(&mut reader, count, depth)?),
        2 | 3 => structs(&mut reader, class, count, depth)?,
        4 => text(&mut reader, &shape, count)?,
        5 => sparse(&mut reader, &shape)?,
        6..=15 => {
            let values = reader.numbers()?;
            if flags & COMPLEX != 0 {
                tracing::warn!(name, "only the real part of a complex array is read");
            }
            let found = values.len();
            let numbers = Numbers::column_major(shape, values)
                .ok_or_else(|| format!("`{name}` with {found} numbers where {count} are told"))?;
            Value::Numbers(numbers)
        }
        _ => Value::Nothing,
    };
    Ok((name, value))
}

fn length(value: f64) -> Outcome<usize> {
    if (0.0..=f64::from(u32::MAX)).contains(&value) {
        Ok(value as usize)
    } else {
        Err(format!("an array with an axis of length {value}"))
    }
}

/// Arrays that stand one after another, each with a tag of eight bytes at least.
fn cells(reader: &mut Reader<'_>, count: usize, depth: usize) -> Outcome<Vec<Value>> {
    let left = reader.bytes.len() - reader.at;
    if count > left / 8 {
        return Err(format!("cut off: {count} cells are told in {left} bytes"));
    }
    (0..count)
        .map(|_| {
            let element = reader.element()?;
            if element.kind != MATRIX {
                return Err(format!("a cell of type {}", element.kind));
            }
            matrix(element.data, reader.big, depth + 1).map(|(_, value)| value)
        })
        .collect()
}

fn structs(reader: &mut Reader<'_>, class: u32, count: usize, depth: usize) -> Outcome<Value> {
    if class == 3 {
        reader.text()?;
    }
    let width = reader.numbers()?.first().copied().unwrap_or(0.0);
    let width = length(width)?.max(1);
    let names = reader.element()?;
    let names: Vec<String> = names
        .data
        .chunks_exact(width)
        .map(|name| {
            let end = name.iter().position(|&byte| byte == 0).unwrap_or(width);
            String::from_utf8_lossy(&name[..end]).into_owned()
        })
        .collect();
    let total = count.checked_mul(names.len()).ok_or("a struct array of impossible size")?;
    let values = cells(reader, total, depth)?;
    let mut fields: Vec<Vec<Value>> = vec![Vec::new(); names.len()];
    for (at, value) in values.into_iter().enumerate() {
        fields[at % names.len()].push(value);
    }
    let parts = names.into_iter().zip(fields).map(|(name, mut values)| {
        let value = if count == 1 { values.swap_remove(0) } else { Value::List(values) };
        (name, value)
    });
    Ok(Value::Map(parts.collect()))
}

fn text(reader: &mut Reader<'_>, shape: &[usize], count: usize) -> Outcome<Value> {
    if count == 0 {
        return Ok(Value::Text(String::new()));
    }
    let element = reader.element()?;
    let units: Vec<u16> = if element.kind == UTF8 {
        String::from_utf8_lossy(element.data).encode_utf16().collect()
    } else {
        numbers(&element, reader.big)?.into_iter().map(|unit| unit as u16).collect()
    };
    // Rows of a table of characters stand column by column.
    let rows = shape.first().copied().unwrap_or(1).clamp(1, units.len().max(1));
    let mut texts: Vec<Value> = (0..rows)
        .map(|row| {
            let units: Vec<u16> = units.iter().skip(row).step_by(rows).copied().collect();
            Value::Text(String::from_utf16_lossy(&units))
        })
        .collect();
    Ok(if rows == 1 { texts.swap_remove(0) } else { Value::List(texts) })
}

fn sparse(reader: &mut Reader<'_>, shape: &[usize]) -> Outcome<Value> {
    let (rows, starts, values) = (reader.numbers()?, reader.numbers()?, reader.numbers()?);
    let &[height, width] = shape else { return Err("a sparse array without two axes".to_owned()) };
    let count = height.checked_mul(width).filter(|&count| count <= MOST_UNFOLDED);
    let count = count.ok_or_else(|| format!("a sparse matrix of {height} × {width}"))?;
    let mut unfolded = vec![0.0; count];
    for (column, pair) in starts.windows(2).enumerate().take(width) {
        let (from, to) = (length(pair[0])?, length(pair[1])?);
        let count = to.min(values.len()).saturating_sub(from);
        for (&value, &row) in values.iter().zip(&rows).skip(from).take(count) {
            let row = length(row).ok().filter(|&row| row < height);
            let row = row.ok_or("a sparse matrix with a row outside it")?;
            unfolded[row * width + column] = value;
        }
    }
    Ok(Value::Numbers(Numbers { shape: shape.to_vec(), values: unfolded }))
}
