//! Against the schoolbook, finite differences and laws, on every engine.

use proptest::prelude::*;

use super::{encode::encode_on, engine::Engine, *};

mod passes;

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

fn engines(x: &[f32], units: usize, select: Select<'_>) -> Vec<Engine> {
    Engine::all(x, units, select)
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
                for engine in engines(&x, units, select) {
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
    for engine in engines(&x, units, Select::Above(&least)) {
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
        for engine in engines(&x, 8, select) {
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

#[test]
fn rounded_products_lose_none_of_the_largest() {
    // Features that differ by less than rounding does, of norms far apart, with biases that dwarf them.
    let (rows, features, units, k) = (40, 4100, 96, 7);
    for (seed, spread, bias_size) in [(1, 1e-3, 0.0), (2, 1.0, 30.0), (3, 1e-2, 1.0), (4, 1.0, 0.0)]
    {
        let base = numbers(units, seed);
        let mut encoder = numbers(features * units, seed + 10);
        for (feature, row) in encoder.chunks_mut(units).enumerate() {
            let norm = if feature % 50 == 0 { 20.0 } else { 1.0 };
            row.iter_mut().zip(&base).for_each(|(w, base)| *w = norm * (base + spread * *w));
        }
        let x = numbers(rows * units, seed + 20);
        let bias: Vec<f32> = numbers(features, seed + 30).iter().map(|b| b * bias_size).collect();
        let pre = pre(&x, &encoder, Some(&bias), units);
        let select = Select::TopK(k);
        let rough = engines(&x, units, select).into_iter().filter(Engine::is_rough);
        for engine in rough {
            let code = encode_on(engine, &x, &encoder, Some(&bias), units, select);
            for (row, pre) in pre.iter().enumerate() {
                let mut largest: Vec<f32> = pre.iter().copied().filter(|u| *u > 0.0).collect();
                largest.sort_by(|a, b| b.total_cmp(a));
                largest.truncate(k);
                let mut found = code.row(row).1.to_vec();
                found.sort_by(|a, b| b.total_cmp(a));
                assert_eq!(found.len(), largest.len());
                for (found, truth) in found.iter().zip(&largest) {
                    assert!((found - truth).abs() < 1e-4, "{seed} {row}: {found} {truth}");
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn laws_of_codes(
        rows in 1usize..50, features in 1usize..90, units in 1usize..40, k in 0usize..20, seed: u64
    ) {
        let (x, encoder) = (numbers(rows * units, seed), numbers(features * units, !seed));
        let bias = numbers(features, seed ^ 5);
        for engine in 0..engines(&x, units, Select::Relu).len() {
            let code = |select| {
                let engine = engines(&x, units, select).swap_remove(engine);
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
