//! BERT encoders, of which MiniLM is one: every position sees its whole sequence, norms after each
//! half.
//!
//! Source: Devlin et al. 2019, arXiv:1810.04805, §3. Sites: `embed` after its norm; `attn.out` and
//! `mlp.out` before the sum and the norm that give `resid.mid` and `resid.post`; no `final.norm` and
//! no `logits`. Left out: the pooler and the heads of pretraining, which are ignored in checkpoints,
//! and a second segment: all tokens are of segment 0.

use burn::tensor::Tensor;
use nissl_core::Result;
use nissl_core::network::FinalNorm;
use nissl_core::taps::Taps;
use serde_json::json;

use super::attention::{Attention, View};
use super::checkpoint::{Bias, Checkpoint};
use super::config::Config;
use super::family::{Family, Form, Input, Shape, pass};
use super::ops::{Activation, LayerNorm, Linear, Norm, embed};

/// A BERT encoder.
#[derive(Clone, Debug)]
pub(crate) struct Bert {
    shape: Shape,
    /// `[token, unit]`.
    tokens: Tensor<2>,
    /// `[position, unit]`, the vector of segment 0 added.
    positions: Tensor<2>,
    embed_norm: LayerNorm,
    layers: Vec<Layer>,
    attention: Attention,
    activation: Activation,
}

#[derive(Clone, Debug)]
struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    attn_out: Linear,
    attn_norm: LayerNorm,
    up: Linear,
    down: Linear,
    mlp_norm: LayerNorm,
}

impl Bert {
    pub(crate) fn load(config: &Config, checkpoint: Checkpoint) -> Result<Self> {
        config.only(&[
            ("position_embedding_type", json!("absolute")),
            ("is_decoder", json!(false)),
            ("add_cross_attention", json!(false)),
        ])?;
        let width = config.size("hidden_size")?;
        let heads = config.size("num_attention_heads")?;
        let shape = Shape {
            layers: config.layers("num_hidden_layers")?,
            width,
            heads,
            key_heads: heads,
            head_width: config.share("num_attention_heads", width, heads)?,
            hidden: config.size("intermediate_size")?,
            vocabulary: config.size("vocab_size")?,
            context: config.size_or("max_position_embeddings", 512)?,
            form: Form::Encoder,
        };
        let activation = config.activation("hidden_act", "gelu")?;
        let epsilon = config.number_or("layer_norm_eps", 1e-12)?;
        let segments = config.size_or("type_vocab_size", 2)?;
        let mut from = checkpoint
            .without_prefix("bert.")
            .respelt("LayerNorm.gamma", "LayerNorm.weight")
            .respelt("LayerNorm.beta", "LayerNorm.bias");
        let square = [width, width];
        let layers = (0..shape.layers)
            .map(|n| {
                let at = |name: &str| format!("encoder.layer.{n}.{name}");
                let mut linear = |name: &str, size| from.linear(&at(name), size, Bias::Present);
                Layer {
                    query: linear("attention.self.query", square),
                    key: linear("attention.self.key", square),
                    value: linear("attention.self.value", square),
                    attn_out: linear("attention.output.dense", square),
                    up: linear("intermediate.dense", [width, shape.hidden]),
                    down: linear("output.dense", [shape.hidden, width]),
                    attn_norm: from.layer_norm(&at("attention.output.LayerNorm"), width, epsilon),
                    mlp_norm: from.layer_norm(&at("output.LayerNorm"), width, epsilon),
                }
            })
            .collect();
        let tokens = from.matrix("embeddings.word_embeddings.weight", [shape.vocabulary, width]);
        let places = from.matrix("embeddings.position_embeddings.weight", [shape.context, width]);
        let segments = from.matrix("embeddings.token_type_embeddings.weight", [segments, width]);
        let embed_norm = from.layer_norm("embeddings.LayerNorm", width, epsilon);
        from.finish(&[
            "embeddings.position_ids",
            "pooler.dense.weight",
            "pooler.dense.bias",
            "cls.predictions.bias",
            "cls.predictions.decoder.weight",
            "cls.predictions.decoder.bias",
            "cls.predictions.transform.dense.weight",
            "cls.predictions.transform.dense.bias",
            "cls.predictions.transform.LayerNorm.weight",
            "cls.predictions.transform.LayerNorm.bias",
            "cls.seq_relationship.weight",
            "cls.seq_relationship.bias",
        ])?;
        let scale = (shape.head_width as f32).sqrt().recip();
        let attention = Attention {
            heads,
            key_heads: heads,
            width: shape.head_width,
            scale,
            cap: None,
            view: View::All,
        };
        let positions = places + segments.narrow(0, 0, 1);
        Ok(Self { shape, tokens, positions, embed_norm, layers, attention, activation })
    }
}

impl Family for Bert {
    fn shape(&self) -> &Shape {
        &self.shape
    }

    fn run(&self, input: Input<'_>, taps: &mut Taps<'_>) -> Option<Tensor<3>> {
        let Input { tokens, lengths, .. } = input;
        let [_, positions] = tokens.dims();
        let places = self.positions.clone().narrow(0, 0, positions);
        let embedded = self.embed_norm.forward(embed(&self.tokens, tokens) + places.unsqueeze());
        let mut resid = pass(taps, format_args!("embed"), embedded)?; // [batch, position, unit]
        for (n, layer) in self.layers.iter().enumerate() {
            resid = pass(taps, format_args!("layers.{n}.resid.pre"), resid)?;

            let x = resid.clone();
            let query = layer.query.forward(x.clone());
            let query = pass(taps, format_args!("layers.{n}.attn.q"), query)?;
            let key = layer.key.forward(x.clone());
            let key = pass(taps, format_args!("layers.{n}.attn.k"), key)?;
            let value = pass(taps, format_args!("layers.{n}.attn.v"), layer.value.forward(x))?;
            let heads = [query, key, value].map(|x| self.attention.split(x));
            let z = self.attention.read(n, heads, lengths, taps)?;
            let out = pass(taps, format_args!("layers.{n}.attn.out"), layer.attn_out.forward(z))?;
            let mid = layer.attn_norm.forward(resid + out);
            let mid = pass(taps, format_args!("layers.{n}.resid.mid"), mid)?;

            let x = pass(taps, format_args!("layers.{n}.mlp.in"), mid.clone())?;
            let hidden = layer.up.forward(x);
            let hidden = pass(taps, format_args!("layers.{n}.mlp.pre"), hidden)?;
            let hidden = self.activation.forward(hidden); // [batch, position, hidden]
            let hidden = pass(taps, format_args!("layers.{n}.mlp.act"), hidden)?;
            let out = pass(taps, format_args!("layers.{n}.mlp.out"), layer.down.forward(hidden))?;
            let post = layer.mlp_norm.forward(mid + out);
            resid = pass(taps, format_args!("layers.{n}.resid.post"), post)?;
        }
        Some(resid)
    }

    fn down_projection(&self, layer: usize) -> Tensor<2> {
        self.layers[layer].down.weight.clone()
    }

    fn unembed(&self, _directions: Tensor<2>, _norm: FinalNorm) -> Option<Tensor<2>> {
        None
    }
}
