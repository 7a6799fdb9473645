//! State dicts in TransformerLens's naming: learnt positions, weights that act on row vectors, norms
//! where there are any.
//!
//! A norm-free one such as the modular-addition transformers needs no `config.json`: sizes are those
//! of the tensors, attention is causal with scores over `√head width`, and the non-linearity is ReLU.
//! With norms, `config.json` beside the file must say `act_fn`; `normalization_type` is `LN` (gain and
//! bias), `LNPre` (neither) or null, by default `LN` where `ln_final.w` is there; `eps` is 1e-5.
//!
//! Source: the library TransformerLens, Nanda and Bloom 2022; the network of Nanda et al. 2023,
//! arXiv:2301.05217, §3. Left out: rotary positions, gated or absent MLPs, RMS norms, grouped queries.

use burn::tensor::Tensor;
use nissl_core::network::{FinalNorm, HeadShape, KeyValueCache};
use nissl_core::taps::Taps;
use nissl_core::{Error, Result};
use serde_json::json;

use super::attention::{Attention, remember};
use super::checkpoint::Checkpoint;
use super::config::Config;
use super::family::{Family, Form, Input, Shape, pass};
use super::gpt2::Gpt2;
use super::ops::{Activation, LayerNorm, Linear, Norm, embed};
use crate::files::Files;

/// A network in this naming.
#[derive(Clone, Debug)]
pub(crate) struct TransformerLens {
    shape: Shape,
    /// `[token, unit]`.
    tokens: Tensor<2>,
    /// `[position, unit]`.
    positions: Tensor<2>,
    layers: Vec<Layer>,
    final_norm: Option<LayerNorm>,
    head: Linear,
    attention: Attention,
    activation: Activation,
}

#[derive(Clone, Debug)]
struct Layer {
    attn_norm: Option<LayerNorm>,
    query: Linear,
    key: Linear,
    value: Linear,
    attn_out: Linear,
    mlp_norm: Option<LayerNorm>,
    up: Linear,
    down: Linear,
}

/// The norms of a network in this naming.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Norms {
    /// None.
    Absent,
    /// Centring and scaling alone.
    Bare,
    /// Gain and bias too.
    Full,
}

/// Parts of the state dict that carry nothing: the causal mask, and what it is filled with.
const IGNORED: [&str; 4] = ["attn.mask", "attn.IGNORE", "rotary_sin", "rotary_cos"];

/// # Errors
/// An attribute under which the computation would be another.
pub(crate) fn plain(config: &Config) -> Result<()> {
    config.only(&[
        ("positional_embedding_type", json!("standard")),
        ("attention_dir", json!("causal")),
        ("use_attn_scale", json!(true)),
        ("scale_attn_by_inverse_layer_idx", json!(false)),
        ("use_local_attn", json!(false)),
        ("parallel_attn_mlp", json!(false)),
        ("gated_mlp", json!(false)),
        ("attn_only", json!(false)),
        ("final_rms", json!(false)),
        ("post_embedding_ln", json!(false)),
        ("use_normalization_before_and_after", json!(false)),
    ])
}

impl TransformerLens {
    pub(crate) fn load(config: &Config, mut from: Checkpoint) -> Result<Self> {
        plain(config)?;
        let shape = shape(&from)?;
        let norms = norms(config, from.shape("ln_final.w").is_some())?;
        let activation = if norms == Norms::Absent || config.has("act_fn") {
            config.activation("act_fn", "relu")?
        } else {
            return Err(config
                .wrong("act_fn", "absent", "gelu, gelu_new, relu or silu")
                .with_help("with norms, the non-linearity is not known from the weights: say it in a config.json beside them"));
        };
        let epsilon = config.number_or("eps", 1e-5)?;
        let (width, hidden) = (shape.width, shape.hidden);
        let norm = |from: &mut Checkpoint, name: &str| match norms {
            Norms::Absent => None,
            Norms::Bare => {
                let (gain, bias) = from.bare_norm(width);
                Some(LayerNorm { gain, bias, epsilon })
            }
            Norms::Full => {
                let gain = from.vector(&format!("{name}.w"), width);
                let bias = from.vector(&format!("{name}.b"), width);
                Some(LayerNorm { gain, bias, epsilon })
            }
        };
        let layers = (0..shape.layers)
            .map(|n| {
                let at = |name: &str| format!("blocks.{n}.{name}");
                Layer {
                    attn_norm: norm(&mut from, &at("ln1")),
                    query: to_heads(&mut from, n, "Q", &shape),
                    key: to_heads(&mut from, n, "K", &shape),
                    value: to_heads(&mut from, n, "V", &shape),
                    attn_out: from_heads(&mut from, n, &shape),
                    mlp_norm: norm(&mut from, &at("ln2")),
                    up: linear(&mut from, &at("mlp.W_in"), &at("mlp.b_in"), [width, hidden]),
                    down: linear(&mut from, &at("mlp.W_out"), &at("mlp.b_out"), [hidden, width]),
                }
            })
            .collect();
        let network = Self {
            tokens: from.matrix("embed.W_E", [shape.vocabulary, width]),
            positions: from.matrix("pos_embed.W_pos", [shape.context, width]),
            layers,
            final_norm: norm(&mut from, "ln_final"),
            head: linear(&mut from, "unembed.W_U", "unembed.b_U", [width, shape.vocabulary]),
            attention: Gpt2::attention(&shape),
            activation,
            shape,
        };
        from.finish(&IGNORED)?;
        Ok(network)
    }
}

/// The sizes of a state dict's tensors.
fn shape(from: &Checkpoint) -> Result<Shape> {
    let sizes = |key: &str, axes: usize, expected: &str| match from.shape(key) {
        Some(shape) if shape.len() == axes && !shape.contains(&0) => Ok(shape.to_vec()),
        Some(shape) => Err(Error::file(from.path(), key, format!("of shape {shape:?}"), expected)),
        None => {
            let known: Vec<_> = from.keys().take(5).collect();
            let found = format!("absent among {known:?} …");
            Err(Error::file(from.path(), key, found, expected).with_help(
                "a file without config.json must be a state dict in TransformerLens's naming",
            ))
        }
    };
    let tokens = sizes("embed.W_E", 2, "the embedding [token, residual]")?;
    let positions = sizes("pos_embed.W_pos", 2, "learnt positions [position, residual]")?;
    let query = sizes("blocks.0.attn.W_Q", 3, "queries [head, residual, unit]")?;
    let up = sizes("blocks.0.mlp.W_in", 2, "the up projection [residual, neuron]")?;
    let layers = layers(from.files())?;
    Ok(Shape {
        layers,
        width: tokens[1],
        heads: query[0],
        key_heads: query[0],
        head_width: query[2],
        hidden: up[1],
        vocabulary: tokens[0],
        context: positions[0],
        form: Form::Sequential,
    })
}

/// The number of blocks, by the names of the tensors.
pub(crate) fn layers(files: &Files) -> Result<usize> {
    let numbers = files
        .places
        .keys()
        .filter_map(|key| key.strip_prefix("blocks.")?.split('.').next()?.parse::<usize>().ok());
    match numbers.max().map_or(0, |last| last.saturating_add(1)) {
        layers @ 1..=4096 => Ok(layers),
        layers => Err(Error::file(&files.path, "blocks", layers, "1 to 4096 layers")),
    }
}

/// The heads, by the shape of the first block's queries.
pub(crate) fn head_shape(files: &Files) -> Result<HeadShape> {
    let key = "blocks.0.attn.W_Q";
    let shape = files.get(key).map(|(_, stored)| stored.shape.clone()).unwrap_or_default();
    if let &[heads, _, width] = shape.as_slice() {
        return Ok(HeadShape { heads, key_heads: heads, width });
    }
    let found = format!("of shape {shape:?}");
    Err(Error::file(&files.path, key, found, "queries [head, residual, unit]"))
}

/// Which norms there are, by `normalization_type` or by the weights.
pub(crate) fn norms(config: &Config, has_gains: bool) -> Result<Norms> {
    let default = if has_gains { "LN" } else { "none" };
    match config.text_or("normalization_type", default)? {
        "LN" => Ok(Norms::Full),
        "LNPre" => Ok(Norms::Bare),
        "none" if !has_gains => Ok(Norms::Absent),
        other => Err(config.wrong("normalization_type", other, "LN, LNPre or null")),
    }
}

/// A map as it is stored, with its bias where it has one.
fn linear(from: &mut Checkpoint, weight: &str, bias: &str, shape: [usize; 2]) -> Linear {
    let bias = from.shape(bias).is_some().then(|| from.vector(bias, shape[1]));
    Linear { weight: from.matrix(weight, shape), bias }
}

/// The map to every head's queries, keys or values, stored `[head, residual, unit]`.
fn to_heads(from: &mut Checkpoint, n: usize, which: &str, shape: &Shape) -> Linear {
    let &Shape { width, heads, head_width, .. } = shape;
    let name = format!("blocks.{n}.attn.W_{which}");
    let weight = from.take(&name, [heads, width, head_width]);
    let name = format!("blocks.{n}.attn.b_{which}");
    let bias = from.shape(&name).is_some().then(|| from.matrix(&name, [heads, head_width]));
    let flat = heads * head_width;
    // A stand-in for what is missing has another shape; the loading fails at its end.
    let weight = match weight.dims() {
        [1, 1, 1] if flat * width > 1 => Tensor::zeros([1, 1], &weight.device()),
        _ => weight.swap_dims(0, 1).reshape([width, flat]),
    };
    let bias = bias.map(|bias| bias.flatten(0, 1));
    Linear { weight, bias }
}

/// The map from all heads to the stream, stored `[head, unit, residual]`.
fn from_heads(from: &mut Checkpoint, n: usize, shape: &Shape) -> Linear {
    let &Shape { width, heads, head_width, .. } = shape;
    let weight = from.take(&format!("blocks.{n}.attn.W_O"), [heads, head_width, width]);
    let name = format!("blocks.{n}.attn.b_O");
    let bias = from.shape(&name).is_some().then(|| from.vector(&name, width));
    Linear { weight: weight.flatten(0, 1), bias }
}

fn normed(norm: Option<&LayerNorm>, x: Tensor<3>) -> Tensor<3> {
    match norm {
        Some(norm) => norm.forward(x),
        None => x,
    }
}

impl Family for TransformerLens {
    fn shape(&self) -> &Shape {
        &self.shape
    }

    fn run(&self, input: Input<'_>, taps: &mut Taps<'_>) -> Option<Tensor<3>> {
        let Input { tokens, past, mut cache, .. } = input;
        let [_, positions] = tokens.dims();
        let places = self.positions.clone().narrow(0, past, positions);
        let embedded = embed(&self.tokens, tokens) + places.unsqueeze();
        let mut resid = pass(taps, format_args!("embed"), embedded)?; // [batch, position, unit]
        for (n, layer) in self.layers.iter().enumerate() {
            resid = self.layer(n, layer, resid, cache.as_deref_mut(), taps)?;
        }
        let resid = normed(self.final_norm.as_ref(), resid);
        let resid = pass(taps, format_args!("final.norm"), resid)?;
        pass(taps, format_args!("logits"), self.head.forward(resid)) // [batch, position, token]
    }

    fn down_projection(&self, layer: usize) -> Tensor<2> {
        self.layers[layer].down.weight.clone()
    }

    fn unembed(&self, directions: Tensor<2>, norm: FinalNorm) -> Option<Tensor<2>> {
        let directions = directions.unsqueeze::<3>();
        let bare = Linear { weight: self.head.weight.clone(), bias: None };
        let logits = match (norm, &self.final_norm) {
            (FinalNorm::Apply, norm) => self.head.forward(normed(norm.as_ref(), directions)),
            (FinalNorm::Gain, Some(norm)) => bare.forward(norm.linear_part(directions)),
            (FinalNorm::Gain, None) | (FinalNorm::Skip, _) => bare.forward(directions),
        };
        Some(logits.squeeze_dim(0))
    }
}

impl TransformerLens {
    fn layer(
        &self,
        n: usize,
        layer: &Layer,
        resid: Tensor<3>,
        cache: Option<&mut KeyValueCache>,
        taps: &mut Taps<'_>,
    ) -> Option<Tensor<3>> {
        let resid = pass(taps, format_args!("layers.{n}.resid.pre"), resid)?; // [batch, position, unit]

        let x = normed(layer.attn_norm.as_ref(), resid.clone());
        let query = pass(taps, format_args!("layers.{n}.attn.q"), layer.query.forward(x.clone()))?;
        let key = pass(taps, format_args!("layers.{n}.attn.k"), layer.key.forward(x.clone()))?;
        let value = pass(taps, format_args!("layers.{n}.attn.v"), layer.value.forward(x))?;
        let split = |x| self.attention.split(x); // [batch, head, position, width]
        let (key, value) = remember(cache, n, split(key), split(value));
        let z = self.attention.read(n, [split(query), key, value], None, taps)?;
        let out = pass(taps, format_args!("layers.{n}.attn.out"), layer.attn_out.forward(z))?;
        let resid = pass(taps, format_args!("layers.{n}.resid.mid"), resid + out)?;

        let x = normed(layer.mlp_norm.as_ref(), resid.clone());
        let x = pass(taps, format_args!("layers.{n}.mlp.in"), x)?;
        let hidden = pass(taps, format_args!("layers.{n}.mlp.pre"), layer.up.forward(x))?;
        let hidden = self.activation.forward(hidden); // [batch, position, hidden]
        let hidden = pass(taps, format_args!("layers.{n}.mlp.act"), hidden)?;
        let out = pass(taps, format_args!("layers.{n}.mlp.out"), layer.down.forward(hidden))?;
        pass(taps, format_args!("layers.{n}.resid.post"), resid + out)
    }
}
