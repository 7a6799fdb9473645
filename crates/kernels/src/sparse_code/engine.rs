//! Products of all rows with some rows of an encoder, panel after panel.

use super::Select;
#[cfg(target_arch = "x86_64")]
use super::tiles::{Cut, Tiles};
use crate::gemm::{Into, MatRef, Threads, product};
#[cfg(target_arch = "x86_64")]
use crate::simd::amx;

/// Features whose products with a row stand side by side.
pub(super) const PANEL: usize = 32;
/// Features that are worked on at once, a multiple of [`PANEL`].
pub(super) const FEATURES: usize = 2048;
/// Rows of one task in single precision: the product is cut as they are, so that only one size gives the
/// same bytes.
const PLAIN_ROWS: usize = 256;

/// How products are computed on this machine.
#[derive(Debug)]
pub(super) enum Engine {
    /// In single precision
    Plain,
    /// In bfloat16 pieces on the matrix unit
    #[cfg(target_arch = "x86_64")]
    Tiles(Tiles),
}

/// A panel of products, of 32 neighbouring features.
pub(super) struct Products<'a> {
    /// `[row, feature]`, rows [`Products::stride`] apart; beyond the last feature anything may stand
    pub(super) sums: &'a [f32],
    pub(super) stride: usize,
    /// First row
    pub(super) first: usize,
    pub(super) rows: usize,
    /// First feature, counted from the first loaded
    pub(super) feature: usize,
}

impl Engine {
    /// The best there is for rows of this width.
    pub(super) fn fitting(x: &[f32], units: usize, select: Select<'_>) -> Self {
        #[cfg(target_arch = "x86_64")]
        // A short row is not worth the matrix unit.
        if units >= 64 && amx::available() {
            let cut = if matches!(select, Select::TopK(_)) { Cut::First } else { Cut::Whole };
            return Self::Tiles(Tiles::new(x, units, cut));
        }
        Self::Plain
    }

    /// Whether products are of numbers rounded to bfloat16 ones.
    pub(super) fn is_rough(&self) -> bool {
        match self {
            Self::Plain => false,
            #[cfg(target_arch = "x86_64")]
            Self::Tiles(tiles) => tiles.cut() == Cut::First,
        }
    }

    /// All that this machine has.
    #[cfg(test)]
    pub(super) fn all(x: &[f32], units: usize, select: Select<'_>) -> Vec<Self> {
        let mut engines = vec![Self::Plain];
        #[cfg(target_arch = "x86_64")]
        if amx::available() {
            engines.push(Self::Tiles(Tiles::new(x, units, Cut::Whole)));
            if matches!(select, Select::TopK(_)) {
                engines.push(Self::Tiles(Tiles::new(x, units, Cut::First)));
            }
        }
        engines
    }

    /// Rows of one task.
    pub(super) fn task(&self, rows: usize) -> usize {
        match self {
            Self::Plain => PLAIN_ROWS.min(rows.max(1)),
            #[cfg(target_arch = "x86_64")]
            Self::Tiles(tiles) => tiles.task(rows),
        }
    }

    /// Takes rows of an encoder `[feature, unit]`, at most [`FEATURES`] of them.
    pub(super) fn load(&mut self, encoder: &[f32], units: usize) {
        match self {
            Self::Plain => {}
            #[cfg(target_arch = "x86_64")]
            Self::Tiles(tiles) => tiles.load(encoder, units),
        }
    }

    /// Calls `take` with the products of `rows` (a task's, of `x` `[row, unit]`) with the features loaded,
    /// in ascending order of features.
    pub(super) fn products(
        &self,
        x: &[f32],
        encoder: &[f32],
        units: usize,
        rows: std::ops::Range<usize>,
        scratch: &mut Vec<f32>,
        mut take: impl FnMut(&Products<'_>),
    ) {
        match self {
            Self::Plain => {
                let features = encoder.len() / units;
                // A little apart, so that rows do not share cache lines.
                let stride = features.next_multiple_of(PANEL) + 16;
                scratch.resize((rows.len() * stride).max(scratch.len()), 0.0);
                let x = &x[rows.start * units..rows.end * units];
                product(
                    MatRef::row_major(x, rows.len(), units),
                    MatRef::row_major(encoder, features, units).transposed(),
                    scratch,
                    stride,
                    Into::Overwrite,
                    Threads::One,
                );
                for feature in (0..features).step_by(PANEL) {
                    let sums = &scratch[feature..];
                    take(&Products { sums, stride, first: rows.start, rows: rows.len(), feature });
                }
            }
            #[cfg(target_arch = "x86_64")]
            Self::Tiles(tiles) => tiles.products(encoder.len() / units, rows, scratch, take),
        }
    }
}
