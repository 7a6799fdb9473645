//! Winner-take-all, and products with what it leaves.

use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis};
use nissl_core::features::product_into;
use nissl_kernels::factors::weighted_rows;
use rayon::prelude::*;

/// The units that each feature keeps, ascending, with their values.
pub(super) struct Winners {
    kept: usize,
    /// `[feature, kept]`
    units: Vec<u32>,
    values: Vec<f32>,
}

impl Winners {
    pub(super) fn new(features: usize, kept: usize) -> Self {
        Self { kept, units: vec![0; features * kept], values: vec![0.0; features * kept] }
    }

    /// Units kept in each feature.
    pub(super) fn kept(&self) -> usize {
        self.kept
    }

    /// For each unit the features that keep it, each with the place of its value.
    pub(super) fn by_unit(&self, units: usize) -> Vec<Vec<(usize, usize)>> {
        let mut by_unit = vec![Vec::new(); units];
        for (place, &unit) in self.units.iter().enumerate() {
            by_unit[unit as usize].push((place / self.kept, place));
        }
        by_unit
    }

    /// Changes one value; that in the dense features is the caller's.
    pub(super) fn set(&mut self, place: usize, value: f32) {
        self.values[place] = value;
    }

    /// Whether summing the kept units' rows is faster than a dense product over all `units`.
    ///
    /// Measured: a dense product does about twelve times the work in the same time.
    fn are_few(&self, units: usize) -> bool {
        self.kept * 12 < units
    }

    /// Keeps the entries of largest magnitude in each row of `features` `[feature, unit]`, the
    /// lower unit on ties, and sets all others to zero.
    pub(super) fn take(&mut self, features: &mut Array2<f32>) {
        let kept = self.kept;
        let width = features.ncols();
        let all = features.axis_iter_mut(Axis(0)).into_par_iter();
        all.zip(self.units.par_chunks_mut(kept))
            .zip(self.values.par_chunks_mut(kept))
            .for_each_init(
                || Vec::with_capacity(width),
                |order: &mut Vec<u64>, ((mut row, units), values)| {
                    order.clear();
                    // One number for each unit: the larger magnitude first, then the lower unit.
                    order.extend(row.iter().zip(0u64..).map(|(value, unit)| {
                        (u64::from(u32::MAX - value.abs().to_bits()) << 32) | unit
                    }));
                    if kept < width {
                        order.select_nth_unstable(kept - 1);
                        order.truncate(kept);
                    }
                    for (unit, &winner) in units.iter_mut().zip(&*order) {
                        *unit = winner as u32;
                    }
                    units.sort_unstable();
                    for (&unit, value) in units.iter().zip(values.iter_mut()) {
                        *value = row[unit as usize];
                    }
                    row.fill(0.0);
                    for (&unit, &value) in units.iter().zip(values.iter()) {
                        row[unit as usize] = value;
                    }
                },
            );
    }

    /// Multiplies each feature by its factor, here and in the dense `features`.
    pub(super) fn scale(&mut self, factors: &[f32], features: &mut Array2<f32>) {
        let rows = self.units.chunks(self.kept).zip(self.values.chunks_mut(self.kept));
        for (((units, values), &factor), mut row) in rows.zip(factors).zip(features.rows_mut()) {
            for (&unit, value) in units.iter().zip(values) {
                *value *= factor;
                row[unit as usize] = *value;
            }
        }
    }

    /// Inner products of all features `[feature, feature]`, summed in f64.
    pub(super) fn gram(&self, features: &Array2<f32>, out: &mut Array2<f64>) {
        let rows = self.units.par_chunks(self.kept).zip(self.values.par_chunks(self.kept));
        out.axis_iter_mut(Axis(0)).into_par_iter().zip(rows).for_each(
            |(mut out, (units, values))| {
                for (out, other) in out.iter_mut().zip(features.rows()) {
                    *out = units
                        .iter()
                        .zip(values)
                        .map(|(&unit, &value)| f64::from(value) * f64::from(other[unit as usize]))
                        .sum();
                }
            },
        );
    }

    /// Inner products `[feature, sample]` of the dense `features` and a tile `[unit, sample]`; where
    /// few units are kept, sums of their rows alone.
    pub(super) fn correlate(
        &self,
        features: ArrayView2<'_, f32>,
        tile: ArrayView2<'_, f32>,
        out: &mut [f32],
    ) {
        let samples = tile.ncols();
        if !self.are_few(tile.nrows()) {
            let shape = (features.nrows(), samples);
            let out = ArrayViewMut2::from_shape(shape, out).expect("cut to size");
            product_into(out, features, tile);
            return;
        }
        let flat = tile.to_slice().expect("tiles have contiguous rows");
        let rows = self.units.par_chunks(self.kept).zip(self.values.par_chunks(self.kept));
        out.par_chunks_mut(samples)
            .zip(rows)
            .for_each(|(out, (units, values))| weighted_rows(flat, units, values, out));
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn ties_go_to_the_lower_unit_and_exactly_as_many_stay() {
        let mut features = array![[1.0f32, -1.0, 0.5, 1.0, -2.0], [0.0, 0.0, 0.0, 0.0, 0.0]];
        let mut winners = Winners::new(2, 3);
        winners.take(&mut features);
        assert_eq!(features.row(0).to_vec(), [1.0, -1.0, 0.0, 0.0, -2.0]);
        assert_eq!(winners.units, [0, 1, 4, 0, 1, 2]);
    }

    #[test]
    fn sparse_products_equal_dense_ones() {
        let mut features =
            Array2::from_shape_fn((3, 20), |(f, u)| ((f * 31 + u * 17) % 23) as f32 - 11.0);
        let tile = Array2::from_shape_fn((20, 150), |(u, s)| ((u * 7 + s * 3) % 13) as f32 - 6.0);
        let mut winners = Winners::new(3, 5);
        winners.take(&mut features);
        assert!(
            features.rows().into_iter().all(|row| row.iter().filter(|v| **v != 0.0).count() == 5)
        );
        winners.scale(&[1.0, 2.0, 0.5], &mut features);
        let mut out = vec![0.0; 3 * 150];
        winners.correlate(features.view(), tile.view(), &mut out);
        let dense = features.dot(&tile);
        assert_eq!(out, dense.iter().copied().collect::<Vec<_>>());
        let mut gram = Array2::zeros((3, 3));
        winners.gram(&features, &mut gram);
        assert_eq!(gram, features.dot(&features.t()).mapv(f64::from));
    }
}
