//! What is pulled back through a section: single outputs, or sums of them with random signs.
//!
//! For a sample `x` and draw `φ` of `±1`: `Σ_r (Σ_t φ_t ∂f̂_{i,t})² / r`, and likewise over coordinates
//! `i` or over both, whose mean is the sum of squares.
//!
//! Source: Bushnaq et al. 2024, arXiv:2405.10928, appendix (stochastic sources).

use ndarray::{Array2, ArrayView2, s};
use nissl_core::features::product;
use nissl_core::section::Basis;
use nissl_core::seed::rng;
use rand::RngExt;

use super::{LocalInteractionBasis, Sources};

/// Which outputs are pulled back: all, one after the other, or sums with random signs.
pub(super) struct Drawn<'a> {
    pub(super) settings: &'a LocalInteractionBasis,
    pub(super) layer: usize,
    /// The first sample of the block.
    pub(super) first: usize,
}

impl Drawn<'_> {
    /// How many cotangents there are.
    pub(super) fn cotangents(&self, positions: usize, vectors: usize) -> usize {
        let draws = self.settings.draws;
        match self.settings.sources {
            Sources::Exact => positions * vectors,
            Sources::Positions => draws * vectors,
            Sources::Hidden => draws * positions,
            Sources::Both => draws,
        }
    }

    /// Cotangent `which` of the outputs `[sample · position, output]`.
    pub(super) fn cotangent(
        &self,
        which: usize,
        samples: usize,
        positions: usize,
        target: &Basis,
    ) -> Array2<f64> {
        let (coordinates, vectors) = target.into.dim();
        let mut out = Array2::zeros((samples * positions, coordinates));
        match self.settings.sources {
            Sources::Exact => {
                let (position, vector) = (which / vectors, which % vectors);
                let column = target.into.column(vector);
                for mut row in out.slice_mut(s![position..; positions, ..]).rows_mut() {
                    row.assign(&column);
                }
            }
            Sources::Positions => {
                let (draw, vector) = (which / vectors, which % vectors);
                let column = target.into.column(vector);
                let signs = self.signs(draw, samples, positions);
                for (mut row, sign) in out.rows_mut().into_iter().zip(&signs) {
                    row.scaled_add(*sign, &column);
                }
            }
            Sources::Hidden => {
                let (draw, position) = (which / positions, which % positions);
                let signs = self.sums(draw, samples, vectors, target);
                out.slice_mut(s![position..; positions, ..]).assign(&signs);
            }
            Sources::Both => {
                let signs = self.sums(which, samples, positions * vectors, target);
                out.assign(&signs);
            }
        }
        out
    }

    /// `±1` for each sample, `each` of them; the same whatever block a sample lies in.
    fn signs(&self, draw: usize, samples: usize, each: usize) -> Vec<f64> {
        let mut out = Vec::with_capacity(samples * each);
        for sample in 0..samples {
            let place = (self.first + sample) as u64;
            let stream = (self.layer as u64) << 56 ^ (draw as u64) << 40 ^ place;
            let mut rng = rng(self.settings.seed, stream);
            out.extend((0..each).map(|_| if rng.random_bool(0.5) { 1.0 } else { -1.0 }));
        }
        out
    }

    /// Sums of the target's columns with random signs, `[sample · …, coordinate]`.
    fn sums(&self, draw: usize, samples: usize, each: usize, target: &Basis) -> Array2<f64> {
        let vectors = target.vectors();
        let signs = self.signs(draw, samples, each);
        let signs = ArrayView2::from_shape((signs.len() / vectors.max(1), vectors), &signs);
        let signs = signs.expect("as many signs as vectors for each row");
        product(signs, target.into.t())
    }
}
