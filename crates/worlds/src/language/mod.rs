//! The language world: English stories told by a grammar, whose every token carries its truth.
//!
//! A story has a mood, people with professions, things and pets, and a place; what was told once
//! returns sentences later. Each token carries its concepts ([`CONCEPTS`]), the entropy of the
//! generator's choice given its full state, and `-ln p` of the word chosen. The mean entropy is a
//! bound that no model of the text alone can beat in expectation.

mod aligned;
mod aligned_lexicon;
mod concepts;
mod grammar;
mod inflect;
mod lexicon;
mod parse;
mod phrases;
mod rules;
mod state;
mod story;
mod symbol;
mod teller;
mod tokenizer;
mod verbs;
mod ways;
mod write;

pub use aligned::Language;
pub use concepts::{CONCEPTS, Concept, Concepts, Level, index_of};
pub use story::{Story, Token};
pub use tokenizer::{split_words, tokenizer_json as word_level_tokenizer};
pub use write::Written;

use nissl_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// Parameters of the language world.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct LanguageWorld {
    /// Tokens to tell, at least 1; the last story is told to its end
    #[arg(long, default_value_t = LanguageWorld::default().tokens)]
    pub tokens: usize,
    /// Seed of the stories; story k depends on the seed and on k only
    #[arg(skip)]
    pub seed: u64,
    /// First story to tell, so that a stream can go on where it ended
    #[arg(long, default_value_t = LanguageWorld::default().first)]
    pub first: u64,
    /// Languages of aligned stories, any of english, french, german, spanish, synthetic; the rich
    /// English stories where none is given
    #[arg(long, value_enum, value_delimiter = ',')]
    pub languages: Vec<Language>,
}

impl Default for LanguageWorld {
    fn default() -> Self {
        Self { tokens: 100_000, seed: 0, first: 0, languages: Vec::new() }
    }
}

impl LanguageWorld {
    /// Checks every field against its range.
    pub fn validate(&self) -> Result<()> {
        if self.tokens == 0 {
            return Err(Error::setting("tokens", 0, "at least 1"));
        }
        for (at, language) in self.languages.iter().enumerate() {
            if self.languages[..at].contains(language) {
                return Err(Error::setting("languages", language.name(), "each language once"));
            }
        }
        Ok(())
    }

    /// Story `index` of this world's seed.
    #[must_use]
    pub fn story(&self, index: u64) -> Story {
        if self.languages.is_empty() {
            story::tell(self.seed, index)
        } else {
            aligned::tell(self.seed, index, &self.languages)
        }
    }

    /// The stories from [`first`](Self::first) on until `tokens` tokens are told.
    pub fn stories(&self) -> impl Iterator<Item = Story> + '_ {
        let mut left = self.tokens;
        let mut index = self.first;
        std::iter::from_fn(move || {
            if left == 0 {
                return None;
            }
            let story = self.story(index);
            index += 1;
            left = left.saturating_sub(story.tokens.len());
            Some(story)
        })
    }

    /// The words in the order of their token ids.
    #[must_use]
    pub fn vocabulary(&self) -> Vec<String> {
        self.words().to_vec()
    }

    /// Splits `text` into the world's tokens; 0, the id of `<unk>`, for what it does not know.
    ///
    /// A token is `<story>`, `<end>`, `'s`, a run of letters and digits, or one other character.
    #[must_use]
    pub fn tokenize(&self, text: &str) -> Vec<u32> {
        if self.languages.is_empty() {
            tokenizer::tokenize(text, |word| grammar::GRAMMAR.id(word))
        } else {
            tokenizer::tokenize(text, aligned::id)
        }
    }

    /// The tokenizer as a `tokenizer.json` in the format of Hugging Face.
    #[must_use]
    pub fn tokenizer_json(&self) -> String {
        tokenizer::tokenizer_json(self.words())
    }

    fn words(&self) -> &'static [String] {
        if self.languages.is_empty() { &grammar::GRAMMAR.words } else { &aligned::WORDS }
    }
}
