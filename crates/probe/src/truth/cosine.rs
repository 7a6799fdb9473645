//! How well activity points along features: the score by which the paper detects concepts.
//!
//! `aⱼ = cos(x − b, zⱼ)` with the dictionary's centre `b` where it has one. Unlike a sparse code it
//! has no ties at zero, and it is the same rule for every dictionary.
//!
//! Source: Shafran, Geiger, Geva 2025, arXiv:2506.10920, concept detection.
//! Memory: one block of activity beside the scores.

use ndarray::{Array1, Array2, ArrayView1, Axis, s};
use nissl_core::features::{Features, product};
use nissl_core::{Error, Recording, Result};

/// Samples read at once.
const BLOCK: usize = 4096;

/// Cosines `[sample, feature]` of every sample with the `wanted` features' directions; 0 where
/// either has no length.
///
/// # Errors
/// A recording of other units, or a shard that cannot be read.
pub(super) fn cosines(
    features: &Features,
    recording: &Recording,
    wanted: &[usize],
) -> Result<Array2<f32>> {
    // A recording of several sites is cut to the one that was decomposed.
    let sites = features.unit_table().texts("site")?;
    let recording = match sites.first() {
        Some(site) if features.units() != recording.units() => &recording.only(&site.parse()?)?,
        _ => recording,
    };
    if features.units() != recording.units() {
        return Err(Error::Units {
            left: features.path().display().to_string(),
            found: features.units(),
            right: recording.path().display().to_string(),
            expected: recording.units(),
            help: Some("name the recording that was decomposed with --recording".to_owned()),
        });
    }
    let dictionary = features.dictionary();
    let mut directions = dictionary.decoder.select(Axis(0), wanted);
    for mut direction in directions.rows_mut() {
        let length = length(direction.view());
        direction.mapv_inplace(|z| if length > 0.0 { z / length } else { 0.0 });
    }
    let centre: Option<&Array1<f32>> = dictionary.decoder_bias.as_ref();
    let mut scores = Array2::zeros((recording.samples(), wanted.len()));
    for block in recording.blocks(BLOCK) {
        let block = block?;
        let mut activity = block.activity;
        if let Some(centre) = centre {
            activity -= centre;
        }
        let mut part = product(activity.view(), directions.t());
        for (mut row, sample) in part.rows_mut().into_iter().zip(activity.rows()) {
            let length = length(sample);
            row.mapv_inplace(|dot| if length > 0.0 { dot / length } else { 0.0 });
        }
        scores.slice_mut(s![block.start..block.start + part.nrows(), ..]).assign(&part);
    }
    Ok(scores)
}

fn length(vector: ArrayView1<'_, f32>) -> f32 {
    vector.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt() as f32
}
