//! Gemma 2: norms before and after each half, soft caps, windows in every other layer, embeddings
//! scaled by `√width`.
//!
//! Source: Gemma Team 2024, arXiv:2408.00118, §2. Sites: `attn.out` and `mlp.out` are what is added
//! to the residual stream, so after their second norm.

use burn::tensor::Tensor;
use nissl_core::Result;
use nissl_core::network::{FinalNorm, KeyValueCache};
use nissl_core::taps::Taps;
use serde_json::json;

use super::attention::{Attention, View, remember};
use super::checkpoint::{Bias, Checkpoint};
use super::config::Config;
use super::family::{Family, Input, Shape, pass};
use super::llama::{grouped_shape, typed_views};
use super::ops::{Activation, Linear, Norm, RmsNorm, embed, soft_cap};
use super::rotary::{Rotary, Turns};

/// A Gemma 2.
#[derive(Clone, Debug)]
pub(crate) struct Gemma2 {
    shape: Shape,
    /// `[token, unit]`; the head too.
    tokens: Tensor<2>,
    layers: Vec<Layer>,
    final_norm: RmsNorm,
    rotary: Rotary,
    activation: Activation,
    /// Bounds the logits softly.
    cap: Option<f32>,
}

#[derive(Clone, Debug)]
struct Layer {
    attn_norm: RmsNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    attn_out: Linear,
    after_attn_norm: RmsNorm,
    attention: Attention,
    mlp_norm: RmsNorm,
    gate: Linear,
    up: Linear,
    down: Linear,
    after_mlp_norm: RmsNorm,
}

impl Gemma2 {
    pub(crate) fn load(config: &Config, checkpoint: Checkpoint) -> Result<Self> {
        config.only(&[
            ("tie_word_embeddings", json!(true)),
            ("attention_bias", json!(false)),
            ("use_bidirectional_attention", json!(false)),
        ])?;
        let shape = grouped_shape(config, |_heads| Ok(256))?;
        let epsilon = config.number_or("rms_norm_eps", 1e-6)?;
        let rotary = Rotary::read(config, shape.head_width, "rope_theta", "partial_rotary_factor")?;
        let named =
            if config.has("hidden_activation") { "hidden_activation" } else { "hidden_act" };
        let activation = config.activation(named, "gelu_pytorch_tanh")?;
        let scale = config.number_or("query_pre_attn_scalar", 256.0)?.sqrt().recip() as f32;
        let cap = config.positive_if_any("attn_logit_softcapping")?.map(|cap| cap as f32);
        let Shape { width, hidden, heads, key_heads, head_width, .. } = shape;
        let (all, grouped) = (heads * head_width, key_heads * head_width);
        let window = View::Window(config.size_or("sliding_window", 4096)?);
        let views = match config.texts("layer_types")? {
            Some(types) => typed_views(config, &types, shape.layers, window)?,
            // Every other layer slides, the first among them.
            None => {
                (0..shape.layers).map(|n| if n % 2 == 0 { window } else { View::Past }).collect()
            }
        };
        let mut from = checkpoint.without_prefix("model.");
        let mut layers = Vec::with_capacity(shape.layers);
        for (n, view) in views.into_iter().enumerate() {
            let at = |name: &str| format!("layers.{n}.{name}");
            layers.push(Layer {
                attn_norm: rms_norm(&mut from, &at("input_layernorm"), width, epsilon),
                query: from.linear(&at("self_attn.q_proj"), [width, all], Bias::Absent),
                key: from.linear(&at("self_attn.k_proj"), [width, grouped], Bias::Absent),
                value: from.linear(&at("self_attn.v_proj"), [width, grouped], Bias::Absent),
                attn_out: from.linear(&at("self_attn.o_proj"), [all, width], Bias::Absent),
                after_attn_norm: rms_norm(
                    &mut from,
                    &at("post_attention_layernorm"),
                    width,
                    epsilon,
                ),
                attention: Attention { heads, key_heads, width: head_width, scale, cap, view },
                mlp_norm: rms_norm(&mut from, &at("pre_feedforward_layernorm"), width, epsilon),
                gate: from.linear(&at("mlp.gate_proj"), [width, hidden], Bias::Absent),
                up: from.linear(&at("mlp.up_proj"), [width, hidden], Bias::Absent),
                down: from.linear(&at("mlp.down_proj"), [hidden, width], Bias::Absent),
                after_mlp_norm: rms_norm(
                    &mut from,
                    &at("post_feedforward_layernorm"),
                    width,
                    epsilon,
                ),
            });
        }
        let network = Self {
            tokens: from.matrix("embed_tokens.weight", [shape.vocabulary, width]),
            layers,
            final_norm: rms_norm(&mut from, "norm", width, epsilon),
            rotary,
            activation,
            cap: config.positive_if_any("final_logit_softcapping")?.map(|cap| cap as f32),
            shape,
        };
        from.finish(&["inv_freq", "lm_head.weight"])?;
        Ok(network)
    }

    fn head(&self) -> Linear {
        Linear { weight: self.tokens.clone().transpose(), bias: None }
    }
}

impl Family for Gemma2 {
    fn shape(&self) -> &Shape {
        &self.shape
    }

    fn run(&self, input: Input<'_>, taps: &mut Taps<'_>) -> Option<Tensor<3>> {
        let Input { tokens, past, mut cache, .. } = input;
        let [_, positions] = tokens.dims();
        let turns = self.rotary.turns(past, positions, &self.tokens.device());
        let embedded = embed(&self.tokens, tokens) * (self.shape.width as f32).sqrt();
        let mut resid = pass(taps, format_args!("embed"), embedded)?; // [batch, position, unit]
        for (n, layer) in self.layers.iter().enumerate() {
            resid = layer.run(n, resid, &turns, self.activation, cache.as_deref_mut(), taps)?;
        }
        let normed = pass(taps, format_args!("final.norm"), self.final_norm.forward(resid))?;
        let logits = soft_cap(self.head().forward(normed), self.cap);
        pass(taps, format_args!("logits"), logits) // [batch, position, token]
    }

    fn down_projection(&self, layer: usize) -> Tensor<2> {
        let Layer { down, after_mlp_norm, .. } = &self.layers[layer];
        down.weight.clone() * after_mlp_norm.gain.clone().unsqueeze()
    }

    fn unembed(&self, directions: Tensor<2>, norm: FinalNorm) -> Option<Tensor<2>> {
        // Effects through a cap do not add up: only whole residuals pass it.
        let cap = self.cap.filter(|_| norm == FinalNorm::Apply);
        let logits = self.head().forward(self.final_norm.before_head(directions, norm));
        Some(soft_cap(logits, cap).squeeze_dim(0))
    }
}

impl Layer {
    fn run(
        &self,
        n: usize,
        resid: Tensor<3>,
        turns: &Turns,
        activation: Activation,
        cache: Option<&mut KeyValueCache>,
        taps: &mut Taps<'_>,
    ) -> Option<Tensor<3>> {
        let resid = pass(taps, format_args!("layers.{n}.resid.pre"), resid)?; // [batch, position, unit]

        let x = self.attn_norm.forward(resid.clone());
        let query = pass(taps, format_args!("layers.{n}.attn.q"), self.query.forward(x.clone()))?;
        let key = pass(taps, format_args!("layers.{n}.attn.k"), self.key.forward(x.clone()))?;
        let value = pass(taps, format_args!("layers.{n}.attn.v"), self.value.forward(x))?;
        let query = turns.apply(self.attention.split(query)); // [batch, head, position, width]
        let key = turns.apply(self.attention.split(key)); // [batch, key head, position, width]
        let (key, value) = remember(cache, n, key, self.attention.split(value));
        let z = self.attention.read(n, [query, key, value], None, taps)?;
        let out = self.after_attn_norm.forward(self.attn_out.forward(z));
        let out = pass(taps, format_args!("layers.{n}.attn.out"), out)?;
        let resid = pass(taps, format_args!("layers.{n}.resid.mid"), resid + out)?;

        let x = self.mlp_norm.forward(resid.clone());
        let x = pass(taps, format_args!("layers.{n}.mlp.in"), x)?;
        let gate = pass(taps, format_args!("layers.{n}.mlp.pre"), self.gate.forward(x.clone()))?;
        let hidden = activation.gated(gate, self.up.forward(x)); // [batch, position, hidden]
        let hidden = pass(taps, format_args!("layers.{n}.mlp.act"), hidden)?;
        let out = self.after_mlp_norm.forward(self.down.forward(hidden));
        let out = pass(taps, format_args!("layers.{n}.mlp.out"), out)?;
        pass(taps, format_args!("layers.{n}.resid.post"), resid + out)
    }
}

/// Gains are stored less one.
fn rms_norm(from: &mut Checkpoint, name: &str, size: usize, epsilon: f64) -> RmsNorm {
    RmsNorm { gain: from.vector(&format!("{name}.weight"), size) + 1.0, epsilon }
}
