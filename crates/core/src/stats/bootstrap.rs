//! Percentile bootstrap intervals, by sample and by group.
//!
//! Draw `n` samples (or all groups: sequences, documents, animals) with replacement, measure, and
//! take the quantiles `(1 ∓ level) / 2` of what was measured. Samples of one group are not
//! independent, so intervals over text are drawn by group.
//!
//! Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, §13.3.
//! Left out: bias correction and acceleration (their §14.3).
//! Memory: one weight for each group, or one index for each sample, and thread.

use rand::RngExt;
use rayon::prelude::*;

use super::auroc::auroc_of_weights;
use super::ranks::{ascending, quantile_of_sorted};

/// A figure with its spread; all NaN when the figure is undefined.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// What was measured on the data themselves.
    pub estimate: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// How intervals are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bootstrap {
    /// How often the data are drawn anew.
    pub resamples: usize,
    /// The coverage, between 0 and 1.
    pub level: f64,
    /// The seed of the draws.
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { resamples: 1000, level: 0.95, seed: 0 }
    }
}

impl Bootstrap {
    /// The interval of `statistic` over `samples` samples; it is given the indices drawn.
    ///
    /// Resamples on which the statistic is NaN are left out.
    pub fn by_sample(
        &self,
        samples: usize,
        statistic: impl Fn(&[usize]) -> f64 + Sync,
    ) -> Interval {
        let whole: Vec<usize> = (0..samples).collect();
        self.interval(statistic(&whole), |draw| {
            let mut rng = crate::seed::rng(self.seed, draw);
            let drawn: Vec<usize> =
                (0..samples).map(|_| rng.random_range(0..samples as u64) as usize).collect();
            statistic(&drawn)
        })
    }

    /// The interval of `statistic` when whole groups are drawn; `groups` `[sample]` names the group
    /// of each sample, and the statistic is given the indices of the samples drawn.
    pub fn by_group(&self, groups: &[u32], statistic: impl Fn(&[usize]) -> f64 + Sync) -> Interval {
        let (places, count) = numbered(groups);
        let mut members = vec![Vec::new(); count];
        for (sample, &place) in places.iter().enumerate() {
            members[place as usize].push(sample);
        }
        let whole: Vec<usize> = (0..groups.len()).collect();
        self.interval(statistic(&whole), |draw| {
            let mut rng = crate::seed::rng(self.seed, draw);
            let drawn: Vec<usize> = (0..count)
                .flat_map(|_| members[rng.random_range(0..count as u64) as usize].iter().copied())
                .collect();
            statistic(&drawn)
        })
    }

    /// The interval of the mean of `values` `[sample]`.
    pub fn mean(&self, values: &[f32]) -> Interval {
        self.by_sample(values.len(), |drawn| {
            drawn.iter().map(|&sample| f64::from(values[sample])).sum::<f64>() / drawn.len() as f64
        })
    }

    /// The interval of the AUROC of `scores` `[sample]` for `labels` `[sample]` when whole `groups`
    /// `[sample]` are drawn.
    ///
    /// The scores are sorted once; each draw is one pass over distinct (score, group, label), so
    /// that the zeros of a sparse feature cost at most two steps for each group.
    ///
    /// # Panics
    /// When scores, labels and groups differ in number.
    pub fn auroc_by_group(&self, scores: &[f32], labels: &[bool], groups: &[u32]) -> Interval {
        assert_eq!(scores.len(), labels.len(), "samples of scores and labels");
        assert_eq!(scores.len(), groups.len(), "samples of scores and groups");
        let Some(order) = ascending(scores) else {
            return Interval { estimate: f64::NAN, low: f64::NAN, high: f64::NAN };
        };
        let (places, count) = numbered(groups);
        let ties = collect_ties(scores, labels, &places, &order);
        let measure = |weights: &[f64]| {
            auroc_of_weights(ties.iter().map(|tie| {
                let side = |counts: &[(u32, u32)]| {
                    let each = counts.iter();
                    each.map(|&(group, n)| weights[group as usize] * f64::from(n)).sum::<f64>()
                };
                (side(&tie.positives), side(&tie.negatives))
            }))
        };
        self.interval(measure(&vec![1.0; count]), |draw| {
            let mut rng = crate::seed::rng(self.seed, draw);
            let mut weights = vec![0.0; count];
            for _ in 0..count {
                weights[rng.random_range(0..count as u64) as usize] += 1.0;
            }
            measure(&weights)
        })
    }

    fn interval(&self, estimate: f64, measure: impl Fn(u64) -> f64 + Sync) -> Interval {
        if estimate.is_nan() {
            return Interval { estimate, low: f64::NAN, high: f64::NAN };
        }
        let drawn: Vec<f64> = (0..self.resamples as u64).into_par_iter().map(&measure).collect();
        let mut sorted: Vec<f64> = drawn.into_iter().filter(|value| !value.is_nan()).collect();
        sorted.sort_by(f64::total_cmp);
        let tail = (1.0 - self.level) / 2.0;
        let (low, high) =
            (quantile_of_sorted(&sorted, tail), quantile_of_sorted(&sorted, 1.0 - tail));
        Interval { estimate, low, high }
    }
}

/// Samples of one score: how many positives and negatives each group has there.
struct Tie {
    positives: Vec<(u32, u32)>,
    negatives: Vec<(u32, u32)>,
}

fn collect_ties(scores: &[f32], labels: &[bool], places: &[u32], order: &[u32]) -> Vec<Tie> {
    let same_score = |a: &u32, b: &u32| scores[*a as usize] >= scores[*b as usize];
    let of_class = |tie: &[u32], class: bool| {
        let inside = tie.iter().filter(|&&sample| labels[sample as usize] == class);
        let mut groups: Vec<u32> = inside.map(|&sample| places[sample as usize]).collect();
        groups.sort_unstable();
        groups.chunk_by(|a, b| a == b).map(|same| (same[0], same.len() as u32)).collect()
    };
    order
        .chunk_by(same_score)
        .map(|tie| Tie { positives: of_class(tie, true), negatives: of_class(tie, false) })
        .collect()
}

/// The groups numbered from 0 in ascending order of their names, and how many there are.
fn numbered(groups: &[u32]) -> (Vec<u32>, usize) {
    let mut names = groups.to_vec();
    names.sort_unstable();
    names.dedup();
    let place = |group: &u32| names.partition_point(|name| name < group) as u32;
    (groups.iter().map(place).collect(), names.len())
}

#[cfg(test)]
mod tests {
    use rand_distr::{Distribution, StandardNormal};

    use super::*;
    use crate::stats::auroc::auroc;
    use crate::stats::close::assert_close;

    #[test]
    fn the_interval_covers_a_known_mean_as_often_as_it_says() {
        let trials = 400;
        let covered = (0..trials)
            .filter(|&trial| {
                let mut rng = crate::seed::rng(1000 + trial, 0);
                let values: Vec<f32> = (0..60)
                    .map(|_| {
                        let z: f32 = StandardNormal.sample(&mut rng);
                        2.0 + z
                    })
                    .collect();
                let found = Bootstrap { resamples: 300, level: 0.9, seed: trial }.mean(&values);
                (found.low..=found.high).contains(&2.0)
            })
            .count() as f64;
        // 0.9 with a binomial deviation of 0.015; percentile intervals are slightly too short.
        let share = covered / trials as f64;
        assert!((0.84..=0.95).contains(&share), "{share}");
    }

    /// Groups that share a level: by-sample intervals are far too short.
    #[test]
    fn by_group_covers_where_by_sample_does_not() {
        let trials = 200;
        let (mut by_group, mut by_sample) = (0, 0);
        for trial in 0..trials {
            let mut rng = crate::seed::rng(5000 + trial, 0);
            let mut values = Vec::new();
            let mut groups = Vec::new();
            for group in 0..30 {
                let level: f32 = StandardNormal.sample(&mut rng);
                for _ in 0..10 {
                    let z: f32 = StandardNormal.sample(&mut rng);
                    values.push(level + 0.3 * z);
                    groups.push(group * 7);
                }
            }
            let how = Bootstrap { resamples: 200, level: 0.9, seed: trial };
            let mean = |drawn: &[usize]| {
                drawn.iter().map(|&s| f64::from(values[s])).sum::<f64>() / drawn.len() as f64
            };
            let covers = |found: Interval| (found.low..=found.high).contains(&0.0);
            by_group += usize::from(covers(how.by_group(&groups, mean)));
            by_sample += usize::from(covers(how.by_sample(values.len(), mean)));
        }
        assert!(by_group as f64 > 0.8 * trials as f64, "{by_group}");
        assert!((by_sample as f64) < 0.6 * trials as f64, "{by_sample}");
    }

    #[test]
    fn the_weighted_auroc_equals_the_one_of_drawn_samples() {
        for seed in 0..4 {
            let mut rng = crate::seed::rng(seed, 1);
            let groups: Vec<u32> = (0..400).map(|sample| 90 - sample / 25).collect();
            let labels: Vec<bool> = (0..400).map(|_| rng.random_bool(0.2)).collect();
            let scores: Vec<f32> = labels
                .iter()
                .map(|&label| {
                    let z: f32 = StandardNormal.sample(&mut rng);
                    (z + if label { 1.0 } else { 0.0 }).max(0.0)
                })
                .collect();
            let how = Bootstrap { resamples: 100, level: 0.95, seed };
            let fast = how.auroc_by_group(&scores, &labels, &groups);
            let slow = how.by_group(&groups, |drawn| {
                let scores: Vec<f32> = drawn.iter().map(|&s| scores[s]).collect();
                let labels: Vec<bool> = drawn.iter().map(|&s| labels[s]).collect();
                auroc(&scores, &labels)
            });
            assert_close(fast.estimate, slow.estimate, 1e-12);
            assert_close(fast.low, slow.low, 1e-12);
            assert_close(fast.high, slow.high, 1e-12);
            assert!(fast.low < fast.estimate && fast.estimate < fast.high);
        }
    }

    #[test]
    fn one_thread_and_several_give_the_same_bytes() {
        let values: Vec<f32> = (0..100).map(|i| (i as f32).sin()).collect();
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            pool.expect("a pool").install(|| Bootstrap::default().mean(&values))
        };
        assert_eq!(on(1), on(3));
        assert_ne!(on(1), Bootstrap { seed: 1, ..Bootstrap::default() }.mean(&values));
    }

    #[test]
    fn nothing_has_no_interval() {
        assert!(Bootstrap::default().mean(&[]).low.is_nan());
        let found = Bootstrap::default().auroc_by_group(&[1.0, 2.0], &[true, true], &[0, 1]);
        assert!(found.estimate.is_nan() && found.high.is_nan());
    }
}
