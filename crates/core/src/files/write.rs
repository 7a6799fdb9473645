//! Writes tensors as PyTorch's `save` and NumPy's `savez` do.
//!
//! Memory: one tensor, where its numbers do not stand in the order of the file.

use std::borrow::Cow;
use std::path::Path;

use serde_json::Value;

use crate::archive::ArchiveWriter;
use crate::error::Result;

/// Something that a file of PyTorch holds under a key.
#[derive(Clone, Debug)]
pub enum Item<'a> {
    /// Numbers of any shape, the last axis fastest.
    F32s(Cow<'a, [f32]>, Vec<usize>),
    /// Whole numbers of any shape, the last axis fastest.
    I64s(Vec<i64>, Vec<usize>),
    /// A text, a number, a truth value, nothing, or lists and dicts of these.
    Plain(Value),
    /// A dict.
    Dict(Vec<(&'a str, Self)>),
}

/// Writes a dict as a file that `torch.load(…, weights_only=True)` opens.
///
/// # Errors
/// A full disk or another failed file operation.
pub fn write_torch(path: &Path, items: &[(&str, Item<'_>)]) -> Result<()> {
    let mut program = Program { bytes: b"\x80\x02".to_vec(), storages: Vec::new() };
    program.dict(items);
    program.bytes.push(b'.');
    let mut archive = ArchiveWriter::create(path)?;
    archive.member("archive/data.pkl", &[&program.bytes])?;
    archive.member("archive/byteorder", &[b"little"])?;
    for (key, item) in program.storages.iter().enumerate() {
        let name = format!("archive/data/{key}");
        match item {
            Item::F32s(values, _) => archive.member(&name, &[bytemuck::cast_slice(values)])?,
            Item::I64s(values, _) => archive.member(&name, &[bytemuck::cast_slice(values)])?,
            Item::Plain(_) | Item::Dict(_) => {}
        }
    }
    archive.member("archive/version", &[b"3\n"])?;
    archive.finish()
}

/// Writes arrays of f32 with their shapes as a `.npz` archive.
///
/// # Errors
/// A full disk or another failed file operation.
pub fn write_arrays(path: &Path, arrays: &[(&str, &[f32], Vec<usize>)]) -> Result<()> {
    let mut archive = ArchiveWriter::create(path)?;
    for (name, values, shape) in arrays {
        let sizes: String =
            shape.iter().flat_map(|size| [size.to_string(), ", ".to_owned()]).collect();
        let text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({sizes}), }}");
        // The numbers begin at a multiple of 64 bytes, behind a line that spaces fill up.
        let size = (10 + text.len() + 1).next_multiple_of(64) - 10;
        let header = format!("{text:<width$}\n", width = size - 1);
        let begin = [&b"\x93NUMPY\x01\0"[..], &(size as u16).to_le_bytes()].concat();
        let parts = [&begin[..], header.as_bytes(), bytemuck::cast_slice(values)];
        archive.member(&format!("{name}.npy"), &parts)?;
    }
    archive.finish()
}

/// A pickle of protocol 2 that grows, and the tensors it names.
struct Program<'a, 'b> {
    bytes: Vec<u8>,
    storages: Vec<&'b Item<'a>>,
}

impl<'a, 'b> Program<'a, 'b> {
    fn dict(&mut self, items: &'b [(&str, Item<'a>)]) {
        self.bytes.extend(b"}(");
        for (key, item) in items {
            self.text(key);
            match item {
                Item::F32s(values, shape) => self.tensor(item, "Float", values.len(), shape),
                Item::I64s(values, shape) => self.tensor(item, "Long", values.len(), shape),
                Item::Plain(value) => self.plain(value),
                Item::Dict(items) => self.dict(items),
            }
        }
        self.bytes.push(b'u');
    }

    fn tensor(&mut self, item: &'b Item<'a>, class: &str, numbers: usize, shape: &[usize]) {
        self.bytes.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        self.text("storage");
        self.bytes.extend(format!("ctorch\n{class}Storage\n").as_bytes());
        self.text(&self.storages.len().to_string());
        self.text("cpu");
        self.whole(numbers as i64);
        self.bytes.extend(b"tQ");
        self.whole(0);
        for sizes in [shape, &super::dense(shape)] {
            self.bytes.push(b'(');
            for size in sizes {
                self.whole(*size as i64);
            }
            self.bytes.push(b't');
        }
        self.bytes.extend(b"\x89ccollections\nOrderedDict\n)RtR");
        self.storages.push(item);
    }

    fn plain(&mut self, value: &Value) {
        match value {
            Value::Null => self.bytes.push(b'N'),
            Value::Bool(value) => self.bytes.push(if *value { 0x88 } else { 0x89 }),
            Value::Number(number) => {
                if let Some(whole) = number.as_i64() {
                    self.whole(whole);
                } else {
                    self.bytes.push(b'G');
                    self.bytes.extend(number.as_f64().unwrap_or(f64::NAN).to_be_bytes());
                }
            }
            Value::String(text) => self.text(text),
            Value::Array(items) => {
                self.bytes.extend(b"](");
                for item in items {
                    self.plain(item);
                }
                self.bytes.push(b'e');
            }
            Value::Object(items) => {
                self.bytes.extend(b"}(");
                for (key, item) in items {
                    self.text(key);
                    self.plain(item);
                }
                self.bytes.push(b'u');
            }
        }
    }

    fn text(&mut self, text: &str) {
        self.bytes.push(b'X');
        self.bytes.extend((text.len() as u32).to_le_bytes());
        self.bytes.extend(text.as_bytes());
    }

    fn whole(&mut self, number: i64) {
        self.bytes.extend(b"\x8a\x08");
        self.bytes.extend(number.to_le_bytes());
    }
}
