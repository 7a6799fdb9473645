//! How far products of rounded numbers may lie from those of the numbers themselves.
//!
//! With `x̂` and `ŵ` rounded and `δ` what that takes off, `⟨x, w⟩ − ⟨x̂, ŵ⟩ = ⟨δx, w⟩ + ⟨x̂, δw⟩`, hence
//! within `‖δx‖ ‖w‖ + ‖x̂‖ ‖δw‖`: for numbers of all sizes about three thousandths of `‖x‖ ‖w‖`, a
//! twelfth of what two random directions of 768 units have in common.

use rayon::prelude::*;

use super::engine::PANEL;
use crate::simd::sparse;

/// Bounds of all samples and of all panels of features.
#[derive(Clone, Debug)]
pub(super) struct Bounds {
    /// `[row]`: norms of rounded samples; NaN for those that are not finite
    norms: Vec<f32>,
    /// `[row]`: norms of what rounding takes off
    rests: Vec<f32>,
    /// Of each panel the largest norm of a feature, and of what rounding takes off
    panels: Vec<[f32; 2]>,
}

/// Errors of sums and of the bounds themselves: this much more is allowed for.
const SLACK: f32 = 1.001;
/// Share of a value that its own rounding may take.
const ROUNDING: f32 = 1e-6;

/// The norm of a row, and of what rounding takes off.
fn norms(row: &[f32]) -> [f32; 2] {
    let [norm, rest] = sparse::squares(row).map(f32::sqrt);
    if norm.is_finite() { [norm, rest] } else { [f32::NAN, 0.0] }
}

impl Bounds {
    pub(super) fn new(x: &[f32], encoder: &[f32], units: usize) -> Self {
        let rows = x.par_chunks(units).with_min_len(16).map(norms);
        let (norms_of_rows, rests) =
            rows.map(|[norm, rest]| (SLACK * (norm + rest), SLACK * rest)).unzip();
        // Each of the sums' additions is rounded.
        let sums = (units + 2) as f32 * f32::EPSILON;
        let panels = encoder.par_chunks(PANEL * units).map(|panel| {
            panel.chunks(units).map(norms).fold([0f32; 2], |most, [norm, rest]| {
                // NaN is passed over: such a feature has no product that could be selected.
                [most[0].max(norm), most[1].max(rest + sums * norm)]
            })
        });
        Self { norms: norms_of_rows, rests, panels: panels.collect() }
    }

    /// Largest error of a row's products with a panel's features; NaN for a row that is not finite.
    pub(super) fn between(&self, row: usize, panel: usize) -> f32 {
        let [norm, rest] = self.panels[panel];
        self.rests[row] * norm + self.norms[row] * rest
    }

    /// What rough values of the rows from `first` on must be above, for the true ones to reach the
    /// `least`, none of which is negative.
    pub(super) fn thresholds(&self, first: usize, panel: usize, least: &[f32], out: &mut [f32]) {
        let rows = first..first + least.len();
        let (norms, rests) = (&self.norms[rows.clone()], &self.rests[rows]);
        sparse::thresholds(least, norms, rests, self.panels[panel], 2.0 * ROUNDING, out);
    }
}

/// Least that a value within `error` of the true one can be.
pub(super) fn lower(value: f32, error: f32) -> f32 {
    value - error - ROUNDING * value.abs()
}

/// Most that the true value can be, given the least.
pub(super) fn upper(lower: f32, error: f32) -> f32 {
    lower + 2.0 * (error + ROUNDING * (lower.abs() + error))
}
