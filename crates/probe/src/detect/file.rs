//! Sentences from a file.

use std::collections::BTreeMap;
use std::path::Path;

use nissl_core::labelled_text;
use nissl_core::{Error, IoContext, Result};
use serde::Deserialize;

use super::{ConceptSentences, draw_neutral};

/// What stands under a concept.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sides {
    activating: Vec<String>,
    neutral: Vec<String>,
}

/// The sentences of each concept in a file.
///
/// JSON `{concept: {activating: […], neutral: […]}}`, or texts with labels in any of the formats of
/// [`labelled_text`]: sentences with a label are activating for it, and as many of the others'
/// are drawn as neutral.
///
/// # Errors
/// A file that is not there or not of its format, texts without a label, or fewer than two labels.
pub fn read_sentences(path: &Path, seed: u64) -> Result<Vec<ConceptSentences>> {
    if let Some(concepts) = both_sides(path)? {
        return Ok(concepts);
    }
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut concepts: Vec<ConceptSentences> = Vec::new();
    for text in labelled_text::read(path)? {
        let Some(label) = text.label.filter(|label| !label.trim().is_empty()) else {
            return Err(Error::file(
                path,
                format!("line {}", text.line),
                "a text without a label",
                "the concept that it speaks of",
            )
            .with_help(
                "write {concept: [sentence, …]}, {concept: {activating: […], neutral: […]}}, or \
                 records of text and label",
            ));
        };
        let place = *places.entry(label.clone()).or_insert(concepts.len());
        if place == concepts.len() {
            concepts.push(ConceptSentences { concept: label, ..ConceptSentences::default() });
        }
        concepts[place].activating.push(text.text);
    }
    draw_neutral(&mut concepts, seed)?;
    Ok(concepts)
}

/// The concepts of a JSON file that gives both sides of each; `None` for any other file.
fn both_sides(path: &Path) -> Result<Option<Vec<ConceptSentences>>> {
    let is_json = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("json"));
    if !is_json {
        return Ok(None);
    }
    let bytes = std::fs::read(path).at(path, "read")?;
    let Ok(serde_json::Value::Object(object)) = serde_json::from_slice(&bytes) else {
        // What is wrong with it is told by the reader of labelled texts.
        return Ok(None);
    };
    if !object.values().any(serde_json::Value::is_object) {
        return Ok(None);
    }
    let mut concepts = Vec::with_capacity(object.len());
    for (concept, value) in object {
        let Sides { activating, neutral } = serde_json::from_value(value).map_err(|error| {
            let expected = "{activating: [sentence, …], neutral: [sentence, …]}";
            Error::file(path, concept.clone(), error, expected)
        })?;
        concepts.push(ConceptSentences { concept, activating, neutral });
    }
    Ok(Some(concepts))
}

#[cfg(test)]
mod tests {
    use nissl_core::store::write_bytes;

    use super::*;

    fn read(name: &str, text: &str) -> Result<Vec<ConceptSentences>> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(name);
        write_bytes(&path, text.as_bytes()).expect("writes");
        read_sentences(&path, 0)
    }

    #[test]
    fn every_form_gives_both_sides() {
        let both = read("a.json", r#"{"pets": {"activating": ["a"], "neutral": ["n", "m"]}}"#)
            .expect("reads");
        assert_eq!((both[0].concept.as_str(), both[0].neutral.len()), ("pets", 2));
        for (name, text) in [
            ("a.json", r#"{"pets": ["cat", "dog"], "rain": ["wet"]}"#),
            (
                "b.json",
                r#"[{"text": "cat", "label": "pets"}, {"prompt": "wet", "label": "rain"},
                    {"text": "dog", "label": "pets"}]"#,
            ),
            (
                "c.jsonl",
                "{\"text\":\"cat\",\"label\":\"pets\"}\n{\"text\":\"dog\",\"label\":\"pets\"}\n\
                 {\"text\":\"wet\",\"label\":\"rain\"}\n",
            ),
            ("d.csv", "label,prompt\npets,cat\npets,dog\nrain,wet\n"),
        ] {
            let found = read(name, text).expect("reads");
            assert_eq!(found.len(), 2, "{name}");
            assert_eq!(found[0].concept, "pets", "{name}");
            assert_eq!(found[0].activating, ["cat", "dog"], "{name}");
            assert_eq!(found[0].neutral, ["wet"], "{name}: all the other labels have");
            assert_eq!(found[1].neutral.len(), 1, "{name}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let message = |name, text| read(name, text).expect_err("refused").to_string();
        assert!(message("a.json", r#"{"x": {"activating": ["a"]}}"#).contains("neutral"));
        assert!(message("a.json", r#"{"x": {"activating": ["a"], "negative": []}}"#).contains('x'));
        assert!(message("a.json", "{\"x\": [").contains("JSON"));
        assert!(message("a.txt", "one\ntwo\n").contains("line 1"));
        assert!(message("a.json", r#"{"x": ["only"]}"#).contains("`x`"));
        assert!(message("a.jsonl", "{\"text\":\"a\",\"label\":\"\"}\n").contains("line 1"));
    }
}
