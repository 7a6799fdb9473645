//! How the halves of a network's layers are joined to its residual stream: heads, norms, biases.

use serde::{Deserialize, Serialize};

/// One of the two halves of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Half {
    /// The attention.
    Attention,
    /// The MLP.
    Mlp,
}

/// How the units of a layer's attention are divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadShape {
    /// Heads, each with its own queries and its own share of the output.
    pub heads: usize,
    /// Heads of keys and values, a divisor of `heads`: query head `h` reads `h / (heads / key_heads)`.
    pub key_heads: usize,
    /// Units of a head.
    pub width: usize,
}

impl HeadShape {
    /// The head of keys and values that a head reads.
    pub fn key_head(&self, head: usize) -> usize {
        head / (self.heads / self.key_heads.max(1)).max(1)
    }
}

/// What is the same in every layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamForm {
    /// The heads of each layer's attention.
    pub heads: HeadShape,
    /// Whether attention and MLP read the same residual, side by side.
    pub parallel: bool,
    /// Whether what attention gives passes a norm of its own before it is added.
    pub norm_after_attention: bool,
    /// Whether the MLP's hidden layer is a product with a gate.
    pub gated: bool,
    /// The MLP's non-linearity, as checkpoints name it: `relu`, `gelu`, `gelu_new`, `silu`.
    pub activation: String,
}

/// A norm of the residual stream: `gain · (x − [centres] mean) / √(mean square + epsilon) + bias`.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamNorm {
    /// Whether there is a norm at all; if not, all else is empty.
    pub scales: bool,
    /// Whether the mean over the residual is taken off first.
    pub centres: bool,
    /// `[residual]`.
    pub gain: Option<Vec<f32>>,
    /// `[residual]`.
    pub bias: Option<Vec<f32>>,
    /// Added to the mean square.
    pub epsilon: f64,
}

impl StreamNorm {
    /// No norm.
    pub fn absent() -> Self {
        Self { scales: false, centres: false, gain: None, bias: None, epsilon: 0.0 }
    }
}
