//! The tokenizer of networks without one: a text is the numbers of its tokens.

use nissl_core::network::{TokenSpan, Tokenizer};
use nissl_core::{Error, Result};

/// Reads `3 5 113` as the tokens 3, 5 and 113.
#[derive(Clone, Debug)]
pub(crate) struct Numerals {
    size: usize,
}

impl Numerals {
    /// For a vocabulary of `size` tokens.
    pub(crate) fn new(size: usize) -> Self {
        Self { size }
    }

    fn known(&self, token: &str) -> Result<u32> {
        token.parse().ok().filter(|&id: &u32| (id as usize) < self.size).ok_or_else(|| {
            let expected = format!(
                "whole numbers below {} with blanks between them, as the network has no tokenizer",
                self.size
            );
            Error::setting(
                "text",
                format!("`{}`", token.chars().take(40).collect::<String>()),
                expected,
            )
        })
    }
}

impl Tokenizer for Numerals {
    fn encode(&self, text: &str) -> Result<Vec<TokenSpan>> {
        let mut spans = Vec::new();
        let mut at = 0;
        for piece in text.split(char::is_whitespace) {
            let (start, end) = (at, at + piece.len());
            // The blank after a piece may take several bytes.
            at = end + text[end..].chars().next().map_or(0, char::len_utf8);
            if !piece.is_empty() {
                spans.push(TokenSpan { id: self.known(piece)?, start, end });
            }
        }
        Ok(spans)
    }

    fn decode(&self, tokens: &[u32]) -> Result<String> {
        let texts: Vec<String> = tokens.iter().map(u32::to_string).collect();
        for text in &texts {
            self.known(text)?;
        }
        Ok(texts.join(" "))
    }

    fn token(&self, id: u32) -> Option<String> {
        ((id as usize) < self.size).then(|| id.to_string())
    }

    fn size(&self) -> usize {
        self.size
    }

    fn end(&self) -> Option<u32> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_between_blanks_are_tokens() {
        let numerals = Numerals::new(114);
        let text = " 3\u{3000}5\n113 ";
        let spans = numerals.encode(text).expect("numbers");
        assert_eq!(spans.iter().map(|span| span.id).collect::<Vec<_>>(), [3, 5, 113]);
        assert!(spans.iter().all(|span| text[span.start..span.end] == span.id.to_string()));
        assert_eq!(numerals.decode(&[3, 5, 113]).expect("known"), "3 5 113");
        assert!(numerals.encode("").expect("empty").is_empty());
        for wrong in ["114", "-1", "3,5", "three", "3.0", "99999999999"] {
            let error = numerals.encode(wrong).expect_err("no token").to_string();
            assert!(error.contains(wrong) && error.contains("below 114"), "{error}");
        }
        assert!(numerals.decode(&[114]).is_err() && numerals.token(114).is_none());
    }
}
