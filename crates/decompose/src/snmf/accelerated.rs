//! Coordinate steps with extrapolation: as low a loss in far fewer iterations.
//!
//! `G` by sweeps of closed-form coordinate steps, each coefficient cut at zero, so that zeros come and
//! go; `Z` as in the paper. The sweeps begin at `G + β (G − G′)`, where `G′` is the iterate before; when
//! the loss rises that step is taken back, and β shrinks. Once the loss stays, the units that
//! winner-take-all keeps are fitted once more without the others. A feature without coefficients begins
//! anew at the sample that is explained least.
//!
//! Source: Cichocki and Phan 2009, §3 (coordinate steps); Ang and Gillis 2019, §3 (extrapolation).
//! Differs: the loss is that of the paper, but the iterates are not; fitting once more is ours.
//! Memory: twice the coefficients; `A` is read twice in an iteration.

use ndarray::Array2;
use nissl_core::{Progress, Result};
use nissl_kernels::factors::Overlaps;
use rayon::prelude::*;

use super::Snmf;
use super::factorise::{Course, Run, Sums};
use super::features::{FeatureStep, Values};
use crate::activity::Activity;

/// Sweeps over the coefficients for each solution of the features.
const SWEEPS: usize = 3;
/// Iterations in which the loss stays, after which the units that stay are fitted once more.
const STALLED: usize = 10;
/// Decrease of the loss below which it stays, relative to ‖A‖².
const STAYS: f64 = 1e-4;
/// Iterations without improvement after which nothing more is to come.
const SETTLED: usize = 40;

/// How far the coefficients are carried on.
struct Momentum {
    now: f64,
    most: f64,
}

impl Momentum {
    fn new() -> Self {
        Self { now: 0.5, most: 1.0 }
    }

    fn grow(&mut self) {
        self.most = (self.most * 1.02).min(1.0);
        self.now = (self.now * 1.05).min(self.most);
    }

    fn shrink(&mut self) {
        self.most = self.now;
        self.now /= 1.5;
    }
}

/// The coefficients, `Gᵀ` `[feature, sample]` in tiles.
struct State {
    /// Of the last iterate that was not taken back.
    held: Vec<Array2<f32>>,
    /// Where the sweeps begin, and after them where they end.
    ahead: Vec<Array2<f32>>,
    sums: Sums,
    step: FeatureStep,
    products: Vec<f32>,
    /// How much of each sample's square is explained.
    explained: Vec<f64>,
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
    let check = |done: usize| progress.check(|| format!("{done} iterations; nothing was written"));
    let mut state = State::new(activity, k, kept, start);
    let mut values = Values::Kept;
    let mut momentum = Momentum::new();
    let (mut last, mut extrapolated) = (f64::INFINITY, false);
    let (mut mark, mut stayed) = (f64::INFINITY, 0);
    // So that a short run, too, fits its units once more.
    let latest = iterations - iterations / 3;
    let mut revivals = k;
    while course.iterations() < iterations {
        let done = course.iterations();
        state.add_up(activity, || check(done))?;
        let pending = state.step.solve(&state.sums, ridge, values)?;
        let loss = state.sweep(activity, &pending, || check(done))?;
        stage.advance(1);
        if mark - loss >= STAYS * squares {
            (mark, stayed) = (loss, 0);
        } else {
            stayed += 1;
        }
        if loss > last && extrapolated {
            momentum.shrink();
            state.take_back();
            extrapolated = false;
            course.note(last, &state.step.features)?;
        } else if loss > last && kept == activity.units() {
            // Without winner-take-all each plain step is one of descent, up to rounding and the ridge.
            return Ok(course.finish(true));
        } else {
            momentum.grow();
            last = loss;
            course.note(loss, &state.step.features)?;
            let dead = state.carry_on(&pending, momentum.now as f32);
            extrapolated = true;
            if !dead.is_empty() && revivals >= dead.len() {
                revivals -= dead.len();
                state.revive(&dead, activity, || check(done))?;
                extrapolated = false;
            }
        }
        stage.show("loss", last / squares);
        if values == Values::Kept && (stayed >= STALLED || done + 1 >= latest) {
            values = Values::Refitted;
            momentum = Momentum::new();
            (last, stayed) = (f64::INFINITY, 0);
            state.take_back();
            extrapolated = false;
        } else if values == Values::Refitted && course.waited >= patience.min(SETTLED) {
            return Ok(course.finish(true));
        }
    }
    Ok(course.finish(false))
}

impl State {
    fn new(activity: &Activity<'_>, k: usize, kept: usize, start: Vec<Array2<f32>>) -> Self {
        let units = activity.units();
        let widest = start.iter().map(Array2::ncols).max().unwrap_or(0);
        Self {
            held: start.clone(),
            ahead: start,
            sums: Sums::new(k, units),
            step: FeatureStep::new(k, units, kept),
            products: vec![0.0; k * widest],
            explained: vec![0.0; activity.samples()],
        }
    }

    /// Adds up what the features are solved from.
    fn add_up(&mut self, activity: &Activity<'_>, check: impl Fn() -> Result<()>) -> Result<()> {
        self.sums.clear();
        let mut tiles = self.ahead.iter();
        activity.pass(|_, tile| {
            check()?;
            if let Some(ahead) = tiles.next() {
                self.sums.add(ahead, tile);
            }
            Ok(())
        })
    }

    /// Moves the coefficients, multiplied by `pending` first, and gives the loss.
    fn sweep(
        &mut self,
        activity: &Activity<'_>,
        pending: &[f32],
        check: impl Fn() -> Result<()>,
    ) -> Result<f64> {
        let Self { ahead, step, products, explained, .. } = self;
        let overlaps = Overlaps::new(step.gram.as_slice().expect("made contiguous"), pending.len());
        let mut tiles = ahead.iter_mut();
        activity.pass(|first, tile| {
            check()?;
            let Some(ahead) = tiles.next() else { return Ok(()) };
            let products = &mut products[..ahead.len()];
            step.correlate(tile, products);
            for (mut row, &factor) in ahead.rows_mut().into_iter().zip(pending) {
                row *= factor;
            }
            let explained = &mut explained[first..first + ahead.ncols()];
            let ahead = ahead.as_slice_mut().expect("made contiguous");
            overlaps.sweep(products, ahead, SWEEPS, explained);
            Ok(())
        })?;
        Ok(activity.squares() - explained.iter().sum::<f64>())
    }

    /// Takes the coefficients back to the last iterate.
    fn take_back(&mut self) {
        for (ahead, held) in self.ahead.iter_mut().zip(&self.held) {
            ahead.assign(held);
        }
    }

    /// Keeps the coefficients, and goes on in the direction in which they moved; gives the features
    /// that have none.
    fn carry_on(&mut self, pending: &[f32], momentum: f32) -> Vec<usize> {
        let k = pending.len();
        let mut alive = vec![false; k];
        for (held, ahead) in self.held.iter_mut().zip(&mut self.ahead) {
            let samples = held.ncols();
            let held = held.as_slice_mut().expect("made contiguous").par_chunks_mut(samples);
            let ahead = ahead.as_slice_mut().expect("made contiguous").par_chunks_mut(samples);
            held.zip(ahead).zip(pending).zip(&mut alive).for_each(
                |(((held, ahead), &factor), alive)| {
                    for (held, ahead) in held.iter_mut().zip(ahead) {
                        let now = *ahead;
                        *ahead = (now + momentum * (now - *held * factor)).max(0.0);
                        *held = now;
                        *alive |= now > 0.0;
                    }
                },
            );
        }
        (0..k).filter(|&feature| !alive[feature]).collect()
    }

    /// Lets each of the `dead` features begin anew at one of the samples that are explained least.
    fn revive(
        &mut self,
        dead: &[usize],
        activity: &Activity<'_>,
        check: impl Fn() -> Result<()>,
    ) -> Result<()> {
        let mut errors: Vec<(f64, usize)> = Vec::with_capacity(self.explained.len());
        activity.pass(|first, tile| {
            check()?;
            let mut squares = vec![0f64; tile.ncols()];
            for row in tile.rows() {
                for (square, &value) in squares.iter_mut().zip(row) {
                    *square += f64::from(value) * f64::from(value);
                }
            }
            let samples = squares.iter().zip(&self.explained[first..]).zip(first..);
            errors
                .extend(samples.map(|((square, explained), sample)| (square - explained, sample)));
            Ok(())
        })?;
        errors.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        for (&feature, &(_, sample)) in dead.iter().zip(&errors) {
            let mut first = 0;
            for held in &mut self.held {
                if sample - first < held.ncols() {
                    held[[feature, sample - first]] = 1.0;
                    break;
                }
                first += held.ncols();
            }
        }
        self.take_back();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, s};

    use super::*;
    use crate::snmf::{Initial, Solver, Sparsity};

    fn activity() -> Array2<f32> {
        Array2::from_shape_fn((300, 40), |(s, u)| {
            let group = (s * 7) % 5;
            let on = f32::from(u8::from(u % 5 == group || u % 7 == (s / 3) % 7));
            on * ((s * 13 % 11) as f32 + 1.0) + ((s * 31 + u * 17) % 23) as f32 / 50.0 - 0.2
        })
    }

    #[test]
    fn coefficients_never_fall_below_zero_and_leave_it_again() {
        let matrix = activity();
        let progress = Progress::silent();
        let read = Activity::of_matrix(matrix.view(), &progress).expect("finite");
        let settings = Snmf { k: 6, solver: Solver::Accelerated, ..Snmf::default() };
        let start = Initial::Random.start(&read, &settings, 0, &progress).expect("starts");
        let mut state = State::new(&read, 6, 8, start);
        let (mut zeros, mut left) = (vec![false; 6 * 300], 0);
        for _ in 0..12 {
            state.add_up(&read, || Ok(())).expect("passes");
            let pending = state.step.solve(&state.sums, 1e-6, Values::Kept).expect("solves");
            state.sweep(&read, &pending, || Ok(())).expect("passes");
            state.carry_on(&pending, 0.5);
            for tile in [&state.held[0], &state.ahead[0]] {
                assert!(tile.iter().all(|&value| value >= 0.0));
            }
            for (zero, &value) in zeros.iter_mut().zip(&state.held[0]) {
                left += usize::from(*zero && value > 0.0);
                *zero = value == 0.0;
            }
        }
        assert!(zeros.iter().filter(|zero| **zero).count() > 100);
        assert!(left > 20, "{left} coefficients left zero");
    }

    #[test]
    fn a_feature_without_coefficients_begins_anew_at_the_worst_sample() {
        let mut matrix = activity();
        // A sample that no feature of few units explains beside the others.
        matrix.slice_mut(s![123, ..]).fill(30.0);
        let progress = Progress::silent();
        let read = Activity::of_matrix(matrix.view(), &progress).expect("finite");
        let mut start = vec![Array2::from_elem((4, 300), 0.5f32)];
        start[0].indexed_iter_mut().for_each(|((f, s), g)| *g = ((s * (f + 3)) % 7) as f32);
        start[0].row_mut(2).fill(0.0);
        let mut state = State::new(&read, 4, 40, start);
        state.add_up(&read, || Ok(())).expect("passes");
        let pending = state.step.solve(&state.sums, 1e-6, Values::Kept).expect("solves");
        let before = state.sweep(&read, &pending, || Ok(())).expect("passes");
        let dead = state.carry_on(&pending, 0.5);
        assert_eq!(dead, [2]);
        state.revive(&dead, &read, || Ok(())).expect("passes");
        let row = state.ahead[0].row(2);
        assert_eq!(row.iter().filter(|&&g| g > 0.0).count(), 1);
        state.add_up(&read, || Ok(())).expect("passes");
        let pending = state.step.solve(&state.sums, 1e-6, Values::Kept).expect("solves");
        let after = state.sweep(&read, &pending, || Ok(())).expect("passes");
        assert!(after < before, "{before} {after}");
        assert!(state.carry_on(&pending, 0.5).is_empty());
    }

    #[test]
    fn what_is_taken_back_leaves_the_loss_where_it_was() {
        // Without winner-take-all each plain step lowers the loss, so that a rise is the momentum's.
        let matrix = activity();
        let progress = Progress::silent();
        let read = Activity::of_matrix(matrix.view(), &progress).expect("finite");
        let settings = Snmf {
            k: 6,
            sparsity: Sparsity::Fraction(1.0),
            iterations: 200,
            solver: Solver::Accelerated,
            ..Snmf::default()
        };
        let start = Initial::Random.start(&read, &settings, 0, &progress).expect("starts");
        let run = run(&read, &settings, 40, start, &progress).expect("fits");
        let same = run.loss.windows(2).filter(|pair| pair[1] >= pair[0]).count();
        assert!(same > 0, "no step was taken back");
        assert!(run.loss.windows(2).all(|pair| pair[1] <= pair[0] * (1.0 + 1e-5)));
    }
}
