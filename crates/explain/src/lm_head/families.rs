//! Words and the tokens that write them: leading space, case and plural make no difference.
//!
//! Tokens are one family when their texts are equal without the space before them, in lower case and
//! in the singular. A plural is told by its ending alone (`-s`, `-es`, `-ies`), and only when the
//! vocabulary has the word it would come from. Words of other languages join by the user's list.
//!
//! Memory: the texts of the vocabulary.

use std::collections::{BTreeMap, BTreeSet};

use nissl_core::network::Tokenizer;
use nissl_core::{Error, Result};
use regex::Regex;
use serde::{Deserialize, Serialize};

/// What stands for a word that is several tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// Nothing: say how it splits
    #[default]
    Refuse,
    /// Its first token
    First,
    /// The forms of it that are one token
    Family,
}

/// The tokens of one word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WordSet {
    /// The word, or the expression.
    pub word: String,
    /// Its tokens, ascending.
    pub tokens: Vec<u32>,
}

/// The tokens of a vocabulary, by family.
pub struct Families<'a> {
    tokenizer: &'a dyn Tokenizer,
    /// `[token]`
    texts: Vec<String>,
    /// `[token]`
    keys: Vec<String>,
    members: BTreeMap<String, Vec<u32>>,
}

impl<'a> Families<'a> {
    /// The families of the first `vocabulary` tokens. Each line of `lists` names words that are one
    /// family, such as a word in several languages.
    pub fn of(tokenizer: &'a dyn Tokenizer, vocabulary: usize, lists: &[Vec<String>]) -> Self {
        let size = vocabulary.min(tokenizer.size());
        let texts: Vec<String> =
            (0..size as u32).map(|id| tokenizer.token(id).unwrap_or_default()).collect();
        let plain: Vec<String> = texts.iter().map(|text| plain(text)).collect();
        let known: BTreeSet<&str> = plain.iter().map(String::as_str).collect();
        let mut joined = BTreeMap::new();
        for list in lists {
            let words: Vec<String> = list
                .iter()
                .map(|word| singular(&self::plain(word), &|stem| known.contains(stem)))
                .collect();
            if let Some(first) = words.first() {
                joined.extend(words.iter().map(|word| (word.clone(), first.clone())));
            }
        }
        let key = |plain: &String| {
            let singular = singular(plain, &|stem| known.contains(stem));
            joined.get(&singular).cloned().unwrap_or(singular)
        };
        let keys: Vec<String> = plain.iter().map(key).collect();
        let mut members: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for (token, key) in (0..).zip(&keys) {
            members.entry(key.clone()).or_default().push(token);
        }
        for (word, first) in joined {
            if let Some(tokens) = members.get(&first).cloned() {
                members.entry(word).or_insert(tokens);
            }
        }
        Self { tokenizer, texts, keys, members }
    }

    /// The text of a token, a leading space kept; empty without one.
    pub fn text(&self, token: u32) -> &str {
        self.texts.get(token as usize).map_or("", String::as_str)
    }

    /// The name of a token's family: the word in lower case and the singular.
    pub fn name(&self, token: u32) -> &str {
        self.keys.get(token as usize).map_or("", String::as_str)
    }

    /// Whether two tokens write the same word.
    pub fn are_one(&self, a: u32, b: u32) -> bool {
        a == b || !self.name(a).is_empty() && self.name(a) == self.name(b)
    }

    /// The tokens of a word.
    ///
    /// # Errors
    /// A word that no token writes, when `split` refuses that, with how it splits.
    pub fn word(&self, word: &str, split: Split) -> Result<WordSet> {
        let wanted = plain(word);
        if wanted.is_empty() {
            return Err(Error::setting("word", "empty", "a word, or a part of one"));
        }
        let stem = singular(&wanted, &|stem| self.members.contains_key(stem));
        let family = self.members.get(&wanted).or_else(|| self.members.get(&stem));
        let is_whole = |&token: &u32| plain(self.text(token)) == wanted;
        let found = |tokens: Vec<u32>| WordSet { word: word.trim().to_owned(), tokens };
        if let Some(tokens) = family
            && (split == Split::Family || tokens.iter().any(is_whole) || self.listed(&wanted))
        {
            return Ok(found(tokens.clone()));
        }
        let spans = self.tokenizer.encode(&format!(" {}", word.trim()))?;
        let pieces: Vec<u32> = spans
            .iter()
            .map(|span| span.id)
            .filter(|&id| !plain(self.text(id)).is_empty() && !is_special(self.text(id)))
            .collect();
        if let (Split::First, Some(&first)) = (split, pieces.first()) {
            return Ok(found(vec![first]));
        }
        if pieces.is_empty() {
            let near = nissl_core::error::nearest(&wanted, self.members.keys().map(String::as_str));
            let expected =
                format!("a word that this tokenizer can write, such as {}", near.join(", "));
            return Err(Error::setting("word", format!("`{}`", word.trim()), expected));
        }
        let shown: Vec<String> = pieces.iter().map(|&id| format!("{:?}", self.text(id))).collect();
        let expected = if split == Split::Family {
            "a word of which one form is one token; take its first token instead (--split first)"
        } else {
            "one token; take its first token or all forms of it that are one (--split first, \
             --split family)"
        };
        let found = format!("`{}`, which is {}", word.trim(), shown.join(" "));
        Err(Error::setting("word", found, expected))
    }

    /// The tokens whose text matches a regular expression.
    ///
    /// # Errors
    /// What is no expression, or one that matches nothing.
    pub fn matching(&self, expression: &str) -> Result<WordSet> {
        let regex = Regex::new(expression)
            .map_err(|error| Error::setting("regex", error, "a regular expression"))?;
        let tokens: Vec<u32> = (0..)
            .zip(&self.texts)
            .filter(|(_, text)| regex.is_match(text))
            .map(|(id, _)| id)
            .collect();
        if tokens.is_empty() {
            let what = format!("tokens that match `{expression}`");
            return Err(Error::Empty { what, expected: "one token or more".to_owned() });
        }
        Ok(WordSet { word: expression.to_owned(), tokens })
    }

    /// The families of listed tokens with the sum of their probabilities, greatest first.
    pub fn merged(&self, tokens: &[(u32, f32)], probabilities: &[f32]) -> Vec<(String, f32)> {
        let mut merged: Vec<(String, f32)> = Vec::new();
        for (&(token, _), &probability) in tokens.iter().zip(probabilities) {
            let name = self.name(token);
            let name = if name.is_empty() { self.text(token) } else { name };
            match merged.iter_mut().find(|(other, _)| other == name) {
                Some((_, sum)) => *sum += probability,
                None => merged.push((name.to_owned(), probability)),
            }
        }
        merged.sort_by(|a, b| b.1.total_cmp(&a.1));
        merged
    }

    /// Whether the user's lists name a word that no token writes.
    fn listed(&self, word: &str) -> bool {
        self.members.get(word).is_some_and(|tokens| tokens.iter().all(|&t| self.name(t) != word))
    }
}

/// A token's word: no space around it, lower case.
fn plain(text: &str) -> String {
    text.trim().to_lowercase()
}

/// `<s>`, `[CLS]` and their like.
fn is_special(text: &str) -> bool {
    let text = text.trim();
    text.len() > 2
        && (text.starts_with('<') && text.ends_with('>')
            || text.starts_with('[') && text.ends_with(']'))
}

/// The singular of a word in lower case, when it looks like a plural of a `known` word.
fn singular(word: &str, known: &dyn Fn(&str) -> bool) -> String {
    let stems = [
        word.strip_suffix("ies").map(|stem| format!("{stem}y")),
        word.strip_suffix('s').filter(|stem| !stem.ends_with('s')).map(str::to_owned),
        word.strip_suffix("es").map(str::to_owned),
    ];
    let is_stem = |stem: &String| stem.chars().count() > 2 && known(stem);
    stems.into_iter().flatten().find(is_stem).unwrap_or_else(|| word.to_owned())
}
