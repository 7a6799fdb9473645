//! A matrix as text with separators: one line a sample.
//!
//! The separator (comma, semicolon or tab) is the most frequent of the first line. A first line with
//! a field that is no number names the columns. Empty fields, `NA` and `NaN` are missing values.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use ::csv::{ByteRecord, Reader, ReaderBuilder};
use ndarray::Array2;
use nissl_core::{Column, Error, IoContext, Result, Table};

use super::columns::{Role, counts, is_missing, role};
use super::dense::too_large;
use super::{Chunk, Import, Matrix, checked_shape, rows_in_block};

pub(super) fn open(path: &Path, settings: &Import) -> Result<Matrix> {
    let mut file = super::open_file(path)?;
    let length = file.metadata().at(path, "look at")?.len();
    let mut start = Vec::new();
    Read::by_ref(&mut file).take(1 << 20).read_to_end(&mut start).at(path, "read")?;
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(separator(&start))
        .from_reader(super::open_file(path)?);
    let mut first = ByteRecord::new();
    if !reader.read_byte_record(&mut first).map_err(|error| broken(path, &error))? {
        return Err(Error::file(path, "content", "without a line", "at least one sample"));
    }
    let lines = Lines { path: path.to_owned(), reader, fields: first.len() };
    let texts = lines.texts(&first)?;
    let named = texts.iter().any(|text| !is_missing(text) && text.parse::<f32>().is_err());
    let roles: Vec<Role> = texts
        .iter()
        .enumerate()
        .map(|(at, text)| match text.as_str() {
            // Row labels, as data frames are written with.
            "" if named && at == 0 => Role::Free,
            name if named => role(name, &settings.sample_columns),
            _ => Role::Unit,
        })
        .collect();
    let of_units = |at: &usize| roles[*at] == Role::Unit;
    let units = (0..roles.len()).filter(of_units).count();
    checked_shape(path, 1, units as u64)?;
    let names = named
        .then(|| (0..roles.len()).filter(of_units).map(|at| texts[at].clone()).collect::<Vec<_>>());
    let about = (0..roles.len())
        .filter(|at| !matches!(roles[*at], Role::Unit | Role::Dropped))
        .map(|at| About {
            name: if texts[at].is_empty() { "label".to_owned() } else { texts[at].clone() },
            role: roles[at],
            kind: None,
        })
        .collect();
    let waiting = (!named).then_some(first);
    let blocks = Blocks { lines, roles, units, about, waiting, read: 0, any: false, failed: false };
    Ok(Matrix { units, names, total: (length, "bytes"), chunks: Box::new(blocks) })
}

/// The most frequent separator of the first line, outside quotes.
fn separator(start: &[u8]) -> u8 {
    let mut counts = [(b'\t', 0), (b';', 0), (b',', 0)];
    let mut quoted = false;
    for &byte in start {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' | b'\r' if !quoted => break,
            _ if !quoted => {
                for (_, count) in counts.iter_mut().filter(|(separator, _)| *separator == byte) {
                    *count += 1;
                }
            }
            _ => {}
        }
    }
    // The first of those that are equal: a comma may be a decimal one, a semicolon never is.
    let most = counts.iter().map(|(_, count)| *count).max().unwrap_or(0);
    counts.iter().find(|(_, count)| *count == most && most > 0).map_or(b',', |(byte, _)| *byte)
}

struct Lines {
    path: PathBuf,
    reader: Reader<File>,
    fields: usize,
}

impl Lines {
    fn text<'a>(&self, record: &'a ByteRecord, column: usize) -> Result<&'a str> {
        let field = record.get(column).unwrap_or_default();
        std::str::from_utf8(field).map(str::trim).map_err(|_invalid| {
            let found = String::from_utf8_lossy(field).into_owned();
            Error::file(&self.path, place(line(record), column), found, "UTF-8")
                .with_help("save the file as UTF-8")
        })
    }

    fn texts(&self, record: &ByteRecord) -> Result<Vec<String>> {
        (0..record.len()).map(|at| self.text(record, at).map(str::to_owned)).collect()
    }

    fn next(&mut self, record: &mut ByteRecord) -> Result<bool> {
        let more = self.reader.read_byte_record(record);
        let more = more.map_err(|error| broken(&self.path, &error))?;
        if more && record.len() != self.fields {
            let found = format!("{} fields", record.len());
            let expected = format!("{} as in the first line", self.fields);
            return Err(Error::file(&self.path, format!("line {}", line(record)), found, expected));
        }
        Ok(more)
    }
}

/// A column of the sample table; its kind is settled by the first block.
struct About {
    name: String,
    role: Role,
    kind: Option<Kind>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bool,
    Number,
    Text,
}

struct Blocks {
    lines: Lines,
    roles: Vec<Role>,
    units: usize,
    about: Vec<About>,
    waiting: Option<ByteRecord>,
    read: u64,
    any: bool,
    failed: bool,
}

impl Iterator for Blocks {
    type Item = Result<Chunk>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let block = self.block();
        self.failed = block.is_err();
        block.transpose()
    }
}

impl Blocks {
    fn block(&mut self) -> Result<Option<Chunk>> {
        let most = rows_in_block(self.units);
        let mut activity = Vec::new();
        let mut about: Vec<Vec<String>> = vec![Vec::new(); self.about.len()];
        let mut numbers = Vec::new();
        let mut record = self.waiting.take().unwrap_or_default();
        let mut there = !record.is_empty() || self.lines.next(&mut record)?;
        while there {
            let mut next = about.iter_mut();
            for (column, role) in self.roles.iter().enumerate() {
                let text = self.lines.text(&record, column)?;
                match role {
                    Role::Unit => activity.push(self.number(&record, column, text)?),
                    Role::Dropped => {}
                    _ => next.by_ref().take(1).for_each(|texts| texts.push(text.to_owned())),
                }
            }
            numbers.push(line(&record));
            there = numbers.len() < most && self.lines.next(&mut record)?;
        }
        let rows = numbers.len();
        if rows == 0 && self.any {
            return Ok(None);
        }
        if rows == 0 {
            let path = &self.lines.path;
            return Err(Error::file(
                path,
                "content",
                "a line of names only",
                "at least one sample",
            ));
        }
        self.any = true;
        let mut samples = Table::new();
        for (about, texts) in self.about.iter_mut().zip(about) {
            let column = about.column(&self.lines.path, texts, &numbers)?;
            samples = samples.with(about.name.as_str(), column);
        }
        let activity = Array2::from_shape_vec((rows, self.units), activity)
            .map_err(|error| Error::file(&self.lines.path, "shape", error, "a matrix"))?;
        let before = std::mem::replace(&mut self.read, self.lines.reader.position().byte());
        Ok(Some(Chunk { activity, samples, progress: self.read.saturating_sub(before) }))
    }

    fn number(&self, record: &ByteRecord, column: usize, text: &str) -> Result<f32> {
        if is_missing(text) {
            return Ok(f32::NAN);
        }
        let path = &self.lines.path;
        let Ok(value) = text.parse::<f32>() else {
            let expected = "a number, or nothing where one is missing";
            return Err(Error::file(
                path,
                place(line(record), column),
                format!("`{text}`"),
                expected,
            )
            .with_help("a column about the samples is named with --sample-column"));
        };
        if value.is_infinite() && !text.to_ascii_lowercase().contains("inf") {
            return Err(too_large(path, &place(line(record), column), text));
        }
        Ok(value)
    }
}

impl About {
    fn column(&mut self, path: &Path, texts: Vec<String>, lines: &[u64]) -> Result<Column> {
        let kind = *self.kind.get_or_insert_with(|| match self.role {
            Role::Text => Kind::Text,
            Role::Free if texts.iter().all(|text| truth(text).is_some()) => Kind::Bool,
            Role::Free if !texts.iter().all(|text| number(text).is_some()) => Kind::Text,
            _ => Kind::Number,
        });
        let refuse = |at: usize, found: &str, expected: &str| {
            let place = format!("line {}, column `{}`", lines[at], self.name);
            Error::file(path, place, format!("`{found}`"), expected)
        };
        let all = |texts: &[String]| -> Result<Vec<f64>> {
            let value = |(at, text): (usize, &String)| {
                number(text).ok_or_else(|| refuse(at, text, "a number"))
            };
            texts.iter().enumerate().map(value).collect()
        };
        Ok(match (kind, self.role) {
            (Kind::Text, _) => Column::Text(texts),
            (Kind::Bool, _) => {
                let value = |(at, text): (usize, &String)| {
                    truth(text).ok_or_else(|| refuse(at, text, "true or false, as above"))
                };
                Column::Bool(texts.iter().enumerate().map(value).collect::<Result<_>>()?)
            }
            (Kind::Number, Role::Count) => counts(&all(&texts)?).map_err(|(at, _)| {
                refuse(at, &texts[at], "a whole number from 0 to 4,294,967,295")
            })?,
            (Kind::Number, Role::Seconds) => Column::F64(all(&texts)?),
            (Kind::Number, _) => {
                Column::F32(all(&texts)?.into_iter().map(|value| value as f32).collect())
            }
        })
    }
}

fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

fn number(text: &str) -> Option<f64> {
    if is_missing(text) { Some(f64::NAN) } else { text.parse().ok() }
}

fn line(record: &ByteRecord) -> u64 {
    record.position().map_or(0, ::csv::Position::line)
}

fn place(line: u64, column: usize) -> String {
    format!("line {line}, column {}", column + 1)
}

fn broken(path: &Path, error: &::csv::Error) -> Error {
    Error::file(path, "content", error, "readable lines of text")
}
