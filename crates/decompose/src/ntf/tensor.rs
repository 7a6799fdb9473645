//! `PairTensor`: non-negative numbers of pairs over animals and times, of which some animals lack some.
//!
//! Pairs are rows: a row holds the times of the first animal, then those of the second, and so on, so that a
//! pass over the tensor reads it in blocks of pairs. What an animal lacks is zero in its row and left
//! out of every sum.
//! Memory: `4 pair animal time` bytes, or where blocks are computed what their source holds; one byte for
//! each pair and animal.

use std::ops::Range;
use std::sync::Arc;

use nissl_core::{Error, Progress, Result};
use rayon::prelude::*;

/// Pairs of a stripe at least; a stripe is the share of one thread in a pass.
const LEAST_STRIPE: usize = 64;
/// Stripes of a pass at most. Their number does not depend on the threads, nor do the sums.
const STRIPES: usize = 16;
/// Numbers of a block of pairs, small enough for the cache nearest to a core but one.
const BLOCK: usize = 1 << 17;

/// Rows of pairs that are computed whenever they are read.
pub trait PairRows: Send + Sync {
    /// Writes the rows of `pairs` `[pair, animal, time]` into `out`; numbers that an animal lacks are 0.
    fn write(&self, pairs: Range<usize>, out: &mut [f32]);
}

#[derive(Clone)]
enum Rows {
    Stored(Arc<Vec<f32>>),
    Computed(Arc<dyn PairRows>),
}

/// A tensor of pairs, animals and times. Clones share the numbers.
#[derive(Clone)]
pub struct PairTensor {
    rows: Rows,
    shape: [usize; 3],
    /// `[pair, animal]`
    observed: Vec<bool>,
    whole: Vec<bool>,
    square: f64,
    deviation: f64,
}

impl PairTensor {
    /// Of numbers `[pair, animal, time]` in memory, and `observed` `[pair, animal]`.
    ///
    /// # Errors
    /// Sizes that do not fit or are 0; a number that is negative or not finite, or not 0 where it is
    /// not observed; nothing but zeros.
    pub fn stored(values: Vec<f32>, shape: [usize; 3], observed: Vec<bool>) -> Result<Self> {
        Self::new(Rows::Stored(Arc::new(values)), shape, observed, &Progress::silent())
    }

    /// Of rows that are computed whenever they are read.
    ///
    /// # Errors
    /// As [`Self::stored`], and an interruption.
    pub fn computed(
        rows: Arc<dyn PairRows>,
        shape: [usize; 3],
        observed: Vec<bool>,
        progress: &Progress,
    ) -> Result<Self> {
        Self::new(Rows::Computed(rows), shape, observed, progress)
    }

    /// The same tensor with all rows in memory.
    ///
    /// # Errors
    /// As [`Self::stored`].
    pub fn kept(
        rows: &dyn PairRows,
        shape: [usize; 3],
        observed: Vec<bool>,
        progress: &Progress,
    ) -> Result<Self> {
        let [pairs, animals, times] = shape;
        let width = animals * times;
        let mut values = vec![0f32; pairs * width];
        let block = (BLOCK / width.max(1)).clamp(8, 64);
        values.par_chunks_mut(block * width.max(1)).enumerate().try_for_each(|(number, out)| {
            progress.check(|| format!("{} of {pairs} pairs", number * block))?;
            let first = number * block;
            rows.write(first..first + out.len() / width, out);
            Ok::<(), Error>(())
        })?;
        Self::new(Rows::Stored(Arc::new(values)), shape, observed, progress)
    }

    fn new(
        rows: Rows,
        shape: [usize; 3],
        observed: Vec<bool>,
        progress: &Progress,
    ) -> Result<Self> {
        let [pairs, animals, times] = shape;
        for (name, size) in [("pairs", pairs), ("animals", animals), ("times", times)] {
            if size == 0 {
                return Err(Error::setting(name, 0, "at least 1"));
            }
        }
        if let Rows::Stored(values) = &rows
            && values.len() != pairs * animals * times
        {
            return Err(Error::setting("tensor", values.len(), format!("{shape:?} numbers")));
        }
        if observed.len() != pairs * animals {
            let expected = format!("{}, one for each pair and animal", pairs * animals);
            return Err(Error::setting("observed", observed.len(), expected));
        }
        let whole = observed.chunks(animals).map(|row| row.iter().all(|&one| one)).collect();
        let mut tensor = Self { rows, shape, observed, whole, square: 0.0, deviation: 0.0 };
        let sums = tensor.stripes().into_par_iter().map(|stripe| {
            let (mut square, mut deviation) = (0.0, 0.0);
            tensor.blocks(stripe, |pairs, values| {
                progress.check(|| format!("pair {}", pairs.start))?;
                for (pair, row) in pairs.zip(values.chunks(animals * times)) {
                    let [its_square, its_deviation] = tensor.sums(pair, row)?;
                    square += its_square;
                    deviation += its_deviation;
                }
                Ok(())
            })?;
            Ok([square, deviation])
        });
        let sums = sums.collect::<Result<Vec<[f64; 2]>>>()?;
        tensor.square = sums.iter().map(|sums| sums[0]).sum();
        tensor.deviation = sums.iter().map(|sums| sums[1]).sum();
        if tensor.square <= 0.0 {
            return Err(Error::setting("tensor", "all zeros", "some affinity above 0")
                .with_help("no two units ever move together as this kind of affinity counts it"));
        }
        Ok(tensor)
    }

    /// The squares of a pair's numbers, and those of what they differ by from their mean.
    fn sums(&self, pair: usize, row: &[f32]) -> Result<[f64; 2]> {
        let [_, animals, times] = self.shape;
        let (mut sum, mut square, mut count) = (0.0, 0.0, 0);
        for (animal, values) in row.chunks(times).enumerate() {
            let seen = self.observed[pair * animals + animal];
            count += if seen { times } else { 0 };
            for &value in values {
                let bad = |expected: &str| {
                    let place = format!("tensor entry of pair {pair}, animal {animal}");
                    Err(Error::setting(place, value, expected))
                };
                if !(value >= 0.0 && value.is_finite()) {
                    return bad("a finite number of 0 or more");
                }
                if !seen && value != 0.0 {
                    return bad("0, for it was not observed");
                }
                sum += f64::from(value);
                square += f64::from(value).powi(2);
            }
        }
        Ok([square, square - sum * sum / f64::from(count.max(1) as u32)])
    }

    /// The same tensor as if no animal had `pairs`.
    ///
    /// # Errors
    /// Rows that cannot be had, or nothing but zeros left.
    pub fn without(&self, pairs: &[usize]) -> Result<Self> {
        let [_, animals, times] = self.shape;
        let mut tensor = self.clone();
        for &pair in pairs {
            self.blocks(pair..pair + 1, |_, row| {
                let [square, deviation] = self.sums(pair, &row[..animals * times])?;
                tensor.square -= square;
                tensor.deviation -= deviation;
                Ok(())
            })?;
            tensor.observed[pair * animals..][..animals].fill(false);
            tensor.whole[pair] = false;
        }
        if tensor.square <= 1e-12 * self.square {
            return Err(Error::setting("pairs", "none left", "some affinity above 0"));
        }
        Ok(tensor)
    }

    /// Pairs, animals and times.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Whether `animal` has `pair`.
    pub fn is_observed(&self, pair: usize, animal: usize) -> bool {
        self.observed[pair * self.shape[1] + animal]
    }

    /// Of each animal whether it has `pair`, or `None` where all have.
    pub(super) fn partial(&self, pair: usize) -> Option<&[bool]> {
        let animals = self.shape[1];
        (!self.whole[pair]).then(|| &self.observed[pair * animals..][..animals])
    }

    /// Whether every animal has every pair.
    pub(super) fn is_whole(&self) -> bool {
        self.whole.iter().all(|&whole| whole)
    }

    /// The sum of all squares.
    pub fn square(&self) -> f64 {
        self.square
    }

    /// The sum of all squared differences from the mean of their pair.
    pub(super) fn deviation(&self) -> f64 {
        self.deviation
    }

    /// Ranges of pairs that are worked on side by side.
    pub(super) fn stripes(&self) -> Vec<Range<usize>> {
        let pairs = self.shape[0];
        let stripe = self.stripe();
        (0..pairs).step_by(stripe).map(|from| from..(from + stripe).min(pairs)).collect()
    }

    /// The pairs of all stripes but the last.
    pub(super) fn stripe(&self) -> usize {
        self.shape[0].div_ceil(STRIPES).max(LEAST_STRIPE)
    }

    /// Hands the rows `[pair, animal, time]` of `stripe` to `visit`, block by block.
    pub(super) fn blocks(
        &self,
        stripe: Range<usize>,
        mut visit: impl FnMut(Range<usize>, &[f32]) -> Result<()>,
    ) -> Result<()> {
        let [_, animals, times] = self.shape;
        let width = animals * times;
        let block = ((BLOCK / width) & !7).clamp(8, 64);
        let mut buffer = Vec::new();
        for from in stripe.clone().step_by(block) {
            let pairs = from..(from + block).min(stripe.end);
            match &self.rows {
                Rows::Stored(values) => {
                    visit(pairs.clone(), &values[pairs.start * width..pairs.end * width])?;
                }
                Rows::Computed(rows) => {
                    buffer.resize(pairs.len() * width, 0.0);
                    rows.write(pairs.clone(), &mut buffer);
                    visit(pairs, &buffer)?;
                }
            }
        }
        Ok(())
    }
}
