//! Texts that cannot be read: each is refused by file and line, and leaves no recording.

use crate::support::{fail, fixture, scratch, write};

#[test]
fn unreadable_texts_are_refused_by_file_and_line() {
    let folder = scratch();
    let files: [(&str, &[u8]); 8] = [
        ("empty.txt", b""),
        ("blank.txt", b" \n\n \n"),
        ("latin.txt", b"fine\nna\xefve\n"),
        ("broken.jsonl", b"{\"text\": \"fine\"}\n{\"text\": \n"),
        ("other.jsonl", b"{\"body\": \"fine\"}\n"),
        ("other.csv", b"body,n\nfine,1\n"),
        ("ragged.csv", b"text,n\nfine,1\nshort\n"),
        ("not.parquet", b"PAR0 this is none"),
    ];
    for (name, content) in files {
        write(folder.path(), name, content);
    }
    for (file, parts) in [
        ("empty.txt", &["text is empty", "at least one token"][..]),
        ("blank.txt", &["text is empty"]),
        ("latin.txt", &["latin.txt", "line 2, byte 2", "not UTF-8", "iconv"]),
        ("broken.jsonl", &["broken.jsonl", "line 2", "JSON object"]),
        ("other.jsonl", &["other.jsonl", "line 1", "body", "`text`", "--column"]),
        ("other.csv", &["`column` is `text`", "body"]),
        ("ragged.csv", &["ragged.csv", "line 3"]),
        ("not.parquet", &["not.parquet"]),
        ("absent.txt", &["absent.txt", "nothing is there"]),
    ] {
        let gpt2 = fixture("gpt2");
        let line = format!("record {} --site embed --text {file} -o r", gpt2.display());
        fail(folder.path(), &line, 2, parts);
        assert!(!folder.path().join("r").exists(), "{file} leaves a folder");
    }
}

#[test]
fn a_fault_late_in_the_texts_leaves_no_whole_recording() {
    let folder = scratch();
    let mut text = crate::support::prose(200, 20).into_bytes();
    text.extend(b"\n\nand then \xff");
    write(folder.path(), "a.txt", text);
    let gpt2 = fixture("gpt2");
    let line = format!("record {} --site embed --text a.txt -o r", gpt2.display());
    fail(folder.path(), &line, 2, &["a.txt", "not UTF-8"]);
    crate::support::nothing_half_valid(folder.path(), "r");
    fail(folder.path(), "decompose neurons r -o f", 2, &["r", "--resume"]);
}

#[test]
fn a_world_that_is_none_is_refused() {
    let folder = scratch();
    let gpt2 = fixture("gpt2");
    let line = format!("record {} --site embed --world nowhere -o r", gpt2.display());
    fail(folder.path(), &line, 2, &["nowhere"]);
    let line = format!("record {} --site embed -o r", gpt2.display());
    fail(folder.path(), &line, 2, &["--text"]);
    fail(folder.path(), "train language --world nowhere -o n", 2, &["nowhere"]);
    assert!(!folder.path().join("r").exists() && !folder.path().join("n").exists());
}
