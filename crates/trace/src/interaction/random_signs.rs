//! Random signs over the output positions, in place of the sum over them.
//!
//! `Σ_t v_t² = E[(Σ_t φ_t v_t)²]` for independent signs `φ`; the mean of `r` draws is unbiased. Forward
//! derivatives give all positions at once, so that draws save nothing here: they are there to compare with
//! what was published with them.
//!
//! Source: Bushnaq et al. 2024, arXiv:2405.10928, appendix (stochastic sources).
//! Memory: one sign for each output row and draw of a block.

use ndarray::{Array1, Array2, Axis};
use nissl_core::section::Extent;
use nissl_core::seed::rng;
use rand::RngExt;

use super::edges::Edges;

impl Edges {
    /// Signs `[sample · output position, draw]` of a block whose first sample is `first`; each sample's own,
    /// whatever the blocks.
    pub(super) fn signs(
        &self,
        layer: usize,
        first: usize,
        extent: Extent,
        new: &Array2<f64>,
    ) -> Option<Array2<f64>> {
        if self.draws == 0 {
            return None;
        }
        let samples = new.nrows() / extent.positions_in.max(1);
        let mut signs = Array2::zeros((samples * extent.positions_out, self.draws));
        let of_samples = signs.axis_chunks_iter_mut(Axis(0), extent.positions_out.max(1));
        for (n, mut of_sample) in of_samples.enumerate() {
            let mut rng = rng(self.seed, (layer as u64) << 48 | (first + n) as u64);
            of_sample.mapv_inplace(|_: f64| if rng.random_bool(0.5) { 1.0 } else { -1.0 });
        }
        Some(signs)
    }
}

/// `1/r Σ_r Σ_x (Σ_t φ_rt v_t)²` for each column of `effects` `[sample · position, target vector]`.
pub(super) fn squares_by_signs(
    effects: &Array2<f64>,
    signs: &Array2<f64>,
    positions: usize,
) -> Array1<f64> {
    let mut sum = Array1::zeros(effects.ncols());
    let samples = effects
        .axis_chunks_iter(Axis(0), positions)
        .zip(signs.axis_chunks_iter(Axis(0), positions));
    for (effects, signs) in samples {
        sum += &signs.t().dot(&effects).mapv(|it| it * it).sum_axis(Axis(0));
    }
    sum / signs.ncols() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_agree_with_the_sum_on_average_and_exactly_where_there_is_one_position() {
        let extent = Extent { positions_in: 2, inputs: 1, positions_out: 3, outputs: 2 };
        let new = Array2::zeros((2 * 4, 1));
        let settings = Edges { draws: 20_000, seed: 5, ..Edges::default() };
        let signs = settings.signs(1, 0, extent, &new).expect("signs");
        let effects = Array2::from_shape_fn((12, 2), |(row, column)| {
            (1.0 + row as f64) * if column == 0 { 1.0 } else { -0.5 + 0.2 * row as f64 }
        });
        let exact = effects.mapv(|it| it * it).sum_axis(Axis(0));
        let found = squares_by_signs(&effects, &signs, 3);
        for (found, exact) in found.iter().zip(&exact) {
            assert!((found / exact - 1.0).abs() < 0.03, "{found} {exact}");
        }
        // One draw is no sum of squares.
        let one = squares_by_signs(&effects, &signs.slice(ndarray::s![.., ..1]).to_owned(), 3);
        assert!((one[0] / exact[0] - 1.0).abs() > 1e-3);
        let alone = squares_by_signs(&effects, &signs, 1);
        assert!((alone[0] / exact[0] - 1.0).abs() < 1e-12);
        // A block that begins later has the later samples' signs.
        let later = settings.signs(1, 2, extent, &Array2::zeros((4, 1))).expect("signs");
        assert_eq!(later, signs.slice(ndarray::s![6.., ..]));
    }
}
