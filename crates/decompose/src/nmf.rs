//! Non-negative matrix factorisation: activity as sums of non-negative parts.
//!
//! `min ‖A − Y Z‖²`, `A` `[sample, unit]`, `Y ≥ 0`, `Z ≥ 0`, by hierarchical alternating least
//! squares: each row of `Z` and each column of `Y` in turn is set to its optimum, cut at zero.
//!
//! Source: Lee and Seung 1999 (the problem); Cichocki and Phan 2009, §3 (the updates).
//! Differs: the rows of `Z` have unit norm in the end. Memory: `[k, sample]` coefficients, two
//! `[k, unit]` matrices and the activity up to the bound, else one tile.

use ndarray::{Array2, ArrayView2, Axis};
use nissl_core::features::{Decompose, Dictionary, Encoding, Warning, product};
use nissl_core::seed::rng;
use nissl_core::{Error, Progress, Recording, Result};
use rand::RngExt;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::activity::Activity;
use crate::range::{at_least_1, tolerance};

/// Hyperparameters of non-negative matrix factorisation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Nmf {
    /// Parts, 1 to the smaller of samples and units
    #[arg(short, long, default_value_t = Nmf::default().k)]
    pub k: usize,
    /// Iterations at most, at least 1
    #[arg(long, default_value_t = Nmf::default().iterations)]
    pub iterations: usize,
    /// Decrease of the loss, relative to ‖A‖², below which a restart is done
    #[arg(long, default_value_t = Nmf::default().tolerance)]
    pub tolerance: f64,
    /// Runs from other seeds, of which the best is kept, at least 1
    #[arg(long, default_value_t = Nmf::default().restarts)]
    pub restarts: usize,
    /// Activity up to this size is held in memory (MiB)
    #[arg(long = "memory", value_name = "MIB", default_value_t = Nmf::default().memory_mib)]
    pub memory_mib: usize,
    /// The seed of every draw; set by the run
    #[arg(skip)]
    pub seed: u64,
}

impl Default for Nmf {
    fn default() -> Self {
        Self { k: 100, iterations: 500, tolerance: 1e-6, restarts: 1, memory_mib: 2048, seed: 0 }
    }
}

impl Decompose for Nmf {
    fn name(&self) -> &'static str {
        "nmf"
    }

    fn validate(&self) -> Result<()> {
        let counts = [("k", self.k), ("iterations", self.iterations), ("restarts", self.restarts)];
        at_least_1(&counts)?;
        tolerance(self.tolerance)
    }

    fn fit(
        &self,
        recording: &Recording,
        rows: &[usize],
        progress: &Progress,
    ) -> Result<Dictionary> {
        self.validate()?;
        let activity = Activity::read(recording, rows, self.memory_mib, progress)?;
        activity.require_enough(self.k)?;
        activity.require_non_negative()?;
        let mut best: Option<Dictionary> = None;
        let mut losses = Vec::with_capacity(self.restarts);
        for restart in 0..self.restarts {
            let found = self.run(&activity, restart as u64, progress)?;
            let last =
                |dictionary: &Dictionary| dictionary.loss.last().copied().unwrap_or(f32::MAX);
            losses.push(f64::from(last(&found)));
            if best.as_ref().is_none_or(|best| last(&found) < last(best)) {
                best = Some(found);
            }
        }
        let mut dictionary = best.ok_or_else(|| Error::setting("restarts", 0, "at least 1"))?;
        dictionary.restarts = losses;
        dictionary.warnings.extend(activity.warnings(self.k));
        Ok(dictionary)
    }
}

impl Nmf {
    fn run(&self, activity: &Activity<'_>, stream: u64, progress: &Progress) -> Result<Dictionary> {
        let &Self { k, iterations, tolerance, seed, .. } = self;
        let (units, squares) = (activity.units(), activity.squares());
        let mut rng = rng(seed, stream);
        let mut parts = Array2::from_shape_simple_fn((k, units), || rng.random_range(0.0..1f32));
        let mut shares: Vec<Array2<f32>> =
            activity.tiles().map(|(_, samples)| Array2::zeros((k, samples))).collect();
        let mut loss: Vec<f32> = Vec::new();
        let mut before = f64::INFINITY;
        let mut converged = false;
        let stage = progress.stage("nmf", iterations as u64, "iterations");
        for iteration in 0..iterations {
            let gram = product(parts.view(), parts.t());
            let mut share_gram = Array2::<f64>::zeros((k, k));
            let mut seen = Array2::<f32>::zeros((k, units));
            let mut fit = 0.0;
            let mut tiles = shares.iter_mut();
            activity.pass(|_, tile| {
                progress.check(|| format!("{iteration} iterations; nothing was written"))?;
                let Some(share) = tiles.next() else { return Ok(()) };
                let toward = product(parts.view(), tile);
                descend(share, &toward, &gram);
                fit += toward.iter().zip(&*share).map(|(&a, &b)| f64::from(a * b)).sum::<f64>();
                share_gram += &product(share.view(), share.t()).mapv(f64::from);
                seen += &product(share.view(), tile.t());
                Ok(())
            })?;
            let known: f64 = gram.iter().zip(&share_gram).map(|(&q, &s)| f64::from(q) * s).sum();
            let now = squares - 2.0 * fit + known;
            if !now.is_finite() {
                let what = "the loss".to_owned();
                return Err(Error::Diverged { what, found: now, step: iteration, help: None });
            }
            loss.push(now as f32);
            stage.show("loss", now / squares);
            stage.advance(1);
            if before - now <= tolerance * squares {
                converged = true;
                break;
            }
            before = now;
            descend(&mut parts, &seen, &share_gram.mapv(|value| value as f32));
        }
        for mut part in parts.rows_mut() {
            let norm = part.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt() as f32;
            if norm > 0.0 {
                part.mapv_inplace(|value| value / norm);
            }
        }
        let mut dictionary = Dictionary::new(parts, Encoding::NonNegativeExact);
        dictionary.loss = loss;
        if !converged {
            dictionary.warnings.push(Warning::NotConverged { iterations });
        }
        Ok(dictionary)
    }
}

/// Sets each row of `values` `[k, column]` in turn to its optimum, cut at zero, given the inner
/// products `toward` `[k, column]` with the activity and `gram` `[k, k]` of the other factor.
fn descend(values: &mut Array2<f32>, toward: &Array2<f32>, gram: &Array2<f32>) {
    /// Columns worked on together, so that they stay in the cache.
    const CHUNK: usize = 256;
    let chunks = values.axis_chunks_iter_mut(Axis(1), CHUNK).into_par_iter();
    chunks.zip(toward.axis_chunks_iter(Axis(1), CHUNK)).for_each(
        |(mut values, toward): (_, ArrayView2<'_, f32>)| {
            let mut next = vec![0f32; toward.ncols()];
            for (row, weights) in gram.rows().into_iter().enumerate() {
                let own = weights[row];
                if own <= f32::MIN_POSITIVE {
                    continue;
                }
                for (next, &toward) in next.iter_mut().zip(toward.row(row)) {
                    *next = toward;
                }
                for (other, &weight) in weights.iter().enumerate() {
                    if weight != 0.0 && other != row {
                        for (next, &value) in next.iter_mut().zip(values.row(other)) {
                            *next -= weight * value;
                        }
                    }
                }
                for (value, &next) in values.row_mut(row).iter_mut().zip(&next) {
                    *value = (next / own).max(0.0);
                }
            }
        },
    );
}
