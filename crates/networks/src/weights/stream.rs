//! What circuits need beside the matrices: biases of maps and norms, heads, scales.
//!
//! Names alone are kept; the vectors are read when they are asked for.

use std::collections::BTreeMap;

use nissl_core::network::{Half, Part, StreamForm};
use nissl_core::{Error, Result};

use super::layout::{BiasSpec, LayerLayout, Norm, Share, Stream};
use super::view;
use crate::files::Files;

/// Names of biases, where the checkpoint has them, and what is the same in every layer.
pub(super) struct StreamParts {
    pub form: StreamForm,
    pub epsilon: f64,
    pub embedding_scale: f32,
    layers: Vec<LayerBiases>,
    final_bias: Option<String>,
    head_bias: Option<String>,
}

struct LayerBiases {
    parts: BTreeMap<Part, BiasSpec>,
    attention: Option<String>,
    mlp: Option<String>,
}

impl StreamParts {
    pub(super) fn of(
        files: &Files,
        stream: Stream,
        final_norm: &Norm,
        layers: &[LayerLayout],
    ) -> Self {
        let there = |key: &Option<String>| {
            key.clone().filter(|key| files.places.contains_key(key.as_str()))
        };
        let final_bias = match final_norm {
            Norm::Layer(gain) => Some(match gain.strip_suffix(".w") {
                Some(name) => format!("{name}.b"),
                None => gain.replace(".weight", ".bias"),
            }),
            Norm::Absent | Norm::Bare | Norm::Rms(_) => None,
        };
        let layers = layers
            .iter()
            .map(|layer| LayerBiases {
                parts: layer
                    .biases
                    .iter()
                    .filter(|(_, spec)| files.places.contains_key(&spec.key))
                    .map(|(part, spec)| (*part, spec.clone()))
                    .collect(),
                attention: there(&layer.attn_norm_bias),
                mlp: there(&layer.mlp_norm_bias),
            })
            .collect();
        Self {
            form: stream.form,
            epsilon: stream.epsilon,
            embedding_scale: stream.embedding_scale,
            layers,
            final_bias: there(&final_bias),
            head_bias: there(&stream.head_bias),
        }
    }

    pub(super) fn norm_bias(
        &self,
        files: &Files,
        layer: usize,
        half: Half,
        width: usize,
    ) -> Result<Option<Vec<f32>>> {
        let layer = &self.layers[layer];
        let key = if half == Half::Attention { &layer.attention } else { &layer.mlp };
        key.as_deref().map(|key| view::vector(files, key, width)).transpose()
    }

    pub(super) fn final_bias(&self, files: &Files, width: usize) -> Result<Option<Vec<f32>>> {
        self.final_bias.as_deref().map(|key| view::vector(files, key, width)).transpose()
    }

    pub(super) fn head_bias(&self, files: &Files, tokens: usize) -> Result<Option<Vec<f32>>> {
        self.head_bias.as_deref().map(|key| view::vector(files, key, tokens)).transpose()
    }

    pub(super) fn part_bias(
        &self,
        files: &Files,
        layer: usize,
        part: Part,
        size: usize,
    ) -> Result<Option<Vec<f32>>> {
        let Some(spec) = self.layers[layer].parts.get(&part) else { return Ok(None) };
        let all = view::flat(files, &spec.key)?;
        let found = match spec.share {
            Share::Whole => all,
            Share::Part { index, of } => share(&all, index, of).to_vec(),
            Share::OfHeads { heads, index, of } => all
                .chunks(all.len() / heads.max(1))
                .flat_map(|head| share(head, index, of))
                .copied()
                .collect(),
        };
        if found.len() == size {
            return Ok(Some(found));
        }
        let expected = format!("{size} for {}", part.name());
        Err(Error::file(&files.path, &spec.key, format!("{} numbers", found.len()), expected))
    }
}

/// The `index`th of `of` equal shares.
fn share(all: &[f32], index: usize, of: usize) -> &[f32] {
    let size = all.len() / of;
    &all[index * size..(index + 1) * size]
}
