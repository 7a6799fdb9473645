//! Products of rows with a tile of tokens on the matrix unit.

use rayon::prelude::*;

use super::TILE;
use crate::simd::{
    amx::{Begin, PANEL, Panel, Pieces, STEP, Store, Tile, Unit},
    pieces,
};

/// Tiles of a panel of tokens after which the inner dimension is cut, so that all panels of tokens
/// stay in the second cache: 1.25 MiB of them.
const SLICE: usize = 128;
/// Tiles of a panel of rows after which it is cut once more, so that these stay in the first cache.
const STRIPE: usize = 32;
/// Numbers of a panel's logits.
const SUMS: usize = TILE * PANEL;

/// Rows and the tokens at hand, cut into pieces and laid into tiles.
#[derive(Debug)]
pub(super) struct Tiles {
    steps: usize,
    rows: Store,
    row_pieces: Pieces,
    tokens: Store,
    token_pieces: Pieces,
}

/// Largest error that leaving out third pieces and the product of low pieces makes.
///
/// A high piece is within 2⁻⁹ of its number and both together within 2⁻¹⁸ (each half a unit of its
/// eight bits): two numbers short by 2⁻¹⁸ each and a product left out of 2⁻¹⁸ make three of them.
pub(super) const SPLIT: f64 = 4.0 / (1 << 18) as f64;

impl Tiles {
    pub(super) fn new(rows: &[f32], width: usize, norms: &[f64]) -> Self {
        let steps = width.div_ceil(STEP);
        let row_pieces = pieces_of(rows);
        let panel = steps * row_pieces.tiles();
        let mut tiles = Store::new(norms.len().div_ceil(PANEL) * panel);
        tiles
            .par_chunks_mut(panel)
            .zip(rows.par_chunks(PANEL * width).zip(norms.par_chunks(PANEL)))
            .for_each(|(panel, (rows, norms))| {
                if norms.iter().all(|norm| norm.is_finite()) {
                    pieces::lay_right(rows, width, row_pieces, panel);
                } else {
                    let finite = rows.chunks(width).zip(norms).flat_map(|(row, norm)| {
                        row.iter().map(|x| if norm.is_finite() { *x } else { 0.0 })
                    });
                    pieces::lay_right(&finite.collect::<Vec<f32>>(), width, row_pieces, panel);
                }
            });
        Self { steps, rows: tiles, row_pieces, tokens: Store::new(0), token_pieces: Pieces::Both }
    }

    pub(super) fn load(&mut self, tokens: &[f32], width: usize) {
        self.token_pieces = pieces_of(tokens);
        let panel = self.steps * self.token_pieces.tiles();
        let size = (tokens.len() / width).div_ceil(PANEL) * panel;
        if self.tokens.len() != size {
            self.tokens = Store::new(size);
        }
        let pieces = self.token_pieces;
        self.tokens
            .par_chunks_mut(panel)
            .zip(tokens.par_chunks(PANEL * width))
            .for_each(|(panel, tokens)| pieces::lay_left(tokens, width, pieces, panel));
    }

    pub(super) fn logits(
        &self,
        count: usize,
        range: std::ops::Range<usize>,
        scratch: &mut Vec<f32>,
        mut take: impl FnMut(usize, &[f32], usize),
    ) {
        let mut unit = Unit::new();
        let (row_tiles, token_tiles) = (self.row_pieces.tiles(), self.token_pieces.tiles());
        let (slice, stripe) = (SLICE / token_tiles, STRIPE / row_tiles);
        let panels = range.start / PANEL..range.end.div_ceil(PANEL);
        // Sums of all panels wait for the next slice, or one place serves all.
        let places = if self.steps > slice { panels.len() } else { 1 };
        scratch.resize(places * SUMS, 0.0);
        for begin in (0..self.steps).step_by(slice) {
            let end = (begin + slice).min(self.steps);
            for (place, panel) in panels.clone().enumerate() {
                let sums = &mut scratch[place % places * SUMS..][..SUMS];
                for from in (begin..end).step_by(stripe) {
                    let steps = from..(from + stripe).min(end);
                    let rows = Panel::new(self.row_part(panel, &steps), self.row_pieces);
                    let begin = if from == 0 { Begin::Zero } else { Begin::Sum };
                    // The next panel is fetched while this one is multiplied, an eighth at a time.
                    let next = self.row_part(panel + 1, &steps);
                    let (sums, _) = sums.as_chunks_mut::<{ PANEL * PANEL }>();
                    let tokens = self.tokens.chunks(self.steps * token_tiles);
                    for (part, (tokens, sums)) in tokens.zip(sums).enumerate() {
                        let tokens = &tokens[steps.start * token_tiles..steps.end * token_tiles];
                        let soon = next.get(next.len() / 8 * part..).unwrap_or_default();
                        let tokens = Panel::new(tokens, self.token_pieces);
                        unit.multiply(tokens, rows, sums, begin, soon);
                    }
                }
                if end == self.steps {
                    take(panel * PANEL, &sums[..count * PANEL], PANEL);
                }
            }
        }
    }

    /// Some steps of a panel of rows; nothing when there is no such panel.
    fn row_part(&self, panel: usize, steps: &std::ops::Range<usize>) -> &[Tile] {
        let (first, tiles) = (panel * self.steps, self.row_pieces.tiles());
        self.rows
            .get((first + steps.start) * tiles..(first + steps.end) * tiles)
            .unwrap_or_default()
    }
}

fn pieces_of(x: &[f32]) -> Pieces {
    if x.par_chunks(1 << 16).all(pieces::are_whole) { Pieces::High } else { Pieces::Both }
}
