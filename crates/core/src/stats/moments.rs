//! Moments of activity in one pass over blocks: per-unit mean, variance and range, the Gram matrix,
//! and explained variance.
//!
//! Blocks are f32, sums f64. NaN is a missing measurement and is left out of per-unit moments.

#![expect(clippy::needless_pass_by_value, reason = "a view is a reference already")]

use ndarray::linalg::general_mat_mul;
use ndarray::{Array1, Array2, ArrayView2, Axis};

/// Mean, variance and range of each unit, streamed over blocks and mergeable.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    counts: Vec<u64>,
    means: Vec<f64>,
    squares: Vec<f64>,
    minima: Vec<f32>,
    maxima: Vec<f32>,
}

impl Moments {
    /// No samples yet of `units` units.
    pub fn new(units: usize) -> Self {
        Self {
            counts: vec![0; units],
            means: vec![0.0; units],
            squares: vec![0.0; units],
            minima: vec![f32::INFINITY; units],
            maxima: vec![f32::NEG_INFINITY; units],
        }
    }

    /// Takes in a block `[sample, unit]`.
    ///
    /// # Panics
    /// When it has another number of units.
    pub fn push(&mut self, block: ArrayView2<'_, f32>) {
        let units = self.counts.len();
        assert_eq!(block.ncols(), units, "units of the block");
        let mut here = Self::new(units);
        // Row by row, so that memory is read in order; twice, so that no digits cancel.
        for row in block.axis_iter(Axis(0)) {
            for (unit, &value) in row.iter().enumerate() {
                if !value.is_nan() {
                    here.counts[unit] += 1;
                    here.means[unit] += f64::from(value);
                    here.minima[unit] = here.minima[unit].min(value);
                    here.maxima[unit] = here.maxima[unit].max(value);
                }
            }
        }
        for (mean, &count) in here.means.iter_mut().zip(&here.counts) {
            *mean /= count.max(1) as f64;
        }
        for row in block.axis_iter(Axis(0)) {
            for (unit, &value) in row.iter().enumerate() {
                let deviation = f64::from(value) - here.means[unit];
                here.squares[unit] += if value.is_nan() { 0.0 } else { deviation * deviation };
            }
        }
        self.merge(&here);
    }

    /// Takes in all that another stream of the same units has seen.
    ///
    /// # Panics
    /// When it has another number of units.
    pub fn merge(&mut self, other: &Self) {
        assert_eq!(self.counts.len(), other.counts.len(), "units of the two streams");
        for unit in 0..self.counts.len() {
            let (here, there) = (self.counts[unit] as f64, other.counts[unit] as f64);
            if other.counts[unit] == 0 {
                continue;
            }
            let step = other.means[unit] - self.means[unit];
            self.means[unit] += step * there / (here + there);
            self.squares[unit] += other.squares[unit] + step * step * here * there / (here + there);
            self.counts[unit] += other.counts[unit];
            self.minima[unit] = self.minima[unit].min(other.minima[unit]);
            self.maxima[unit] = self.maxima[unit].max(other.maxima[unit]);
        }
    }

    /// The measurements of each unit, `[unit]`.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// The means, `[unit]`; NaN for a unit without measurements.
    pub fn means(&self) -> Vec<f64> {
        let seen = self.means.iter().zip(&self.counts);
        seen.map(|(&mean, &count)| if count == 0 { f64::NAN } else { mean }).collect()
    }

    /// The variances over all samples seen, divided by their number, `[unit]`.
    pub fn variances(&self) -> Vec<f64> {
        self.squares.iter().zip(&self.counts).map(|(square, &n)| square / n as f64).collect()
    }

    /// The sums of squared deviations from the mean, `[unit]`.
    pub fn squared_deviations(&self) -> &[f64] {
        &self.squares
    }

    /// The least values, `[unit]`; +∞ for a unit without measurements.
    pub fn minima(&self) -> &[f32] {
        &self.minima
    }

    /// The greatest values, `[unit]`; −∞ for a unit without measurements.
    pub fn maxima(&self) -> &[f32] {
        &self.maxima
    }
}

/// The Gram matrix `Σ x xᵀ` and the sum of the samples, streamed over blocks.
///
/// Memory: one f64 for each pair of units, and the block in f64. A NaN makes its unit's entries NaN.
#[derive(Clone, Debug, PartialEq)]
pub struct Gram {
    samples: u64,
    sum: Array1<f64>,
    products: Array2<f64>,
}

impl Gram {
    /// No samples yet of `units` units.
    pub fn new(units: usize) -> Self {
        Self { samples: 0, sum: Array1::zeros(units), products: Array2::zeros((units, units)) }
    }

    /// Takes in a block `[sample, unit]`.
    ///
    /// # Panics
    /// When it has another number of units.
    pub fn push(&mut self, block: ArrayView2<'_, f32>) {
        assert_eq!(block.ncols(), self.sum.len(), "units of the block");
        let block = block.mapv(f64::from);
        self.samples += block.nrows() as u64;
        self.sum += &block.sum_axis(Axis(0));
        general_mat_mul(1.0, &block.t(), &block, 1.0, &mut self.products);
    }

    /// The samples seen.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// The mean, `[unit]`; NaN without samples.
    pub fn mean(&self) -> Array1<f64> {
        &self.sum / self.samples as f64
    }

    /// `Σ x xᵀ`, `[unit, unit]`.
    pub fn products(&self) -> &Array2<f64> {
        &self.products
    }

    /// The covariance over all samples seen, divided by their number, `[unit, unit]`.
    pub fn covariance(&self) -> Array2<f64> {
        let mean = self.mean();
        let mut covariance = &self.products / self.samples as f64;
        for ((row, column), value) in covariance.indexed_iter_mut() {
            *value -= mean[row] * mean[column];
        }
        covariance
    }
}

/// Explained variance `1 − Σ (x − x̂)² / Σ (x − x̄)²`, about each unit's mean over the samples seen.
///
/// 1 is perfect, 0 no better than the mean, below 0 worse. NaN where activity does not vary.
#[derive(Clone, Debug, PartialEq)]
pub struct ExplainedVariance {
    activity: Moments,
    errors: Vec<f64>,
}

impl ExplainedVariance {
    /// No samples yet of `units` units.
    pub fn new(units: usize) -> Self {
        Self { activity: Moments::new(units), errors: vec![0.0; units] }
    }

    /// Takes in `activity` and its `reconstruction`, both `[sample, unit]`; missing activity is left
    /// out.
    ///
    /// # Panics
    /// When their shapes differ, or the number of units from earlier blocks.
    pub fn push(&mut self, activity: ArrayView2<'_, f32>, reconstruction: ArrayView2<'_, f32>) {
        assert_eq!(activity.dim(), reconstruction.dim(), "activity and reconstruction");
        self.activity.push(activity);
        for (row, guess) in activity.axis_iter(Axis(0)).zip(reconstruction.axis_iter(Axis(0))) {
            for ((error, &value), &guess) in self.errors.iter_mut().zip(&row).zip(&guess) {
                let difference = f64::from(value) - f64::from(guess);
                *error += if value.is_nan() { 0.0 } else { difference * difference };
            }
        }
    }

    /// Takes in all that another stream of the same units has seen.
    ///
    /// # Panics
    /// When it has another number of units.
    pub fn merge(&mut self, other: &Self) {
        self.activity.merge(&other.activity);
        for (error, other) in self.errors.iter_mut().zip(&other.errors) {
            *error += other;
        }
    }

    /// Over all units together.
    pub fn overall(&self) -> f64 {
        share(self.errors.iter().sum(), self.activity.squares.iter().sum())
    }

    /// Of each unit, `[unit]`.
    pub fn by_unit(&self) -> Vec<f64> {
        let both = self.errors.iter().zip(&self.activity.squares);
        both.map(|(&error, &all)| share(error, all)).collect()
    }
}

fn share(error: f64, all: f64) -> f64 {
    if all > 0.0 { 1.0 - error / all } else { f64::NAN }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array, s};
    use rand::RngExt;

    use super::*;
    use crate::stats::close::assert_close;

    #[test]
    fn missing_values_are_left_out() {
        let mut moments = Moments::new(3);
        moments.push(array![[1.0, f32::NAN, f32::NAN], [3.0, 5.0, f32::NAN]].view());
        moments.push(array![[5.0, f32::NAN, f32::NAN]].view());
        assert_eq!(moments.counts(), [3, 1, 0]);
        assert_close(moments.means()[0], 3.0, 1e-12);
        assert_close(moments.variances()[0], 8.0 / 3.0, 1e-12);
        assert_close(moments.means()[1], 5.0, 1e-12);
        assert_close(moments.variances()[1], 0.0, 0.0);
        assert!(moments.means()[2].is_nan() && moments.variances()[2].is_nan());
        assert_eq!((moments.minima()[0], moments.maxima()[0]).0.to_bits(), 1.0f32.to_bits());
        assert_eq!(moments.maxima()[0].to_bits(), 5.0f32.to_bits());
    }

    #[test]
    fn blocks_of_any_size_give_the_moments_of_the_whole_far_from_zero() {
        for (seed, offset) in [(0, 0.0f32), (1, 4096.0)] {
            let mut rng = crate::seed::rng(seed, 0);
            let x = Array2::from_shape_simple_fn((301, 5), || offset + rng.random_range(0.0..1.0));
            let mut moments = Moments::new(5);
            let mut gram = Gram::new(5);
            for range in [0..7, 7..7, 7..200, 200..301] {
                moments.push(x.slice(s![range.clone(), ..]));
                gram.push(x.slice(s![range, ..]));
            }
            let wide = x.mapv(f64::from);
            let mean = wide.mean_axis(Axis(0)).expect("samples");
            let centred = &wide - &mean;
            let covariance = centred.t().dot(&centred) / 301.0;
            for unit in 0..5 {
                assert_close(moments.means()[unit], mean[unit], 1e-9);
                assert_close(moments.variances()[unit], covariance[[unit, unit]], 1e-9);
                assert_close(gram.mean()[unit], mean[unit], 1e-9);
                for other in 0..5 {
                    assert_close(gram.covariance()[[unit, other]], covariance[[unit, other]], 1e-7);
                }
            }
            assert_eq!(gram.samples(), 301);
            assert_close(gram.products()[[0, 1]], wide.column(0).dot(&wide.column(1)), 1e-3);
        }
    }

    #[test]
    fn explained_variance_knows_perfect_mean_and_worse() {
        let x = array![[1.0f32, 10.0, 2.0], [3.0, 10.0, 4.0], [5.0, 10.0, 6.0]];
        let measure = |guess: Array2<f32>| {
            let mut explained = ExplainedVariance::new(3);
            explained.push(x.slice(s![..1, ..]), guess.slice(s![..1, ..]));
            let mut rest = ExplainedVariance::new(3);
            rest.push(x.slice(s![1.., ..]), guess.slice(s![1.., ..]));
            explained.merge(&rest);
            explained
        };
        assert_close(measure(x.clone()).overall(), 1.0, 0.0);
        let mean = array![[3.0f32, 10.0, 4.0], [3.0, 10.0, 4.0], [3.0, 10.0, 4.0]];
        assert_close(measure(mean).overall(), 0.0, 1e-12);
        let half = measure(array![[1.0f32, 10.0, 4.0], [3.0, 10.0, 4.0], [5.0, 10.0, 4.0]]);
        assert_close(half.overall(), 0.5, 1e-12);
        assert_close(half.by_unit()[0], 1.0, 0.0);
        assert!(half.by_unit()[1].is_nan());
        assert!(measure(-x.clone()).overall() < 0.0);
    }
}
