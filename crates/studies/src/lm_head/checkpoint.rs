//! Planted weights as a checkpoint on disk, in Llama's form.
//!
//! Attention adds nothing and all gains are 1, so that what a token does passes the planted neurons
//! alone.

use std::path::Path;

use ndarray::Array2;
use nissl_core::numbers::{Block, to_bytes};
use nissl_core::seed::rng;
use nissl_core::store::write_bytes;
use nissl_core::{IoContext, Result};
use nissl_worlds::planted_head::PlantedHeadWeights;
use rand_distr::{Distribution, StandardNormal};
use serde_json::json;

/// Attention heads; what they read and how does not matter, for they write nothing.
const HEADS: usize = 4;

/// Writes a network with `planted` MLPs to `folder`; token embeddings are drawn from `seed`.
pub(super) fn write(folder: &Path, planted: &PlantedHeadWeights, seed: u64) -> Result<()> {
    let (vocabulary, width) = planted.head.dim();
    let mut rng = rng(seed, 0xe3bed);
    let mut normal = |shape: [usize; 2]| {
        Array2::<f32>::from_shape_simple_fn(shape, || StandardNormal.sample(&mut rng))
    };
    let embedding = normal([vocabulary, width]);
    let square = normal([width, width]) / (width as f32).sqrt();
    let nothing = Array2::<f32>::zeros((width, width));
    let ones = vec![1.0f32; width];
    let down: Vec<Array2<f32>> =
        planted.down.iter().map(|down| down.t().as_standard_layout().into_owned()).collect();
    let mut matrices: Vec<(String, &Array2<f32>)> = vec![
        ("model.embed_tokens.weight".to_owned(), &embedding),
        ("lm_head.weight".to_owned(), &planted.head),
    ];
    let mut gains = vec!["model.norm.weight".to_owned()];
    for (layer, down) in down.iter().enumerate() {
        let at = |name: &str| format!("model.layers.{layer}.{name}.weight");
        gains.extend(["input_layernorm", "post_attention_layernorm"].map(at));
        for name in ["q_proj", "k_proj", "v_proj"] {
            matrices.push((at(&format!("self_attn.{name}")), &square));
        }
        matrices.extend([
            (at("self_attn.o_proj"), &nothing),
            (at("mlp.gate_proj"), &planted.gate[layer]),
            (at("mlp.up_proj"), &planted.up[layer]),
            (at("mlp.down_proj"), down),
        ]);
    }
    let mut blocks: Vec<(&str, Block<'_>)> = matrices
        .iter()
        .map(|(name, values)| (name.as_str(), Block::matrix(values.view())))
        .collect();
    blocks.extend(gains.iter().map(|name| (name.as_str(), Block::f32s(&ones, &[width]))));
    std::fs::create_dir_all(folder).at(folder, "create")?;
    write_bytes(&folder.join("model.safetensors"), &to_bytes(&blocks)?)?;
    let config = json!({
        "model_type": "llama", "vocab_size": vocabulary, "hidden_size": width,
        "intermediate_size": planted.up[0].nrows(), "num_hidden_layers": down.len(),
        "num_attention_heads": HEADS, "num_key_value_heads": HEADS,
        "max_position_embeddings": 64, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
        "hidden_act": "silu", "tie_word_embeddings": false,
    });
    write_bytes(&folder.join("config.json"), config.to_string().as_bytes())
}
