//! Row reversal: vectors on the residual stream that point along a concept are negated.
//!
//! `w ← −w` for every vector with `|cos(w, v)| ≥ θ`, where `v` is a concept's direction, such as the
//! sum of its tokens' rows of the head at unit length, and `w` a vector of any part: what a unit reads
//! from the stream, or what it writes to it.
//!
//! Source: the knowledge removal that Davies 2025, arXiv:2501.02688, builds on (Davies et al. 2024).
//! Differs: described from memory; which parts and which `θ` it takes is not verified. Biases stay. Of
//! Gemma 2 the cosine is that of what is written, through the gain of the norm after it.
//! Memory: a block of vectors, and 8 MiB of the file that is written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use nissl_core::network::{Part, ResidualWeights, TokenTable};
use nissl_core::seed::rng;
use nissl_core::store::{self, Existing, Kind, Manifest, Provenance};
use nissl_core::{Error, Progress, Result};
use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::copy::copy_with;
use crate::weights::CheckpointWeights;

/// Hyperparameters of row reversal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Reverse {
    /// Reverse vectors whose cosine with the concept has at least this size, in (0, 1]
    #[arg(long, default_value_t = Reverse::default().threshold, value_name = "COSINE")]
    pub threshold: f64,
    /// Only these parts; several may follow [default: all]
    #[arg(long = "part", value_enum, num_args = 1.., value_name = "PART")]
    pub parts: Vec<Part>,
    /// Only these layers, from 0; several may follow [default: all]
    #[arg(long = "layer", num_args = 1.., value_name = "LAYER")]
    pub layers: Vec<usize>,
}

impl Default for Reverse {
    fn default() -> Self {
        Self { threshold: 0.3, parts: Vec::new(), layers: Vec::new() }
    }
}

/// A vector that points along a concept, or against it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Aligned {
    /// The layer, from 0.
    pub layer: usize,
    /// The part.
    pub part: Part,
    /// The unit, from 0.
    pub unit: usize,
    /// The cosine with the concept, in [−1, 1].
    pub cosine: f64,
}

/// What the manifest of an edited checkpoint tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reversed {
    /// The checkpoint that was copied.
    pub base: String,
    /// The tokens of the concept; empty where its direction came from elsewhere.
    pub tokens: Vec<u32>,
    /// The vectors that were negated.
    pub reversed: Vec<Aligned>,
}

/// Vectors read at once.
const BLOCK: usize = 512;

impl Reverse {
    /// # Errors
    /// A value outside its range.
    pub fn validate(&self) -> Result<()> {
        if self.threshold > 0.0 && self.threshold <= 1.0 {
            return Ok(());
        }
        Err(Error::setting("threshold", self.threshold, "above 0 and at most 1"))
    }

    /// The vectors whose cosine with `direction` `[residual]` reaches the threshold in size, by layer,
    /// part and unit.
    ///
    /// # Errors
    /// A setting outside its range, a part or layer that the network has not, a direction of another
    /// width or without length, an interruption, or a file that cannot be read.
    pub fn find(
        &self,
        weights: &dyn ResidualWeights,
        direction: &[f32],
        progress: &Progress,
    ) -> Result<Vec<Aligned>> {
        self.validate()?;
        let width = weights.residual_width();
        if direction.len() != width {
            return Err(Error::Units {
                left: "the direction".to_owned(),
                found: direction.len(),
                right: format!("the residual stream of {}", weights.id()),
                expected: width,
                help: None,
            });
        }
        let length = length(direction);
        if !length.is_finite() || length == 0.0 {
            return Err(Error::setting(
                "direction",
                format!("of length {length}"),
                "a length above 0",
            ));
        }
        let parts: BTreeSet<Part> =
            if self.parts.is_empty() { weights.parts() } else { &self.parts }
                .iter()
                .copied()
                .collect();
        let layers: BTreeSet<usize> = if self.layers.is_empty() {
            (0..weights.layers()).collect()
        } else {
            self.layers.iter().copied().collect()
        };
        for (&layer, &part) in layers.iter().flat_map(|l| parts.iter().map(move |p| (l, p))) {
            weights.check(layer, part)?;
        }
        let total: usize = parts.iter().map(|part| weights.units(*part)).sum();
        let stage = progress.stage("compare", (total * layers.len()) as u64, "vectors");
        let mut found = Vec::new();
        let mut block = vec![0.0; BLOCK * width];
        for (&layer, &part) in layers.iter().flat_map(|l| parts.iter().map(move |p| (l, p))) {
            let units = weights.units(part);
            for from in (0..units).step_by(BLOCK) {
                let range = from..units.min(from + BLOCK);
                let rows = &mut block[..range.len() * width];
                weights.read_units(layer, part, range.clone(), rows)?;
                for (unit, row) in range.clone().zip(rows.chunks(width)) {
                    // Vectors without length point nowhere, and those with NaN are left alone.
                    let cosine = dot(row, direction) / (self::length(row) * length);
                    if cosine.abs() >= self.threshold {
                        found.push(Aligned { layer, part, unit, cosine });
                    }
                }
                stage.advance(range.len() as u64);
                progress.check(|| format!("layer {layer}, {}", part.name()))?;
            }
        }
        Ok(found)
    }
}

/// The sum of the head's rows of `tokens`, each at unit length: `[residual]`.
///
/// # Errors
/// No token, one that the head has not, a row without length, or a file that cannot be read.
pub fn concept_direction(weights: &dyn ResidualWeights, tokens: &[u32]) -> Result<Vec<f32>> {
    if tokens.is_empty() {
        let expected = "one token or more".to_owned();
        return Err(Error::Empty { what: "the concept".to_owned(), expected });
    }
    let width = weights.residual_width();
    let mut direction = vec![0f32; width];
    let mut row = vec![0f32; width];
    let tokens: BTreeSet<u32> = tokens.iter().copied().collect();
    for token in tokens {
        let at = token as usize;
        weights.read_tokens(TokenTable::Head, at..at + 1, &mut row)?;
        let length = length(&row);
        if !length.is_finite() || length == 0.0 {
            let found = format!("{token}, whose row of the head has length {length}");
            return Err(Error::setting("token", found, "a token with a length above 0"));
        }
        for (sum, value) in direction.iter_mut().zip(&row) {
            *sum += (f64::from(*value) / length) as f32;
        }
    }
    Ok(direction)
}

/// As many vectors drawn at random from the same layers and parts, none of them among `found`: a
/// control of what reversing any vectors does. Fewer where a part has no others left.
///
/// # Errors
/// A direction of another width, or a file that cannot be read.
pub fn random_like(
    weights: &dyn ResidualWeights,
    direction: &[f32],
    found: &[Aligned],
    seed: u64,
) -> Result<Vec<Aligned>> {
    let mut rng = rng(seed, 0);
    let taken: BTreeSet<_> = found.iter().map(|one| (one.layer, one.part, one.unit)).collect();
    let mut counts: BTreeMap<(usize, Part), usize> = BTreeMap::new();
    for (layer, part, _) in &taken {
        *counts.entry((*layer, *part)).or_default() += 1;
    }
    let mut drawn = Vec::with_capacity(taken.len());
    let mut row = vec![0.0; direction.len()];
    for ((layer, part), count) in counts {
        let units = 0..weights.units(part);
        let mut free: Vec<_> =
            units.filter(|&unit| !taken.contains(&(layer, part, unit))).collect();
        for _ in 0..count.min(free.len()) {
            let unit = free.swap_remove(rng.random_range(0..free.len()));
            weights.read_units(layer, part, unit..unit + 1, &mut row)?;
            let cosine = dot(&row, direction) / (length(&row) * length(direction));
            let cosine = if cosine.is_finite() { cosine } else { 0.0 };
            drawn.push(Aligned { layer, part, unit, cosine });
        }
    }
    drawn.sort_by_key(|one| (one.layer, one.part, one.unit));
    Ok(drawn)
}

/// Writes a copy of a checkpoint to `folder` in which the vectors of `reversed` are negated: their
/// signs flip in the type they are stored in, and no other byte of the weights changes.
///
/// The files beside the weights are copied too; `manifest.json` tells the edit.
///
/// # Errors
/// A checkpoint that is not safetensors on disk, a vector that it has not, an output folder that
/// `existing` forbids or that is the checkpoint's own, an interruption, or a failed file operation.
pub fn write_reversed(
    weights: &CheckpointWeights,
    detail: Reversed,
    provenance: Provenance,
    folder: &Path,
    existing: Existing,
    progress: &Progress,
) -> Result<Manifest<Reversed>> {
    let mut rows: BTreeSet<(usize, Part, usize)> = BTreeSet::new();
    for one in &detail.reversed {
        let view = weights.view(one.layer, one.part)?;
        if one.unit >= view.units {
            let expected = format!("0 to {}", view.units - 1);
            return Err(Error::setting("unit", one.unit, expected));
        }
        rows.insert((one.layer, one.part, one.unit));
    }
    let same = |a: &Path, b: &Path| {
        a.canonicalize().ok().is_some_and(|a| b.canonicalize().is_ok_and(|b| a == b))
    };
    if same(folder, weights.folder()) {
        let found = format!("{}, the checkpoint's own folder", folder.display());
        return Err(Error::setting("out", found, "another folder"));
    }
    let mut flips = Vec::with_capacity(rows.len());
    for (layer, part, unit) in rows {
        flips.push(weights.view(layer, part)?.signs(unit));
    }
    store::prepare(folder, existing)?;
    let names = copy_with(weights, flips, folder, progress)?;
    let mut manifest = Manifest::new(Kind::Network, provenance, detail);
    for name in names {
        manifest.shards.push(store::Shard::of(folder, &name, 0)?);
    }
    manifest.write(folder)?;
    Ok(manifest)
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    let mut sums = [0f64; 8];
    let (a, b) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (a, b) in a.0.iter().zip(b.0) {
        for lane in 0..8 {
            sums[lane] += f64::from(a[lane]) * f64::from(b[lane]);
        }
    }
    let rest: f64 = a.1.iter().zip(b.1).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
    sums.iter().sum::<f64>() + rest
}

fn length(of: &[f32]) -> f64 {
    dot(of, of).sqrt()
}
