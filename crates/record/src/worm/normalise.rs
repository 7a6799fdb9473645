//! Normalisation of one trace over time.
//!
//! `standard`: `z = (x − mean) / sd` over the whole recording, population standard deviation.
//! `causal`: the mean and standard deviation of the samples so far, the variance at least 1e-8;
//! the first sample is zero.
//!
//! Source: Simeon et al. 2024, arXiv:2411.12091, and the code published with it.
//! Memory: one trace.

use serde::{Deserialize, Serialize};

/// How traces are normalised.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Normalisation {
    /// Mean zero and standard deviation one over the whole recording.
    #[default]
    Standard,
    /// By what was seen so far.
    Causal,
    /// Not at all.
    None,
}

impl Normalisation {
    /// Its name, as flags and the published tables write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Causal => "causal",
            Self::None => "none",
        }
    }
}

/// The smallest variance that the causal form divides by.
const VARIANCE_FLOOR: f64 = 1e-8;

/// `(x − mean) / sd` over the samples that are there; a constant trace becomes zeros.
pub fn standard(trace: &mut [f64]) {
    let present = || trace.iter().filter(|value| value.is_finite());
    let count = present().count() as f64;
    let mean = present().sum::<f64>() / count;
    let variance = present().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    // The rounding of a constant's mean must not be blown up to a signal.
    let constant = variance.sqrt() <= 1e-12 * mean.abs();
    let scale = if constant || variance == 0.0 { 1.0 } else { variance.sqrt() };
    for value in trace {
        *value = if constant && value.is_finite() { 0.0 } else { (*value - mean) / scale };
    }
}

/// The running mean and standard deviation of each sample and those before it.
pub fn running(trace: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let (mut count, mut mean, mut squares) = (0.0, 0.0, 0.0);
    let step = |&value: &f64| {
        if value.is_finite() {
            count += 1.0;
            let before = value - mean;
            mean += before / count;
            squares += before * (value - mean);
        }
        let variance: f64 = if count > 0.0 { squares / count } else { 0.0 };
        (mean, variance.max(VARIANCE_FLOOR).sqrt())
    };
    trace.iter().map(step).unzip()
}

/// `(x_j − mean_j) / sd_j` with the running mean and standard deviation; the first is zero.
pub fn causal(trace: &mut [f64]) {
    let (mean, sd) = running(trace);
    for ((value, mean), sd) in trace.iter_mut().zip(mean).zip(sd) {
        *value = (*value - mean) / sd;
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these values are exact")]
mod tests {
    use super::*;

    #[test]
    fn the_standard_form_has_mean_zero_and_population_variance_one() {
        let mut trace = [1.0, f64::NAN, 3.0, 5.0, 7.0];
        standard(&mut trace);
        let expected = [-3.0, -1.0, 1.0, 3.0].map(|x: f64| x / 5.0f64.sqrt());
        let found = [trace[0], trace[2], trace[3], trace[4]];
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() < 1e-12, "{found:?}");
        }
        assert!(trace[1].is_nan());
    }

    #[test]
    fn a_constant_becomes_zeros() {
        let mut trace = [0.1; 7];
        standard(&mut trace);
        assert_eq!(trace, [0.0; 7]);
    }

    #[test]
    fn the_causal_form_knows_no_future() {
        let mut whole = [2.0, 4.0, 0.0, 9.0, 1.0];
        let mut begun = [2.0, 4.0, 0.0];
        causal(&mut whole);
        causal(&mut begun);
        assert_eq!(whole[..3], begun);
        assert_eq!(whole[0], 0.0);
        assert!((whole[1] - 1.0).abs() < 1e-12, "(4 − 3) / 1");
        let sd = (8.0f64 / 3.0).sqrt();
        assert!((whole[2] + 2.0 / sd).abs() < 1e-12);
    }

    #[test]
    fn the_variance_has_a_floor() {
        let mut trace = [1.0, 1.0, 1.0 + 1e-6];
        causal(&mut trace);
        assert!((trace[2] - 2e-6 / 3.0 / 1e-4).abs() < 1e-6, "{}", trace[2]);
    }
}
