//! How much of a planted sparse map a dictionary, or a layer of neurons, has found.

use ndarray::{Array2, ArrayView2, Axis};
use nissl_core::stats::auroc::auroc;
use nissl_core::stats::correlation::correlation_matrix;
use nissl_core::stats::matching::{Sign, cosines};

/// From this cosine, and this correlation of activations, a planted unit counts as found.
pub(super) const FOUND: f64 = 0.9;

/// The share of planted units `v_i` `[planted, output]` that some row of `written` `[found, output]`
/// points along, while its `activations` `[sample, found]` follow the planted `[sample, planted]`.
pub(super) fn found(
    written: ArrayView2<'_, f32>,
    activations: ArrayView2<'_, f32>,
    planted: (ArrayView2<'_, f32>, ArrayView2<'_, f32>),
) -> f64 {
    let (directions, firing) = planted;
    let along = cosines(written, directions, Sign::Signed);
    let together = correlation_matrix(activations, firing);
    let hit = |unit: usize| {
        (0..written.nrows())
            .any(|one| along[[one, unit]] >= FOUND && together[[one, unit]] >= FOUND)
    };
    let units = directions.nrows();
    (0..units).filter(|&unit| hit(unit)).count() as f64 / units as f64
}

/// For each planted direction `[planted, unit]` the row of `rows` `[found, unit]` nearest to it.
pub(super) fn nearest(
    rows: ArrayView2<'_, f32>,
    planted: ArrayView2<'_, f32>,
) -> Vec<(usize, f64)> {
    let along = cosines(rows, planted, Sign::Signed);
    let best = |unit: usize| {
        let mut best = (0, f64::NEG_INFINITY);
        for one in 0..rows.nrows() {
            if along[[one, unit]] > best.1 {
                best = (one, along[[one, unit]]);
            }
        }
        best
    };
    (0..planted.nrows()).map(best).collect()
}

/// The share of the planted units whose feature is near (by [`FOUND`]) that read their own planted
/// direction most: `argmax_j w_enc · w_j = i`.
pub(super) fn reads_its_own(
    features: &[(usize, f64)],
    reading: ArrayView2<'_, f32>,
    planted: ArrayView2<'_, f32>,
) -> f64 {
    let near: Vec<(usize, usize)> = (0..)
        .zip(features)
        .filter(|(_, (_, along))| *along >= FOUND)
        .map(|(unit, (feature, _))| (unit, *feature))
        .collect();
    let own = |&&(unit, feature): &&(usize, usize)| {
        let read = planted.dot(&reading.row(feature));
        read.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map(|(best, _)| best)
            == Some(unit)
    };
    near.iter().filter(own).count() as f64 / near.len().max(1) as f64
}

/// How well scores `[source, target]` of links tell the planted ones, source `i` to target `i`, from
/// all others; each target's scores are scaled to its largest, since dictionaries differ in length.
pub(super) fn links_told(scores: &Array2<f32>) -> f64 {
    let mut scores = scores.clone();
    for mut column in scores.columns_mut() {
        let most = column.iter().fold(0f32, |most, value| most.max(value.abs()));
        column.mapv_inplace(|value| if most > 0.0 { value / most } else { 0.0 });
    }
    let labels: Vec<bool> = scores.indexed_iter().map(|((i, j), _)| i == j).collect();
    let values: Vec<f32> = scores.iter().copied().collect();
    auroc(&values, &labels)
}

/// `Σ ‖ŷ − y‖² / Σ ‖y − ȳ‖²`.
pub(super) fn unexplained(said: &Array2<f32>, truth: &Array2<f32>) -> f64 {
    let mean = truth.mean_axis(Axis(0)).unwrap_or_default();
    let squares = |values: &Array2<f32>| values.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>();
    squares(&(said - truth)) / squares(&(truth - &mean))
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn a_unit_is_found_by_direction_and_firing_together() {
        let planted = array![[1.0f32, 0.0], [0.0, 1.0]];
        let firing = array![[1.0f32, 0.0], [0.0, 2.0], [3.0, 0.0], [0.0, 0.5]];
        let both = |written: &Array2<f32>, codes: &Array2<f32>| {
            found(written.view(), codes.view(), (planted.view(), firing.view()))
        };
        assert!((both(&(&planted * 3.0), &firing) - 1.0).abs() < 1e-12);
        // Right directions that fire for each other, and right firing along wrong directions.
        let swapped = firing.select(ndarray::Axis(1), &[1, 0]);
        assert!(both(&planted, &swapped).abs() < 1e-12);
        assert!(both(&array![[1.0, 1.0], [1.0, -1.0]], &firing).abs() < 1e-12);
    }

    #[test]
    fn links_are_told_when_the_own_source_is_strongest() {
        assert!((links_told(&array![[9.0, 0.1], [1.0, 0.2]]) - 1.0).abs() < 1e-12);
        assert!(links_told(&array![[0.0, 1.0], [1.0, 0.0]]).abs() < 1e-12);
    }

    #[test]
    fn reading_is_judged_for_features_that_were_found() {
        let planted = array![[1.0f32, 0.0], [0.0, 1.0], [-1.0, 0.0]];
        let features = [(0, 0.95), (1, 0.99), (2, 0.1)];
        let reading = array![[2.0f32, 0.5], [3.0, 1.0], [0.0, 0.0]];
        assert!((reads_its_own(&features, reading.view(), planted.view()) - 0.5).abs() < 1e-12);
    }
}
