//! Logits of many rows over a whole vocabulary, of which only scores are kept.
//!
//! `ℓ = U w` for each row `w`: softmax normaliser, moments over tokens and the `top` largest, in one
//! pass over tiles of `U`. The largest logits and their order are those of products in double
//! precision; the sums are within the error of single precision.
//!
//! On processors with a matrix unit for bfloat16 (AMX) numbers are split into two bfloat16 pieces, of
//! which three products make one; where rows or tokens come from a bfloat16 file their second pieces
//! are zero and left out. Elsewhere products are in single precision.
//!
//! Memory: the rows twice, and one tile of 320 tokens; never rows × tokens.

mod engine;
mod group;
mod scores;
mod shortlist;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod tiles;

pub use scores::{RowScan, Signs, Softmax};

use rayon::prelude::*;

use crate::simd::logits::{self, LANES};
use engine::{Engine, ROWS};
use group::{Group, Run};

/// Tokens that are worked on at once.
const TILE: usize = 320;

/// Reads rows through a vocabulary, tile after tile of tokens.
///
/// Tiles pushed one after the other give the same bytes in whatever sizes they come, and on any
/// number of threads. A token with NaN or an infinity leaves no row a score. Long tiles are faster, since every push computes the largest logits exactly.
#[derive(Debug)]
pub struct LogitScan {
    /// `[row, width]`
    rows: Vec<f32>,
    width: usize,
    groups: Vec<Group>,
    engine: Engine,
    /// `[token, width]`, fewer than a tile of them
    pending: Vec<f32>,
    /// Number of the first pending token, or of the next one
    next: u32,
    /// One more than the highest number seen
    beyond: u32,
    /// Largest norm of a token so far
    longest: f64,
    /// Whether a token was not finite
    broken: bool,
    count: u64,
}

impl LogitScan {
    /// A scan of `rows` `[row, width]` for the `top` largest logits of each.
    ///
    /// # Panics
    ///
    /// When `width` is zero or `rows` does not consist of whole rows.
    pub fn new(rows: &[f32], width: usize, top: usize, signs: Signs) -> Self {
        assert!(width > 0, "rows of at least one number");
        let engine = Engine::new(rows, width, &norms(rows, width));
        Self::on(engine, rows, width, top, signs)
    }

    /// As [`LogitScan::new`], with an engine that was chosen.
    fn on(engine: Engine, rows: &[f32], width: usize, top: usize, signs: Signs) -> Self {
        let whole = rows.len().is_multiple_of(width);
        assert!(whole, "{} numbers are not whole rows of {width}", rows.len());
        let norms = norms(rows, width);
        Self {
            rows: rows.to_vec(),
            width,
            groups: norms.chunks(LANES).map(|norms| Group::new(norms, top, signs)).collect(),
            engine,
            pending: Vec::new(),
            next: 0,
            beyond: 0,
            longest: 0.0,
            broken: false,
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
        if !self.pending.is_empty() {
            let missing = (TILE * width - self.pending.len()).min(rest.len());
            let (more, after) = rest.split_at(missing);
            self.pending.extend_from_slice(more);
            rest = after;
            if self.pending.len() == TILE * width {
                self.flush();
            }
        }
        let (whole, part) = rest.split_at(rest.len() / width / TILE * TILE * width);
        self.scan(whole);
        self.pending.extend_from_slice(part);
    }

    /// Scores of all rows, in their order.
    pub fn finish(mut self) -> Vec<RowScan> {
        self.flush();
        let (count, broken) = (self.count, self.broken);
        self.groups.into_iter().flat_map(|group| group.finish(count, broken)).collect()
    }

    /// Scans the pending tokens.
    fn flush(&mut self) {
        let mut tile = std::mem::take(&mut self.pending);
        self.scan(&tile);
        tile.clear();
        self.pending = tile;
    }

    /// Scans tokens, the first of which has the number `self.next`.
    fn scan(&mut self, tokens: &[f32]) {
        if tokens.is_empty() {
            return;
        }
        let first = self.next;
        for tile in tokens.chunks(TILE * self.width) {
            self.scan_tile(tile, tokens, first);
        }
        // The tokens are about to go away.
        let (width, error) = (self.width, self.error());
        let rows = self.rows.par_chunks(LANES * width);
        self.groups.par_iter_mut().zip(rows).for_each(|(group, rows)| {
            group.settle(error, &|lane, token| exact(rows, lane, tokens, token - first, width));
        });
    }

    /// Scans a tile out of `tokens`, which begin with the number `first`.
    fn scan_tile(&mut self, tile: &[f32], tokens: &[f32], first: u32) {
        let width = self.width;
        let lengths = norms(tile, width);
        self.broken |= lengths.iter().any(|length| !length.is_finite());
        if self.broken {
            return;
        }
        self.longest = lengths.iter().fold(self.longest, |longest, x| longest.max(*x));
        if self.count == 0 {
            self.expect(tile, &lengths);
        }
        self.engine.load(tile, width);
        let (rows, engine, error) = (&self.rows, &self.engine, self.error());
        let (from, latest) = (self.next, self.next >= self.beyond);
        let (count, rows_count) = (lengths.len(), rows.len() / width);
        let chunk = engine.chunk(rows_count);
        self.groups.par_chunks_mut(chunk / LANES).enumerate().for_each_init(
            Vec::new,
            |scratch, (place, groups)| {
                let begin = place * chunk;
                let range = begin..(begin + chunk).min(rows_count);
                engine.logits(rows, tile, width, range, scratch, |row, logits, stride| {
                    let groups = groups[(row - begin) / LANES..].iter_mut();
                    for (half, group) in groups.take(ROWS / LANES).enumerate() {
                        let logits = &logits[half * LANES..];
                        let run = Run { logits, stride, first: from, latest };
                        let rows = &rows[(row + half * LANES) * width..];
                        group.take(&run, error, &|lane, token| {
                            exact(rows, lane, tokens, token - first, width)
                        });
                    }
                });
            },
        );
        self.count += count as u64;
        self.next += count as u32;
        self.beyond = self.beyond.max(self.next);
    }

    /// Largest error of a logit of a row of norm 1 so far.
    fn error(&self) -> f64 {
        self.engine.error(self.width) * self.longest
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
        let rows = self.rows.par_chunks(LANES * width);
        self.groups.par_iter_mut().zip(rows).for_each(|(group, rows)| {
            for (lane, row) in rows.chunks(width).enumerate() {
                group.expect(lane, logits::dot(row, &mean), typical);
            }
        });
    }
}

/// Euclidean norm of each row of `x` `[row, width]`; not finite where a number is not.
fn norms(x: &[f32], width: usize) -> Vec<f64> {
    x.par_chunks(width).map(|x| logits::dot(x, x).sqrt()).collect()
}

/// The logit of one of `rows` and one of `tokens`, rounded once.
fn exact(rows: &[f32], row: usize, tokens: &[f32], token: u32, width: usize) -> f32 {
    let of = |place: usize| place * width..(place + 1) * width;
    let (row, token) = (&rows[of(row)], &tokens[of(token as usize)]);
    // Zero has one sign.
    logits::dot(row, token) as f32 + 0.0
}
