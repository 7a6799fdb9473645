//! Labelled texts in JSON, each with the line it begins in.

use std::path::Path;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use super::{LabelledText, LabelledTexts, not_utf8, record};
use crate::error::{Error, IoContext, Result};

/// What a value is, in words.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// One object or text a line.
pub(super) fn lines(path: &Path, fields: Vec<String>) -> Result<LabelledTexts> {
    let path = path.to_owned();
    Ok(Box::new(super::lines(&path.clone())?.filter_map(move |line| {
        let (number, line) = match line {
            Ok(line) => line,
            Err(error) => return Some(Err(error)),
        };
        if line.trim().is_empty() {
            return None;
        }
        let value = serde_json::from_str(&line)
            .map_err(|error| Error::file(&path, format!("line {number}"), error, "a JSON object"));
        Some(value.and_then(|value| record(&path, number, &value, &fields)))
    })))
}

/// `{label: [sentence, …]}`, or a list of records.
pub(super) fn whole(path: &Path, fields: &[String]) -> Result<LabelledTexts> {
    let bytes = std::fs::read(path).at(path, "read")?;
    let text = String::from_utf8(bytes)
        .map_err(|error| not_utf8(path, format!("byte {}", error.utf8_error().valid_up_to())))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    // Once for all: what follows may rely on balanced brackets.
    serde_json::from_str::<IgnoredAny>(text)
        .map_err(|error| Error::file(path, format!("line {}", error.line()), error, "JSON"))?;
    let mut reader = Reader { path, text, at: 0, line: 1, counted: 0 };
    let mut found = Vec::new();
    match reader.peek() {
        Some(b'[') => reader.list(|reader| {
            let (line, value) = reader.value::<Value>()?;
            found.push(record(reader.path, line, &value, fields)?);
            Ok(())
        })?,
        Some(b'{') => reader.object(|reader, label| {
            if reader.peek() != Some(b'[') {
                let found = format!("no list under `{label}`");
                return Err(reader.wrong(found, SHAPES));
            }
            reader.list(|reader| {
                if reader.peek() != Some(b'"') {
                    let found = format!("no text in the list of `{label}`");
                    return Err(reader.wrong(found, "a list of sentences"));
                }
                let (line, text) = reader.value::<String>()?;
                found.push(LabelledText { text, label: Some(label.to_owned()), line });
                Ok(())
            })
        })?,
        _ => return Err(reader.wrong("neither an object nor a list", SHAPES)),
    }
    Ok(Box::new(found.into_iter().map(Ok)))
}

const SHAPES: &str = "{label: [sentence, …]}, or a list of {text, label}";

/// Walks over JSON that is known to be well formed, and counts lines.
struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    at: usize,
    line: usize,
    counted: usize,
}

impl Reader<'_> {
    /// The next byte that is no space; it is not consumed.
    fn peek(&mut self) -> Option<u8> {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
        self.text.as_bytes().get(self.at).copied()
    }

    /// The line of the next value.
    fn line(&mut self) -> usize {
        self.peek();
        self.line += self.text[self.counted..self.at].matches('\n').count();
        self.counted = self.at;
        self.line
    }

    fn wrong(&mut self, found: impl ToString, expected: &str) -> Error {
        let line = self.line();
        Error::file(self.path, format!("line {line}"), found, expected)
    }

    /// A text, a list or an object, and the line it begins in.
    fn value<T: DeserializeOwned>(&mut self) -> Result<(usize, T)> {
        let line = self.line();
        // Numbers and words do not end by themselves, so the reader below would ask for a space.
        if !matches!(self.peek(), Some(b'"' | b'[' | b'{')) {
            return Err(self.wrong("a bare number or word", SHAPES));
        }
        let mut values = serde_json::Deserializer::from_str(&self.text[self.at..]).into_iter();
        let value = values.next().and_then(std::result::Result::ok);
        let Some(value) = value else { return Err(self.wrong("no value", SHAPES)) };
        self.at += values.byte_offset();
        Ok((line, value))
    }

    fn list(&mut self, mut each: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        self.at += 1;
        while self.peek().is_some_and(|byte| byte != b']') {
            each(self)?;
            self.skip(b',');
        }
        self.skip(b']');
        Ok(())
    }

    fn object(&mut self, mut each: impl FnMut(&mut Self, &str) -> Result<()>) -> Result<()> {
        self.at += 1;
        while self.peek().is_some_and(|byte| byte != b'}') {
            let (_, key) = self.value::<String>()?;
            self.skip(b':');
            each(self, &key)?;
            self.skip(b',');
        }
        self.skip(b'}');
        Ok(())
    }

    fn skip(&mut self, mark: u8) {
        if self.peek() == Some(mark) {
            self.at += 1;
        }
    }
}
