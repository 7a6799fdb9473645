//! Sparse codes of many samples over a wide dictionary, and the passes that train one.
//!
//! `u = W x + b` for each sample `x`, of which [`Select`] keeps a few numbers: a [`SparseCode`]. What
//! follows touches only these: reading the code back (`Σ value · row of the decoder`), both gradients, and
//! the step of Adam with unit rows.
//!
//! Pre-activations are sums in single precision; on processors with a matrix unit for bfloat16 (AMX)
//! each number is split into two bfloat16 pieces, of which three products make one, within the same
//! error; for [`Select::TopK`] only the first pieces are multiplied, and what may be among the largest
//! within the bounds of that rounding is computed again in single precision. Gradients are summed feature by feature, each by one thread, in the order of the rows. The
//! bytes do not depend on the number of threads.
//!
//! Source: Gao et al. 2024, arXiv:2406.04093, §2.2 and appendix D (TopK, sparse kernels); Bussmann et al.
//! 2024, arXiv:2412.06410 (BatchTopK); Kingma and Ba 2015, arXiv:1412.6980 (Adam).
//!
//! Memory: the code itself, the samples once more, 2048 rows of the encoder, and while a code is sought at
//! most about five times its `k` numbers a row (without a `k`: the code twice). Never rows × features, but
//! where all of them are selected.

mod adam;
mod columns;
mod decode;
mod encode;
mod engine;
mod rough;
mod select;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod tiles;

pub use adam::{AdamStep, adam, remove_along_rows, unit_rows};
pub use decode::{decode, decode_gradient, encode_gradient};
pub use encode::{encode, values};

/// The features at work in each of many rows (samples), and how strongly: compressed sparse rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SparseCode {
    /// Features of the dictionary
    pub features: usize,
    /// `[row + 1]`: row `r` holds the entries `starts[r]..starts[r + 1]`
    pub starts: Vec<usize>,
    /// `[entry]`: the feature, ascending in a row
    pub indices: Vec<u32>,
    /// `[entry]`
    pub values: Vec<f32>,
}

impl SparseCode {
    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// The features and values of a row.
    ///
    /// # Panics
    ///
    /// When there is no such row.
    pub fn row(&self, row: usize) -> (&[u32], &[f32]) {
        let entries = self.starts[row]..self.starts[row + 1];
        (&self.indices[entries.clone()], &self.values[entries])
    }

    /// Panics unless the parts fit each other.
    fn check(&self) {
        assert_eq!(self.indices.len(), self.values.len(), "one value for each index");
        let ends = self.starts.first().zip(self.starts.last());
        assert!(
            ends.is_none_or(|(first, last)| (*first, *last) == (0, self.indices.len())),
            "starts from 0 to the number of entries"
        );
        assert!(self.starts.is_sorted(), "starts that do not fall");
        let fits = self.indices.iter().all(|index| (*index as usize) < self.features);
        assert!(fits, "indices below the {} features", self.features);
    }
}

/// Which pre-activations `u` of a row make its code.
///
/// Of equal ones the first stay. NaN is never selected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Select<'a> {
    /// All above 0
    Relu,
    /// Those above 0 among the `k` largest of each row
    TopK(usize),
    /// Those above 0 among the `k · rows` largest of all rows together
    BatchTopK(usize),
    /// Those above the threshold of their feature `[feature]`, as they are: with negative thresholds
    /// negative ones too
    Above(&'a [f32]),
    /// The largest in each of `k` groups of neighbouring features (the last may be shorter), where it is
    /// above 0
    GroupMax(usize),
}
