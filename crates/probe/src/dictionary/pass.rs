//! Passes over a text: losses of runs, counted from the same position on.

use nissl_core::network::LanguageNetwork;
use nissl_core::taps::{Positions, Taps};
use nissl_core::{Error, Result};

use crate::likelihood::{losses, sequences_at_once};

/// Token sequences as they are run.
pub(super) struct Text<'a> {
    /// Cut to the network's context, each with at least one token.
    pub(super) rows: Vec<&'a [u32]>,
    /// Sequences that are run together.
    pub(super) at_once: usize,
    /// The first position of a sequence that counts.
    pub(super) first: usize,
}

impl<'a> Text<'a> {
    /// # Errors
    /// A text without a token that counts and has a next one.
    pub(super) fn new(
        network: &dyn LanguageNetwork,
        sequences: &'a [Vec<u32>],
        first: usize,
    ) -> Result<Self> {
        let context = network.context().max(1);
        let rows: Vec<&[u32]> = sequences.iter().flat_map(|all| all.chunks(context)).collect();
        if !rows.iter().any(|row| row.len() > first + 1) {
            return Err(Error::Empty {
                what: "the text".to_owned(),
                expected: format!("a sequence of more than {} tokens", first + 1),
            });
        }
        let longest = rows.iter().map(|row| row.len()).max().unwrap_or(1);
        Ok(Self { rows, at_once: sequences_at_once(network, longest), first })
    }

    /// The places of a batch that count, as rows of `[batch · position]`.
    pub(super) fn places(&self, batch: &[&[u32]]) -> Vec<usize> {
        let positions = batch.iter().map(|row| row.len()).max().unwrap_or(0);
        let of_row = |(number, row): (usize, &&[u32])| {
            let start = number * positions;
            (self.first.min(row.len())..row.len()).map(move |position| start + position)
        };
        batch.iter().enumerate().flat_map(of_row).collect()
    }

    /// The positions that count.
    pub(super) fn positions(&self) -> Positions {
        if self.first == 0 { Positions::All } else { Positions::From(self.first) }
    }

    /// Sum and number of the losses of `batch` at the positions that count.
    pub(super) fn loss(
        &self,
        network: &dyn LanguageNetwork,
        batch: &[&[u32]],
        taps: &mut Taps<'_>,
    ) -> Result<Loss> {
        let mut total = Loss::default();
        for row in losses(network, batch, taps)? {
            for loss in row.into_iter().skip(self.first) {
                total.sum += loss;
                total.tokens += 1;
            }
        }
        Ok(total)
    }
}

/// Losses added up.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Loss {
    pub(super) sum: f64,
    pub(super) tokens: usize,
}

impl Loss {
    pub(super) fn add(&mut self, other: Self) {
        self.sum += other.sum;
        self.tokens += other.tokens;
    }

    /// In nats a token.
    pub(super) fn mean(self) -> f64 {
        self.sum / self.tokens as f64
    }
}
