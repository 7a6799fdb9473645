//! Logits of many rows over a whole vocabulary, of which only scores are kept.
//!
//! `ℓ = U w` for each row `w`: softmax normaliser, moments over tokens and the `top` largest, in one
//! pass over tiles of `U`. The largest logits and their order are those of products in double
//! precision; the sums are within the error of single precision.
//!
//! Memory: the rows twice, and one tile of 256 tokens; never rows × tokens.

mod row;
mod scores;
mod shortlist;
#[cfg(test)]
mod tests;

pub use scores::{RowScan, Signs, Softmax};

use rayon::prelude::*;

use crate::{
    gemm::{Into, MatRef, Threads, product},
    simd::logits,
};
use row::{Row, Run};
use shortlist::Exact;

/// Tokens that are worked on at once.
const TILE: usize = 256;
/// Rows that one task works on.
const CHUNK: usize = 256;

/// Reads rows through a vocabulary, tile after tile of tokens.
///
/// Tiles pushed one after the other give the same bytes in whatever sizes they come, and on any
/// number of threads.
#[derive(Clone, Debug)]
pub struct LogitScan {
    /// `[row, width]`
    rows: Vec<f32>,
    width: usize,
    norms: Vec<f64>,
    states: Vec<Row>,
    /// `[token, width]`, fewer than a tile of them
    pending: Vec<f32>,
    /// Number of the first pending token, or of the next one
    next: u32,
    /// One more than the highest number seen
    beyond: u32,
    /// Largest norm of a token so far
    longest: f64,
    count: u64,
}

impl LogitScan {
    /// A scan of `rows` `[row, width]` for the `top` largest logits of each.
    ///
    /// # Panics
    ///
    /// When `width` is zero or `rows` does not consist of whole rows.
    pub fn new(rows: &[f32], width: usize, top: usize, signs: Signs) -> Self {
        assert!(
            width > 0 && rows.len().is_multiple_of(width),
            "{} numbers, {width} a row",
            rows.len()
        );
        let norms: Vec<f64> = rows.par_chunks(width).map(|w| logits::dot(w, w).sqrt()).collect();
        Self {
            rows: rows.to_vec(),
            width,
            states: vec![Row::new(top, signs); norms.len()],
            norms,
            pending: Vec::new(),
            next: 0,
            beyond: 0,
            longest: 0.0,
            count: 0,
        }
    }

    /// Takes `tokens` `[token, width]`, the first of which has the number `first`.
    ///
    /// # Panics
    ///
    /// When `tokens` does not consist of whole rows, or a number passes `u32`.
    pub fn push(&mut self, tokens: &[f32], first: u32) {
        let (width, count) = (self.width, tokens.len() / self.width);
        assert_eq!(tokens.len(), count * width, "whole rows of {width}");
        assert!(u32::try_from(first as usize + count).is_ok(), "token numbers within 32 bits");
        if tokens.is_empty() {
            return;
        }
        if first as usize != self.next as usize + self.pending.len() / width {
            self.flush();
            self.next = first;
        }
        let mut rest = tokens;
        while !rest.is_empty() {
            let missing = TILE * width - self.pending.len();
            if self.pending.is_empty() && rest.len() >= missing {
                let (tile, after) = rest.split_at(missing);
                self.scan(tile);
                rest = after;
            } else {
                let (more, after) = rest.split_at(missing.min(rest.len()));
                self.pending.extend_from_slice(more);
                rest = after;
                if self.pending.len() == TILE * width {
                    self.flush();
                }
            }
        }
    }

    /// Scores of all rows, in their order.
    pub fn finish(mut self) -> Vec<RowScan> {
        self.flush();
        let count = self.count;
        self.states.into_iter().map(|state| state.finish(count)).collect()
    }

    /// Scans the pending tokens.
    fn flush(&mut self) {
        if !self.pending.is_empty() {
            let mut tile = std::mem::take(&mut self.pending);
            self.scan(&tile);
            tile.clear();
            self.pending = tile;
        }
    }

    /// Scans a tile of at most [`TILE`] tokens, the first of which has the number `self.next`.
    fn scan(&mut self, tile: &[f32]) {
        let (width, first) = (self.width, self.next);
        let count = tile.len() / width;
        let lengths: Vec<f64> = tile.par_chunks(width).map(|u| logits::dot(u, u).sqrt()).collect();
        self.longest = lengths.iter().fold(self.longest, |longest, x| longest.max(*x));
        if self.count == 0 {
            self.expect(tile, &lengths);
        }
        let (rows, norms, longest) = (&self.rows, &self.norms, self.longest);
        let (latest, error) = (first >= self.beyond, relative_error(width));
        self.states.par_chunks_mut(CHUNK).enumerate().for_each_init(
            || vec![0.0; CHUNK * TILE],
            |strip, (chunk, states)| {
                let begin = chunk * CHUNK;
                let rows = &rows[begin * width..(begin + states.len()) * width];
                let strip = &mut strip[..states.len() * count];
                product(
                    MatRef::row_major(rows, states.len(), width),
                    MatRef::row_major(tile, count, width).transposed(),
                    strip,
                    count,
                    Into::Overwrite,
                    Threads::One,
                );
                let parts = states.iter_mut().zip(&norms[begin..]).zip(rows.chunks(width));
                for (((state, norm), row), logits) in parts.zip(strip.chunks(count)) {
                    let logit = |token: u32| {
                        let place = (token - first) as usize * width;
                        // Zero has one sign.
                        logits::dot(row, &tile[place..place + width]) as f32 + 0.0
                    };
                    let slack = error * norm * longest;
                    let mut exact = Exact { slack, logit };
                    state.take(&Run { logits, first, latest }, &mut exact);
                    state.settle(&mut exact);
                }
            },
        );
        self.count += count as u64;
        self.next = first + count as u32;
        self.beyond = self.beyond.max(self.next);
    }

    /// Guesses from the first tile where each row's logits will lie.
    fn expect(&mut self, tile: &[f32], lengths: &[f64]) {
        let width = self.width;
        let mut mean = vec![0.0f64; width];
        for token in tile.chunks(width) {
            for (mean, x) in mean.iter_mut().zip(token) {
                *mean += f64::from(*x);
            }
        }
        let count = lengths.len() as f64;
        let mean: Vec<f32> = mean.iter().map(|sum| (sum / count) as f32).collect();
        let square = lengths.iter().map(|x| x * x).sum::<f64>() / count;
        let typical = ((square - logits::dot(&mean, &mean)).max(0.0) / width as f64).sqrt();
        let rows = self.rows.par_chunks(width).zip(&self.norms);
        self.states.par_iter_mut().zip(rows).for_each(|(state, (row, norm))| {
            state.expect(logits::dot(row, &mean), typical * norm);
        });
    }
}

/// Largest error of a logit, relative to the norms of its row and its token.
fn relative_error(width: usize) -> f64 {
    // Each of `width` sums is rounded, and the logit that is compared once more.
    (width + 2) as f64 * f64::from(f32::EPSILON)
}
