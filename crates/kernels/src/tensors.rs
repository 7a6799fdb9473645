//! The fused operations on burn's tensors.
//!
//! A wrong shape is a mistake of the calling code and panics with both shapes named.
#![expect(clippy::missing_panics_doc, reason = "said once, above, for all of them")]

use crate::operation::{Kernels, OptionalFloat, OptionalInt};
use crate::options::{Activation, AttentionOptions, SoftmaxOptions};
use burn::backend::Dispatch;
use burn::tensor::{Int, Tensor};

/// `x Φ(x)`, element by element, by the error function.
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    activate(x, Activation::Gelu)
}

/// The tanh form of [`gelu`], as GPT-2 and Gemma have it.
pub fn gelu_tanh<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    activate(x, Activation::GeluTanh)
}

/// `x / (1 + exp(−x))`, element by element.
pub fn silu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    activate(x, Activation::Silu)
}

/// `f(x)`, element by element.
pub fn activate<const D: usize>(x: Tensor<D>, activation: Activation) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as Kernels>::fused_activate(x.into_dispatch(), activation))
}

/// `silu(gate) ⊙ up`, both of one shape.
pub fn silu_mul<const D: usize>(gate: Tensor<D>, up: Tensor<D>) -> Tensor<D> {
    activate_mul(gate, up, Activation::Silu)
}

/// `gelu_tanh(gate) ⊙ up`, both of one shape.
pub fn gelu_tanh_mul<const D: usize>(gate: Tensor<D>, up: Tensor<D>) -> Tensor<D> {
    activate_mul(gate, up, Activation::GeluTanh)
}

/// `f(gate) ⊙ up`, both of one shape.
pub fn activate_mul<const D: usize>(
    gate: Tensor<D>,
    up: Tensor<D>,
    activation: Activation,
) -> Tensor<D> {
    assert_eq!(gate.dims(), up.dims(), "gate and up must have one shape");
    let out =
        <Dispatch as Kernels>::fused_gate(gate.into_dispatch(), up.into_dispatch(), activation);
    Tensor::from_dispatch(out)
}

/// `(x − mean) / √(variance + ε) ⊙ gain + bias` over the last axis; gain and bias `[feature]`.
pub fn layer_norm<const D: usize>(
    x: Tensor<D>,
    gain: Tensor<1>,
    bias: Tensor<1>,
    epsilon: f32,
) -> Tensor<D> {
    assert_eq!([x.dims()[D - 1]], gain.dims(), "gain must match the last axis of the input");
    assert_eq!(gain.dims(), bias.dims(), "gain and bias must have one size");
    Tensor::from_dispatch(<Dispatch as Kernels>::fused_layer_norm(
        x.into_dispatch(),
        gain.into_dispatch(),
        bias.into_dispatch(),
        epsilon,
    ))
}

/// `x / √(mean x² + ε) ⊙ gain` over the last axis; gain `[feature]`.
pub fn rms_norm<const D: usize>(x: Tensor<D>, gain: Tensor<1>, epsilon: f32) -> Tensor<D> {
    assert_eq!([x.dims()[D - 1]], gain.dims(), "gain must match the last axis of the input");
    Tensor::from_dispatch(<Dispatch as Kernels>::fused_rms_norm(
        x.into_dispatch(),
        gain.into_dispatch(),
        epsilon,
    ))
}

/// Softmax over the last axis.
pub fn softmax<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    softmax_with(x, None, SoftmaxOptions::default())
}

/// Softmax over the last axis of `cap(scale x) + mask`.
///
/// Each axis of `mask` is as long as that of `x` or 1; it is a constant to autodiff.
/// A row masked by −∞ throughout gives NaN.
pub fn softmax_with<const D: usize>(
    x: Tensor<D>,
    mask: Option<Tensor<D>>,
    options: SoftmaxOptions,
) -> Tensor<D> {
    let mask = optional(mask);
    Tensor::from_dispatch(<Dispatch as Kernels>::fused_softmax(x.into_dispatch(), mask, options))
}

/// Logarithm of the softmax over the last axis.
pub fn log_softmax<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as Kernels>::fused_log_softmax(x.into_dispatch()))
}

/// Loss of each row in nats: `−log softmax(logits)[target]`; `[row, class]`, `[row]` to `[row]`.
pub fn cross_entropy(logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    assert_eq!([logits.dims()[0]], targets.dims(), "one target for each row of logits");
    Tensor::from_dispatch(<Dispatch as Kernels>::fused_cross_entropy(
        logits.into_dispatch(),
        targets.into_dispatch(),
    ))
}

/// Attention of `[batch, head, query, width]` over `[batch, key_value_head, key, width]`.
///
/// Heads share keys and values in equal groups, in order. A query that sees no key gives zeros.
pub fn attention(
    query: Tensor<4>,
    key: Tensor<4>,
    value: Tensor<4>,
    options: AttentionOptions,
) -> Tensor<4> {
    check_attention(&query, &key, &value);
    Tensor::from_dispatch(<Dispatch as Kernels>::fused_attention(
        query.into_dispatch(),
        key.into_dispatch(),
        value.into_dispatch(),
        OptionalInt::Absent,
        options,
    ))
}

/// [`attention`] in which sequence `b` of the batch has only `lengths[b]` keys; `lengths` `[batch]`.
pub fn attention_padded(
    query: Tensor<4>,
    key: Tensor<4>,
    value: Tensor<4>,
    lengths: Tensor<1, Int>,
    options: AttentionOptions,
) -> Tensor<4> {
    check_attention(&query, &key, &value);
    assert_eq!([query.dims()[0]], lengths.dims(), "one length for each sequence");
    Tensor::from_dispatch(<Dispatch as Kernels>::fused_attention(
        query.into_dispatch(),
        key.into_dispatch(),
        value.into_dispatch(),
        OptionalInt::Given(lengths.into_dispatch()),
        options,
    ))
}

fn check_attention(query: &Tensor<4>, key: &Tensor<4>, value: &Tensor<4>) {
    let [batch, heads, _, width] = query.dims();
    let [key_batch, key_heads, keys, key_width] = key.dims();
    let [value_batch, value_heads, values, _] = value.dims();
    assert_eq!((batch, width), (key_batch, key_width), "query and key must agree in batch, width");
    assert_eq!(
        (key_batch, key_heads, keys),
        (value_batch, value_heads, values),
        "key and value must agree in batch, head and length"
    );
    assert!(
        key_heads > 0 && heads % key_heads == 0,
        "{heads} query heads must be a multiple of {key_heads} key heads"
    );
}

/// `x W + b`: `[.., input]`, `[input, output]` and `[output]` to `[.., output]`.
pub fn linear<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
) -> Tensor<D> {
    let [input, output] = weight.dims();
    assert_eq!(x.dims()[D - 1], input, "the last axis of the input must match the weight");
    if let Some(bias) = &bias {
        assert_eq!([output], bias.dims(), "the bias must match the weight");
    }
    Tensor::from_dispatch(<Dispatch as Kernels>::fused_linear(
        x.into_dispatch(),
        weight.into_dispatch(),
        optional(bias),
    ))
}

fn optional<const D: usize>(tensor: Option<Tensor<D>>) -> OptionalFloat<Dispatch> {
    match tensor {
        Some(tensor) => OptionalFloat::Given(tensor.into_dispatch()),
        None => OptionalFloat::Absent,
    }
}
