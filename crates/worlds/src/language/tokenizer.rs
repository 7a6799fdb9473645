//! The word-level tokenizer of the language world, here and as a `tokenizer.json`.

use serde_json::json;

use super::grammar::UNKNOWN;

/// Splits `text` into words and marks and gives the `id` of each; 0 for what has none.
///
/// A token is `<story>`, `<end>`, `'s`, a run of letters and digits, or one other character.
pub(super) fn tokenize(text: &str, id: impl Fn(&str) -> Option<u16>) -> Vec<u32> {
    let mut ids = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let fixed = ["<story>", "<end>", "<unk>", "'s"];
        let known = fixed.iter().find(|known| rest.starts_with(**known)).map(|known| known.len());
        let letters = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let first = rest.chars().next().map_or(1, char::len_utf8);
        let length = known.unwrap_or(if letters > 0 { letters } else { first });
        let word = &rest[..length];
        ids.push(id(word).map_or(0, u32::from));
        rest = rest[length..].trim_start();
    }
    ids
}

/// `tokenizer.json` in the format of Hugging Face for a word-level vocabulary in id order.
///
/// `words[0]` is the token for unknown words.
#[must_use]
pub fn tokenizer_json(words: &[String]) -> String {
    let vocabulary: serde_json::Map<String, serde_json::Value> =
        words.iter().enumerate().map(|(id, word)| (word.clone(), json!(id))).collect();
    let special: Vec<_> = words
        .iter()
        .enumerate()
        .filter(|(_, word)| word.len() > 1 && word.starts_with('<') && word.ends_with('>'))
        .map(|(id, word)| {
            json!({
                "id": id, "content": word, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": true,
            })
        })
        .collect();
    let value = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": special,
        "normalizer": null,
        "pre_tokenizer": {
            "type": "Split",
            "pattern": { "Regex": "'s|[\\p{L}\\p{N}_]+|[^\\s\\p{L}\\p{N}_]" },
            "behavior": "Removed",
            "invert": true,
        },
        "post_processor": null,
        "decoder": null,
        "model": {
            "type": "WordLevel",
            "vocab": vocabulary,
            "unk_token": words.first().map_or(UNKNOWN, String::as_str),
        },
    });
    value.to_string()
}
