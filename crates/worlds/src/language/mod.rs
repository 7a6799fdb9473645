//! The language world: English stories told by a grammar, whose every token carries its truth.
//!
//! A story has a mood, people with professions, things and pets, and a place; what was told once
//! returns sentences later. Each token carries its concepts ([`CONCEPTS`]), the entropy of the
//! generator's choice given its full state, and `-ln p` of the word chosen. The mean entropy is a
//! bound that no model of the text alone can beat in expectation.

mod concepts;
mod grammar;
mod inflect;
mod lexicon;
mod parse;
mod rules;
mod state;
mod story;
mod teller;
mod tokenizer;
mod verbs;

pub use concepts::{CONCEPTS, Concept, Concepts, Level, index_of};
pub use story::{Story, Token};
pub use tokenizer::{tokenize, tokenizer_json};

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
}

impl Default for LanguageWorld {
    fn default() -> Self {
        Self { tokens: 100_000, seed: 0, first: 0 }
    }
}

impl LanguageWorld {
    /// Checks every field against its range.
    pub fn validate(&self) -> Result<()> {
        if self.tokens == 0 {
            return Err(Error::setting("tokens", 0, "at least 1"));
        }
        Ok(())
    }

    /// Story `index` of this world's seed.
    #[must_use]
    pub fn story(&self, index: u64) -> Story {
        story::tell(self.seed, index)
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
        grammar::GRAMMAR.words.clone()
    }
}
