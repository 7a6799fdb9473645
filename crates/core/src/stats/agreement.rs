//! Agreement of two labellings of the same samples: Cohen's κ, NMI, adjusted Rand index, purity.
//!
//! κ compares the labels themselves; the others only the partition, whatever its labels are called.

use std::collections::BTreeMap;

/// How often each pair of labels occurs, and each label on its own.
struct Counts {
    both: BTreeMap<(u32, u32), u64>,
    left: BTreeMap<u32, u64>,
    right: BTreeMap<u32, u64>,
    samples: f64,
}

fn counts(left: &[u32], right: &[u32]) -> Counts {
    assert_eq!(left.len(), right.len(), "samples of the two labellings");
    let mut found = Counts {
        both: BTreeMap::new(),
        left: BTreeMap::new(),
        right: BTreeMap::new(),
        samples: left.len() as f64,
    };
    for (&a, &b) in left.iter().zip(right) {
        *found.both.entry((a, b)).or_default() += 1;
        *found.left.entry(a).or_default() += 1;
        *found.right.entry(b).or_default() += 1;
    }
    found
}

/// Cohen's κ of two raters' labels, both `[sample]`: `(pₒ − pₑ) / (1 − pₑ)`, at most 1, 0 by chance.
///
/// NaN without samples, or when both raters always give one same label.
///
/// # Panics
/// When the two differ in number.
pub fn cohens_kappa(left: &[u32], right: &[u32]) -> f64 {
    let counts = counts(left, right);
    let agreed = left.iter().zip(right).filter(|(a, b)| a == b).count() as f64 / counts.samples;
    let expected: f64 = counts
        .left
        .iter()
        .filter_map(|(label, &a)| counts.right.get(label).map(|&b| a as f64 * b as f64))
        .sum::<f64>()
        / (counts.samples * counts.samples);
    if expected < 1.0 { (agreed - expected) / (1.0 - expected) } else { f64::NAN }
}

/// Normalised mutual information of two labellings, both `[sample]`: `2 I / (H + H′)`, 0 to 1.
///
/// 1 when both put all samples together; NaN without samples.
///
/// # Panics
/// When the two differ in number.
pub fn normalized_mutual_information(left: &[u32], right: &[u32]) -> f64 {
    let counts = counts(left, right);
    if left.is_empty() {
        return f64::NAN;
    }
    let entropy = |sizes: &BTreeMap<u32, u64>| {
        let shares = sizes.values().map(|&size| size as f64 / counts.samples);
        shares.map(|share| -share * share.ln()).sum::<f64>()
    };
    let information: f64 = counts
        .both
        .iter()
        .map(|((a, b), &together)| {
            let together = together as f64;
            let alone = counts.left[a] as f64 * counts.right[b] as f64;
            together / counts.samples * (together * counts.samples / alone).ln()
        })
        .sum();
    let entropies = entropy(&counts.left) + entropy(&counts.right);
    if entropies > 0.0 { (2.0 * information / entropies).clamp(0.0, 1.0) } else { 1.0 }
}

/// Adjusted Rand index of two labellings, both `[sample]`: at most 1, 0 by chance.
///
/// 1 when both put all samples together or all apart; NaN without samples.
/// Source: Hubert and Arabie 1985, J. Classif. 2:193.
///
/// # Panics
/// When the two differ in number.
pub fn adjusted_rand_index(left: &[u32], right: &[u32]) -> f64 {
    let counts = counts(left, right);
    if left.is_empty() {
        return f64::NAN;
    }
    let pairs = |count: u64| count as f64 * (count as f64 - 1.0) / 2.0;
    let together: f64 = counts.both.values().map(|&count| pairs(count)).sum();
    let in_left: f64 = counts.left.values().map(|&count| pairs(count)).sum();
    let in_right: f64 = counts.right.values().map(|&count| pairs(count)).sum();
    let all = pairs(left.len() as u64);
    if all <= 0.0 {
        return 1.0;
    }
    let expected = in_left * in_right / all;
    let most = f64::midpoint(in_left, in_right);
    if most > expected { (together - expected) / (most - expected) } else { 1.0 }
}

/// The share of samples whose `truth` is the commonest one of their `found` cluster, above 0 to 1.
///
/// It rises with the number of clusters, to 1 when each sample is its own. NaN without samples.
///
/// # Panics
/// When the two differ in number.
pub fn purity(found: &[u32], truth: &[u32]) -> f64 {
    let counts = counts(found, truth);
    let mut commonest: BTreeMap<u32, u64> = BTreeMap::new();
    for ((cluster, _), &count) in &counts.both {
        let most = commonest.entry(*cluster).or_default();
        *most = count.max(*most);
    }
    commonest.values().sum::<u64>() as f64 / counts.samples
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::RngExt;

    use super::*;
    use crate::stats::close::assert_close;

    /// 20 both yes, 5 only left, 10 only right, 15 both no: 0.7 observed, 0.5 expected.
    fn raters() -> (Vec<u32>, Vec<u32>) {
        let cells = [(1, 1, 20), (1, 0, 5), (0, 1, 10), (0, 0, 15)];
        cells.iter().flat_map(|&(a, b, count)| std::iter::repeat_n((a, b), count)).unzip()
    }

    #[test]
    fn kappa_of_a_worked_table() {
        let (left, right) = raters();
        assert_close(cohens_kappa(&left, &right), 0.4, 1e-12);
        assert!(cohens_kappa(&[1, 1], &[1, 1]).is_nan());
        assert_close(cohens_kappa(&[0, 1], &[1, 0]), -1.0, 1e-12);
    }

    #[test]
    fn partitions_of_worked_cases() {
        // Together 1 pair, left 2, right 2, of 6: (1 − 4/6) / (2 − 4/6) … for 0,0,1,1 and 0,0,1,2.
        let (left, right) = ([0, 0, 1, 1], [0, 0, 1, 2]);
        let expected = 2.0 / 6.0;
        assert_close(
            adjusted_rand_index(&left, &right),
            (1.0 - expected) / (1.5 - expected),
            1e-12,
        );
        // I = ln 2; H = ln 2, H′ = 1.5 ln 2.
        assert_close(normalized_mutual_information(&left, &right), 2.0 / 2.5, 1e-12);
        assert_close(purity(&left, &right), 0.75, 1e-12);
        assert_close(purity(&right, &left), 1.0, 1e-12);
        assert!(purity(&[], &[]).is_nan());
        assert_close(normalized_mutual_information(&[3, 3], &[5, 5]), 1.0, 0.0);
        assert_close(adjusted_rand_index(&[3, 3], &[5, 5]), 1.0, 0.0);
    }

    #[test]
    fn chance_agreement_is_worth_nothing() {
        for seed in 0..3 {
            let mut rng = crate::seed::rng(seed, 0);
            let mut labels = || (0..4000).map(|_| rng.random_range(0..4)).collect::<Vec<u32>>();
            let (left, right) = (labels(), labels());
            assert_close(cohens_kappa(&left, &right), 0.0, 0.05);
            assert_close(adjusted_rand_index(&left, &right), 0.0, 0.01);
            assert!(normalized_mutual_information(&left, &right) < 0.01);
        }
    }

    proptest! {
        #[test]
        fn names_of_clusters_do_not_matter(
            pairs in prop::collection::vec((0u32..4, 0u32..4), 2..40)
        ) {
            let (left, right): (Vec<u32>, Vec<u32>) = pairs.into_iter().unzip();
            let renamed: Vec<u32> = left.iter().map(|label| 90 - 7 * label).collect();
            for measure in [normalized_mutual_information, adjusted_rand_index, purity] {
                assert_close(measure(&left, &right), measure(&renamed, &right), 1e-9);
                assert_close(measure(&left, &renamed), 1.0, 1e-9);
            }
            assert_close(adjusted_rand_index(&left, &right), adjusted_rand_index(&right, &left), 1e-9);
        }
    }
}
