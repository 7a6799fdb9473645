//! Semi-nonnegative matrix factorisation with winner-take-all: sparse signed groups of units.
//!
//! `A ≈ Z Y`, `A` `[unit, sample]`, `Z` signed and sparse, `Y = Gᵀ ≥ 0`; loss `‖A − Z Y‖²`.
//! One iteration: `Z ← A G (GᵀG + λI)⁻¹`; keep the `⌈p d⌉` largest of each column of `Z`; move the
//! norm of each column of `G` to `Z`; with `P = AᵀZ`, `Q = ZᵀZ`,
//! `G ← G ∘ √((P⁺ + G Q⁻) / (P⁻ + G Q⁺ + 10⁻⁶))`. The best iterate of the best restart is kept.
//!
//! Source: Shafran, Geiger, Geva 2025, arXiv:2506.10920, §3; Ding, Li, Jordan 2010, §3.2.
//! Differs: ties in winner-take-all go to the lower unit; the tolerance is relative to `‖A‖²`;
//! several restarts; the columns of `Z` have unit norm in the end; samples, those of the fit as well,
//! are encoded by non-negative least squares, for which the paper has no rule, so that of the best
//! iterate `Z` alone is kept; the start from singular vectors takes their sign that leaves more above
//! zero; no coefficient falls below 10⁻¹⁸; the accelerated solver is ours.
//! Memory: `[k, sample]` coefficients (accelerated: twice), six `[k, unit]` matrices and the activity up
//! to the bound, else two tiles.

mod accelerated;
mod factorise;
mod features;
mod initial;
mod multiplicative;
mod sparsity;
mod winners;

use nissl_core::features::{Decompose, Dictionary, Encoding, Warning};
use nissl_core::{Error, Progress, Recording, Result};
use serde::{Deserialize, Serialize};

pub use factorise::Solver;
pub use initial::Initial;
pub use sparsity::Sparsity;

use crate::activity::Activity;
use crate::hierarchy::Recursion;
use crate::range::{at_least_1, tolerance};

/// Hyperparameters of semi-nonnegative matrix factorisation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Snmf {
    /// Features, 1 to the smaller of samples and units (the paper: 50 to 400)
    #[arg(short, long, default_value_t = Snmf::default().k)]
    pub k: usize,
    /// Units kept in a feature (p): a fraction such as 0.01 or 1%, or a count such as 30
    #[arg(long, default_value_t = Snmf::default().sparsity)]
    pub sparsity: Sparsity,
    /// Iterations of a restart at most, at least 1
    #[arg(long, default_value_t = Snmf::default().iterations)]
    pub iterations: usize,
    /// Iterations without improvement after which a restart ends, at least 1; accelerated: 40 at most
    #[arg(long, default_value_t = Snmf::default().patience)]
    pub patience: usize,
    /// Decrease of the loss that counts as improvement, relative to ‖A‖²
    #[arg(long, default_value_t = Snmf::default().tolerance)]
    pub tolerance: f64,
    /// Runs from other starts, of which the one of lowest loss is kept, at least 1
    #[arg(long, default_value_t = Snmf::default().restarts)]
    pub restarts: usize,
    /// Where a restart begins
    #[arg(long, value_enum, default_value_t)]
    pub initial: Initial,
    /// How the factors are moved
    #[arg(long, value_enum, default_value_t)]
    pub solver: Solver,
    /// Added to the diagonal of GᵀG, above 0 (λ)
    #[arg(long, default_value_t = Snmf::default().ridge)]
    pub ridge: f64,
    /// Activity up to this size is held in memory, else read anew in each iteration (MiB)
    #[arg(long = "memory", value_name = "MIB", default_value_t = Snmf::default().memory_mib)]
    pub memory_mib: usize,
    /// Coarser levels made of these features
    #[command(flatten)]
    pub recursion: Recursion,
    /// The seed of every draw; set by the run
    #[arg(skip)]
    pub seed: u64,
}

impl Default for Snmf {
    fn default() -> Self {
        Self {
            k: 100,
            sparsity: Sparsity::Fraction(0.01),
            iterations: 200_000,
            patience: 1500,
            tolerance: 1e-6,
            restarts: 4,
            initial: Initial::Mixed,
            solver: Solver::Multiplicative,
            ridge: 1e-6,
            memory_mib: 2048,
            recursion: Recursion::default(),
            seed: 42,
        }
    }
}

impl Decompose for Snmf {
    fn name(&self) -> &'static str {
        "snmf"
    }

    fn validate(&self) -> Result<()> {
        let counts = [
            ("k", self.k),
            ("iterations", self.iterations),
            ("patience", self.patience),
            ("restarts", self.restarts),
        ];
        at_least_1(&counts)?;
        tolerance(self.tolerance)?;
        if !(self.ridge > 0.0 && self.ridge.is_finite()) {
            return Err(Error::setting("ridge", self.ridge, "above 0"));
        }
        self.recursion.validate(self.k)?;
        self.sparsity.validate()
    }

    fn fit(
        &self,
        recording: &Recording,
        rows: &[usize],
        progress: &Progress,
    ) -> Result<Dictionary> {
        Ok(best(self.fit_restarts(recording, rows, progress)?))
    }
}

/// One restart, with the time it took. The time is no part of the dictionary, whose bytes are the same
/// from run to run.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// What was found; `loss` holds the loss after each iteration.
    pub dictionary: Dictionary,
    /// Seconds from the first step to the end of each iteration, as many as losses.
    pub seconds: Vec<f64>,
}

impl Fit {
    /// The lowest loss that was reached by each moment: `[seconds, loss]` after each iteration.
    pub fn curve(&self) -> Vec<[f64; 2]> {
        let mut lowest = f64::INFINITY;
        let points = self.seconds.iter().zip(&self.dictionary.loss);
        points
            .map(|(&seconds, &loss)| {
                lowest = lowest.min(f64::from(loss));
                [seconds, lowest]
            })
            .collect()
    }
}

/// The restart of lowest loss.
pub(crate) fn best(mut runs: Vec<Dictionary>) -> Dictionary {
    let losses = runs.first().map(|run| run.restarts.clone()).unwrap_or_default();
    let best = (0..losses.len()).min_by(|&a, &b| losses[a].total_cmp(&losses[b]));
    runs.swap_remove(best.unwrap_or(0))
}

impl Snmf {
    /// As [`Decompose::fit`], with the dictionary of every restart: `restarts` holds the lowest
    /// losses of all of them, in order.
    ///
    /// # Errors
    /// As [`Decompose::fit`].
    pub fn fit_restarts(
        &self,
        recording: &Recording,
        rows: &[usize],
        progress: &Progress,
    ) -> Result<Vec<Dictionary>> {
        let fits = self.fit_timed(recording, rows, progress)?;
        Ok(fits.into_iter().map(|fit| fit.dictionary).collect())
    }

    /// As [`Self::fit_restarts`], with the seconds that each iteration took beside its loss.
    ///
    /// # Errors
    /// As [`Decompose::fit`].
    pub fn fit_timed(
        &self,
        recording: &Recording,
        rows: &[usize],
        progress: &Progress,
    ) -> Result<Vec<Fit>> {
        self.validate()?;
        let activity = Activity::read(recording, rows, self.memory_mib, progress)?;
        self.fit_activity_timed(&activity, progress)
    }

    /// As [`Self::fit_restarts`], of activity that was read before.
    pub(crate) fn fit_activity(
        &self,
        activity: &Activity<'_>,
        progress: &Progress,
    ) -> Result<Vec<Dictionary>> {
        let fits = self.fit_activity_timed(activity, progress)?;
        Ok(fits.into_iter().map(|fit| fit.dictionary).collect())
    }

    fn fit_activity_timed(&self, activity: &Activity<'_>, progress: &Progress) -> Result<Vec<Fit>> {
        activity.require_enough(self.k)?;
        let kept = self.sparsity.units(activity.units())?;
        let mut runs = Vec::with_capacity(self.restarts);
        for restart in 0..self.restarts {
            let start = self.initial.start(activity, self, restart, progress)?;
            runs.push(factorise::run(activity, self, kept, start, progress)?);
        }
        let losses: Vec<f64> = runs.iter().map(|run| run.lowest).collect();
        let warnings = activity.warnings(self.k);
        Ok(runs
            .into_iter()
            .map(|run| {
                let mut dictionary = Dictionary::new(run.features, Encoding::NonNegativeExact);
                dictionary.loss = run.loss;
                dictionary.restarts.clone_from(&losses);
                dictionary.warnings.clone_from(&warnings);
                if !run.converged {
                    let iterations = self.iterations;
                    dictionary.warnings.push(Warning::NotConverged { iterations });
                }
                Fit { dictionary, seconds: run.seconds }
            })
            .collect())
    }
}
