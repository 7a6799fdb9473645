//! The fused operations as an extension of burn's backends.

mod autodiff;
pub(crate) mod portable;

use crate::options::{Activation, AttentionOptions, SoftmaxOptions};
use burn::backend::{
    Backend, ExtensionType, backend_extension,
    tensor::{FloatTensor, IntTensor},
};

/// An optional argument of floats, in the form that burn's dispatch can route.
#[derive(Debug, ExtensionType)]
pub enum OptionalFloat<B: Backend> {
    /// There
    Given(FloatTensor<B>),
    /// Left out
    Absent,
}

/// An optional argument of integers, in the form that burn's dispatch can route.
#[derive(Debug, ExtensionType)]
pub enum OptionalInt<B: Backend> {
    /// There
    Given(IntTensor<B>),
    /// Left out
    Absent,
}

impl<B: Backend> OptionalFloat<B> {
    /// As a plain option.
    pub fn into_option(self) -> Option<FloatTensor<B>> {
        match self {
            Self::Given(tensor) => Some(tensor),
            Self::Absent => None,
        }
    }
}

impl<B: Backend> OptionalInt<B> {
    /// As a plain option.
    pub fn into_option(self) -> Option<IntTensor<B>> {
        match self {
            Self::Given(tensor) => Some(tensor),
            Self::Absent => None,
        }
    }
}

/// Fused operations; the body given here is a composition of burn's own.
#[backend_extension(Flex, Autodiff)]
pub trait Kernels: Backend {
    /// `f(x)`, element by element; any shape.
    fn fused_activate(x: FloatTensor<Self>, activation: Activation) -> FloatTensor<Self> {
        portable::activate::<Self>(x, activation)
    }

    /// `f(gate) ⊙ up`; both of one shape.
    fn fused_gate(
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self> {
        Self::float_mul(portable::activate::<Self>(gate, activation), up)
    }

    /// Layer norm of `[.., feature]` with gain and bias `[feature]`.
    fn fused_layer_norm(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self> {
        portable::layer_norm::<Self>(x, gain, bias, epsilon)
    }

    /// Root-mean-square norm of `[.., feature]` with gain `[feature]`.
    fn fused_rms_norm(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self> {
        portable::rms_norm::<Self>(x, gain, epsilon)
    }

    /// Softmax over the last axis; `mask`, of the same rank, is added before it.
    fn fused_softmax(
        x: FloatTensor<Self>,
        #[extension_type] mask: OptionalFloat<Self>,
        options: SoftmaxOptions,
    ) -> FloatTensor<Self> {
        portable::softmax::<Self>(x, mask.into_option(), options)
    }

    /// Logarithm of the softmax over the last axis.
    fn fused_log_softmax(x: FloatTensor<Self>) -> FloatTensor<Self> {
        portable::log_softmax::<Self>(x)
    }

    /// `−log softmax(logits)[target]`, `[row, class]` and `[row]` to `[row]`.
    fn fused_cross_entropy(
        logits: FloatTensor<Self>,
        targets: IntTensor<Self>,
    ) -> FloatTensor<Self> {
        portable::cross_entropy::<Self>(logits, targets)
    }

    /// Attention; `lengths` `[batch]` hides the keys from each length on.
    fn fused_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        #[extension_type] lengths: OptionalInt<Self>,
        options: AttentionOptions,
    ) -> FloatTensor<Self> {
        portable::attention::<Self>(query, key, value, lengths.into_option(), options)
    }

    /// `x W + b`, `[.., input]`, `[input, output]`, `[output]` to `[.., output]`.
    fn fused_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        #[extension_type] bias: OptionalFloat<Self>,
    ) -> FloatTensor<Self> {
        portable::linear::<Self>(x, weight, bias.into_option())
    }
}

/// Backward passes of [`Kernels`], on the backend below autodiff.
pub trait KernelGradients: Backend {
    /// `f′(x) ⊙ gradient`.
    fn activate_gradient(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self> {
        portable::activate_gradient::<Self>(x, gradient, activation)
    }

    /// Gradients by input `[.., feature]`, gain and bias `[feature]`.
    fn layer_norm_gradient(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        epsilon: f32,
    ) -> [FloatTensor<Self>; 3] {
        portable::layer_norm_gradient::<Self>(x, gain, gradient, epsilon)
    }

    /// Gradients by input `[.., feature]` and gain `[feature]`.
    fn rms_norm_gradient(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        epsilon: f32,
    ) -> [FloatTensor<Self>; 2] {
        portable::rms_norm_gradient::<Self>(x, gain, gradient, epsilon)
    }

    /// Gradient by the scores `x`, given the probabilities.
    fn softmax_gradient(
        x: FloatTensor<Self>,
        probability: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        options: SoftmaxOptions,
    ) -> FloatTensor<Self> {
        portable::softmax_gradient::<Self>(x, probability, gradient, options)
    }

    /// Gradient by the scores, given the log-probabilities.
    fn log_softmax_gradient(
        log_probability: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        portable::log_softmax_gradient::<Self>(log_probability, gradient)
    }

    /// Gradient by the logits `[row, class]`, given that of each row's loss `[row]`.
    fn cross_entropy_gradient(
        logits: FloatTensor<Self>,
        targets: IntTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        portable::cross_entropy_gradient::<Self>(logits, targets, gradient)
    }

    /// Gradients by query, key and value.
    fn attention_gradient(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        lengths: Option<IntTensor<Self>>,
        gradient: FloatTensor<Self>,
        options: AttentionOptions,
    ) -> [FloatTensor<Self>; 3] {
        portable::attention_gradient::<Self>(query, key, value, lengths, gradient, options)
    }

    /// `gradient Wᵀ`, `[.., output]` to `[.., input]`.
    fn linear_input_gradient(
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        portable::linear::<Self>(gradient, Self::float_transpose(weight), None)
    }

    /// `xᵀ gradient`, to `[input, output]`.
    fn linear_weight_gradient(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        portable::linear_weight_gradient::<Self>(x, gradient)
    }

    /// Sum over all axes but the last.
    fn sum_rows(gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        portable::sum_rows::<Self>(gradient)
    }
}
