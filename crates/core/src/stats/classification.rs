//! How well a threshold on a score tells two classes apart: confusion counts, F1, average precision.
//!
//! `precision = TP / (TP + FP)`, `recall = TP / (TP + FN)`, `F1 = 2 TP / (2 TP + FP + FN)`.
//! What divides by nothing is NaN. For AUROC see [`super::auroc`] and [`super::concepts`].

use super::auroc::{Tied, tied};

/// Samples by what was predicted and what is true.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Confusion {
    /// Predicted and true.
    pub true_positives: u64,
    /// Predicted, not true.
    pub false_positives: u64,
    /// Not predicted, true.
    pub false_negatives: u64,
    /// Not predicted, not true.
    pub true_negatives: u64,
}

impl Confusion {
    /// The share of the predicted that is true.
    pub fn precision(&self) -> f64 {
        self.true_positives as f64 / (self.true_positives + self.false_positives) as f64
    }

    /// The share of the true that is predicted.
    pub fn recall(&self) -> f64 {
        self.true_positives as f64 / (self.true_positives + self.false_negatives) as f64
    }

    /// The harmonic mean of precision and recall; 0 when nothing true is predicted.
    pub fn f1(&self) -> f64 {
        let twice = 2.0 * self.true_positives as f64;
        twice / (twice + (self.false_positives + self.false_negatives) as f64)
    }

    /// The share of all samples that are predicted rightly.
    pub fn accuracy(&self) -> f64 {
        let right = self.true_positives + self.true_negatives;
        right as f64 / (right + self.false_positives + self.false_negatives) as f64
    }
}

/// Counts of `predicted` `[sample]` against `labels` `[sample]`.
///
/// # Panics
/// When they differ in number.
pub fn confusion(predicted: &[bool], labels: &[bool]) -> Confusion {
    assert_eq!(predicted.len(), labels.len(), "samples of predictions and labels");
    let mut counts = Confusion::default();
    for pair in predicted.iter().zip(labels) {
        *match pair {
            (true, true) => &mut counts.true_positives,
            (true, false) => &mut counts.false_positives,
            (false, true) => &mut counts.false_negatives,
            (false, false) => &mut counts.true_negatives,
        } += 1;
    }
    counts
}

/// Counts of the samples with `scores` `[sample]` of at least `threshold` against `labels`; a NaN
/// score is not predicted.
///
/// # Panics
/// When scores and labels differ in number.
pub fn confusion_at(scores: &[f32], labels: &[bool], threshold: f32) -> Confusion {
    let predicted: Vec<bool> = scores.iter().map(|score| *score >= threshold).collect();
    confusion(&predicted, labels)
}

/// The threshold of greatest F1 and what it gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BestF1 {
    /// F1, 0 to 1.
    pub f1: f64,
    /// Precision, 0 to 1.
    pub precision: f64,
    /// Recall, 0 to 1.
    pub recall: f64,
    /// A sample is predicted when its score is at least this.
    pub threshold: f32,
}

/// The best F1 of `scores` `[sample]` for `labels` `[sample]` over all thresholds.
///
/// Of equal ones the highest threshold is taken. All NaN without positives or with a NaN score.
///
/// # Panics
/// When scores and labels differ in number.
pub fn best_f1(scores: &[f32], labels: &[bool]) -> BestF1 {
    best_f1_of_tied(&tied(scores, labels))
}

/// As [`best_f1`], of samples collected by [`tied`] or [`super::auroc::tied_with_zeros`].
pub fn best_f1_of_tied(tied: &[Tied]) -> BestF1 {
    let mut best =
        BestF1 { f1: f64::NAN, precision: f64::NAN, recall: f64::NAN, threshold: f32::NAN };
    let positives: u64 = tied.iter().map(|here| here.positives).sum();
    if positives == 0 {
        return best;
    }
    let mut counts = Confusion { false_negatives: positives, ..Confusion::default() };
    for here in tied.iter().rev() {
        counts.true_positives += here.positives;
        counts.false_negatives -= here.positives;
        counts.false_positives += here.negatives;
        let f1 = counts.f1();
        if best.f1.is_nan() || f1 > best.f1 {
            let (precision, recall) = (counts.precision(), counts.recall());
            best = BestF1 { f1, precision, recall, threshold: here.score };
        }
    }
    best
}

/// Average precision of `scores` `[sample]` for `labels` `[sample]`, 0 to 1; chance is the share of
/// positives.
///
/// `AP = Σ (Rₙ − Rₙ₋₁) Pₙ` over descending thresholds. NaN without positives or with a NaN score.
///
/// # Panics
/// When scores and labels differ in number.
pub fn average_precision(scores: &[f32], labels: &[bool]) -> f64 {
    average_precision_of_tied(&tied(scores, labels))
}

/// As [`average_precision`], of samples collected by [`tied`] or
/// [`super::auroc::tied_with_zeros`].
pub fn average_precision_of_tied(tied: &[Tied]) -> f64 {
    let (mut hits, mut seen, mut sum) = (0u64, 0u64, 0.0);
    for here in tied.iter().rev() {
        hits += here.positives;
        seen += here.positives + here.negatives;
        sum += here.positives as f64 * hits as f64 / seen as f64;
    }
    sum / hits as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::stats::auroc::tied_with_zeros;
    use crate::stats::close::assert_close;

    #[test]
    fn counts_and_their_ratios() {
        let scores = [0.9, 0.8, 0.3, 0.1, f32::NAN];
        let counts = confusion_at(&scores, &[true, false, true, false, true], 0.3);
        let expected = Confusion {
            true_positives: 2,
            false_positives: 1,
            false_negatives: 1,
            true_negatives: 1,
        };
        assert_eq!(counts, expected);
        assert_close(counts.precision(), 2.0 / 3.0, 1e-12);
        assert_close(counts.recall(), 2.0 / 3.0, 1e-12);
        assert_close(counts.accuracy(), 0.6, 1e-12);
        assert!(Confusion::default().precision().is_nan());
    }

    #[test]
    fn the_best_threshold_of_a_worked_case() {
        // At 0.35: 2 of 3 predicted are true, both found: F1 = 4/5. At 0.8: F1 = 2/3.
        let best = best_f1(&[0.1, 0.4, 0.35, 0.8], &[false, false, true, true]);
        assert_close(best.f1, 0.8, 1e-12);
        assert_close(best.precision, 2.0 / 3.0, 1e-12);
        assert_close(best.recall, 1.0, 1e-12);
        assert_close(f64::from(best.threshold), f64::from(0.35f32), 0.0);
        assert!(best_f1(&[1.0], &[false]).f1.is_nan());
    }

    #[test]
    fn average_precision_of_a_worked_case() {
        // Descending: true, false, true: ½·1 + ½·⅔.
        let found = average_precision(&[0.1, 0.4, 0.35, 0.8], &[false, false, true, true]);
        assert_close(found, 5.0 / 6.0, 1e-12);
        assert_close(average_precision(&[1.0; 5], &[true, false, false, false, false]), 0.2, 1e-12);
        assert!(average_precision(&[1.0], &[false]).is_nan());
    }

    proptest! {
        #[test]
        fn no_threshold_beats_the_best(
            samples in prop::collection::vec((-3i8..4, any::<bool>()), 1..40)
        ) {
            let (scores, labels): (Vec<f32>, Vec<bool>) =
                samples.iter().map(|&(score, label)| (f32::from(score), label)).unzip();
            let best = best_f1(&scores, &labels);
            if labels.contains(&true) {
                let at = confusion_at(&scores, &labels, best.threshold);
                assert_close(at.f1(), best.f1, 1e-12);
                assert_close(at.precision(), best.precision, 1e-12);
                for threshold in -4i8..5 {
                    let f1 = confusion_at(&scores, &labels, f32::from(threshold)).f1();
                    prop_assert!(f1 <= best.f1 + 1e-12);
                }
            }
            let zeros = |class| {
                let both = scores.iter().zip(&labels);
                both.filter(|(score, label)| **score == 0.0 && **label == class).count() as u64
            };
            let (kept, kept_labels): (Vec<f32>, Vec<bool>) =
                scores.iter().zip(&labels).filter(|(score, _)| **score != 0.0).unzip();
            let sparse = tied_with_zeros(&kept, &kept_labels, zeros(true), zeros(false));
            prop_assert_eq!(sparse, tied(&scores, &labels));
        }
    }
}
