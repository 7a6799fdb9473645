//! Words and tokens: whether a network reads as the recording was made, and which token is a word.

use nissl_core::network::Tokenizer;
use nissl_core::{Error, Recording, Result, Table};

/// Compares the tokens of the first samples of a recording with those that `tokenizer` gives their
/// numbers; whether they could be compared.
///
/// # Errors
/// A token of another text: the recording was made with another tokenizer.
pub fn check_tokenizer(recording: &Recording, tokenizer: &dyn Tokenizer) -> Result<bool> {
    let names = recording.sample_column_names()?;
    if !["token_id", "token"].iter().all(|wanted| names.iter().any(|name| name == wanted)) {
        return Ok(false);
    }
    let path = recording.path().join("samples.parquet");
    let Some(first) = Table::read_groups(&path, Some(&["token_id", "token"]))?.next() else {
        return Ok(false);
    };
    let first = first?;
    for (&id, recorded) in first.u32s("token_id")?.iter().zip(first.texts("token")?) {
        let here = tokenizer.token(id).unwrap_or_default();
        if here != *recorded {
            return Err(Error::setting(
                "model",
                format!("a network whose token {id} is `{here}`"),
                format!("`{recorded}`, as in {}: the network that was recorded", path.display()),
            ));
        }
    }
    Ok(true)
}

/// The token of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WordToken {
    /// Its number.
    pub id: u32,
    /// How many tokens the word takes; of several this is the first.
    pub pieces: usize,
}

/// The token by which a text goes on with `word`: of the word after a blank, or of the word alone
/// where that takes fewer tokens.
///
/// # Errors
/// A word that the tokenizer does not know.
pub fn word_token(tokenizer: &dyn Tokenizer, word: &str) -> Result<WordToken> {
    let word = word.trim();
    let mut best: Option<WordToken> = None;
    for form in [format!(" {word}"), word.to_owned()] {
        let spans = tokenizer.encode(&form)?;
        // Special tokens cover no text, and some tokenizers make the blank a token of its own.
        let pieces: Vec<u32> = spans
            .iter()
            .filter(|span| {
                form.get(span.start..span.end).is_none_or(|text| !text.trim().is_empty())
            })
            .filter(|span| span.start < span.end)
            .map(|span| span.id)
            .collect();
        let Some(&id) = pieces.first() else { continue };
        if best.is_none_or(|best| pieces.len() < best.pieces) {
            best = Some(WordToken { id, pieces: pieces.len() });
        }
    }
    let unknown = || Error::setting("words", format!("`{word}`"), "words that the tokenizer knows");
    let best = best.ok_or_else(unknown)?;
    // A tokenizer without the word gives a token that says so, whose text is not the word's.
    let text = tokenizer.token(best.id).unwrap_or_default().trim().to_lowercase();
    let begins = word.to_lowercase().starts_with(text.trim_start_matches("##"));
    if text.contains('\u{fffd}') || (begins && !text.is_empty()) {
        Ok(best)
    } else {
        Err(unknown())
    }
}

#[cfg(test)]
mod tests {
    use nissl_core::network::TokenSpan;

    use super::*;

    /// Knows `cat` after a blank, `dog` alone, and single letters but no x.
    struct Small;

    const WORDS: [&str; 4] = ["<unk>", " cat", "dog", " "];

    impl Tokenizer for Small {
        fn encode(&self, text: &str) -> Result<Vec<TokenSpan>> {
            let mut spans = vec![TokenSpan { id: 100, start: 0, end: 0 }];
            let mut at = 0;
            while at < text.len() {
                let known = (1..4).rev().find(|&id| text[at..].starts_with(WORDS[id]));
                let known = if text[at..].starts_with(" cat") { Some(1) } else { known };
                let (id, length) = match known {
                    Some(id) => (id as u32, WORDS[id].len()),
                    None if text[at..].starts_with('x') => (0, 1),
                    None => (u32::from(text.as_bytes()[at]), 1),
                };
                spans.push(TokenSpan { id, start: at, end: at + length });
                at += length;
            }
            Ok(spans)
        }

        fn decode(&self, _tokens: &[u32]) -> Result<String> {
            Ok(String::new())
        }

        fn token(&self, id: u32) -> Option<String> {
            match WORDS.get(id as usize) {
                Some(word) => Some((*word).to_owned()),
                None => char::from_u32(id).map(String::from),
            }
        }

        fn size(&self) -> usize {
            128
        }

        fn end(&self) -> Option<u32> {
            None
        }
    }

    #[test]
    fn a_word_has_the_token_by_which_a_text_goes_on() {
        let token = |word: &str| word_token(&Small, word);
        assert_eq!(token("cat").expect("known"), WordToken { id: 1, pieces: 1 });
        assert_eq!(token("dog").expect("known"), WordToken { id: 2, pieces: 1 });
        let pieces = token("to").expect("in letters");
        assert_eq!(pieces, WordToken { id: u32::from(b't'), pieces: 2 });
        assert!(token("x").expect_err("unknown").to_string().contains("`x`"));
        assert!(token(" ").is_err());
    }
}
