//! What both solvers share: how a restart goes on and ends, and the sums over samples.

use std::time::Instant;

use ndarray::{Array2, ArrayView2};
use nissl_core::{Error, Progress, Result};
use nissl_kernels::factors::add_inner_products;
use serde::{Deserialize, Serialize};

use super::{Snmf, accelerated, multiplicative};
use crate::activity::Activity;

/// How the factors are moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Solver {
    /// The paper's steps: slow and steady
    #[default]
    Multiplicative,
    /// Coordinate steps with extrapolation: as low a loss in a tenth of the iterations or fewer
    Accelerated,
}

/// What a restart ends with.
pub(super) struct Run {
    /// The best `Zᵀ` `[feature, unit]`, rows of unit norm.
    pub(super) features: Array2<f32>,
    /// The loss after each iteration.
    pub(super) loss: Vec<f32>,
    /// Seconds from the first step to the end of each iteration.
    pub(super) seconds: Vec<f64>,
    /// The loss of the best iterate.
    pub(super) lowest: f64,
    /// Whether it ended because it no longer improved.
    pub(super) converged: bool,
}

/// Runs one restart from the coefficients `start`, `Gᵀ` in tiles; `kept` units stay in a feature.
pub(super) fn run(
    activity: &Activity<'_>,
    settings: &Snmf,
    kept: usize,
    start: Vec<Array2<f32>>,
    progress: &Progress,
) -> Result<Run> {
    match settings.solver {
        Solver::Multiplicative => multiplicative::run(activity, settings, kept, start, progress),
        Solver::Accelerated => accelerated::run(activity, settings, kept, start, progress),
    }
}

/// The best iterate so far, and how long ago the loss last improved.
pub(super) struct Course {
    run: Run,
    begun: Instant,
    /// A decrease by less is none.
    least: f64,
    mark: f64,
    /// Iterations since the loss last improved.
    pub(super) waited: usize,
}

impl Course {
    pub(super) fn new(activity: &Activity<'_>, settings: &Snmf) -> Self {
        let run = Run {
            features: Array2::zeros((settings.k, activity.units())),
            loss: Vec::new(),
            seconds: Vec::new(),
            lowest: f64::INFINITY,
            converged: false,
        };
        let least = settings.tolerance * activity.squares();
        Self { run, begun: Instant::now(), least, mark: f64::INFINITY, waited: 0 }
    }

    /// Iterations done.
    pub(super) fn iterations(&self) -> usize {
        self.run.loss.len()
    }

    /// Takes down the loss after an iteration, and its features when they are the best so far.
    ///
    /// # Errors
    /// A loss that is not finite.
    pub(super) fn note(&mut self, loss: f64, features: &Array2<f32>) -> Result<()> {
        if !loss.is_finite() {
            return Err(Error::Diverged {
                what: "the loss of snmf".to_owned(),
                found: loss,
                step: self.iterations(),
                help: Some("scale the activity to moderate numbers, or raise `ridge`".to_owned()),
            });
        }
        self.run.loss.push(loss as f32);
        self.run.seconds.push(self.begun.elapsed().as_secs_f64());
        if loss < self.run.lowest {
            self.run.lowest = loss;
            self.run.features.assign(features);
        }
        if self.mark - loss >= self.least && loss < self.mark {
            (self.mark, self.waited) = (loss, 0);
        } else {
            self.waited += 1;
        }
        Ok(())
    }

    /// The end, with the best features at unit norm.
    pub(super) fn finish(mut self, converged: bool) -> Run {
        for mut row in self.run.features.rows_mut() {
            let norm = row.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt();
            if norm > 0.0 {
                row.mapv_inplace(|value| (f64::from(value) / norm) as f32);
            }
        }
        self.run.converged = converged;
        self.run
    }
}

/// The sums over samples from which features are solved.
pub(super) struct Sums {
    /// `A G` `[unit, feature]`.
    pub(super) toward: Array2<f32>,
    /// `GᵀG` `[feature, feature]`.
    pub(super) gram: Array2<f64>,
    wide: Vec<f64>,
}

impl Sums {
    pub(super) fn new(k: usize, units: usize) -> Self {
        Self { toward: Array2::zeros((units, k)), gram: Array2::zeros((k, k)), wide: Vec::new() }
    }

    pub(super) fn clear(&mut self) {
        self.toward.fill(0.0);
        self.gram.fill(0.0);
    }

    /// Adds the part of a tile `[unit, sample]` with its coefficients `[feature, sample]`: `A G`,
    /// and in f64 `GᵀG`.
    pub(super) fn add(&mut self, coefficients: &Array2<f32>, tile: ArrayView2<'_, f32>) {
        let samples = tile.ncols();
        let left = tile.to_slice().expect("tiles have contiguous rows");
        let right = coefficients.as_slice().expect("made contiguous");
        let toward = self.toward.as_slice_mut().expect("made contiguous");
        add_inner_products(left, right, samples, toward);
        self.wide.clear();
        self.wide.extend(right.iter().map(|&value| f64::from(value)));
        let gram = self.gram.as_slice_mut().expect("made contiguous");
        add_inner_products(&self.wide, &self.wide, samples, gram);
    }
}
