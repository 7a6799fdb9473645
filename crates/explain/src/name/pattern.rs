//! Patterns that a feature's examples may share.

use std::collections::BTreeMap;

use super::background::{BEGINNING, Background, plain};
use crate::examples::Example;

/// What the examples of a feature have in common.
#[derive(Clone, Debug, PartialEq)]
pub enum Pattern {
    /// The token itself is one of these.
    Token(Vec<String>),
    /// The token has a form.
    Form(Form),
    /// The token before, or the one before that, is one of these.
    Before {
        /// 1 or 2 tokens back.
        back: usize,
        /// The tokens there.
        tokens: Vec<String>,
    },
    /// One of the five tokens before is this one.
    Near(String),
    /// The sequence has just begun.
    Beginning,
}

/// The form of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Digits.
    Number,
    /// No letter and no digit.
    Punctuation,
    /// An ending.
    Ending(&'static str),
}

/// Tokens listed by a pattern at most.
const TOKENS: usize = 12;
/// Tokens named in its text at most.
const NAMED: usize = 6;
/// How far back [`Pattern::Near`] looks.
const NEAR: usize = 5;

impl Form {
    pub(crate) const ALL: [Self; 7] = [
        Self::Number,
        Self::Punctuation,
        Self::Ending("ing"),
        Self::Ending("ed"),
        Self::Ending("ly"),
        Self::Ending("er"),
        Self::Ending("s"),
    ];

    pub(crate) fn matches(self, token: &str) -> bool {
        match self {
            Self::Number => token.chars().any(char::is_numeric),
            Self::Punctuation => !token.is_empty() && !token.chars().any(char::is_alphanumeric),
            // A word as long as its ending, or nearly so, has none.
            Self::Ending(ending) => token.len() > ending.len() + 2 && token.ends_with(ending),
        }
    }

    /// The form in words.
    pub(crate) fn text(self) -> String {
        match self {
            Self::Number => "numbers".to_owned(),
            Self::Punctuation => "punctuation".to_owned(),
            Self::Ending(ending) => format!("words ending in -{ending}"),
        }
    }
}

impl Pattern {
    /// Every pattern worth trying, drawn from `examples`; simpler ones first.
    pub(super) fn candidates(examples: &[&Example]) -> Vec<Self> {
        let mut found = Vec::new();
        let at = |back: usize| commonest(examples.iter().filter_map(|e| token_before(e, back)));
        found.push(Self::Token(at(0)));
        found.extend(Form::ALL.map(Self::Form));
        found.push(Self::Beginning);
        for back in [1, 2] {
            let tokens = at(back);
            // One word alone is a cleaner finding than a list that happens to hold it.
            found.extend(
                tokens.first().map(|first| Self::Before { back, tokens: vec![first.clone()] }),
            );
            found.push(Self::Before { back, tokens });
        }
        let mut near: BTreeMap<String, usize> = BTreeMap::new();
        for example in examples {
            let mut words: Vec<String> =
                (1..=NEAR).filter_map(|back| token_before(example, back)).collect();
            words.sort();
            words.dedup();
            for word in words {
                *near.entry(word).or_default() += 1;
            }
        }
        let mut near: Vec<(String, usize)> = near.into_iter().collect();
        near.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        found.extend(near.into_iter().take(5).map(|(word, _)| Self::Near(word)));
        found
    }

    /// Whether an example shows the pattern.
    pub fn matches(&self, example: &Example) -> bool {
        let one_of = |back: usize, tokens: &[String]| {
            token_before(example, back).is_some_and(|token| tokens.contains(&token))
        };
        match self {
            Self::Token(tokens) => one_of(0, tokens),
            Self::Form(form) => token_before(example, 0).is_some_and(|token| form.matches(&token)),
            Self::Before { back, tokens } => one_of(*back, tokens),
            Self::Near(token) => {
                (1..=NEAR).any(|back| token_before(example, back).as_ref() == Some(token))
            }
            Self::Beginning => example.position < BEGINNING,
        }
    }

    /// A list of several tokens with those added that stand there in two or more of `examples`.
    pub(super) fn widened(self, examples: &[&Example]) -> Self {
        let widen = |back: usize, mut tokens: Vec<String>| {
            let there: Vec<String> =
                examples.iter().filter_map(|example| token_before(example, back)).collect();
            for token in commonest(there.iter().cloned()) {
                let count = there.iter().filter(|other| **other == token).count();
                if count >= 2 && tokens.len() < TOKENS && !tokens.contains(&token) {
                    tokens.push(token);
                }
            }
            tokens
        };
        match self {
            Self::Token(tokens) if tokens.len() > 1 => Self::Token(widen(0, tokens)),
            Self::Before { back, tokens } if tokens.len() > 1 => {
                Self::Before { back, tokens: widen(back, tokens) }
            }
            other => other,
        }
    }

    /// How often any sample would show it, if feature and pattern had nothing to do with each other.
    pub(super) fn chance(&self, background: &Background) -> f64 {
        let sum = |tokens: &[String]| tokens.iter().map(|token| background.share_of(token)).sum();
        match self {
            Self::Token(tokens) | Self::Before { tokens, .. } => sum(tokens),
            Self::Form(form) => background.share(|token| form.matches(token)),
            Self::Near(token) => 1.0 - (1.0 - background.share_of(token)).powi(NEAR as i32),
            Self::Beginning => background.beginning(),
        }
    }

    /// The pattern in words.
    pub fn text(&self) -> String {
        let list = |tokens: &[String]| {
            let more = if tokens.len() > NAMED { " …" } else { "" };
            tokens[..tokens.len().min(NAMED)].join(", ") + more
        };
        match self {
            Self::Token(tokens) => list(tokens),
            Self::Form(form) => form.text(),
            Self::Before { back: 1, tokens } => format!("after {}", list(tokens)),
            Self::Before { tokens, .. } => format!("two tokens after {}", list(tokens)),
            Self::Near(token) => format!("shortly after {token}"),
            Self::Beginning => "the beginning of a sequence".to_owned(),
        }
    }
}

/// The plain token `back` places before the example; `None` outside its window.
fn token_before(example: &Example, back: usize) -> Option<String> {
    let token = plain(example.tokens.get(example.focus.checked_sub(back)?)?);
    (!token.is_empty()).then_some(token)
}

/// The commonest tokens, equal ones by name.
fn commonest(tokens: impl Iterator<Item = String>) -> Vec<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for token in tokens {
        *counts.entry(token).or_default() += 1;
    }
    let mut counts: Vec<(String, usize)> = counts.into_iter().collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    counts.into_iter().take(TOKENS).map(|(token, _)| token).collect()
}
