//! Area under the receiver operating characteristic: how well a score tells two classes apart.
//!
//! `AUROC = P(s⁺ > s⁻) + ½ P(s⁺ = s⁻)` over pairs of a positive and a negative sample, in
//! `O(n log n)` from the sorted scores. NaN when a class is empty or a score is NaN.

use super::ranks::ascending;

/// Samples of one score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tied {
    /// The score.
    pub score: f32,
    /// Positive samples with that score.
    pub positives: u64,
    /// Negative samples with that score.
    pub negatives: u64,
}

/// The distinct values of `scores` `[sample]`, ascending, with the `labels` `[sample]` they carry.
///
/// Empty when a score is NaN, so that all that is measured on it is NaN.
///
/// # Panics
/// When scores and labels differ in number.
pub fn tied(scores: &[f32], labels: &[bool]) -> Vec<Tied> {
    tied_with_zeros(scores, labels, 0, 0)
}

/// As [`tied`], with further samples of score 0 given only by their number: the stored values of a
/// sparse feature with their labels, and the `positives` and `negatives` among the rest.
///
/// # Panics
/// When scores and labels differ in number.
pub fn tied_with_zeros(
    scores: &[f32],
    labels: &[bool],
    positives: u64,
    negatives: u64,
) -> Vec<Tied> {
    assert_eq!(scores.len(), labels.len(), "samples of scores and labels");
    let Some(order) = ascending(scores) else {
        return Vec::new();
    };
    let mut zeros = Some(Tied { score: 0.0, positives, negatives })
        .filter(|zeros| zeros.positives + zeros.negatives > 0);
    let mut found = Vec::new();
    for same in order.chunk_by(|&a, &b| scores[a as usize] >= scores[b as usize]) {
        let score = scores[same[0] as usize];
        let positives = same.iter().filter(|&&index| labels[index as usize]).count() as u64;
        let mut here = Tied { score, positives, negatives: same.len() as u64 - positives };
        if score >= 0.0
            && let Some(zeros) = zeros.take()
        {
            if score > 0.0 {
                found.push(zeros);
            } else {
                here.positives += zeros.positives;
                here.negatives += zeros.negatives;
            }
        }
        found.push(here);
    }
    found.extend(zeros);
    found
}

/// AUROC of `scores` `[sample]` for `labels` `[sample]`, 0 to 1; 0.5 is chance.
///
/// # Panics
/// When scores and labels differ in number.
pub fn auroc(scores: &[f32], labels: &[bool]) -> f64 {
    auroc_of_tied(&tied(scores, labels))
}

/// AUROC of a sparse feature, equal to that of its dense form: stored `scores` with their `labels`,
/// and the numbers of `zero_positives` and `zero_negatives` that are not stored.
///
/// # Panics
/// When scores and labels differ in number.
pub fn auroc_sparse(
    scores: &[f32],
    labels: &[bool],
    zero_positives: u64,
    zero_negatives: u64,
) -> f64 {
    auroc_of_tied(&tied_with_zeros(scores, labels, zero_positives, zero_negatives))
}

/// AUROC of samples collected by [`tied`].
pub fn auroc_of_tied(tied: &[Tied]) -> f64 {
    auroc_of_weights(tied.iter().map(|here| (here.positives as f64, here.negatives as f64)))
}

/// AUROC of weighted samples: for each distinct score, ascending, the weights of the positives and
/// of the negatives that have it.
pub fn auroc_of_weights(weights: impl IntoIterator<Item = (f64, f64)>) -> f64 {
    let (mut won, mut positives, mut negatives) = (0.0, 0.0, 0.0);
    for (positive, negative) in weights {
        won += positive * (negatives + negative / 2.0);
        positives += positive;
        negatives += negative;
    }
    if positives > 0.0 && negatives > 0.0 { won / (positives * negatives) } else { f64::NAN }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::stats::close::assert_close;

    fn by_pairs(scores: &[f32], labels: &[bool]) -> f64 {
        let side = |class: bool| {
            let both = scores.iter().zip(labels);
            both.filter(move |(_, label)| **label == class).map(|(score, _)| *score)
        };
        let (mut won, mut pairs) = (0.0, 0.0);
        for positive in side(true) {
            for negative in side(false) {
                pairs += 1.0;
                won += if positive > negative { 1.0 } else { 0.0 };
                won += if positive.total_cmp(&negative).is_eq() { 0.5 } else { 0.0 };
            }
        }
        won / pairs
    }

    #[test]
    fn worked_cases() {
        let labels = [false, false, true, true];
        assert_close(auroc(&[1., 2., 3., 4.], &labels), 1.0, 0.0);
        assert_close(auroc(&[4., 3., 2., 1.], &labels), 0.0, 0.0);
        assert_close(auroc(&[1., 1., 1., 1.], &labels), 0.5, 0.0);
        assert_close(auroc(&[0.1, 0.4, 0.35, 0.8], &labels), 0.75, 1e-12);
        assert!(auroc(&[1., 2.], &[true, true]).is_nan());
        assert!(auroc(&[1., f32::NAN], &[true, false]).is_nan());
        assert!(auroc(&[], &[]).is_nan());
    }

    fn labelled() -> impl Strategy<Value = Vec<(i8, bool)>> {
        prop::collection::vec((-3i8..5, any::<bool>()), 2..50)
    }

    proptest! {
        #[test]
        fn equals_the_count_of_pairs(samples in labelled()) {
            let (scores, labels): (Vec<f32>, Vec<bool>) =
                samples.iter().map(|&(score, label)| (f32::from(score), label)).unzip();
            let (fast, slow) = (auroc(&scores, &labels), by_pairs(&scores, &labels));
            prop_assert_eq!(fast.is_nan(), slow.is_nan());
            if !slow.is_nan() {
                assert_close(fast, slow, 1e-12);
                let mapped: Vec<f32> = scores.iter().map(|s| s.exp() * 3.0 - 1.0).collect();
                assert_close(auroc(&mapped, &labels), fast, 1e-12);
                let negated: Vec<f32> = scores.iter().map(|s| -s).collect();
                assert_close(auroc(&negated, &labels), 1.0 - fast, 1e-12);
                let swapped: Vec<bool> = labels.iter().map(|label| !label).collect();
                assert_close(auroc(&scores, &swapped), 1.0 - fast, 1e-12);
            }
        }

        #[test]
        fn sparse_equals_dense_with_scores_of_both_signs(samples in labelled(), stored_zeros: bool) {
            let (scores, labels): (Vec<f32>, Vec<bool>) =
                samples.iter().map(|&(score, label)| (f32::from(score), label)).unzip();
            let zeros = |class| {
                let both = scores.iter().zip(&labels);
                both.filter(|(score, label)| **score == 0.0 && **label == class).count() as u64
            };
            let (kept, kept_labels): (Vec<f32>, Vec<bool>) =
                scores.iter().zip(&labels).filter(|(score, _)| **score != 0.0).unzip();
            let sparse = if stored_zeros {
                auroc_sparse(&scores, &labels, 0, 0)
            } else {
                auroc_sparse(&kept, &kept_labels, zeros(true), zeros(false))
            };
            let dense = auroc(&scores, &labels);
            prop_assert!(sparse.total_cmp(&dense).is_eq(), "{} {}", sparse, dense);
        }
    }
}
