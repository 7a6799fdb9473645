//! Where each architecture keeps its matrices, and how they lie.
//!
//! Source: the layouts of the released checkpoints, as the families in `language` load them.

use nissl_core::network::Part;
use nissl_core::{Error, Result};

use super::view::{Axes, Spec};
use crate::files::Files;
use crate::language::config::Config;
use crate::language::described::TRANSFORMER_LENS;
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
        }
    };
    Ok(Layout {
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
        }
    };
    Ok(Layout {
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
        }
    };
    Ok(Layout {
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
        }
    };
    Ok(Layout {
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
