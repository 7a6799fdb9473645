//! Exponential, tanh and error function in single precision, written without branches.
//!
//! Polynomials are minimax fits (Lawson's iteration in double precision) to the functions named
//! beside them. `FUSED` says whether the target multiplies and adds in one instruction.

/// `1.5 · 2²³`: adding it rounds to a whole number, which then stands in the lowest bits.
const ROUND: f32 = 12_582_912.0;
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;

#[inline(always)]
pub(super) fn madd<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// `x` kept within bounds; NaN stays.
#[inline(always)]
fn clamp(x: f32, low: f32, high: f32) -> f32 {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

#[inline(always)]
fn polynomial<const FUSED: bool, const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    let mut sum = coefficients[N - 1];
    let mut power = N - 1;
    while power > 0 {
        power -= 1;
        sum = madd::<FUSED>(sum, x, coefficients[power]);
    }
    sum
}

/// `m` and `n` of `exp x = m 2ⁿ`.
#[inline(always)]
fn exp_parts<const FUSED: bool>(x: f32) -> (f32, i32) {
    let shifted = madd::<FUSED>(x, std::f32::consts::LOG2_E, ROUND);
    let whole = shifted - ROUND;
    let rest = madd::<FUSED>(whole, -LN_2_LOW, madd::<FUSED>(whole, -LN_2_HIGH, x));
    // (exp r − 1 − r) / r²
    let tail = polynomial::<FUSED, 5>(
        rest,
        [4.999_999_3e-1, 1.666_652e-1, 4.166_839e-2, 8.368_745e-3, 1.381_454e-3],
    );
    let value = madd::<FUSED>(rest * rest, tail, rest) + 1.0;
    (value, (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32))
}

/// `exp x`, within 2 units in the last place; underflows gradually, overflows to infinity.
#[cfg(test)]
#[inline(always)]
pub(super) fn exp<const FUSED: bool>(x: f32) -> f32 {
    let (value, exponent) = exp_parts::<FUSED>(clamp(x, -105.0, 89.0));
    // Two factors, since 2^exponent itself can lie out of range.
    let half = exponent >> 1;
    value * power_of_two(half) * power_of_two(exponent.wrapping_sub(half))
}

/// `exp x` up to 87, and zero below −87; NaN stays.
#[inline(always)]
pub(super) fn exp_weight<const FUSED: bool>(x: f32) -> f32 {
    let (value, exponent) = exp_parts::<FUSED>(clamp(x, -87.0, 87.0));
    let value = value * power_of_two(exponent);
    if x <= -87.0 { 0.0 } else { value }
}

#[inline(always)]
fn power_of_two(exponent: i32) -> f32 {
    f32::from_bits((exponent.wrapping_add(127) as u32) << 23)
}

/// `tanh x`, within 2e-7 of its value.
#[inline(always)]
pub(super) fn tanh<const FUSED: bool>(x: f32) -> f32 {
    let size = x.abs();
    let square = x * x;
    // (tanh x / x − 1) / x² by x², up to 0.625
    let small = polynomial::<FUSED, 5>(
        square,
        [-3.333_328_4e-1, 1.333_149_1e-1, -5.374_35e-2, 2.065_058_8e-2, -5.717_045e-3],
    );
    let small = madd::<FUSED>(size * square, small, size);
    let large = 1.0 - 2.0 / (exp_weight::<FUSED>(clamp(2.0 * size, 0.0, 40.0)) + 1.0);
    let value = if size < 0.625 { small } else { large };
    value.copysign(x)
}

/// The error function, within 2e-7 of its value.
#[inline(always)]
pub(super) fn erf<const FUSED: bool>(x: f32) -> f32 {
    let size = x.abs();
    // erf x / x by x², up to 0.9
    let small = size
        * polynomial::<FUSED, 6>(
            x * x,
            [
                std::f32::consts::FRAC_2_SQRT_PI,
                -3.761_252_3e-1,
                1.128_214_1e-1,
                -2.677_890_9e-2,
                5.011_963e-3,
                -6.090_36e-4,
            ],
        );
    // log(1 − erf x), from 0.9 to 4
    let far = clamp(size, 0.0, 4.0);
    let log = polynomial::<FUSED, 7>(
        far,
        [
            -1.774_961_2e-4,
            -1.127_749_6,
            -6.370_597_6e-1,
            -1.040_373_5e-1,
            2.227_708_2e-2,
            -3.055_606_2e-3,
            1.971_815_8e-4,
        ],
    );
    let large = 1.0 - exp_weight::<FUSED>(log);
    let value = if size < 0.9 { small } else { large };
    value.copysign(x)
}

/// `1 / (1 + exp(−x))`.
#[inline(always)]
pub(super) fn sigmoid<const FUSED: bool>(x: f32) -> f32 {
    1.0 / (1.0 + exp_weight::<FUSED>(-x))
}

/// `√(2/π)`.
const SLOPE: f32 = 0.797_884_6;
/// `1/√(2π)`.
const DENSITY: f32 = 0.398_942_3;
const CUBIC: f32 = 0.044_715;

#[inline(always)]
pub(super) fn gelu<const FUSED: bool>(x: f32) -> f32 {
    0.5 * x * (1.0 + erf::<FUSED>(x * std::f32::consts::FRAC_1_SQRT_2))
}

#[inline(always)]
pub(super) fn gelu_slope<const FUSED: bool>(x: f32) -> f32 {
    let weight = 0.5 * (1.0 + erf::<FUSED>(x * std::f32::consts::FRAC_1_SQRT_2));
    madd::<FUSED>(x * DENSITY, exp_weight::<FUSED>(-0.5 * x * x), weight)
}

/// `x σ(2u)`, for `(1 + tanh u) / 2 = σ(2u)`: no subtraction, so the far left keeps its digits.
#[inline(always)]
pub(super) fn gelu_tanh<const FUSED: bool>(x: f32) -> f32 {
    let inner = 2.0 * SLOPE * x * madd::<FUSED>(CUBIC * x, x, 1.0);
    x * sigmoid::<FUSED>(inner)
}

#[inline(always)]
pub(super) fn gelu_tanh_slope<const FUSED: bool>(x: f32) -> f32 {
    let inner = 2.0 * SLOPE * x * madd::<FUSED>(CUBIC * x, x, 1.0);
    let weight = sigmoid::<FUSED>(inner);
    let steepness = 2.0 * SLOPE * madd::<FUSED>(3.0 * CUBIC * x, x, 1.0);
    // Far out the weight is flat, and the steepness would overflow.
    let rest = x * (weight * (1.0 - weight)) * steepness;
    weight + if x.abs() > 20.0 { 0.0 } else { rest }
}

#[inline(always)]
pub(super) fn silu<const FUSED: bool>(x: f32) -> f32 {
    x * sigmoid::<FUSED>(x)
}

#[inline(always)]
pub(super) fn silu_slope<const FUSED: bool>(x: f32) -> f32 {
    let weight = sigmoid::<FUSED>(x);
    weight * madd::<FUSED>(x, 1.0 - weight, 1.0)
}
