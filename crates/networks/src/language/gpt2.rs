//! GPT-2: learnt positions, layer norm before each half, attention before the MLP, tied head.
//!
//! Source: Radford et al. 2019, "Language models are unsupervised multitask learners"; the released
//! checkpoints' layout. Sites: `attn.q|k|v` as projected; `resid.mid = resid.pre + attn.out`,
//! `resid.post = resid.mid + mlp.out`.

use burn::tensor::Tensor;
use nissl_core::Result;
use nissl_core::network::{FinalNorm, KeyValueCache};
use nissl_core::taps::Taps;
use serde_json::json;

use super::attention::{Attention, View, remember};
use super::checkpoint::Checkpoint;
use super::config::Config;
use super::family::{Family, Form, Input, Shape, pass};
use super::ops::{Activation, LayerNorm, Linear, Norm, embed};

/// A GPT-2.
#[derive(Clone, Debug)]
pub(crate) struct Gpt2 {
    pub shape: Shape,
    /// `[token, unit]`.
    pub tokens: Tensor<2>,
    /// `[position, unit]`.
    pub positions: Tensor<2>,
    pub layers: Vec<Layer>,
    pub final_norm: LayerNorm,
    /// `[token, unit]` where the head is not the embedding.
    pub head: Option<Tensor<2>>,
    pub attention: Attention,
    pub activation: Activation,
}

/// # Errors
/// An attribute under which the computation would be another.
pub(crate) fn plain(config: &Config) -> Result<()> {
    config.only(&[
        ("scale_attn_weights", json!(true)),
        ("scale_attn_by_inverse_layer_idx", json!(false)),
        ("add_cross_attention", json!(false)),
    ])
}

/// A layer of a GPT-2.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub attn_norm: LayerNorm,
    /// To queries, keys and values side by side.
    pub qkv: Linear,
    pub attn_out: Linear,
    pub mlp_norm: LayerNorm,
    pub up: Linear,
    pub down: Linear,
}

impl Gpt2 {
    /// The shape that `config.json` describes.
    pub(crate) fn shape(config: &Config) -> Result<Shape> {
        plain(config)?;
        let width = config.size("n_embd")?;
        let heads = config.size("n_head")?;
        Ok(Shape {
            layers: config.layers("n_layer")?,
            width,
            heads,
            key_heads: heads,
            head_width: config.share("n_head", width, heads)?,
            hidden: config.size_or("n_inner", 4 * width)?,
            vocabulary: config.size("vocab_size")?,
            context: config.size_or("n_positions", 1024)?,
            form: Form::Sequential,
        })
    }

    /// The form of every layer's attention.
    pub(crate) fn attention(shape: &Shape) -> Attention {
        let scale = (shape.head_width as f32).sqrt().recip();
        let (heads, key_heads, width) = (shape.heads, shape.key_heads, shape.head_width);
        Attention { heads, key_heads, width, scale, cap: None, view: View::Past }
    }

    pub(crate) fn load(config: &Config, checkpoint: Checkpoint) -> Result<Self> {
        let shape = Self::shape(config)?;
        let epsilon = config.number_or("layer_norm_epsilon", 1e-5)?;
        let activation = config.activation("activation_function", "gelu_new")?;
        let (width, hidden) = (shape.width, shape.hidden);
        let mut from = checkpoint.without_prefix("transformer.");
        let layers = (0..shape.layers)
            .map(|n| Layer {
                attn_norm: from.layer_norm(&format!("h.{n}.ln_1"), width, epsilon),
                qkv: from.linear_as_stored(&format!("h.{n}.attn.c_attn"), [width, 3 * width]),
                attn_out: from.linear_as_stored(&format!("h.{n}.attn.c_proj"), [width, width]),
                mlp_norm: from.layer_norm(&format!("h.{n}.ln_2"), width, epsilon),
                up: from.linear_as_stored(&format!("h.{n}.mlp.c_fc"), [width, hidden]),
                down: from.linear_as_stored(&format!("h.{n}.mlp.c_proj"), [hidden, width]),
            })
            .collect();
        let tied = config.flag_or("tie_word_embeddings", true)?;
        let table = [shape.vocabulary, width];
        let network = Self {
            tokens: from.matrix("wte.weight", table),
            positions: from.matrix("wpe.weight", [shape.context, width]),
            layers,
            final_norm: from.layer_norm("ln_f", width, epsilon),
            head: (!tied).then(|| from.matrix("lm_head.weight", table)),
            attention: Self::attention(&shape),
            activation,
            shape,
        };
        // The causal mask is made anew; a tied head repeats the embedding.
        let masks = [".attn.bias", ".attn.masked_bias"];
        if tied {
            from.finish(&[masks[0], masks[1], "lm_head.weight"])?;
        } else {
            from.finish(&masks)?;
        }
        Ok(network)
    }

    fn head(&self) -> Tensor<2> {
        self.head.as_ref().unwrap_or(&self.tokens).clone().transpose()
    }
}

impl Family for Gpt2 {
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
        let normed = pass(taps, format_args!("final.norm"), self.final_norm.forward(resid))?;
        let head = Linear { weight: self.head(), bias: None };
        pass(taps, format_args!("logits"), head.forward(normed)) // [batch, position, token]
    }

    fn down_projection(&self, layer: usize) -> Tensor<2> {
        self.layers[layer].down.weight.clone()
    }

    fn unembed(&self, directions: Tensor<2>, norm: FinalNorm) -> Option<Tensor<2>> {
        let normed = self.final_norm.before_head(directions, norm);
        Some(normed.squeeze_dim::<2>(0).matmul(self.head()))
    }
}

impl Gpt2 {
    fn layer(
        &self,
        n: usize,
        layer: &Layer,
        resid: Tensor<3>,
        cache: Option<&mut KeyValueCache>,
        taps: &mut Taps<'_>,
    ) -> Option<Tensor<3>> {
        let width = self.shape.width;
        let resid = pass(taps, format_args!("layers.{n}.resid.pre"), resid)?; // [batch, position, unit]

        let qkv = layer.qkv.forward(layer.attn_norm.forward(resid.clone())); // [.., .., 3 · unit]
        let query = qkv.clone().narrow(2, 0, width);
        let key = qkv.clone().narrow(2, width, width);
        let value = qkv.narrow(2, 2 * width, width);
        let query = pass(taps, format_args!("layers.{n}.attn.q"), query)?;
        let key = pass(taps, format_args!("layers.{n}.attn.k"), key)?;
        let value = pass(taps, format_args!("layers.{n}.attn.v"), value)?;
        let split = |x| self.attention.split(x); // [batch, head, position, width]
        let (key, value) = remember(cache, n, split(key), split(value));
        let z = self.attention.read(n, [split(query), key, value], None, taps)?;
        let out = pass(taps, format_args!("layers.{n}.attn.out"), layer.attn_out.forward(z))?;
        let resid = pass(taps, format_args!("layers.{n}.resid.mid"), resid + out)?;

        let x = layer.mlp_norm.forward(resid.clone());
        let x = pass(taps, format_args!("layers.{n}.mlp.in"), x)?;
        let hidden = layer.up.forward(x); // [.., .., hidden]
        let hidden = pass(taps, format_args!("layers.{n}.mlp.pre"), hidden)?;
        let hidden = self.activation.forward(hidden);
        let hidden = pass(taps, format_args!("layers.{n}.mlp.act"), hidden)?;
        let out = pass(taps, format_args!("layers.{n}.mlp.out"), layer.down.forward(hidden))?;
        pass(taps, format_args!("layers.{n}.resid.post"), resid + out)
    }
}
