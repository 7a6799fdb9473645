//! Texts as documents: plain text, JSON lines, CSV and Parquet, streamed.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use nissl_core::error::nearest;
use nissl_core::{Error, IoContext, Result, Table};
use serde::{Deserialize, Serialize};

/// A text and, when it was planted, the truth about its parts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Document {
    /// The text.
    pub text: String,
    /// One row for each planted token: `start` and `end` in bytes of the text, and its truth.
    pub truth: Option<Table>,
}

/// Where a plain text is cut into documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Documents {
    /// At blank lines.
    #[default]
    Paragraph,
    /// At every line.
    Line,
    /// Nowhere: a file is one document.
    File,
}

/// A stream of documents.
pub type DocumentStream = Box<dyn Iterator<Item = Result<Document>>>;

/// The documents of `files`, in order; `.jsonl`, `.csv` and `.parquet` give the texts of `column`,
/// everything else is plain text.
///
/// # Errors
/// A file that is not there. What is wrong inside a file comes with the document it stands in.
pub fn documents(files: &[PathBuf], column: &str, split: Documents) -> Result<DocumentStream> {
    let mut streams: Vec<DocumentStream> = Vec::new();
    for file in files {
        let extension = file.extension().map(std::ffi::OsStr::to_ascii_lowercase);
        streams.push(match extension.as_ref().and_then(|extension| extension.to_str()) {
            Some("jsonl" | "ndjson") => json_lines(file, column)?,
            Some("csv") => comma_separated(file, column)?,
            Some("parquet") => parquet(file, column)?,
            _ => plain(file, split)?,
        });
    }
    Ok(Box::new(streams.into_iter().flatten()))
}

fn document(text: String) -> Document {
    Document { text, truth: None }
}

/// Lines of a file with their numbers, counted from 1.
fn lines(path: &Path) -> Result<impl Iterator<Item = Result<(usize, String)>> + use<>> {
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
        Some(String::from_utf8(bytes).map(|line| (number, line)).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            Error::file(&path, format!("line {number}, byte {at}"), "not UTF-8", "UTF-8 text")
                .with_help("convert it first, for example with `iconv -t utf-8`")
        }))
    }))
}

fn plain(path: &Path, split: Documents) -> Result<DocumentStream> {
    let mut lines = lines(path)?;
    let mut ended = false;
    Ok(Box::new(std::iter::from_fn(move || {
        let mut text = String::new();
        while !ended {
            match lines.next() {
                None => ended = true,
                Some(Err(error)) => {
                    ended = true;
                    return Some(Err(error));
                }
                Some(Ok((_, line))) => {
                    let blank = line.trim().is_empty();
                    match split {
                        Documents::Line if !blank => {
                            return Some(Ok(document(
                                line.trim_end_matches(['\n', '\r']).to_owned(),
                            )));
                        }
                        Documents::Line => {}
                        Documents::Paragraph if blank && !text.is_empty() => break,
                        Documents::Paragraph if blank => {}
                        Documents::Paragraph | Documents::File => text += &line,
                    }
                }
            }
        }
        (!text.trim().is_empty()).then(|| Ok(document(text.trim_end().to_owned())))
    })))
}

fn json_lines(path: &Path, column: &str) -> Result<DocumentStream> {
    let (path, column) = (path.to_owned(), column.to_owned());
    Ok(Box::new(lines(&path.clone())?.filter_map(move |line| {
        let (number, line) = match line {
            Ok(line) => line,
            Err(error) => return Some(Err(error)),
        };
        if line.trim().is_empty() {
            return None;
        }
        let value: serde_json::Value = match serde_json::from_str(&line) {
            Ok(value) => value,
            Err(error) => {
                let field = format!("line {number}");
                return Some(Err(Error::file(&path, field, error, "a JSON object")));
            }
        };
        Some(if let Some(text) = value.get(&column).and_then(serde_json::Value::as_str) {
            Ok(document(text.to_owned()))
        } else {
            let keys = value.as_object().map(|o| o.keys().cloned().collect::<Vec<_>>());
            Err(Error::file(
                &path,
                format!("line {number}"),
                format!("an object with {}", keys.unwrap_or_default().join(", ")),
                format!("a text under `{column}`"),
            )
            .with_help("name the field that holds the text with --column"))
        })
    })))
}

fn comma_separated(path: &Path, column: &str) -> Result<DocumentStream> {
    let file = File::open(path).at(path, "open")?;
    let mut reader = csv::ReaderBuilder::new().flexible(false).from_reader(BufReader::new(file));
    let path = path.to_owned();
    let broken = move |error: csv::Error| {
        let line = error.position().map_or(0, csv::Position::line);
        Error::file(&path, format!("line {line}"), error, "CSV in UTF-8")
    };
    let headers = reader.headers().map_err(&broken)?.clone();
    let Some(at) = headers.iter().position(|header| header == column) else {
        return Err(no_column(column, headers.iter()));
    };
    Ok(Box::new(reader.into_records().map(move |record| {
        let record = record.map_err(&broken)?;
        Ok(document(record.get(at).unwrap_or_default().to_owned()))
    })))
}

fn parquet(path: &Path, column: &str) -> Result<DocumentStream> {
    let groups = Table::read_groups(path, Some(&[column]))
        .map_err(|error| error.with_help("name the column that holds the text with --column"))?;
    let column = column.to_owned();
    Ok(Box::new(groups.flat_map(move |group| {
        let texts = group.and_then(|group| group.texts(&column).map(<[String]>::to_vec));
        match texts {
            Ok(texts) => texts.into_iter().map(|text| Ok(document(text))).collect(),
            Err(error) => vec![Err(error)],
        }
    })))
}

fn no_column<'a>(column: &str, names: impl Iterator<Item = &'a str>) -> Error {
    let near = nearest(column, names);
    Error::setting("column", format!("`{column}`"), format!("one of {}", near.join(", ")))
}

#[cfg(test)]
mod tests {
    use nissl_core::store::write_bytes;

    use super::*;

    fn read(name: &str, bytes: &[u8], split: Documents) -> Vec<Result<String>> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(name);
        write_bytes(&path, bytes).expect("writes");
        match documents(&[path], "text", split) {
            Ok(stream) => stream.map(|document| document.map(|document| document.text)).collect(),
            Err(error) => vec![Err(error)],
        }
    }

    fn good(name: &str, bytes: &[u8], split: Documents) -> Vec<String> {
        read(name, bytes, split).into_iter().map(|text| text.expect("a text")).collect()
    }

    #[test]
    fn plain_text_is_cut_where_asked() {
        let text = b"\n one\ntwo\n \n\nthree\n";
        assert_eq!(good("a.txt", text, Documents::Paragraph), [" one\ntwo", "three"]);
        assert_eq!(good("a.txt", text, Documents::Line), [" one", "two", "three"]);
        assert_eq!(good("a.txt", text, Documents::File).len(), 1);
        assert!(good("a.txt", b" \n\n", Documents::Paragraph).is_empty());
    }

    #[test]
    fn tables_give_the_named_column() {
        let lines = b"{\"text\":\"a\"}\n\n{\"label\":1,\"text\":\"b\\n\"}\n";
        assert_eq!(good("a.jsonl", lines, Documents::Line), ["a", "b\n"]);
        assert_eq!(good("a.csv", b"id,text\n1,\"x, y\"\n2,z\n", Documents::Line), ["x, y", "z"]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let text = |bytes: &[u8], name: &str| {
            let all = read(name, bytes, Documents::Paragraph);
            all.into_iter().find_map(Result::err).expect("an error").to_string()
        };
        assert!(text(b"fine\n\xff\xfe\n", "a.txt").contains("line 2, byte 0"));
        assert!(text(b"{\"text\":\"a\"}\n{\"txt\":3}\n", "a.jsonl").contains("line 2"));
        assert!(text(b"{\"text\":\n", "a.jsonl").contains("line 1"));
        assert!(text(b"id,txt\n1,a\n", "a.csv").contains("`text`"));
        assert!(text(b"id,text\n1,a\n2\n", "a.csv").contains("line 3"));
        assert!(text(b"not parquet", "a.parquet").contains("Parquet"));
    }
}
