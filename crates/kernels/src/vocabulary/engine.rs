//! Products of all rows with a tile of tokens, panel of rows after panel of rows.

use super::TILE;
use crate::gemm::{Into, MatRef, Threads, product};
#[cfg(target_arch = "x86_64")]
use crate::simd::{
    amx::{self, Begin, PANEL, Panel, Pieces, STEP, Tile, Unit},
    pieces,
};
use rayon::prelude::*;

/// Rows of which logits stand side by side.
pub(super) const ROWS: usize = 32;
/// Steps after which the inner dimension is cut, so that a tile of tokens stays in the cache.
#[cfg(target_arch = "x86_64")]
const SLICE: usize = 32;

/// How products are computed on this machine.
#[derive(Clone, Debug)]
pub(super) enum Engine {
    /// In single precision
    Plain,
    /// In bfloat16 pieces on the matrix unit
    #[cfg(target_arch = "x86_64")]
    Tiles(Tiles),
}

/// Rows and the tokens at hand, cut into pieces and laid into tiles.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Debug)]
pub(super) struct Tiles {
    steps: usize,
    rows: Vec<Tile>,
    row_pieces: Pieces,
    tokens: Vec<Tile>,
    token_pieces: Pieces,
}

impl Engine {
    /// The best there is for these rows `[row, width]` of the norms given.
    pub(super) fn new(rows: &[f32], width: usize, norms: &[f64]) -> Self {
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
            Self::Tiles(_) => 3.0 * sums + SPLIT,
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

    /// Calls `take` with the logits `[token, row]` of the tokens loaded for each 32 of the rows from
    /// `begin` to `end`, with the distance of tokens, and the place of the first row.
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

/// Largest error that leaving out third pieces and the product of low pieces makes.
///
/// A high piece is within 2⁻⁹ of its number and both together within 2⁻¹⁸ (each half a unit of its
/// eight bits): two numbers short by 2⁻¹⁸ each and a product left out of 2⁻¹⁸ make three of them.
#[cfg(target_arch = "x86_64")]
const SPLIT: f64 = 4.0 / (1 << 18) as f64;

#[cfg(target_arch = "x86_64")]
impl Tiles {
    fn new(rows: &[f32], width: usize, norms: &[f64]) -> Self {
        let steps = width.div_ceil(STEP);
        let row_pieces = pieces_of(rows);
        let panel = steps * row_pieces.tiles();
        let mut tiles = vec![Tile::ZERO; norms.len().div_ceil(PANEL) * panel];
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
        Self { steps, rows: tiles, row_pieces, tokens: Vec::new(), token_pieces: Pieces::Both }
    }

    fn load(&mut self, tokens: &[f32], width: usize) {
        self.token_pieces = pieces_of(tokens);
        let panel = self.steps * self.token_pieces.tiles();
        self.tokens.resize((tokens.len() / width).div_ceil(PANEL) * panel, Tile::ZERO);
        let pieces = self.token_pieces;
        self.tokens
            .par_chunks_mut(panel)
            .zip(tokens.par_chunks(PANEL * width))
            .for_each(|(panel, tokens)| pieces::lay_left(tokens, width, pieces, panel));
    }

    fn logits(
        &self,
        count: usize,
        range: std::ops::Range<usize>,
        scratch: &mut Vec<f32>,
        mut take: impl FnMut(usize, &[f32], usize),
    ) {
        let mut unit = Unit::new();
        let (row_tiles, token_tiles) = (self.row_pieces.tiles(), self.token_pieces.tiles());
        let panels = range.start / PANEL..range.end.div_ceil(PANEL);
        let panel_size = TILE * PANEL;
        // Sums of all panels wait for the next slice, or one place serves all.
        let places = if self.steps > SLICE { panels.len() } else { 1 };
        scratch.resize(places * panel_size, 0.0);
        for slice in (0..self.steps).step_by(SLICE) {
            let end = (slice + SLICE).min(self.steps);
            let begin = if slice == 0 { Begin::Zero } else { Begin::Sum };
            let part = |panel: usize| {
                let panel = panel * self.steps;
                self.rows
                    .get((panel + slice) * row_tiles..(panel + end) * row_tiles)
                    .unwrap_or_default()
            };
            for (place, panel) in panels.clone().enumerate() {
                let (rows, next) = (part(panel), part(panel + 1));
                let sums = &mut scratch[place % places * panel_size..][..panel_size];
                let (sums, _) = sums.as_chunks_mut::<{ PANEL * PANEL }>();
                let tokens = self.tokens.chunks(self.steps * token_tiles);
                for ((tokens, sums), soon) in
                    tokens.zip(sums).zip((0..8).map(|eighth| &next[next.len() / 8 * eighth..]))
                {
                    let tokens = &tokens[slice * token_tiles..end * token_tiles];
                    let left = Panel::new(tokens, self.token_pieces);
                    unit.multiply(left, Panel::new(rows, self.row_pieces), sums, begin, soon);
                }
                if end == self.steps {
                    let logits = &scratch[place % places * panel_size..][..count * PANEL];
                    take(panel * PANEL, logits, PANEL);
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn pieces_of(x: &[f32]) -> Pieces {
    if x.par_chunks(1 << 16).all(pieces::are_whole) { Pieces::High } else { Pieces::Both }
}
