//! Steps of Adam, and decoders whose rows keep the norm 1.

use rayon::prelude::*;

use crate::simd::sparse::{self, Rates};

/// Numbers of one task.
const BLOCK: usize = 1 << 14;

/// A step of Adam.
///
/// `m ← β₁ m + (1 − β₁) g`, `v ← β₂ v + (1 − β₂) g²`,
/// `θ ← θ − rate · m / (1 − β₁ⁿ) / (√(v / (1 − β₂ⁿ)) + ε)` with the step's number `n`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamStep {
    /// Learning rate
    pub rate: f32,
    /// `β₁` and `β₂`, each from 0 to below 1
    pub betas: [f32; 2],
    /// `ε`, above 0
    pub epsilon: f32,
    /// The step's number, from 1 on
    pub number: u32,
}

impl AdamStep {
    fn rates(self) -> Rates {
        let corrected = |beta: f32| 1.0 - f64::from(beta).powf(f64::from(self.number.max(1)));
        let [first, second] = self.betas;
        Rates {
            first,
            second,
            rate: (f64::from(self.rate) / corrected(first)) as f32,
            root: corrected(second).sqrt().recip() as f32,
            epsilon: self.epsilon,
        }
    }
}

/// Moves `parameters` by a step of Adam against their `gradient`, and the moments `first` and `second`
/// with it; all of one length, the moments zero before the first step.
///
/// # Panics
///
/// When the lengths differ.
pub fn adam(
    parameters: &mut [f32],
    gradient: &[f32],
    first: &mut [f32],
    second: &mut [f32],
    step: AdamStep,
) {
    let count = parameters.len();
    assert_eq!(gradient.len(), count, "a gradient for each parameter");
    assert_eq!([first.len(), second.len()], [count; 2], "two moments for each parameter");
    let rates = step.rates();
    parameters
        .par_chunks_mut(BLOCK)
        .zip(gradient.par_chunks(BLOCK))
        .zip(first.par_chunks_mut(BLOCK).zip(second.par_chunks_mut(BLOCK)))
        .for_each(|((parameters, gradient), (first, second))| {
            sparse::adam(parameters, gradient, first, second, rates);
        });
}

/// Divides each row of `matrix` `[row, width]` by its Euclidean norm; rows of zeros, and rows that are
/// not finite, stay.
///
/// # Panics
///
/// When `matrix` does not consist of whole rows.
pub fn unit_rows(matrix: &mut [f32], width: usize) {
    whole(matrix, width);
    matrix.par_chunks_mut(block(width)).for_each(|rows| {
        for row in rows.chunks_mut(width) {
            sparse::unit(row);
        }
    });
}

/// Takes off each row of `gradient` `[row, width]` its part along the same row of `matrix`, so that a
/// small step leaves that row's norm: `g ← g − ⟨g, w⟩ w / ‖w‖²`. Rows of zeros take nothing off.
///
/// # Panics
///
/// When the lengths differ or are not whole rows.
pub fn remove_along_rows(gradient: &mut [f32], matrix: &[f32], width: usize) {
    whole(gradient, width);
    assert_eq!(gradient.len(), matrix.len(), "a gradient for each number of the matrix");
    let block = block(width);
    gradient.par_chunks_mut(block).zip(matrix.par_chunks(block)).for_each(|(gradient, matrix)| {
        for (gradient, row) in gradient.chunks_mut(width).zip(matrix.chunks(width)) {
            sparse::remove_along(gradient, row);
        }
    });
}

fn whole(matrix: &[f32], width: usize) {
    assert!(width > 0, "rows of at least one number");
    let whole = matrix.len().is_multiple_of(width);
    assert!(whole, "{} numbers are not whole rows of {width}", matrix.len());
}

/// Numbers of one task, in whole rows.
fn block(width: usize) -> usize {
    BLOCK.div_ceil(width) * width
}
