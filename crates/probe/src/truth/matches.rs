//! What truth matching found, and its tables.

use nissl_core::features::Features;
use nissl_core::{Column, Result, Table};
use serde::{Deserialize, Serialize};

use super::TruthMatch;
use crate::scores::{Score, set_scores};
use crate::strength::Sign;

/// The feature that ranks a concept's samples best.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ranker {
    /// The feature.
    pub feature: usize,
    /// Whether its activation or the negative of it ranks.
    pub sign: Sign,
    /// AUROC on the samples by which it was chosen.
    pub fit: f64,
    /// AUROC on the samples held out.
    pub held_out: f64,
    /// The 95 % interval of that, by sequence.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

/// The feature and threshold that detect a concept best.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Detector {
    /// The feature.
    pub feature: usize,
    /// Whether high or low activations detect.
    pub sign: Sign,
    /// Activations at or beyond this, in the direction of the sign, detect.
    pub threshold: f32,
    /// F1 on the samples by which it was chosen.
    pub fit: f64,
    /// F1 on the samples held out.
    pub held_out: f64,
    /// The 95 % interval of that, by sequence.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// Precision on the samples held out; NaN when nothing is detected.
    pub precision: f64,
    /// Recall on the samples held out.
    pub recall: f64,
}

/// A concept with its best features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConceptMatch {
    /// The concept.
    pub concept: String,
    /// Held-out samples that carry it.
    pub positives: usize,
    /// Held-out samples.
    pub samples: usize,
    /// Best by AUROC.
    pub auroc: Ranker,
    /// Best by F1.
    pub f1: Detector,
}

/// A feature with the concept it tells best; figures are those on the samples held out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeatureMatch {
    /// The concept; `None` when none is told better than by always saying yes.
    pub concept: Option<String>,
    /// Whether high or low activations tell it.
    pub sign: Sign,
    /// Activations at or beyond this, in the direction of the sign, tell it.
    pub threshold: f32,
    /// AUROC.
    pub auroc: f64,
    /// F1.
    pub f1: f64,
    /// The share of the samples beyond the threshold that carry the concept.
    pub precision: f64,
    /// The share of the concept's samples that are beyond the threshold.
    pub recall: f64,
}

impl FeatureMatch {
    pub(super) fn none() -> Self {
        Self {
            concept: None,
            sign: Sign::Plus,
            threshold: f32::NAN,
            auroc: f64::NAN,
            f1: f64::NAN,
            precision: f64::NAN,
            recall: f64::NAN,
        }
    }
}

/// Features against the truth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Matches {
    /// One for each concept that was judged.
    pub concepts: Vec<ConceptMatch>,
    /// Concepts with too few samples on either side.
    pub skipped: Vec<String>,
    /// One for each feature.
    pub features: Vec<FeatureMatch>,
    /// Mean held-out AUROC over concepts; NaN without concepts.
    pub mean_auroc: f64,
    /// Its 95 % interval over concepts.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// Mean held-out F1 over concepts.
    pub mean_f1: f64,
    /// Concepts whose feature has a held-out AUROC of the bar or more.
    pub recovered: usize,
}

impl Matches {
    pub(super) fn new(
        concepts: Vec<ConceptMatch>,
        skipped: Vec<String>,
        features: Vec<FeatureMatch>,
        settings: &TruthMatch,
    ) -> Self {
        let areas: Vec<f64> = concepts.iter().map(|concept| concept.auroc.held_out).collect();
        let mean = |drawn: &[usize]| {
            drawn.iter().map(|&concept| areas[concept]).sum::<f64>() / drawn.len() as f64
        };
        let interval = settings.bootstrap().by_sample(areas.len(), mean);
        let f1 = concepts.iter().map(|concept| concept.f1.held_out).sum::<f64>();
        Self {
            mean_auroc: interval.estimate,
            low: interval.low,
            high: interval.high,
            mean_f1: f1 / concepts.len() as f64,
            recovered: areas.iter().filter(|area| **area >= settings.bar).count(),
            concepts,
            skipped,
            features,
        }
    }

    /// The rows of `scores.parquet`: `truth-auroc` and `truth-f1` of each concept.
    pub fn scores(&self) -> Vec<Score> {
        let of_concept = |found: &ConceptMatch| {
            let config = |sign: Sign| {
                serde_json::json!({"concept": found.concept, "sign": sign.symbol()}).to_string()
            };
            let (positives, samples) = (found.positives as f64, found.samples as f64);
            [
                Score {
                    feature: found.auroc.feature as u32,
                    scorer: AUROC.to_owned(),
                    score: found.auroc.held_out,
                    low: found.auroc.low,
                    high: found.auroc.high,
                    n: found.samples as u64,
                    baseline: 0.5,
                    config: config(found.auroc.sign),
                },
                Score {
                    feature: found.f1.feature as u32,
                    scorer: F1.to_owned(),
                    score: found.f1.held_out,
                    low: found.f1.low,
                    high: found.f1.high,
                    n: found.samples as u64,
                    baseline: 2.0 * positives / (samples + positives),
                    config: config(found.f1.sign),
                },
            ]
        };
        self.concepts.iter().flat_map(of_concept).collect()
    }

    /// Writes the scores, and the columns `truth.match` (a concept, or nothing), `truth.score` (its
    /// held-out F1), `truth.auroc`, `truth.precision`, `truth.recall`, `truth.threshold` and
    /// `truth.sign` of the feature table.
    ///
    /// # Errors
    /// Other features than were matched, or a failed file operation.
    pub fn write(&self, features: &mut Features) -> Result<()> {
        let texts = |of: &dyn Fn(&FeatureMatch) -> String| {
            Column::Text(self.features.iter().map(of).collect())
        };
        let numbers = |of: &dyn Fn(&FeatureMatch) -> f64| {
            Column::F32(self.features.iter().map(|found| of(found) as f32).collect())
        };
        let table = Table::new()
            .with("truth.match", texts(&|found| found.concept.clone().unwrap_or_default()))
            .with("truth.score", numbers(&|found| found.f1))
            .with("truth.auroc", numbers(&|found| found.auroc))
            .with("truth.precision", numbers(&|found| found.precision))
            .with("truth.recall", numbers(&|found| found.recall))
            .with("truth.threshold", numbers(&|found| f64::from(found.threshold)))
            .with("truth.sign", texts(&|found| found.sign.symbol().to_owned()));
        features.set_columns(&table)?;
        set_scores(features, &[AUROC, F1], &self.scores())
    }
}

const AUROC: &str = "truth-auroc";
const F1: &str = "truth-f1";
