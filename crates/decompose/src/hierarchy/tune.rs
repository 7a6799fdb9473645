//! Joint fine-tuning of all levels: Adam on `½‖A − Z_L W_Lᵀ … W_2ᵀ W_1ᵀ‖²`.
//!
//! With `C_1 = W_1ᵀ` (the coefficients), `C_l = W_lᵀ C_{l−1}`: `∇C_L = Z_Lᵀ Z_L C_L − Z_Lᵀ A`,
//! `∇C_{l−1} = W_l ∇C_l`, `∇W_l = C_{l−1} (∇C_l)ᵀ`, `∇Z_L = Z_L C_L C_Lᵀ − A C_Lᵀ`. After every step
//! negative weights are set to zero and `Z_L` keeps its `⌈p d⌉` largest entries in each feature. The
//! best state seen is kept. Activity is scaled so that coefficients have a mean square of 1.
//!
//! Source: Shafran, Geiger, Geva 2025, arXiv:2506.10920, §5; Kingma, Ba 2015, algorithm 1 (Adam).
//! Differs: the published program keeps neither `W ≥ 0` nor the sparsity of `Z_L` in this step.
//! Memory: the coefficients of the samples three times, `Z_L` six times; activity as in the fit.

use ndarray::{Array2, Axis};
use nissl_core::features::{add_product, product};
use nissl_core::{Error, Progress, Recording, Result};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Hierarchy, gram, inner};
use crate::activity::Activity;

/// Settings of the joint fine-tuning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct FineTune {
    /// Steps of Adam that tune all levels together (500 to 2500 in the paper's program); 0 leaves
    /// the levels as they were factorised
    #[arg(long = "fine-tune", value_name = "STEPS", default_value_t = FineTune::default().steps)]
    pub steps: usize,
    /// Step size of the fine-tuning, above 0
    #[arg(long, value_name = "RATE", default_value_t = FineTune::default().learning_rate)]
    pub learning_rate: f64,
}

impl Default for FineTune {
    fn default() -> Self {
        Self { steps: 0, learning_rate: 1e-3 }
    }
}

impl FineTune {
    pub(crate) fn validate(&self) -> Result<()> {
        if self.learning_rate > 0.0 && self.learning_rate.is_finite() {
            return Ok(());
        }
        Err(Error::setting("learning_rate", self.learning_rate, "above 0"))
    }
}

/// What fine-tuning did.
#[derive(Clone, Debug, PartialEq)]
pub struct Tuned {
    /// `‖A − Z_L W_Lᵀ … W_1ᵀ‖² / ‖A‖²` before each step, and after the last one.
    pub errors: Vec<f64>,
    /// The place in `errors` of the state that was kept: the lowest.
    pub kept: usize,
}

impl Tuned {
    /// From the errors of all steps.
    pub(super) fn of(errors: Vec<f64>) -> Self {
        let lower = |best: usize, at: usize| if errors[at] <= errors[best] { at } else { best };
        let kept = (0..errors.len()).fold(0, lower);
        Self { errors, kept }
    }

    /// The relative squared error of the levels as they were factorised.
    pub fn before(&self) -> f64 {
        self.errors.first().copied().unwrap_or(f64::NAN)
    }

    /// The relative squared error of the state that was kept.
    pub fn after(&self) -> f64 {
        self.errors.get(self.kept).copied().unwrap_or(f64::NAN)
    }
}

impl Hierarchy {
    /// Tunes all weights and the coarsest dictionary together on the samples `rows` of `recording`;
    /// `kept` units stay in each feature. The dictionaries below the coarsest stay as they are.
    ///
    /// # Errors
    /// Settings outside their range, activity that cannot be read or encoded, a loss that is not
    /// finite, or an interruption.
    pub fn fine_tune(
        &mut self,
        recording: &Recording,
        rows: &[usize],
        settings: &FineTune,
        kept: usize,
        memory_mib: usize,
        progress: &Progress,
    ) -> Result<Tuned> {
        settings.validate()?;
        let activity = Activity::read(recording, rows, memory_mib, progress)?;
        let mut state = State::new(self, &activity, progress)?;
        let mut tuned = Tuned { errors: Vec::with_capacity(settings.steps + 1), kept: 0 };
        let stage = progress.stage("fine-tune", settings.steps as u64, "steps");
        for step in 0..=settings.steps {
            let last = step == settings.steps;
            let (error, slope) =
                state.pass(&activity, (!last).then_some((settings, step)), || {
                    progress.check(|| format!("{step} steps; the levels were not written"))
                })?;
            if !error.is_finite() {
                return Err(Error::Diverged {
                    what: "the loss of the fine-tuning".to_owned(),
                    found: error,
                    step,
                    help: Some("lower `learning_rate`".to_owned()),
                });
            }
            tuned.errors.push(error);
            if error <= tuned.after() {
                tuned.kept = step;
                self.weights.clone_from(&state.weights);
                self.levels[state.weights.len()].decoder.assign(&state.coarsest);
            }
            if !last {
                state.step(&slope, settings, step, kept);
            }
            stage.show("error", error);
            stage.advance(1);
        }
        self.normalise();
        Ok(tuned)
    }

    /// Gives the coarsest features unit norm, and their length to the weights.
    fn normalise(&mut self) {
        let (Some(coarsest), Some(weights)) = (self.levels.last_mut(), self.weights.last_mut())
        else {
            return;
        };
        for (feature, mut row) in coarsest.decoder.rows_mut().into_iter().enumerate() {
            let norm = row.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt();
            if norm > 0.0 {
                row.mapv_inplace(|value| (f64::from(value) / norm) as f32);
                weights.column_mut(feature).mapv_inplace(|value| (f64::from(value) * norm) as f32);
            }
        }
    }
}

/// All that is tuned, with the running moments of its gradients.
struct State {
    /// `C_1 = W_1ᵀ` `[feature, sample]` in tiles, scaled.
    coefficients: Vec<Array2<f32>>,
    coefficient_moments: Vec<Adam>,
    /// `W_2 …`
    weights: Vec<Array2<f32>>,
    weight_moments: Vec<Adam>,
    /// `Z_Lᵀ` `[feature, unit]`.
    coarsest: Array2<f32>,
    coarsest_moments: Adam,
    /// What activity is multiplied by.
    scale: f32,
}

/// Gradients of what is not per sample.
struct Slope {
    weights: Vec<Array2<f32>>,
    coarsest: Array2<f32>,
}

impl State {
    fn new(hierarchy: &Hierarchy, activity: &Activity<'_>, progress: &Progress) -> Result<Self> {
        let mut coefficients = Vec::new();
        let (mut squares, mut count) = (0.0, 0);
        let stage = progress.stage("encode", activity.samples() as u64, "samples");
        activity.pass(|first, tile| {
            progress.check(|| format!("{first} samples; the levels were not written"))?;
            let encoded = hierarchy.levels[0].encode(tile.t())?;
            squares += inner(encoded.view(), encoded.view());
            count += encoded.len();
            coefficients.push(encoded.reversed_axes().as_standard_layout().into_owned());
            stage.advance(tile.ncols() as u64);
            Ok(())
        })?;
        let size = (squares / count.max(1) as f64).sqrt();
        let scale = if size > 0.0 { (1.0 / size) as f32 } else { 1.0 };
        for tile in &mut coefficients {
            *tile *= scale;
        }
        let weights = hierarchy.weights.clone();
        let coarsest = hierarchy.levels[weights.len()].decoder.clone();
        Ok(Self {
            coefficient_moments: coefficients.iter().map(|tile| Adam::new(tile.len())).collect(),
            weight_moments: weights.iter().map(|weights| Adam::new(weights.len())).collect(),
            coarsest_moments: Adam::new(coarsest.len()),
            coefficients,
            weights,
            coarsest,
            scale,
        })
    }

    /// The relative error of the state and the gradients of weights and dictionary; with settings
    /// and the number of the step, coefficients take their step on the way.
    fn pass(
        &mut self,
        activity: &Activity<'_>,
        step: Option<(&FineTune, usize)>,
        check: impl Fn() -> Result<()>,
    ) -> Result<(f64, Slope)> {
        let Self { coefficients, coefficient_moments, weights, coarsest, scale, .. } = self;
        let scale = *scale;
        let own = gram(coarsest);
        let mut slopes: Vec<Array2<f32>> =
            weights.iter().map(|weights| Array2::zeros(weights.dim())).collect();
        let mut toward = Array2::<f32>::zeros(coarsest.dim());
        let mut together = Array2::<f32>::zeros(own.dim());
        let mut error = 0.0;
        let mut tiles = coefficients.iter_mut().zip(coefficient_moments);
        activity.pass(|_, tile| {
            check()?;
            let Some((share, moments)) = tiles.next() else { return Ok(()) };
            let mut chain = Vec::with_capacity(weights.len());
            for weights in &*weights {
                let below = chain.last().unwrap_or(share);
                chain.push(product(weights.t(), below.view()));
            }
            let top = chain.last().unwrap_or(share);
            let mut seen = product(coarsest.view(), tile);
            seen *= scale;
            let mut gradient = product(own.view(), top.view());
            error += inner(gradient.view(), top.view()) - 2.0 * inner(seen.view(), top.view());
            gradient -= &seen;
            add_product(toward.view_mut(), top.view(), tile.t());
            add_product(together.view_mut(), top.view(), top.t());
            for (level, weights) in weights.iter().enumerate().rev() {
                let below = if level == 0 { &*share } else { &chain[level - 1] };
                add_product(slopes[level].view_mut(), below.view(), gradient.t());
                gradient = product(weights.view(), gradient.view());
            }
            if let Some((settings, step)) = step {
                moments.step(share, &gradient, settings.learning_rate, step);
                share.mapv_inplace(|value| value.max(0.0));
            }
            Ok(())
        })?;
        let squares = activity.squares() * f64::from(scale) * f64::from(scale);
        toward *= scale;
        let coarsest = product(together.view(), coarsest.view()) - toward;
        Ok((1.0 + error / squares, Slope { weights: slopes, coarsest }))
    }

    /// A step of weights and dictionary, and back into what they may be.
    fn step(&mut self, slope: &Slope, settings: &FineTune, step: usize, kept: usize) {
        let rate = settings.learning_rate;
        let all = self.weights.iter_mut().zip(&mut self.weight_moments).zip(&slope.weights);
        for ((weights, moments), slope) in all {
            moments.step(weights, slope, rate, step);
            weights.mapv_inplace(|value| value.max(0.0));
        }
        self.coarsest_moments.step(&mut self.coarsest, &slope.coarsest, rate, step);
        keep_largest(&mut self.coarsest, kept);
    }
}

/// Keeps the `kept` entries of largest magnitude in each row, the lower unit on ties.
fn keep_largest(features: &mut Array2<f32>, kept: usize) {
    if kept >= features.ncols() {
        return;
    }
    features.axis_iter_mut(Axis(0)).into_par_iter().for_each(|mut row| {
        let mut order: Vec<usize> = (0..row.len()).collect();
        order.select_nth_unstable_by(kept, |&a, &b| {
            row[b].abs().total_cmp(&row[a].abs()).then(a.cmp(&b))
        });
        for &unit in &order[kept..] {
            row[unit] = 0.0;
        }
    });
}

/// Running moments of a gradient.
struct Adam {
    first: Vec<f32>,
    second: Vec<f32>,
}

/// Decay of the mean gradient, and of its mean square.
const DECAY: (f32, f32) = (0.9, 0.999);
/// Keeps the quotient finite.
const EPSILON: f32 = 1e-8;

impl Adam {
    fn new(size: usize) -> Self {
        Self { first: vec![0.0; size], second: vec![0.0; size] }
    }

    /// Moves `values` against `gradient`; both in standard layout. Steps count from 0.
    fn step(&mut self, values: &mut Array2<f32>, gradient: &Array2<f32>, rate: f64, step: usize) {
        let power = step as i32 + 1;
        let whole = |decay: f32| 1.0 - f64::from(decay).powi(power);
        let rate = (rate * whole(DECAY.1).sqrt() / whole(DECAY.0)) as f32;
        let epsilon = EPSILON * whole(DECAY.1).sqrt() as f32;
        let values = values.as_slice_mut().expect("made contiguous");
        let gradient = gradient.as_slice().expect("made contiguous");
        let moments = self.first.par_iter_mut().zip(&mut self.second);
        values.par_iter_mut().zip(gradient).zip(moments).for_each(
            |((value, &slope), (first, second))| {
                *first += (1.0 - DECAY.0) * (slope - *first);
                *second += (1.0 - DECAY.1) * (slope * slope - *second);
                *value -= rate * *first / (second.sqrt() + epsilon);
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn adam_takes_the_steps_of_its_paper() {
        // By hand with α = 0.1 and the gradients 2 and −1: the first step is α, whatever the size of
        // the gradient; then m = 0.9·0.2 − 0.1 and v = 0.999·0.004 + 0.001.
        let mut adam = Adam::new(1);
        let mut value = array![[1.0f32]];
        adam.step(&mut value, &array![[2.0]], 0.1, 0);
        assert!((value[[0, 0]] - 0.9).abs() < 1e-6, "{value}");
        adam.step(&mut value, &array![[-1.0]], 0.1, 1);
        let (mean, square) = (0.08f64 / 0.19, 0.004_996f64 / 0.001_999);
        let expected = 0.9 - 0.1 * mean / square.sqrt();
        assert!((f64::from(value[[0, 0]]) - expected).abs() < 1e-6, "{value}");
    }

    #[test]
    fn gradients_are_those_of_finite_differences() {
        use nissl_core::features::{Dictionary, Encoding};
        use nissl_core::seed::rng;
        use rand::RngExt;

        let mut rng = rng(3, 0);
        let mut draw = |rows: usize, columns: usize| {
            Array2::from_shape_simple_fn((rows, columns), || rng.random_range(0.1..1f32))
        };
        let activity = draw(9, 7);
        let level = |rows| Dictionary::new(rows, Encoding::NonNegativeExact);
        let hierarchy = Hierarchy {
            levels: vec![level(draw(5, 7)), level(draw(3, 7)), level(draw(2, 7))],
            weights: vec![draw(5, 3), draw(3, 2)],
        };
        let silent = Progress::silent();
        let activity = Activity::of_matrix(activity.view(), &silent).expect("reads");
        let mut state = State::new(&hierarchy, &activity, &silent).expect("encodes");
        state.coefficients = vec![draw(5, 9)];
        let squares = activity.squares() * f64::from(state.scale).powi(2);
        let mut loss = |change: &dyn Fn(&mut State)| {
            let (weights, coarsest) = (state.weights.clone(), state.coarsest.clone());
            let shares = state.coefficients.clone();
            change(&mut state);
            let (error, slope) = state.pass(&activity, None, || Ok(())).expect("passes");
            (state.weights, state.coarsest, state.coefficients) = (weights, coarsest, shares);
            (0.5 * error * squares, slope)
        };
        let slope = loss(&|_| {}).1;
        let along = |up: f64, down: f64| (up - down) / 0.02;
        for (row, column) in [(0, 0), (2, 1), (1, 0)] {
            for at in 0..2 {
                let rise = along(
                    loss(&|state| state.weights[at][[row, column]] += 0.01).0,
                    loss(&|state| state.weights[at][[row, column]] -= 0.01).0,
                );
                let told = f64::from(slope.weights[at][[row, column]]);
                assert!((rise - told).abs() < 1e-2 * rise.abs().max(1.0), "W {at} {rise} {told}");
            }
            let (feature, unit) = (row % 2, 3 * column + row);
            let rise = along(
                loss(&|state| state.coarsest[[feature, unit]] += 0.01).0,
                loss(&|state| state.coarsest[[feature, unit]] -= 0.01).0,
            );
            let told = f64::from(slope.coarsest[[feature, unit]]);
            assert!((rise - told).abs() < 1e-2 * rise.abs().max(1.0), "Z {rise} {told}");
        }
        // Coefficients move within the pass: Adam's first step goes against the slope by its rate.
        let rise = along(
            loss(&|state| state.coefficients[0][[1, 4]] += 0.01).0,
            loss(&|state| state.coefficients[0][[1, 4]] -= 0.01).0,
        );
        let before = state.coefficients[0][[1, 4]];
        let settings = FineTune { steps: 1, learning_rate: 0.01 };
        state.pass(&activity, Some((&settings, 0)), || Ok(())).expect("passes");
        let moved = f64::from(state.coefficients[0][[1, 4]] - before);
        assert!((moved + 0.01 * rise.signum()).abs() < 1e-5, "{moved} {rise}");
    }

    #[test]
    fn as_many_entries_stay_as_were_asked_for() {
        let mut rows = array![[1.0f32, -3.0, 1.0, 2.0], [0.5, 0.5, 0.5, 0.5]];
        keep_largest(&mut rows, 2);
        assert_eq!(rows, array![[0.0, -3.0, 0.0, 2.0], [0.5, 0.5, 0.0, 0.0]]);
        keep_largest(&mut rows, 9);
        assert_eq!(rows.iter().filter(|value| **value != 0.0).count(), 4);
    }
}
