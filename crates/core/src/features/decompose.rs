//! The stage that makes features: from a recording to a dictionary.

use super::Dictionary;
use crate::error::Result;
use crate::progress::Progress;
use crate::recording::Recording;

/// A method that finds features in activity.
pub trait Decompose {
    /// The name by which flags and files call it.
    fn name(&self) -> &'static str;

    /// Checks every hyperparameter against its range.
    ///
    /// # Errors
    /// Names the first field that is outside its range.
    fn validate(&self) -> Result<()>;

    /// Finds a dictionary for the samples `rows` of `recording`, which are sorted.
    ///
    /// # Errors
    /// Hyperparameters or activity that the method cannot work with, an interruption, or a shard
    /// that cannot be read.
    fn fit(&self, recording: &Recording, rows: &[usize], progress: &Progress)
    -> Result<Dictionary>;
}
