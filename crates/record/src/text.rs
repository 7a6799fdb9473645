//! Texts as documents: plain text, JSON, JSON lines, CSV and Parquet, streamed.

use std::path::{Path, PathBuf};

use nissl_core::labelled_text::{self, TEXT_FIELDS, is_structured, lines};
use nissl_core::{Error, Result, Table};
use serde::{Deserialize, Serialize};

/// A text and what is known about it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Document {
    /// The text.
    pub text: String,
    /// What it is about; of one recording, all documents have a label or none has.
    pub label: Option<String>,
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

/// The documents of `files`, in order; `.json`, `.jsonl`, `.csv` and `.parquet` give the texts of
/// `column` (of `prompt`, where `text` is asked for and absent) with their `label`, everything else is
/// plain text.
///
/// Documents carry labels when one of any file has one; an empty label then stands where none is
/// given.
///
/// # Errors
/// A file that is not there. What is wrong inside a file comes with the document it stands in, and
/// so does a first label after more than [`LOOK_AHEAD`] texts.
pub fn documents(files: &[PathBuf], column: &str, split: Documents) -> Result<DocumentStream> {
    let fields = if column == TEXT_FIELDS[0] { &TEXT_FIELDS[..] } else { &[column] };
    let mut labelled = false;
    for file in files.iter().filter(|file| is_structured(file)) {
        let texts = labelled_text::stream(file, fields)?.take(LOOK_AHEAD).map_while(Result::ok);
        labelled = labelled || texts.into_iter().any(|text| text.label.is_some());
    }
    let mut streams: Vec<DocumentStream> = Vec::new();
    for file in files {
        if !is_structured(file) {
            streams.push(plain(file, split)?);
            continue;
        }
        let name = file.clone();
        let texts = labelled_text::stream(file, fields)?.map(move |text| {
            let text = text?;
            if text.label.is_none() || labelled {
                return Ok(Document { text: text.text, label: text.label, truth: None });
            }
            let expected = format!("no label, as in the {LOOK_AHEAD} texts before");
            Err(Error::file(&name, format!("line {}", text.line), "a label", expected)
                .with_help("move a text with a label to the beginning of the file"))
        });
        streams.push(Box::new(texts));
    }
    Ok(Box::new(streams.into_iter().flatten().map(move |document| {
        let mut document = document?;
        if labelled {
            document.label.get_or_insert_default();
        }
        Ok(document)
    })))
}

/// Texts of a file that are looked through for a label before the first is given.
pub const LOOK_AHEAD: usize = 100_000;

fn document(text: String) -> Document {
    Document { text, ..Document::default() }
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
        assert_eq!(good("a.jsonl", b"{\"prompt\":\"a\"}\n", Documents::Line), ["a"]);
        assert_eq!(good("a.json", b"{\"x\":[\"a\",\"b\"]}", Documents::Line), ["a", "b"]);
    }

    #[test]
    fn labels_are_kept_and_given_to_all_or_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            write_bytes(&path, bytes).expect("writes");
            path
        };
        let json = write("a.json", br#"{"x": ["one"], "y": ["two"]}"#);
        let plain = write("a.txt", b"three\n");
        let labels = |files: &[PathBuf]| -> Vec<Option<String>> {
            let all = documents(files, "text", Documents::Line).expect("opens");
            all.map(|document| document.expect("a document").label).collect()
        };
        let some = |label: &str| Some(label.to_owned());
        assert_eq!(labels(std::slice::from_ref(&plain)), [None]);
        assert_eq!(labels(&[plain, json]), [some(""), some("x"), some("y")]);

        let mixed = write("b.jsonl", b"{\"text\":\"a\"}\n{\"text\":\"b\",\"label\":\"x\"}\n");
        assert_eq!(labels(&[mixed]), [some(""), some("x")]);
        let mut late = "{\"text\":\"a\"}\n".repeat(LOOK_AHEAD);
        late += "{\"text\":\"b\",\"label\":\"x\"}\n";
        let late = write("late.jsonl", late.as_bytes());
        let mut all = documents(&[late], "text", Documents::Line).expect("opens");
        let error = all.find_map(Result::err).expect("is refused").to_string();
        assert!(error.contains("line 100001"), "{error}");
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
