//! Steps 1 to 3 of an iteration: least squares for `Z`, winner-take-all, the norm of `G` moved to
//! `Z`; and the fit of the units that stay once more, on their own.

use faer::linalg::solvers::Solve;
use faer::{Mat, MatMut, Side};
use ndarray::{Array2, ArrayView2};
use nissl_core::{Error, Result};
use rayon::prelude::*;

use super::factorise::Sums;
use super::winners::Winners;

/// No column of `G` counts as shorter.
const SHORTEST: f64 = 1e-8;

/// What becomes of the values of the units that stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Values {
    /// Those of the fit of all units, as in the paper.
    Kept,
    /// Those of least error, now that the others are zero.
    Refitted,
}

/// `Z` and its products.
pub(super) struct FeatureStep {
    /// `Zᵀ` `[feature, unit]`.
    pub(super) features: Array2<f32>,
    pub(super) winners: Winners,
    /// `Q = ZᵀZ` `[feature, feature]`.
    pub(super) gram: Array2<f64>,
    /// `[unit, feature]`
    right: Vec<f64>,
    left: Mat<f64>,
}

impl FeatureStep {
    pub(super) fn new(k: usize, units: usize, kept: usize) -> Self {
        Self {
            features: Array2::zeros((k, units)),
            winners: Winners::new(k, kept),
            gram: Array2::zeros((k, k)),
            right: vec![0.0; k * units],
            left: Mat::zeros(k, k),
        }
    }

    /// Solves for `Z`; gives the factors by which the rows of `Gᵀ` have to be multiplied.
    pub(super) fn solve(&mut self, sums: &Sums, ridge: f64, values: Values) -> Result<Vec<f32>> {
        let Self { features, winners, gram, right, left } = self;
        let (k, units) = features.dim();
        for row in 0..k {
            for column in 0..k {
                left[(row, column)] = sums.gram[[row, column]];
            }
            left[(row, row)] += ridge;
        }
        for (right, &toward) in right.iter_mut().zip(&sums.toward) {
            *right = f64::from(toward);
        }
        let solution = MatMut::from_column_major_slice_mut(right, k, units);
        if let Ok(factor) = left.llt(Side::Lower) {
            factor.solve_in_place(solution);
        } else {
            // Rounding can take away the last of what the ridge gave.
            tracing::debug!("GᵀG + λI is not positive definite: solved by LU");
            left.partial_piv_lu().solve_in_place(solution);
        }
        // A few rows at a time: both sides are then read and written in whole cache lines.
        let rows = features.as_slice_mut().expect("made contiguous");
        rows.par_chunks_mut(8 * units).enumerate().for_each(|(block, rows)| {
            for (unit, solved) in right.chunks(k).enumerate() {
                for (row, &value) in rows.chunks_mut(units).zip(&solved[8 * block..]) {
                    row[unit] = value as f32;
                }
            }
        });
        if let Some(found) = features.iter().find(|value| !value.is_finite()) {
            return Err(Error::Diverged {
                what: "a feature of snmf".to_owned(),
                found: f64::from(*found),
                step: 0,
                help: Some("scale the activity to moderate numbers, or raise `ridge`".to_owned()),
            });
        }
        winners.take(features);
        if values == Values::Refitted && winners.kept() < units {
            refit(winners, features, sums, ridge);
        }
        let norms: Vec<f32> =
            (0..k).map(|j| sums.gram[[j, j]].sqrt().max(SHORTEST) as f32).collect();
        winners.scale(&norms, features);
        winners.gram(features, gram);
        Ok(norms.iter().map(|norm| 1.0 / norm).collect())
    }

    /// `P = (AᵀZ)ᵀ` `[feature, sample]` of a tile.
    pub(super) fn correlate(&self, tile: ArrayView2<'_, f32>, out: &mut [f32]) {
        self.winners.correlate(self.features.view(), tile, out);
    }
}

/// Sets the values that stay to those of least error: a small system for each unit, of the
/// features that keep it.
fn refit(winners: &mut Winners, features: &mut Array2<f32>, sums: &Sums, ridge: f64) {
    let by_unit = winners.by_unit(features.ncols());
    let solved: Vec<Vec<f32>> = by_unit
        .par_iter()
        .enumerate()
        .map_init(Vec::new, |factor, (unit, places)| {
            let own: Vec<usize> = places.iter().map(|&(feature, _)| feature).collect();
            let right = own.iter().map(|&j| f64::from(sums.toward[[unit, j]])).collect();
            let at = |i: usize, j: usize| sums.gram[[own[i], own[j]]] + f64::from(i == j) * ridge;
            solve_small(at, right, factor).unwrap_or_default()
        })
        .collect();
    for (unit, (places, solved)) in by_unit.iter().zip(solved).enumerate() {
        // A system without a solution leaves its unit as it is.
        for (&(feature, place), value) in places.iter().zip(solved) {
            winners.set(place, value);
            features[[feature, unit]] = value;
        }
    }
}

/// Solves a positive definite system by Cholesky; `None` where rounding made it none.
fn solve_small(
    at: impl Fn(usize, usize) -> f64,
    mut right: Vec<f64>,
    factor: &mut Vec<f64>,
) -> Option<Vec<f32>> {
    let size = right.len();
    factor.clear();
    factor.resize(size * size, 0.0);
    for row in 0..size {
        for column in 0..=row {
            let known: f64 =
                (0..column).map(|i| factor[row * size + i] * factor[column * size + i]).sum();
            let rest = at(row, column) - known;
            factor[row * size + column] = if row > column {
                rest / factor[column * size + column]
            } else if rest > 1e-14 * at(row, row) {
                rest.sqrt()
            } else {
                return None;
            };
        }
        let known: f64 = (0..row).map(|i| factor[row * size + i] * right[i]).sum();
        right[row] = (right[row] - known) / factor[row * size + row];
    }
    for row in (0..size).rev() {
        let known: f64 = (row + 1..size).map(|i| factor[i * size + row] * right[i]).sum();
        right[row] = (right[row] - known) / factor[row * size + row];
    }
    right.iter().map(|&value| (value as f32).is_finite().then_some(value as f32)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_systems_are_solved_and_singular_ones_told() {
        let a = [[4.0, 2.0, 0.6], [2.0, 5.0, 1.0], [0.6, 1.0, 3.0]];
        let truth = [1.0, -2.0, 0.5];
        let right = a.iter().map(|row| row.iter().zip(&truth).map(|(a, x)| a * x).sum()).collect();
        let found = solve_small(|i, j| a[i][j], right, &mut Vec::new()).expect("has a solution");
        for (found, truth) in found.iter().zip(truth) {
            assert!((f64::from(*found) - truth).abs() < 1e-6, "{found} {truth}");
        }
        assert!(solve_small(|_, _| 1.0, vec![1.0, 1.0], &mut Vec::new()).is_none());
        assert_eq!(solve_small(|_, _| 1.0, Vec::new(), &mut Vec::new()), Some(Vec::new()));
    }

    #[test]
    fn refitted_values_have_the_least_error_of_their_units() {
        // Two features over three units, exactly two units each: the second keeps units 0 and 2.
        let a =
            ndarray::array![[3.0f32, 1.0, 0.0], [0.1, 2.0, 1.0], [1.0, 0.3, 4.0], [2.0, 2.0, 1.0]];
        let g = ndarray::array![[1.0f32, 0.2], [0.3, 1.0], [0.1, 0.9], [1.0, 0.4]];
        let mut sums = Sums::new(2, 3);
        sums.add(&g.t().as_standard_layout().into_owned(), a.t().as_standard_layout().view());
        let error = |z: &Array2<f32>| (g.dot(z) - &a).iter().map(|v| f64::from(v * v)).sum::<f64>();
        let mut step = FeatureStep::new(2, 3, 2);
        let undo = |z: &Array2<f32>, factors: &[f32]| {
            let mut z = z.clone();
            for (mut row, factor) in z.rows_mut().into_iter().zip(factors) {
                row *= *factor;
            }
            z
        };
        let factors = step.solve(&sums, 1e-9, Values::Kept).expect("solves");
        let kept = undo(&step.features, &factors);
        let factors = step.solve(&sums, 1e-9, Values::Refitted).expect("solves");
        let refitted = undo(&step.features, &factors);
        assert!(error(&refitted) < error(&kept) * 0.999, "{} {}", error(&refitted), error(&kept));
        for ((place, &value), &other) in refitted.indexed_iter().zip(&kept) {
            assert_eq!(value == 0.0, other == 0.0);
            if value != 0.0 {
                for change in [-1e-2, 1e-2] {
                    let mut moved = refitted.clone();
                    moved[place] += change;
                    assert!(error(&moved) > error(&refitted), "{place:?}");
                }
            }
        }
    }
}
