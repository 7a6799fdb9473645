//! GPT-NeoX, of which Pythia is one: attention and MLP read the layer's input side by side, and only
//! a part of each head turns with the position.
//!
//! Source: Black et al. 2022, arXiv:2204.06745, §2.1; Pythia: Biderman et al. 2023, arXiv:2304.01373.
//! Sites: without `resid.mid` where the halves run side by side, because no such sum is made.

use burn::tensor::Tensor;
use nissl_core::Result;
use nissl_core::network::{FinalNorm, KeyValueCache};
use nissl_core::taps::Taps;

use super::attention::{Attention, View, remember};
use super::checkpoint::{Bias, Checkpoint};
use super::config::Config;
use super::family::{Family, Form, Input, Shape, pass};
use super::ops::{Activation, LayerNorm, Linear, Norm, embed};
use super::rotary::{Rotary, Turns};

/// A GPT-NeoX.
#[derive(Clone, Debug)]
pub(crate) struct NeoX {
    shape: Shape,
    /// `[token, unit]`.
    tokens: Tensor<2>,
    layers: Vec<Layer>,
    final_norm: LayerNorm,
    /// To the vocabulary.
    head: Linear,
    attention: Attention,
    rotary: Rotary,
    activation: Activation,
}

#[derive(Clone, Debug)]
struct Layer {
    attn_norm: LayerNorm,
    /// Queries, keys and values, head after head.
    qkv: Linear,
    attn_out: Linear,
    mlp_norm: LayerNorm,
    up: Linear,
    down: Linear,
}

impl NeoX {
    pub(crate) fn load(config: &Config, checkpoint: Checkpoint) -> Result<Self> {
        let width = config.size("hidden_size")?;
        let heads = config.size("num_attention_heads")?;
        let parallel = config.flag_or("use_parallel_residual", true)?;
        let shape = Shape {
            layers: config.layers("num_hidden_layers")?,
            width,
            heads,
            key_heads: heads,
            head_width: config.share("num_attention_heads", width, heads)?,
            hidden: config.size("intermediate_size")?,
            vocabulary: config.size("vocab_size")?,
            context: config.size_or("max_position_embeddings", 2048)?,
            form: if parallel { Form::Parallel } else { Form::Sequential },
        };
        let rotary = Rotary::read(config, shape.head_width, "rotary_emb_base", "rotary_pct")?;
        let activation = config.activation("hidden_act", "gelu")?;
        let epsilon = config.number_or("layer_norm_eps", 1e-5)?;
        let bias = Bias::from(config.flag_or("attention_bias", true)?);
        let hidden = shape.hidden;
        let mut from = checkpoint.without_prefix("gpt_neox.");
        let layers = (0..shape.layers)
            .map(|n| {
                let at = |name: &str| format!("layers.{n}.{name}");
                let qkv = [width, 3 * width];
                Layer {
                    attn_norm: from.layer_norm(&at("input_layernorm"), width, epsilon),
                    qkv: from.linear(&at("attention.query_key_value"), qkv, bias),
                    attn_out: from.linear(&at("attention.dense"), [width, width], bias),
                    mlp_norm: from.layer_norm(&at("post_attention_layernorm"), width, epsilon),
                    up: from.linear(&at("mlp.dense_h_to_4h"), [width, hidden], Bias::Present),
                    down: from.linear(&at("mlp.dense_4h_to_h"), [hidden, width], Bias::Present),
                }
            })
            .collect();
        let tokens = from.matrix("embed_in.weight", [shape.vocabulary, width]);
        let tied = config.flag_or("tie_word_embeddings", false)?;
        let head = if tied {
            Linear { weight: tokens.clone().transpose(), bias: None }
        } else {
            from.linear("embed_out", [width, shape.vocabulary], Bias::Absent)
        };
        let final_norm = from.layer_norm("final_layer_norm", width, epsilon);
        // Mask and frequencies are made anew.
        let made = ["attention.bias", "attention.masked_bias", "inv_freq", "embed_out.weight"];
        from.finish(if tied { &made } else { &made[..3] })?;
        let scale = (shape.head_width as f32).sqrt().recip();
        let attention = Attention {
            heads,
            key_heads: heads,
            width: shape.head_width,
            scale,
            cap: None,
            view: View::Past,
        };
        Ok(Self { shape, tokens, layers, final_norm, head, attention, rotary, activation })
    }
}

impl Family for NeoX {
    fn shape(&self) -> &Shape {
        &self.shape
    }

    fn run(&self, input: Input<'_>, taps: &mut Taps<'_>) -> Option<Tensor<3>> {
        let Input { tokens, past, mut cache, .. } = input;
        let [_, positions] = tokens.dims();
        let turns = self.rotary.turns(past, positions, &self.tokens.device());
        let embedded = embed(&self.tokens, tokens);
        let mut resid = pass(taps, format_args!("embed"), embedded)?; // [batch, position, unit]
        for (n, layer) in self.layers.iter().enumerate() {
            resid = pass(taps, format_args!("layers.{n}.resid.pre"), resid)?;
            let x = layer.attn_norm.forward(resid.clone());
            let attn = self.attend(n, layer, x, &turns, cache.as_deref_mut(), taps)?;
            if self.shape.form == Form::Parallel {
                let x = layer.mlp_norm.forward(resid.clone());
                resid = resid + attn + self.mlp(n, layer, x, taps)?;
            } else {
                resid = pass(taps, format_args!("layers.{n}.resid.mid"), resid + attn)?;
                let x = layer.mlp_norm.forward(resid.clone());
                resid = resid + self.mlp(n, layer, x, taps)?;
            }
            resid = pass(taps, format_args!("layers.{n}.resid.post"), resid)?;
        }
        let normed = pass(taps, format_args!("final.norm"), self.final_norm.forward(resid))?;
        pass(taps, format_args!("logits"), self.head.forward(normed)) // [batch, position, token]
    }

    fn down_projection(&self, layer: usize) -> Tensor<2> {
        self.layers[layer].down.weight.clone()
    }

    fn unembed(&self, directions: Tensor<2>, norm: FinalNorm) -> Option<Tensor<2>> {
        let normed = self.final_norm.before_head(directions, norm);
        Some(self.head.forward(normed).squeeze_dim(0))
    }
}

impl NeoX {
    fn attend(
        &self,
        n: usize,
        layer: &Layer,
        x: Tensor<3>,
        turns: &Turns,
        cache: Option<&mut KeyValueCache>,
        taps: &mut Taps<'_>,
    ) -> Option<Tensor<3>> {
        let [batch, positions, units] = x.dims();
        let (heads, width) = (self.shape.heads, self.shape.head_width);
        // [batch, position, head, query key value · width]
        let qkv = layer.qkv.forward(x).reshape([batch, positions, heads, 3 * width]);
        let part = |which: usize| {
            qkv.clone().narrow(3, which * width, width).reshape([batch, positions, units])
        };
        let query = pass(taps, format_args!("layers.{n}.attn.q"), part(0))?;
        let key = pass(taps, format_args!("layers.{n}.attn.k"), part(1))?;
        let value = pass(taps, format_args!("layers.{n}.attn.v"), part(2))?;
        let query = turns.apply(self.attention.split(query)); // [batch, head, position, width]
        let key = turns.apply(self.attention.split(key));
        let (key, value) = remember(cache, n, key, self.attention.split(value));
        let z = self.attention.read(n, [query, key, value], None, taps)?;
        pass(taps, format_args!("layers.{n}.attn.out"), layer.attn_out.forward(z))
    }

    fn mlp(&self, n: usize, layer: &Layer, x: Tensor<3>, taps: &mut Taps<'_>) -> Option<Tensor<3>> {
        let x = pass(taps, format_args!("layers.{n}.mlp.in"), x)?;
        let hidden = pass(taps, format_args!("layers.{n}.mlp.pre"), layer.up.forward(x))?;
        let hidden = self.activation.forward(hidden); // [batch, position, hidden]
        let hidden = pass(taps, format_args!("layers.{n}.mlp.act"), hidden)?;
        pass(taps, format_args!("layers.{n}.mlp.out"), layer.down.forward(hidden))
    }
}
