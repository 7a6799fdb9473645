//! The fused operations on burn's CPU backend: one pass over the data, vectorised, on all threads.
//!
//! Other number types than `f32` take the portable way.

mod attention;
mod linear;
mod rows;

use crate::operation::{KernelGradients, Kernels, OptionalFloat, OptionalInt, portable};
use crate::options::{Activation, AttentionOptions, SoftmaxOptions};
use crate::simd::pointwise;
use burn::backend::{
    Flex, TensorMetadata,
    ops::FloatTensorOps,
    tensor::{FloatTensor, IntTensor},
};
use burn::tensor::{Bytes, DType, Shape};
use burn_flex::{FlexTensor, Layout};
use rayon::prelude::*;

/// Elements handled by one thread before it looks for more work.
const GRAIN: usize = 1 << 15;

type Float = FloatTensor<Flex>;

/// Whether all tensors are of the type that the kernels are written for.
fn all_f32(tensors: &[&FlexTensor]) -> bool {
    tensors.iter().all(|tensor| tensor.dtype() == DType::F32)
}

/// The tensor with its elements in order.
fn dense(tensor: FlexTensor) -> FlexTensor {
    if tensor.layout().contiguous_offsets().is_some() { tensor } else { tensor.to_contiguous() }
}

/// Elements of a tensor that went through [`dense`].
fn elements(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().unwrap_or_default()
}

/// A tensor of these elements in order.
fn tensor(elements: Vec<f32>, shape: Shape) -> FlexTensor {
    FlexTensor::new(Bytes::from_elems(elements), Layout::contiguous(shape), DType::F32)
}

/// The tensor alone in its buffer, in order: as it is if possible, or a copy.
fn writable(tensor: FlexTensor) -> FlexTensor {
    let whole = tensor
        .layout()
        .contiguous_offsets()
        .is_some_and(|(start, end)| start == 0 && end * size_of::<f32>() == tensor.bytes().len());
    if whole && tensor.is_unique() {
        return tensor;
    }
    let shape = tensor.shape();
    let source = dense(tensor);
    let mut copy = vec![0.0; shape.num_elements()];
    copy.par_chunks_mut(GRAIN)
        .zip(elements(&source).par_chunks(GRAIN))
        .for_each(|(copy, source)| copy.copy_from_slice(source));
    self::tensor(copy, shape)
}

/// Runs `f` over equal pieces of `out` and `x`.
fn pieces(x: &[f32], out: &mut [f32], f: impl Fn(&[f32], &mut [f32]) + Sync) {
    out.par_chunks_mut(GRAIN).zip(x.par_chunks(GRAIN)).for_each(|(out, x)| f(x, out));
}

impl Kernels for Flex {
    fn fused_activate(mut x: Float, activation: Activation) -> Float {
        if !all_f32(&[&x]) {
            return portable::activate::<Self>(x, activation);
        }
        if !x.is_unique() || x.layout().contiguous_offsets().is_none() {
            let x = dense(x);
            let mut out = vec![0.0; x.shape().num_elements()];
            pieces(elements(&x), &mut out, |x, out| pointwise::activate(x, out, activation));
            return tensor(out, x.shape());
        }
        x = writable(x);
        x.storage_mut::<f32>()
            .par_chunks_mut(GRAIN)
            .for_each(|x| pointwise::activate_in_place(x, activation));
        x
    }

    fn fused_gate(gate: Float, up: Float, activation: Activation) -> Float {
        if !all_f32(&[&gate, &up]) {
            return Self::float_mul(portable::activate::<Self>(gate, activation), up);
        }
        let (gate, mut out) = (dense(gate), writable(up));
        pieces(elements(&gate), out.storage_mut(), |gate, out| {
            pointwise::gate(gate, out, activation);
        });
        out
    }

    fn fused_layer_norm(x: Float, gain: Float, bias: Float, epsilon: f32) -> Float {
        if !all_f32(&[&x, &gain, &bias]) {
            return portable::layer_norm::<Self>(x, gain, bias, epsilon);
        }
        rows::layer_norm(&dense(x), &dense(gain), &dense(bias), epsilon)
    }

    fn fused_rms_norm(x: Float, gain: Float, epsilon: f32) -> Float {
        if !all_f32(&[&x, &gain]) {
            return portable::rms_norm::<Self>(x, gain, epsilon);
        }
        rows::rms_norm(&dense(x), &dense(gain), epsilon)
    }

    fn fused_softmax(x: Float, mask: OptionalFloat<Self>, options: SoftmaxOptions) -> Float {
        let mask = mask.into_option();
        if !all_f32(&[&x]) || mask.as_ref().is_some_and(|mask| mask.dtype() != DType::F32) {
            return portable::softmax::<Self>(x, mask, options);
        }
        rows::softmax(x, mask, options)
    }

    fn fused_log_softmax(x: Float) -> Float {
        if !all_f32(&[&x]) {
            return portable::log_softmax::<Self>(x);
        }
        rows::log_softmax(&dense(x))
    }

    fn fused_cross_entropy(logits: Float, targets: IntTensor<Self>) -> Float {
        match rows::classes(&targets) {
            Some(targets) if all_f32(&[&logits]) => rows::cross_entropy(&dense(logits), &targets),
            _ => portable::cross_entropy::<Self>(logits, targets),
        }
    }

    fn fused_attention(
        query: Float,
        key: Float,
        value: Float,
        lengths: OptionalInt<Self>,
        options: AttentionOptions,
    ) -> Float {
        let lengths = lengths.into_option();
        match attention::Problem::new(query, key, value, lengths, options) {
            Ok(problem) => problem.output(),
            Err(inputs) => {
                let (query, key, value, lengths) = *inputs;
                portable::attention::<Self>(query, key, value, lengths, options)
            }
        }
    }

    fn fused_linear(x: Float, weight: Float, bias: OptionalFloat<Self>) -> Float {
        let bias = bias.into_option();
        if !all_f32(&[&x, &weight]) || bias.as_ref().is_some_and(|bias| bias.dtype() != DType::F32)
        {
            return portable::linear::<Self>(x, weight, bias);
        }
        linear::linear(&dense(x), weight, bias.map(dense).as_ref())
    }
}

impl KernelGradients for Flex {
    fn activate_gradient(x: Float, gradient: Float, activation: Activation) -> Float {
        if !all_f32(&[&x, &gradient]) {
            return portable::activate_gradient::<Self>(x, gradient, activation);
        }
        let (x, mut out) = (dense(x), writable(gradient));
        pieces(elements(&x), out.storage_mut(), |x, out| pointwise::slope(x, out, activation));
        out
    }

    fn layer_norm_gradient(x: Float, gain: Float, gradient: Float, epsilon: f32) -> [Float; 3] {
        if !all_f32(&[&x, &gain, &gradient]) {
            return portable::layer_norm_gradient::<Self>(x, gain, gradient, epsilon);
        }
        rows::layer_norm_gradient(&dense(x), &dense(gain), writable(gradient), epsilon)
    }

    fn rms_norm_gradient(x: Float, gain: Float, gradient: Float, epsilon: f32) -> [Float; 2] {
        if !all_f32(&[&x, &gain, &gradient]) {
            return portable::rms_norm_gradient::<Self>(x, gain, gradient, epsilon);
        }
        rows::rms_norm_gradient(&dense(x), &dense(gain), writable(gradient), epsilon)
    }

    fn softmax_gradient(
        x: Float,
        probability: Float,
        gradient: Float,
        options: SoftmaxOptions,
    ) -> Float {
        if !all_f32(&[&x, &probability, &gradient]) {
            return portable::softmax_gradient::<Self>(x, probability, gradient, options);
        }
        rows::softmax_gradient(&dense(x), &dense(probability), writable(gradient), options)
    }

    fn log_softmax_gradient(log_probability: Float, gradient: Float) -> Float {
        if !all_f32(&[&log_probability, &gradient]) {
            return portable::log_softmax_gradient::<Self>(log_probability, gradient);
        }
        rows::log_softmax_gradient(&dense(log_probability), writable(gradient))
    }

    fn cross_entropy_gradient(logits: Float, targets: IntTensor<Self>, gradient: Float) -> Float {
        match rows::classes(&targets) {
            Some(targets) if all_f32(&[&logits, &gradient]) => {
                rows::cross_entropy_gradient(logits, &targets, &dense(gradient))
            }
            _ => portable::cross_entropy_gradient::<Self>(logits, targets, gradient),
        }
    }

    fn attention_gradient(
        query: Float,
        key: Float,
        value: Float,
        lengths: Option<IntTensor<Self>>,
        gradient: Float,
        options: AttentionOptions,
    ) -> [Float; 3] {
        let portable = |query, key, value, lengths, gradient| {
            portable::attention_gradient::<Self>(query, key, value, lengths, gradient, options)
        };
        if !all_f32(&[&gradient]) {
            return portable(query, key, value, lengths, gradient);
        }
        match attention::Problem::new(query, key, value, lengths, options) {
            Ok(problem) => problem.gradients(gradient),
            Err(inputs) => {
                let (query, key, value, lengths) = *inputs;
                portable(query, key, value, lengths, gradient)
            }
        }
    }

    fn linear_input_gradient(weight: Float, gradient: Float) -> Float {
        let weight = Self::float_transpose(weight);
        Self::fused_linear(gradient, weight, OptionalFloat::Absent)
    }

    fn linear_weight_gradient(x: Float, gradient: Float) -> Float {
        if !all_f32(&[&x, &gradient]) {
            return portable::linear_weight_gradient::<Self>(x, gradient);
        }
        linear::weight_gradient(&dense(x), &dense(gradient))
    }

    fn sum_rows(gradient: Float) -> Float {
        if !all_f32(&[&gradient]) {
            return portable::sum_rows::<Self>(gradient);
        }
        rows::sum(&dense(gradient))
    }
}
