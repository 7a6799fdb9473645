//! The paper's steps: the coefficients are multiplied by factors that are never negative.
//!
//! `A` is read once in an iteration: while a tile is at hand, its coefficients are moved and their
//! part of `A G` and `GᵀG` for the next iteration is added up. The loss needs no product of its
//! own: `‖A‖² − 2⟨P, G⟩ + ⟨GᵀG, Q⟩`.

use ndarray::{Array2, ArrayViewMut2};
use nissl_core::features::product_into;
use nissl_core::{Progress, Result};
use rayon::prelude::*;

use super::Snmf;
use super::factorise::{Course, Run, Sums};
use super::features::{FeatureStep, Values};
use crate::activity::Activity;

/// Keeps the quotient of the multiplicative step finite.
const EPSILON: f32 = 1e-6;
/// No coefficient falls lower: its products would be denormal numbers, which processors are slow at.
const LEAST: f32 = 1e-18;

/// Both factors, and the sums over samples that the next iteration begins with.
struct State {
    /// `Gᵀ` `[feature, sample]` in tiles.
    coefficients: Vec<Array2<f32>>,
    sums: Sums,
    step: FeatureStep,
    products: Vec<f32>,
    above: Vec<f32>,
    below: Vec<f32>,
}

/// Runs one restart.
pub(super) fn run(
    activity: &Activity<'_>,
    settings: &Snmf,
    kept: usize,
    start: Vec<Array2<f32>>,
    progress: &Progress,
) -> Result<Run> {
    let &Snmf { k, iterations, patience, ridge, .. } = settings;
    let squares = activity.squares();
    let stage = progress.stage("snmf", iterations as u64, "iterations");
    let mut course = Course::new(activity, settings);
    let mut state = State::new(activity, k, kept, start)?;
    while course.iterations() < iterations && course.waited < patience {
        let pending = state.step.solve(&state.sums, ridge, Values::Kept)?;
        let loss = state.move_coefficients(activity, &pending, || {
            let done = course.iterations();
            progress.check(|| format!("{done} iterations; nothing was written"))
        })?;
        course.note(loss, &state.step.features)?;
        stage.show("loss", loss / squares);
        stage.advance(1);
    }
    let converged = course.waited >= patience;
    Ok(course.finish(converged))
}

impl State {
    fn new(
        activity: &Activity<'_>,
        k: usize,
        kept: usize,
        coefficients: Vec<Array2<f32>>,
    ) -> Result<Self> {
        let units = activity.units();
        let size = k * coefficients.iter().map(Array2::ncols).max().unwrap_or(0);
        let mut sums = Sums::new(k, units);
        let mut tiles = coefficients.iter();
        activity.pass(|_, tile| {
            if let Some(share) = tiles.next() {
                sums.add(share, tile);
            }
            Ok(())
        })?;
        let step = FeatureStep::new(k, units, kept);
        let [products, above, below] = [vec![0.0; size], vec![0.0; size], vec![0.0; size]];
        Ok(Self { coefficients, sums, step, products, above, below })
    }

    /// Steps 4 and 5: moves the coefficients, multiplied by `pending` first, and gives the loss.
    fn move_coefficients(
        &mut self,
        activity: &Activity<'_>,
        pending: &[f32],
        check: impl Fn() -> Result<()>,
    ) -> Result<f64> {
        let Self { coefficients, sums, step, products, above, below } = self;
        let positive = step.gram.mapv(|value| value.max(0.0) as f32);
        let negative = step.gram.mapv(|value| (-value).max(0.0) as f32);
        sums.clear();
        let mut agreement = 0.0;
        let mut tiles = coefficients.iter_mut();
        activity.pass(|_, tile| {
            check()?;
            let Some(share) = tiles.next() else { return Ok(()) };
            let (k, samples) = share.dim();
            let size = k * samples;
            for (mut row, &factor) in share.rows_mut().into_iter().zip(pending) {
                row *= factor;
            }
            step.correlate(tile, &mut products[..size]);
            product_into(view(&mut above[..size], k), negative.view(), share.view());
            product_into(view(&mut below[..size], k), positive.view(), share.view());
            let shares = share.as_slice_mut().expect("made contiguous");
            let rows: Vec<f64> = shares
                .par_chunks_mut(samples)
                .zip(products.par_chunks(samples))
                .zip(above.par_chunks(samples).zip(below.par_chunks(samples)))
                .map(|((share, product), (above, below))| multiply(share, product, above, below))
                .collect();
            // Summed in order: a sum in the order of the threads would differ from run to run.
            agreement += rows.iter().sum::<f64>();
            sums.add(share, tile);
            Ok(())
        })?;
        let known: f64 = sums.gram.iter().zip(&step.gram).map(|(a, b)| a * b).sum();
        Ok(activity.squares() - 2.0 * agreement + known)
    }
}

/// The multiplicative step on one feature's coefficients; gives their part of `⟨P, G⟩`.
fn multiply(share: &mut [f32], products: &[f32], above: &[f32], below: &[f32]) -> f64 {
    for ((share, &product), (&above, &below)) in
        share.iter_mut().zip(products).zip(above.iter().zip(below))
    {
        let up = product.max(0.0) + above;
        let down = (-product).max(0.0) + below + EPSILON;
        *share = (*share * (up / down).sqrt()).max(LEAST);
    }
    share.iter().zip(products).map(|(&g, &p)| f64::from(g) * f64::from(p)).sum()
}

fn view(values: &mut [f32], rows: usize) -> ArrayViewMut2<'_, f32> {
    let columns = values.len() / rows;
    ArrayViewMut2::from_shape((rows, columns), values).expect("cut to size")
}
