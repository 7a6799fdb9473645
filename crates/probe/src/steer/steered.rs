//! What steering did: the curve of scores over signs and divergences.

use serde::{Deserialize, Serialize};

use super::{Judgement, mean};
use crate::scores::Score;
use crate::strength::{Matched, Sign};

/// What steering did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Steered {
    /// The texts without steering `[sample][token]`, by the same random numbers.
    pub plain: Vec<Vec<u32>>,
    /// Their mean concept score, 0 to 2; NaN when none was judged.
    pub plain_concept: f64,
    /// Their mean loss, in nats a token.
    pub plain_loss: f64,
    /// One point for each sign and divergence, plus first.
    pub curve: Vec<Point>,
    /// The place in `curve` of the greatest score; `None` when no divergence was reached.
    pub best: Option<usize>,
    /// The curves of random directions.
    pub controls: Vec<Vec<Point>>,
    /// Who judged.
    #[serde(default)]
    pub judge: String,
}

impl Steered {
    /// The greatest score over signs and divergences, 0 to 2; 0 when none was reached.
    pub fn score(&self) -> f64 {
        self.best.map_or(0.0, |best| self.curve[best].score)
    }

    /// Steered texts whose judgement is missing.
    pub fn missing(&self) -> usize {
        self.curve.iter().map(|point| point.missing).sum()
    }

    /// The mean over the controls of their greatest scores; NaN without controls.
    pub fn control_score(&self) -> f64 {
        let greatest = |curve: &Vec<Point>| best(curve).map_or(0.0, |at| curve[at].score);
        self.controls.iter().map(greatest).sum::<f64>() / self.controls.len() as f64
    }
}

/// The scorer's name in `scores.parquet`.
pub const SCORER: &str = "steering";

impl Steered {
    /// The row of `scores.parquet`: the greatest score, beside that of the controls.
    pub fn to_score(&self, feature: u32, concept: &str) -> Score {
        let best = self.best.map(|best| &self.curve[best]);
        let config = serde_json::json!({
            "concept": concept,
            "sign": best.map(|best| best.sign.symbol()),
            "kl": best.map(|best| best.target),
            "judge": self.judge,
            "missing": self.missing(),
        });
        Score {
            feature,
            scorer: SCORER.to_owned(),
            score: self.score(),
            low: f64::NAN,
            high: f64::NAN,
            n: self.plain.len() as u64,
            baseline: self.control_score(),
            config: config.to_string(),
        }
    }
}

/// One sign and divergence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The side.
    pub sign: Sign,
    /// The wanted divergence, in nats.
    pub target: f64,
    /// The strength; `None` when no strength reaches the divergence.
    pub strength: Option<f64>,
    /// The divergence at that strength, or the nearest one met, in nats.
    pub divergence: f64,
    /// Mean concept score, 0 to 2; NaN when the divergence was not reached or no text was judged, as
    /// are the next two.
    pub concept: f64,
    /// Mean fluency, 0 to 2.
    pub fluency: f64,
    /// Mean over texts of the harmonic mean of both, 0 to 2.
    pub score: f64,
    /// Texts without a judgement; they enter no mean.
    #[serde(default)]
    pub missing: usize,
    /// The texts `[sample][token]`; none when the divergence was not reached.
    pub texts: Vec<Vec<u32>>,
}

impl Point {
    pub(super) fn unreached(matched: &Matched) -> Self {
        Self {
            sign: matched.sign,
            target: matched.target,
            strength: matched.strength,
            divergence: matched.divergence,
            concept: f64::NAN,
            fluency: f64::NAN,
            score: f64::NAN,
            missing: 0,
            texts: Vec::new(),
        }
    }

    /// Takes in the judgements of its texts.
    pub(super) fn grade(&mut self, judgements: &[Judgement]) {
        self.concept = mean(judgements.iter().filter_map(|one| one.concept));
        self.fluency = mean(judgements.iter().filter_map(|one| one.fluency));
        self.score = mean(judgements.iter().filter_map(Judgement::score));
        self.missing = judgements.iter().filter(|one| one.score().is_none()).count();
    }
}

/// The place of the point with the greatest score, of equal ones the first.
pub(super) fn best(curve: &[Point]) -> Option<usize> {
    let reached = (0..curve.len()).filter(|&at| curve[at].score.is_finite());
    reached.rev().max_by(|&a, &b| curve[a].score.total_cmp(&curve[b].score))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(target: f64, reached: bool) -> Point {
        let strength = reached.then_some(1.0);
        Point::unreached(&Matched { sign: Sign::Plus, target, strength, divergence: target })
    }

    #[test]
    fn a_missing_judgement_is_counted_and_enters_no_mean() {
        let of = |concept, fluency| Judgement { concept, fluency };
        let mut graded = point(0.1, true);
        graded.grade(&[
            of(Some(2.0), Some(2.0)),
            of(Some(1.0), Some(1.0)),
            of(Some(0.0), Some(2.0)),
            of(None, Some(0.0)),
            of(Some(2.0), None),
        ]);
        // Harmonic means 2, 1, 0 of the three that are whole.
        assert!((graded.score - 1.0).abs() < 1e-12);
        assert!((graded.concept - 1.25).abs() < 1e-12 && (graded.fluency - 1.25).abs() < 1e-12);
        assert_eq!(graded.missing, 2);
        let mut silent = point(0.2, true);
        silent.grade(&[of(None, None); 3]);
        assert!(silent.score.is_nan() && silent.missing == 3);
        // Neither a silent judge nor an unreached divergence can be the best.
        let curve = [point(0.05, false), silent, graded];
        assert_eq!(best(&curve), Some(2));
        assert_eq!(best(&curve[..2]), None);
    }
}
