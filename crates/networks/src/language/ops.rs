//! The operations of a transformer block, each a thin name over one kernel.

use burn::tensor::activation;
use burn::tensor::{Int, Tensor};
use nissl_core::network::FinalNorm;
use nissl_kernels as kernels;

/// `x · weight + bias` with `weight` `[input, output]`.
#[derive(Clone, Debug)]
pub(crate) struct Linear {
    /// `[input, output]`.
    pub weight: Tensor<2>,
    /// `[output]`.
    pub bias: Option<Tensor<1>>,
}

impl Linear {
    /// `[batch, position, input]` to `[batch, position, output]`.
    pub(crate) fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        kernels::linear(x, self.weight.clone(), self.bias.clone())
    }
}

/// A norm of the residual stream `[batch, position, unit]`.
pub(crate) trait Norm {
    fn forward(&self, x: Tensor<3>) -> Tensor<3>;

    /// What it does beside dividing by the size: centring, where it centres, and the gain.
    fn linear_part(&self, x: Tensor<3>) -> Tensor<3>;

    /// Directions `[direction, unit]` as the head sees them, `[1, direction, unit]`.
    fn before_head(&self, directions: Tensor<2>, norm: FinalNorm) -> Tensor<3> {
        let directions = directions.unsqueeze::<3>();
        match norm {
            FinalNorm::Apply => self.forward(directions),
            FinalNorm::Gain => self.linear_part(directions),
            FinalNorm::Skip => directions,
        }
    }
}

/// `(x − mean) / √(variance + ε) · gain + bias` over the last axis.
#[derive(Clone, Debug)]
pub(crate) struct LayerNorm {
    /// `[unit]`.
    pub gain: Tensor<1>,
    /// `[unit]`.
    pub bias: Tensor<1>,
    /// ε.
    pub epsilon: f64,
}

impl Norm for LayerNorm {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        kernels::layer_norm(x, self.gain.clone(), self.bias.clone(), self.epsilon as f32)
    }

    fn linear_part(&self, x: Tensor<3>) -> Tensor<3> {
        (x.clone() - x.mean_dim(2)) * self.gain.clone().unsqueeze()
    }
}

/// `x / √(mean x² + ε) · gain` over the last axis.
#[derive(Clone, Debug)]
pub(crate) struct RmsNorm {
    /// `[unit]`; for Gemma already `1 + weight`.
    pub gain: Tensor<1>,
    /// ε.
    pub epsilon: f64,
}

impl Norm for RmsNorm {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        kernels::rms_norm(x, self.gain.clone(), self.epsilon as f32)
    }

    fn linear_part(&self, x: Tensor<3>) -> Tensor<3> {
        x * self.gain.clone().unsqueeze()
    }
}

/// The non-linearity of an MLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activation {
    /// `x Φ(x)`.
    Gelu,
    /// GELU through its approximation with tanh.
    GeluTanh,
    /// `max(x, 0)`.
    Relu,
    /// `x σ(x)`.
    Silu,
}

impl Activation {
    /// By the names that checkpoints use.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "gelu" => Some(Self::Gelu),
            "gelu_new" | "gelu_fast" | "gelu_pytorch_tanh" => Some(Self::GeluTanh),
            "relu" => Some(Self::Relu),
            "silu" | "swish" => Some(Self::Silu),
            _ => None,
        }
    }

    pub(crate) fn forward(self, x: Tensor<3>) -> Tensor<3> {
        match self.fused() {
            Some(fused) => kernels::activate(x, fused),
            None => activation::relu(x),
        }
    }

    /// `f(gate) · up`, the hidden layer of a gated MLP.
    pub(crate) fn gated(self, gate: Tensor<3>, up: Tensor<3>) -> Tensor<3> {
        match self.fused() {
            Some(fused) => kernels::activate_mul(gate, up, fused),
            None => activation::relu(gate) * up,
        }
    }

    fn fused(self) -> Option<kernels::Activation> {
        match self {
            Self::Gelu => Some(kernels::Activation::Gelu),
            Self::GeluTanh => Some(kernels::Activation::GeluTanh),
            Self::Silu => Some(kernels::Activation::Silu),
            Self::Relu => None,
        }
    }
}

/// Rows of `table` `[token, unit]` for `tokens` `[batch, position]`: `[batch, position, unit]`.
pub(crate) fn embed(table: &Tensor<2>, tokens: Tensor<2, Int>) -> Tensor<3> {
    let [batch, positions] = tokens.dims();
    let [_, units] = table.dims();
    let rows = table.clone().select(0, tokens.reshape([batch * positions]));
    rows.reshape([batch, positions, units])
}

/// `c · tanh(x / c)`.
pub(crate) fn soft_cap<const D: usize>(x: Tensor<D>, cap: Option<f32>) -> Tensor<D> {
    match cap {
        None => x,
        Some(cap) => (x / cap).tanh() * cap,
    }
}
