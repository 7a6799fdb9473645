//! A tree of named parts as JSON; NaN is null.
//!
//! Memory: the file.

use std::path::Path;

use nissl_core::{Error, Result, store};

use super::value::{Numbers, Value};

pub(super) fn write(path: &Path, tree: &Value) -> Result<()> {
    let text = serde_json::to_vec(&json(tree))
        .map_err(|error| Error::file(path, "content", error, "a JSON document"))?;
    store::write_bytes(path, &text)
}

fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::Nothing => serde_json::Value::Null,
        Value::Numbers(numbers) => nested(numbers, &numbers.shape, &mut 0),
        Value::Text(text) => text.clone().into(),
        Value::List(parts) => parts.iter().map(json).collect(),
        Value::Map(parts) => serde_json::Value::Object(
            parts.iter().map(|(name, v)| (name.clone(), json(v))).collect(),
        ),
    }
}

fn nested(numbers: &Numbers, shape: &[usize], at: &mut usize) -> serde_json::Value {
    let Some((&length, rest)) = shape.split_first() else {
        let value = numbers.values.get(*at).copied().unwrap_or(f64::NAN);
        *at += 1;
        return value.into();
    };
    (0..length).map(|_| nested(numbers, rest, at)).collect()
}
