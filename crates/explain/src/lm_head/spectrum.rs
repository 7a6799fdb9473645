//! Power spectrum of logits over tokens that stand for numbers on a circle.
//!
//! `P_f = |Σ_t ℓ_t e^{−2πi f t / n}|²` for `f = 1, …, ⌊n/2⌋`; a unit of a network for a cyclic task
//! (modular addition) holds nearly all power at one frequency. Below `n/2` a frequency stands for
//! both its signs, so that its power counts twice; the constant is left out.
//!
//! Source: Nanda et al. 2023, arXiv:2301.05217, §4 for the task; a plain transform, as `n` is small.
//! Memory: two matrices of `n²/2` cosines and sines, and as many numbers for a block of units.

use ndarray::{ArrayView2, s};
use nissl_kernels::gemm::{MatRef, matmul};

/// The strongest frequency of a unit's logits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spectrum {
    /// Periods over the range of tokens, 1 to half their number; 0 where all logits are equal.
    pub frequency: usize,
    /// Its share of the power without the constant, 0 to 1; NaN where all logits are equal.
    pub share: f64,
}

/// Units transformed at once.
const BLOCK: usize = 1024;

/// The strongest frequency of each row of `logits` `[unit, token]`; of equal ones the lower.
pub fn strongest_frequencies(logits: ArrayView2<'_, f32>) -> Vec<Spectrum> {
    let (units, tokens) = logits.dim();
    let frequencies = tokens / 2;
    let nothing = Spectrum { frequency: 0, share: f64::NAN };
    if frequencies == 0 {
        return vec![nothing; units];
    }
    // [token, frequency]
    let mut waves = [vec![0.0f64; tokens * frequencies], vec![0.0f64; tokens * frequencies]];
    for token in 0..tokens {
        for at in 0..frequencies {
            // The product is reduced first, so that the angle keeps its digits.
            let turn = (token * (at + 1) % tokens) as f64 / tokens as f64;
            let (sine, cosine) = (turn * std::f64::consts::TAU).sin_cos();
            waves[0][token * frequencies + at] = cosine;
            waves[1][token * frequencies + at] = sine;
        }
    }
    let mut spectra = Vec::with_capacity(units);
    for first in (0..units).step_by(BLOCK) {
        let block = logits.slice(s![first..(first + BLOCK).min(units), ..]);
        let rows = block.nrows();
        let values: Vec<f64> = block
            .rows()
            .into_iter()
            .flat_map(|row| {
                let mean = row.iter().map(|&l| f64::from(l)).sum::<f64>() / tokens as f64;
                row.iter().map(|&l| f64::from(l) - mean).collect::<Vec<_>>()
            })
            .collect();
        let mut power = vec![0.0f64; rows * frequencies];
        for waves in &waves {
            let mut amplitude = vec![0.0f64; rows * frequencies];
            let waves = MatRef::row_major(waves, tokens, frequencies);
            matmul(MatRef::row_major(&values, rows, tokens), waves, &mut amplitude);
            power.iter_mut().zip(&amplitude).for_each(|(power, a)| *power += a * a);
        }
        for (power, values) in power.chunks_exact_mut(frequencies).zip(values.chunks_exact(tokens))
        {
            if tokens.is_multiple_of(2) {
                power[frequencies - 1] /= 2.0;
            }
            let whole: f64 = power.iter().sum();
            // What rounding leaves of a constant is no spectrum.
            let scale: f64 = values.iter().map(|value| value * value).sum();
            if !(whole > 0.0 && scale > f64::EPSILON * f64::EPSILON) {
                spectra.push(nothing);
                continue;
            }
            let mut best = 0;
            for at in 1..frequencies {
                if power[at] > power[best] {
                    best = at;
                }
            }
            spectra.push(Spectrum { frequency: best + 1, share: power[best] / whole });
        }
    }
    spectra
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    fn wave(tokens: usize, parts: &[(usize, f64, f64)]) -> Vec<f32> {
        (0..tokens)
            .map(|token| {
                let angle = std::f64::consts::TAU * token as f64 / tokens as f64;
                let sum: f64 =
                    parts.iter().map(|&(f, a, phase)| a * (f as f64 * angle + phase).cos()).sum();
                (sum + 3.0) as f32
            })
            .collect()
    }

    #[test]
    fn planted_waves_are_found_with_their_share() {
        for tokens in [113, 114] {
            let rows = [
                wave(tokens, &[(15, 2.0, 0.3), (7, 1.0, 1.0)]),
                wave(tokens, &[(56, 1.0, 0.2)]),
                vec![4.0; tokens],
            ];
            let flat: Vec<f32> = rows.concat();
            let logits = Array2::from_shape_vec((3, tokens), flat).expect("a matrix");
            let found = strongest_frequencies(logits.view());
            assert_eq!(found[0].frequency, 15);
            assert!((found[0].share - 0.8).abs() < 1e-6, "{:?}", found[0]);
            assert_eq!(found[1].frequency, 56);
            assert!((found[1].share - 1.0).abs() < 1e-6);
            assert_eq!(found[2].frequency, 0);
            assert!(found[2].share.is_nan());
        }
    }

    #[test]
    fn shares_are_those_of_parsevals_sum() {
        // With n even, half the tokens alternate: the last frequency stands for one sign alone.
        let tokens = 8;
        let row: Vec<f32> = vec![1.0, -2.0, 0.5, 3.0, -1.0, 0.0, 2.5, -0.5];
        let logits = Array2::from_shape_vec((1, tokens), row.clone()).expect("a matrix");
        let found = strongest_frequencies(logits.view())[0];
        let mean = row.iter().sum::<f32>() / tokens as f32;
        let variance: f32 = row.iter().map(|value| (value - mean).powi(2)).sum();
        let angle =
            |token: usize| std::f64::consts::TAU * (found.frequency * token) as f64 / tokens as f64;
        let sum = |part: fn(f64) -> f64| -> f64 {
            row.iter().enumerate().map(|(t, &v)| f64::from(v) * part(angle(t))).sum()
        };
        let twice = if found.frequency == tokens / 2 { 1.0 } else { 2.0 };
        let power = twice * (sum(f64::cos).powi(2) + sum(f64::sin).powi(2)) / tokens as f64;
        assert!((found.share - power / f64::from(variance)).abs() < 1e-6);
    }
}
