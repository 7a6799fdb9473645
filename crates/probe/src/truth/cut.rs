//! The threshold of greatest F1 of one feature for many concepts, from a single sort.
//!
//! Going down the sorted values only the concepts of the sample just passed can gain, so a feature
//! costs its sort and the concepts that its samples carry. Samples of value 0 are one step.

use super::labels::Carried;

/// The best threshold for a concept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cut {
    /// F1, 0 to 1.
    pub(super) f1: f64,
    /// A sample is predicted when its value is at least this.
    pub(super) threshold: f32,
}

/// The values of a feature that are not 0, descending, with their samples.
pub(super) struct Ranked {
    stored: Vec<(f32, u32)>,
    samples: usize,
}

impl Ranked {
    /// Of `values` `[sample]`.
    pub(super) fn new(values: &[f32]) -> Self {
        let all = values.iter().zip(0..);
        let mut stored: Vec<(f32, u32)> =
            all.filter(|(value, _)| **value != 0.0).map(|(v, s)| (*v, s)).collect();
        stored.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        Self { stored, samples: values.len() }
    }

    /// Of the same values negated.
    pub(super) fn negated(mut self) -> Self {
        self.stored.reverse();
        for (value, _) in &mut self.stored {
            *value = -*value;
        }
        self
    }
}

/// The best cut of a feature for each concept; of equal ones the highest threshold.
pub(super) fn best(ranked: &Ranked, carried: &Carried) -> Vec<Cut> {
    let Ranked { stored, samples } = ranked;
    let zeros = samples - stored.len();
    let mut among_zeros = carried.positives.clone();
    if zeros > 0 {
        for &(_, sample) in stored {
            carried.of(sample).iter().for_each(|&concept| among_zeros[concept as usize] -= 1);
        }
    }
    let above = stored.partition_point(|(value, _)| *value > 0.0);
    let mut walk = Walk::new(carried);
    let ties = |values: &'_ [(f32, u32)], walk: &mut Walk<'_>| {
        for tie in values.chunk_by(|a, b| a.0 <= b.0) {
            walk.pass(tie);
        }
    };
    ties(&stored[..above], &mut walk);
    if zeros > 0 {
        walk.pass_zeros(zeros as u64, &among_zeros);
    }
    ties(&stored[above..], &mut walk);
    walk.best
}

struct Walk<'a> {
    carried: &'a Carried,
    predicted: u64,
    hits: Vec<u64>,
    best: Vec<Cut>,
}

impl<'a> Walk<'a> {
    fn new(carried: &'a Carried) -> Self {
        let concepts = carried.positives.len();
        let best = vec![Cut { f1: 0.0, threshold: f32::INFINITY }; concepts];
        Self { carried, predicted: 0, hits: vec![0; concepts], best }
    }

    fn pass(&mut self, tie: &[(f32, u32)]) {
        self.predicted += tie.len() as u64;
        for &(_, sample) in tie {
            for &concept in self.carried.of(sample) {
                self.hits[concept as usize] += 1;
            }
        }
        for &(value, sample) in tie {
            for &concept in self.carried.of(sample) {
                self.judge(concept as usize, value);
            }
        }
    }

    fn pass_zeros(&mut self, zeros: u64, positives: &[u64]) {
        self.predicted += zeros;
        for (concept, &positives) in positives.iter().enumerate() {
            self.hits[concept] += positives;
            self.judge(concept, 0.0);
        }
    }

    fn judge(&mut self, concept: usize, threshold: f32) {
        let f1 = 2.0 * self.hits[concept] as f64
            / (self.predicted + self.carried.positives[concept]) as f64;
        if f1 > self.best[concept].f1 {
            self.best[concept] = Cut { f1, threshold };
        }
    }
}

#[cfg(test)]
mod tests {
    use nissl_core::stats::classification::best_f1;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn equals_the_cut_of_each_concept_alone(
            samples in prop::collection::vec((-3i8..5, 0u8..8), 1..60),
        ) {
            let values: Vec<f32> = samples.iter().map(|&(value, _)| f32::from(value)).collect();
            let labels: Vec<Vec<bool>> = (0..3)
                .map(|bit| samples.iter().map(|(_, bits)| bits >> bit & 1 == 1).collect())
                .collect();
            let views: Vec<&[bool]> = labels.iter().map(Vec::as_slice).collect();
            let rows: Vec<usize> = (0..values.len()).collect();
            let carried = Carried::new(&views, &rows);
            let found = best(&Ranked::new(&values), &carried);
            let turned: Vec<f32> = values.iter().map(|value| -value).collect();
            prop_assert_eq!(
                best(&Ranked::new(&values).negated(), &carried),
                best(&Ranked::new(&turned), &carried)
            );
            for (cut, labels) in found.iter().zip(&labels) {
                let alone = best_f1(&values, labels);
                if alone.f1.is_nan() {
                    prop_assert!(cut.f1.abs() < 1e-12);
                } else {
                    prop_assert!((cut.f1 - alone.f1).abs() < 1e-12);
                    prop_assert!((cut.threshold - alone.threshold).abs() < 1e-6);
                }
            }
        }
    }
}
