//! Inner loops of products with matrices of few columns.
//!
//! Columns stand side by side in vector registers, in groups of 16 and 8.

use super::{dispatch, math};

/// Rows that are multiplied together.
const TOGETHER: usize = 8;
/// Terms that are added up in single precision before they go into a double.
const RUN: usize = 256;

dispatch! {
    /// `out[r, c] = Σ_k block[r, k] right[k, c]`.
    times = times_body,
    (block: &[f32], inner: usize, right: &[f32], columns: usize, out: &mut [f64])
}

dispatch! {
    /// `out[k, c] += Σ_r block[r, k] left[r, c]`.
    add_transposed = transposed_body,
    (block: &[f32], inner: usize, left: &[f32], columns: usize, out: &mut [f32])
}

#[inline(always)]
fn times_body<const FUSED: bool>(
    block: &[f32],
    inner: usize,
    right: &[f32],
    columns: usize,
    out: &mut [f64],
) {
    out.fill(0.0);
    let mut first = 0;
    while first < columns {
        if columns - first >= 16 {
            times_columns::<FUSED, 16>(block, inner, right, [columns, first], out);
            first += 16;
        } else {
            times_columns::<FUSED, 8>(block, inner, right, [columns, first], out);
            first += 8;
        }
    }
}

#[inline(always)]
fn times_columns<const FUSED: bool, const N: usize>(
    block: &[f32],
    inner: usize,
    right: &[f32],
    [columns, first]: [usize; 2],
    out: &mut [f64],
) {
    let together = block.chunks(TOGETHER * inner).zip(out.chunks_mut(TOGETHER * columns));
    for (rows, out) in together {
        if rows.len() == TOGETHER * inner {
            times_rows::<FUSED, N, TOGETHER>(rows, inner, right, [columns, first], out);
        } else {
            for (row, out) in rows.chunks_exact(inner).zip(out.chunks_exact_mut(columns)) {
                times_rows::<FUSED, N, 1>(row, inner, right, [columns, first], out);
            }
        }
    }
}

#[inline(always)]
fn times_rows<const FUSED: bool, const N: usize, const ROWS: usize>(
    block: &[f32],
    inner: usize,
    right: &[f32],
    [columns, first]: [usize; 2],
    out: &mut [f64],
) {
    for (run, right) in right.chunks(RUN * columns).enumerate() {
        let count = right.len() / columns;
        let rows: [&[f32]; ROWS] =
            std::array::from_fn(|row| &block[row * inner + run * RUN..][..count]);
        let mut sums = [[0f32; N]; ROWS];
        for (k, line) in right.chunks_exact(columns).enumerate() {
            let Some(line) = line[first..].first_chunk::<N>() else { return };
            for (sums, row) in sums.iter_mut().zip(rows) {
                let value = row[k];
                for lane in 0..N {
                    sums[lane] = math::madd::<FUSED>(value, line[lane], sums[lane]);
                }
            }
        }
        for (sums, out) in sums.iter().zip(out.chunks_exact_mut(columns)) {
            for (out, &sum) in out[first..].iter_mut().zip(sums) {
                *out += f64::from(sum);
            }
        }
    }
}

#[inline(always)]
fn transposed_body<const FUSED: bool>(
    block: &[f32],
    inner: usize,
    left: &[f32],
    columns: usize,
    out: &mut [f32],
) {
    let mut first = 0;
    while first < columns {
        if columns - first >= 16 {
            transposed_columns::<FUSED, 16>(block, inner, left, [columns, first], out);
            first += 16;
        } else {
            transposed_columns::<FUSED, 8>(block, inner, left, [columns, first], out);
            first += 8;
        }
    }
}

#[inline(always)]
fn transposed_columns<const FUSED: bool, const N: usize>(
    block: &[f32],
    inner: usize,
    left: &[f32],
    [columns, first]: [usize; 2],
    out: &mut [f32],
) {
    let together = block.chunks(TOGETHER * inner).zip(left.chunks(TOGETHER * columns));
    for (rows, left) in together {
        if rows.len() == TOGETHER * inner {
            transposed_rows::<FUSED, N, TOGETHER>(rows, inner, left, [columns, first], out);
        } else {
            for (row, left) in rows.chunks_exact(inner).zip(left.chunks_exact(columns)) {
                transposed_rows::<FUSED, N, 1>(row, inner, left, [columns, first], out);
            }
        }
    }
}

#[inline(always)]
fn transposed_rows<const FUSED: bool, const N: usize, const ROWS: usize>(
    block: &[f32],
    inner: usize,
    left: &[f32],
    [columns, first]: [usize; 2],
    out: &mut [f32],
) {
    let rows: [&[f32]; ROWS] = std::array::from_fn(|row| &block[row * inner..][..inner]);
    let mut weights = [[0f32; N]; ROWS];
    for (weights, line) in weights.iter_mut().zip(left.chunks_exact(columns)) {
        weights.copy_from_slice(&line[first..first + N]);
    }
    for (k, out) in out.chunks_exact_mut(columns).take(inner).enumerate() {
        let Some(out) = out[first..].first_chunk_mut::<N>() else { return };
        let mut sums = *out;
        for (weights, row) in weights.iter().zip(rows) {
            let value = row[k];
            for lane in 0..N {
                sums[lane] = math::madd::<FUSED>(value, weights[lane], sums[lane]);
            }
        }
        *out = sums;
    }
}
