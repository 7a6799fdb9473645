//! Tables of text files and of spreadsheets as one grid of cells.
//!
//! Memory: all sheets of the file; published connectomes have a few megabytes.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use calamine::{Data, Reader};
use nissl_core::{Error, Result};

use super::reading::Place;

/// A cell.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Cell {
    #[default]
    Empty,
    Text(String),
    Number(f64),
}

impl Cell {
    /// Its text without space around it; numbers as they would be written.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Empty => String::new(),
            Self::Text(text) => text.trim().to_owned(),
            Self::Number(number) => number.to_string(),
        }
    }

    /// Its number, also when that is written as text.
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Empty => None,
            Self::Text(text) => text.trim().parse().ok(),
            Self::Number(number) => Some(*number),
        }
    }
}

/// A sheet: rows of cells from the upper left corner on.
#[derive(Clone, Debug)]
pub(super) struct Grid {
    pub(super) path: PathBuf,
    /// The name of the sheet; empty for text files.
    pub(super) sheet: String,
    pub(super) rows: Vec<Vec<Cell>>,
}

impl Grid {
    /// The cell in `row` and `column`, both from 0.
    pub(super) fn cell(&self, row: usize, column: usize) -> &Cell {
        static EMPTY: Cell = Cell::Empty;
        self.rows.get(row).and_then(|row| row.get(column)).unwrap_or(&EMPTY)
    }

    /// Where `field` stands in `row`, for messages.
    pub(super) fn place(&self, field: &str, row: usize) -> Place {
        let sheet = if self.sheet.is_empty() {
            String::new()
        } else {
            format!(" of sheet `{}`", self.sheet)
        };
        Place::new(&self.path, field, format!("row {}{sheet}", row + 1))
    }

    /// The names in the first row.
    pub(super) fn header(&self) -> Vec<String> {
        self.rows.first().map_or_else(Vec::new, |row| row.iter().map(Cell::text).collect())
    }

    /// The columns that are called `names`, whatever their case; none when one is absent.
    pub(super) fn columns<const N: usize>(&self, names: [&str; N]) -> Option<[usize; N]> {
        let header = self.header();
        let mut found = [0; N];
        for (place, name) in found.iter_mut().zip(names) {
            *place = header.iter().position(|other| other.eq_ignore_ascii_case(name))?;
        }
        Some(found)
    }
}

/// The sheets of a spreadsheet, or the one table of a text file.
///
/// # Errors
/// A file that is empty, no text, or no spreadsheet although it begins as one.
pub(super) fn read(path: &Path, bytes: Vec<u8>) -> Result<Vec<Grid>> {
    let is_sheet = bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"\xd0\xcf\x11\xe0");
    let grids = if is_sheet { sheets(path, bytes)? } else { vec![text(path, &bytes)?] };
    if grids.iter().all(|grid| grid.rows.is_empty()) {
        let what = path.display().to_string();
        return Err(Error::Empty { what, expected: "a table of connections".to_owned() });
    }
    Ok(grids)
}

fn sheets(path: &Path, bytes: Vec<u8>) -> Result<Vec<Grid>> {
    let broken = |error: &calamine::Error| {
        Error::file(path, "content", error.to_string(), "a readable .xlsx or .xls")
            .with_help("fetch the file again; what servers send instead of it often has its name")
    };
    let mut book =
        calamine::open_workbook_auto_from_rs(Cursor::new(bytes)).map_err(|error| broken(&error))?;
    let mut grids = Vec::new();
    for sheet in book.sheet_names() {
        let Ok(range) = book.worksheet_range(&sheet) else { continue };
        let (top, left) = range.start().unwrap_or_default();
        let mut rows = vec![Vec::new(); top as usize];
        rows.extend(range.rows().map(|row| {
            let mut cells = vec![Cell::Empty; left as usize];
            cells.extend(row.iter().map(cell));
            cells
        }));
        grids.push(Grid { path: path.to_owned(), sheet, rows });
    }
    Ok(grids)
}

fn cell(data: &Data) -> Cell {
    match data {
        Data::Empty => Cell::Empty,
        Data::Int(value) => Cell::Number(*value as f64),
        Data::Float(value) => Cell::Number(*value),
        Data::String(text) if text.trim().is_empty() => Cell::Empty,
        Data::String(text) => Cell::Text(text.clone()),
        other => Cell::Text(other.to_string()),
    }
}

fn text(path: &Path, bytes: &[u8]) -> Result<Grid> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if let Err(error) = std::str::from_utf8(bytes) {
        return Err(Error::file(path, "content", error, "text or a spreadsheet"));
    }
    let first = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let count = |wanted: u8| first.split(|&byte| byte == wanted).count();
    let separators = [b',', b'\t', b';'];
    let delimiter =
        separators.into_iter().max_by_key(|&separator| count(separator)).unwrap_or(b',');
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .from_reader(bytes);
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| Error::file(path, "content", error, "rows of text"))?;
        let cell = |field: &str| match field.trim() {
            "" => Cell::Empty,
            text => Cell::Text(text.to_owned()),
        };
        rows.push(record.iter().map(cell).collect());
    }
    Ok(Grid { path: path.to_owned(), sheet: String::new(), rows })
}
