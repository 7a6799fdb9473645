//! `config.json`: typed reading, so that every error names the file, the field, what was found and
//! what was expected.

use std::path::{Path, PathBuf};

use nissl_core::error::IoContext;
use nissl_core::{Error, Result};
use serde_json::{Map, Value};

use super::ops::Activation;

/// No vocabulary, width or context of a real network is larger; a bound keeps a lie from asking for
/// all memory.
const LARGEST: u64 = 1 << 24;

/// The attributes of a checkpoint, or of one section of them.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    path: PathBuf,
    prefix: String,
    fields: Map<String, Value>,
}

impl Config {
    /// Reads `config.json` of `folder`.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("config.json");
        let bytes = std::fs::read(&path).at(&path, "open")?;
        Self::parse(path, &bytes)
    }

    /// Reads the text of a `config.json` that `path` stands for.
    pub(crate) fn parse(path: impl Into<PathBuf>, bytes: &[u8]) -> Result<Self> {
        let path = path.into();
        let value = serde_json::from_slice(bytes)
            .map_err(|error| Error::file(&path, "content", error, "JSON"))?;
        let Value::Object(fields) = value else {
            return Err(Error::file(&path, "content", "no object", "a JSON object"));
        };
        Ok(Self { path, prefix: String::new(), fields })
    }

    /// What stands for the description of a checkpoint that has none.
    pub(crate) fn absent(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), prefix: String::new(), fields: Map::new() }
    }

    /// The error for a field of this file.
    pub(crate) fn wrong(&self, key: &str, found: impl ToString, expected: &str) -> Error {
        Error::file(&self.path, format!("{}{key}", self.prefix), found, expected)
    }

    /// Whether a field is there and not null.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    fn get(&self, key: &str) -> Option<&Value> {
        self.fields.get(key).filter(|value| !value.is_null())
    }

    /// A section, when it is there and not null.
    pub(crate) fn section(&self, key: &str) -> Result<Option<Self>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Object(fields)) => {
                let prefix = format!("{}{key}.", self.prefix);
                Ok(Some(Self { path: self.path.clone(), prefix, fields: fields.clone() }))
            }
            Some(other) => Err(self.wrong(key, other, "an object")),
        }
    }

    /// A whole number from 1.
    pub(crate) fn size(&self, key: &str) -> Result<usize> {
        let expected = "a whole number from 1 to 2²⁴";
        match self.get(key) {
            None => Err(self.wrong(key, "absent", expected)),
            Some(value) => match value.as_u64() {
                Some(size) if (1..=LARGEST).contains(&size) => Ok(size as usize),
                _ => Err(self.wrong(key, value, expected)),
            },
        }
    }

    /// A whole number from 1, or `default` where there is none.
    pub(crate) fn size_or(&self, key: &str, default: usize) -> Result<usize> {
        if self.has(key) { self.size(key) } else { Ok(default) }
    }

    /// A finite number, or `default` where there is none.
    pub(crate) fn number_or(&self, key: &str, default: f64) -> Result<f64> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => value.as_f64().ok_or_else(|| self.wrong(key, value, "a number")),
        }
    }

    /// A number above 0.
    pub(crate) fn positive(&self, key: &str) -> Result<f64> {
        let number = self.number_or(key, f64::NAN)?;
        if number > 0.0 {
            return Ok(number);
        }
        let found = self.get(key).map_or_else(|| "absent".to_owned(), Value::to_string);
        Err(self.wrong(key, found, "a number above 0"))
    }

    /// A number above 0, where there is one.
    pub(crate) fn positive_if_any(&self, key: &str) -> Result<Option<f64>> {
        if self.has(key) { self.positive(key).map(Some) } else { Ok(None) }
    }

    /// Yes or no, or `default` where there is neither.
    pub(crate) fn flag_or(&self, key: &str, default: bool) -> Result<bool> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => value.as_bool().ok_or_else(|| self.wrong(key, value, "true or false")),
        }
    }

    /// A text, or `default` where there is none.
    pub(crate) fn text_or<'a>(&'a self, key: &str, default: &'a str) -> Result<&'a str> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => value.as_str().ok_or_else(|| self.wrong(key, value, "a text")),
        }
    }

    /// A list of texts, where there is one.
    pub(crate) fn texts(&self, key: &str) -> Result<Option<Vec<String>>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let list = value.as_array().and_then(|list| {
            list.iter().map(|one| one.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
        });
        list.map(Some).ok_or_else(|| self.wrong(key, value, "a list of texts"))
    }

    /// The non-linearity named by `key`.
    pub(crate) fn activation(&self, key: &str, default: &str) -> Result<Activation> {
        let name = self.text_or(key, default)?;
        Activation::named(name)
            .ok_or_else(|| self.wrong(key, name, "gelu, gelu_new, gelu_pytorch_tanh, relu or silu"))
    }

    /// Refuses attributes that change the computation in a way that is not implemented: each of
    /// `only` must be absent, null, or as given.
    pub(crate) fn only(&self, only: &[(&str, Value)]) -> Result<()> {
        for (key, supported) in only {
            if let Some(found) = self.get(key)
                && found != supported
            {
                return Err(self.wrong(key, found, &supported.to_string()).with_help(
                    "networks with this attribute compute something else; it is not supported",
                ));
            }
        }
        Ok(())
    }

    /// The number of layers.
    pub(crate) fn layers(&self, key: &str) -> Result<usize> {
        match self.size(key)? {
            layers @ 1..=4096 => Ok(layers),
            layers => Err(self.wrong(key, layers, "1 to 4096 layers")),
        }
    }

    /// `whole / parts`, where the parts must fill the whole.
    pub(crate) fn share(&self, key: &str, whole: usize, parts: usize) -> Result<usize> {
        if whole.is_multiple_of(parts) {
            return Ok(whole / parts);
        }
        Err(self.wrong(key, parts, &format!("a divisor of {whole}")))
    }

    /// The token that ends a text: a number, or the first of a list.
    pub(crate) fn end_token(&self) -> Option<u32> {
        let value = self.get("eos_token_id")?;
        value.as_array().map_or(Some(value), |list| list.first())?.as_u64().map(|id| id as u32)
    }
}

/// The tokens that end a text or an answer, by `config.json` and `generation_config.json`; none where
/// neither says so.
pub(crate) fn end_tokens(folder: &Path) -> Vec<u32> {
    let of = |name: &str| -> Option<Vec<u32>> {
        let bytes = std::fs::read(folder.join(name)).ok()?;
        let value: Value = serde_json::from_slice(&bytes).ok()?;
        let ends = value.get("eos_token_id")?;
        let list = ends.as_array().cloned().unwrap_or_else(|| vec![ends.clone()]);
        Some(list.iter().filter_map(|id| u32::try_from(id.as_u64()?).ok()).collect())
    };
    ["config.json", "generation_config.json"].into_iter().filter_map(of).flatten().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_error_names_file_field_found_and_expected() {
        let text = br#"{"n_layer": -3, "act": "mish", "rope": {"factor": "x"}, "scale": true}"#;
        let config = Config::parse("a/config.json", text).expect("JSON");
        let errors = [
            config.size("n_layer").expect_err("negative"),
            config.size("n_head").expect_err("absent"),
            config.activation("act", "gelu").expect_err("unknown"),
            config
                .section("rope")
                .expect("there")
                .expect("there")
                .positive("factor")
                .expect_err("text"),
            config.only(&[("scale", json!(false))]).expect_err("refused"),
        ];
        let parts = [
            ("n_layer", "-3"),
            ("n_head", "absent"),
            ("act", "mish"),
            ("rope.factor", "x"),
            ("scale", "true"),
        ];
        for (error, (field, found)) in errors.iter().zip(parts) {
            let text = error.to_string();
            assert!(text.contains("a/config.json") && text.contains(field), "{text}");
            assert!(text.contains(found) && text.contains("expected"), "{text}");
        }
    }

    #[test]
    fn what_is_no_object_is_refused() {
        assert!(Config::parse("c", b"[1]").is_err());
        assert!(Config::parse("c", b"{").is_err());
    }
}
