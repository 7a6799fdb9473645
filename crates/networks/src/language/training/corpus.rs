//! What a network is trained on: windows of tokens.

use nissl_core::{Error, Result, seed};
use rand::RngExt;

/// Gives the windows of any step at any time, so that a run that goes on sees what it would have.
pub trait Corpus: Send + Sync {
    /// `batch` windows of `length` tokens each, one after the other, for training step `step`.
    ///
    /// # Errors
    /// When they cannot be had.
    fn windows(&self, step: usize, batch: usize, length: usize) -> Result<Vec<u32>>;
}

/// A text held in memory; a step's windows begin at places drawn anew.
#[derive(Clone, Debug)]
pub struct Packed {
    tokens: Vec<u32>,
    seed: u64,
}

impl Packed {
    /// The text `tokens`, stories one after the other, each with its end token.
    pub fn new(tokens: Vec<u32>, seed: u64) -> Self {
        Self { tokens, seed }
    }
}

impl Corpus for Packed {
    fn windows(&self, step: usize, batch: usize, length: usize) -> Result<Vec<u32>> {
        let Some(last) = self.tokens.len().checked_sub(length) else {
            return Err(Error::setting(
                "tokens",
                self.tokens.len(),
                format!("at least {length}, one window of the training text"),
            ));
        };
        let mut rng = seed::rng(self.seed, step as u64);
        let mut windows = Vec::with_capacity(batch * length);
        for _ in 0..batch {
            let start = rng.random_range(0..=last);
            windows.extend_from_slice(&self.tokens[start..start + length]);
        }
        Ok(windows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_always_has_the_same_windows() {
        let corpus = Packed::new((0..1000).collect(), 5);
        let windows = |step| corpus.windows(step, 4, 10).expect("windows");
        assert_eq!(windows(3), windows(3));
        assert_ne!(windows(3), windows(4));
        for window in windows(3).chunks(10) {
            assert!(window.windows(2).all(|pair| pair[1] == pair[0] + 1), "{window:?}");
        }
        assert!(corpus.windows(0, 1, 1001).is_err());
    }
}
