//! Texts with labels, in the formats people keep them in.
//!
//! `.json`: `{label: [sentence, …]}`, or a list of `{text|prompt, label}` or of sentences; `.jsonl`:
//! one such object or sentence a line; `.csv` and `.parquet`: columns of the same names; everything
//! else: one text a line. Labels are optional, and numbers among them are read as text.
//!
//! Memory: one line, or one row group of Parquet; `.json` is read whole.

mod json;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde_json::Value;

use crate::error::{Error, IoContext, Result, nearest};
use crate::table::{Column, Table};

/// A text, its label, and where it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelledText {
    /// The text.
    pub text: String,
    /// What it is about; `None` where the file does not say.
    pub label: Option<String>,
    /// The line it begins in, counted from 1; of Parquet the row.
    pub line: usize,
}

/// A stream of labelled texts.
pub type LabelledTexts = Box<dyn Iterator<Item = Result<LabelledText>>>;

/// The names of the field that holds the text, unless the user gives another: the first that is
/// there is taken.
pub const TEXT_FIELDS: [&str; 2] = ["text", "prompt"];
/// The name of the field that holds the label.
pub const LABEL_FIELD: &str = "label";

/// All texts of a file, in order, without blank ones.
///
/// # Errors
/// A file that is not there, is not of its format, or holds no text; each error names the line.
pub fn read(path: &Path) -> Result<Vec<LabelledText>> {
    let mut texts = Vec::new();
    for text in stream(path, &TEXT_FIELDS)? {
        let text = text?;
        if !text.text.trim().is_empty() {
            texts.push(text);
        }
    }
    if texts.is_empty() {
        let what = path.display().to_string();
        return Err(Error::Empty { what, expected: "at least one text".to_owned() });
    }
    Ok(texts)
}

/// The texts of a file, one after the other, under the first of `fields` that is there.
///
/// # Errors
/// A file that is not there. What is wrong inside it comes with the text it stands in.
pub fn stream(path: &Path, fields: &[&str]) -> Result<LabelledTexts> {
    let fields: Vec<String> = fields.iter().map(|&field| field.to_owned()).collect();
    match extension(path).as_str() {
        "json" => json::whole(path, &fields),
        "jsonl" | "ndjson" => json::lines(path, fields),
        "csv" => comma_separated(path, &fields),
        "parquet" => parquet(path, &fields),
        _ => plain(path),
    }
}

/// Whether a file's name says that it holds records rather than plain text.
pub fn is_structured(path: &Path) -> bool {
    ["json", "jsonl", "ndjson", "csv", "parquet"].contains(&extension(path).as_str())
}

fn extension(path: &Path) -> String {
    path.extension().map(|end| end.to_string_lossy().to_lowercase()).unwrap_or_default()
}

/// Lines of a file with their numbers, counted from 1; each keeps its end.
///
/// # Errors
/// A file that is not there. A line that is not UTF-8 is an error in its place.
pub fn lines(path: &Path) -> Result<impl Iterator<Item = Result<(usize, String)>> + use<>> {
    let file = File::open(path).at(path, "open")?;
    let path = path.to_owned();
    let mut reader = BufReader::with_capacity(1 << 18, file);
    let mut number = 0;
    Ok(std::iter::from_fn(move || {
        let mut bytes = Vec::new();
        match reader.read_until(b'\n', &mut bytes) {
            Err(error) => return Some(Err(Error::io(&path, "read", error))),
            Ok(0) => return None,
            Ok(_) => {}
        }
        number += 1;
        if number == 1 && bytes.starts_with(BYTE_ORDER_MARK) {
            bytes.drain(..BYTE_ORDER_MARK.len());
        }
        Some(String::from_utf8(bytes).map(|line| (number, line)).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            not_utf8(&path, format!("line {number}, byte {at}"))
        }))
    }))
}

/// What some editors put before UTF-8.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

fn not_utf8(path: &Path, place: String) -> Error {
    Error::file(path, place, "not UTF-8", "UTF-8 text")
        .with_help("convert it first, for example with `iconv -t utf-8`")
}

fn plain(path: &Path) -> Result<LabelledTexts> {
    Ok(Box::new(lines(path)?.filter_map(|line| match line {
        Err(error) => Some(Err(error)),
        Ok((_, line)) if line.trim().is_empty() => None,
        Ok((line, text)) => {
            let text = text.trim_end_matches(['\n', '\r']).to_owned();
            Some(Ok(LabelledText { text, label: None, line }))
        }
    })))
}

/// The place of the first of `fields` among `names`.
fn text_field<'a>(fields: &'a [String], names: &[impl AsRef<str>]) -> Result<(&'a String, usize)> {
    let place = |field: &String| names.iter().position(|name| name.as_ref() == field);
    let found = fields.iter().find_map(|field| place(field).map(|place| (field, place)));
    found.ok_or_else(|| {
        let wanted = fields.first().map(String::as_str).unwrap_or_default();
        let near = nearest(wanted, names.iter().map(AsRef::as_ref));
        Error::setting("column", format!("`{wanted}`"), format!("one of {}", near.join(", ")))
    })
}

fn comma_separated(path: &Path, fields: &[String]) -> Result<LabelledTexts> {
    let file = File::open(path).at(path, "open")?;
    let mut file = BufReader::new(file);
    let beginning = file.fill_buf().at(path, "read")?;
    // A record ends at the \r, so the reader counts the \n after the place of the next one.
    let end = beginning.iter().position(|&byte| byte == b'\n').unwrap_or(0);
    let lag = u64::from(end > 0 && beginning[end - 1] == b'\r');
    let mut reader = csv::ReaderBuilder::new().flexible(false).from_reader(file);
    let path = path.to_owned();
    let broken = move |error: csv::Error| {
        let line = error.position().map_or(0, |position| position.line() + lag);
        Error::file(&path, format!("line {line}"), error, "CSV in UTF-8")
    };
    let names: Vec<String> =
        reader.headers().map_err(&broken)?.iter().map(|name| name.trim().to_owned()).collect();
    let (_, at) = text_field(fields, &names)?;
    let label = names.iter().position(|name| name == LABEL_FIELD);
    Ok(Box::new(reader.into_records().map(move |record| {
        let record = record.map_err(&broken)?;
        let cell = |at: usize| record.get(at).unwrap_or_default().to_owned();
        let line = record.position().map_or(0, |position| (position.line() + lag) as usize);
        Ok(LabelledText { text: cell(at), label: label.map(cell), line })
    })))
}

fn parquet(path: &Path, fields: &[String]) -> Result<LabelledTexts> {
    let first = Table::read_groups(path, None)?.next().transpose()?.unwrap_or_default();
    let names: Vec<String> = first.names().map(str::to_owned).collect();
    let (field, _) = text_field(fields, &names)?;
    let field = field.clone();
    let labelled = names.iter().any(|name| name == LABEL_FIELD);
    let mut wanted = vec![field.as_str()];
    wanted.extend(labelled.then_some(LABEL_FIELD));
    let groups = Table::read_groups(path, Some(&wanted))?;
    let mut before = 0;
    Ok(Box::new(groups.flat_map(move |group| {
        let texts = group.and_then(|group| {
            let labels = labelled.then(|| group.get(LABEL_FIELD)).flatten();
            let texts = group.texts(&field)?.iter().enumerate().map(|(row, text)| LabelledText {
                text: text.clone(),
                label: labels.map(|labels| cell(labels, row)),
                line: before + row + 1,
            });
            let texts: Vec<Result<LabelledText>> = texts.map(Ok).collect();
            before += texts.len();
            Ok(texts)
        });
        texts.unwrap_or_else(|error| vec![Err(error)])
    })))
}

/// A label as text.
fn cell(column: &Column, row: usize) -> String {
    match column {
        Column::Text(values) => values[row].clone(),
        Column::Bool(values) => values[row].to_string(),
        Column::U32(values) => values[row].to_string(),
        Column::U64(values) => values[row].to_string(),
        Column::F32(values) => values[row].to_string(),
        Column::F64(values) => values[row].to_string(),
        _ => String::new(),
    }
}

/// A record `{text|prompt, label}`, or a text alone.
fn record(path: &Path, line: usize, value: &Value, fields: &[String]) -> Result<LabelledText> {
    let place = || format!("line {line}");
    let expected = || {
        let names: Vec<String> = fields.iter().map(|field| format!("`{field}`")).collect();
        format!("a text under {}", names.join(" or "))
    };
    if let Value::String(text) = value {
        return Ok(LabelledText { text: text.clone(), label: None, line });
    }
    let Some(object) = value.as_object() else {
        return Err(Error::file(path, place(), json::kind(value), expected()));
    };
    let text = fields.iter().find_map(|field| object.get(field).and_then(Value::as_str));
    let Some(text) = text else {
        let keys: Vec<&str> = object.keys().map(String::as_str).collect();
        let found = format!("an object with {}", keys.join(", "));
        return Err(Error::file(path, place(), found, expected())
            .with_help("name the field that holds the text with --column"));
    };
    let label = match object.get(LABEL_FIELD) {
        None | Some(Value::Null) => None,
        Some(Value::String(label)) => Some(label.clone()),
        Some(label @ (Value::Number(_) | Value::Bool(_))) => Some(label.to_string()),
        Some(other) => {
            let found = format!("{} as `{LABEL_FIELD}`", json::kind(other));
            return Err(Error::file(path, place(), found, "a text or a number"));
        }
    };
    Ok(LabelledText { text: text.to_owned(), label, line })
}

#[cfg(test)]
mod tests;
