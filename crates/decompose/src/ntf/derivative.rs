//! Slopes of a trace, smoothed.
//!
//! Gaussian: `d(t) = Σ_n w_n x(t + n)`, `w_n ∝ n exp(−n²/2σ²)`, `|n| ≤ 4σ`, reflected at the ends.
//! Savitzky–Golay: the slope of the parabola of least squares over `4.5 σ`. Total variation: `z` of least
//! `½‖x − z‖² + α‖z″‖₁`, then its differences; `α = s (σ/dt)^1.5` with `s` the robust size of the noise.
//! All give 1 per sample on a ramp that rises by 1 a sample.
//!
//! Source: Savitzky and Golay 1964; Kim, Koh, Boyd, Gorinevsky 2009 (ℓ1 trend filtering); Ramdas and
//! Tibshirani 2016, §3 (its solution by alternating directions).
//! Memory: a few copies of one trace.

use serde::{Deserialize, Serialize};

/// How slopes are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Derivative {
    /// The derivative of a Gaussian of width σ
    #[default]
    Gaussian,
    /// Savitzky–Golay of order 2 over 4.5 σ
    SavitzkyGolay,
    /// Least total variation of the slope
    TotalVariation,
}

impl Derivative {
    /// The slope of `trace` at each sample; `sigma` in samples.
    pub(super) fn slopes(self, trace: &[f64], sigma: f64) -> Vec<f64> {
        match self {
            Self::Gaussian => {
                let radius = (4.0 * sigma).round().max(1.0) as isize;
                let weight = |n: isize| n as f64 * (-0.5 * (n as f64 / sigma).powi(2)).exp();
                filtered(trace, radius, weight)
            }
            Self::SavitzkyGolay => {
                let radius = (4.5 * sigma / 2.0).floor().max(1.0) as isize;
                filtered(trace, radius, |n| n as f64)
            }
            Self::TotalVariation => total_variation(trace, sigma),
        }
    }
}

/// Slopes by odd weights, scaled so that a ramp has slope 1.
fn filtered(trace: &[f64], radius: isize, weight: impl Fn(isize) -> f64) -> Vec<f64> {
    let weights: Vec<f64> = (1..=radius).map(&weight).collect();
    let scale: f64 = 2.0 * weights.iter().zip(1..).map(|(w, n)| w * f64::from(n)).sum::<f64>();
    (0..trace.len() as isize)
        .map(|at| {
            let terms = weights.iter().zip(1..=radius);
            let sum: f64 = terms
                .map(|(w, n)| {
                    w * (trace[reflect(at + n, trace.len())] - trace[reflect(at - n, trace.len())])
                })
                .sum();
            sum / scale
        })
        .collect()
}

/// `values` smoothed by a Gaussian of width `sigma`, reflected at the ends.
pub(super) fn gaussian(values: &[f64], sigma: f64) -> Vec<f64> {
    let radius = (4.0 * sigma).round().max(1.0) as isize;
    let weight = |n: isize| (-0.5 * (n as f64 / sigma).powi(2)).exp();
    let whole: f64 = (-radius..=radius).map(weight).sum();
    (0..values.len() as isize)
        .map(|at| {
            let terms =
                (-radius..=radius).map(|n| weight(n) * values[reflect(at + n, values.len())]);
            terms.sum::<f64>() / whole
        })
        .collect()
}

/// The place of `at` in a trace that is mirrored at its ends: `… 1 0 | 0 1 2 … n−1 | n−1 …`.
fn reflect(at: isize, length: usize) -> usize {
    let length = length as isize;
    let place = at.rem_euclid(2 * length);
    (if place < length { place } else { 2 * length - 1 - place }) as usize
}

/// Rounds of alternating directions.
const ROUNDS: usize = 300;

fn total_variation(trace: &[f64], sigma: f64) -> Vec<f64> {
    let size = trace.len();
    if size < 4 {
        return filtered(trace, 1, |n| n as f64);
    }
    let bend = |x: &[f64]| -> Vec<f64> { x.windows(3).map(|x| x[0] - 2.0 * x[1] + x[2]).collect() };
    let mut sizes: Vec<f64> = bend(trace).iter().map(|x| x.abs()).collect();
    sizes.sort_by(f64::total_cmp);
    // Second differences of noise of size s have size s √6.
    let noise = sizes[sizes.len() / 2] / (0.674_5 * 6f64.sqrt());
    let alpha = noise * sigma.max(1.0).powf(1.5);
    if alpha <= 0.0 {
        return filtered(trace, 1, |n| n as f64);
    }
    let rho = sigma.max(1.0).powi(3);
    let solver = Banded::new(size, rho);
    let (mut v, mut u) = (vec![0.0; size - 2], vec![0.0; size - 2]);
    let mut z = trace.to_vec();
    for _ in 0..ROUNDS {
        z.copy_from_slice(trace);
        for (k, (v, u)) in v.iter().zip(&u).enumerate() {
            let pull = rho * (v - u);
            z[k] += pull;
            z[k + 1] -= 2.0 * pull;
            z[k + 2] += pull;
        }
        solver.solve(&mut z);
        for ((v, u), bend) in v.iter_mut().zip(&mut u).zip(bend(&z)) {
            let target = bend + *u;
            *v = target.signum() * (target.abs() - alpha / rho).max(0.0);
            *u = target - *v;
        }
    }
    filtered(&z, 1, |n| n as f64)
}

/// `L D Lᵀ` of `I + ρ D₂ᵀD₂`, which has five diagonals.
struct Banded {
    diagonal: Vec<f64>,
    first: Vec<f64>,
    second: Vec<f64>,
}

impl Banded {
    fn new(size: usize, rho: f64) -> Self {
        let (mut a, mut b, mut c) = (vec![1.0; size], vec![0.0; size], vec![0.0; size]);
        for k in 0..size - 2 {
            for (place, weight) in [(k, 1.0), (k + 1, 4.0), (k + 2, 1.0)] {
                a[place] += rho * weight;
            }
            b[k] -= 2.0 * rho;
            b[k + 1] -= 2.0 * rho;
            c[k] += rho;
        }
        let (mut diagonal, mut first, mut second) =
            (vec![0.0f64; size], vec![0.0f64; size], vec![0.0f64; size]);
        for k in 0..size {
            let mut d: f64 = a[k];
            if k >= 1 {
                d -= first[k - 1].powi(2) * diagonal[k - 1];
            }
            if k >= 2 {
                d -= second[k - 2].powi(2) * diagonal[k - 2];
            }
            diagonal[k] = d;
            let carried = if k >= 1 { first[k - 1] * second[k - 1] * diagonal[k - 1] } else { 0.0 };
            first[k] = (b[k] - carried) / d;
            second[k] = c[k] / d;
        }
        Self { diagonal, first, second }
    }

    fn solve(&self, x: &mut [f64]) {
        for k in 1..x.len() {
            x[k] -= self.first[k - 1] * x[k - 1];
            if k >= 2 {
                x[k] -= self.second[k - 2] * x[k - 2];
            }
        }
        x.iter_mut().zip(&self.diagonal).for_each(|(x, d)| *x /= d);
        for k in (0..x.len() - 1).rev() {
            x[k] -= self.first[k] * x[k + 1];
            if k + 2 < x.len() {
                x[k] -= self.second[k] * x[k + 2];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;

    const ALL: [Derivative; 3] =
        [Derivative::Gaussian, Derivative::SavitzkyGolay, Derivative::TotalVariation];

    #[test]
    fn a_ramp_has_its_slope_away_from_the_ends() {
        let ramp: Vec<f64> = (0..60).map(|n| 3.0 - 0.25 * f64::from(n)).collect();
        for how in ALL {
            let slopes = how.slopes(&ramp, 2.0);
            for slope in &slopes[10..50] {
                assert!((slope + 0.25).abs() < 1e-9, "{how:?}: {slope}");
            }
            assert!(how.slopes(&[2.0; 30], 2.0).iter().all(|slope| slope.abs() < 1e-12));
        }
    }

    #[test]
    fn the_gaussian_filter_is_the_one_of_scipy() {
        // gaussian_filter1d([0,1,4,9,16,25,16,9,4,1], sigma=1, order=1, mode='reflect', truncate=4),
        // scaled by Σ n w_n of its weights.
        let trace = [0.0, 1.0, 4.0, 9.0, 16.0, 25.0, 16.0, 9.0, 4.0, 1.0];
        let mut weights = Vec::new();
        for n in -4i32..=4 {
            weights.push(f64::from(n) * (-0.5 * f64::from(n * n)).exp());
        }
        let scale: f64 = weights.iter().zip(-4i32..).map(|(w, n)| w * f64::from(n)).sum();
        let padded: Vec<f64> =
            [9.0, 4.0, 1.0, 0.0].into_iter().chain(trace).chain([1.0, 4.0, 9.0, 16.0]).collect();
        let found = Derivative::Gaussian.slopes(&trace, 1.0);
        for (at, found) in found.iter().enumerate() {
            let truth: f64 =
                weights.iter().zip(&padded[at..]).map(|(w, x)| w * x).sum::<f64>() / scale;
            assert!((truth - found).abs() < 1e-12, "{at}: {truth} {found}");
        }
    }

    #[test]
    fn every_filter_beats_plain_differences_in_noise() {
        let mut rng = nissl_core::seed::rng(4, 0);
        let truth: Vec<f64> =
            (0..200).map(|n| if (n / 50) % 2 == 0 { 0.2 } else { -0.1 }).collect();
        let mut level = 0.0;
        let trace: Vec<f64> = truth
            .iter()
            .map(|slope| {
                level += slope;
                level + 0.3 * (rng.random::<f64>() - 0.5)
            })
            .collect();
        let error = |slopes: &[f64]| -> f64 {
            (5..195).map(|n| (slopes[n] - truth[n]).powi(2)).sum::<f64>()
        };
        let plain = error(&filtered(&trace, 1, |n| n as f64));
        for how in ALL {
            let found = error(&how.slopes(&trace, 3.0));
            assert!(found < 0.4 * plain, "{how:?}: {found} {plain}");
        }
    }
}
