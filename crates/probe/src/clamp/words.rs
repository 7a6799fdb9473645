//! From words to the tokens that begin them, and from texts back to words.

use nissl_core::network::Tokenizer;
use nissl_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// Which tokens stand for a word that its tokenizer splits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum TokenChoice {
    /// The first token of the split
    First,
    /// All tokens of the split
    All,
}

/// The tokens that stand for `words`: each word as written and capitalised, with and without a
/// blank before it, where that is one token.
///
/// A word of which no form is one token needs a `choice`.
///
/// # Errors
/// No word, a word that splits without a choice (the split is shown), or one that the vocabulary
/// cannot spell.
pub fn concept_tokens(
    tokenizer: &dyn Tokenizer,
    words: &[String],
    choice: Option<TokenChoice>,
) -> Result<Vec<u32>> {
    if words.iter().all(|word| word.trim().is_empty()) {
        let what = "the list `words`".to_owned();
        return Err(Error::Empty { what, expected: "at least one word".to_owned() });
    }
    let mut tokens = Vec::new();
    for word in words.iter().map(|word| word.trim()).filter(|word| !word.is_empty()) {
        let mut split: Option<Vec<u32>> = None;
        let before = tokens.len();
        for form in
            [format!(" {word}"), word.to_owned(), format!(" {}", capital(word)), capital(word)]
        {
            let spans = tokenizer.encode(&form)?;
            let ids: Vec<u32> =
                spans.iter().filter(|span| span.start < span.end).map(|span| span.id).collect();
            match ids[..] {
                // A token that reads otherwise stands for what the vocabulary has not.
                [one] if spells(tokenizer, &ids, &form) => tokens.push(one),
                [_, _, ..] if split.is_none() && spells(tokenizer, &ids, &form) => {
                    split = Some(ids);
                }
                _ => {}
            }
        }
        if tokens.len() > before {
            continue;
        }
        let Some(split) = split else {
            return Err(Error::setting("words", format!("`{word}`"), "words of the vocabulary"));
        };
        match choice {
            Some(TokenChoice::First) => tokens.push(split[0]),
            Some(TokenChoice::All) => tokens.extend(split),
            None => {
                let shown: Vec<String> = split
                    .iter()
                    .map(|&id| format!("`{}`", tokenizer.token(id).unwrap_or_default()))
                    .collect();
                return Err(Error::setting(
                    "words",
                    format!("`{word}`, which splits into {}", shown.join(" ")),
                    "words of one token, or `token-choice` first or all",
                ));
            }
        }
    }
    tokens.sort_unstable();
    tokens.dedup();
    Ok(tokens)
}

/// Whether tokens read as `form`, blanks and case aside.
fn spells(tokenizer: &dyn Tokenizer, ids: &[u32], form: &str) -> bool {
    let read: String = ids.iter().filter_map(|&id| tokenizer.token(id)).collect();
    let plain = |text: &str| text.replace("##", "").trim().to_lowercase();
    plain(&read) == plain(form)
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters.flat_map(char::to_lowercase)).collect()
    })
}

/// How often any of `words` stands in `text` as a whole word, whatever its case; a plural in `s`
/// counts.
pub fn mentions(text: &str, words: &[String]) -> usize {
    let wanted: Vec<String> = words.iter().map(|word| word.trim().to_lowercase()).collect();
    let text = text.to_lowercase();
    let single = |found: &str| {
        let bare = found.strip_suffix('s');
        wanted.iter().any(|word| word == found || bare == Some(word.as_str()))
    };
    let in_words = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|found| !found.is_empty() && single(found))
        .count();
    // What is more than one word, or none by letters, is sought as it stands.
    let others = wanted.iter().filter(|word| word.chars().any(|c| !c.is_alphanumeric()));
    in_words + others.map(|word| text.matches(word.as_str()).count()).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use nissl_core::network::TokenSpan;

    use super::*;

    /// One token for each word of a list; other words fall into their letters, or into token 0.
    struct Words(Vec<&'static str>);

    impl Tokenizer for Words {
        fn encode(&self, text: &str) -> Result<Vec<TokenSpan>> {
            let word = text.trim();
            let find = |part: &str| self.0.iter().position(|known| *known == part);
            let span = |id: usize| TokenSpan { id: id as u32, start: 0, end: 1 };
            if let Some(id) = find(word) {
                return Ok(vec![span(id)]);
            }
            let letters: Option<Vec<_>> =
                word.char_indices().map(|(at, c)| find(&word[at..at + c.len_utf8()])).collect();
            Ok(letters.map_or(vec![span(0)], |ids| ids.into_iter().map(span).collect()))
        }

        fn decode(&self, tokens: &[u32]) -> Result<String> {
            Ok(tokens.iter().filter_map(|&id| self.token(id)).collect())
        }

        fn token(&self, id: u32) -> Option<String> {
            self.0.get(id as usize).map(|&word| word.to_owned())
        }

        fn size(&self) -> usize {
            self.0.len()
        }

        fn end(&self) -> Option<u32> {
            None
        }
    }

    fn of(words: &[&str], choice: Option<TokenChoice>) -> Result<Vec<u32>> {
        let tokenizer = Words(vec!["<unknown>", "dog", "Dog", "cat", "o", "x"]);
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        concept_tokens(&tokenizer, &words, choice)
    }

    #[test]
    fn a_word_is_its_forms_and_a_split_needs_a_choice() {
        assert_eq!(of(&["dog"], None).expect("known"), [1, 2]);
        assert_eq!(of(&["dog", "cat"], None).expect("known"), [1, 2, 3]);
        let error = of(&["ox"], None).expect_err("two tokens").to_string();
        assert!(error.contains("`ox`") && error.contains("`o` `x`"), "{error}");
        assert!(error.contains("first or all"), "{error}");
        assert_eq!(of(&["ox"], Some(TokenChoice::First)).expect("chosen"), [4]);
        assert_eq!(of(&["ox"], Some(TokenChoice::All)).expect("chosen"), [4, 5]);
        // The unknown token is no word.
        let error = of(&["zebra"], Some(TokenChoice::All)).expect_err("unknown").to_string();
        assert!(error.contains("zebra"), "{error}");
        assert!(of(&["", " "], None).is_err());
    }

    #[test]
    fn mentions_are_whole_words() {
        let words = ["dog".to_owned(), "hot dog".to_owned()];
        assert_eq!(mentions("Dogs chase a dog. Dogma and hotdog do not.", &words), 2);
        assert_eq!(mentions("a HOT DOG", &words), 2, "the phrase, and the word in it");
        assert_eq!(mentions("", &words), 0);
    }
}
