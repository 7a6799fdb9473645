//! The word-level tokenizer of the language world, here and as a `tokenizer.json`.

use serde_json::json;

use super::grammar::UNKNOWN;

/// Splits `text` into words and marks and gives the `id` of each; 0 for what has none.
pub(super) fn tokenize(text: &str, id: impl Fn(&str) -> Option<u16>) -> Vec<u32> {
    split_words(text).map(|word| id(word).map_or(0, u32::from)).collect()
}

/// The words and marks of `text`, as the word-level tokenizer splits it.
///
/// A token is `<story>`, `<end>`, `'s`, a run of letters and digits, or one other character.
pub fn split_words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text.trim_start();
    std::iter::from_fn(move || {
        let first = rest.chars().next()?.len_utf8();
        let fixed = ["<story>", "<end>", "<unk>", "'s"];
        let known = fixed.iter().find(|known| rest.starts_with(**known)).map(|known| known.len());
        let letters = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let length = known.unwrap_or(if letters > 0 { letters } else { first });
        let (word, after) = rest.split_at(length);
        rest = after.trim_start();
        Some(word)
    })
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
