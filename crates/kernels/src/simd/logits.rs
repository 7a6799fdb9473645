//! Sums over tokens of the logits of sixteen rows at once, one row a lane.
//!
//! Logits are `[token, lane]`, tokens `stride` apart. Sums are taken in the tokens' order, so that
//! they do not depend on the instruction set but for fused multiplication and addition.

use super::{dispatch, math};

/// Rows side by side.
pub(crate) const LANES: usize = 16;

/// One number of each row.
pub(crate) type Lanes = [f32; LANES];

/// What one pass over logits finds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    /// Smallest; NaN may be passed over
    pub(crate) low: Lanes,
    /// Largest; NaN may be passed over
    pub(crate) high: Lanes,
    /// `Σ xⁿ` of `x = scale ℓ − shift`, for `n` from 1 to 4
    pub(crate) powers: [Lanes; 4],
}

dispatch! {
    /// Extremes of logits, and sums of powers of `scale ℓ − shift`.
    spread = spread_body, (logits: &[f32], stride: usize, scale: &Lanes, shift: &Lanes) -> Spread
}

dispatch! {
    /// `Σ exp(ℓ − top)` and `Σ exp(ℓ − top) (ℓ − top)`, where no logit is above `top`.
    weights = weights_body, (logits: &[f32], stride: usize, top: &Lanes) -> [Lanes; 2]
}

dispatch! {
    /// The same of `−ℓ`, where no logit is below `−top`.
    weights_of_negative = negative_body, (logits: &[f32], stride: usize, top: &Lanes) -> [Lanes; 2]
}

dispatch! {
    /// Says of each token whether `sign ℓ` reaches `threshold` in any lane.
    reaching = reaching_body,
    (logits: &[f32], stride: usize, sign: f32, threshold: &Lanes, out: &mut [bool])
}

dispatch! {
    /// `Σ a b` in double precision, in which the products are exact.
    dot = dot_body, (a: &[f32], b: &[f32]) -> f64
}

#[inline(always)]
fn reaching_body<const FUSED: bool>(
    logits: &[f32],
    stride: usize,
    sign: f32,
    threshold: &Lanes,
    out: &mut [bool],
) {
    let threshold = *threshold;
    for (token, out) in logits.chunks(stride).zip(out) {
        let Some(token) = token.first_chunk() else { break };
        let token: Lanes = *token;
        let mut any = false;
        for lane in 0..LANES {
            any |= sign * token[lane] >= threshold[lane];
        }
        *out = any;
    }
}

#[inline(always)]
fn spread_body<const FUSED: bool>(
    logits: &[f32],
    stride: usize,
    scale: &Lanes,
    shift: &Lanes,
) -> Spread {
    // Copies stay in registers, where what is borrowed could change with every sum.
    let (scale, shift) = (*scale, *shift);
    let mut low = [f32::INFINITY; LANES];
    let mut high = [f32::NEG_INFINITY; LANES];
    let [mut one, mut two, mut three, mut four] = [[0.0f32; LANES]; 4];
    for token in logits.chunks(stride) {
        let Some(token) = token.first_chunk() else { break };
        let token: Lanes = *token;
        for lane in 0..LANES {
            let logit = token[lane];
            low[lane] = if logit < low[lane] { logit } else { low[lane] };
            high[lane] = if logit > high[lane] { logit } else { high[lane] };
            let x = math::madd::<FUSED>(logit, scale[lane], -shift[lane]);
            let square = x * x;
            one[lane] += x;
            two[lane] = math::madd::<FUSED>(x, x, two[lane]);
            three[lane] = math::madd::<FUSED>(square, x, three[lane]);
            four[lane] = math::madd::<FUSED>(square, square, four[lane]);
        }
    }
    Spread { low, high, powers: [one, two, three, four] }
}

#[inline(always)]
fn weights_body<const FUSED: bool>(logits: &[f32], stride: usize, top: &Lanes) -> [Lanes; 2] {
    signed_weights::<FUSED>(logits, stride, top, |logit, top| logit - top)
}

#[inline(always)]
fn negative_body<const FUSED: bool>(logits: &[f32], stride: usize, top: &Lanes) -> [Lanes; 2] {
    signed_weights::<FUSED>(logits, stride, top, |logit, top| -logit - top)
}

#[inline(always)]
fn signed_weights<const FUSED: bool>(
    logits: &[f32],
    stride: usize,
    top: &Lanes,
    below: impl Fn(f32, f32) -> f32,
) -> [Lanes; 2] {
    let top = *top;
    let [mut sum, mut weighted] = [[0.0f32; LANES]; 2];
    for token in logits.chunks(stride) {
        let Some(token) = token.first_chunk() else { break };
        let token: Lanes = *token;
        for lane in 0..LANES {
            let x = below(token[lane], top[lane]);
            let weight = math::exp_weight::<FUSED>(x);
            sum[lane] += weight;
            weighted[lane] = math::madd::<FUSED>(weight, x, weighted[lane]);
        }
    }
    [sum, weighted]
}

#[inline(always)]
fn dot_body<const FUSED: bool>(a: &[f32], b: &[f32]) -> f64 {
    const WIDTH: usize = 32;
    let mut lanes = [0.0f64; WIDTH];
    let (a, rest_a) = a.as_chunks::<WIDTH>();
    let (b, rest_b) = b.as_chunks::<WIDTH>();
    for (a, b) in a.iter().zip(b) {
        for lane in 0..WIDTH {
            lanes[lane] += f64::from(a[lane]) * f64::from(b[lane]);
        }
    }
    for (lane, (a, b)) in rest_a.iter().zip(rest_b).enumerate() {
        lanes[lane] += f64::from(*a) * f64::from(*b);
    }
    let mut width = WIDTH / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
        width /= 2;
    }
    lanes[0]
}
