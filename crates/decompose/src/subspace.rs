//! The leading left singular vectors of activity, by randomised subspace iteration.
//!
//! From a random `W` `[unit, l]`, `W ← orth(X Xᵀ W)` in each pass, then the eigenvectors of
//! `(Wᵀ X)(Wᵀ X)ᵀ`. Source: Halko, Martinsson, Tropp 2011, §4.5 (algorithm 4.4).
//! Memory: two `[unit, l]` matrices and one tile.

use faer::{MatRef, Side};
use ndarray::{Array2, ArrayView2, s};
use nissl_core::features::product;
use nissl_core::seed::rng;
use nissl_core::{Error, Progress, Result};
use rand_distr::{Distribution, StandardNormal};

use crate::activity::Activity;

/// What is looked for, and how hard.
pub(crate) struct Subspace {
    /// Vectors wanted.
    pub(crate) k: usize,
    /// Vectors carried along beyond `k`.
    pub(crate) oversample: usize,
    /// Passes that sharpen the subspace.
    pub(crate) passes: usize,
    /// The seed and stream of the first subspace.
    pub(crate) seed: (u64, u64),
    /// Subtracted from every sample, when centred.
    pub(crate) means: Option<Vec<f32>>,
}

/// Orthonormal rows `[k, unit]` and the squared singular values, descending.
pub(crate) fn leading(
    activity: &Activity<'_>,
    wanted: &Subspace,
    progress: &Progress,
) -> Result<(Array2<f32>, Vec<f64>)> {
    let units = activity.units();
    let width = (wanted.k + wanted.oversample).min(units).min(activity.samples());
    let mut rng = rng(wanted.seed.0, wanted.seed.1);
    let start = Array2::from_shape_simple_fn((units, width), || StandardNormal.sample(&mut rng));
    let mut basis = orthonormal(&start);
    let stage = progress.stage("subspace", wanted.passes as u64 + 1, "passes");
    for pass in 0..wanted.passes {
        let mut next = Array2::<f64>::zeros((units, width));
        activity.pass(|_, tile| {
            progress.check(|| format!("{pass} passes; nothing was written"))?;
            let tile = centred(tile, wanted.means.as_deref());
            let seen = product(basis.t(), tile.view());
            next += &product(tile.view(), seen.t()).mapv(f64::from);
            Ok(())
        })?;
        basis = orthonormal(&next);
        stage.advance(1);
    }
    let mut small = Array2::<f64>::zeros((width, width));
    activity.pass(|_, tile| {
        progress.check(|| "the subspace; nothing was written".to_owned())?;
        let tile = centred(tile, wanted.means.as_deref());
        let seen = product(basis.t(), tile.view());
        small += &product(seen.view(), seen.t()).mapv(f64::from);
        Ok(())
    })?;
    stage.advance(1);
    let (values, vectors) = eigen(&small)?;
    let count = wanted.k.min(width);
    let chosen = vectors.slice(s![..count, ..]).mapv(|value| value as f32);
    let rows = product(chosen.view(), basis.t());
    Ok((signed(rows), values[..count].to_vec()))
}

/// A tile less the mean of each unit.
pub(crate) fn centred(tile: ArrayView2<'_, f32>, means: Option<&[f32]>) -> Array2<f32> {
    let mut tile = tile.to_owned();
    for (mut row, mean) in tile.rows_mut().into_iter().zip(means.into_iter().flatten()) {
        row -= *mean;
    }
    tile
}

/// Eigenvalues, descending, with the eigenvectors as rows.
///
/// # Errors
/// A matrix on which the solver does not converge.
pub(crate) fn eigen(symmetric: &Array2<f64>) -> Result<(Vec<f64>, Array2<f64>)> {
    let size = symmetric.nrows();
    let flat: Vec<f64> = symmetric.iter().copied().collect();
    let matrix = MatRef::from_row_major_slice(&flat, size, size);
    let found =
        matrix.self_adjoint_eigen(Side::Lower).map_err(|_no_convergence| Error::Diverged {
            what: "the eigenvalues".to_owned(),
            found: f64::NAN,
            step: 0,
            help: Some("scale the activity to moderate numbers".to_owned()),
        })?;
    // The solver gives them ascending.
    let values = (0..size).rev().map(|at| found.S()[at].max(0.0)).collect();
    let vectors =
        Array2::from_shape_fn((size, size), |(row, column)| found.U()[(column, size - 1 - row)]);
    Ok((values, vectors))
}

/// Rows whose largest entry is positive: an eigenvector has no sign of its own.
pub(crate) fn signed(mut rows: Array2<f32>) -> Array2<f32> {
    for mut row in rows.rows_mut() {
        let largest = row.iter().fold(
            0f32,
            |most, &value| {
                if value.abs() > most.abs() { value } else { most }
            },
        );
        if largest < 0.0 {
            row.mapv_inplace(|value| -value);
        }
    }
    rows
}

/// Orthonormal columns that span the columns of `matrix`.
fn orthonormal(matrix: &Array2<f64>) -> Array2<f32> {
    let (rows, columns) = matrix.dim();
    let flat: Vec<f64> = matrix.iter().copied().collect();
    let thin = MatRef::from_row_major_slice(&flat, rows, columns).qr().compute_thin_Q();
    Array2::from_shape_fn((rows, columns), |(row, column)| thin[(row, column)] as f32)
}
