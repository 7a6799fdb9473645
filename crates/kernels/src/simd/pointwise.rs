//! Element-by-element kernels; all slices of one call have one length.

use super::{dispatch, math};
use crate::options::Activation;

/// `out[i] = f(x[i])` for each activation, chosen outside of the loop.
macro_rules! by_activation {
    ($activation:expr, $fused:ident, [$gelu:ident, $tanh:ident, $silu:ident], |$f:ident| $body:expr) => {
        match $activation {
            Activation::Gelu => {
                #[inline(always)]
                fn $f<const F: bool>(x: f32) -> f32 {
                    math::$gelu::<F>(x)
                }
                $body
            }
            Activation::GeluTanh => {
                #[inline(always)]
                fn $f<const F: bool>(x: f32) -> f32 {
                    math::$tanh::<F>(x)
                }
                $body
            }
            Activation::Silu => {
                #[inline(always)]
                fn $f<const F: bool>(x: f32) -> f32 {
                    math::$silu::<F>(x)
                }
                $body
            }
        }
    };
}

#[inline(always)]
fn activate_body<const FUSED: bool>(x: &[f32], out: &mut [f32], activation: Activation) {
    by_activation!(activation, FUSED, [gelu, gelu_tanh, silu], |f| {
        for (x, out) in x.iter().zip(out) {
            *out = f::<FUSED>(*x);
        }
    });
}

#[inline(always)]
fn activate_in_place_body<const FUSED: bool>(x: &mut [f32], activation: Activation) {
    by_activation!(activation, FUSED, [gelu, gelu_tanh, silu], |f| {
        for x in x {
            *x = f::<FUSED>(*x);
        }
    });
}

/// Multiplies in place: `other[i] *= f(x[i])`.
#[inline(always)]
fn gate_body<const FUSED: bool>(x: &[f32], other: &mut [f32], activation: Activation) {
    by_activation!(activation, FUSED, [gelu, gelu_tanh, silu], |f| {
        for (x, other) in x.iter().zip(other) {
            *other *= f::<FUSED>(*x);
        }
    });
}

#[inline(always)]
fn slope_body<const FUSED: bool>(x: &[f32], gradient: &mut [f32], activation: Activation) {
    by_activation!(activation, FUSED, [gelu_slope, gelu_tanh_slope, silu_slope], |f| {
        for (x, gradient) in x.iter().zip(gradient) {
            *gradient *= f::<FUSED>(*x);
        }
    });
}

dispatch!(
    /// `out = f(x)`.
    activate = activate_body, (x: &[f32], out: &mut [f32], activation: Activation));
dispatch!(
    /// `x = f(x)`.
    activate_in_place = activate_in_place_body, (x: &mut [f32], activation: Activation));
dispatch!(
    /// `other *= f(x)`.
    gate = gate_body, (x: &[f32], other: &mut [f32], activation: Activation));
dispatch!(
    /// `gradient *= f′(x)`.
    slope = slope_body, (x: &[f32], gradient: &mut [f32], activation: Activation));

/// One mathematical function over a slice, in place.
#[cfg(test)]
macro_rules! map {
    ($body:ident, $function:ident, $(#[$doc:meta])* $name:ident) => {
        #[inline(always)]
        fn $body<const FUSED: bool>(x: &mut [f32]) {
            for x in x {
                *x = math::$function::<FUSED>(*x);
            }
        }
        dispatch!($(#[$doc])* $name = $body, (x: &mut [f32]));
    };
}
#[cfg(test)]
map!(exp_body, exp,
    /// `x = exp x`.
    exp);
#[cfg(test)]
map!(tanh_body, tanh,
    /// `x = tanh x`.
    tanh);
#[cfg(test)]
map!(erf_body, erf,
    /// `x = erf x`.
    erf);

#[cfg(test)]
mod tests {
    use super::*;

    /// Largest relative error over a fine grid, against double precision by `libm`-free identities.
    fn worst(map: fn(&mut [f32]), truth: fn(f64) -> f64, low: f32, high: f32) -> f64 {
        let grid: Vec<f32> =
            (0..=200_000).map(|i| low + (high - low) * i as f32 / 200_000.0).collect();
        let mut out = grid.clone();
        map(&mut out);
        grid.iter()
            .zip(out)
            .map(|(x, out)| {
                let truth = truth(f64::from(*x));
                (f64::from(out) - truth).abs() / truth.abs().max(1e-30)
            })
            .fold(0.0, f64::max)
    }

    /// The error function by its series, good up to 3.
    fn erf_series(x: f64) -> f64 {
        let (mut term, mut sum) = (x, x);
        for n in 1..200 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        sum * std::f64::consts::FRAC_2_SQRT_PI
    }

    #[test]
    fn functions_keep_their_digits() {
        assert!(worst(exp, f64::exp, -87.0, 88.0) < 2e-7);
        assert!(worst(tanh, f64::tanh, -12.0, 12.0) < 2.5e-7);
        assert!(worst(erf, erf_series, -3.0, 3.0) < 2.5e-7);
    }

    #[test]
    fn functions_end_well() {
        let mut x = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -100.0];
        exp(&mut x);
        assert!(x[0].is_nan() && x[1] == f32::INFINITY && x[2] == 0.0 && x[3] > 0.0);
        let mut x = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0];
        tanh(&mut x);
        assert!(x[0].is_nan() && x[1..] == [1.0, -1.0, 0.0] && x[3].is_sign_negative());
    }
}
