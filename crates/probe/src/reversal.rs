//! What taking a concept out of a network's weights does: the concept's probability where it comes
//! next, and the loss everywhere else.
//!
//! For a set of tokens `T`: `p(T) = Σ_{t∈T} p(t)` at positions whose next token is in `T`, at all
//! others, and `exp` of the mean loss of the others. The same figures before, after, and after a
//! control edit of as many random vectors, tell whether the concept fell and the rest stayed.
//!
//! Source: Davies 2025, arXiv:2501.02688, for the edit these figures judge; their form is ours.
//! Memory: the logits of as many texts as fit into 256 MiB.

use nissl_core::network::{LanguageNetwork, TokenBatch};
use nissl_core::stats::information::log_sum_exp;
use nissl_core::taps::Taps;
use nissl_core::{Error, Progress, Result};
use serde::{Deserialize, Serialize};

use crate::likelihood::{logits, sequences_at_once, values};

/// How likely a network holds a concept over texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConceptLikelihood {
    /// Positions whose next token is one of the concept's.
    pub positions: u64,
    /// The mean of `p(T)` there; NaN without such a position.
    pub probability: f64,
    /// The mean of `ln p(T)` there, in nats.
    pub log_probability: f64,
    /// Positions whose next token is another.
    pub others: u64,
    /// The mean of `p(T)` there.
    pub probability_elsewhere: f64,
    /// The perplexity of the next token there.
    pub perplexity_elsewhere: f64,
}

/// The likelihood of the concept that `tokens` stand for, over `sequences` of tokens.
///
/// Sequences longer than the network's context are cut into pieces of its length.
///
/// # Errors
/// No token, one outside the vocabulary, no position with a next token, a network without logits, or
/// an interruption.
pub fn concept_likelihood(
    network: &dyn LanguageNetwork,
    tokens: &[u32],
    sequences: &[Vec<u32>],
    progress: &Progress,
) -> Result<ConceptLikelihood> {
    let vocabulary = network.vocabulary();
    if let Some(beyond) = tokens.iter().find(|&&token| token as usize >= vocabulary) {
        return Err(Error::setting("token", beyond, format!("0 to {}", vocabulary - 1)));
    }
    let mut tokens = tokens.to_vec();
    tokens.sort_unstable();
    tokens.dedup();
    let empty = |what: &str, expected: &str| {
        Err(Error::Empty { what: what.to_owned(), expected: expected.to_owned() })
    };
    if tokens.is_empty() {
        return empty("the concept", "one token or more");
    }
    let pieces: Vec<&[u32]> = sequences
        .iter()
        .flat_map(|sequence| sequence.chunks(network.context()))
        .filter(|piece| piece.len() > 1)
        .collect();
    if pieces.is_empty() {
        return empty("the text", "two tokens or more");
    }
    let longest = pieces.iter().map(|piece| piece.len()).max().unwrap_or(1);
    let stage = progress.stage("score", pieces.len() as u64, "texts");
    let mut sums = Sums::default();
    for batch in pieces.chunks(sequences_at_once(network, longest)) {
        let logits = logits(network, &TokenBatch::new(batch)?, &mut Taps::none())?;
        let [_, positions, size] = logits.dims();
        let logits = values(logits)?;
        for (text, piece) in batch.iter().enumerate() {
            for (at, &next) in piece[1..].iter().enumerate() {
                let start = (text * positions + at) * size;
                sums.add(&logits[start..start + size], next, &tokens);
            }
        }
        stage.advance(batch.len() as u64);
        progress.check(|| format!("{} texts", sums.positions + sums.others))?;
    }
    Ok(sums.means())
}

#[derive(Default)]
struct Sums {
    positions: u64,
    probability: f64,
    log_probability: f64,
    others: u64,
    probability_elsewhere: f64,
    loss_elsewhere: f64,
}

impl Sums {
    fn add(&mut self, logits: &[f32], next: u32, tokens: &[u32]) {
        let total = log_sum_exp(logits);
        let concept: Vec<f32> = tokens.iter().map(|&token| logits[token as usize]).collect();
        let log_probability = log_sum_exp(&concept) - total;
        if tokens.binary_search(&next).is_ok() {
            self.positions += 1;
            self.probability += log_probability.exp();
            self.log_probability += log_probability;
        } else {
            self.others += 1;
            self.probability_elsewhere += log_probability.exp();
            self.loss_elsewhere += total - f64::from(logits[next as usize]);
        }
    }

    fn means(&self) -> ConceptLikelihood {
        let (there, elsewhere) = (self.positions as f64, self.others as f64);
        ConceptLikelihood {
            positions: self.positions,
            probability: self.probability / there,
            log_probability: self.log_probability / there,
            others: self.others,
            probability_elsewhere: self.probability_elsewhere / elsewhere,
            perplexity_elsewhere: (self.loss_elsewhere / elsewhere).exp(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_those_of_the_closed_form() {
        let mut sums = Sums::default();
        // Probabilities ½, ¼, ⅛, ⅛; the concept is tokens 1 and 2.
        let logits = [0.5f32, 0.25, 0.125, 0.125].map(f32::ln);
        sums.add(&logits, 1, &[1, 2]);
        sums.add(&logits, 0, &[1, 2]);
        sums.add(&logits, 3, &[1, 2]);
        let found = sums.means();
        assert_eq!((found.positions, found.others), (1, 2));
        assert!((found.probability - 0.375).abs() < 1e-6);
        assert!((found.log_probability - 0.375f64.ln()).abs() < 1e-6);
        assert!((found.probability_elsewhere - 0.375).abs() < 1e-6);
        // √(2 · 8)
        assert!((found.perplexity_elsewhere - 4.0).abs() < 1e-5);
    }
}
