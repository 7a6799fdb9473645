//! What a code says, and what its numbers and matrices should change by.

use rayon::prelude::*;

use super::{SparseCode, columns::Columns};
use crate::simd::sparse;

/// Rows of one task.
const ROWS: usize = 32;

/// `out = bias + Σ value · decoder[feature]` for each row: `out` `[row, output]`, `decoder`
/// `[feature, output]`, `bias` `[output]`.
///
/// # Panics
///
/// When the sizes do not fit.
pub fn decode(
    code: &SparseCode,
    decoder: &[f32],
    bias: Option<&[f32]>,
    outputs: usize,
    out: &mut [f32],
) {
    code.check();
    assert_eq!(decoder.len(), code.features * outputs, "a row of {outputs} for each feature");
    assert_eq!(out.len(), code.rows() * outputs, "{} rows of {outputs}", code.rows());
    assert!(bias.is_none_or(|bias| bias.len() == outputs), "a bias of {outputs}");
    if outputs == 0 {
        return;
    }
    out.par_chunks_mut(ROWS * outputs).enumerate().for_each(|(task, out)| {
        for (place, out) in out.chunks_mut(outputs).enumerate() {
            match bias {
                Some(bias) => out.copy_from_slice(bias),
                None => out.fill(0.0),
            }
            let (indices, values) = code.row(task * ROWS + place);
            sparse::add_rows(decoder, indices, values, out);
        }
    });
}

/// The gradient by each of the code's values, `⟨gradient[row], decoder[feature]⟩` in their order; what
/// [`decode`]'s `decoder` should change by, `Σ value · gradient[row]`, is added to `decoder_gradient`
/// `[feature, output]`. The `gradient` `[row, output]` is that by `decode`'s `out`.
///
/// The bytes do not depend on the number of threads.
///
/// # Panics
///
/// When the sizes do not fit.
pub fn decode_gradient(
    code: &SparseCode,
    decoder: &[f32],
    outputs: usize,
    gradient: &[f32],
    decoder_gradient: &mut [f32],
) -> Vec<f32> {
    let columns = Columns::of(code);
    assert_eq!(decoder.len(), code.features * outputs, "a row of {outputs} for each feature");
    assert_eq!(decoder_gradient.len(), decoder.len(), "a gradient for each number of the decoder");
    assert_eq!(gradient.len(), code.rows() * outputs, "{} rows of {outputs}", code.rows());
    let values = columns.gather(&code.values);
    let mut found = vec![0.0; values.len()];
    if outputs == 0 {
        return found;
    }
    let runs = columns.runs();
    let ends: Vec<usize> = runs.iter().map(|run| columns.starts[run.end]).collect();
    let rows: Vec<usize> = runs.iter().map(|run| run.end * outputs).collect();
    let parts = split(&mut found, &ends).into_iter().zip(split(decoder_gradient, &rows));
    let tasks: Vec<_> = runs.into_iter().zip(parts).collect();
    tasks.into_par_iter().for_each(|(run, (found, out))| {
        let begin = columns.starts[run.start];
        for (feature, out) in run.zip(out.chunks_mut(outputs)) {
            let range = columns.starts[feature]..columns.starts[feature + 1];
            let rows = &columns.rows[range.clone()];
            let own = &decoder[feature * outputs..][..outputs];
            sparse::dots(gradient, rows, own, &mut found[range.start - begin..range.end - begin]);
            sparse::add_rows(gradient, rows, &values[range], out);
        }
    });
    columns.scatter(&found)
}

/// What the encoder and its bias should change by, given the gradient by each of the code's values:
/// `Σ value_gradient · x[row]` is added to `encoder_gradient` `[feature, unit]` and `Σ value_gradient` to
/// `bias_gradient` `[feature]`. The samples `x` `[row, unit]` are those that were encoded.
///
/// The bytes do not depend on the number of threads.
///
/// # Panics
///
/// When the sizes do not fit.
pub fn encode_gradient(
    code: &SparseCode,
    value_gradient: &[f32],
    x: &[f32],
    units: usize,
    encoder_gradient: &mut [f32],
    bias_gradient: &mut [f32],
) {
    let columns = Columns::of(code);
    assert_eq!(value_gradient.len(), code.values.len(), "a gradient for each value");
    assert_eq!(encoder_gradient.len(), code.features * units, "a row of {units} for each feature");
    assert_eq!(bias_gradient.len(), code.features, "a bias for each feature");
    assert_eq!(x.len(), code.rows() * units, "{} samples of {units} units", code.rows());
    let values = columns.gather(value_gradient);
    for (feature, bias) in bias_gradient.iter_mut().enumerate() {
        *bias += values[columns.starts[feature]..columns.starts[feature + 1]].iter().sum::<f32>();
    }
    if units == 0 {
        return;
    }
    let runs = columns.runs();
    let rows: Vec<usize> = runs.iter().map(|run| run.end * units).collect();
    let tasks: Vec<_> = runs.into_iter().zip(split(encoder_gradient, &rows)).collect();
    tasks.into_par_iter().for_each(|(run, out)| {
        for (feature, out) in run.zip(out.chunks_mut(units)) {
            let range = columns.starts[feature]..columns.starts[feature + 1];
            sparse::add_rows(x, &columns.rows[range.clone()], &values[range], out);
        }
    });
}

/// Pieces of a slice that end at `ends`.
fn split<'a>(mut slice: &'a mut [f32], ends: &[usize]) -> Vec<&'a mut [f32]> {
    let mut begin = 0;
    let mut parts = Vec::with_capacity(ends.len());
    for &end in ends {
        let (part, rest) = slice.split_at_mut(end - begin);
        parts.push(part);
        (slice, begin) = (rest, end);
    }
    parts
}
