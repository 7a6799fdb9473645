//! Hierarchical alternating least squares with extrapolation.
//!
//! For each mode `n` and component `r`, with `M = A_(n)(⊙_{m≠n}F_m)` and `G = ∘_{m≠n}F_mᵀF_m`:
//! `F_n[:,r] ← max(0, F_n[:,r] + (M[:,r] − F_n G[:,r]) / G[r,r])`. Where an animal lacks a pair, `G` of
//! the pair leaves that animal out and `G` of the animal that pair: exact weighted least squares.
//! A sweep begins at `y = x + β(x − x′)`; `β` grows while the error falls, and a sweep that raises it is
//! taken back, so that the error never rises.
//!
//! Source: Cichocki and Phan 2009, §3; Ang, Cohen, Gillis, Hien 2021, arXiv:2001.04321, §3 (extrapolation).
//! Differs: all modes are extrapolated once a sweep; a sweep taken back is followed by one without
//! extrapolation.
//! Memory: three copies of the factors, two of `[animal, time, component]`.

use ndarray::Array2;
use nissl_core::{Progress, Result};
use rand::RngExt;

use super::factors::{Factors, PairGrams, gram};
use super::pass::{Seen, pass};
use super::tensor::PairTensor;
use super::{Run, Stop};

/// Diagonals below this fraction of the largest belong to components that are zero.
const VANISHED: f64 = 1e-14;
/// How often columns that vanished are drawn anew at most.
const REVIVALS: usize = 8;
/// Extrapolation: at first, its growth, the growth of its bound, and by what it falls.
const FIRST: f64 = 0.5;
const GROWTH: f64 = 1.05;
const BOUND_GROWTH: f64 = 1.01;
const FALL: f64 = 1.5;

/// How a row of a factor is moved: `(row, M, G)`.
pub(super) type Step = fn(&mut [f64], &[f64], &[f64], usize);

/// The row at its coordinate-wise optimum, `sweeps` times over.
pub(super) fn coordinate(row: &mut [f64], product: &[f64], gram: &[f64], sweeps: usize) {
    let rank = row.len();
    let largest = (0..rank).map(|r| gram[r * rank + r]).fold(0.0, f64::max);
    for _ in 0..sweeps {
        for r in 0..rank {
            let line = &gram[r * rank..][..rank];
            row[r] = if line[r] <= VANISHED * largest || line[r] <= 0.0 {
                0.0
            } else {
                let slope = super::pass::dot(line, row) - product[r];
                (row[r] - slope / line[r]).max(0.0)
            };
        }
    }
}

/// Extrapolation, and how it changes.
pub(super) enum Momentum {
    Growing,
    None,
}

/// Factorises from `start`.
pub(super) fn run(
    tensor: &PairTensor,
    start: Factors,
    stop: Stop,
    (step, momentum): (Step, Momentum),
    seed: (u64, u64),
    progress: &Progress,
) -> Result<Run> {
    let mut now = begin(tensor, start)?;
    let mut before: Option<State> = None;
    let (mut beta, mut bound) = (FIRST, 1.0f64);
    let mut errors = vec![now.seen.relative_error(tensor)];
    let (mut small, mut revivals, mut plain, mut converged) = (0, 0, true, false);
    let extrapolates = matches!(momentum, Momentum::Growing);
    for _ in 0..stop.iterations {
        progress.check(|| format!("{} sweeps", errors.len() - 1))?;
        let from = match &before {
            Some(before) if extrapolates && !plain => now.beyond(before, beta, tensor),
            _ => now.clone(),
        };
        let next = sweep(tensor, from, step, stop.repeats)?;
        let (last, error) = (errors[errors.len() - 1], next.seen.relative_error(tensor));
        if error > last {
            if plain || !extrapolates {
                // The error no longer falls within the precision of the sums.
                converged = true;
                break;
            }
            bound = beta;
            beta /= FALL;
            plain = true;
            continue;
        }
        errors.push(error);
        if extrapolates && !plain {
            beta = (beta * GROWTH).min(bound);
            bound = (bound * BOUND_GROWTH).min(1.0);
        }
        plain = false;
        before = Some(std::mem::replace(&mut now, next));
        if revivals < REVIVALS && now.revive(tensor, (seed.0, seed.1 ^ (revivals as u64 + 1)))? {
            revivals += 1;
            (before, small) = (None, 0);
            continue;
        }
        small = if last - error < stop.tolerance { small + 1 } else { 0 };
        if small == 2 {
            converged = true;
            break;
        }
    }
    Ok(Run { factors: now.factors, errors, converged })
}

/// Factors with the products that the next sweep begins with.
#[derive(Clone)]
struct State {
    factors: Factors,
    seen: Seen,
}

/// The state at `start`, scaled to fit best.
fn begin(tensor: &PairTensor, mut start: Factors) -> Result<State> {
    let mut seen = pass(tensor, &mut start, |_, _, _| {})?;
    if seen.square > 0.0 && seen.inner > 0.0 {
        let scale = seen.inner / seen.square;
        start.pairs *= scale;
        seen.products *= scale;
        seen.grams.scale(scale * scale);
        seen.inner *= scale;
        seen.square *= scale * scale;
    }
    Ok(State { factors: start, seen })
}

impl State {
    /// `x + β(x − x′)`, not below 0 in times and animals; products are linear in the pairs.
    fn beyond(&self, before: &Self, beta: f64, tensor: &PairTensor) -> Self {
        let line = |x: &Array2<f64>, old: &Array2<f64>| x + &((x - old) * beta);
        let [x, old] = [&self.factors, &before.factors];
        let factors = Factors {
            times: line(&x.times, &old.times).mapv(|x| x.max(0.0)),
            animals: line(&x.animals, &old.animals).mapv(|x| x.max(0.0)),
            pairs: line(&x.pairs, &old.pairs),
        };
        let seen = Seen {
            products: line(&self.seen.products, &before.seen.products),
            grams: PairGrams::of(tensor, &factors.pairs),
            pair_products: Array2::zeros((0, 0)),
            ..self.seen
        };
        Self { factors, seen }
    }

    /// Draws components anew that became zero; gives whether there were any. The time course stays zero, so
    /// that the error does, until the next sweep finds what the new column explains.
    fn revive(&mut self, tensor: &PairTensor, seed: (u64, u64)) -> Result<bool> {
        let scales = self.factors.scales();
        let dead: Vec<usize> = (0..scales.len()).filter(|&r| scales[r] <= 0.0).collect();
        if dead.is_empty() || dead.len() == scales.len() {
            return Ok(false);
        }
        let mut rng = nissl_core::seed::rng(seed.0, seed.1);
        for &r in &dead {
            self.factors.times.column_mut(r).fill(0.0);
            self.factors.animals.column_mut(r).mapv_inplace(|_| rng.random());
            self.factors.pairs.column_mut(r).mapv_inplace(|_| rng.random());
        }
        let (inner, square) = (self.seen.inner, self.seen.square);
        self.seen = pass(tensor, &mut self.factors, |_, _, _| {})?;
        (self.seen.inner, self.seen.square) = (inner, square);
        Ok(true)
    }
}

fn sweep(tensor: &PairTensor, from: State, step: Step, repeats: usize) -> Result<State> {
    let State { mut factors, seen } = from;
    let products = seen.for_times(&factors.animals);
    let of_times = seen.grams.for_times(&factors.animals);
    move_rows(&mut factors.times, &products, |_| of_times.clone(), step, repeats);
    let products = seen.for_animals(&factors.times);
    let of_time: Vec<f64> = gram(&factors.times).iter().copied().collect();
    let of_animal = |animal: usize| {
        let pairs = seen.grams.of_animal(animal);
        of_time.iter().zip(pairs).map(|(time, pair)| time * pair).collect()
    };
    move_rows(&mut factors.animals, &products, of_animal, step, repeats);
    let seen = pass(tensor, &mut factors, |row, product, gram| step(row, product, gram, repeats))?;
    Ok(State { factors, seen })
}

fn move_rows(
    factor: &mut Array2<f64>,
    products: &Array2<f64>,
    gram: impl Fn(usize) -> Vec<f64>,
    step: Step,
    repeats: usize,
) {
    for (at, (mut row, product)) in factor.rows_mut().into_iter().zip(products.rows()).enumerate() {
        if let (Some(row), Some(product)) = (row.as_slice_mut(), product.as_slice()) {
            step(row, product, &gram(at), repeats);
        }
    }
}
