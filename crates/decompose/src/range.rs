//! Ranges that the settings of several methods have in common.

use nissl_core::{Error, Result};

/// # Errors
/// The first of the named counts that is 0.
pub(crate) fn at_least_1(counts: &[(&str, usize)]) -> Result<()> {
    match counts.iter().find(|(_, count)| *count == 0) {
        None => Ok(()),
        Some((field, _)) => Err(Error::setting(*field, 0, "at least 1")),
    }
}

/// # Errors
/// A relative decrease that is none.
pub(crate) fn tolerance(tolerance: f64) -> Result<()> {
    if (0.0..1.0).contains(&tolerance) {
        return Ok(());
    }
    Err(Error::setting("tolerance", tolerance, "0 or more and below 1"))
}
