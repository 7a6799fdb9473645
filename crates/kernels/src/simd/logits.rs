//! Sums over a run of one row's logits.
//!
//! Sums run in thirty-two lanes, so that their order does not depend on the instruction set, and
//! leave single precision at the end of the run.

use super::{dispatch, math};

const LANES: usize = 32;

/// What one pass over a run of logits finds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    /// Smallest; NaN may be passed over
    pub(crate) low: f32,
    /// Largest; NaN may be passed over
    pub(crate) high: f32,
    /// `Σ xⁿ` of `x = scale ℓ − shift`, for `n` from 1 to 4
    pub(crate) powers: [f64; 4],
}

dispatch! {
    /// Extremes of `logits`, and sums of powers of `scale ℓ − shift`.
    spread = spread_body, (logits: &[f32], scale: f32, shift: f32) -> Spread
}

dispatch! {
    /// `Σ exp(ℓ − top)` and `Σ exp(ℓ − top) (ℓ − top)`, where no logit is above `top`.
    weights = weights_body, (logits: &[f32], top: f32) -> [f64; 2]
}

dispatch! {
    /// The same of `−ℓ`, where no logit is below `−top`.
    weights_of_negative = negative_body, (logits: &[f32], top: f32) -> [f64; 2]
}

dispatch! {
    /// `Σ a b` in double precision, in which the products are exact.
    dot = dot_body, (a: &[f32], b: &[f32]) -> f64
}

#[inline(always)]
fn dot_body<const FUSED: bool>(a: &[f32], b: &[f32]) -> f64 {
    let mut lanes = [0.0f64; LANES];
    let (a, rest_a) = a.as_chunks::<LANES>();
    let (b, rest_b) = b.as_chunks::<LANES>();
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            lanes[lane] += f64::from(a[lane]) * f64::from(b[lane]);
        }
    }
    for (lane, (a, b)) in rest_a.iter().zip(rest_b).enumerate() {
        lanes[lane] += f64::from(*a) * f64::from(*b);
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

#[inline(always)]
fn spread_body<const FUSED: bool>(logits: &[f32], scale: f32, shift: f32) -> Spread {
    let mut low = [f32::INFINITY; LANES];
    let mut high = [f32::NEG_INFINITY; LANES];
    let mut powers = [[0.0f32; LANES]; 4];
    let mut take = |lane: usize, logit: f32| {
        low[lane] = if logit < low[lane] { logit } else { low[lane] };
        high[lane] = if logit > high[lane] { logit } else { high[lane] };
        let x = math::madd::<FUSED>(logit, scale, -shift);
        let square = x * x;
        powers[0][lane] += x;
        powers[1][lane] += square;
        powers[2][lane] = math::madd::<FUSED>(square, x, powers[2][lane]);
        powers[3][lane] = math::madd::<FUSED>(square, square, powers[3][lane]);
    };
    let (chunks, rest) = logits.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, logit) in chunk.iter().enumerate() {
            take(lane, *logit);
        }
    }
    for (lane, logit) in rest.iter().enumerate() {
        take(lane, *logit);
    }
    Spread {
        low: low.iter().fold(f32::INFINITY, |low, x| if *x < low { *x } else { low }),
        high: high.iter().fold(f32::NEG_INFINITY, |high, x| if *x > high { *x } else { high }),
        powers: powers.map(total),
    }
}

#[inline(always)]
fn weights_body<const FUSED: bool>(logits: &[f32], top: f32) -> [f64; 2] {
    signed_weights::<FUSED>(logits, |logit| logit - top)
}

#[inline(always)]
fn negative_body<const FUSED: bool>(logits: &[f32], top: f32) -> [f64; 2] {
    signed_weights::<FUSED>(logits, |logit| -logit - top)
}

#[inline(always)]
fn signed_weights<const FUSED: bool>(logits: &[f32], below: impl Fn(f32) -> f32) -> [f64; 2] {
    let mut sums = [[0.0f32; LANES]; 2];
    let mut take = |lane: usize, logit: f32| {
        let x = below(logit);
        let weight = math::exp_weight::<FUSED>(x);
        sums[0][lane] += weight;
        sums[1][lane] = math::madd::<FUSED>(weight, x, sums[1][lane]);
    };
    let (chunks, rest) = logits.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, logit) in chunk.iter().enumerate() {
            take(lane, *logit);
        }
    }
    for (lane, logit) in rest.iter().enumerate() {
        take(lane, *logit);
    }
    sums.map(total)
}

/// Sum of all lanes, in pairs.
#[inline(always)]
fn total(mut lanes: [f32; LANES]) -> f64 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
        width /= 2;
    }
    f64::from(lanes[0])
}
