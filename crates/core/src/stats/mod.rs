//! Statistics shared by every stage: plain slices and views of f32 in, f64 out.
//!
//! What is undefined (a correlation with a constant, an AUROC without negatives) is NaN, never 0.
//! A slice of the wrong length is an error of the calling code and panics.
//! Every draw comes from [`crate::seed::rng`], one stream for each resample, so that results do not
//! depend on the number of threads.

pub mod agreement;
pub mod auroc;
pub mod bootstrap;
pub mod classification;
pub mod concepts;
pub mod correlation;
pub mod histogram;
pub mod information;
pub mod matching;
pub mod moments;
pub mod multiple;
pub mod permutation;
pub mod ranks;
pub mod selection;

#[cfg(test)]
pub(crate) mod close {
    /// Fails unless `a` and `b` agree to within `bar`.
    #[track_caller]
    pub(crate) fn assert_close(a: f64, b: f64, bar: f64) {
        assert!((a - b).abs() <= bar, "{a} differs from {b} by more than {bar}");
    }
}
