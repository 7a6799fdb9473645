//! Products of all rows with a tile of tokens, panel of rows after panel of rows.

#[cfg(target_arch = "x86_64")]
use super::tiles::Tiles;
use crate::gemm::{Into, MatRef, Threads, product};
#[cfg(target_arch = "x86_64")]
use crate::simd::amx;

/// Rows of which logits stand side by side.
pub(super) const ROWS: usize = 32;

/// How products are computed on this machine.
#[derive(Debug)]
pub(super) enum Engine {
    /// In single precision
    Plain,
    /// In bfloat16 pieces on the matrix unit
    #[cfg(target_arch = "x86_64")]
    Tiles(Tiles),
}

impl Engine {
    /// The best there is for these rows `[row, width]` of the norms given.
    pub(super) fn new(rows: &[f32], width: usize, norms: &[f64]) -> Self {
        // The errors of pieces cancel over a long row; a short one is not worth the matrix unit.
        if width < 256 { Self::Plain } else { Self::fastest(rows, width, norms) }
    }

    /// The fastest there is.
    pub(super) fn fastest(rows: &[f32], width: usize, norms: &[f64]) -> Self {
        #[cfg(target_arch = "x86_64")]
        if amx::available() {
            return Self::Tiles(Tiles::new(rows, width, norms));
        }
        Self::Plain
    }

    /// Rows of one task, a multiple of [`ROWS`].
    pub(super) fn chunk(&self, rows: usize) -> usize {
        match self {
            // The product is cut as the chunk is, so that only one size gives the same bytes.
            Self::Plain => 8 * ROWS,
            #[cfg(target_arch = "x86_64")]
            Self::Tiles(_) => {
                rows.div_ceil(4 * rayon::current_num_threads() * ROWS).clamp(1, 8) * ROWS
            }
        }
    }

    /// Largest error of a logit for a row and a token of norm 1.
    pub(super) fn error(&self, width: usize) -> f64 {
        // Each sum is rounded, and the logit that is compared once more.
        let sums = (width + 2) as f64 * f64::from(f32::EPSILON);
        match self {
            Self::Plain => sums,
            #[cfg(target_arch = "x86_64")]
            Self::Tiles(_) => 3.0 * sums + super::tiles::SPLIT,
        }
    }

    /// Takes a tile of tokens `[token, width]`, at most [`TILE`] of them.
    pub(super) fn load(&mut self, tokens: &[f32], width: usize) {
        match self {
            Self::Plain => {}
            #[cfg(target_arch = "x86_64")]
            Self::Tiles(tiles) => tiles.load(tokens, width),
        }
    }

    /// Calls `take` for each 32 of the rows in `range`: with the place of the first, the logits
    /// `[token, row]` of the tokens loaded, and the distance of one token from the next.
    pub(super) fn logits(
        &self,
        rows: &[f32],
        tokens: &[f32],
        width: usize,
        range: std::ops::Range<usize>,
        scratch: &mut Vec<f32>,
        mut take: impl FnMut(usize, &[f32], usize),
    ) {
        let (begin, end) = (range.start, range.end);
        match self {
            Self::Plain => {
                let count = tokens.len() / width;
                // Room for whole panels, a little apart so that tokens do not share cache lines.
                let stride = range.len().next_multiple_of(ROWS) + 16;
                scratch.clear();
                scratch.resize(count * stride, 0.0);
                product(
                    MatRef::row_major(tokens, count, width),
                    MatRef::row_major(&rows[begin * width..end * width], range.len(), width)
                        .transposed(),
                    scratch,
                    stride,
                    Into::Overwrite,
                    Threads::One,
                );
                for first in (0..range.len()).step_by(ROWS) {
                    take(begin + first, &scratch[first..], stride);
                }
            }
            #[cfg(target_arch = "x86_64")]
            Self::Tiles(tiles) => tiles.logits(tokens.len() / width, range, scratch, take),
        }
    }
}
