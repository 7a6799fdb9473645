//! Permutation tests, and circular shifts as the null of time series.
//!
//! `p = (1 + #{null ≥ observed}) / (1 + permutations)`, so p is never 0.
//!
//! Source: Phipson and Smyth 2010, arXiv:1603.05766, §2 (the p value);
//! Harris 2020, arXiv:2012.06862 (shifts for series that depend on their past).
//! Differs: the series is turned round as a ring, which is exact only when its ends meet.

use rand::RngExt;
use rand::seq::SliceRandom;
use rayon::prelude::*;

use super::correlation::pearson;

/// Which statistics count as at least as extreme as the observed one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Alternative {
    /// Those as far from 0 on either side.
    #[default]
    TwoSided,
    /// Those as great.
    Greater,
    /// Those as small.
    Less,
}

/// An observed statistic and how often chance does as much.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tested {
    /// What was observed.
    pub statistic: f64,
    /// The p value, above 0 to 1; NaN when the statistic is.
    pub p: f64,
}

/// How a null is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permutation {
    /// How often chance is drawn.
    pub permutations: usize,
    /// Which side counts.
    pub alternative: Alternative,
    /// The seed of the draws.
    pub seed: u64,
}

impl Default for Permutation {
    fn default() -> Self {
        Self { permutations: 999, alternative: Alternative::TwoSided, seed: 0 }
    }
}

/// `(1 + exceeding) / (1 + permutations)`.
pub fn p_value(exceeding: usize, permutations: usize) -> f64 {
    (1 + exceeding) as f64 / (1 + permutations) as f64
}

impl Permutation {
    /// Tests whether the means of `a` and `b` differ; the statistic is `mean a − mean b`.
    pub fn difference_of_means(&self, a: &[f32], b: &[f32]) -> Tested {
        let all: Vec<f64> = a.iter().chain(b).map(|&value| f64::from(value)).collect();
        let difference = |order: &[usize]| {
            let (left, right) = order.split_at(a.len());
            let mean = |side: &[usize]| {
                side.iter().map(|&sample| all[sample]).sum::<f64>() / side.len() as f64
            };
            mean(left) - mean(right)
        };
        self.by_order(all.len(), difference)
    }

    /// Tests the Pearson correlation of independent samples `x` and `y`, both `[sample]`.
    ///
    /// # Panics
    /// When their lengths differ.
    pub fn correlation(&self, x: &[f32], y: &[f32]) -> Tested {
        self.by_order(y.len(), |order| {
            let shuffled: Vec<f32> = order.iter().map(|&sample| y[sample]).collect();
            pearson(x, &shuffled)
        })
    }

    /// Tests any `statistic` of an order of `samples` samples; the observed one is that of
    /// `0..samples`.
    pub fn by_order(&self, samples: usize, statistic: impl Fn(&[usize]) -> f64 + Sync) -> Tested {
        let whole: Vec<usize> = (0..samples).collect();
        self.against(statistic(&whole), |draw| {
            let mut order = whole.clone();
            order.shuffle(&mut crate::seed::rng(self.seed, draw));
            statistic(&order)
        })
    }

    /// Tests a `statistic` of the time series `x` and `y`, both `[time]`, against `y` turned round
    /// by at least `nearest` steps, which keeps each series' own correlation over time.
    ///
    /// NaN when no shift is that far from the series itself.
    ///
    /// # Panics
    /// When their lengths differ.
    pub fn circular_shift(
        &self,
        x: &[f32],
        y: &[f32],
        nearest: usize,
        statistic: impl Fn(&[f32], &[f32]) -> f64 + Sync,
    ) -> Tested {
        assert_eq!(x.len(), y.len(), "times of x and y");
        let observed = statistic(x, y);
        let nearest = nearest.max(1);
        if y.len() < 2 * nearest {
            return Tested { statistic: observed, p: f64::NAN };
        }
        self.against(observed, |draw| {
            let mut rng = crate::seed::rng(self.seed, draw);
            let shift = rng.random_range(nearest as u64..=(y.len() - nearest) as u64) as usize;
            let mut turned = y.to_vec();
            turned.rotate_right(shift);
            statistic(x, &turned)
        })
    }

    fn against(&self, observed: f64, null: impl Fn(u64) -> f64 + Sync) -> Tested {
        if observed.is_nan() {
            return Tested { statistic: observed, p: f64::NAN };
        }
        // The same samples summed in another order must still count as equal.
        let slack = 1e-10 * observed.abs().max(1e-30);
        let exceeds = |drawn: f64| match self.alternative {
            Alternative::TwoSided => drawn.abs() >= observed.abs() - slack,
            Alternative::Greater => drawn >= observed - slack,
            Alternative::Less => drawn <= observed + slack,
        };
        let draws = (0..self.permutations as u64).into_par_iter();
        // A draw on which the statistic is undefined is no evidence against chance.
        let counts = |drawn: f64| drawn.is_nan() || exceeds(drawn);
        let exceeding = draws.filter(|&draw| counts(null(draw))).count();
        Tested { statistic: observed, p: p_value(exceeding, self.permutations) }
    }
}

#[cfg(test)]
mod tests {
    use rand_distr::{Distribution, StandardNormal};

    use super::*;
    use crate::stats::close::assert_close;

    fn normal(seed: u64, count: usize) -> Vec<f32> {
        let mut rng = crate::seed::rng(seed, 0);
        (0..count).map(|_| StandardNormal.sample(&mut rng)).collect()
    }

    /// The greatest distance between the p values and the uniform distribution.
    fn kolmogorov(mut p: Vec<f64>) -> f64 {
        p.sort_by(f64::total_cmp);
        let count = p.len() as f64;
        let above = (1..).zip(&p).map(|(n, p)| (f64::from(n) / count - p).abs());
        let below = (0..).zip(&p).map(|(n, p)| (f64::from(n) / count - p).abs());
        above.chain(below).fold(0.0, f64::max)
    }

    /// A slow series: each step keeps 0.95 of the last.
    fn slow(seed: u64, count: usize) -> Vec<f32> {
        let mut level = 0.0;
        let step = |z: f32| {
            level = 0.95 * level + z;
            level
        };
        normal(seed, count).into_iter().map(step).collect()
    }

    #[test]
    fn p_is_uniform_when_nothing_is_there() {
        for alternative in [Alternative::TwoSided, Alternative::Greater, Alternative::Less] {
            let test = |trial: u64| {
                let how = Permutation { permutations: 199, alternative, seed: trial };
                let (a, b) = (normal(2 * trial, 24), normal(2 * trial + 1, 24));
                (how.difference_of_means(&a, &b[..16]).p, how.correlation(&a, &b).p)
            };
            let (means, correlations): (Vec<f64>, Vec<f64>) = (0..300).map(test).unzip();
            // The Kolmogorov bound at one in a thousand for 300 draws is 0.113.
            assert!(kolmogorov(means) < 0.113);
            assert!(kolmogorov(correlations) < 0.113);
        }
    }

    #[test]
    fn what_is_there_is_found_on_its_own_side_only() {
        let a: Vec<f32> = normal(1, 30).iter().map(|z| z + 2.0).collect();
        let b = normal(2, 30);
        let p = |alternative| {
            let how = Permutation { permutations: 999, alternative, seed: 3 };
            how.difference_of_means(&a, &b).p
        };
        assert_close(p(Alternative::TwoSided), 0.001, 1e-12);
        assert_close(p(Alternative::Greater), 0.001, 1e-12);
        assert!(p(Alternative::Less) > 0.99);
    }

    #[test]
    fn every_order_of_equal_samples_counts() {
        let tested = Permutation::default().difference_of_means(&[0.1; 7], &[0.1; 5]);
        assert_close(tested.p, 1.0, 0.0);
        assert!(Permutation::default().correlation(&[1.0; 3], &[1.0, 2.0, 3.0]).p.is_nan());
    }

    #[test]
    fn shifts_hold_their_level_on_slow_series_where_shuffles_do_not() {
        let trials = 200;
        let (mut shifted, mut shuffled) = (0, 0);
        for trial in 0..trials {
            let (x, y) = (slow(2 * trial, 300), slow(2 * trial + 1, 300));
            let how = Permutation { permutations: 99, seed: trial, ..Permutation::default() };
            shifted += usize::from(how.circular_shift(&x, &y, 20, pearson).p <= 0.05);
            shuffled += usize::from(how.correlation(&x, &y).p <= 0.05);
        }
        assert!(shifted <= 24, "{shifted} of 200 at 0.05");
        assert!(shuffled > 80, "{shuffled} of 200: the control that must fail");
    }

    #[test]
    fn shifts_find_a_shared_signal_and_need_room() {
        let x = slow(5, 600);
        let y: Vec<f32> = x.iter().zip(normal(6, 600)).map(|(x, z)| x + z).collect();
        let how = Permutation { permutations: 199, ..Permutation::default() };
        assert!(how.circular_shift(&x, &y, 50, pearson).p <= 0.01);
        assert!(how.circular_shift(&x, &y, 301, pearson).p.is_nan());
    }
}
