//! Inner loops of sparse codes: candidates out of products, sums of rows, steps of Adam.

use super::{dispatch, math};

/// Features whose products stand side by side.
const PANEL: usize = 32;
/// Numbers of a row that are summed at once.
const WIDE: usize = 128;
/// Sums that a row is added up in.
const LANES: usize = 16;

/// What a step of Adam multiplies by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rates {
    pub(crate) first: f32,
    pub(crate) second: f32,
    /// `rate / (1 − β₁ⁿ)`
    pub(crate) rate: f32,
    /// `1 / √(1 − β₂ⁿ)`
    pub(crate) root: f32,
    pub(crate) epsilon: f32,
}

/// Says of each row, as a bit for each of 32 features, where `sum + bias` is above the least of the
/// feature and of the row. Rows of `sums` are `stride` apart.
pub(crate) fn hits(
    sums: &[f32],
    stride: usize,
    bias: &[f32; PANEL],
    least: &[f32; PANEL],
    rows: &[f32],
    out: &mut [u32],
) {
    #[cfg(target_arch = "x86_64")]
    if *super::LEVEL == super::Level::Avx512 {
        // SAFETY: the processor was found to have these instructions.
        return unsafe { hits_avx512(sums, stride, bias, least, rows, out) };
    }
    portable_hits(sums, stride, bias, least, rows, out);
}

dispatch! {
    portable_hits = hits_body,
    (
        sums: &[f32], stride: usize, bias: &[f32; PANEL], least: &[f32; PANEL], rows: &[f32],
        out: &mut [u32]
    )
}

dispatch! {
    /// The `k`-th largest of at least `k` numbers, and how many are above it; 0 and how many there are
    /// above 0 where fewer are. No number is NaN, and `k` is not 0.
    kth_largest = kth_body, (values: &[f32], k: usize) -> (f32, usize)
}

dispatch! {
    /// `Σ x²`, and `Σ (x − h)²` where `h` is the nearest bfloat16 number.
    squares = squares_body, (x: &[f32]) -> [f32; 2]
}

dispatch! {
    /// `out[c] += Σ weights[i] · flat[rows[i] · width + c]`, `width` the length of `out`.
    add_rows = add_rows_body, (flat: &[f32], rows: &[u32], weights: &[f32], out: &mut [f32])
}

dispatch! {
    /// `out[i] = Σ flat[rows[i] · width + c] · with[c]`, `width` the length of `with`.
    dots = dots_body, (flat: &[f32], rows: &[u32], with: &[f32], out: &mut [f32])
}

dispatch! {
    /// `out[i] = least[i] (1 − epsilon) − rests[i] panel[0] − norms[i] panel[1]`.
    thresholds = thresholds_body,
    (
        least: &[f32], norms: &[f32], rests: &[f32], panel: [f32; 2], epsilon: f32, out: &mut [f32]
    )
}

dispatch! {
    /// A step of Adam for numbers side by side.
    adam = adam_body,
    (parameters: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32], rates: Rates)
}

dispatch! {
    /// Divides a row by its norm, where that is above 0 and finite.
    unit = unit_body, (row: &mut [f32])
}

dispatch! {
    /// Takes off a row its part along another.
    remove_along = remove_along_body, (row: &mut [f32], along: &[f32])
}

#[inline(always)]
fn hits_body<const FUSED: bool>(
    sums: &[f32],
    stride: usize,
    bias: &[f32; PANEL],
    least: &[f32; PANEL],
    rows: &[f32],
    out: &mut [u32],
) {
    let (bias, least) = (*bias, *least);
    for ((sums, &bound), out) in sums.chunks(stride).zip(rows).zip(out) {
        let Some(sums) = sums.first_chunk::<PANEL>() else { return };
        let mut hit = [0u8; PANEL];
        let mut any = 0;
        for lane in 0..PANEL {
            let value = sums[lane] + bias[lane];
            hit[lane] = u8::from(value > least[lane]) & u8::from(value > bound);
            any |= hit[lane];
        }
        *out = 0;
        if any != 0 {
            for (lane, hit) in hit.iter().enumerate() {
                *out |= u32::from(*hit) << lane;
            }
        }
    }
}

/// As [`hits_body`]: the compiler does not find the comparisons that make masks.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn hits_avx512(
    sums: &[f32],
    stride: usize,
    bias: &[f32; PANEL],
    least: &[f32; PANEL],
    rows: &[f32],
    out: &mut [u32],
) {
    use std::arch::x86_64::{
        _CMP_GT_OQ, _mm512_add_ps, _mm512_cmp_ps_mask, _mm512_loadu_ps, _mm512_mask_cmp_ps_mask,
        _mm512_set1_ps,
    };
    // SAFETY: each reads sixteen of 32 numbers.
    let halves = |x: &[f32; PANEL]| unsafe {
        [_mm512_loadu_ps(x.as_ptr()), _mm512_loadu_ps(x[PANEL / 2..].as_ptr())]
    };
    let (bias, least) = (halves(bias), halves(least));
    for ((sums, &bound), out) in sums.chunks(stride).zip(rows).zip(out) {
        let Some(sums) = sums.first_chunk::<PANEL>() else { return };
        let (sums, bound) = (halves(sums), _mm512_set1_ps(bound));
        let masks = [0, 1].map(|half| {
            let value = _mm512_add_ps(sums[half], bias[half]);
            let mask = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(value, least[half]);
            u32::from(_mm512_mask_cmp_ps_mask::<_CMP_GT_OQ>(mask, value, bound))
        });
        *out = masks[0] | masks[1] << 16;
    }
}

#[inline(always)]
fn kth_body<const FUSED: bool>(values: &[f32], k: usize) -> (f32, usize) {
    // Numbers that are not negative lie in the order of their bits, and the others below them.
    let bits = || values.iter().map(|value| value.to_bits().cast_signed());
    let reaching = |bound: i32| bits().map(|value| u32::from(value >= bound)).sum::<u32>() as usize;
    // `low` is reached by `k` at least or is 0, `high` by fewer.
    let (mut low, mut high) = (0, bits().fold(0, Ord::max) + 1);
    while high - low > 1 {
        let middle = low.midpoint(high);
        let count = reaching(middle);
        if count >= k {
            low = middle;
        } else {
            high = middle;
        }
        if count == k {
            // The least of these is the one.
            low = bits()
                .map(|value| if value >= middle { value } else { i32::MAX })
                .fold(high, Ord::min);
            high = low + 1;
        }
    }
    (f32::from_bits(low.cast_unsigned()), reaching(high))
}

#[inline(always)]
fn add_rows_body<const FUSED: bool>(flat: &[f32], rows: &[u32], weights: &[f32], out: &mut [f32]) {
    let width = out.len();
    let (wide, rest) = out.as_chunks_mut::<WIDE>();
    let mut column = 0;
    for out in wide {
        add_lanes::<FUSED, WIDE>(flat, column, width, rows, weights, out);
        column += WIDE;
    }
    let (narrow, rest) = rest.as_chunks_mut::<16>();
    for out in narrow {
        add_lanes::<FUSED, 16>(flat, column, width, rows, weights, out);
        column += 16;
    }
    for out in rest {
        let mut sum = [*out];
        add_lanes::<FUSED, 1>(flat, column, width, rows, weights, &mut sum);
        *out = sum[0];
        column += 1;
    }
}

#[inline(always)]
fn add_lanes<const FUSED: bool, const N: usize>(
    flat: &[f32],
    column: usize,
    width: usize,
    rows: &[u32],
    weights: &[f32],
    out: &mut [f32; N],
) {
    let mut sums = *out;
    for (&row, &weight) in rows.iter().zip(weights) {
        let Some(line) = flat[row as usize * width + column..].first_chunk::<N>() else { return };
        for lane in 0..N {
            sums[lane] = math::madd::<FUSED>(weight, line[lane], sums[lane]);
        }
    }
    *out = sums;
}

#[inline(always)]
fn dots_body<const FUSED: bool>(flat: &[f32], rows: &[u32], with: &[f32], out: &mut [f32]) {
    const ROWS: usize = 16;
    let width = with.len();
    let (wide, rest) = with.as_chunks::<WIDE>();
    for (rows, out) in rows.chunks(ROWS).zip(out.chunks_mut(ROWS)) {
        // Rows lie anywhere in memory: a part of each after the other, so that many are fetched at once.
        let mut sums = [[0f32; LANES]; ROWS];
        for (block, with) in wide.iter().enumerate() {
            for (&row, sums) in rows.iter().zip(&mut sums) {
                let from = row as usize * width + block * WIDE;
                let Some(part) = flat[from..].first_chunk::<WIDE>() else { return };
                add_products::<FUSED>(part, with, sums);
            }
        }
        for ((&row, sums), out) in rows.iter().zip(&mut sums).zip(out) {
            let part = &flat[row as usize * width..][width - rest.len()..width];
            add_products::<FUSED>(part, rest, sums);
            *out = total(sums);
        }
    }
}

/// Adds products of numbers side by side to sixteen sums in turn.
#[inline(always)]
fn add_products<const FUSED: bool>(a: &[f32], b: &[f32], sums: &mut [f32; LANES]) {
    let ((a, rest_a), (b, rest_b)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut own = *sums;
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            own[lane] = math::madd::<FUSED>(a[lane], b[lane], own[lane]);
        }
    }
    for (lane, (a, b)) in rest_a.iter().zip(rest_b).enumerate() {
        own[lane] = math::madd::<FUSED>(*a, *b, own[lane]);
    }
    *sums = own;
}

#[inline(always)]
fn total(sums: &mut [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    sums[0]
}

#[inline(always)]
fn dot<const FUSED: bool>(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0f32; LANES];
    add_products::<FUSED>(a, b, &mut sums);
    total(&mut sums)
}

#[inline(always)]
fn thresholds_body<const FUSED: bool>(
    least: &[f32],
    norms: &[f32],
    rests: &[f32],
    panel: [f32; 2],
    epsilon: f32,
    out: &mut [f32],
) {
    let [norm, rest] = panel;
    for (((out, least), norms), rests) in out.iter_mut().zip(least).zip(norms).zip(rests) {
        let error = math::madd::<FUSED>(*rests, norm, *norms * rest);
        *out = *least - error - epsilon * *least;
    }
}

#[inline(always)]
fn squares_body<const FUSED: bool>(x: &[f32]) -> [f32; 2] {
    const LANES: usize = 64;
    let mut lanes = [[0f32; LANES]; 2];
    let (blocks, rest) = x.as_chunks::<LANES>();
    let mut last = [0f32; LANES];
    last[..rest.len()].copy_from_slice(rest);
    for x in blocks.iter().chain([&last]) {
        for lane in 0..LANES {
            let gap = x[lane] - nearest(x[lane]);
            lanes[0][lane] = math::madd::<FUSED>(x[lane], x[lane], lanes[0][lane]);
            lanes[1][lane] = math::madd::<FUSED>(gap, gap, lanes[1][lane]);
        }
    }
    lanes.map(|lanes| lanes.iter().sum())
}

/// The nearest bfloat16 number, ties to even, of a finite one.
#[inline(always)]
fn nearest(x: f32) -> f32 {
    let bits = x.to_bits();
    f32::from_bits(bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) & 0xffff_0000)
}

#[inline(always)]
fn unit_body<const FUSED: bool>(row: &mut [f32]) {
    let norm = dot::<FUSED>(row, row).sqrt();
    if norm > 0.0 && norm.is_finite() {
        let factor = 1.0 / norm;
        for x in row {
            *x *= factor;
        }
    }
}

#[inline(always)]
fn remove_along_body<const FUSED: bool>(row: &mut [f32], along: &[f32]) {
    let square = dot::<FUSED>(along, along);
    if square > 0.0 {
        let factor = -dot::<FUSED>(row, along) / square;
        for (x, along) in row.iter_mut().zip(along) {
            *x = math::madd::<FUSED>(factor, *along, *x);
        }
    }
}

#[inline(always)]
fn adam_body<const FUSED: bool>(
    parameters: &mut [f32],
    gradient: &[f32],
    first: &mut [f32],
    second: &mut [f32],
    rates: Rates,
) {
    let moments = first.iter_mut().zip(second);
    for ((parameter, gradient), (first, second)) in parameters.iter_mut().zip(gradient).zip(moments)
    {
        let gradient = *gradient;
        *first = math::madd::<FUSED>(rates.first, *first - gradient, gradient);
        let square = gradient * gradient;
        *second = math::madd::<FUSED>(rates.second, *second - square, square);
        let size = math::madd::<FUSED>(second.sqrt(), rates.root, rates.epsilon);
        *parameter -= rates.rate * *first / size;
    }
}
