//! Elements of HDF5 arrays as values: numbers of every width, texts, and structs of them.

use half::f16;
use hdf5_reader::Datatype;
use hdf5_reader::messages::datatype::StringSize;

use super::value::{Numbers, Value};

pub(super) fn texts_value(mut texts: Vec<String>, shape: &[usize]) -> Value {
    for text in &mut texts {
        text.truncate(text.trim_end_matches('\0').len());
    }
    if shape.is_empty() && texts.len() == 1 {
        return Value::Text(texts.swap_remove(0));
    }
    Value::List(texts.into_iter().map(Value::Text).collect())
}

/// The numbers, structs or texts in `raw`, whose fields are in the byte order of this machine.
pub(super) fn decoded(
    kind: &Datatype,
    raw: &[u8],
    shape: &[usize],
    class: Option<&str>,
) -> Result<Value, String> {
    if let Datatype::Compound { size, fields } = kind {
        let size = *size as usize;
        if size == 0 {
            return Ok(Value::Nothing);
        }
        let mut parts = Vec::new();
        for field in fields {
            let offset = field.byte_offset as usize;
            let Some(width) = width(&field.datatype) else { continue };
            let column: Vec<u8> = raw
                .chunks_exact(size)
                .filter_map(|row| row.get(offset..offset.checked_add(width)?))
                .flatten()
                .copied()
                .collect();
            parts.push((field.name.clone(), decoded(&field.datatype, &column, shape, None)?));
        }
        return Ok(Value::Map(parts));
    }
    if let Datatype::String { size: StringSize::Fixed(length), .. } = kind {
        let texts = raw.chunks_exact((*length).max(1) as usize);
        let texts = texts.map(|text| String::from_utf8_lossy(text).into_owned());
        return Ok(texts_value(texts.collect(), shape));
    }
    let Some(values) = numbers(kind, raw) else { return Ok(Value::Nothing) };
    let Some(class) = class else {
        return Ok(Value::Numbers(Numbers { shape: shape.to_vec(), values }));
    };
    // MATLAB's axes come in reverse: what the file lays last axis fastest is first axis fastest.
    let shape: Vec<usize> = shape.iter().rev().copied().collect();
    if class == "char" {
        let rows = shape.first().copied().unwrap_or(1).max(1);
        let texts = (0..rows).map(|row| {
            let units: Vec<u16> =
                values.iter().skip(row).step_by(rows).map(|&unit| unit as u16).collect();
            Value::Text(String::from_utf16_lossy(&units))
        });
        let mut texts: Vec<Value> = texts.collect();
        return Ok(if rows == 1 { texts.swap_remove(0) } else { Value::List(texts) });
    }
    Numbers::column_major(shape, values)
        .map(Value::Numbers)
        .ok_or_else(|| "an array of another size than its shape".to_owned())
}

/// The bytes of one element; `None` for kinds that hold no numbers.
pub(super) fn width(kind: &Datatype) -> Option<usize> {
    match kind {
        Datatype::FixedPoint { size, .. }
        | Datatype::FloatingPoint { size, .. }
        | Datatype::Bitfield { size, .. } => Some(usize::from(*size)),
        Datatype::Enum { base, .. } => width(base),
        Datatype::String { size: StringSize::Fixed(length), .. } => Some(*length as usize),
        _ => None,
    }
}

fn numbers(kind: &Datatype, raw: &[u8]) -> Option<Vec<f64>> {
    macro_rules! each {
        ($type:ty, $as:expr) => {
            raw.chunks_exact(size_of::<$type>())
                .map(|bytes| {
                    let mut own = [0; size_of::<$type>()];
                    own.copy_from_slice(bytes);
                    $as(<$type>::from_ne_bytes(own))
                })
                .collect()
        };
    }
    Some(match kind {
        Datatype::Enum { base, .. } => return numbers(base, raw),
        Datatype::FloatingPoint { size: 2, .. } => {
            each!(u16, |bits| f16::from_bits(bits).to_f64())
        }
        Datatype::FloatingPoint { size: 4, .. } => each!(f32, f64::from),
        Datatype::FloatingPoint { size: 8, .. } => each!(f64, |value| value),
        Datatype::FixedPoint { size: 1, signed: true, .. } => each!(i8, f64::from),
        Datatype::FixedPoint { size: 2, signed: true, .. } => each!(i16, f64::from),
        Datatype::FixedPoint { size: 4, signed: true, .. } => each!(i32, f64::from),
        Datatype::FixedPoint { size: 8, signed: true, .. } => each!(i64, |value| value as f64),
        Datatype::FixedPoint { size: 1, .. } | Datatype::Bitfield { size: 1, .. } => {
            each!(u8, f64::from)
        }
        Datatype::FixedPoint { size: 2, .. } => each!(u16, f64::from),
        Datatype::FixedPoint { size: 4, .. } => each!(u32, f64::from),
        Datatype::FixedPoint { size: 8, .. } => each!(u64, |value| value as f64),
        _ => return None,
    })
}
