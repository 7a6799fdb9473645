//! Inner loops of sparse codes: candidates out of products, sums of rows, steps of Adam.

use super::{dispatch, math};

/// Features whose products stand side by side.
const PANEL: usize = 32;
/// Numbers of a row that are summed at once.
const WIDE: usize = 128;

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

dispatch! {
    /// Says of each row, as a bit for each of 32 features, where `sum + bias` is above the least of the
    /// feature and of the row.
    hits = hits_body,
    (
        sums: &[f32], stride: usize, bias: &[f32; PANEL], least: &[f32; PANEL], rows: &[f32],
        out: &mut [u32]
    )
}

dispatch! {
    /// The `k`-th largest of at least `k` numbers, none of which is negative or NaN, and how many are
    /// above it; `k` is not 0.
    kth_largest = kth_body, (values: &[f32], k: usize) -> (f32, usize)
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
        let mut hit = [false; PANEL];
        let mut any = false;
        for lane in 0..PANEL {
            let value = sums[lane] + bias[lane];
            let least = if least[lane] > bound { least[lane] } else { bound };
            hit[lane] = value > least;
            any |= hit[lane];
        }
        *out = 0;
        if any {
            for (lane, hit) in hit.iter().enumerate() {
                *out |= u32::from(*hit) << lane;
            }
        }
    }
}

#[inline(always)]
fn kth_body<const FUSED: bool>(values: &[f32], k: usize) -> (f32, usize) {
    // Numbers that are not negative lie in the order of their bits.
    let reaching = |bits: u32| -> usize {
        let bound = f32::from_bits(bits);
        values.iter().map(|value| u32::from(*value >= bound)).sum::<u32>() as usize
    };
    let (mut low, mut high) = (0, f32::INFINITY.to_bits() + 1);
    // `low` is reached by `k` at least, `high` by fewer.
    while high - low > 1 {
        let middle = low.midpoint(high);
        if reaching(middle) >= k { low = middle } else { high = middle }
    }
    (f32::from_bits(low), if high > f32::INFINITY.to_bits() { 0 } else { reaching(high) })
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
    let width = with.len();
    for (&row, out) in rows.iter().zip(out) {
        *out = dot_body::<FUSED>(&flat[row as usize * width..][..width], with);
    }
}

#[inline(always)]
fn dot_body<const FUSED: bool>(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 64;
    let mut lanes = [0f32; LANES];
    let ((a, rest_a), (b, rest_b)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            lanes[lane] = math::madd::<FUSED>(a[lane], b[lane], lanes[lane]);
        }
    }
    for (lane, (a, b)) in rest_a.iter().zip(rest_b).enumerate() {
        lanes[lane] = math::madd::<FUSED>(*a, *b, lanes[lane]);
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
fn unit_body<const FUSED: bool>(row: &mut [f32]) {
    let norm = dot_body::<FUSED>(row, row).sqrt();
    if norm > 0.0 && norm.is_finite() {
        let factor = 1.0 / norm;
        for x in row {
            *x *= factor;
        }
    }
}

#[inline(always)]
fn remove_along_body<const FUSED: bool>(row: &mut [f32], along: &[f32]) {
    let square = dot_body::<FUSED>(along, along);
    if square > 0.0 {
        let factor = -dot_body::<FUSED>(row, along) / square;
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
