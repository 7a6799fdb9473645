//! Every fused operation as a composition of burn's own: the reference, and the way of any backend.

use crate::options::{Activation, AttentionOptions, SoftmaxOptions};
use burn::backend::{
    Backend, TensorMetadata, get_or_init_device_settings,
    tensor::{BoolTensor, FloatTensor, IndexingUpdateOp, IntTensor},
};
use burn::tensor::{Shape, TensorData};
use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// Score of a key that is not seen; finite, so that a row without any key stays a number.
const HIDDEN: f32 = -1e30;
/// The cubic term of the tanh form of GELU.
const CUBIC: f64 = 0.044_715;

type Float<B> = FloatTensor<B>;

/// `√(2/π) (x + 0.044715 x³)`.
fn tanh_argument<B: Backend>(x: Float<B>) -> Float<B> {
    let square = B::float_mul(x.clone(), x.clone());
    let slope = B::float_add_scalar(B::float_mul_scalar(square, CUBIC.into()), 1.0.into());
    B::float_mul_scalar(B::float_mul(x, slope), (2.0 / PI).sqrt().into())
}

pub(crate) fn activate<B: Backend>(x: Float<B>, activation: Activation) -> Float<B> {
    match activation {
        Activation::Gelu => {
            let erf = B::float_erf(B::float_mul_scalar(x.clone(), FRAC_1_SQRT_2.into()));
            let weight = B::float_mul_scalar(B::float_add_scalar(erf, 1.0.into()), 0.5.into());
            B::float_mul(x, weight)
        }
        Activation::GeluTanh => {
            let tanh = B::float_tanh(tanh_argument::<B>(x.clone()));
            let weight = B::float_mul_scalar(B::float_add_scalar(tanh, 1.0.into()), 0.5.into());
            B::float_mul(x, weight)
        }
        Activation::Silu => B::float_mul(x.clone(), B::sigmoid(x)),
    }
}

pub(crate) fn activate_gradient<B: Backend>(
    x: Float<B>,
    gradient: Float<B>,
    activation: Activation,
) -> Float<B> {
    let square = B::float_mul(x.clone(), x.clone());
    let slope = match activation {
        Activation::Gelu => {
            let erf = B::float_erf(B::float_mul_scalar(x.clone(), FRAC_1_SQRT_2.into()));
            let weight = B::float_mul_scalar(B::float_add_scalar(erf, 1.0.into()), 0.5.into());
            let bell = B::float_exp(B::float_mul_scalar(square, (-0.5).into()));
            let density = B::float_mul_scalar(bell, (1.0 / (2.0 * PI).sqrt()).into());
            B::float_add(weight, B::float_mul(x, density))
        }
        Activation::GeluTanh => {
            let tanh = B::float_tanh(tanh_argument::<B>(x.clone()));
            let rest = B::float_neg(B::float_sub_scalar(
                B::float_mul(tanh.clone(), tanh.clone()),
                1.0.into(),
            ));
            let inner = B::float_mul_scalar(
                B::float_add_scalar(B::float_mul_scalar(square, (3.0 * CUBIC).into()), 1.0.into()),
                ((2.0 / PI).sqrt() * 0.5).into(),
            );
            let weight = B::float_mul_scalar(B::float_add_scalar(tanh, 1.0.into()), 0.5.into());
            B::float_add(weight, B::float_mul(x, B::float_mul(rest, inner)))
        }
        Activation::Silu => {
            let weight = B::sigmoid(x.clone());
            let rest = B::float_neg(B::float_sub_scalar(weight.clone(), 1.0.into()));
            let factor = B::float_add_scalar(B::float_mul(x, rest), 1.0.into());
            B::float_mul(weight, factor)
        }
    };
    B::float_mul(slope, gradient)
}

/// A vector `[feature]` as `[1, .., feature]`, of the rank of `like`.
fn as_row<B: Backend>(vector: Float<B>, like: &Float<B>) -> Float<B> {
    let mut shape = vec![1; like.rank()];
    shape[like.rank() - 1] = vector.shape().num_elements();
    B::float_reshape(vector, Shape::from(shape))
}

/// `[.., feature]` to `[row, feature]`.
pub(crate) fn as_matrix<B: Backend>(x: Float<B>) -> Float<B> {
    let [rows, width] = rows_and_width(&x.shape());
    B::float_reshape(x, Shape::new([rows, width]))
}

/// The number of vectors along the last axis, and its size.
pub(crate) fn rows_and_width(shape: &Shape) -> [usize; 2] {
    let rank = shape.num_dims();
    [(0..rank - 1).map(|axis| shape[axis]).product(), shape[rank - 1]]
}

/// Deviations from the mean, and one over their root mean square with `epsilon`.
fn standardise<B: Backend>(x: Float<B>, epsilon: f32) -> (Float<B>, Float<B>) {
    let last = x.rank() - 1;
    let centred = B::float_sub(x.clone(), B::float_mean_dim(x, last));
    let inverse = inverse_deviation::<B>(centred.clone(), epsilon);
    (centred, inverse)
}

/// `1 / √(mean x² + ε)`, `[.., 1]`.
fn inverse_deviation<B: Backend>(x: Float<B>, epsilon: f32) -> Float<B> {
    let last = x.rank() - 1;
    let power = B::float_mean_dim(B::float_mul(x.clone(), x), last);
    B::float_recip(B::float_sqrt(B::float_add_scalar(power, epsilon.into())))
}

pub(crate) fn layer_norm<B: Backend>(
    x: Float<B>,
    gain: Float<B>,
    bias: Float<B>,
    epsilon: f32,
) -> Float<B> {
    let (gain, bias) = (as_row::<B>(gain, &x), as_row::<B>(bias, &x));
    let (centred, inverse) = standardise::<B>(x, epsilon);
    B::float_add(B::float_mul(B::float_mul(centred, inverse), gain), bias)
}

pub(crate) fn layer_norm_gradient<B: Backend>(
    x: Float<B>,
    gain: Float<B>,
    gradient: Float<B>,
    epsilon: f32,
) -> [Float<B>; 3] {
    let last = x.rank() - 1;
    let gain = as_row::<B>(gain, &x);
    let (centred, inverse) = standardise::<B>(x, epsilon);
    let normal = B::float_mul(centred, inverse.clone());
    let by_gain = sum_rows::<B>(B::float_mul(gradient.clone(), normal.clone()));
    let by_bias = sum_rows::<B>(gradient.clone());
    let by_normal = B::float_mul(gradient, gain);
    let along = B::float_mean_dim(B::float_mul(by_normal.clone(), normal.clone()), last);
    let level = B::float_mean_dim(by_normal.clone(), last);
    let rest = B::float_sub(B::float_sub(by_normal, level), B::float_mul(normal, along));
    [B::float_mul(rest, inverse), by_gain, by_bias]
}

pub(crate) fn rms_norm<B: Backend>(x: Float<B>, gain: Float<B>, epsilon: f32) -> Float<B> {
    let gain = as_row::<B>(gain, &x);
    let inverse = inverse_deviation::<B>(x.clone(), epsilon);
    B::float_mul(B::float_mul(x, inverse), gain)
}

pub(crate) fn rms_norm_gradient<B: Backend>(
    x: Float<B>,
    gain: Float<B>,
    gradient: Float<B>,
    epsilon: f32,
) -> [Float<B>; 2] {
    let last = x.rank() - 1;
    let gain = as_row::<B>(gain, &x);
    let inverse = inverse_deviation::<B>(x.clone(), epsilon);
    let normal = B::float_mul(x, inverse.clone());
    let by_gain = sum_rows::<B>(B::float_mul(gradient.clone(), normal.clone()));
    let by_normal = B::float_mul(gradient, gain);
    let along = B::float_mean_dim(B::float_mul(by_normal.clone(), normal.clone()), last);
    let rest = B::float_sub(by_normal, B::float_mul(normal, along));
    [B::float_mul(rest, inverse), by_gain]
}

/// The logits of the softmax before any mask.
fn scores<B: Backend>(x: Float<B>, options: SoftmaxOptions) -> Float<B> {
    let scaled = B::float_mul_scalar(x, options.scale.into());
    match options.soft_cap {
        Some(cap) => {
            let tanh = B::float_tanh(B::float_mul_scalar(scaled, (1.0 / cap).into()));
            B::float_mul_scalar(tanh, cap.into())
        }
        None => scaled,
    }
}

/// Takes a gradient by the logits back to one by the raw scores.
fn scores_gradient<B: Backend>(
    x: Float<B>,
    gradient: Float<B>,
    options: SoftmaxOptions,
) -> Float<B> {
    let gradient = B::float_mul_scalar(gradient, options.scale.into());
    match options.soft_cap {
        Some(cap) => {
            let tanh = B::float_tanh(B::float_mul_scalar(x, (options.scale / cap).into()));
            let passed = B::float_mul(B::float_mul(tanh.clone(), tanh), gradient.clone());
            B::float_sub(gradient, passed)
        }
        None => gradient,
    }
}

pub(crate) fn softmax<B: Backend>(
    x: Float<B>,
    mask: Option<Float<B>>,
    options: SoftmaxOptions,
) -> Float<B> {
    let last = x.rank() - 1;
    let logits = scores::<B>(x, options);
    let logits = match mask {
        Some(mask) => B::float_add(logits, mask),
        None => logits,
    };
    let top = B::float_detach(B::float_max_dim(logits.clone(), last));
    let weights = B::float_exp(B::float_sub(logits, top));
    let total = B::float_sum_dim(weights.clone(), last);
    B::float_div(weights, total)
}

/// Gradient by the logits of a softmax.
fn logits_gradient<B: Backend>(probability: Float<B>, gradient: Float<B>) -> Float<B> {
    let last = probability.rank() - 1;
    let mean = B::float_sum_dim(B::float_mul(gradient.clone(), probability.clone()), last);
    B::float_mul(probability, B::float_sub(gradient, mean))
}

pub(crate) fn softmax_gradient<B: Backend>(
    x: Float<B>,
    probability: Float<B>,
    gradient: Float<B>,
    options: SoftmaxOptions,
) -> Float<B> {
    scores_gradient::<B>(x, logits_gradient::<B>(probability, gradient), options)
}

pub(crate) fn log_softmax<B: Backend>(x: Float<B>) -> Float<B> {
    let last = x.rank() - 1;
    let top = B::float_detach(B::float_max_dim(x.clone(), last));
    let shifted = B::float_sub(x, top);
    let total = B::float_sum_dim(B::float_exp(shifted.clone()), last);
    B::float_sub(shifted, B::float_log(total))
}

pub(crate) fn log_softmax_gradient<B: Backend>(
    log_probability: Float<B>,
    gradient: Float<B>,
) -> Float<B> {
    let last = log_probability.rank() - 1;
    let total = B::float_sum_dim(gradient.clone(), last);
    B::float_sub(gradient, B::float_mul(B::float_exp(log_probability), total))
}

pub(crate) fn cross_entropy<B: Backend>(logits: Float<B>, targets: IntTensor<B>) -> Float<B> {
    let rows = logits.shape()[0];
    let targets = B::int_reshape(targets, Shape::new([rows, 1]));
    let chosen = B::float_gather(1, log_softmax::<B>(logits), targets);
    B::float_neg(B::float_reshape(chosen, Shape::new([rows])))
}

pub(crate) fn cross_entropy_gradient<B: Backend>(
    logits: Float<B>,
    targets: IntTensor<B>,
    gradient: Float<B>,
) -> Float<B> {
    let rows = logits.shape()[0];
    let gradient = B::float_reshape(gradient, Shape::new([rows, 1]));
    let targets = B::int_reshape(targets, Shape::new([rows, 1]));
    let probability = softmax::<B>(logits, None, SoftmaxOptions::default());
    let spread = B::float_mul(probability, gradient.clone());
    B::float_scatter(1, spread, targets, B::float_neg(gradient), IndexingUpdateOp::Add)
}

/// Which keys each query must not see, `[batch or 1, 1, query, key]`; none when all are seen.
fn hidden<B: Backend>(
    query: &Float<B>,
    keys: usize,
    lengths: Option<IntTensor<B>>,
    options: &AttentionOptions,
) -> Option<BoolTensor<B>> {
    let device = query.device();
    let settings = get_or_init_device_settings::<B>(&device);
    let queries = query.shape()[2];
    let mut flags = vec![1.0f32; queries * keys];
    for (row, flags) in flags.chunks_exact_mut(keys.max(1)).enumerate() {
        flags[options.seen(row, keys)].fill(0.0);
    }
    let by_place = flags.contains(&1.0).then(|| {
        let flags = TensorData::new(flags, Shape::new([1, 1, queries, keys]));
        let flags = B::float_from_data(flags, &device);
        B::float_greater_elem(flags, 0.5.into(), settings.bool_dtype)
    });
    let by_length = lengths.map(|lengths| {
        let batch = lengths.shape().num_elements();
        let whole = Shape::new([batch, 1, queries, keys]);
        let places = B::int_arange(0..keys as i64, &device, settings.int_dtype);
        let places = B::int_reshape(places, Shape::new([1, 1, 1, keys]));
        let lengths = B::int_reshape(lengths, Shape::new([batch, 1, 1, 1]));
        B::int_greater_equal(
            B::int_expand(places, whole.clone()),
            B::int_expand(lengths, whole),
            settings.bool_dtype,
        )
    });
    match (by_place, by_length) {
        (Some(place), Some(length)) => {
            let whole = length.shape();
            Some(B::bool_or(B::bool_expand(place, whole), length))
        }
        (place, length) => place.or(length),
    }
}

/// Raw scores and probabilities, `[batch, head, query, key]`.
fn pattern<B: Backend>(
    query: Float<B>,
    key: Float<B>,
    lengths: Option<IntTensor<B>>,
    options: &AttentionOptions,
) -> (Float<B>, Float<B>) {
    let [batch, heads, queries] = [0, 1, 2].map(|axis| query.shape()[axis]);
    let keys = key.shape()[2];
    let whole = Shape::new([batch, heads, queries, keys]);
    let hidden = hidden::<B>(&query, keys, lengths, options);
    let grouped = group::<B>(query, key.shape()[1]);
    let raw = B::float_reshape(B::float_matmul(grouped, B::float_transpose(key)), whole.clone());
    let logits = scores::<B>(raw.clone(), options.softmax());
    let Some(hidden) = hidden else {
        return (raw, softmax::<B>(logits, None, SoftmaxOptions::default()));
    };
    let hidden = B::bool_expand(hidden, whole);
    let logits = B::float_mask_fill(logits, hidden.clone(), HIDDEN.into());
    let weights = softmax::<B>(logits, None, SoftmaxOptions::default());
    (raw, B::float_mask_fill(weights, hidden, 0.0.into()))
}

/// `[batch, head, query, width]` to `[batch, key_value_head, head in group × query, width]`.
fn group<B: Backend>(x: Float<B>, key_value_heads: usize) -> Float<B> {
    let [batch, heads, queries, width] = [0, 1, 2, 3].map(|axis| x.shape()[axis]);
    let rows = heads / key_value_heads.max(1) * queries;
    B::float_reshape(x, Shape::new([batch, key_value_heads, rows, width]))
}

pub(crate) fn attention<B: Backend>(
    query: Float<B>,
    key: Float<B>,
    value: Float<B>,
    lengths: Option<IntTensor<B>>,
    options: AttentionOptions,
) -> Float<B> {
    let [batch, heads, queries] = [0, 1, 2].map(|axis| query.shape()[axis]);
    let (_, weights) = pattern::<B>(query, key, lengths, &options);
    let width = value.shape()[3];
    let out = B::float_matmul(group::<B>(weights, value.shape()[1]), value);
    B::float_reshape(out, Shape::new([batch, heads, queries, width]))
}

pub(crate) fn attention_gradient<B: Backend>(
    query: Float<B>,
    key: Float<B>,
    value: Float<B>,
    lengths: Option<IntTensor<B>>,
    gradient: Float<B>,
    options: AttentionOptions,
) -> [Float<B>; 3] {
    let groups = key.shape()[1];
    let shape = query.shape();
    let (raw, weights) = pattern::<B>(query.clone(), key.clone(), lengths, &options);
    let whole = raw.shape();
    let gradient = group::<B>(gradient, groups);
    let by_value =
        B::float_matmul(B::float_transpose(group::<B>(weights.clone(), groups)), gradient.clone());
    let by_weight = B::float_reshape(B::float_matmul(gradient, B::float_transpose(value)), whole);
    let by_logits = logits_gradient::<B>(weights, by_weight);
    let by_raw = group::<B>(scores_gradient::<B>(raw, by_logits, options.softmax()), groups);
    let by_query = B::float_reshape(B::float_matmul(by_raw.clone(), key), shape);
    let by_key = B::float_matmul(B::float_transpose(by_raw), group::<B>(query, groups));
    [by_query, by_key, by_value]
}

pub(crate) fn linear<B: Backend>(
    x: Float<B>,
    weight: Float<B>,
    bias: Option<Float<B>>,
) -> Float<B> {
    let mut shape = x.shape();
    let last = shape.num_dims() - 1;
    shape[last] = weight.shape()[1];
    let out = B::float_matmul(as_matrix::<B>(x), weight);
    let out = match bias {
        Some(bias) => {
            let bias = as_row::<B>(bias, &out);
            B::float_add(out, bias)
        }
        None => out,
    };
    B::float_reshape(out, shape)
}

pub(crate) fn linear_weight_gradient<B: Backend>(x: Float<B>, gradient: Float<B>) -> Float<B> {
    B::float_matmul(B::float_transpose(as_matrix::<B>(x)), as_matrix::<B>(gradient))
}

pub(crate) fn sum_rows<B: Backend>(x: Float<B>) -> Float<B> {
    let x = as_matrix::<B>(x);
    let width = x.shape()[1];
    B::float_reshape(B::float_sum_dim(x, 0), Shape::new([width]))
}
