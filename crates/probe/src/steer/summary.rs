//! Steering summed up over features.
//!
//! The paper gives a mean and a deviation over features of a maximum over signs and divergences
//! without saying where the maximum is taken, so both are given: the mean of each feature's maximum,
//! and the maximum of the mean curve.

use serde::{Deserialize, Serialize};

use super::Steered;
use crate::strength::Sign;

/// Steering along several features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// How many features.
    pub features: usize,
    /// Mean over features of the greatest score over signs and divergences, 0 to 2.
    pub mean: f64,
    /// Its standard deviation; NaN for one feature.
    pub deviation: f64,
    /// Mean over features of the greatest scores of random directions; NaN without controls.
    pub control: f64,
    /// The mean curve, one point for each sign and divergence, plus first.
    pub curve: Vec<MeanPoint>,
    /// Judgements that are missing, over all texts.
    pub missing: usize,
}

/// One sign and divergence over several features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeanPoint {
    /// The side.
    pub sign: Sign,
    /// The wanted divergence, in nats.
    pub target: f64,
    /// Features that reached it and were judged.
    pub reached: usize,
    /// Their mean score, 0 to 2; NaN when none did.
    pub mean: f64,
    /// Its standard deviation; NaN for fewer than two.
    pub deviation: f64,
}

impl Summary {
    /// Of features that were steered with the same settings.
    pub fn of(steered: &[Steered]) -> Self {
        let best: Vec<f64> = steered.iter().map(Steered::score).collect();
        let controls: Vec<f64> = steered.iter().map(Steered::control_score).collect();
        let points = steered.first().map(|first| first.curve.as_slice()).unwrap_or_default();
        let curve = points.iter().enumerate().map(|(place, point)| {
            let scores: Vec<f64> = steered
                .iter()
                .filter_map(|one| one.curve.get(place))
                .map(|point| point.score)
                .filter(|score| score.is_finite())
                .collect();
            MeanPoint {
                sign: point.sign,
                target: point.target,
                reached: scores.len(),
                mean: mean(&scores),
                deviation: deviation(&scores),
            }
        });
        Self {
            features: steered.len(),
            mean: mean(&best),
            deviation: deviation(&best),
            control: mean(&controls),
            curve: curve.collect(),
            missing: steered.iter().map(Steered::missing).sum(),
        }
    }

    /// The point of the mean curve with the greatest score; `None` when no divergence was reached.
    pub fn best(&self) -> Option<&MeanPoint> {
        let judged = self.curve.iter().filter(|point| point.reached > 0);
        judged.rev().max_by(|a, b| a.mean.total_cmp(&b.mean))
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn deviation(values: &[f64]) -> f64 {
    let mean = mean(values);
    let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
    if values.len() > 1 { (squares / (values.len() - 1) as f64).sqrt() } else { f64::NAN }
}
