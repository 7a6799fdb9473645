//! AUROC of one feature for many concepts from a single sort.
//!
//! `AUROC = (R − P (P + 1) / 2) / (P N)` with `R` the sum of the positives' ranks, ties averaged.
//! Ranks are kept doubled, thus whole, and every sum is exact. Only samples whose value is not 0
//! are visited, so a sparse feature costs as much as its stored values.

use super::ranks::ascending;

/// Which concepts each sample carries: bits `[sample, concept]`.
#[derive(Clone, Debug)]
pub struct Concepts {
    samples: usize,
    words: usize,
    bits: Vec<u64>,
    positives: Vec<u64>,
}

impl Concepts {
    /// The concepts given by `columns` `[concept][sample]`.
    ///
    /// # Panics
    /// When a column has not `samples` entries, or there are 2³⁰ samples or more.
    pub fn new<C: AsRef<[bool]>>(samples: usize, columns: &[C]) -> Self {
        assert!(samples < 1 << 30, "{samples} samples");
        let words = columns.len().div_ceil(64);
        let mut bits = vec![0; samples * words];
        let mut positives = vec![0; columns.len()];
        for (concept, column) in columns.iter().enumerate() {
            let column = column.as_ref();
            assert_eq!(column.len(), samples, "samples of concept {concept}");
            for (sample, _) in column.iter().enumerate().filter(|(_, label)| **label) {
                bits[sample * words + concept / 64] |= 1 << (concept % 64);
                positives[concept] += 1;
            }
        }
        Self { samples, words, bits, positives }
    }

    /// The number of samples.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// How many samples carry each concept, `[concept]`.
    pub fn positives(&self) -> &[u64] {
        &self.positives
    }

    /// Whether `sample` carries `concept`.
    ///
    /// # Panics
    /// When either is out of range.
    pub fn carries(&self, sample: usize, concept: usize) -> bool {
        assert!(concept < self.positives.len(), "concept {concept} of {}", self.positives.len());
        self.bits[sample * self.words + concept / 64] >> (concept % 64) & 1 == 1
    }

    /// AUROC of `values` `[sample]` for each concept, `[concept]`; NaN when a concept is carried by
    /// no sample or by all, and everywhere when a value is NaN.
    ///
    /// # Panics
    /// When there are not as many values as samples.
    pub fn auroc(&self, values: &[f32]) -> Vec<f64> {
        assert_eq!(values.len(), self.samples, "samples of values and concepts");
        let (stored, samples): (Vec<f32>, Vec<u32>) =
            (0u32..).zip(values).filter(|(_, v)| **v != 0.0).map(|(s, v)| (*v, s)).unzip();
        self.auroc_sparse(&samples, &stored)
    }

    /// As [`Self::auroc`] for a sparse feature: the `samples` (each once) where it has `values`,
    /// 0 elsewhere.
    ///
    /// # Panics
    /// When samples and values differ in number, or a sample is out of range.
    pub fn auroc_sparse(&self, samples: &[u32], values: &[f32]) -> Vec<f64> {
        assert_eq!(samples.len(), values.len(), "samples and values");
        let Some(order) = ascending(values) else {
            return vec![f64::NAN; self.positives.len()];
        };
        let zeros = (self.samples - values.len()) as i64;
        let below = values.iter().filter(|value| **value < 0.0).count() as i64;
        let stored_zeros = values.iter().filter(|value| **value == 0.0).count() as i64;
        let all_zeros = zeros + stored_zeros;
        // Twice the mean of the ranks first..=last of a tie is first + last.
        let zero_rank = 2 * below + all_zeros + 1;
        let mut above_zero = vec![0i64; self.positives.len()];
        let mut start = 0i64;
        for tie in order.chunk_by(|&a, &b| values[a as usize] >= values[b as usize]) {
            let value = values[tie[0] as usize];
            if value != 0.0 {
                let before = if value > 0.0 { start + zeros } else { start };
                let doubled = 2 * before + tie.len() as i64 + 1;
                for &index in tie {
                    self.add(
                        &mut above_zero,
                        samples[index as usize] as usize,
                        doubled - zero_rank,
                    );
                }
            }
            start += tie.len() as i64;
        }
        let of_concept = |(&positives, &above): (&u64, &i64)| {
            let (positives, all) = (positives as i64, self.samples as i64);
            let negatives = all - positives;
            if positives == 0 || negatives == 0 {
                return f64::NAN;
            }
            let won = positives * zero_rank + above - positives * (positives + 1);
            won as f64 / (2.0 * positives as f64 * negatives as f64)
        };
        self.positives.iter().zip(&above_zero).map(of_concept).collect()
    }

    fn add(&self, sums: &mut [i64], sample: usize, amount: i64) {
        for (word, &bits) in self.bits[sample * self.words..][..self.words].iter().enumerate() {
            let mut bits = bits;
            while bits != 0 {
                sums[word * 64 + bits.trailing_zeros() as usize] += amount;
                bits &= bits - 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::RngExt;

    use super::*;
    use crate::stats::auroc::auroc;

    #[test]
    fn undefined_concepts_are_nan() {
        let concepts = Concepts::new(3, &[vec![true; 3], vec![false; 3], vec![true, false, false]]);
        let found = concepts.auroc(&[2.0, 0.0, 1.0]);
        assert!(found[0].is_nan() && found[1].is_nan());
        assert!((found[2] - 1.0).abs() < 1e-15);
        assert!(concepts.auroc(&[f32::NAN, 0.0, 1.0])[2].is_nan());
        assert_eq!(concepts.positives(), [3, 0, 1]);
        assert!(concepts.carries(0, 2) && !concepts.carries(1, 2));
    }

    #[test]
    fn a_hundred_concepts_span_several_words() {
        for seed in 0..3 {
            let mut rng = crate::seed::rng(seed, 0);
            let columns: Vec<Vec<bool>> = (0..130)
                .map(|concept| {
                    let share = f64::from(concept + 1) / 140.0;
                    // The first sample carries all, so that none is undefined.
                    (0..500).map(|sample| sample == 0 || rng.random_bool(share)).collect()
                })
                .collect();
            let values: Vec<f32> = (0..500)
                .map(|_| if rng.random_bool(0.5) { 0.0 } else { rng.random_range(-1.0..2.0) })
                .collect();
            let found = Concepts::new(500, &columns).auroc(&values);
            for (column, found) in columns.iter().zip(found) {
                assert!((found - auroc(&values, column)).abs() < 1e-12);
            }
        }
    }

    proptest! {
        #[test]
        fn each_concept_equals_its_own_auroc(
            rows in prop::collection::vec((-3i8..4, any::<[bool; 3]>()), 1..60)
        ) {
            let values: Vec<f32> = rows.iter().map(|(value, _)| f32::from(*value)).collect();
            let columns: Vec<Vec<bool>> =
                (0..3).map(|c| rows.iter().map(|(_, labels)| labels[c]).collect()).collect();
            let concepts = Concepts::new(values.len(), &columns);
            let every: Vec<u32> = (0..values.len() as u32).collect();
            let (dense, stored) = (concepts.auroc(&values), concepts.auroc_sparse(&every, &values));
            for (concept, column) in columns.iter().enumerate() {
                let alone = auroc(&values, column);
                for found in [dense[concept], stored[concept]] {
                    let same = (found - alone).abs() < 1e-12 || (found.is_nan() && alone.is_nan());
                    prop_assert!(same, "{} {}", found, alone);
                }
            }
        }
    }
}
