//! Llama, Mistral and Qwen2: rotary positions, RMS norm, grouped queries, gated MLP.
//!
//! Mistral adds sliding windows, Qwen2 biases of queries, keys and values.
//!
//! Source: Touvron et al. 2023, arXiv:2307.09288; Jiang et al. 2023, arXiv:2310.06825, §2; Qwen2:
//! arXiv:2407.10671, §2.2. Sites: `attn.q|k` before they turn; `mlp.pre` is the gate before its
//! non-linearity, `mlp.act` the product that enters the down-projection.

use burn::tensor::Tensor;
use nissl_core::Result;
use nissl_core::network::{FinalNorm, KeyValueCache};
use nissl_core::taps::Taps;

use super::attention::{Attention, View, remember};
use super::checkpoint::{Bias, Checkpoint};
use super::config::Config;
use super::family::{Family, Form, Input, Shape, pass};
use super::ops::{Activation, Linear, Norm, RmsNorm, embed};
use super::rotary::{Rotary, Turns};

/// A Llama, Mistral or Qwen2.
#[derive(Clone, Debug)]
pub(crate) struct Llama {
    shape: Shape,
    /// `[token, unit]`.
    tokens: Tensor<2>,
    layers: Vec<Layer>,
    final_norm: RmsNorm,
    /// To the vocabulary.
    head: Linear,
    rotary: Rotary,
    activation: Activation,
}

#[derive(Clone, Debug)]
struct Layer {
    attn_norm: RmsNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    attn_out: Linear,
    attention: Attention,
    mlp_norm: RmsNorm,
    gate: Linear,
    up: Linear,
    down: Linear,
}

impl Llama {
    pub(crate) fn load(config: &Config, checkpoint: Checkpoint) -> Result<Self> {
        let shape = grouped_shape(config, |heads| {
            config.share("num_attention_heads", config.size("hidden_size")?, heads)
        })?;
        let qwen = config.text_or("model_type", "llama")? == "qwen2";
        let (qkv_bias, out_bias) = if qwen {
            (Bias::Present, Bias::Absent)
        } else {
            let both = Bias::from(config.flag_or("attention_bias", false)?);
            (both, both)
        };
        let mlp_bias = Bias::from(config.flag_or("mlp_bias", false)?);
        let epsilon = config.number_or("rms_norm_eps", 1e-6)?;
        let rotary = Rotary::read(config, shape.head_width, "rope_theta", "partial_rotary_factor")?;
        let activation = config.activation("hidden_act", "silu")?;
        let Shape { width, hidden, heads, key_heads, head_width, .. } = shape;
        let (all, grouped) = (heads * head_width, key_heads * head_width);
        let views = views(config, shape.layers)?;
        let mut from = checkpoint.without_prefix("model.");
        let mut layers = Vec::with_capacity(shape.layers);
        for (n, view) in views.into_iter().enumerate() {
            let at = |name: &str| format!("layers.{n}.{name}");
            let scale = (head_width as f32).sqrt().recip();
            layers.push(Layer {
                attn_norm: rms_norm(&mut from, &at("input_layernorm"), width, epsilon),
                query: from.linear(&at("self_attn.q_proj"), [width, all], qkv_bias),
                key: from.linear(&at("self_attn.k_proj"), [width, grouped], qkv_bias),
                value: from.linear(&at("self_attn.v_proj"), [width, grouped], qkv_bias),
                attn_out: from.linear(&at("self_attn.o_proj"), [all, width], out_bias),
                attention: Attention {
                    heads,
                    key_heads,
                    width: head_width,
                    scale,
                    cap: None,
                    view,
                },
                mlp_norm: rms_norm(&mut from, &at("post_attention_layernorm"), width, epsilon),
                gate: from.linear(&at("mlp.gate_proj"), [width, hidden], mlp_bias),
                up: from.linear(&at("mlp.up_proj"), [width, hidden], mlp_bias),
                down: from.linear(&at("mlp.down_proj"), [hidden, width], mlp_bias),
            });
        }
        let tokens = from.matrix("embed_tokens.weight", [shape.vocabulary, width]);
        let tied = config.flag_or("tie_word_embeddings", false)?;
        let head = if tied {
            Linear { weight: tokens.clone().transpose(), bias: None }
        } else {
            from.linear("lm_head", [width, shape.vocabulary], Bias::Absent)
        };
        let final_norm = rms_norm(&mut from, "norm", width, epsilon);
        // Frequencies are made anew; a tied head repeats the embedding.
        from.finish(if tied { &["inv_freq", "lm_head.weight"] } else { &["inv_freq"] })?;
        Ok(Self { shape, tokens, layers, final_norm, head, rotary, activation })
    }
}

impl Family for Llama {
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
            resid = layer.run(n, resid, &turns, self.activation, cache.as_deref_mut(), taps)?;
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
        let out = pass(taps, format_args!("layers.{n}.attn.out"), self.attn_out.forward(z))?;
        let resid = pass(taps, format_args!("layers.{n}.resid.mid"), resid + out)?;

        let x = self.mlp_norm.forward(resid.clone());
        let x = pass(taps, format_args!("layers.{n}.mlp.in"), x)?;
        let gate = pass(taps, format_args!("layers.{n}.mlp.pre"), self.gate.forward(x.clone()))?;
        let hidden = activation.gated(gate, self.up.forward(x)); // [batch, position, hidden]
        let hidden = pass(taps, format_args!("layers.{n}.mlp.act"), hidden)?;
        let out = pass(taps, format_args!("layers.{n}.mlp.out"), self.down.forward(hidden))?;
        pass(taps, format_args!("layers.{n}.resid.post"), resid + out)
    }
}

/// The shape of a network with grouped queries; `head_width` of the number of heads is its default.
pub(crate) fn grouped_shape(
    config: &Config,
    head_width: impl FnOnce(usize) -> Result<usize>,
) -> Result<Shape> {
    let heads = config.size("num_attention_heads")?;
    let key_heads = config.size_or("num_key_value_heads", heads)?;
    config.share("num_key_value_heads", heads, key_heads)?;
    let head_width =
        if config.has("head_dim") { config.size("head_dim")? } else { head_width(heads)? };
    if !head_width.is_multiple_of(2) {
        return Err(config.wrong("head_dim", head_width, "an even number: units turn in pairs"));
    }
    Ok(Shape {
        layers: config.layers("num_hidden_layers")?,
        width: config.size("hidden_size")?,
        heads,
        key_heads,
        head_width,
        hidden: config.size("intermediate_size")?,
        vocabulary: config.size("vocab_size")?,
        context: config.size_or("max_position_embeddings", 2048)?,
        form: Form::Sequential,
    })
}

/// Which keys each layer's queries see: by `layer_types`, or by the older attributes.
fn views(config: &Config, layers: usize) -> Result<Vec<View>> {
    let window = if config.has("sliding_window") {
        View::Window(config.size("sliding_window")?)
    } else {
        View::Past
    };
    if let Some(types) = config.texts("layer_types")? {
        return typed_views(config, &types, layers, window);
    }
    // Mistral slides in every layer; Qwen2 only on demand, and past a first layer.
    let qwen = config.text_or("model_type", "llama")? == "qwen2";
    let first = match (qwen, config.flag_or("use_sliding_window", !qwen)?) {
        (_, false) => layers,
        (false, true) => 0,
        (true, true) => config.size_or("max_window_layers", layers)?,
    };
    Ok((0..layers).map(|n| if n >= first { window } else { View::Past }).collect())
}

/// The views that `layer_types` names.
pub(crate) fn typed_views(
    config: &Config,
    types: &[String],
    layers: usize,
    window: View,
) -> Result<Vec<View>> {
    if types.len() != layers {
        let found = format!("{} entries", types.len());
        return Err(config.wrong("layer_types", found, &format!("{layers}, one a layer")));
    }
    let view = |kind: &String| match kind.as_str() {
        "full_attention" => Ok(View::Past),
        "sliding_attention" => Ok(window),
        other => Err(config.wrong("layer_types", other, "full_attention or sliding_attention")),
    };
    types.iter().map(view).collect()
}

fn rms_norm(from: &mut Checkpoint, name: &str, size: usize, epsilon: f64) -> RmsNorm {
    RmsNorm { gain: from.vector(&format!("{name}.weight"), size), epsilon }
}
