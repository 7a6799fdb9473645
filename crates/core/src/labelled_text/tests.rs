//! Every format that is read, and every way in which a file may be wrong.

use proptest::prelude::*;

use super::*;
use crate::store::write_bytes;

fn try_read(name: &str, bytes: &[u8]) -> Result<Vec<LabelledText>> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    write_bytes(&path, bytes).expect("writes");
    read(&path)
}

/// Texts as `(text, label, line)`.
fn good(name: &str, bytes: &[u8]) -> Vec<(String, Option<String>, usize)> {
    let texts = try_read(name, bytes).expect("reads");
    texts.into_iter().map(|text| (text.text, text.label, text.line)).collect()
}

fn row(text: &str, label: &str, line: usize) -> (String, Option<String>, usize) {
    (text.to_owned(), (!label.is_empty()).then(|| label.to_owned()), line)
}

#[test]
fn sentences_stand_under_their_label() {
    let json = "{\n \"cats\": [\"A cat, \\\"[sat]\\\".\",\n  \"Two\\ncats.\"],\n \"dogs\": [],\n \
                \"birds\": [ \"A bird.\" ]}\n";
    let expected = [
        row("A cat, \"[sat]\".", "cats", 2),
        row("Two\ncats.", "cats", 3),
        row("A bird.", "birds", 5),
    ];
    assert_eq!(good("a.json", json.as_bytes()), expected);
    assert_eq!(good("a.JSON", [BYTE_ORDER_MARK, json.as_bytes()].concat().as_slice()), expected);
}

#[test]
fn lists_and_lines_of_records_are_read_alike() {
    let records = [
        r#"{"prompt": "one", "label": "a"}"#,
        r#"{"label": 2, "text": "two", "prompt": "not this"}"#,
        r#"{"text": "three", "other": [1, {"text": "x"}]}"#,
        r#""four""#,
    ];
    let expected =
        [row("one", "a", 1), row("two", "2", 2), row("three", "", 3), row("four", "", 4)];
    assert_eq!(good("a.jsonl", records.join("\n").as_bytes()), expected);
    assert_eq!(good("a.json", format!("[{}]", records.join(",\n")).as_bytes()), expected);
}

#[test]
fn tables_are_read_by_their_columns() {
    let expected = [row("x, y", "a", 2), row("z", "b", 3)];
    assert_eq!(good("a.csv", b"label,text\na,\"x, y\"\nb,z\n"), expected);
    assert_eq!(good("a.csv", b"prompt,label\r\n\"x, y\",a\r\nz,b\r\n"), expected);
    assert_eq!(good("a.csv", b"text\n\"x\ny\"\nz\n"), [row("x\ny", "", 2), row("z", "", 4)]);

    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.parquet");
    let table = Table::new()
        .with("prompt", Column::Text(vec!["x".into(), "y".into()]))
        .with("label", Column::U32(vec![7, 8]));
    table.write(&path).expect("writes");
    let texts = read(&path).expect("reads");
    let rows: Vec<_> = texts.into_iter().map(|t| (t.text, t.label, t.line)).collect();
    assert_eq!(rows, [row("x", "7", 1), row("y", "8", 2)]);
}

#[test]
fn everything_else_is_one_text_a_line() {
    assert_eq!(good("a.txt", b"one\r\n\n two \n"), [row("one", "", 1), row(" two ", "", 3)]);
}

#[test]
fn what_is_wrong_is_named_with_file_and_line() {
    for (name, bytes, parts) in [
        ("a.json", &b"{\"a\": [\"x\"],\n \"b\": \"y\"}"[..], &["line 2", "`b`", "list"][..]),
        ("a.json", b"{\"a\": [\"x\",\n 3]}", &["line 2", "`a`"]),
        (
            "a.json",
            b"[{\"text\": \"x\"},\n\n {\"txt\": 1}]",
            &["line 3", "txt", "`text` or `prompt`"],
        ),
        ("a.json", b"[{\"text\": \"x\", \"label\": {}}]", &["line 1", "`label`"]),
        ("a.json", b"[\"x\",\n 3]", &["line 2", "number"]),
        ("a.json", b"{\"a\": [\"x\"\n", &["line 2", "JSON"]),
        ("a.json", b"3", &["line 1", "neither"]),
        ("a.json", b"{\"a\": [\"\xff\"]}", &["UTF-8"]),
        ("a.json", b"{}", &["empty", "at least one text"]),
        ("a.jsonl", b"{\"text\":\"x\"}\n[1]\n", &["line 2", "a list"]),
        ("a.jsonl", b"{\"text\":\"x\"}\n{\"text\":\n", &["line 2"]),
        ("a.csv", b"label,txt\na,b\n", &["`text`", "txt"]),
        ("a.csv", b"label,text\na,b\nc\n", &["line 3"]),
        ("a.csv", b"label,text\r\na,b\r\nc\r\n", &["line 3"]),
        ("a.txt", b"x\n\xff\n", &["line 2, byte 0", "UTF-8"]),
        ("a.txt", b"\n \n", &["empty"]),
        ("a.parquet", b"PAR0", &["a.parquet"]),
    ] {
        let error = try_read(name, bytes).expect_err("is refused").to_string();
        for part in parts {
            assert!(error.contains(part), "{name}: {error} lacks {part}");
        }
    }
    let absent = read(Path::new("absent.json")).expect_err("is not there").to_string();
    assert!(absent.contains("absent.json"), "{absent}");
}

proptest! {
    #[test]
    fn what_serde_writes_is_read_back(groups in proptest::collection::vec((any::<String>(), proptest::collection::vec("\\PC*x", 0..4)), 1..5)) {
        // Equal labels would fall together in a map.
        let mut object = serde_json::Map::new();
        for (label, texts) in &groups {
            object.insert(label.clone(), serde_json::json!(texts));
        }
        let expected: Vec<(String, Option<String>)> = object.iter().flat_map(|(label, texts)| {
            let texts = texts.as_array().cloned().unwrap_or_default();
            texts.into_iter().map(|text| (text.as_str().unwrap_or_default().to_owned(), Some(label.clone())))
        }).collect();
        let bytes = serde_json::to_vec_pretty(&object).expect("writes");
        let read = try_read("a.json", &bytes).map(|texts| texts.into_iter().map(|t| (t.text, t.label)).collect::<Vec<_>>());
        if expected.is_empty() {
            prop_assert!(read.is_err());
        } else {
            prop_assert_eq!(read.expect("reads"), expected);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80), text in "[\\[\\]{}:,\"a1 \n]*") {
        for name in ["a.json", "a.jsonl", "a.csv", "a.txt"] {
            try_read(name, &bytes).ok();
            try_read(name, text.as_bytes()).ok();
        }
    }
}
