//! What a feature's concept is when the user does not say: its strongest tokens, or its explanation.

use std::collections::BTreeSet;

use nissl_core::features::{Annotation, Features};
use nissl_core::network::Tokenizer;
use nissl_core::{Error, Result};

/// Tokens that stand for a feature, those of its strongest examples.
const TOKENS: usize = 10;

/// A concept, for a rule and for a language model.
#[derive(Clone, Debug, Default)]
pub(super) struct Concept {
    /// Tokens that count as hits.
    pub(super) tokens: BTreeSet<u32>,
    /// In words.
    pub(super) text: String,
}

impl Concept {
    /// Of words that the user gives: each stands for itself and for its form after a blank.
    ///
    /// # Errors
    /// A word that the tokenizer does not know.
    pub(super) fn of_words(words: &[String], tokenizer: &dyn Tokenizer) -> Result<Self> {
        let mut tokens = BTreeSet::new();
        for word in words {
            tokens.insert(nissl_probe::word_token(tokenizer, word)?.id);
            let alone = tokenizer.encode(word.trim())?;
            let alone: Vec<u32> =
                alone.iter().filter(|span| span.start < span.end).map(|span| span.id).collect();
            // A piece of a longer word is no sign of the word.
            if let [id] = alone[..] {
                tokens.insert(id);
            }
        }
        Ok(Self { tokens, text: words.join(", ") })
    }

    /// Of a feature, from the tables beside it: the tokens of its strongest examples, and what it is
    /// called.
    ///
    /// # Errors
    /// No examples beside the features.
    pub(super) fn of_feature(
        features: &Features,
        feature: usize,
        tokenizer: &dyn Tokenizer,
    ) -> Result<Self> {
        let Some(examples) = features.annotation(Annotation::Examples)? else {
            let path = features.path().display();
            return Err(Error::setting(
                "words",
                "absent",
                format!(
                    "words of the concept, or examples, which `nissl explain all {path}` finds"
                ),
            ));
        };
        let (numbers, focus) = (examples.u32s("feature")?, examples.u32s("focus")?);
        let windows = match examples.get("tokens") {
            Some(nissl_core::Column::Texts(windows)) => windows.as_slice(),
            _ => &[],
        };
        let mut texts: Vec<&str> = Vec::new();
        for row in (0..windows.len()).filter(|&row| numbers[row] as usize == feature) {
            let Some(token) = windows[row].get(focus[row] as usize) else { continue };
            if texts.len() < TOKENS && !texts.contains(&token.as_str()) {
                texts.push(token);
            }
        }
        let tokens = (0..tokenizer.size() as u32)
            .filter(|&id| tokenizer.token(id).is_some_and(|text| texts.contains(&text.as_str())))
            .collect();
        let text = match explanation(features, feature)? {
            Some(text) => text,
            None => texts.iter().map(|text| text.trim()).collect::<Vec<_>>().join(", "),
        };
        Ok(Self { tokens, text })
    }
}

/// The last explanation of a feature that found a pattern.
fn explanation(features: &Features, feature: usize) -> Result<Option<String>> {
    let Some(table) = features.annotation(Annotation::Explanations)? else { return Ok(None) };
    let (numbers, texts) = (table.u32s("feature")?, table.texts("text")?);
    let (methods, signs) = (table.texts("method")?, table.texts("sign")?);
    Ok((0..numbers.len())
        .rev()
        .filter(|&row| numbers[row] as usize == feature && signs[row] == "+")
        .find(|&row| methods[row] != "logit-lens" && !texts[row].starts_with("no pattern"))
        .map(|row| texts[row].clone()))
}
