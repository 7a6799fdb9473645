//! What values units take by themselves, over a recording or over texts: the measure of a clamp.
//!
//! Memory: four numbers a unit, and one batch of activity.

use ndarray::Array2;
use nissl_core::network::{LanguageNetwork, TokenBatch};
use nissl_core::stats::moments::Moments;
use nissl_core::taps::Taps;
use nissl_core::{Error, Progress, Recording, Result};
use serde::{Deserialize, Serialize};

use super::unit::{Unit, check_units};

/// What a unit does by itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnitRange {
    /// The smallest value seen.
    pub minimum: f32,
    /// The largest value seen.
    pub maximum: f32,
    /// The mean.
    pub mean: f64,
    /// The standard deviation.
    pub deviation: f64,
    /// The values seen.
    pub samples: u64,
}

impl UnitRange {
    /// The value that multiples are taken of: the maximum, or where no value is above 0 the
    /// greatest magnitude.
    pub fn peak(&self) -> f64 {
        if self.maximum > 0.0 { f64::from(self.maximum) } else { self.magnitude() }
    }

    /// The greatest magnitude seen.
    pub fn magnitude(&self) -> f64 {
        f64::from(self.maximum.abs().max(self.minimum.abs()))
    }
}

/// The range of each of `units` over the samples of a recording.
///
/// # Errors
/// A unit that was not recorded, or shards that cannot be read.
pub fn ranges_in_recording(recording: &Recording, units: &[Unit]) -> Result<Vec<UnitRange>> {
    let table = recording.unit_table();
    let (sites, indices) = (table.texts("site")?, table.u32s("index")?);
    let columns = units
        .iter()
        .map(|unit| {
            let is_it =
                |&at: &usize| sites[at] == unit.site.name() && indices[at] as usize == unit.unit;
            (0..sites.len()).find(is_it).ok_or_else(|| {
                let path = recording.path();
                Error::file(path, "units", format!("without {unit}"), "the unit to be clamped")
                    .with_help(format!("record it: nissl record MODEL --site {}", unit.site))
            })
        })
        .collect::<Result<Vec<usize>>>()?;
    let mut moments = Moments::new(units.len());
    for block in recording.blocks(4096) {
        moments.push(block?.activity.select(ndarray::Axis(1), &columns).view());
    }
    ranges(&moments, units)
}

/// The range of each of `units` while `network` reads `texts`, each cut to its context.
///
/// # Errors
/// Units the network has not, texts that cannot be read, or none.
pub fn ranges_in_texts(
    network: &dyn LanguageNetwork,
    texts: impl Iterator<Item = Result<Vec<u32>>>,
    units: &[Unit],
    progress: &Progress,
) -> Result<Vec<UnitRange>> {
    check_units(network, units)?;
    let stage = progress.stage("read", 0, "texts");
    let mut moments = Moments::new(units.len());
    for (number, text) in texts.enumerate() {
        progress.check(|| format!("{number} texts"))?;
        let text = text?;
        for window in text.chunks(network.context()) {
            moments.push(activity(network, window, units)?.view());
        }
        stage.advance(1);
    }
    ranges(&moments, units)
}

fn ranges(moments: &Moments, units: &[Unit]) -> Result<Vec<UnitRange>> {
    let (means, variances) = (moments.means(), moments.variances());
    (0..units.len())
        .map(|at| {
            let samples = moments.counts()[at];
            if samples == 0 {
                let what = format!("the reference activity of {}", units[at]);
                return Err(Error::Empty { what, expected: "at least one sample".to_owned() });
            }
            let (minimum, maximum) = (moments.minima()[at], moments.maxima()[at]);
            let (mean, deviation) = (means[at], variances[at].max(0.0).sqrt());
            Ok(UnitRange { minimum, maximum, mean, deviation, samples })
        })
        .collect()
}

/// The values `[position, unit]` of `units` while the network reads one sequence.
fn activity(network: &dyn LanguageNetwork, tokens: &[u32], units: &[Unit]) -> Result<Array2<f32>> {
    let mut seen = vec![Vec::new(); units.len()];
    let mut sites: Vec<&str> = units.iter().map(|unit| unit.site.name()).collect();
    sites.sort_unstable();
    sites.dedup();
    let pattern = format!("{{{}}}", sites.join(","));
    let mut failed = None;
    let mut taps = Taps::none()
        .read(pattern.parse()?, |site, x| {
            let [_, positions, width] = x.dims();
            match crate::likelihood::values(x.clone()) {
                Ok(values) => {
                    for (unit, column) in units.iter().zip(&mut seen) {
                        if unit.site.name() == site {
                            *column = (0..positions)
                                .map(|position| values[position * width + unit.unit])
                                .collect();
                        }
                    }
                }
                Err(error) => failed = Some(error),
            }
        })
        .without_output();
    network.forward(&TokenBatch::new(&[tokens])?, &mut taps)?;
    drop(taps);
    match failed {
        Some(error) => Err(error),
        None => Ok(Array2::from_shape_fn((tokens.len(), units.len()), |(row, unit)| {
            seen[unit].get(row).copied().unwrap_or(f32::NAN)
        })),
    }
}
