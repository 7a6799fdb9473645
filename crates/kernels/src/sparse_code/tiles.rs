//! Products of samples with rows of an encoder on the matrix unit, of all pieces or of the first ones.

use rayon::prelude::*;

use super::engine::{PANEL, Products};
use crate::simd::{
    amx::{self, Begin, Panel, Pieces, STEP, Store, Unit},
    pieces,
};

/// Tiles of samples that stay in the second cache while all features pass by: 1.25 MiB of them.
const CACHE: usize = 1280;
/// Tiles of a panel of features after which the inner dimension is cut, so that they stay in the first
/// cache.
const STRIPE: usize = 32;
/// Numbers of a panel's products with a panel.
const SUMS: usize = PANEL * PANEL;
const _: () = assert!(PANEL == amx::PANEL);

/// Samples and the features at hand, cut into pieces and laid into tiles.
#[derive(Debug)]
pub(super) struct Tiles {
    steps: usize,
    rows: Store,
    row_pieces: Pieces,
    features: Store,
    feature_pieces: Pieces,
    cut: Cut,
}

/// What is multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// Numbers, as far as two pieces hold them
    Whole,
    /// The nearest bfloat16 numbers
    First,
}

impl Cut {
    fn pieces(self, x: &[f32]) -> Pieces {
        if self == Self::First || x.par_chunks(1 << 16).all(pieces::are_whole) {
            Pieces::High
        } else {
            Pieces::Both
        }
    }
}

impl Tiles {
    pub(super) fn new(x: &[f32], units: usize, cut: Cut) -> Self {
        let steps = units.div_ceil(STEP);
        let row_pieces = cut.pieces(x);
        let panel = steps * row_pieces.tiles();
        let mut rows = Store::new((x.len() / units).div_ceil(PANEL) * panel);
        rows.par_chunks_mut(panel)
            .zip(x.par_chunks(PANEL * units))
            .for_each(|(panel, rows)| pieces::lay_left(rows, units, row_pieces, panel));
        let features = Store::new(0);
        Self { steps, rows, row_pieces, features, feature_pieces: row_pieces, cut }
    }

    pub(super) fn cut(&self) -> Cut {
        self.cut
    }

    /// Rows of one task: as many as the cache holds, and as many tasks for each thread.
    pub(super) fn task(&self, rows: usize) -> usize {
        let most = (CACHE / (self.steps * self.row_pieces.tiles())).clamp(2, 16);
        let panels = rows.div_ceil(PANEL).max(1);
        let threads = rayon::current_num_threads();
        let tasks = panels.div_ceil(most).next_multiple_of(threads);
        panels.div_ceil(tasks) * PANEL
    }

    pub(super) fn load(&mut self, encoder: &[f32], units: usize) {
        self.feature_pieces = self.cut.pieces(encoder);
        let pieces = self.feature_pieces;
        let panel = self.steps * pieces.tiles();
        let size = (encoder.len() / units).div_ceil(PANEL) * panel;
        if self.features.len() < size {
            self.features = Store::new(size);
        }
        self.features
            .par_chunks_mut(panel)
            .zip(encoder.par_chunks(PANEL * units))
            .for_each(|(panel, rows)| pieces::lay_right(rows, units, pieces, panel));
    }

    pub(super) fn products(
        &self,
        features: usize,
        rows: std::ops::Range<usize>,
        scratch: &mut Vec<f32>,
        mut take: impl FnMut(&Products<'_>),
    ) {
        let mut unit = Unit::new();
        let stripe = STRIPE / self.feature_pieces.tiles();
        let row_panel = self.steps * self.row_pieces.tiles();
        let first = rows.start / PANEL;
        let panels = &self.rows[first * row_panel..rows.end.div_ceil(PANEL) * row_panel];
        let count = panels.len() / row_panel;
        scratch.resize(count * SUMS, 0.0);
        for panel in 0..features.div_ceil(PANEL) {
            for from in (0..self.steps).step_by(stripe) {
                let steps = from..(from + stripe).min(self.steps);
                let own = Panel::new(self.features_part(panel, &steps), self.feature_pieces);
                let begin = if from == 0 { Begin::Zero } else { Begin::Sum };
                // The next panel is fetched while this one is multiplied, an eighth at a time.
                let next = self.features_part(panel + 1, &steps);
                let (sums, _) = scratch.as_chunks_mut::<SUMS>();
                for (part, (rows, sums)) in panels.chunks(row_panel).zip(sums).enumerate() {
                    let tiles = self.row_pieces.tiles();
                    let rows = &rows[steps.start * tiles..steps.end * tiles];
                    let soon = next.get(next.len() / 8 * part..).unwrap_or_default();
                    unit.multiply(Panel::new(rows, self.row_pieces), own, sums, begin, soon);
                }
            }
            for (part, sums) in scratch.chunks(SUMS).enumerate() {
                let first = rows.start + part * PANEL;
                let rows = PANEL.min(rows.end - first);
                take(&Products { sums, stride: PANEL, first, rows, feature: panel * PANEL });
            }
        }
    }

    /// Some steps of a panel of features; nothing when there is no such panel.
    fn features_part(&self, panel: usize, steps: &std::ops::Range<usize>) -> &[amx::Tile] {
        let (first, tiles) = (panel * self.steps, self.feature_pieces.tiles());
        self.features
            .get((first + steps.start) * tiles..(first + steps.end) * tiles)
            .unwrap_or_default()
    }
}
