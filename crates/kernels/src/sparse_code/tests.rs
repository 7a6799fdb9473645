//! Against the schoolbook, finite differences and laws, on every engine.

use proptest::prelude::*;

use super::{encode::encode_on, engine::Engine, *};

fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..count)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32) / 8_388_608.0 - 1.0
        })
        .collect()
}

/// Whole numbers, whose sums are exact on every engine and often equal.
fn whole(count: usize, seed: u64) -> Vec<f32> {
    numbers(count, seed).iter().map(|x| (x * 3.0).round()).collect()
}

fn engines(x: &[f32], units: usize) -> Vec<Engine> {
    Engine::all(x, units)
}

/// `[row][feature]`
fn pre(x: &[f32], encoder: &[f32], bias: Option<&[f32]>, units: usize) -> Vec<Vec<f32>> {
    x.chunks(units)
        .map(|x| {
            encoder
                .chunks(units)
                .enumerate()
                .map(|(feature, row)| {
                    let sum: f64 =
                        row.iter().zip(x).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                    (sum + bias.map_or(0.0, |bias| f64::from(bias[feature]))) as f32
                })
                .collect()
        })
        .collect()
}

/// What is selected of all pre-activations, by sorting them.
fn selected(pre: &[Vec<f32>], select: Select<'_>) -> SparseCode {
    let features = pre.first().map_or(0, Vec::len);
    let mut keep: Vec<Vec<bool>> = pre.iter().map(|row| vec![false; row.len()]).collect();
    let mut all: Vec<(usize, usize, f32)> = Vec::new();
    for (r, row) in pre.iter().enumerate() {
        let mut order: Vec<(usize, usize, f32)> =
            row.iter().enumerate().map(|(f, &u)| (r, f, u)).collect();
        match select {
            Select::Relu => order.iter().for_each(|&(r, f, u)| keep[r][f] = u > 0.0),
            Select::Above(t) => order.iter().for_each(|&(r, f, u)| keep[r][f] = u > t[f]),
            Select::TopK(k) => {
                order.sort_by(|a, b| b.2.total_cmp(&a.2).then(a.1.cmp(&b.1)));
                order.iter().take(k).for_each(|&(r, f, u)| keep[r][f] = u > 0.0);
            }
            Select::GroupMax(k) => {
                let size = if k == 0 { usize::MAX } else { features.div_ceil(k).max(1) };
                for group in order.chunks(size.min(features.max(1))).take(k) {
                    let best = group.iter().fold(f32::MIN, |best, x| best.max(x.2));
                    let (r, f, u) = *group.iter().find(|x| x.2 >= best).expect("a largest");
                    keep[r][f] = u > 0.0;
                }
            }
            Select::BatchTopK(_) => all.extend(order),
        }
    }
    if let Select::BatchTopK(k) = select {
        all.sort_by(|a, b| b.2.total_cmp(&a.2).then((a.0, a.1).cmp(&(b.0, b.1))));
        all.iter().take(k * pre.len()).for_each(|&(r, f, u)| keep[r][f] = u > 0.0);
    }
    let mut code = SparseCode { features, starts: vec![0], ..SparseCode::default() };
    for (keep, row) in keep.iter().zip(pre) {
        for (feature, _) in keep.iter().enumerate().filter(|(_, keep)| **keep) {
            code.indices.push(feature as u32);
            code.values.push(row[feature]);
        }
        code.starts.push(code.indices.len());
    }
    code
}

fn selections(k: usize, thresholds: &[f32]) -> [Select<'_>; 5] {
    [
        Select::Relu,
        Select::TopK(k),
        Select::BatchTopK(k),
        Select::Above(thresholds),
        Select::GroupMax(k),
    ]
}

#[test]
fn codes_of_whole_numbers_are_those_of_the_schoolbook_ties_included() {
    for (rows, features, units, k) in [
        (1, 1, 1, 1),
        (3, 7, 2, 3),
        (40, 33, 5, 4),
        (300, 70, 33, 2),
        (65, 5000, 64, 8),
        (9, 130, 16, 200),
    ] {
        let (x, encoder) = (whole(rows * units, 1), whole(features * units, 2));
        let (bias, thresholds) = (whole(features, 3), whole(features, 4));
        for bias in [None, Some(bias.as_slice())] {
            let pre = pre(&x, &encoder, bias, units);
            for select in selections(k, &thresholds) {
                let truth = selected(&pre, select);
                for engine in engines(&x, units) {
                    let name = format!("{engine:?}");
                    let found = encode_on(engine, &x, &encoder, bias, units, select);
                    let size = (rows, features, units);
                    let kind = &name[..name.len().min(8)];
                    assert!(found == truth, "{size:?} {select:?} {} {kind}", bias.is_some());
                }
            }
        }
    }
}

#[test]
fn values_are_within_single_precision_of_the_exact_ones() {
    let (rows, features, units) = (70, 90, 768);
    let (x, encoder, bias) =
        (numbers(rows * units, 5), numbers(features * units, 6), numbers(features, 7));
    let truth = pre(&x, &encoder, Some(&bias), units);
    let least = vec![f32::NEG_INFINITY; features];
    for engine in engines(&x, units) {
        let code = encode_on(engine, &x, &encoder, Some(&bias), units, Select::Above(&least));
        assert_eq!(code.values.len(), rows * features);
        // Norms are about 16 each; an error of 2⁻¹⁶ of their product would show a lost piece.
        let gap = code
            .values
            .iter()
            .zip(truth.iter().flatten())
            .map(|(found, truth)| (found - truth).abs())
            .fold(0.0, f32::max);
        assert!(gap < 1e-3, "{gap}");
    }
}

#[test]
fn no_k_rows_of_negatives_and_nothing_at_all_give_no_entries() {
    let (x, encoder) = (vec![1.0; 12], vec![-1.0; 20]);
    let none = vec![9.0; 5];
    for select in selections(3, &none) {
        let code = encode(&x, &encoder, None, 4, select);
        assert_eq!((code.starts, code.values.len()), (vec![0; 4], 0), "{select:?}");
    }
    let encoder = vec![1.0; 20];
    for select in [Select::TopK(0), Select::BatchTopK(0), Select::GroupMax(0)] {
        assert_eq!(encode(&x, &encoder, None, 4, select).values.len(), 0, "{select:?}");
    }
    for select in selections(2, &[]) {
        assert_eq!(encode(&[], &[], None, 4, select).starts, [0]);
        assert_eq!(encode(&x, &[], None, 4, select).starts, [0; 4]);
    }
}

#[test]
fn of_equal_ones_the_first_stay_however_many_come() {
    let (x, encoder) = (vec![1.0; 2], vec![1.0; 5000]);
    assert_eq!(encode(&x, &encoder, None, 1, Select::TopK(2)).indices, [0, 1, 0, 1]);
    assert_eq!(encode(&x, &encoder, None, 1, Select::BatchTopK(2)).indices, [0, 1, 2, 3]);
    assert_eq!(encode(&x, &encoder, None, 1, Select::GroupMax(2)).indices, [0, 2500, 0, 2500]);
}

#[test]
fn nan_is_never_selected() {
    let mut encoder = numbers(40 * 8, 1);
    encoder[8 * 3] = f32::NAN;
    let x = numbers(8 * 4, 2);
    let least = vec![f32::NEG_INFINITY; 40];
    for select in selections(40, &least) {
        for engine in engines(&x, 8) {
            let code = encode_on(engine, &x, &encoder, None, 8, select);
            assert!(!code.indices.contains(&3) && code.indices.contains(&4), "{select:?}");
            assert!(code.values.iter().all(|value| value.is_finite()));
        }
    }
}

#[test]
fn bytes_do_not_depend_on_the_number_of_threads() {
    let (rows, features, units) = (700, 2500, 96);
    let (x, encoder) = (numbers(rows * units, 1), numbers(features * units, 2));
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.expect("starts").install(|| {
            let code = encode(&x, &encoder, None, units, Select::TopK(5));
            let mut out = vec![0.0; rows * units];
            decode(&code, &encoder, None, units, &mut out);
            let (mut wide, mut bias) = (vec![0.0; encoder.len()], vec![0.0; features]);
            let by_value = decode_gradient(&code, &encoder, units, &out, &mut wide);
            encode_gradient(&code, &by_value, &x, units, &mut wide, &mut bias);
            (code, out, by_value, wide, bias)
        })
    };
    assert!(on(1) == on(3));
}

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

#[test]
#[should_panic(expected = "a bias for each")]
fn a_bias_has_one_number_for_each_feature() {
    encode(&[1.0; 4], &[1.0; 8], Some(&[1.0]), 4, Select::Relu);
}

#[test]
#[should_panic(expected = "below the 2 features")]
fn a_code_names_features_that_are_there() {
    let code = SparseCode { features: 2, starts: vec![0, 1], indices: vec![2], values: vec![1.0] };
    decode(&code, &[0.0; 2], None, 1, &mut [0.0]);
}

proptest! {
    #[test]
    fn laws_of_codes(
        rows in 1usize..50, features in 1usize..90, units in 1usize..40, k in 0usize..20, seed: u64
    ) {
        let (x, encoder) = (numbers(rows * units, seed), numbers(features * units, !seed));
        let bias = numbers(features, seed ^ 5);
        for engine in 0..engines(&x, units).len() {
            let code = |select| {
                let engine = engines(&x, units).swap_remove(engine);
                encode_on(engine, &x, &encoder, Some(&bias), units, select)
            };
            let relu = code(Select::Relu);
            prop_assert_eq!(&relu, &code(Select::TopK(features)));
            prop_assert_eq!(&relu, &code(Select::BatchTopK(features)));
            let zeros = vec![0.0; features];
            prop_assert_eq!(&relu, &code(Select::Above(&zeros)));
            prop_assert_eq!(&relu, &code(Select::GroupMax(features)));
            let largest = code(Select::TopK(k));
            for row in 0..rows {
                let (indices, values) = largest.row(row);
                prop_assert!(indices.windows(2).all(|pair| pair[0] < pair[1]));
                prop_assert_eq!(indices.len(), k.min(relu.row(row).0.len()));
                let least = values.iter().fold(f32::INFINITY, |least, value| least.min(*value));
                let above = relu.row(row).1.iter().filter(|value| **value > least).count();
                prop_assert!(values.is_empty() || above < k);
            }
            let batch = code(Select::BatchTopK(k));
            prop_assert_eq!(batch.values.len(), (k * rows).min(relu.values.len()));
            prop_assert!(batch.starts.is_sorted());
        }
    }
}
