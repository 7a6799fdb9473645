//! The iterations of one restart.
//!
//! `A` is read once in an iteration: while a tile is at hand, its coefficients are moved and their
//! part of `A G` and `GᵀG` for the next iteration is added up. The loss needs no product of its
//! own: `‖A‖² − 2⟨P, G⟩ + ⟨GᵀG, Q⟩`.

use faer::linalg::solvers::Solve;
use faer::{Mat, Side};
use ndarray::{Array2, ArrayView2, ArrayViewMut2};
use nissl_core::features::{add_product, product_into};
use nissl_core::{Error, Progress, Result};
use rayon::prelude::*;

use super::Snmf;
use super::winners::Winners;
use crate::activity::Activity;

/// Keeps the quotient of the multiplicative step finite.
const EPSILON: f32 = 1e-6;
/// No column of `G` counts as shorter.
const SHORTEST: f64 = 1e-8;

/// What a restart ends with.
pub(super) struct Run {
    /// The best `Zᵀ` `[feature, unit]`, rows of unit norm.
    pub(super) features: Array2<f32>,
    /// The loss after each iteration.
    pub(super) loss: Vec<f32>,
    /// The loss of the best iterate.
    pub(super) lowest: f64,
    /// Whether it ended by patience.
    pub(super) converged: bool,
}

/// Both factors, and the sums over samples that the next iteration begins with.
struct State {
    /// `Gᵀ` `[feature, sample]` in tiles.
    coefficients: Vec<Array2<f32>>,
    /// Factors by which the coefficients have still to be multiplied.
    pending: Vec<f32>,
    /// `Zᵀ` `[feature, unit]`.
    features: Array2<f32>,
    winners: Winners,
    /// `(A G)ᵀ` `[feature, unit]`.
    toward: Array2<f32>,
    /// `GᵀG` `[feature, feature]`.
    gram: Array2<f64>,
    /// `Q = ZᵀZ` `[feature, feature]`.
    feature_gram: Array2<f64>,
    scratch: Scratch,
}

/// Memory of one tile and one solve, used again and again.
struct Scratch {
    products: Vec<f32>,
    above: Vec<f32>,
    below: Vec<f32>,
    wide: Vec<f64>,
    right: Mat<f64>,
    left: Mat<f64>,
}

/// Runs one restart from the coefficients `start`, `Gᵀ` in tiles; `kept` units stay in a feature.
pub(super) fn run(
    activity: &Activity<'_>,
    settings: &Snmf,
    kept: usize,
    start: Vec<Array2<f32>>,
    progress: &Progress,
) -> Result<Run> {
    let &Snmf { k, iterations, patience, tolerance, ridge, .. } = settings;
    let squares = activity.squares();
    let mut state = State::new(activity, k, kept, start)?;
    let mut best = (f64::INFINITY, state.features.clone());
    let mut loss = Vec::new();
    let (mut mark, mut waited) = (f64::INFINITY, 0);
    let stage = progress.stage("snmf", iterations as u64, "iterations");
    for iteration in 0..iterations {
        state.solve_features(ridge)?;
        let now = state.move_coefficients(activity, || {
            progress.check(|| format!("{iteration} iterations; nothing was written"))
        })?;
        if !now.is_finite() {
            return Err(Error::Diverged {
                what: "the loss of snmf".to_owned(),
                found: now,
                step: iteration,
                help: Some("scale the activity to moderate numbers, or raise `ridge`".to_owned()),
            });
        }
        loss.push(now as f32);
        stage.show("loss", now / squares);
        stage.advance(1);
        if now < best.0 {
            best.0 = now;
            best.1.assign(&state.features);
        }
        if mark - now >= tolerance * squares && now < mark {
            (mark, waited) = (now, 0);
        } else {
            waited += 1;
            if waited >= patience {
                break;
            }
        }
    }
    let (lowest, mut features) = best;
    for mut row in features.rows_mut() {
        let norm = row.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt();
        if norm > 0.0 {
            row.mapv_inplace(|value| (f64::from(value) / norm) as f32);
        }
    }
    Ok(Run { features, loss, lowest, converged: waited >= patience })
}

impl State {
    fn new(
        activity: &Activity<'_>,
        k: usize,
        kept: usize,
        coefficients: Vec<Array2<f32>>,
    ) -> Result<Self> {
        let units = activity.units();
        let widest = coefficients.iter().map(Array2::ncols).max().unwrap_or(0);
        let mut state = Self {
            coefficients,
            pending: vec![1.0; k],
            features: Array2::zeros((k, units)),
            winners: Winners::new(k, kept),
            toward: Array2::zeros((k, units)),
            gram: Array2::zeros((k, k)),
            feature_gram: Array2::zeros((k, k)),
            scratch: Scratch {
                products: vec![0.0; k * widest],
                above: vec![0.0; k * widest],
                below: vec![0.0; k * widest],
                wide: vec![0.0; k * widest],
                right: Mat::zeros(k, units),
                left: Mat::zeros(k, k),
            },
        };
        let Self { coefficients, toward, gram, scratch, .. } = &mut state;
        let mut tiles = coefficients.iter();
        activity.pass(|_, tile| {
            if let Some(share) = tiles.next() {
                gather(share, tile, toward, gram, &mut scratch.wide);
            }
            Ok(())
        })?;
        Ok(state)
    }

    /// Steps 1 to 3: least squares for `Z`, winner-take-all, the norm of `G` moved to `Z`.
    fn solve_features(&mut self, ridge: f64) -> Result<()> {
        let Self { features, winners, toward, gram, pending, feature_gram, scratch, .. } = self;
        let Scratch { left, right, .. } = scratch;
        let (k, units) = toward.dim();
        for row in 0..k {
            for column in 0..k {
                left[(row, column)] = gram[[row, column]];
            }
            left[(row, row)] += ridge;
        }
        for unit in 0..units {
            for feature in 0..k {
                right[(feature, unit)] = f64::from(toward[[feature, unit]]);
            }
        }
        if let Ok(factor) = left.llt(Side::Lower) {
            factor.solve_in_place(right.as_mut());
        } else {
            // Rounding can take away the last of what the ridge gave.
            tracing::debug!("GᵀG + λI is not positive definite: solved by LU");
            left.partial_piv_lu().solve_in_place(right.as_mut());
        }
        for unit in 0..units {
            for feature in 0..k {
                features[[feature, unit]] = right[(feature, unit)] as f32;
            }
        }
        if let Some(found) = features.iter().find(|value| !value.is_finite()) {
            return Err(Error::Diverged {
                what: "a feature of snmf".to_owned(),
                found: f64::from(*found),
                step: 0,
                help: Some("scale the activity to moderate numbers, or raise `ridge`".to_owned()),
            });
        }
        winners.take(features);
        let norms: Vec<f32> =
            (0..k).map(|feature| gram[[feature, feature]].sqrt().max(SHORTEST) as f32).collect();
        winners.scale(&norms, features);
        for (pending, norm) in pending.iter_mut().zip(&norms) {
            *pending = 1.0 / norm;
        }
        winners.gram(features, feature_gram);
        Ok(())
    }

    /// Steps 4 and 5: moves the coefficients and gives the loss.
    fn move_coefficients(
        &mut self,
        activity: &Activity<'_>,
        check: impl Fn() -> Result<()>,
    ) -> Result<f64> {
        let Self { coefficients, winners, features, toward, gram, pending, feature_gram, scratch } =
            self;
        let Scratch { products, above, below, wide, .. } = scratch;
        let sparse = winners.are_few(features.ncols());
        let positive = feature_gram.mapv(|value| value.max(0.0) as f32);
        let negative = feature_gram.mapv(|value| (-value).max(0.0) as f32);
        toward.fill(0.0);
        gram.fill(0.0);
        let mut agreement = 0.0;
        let mut tiles = coefficients.iter_mut();
        activity.pass(|_, tile| {
            check()?;
            let Some(share) = tiles.next() else { return Ok(()) };
            let (k, samples) = share.dim();
            let size = k * samples;
            for (mut row, &factor) in share.rows_mut().into_iter().zip(&*pending) {
                row *= factor;
            }
            if sparse {
                winners.correlate(tile, &mut products[..size]);
            } else {
                product_into(view(&mut products[..size], k), features.view(), tile);
            }
            product_into(view(&mut above[..size], k), negative.view(), share.view());
            product_into(view(&mut below[..size], k), positive.view(), share.view());
            let shares = share.as_slice_mut().expect("made contiguous");
            let rows: Vec<f64> = shares
                .par_chunks_mut(samples)
                .zip(products.par_chunks(samples))
                .zip(above.par_chunks(samples).zip(below.par_chunks(samples)))
                .map(|((share, product), (above, below))| step(share, product, above, below))
                .collect();
            // Summed in order: a sum in the order of the threads would differ from run to run.
            agreement += rows.iter().sum::<f64>();
            gather(share, tile, toward, gram, wide);
            Ok(())
        })?;
        let known: f64 = gram.iter().zip(&*feature_gram).map(|(a, b)| a * b).sum();
        Ok(activity.squares() - 2.0 * agreement + known)
    }
}

/// The multiplicative step on one feature's coefficients; gives their part of `⟨P, G⟩`.
fn step(share: &mut [f32], products: &[f32], above: &[f32], below: &[f32]) -> f64 {
    for ((share, &product), (&above, &below)) in
        share.iter_mut().zip(products).zip(above.iter().zip(below))
    {
        let up = product.max(0.0) + above;
        let down = (-product).max(0.0) + below + EPSILON;
        *share *= (up / down).sqrt();
    }
    share.iter().zip(products).map(|(&g, &p)| f64::from(g) * f64::from(p)).sum()
}

/// Adds a tile's part of `(A G)ᵀ` and, in f64, of `GᵀG`.
fn gather(
    share: &Array2<f32>,
    tile: ArrayView2<'_, f32>,
    toward: &mut Array2<f32>,
    gram: &mut Array2<f64>,
    wide: &mut [f64],
) {
    let (k, samples) = share.dim();
    add_product(toward.view_mut(), share.view(), tile.t());
    let wide = &mut wide[..k * samples];
    for (wide, &value) in wide.iter_mut().zip(share) {
        *wide = f64::from(value);
    }
    let wide = ArrayView2::from_shape((k, samples), wide).expect("cut to size");
    add_product(gram.view_mut(), wide, wide.t());
}

fn view(values: &mut [f32], rows: usize) -> ArrayViewMut2<'_, f32> {
    let columns = values.len() / rows;
    ArrayViewMut2::from_shape((rows, columns), values).expect("cut to size")
}
