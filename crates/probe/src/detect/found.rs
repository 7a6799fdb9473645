//! What concept detection found, and its rows of `scores.parquet`.

use nissl_core::stats::bootstrap::{Bootstrap, Interval};
use serde::{Deserialize, Serialize};

use super::{Agreement, Signed};
use crate::scores::Score;

/// The scorer of the log ratio in `scores.parquet`.
pub const LOG_RATIO: &str = "detection.s_cd";
/// The scorer of the AUROC.
pub const AREA: &str = "detection.auroc";

/// The least mean agreement that enters a log ratio; lesser ones are raised to it.
pub const LEAST_MEAN: f64 = 1e-3;

/// What concept detection found: one entry for each method.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Detected {
    /// How tokens and directions were compared.
    pub agreement: Agreement,
    /// The methods in the order they were given, then difference of means, then controls.
    pub methods: Vec<MethodDetection>,
}

/// How well the directions of one method tell concepts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MethodDetection {
    /// Its name.
    pub method: String,
    /// Where its directions stand.
    pub site: String,
    /// Whether it is a control, of which nothing is expected.
    pub control: bool,
    /// For each concept, in the order they were given.
    pub concepts: Vec<ConceptDetection>,
    /// Mean of `S_CD` over the concepts.
    pub mean_s_cd: f64,
    /// Its standard deviation; NaN for one concept.
    pub deviation_s_cd: f64,
    /// Mean AUROC over the concepts.
    pub mean_auroc: f64,
    /// The share of the concepts with `S_CD > 0`.
    pub positive: f64,
    /// How many of the means, two for each concept, were raised to 10⁻³.
    pub clamped: usize,
}

/// How well one direction tells one concept, on sentences that it was not chosen on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConceptDetection {
    /// The concept.
    pub concept: String,
    /// The feature that stands for it; `None` for a difference of means.
    pub feature: Option<Signed>,
    /// The AUROC by which the feature was chosen; `None` where none was chosen.
    pub chosen_auroc: Option<f64>,
    /// Sentences scored that speak of the concept.
    pub activating: usize,
    /// Sentences scored that do not.
    pub neutral: usize,
    /// Mean over those that do of the largest agreement of a token.
    pub mean_activating: f64,
    /// Mean over the others.
    pub mean_neutral: f64,
    /// `ln (mean_activating / mean_neutral)`, with either at least 10⁻³.
    pub s_cd: f64,
    /// The lower end of its 95 % interval, by sentence.
    pub s_cd_low: f64,
    /// The upper end.
    pub s_cd_high: f64,
    /// How many of the two means were raised to 10⁻³.
    pub clamped: usize,
    /// How well the largest agreement tells the sentences apart, 0 to 1.
    pub auroc: f64,
    /// The lower end of its 95 % interval, by sentence.
    pub auroc_low: f64,
    /// The upper end.
    pub auroc_high: f64,
}

impl ConceptDetection {
    /// From the largest agreement of each sentence that was scored.
    pub(super) fn new(
        concept: &str,
        feature: Option<Signed>,
        chosen_auroc: Option<f64>,
        activating: &[f32],
        neutral: &[f32],
        bootstrap: &Bootstrap,
    ) -> Self {
        let all = [activating, neutral].concat();
        let labels: Vec<bool> = (0..all.len()).map(|at| at < activating.len()).collect();
        let sentences: Vec<u32> = (0..all.len() as u32).collect();
        let area = bootstrap.auroc_by_group(&all, &labels, &sentences);
        let ratio = bootstrap.by_sample(all.len(), |drawn| {
            let side = |class: bool| {
                let of_class = drawn.iter().filter(|&&at| labels[at] == class);
                mean(of_class.map(|&at| f64::from(all[at])))
            };
            log_ratio(side(true), side(false)).0
        });
        let (mean_activating, mean_neutral) = (side_mean(activating), side_mean(neutral));
        let Interval { low: auroc_low, high: auroc_high, estimate: auroc } = area;
        Self {
            concept: concept.to_owned(),
            feature,
            chosen_auroc,
            activating: activating.len(),
            neutral: neutral.len(),
            mean_activating,
            mean_neutral,
            s_cd: ratio.estimate,
            s_cd_low: ratio.low,
            s_cd_high: ratio.high,
            clamped: log_ratio(mean_activating, mean_neutral).1,
            auroc,
            auroc_low,
            auroc_high,
        }
    }
}

/// `ln (a / b)` with both raised to [`LEAST_MEAN`], and how many were raised.
pub fn log_ratio(a: f64, b: f64) -> (f64, usize) {
    let raised = usize::from(a < LEAST_MEAN) + usize::from(b < LEAST_MEAN);
    // `max` would drop a NaN.
    let least = |mean: f64| if mean < LEAST_MEAN { LEAST_MEAN } else { mean };
    ((least(a) / least(b)).ln(), raised)
}

pub(super) fn side_mean(values: &[f32]) -> f64 {
    mean(values.iter().map(|&value| f64::from(value)))
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    sum / count
}

impl MethodDetection {
    pub(super) fn new(
        method: &str,
        site: String,
        control: bool,
        concepts: Vec<ConceptDetection>,
    ) -> Self {
        let count = concepts.len() as f64;
        let mean_s_cd = mean(concepts.iter().map(|found| found.s_cd));
        let squares = concepts.iter().map(|found| (found.s_cd - mean_s_cd).powi(2)).sum::<f64>();
        let deviation_s_cd =
            if concepts.len() > 1 { (squares / (count - 1.0)).sqrt() } else { f64::NAN };
        Self {
            method: method.to_owned(),
            site,
            control,
            mean_s_cd,
            deviation_s_cd,
            mean_auroc: mean(concepts.iter().map(|found| found.auroc)),
            positive: concepts.iter().filter(|found| found.s_cd > 0.0).count() as f64 / count,
            clamped: concepts.iter().map(|found| found.clamped).sum(),
            concepts,
        }
    }

    /// The rows of `scores.parquet`, two for each concept that a feature stands for.
    pub fn scores(&self, agreement: Agreement) -> Vec<Score> {
        let mut scores = Vec::new();
        for found in &self.concepts {
            let Some(Signed { feature, sign }) = found.feature else { continue };
            let config = serde_json::json!({
                "concept": found.concept,
                "sign": sign.symbol(),
                "agreement": agreement,
                "chosen": found.chosen_auroc.is_some(),
                "clamped": found.clamped,
            })
            .to_string();
            let row = |scorer: &str, (score, low, high): (f64, f64, f64), baseline: f64| Score {
                feature: feature as u32,
                scorer: scorer.to_owned(),
                score,
                low,
                high,
                n: (found.activating + found.neutral) as u64,
                baseline,
                config: config.clone(),
            };
            scores.push(row(LOG_RATIO, (found.s_cd, found.s_cd_low, found.s_cd_high), 0.0));
            scores.push(row(AREA, (found.auroc, found.auroc_low, found.auroc_high), 0.5));
        }
        scores
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_ratio_is_clamped_and_says_so() {
        let close = |found: (f64, usize), ratio: f64, raised: usize| {
            assert!((found.0 - ratio).abs() < 1e-12, "{found:?} {ratio}");
            assert_eq!(found.1, raised);
        };
        close(log_ratio(0.8, 0.2), 4f64.ln(), 0);
        close(log_ratio(0.8, -0.2), 800f64.ln(), 1);
        close(log_ratio(0.0, 0.5), (1f64 / 500.0).ln(), 1);
        close(log_ratio(-1.0, -2.0), 0.0, 2);
        assert!(log_ratio(f64::NAN, 0.5).0.is_nan(), "undefined stays undefined");
    }

    #[test]
    fn a_concept_and_a_method_are_summed_up_by_hand() {
        let bootstrap = Bootstrap { resamples: 200, level: 0.95, seed: 0 };
        let new = |a: &[f32], b: &[f32]| ConceptDetection::new("c", None, None, a, b, &bootstrap);
        let first = new(&[0.6, 0.2], &[0.1, 0.3]);
        assert!((first.s_cd - 2f64.ln()).abs() < 1e-6, "{first:?}");
        assert!((first.auroc - 0.75).abs() < 1e-12);
        let second = new(&[0.1, 0.1], &[0.2, -0.8]);
        assert!((second.s_cd - 100f64.ln()).abs() < 1e-5, "{second:?}");
        assert_eq!((second.clamped, second.activating, second.neutral), (1, 2, 2));
        assert!(second.s_cd_low <= second.s_cd && second.s_cd <= second.s_cd_high);
        let third = new(&[0.1], &[0.4]);
        let method = MethodDetection::new("m", "s".to_owned(), false, vec![first, second, third]);
        let ratios = [2f64.ln(), 100f64.ln(), -(4f64.ln())];
        let mean = ratios.iter().sum::<f64>() / 3.0;
        assert!((method.mean_s_cd - mean).abs() < 1e-5);
        let variance = ratios.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / 2.0;
        assert!((method.deviation_s_cd - variance.sqrt()).abs() < 1e-5);
        assert!((method.positive - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(method.clamped, 1);
    }
}
