//! Many runs for one number of components: the best one, and how alike they are.
//!
//! Factor match score of two runs: components are paired so that the total of
//! `Π_modes cos(f, f′)` is greatest; the score is the mean of the pairs. The stability is the mean score
//! between the best run and the others that did not fail.
//!
//! Source: Tomasi and Bro 2006, §3 (factor match score).
//! Memory: the factors of all runs.

use ndarray::{Array1, Array2, Axis};
use nissl_core::stats::matching::hungarian;
use nissl_core::{Error, Progress, Result};
use rayon::prelude::*;

use super::factors::{Factors, gram};
use super::pass::residual;
use super::tensor::PairTensor;
use super::{Ntf, Run, fits};

/// Tensors of fewer numbers than this have several runs at a time.
const SMALL: usize = 1 << 23;

/// A factorisation: columns of unit 2-norm, strongest component first.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// The factors.
    pub factors: Factors,
    /// The strength of each component.
    pub lambda: Array1<f64>,
    /// `‖A − Â‖ / ‖A‖` over what was observed.
    pub error: f64,
    /// That at the start and after each step.
    pub errors: Vec<f64>,
    /// Whether the run ended before its steps did.
    pub converged: bool,
}

impl Fit {
    fn of(run: Run) -> Self {
        let Run { mut factors, errors, converged } = run;
        let lambda = factors.normalise();
        let error = errors.last().copied().unwrap_or(1.0);
        Self { factors, lambda, error, errors, converged }
    }

    /// The same with the error taken entry by entry, in double precision.
    ///
    /// # Errors
    /// Rows that cannot be had.
    pub fn measured(mut self, tensor: &PairTensor) -> Result<Self> {
        let mut scaled = self.factors.clone();
        scaled.times *= &self.lambda;
        self.error = (residual(tensor, &scaled)? / tensor.square()).sqrt();
        Ok(self)
    }

    /// The share of the variance of pairs over animals and times that is explained, at most 1.
    pub fn explained(&self, tensor: &PairTensor) -> f64 {
        1.0 - self.error.powi(2) * tensor.square() / tensor.deviation()
    }

    /// Factors with the scale of each component in the pairs.
    pub(crate) fn scaled(&self) -> Factors {
        let mut factors = self.factors.clone();
        factors.pairs *= &self.lambda;
        factors
    }
}

/// What the runs of one number of components gave.
#[derive(Clone, Debug)]
pub struct Restarts {
    /// The run of lowest error.
    pub best: Fit,
    /// The relative error of each run, in the order of their seeds.
    pub errors: Vec<f64>,
    /// Runs whose error lies too far above the best.
    pub failed: usize,
    /// Mean factor match score between the best run and the others that did not fail; NaN where there are none.
    pub stability: f64,
    /// That of each component of the best run.
    pub component_stability: Vec<f64>,
    /// Normalised nuclear norm of the pair factors, the mean over runs.
    pub nuclear_norm: f64,
}

impl Ntf {
    /// Runs `restarts` starts with `rank` components, and one from `warm` with what it lacks drawn.
    ///
    /// # Errors
    /// Settings outside their range, more components than the tensor allows, or an interruption.
    pub fn fit(
        &self,
        tensor: &PairTensor,
        rank: usize,
        warm: Option<&Fit>,
        progress: &Progress,
    ) -> Result<Restarts> {
        self.validate()?;
        fits(tensor, rank)?;
        let shape = tensor.shape();
        let stage = progress.stage("factorise", self.restarts as u64, "runs");
        let one = |number: usize| -> Result<Fit> {
            let stream = (rank as u64) << 20 | number as u64;
            let start = Factors::drawn(shape, rank, self.seed, stream);
            let fit = Fit::of(self.run_from(tensor, start, stream, progress)?);
            stage.advance(1);
            Ok(fit)
        };
        let mut runs: Vec<Fit> = if shape.iter().product::<usize>() < SMALL {
            (0..self.restarts).into_par_iter().map(one).collect::<Result<_>>()?
        } else {
            (0..self.restarts).map(one).collect::<Result<_>>()?
        };
        let drawn = runs.len();
        if let Some(warm) = warm.filter(|warm| warm.factors.rank() < rank) {
            let stream = (rank as u64) << 20 | 0xf_ffff;
            let mut start = warm.scaled();
            while start.rank() < rank {
                start = start.with_one_more(self.seed, stream + start.rank() as u64);
            }
            runs.push(Fit::of(self.run_from(tensor, start, stream, progress)?));
        }
        let best = (0..runs.len()).min_by(|&a, &b| runs[a].error.total_cmp(&runs[b].error));
        let best = best.unwrap_or(0);
        let limit = runs[best].error * (1.0 + self.failed);
        let (mut scores, mut by_component) = (Vec::new(), Array1::<f64>::zeros(rank));
        let mut failed = 0;
        for (number, run) in runs[..drawn].iter().enumerate() {
            if run.error > limit {
                failed += 1;
            } else if number != best {
                let matched = match_components(&runs[best].factors, &run.factors);
                scores.push(matched.iter().sum::<f64>() / rank as f64);
                by_component += &Array1::from(matched);
            }
        }
        let count = scores.len() as f64;
        let nuclear_norm = runs[..drawn]
            .iter()
            .map(|run| super::rank::nuclear_norm(&run.factors.pairs))
            .sum::<f64>()
            / drawn as f64;
        let errors = runs[..drawn].iter().map(|run| run.error).collect();
        Ok(Restarts {
            best: runs.swap_remove(best).measured(tensor)?,
            errors,
            failed,
            stability: scores.iter().sum::<f64>() / count,
            component_stability: (by_component / count).to_vec(),
            nuclear_norm,
        })
    }

    /// One run from given factors.
    ///
    /// # Errors
    /// Settings outside their range, factors that do not fit the tensor, or an interruption.
    pub fn fit_from(
        &self,
        tensor: &PairTensor,
        start: Factors,
        progress: &Progress,
    ) -> Result<Fit> {
        self.validate()?;
        let found = [start.pairs.nrows(), start.animals.nrows(), start.times.nrows()];
        let ranks = [start.animals.ncols(), start.times.ncols()];
        if found != tensor.shape() || ranks != [start.rank(); 2] {
            let expected = format!("pairs, animals and times {:?} of one rank", tensor.shape());
            return Err(Error::setting("factors", format!("{found:?}"), expected));
        }
        fits(tensor, start.rank())?;
        Fit::of(self.run_from(tensor, start, 0, progress)?).measured(tensor)
    }

    /// Goes on from `fit` on another tensor of the same shape: components keep their order.
    ///
    /// # Errors
    /// As [`Self::fit`].
    pub fn refit(&self, tensor: &PairTensor, fit: &Fit, progress: &Progress) -> Result<Fit> {
        let Run { mut factors, errors, converged } =
            self.run_from(tensor, fit.scaled(), 0xf_fffe, progress)?;
        let lambda = factors.unit_columns();
        let error = errors.last().copied().unwrap_or(1.0);
        Fit { factors, lambda, error, errors, converged }.measured(tensor)
    }
}

/// `Π_modes cos(f, f′)` of each component of `left` with its partner in `right`.
fn match_components(left: &Factors, right: &Factors) -> Vec<f64> {
    let mut scores = Array2::ones((left.rank(), right.rank()));
    for (left, right) in left.modes().into_iter().zip(right.modes()) {
        scores *= &cosines(left, right);
    }
    let mut out = vec![0.0; left.rank()];
    for pair in hungarian(scores.view()) {
        out[pair.found] = pair.score;
    }
    out
}

fn cosines(left: &Array2<f64>, right: &Array2<f64>) -> Array2<f64> {
    let norms = |factor: &Array2<f64>| {
        gram(factor).diag().mapv(|square| if square > 0.0 { square.sqrt() } else { 1.0 })
    };
    let mut cosines = left.t().dot(right);
    cosines /= &norms(left).insert_axis(Axis(1));
    cosines /= &norms(right);
    cosines
}

/// The factor match score of two factorisations, 0 to 1.
pub fn match_score(left: &Factors, right: &Factors) -> f64 {
    let matched = match_components(left, right);
    matched.iter().sum::<f64>() / matched.len().max(right.rank()).max(1) as f64
}
