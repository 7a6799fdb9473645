//! `Sampling`: how the next token is drawn.
//!
//! `p = softmax(logits / temperature)`, cut to the `top_k` largest and then to the smallest set that
//! holds `top_p`. Temperature 0 takes the largest.
//!
//! Source of the cuts: Holtzman et al. 2020, arXiv:1904.09751, §3.1.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How the next token is drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sampling {
    /// New tokens at most.
    pub tokens: usize,
    /// Divides the logits; 0 takes the most likely token.
    pub temperature: f32,
    /// Only the `top_k` most likely tokens; 0 is all.
    pub top_k: usize,
    /// Only the most likely tokens that together hold this probability, in (0, 1].
    pub top_p: f32,
    /// Seed of the draw.
    pub seed: u64,
    /// A token that ends the text.
    pub stop: Option<u32>,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { tokens: 50, temperature: 1.0, top_k: 0, top_p: 1.0, seed: 0, stop: None }
    }
}

impl Sampling {
    /// # Errors
    /// A value outside its range.
    pub fn validate(&self) -> Result<()> {
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            return Err(Error::setting("temperature", self.temperature, "0 or more"));
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return Err(Error::setting("top_p", self.top_p, "above 0, at most 1"));
        }
        Ok(())
    }

    /// The token at `uniform` in [0, 1) of the distribution of `logits` `[token]`, one or more of them,
    /// after temperature, `top_k` and then `top_p`. Equal logits keep the order of their tokens.
    pub fn draw(&self, logits: &[f32], uniform: f64) -> u32 {
        let mut order: Vec<u32> = (0..logits.len() as u32).collect();
        let descending = |a: &u32, b: &u32| {
            logits[*b as usize].total_cmp(&logits[*a as usize]).then_with(|| a.cmp(b))
        };
        let kept = match self.top_k {
            0 => order.len(),
            top_k => top_k.min(order.len()),
        };
        if kept < order.len() {
            order.select_nth_unstable_by(kept, descending);
            order.truncate(kept);
        }
        order.sort_unstable_by(descending);
        if self.temperature == 0.0 {
            return order[0];
        }
        let temperature = f64::from(self.temperature);
        let top = f64::from(logits[order[0] as usize]);
        let mut weights: Vec<f64> = order
            .iter()
            .map(|&token| ((f64::from(logits[token as usize]) - top) / temperature).exp())
            .collect();
        let total: f64 = weights.iter().sum();
        let mut held = 0.0;
        let nucleus = weights
            .iter()
            .position(|weight| {
                held += weight / total;
                held >= f64::from(self.top_p)
            })
            .map_or(weights.len(), |last| last + 1);
        weights.truncate(nucleus);
        let mut left = uniform * weights.iter().sum::<f64>();
        for (token, weight) in order.iter().zip(&weights) {
            left -= weight;
            if left < 0.0 {
                return *token;
            }
        }
        order[nucleus - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(sampling: &Sampling) -> Vec<usize> {
        // Probabilities ½, ¼, ⅛, ⅛.
        let logits = [0.125_f32.ln(), 0.5_f32.ln(), 0.25_f32.ln(), 0.125_f32.ln()];
        let mut counts = vec![0; 4];
        for n in 0..800 {
            counts[sampling.draw(&logits, (f64::from(n) + 0.5) / 800.0) as usize] += 1;
        }
        counts
    }

    #[test]
    fn shares_follow_the_distribution_and_its_cuts() {
        let plain = Sampling::default();
        assert_eq!(shares(&plain), [100, 400, 200, 100]);
        assert_eq!(shares(&Sampling { top_k: 1, ..plain.clone() }), [0, 800, 0, 0]);
        let two = shares(&Sampling { top_k: 2, ..plain.clone() });
        assert_eq!((two[0], two[3]), (0, 0));
        assert!(two[1].abs_diff(533) <= 1, "{two:?}");
        // ½ + ¼ reaches 0.7, so the rest is cut.
        assert_eq!(shares(&Sampling { top_p: 0.7, ..plain.clone() })[0], 0);
        assert_eq!(shares(&Sampling { top_p: 0.3, ..plain.clone() }), [0, 800, 0, 0]);
        assert_eq!(shares(&Sampling { temperature: 0.0, ..plain }), [0, 800, 0, 0]);
    }
}
