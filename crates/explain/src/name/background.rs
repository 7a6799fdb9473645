//! How often tokens occur at all, so that a pattern can be told from what is common anyway.

use std::collections::BTreeMap;

use nissl_core::{Recording, Result, Table};

use crate::examples::token_column;

/// A token without the mark of a word's beginning, in lower case.
pub fn plain(token: &str) -> String {
    token.trim_matches(|c: char| c.is_whitespace() || "ĠĊ▁".contains(c)).to_lowercase()
}

/// Counts over all samples of a recording.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Background {
    counts: BTreeMap<String, u64>,
    samples: u64,
    beginnings: u64,
}

/// Positions that count as the beginning of a sequence.
pub(super) const BEGINNING: u32 = 2;

impl Background {
    /// Counts the tokens of a recording; without a token column only its samples.
    ///
    /// # Errors
    /// A sample table that cannot be read.
    pub fn of(recording: &Recording) -> Result<Self> {
        let mut background = Self::default();
        let column = token_column(recording)?;
        let columns: Vec<&str> = column.into_iter().chain(["position"]).collect();
        let file = recording.path().join("samples.parquet");
        for group in Table::read_groups(&file, Some(&columns))? {
            let group = group?;
            let positions = group.u32s("position")?;
            background.samples += positions.len() as u64;
            background.beginnings +=
                positions.iter().filter(|position| **position < BEGINNING).count() as u64;
            if let Some(column) = column {
                background.count(group.texts(column)?);
            }
        }
        Ok(background)
    }

    /// The counts of `tokens` alone, in one sequence.
    pub fn of_tokens(tokens: &[String]) -> Self {
        let mut background = Self::default();
        background.samples = tokens.len() as u64;
        background.beginnings = u64::from(BEGINNING).min(background.samples);
        background.count(tokens);
        background
    }

    fn count(&mut self, tokens: &[String]) {
        for token in tokens {
            *self.counts.entry(plain(token)).or_default() += 1;
        }
    }

    /// The share of samples whose plain token `matches`.
    pub(super) fn share(&self, matches: impl Fn(&str) -> bool) -> f64 {
        let counts = self.counts.iter().filter(|(token, _)| matches(token));
        counts.map(|(_, count)| count).sum::<u64>() as f64 / self.samples.max(1) as f64
    }

    /// The share of samples that are one plain token.
    pub(super) fn share_of(&self, token: &str) -> f64 {
        self.counts.get(token).copied().unwrap_or(0) as f64 / self.samples.max(1) as f64
    }

    /// The share of samples at the beginning of their sequence.
    pub(super) fn beginning(&self) -> f64 {
        self.beginnings as f64 / self.samples.max(1) as f64
    }
}
