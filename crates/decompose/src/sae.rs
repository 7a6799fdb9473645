//! Sparse autoencoders: activity rebuilt from a few of many features.
//!
//! `z = act(W_enc (x − b_dec) + b_enc)`, `x̂ = W_decᵀ z + b_dec`, rows of `W_dec` of norm 1;
//! loss `‖x̂ − x‖²/E‖x − x̄‖² + λ Σ z_i‖w_dec,i‖`.
//!
//! Source: Cunningham et al. 2023, arXiv:2309.08600, §3; Gao et al. 2024, arXiv:2406.04093; training as
//! Dunefsky et al. 2024, arXiv:2406.11944, appendix; see `sparse_training`.
//! Differs: top-k by default, which has no penalty to tune.
//! Memory: see `sparse_training`.

use nissl_core::features::{Decompose, Dictionary};
use nissl_core::{Progress, Recording, Result};
use serde::{Deserialize, Serialize};

use crate::sparse_training::{Run, Shuffled, Trained, Training, train};

/// Hyperparameters of a sparse autoencoder.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Sae {
    /// How it is trained
    #[command(flatten)]
    #[serde(flatten)]
    pub training: Training,
}

impl Decompose for Sae {
    fn name(&self) -> &'static str {
        "sae"
    }

    fn validate(&self) -> Result<()> {
        self.training.validate()
    }

    fn fit(
        &self,
        recording: &Recording,
        rows: &[usize],
        progress: &Progress,
    ) -> Result<Dictionary> {
        let samples = self.training.samples(Some(rows.len()))?;
        Ok(self.fit_in(recording, rows, &Run::of(samples, progress))?.dictionary)
    }
}

impl Sae {
    /// As [`Decompose::fit`], with all that a training gives, and resumable.
    ///
    /// # Errors
    /// As [`train`].
    pub fn fit_in(&self, recording: &Recording, rows: &[usize], run: &Run<'_>) -> Result<Trained> {
        let Training { memory_mib, seed, .. } = self.training;
        let mut stream = Shuffled::recording(recording, None, rows, memory_mib, seed)?;
        train(&self.training, &mut stream, run)
    }
}
