//! Non-negative factorisation of a tensor of pairwise affinities: which pairs act together, when, and in which animals.
//!
//! Minimises `½‖A − Σ_r λ_r f_t^r ∘ f_w^r ∘ f_a^r‖²` over factors `≥ 0` with columns of unit 2-norm, strongest
//! `λ` first; `A` `[time, animal, pair]` of [`Affinity`], entries of neurons that an animal lacks left out.
//!
//! Source: Dyballa, Lang, Haslund-Gourley, Yemini, Zucker 2024, arXiv:2402.14102, §3.
//! Differs: hierarchical alternating least squares by default, of which the paper's quasi-Newton search is one
//! choice; missing neurons are left out of the sum.
//! Memory: `4 time animal pair` bytes up to the bound, else blocks are computed anew in each pass.

mod affinity;
mod animals;
mod atlas;
mod core_consistency;
mod derivative;
mod factors;
mod features;
mod hals;
mod lbfgsb;
mod mu;
mod pass;
mod rank;
mod raw;
mod restarts;
mod signals;
mod tensor;
#[cfg(test)]
mod tests;

use nissl_core::{Error, Progress, Result};
use serde::{Deserialize, Serialize};

pub use affinity::{Affinities, Affinity, Kind};
pub use animals::{Animal, Animals, Gaps, Reading, Window};
pub use atlas::{AtlasRow, atlas, atlas_table, write_atlas};
pub use core_consistency::core_consistency;
pub use derivative::Derivative;
pub use factors::Factors;
pub use features::{Factorisation, Written, components_of};
pub use rank::{RankRow, Ranks, Reason, Scan};
pub use restarts::{Fit, Restarts, match_score};
pub use tensor::{PairRows, PairTensor};

use crate::range::at_least_1;

/// How the factors are moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Solver {
    /// Hierarchical alternating least squares with extrapolation
    #[default]
    Hals,
    /// Quasi-Newton steps on all factors at once (what the paper did)
    Lbfgsb,
    /// Multiplicative updates, slow
    Mu,
}

/// Hyperparameters of the factorisation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Ntf {
    /// Components: a number, a range such as 2..8 to choose from, or auto for 2..8
    #[arg(long, default_value_t = Ntf::default().rank)]
    pub rank: Ranks,
    /// Runs from other starts for each number of components, at least 1
    #[arg(long, default_value_t = Ntf::default().restarts)]
    pub restarts: usize,
    /// How the factors are moved
    #[arg(long, value_enum, default_value_t)]
    pub solver: Solver,
    /// Steps of a run at most, at least 1 (the paper's solver: 1000)
    #[arg(long, default_value_t = Ntf::default().iterations)]
    pub iterations: usize,
    /// Change of the relative error that twice in a row ends a run, 0 or more
    #[arg(long, default_value_t = Ntf::default().tolerance)]
    pub tolerance: f64,
    /// Moves of a factor before the next one's turn, 1 to 10
    #[arg(long, default_value_t = Ntf::default().repeats)]
    pub repeats: usize,
    /// Share by which a run's error may lie above the best, or it counts as failed; above 0
    #[arg(long, default_value_t = Ntf::default().failed)]
    pub failed: f64,
    /// The seed of every draw; set by the run
    #[arg(skip)]
    pub seed: u64,
}

impl Default for Ntf {
    fn default() -> Self {
        Self {
            rank: Ranks::AUTO,
            restarts: 20,
            solver: Solver::Hals,
            iterations: 500,
            tolerance: 1e-6,
            repeats: 2,
            failed: 0.01,
            seed: 42,
        }
    }
}

/// When a run ends.
#[derive(Clone, Copy, Debug)]
struct Stop {
    iterations: usize,
    tolerance: f64,
    repeats: usize,
}

/// What one start led to.
#[derive(Clone, Debug)]
struct Run {
    factors: Factors,
    /// `‖A − Â‖ / ‖A‖` at the start and after each step
    errors: Vec<f64>,
    converged: bool,
}

impl Ntf {
    /// # Errors
    /// A value outside its range.
    pub fn validate(&self) -> Result<()> {
        at_least_1(&[("restarts", self.restarts), ("iterations", self.iterations)])?;
        self.rank.validate()?;
        crate::range::tolerance(self.tolerance)?;
        if !(1..=10).contains(&self.repeats) {
            return Err(Error::setting("repeats", self.repeats, "1 to 10"));
        }
        if !(self.failed > 0.0 && self.failed.is_finite()) {
            return Err(Error::setting("failed", self.failed, "above 0"));
        }
        Ok(())
    }

    /// One run from `start`.
    fn run_from(
        &self,
        tensor: &PairTensor,
        mut start: Factors,
        stream: u64,
        progress: &Progress,
    ) -> Result<Run> {
        start.lay_out();
        for (pair, mut row) in start.pairs.rows_mut().into_iter().enumerate() {
            // What no animal has is no part of any state to which a sweep may go back.
            if tensor.partial(pair).is_some_and(|seen| !seen.contains(&true)) {
                row.fill(0.0);
            }
        }
        let &Self { iterations, tolerance, repeats, seed, .. } = self;
        let stop = Stop { iterations, tolerance, repeats };
        let seed = (seed, stream | 1 << 40);
        match self.solver {
            Solver::Hals => {
                let how = (hals::coordinate as hals::Step, hals::Momentum::Growing);
                hals::run(tensor, start, stop, how, seed, progress)
            }
            Solver::Mu => {
                let how = (mu::multiplicative as hals::Step, hals::Momentum::None);
                hals::run(tensor, start, stop, how, seed, progress)
            }
            Solver::Lbfgsb => lbfgsb::run(tensor, start, stop, progress),
        }
    }
}

/// # Errors
/// More components than the tensor has times, or animals and pairs together.
fn fits(tensor: &PairTensor, rank: usize) -> Result<()> {
    let [pairs, animals, times] = tensor.shape();
    let most = times.min(animals * pairs);
    if rank == 0 || rank > most {
        let expected = format!("1 to {most}, for there are {times} time bins");
        return Err(Error::setting("rank", rank, expected));
    }
    Ok(())
}
