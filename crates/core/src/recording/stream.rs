//! `ActivityStream`: shuffled samples of one site, or of two at once, without end or bound.

use crate::error::Result;

/// Where training gets its samples from: a recording on disk, or a network that runs meanwhile.
pub trait ActivityStream {
    /// The units of the input.
    fn units(&self) -> usize;

    /// The units of the target; `None` where the input itself is to be rebuilt.
    fn target_units(&self) -> Option<usize>;

    /// Puts the next samples into `input` `[row, unit]` and, where there is a target, into `target`
    /// `[row, unit]`: `rows` of them, fewer only at the end of a stream that ends. Gives their number.
    ///
    /// # Errors
    /// Activity that cannot be had or is not finite, or an interruption.
    fn next(&mut self, rows: usize, input: &mut Vec<f32>, target: &mut Vec<f32>) -> Result<usize>;

    /// Passes over samples, so that an interrupted training goes on where it was.
    ///
    /// # Errors
    /// As [`Self::next`].
    fn skip(&mut self, rows: u64) -> Result<()>;
}
