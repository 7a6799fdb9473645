//! What a clamp does to the next token, and how well the linear prediction tells it.

use nissl_core::stats::information::{kullback_leibler_of_logits, log_softmax};
use nissl_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// What one run says of a concept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// The probability of all of the concept's tokens together.
    pub probability: f64,
    /// Its logarithm.
    pub log_probability: f64,
    /// The best rank of any of them, from 1.
    pub rank: usize,
    /// `KL(p_plain ‖ p_clamped)`, in nats.
    pub divergence: f64,
    /// How much each of their logits rose `[token]`.
    pub logit_change: Vec<f64>,
}

/// Measures runs against the plain one.
pub(super) struct Measure<'a> {
    tokens: &'a [u32],
    plain: &'a [f32],
}

impl<'a> Measure<'a> {
    /// # Errors
    /// No token, or one outside the logits.
    pub(super) fn new(tokens: &'a [u32], plain: &'a [f32]) -> Result<Self> {
        if tokens.is_empty() {
            let what = "the concept's list of tokens".to_owned();
            return Err(Error::Empty { what, expected: "at least one token".to_owned() });
        }
        if let Some(token) = tokens.iter().find(|&&token| token as usize >= plain.len()) {
            return Err(Error::setting("token", token, format!("below {}", plain.len())));
        }
        Ok(Self { tokens, plain })
    }

    pub(super) fn divergence(&self, logits: &[f32]) -> f64 {
        kullback_leibler_of_logits(self.plain, logits)
    }

    /// The entries of the concept's tokens.
    pub(super) fn pick(&self, all: &[f64]) -> Vec<f64> {
        self.tokens.iter().map(|&token| all[token as usize]).collect()
    }

    pub(super) fn of(&self, logits: &[f32]) -> Effect {
        let logs = log_softmax(logits);
        let probability: f64 = self.tokens.iter().map(|&token| logs[token as usize].exp()).sum();
        let greatest = self.pick(&logs).into_iter().fold(f64::NEG_INFINITY, f64::max);
        // From the largest term, or a probability below the smallest number would have no logarithm.
        let rest: f64 = self.pick(&logs).iter().map(|log| (log - greatest).exp()).sum();
        let log_probability =
            if greatest == f64::NEG_INFINITY { greatest } else { greatest + rest.ln() };
        let change = |&token: &u32| {
            f64::from(logits[token as usize]) - f64::from(self.plain[token as usize])
        };
        Effect {
            probability,
            log_probability,
            rank: 1 + logs.iter().filter(|&&log| log > greatest).count(),
            divergence: self.divergence(logits),
            logit_change: self.tokens.iter().map(change).collect(),
        }
    }
}

/// How measured changes of logits rise with the predicted ones: slopes through the origin, 1 where
/// the prediction is exact.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slope {
    /// Of the changes with the final norm's scale kept; exact for the last layer. NaN where it
    /// cannot be measured.
    pub frozen: f64,
    /// Of the changes of the logits themselves.
    pub measured: f64,
}

/// Sums for [`Slope`].
#[derive(Default)]
pub(super) struct SlopeSums {
    squares: f64,
    frozen: f64,
    measured: f64,
    without_frozen: bool,
}

impl SlopeSums {
    /// One run: predicted and frozen changes `[token]`, logits with and without the clamp.
    pub(super) fn push(
        &mut self,
        predicted: &[f64],
        frozen: Option<&[f64]>,
        logits: &[f32],
        plain: &[f32],
    ) {
        self.squares += predicted.iter().map(|p| p * p).sum::<f64>();
        let changes = logits.iter().zip(plain).map(|(a, b)| f64::from(*a) - f64::from(*b));
        self.measured += predicted.iter().zip(changes).map(|(p, change)| p * change).sum::<f64>();
        match frozen {
            Some(frozen) => {
                self.frozen += predicted.iter().zip(frozen).map(|(p, f)| p * f).sum::<f64>();
            }
            None => self.without_frozen = true,
        }
    }

    /// `None` when nothing was predicted to move.
    pub(super) fn slope(&self) -> Option<Slope> {
        let frozen = if self.without_frozen { f64::NAN } else { self.frozen / self.squares };
        (self.squares > 0.0).then(|| Slope { frozen, measured: self.measured / self.squares })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probability_rank_and_divergence_are_those_of_the_softmax() {
        let plain = [0.4_f32, 0.3, 0.2, 0.1].map(f32::ln);
        let measure = Measure::new(&[1, 3], &plain).expect("tokens");
        let before = measure.of(&plain);
        assert!((before.probability - 0.4).abs() < 1e-6 && before.rank == 2, "{before:?}");
        assert!(before.divergence.abs() < 1e-9);
        let raised = [0.1_f32, 0.1, 0.2, 0.6].map(f32::ln);
        let after = measure.of(&raised);
        assert!((after.probability - 0.7).abs() < 1e-6 && after.rank == 1, "{after:?}");
        assert!((after.log_probability - 0.7_f64.ln()).abs() < 1e-6);
        let by_hand = 0.4 * 4.0_f64.ln() + 0.3 * 3.0_f64.ln() + 0.1 * (1.0_f64 / 6.0).ln();
        assert!((after.divergence - by_hand).abs() < 1e-6);
        assert!((after.logit_change[1] - 6.0_f64.ln()).abs() < 1e-6);
        // A probability too small for a number keeps its logarithm.
        let gone = [0.0, -2000.0, 0.0, -2000.0];
        let gone = measure.of(&gone);
        assert!(gone.probability == 0.0 && (gone.log_probability + 2000.0).abs() < 1e-6);
        assert!(Measure::new(&[], &plain).is_err() && Measure::new(&[4], &plain).is_err());
    }
}
