//! A matrix among the named arrays of a safetensors file.

use std::path::Path;

use ::safetensors::Dtype;
use nissl_core::numbers::NumberFile;
use nissl_core::{Error, IoContext, Result};

use super::dense::{self, Element, Extent, Order};
use super::{Import, Matrix};

pub(super) fn open(path: &Path, settings: &Import) -> Result<Matrix> {
    let numbers = NumberFile::open(path)?;
    let name = choose(path, &numbers, settings.tensor.as_deref())?;
    let axes = numbers.shape(&name).unwrap_or_default();
    let &[rows, columns] = axes else {
        let found = format!("of shape {axes:?}");
        return Err(Error::file(path, name, found, "two axes, samples and units"));
    };
    let shape = [rows as u64, columns as u64];
    let Some((dtype, starts)) = numbers.place(&name) else {
        return Err(Error::file(path, "tensors", "without it", name));
    };
    let element = match dtype {
        Dtype::BOOL => Element::Bool,
        Dtype::U8 => Element::U8,
        Dtype::I8 => Element::I8,
        Dtype::I16 => Element::I16,
        Dtype::U16 => Element::U16,
        Dtype::F16 => Element::F16,
        Dtype::BF16 => Element::Bf16,
        Dtype::I32 => Element::I32,
        Dtype::U32 => Element::U32,
        Dtype::F32 => Element::F32,
        Dtype::F64 => Element::F64,
        Dtype::I64 => Element::I64,
        Dtype::U64 => Element::U64,
        other => {
            let found = format!("{other:?}");
            return Err(Error::file(path, name, found, "booleans, whole numbers or floats"));
        }
    };
    let file = super::open_file(path)?;
    let ends = file.metadata().at(path, "look at")?.len();
    let extent = Extent { starts, ends, element, big_endian: false, shape, order: Order::Rows };
    dense::open(path, file, extent, settings.transpose)
}

/// The array that was asked for, or the only one that is a matrix.
fn choose(path: &Path, numbers: &NumberFile, wanted: Option<&str>) -> Result<String> {
    let names = numbers.names();
    if let Some(wanted) = wanted {
        if numbers.shape(wanted).is_some() {
            return Ok(wanted.to_owned());
        }
        let near = nissl_core::error::nearest(wanted, names.iter().map(String::as_str));
        let found = format!("an absent one, `{wanted}`");
        return Err(Error::file(path, "tensor", found, "one of the file's arrays")
            .with_help(format!("the file has {}", near.join(", "))));
    }
    let matrices: Vec<&String> =
        names.iter().filter(|name| numbers.shape(name).is_some_and(|s| s.len() == 2)).collect();
    match matrices.as_slice() {
        [only] => Ok((*only).clone()),
        [] => {
            let all: Vec<String> = names
                .iter()
                .take(20)
                .map(|name| format!("{name} {:?}", numbers.shape(name).unwrap_or_default()))
                .collect();
            let found = format!("none with two axes among {}", all.join(", "));
            Err(Error::file(path, "tensors", found, "a matrix, samples by units"))
        }
        several => {
            let names: Vec<&str> = several.iter().take(20).map(|name| name.as_str()).collect();
            let found = format!("{} matrices ({})", several.len(), names.join(", "));
            Err(Error::file(path, "tensors", found, "one, chosen with --tensor NAME"))
        }
    }
}
