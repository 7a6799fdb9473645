//! Operations along the last axis.

use super::{GRAIN, dense, elements, tensor, writable};
use crate::operation::portable::rows_and_width;
use crate::options::SoftmaxOptions;
use crate::simd::rows as kernel;
use burn::backend::TensorMetadata;
use burn::tensor::{DType, Shape};
use burn_flex::FlexTensor;
use rayon::prelude::*;

/// Parts in which gradients by gain and bias are summed; fixed, so that their bytes are too.
const PARTS: usize = 16;

/// Elements of a piece of whole rows.
fn grain(width: usize) -> usize {
    (GRAIN / width.max(1)).max(1) * width.max(1)
}

/// Runs `f` over each row of `x` and `out`.
fn each_row(x: &[f32], out: &mut [f32], width: usize, f: impl Fn(&[f32], &mut [f32]) + Sync) {
    out.par_chunks_mut(grain(width)).zip(x.par_chunks(grain(width))).for_each(|(out, x)| {
        for (out, x) in out.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
            f(x, out);
        }
    });
}

pub(super) fn layer_norm(
    x: &FlexTensor,
    gain: &FlexTensor,
    bias: &FlexTensor,
    epsilon: f32,
) -> FlexTensor {
    let (shape, [_, width]) = (x.shape(), rows_and_width(&x.shape()));
    let (gain, bias) = (elements(gain), elements(bias));
    let mut out = vec![0.0; shape.num_elements()];
    each_row(elements(x), &mut out, width, |x, out| {
        kernel::layer_norm(x, gain, bias, epsilon, out);
    });
    tensor(out, shape)
}

pub(super) fn rms_norm(x: &FlexTensor, gain: &FlexTensor, epsilon: f32) -> FlexTensor {
    let (shape, [_, width]) = (x.shape(), rows_and_width(&x.shape()));
    let gain = elements(gain);
    let mut out = vec![0.0; shape.num_elements()];
    each_row(elements(x), &mut out, width, |x, out| kernel::rms_norm(x, gain, epsilon, out));
    tensor(out, shape)
}

/// Runs `f` over each row of `x` and `out` with sums `[sum × width]` of its part; the whole sums.
fn sum_parts(
    x: &[f32],
    out: &mut [f32],
    width: usize,
    sums: usize,
    f: impl Fn(&[f32], &mut [f32], &mut [f32]) + Sync,
) -> Vec<f32> {
    let piece = (out.len() / width.max(1)).div_ceil(PARTS).max(1) * width.max(1);
    let parts: Vec<Vec<f32>> = out
        .par_chunks_mut(piece)
        .zip(x.par_chunks(piece))
        .map(|(out, x)| {
            let mut part = vec![0.0; sums * width];
            for (out, x) in out.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
                f(x, out, &mut part);
            }
            part
        })
        .collect();
    let mut whole = vec![0.0; sums * width];
    for part in parts {
        kernel::add(&part, &mut whole);
    }
    whole
}

pub(super) fn layer_norm_gradient(
    x: &FlexTensor,
    gain: &FlexTensor,
    mut gradient: FlexTensor,
    epsilon: f32,
) -> [FlexTensor; 3] {
    let [_, width] = rows_and_width(&x.shape());
    let gain = elements(gain);
    let mut by_gain =
        sum_parts(elements(x), gradient.storage_mut(), width, 2, |x, gradient, sums| {
            let (by_gain, by_bias) = sums.split_at_mut(width);
            kernel::layer_norm_gradient(x, gain, epsilon, gradient, by_gain, by_bias);
        });
    let by_bias = by_gain.split_off(width);
    let shape = Shape::new([width]);
    [gradient, tensor(by_gain, shape.clone()), tensor(by_bias, shape)]
}

pub(super) fn rms_norm_gradient(
    x: &FlexTensor,
    gain: &FlexTensor,
    mut gradient: FlexTensor,
    epsilon: f32,
) -> [FlexTensor; 2] {
    let [_, width] = rows_and_width(&x.shape());
    let gain = elements(gain);
    let by_gain = sum_parts(elements(x), gradient.storage_mut(), width, 1, |x, gradient, sum| {
        kernel::rms_norm_gradient(x, gain, epsilon, gradient, sum);
    });
    [gradient, tensor(by_gain, Shape::new([width]))]
}

/// Sum over all rows, `[.., feature]` to `[feature]`.
pub(super) fn sum(x: &FlexTensor) -> FlexTensor {
    let [rows, width] = rows_and_width(&x.shape());
    let piece = rows.div_ceil(PARTS).max(1) * width.max(1);
    let parts: Vec<Vec<f32>> = elements(x)
        .par_chunks(piece)
        .map(|x| {
            let mut part = vec![0.0; width];
            x.chunks_exact(width).for_each(|x| kernel::add(x, &mut part));
            part
        })
        .collect();
    let mut whole = vec![0.0; width];
    for part in &parts {
        kernel::add(part, &mut whole);
    }
    tensor(whole, Shape::new([width]))
}

pub(super) fn softmax(
    x: FlexTensor,
    mask: Option<FlexTensor>,
    options: SoftmaxOptions,
) -> FlexTensor {
    let shape = x.shape();
    let [_, width] = rows_and_width(&shape);
    let mask = mask.map(|mask| (row_starts(&shape, &mask.shape()), widened(mask, width)));
    let mut out = writable(x);
    let rows_in_piece = grain(width) / width.max(1);
    out.storage_mut::<f32>().par_chunks_mut(grain(width)).enumerate().for_each(|(piece, rows)| {
        for (row, x) in rows.chunks_exact_mut(width).enumerate() {
            let mask = mask.as_ref().map(|(starts, mask)| {
                &elements(mask)[starts[piece * rows_in_piece + row] * width..][..width]
            });
            kernel::softmax(x, mask, options);
        }
    });
    out
}

/// A mask whose last axis is spelt out to `width`.
fn widened(mask: FlexTensor, width: usize) -> FlexTensor {
    let mask = dense(mask);
    let [rows, own] = rows_and_width(&mask.shape());
    if own == width {
        return mask;
    }
    let mut wide = Vec::with_capacity(rows * width);
    for value in elements(&mask) {
        wide.resize(wide.len() + width, *value);
    }
    tensor(wide, Shape::new([rows, width]))
}

/// For each row of `shape`, the row of a mask that is broadcast to it.
fn row_starts(shape: &Shape, mask: &Shape) -> Vec<usize> {
    let mut starts = vec![0];
    let mut mask_rows = 1;
    // From the last axis but one to the first, each repeats what is known by its own length.
    for axis in (0..shape.num_dims() - 1).rev() {
        assert!(
            mask[axis] == shape[axis] || mask[axis] == 1,
            "a mask of {mask:?} does not fit scores of {shape:?}"
        );
        let step = if mask[axis] == 1 { 0 } else { mask_rows };
        let inner = starts;
        starts = (0..shape[axis])
            .flat_map(|place| inner.iter().map(move |start| start + place * step))
            .collect();
        mask_rows *= mask[axis];
    }
    starts
}

pub(super) fn log_softmax(x: &FlexTensor) -> FlexTensor {
    let (shape, [_, width]) = (x.shape(), rows_and_width(&x.shape()));
    let mut out = vec![0.0; shape.num_elements()];
    each_row(elements(x), &mut out, width, kernel::log_softmax);
    tensor(out, shape)
}

pub(super) fn softmax_gradient(
    x: &FlexTensor,
    probability: &FlexTensor,
    mut gradient: FlexTensor,
    options: SoftmaxOptions,
) -> FlexTensor {
    let [_, width] = rows_and_width(&x.shape());
    let piece = grain(width);
    gradient
        .storage_mut::<f32>()
        .par_chunks_mut(piece)
        .zip(elements(x).par_chunks(piece).zip(elements(probability).par_chunks(piece)))
        .for_each(|(gradient, (x, probability))| {
            let known = x.chunks_exact(width).zip(probability.chunks_exact(width));
            for (gradient, (x, probability)) in gradient.chunks_exact_mut(width).zip(known) {
                kernel::softmax_gradient(x, probability, gradient, options);
            }
        });
    gradient
}

pub(super) fn log_softmax_gradient(
    log_probability: &FlexTensor,
    mut gradient: FlexTensor,
) -> FlexTensor {
    let [_, width] = rows_and_width(&log_probability.shape());
    each_row(elements(log_probability), gradient.storage_mut(), width, |log, gradient| {
        kernel::log_softmax_gradient(log, gradient);
    });
    gradient
}

/// Class numbers on the host; none for an integer type that is not handled here.
pub(super) fn classes(targets: &FlexTensor) -> Option<Vec<usize>> {
    let targets = targets.to_contiguous();
    match targets.dtype() {
        DType::I64 => {
            Some(targets.as_slice::<i64>()?.iter().map(|class| *class as usize).collect())
        }
        DType::I32 => {
            Some(targets.as_slice::<i32>()?.iter().map(|class| *class as usize).collect())
        }
        _ => None,
    }
}

pub(super) fn cross_entropy(logits: &FlexTensor, targets: &[usize]) -> FlexTensor {
    let [rows, width] = rows_and_width(&logits.shape());
    let mut out = vec![0.0; rows];
    let rows_in_piece = grain(width) / width.max(1);
    out.par_chunks_mut(rows_in_piece)
        .zip(elements(logits).par_chunks(grain(width)).zip(targets.par_chunks(rows_in_piece)))
        .for_each_init(
            || vec![0.0; width],
            |scratch, (out, (logits, targets))| {
                let known = logits.chunks_exact(width).zip(targets);
                for (out, (logits, target)) in out.iter_mut().zip(known) {
                    *out = kernel::log_total(logits, scratch) - logits[*target];
                }
            },
        );
    tensor(out, Shape::new([rows]))
}

pub(super) fn cross_entropy_gradient(
    logits: FlexTensor,
    targets: &[usize],
    gradient: &FlexTensor,
) -> FlexTensor {
    let [_, width] = rows_and_width(&logits.shape());
    let rows_in_piece = grain(width) / width.max(1);
    let mut out = writable(logits);
    out.storage_mut::<f32>()
        .par_chunks_mut(grain(width))
        .zip(targets.par_chunks(rows_in_piece).zip(elements(gradient).par_chunks(rows_in_piece)))
        .for_each(|(out, (targets, gradient))| {
            let known = targets.iter().zip(gradient);
            for (row, (target, gradient)) in out.chunks_exact_mut(width).zip(known) {
                kernel::softmax(row, None, SoftmaxOptions::default());
                row[*target] -= 1.0;
                kernel::scale(row, *gradient);
            }
        });
    out
}
