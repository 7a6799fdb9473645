//! Limited-memory quasi-Newton steps on all factors at once, none below 0.
//!
//! `F(x) = ½‖A − Â(x)‖²` over `x = (F_t, F_w, F_a) ≥ 0` with the gradient `F_n G − M` of each mode. Entries
//! at 0 whose slope is positive are held; the others move along `−H g`, `H` from the last ten steps
//! restricted to them, to a projected point at which `F` has fallen enough. Ends when no projected slope is
//! above `gradient_tolerance` of the first, or `F` falls by less than `10⁻⁵` machine precisions a step.
//!
//! Source: Byrd, Lu, Nocedal, Zhu 1995 (L-BFGS-B); Bertsekas 1982 (projected steps on free entries).
//! Differs: the held entries are found by their slope, not along a path of Cauchy points; the tolerance of the
//! gradient is relative.
//! Memory: twenty-four copies of the factors.

use std::collections::VecDeque;

use ndarray::{Array1, ArrayView1, s};
use nissl_core::{Progress, Result};
use rayon::prelude::*;

use super::factors::{Factors, PairView, gram};
use super::pass::{Seen, dot, pass};
use super::tensor::PairTensor;
use super::{Run, Stop};

/// Steps that are remembered.
const MEMORY: usize = 10;
/// Share of the first-order decrease that a step must bring (Armijo).
const ENOUGH: f64 = 1e-4;
/// Halvings of a step at most.
const HALVINGS: usize = 30;
/// Machine precisions that `F` must fall by (the factr of L-BFGS-B).
const FACTOR: f64 = 1e-5;
/// Largest projected slope, as a share of the first, at which the search ends.
const GRADIENT_TOLERANCE: f64 = 1e-4;

/// A point with its value and slope.
struct Point {
    x: Array1<f64>,
    value: f64,
    slope: Array1<f64>,
    error: f64,
}

/// Factorises from `start`.
pub(super) fn run(
    tensor: &PairTensor,
    start: Factors,
    stop: Stop,
    progress: &Progress,
) -> Result<Run> {
    let shape = Shape::of(&start);
    let mut now = shape.evaluate(tensor, join(&start))?;
    let first = projected(&now);
    let mut errors = vec![now.error];
    let mut pairs: VecDeque<(Array1<f64>, Array1<f64>, f64)> = VecDeque::new();
    let mut converged = false;
    for _ in 0..stop.iterations {
        progress.check(|| format!("{} steps", errors.len() - 1))?;
        if projected(&now) <= GRADIENT_TOLERANCE * first {
            converged = true;
            break;
        }
        let held: Vec<bool> =
            now.x.iter().zip(&now.slope).map(|(&x, &g)| x <= 0.0 && g > 0.0).collect();
        let mut direction = direction(&now.slope, &held, &pairs);
        if direction.dot(&now.slope) >= 0.0 {
            pairs.clear();
            direction = free(&now.slope, &held).mapv(|g| -g);
        }
        let Some(next) = search(tensor, &shape, &now, &direction, pairs.is_empty())? else {
            if pairs.is_empty() {
                converged = true;
                break;
            }
            pairs.clear();
            continue;
        };
        let (step, change) = (&next.x - &now.x, &next.slope - &now.slope);
        let curvature = step.dot(&change);
        if curvature > 1e-12 * change.dot(&change) {
            if pairs.len() == MEMORY {
                pairs.pop_front();
            }
            pairs.push_back((step, change, 1.0 / curvature));
        }
        let fell = now.value - next.value;
        now = next;
        errors.push(now.error);
        if fell <= FACTOR * f64::EPSILON * now.value.abs().max(1.0) {
            converged = true;
            break;
        }
    }
    Ok(Run { factors: shape.split(now.x.view()), errors, converged })
}

/// The largest slope that the bounds do not hold.
fn projected(point: &Point) -> f64 {
    let steps = point.x.iter().zip(&point.slope).map(|(&x, &g)| x - (x - g).max(0.0));
    steps.fold(0.0, |most: f64, step| most.max(step.abs()))
}

fn free(x: &Array1<f64>, held: &[bool]) -> Array1<f64> {
    x.iter().zip(held).map(|(&x, &held)| if held { 0.0 } else { x }).collect()
}

/// `−H g` on the free entries, by the two loops over the remembered steps.
fn direction(
    slope: &Array1<f64>,
    held: &[bool],
    pairs: &VecDeque<(Array1<f64>, Array1<f64>, f64)>,
) -> Array1<f64> {
    let mut q = free(slope, held);
    let mut shares = Vec::with_capacity(pairs.len());
    for (step, change, inverse) in pairs.iter().rev() {
        let share = inverse * step.dot(&q);
        q.scaled_add(-share, change);
        shares.push(share);
    }
    if let Some((step, change, _)) = pairs.back() {
        q *= step.dot(change) / change.dot(change);
    }
    for ((step, change, inverse), share) in pairs.iter().zip(shares.into_iter().rev()) {
        let back = inverse * change.dot(&q);
        q.scaled_add(share - back, step);
    }
    free(&q, held).mapv(|x| -x)
}

/// The first point along the projected direction that lies low enough.
fn search(
    tensor: &PairTensor,
    shape: &Shape,
    from: &Point,
    direction: &Array1<f64>,
    first: bool,
) -> Result<Option<Point>> {
    let length = direction.dot(direction).sqrt();
    let size = from.x.dot(&from.x).sqrt();
    let mut step = if first && length > 0.0 { (0.1 * size / length).min(1.0) } else { 1.0 };
    for _ in 0..HALVINGS {
        let x: Array1<f64> =
            from.x.iter().zip(direction).map(|(x, d)| (x + step * d).max(0.0)).collect();
        let moved = &x - &from.x;
        let expected = from.slope.dot(&moved);
        if moved.iter().all(|&x| x == 0.0) {
            return Ok(None);
        }
        let next = shape.evaluate(tensor, x)?;
        if next.value <= from.value + ENOUGH * expected && next.value < from.value {
            return Ok(Some(next));
        }
        step *= 0.5;
    }
    Ok(None)
}

/// Rows of the three factors, and their columns.
struct Shape {
    rows: [usize; 3],
    rank: usize,
}

impl Shape {
    fn of(factors: &Factors) -> Self {
        Self { rows: factors.modes().map(ndarray::ArrayBase::nrows), rank: factors.rank() }
    }

    fn split(&self, x: ArrayView1<'_, f64>) -> Factors {
        let mut from = 0;
        let mut next = |rows: usize| {
            let part = x.slice(s![from..from + rows * self.rank]).to_vec();
            from += rows * self.rank;
            ndarray::Array2::from_shape_vec((rows, self.rank), part).unwrap_or_default()
        };
        let [times, animals, pairs] = self.rows;
        Factors { times: next(times), animals: next(animals), pairs: next(pairs) }
    }

    fn evaluate(&self, tensor: &PairTensor, x: Array1<f64>) -> Result<Point> {
        let mut factors = self.split(x.view());
        let seen = pass(tensor, &mut factors, |_, _, _| {})?;
        let slope = join(&slopes(tensor, &factors, &seen));
        let (value, error) = (0.5 * seen.error(tensor), seen.relative_error(tensor));
        Ok(Point { x, value, slope, error })
    }
}

fn join(factors: &Factors) -> Array1<f64> {
    factors.modes().into_iter().flatten().copied().collect()
}

/// `F_n G − M` of each mode.
pub(super) fn slopes(tensor: &PairTensor, factors: &Factors, seen: &Seen) -> Factors {
    let rank = factors.rank();
    let minus = |row: &[f64], gram: &[f64], product: &mut [f64]| {
        for (product, line) in product.iter_mut().zip(gram.chunks_exact(rank)) {
            *product = dot(line, row) - *product;
        }
    };
    let mut times = seen.for_times(&factors.animals);
    let of_times = seen.grams.for_times(&factors.animals);
    for (row, mut out) in factors.times.rows().into_iter().zip(times.rows_mut()) {
        if let (Some(row), Some(out)) = (row.as_slice(), out.as_slice_mut()) {
            minus(row, &of_times, out);
        }
    }
    let mut animals = seen.for_animals(&factors.times);
    let of_time = gram(&factors.times);
    for (animal, (row, mut out)) in
        factors.animals.rows().into_iter().zip(animals.rows_mut()).enumerate()
    {
        let gram: Vec<f64> =
            of_time.iter().zip(seen.grams.of_animal(animal)).map(|(t, p)| t * p).collect();
        if let (Some(row), Some(out)) = (row.as_slice(), out.as_slice_mut()) {
            minus(row, &gram, out);
        }
    }
    let view = PairView::new(&factors.times, &factors.animals);
    let mut pairs = seen.pair_products.clone();
    let rows = factors.pairs.as_slice().unwrap_or_default().par_chunks_exact(rank);
    let outs = pairs.as_slice_mut().unwrap_or_default().par_chunks_exact_mut(rank);
    rows.zip(outs).enumerate().for_each_init(Vec::new, |own, (pair, (row, out))| {
        minus(row, view.gram(tensor.partial(pair), own), out);
    });
    Factors { times, animals, pairs }
}
