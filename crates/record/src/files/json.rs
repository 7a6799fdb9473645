//! JSON: numbers, texts, arrays and objects as they stand; `null` is nothing.
//!
//! Arrays of numbers, and of equal rows of numbers, become arrays; a missing number in one is NaN.
//! Memory: the file, and what it holds.

use std::path::Path;

use nissl_core::{Error, IoContext, Result};

use super::value::{Numbers, Value};

const MOST_BYTES: u64 = 1 << 30;

/// All that is in the file at `path`.
pub(super) fn read(path: &Path) -> Result<Value> {
    let length = std::fs::metadata(path).at(path, "look at")?.len();
    if length > MOST_BYTES {
        return Err(Error::file(path, "size", length, format!("at most {MOST_BYTES} bytes")));
    }
    let text = std::fs::read(path).at(path, "read")?;
    let tree: serde_json::Value = match serde_json::from_slice(&text) {
        Ok(tree) => tree,
        // Some tools write bare NaN, which JSON does not know.
        Err(error) => serde_json::from_str(&without_nan(&String::from_utf8_lossy(&text)))
            .map_err(|_again| Error::file(path, "content", &error, "a JSON document"))?,
    };
    Ok(value(tree))
}

/// The text with bare NaN and infinities outside quotes as null.
fn without_nan(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut quoted, mut escaped) = (false, false);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let word = ["NaN", "-Infinity", "Infinity"].into_iter().find(|word| rest.starts_with(word));
        if let Some(word) = word.filter(|_| !quoted) {
            out.push_str("null");
            rest = &rest[word.len()..];
            continue;
        }
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = quoted;
        } else if c == '"' {
            quoted = !quoted;
        }
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    out
}

fn value(tree: serde_json::Value) -> Value {
    match tree {
        serde_json::Value::Null => Value::Nothing,
        serde_json::Value::Bool(value) => Value::number(f64::from(u8::from(value))),
        serde_json::Value::Number(number) => Value::number(number.as_f64().unwrap_or(f64::NAN)),
        serde_json::Value::String(text) => Value::Text(text),
        serde_json::Value::Object(parts) => {
            Value::Map(parts.into_iter().map(|(name, part)| (name, value(part))).collect())
        }
        serde_json::Value::Array(parts) => array(parts.into_iter().map(value).collect()),
    }
}

fn array(parts: Vec<Value>) -> Value {
    let number = |part: &Value| matches!(part, Value::Numbers(n) if n.shape.is_empty());
    let any = parts.iter().any(number);
    if any && parts.iter().all(|part| number(part) || matches!(part, Value::Nothing)) {
        let values: Vec<f64> = parts.iter().filter_map(Value::scalar).collect();
        return Value::Numbers(Numbers { shape: vec![values.len()], values });
    }
    let shape = |part: &Value| part.numbers().map(|n| n.shape.clone()).filter(|s| !s.is_empty());
    let first = parts.first().and_then(shape);
    match first {
        Some(row) if parts.iter().all(|part| shape(part).as_ref() == Some(&row)) => {
            let mut shape = vec![parts.len()];
            shape.extend(row);
            let values = parts.iter().filter_map(Value::numbers).flat_map(|n| n.values.clone());
            Value::Numbers(Numbers { shape, values: values.collect() })
        }
        _ => Value::List(parts),
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these values are exact")]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Value> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.json");
        nissl_core::store::write_bytes(&path, text.as_bytes()).expect("writes");
        read(&path)
    }

    #[test]
    fn arrays_of_numbers_become_arrays_and_gaps_nan() {
        let tree = read_text(r#"{"a": [[1, null, 3], [4, 5, 6]], "b": ["x", null], "c": 2}"#);
        let tree = tree.expect("reads");
        let a = tree.at("a").and_then(Value::matrix).expect("a matrix");
        assert_eq!(a.dim(), (2, 3));
        assert!(a[[0, 1]].is_nan() && a[[1, 2]] == 6.0);
        assert_eq!(tree.at("b").map(|b| b.list().len()), Some(2));
        assert_eq!(tree.at("c").and_then(Value::scalar), Some(2.0));
    }

    #[test]
    fn bare_nan_is_a_gap_and_quoted_nan_a_text() {
        let tree = read_text(r#"{"a": [NaN, 1.5, -Infinity], "b": "NaN \" NaN"}"#).expect("reads");
        let a = tree.at("a").and_then(Value::vector).expect("numbers");
        assert!(a[0].is_nan() && a[1] == 1.5 && a[2].is_nan());
        assert_eq!(tree.at("b").and_then(Value::text), Some("NaN \" NaN"));
    }

    #[test]
    fn damage_is_an_error_with_its_place() {
        for text in ["", "{", r#"{"a": [1, 2}"#, "\u{0}"] {
            let error = read_text(text).expect_err("refused").to_string();
            assert!(error.contains("a JSON document"), "{error}");
        }
    }
}
