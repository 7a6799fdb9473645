//! The tensors of a safetensors file.

use std::path::Path;

use crate::{Error, Result};
use safetensors::Dtype;
use safetensors::tensor::SafeTensors;

use super::{Contents, Element, Stored, dense};

pub(super) fn tensors(path: &Path, bytes: &[u8]) -> Result<Contents> {
    let (size, header) = SafeTensors::read_metadata(bytes).map_err(|error| {
        let found = format!("{error} in {} bytes", bytes.len());
        Error::file(path, "header", found, "a safetensors header that fits the file")
            .with_help("the file is truncated or damaged; obtain it again")
    })?;
    let data_starts = size + 8;
    let needed = data_starts + header.data_len();
    if bytes.len() != needed {
        let found = format!("{} bytes", bytes.len());
        return Err(Error::file(path, "size", found, format!("{needed} bytes by its header"))
            .with_help("the file is truncated or damaged; obtain it again"));
    }
    let tensors = header.tensors().into_iter().map(|(name, info)| {
        let stored = Stored {
            element: element(info.dtype),
            strides: dense(&info.shape),
            shape: info.shape.clone(),
            starts: data_starts + info.data_offsets.0,
        };
        (name, stored)
    });
    let texts = header.metadata().iter().flatten();
    let values = texts.map(|(key, text)| (key.clone(), text.clone().into())).collect();
    Ok(Contents { tensors: tensors.collect(), values, ..Contents::default() })
}

fn element(of: Dtype) -> Element {
    match of {
        Dtype::F64 => Element::F64,
        Dtype::F32 => Element::F32,
        Dtype::F16 => Element::F16,
        Dtype::BF16 => Element::BF16,
        Dtype::I64 => Element::I64,
        Dtype::I32 => Element::I32,
        Dtype::I16 => Element::I16,
        Dtype::I8 => Element::I8,
        Dtype::U64 => Element::U64,
        Dtype::U32 => Element::U32,
        Dtype::U16 => Element::U16,
        Dtype::U8 => Element::U8,
        Dtype::BOOL => Element::Bool,
        other => Element::Other(format!("{other:?}")),
    }
}
