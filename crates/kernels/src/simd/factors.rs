//! Inner loops of factorisations whose one factor is not negative.
//!
//! Sixty-four or more samples stand side by side in vector registers; every sample's own sums run in one
//! order, whatever the instruction set.

use super::{dispatch, math};

/// Samples that the coordinate sweeps move together.
pub(crate) const LANES: usize = 64;

/// Other features that overlap with one: `starts[j]..starts[j + 1]` of `others` and `weights`.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) starts: &'a [usize],
    pub(crate) others: &'a [u32],
    pub(crate) weights: &'a [f32],
    /// The inverse of each feature's square, 0 for a feature that is zero
    pub(crate) inverses: &'a [f32],
    pub(crate) squares: &'a [f32],
}

dispatch! {
    /// `out[c] = Σ weights[r] · flat[rows[r] · width + c]`.
    sum_rows = sum_rows_body,
    (flat: &[f32], width: usize, rows: &[u32], weights: &[f32], out: &mut [f32])
}

dispatch! {
    /// Sets each coefficient in turn to its optimum, `sweeps` times, and says what is explained.
    sweep = sweep_body,
    (
        rows: Rows<'_>, products: &[[f32; LANES]], coefficients: &mut [[f32; LANES]],
        sweeps: usize, explained: &mut [f64; LANES]
    )
}

#[inline(always)]
fn sum_rows_body<const FUSED: bool>(
    flat: &[f32],
    width: usize,
    rows: &[u32],
    weights: &[f32],
    out: &mut [f32],
) {
    let (wide, rest) = out.as_chunks_mut::<128>();
    let mut first = 0;
    for out in wide {
        sum_lanes::<FUSED, 128>(&flat[first..], width, rows, weights, out);
        first += 128;
    }
    let (narrow, rest) = rest.as_chunks_mut::<16>();
    for out in narrow {
        sum_lanes::<FUSED, 16>(&flat[first..], width, rows, weights, out);
        first += 16;
    }
    for out in rest {
        let mut sum = [0.0];
        sum_lanes::<FUSED, 1>(&flat[first..], width, rows, weights, &mut sum);
        *out = sum[0];
        first += 1;
    }
}

#[inline(always)]
fn sum_lanes<const FUSED: bool, const N: usize>(
    flat: &[f32],
    width: usize,
    rows: &[u32],
    weights: &[f32],
    out: &mut [f32; N],
) {
    let mut sums = [0f32; N];
    for (&row, &weight) in rows.iter().zip(weights) {
        let Some((line, _)) = flat[row as usize * width..].split_first_chunk::<N>() else { return };
        for lane in 0..N {
            sums[lane] = math::madd::<FUSED>(weight, line[lane], sums[lane]);
        }
    }
    *out = sums;
}

#[inline(always)]
fn sweep_body<const FUSED: bool>(
    rows: Rows<'_>,
    products: &[[f32; LANES]],
    coefficients: &mut [[f32; LANES]],
    sweeps: usize,
    explained: &mut [f64; LANES],
) {
    for _ in 0..sweeps {
        for (feature, product) in products.iter().enumerate() {
            let slope = remainder::<FUSED>(rows, feature, product, coefficients);
            let inverse = rows.inverses[feature];
            let moved = &mut coefficients[feature];
            for lane in 0..LANES {
                let best = slope[lane] * inverse;
                moved[lane] = if best > 0.0 { best } else { 0.0 };
            }
        }
    }
    *explained = [0.0; LANES];
    for (feature, product) in products.iter().enumerate() {
        let slope = remainder::<FUSED>(rows, feature, product, coefficients);
        let (square, own) = (rows.squares[feature], &coefficients[feature]);
        for lane in 0..LANES {
            let rest = math::madd::<FUSED>(-square, own[lane], slope[lane]);
            explained[lane] += f64::from(own[lane]) * f64::from(product[lane] + rest);
        }
    }
}

/// What the other features leave of a feature's products.
#[inline(always)]
fn remainder<const FUSED: bool>(
    rows: Rows<'_>,
    feature: usize,
    product: &[f32; LANES],
    coefficients: &[[f32; LANES]],
) -> [f32; LANES] {
    let mut slope = *product;
    let range = rows.starts[feature]..rows.starts[feature + 1];
    for (&other, &weight) in rows.others[range.clone()].iter().zip(&rows.weights[range]) {
        let other = &coefficients[other as usize];
        for lane in 0..LANES {
            slope[lane] = math::madd::<FUSED>(-weight, other[lane], slope[lane]);
        }
    }
    slope
}
