//! Causal smoothing of one trace: each sample becomes a mean of itself and of samples before it.
//!
//! `moving`: `y_j = mean(x_{j−⌊w/2⌋} … x_j)`, 8 samples for `w = 15`, fewer at the start.
//! `gaussian`: `y_j = Σ_k g_k x_{j−k} / Σ_k g_k`, `g_k = exp(−k²/2σ²)`, over the samples there are.
//! `exponential`: `y_j = α x_j + (1−α) y_{j−1}`, `y_0 = x_0`.
//!
//! Source: Simeon et al. 2024, arXiv:2411.12091, and the code published with it.
//! Differs: missing samples stay missing and are left out of the means of others; sums are
//! updated, so that a wide window costs no more than a narrow one; Gaussian weights below the
//! resolution of f64 are left out.
//! Memory: one trace.

use serde::{Deserialize, Serialize};

/// How traces are smoothed.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Smoothing {
    /// The mean of the last half window.
    #[default]
    Moving,
    /// Past samples weighted by a Gaussian of their age.
    Gaussian,
    /// An exponential mean.
    Exponential,
    /// Not at all.
    None,
}

impl Smoothing {
    /// Its name, as flags and the published tables write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Moving => "moving",
            Self::Gaussian => "gaussian",
            Self::Exponential => "exponential",
            Self::None => "none",
        }
    }
}

/// The mean of samples `j − ⌊window/2⌋ … j` for every `j`.
pub fn moving(trace: &[f64], window: usize) -> Vec<f64> {
    let back = window / 2;
    // Sums of differences from a typical value lose no digits to a large offset.
    let offset = trace.iter().copied().find(|value| value.is_finite()).unwrap_or(0.0);
    let (mut sum, mut count) = (0.0, 0usize);
    let mut out = Vec::with_capacity(trace.len());
    for (j, &value) in trace.iter().enumerate() {
        if value.is_finite() {
            sum += value - offset;
            count += 1;
        }
        if j > back && trace[j - back - 1].is_finite() {
            sum -= trace[j - back - 1] - offset;
            count -= 1;
        }
        out.push(if value.is_finite() { offset + sum / count as f64 } else { f64::NAN });
    }
    out
}

/// The mean of past samples with weights `exp(−k²/2σ²)`, `sigma` in samples.
pub fn gaussian(trace: &[f64], sigma: f64) -> Vec<f64> {
    let weights: Vec<f64> = (0..trace.len())
        .map(|k| (-0.5 * (k as f64 / sigma).powi(2)).exp())
        .take_while(|&weight| weight > 1e-17)
        .collect();
    (0..trace.len())
        .map(|j| {
            if !trace[j].is_finite() {
                return f64::NAN;
            }
            let (mut sum, mut total) = (0.0, 0.0);
            for (&weight, &value) in weights.iter().zip(trace[..=j].iter().rev()) {
                if value.is_finite() {
                    sum += weight * value;
                    total += weight;
                }
            }
            sum / total
        })
        .collect()
}

/// `y_j = α x_j + (1−α) y_{j−1}`.
pub fn exponential(trace: &[f64], alpha: f64) -> Vec<f64> {
    let mut last = f64::NAN;
    trace
        .iter()
        .map(|&value| {
            if value.is_finite() {
                last = if last.is_finite() { alpha * value + (1.0 - alpha) * last } else { value };
                last
            } else {
                f64::NAN
            }
        })
        .collect()
}

/// `dF/dt` by second-order central differences at uneven times; one-sided at both ends.
///
/// `t` must rise strictly and have the length of `trace`.
pub fn derivative(trace: &[f64], t: &[f64]) -> Vec<f64> {
    let last = trace.len().saturating_sub(1);
    if last == 0 {
        return vec![0.0; trace.len()];
    }
    (0..=last)
        .map(|j| {
            if j == 0 || j == last {
                let from = j.min(last - 1);
                return (trace[from + 1] - trace[from]) / (t[from + 1] - t[from]);
            }
            let (before, after) = (t[j] - t[j - 1], t[j + 1] - t[j]);
            (before * before * trace[j + 1] + (after * after - before * before) * trace[j]
                - after * after * trace[j - 1])
                / (before * after * (before + after))
        })
        .collect()
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these values are exact")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_moving_mean_looks_back_half_its_window() {
        let ramp: Vec<f64> = (0..20).map(f64::from).collect();
        let smooth = moving(&ramp, 15);
        for (at, expected) in [(0, 0.0), (3, 1.5), (7, 3.5), (10, 6.5), (19, 15.5)] {
            assert!((smooth[at] - expected).abs() < 1e-12, "{at}: {}", smooth[at]);
        }
    }

    #[test]
    fn no_kind_looks_ahead() {
        let mut trace = vec![0.0; 40];
        trace[20] = 1.0;
        for smooth in [moving(&trace, 15), gaussian(&trace, 5.0), exponential(&trace, 0.5)] {
            assert!(smooth[..20].iter().all(|&value| value.abs() < 1e-15));
            assert!(smooth[20] > 0.05 && smooth[21] > 0.05);
        }
        // The control: a mean over both sides would show the impulse before it came.
        assert!(moving(&trace, 15)[28].abs() < 1e-15, "the window ends after seven samples");
    }

    #[test]
    fn the_gaussian_is_renormalised_at_the_start() {
        let g = |k: f64| (-k * k / 50.0).exp();
        let smooth = gaussian(&[1.0, 2.0, 4.0], 5.0);
        assert!((smooth[0] - 1.0).abs() < 1e-15);
        assert!((smooth[1] - (2.0 + g(1.0)) / (1.0 + g(1.0))).abs() < 1e-14);
        let third = (4.0 + 2.0 * g(1.0) + g(2.0)) / (1.0 + g(1.0) + g(2.0));
        assert!((smooth[2] - third).abs() < 1e-14);
    }

    #[test]
    fn the_exponential_mean_follows_its_recursion() {
        assert_eq!(exponential(&[1.0, 3.0, 3.0], 0.5), [1.0, 2.0, 2.5]);
    }

    #[test]
    fn missing_samples_stay_missing_and_spoil_no_neighbour() {
        let trace = [1.0, f64::NAN, 3.0, 5.0];
        let shown = |smooth: Vec<f64>| {
            assert!(smooth[1].is_nan());
            [smooth[0], smooth[2], smooth[3]]
        };
        assert_eq!(shown(moving(&trace, 4)), [1.0, 2.0, 4.0]);
        assert_eq!(shown(exponential(&trace, 0.5)), [1.0, 2.0, 3.5]);
        assert!(shown(gaussian(&trace, 1.0)).iter().all(|value| value.is_finite()));
    }

    #[test]
    fn the_derivative_of_a_parabola_is_exact_inside_at_uneven_times() {
        let t = [0.0, 0.5, 0.8, 2.0, 2.1];
        let squares: Vec<f64> = t.iter().map(|t| t * t).collect();
        let slope = derivative(&squares, &t);
        for j in 1..4 {
            assert!((slope[j] - 2.0 * t[j]).abs() < 1e-12, "{j}: {}", slope[j]);
        }
        assert!((slope[0] - 0.5).abs() < 1e-12 && (slope[4] - 4.1).abs() < 1e-12);
        assert_eq!(derivative(&[7.0], &[0.0]), [0.0]);
    }

    proptest! {
        #[test]
        fn updated_sums_equal_plain_means(
            trace in prop::collection::vec(-1e4f64..1e4, 1..60), window in 1usize..20,
        ) {
            let smooth = moving(&trace, window);
            for j in 0..trace.len() {
                let part = &trace[j.saturating_sub(window / 2)..=j];
                let mean = part.iter().sum::<f64>() / part.len() as f64;
                prop_assert!((smooth[j] - mean).abs() < 1e-8);
            }
        }

        #[test]
        fn smoothing_commutes_with_scale_and_offset(
            trace in prop::collection::vec(-10f64..10.0, 2..40),
            scale in 0.1f64..5.0, offset in -50f64..50.0,
        ) {
            let moved: Vec<f64> = trace.iter().map(|x| scale * x + offset).collect();
            for (a, b) in [
                (moving(&trace, 15), moving(&moved, 15)),
                (gaussian(&trace, 5.0), gaussian(&moved, 5.0)),
                (exponential(&trace, 0.5), exponential(&moved, 0.5)),
            ] {
                for (a, b) in a.iter().zip(&b) {
                    prop_assert!((scale * a + offset - b).abs() < 1e-9);
                }
            }
        }
    }
}
