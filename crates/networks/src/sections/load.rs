//! The weights of transformers that can be cut: TransformerLens's naming and GPT-2's.

use std::path::Path;

use ndarray::{Array2, Axis, concatenate};
use nissl_core::section::Nonlinearity;
use nissl_core::{Error, Result};

use super::read::Weights;
use super::transformer::{Layer, Norm, Transformer};
use super::with_bias;
use crate::files::Files;
use crate::language::config::Config;
use crate::language::described::{Described, TRANSFORMER_LENS, described};
use crate::language::gpt2;
use crate::language::transformer_lens::{self, Norms};

/// Reads a transformer of either naming.
pub(super) fn transformer(path: &Path) -> Result<Transformer> {
    let Described { config, architecture, .. } = described(path)?;
    let files = Files::open(path)?;
    match architecture.as_str() {
        TRANSFORMER_LENS => lens(&config, &files),
        "gpt2" => gpt2(&config, files.without_prefix("transformer.")),
        other => Err(config.wrong("model_type", other, "gpt2 or transformer_lens").with_help(
            "bias folding is known for layer norms, learnt positions and plain MLPs; rotary positions, RMS norms and gated MLPs cannot be cut into sections yet",
        )),
    }
}

fn nonlinearity(config: &Config, key: &str, default: &str) -> Result<Nonlinearity> {
    match config.text_or(key, default)? {
        "relu" => Ok(Nonlinearity::Relu),
        "gelu" => Ok(Nonlinearity::Gelu),
        "gelu_new" | "gelu_fast" | "gelu_pytorch_tanh" => Ok(Nonlinearity::GeluTanh),
        "silu" | "swish" => Ok(Nonlinearity::Silu),
        other => Err(config.wrong(key, other, "gelu, gelu_new, gelu_pytorch_tanh, relu or silu")),
    }
}

/// Attributes of both namings that change the computation.
fn plain(config: &Config) -> Result<()> {
    transformer_lens::plain(config)?;
    gpt2::plain(config)
}

fn lens(config: &Config, files: &Files) -> Result<Transformer> {
    plain(config)?;
    let from = Weights { files };
    let axes = |key: &str, expected: usize| -> Result<Vec<usize>> {
        let shape = from.shape(key)?;
        if shape.len() == expected {
            return Ok(shape.to_vec());
        }
        let found = format!("of shape {shape:?}");
        Err(Error::file(&files.path, key, found, format!("{expected} axes")))
    };
    let table = axes("embed.W_E", 2)?;
    let context = axes("pos_embed.W_pos", 2)?[0];
    let query = axes("blocks.0.attn.W_Q", 3)?;
    let hidden = axes("blocks.0.mlp.W_in", 2)?[1];
    let (vocabulary, width, heads, head_width) = (table[0], table[1], query[0], query[2]);
    let norms = transformer_lens::norms(config, from.has("ln_final.w"))?;
    if norms != Norms::Absent && !config.has("act_fn") {
        return Err(config.wrong("act_fn", "absent", "gelu, gelu_new, relu or silu"));
    }
    let epsilon = config.number_or("eps", 1e-5)?;
    let norm = |name: &str| -> Result<Option<Norm>> {
        Ok(match norms {
            Norms::Absent => None,
            Norms::Bare => Some(Norm { gain: vec![1.0; width], bias: vec![0.0; width], epsilon }),
            Norms::Full => {
                let gain = from.vector(&format!("{name}.w"), width)?;
                let bias = from.vector(&format!("{name}.b"), width)?;
                Some(Norm { gain, bias, epsilon })
            }
        })
    };
    let layer = |n: usize| -> Result<Layer> {
        let at = |name: &str| format!("blocks.{n}.{name}");
        let heads_of = |which: &str| -> Result<Array2<f64>> {
            let shape = [heads, width, head_width];
            let weight = from.to_heads(&at(&format!("attn.W_{which}")), shape)?;
            let bias = from.head_bias(&at(&format!("attn.b_{which}")), [heads, head_width])?;
            Ok(with_bias(weight.view(), &bias, heads * head_width))
        };
        let parts = [heads_of("Q")?, heads_of("K")?, heads_of("V")?];
        Ok(Layer {
            attn_norm: norm(&at("ln1"))?,
            qkv: side_by_side(&parts),
            out: from.heads_to_residual(&at("attn.W_O"), [heads, head_width, width])?,
            out_bias: from.vector_or_zero(&at("attn.b_O"), width)?,
            mlp_norm: norm(&at("ln2"))?,
            up: from.matrix(&at("mlp.W_in"), [width, hidden])?,
            up_bias: from.vector_or_zero(&at("mlp.b_in"), hidden)?,
            down: from.matrix(&at("mlp.W_out"), [hidden, width])?,
            down_bias: from.vector_or_zero(&at("mlp.b_out"), width)?,
        })
    };
    Ok(Transformer {
        heads,
        nonlinearity: nonlinearity(config, "act_fn", "relu")?,
        embed: from.matrix("embed.W_E", [vocabulary, width])?,
        places: from.matrix("pos_embed.W_pos", [context, width])?,
        layers: (0..transformer_lens::layers(files)?).map(layer).collect::<Result<_>>()?,
        final_norm: norm("ln_final")?,
        head: from.matrix("unembed.W_U", [width, vocabulary])?,
        head_bias: from.vector_or_zero("unembed.b_U", vocabulary)?,
    })
}

fn side_by_side(parts: &[Array2<f64>; 3]) -> Array2<f64> {
    let views = parts.each_ref().map(|part| part.view());
    concatenate(Axis(1), &views).unwrap_or_default()
}

fn gpt2(config: &Config, files: Files) -> Result<Transformer> {
    plain(config)?;
    let from = Weights { files: &files };
    let width = config.size("n_embd")?;
    let heads = config.size("n_head")?;
    config.share("n_head", width, heads)?;
    let hidden = config.size_or("n_inner", 4 * width)?;
    let vocabulary = config.size("vocab_size")?;
    let context = config.size_or("n_positions", 1024)?;
    let epsilon = config.number_or("layer_norm_epsilon", 1e-5)?;
    let norm = |name: &str| -> Result<Option<Norm>> {
        let gain = from.vector(&format!("{name}.weight"), width)?;
        let bias = from.vector(&format!("{name}.bias"), width)?;
        Ok(Some(Norm { gain, bias, epsilon }))
    };
    let layer = |n: usize| -> Result<Layer> {
        let matrix = |name: &str, shape| from.matrix(&format!("h.{n}.{name}.weight"), shape);
        let bias = |name: &str, size| from.vector(&format!("h.{n}.{name}.bias"), size);
        let qkv = matrix("attn.c_attn", [width, 3 * width])?;
        Ok(Layer {
            attn_norm: norm(&format!("h.{n}.ln_1"))?,
            qkv: with_bias(qkv.view(), &bias("attn.c_attn", 3 * width)?, 3 * width),
            out: matrix("attn.c_proj", [width, width])?,
            out_bias: bias("attn.c_proj", width)?,
            mlp_norm: norm(&format!("h.{n}.ln_2"))?,
            up: matrix("mlp.c_fc", [width, hidden])?,
            up_bias: bias("mlp.c_fc", hidden)?,
            down: matrix("mlp.c_proj", [hidden, width])?,
            down_bias: bias("mlp.c_proj", width)?,
        })
    };
    let embed = from.matrix("wte.weight", [vocabulary, width])?;
    let head = if config.flag_or("tie_word_embeddings", true)? {
        embed.t().to_owned()
    } else {
        from.matrix("lm_head.weight", [vocabulary, width])?.reversed_axes()
    };
    Ok(Transformer {
        heads,
        nonlinearity: nonlinearity(config, "activation_function", "gelu_new")?,
        places: from.matrix("wpe.weight", [context, width])?,
        layers: (0..config.layers("n_layer")?).map(layer).collect::<Result<_>>()?,
        final_norm: norm("ln_f")?,
        head,
        head_bias: vec![0.0; vocabulary],
        embed,
    })
}
