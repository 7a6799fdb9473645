//! Training of sparse dictionaries from shuffled activity, whatever it comes from.
//!
//! [`train`] does it for [`crate::Sae`], [`crate::Transcoder`] and streams from a network that runs:
//! Adam with unit rows of the decoder (the gradient along them is taken off before each step), warm-ups,
//! ways back for dead features, figures, and a state on disk from which an interrupted training goes on
//! to the same bytes.
//!
//! Input and target are centred and, but for Dunefsky's loss, brought to mean square length 1, by the
//! first samples; the dictionary takes the activity as it is.
//!
//! Source: Dunefsky, Chlenski, Nanda 2024, arXiv:2406.11944, appendix (optimiser, beginning); Gao et al.
//! 2024, arXiv:2406.04093 (top-k, AuxK); Bussmann et al. 2024, arXiv:2412.06410 (batch-top-k); the other
//! architectures: see `gradient.rs`.
//! Differs: no input bias in transcoders, where it is redundant; small batches and a high learning rate by
//! default, for recordings of some hundred thousand samples.
//! Memory: five times the parameters while it trains (gradient, two moments, a state to be written), the
//! bound for shuffled samples, and `[batch, active feature]`.

mod dead;
mod gradient;
mod parameters;
mod revival;
mod settings;
mod shuffle;
mod state;
mod steps;
#[cfg(test)]
mod tests;

use std::path::Path;

use nissl_core::features::Dictionary;
use nissl_core::recording::ActivityStream;
use nissl_core::{Progress, Result, Table};

pub use settings::{Architecture, Loss, Revival, Training};
pub use shuffle::Shuffled;
pub use state::{Figures, UNFINISHED, forget};

/// What a training needs beside its settings and its samples.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// Samples to train on; see [`Training::samples`].
    pub samples: u64,
    /// Whether a part of the input passes straight to the target (skip transcoders).
    pub skip: bool,
    /// Where an interrupted training leaves its state ([`UNFINISHED`]); [`forget`] it after success.
    pub folder: Option<&'a Path>,
    /// Whether to go on from a state that is there.
    pub resume: bool,
    /// Where progress is shown.
    pub progress: &'a Progress,
}

impl<'a> Run<'a> {
    /// A run without skip that leaves no state on disk.
    pub fn of(samples: u64, progress: &'a Progress) -> Self {
        Self { samples, skip: false, folder: None, resume: false, progress }
    }
}

/// What a training gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    /// The dictionary, for activity as it is; `loss` holds that of each of the figures.
    pub dictionary: Dictionary,
    /// How the training went, about a hundred times.
    pub figures: Vec<Figures>,
    /// The share of samples in which each feature was active, over the last tenth of the training.
    pub frequency: Vec<f32>,
}

impl Trained {
    /// The figures as a table: `samples`, `loss`, `fvu`, `l0`, `dead`, `rate`.
    pub fn table(&self) -> Table {
        steps::table(&self.figures)
    }

    /// `log10_frequency` of each feature, −10 for one that was not active.
    pub fn columns(&self) -> Table {
        steps::columns(&self.frequency)
    }
}

/// Trains a dictionary on samples of `stream`: an autoencoder, or a transcoder where it has a target.
///
/// # Errors
/// Settings outside their range, samples without variance or that are not finite, a state of other
/// settings, an interruption (after its state was written), or a failed file operation.
pub fn train(
    training: &Training,
    stream: &mut dyn ActivityStream,
    run: &Run<'_>,
) -> Result<Trained> {
    steps::train(training, stream, run)
}
