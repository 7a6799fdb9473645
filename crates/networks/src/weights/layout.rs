//! Where each architecture keeps its matrices, and how they lie.
//!
//! Source: the layouts of the released checkpoints, as the families in `language` load them.

use nissl_core::network::{HeadShape, Part, StreamForm};
use nissl_core::{Error, Result};

use super::view::{Axes, Spec};
use crate::files::Files;
use crate::language::config::Config;
use crate::language::described::TRANSFORMER_LENS;
use crate::language::llama::grouped_shape;
use crate::language::transformer_lens::{self, Norms};

/// Where a checkpoint keeps everything.
pub(super) struct Layout {
    /// Taken off the names of all tensors that have it.
    pub prefix: &'static str,
    /// Added to every stored gain.
    pub offset: f32,
    pub embed: Spec,
    /// `None` where the head is the embedding.
    pub head: Option<Spec>,
    pub final_norm: Norm,
    pub layers: Vec<LayerLayout>,
    pub stream: Stream,
}

/// What circuits need beside the matrices.
pub(super) struct Stream {
    pub form: StreamForm,
    /// ε of every norm.
    pub epsilon: f64,
    pub embedding_scale: f32,
    pub head_bias: Option<String>,
}

/// A norm by the name of its gain.
pub(super) enum Norm {
    Absent,
    /// A layer norm without gain.
    Bare,
    Layer(String),
    Rms(String),
}

pub(super) struct LayerLayout {
    pub parts: Vec<(Part, Spec)>,
    /// Gains that multiply what a part writes.
    pub folded: Vec<(Part, String)>,
    pub attn_gain: Option<String>,
    pub mlp_gain: Option<String>,
    /// Biases that may be there.
    pub biases: Vec<(Part, BiasSpec)>,
    pub attn_norm_bias: Option<String>,
    pub mlp_norm_bias: Option<String>,
}

/// A bias by its name, and what of it belongs to a part.
#[derive(Clone, Debug)]
pub(super) struct BiasSpec {
    pub key: String,
    pub share: Share,
}

/// What of a stored bias belongs to a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    /// All of it, head after head where it has two axes.
    Whole,
    /// The `index`th share `of` so many.
    Part { index: usize, of: usize },
    /// The `index`th share `of` so many in each head.
    OfHeads { heads: usize, index: usize, of: usize },
}

/// The architectures whose layout is known.
const KNOWN: [&str; 7] =
    ["gpt2", "llama", "mistral", "qwen2", "gemma2", "gpt_neox", TRANSFORMER_LENS];

/// The layout of an architecture.
///
/// # Errors
/// One that is not known, or without a head.
pub(super) fn layout(architecture: &str, config: &Config, files: &Files) -> Result<Layout> {
    match architecture {
        "gpt2" => gpt2(config, files),
        "llama" | "mistral" | "qwen2" => llama(config, files, "llama"),
        "gemma2" => llama(config, files, "gemma2"),
        "gpt_neox" => neox(config, files),
        TRANSFORMER_LENS => lens(config, files),
        other => {
            let names: Vec<_> = files.places.keys().take(8).map(String::as_str).collect();
            Err(config
                .wrong("model_type", other, &format!("one of {}", KNOWN.join(", ")))
                .with_help(format!(
                    "the layout of these weights is not known; their names begin with {}",
                    names.join(", ")
                )))
        }
    }
}

fn rows(key: impl Into<String>) -> Spec {
    Spec { key: key.into(), axes: Axes::Rows }
}

fn whole(key: impl Into<String>) -> BiasSpec {
    BiasSpec { key: key.into(), share: Share::Whole }
}

fn columns(key: impl Into<String>) -> Spec {
    Spec { key: key.into(), axes: Axes::Columns }
}

/// The head's own table, or none where it is tied to the embedding.
fn head(config: &Config, files: &Files, key: &str, tied: bool) -> Result<Option<Spec>> {
    if config.flag_or("tie_word_embeddings", tied)? {
        return Ok(None);
    }
    if files.places.contains_key(key) {
        return Ok(Some(rows(key)));
    }
    Err(Error::file(&files.path, key, "absent", "a head over the vocabulary").with_help(
        "without one nothing can be read in tokens; set `tie_word_embeddings` in config.json if the embedding is the head",
    ))
}

fn gpt2(config: &Config, files: &Files) -> Result<Layout> {
    let layer = |n: usize| {
        let at = |name: &str| format!("h.{n}.{name}.weight");
        let bias = |name: &str| format!("h.{n}.{name}.bias");
        let fused_bias =
            |index| BiasSpec { key: bias("attn.c_attn"), share: Share::Part { index, of: 3 } };
        let fused =
            |index| Spec { key: at("attn.c_attn"), axes: Axes::ColumnShare { index, of: 3 } };
        LayerLayout {
            parts: vec![
                (Part::Up, columns(at("mlp.c_fc"))),
                (Part::Down, rows(at("mlp.c_proj"))),
                (Part::Query, fused(0)),
                (Part::Key, fused(1)),
                (Part::Value, fused(2)),
                (Part::AttentionOut, rows(at("attn.c_proj"))),
            ],
            folded: Vec::new(),
            attn_gain: Some(at("ln_1")),
            mlp_gain: Some(at("ln_2")),
            biases: vec![
                (Part::Up, whole(bias("mlp.c_fc"))),
                (Part::Down, whole(bias("mlp.c_proj"))),
                (Part::Query, fused_bias(0)),
                (Part::Key, fused_bias(1)),
                (Part::Value, fused_bias(2)),
                (Part::AttentionOut, whole(bias("attn.c_proj"))),
            ],
            attn_norm_bias: Some(bias("ln_1")),
            mlp_norm_bias: Some(bias("ln_2")),
        }
    };
    let (width, heads) = (config.size("n_embd")?, config.size("n_head")?);
    let width = config.share("n_head", width, heads)?;
    let stream = Stream {
        form: StreamForm {
            heads: HeadShape { heads, key_heads: heads, width },
            parallel: false,
            norm_after_attention: false,
            gated: false,
            activation: config.text_or("activation_function", "gelu_new")?.to_owned(),
        },
        epsilon: config.number_or("layer_norm_epsilon", 1e-5)?,
        embedding_scale: 1.0,
        head_bias: None,
    };
    Ok(Layout {
        stream,
        prefix: "transformer.",
        offset: 0.0,
        embed: rows("wte.weight"),
        head: head(config, files, "lm_head.weight", true)?,
        final_norm: Norm::Layer("ln_f.weight".to_owned()),
        layers: (0..config.layers("n_layer")?).map(layer).collect(),
    })
}

/// Llama's layout, and Gemma 2's, whose norms stand after each half too.
fn llama(config: &Config, files: &Files, which: &str) -> Result<Layout> {
    let gemma = which == "gemma2";
    let layer = |n: usize| {
        let at = |name: &str| format!("layers.{n}.{name}.weight");
        let bias = |name: &str| format!("layers.{n}.{name}.bias");
        let mlp_norm = if gemma { "pre_feedforward_layernorm" } else { "post_attention_layernorm" };
        let folded = [
            (Part::Down, at("post_feedforward_layernorm")),
            (Part::AttentionOut, at("post_attention_layernorm")),
        ];
        LayerLayout {
            parts: vec![
                (Part::Up, rows(at("mlp.up_proj"))),
                (Part::Gate, rows(at("mlp.gate_proj"))),
                (Part::Down, columns(at("mlp.down_proj"))),
                (Part::Query, rows(at("self_attn.q_proj"))),
                (Part::Key, rows(at("self_attn.k_proj"))),
                (Part::Value, rows(at("self_attn.v_proj"))),
                (Part::AttentionOut, columns(at("self_attn.o_proj"))),
            ],
            folded: if gemma { folded.to_vec() } else { Vec::new() },
            attn_gain: Some(at("input_layernorm")),
            mlp_gain: Some(at(mlp_norm)),
            biases: vec![
                (Part::Up, whole(bias("mlp.up_proj"))),
                (Part::Gate, whole(bias("mlp.gate_proj"))),
                (Part::Down, whole(bias("mlp.down_proj"))),
                (Part::Query, whole(bias("self_attn.q_proj"))),
                (Part::Key, whole(bias("self_attn.k_proj"))),
                (Part::Value, whole(bias("self_attn.v_proj"))),
                (Part::AttentionOut, whole(bias("self_attn.o_proj"))),
            ],
            attn_norm_bias: None,
            mlp_norm_bias: None,
        }
    };
    let width = config.size("hidden_size")?;
    let shape = grouped_shape(config, |heads| {
        if gemma { Ok(256) } else { config.share("num_attention_heads", width, heads) }
    })?;
    let named = if config.has("hidden_activation") { "hidden_activation" } else { "hidden_act" };
    let usual = if gemma { "gelu_pytorch_tanh" } else { "silu" };
    let stream = Stream {
        form: StreamForm {
            heads: HeadShape {
                heads: shape.heads,
                key_heads: shape.key_heads,
                width: shape.head_width,
            },
            parallel: false,
            norm_after_attention: gemma,
            gated: true,
            activation: config.text_or(named, usual)?.to_owned(),
        },
        epsilon: config.number_or("rms_norm_eps", 1e-6)?,
        embedding_scale: if gemma { (width as f32).sqrt() } else { 1.0 },
        head_bias: None,
    };
    Ok(Layout {
        stream,
        prefix: "model.",
        offset: if gemma { 1.0 } else { 0.0 },
        embed: rows("embed_tokens.weight"),
        head: head(config, files, "lm_head.weight", gemma)?,
        final_norm: Norm::Rms("norm.weight".to_owned()),
        layers: (0..config.layers("num_hidden_layers")?).map(layer).collect(),
    })
}

fn neox(config: &Config, files: &Files) -> Result<Layout> {
    let heads = config.size("num_attention_heads")?;
    let layer = |n: usize| {
        let at = |name: &str| format!("layers.{n}.{name}.weight");
        let bias = |name: &str| format!("layers.{n}.{name}.bias");
        let fused_bias = |index| BiasSpec {
            key: bias("attention.query_key_value"),
            share: Share::OfHeads { heads, index, of: 3 },
        };
        let fused = |index| Spec {
            key: at("attention.query_key_value"),
            axes: Axes::HeadShare { heads, index, of: 3 },
        };
        LayerLayout {
            parts: vec![
                (Part::Up, rows(at("mlp.dense_h_to_4h"))),
                (Part::Down, columns(at("mlp.dense_4h_to_h"))),
                (Part::Query, fused(0)),
                (Part::Key, fused(1)),
                (Part::Value, fused(2)),
                (Part::AttentionOut, columns(at("attention.dense"))),
            ],
            folded: Vec::new(),
            attn_gain: Some(at("input_layernorm")),
            mlp_gain: Some(at("post_attention_layernorm")),
            biases: vec![
                (Part::Up, whole(bias("mlp.dense_h_to_4h"))),
                (Part::Down, whole(bias("mlp.dense_4h_to_h"))),
                (Part::Query, fused_bias(0)),
                (Part::Key, fused_bias(1)),
                (Part::Value, fused_bias(2)),
                (Part::AttentionOut, whole(bias("attention.dense"))),
            ],
            attn_norm_bias: Some(bias("input_layernorm")),
            mlp_norm_bias: Some(bias("post_attention_layernorm")),
        }
    };
    let width = config.share("num_attention_heads", config.size("hidden_size")?, heads)?;
    let stream = Stream {
        form: StreamForm {
            heads: HeadShape { heads, key_heads: heads, width },
            parallel: config.flag_or("use_parallel_residual", true)?,
            norm_after_attention: false,
            gated: false,
            activation: config.text_or("hidden_act", "gelu")?.to_owned(),
        },
        epsilon: config.number_or("layer_norm_eps", 1e-5)?,
        embedding_scale: 1.0,
        head_bias: None,
    };
    Ok(Layout {
        stream,
        prefix: "gpt_neox.",
        offset: 0.0,
        embed: rows("embed_in.weight"),
        head: head(config, files, "embed_out.weight", false)?,
        final_norm: Norm::Layer("final_layer_norm.weight".to_owned()),
        layers: (0..config.layers("num_hidden_layers")?).map(layer).collect(),
    })
}

fn lens(config: &Config, files: &Files) -> Result<Layout> {
    let norms = transformer_lens::norms(config, files.places.contains_key("ln_final.w"))?;
    let gain = |key: String| (norms == Norms::Full).then_some(key);
    let layer = |n: usize| {
        let at = |name: &str| format!("blocks.{n}.{name}");
        let heads =
            |which: &str| Spec { key: at(&format!("attn.W_{which}")), axes: Axes::HeadColumns };
        LayerLayout {
            parts: vec![
                (Part::Up, columns(at("mlp.W_in"))),
                (Part::Down, rows(at("mlp.W_out"))),
                (Part::Query, heads("Q")),
                (Part::Key, heads("K")),
                (Part::Value, heads("V")),
                (Part::AttentionOut, Spec { key: at("attn.W_O"), axes: Axes::HeadRows }),
            ],
            folded: Vec::new(),
            attn_gain: gain(at("ln1.w")),
            mlp_gain: gain(at("ln2.w")),
            biases: vec![
                (Part::Up, whole(at("mlp.b_in"))),
                (Part::Down, whole(at("mlp.b_out"))),
                (Part::Query, whole(at("attn.b_Q"))),
                (Part::Key, whole(at("attn.b_K"))),
                (Part::Value, whole(at("attn.b_V"))),
                (Part::AttentionOut, whole(at("attn.b_O"))),
            ],
            attn_norm_bias: gain(at("ln1.b")),
            mlp_norm_bias: gain(at("ln2.b")),
        }
    };
    let shape = transformer_lens::head_shape(files)?;
    let stream = Stream {
        form: StreamForm {
            heads: shape,
            parallel: false,
            norm_after_attention: false,
            gated: false,
            activation: config.text_or("act_fn", "relu")?.to_owned(),
        },
        epsilon: config.number_or("eps", 1e-5)?,
        embedding_scale: 1.0,
        head_bias: Some("unembed.b_U".to_owned()),
    };
    Ok(Layout {
        stream,
        prefix: "",
        offset: 0.0,
        embed: rows("embed.W_E"),
        head: Some(columns("unembed.W_U")),
        final_norm: match norms {
            Norms::Absent => Norm::Absent,
            Norms::Bare => Norm::Bare,
            Norms::Full => Norm::Layer("ln_final.w".to_owned()),
        },
        layers: (0..transformer_lens::layers(files)?).map(layer).collect(),
    })
}
