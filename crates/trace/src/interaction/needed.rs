//! What a network needs: the fewest vectors of a node layer, and edges to the next, that do.
//!
//! Schedules, as in the authors' runs, count what is kept of all coordinates, those that the basis
//! dropped among them: *linear* in equal steps; *exponential* every number up to 10, then
//! `k ← ⌈k + 1.05ⁿ⌉`; *bisection* between none and all. Where more is not always better, the answer
//! depends on the schedule.
//!
//! Source: Bushnaq et al. 2024, arXiv:2405.10928, §3 (ablations), and the published configurations.
//! Differs: a trial of a bisection ends once its errors are more than can be made good (exact).
//! Memory: as [`Ablation`].

use std::collections::BTreeSet;

use nissl_core::section::{Basis, Chain, InteractionBasis, Samples};
use nissl_core::{Error, Progress, Result};
use serde::{Deserialize, Serialize};

use super::ablate::{Ablation, Measure};
use super::edges::EdgeMatrix;
use super::trial::Trial;

/// The numbers of vectors or edges that are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// In equal steps from all to none
    Linear,
    /// Every number up to 10, then in steps that grow by 5 %
    Exponential,
    /// Halving the gap between too few and enough
    Bisection,
}

/// Hyperparameters of ablations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Ablate {
    /// How the network's answers are judged: sums and next tokens by the truth, a perceptron's by its own
    #[arg(long, value_enum, default_value_t = Self::default().measure)]
    pub measure: Measure,
    /// What an ablation may cost, in the measure's unit, at least 0
    #[arg(long, default_value_t = Self::default().tolerance, value_name = "COST")]
    pub tolerance: f64,
    /// The numbers of vectors that are tried
    #[arg(long, value_enum, default_value_t = Self::default().vector_schedule)]
    pub vector_schedule: Schedule,
    /// The numbers of edges that are tried
    #[arg(long, value_enum, default_value_t = Self::default().edge_schedule)]
    pub edge_schedule: Schedule,
    /// Numbers that a linear schedule tries, at least 2
    #[arg(long, default_value_t = Self::default().points)]
    pub points: usize,
    /// Try no fewer once the measure is worse by more than this, above 0; not with bisection
    #[arg(long, value_name = "COST")]
    pub stop: Option<f64>,
}

impl Default for Ablate {
    fn default() -> Self {
        Self {
            measure: Measure::Accuracy,
            tolerance: 0.001,
            vector_schedule: Schedule::Exponential,
            edge_schedule: Schedule::Bisection,
            points: 20,
            stop: None,
        }
    }
}

/// A number of vectors or edges, and how well the network does with them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Kept {
    /// How many are kept.
    pub kept: usize,
    /// Accuracy or cross-entropy.
    pub score: f64,
}

/// What one node layer needs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Required {
    /// The node layer.
    pub node_layer: String,
    /// The next one.
    pub to: String,
    /// Accuracy or cross-entropy of the network as it is.
    pub full: f64,
    /// Vectors needed, the constant among them; `None` where not even all are enough.
    pub vectors: Option<usize>,
    /// Edges needed, without those from the constant; `None` where not even all are enough.
    pub edges: Option<usize>,
    /// What was tried of vectors, most first; empty after a bisection.
    pub vector_curve: Vec<Kept>,
    /// What was tried of edges, most first; empty after a bisection.
    pub edge_curve: Vec<Kept>,
}

impl Schedule {
    /// The numbers from `total` down to 0; empty of a bisection, which goes by what it finds.
    fn numbers(self, total: usize, points: usize) -> BTreeSet<usize> {
        match self {
            Self::Bisection => BTreeSet::new(),
            Self::Linear => (0..points).map(|n| n * total / (points - 1)).collect(),
            Self::Exponential => {
                let mut all: BTreeSet<usize> = (0..=10.min(total)).collect();
                let (mut kept, mut step) = (10.0, 1.0);
                while kept < total as f64 {
                    kept = f64::min((kept + step).ceil(), total as f64);
                    all.insert(kept as usize);
                    step *= 1.05;
                }
                all
            }
        }
    }
}

impl Ablate {
    /// Checks every hyperparameter against its range.
    ///
    /// # Errors
    /// The first field outside its range.
    pub fn validate(&self) -> Result<()> {
        if !(self.tolerance.is_finite() && self.tolerance >= 0.0) {
            return Err(Error::setting("tolerance", self.tolerance, "a number of at least 0"));
        }
        if !(2..=10_000).contains(&self.points) {
            return Err(Error::setting("points", self.points, "2 to 10000"));
        }
        match self.stop {
            Some(stop) if !(stop.is_finite() && stop > 0.0) => {
                Err(Error::setting("stop", stop, "a number above 0"))
            }
            _ => Ok(()),
        }
    }

    /// The fewest of `total` that are enough by the schedule, and the curve; `score` is told how much
    /// worse the network may be before an inexact answer will do.
    fn fewest(
        &self,
        schedule: Schedule,
        total: usize,
        ablation: &Ablation<'_>,
        mut score: impl FnMut(usize, f64) -> Result<f64>,
    ) -> Result<(Option<usize>, Vec<Kept>)> {
        if schedule == Schedule::Bisection {
            let mut enough = |kept: usize| -> Result<bool> {
                Ok(ablation.is_enough(score(kept, self.tolerance)?, self.tolerance))
            };
            let (mut fails, mut does, mut known) = (0, total, false);
            while does - fails > 1 {
                let middle = fails + (does - fails).div_ceil(2);
                if enough(middle)? {
                    (does, known) = (middle, true);
                } else {
                    fails = middle;
                }
            }
            if !known && !enough(does)? {
                return Ok((None, Vec::new()));
            }
            return Ok((Some(if does == 1 && enough(0)? { 0 } else { does }), Vec::new()));
        }
        let (mut fewest, mut curve) = (None, Vec::new());
        for kept in schedule.numbers(total, self.points).into_iter().rev() {
            let found = score(kept, f64::INFINITY)?;
            curve.push(Kept { kept, score: found });
            if ablation.is_enough(found, self.tolerance) {
                fewest = Some(kept);
            } else if self.stop.is_some_and(|stop| !ablation.is_enough(found, stop)) {
                break;
            }
        }
        Ok((fewest, curve))
    }

    /// The fewest first vectors of `basis` that are enough, and what was tried.
    ///
    /// # Errors
    /// Settings outside their range, a basis of another node layer, or an interruption.
    pub fn vectors(
        &self,
        ablation: &Ablation<'_>,
        basis: &Basis,
        progress: &Progress,
    ) -> Result<(Option<usize>, Vec<Kept>)> {
        self.validate()?;
        let total = basis.coordinates();
        let mut projected = None;
        self.fewest(self.vector_schedule, total, ablation, |kept, tolerance| {
            progress.check(|| format!("{kept} vectors"))?;
            match projected {
                // Numbers between the vectors and the coordinates stand for the same projection.
                Some(score) if (basis.vectors()..total).contains(&kept) => Ok(score),
                _ => {
                    let score = ablation.projected(basis, kept, tolerance)?;
                    if (basis.vectors()..total).contains(&kept) {
                        projected = Some(score);
                    }
                    Ok(score)
                }
            }
        })
    }

    /// The fewest largest edges that are enough, without those from the constant, and what was tried.
    ///
    /// # Errors
    /// Settings outside their range, edges or bases of other node layers, or an interruption.
    pub fn edges(
        &self,
        ablation: &Ablation<'_>,
        bases: &InteractionBasis,
        edges: &EdgeMatrix,
        progress: &Progress,
    ) -> Result<(Option<usize>, Vec<Kept>)> {
        self.validate()?;
        let mut trial = Trial::new(ablation, bases, edges)?;
        let extent = ablation.chain.sections[ablation.layer].extent();
        // The bisection is the authors', over all pairs of coordinates; curves need no pairs that are not.
        let total = match self.edge_schedule {
            Schedule::Bisection => extent.inputs * extent.outputs,
            _ => trial.order.len(),
        };
        let (fewest, curve) =
            self.fewest(self.edge_schedule, total, ablation, |kept, tolerance| {
                progress.check(|| format!("{kept} edges"))?;
                Ok(trial.score(kept, tolerance)?.0)
            })?;
        Ok((fewest.map(|it| trial.as_large(it.min(trial.order.len()))), curve))
    }

    /// What every node layer but the last needs, with `edges` as [`super::Edges::all`] gives them.
    /// `answers` are the right outputs, one for each sample and position at the end.
    ///
    /// # Errors
    /// As [`Ablation`] and [`Self::edges`].
    pub fn required(
        &self,
        chain: &Chain,
        samples: &dyn Samples,
        answers: &[u32],
        (bases, edges): (&InteractionBasis, &[EdgeMatrix]),
        progress: &Progress,
    ) -> Result<Vec<Required>> {
        self.validate()?;
        let mut all = Vec::with_capacity(edges.len());
        for matrix in edges {
            let layer = chain.sections.iter().position(|section| section.name() == matrix.from);
            let Some(layer) = layer else {
                let expected = "edges between node layers of the network";
                return Err(Error::setting("edges", &matrix.from, expected));
            };
            let ablation = Ablation::new(chain, samples, answers, self.measure, layer)?;
            let (vectors, vector_curve) =
                self.vectors(&ablation, bases.of(&matrix.from)?, progress)?;
            let (edges, edge_curve) = self.edges(&ablation, bases, matrix, progress)?;
            all.push(Required {
                node_layer: matrix.from.clone(),
                to: matrix.to.clone(),
                full: ablation.full(),
                vectors,
                edges,
                vector_curve,
                edge_curve,
            });
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published runs tried these of 129 vectors.
    #[test]
    fn the_exponential_schedule_is_the_authors() {
        let found: Vec<usize> =
            Schedule::Exponential.numbers(129, 2).into_iter().filter(|it| *it > 10).collect();
        let theirs = [
            11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31, 33, 35, 37, 39, 42, 45, 48, 51, 54, 57, 60,
            63, 67, 71, 75, 79, 83, 87, 92, 97, 102, 107, 113, 119, 125, 129,
        ];
        assert_eq!(found, theirs);
        assert_eq!(Schedule::Exponential.numbers(4, 2).len(), 5);
    }

    #[test]
    fn a_linear_schedule_has_both_ends() {
        assert_eq!(Schedule::Linear.numbers(12, 3), BTreeSet::from([0, 6, 12]));
        assert_eq!(Schedule::Linear.numbers(2, 20), BTreeSet::from([0, 1, 2]));
    }

    #[test]
    fn settings_outside_their_range_are_named() {
        let wrong = [
            (Ablate { tolerance: -1.0, ..Ablate::default() }, "tolerance"),
            (Ablate { points: 1, ..Ablate::default() }, "points"),
            (Ablate { stop: Some(0.0), ..Ablate::default() }, "stop"),
        ];
        for (settings, field) in wrong {
            let error = settings.validate().expect_err("out of range").to_string();
            assert!(error.contains(field), "{error}");
        }
    }
}
