//! Linear maps: one product of matrices, with the bias laid out before it.

use super::{elements, tensor};
use crate::gemm::{Into, MatRef, Threads, matmul, product};
use crate::operation::portable::rows_and_width;
use burn::backend::TensorMetadata;
use burn::tensor::Shape;
use burn_flex::FlexTensor;
use rayon::prelude::*;

/// A matrix of any strides, seen in its buffer; copied only when an axis runs backwards.
fn matrix(tensor: &FlexTensor) -> Option<MatRef<'_, f32>> {
    let layout = tensor.layout();
    let [down, right] = [layout.strides()[0], layout.strides()[1]];
    let strides = [usize::try_from(down).ok()?, usize::try_from(right).ok()?];
    let shape = [layout.shape()[0], layout.shape()[1]];
    Some(MatRef::strided(&tensor.storage::<f32>()[layout.start_offset()..], shape, strides))
}

pub(super) fn linear(x: &FlexTensor, weight: FlexTensor, bias: Option<&FlexTensor>) -> FlexTensor {
    let mut shape = x.shape();
    let [rows, input] = rows_and_width(&shape);
    let output = weight.shape()[1];
    let last = shape.num_dims() - 1;
    shape[last] = output;
    let weight = if matrix(&weight).is_some() { weight } else { weight.to_contiguous() };
    let mut out = vec![0.0; rows * output];
    if let (Some(weight), true) = (matrix(&weight), output > 0) {
        let x = MatRef::row_major(elements(x), rows, input);
        match bias {
            Some(bias) => {
                let bias = elements(bias);
                out.par_chunks_mut(output * 16).for_each(|out| {
                    out.chunks_exact_mut(output).for_each(|out| out.copy_from_slice(bias));
                });
                let threads =
                    if rows * input * output < 1 << 20 { Threads::One } else { Threads::All };
                product(x, weight, &mut out, output, Into::Add, threads);
            }
            None => matmul(x, weight, &mut out),
        }
    }
    tensor(out, shape)
}

pub(super) fn weight_gradient(x: &FlexTensor, gradient: &FlexTensor) -> FlexTensor {
    let [rows, input] = rows_and_width(&x.shape());
    let [_, output] = rows_and_width(&gradient.shape());
    let mut out = vec![0.0; input * output];
    let x = MatRef::row_major(elements(x), rows, input).transposed();
    matmul(x, MatRef::row_major(elements(gradient), rows, output), &mut out);
    tensor(out, Shape::new([input, output]))
}
