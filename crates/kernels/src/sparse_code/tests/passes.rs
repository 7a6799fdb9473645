//! Gradients against finite differences, and steps of Adam against their formula.

use super::{super::*, numbers};

/// `½ Σ (decode(encode(x)) − y)²` in double precision, with the features of `code`.
struct Loss {
    code: SparseCode,
    x: Vec<f64>,
    y: Vec<f64>,
    units: usize,
    outputs: usize,
}

impl Loss {
    fn of(&self, encoder: &[f64], bias: &[f64], decoder: &[f64]) -> f64 {
        let mut loss = 0.0;
        for row in 0..self.code.rows() {
            let mut gap: Vec<f64> =
                self.y[row * self.outputs..][..self.outputs].iter().map(|y| -y).collect();
            for &feature in self.code.row(row).0 {
                let feature = feature as usize;
                let x = &self.x[row * self.units..][..self.units];
                let own = &encoder[feature * self.units..][..self.units];
                let value = bias[feature] + own.iter().zip(x).map(|(a, b)| a * b).sum::<f64>();
                for (gap, own) in gap.iter_mut().zip(&decoder[feature * self.outputs..]) {
                    *gap += value * own;
                }
            }
            loss += gap.iter().map(|gap| gap * gap).sum::<f64>() / 2.0;
        }
        loss
    }
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|x| f64::from(*x)).collect()
}

#[test]
fn gradients_are_those_of_finite_differences() {
    let (rows, features, units, outputs) = (6, 9, 5, 19);
    for seed in 0..4 {
        let x = numbers(rows * units, seed + 10);
        let y = numbers(rows * outputs, seed + 20);
        let encoder = numbers(features * units, seed + 30);
        let decoder = numbers(features * outputs, seed + 40);
        let bias = numbers(features, seed + 50);
        let code = encode(&x, &encoder, Some(&bias), units, Select::TopK(3));
        let mut gap = vec![0.0; rows * outputs];
        decode(&code, &decoder, None, outputs, &mut gap);
        for (gap, y) in gap.iter_mut().zip(&y) {
            *gap -= y;
        }
        // What stands there already stays in the sum.
        let mut by_decoder = vec![1.0; decoder.len()];
        let mut by_encoder = vec![2.0; encoder.len()];
        let mut by_bias = vec![3.0; features];
        let by_value = decode_gradient(&code, &decoder, outputs, &gap, &mut by_decoder);
        encode_gradient(&code, &by_value, &x, units, &mut by_encoder, &mut by_bias);
        let loss = Loss { code, x: wide(&x), y: wide(&y), units, outputs };
        let at = [wide(&encoder), wide(&bias), wide(&decoder)];
        for (part, found) in [by_encoder, by_bias, by_decoder].iter().enumerate() {
            let already = [2.0, 3.0, 1.0][part];
            for (place, found) in found.iter().enumerate() {
                let moved = |by: f64| {
                    let mut at = at.clone();
                    at[part][place] += by;
                    loss.of(&at[0], &at[1], &at[2])
                };
                let slope = (moved(1e-4) - moved(-1e-4)) / 2e-4;
                let found = f64::from(*found) - already;
                assert!((slope - found).abs() < 2e-5, "{part} {place}: {slope} {found}");
            }
        }
    }
}

#[test]
fn a_row_is_read_back_with_its_bias_at_every_width() {
    for outputs in [1, 15, 17, 128, 200] {
        let code = SparseCode {
            features: 4,
            starts: vec![0, 2, 2, 3],
            indices: vec![1, 3, 0],
            values: vec![2.0, -1.0, 0.5],
        };
        let (decoder, bias) = (numbers(4 * outputs, 1), numbers(outputs, 2));
        let mut out = vec![7.0; 3 * outputs];
        decode(&code, &decoder, Some(&bias), outputs, &mut out);
        for place in 0..outputs {
            let of = |feature: usize| decoder[feature * outputs + place];
            let truth = [2.0 * of(1) - of(3), 0.0, 0.5 * of(0)].map(|sum| sum + bias[place]);
            for (row, truth) in truth.iter().enumerate() {
                assert!((out[row * outputs + place] - truth).abs() < 1e-6);
            }
        }
    }
}

#[test]
fn adam_takes_the_steps_of_its_formula() {
    let count = 40_000;
    let (mut parameters, mut first, mut second) =
        (numbers(count, 1), vec![0.0; count], vec![0.0; count]);
    let mut truth: Vec<[f64; 3]> = parameters.iter().map(|x| [f64::from(*x), 0.0, 0.0]).collect();
    for number in 1..=5 {
        let gradient = numbers(count, 10 + u64::from(number));
        let step = AdamStep { rate: 1e-2, betas: [0.9, 0.99], epsilon: 1e-8, number };
        adam(&mut parameters, &gradient, &mut first, &mut second, step);
        for (at, g) in truth.iter_mut().zip(&gradient) {
            let g = f64::from(*g);
            at[1] = 0.9 * at[1] + 0.1 * g;
            at[2] = 0.99 * at[2] + 0.01 * g * g;
            let root = (at[2] / (1.0 - 0.99f64.powi(number as i32))).sqrt();
            at[0] -= 1e-2 * at[1] / (1.0 - 0.9f64.powi(number as i32)) / (root + 1e-8);
        }
        // The first step is the rate against the sign, whatever the gradient's size.
        for (found, truth) in parameters.iter().zip(&truth) {
            assert!((f64::from(*found) - truth[0]).abs() < 2e-6, "{found} {truth:?}");
        }
    }
}

#[test]
fn rows_become_unit_and_gradients_lose_their_part_along_them() {
    let (rows, width) = (30, 37);
    let mut matrix = numbers(rows * width, 1);
    matrix[..width].fill(0.0);
    let before = matrix.clone();
    let mut gradient = numbers(rows * width, 2);
    remove_along_rows(&mut gradient, &matrix, width);
    assert_eq!(gradient[..width], numbers(rows * width, 2)[..width]);
    unit_rows(&mut matrix, width);
    assert_eq!(matrix[..width], before[..width]);
    for row in 1..rows {
        let of = |x: &[f32]| wide(&x[row * width..][..width]);
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let (unit, old, gradient) = (of(&matrix), of(&before), of(&gradient));
        assert!((dot(&unit, &unit) - 1.0).abs() < 1e-5);
        assert!((dot(&unit, &old) - dot(&old, &old).sqrt()).abs() < 1e-4);
        assert!(dot(&gradient, &old).abs() < 1e-5);
        let taken: Vec<f64> =
            of(&numbers(rows * width, 2)).iter().zip(&gradient).map(|(a, b)| a - b).collect();
        let along = dot(&taken, &unit).abs();
        assert!((dot(&taken, &taken).sqrt() - along).abs() < 1e-5, "only the part along is lost");
    }
}
