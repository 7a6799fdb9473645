//! Which units a feature is made of.
//!
//! The units of largest `|z_i|` with their share `z_i² / ‖z‖²` of the squared length; of a dictionary
//! from one site to another those that it reads, and then those that it writes.
//! Memory: the dictionary.

use ndarray::{ArrayView1, ArrayView2};
use nissl_core::features::Features;
use nissl_core::{Column, Result, Table};

/// A unit's part in a feature.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// The column of the recording.
    pub unit: usize,
    /// Its weight.
    pub weight: f32,
    /// Its share of the squared length, 0 to 1.
    pub share: f32,
}

/// The file of the compositions.
pub const FILE: &str = "composition.parquet";

/// The at most `size` strongest units of a direction `[unit]`, equal ones by lower unit; units of
/// weight 0 are no part of it.
pub fn composition(direction: ArrayView1<'_, f32>, size: usize) -> Vec<Part> {
    let squared: f64 = direction.iter().map(|&z| f64::from(z).powi(2)).sum();
    let mut order: Vec<usize> = (0..direction.len()).filter(|&u| direction[u] != 0.0).collect();
    let descending = |a: &usize, b: &usize| {
        direction[*b].abs().total_cmp(&direction[*a].abs()).then_with(|| a.cmp(b))
    };
    if size < order.len() {
        order.select_nth_unstable_by(size, descending);
        order.truncate(size);
    }
    order.sort_unstable_by(descending);
    let part = |unit: usize| {
        let weight = direction[unit];
        Part { unit, weight, share: (f64::from(weight).powi(2) / squared) as f32 }
    };
    order.into_iter().map(part).collect()
}

/// Which of its sides a feature has the units on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitSide {
    /// It reads and writes them.
    Both,
    /// It reads them.
    Read,
    /// It writes them.
    Written,
}

impl UnitSide {
    /// As in the column `side`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::Read => "read",
            Self::Written => "written",
        }
    }
}

/// The directions `[feature, unit]` of each side with the table of their units.
pub fn sides(features: &Features) -> Vec<(UnitSide, ArrayView2<'_, f32>, &Table)> {
    let dictionary = features.dictionary();
    let read = (dictionary.decoder.view(), features.unit_table());
    if dictionary.output_decoder.is_none() {
        return vec![(UnitSide::Both, read.0, read.1)];
    }
    let written = (dictionary.written(), features.output_unit_table());
    vec![(UnitSide::Read, read.0, read.1), (UnitSide::Written, written.0, written.1)]
}

/// Writes `composition.parquet`: `feature`, `side`, `rank`, `unit`, `site`, `index`, `weight`, `share`.
///
/// # Errors
/// A unit table without `site` and `index`, or a failed file operation.
pub fn write(features: &Features, size: usize) -> Result<()> {
    let (mut feature, mut of, mut rank) = (Vec::new(), Vec::new(), Vec::new());
    let (mut unit, mut site, mut index) = (Vec::new(), Vec::new(), Vec::new());
    let (mut weight, mut share) = (Vec::new(), Vec::new());
    let sides = sides(features);
    for number in 0..features.features() {
        for (side, directions, table) in &sides {
            let (sites, indices) = (table.texts("site")?, table.u32s("index")?);
            for (place, part) in (0..).zip(composition(directions.row(number), size)) {
                feature.push(number as u32);
                of.push(side.name().to_owned());
                rank.push(place);
                unit.push(part.unit as u32);
                site.push(sites[part.unit].clone());
                index.push(indices[part.unit]);
                weight.push(part.weight);
                share.push(part.share);
            }
        }
    }
    Table::new()
        .with("feature", Column::U32(feature))
        .with("side", Column::Text(of))
        .with("rank", Column::U32(rank))
        .with("unit", Column::U32(unit))
        .with("site", Column::Text(site))
        .with("index", Column::U32(index))
        .with("weight", Column::F32(weight))
        .with("share", Column::F32(share))
        .write(&features.path().join(FILE))
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn the_strongest_units_come_first_with_their_share() {
        let direction = array![3.0f32, 0.0, -4.0, 0.0, 3.0];
        let parts = composition(direction.view(), 2);
        assert_eq!(parts.iter().map(|part| part.unit).collect::<Vec<_>>(), [2, 0]);
        assert!((parts[0].share - 16.0 / 34.0).abs() < 1e-6);
        assert!((parts[0].weight + 4.0).abs() < 1e-6);
        assert_eq!(composition(direction.view(), 9).len(), 3);
        assert!(composition(array![0.0f32, 0.0].view(), 3).is_empty());
    }
}
