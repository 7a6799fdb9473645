//! Kernels over one row at a time.
//!
//! Sums run in thirty-two lanes, so that their order does not depend on the instruction set.

use super::{dispatch, math};
use crate::options::SoftmaxOptions;

const LANES: usize = 32;

/// Sum of `f(i)` over a row of two slices, in lanes.
#[inline(always)]
fn sum_by(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (a, rest_a) = a.as_chunks::<LANES>();
    let (b, rest_b) = b.as_chunks::<LANES>();
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            lanes[lane] += f(a[lane], b[lane]);
        }
    }
    for (lane, (a, b)) in rest_a.iter().zip(rest_b).enumerate() {
        lanes[lane] += f(*a, *b);
    }
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// Largest element; a NaN may be passed over, −∞ when empty.
#[inline(always)]
fn largest(x: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            lanes[lane] = if chunk[lane] > lanes[lane] { chunk[lane] } else { lanes[lane] };
        }
    }
    for (lane, x) in rest.iter().enumerate() {
        lanes[lane] = if *x > lanes[lane] { *x } else { lanes[lane] };
    }
    lanes.iter().fold(f32::NEG_INFINITY, |top, x| if *x > top { *x } else { top })
}

#[inline(always)]
fn scores_body<const FUSED: bool>(x: &mut [f32], options: SoftmaxOptions) {
    match options.soft_cap {
        Some(cap) => {
            let factor = options.scale / cap;
            for x in x {
                *x = cap * math::tanh::<FUSED>(*x * factor);
            }
        }
        None => {
            for x in x {
                *x *= options.scale;
            }
        }
    }
}

/// `exp(x − max x)` in place; the maximum and the sum.
#[inline(always)]
fn exponentials<const FUSED: bool>(x: &mut [f32]) -> (f32, f32) {
    let top = largest(x);
    for x in x.iter_mut() {
        *x = math::exp_weight::<FUSED>(*x - top);
    }
    (top, sum_by(x, x, |x, _| x))
}

#[inline(always)]
fn softmax_body<const FUSED: bool>(x: &mut [f32], mask: Option<&[f32]>, options: SoftmaxOptions) {
    scores_body::<FUSED>(x, options);
    if let Some(mask) = mask {
        for (x, mask) in x.iter_mut().zip(mask) {
            *x += *mask;
        }
    }
    let (top, total) = exponentials::<FUSED>(x);
    // Nothing but −∞ has no softmax.
    let factor = if top == f32::NEG_INFINITY { f32::NAN } else { 1.0 / total };
    for x in x {
        *x *= factor;
    }
}

#[inline(always)]
fn log_total_body<const FUSED: bool>(x: &[f32], scratch: &mut [f32]) -> f32 {
    scratch.copy_from_slice(x);
    let (top, total) = exponentials::<FUSED>(scratch);
    top + total.ln()
}

#[inline(always)]
fn log_softmax_body<const FUSED: bool>(x: &[f32], out: &mut [f32]) {
    let log_total = log_total_body::<FUSED>(x, out);
    for (x, out) in x.iter().zip(out) {
        *out = *x - log_total;
    }
}

#[inline(always)]
fn log_softmax_gradient_body<const FUSED: bool>(log_probability: &[f32], gradient: &mut [f32]) {
    let total = sum_by(gradient, gradient, |gradient, _| gradient);
    for (gradient, log) in gradient.iter_mut().zip(log_probability) {
        *gradient -= total * math::exp_weight::<FUSED>(*log);
    }
}

#[inline(always)]
fn softmax_gradient_body<const FUSED: bool>(
    x: &[f32],
    probability: &[f32],
    gradient: &mut [f32],
    options: SoftmaxOptions,
) {
    let mean = sum_by(probability, gradient, |probability, gradient| probability * gradient);
    match options.soft_cap {
        None => {
            for (gradient, probability) in gradient.iter_mut().zip(probability) {
                *gradient = options.scale * *probability * (*gradient - mean);
            }
        }
        Some(cap) => {
            let factor = options.scale / cap;
            for ((gradient, probability), x) in gradient.iter_mut().zip(probability).zip(x) {
                let tanh = math::tanh::<FUSED>(*x * factor);
                let slope = options.scale * (1.0 - tanh * tanh);
                *gradient = slope * *probability * (*gradient - mean);
            }
        }
    }
}

/// Mean, and one over the root of the variance and `epsilon`.
#[inline(always)]
fn moments(x: &[f32], epsilon: f32) -> (f32, f32) {
    let width = x.len() as f32;
    let mean = sum_by(x, x, |x, _| x) / width;
    let variance = sum_by(x, x, |x, _| (x - mean) * (x - mean)) / width;
    (mean, 1.0 / (variance + epsilon).sqrt())
}

#[inline(always)]
fn layer_norm_body<const FUSED: bool>(
    x: &[f32],
    gain: &[f32],
    bias: &[f32],
    epsilon: f32,
    out: &mut [f32],
) {
    let (mean, inverse) = moments(x, epsilon);
    for (((x, gain), bias), out) in x.iter().zip(gain).zip(bias).zip(out) {
        *out = math::madd::<FUSED>((*x - mean) * inverse, *gain, *bias);
    }
}

#[inline(always)]
fn layer_norm_gradient_body<const FUSED: bool>(
    x: &[f32],
    gain: &[f32],
    epsilon: f32,
    gradient: &mut [f32],
    by_gain: &mut [f32],
    by_bias: &mut [f32],
) {
    let width = x.len() as f32;
    let (mean, inverse) = moments(x, epsilon);
    for ((x, gradient), (by_gain, by_bias)) in
        x.iter().zip(gradient.iter()).zip(by_gain.iter_mut().zip(by_bias))
    {
        *by_gain = math::madd::<FUSED>((*x - mean) * inverse, *gradient, *by_gain);
        *by_bias += *gradient;
    }
    for (gradient, gain) in gradient.iter_mut().zip(gain) {
        *gradient *= *gain;
    }
    let level = sum_by(gradient, gradient, |gradient, _| gradient) / width;
    let along = sum_by(x, gradient, |x, gradient| (x - mean) * gradient) * inverse / width;
    for (gradient, x) in gradient.iter_mut().zip(x) {
        *gradient = inverse * (*gradient - level - (*x - mean) * inverse * along);
    }
}

#[inline(always)]
fn rms_norm_body<const FUSED: bool>(x: &[f32], gain: &[f32], epsilon: f32, out: &mut [f32]) {
    let inverse = inverse_rms(x, epsilon);
    for ((x, gain), out) in x.iter().zip(gain).zip(out) {
        *out = *x * inverse * *gain;
    }
}

#[inline(always)]
fn inverse_rms(x: &[f32], epsilon: f32) -> f32 {
    1.0 / (sum_by(x, x, |x, _| x * x) / x.len() as f32 + epsilon).sqrt()
}

#[inline(always)]
fn rms_norm_gradient_body<const FUSED: bool>(
    x: &[f32],
    gain: &[f32],
    epsilon: f32,
    gradient: &mut [f32],
    by_gain: &mut [f32],
) {
    let inverse = inverse_rms(x, epsilon);
    for ((x, gradient), by_gain) in x.iter().zip(gradient.iter()).zip(by_gain.iter_mut()) {
        *by_gain = math::madd::<FUSED>(*x * inverse, *gradient, *by_gain);
    }
    for (gradient, gain) in gradient.iter_mut().zip(gain) {
        *gradient *= *gain;
    }
    let along = sum_by(x, gradient, |x, gradient| x * gradient) * inverse / x.len() as f32;
    for (gradient, x) in gradient.iter_mut().zip(x) {
        *gradient = inverse * (*gradient - *x * inverse * along);
    }
}

#[inline(always)]
fn add_body<const FUSED: bool>(x: &[f32], sum: &mut [f32]) {
    for (sum, x) in sum.iter_mut().zip(x) {
        *sum += *x;
    }
}

dispatch!(
    /// Softmax of one row in place, after scale, soft cap and mask.
    softmax = softmax_body, (x: &mut [f32], mask: Option<&[f32]>, options: SoftmaxOptions));
dispatch!(
    /// `log Σ exp x`; `scratch` of the same length is written over.
    log_total = log_total_body, (x: &[f32], scratch: &mut [f32]) -> f32);
dispatch!(
    /// Log-softmax of one row.
    log_softmax = log_softmax_body, (x: &[f32], out: &mut [f32]));
dispatch!(
    /// Gradient of the log-softmax of one row, in place.
    log_softmax_gradient = log_softmax_gradient_body,
    (log_probability: &[f32], gradient: &mut [f32]));
dispatch!(
    /// Gradient of the softmax of one row by its raw scores, in place.
    softmax_gradient = softmax_gradient_body,
    (x: &[f32], probability: &[f32], gradient: &mut [f32], options: SoftmaxOptions));
dispatch!(
    /// Layer norm of one row.
    layer_norm = layer_norm_body,
    (x: &[f32], gain: &[f32], bias: &[f32], epsilon: f32, out: &mut [f32]));
dispatch!(
    /// Gradient of the layer norm of one row in place; adds to those by gain and bias.
    layer_norm_gradient = layer_norm_gradient_body,
    (x: &[f32], gain: &[f32], epsilon: f32, gradient: &mut [f32], by_gain: &mut [f32],
     by_bias: &mut [f32]));
dispatch!(
    /// Root-mean-square norm of one row.
    rms_norm = rms_norm_body, (x: &[f32], gain: &[f32], epsilon: f32, out: &mut [f32]));
dispatch!(
    /// Gradient of the root-mean-square norm of one row in place; adds to that by gain.
    rms_norm_gradient = rms_norm_gradient_body,
    (x: &[f32], gain: &[f32], epsilon: f32, gradient: &mut [f32], by_gain: &mut [f32]));
dispatch!(
    /// `sum += x`.
    add = add_body, (x: &[f32], sum: &mut [f32]));

#[inline(always)]
fn scale_body<const FUSED: bool>(x: &mut [f32], factor: f32) {
    for x in x {
        *x *= factor;
    }
}

dispatch!(
    /// `x *= factor`.
    scale = scale_body, (x: &mut [f32], factor: f32));
