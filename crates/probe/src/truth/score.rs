//! What was chosen on the samples to fit, measured on the samples held out.

use nissl_core::Result;
use nissl_core::split::Split;
use nissl_core::stats::bootstrap::{Bootstrap, Interval};
use nissl_core::stats::classification::{Confusion, confusion};

use super::{Choice, Columns, ConceptMatch, Detector, Ranker, Sides, TruthMatch, VALUES_AT_ONCE};
use crate::strength::Sign;

/// Scores what was chosen on the samples held out.
pub(super) fn score(
    chosen: &[(Choice, Choice)],
    columns: &Columns<'_>,
    split: &Split,
    sides: &Sides,
    names: &[&str],
    settings: &TruthMatch,
) -> Result<Vec<ConceptMatch>> {
    let bootstrap = settings.bootstrap();
    let mut scored = Vec::with_capacity(chosen.len());
    let at_once = (VALUES_AT_ONCE / (2 * (split.fit.len() + split.held_out.len())).max(1)).max(1);
    for (part, some) in chosen.chunks(at_once).enumerate() {
        let wanted: Vec<usize> = some.iter().flat_map(|(a, b)| [a.feature, b.feature]).collect();
        let activations = columns(&wanted)?;
        for (place, (rank, detect)) in some.iter().enumerate() {
            let concept = part * at_once + place;
            let labels = &sides.held_labels[concept];
            let column = |at: usize, sign: Sign| {
                let column = activations.column(at);
                let rows = split.held_out.iter();
                rows.map(|&row| sign.factor() * column[row]).collect::<Vec<f32>>()
            };
            let ranked = column(2 * place, rank.sign);
            let area = bootstrap.auroc_by_group(&ranked, labels, &sides.held_groups);
            let detected = column(2 * place + 1, detect.sign);
            let predicted: Vec<bool> =
                detected.iter().map(|value| *value >= detect.threshold).collect();
            let (f1, counts) = f1_by_group(&predicted, labels, &sides.held_groups, &bootstrap);
            let positives = labels.iter().filter(|label| **label).count();
            scored.push(ConceptMatch {
                concept: names[concept].to_owned(),
                positives,
                samples: labels.len(),
                auroc: Ranker {
                    feature: rank.feature,
                    sign: rank.sign,
                    fit: rank.fit,
                    held_out: area.estimate,
                    low: area.low,
                    high: area.high,
                },
                f1: Detector {
                    feature: detect.feature,
                    sign: detect.sign,
                    threshold: detect.sign.factor() * detect.threshold,
                    fit: detect.fit,
                    held_out: f1.estimate,
                    low: f1.low,
                    high: f1.high,
                    precision: counts.precision(),
                    recall: counts.recall(),
                },
            });
        }
    }
    Ok(scored)
}

/// F1 with its interval by group, and the counts over all samples.
fn f1_by_group(
    predicted: &[bool],
    labels: &[bool],
    groups: &[u32],
    bootstrap: &Bootstrap,
) -> (Interval, Confusion) {
    let mut counts: Vec<Confusion> = Vec::new();
    let mut start = 0;
    for same in groups.chunk_by(|a, b| a == b) {
        let part = start..start + same.len();
        counts.push(confusion(&predicted[part.clone()], &labels[part]));
        start += same.len();
    }
    let sum = |drawn: &[usize]| {
        drawn.iter().fold(Confusion::default(), |mut sum, &group| {
            sum.true_positives += counts[group].true_positives;
            sum.false_positives += counts[group].false_positives;
            sum.false_negatives += counts[group].false_negatives;
            sum.true_negatives += counts[group].true_negatives;
            sum
        })
    };
    let interval = bootstrap.by_sample(counts.len(), |drawn| sum(drawn).f1());
    let all: Vec<usize> = (0..counts.len()).collect();
    (interval, sum(&all))
}
