//! Pearson and Spearman correlation, whole, streamed, and between all units of two blocks.
//!
//! `r = Σ (x − x̄)(y − ȳ) / √(Σ (x − x̄)² Σ (y − ȳ)²)`; NaN when either side is constant, when there
//! are fewer than two samples, or when a value is not finite.

#![expect(clippy::needless_pass_by_value, reason = "a view is a reference already")]

use ndarray::linalg::general_mat_mul;
use ndarray::{Array1, Array2, ArrayView2, Axis};

use super::ranks::average_ranks;

/// Pearson correlation of `x` and `y`, both `[sample]`, from −1 to 1.
///
/// # Panics
/// When their lengths differ.
pub fn pearson(x: &[f32], y: &[f32]) -> f64 {
    let wide = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect::<Vec<_>>();
    pearson_of_f64(&wide(x), &wide(y))
}

/// Spearman correlation of `x` and `y`, both `[sample]`: Pearson of their ranks, ties averaged.
///
/// # Panics
/// When their lengths differ.
pub fn spearman(x: &[f32], y: &[f32]) -> f64 {
    pearson_of_f64(&average_ranks(x), &average_ranks(y))
}

/// The samples of `x` and `y` at which neither is NaN (NaN is a missing measurement).
///
/// # Panics
/// When their lengths differ.
pub fn complete_pairs(x: &[f32], y: &[f32]) -> (Vec<f32>, Vec<f32>) {
    assert_eq!(x.len(), y.len(), "samples of x and y");
    x.iter().zip(y).filter(|(x, y)| !x.is_nan() && !y.is_nan()).map(|(&x, &y)| (x, y)).unzip()
}

fn pearson_of_f64(x: &[f64], y: &[f64]) -> f64 {
    assert_eq!(x.len(), y.len(), "samples of x and y");
    let (Some(&first_x), Some(&first_y)) = (x.first(), y.first()) else {
        return f64::NAN;
    };
    // Measured from the first sample, a constant is exactly 0 and its variance too.
    let count = x.len() as f64;
    let mean_x = x.iter().map(|x| x - first_x).sum::<f64>() / count;
    let mean_y = y.iter().map(|y| y - first_y).sum::<f64>() / count;
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (x, y) in x.iter().zip(y) {
        let (x, y) = (x - first_x - mean_x, y - first_y - mean_y);
        xx += x * x;
        yy += y * y;
        xy += x * y;
    }
    coefficient(xx, yy, xy)
}

fn coefficient(xx: f64, yy: f64, xy: f64) -> f64 {
    if xx > 0.0 && yy > 0.0 { (xy / (xx.sqrt() * yy.sqrt())).clamp(-1.0, 1.0) } else { f64::NAN }
}

/// Pearson correlation of two streams (Welford's update), mergeable.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PearsonStream {
    count: u64,
    mean_x: f64,
    mean_y: f64,
    xx: f64,
    yy: f64,
    xy: f64,
}

impl PearsonStream {
    /// Takes one sample in.
    pub fn push(&mut self, x: f32, y: f32) {
        let (x, y) = (f64::from(x), f64::from(y));
        self.count += 1;
        let (dx, dy) = (x - self.mean_x, y - self.mean_y);
        self.mean_x += dx / self.count as f64;
        self.mean_y += dy / self.count as f64;
        self.xx += dx * (x - self.mean_x);
        self.yy += dy * (y - self.mean_y);
        self.xy += dx * (y - self.mean_y);
    }

    /// Takes in all that another stream has seen.
    pub fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        let (here, there) = (self.count as f64, other.count as f64);
        let (dx, dy) = (other.mean_x - self.mean_x, other.mean_y - self.mean_y);
        let weight = here * there / (here + there);
        self.mean_x += dx * there / (here + there);
        self.mean_y += dy * there / (here + there);
        self.xx += other.xx + dx * dx * weight;
        self.yy += other.yy + dy * dy * weight;
        self.xy += other.xy + dx * dy * weight;
        self.count += other.count;
    }

    /// The samples seen.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The correlation so far.
    pub fn correlation(&self) -> f64 {
        coefficient(self.xx, self.yy, self.xy)
    }
}

/// Pearson correlation of every unit of `a` `[sample, unit]` with every unit of `b`
/// `[sample, other]`, as `[unit, other]`.
///
/// # Panics
/// When their samples differ in number.
pub fn correlation_matrix(a: ArrayView2<'_, f32>, b: ArrayView2<'_, f32>) -> Array2<f64> {
    let mut stream = CorrelationStream::new(a.ncols(), b.ncols());
    stream.push(a, b);
    stream.correlations()
}

/// Correlations between all units of two recordings, streamed over blocks of samples.
///
/// Memory: one f64 for each pair of units, and the block twice in f64.
#[derive(Clone, Debug)]
pub struct CorrelationStream {
    count: u64,
    origin_a: Array1<f64>,
    origin_b: Array1<f64>,
    sum_a: Array1<f64>,
    sum_b: Array1<f64>,
    square_a: Array1<f64>,
    square_b: Array1<f64>,
    cross: Array2<f64>,
}

impl CorrelationStream {
    /// No samples yet of `units` and `others` units.
    pub fn new(units: usize, others: usize) -> Self {
        Self {
            count: 0,
            origin_a: Array1::zeros(units),
            origin_b: Array1::zeros(others),
            sum_a: Array1::zeros(units),
            sum_b: Array1::zeros(others),
            square_a: Array1::zeros(units),
            square_b: Array1::zeros(others),
            cross: Array2::zeros((units, others)),
        }
    }

    /// Takes in a block: `a` `[sample, unit]`, `b` `[sample, other]`.
    ///
    /// # Panics
    /// When the samples of the two differ in number, or the units from those of earlier blocks.
    pub fn push(&mut self, a: ArrayView2<'_, f32>, b: ArrayView2<'_, f32>) {
        assert_eq!(a.nrows(), b.nrows(), "samples of a and b");
        if a.nrows() == 0 {
            return;
        }
        if self.count == 0 {
            self.origin_a = block_mean(a);
            self.origin_b = block_mean(b);
        }
        self.count += a.nrows() as u64;
        let a = a.mapv(f64::from) - &self.origin_a;
        let b = b.mapv(f64::from) - &self.origin_b;
        self.sum_a += &a.sum_axis(Axis(0));
        self.sum_b += &b.sum_axis(Axis(0));
        self.square_a += &a.mapv(|value| value * value).sum_axis(Axis(0));
        self.square_b += &b.mapv(|value| value * value).sum_axis(Axis(0));
        general_mat_mul(1.0, &a.t(), &b, 1.0, &mut self.cross);
    }

    /// The correlations so far, `[unit, other]`.
    pub fn correlations(&self) -> Array2<f64> {
        let count = self.count as f64;
        // What is left of a constant after its mean is only rounding.
        let centred = |square: f64, sum: f64, origin: f64| {
            let rest = square - sum * sum / count;
            let rounding = count * (origin * 1e-14).powi(2);
            if rest > rounding { rest } else { 0.0 }
        };
        Array2::from_shape_fn(self.cross.dim(), |(unit, other)| {
            let xx = centred(self.square_a[unit], self.sum_a[unit], self.origin_a[unit]);
            let yy = centred(self.square_b[other], self.sum_b[other], self.origin_b[other]);
            let xy = self.cross[[unit, other]] - self.sum_a[unit] * self.sum_b[other] / count;
            coefficient(xx, yy, xy)
        })
    }
}

/// The mean of each column, exact when the column is constant.
fn block_mean(block: ArrayView2<'_, f32>) -> Array1<f64> {
    let first = block.row(0).mapv(f64::from);
    let shifted = block.mapv(f64::from) - &first;
    first + shifted.sum_axis(Axis(0)) / block.nrows() as f64
}

#[cfg(test)]
mod tests {
    use ndarray::{Axis, s};
    use proptest::prelude::*;
    use rand::RngExt;

    use super::*;
    use crate::stats::close::assert_close;

    fn noise(seed: u64, samples: usize, units: usize, offset: f32) -> Array2<f32> {
        let mut rng = crate::seed::rng(seed, 0);
        Array2::from_shape_simple_fn((samples, units), || rng.random_range(-1.0..1.0) + offset)
    }

    #[test]
    fn pearson_of_a_worked_table() {
        // Deviations (−2,−1,0,1,2) and (−1,−2,1,0,2): 2+2+0+0+4 over √(10·10).
        assert_close(pearson(&[1., 2., 3., 4., 5.], &[2., 1., 4., 3., 5.]), 0.8, 1e-12);
    }

    #[test]
    fn spearman_averages_ties() {
        // Ranks (1.5,1.5,3,4) and (1,2,3.5,3.5): 1.5 + 0.5 + 0.5 + 1.5 over √(4.5·4.5).
        assert_close(spearman(&[0., 0., 1., 9.], &[1., 2., 7., 7.]), 4.0 / 4.5, 1e-12);
        assert_close(spearman(&[1., 2., 3., 4.], &[1., 8., 900., 1e6]), 1.0, 1e-12);
    }

    #[test]
    fn a_constant_has_no_correlation() {
        let constant = [0.1f32; 1001];
        let ramp: Vec<f32> = (0..1001).map(|i| i as f32).collect();
        assert!(pearson(&constant, &ramp).is_nan());
        assert!(spearman(&ramp, &constant).is_nan());
        assert!(pearson(&[], &[]).is_nan());
        assert!(pearson(&[1.0], &[1.0]).is_nan());
        let mut stream = PearsonStream::default();
        for (x, y) in constant.iter().zip(&ramp) {
            stream.push(*x, *y);
        }
        assert!(stream.correlation().is_nan());
        let a = ArrayView2::from_shape((1001, 1), &constant).expect("fits");
        let b = ArrayView2::from_shape((1001, 1), &ramp).expect("fits");
        let mut stream = CorrelationStream::new(1, 1);
        stream.push(a.slice(s![..300, ..]), b.slice(s![..300, ..]));
        stream.push(a.slice(s![300.., ..]), b.slice(s![300.., ..]));
        assert!(stream.correlations()[[0, 0]].is_nan());
    }

    #[test]
    fn a_missing_value_is_told_or_left_out() {
        let (x, y) = ([1.0, f32::NAN, 3.0, 4.0], [2.0, 9.0, 6.0, f32::NAN]);
        assert!(pearson(&x, &y).is_nan());
        assert_eq!(complete_pairs(&x, &y), (vec![1.0, 3.0], vec![2.0, 6.0]));
    }

    #[test]
    fn the_matrix_agrees_with_the_pairs_far_from_zero_too() {
        for (seed, offset) in [(0, 0.0), (1, 1000.0), (2, -1e5)] {
            let (a, b) = (noise(seed, 203, 4, offset), noise(seed + 9, 203, 3, offset));
            let mut b = b;
            b.column_mut(1).zip_mut_with(&a.column(2), |b, a| *b += a - offset);
            let whole = correlation_matrix(a.view(), b.view());
            let mut stream = CorrelationStream::new(4, 3);
            for range in [0..1, 1..80, 80..80, 80..203] {
                let rows = s![range, ..];
                stream.push(a.slice(rows), b.slice(rows));
            }
            let streamed = stream.correlations();
            for ((unit, other), r) in whole.indexed_iter() {
                let pair = pearson(&a.column(unit).to_vec(), &b.column(other).to_vec());
                assert_close(*r, pair, 1e-6);
                assert_close(streamed[[unit, other]], pair, 1e-6);
            }
            assert!(whole[[2, 1]] > 0.5);
            assert_eq!(whole.len_of(Axis(0)), 4);
        }
    }

    proptest! {
        #[test]
        fn streaming_in_two_parts_equals_the_whole(
            pairs in prop::collection::vec((-100f32..100.0, -100f32..100.0), 3..60), cut in 0usize..60
        ) {
            let (x, y): (Vec<f32>, Vec<f32>) = pairs.iter().copied().unzip();
            let cut = cut.min(x.len());
            let (mut left, mut right) = (PearsonStream::default(), PearsonStream::default());
            for (n, &(x, y)) in pairs.iter().enumerate() {
                if n < cut { left.push(x, y) } else { right.push(x, y) }
            }
            left.merge(&right);
            prop_assert_eq!(left.count(), x.len() as u64);
            assert_close(left.correlation(), pearson(&x, &y), 1e-9);
        }

        #[test]
        fn spearman_is_pearson_of_ranks_and_ignores_monotone_maps(
            pairs in prop::collection::vec((-9i8..9, -9i8..9), 5..40)
        ) {
            let (x, y): (Vec<f32>, Vec<f32>) =
                pairs.iter().map(|&(x, y)| (f32::from(x), f32::from(y))).unzip();
            let rank = |v: &[f32]| average_ranks(v).iter().map(|&r| r as f32).collect::<Vec<_>>();
            let direct = spearman(&x, &y);
            let cubes: Vec<f32> = x.iter().map(|x| x * x * x + 1.0).collect();
            if direct.is_nan() {
                prop_assert!(pearson(&rank(&x), &rank(&y)).is_nan());
            } else {
                assert_close(direct, pearson(&rank(&x), &rank(&y)), 1e-9);
                assert_close(direct, spearman(&cubes, &y), 1e-12);
                let negative: Vec<f32> = x.iter().map(|x| -x).collect();
                assert_close(direct, -spearman(&negative, &y), 1e-12);
            }
        }
    }
}
