//! Control units: others of the same site whose write vectors are about as long.

use nissl_core::Result;
use nissl_core::network::LanguageNetwork;
use nissl_core::seed::rng;
use rand::RngExt;

use super::held::write_vector;
use super::unit::Unit;
use crate::likelihood::values;

/// Of how many nearest units, for each control, one is drawn.
const POOL: usize = 4;

/// `count` groups of units to be clamped in the place of `units`: for each unit one of the same site,
/// drawn from the `4 · count` whose write vectors `‖D_{:,j}‖` are nearest in length to its own; where
/// units have none, from all of the site. No group holds one of `units`.
///
/// Fewer groups come back where a site has not enough units.
///
/// # Errors
/// A down projection that cannot be read.
pub fn control_units(
    network: &dyn LanguageNetwork,
    units: &[Unit],
    count: usize,
    seed: u64,
) -> Result<Vec<Vec<Unit>>> {
    let mut drawn: Vec<Vec<Unit>> = Vec::with_capacity(units.len());
    for (number, unit) in units.iter().enumerate() {
        let lengths = write_lengths(network, unit)?;
        let own = lengths.get(unit.unit).copied().unwrap_or_default();
        let mut near: Vec<(f64, usize)> = lengths
            .iter()
            .enumerate()
            .map(|(at, length)| ((length - own).abs(), at))
            .filter(|&(_, at)| {
                let other = Unit { site: unit.site.clone(), unit: at };
                !units.contains(&other) && !drawn.iter().flatten().any(|taken| *taken == other)
            })
            .collect();
        near.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        // All as near as the last of the pool are in it, or equal lengths would favour low numbers.
        let bound = near.get((POOL * count).saturating_sub(1)).map_or(f64::INFINITY, |last| last.0);
        near.retain(|&(distance, _)| distance <= bound);
        let mut rng = rng(seed, 0xc1a9_0000 + number as u64);
        let take = count.min(near.len());
        for place in 0..take {
            let other = rng.random_range(place..near.len());
            near.swap(place, other);
        }
        let chosen = near[..take].iter();
        drawn.push(chosen.map(|&(_, at)| Unit { site: unit.site.clone(), unit: at }).collect());
    }
    let groups = drawn.iter().map(Vec::len).min().unwrap_or(0);
    Ok((0..groups).map(|group| drawn.iter().map(|of| of[group].clone()).collect()).collect())
}

/// The lengths of the write vectors of all units of a unit's site; all 1 where they have none.
fn write_lengths(network: &dyn LanguageNetwork, unit: &Unit) -> Result<Vec<f64>> {
    let width = network.width(&unit.site).unwrap_or_default();
    let is_hidden = matches!(unit.site.part(), "mlp.act" | "mlp.pre");
    match unit.site.layer() {
        Some(layer) if is_hidden && write_vector(network, unit)?.is_some() => {
            let squares = network.down_projection(layer)?.square().sum_dim(1);
            Ok(values(squares)?.into_iter().map(|sum| f64::from(sum).sqrt()).collect())
        }
        _ => Ok(vec![1.0; width]),
    }
}
