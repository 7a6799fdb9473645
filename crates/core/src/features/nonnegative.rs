//! Non-negative coefficients of samples on a fixed dictionary.
//!
//! `min ‖x − g D‖²` over `g ≥ 0`, in terms of `p = D x` and `Q = D Dᵀ`: `½ g Q gᵀ − p gᵀ`.
//! Exact: cyclic coordinate descent, finished by a direct solve on the coefficients that are not
//! zero. Multiplicative: `g ← g ∘ √((p⁺ + g Q⁻) / (p⁻ + g Q⁺ + ε))`.
//!
//! Source: Ding, Li, Jordan 2010, §3.2 (multiplicative); Franc, Hlaváč, Navara 2005 (coordinates).
//! Memory: the correlations, and two `[feature, feature]` matrices.

use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;

use super::product::product;

/// How long multiplicative steps go on.
#[derive(Clone, Copy)]
pub(super) struct Steps {
    pub(super) iterations: usize,
    pub(super) tolerance: f64,
}

/// Keeps the quotient of the multiplicative step finite; as in the published method.
const EPSILON: f32 = 1e-6;
/// Violation of the optimality conditions that counts as none, relative to the largest `|p|`.
const OPTIMAL: f64 = 1e-7;
/// Sweeps over all coefficients at most; a direct solve comes every [`SOLVE_EVERY`].
const SWEEPS: usize = 2000;
const SOLVE_EVERY: usize = 10;

/// The coefficients of least error `[sample, feature]` for correlations `[sample, feature]`.
pub(super) fn exact(correlations: &Array2<f32>, decoder: ArrayView2<'_, f32>) -> Array2<f32> {
    let features = decoder.nrows();
    let wide = decoder.mapv(f64::from);
    let gram = product(wide.view(), wide.t());
    let mut out = Array2::zeros(correlations.dim());
    out.axis_iter_mut(Axis(0)).into_par_iter().zip(correlations.axis_iter(Axis(0))).for_each_init(
        || Problem::new(features),
        |problem, (mut row, p)| {
            for (to, from) in problem.p.iter_mut().zip(&p) {
                *to = f64::from(*from);
            }
            problem.solve(&gram);
            for (to, from) in row.iter_mut().zip(&problem.g) {
                *to = *from as f32;
            }
        },
    );
    out
}

/// One sample's problem, with memory that is used again.
struct Problem {
    p: Vec<f64>,
    g: Vec<f64>,
    gradient: Vec<f64>,
    support: Vec<usize>,
    factor: Vec<f64>,
    solution: Vec<f64>,
}

impl Problem {
    fn new(features: usize) -> Self {
        let zeros = || vec![0.0; features];
        Self {
            p: zeros(),
            g: zeros(),
            gradient: zeros(),
            support: Vec::new(),
            factor: Vec::new(),
            solution: Vec::new(),
        }
    }

    fn solve(&mut self, gram: &Array2<f64>) {
        self.g.fill(0.0);
        let largest = self.p.iter().fold(0.0f64, |most, value| most.max(value.abs()));
        if largest == 0.0 {
            return;
        }
        let tolerance = OPTIMAL * largest;
        for (slope, p) in self.gradient.iter_mut().zip(&self.p) {
            *slope = -p;
        }
        for sweep in 1..=SWEEPS {
            if self.sweep(gram) <= tolerance {
                return;
            }
            if sweep % SOLVE_EVERY == 0 && self.solve_support(gram, tolerance) {
                return;
            }
        }
    }

    /// Moves each coefficient to its optimum in turn; gives the largest violation that was met.
    fn sweep(&mut self, gram: &Array2<f64>) -> f64 {
        let mut worst = 0.0f64;
        for (feature, curvatures) in gram.rows().into_iter().enumerate() {
            let curvature = curvatures[feature];
            let (slope, value) = (self.gradient[feature], self.g[feature]);
            if curvature <= 0.0 || (value == 0.0 && slope >= 0.0) {
                continue;
            }
            let next = (value - slope / curvature).max(0.0);
            let step = next - value;
            worst = worst.max((step * curvature).abs());
            self.g[feature] = next;
            for (slope, q) in self.gradient.iter_mut().zip(&curvatures) {
                *slope += step * q;
            }
        }
        worst
    }

    /// Solves for the coefficients that are not zero; gives whether that is the optimum.
    fn solve_support(&mut self, gram: &Array2<f64>, tolerance: f64) -> bool {
        let Self { p, g, gradient, support, factor, solution } = self;
        support.clear();
        support.extend((0..g.len()).filter(|&feature| g[feature] > 0.0));
        let size = support.len();
        factor.resize(size * size, 0.0);
        for (row, &one) in support.iter().enumerate() {
            for (column, &other) in support.iter().enumerate() {
                factor[row * size + column] = gram[[one, other]];
            }
        }
        solution.clear();
        solution.extend(support.iter().map(|&feature| p[feature]));
        if !solve_positive_definite(factor, solution) || solution.iter().any(|&value| value < 0.0) {
            return false;
        }
        g.fill(0.0);
        for (&feature, &value) in support.iter().zip(solution.iter()) {
            g[feature] = value;
        }
        for (slope, p) in gradient.iter_mut().zip(p.iter()) {
            *slope = -p;
        }
        for &feature in support.iter() {
            for (slope, q) in gradient.iter_mut().zip(gram.row(feature)) {
                *slope += g[feature] * q;
            }
        }
        gradient.iter().all(|&slope| slope >= -tolerance)
    }
}

/// Solves `factor · x = right` in place by Cholesky; false when `factor` is not positive definite.
fn solve_positive_definite(factor: &mut [f64], right: &mut [f64]) -> bool {
    let size = right.len();
    for row in 0..size {
        for column in 0..=row {
            let dot: f64 = (0..column)
                .map(|inner| factor[row * size + inner] * factor[column * size + inner])
                .sum();
            let rest = factor[row * size + column] - dot;
            if row == column {
                if rest <= 1e-12 * factor[row * size + row] {
                    return false;
                }
                factor[row * size + row] = rest.sqrt();
            } else {
                factor[row * size + column] = rest / factor[column * size + column];
            }
        }
    }
    for row in 0..size {
        let dot: f64 = (0..row).map(|inner| factor[row * size + inner] * right[inner]).sum();
        right[row] = (right[row] - dot) / factor[row * size + row];
    }
    for row in (0..size).rev() {
        let dot: f64 = (row + 1..size).map(|inner| factor[inner * size + row] * right[inner]).sum();
        right[row] = (right[row] - dot) / factor[row * size + row];
    }
    true
}

/// Coefficients after multiplicative steps `[sample, feature]` for correlations
/// `[sample, feature]`.
pub(super) fn multiplicative(
    correlations: &Array2<f32>,
    decoder: ArrayView2<'_, f32>,
    steps: Steps,
) -> Array2<f32> {
    let features = decoder.nrows();
    let gram = product(decoder, decoder.t());
    let positive = gram.mapv(|value| value.max(0.0));
    let negative = gram.mapv(|value| (-value).max(0.0));
    let mut out = Array2::zeros(correlations.dim());
    out.axis_iter_mut(Axis(0)).into_par_iter().zip(correlations.axis_iter(Axis(0))).for_each_init(
        || (vec![0f32; features], vec![0f32; features]),
        |(above, below), (mut g, p)| {
            // A coefficient that starts at zero stays there, so all start above it.
            for ((g, &p), feature) in g.iter_mut().zip(&p).zip(0..) {
                let own: f32 = gram[[feature, feature]];
                *g = (p.max(0.0) / own.max(EPSILON)).max(EPSILON);
            }
            let mut before = f64::INFINITY;
            for _iteration in 0..steps.iterations {
                above.fill(0.0);
                below.fill(0.0);
                for (feature, &value) in g.iter().enumerate() {
                    let (plus, minus) = (positive.row(feature), negative.row(feature));
                    for ((above, below), (plus, minus)) in
                        above.iter_mut().zip(below.iter_mut()).zip(plus.iter().zip(&minus))
                    {
                        *above += value * minus;
                        *below += value * plus;
                    }
                }
                let loss: f64 = g
                    .iter()
                    .zip(&p)
                    .zip(above.iter().zip(below.iter()))
                    .map(|((&g, &p), (&above, &below))| {
                        f64::from(g) * (0.5 * f64::from(below - above) - f64::from(p))
                    })
                    .sum();
                if before - loss <= steps.tolerance * loss.abs() {
                    break;
                }
                before = loss;
                for ((g, &p), (&above, &below)) in
                    g.iter_mut().zip(&p).zip(above.iter().zip(below.iter()))
                {
                    let up = p.max(0.0) + above;
                    let down = (-p).max(0.0) + below + EPSILON;
                    *g *= (up / down).sqrt();
                }
            }
        },
    );
    out
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, array};
    use rand::RngExt;

    use super::*;
    use crate::features::{Dictionary, Encoding};
    use crate::seed::rng;

    fn random(rows: usize, columns: usize, seed: u64) -> Array2<f32> {
        let mut rng = rng(seed, 0);
        Array2::from_shape_simple_fn((rows, columns), || rng.random_range(-1.0..1.0))
    }

    #[test]
    fn the_exact_solution_meets_the_optimality_conditions() {
        // Fewer units than features too: then many solutions share the least error.
        for (seed, features, units) in [(1, 12, 40), (2, 30, 35), (3, 20, 8)] {
            let dictionary =
                Dictionary::new(random(features, units, seed), Encoding::NonNegativeExact);
            let samples = random(50, units, seed + 10);
            let g = dictionary.encode(samples.view()).expect("encodes");
            assert!(g.iter().all(|&value| value >= 0.0));
            let error = dictionary.reconstruct(g.view()).expect("decodes") - &samples;
            let slopes = error.dot(&dictionary.decoder.t());
            for (&value, &slope) in g.iter().zip(&slopes) {
                assert!(slope > -1e-4, "seed {seed}: a coefficient should grow, slope {slope}");
                assert!(
                    value < 1e-5 || slope.abs() < 1e-4,
                    "seed {seed}: {value} at slope {slope}"
                );
            }
        }
    }

    #[test]
    fn non_negative_mixtures_are_taken_apart() {
        let decoder = random(10, 60, 4);
        let mut rng = rng(5, 0);
        let truth = Array2::from_shape_simple_fn((30, 10), || {
            if rng.random_bool(0.3) { rng.random_range(0.2..2.0f32) } else { 0.0 }
        });
        let samples = truth.dot(&decoder);
        let exact = Dictionary::new(decoder.clone(), Encoding::NonNegativeExact);
        let found = exact.encode(samples.view()).expect("encodes");
        assert!((&found - &truth).iter().all(|gap| gap.abs() < 1e-3));
        let steps = Encoding::NonNegative { iterations: 5000, tolerance: 1e-12 };
        let found = Dictionary::new(decoder, steps).encode(samples.view()).expect("encodes");
        assert!((&found - &truth).iter().all(|gap| gap.abs() < 2e-2));
    }

    #[test]
    fn a_sample_opposite_to_every_feature_has_no_coefficients() {
        for encoding in
            [Encoding::NonNegativeExact, Encoding::NonNegative { iterations: 200, tolerance: 0.0 }]
        {
            let dictionary = Dictionary::new(array![[1.0, 0.0], [0.8, 0.6]], encoding);
            let found = dictionary.encode(array![[-1.0f32, -1.0]].view()).expect("encodes");
            assert!(found.iter().all(|&value| value < 1e-3), "{found}");
        }
    }

    #[test]
    fn a_feature_given_twice_does_no_harm() {
        let decoder = array![[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]];
        let dictionary = Dictionary::new(decoder, Encoding::NonNegativeExact);
        let found = dictionary.encode(array![[2.0f32, 1.0, 0.0]].view()).expect("encodes");
        assert!((found[[0, 0]] + found[[0, 1]] - 2.0).abs() < 1e-5 && found[[0, 2]] == 0.0);
    }

    #[test]
    fn cholesky_solves_and_refuses() {
        let mut factor = vec![4.0, 2.0, 2.0, 3.0];
        let mut right = vec![8.0, 8.0];
        assert!(solve_positive_definite(&mut factor, &mut right));
        assert!((Array1::from(right) - array![1.0, 2.0]).iter().all(|gap| gap.abs() < 1e-12));
        assert!(!solve_positive_definite(&mut [1.0, 1.0, 1.0, 1.0], &mut [1.0, 1.0]));
    }
}
