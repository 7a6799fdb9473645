//! Scans beside a plain computation in double precision.

use proptest::prelude::*;

use super::*;

/// Numbers about zero, nearly normal, the same for one seed.
fn random(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut uniform = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 24) as f32
    };
    (0..count).map(|_| (0..6).map(|_| uniform()).sum::<f32>() - 3.0).collect()
}

/// `rows` `[row, width]` over `tokens` `[token, width]`, pushed in tiles of `tile`.
fn scan(
    rows: &[f32],
    tokens: &[f32],
    width: usize,
    top: usize,
    signs: Signs,
    tile: usize,
) -> Vec<RowScan> {
    let mut scan = LogitScan::new(rows, width, top, signs);
    for (place, tokens) in tokens.chunks(tile * width).enumerate() {
        scan.push(tokens, (place * tile) as u32);
    }
    scan.finish()
}

fn exact(row: &[f32], tokens: &[f32]) -> Vec<f64> {
    let product = |u: &[f32]| row.iter().zip(u).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
    tokens.chunks(row.len()).map(product).collect()
}

/// Everything that a scan tells, in double precision from all logits.
fn naive(logits: &[f64], top: usize) -> RowScan {
    let sorted = |sign: f64| {
        let mut order: Vec<(u32, f32)> =
            (0..).zip(logits.iter().map(|x| (sign * x) as f32 + 0.0)).collect();
        order.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        order.truncate(top);
        order
    };
    let softmax = |sign: f64| {
        let high = logits.iter().map(|x| sign * x).fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = logits.iter().map(|x| (sign * x - high).exp()).sum();
        let expected = logits.iter().map(|x| (sign * x - high).exp() / sum * sign * x).sum();
        Softmax { log_sum_exp: high + sum.ln(), expected }
    };
    let total: f64 = logits.iter().sum();
    let mean = total / logits.len() as f64;
    let power = |n| logits.iter().map(|x| (x - mean).powi(n)).sum();
    RowScan {
        top: sorted(1.0),
        bottom: sorted(-1.0).into_iter().map(|(token, x)| (token, 0.0 - x)).collect(),
        plus: softmax(1.0),
        minus: Some(softmax(-1.0)),
        moments: [total, power(2), power(3), power(4)],
        count: logits.len() as u64,
    }
}

/// `size` is the norm of the row by that of a typical token.
fn assert_near(scan: &RowScan, truth: &RowScan, size: f64) {
    assert_eq!(scan.top, truth.top);
    assert_eq!(scan.bottom, truth.bottom);
    assert_eq!(scan.count, truth.count);
    let near = |a: f64, b: f64, within: f64| {
        assert!((a - b).abs() <= within, "{a} beside {b}, allowed {within}");
    };
    let pairs = [(Some(scan.plus), Some(truth.plus)), (scan.minus, truth.minus)];
    for (scan, truth) in pairs {
        let (scan, truth) = (scan.expect("both signs"), truth.expect("both signs"));
        near(scan.log_sum_exp, truth.log_sum_exp, 2e-6 * (1.0 + size));
        near(scan.expected, truth.expected, 1e-5 * (1.0 + size * size));
    }
    near(scan.mean(), truth.mean(), 1e-6 * size);
    near(scan.deviation(), truth.deviation(), 1e-5 * truth.deviation());
    near(scan.excess_kurtosis(), truth.excess_kurtosis(), 2e-4 * (4.0 + truth.excess_kurtosis()));
    let skew = truth.deviation().powi(3) * truth.count as f64;
    near(scan.moments[2], truth.moments[2], 1e-4 * skew);
}

#[test]
fn scores_are_those_of_all_logits_at_once() {
    for (seed, (rows, tokens, width)) in
        [(1, 1, 1), (3, 40, 2), (5, 255, 17), (33, 257, 64), (70, 1100, 96), (300, 600, 31)]
            .into_iter()
            .enumerate()
    {
        let (w, u) = (random(rows * width, seed as u64), random(tokens * width, 99 + seed as u64));
        for (row, scan) in w.chunks(width).zip(scan(&w, &u, width, 7, Signs::Both, 200)) {
            let size = norm(row) * (width as f64).sqrt();
            assert_near(&scan, &naive(&exact(row, &u), 7), size);
        }
    }
}

fn norm(x: &[f32]) -> f64 {
    x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt()
}

#[test]
fn peaked_rows_know_their_probability() {
    let (width, tokens) = (64, 3000);
    let u = random(tokens * width, 5);
    for (scale, token) in [(0.05f32, 17), (0.3, 2999), (2.0, 0), (4.0, 1400)] {
        let row: Vec<f32> =
            u[token * width..(token + 1) * width].iter().map(|x| x * scale).collect();
        let scan = scan(&row, &u, width, 3, Signs::Both, 999).remove(0);
        let logits = exact(&row, &u);
        let truth = naive(&logits, 3);
        assert_eq!(scan.top[0].0, token as u32);
        assert_eq!(scan.top, truth.top);
        assert_eq!(scan.bottom, truth.bottom);
        let p = scan.probability(scan.top[0].1);
        assert!((p - truth.probability(truth.top[0].1)).abs() < 2e-5, "{p}");
        assert!((scan.entropy() - truth.entropy()).abs() < 1e-4, "{} of entropy", scan.entropy());
        assert!((scan.z_score(scan.top[0].1) - truth.z_score(truth.top[0].1)).abs() < 1e-4);
    }
}

#[test]
fn of_equal_logits_the_lower_token_comes_first() {
    let width = 16;
    let distinct = random(40 * width, 3);
    // Every token thrice, far apart.
    let u: Vec<f32> = distinct.iter().chain(&distinct).chain(&distinct).copied().collect();
    let w = random(9 * width, 4);
    for (row, scan) in w.chunks(width).zip(scan(&w, &u, width, 8, Signs::Both, 50)) {
        let truth = naive(&exact(row, &u), 8);
        assert_eq!(scan.top, truth.top);
        assert_eq!(scan.bottom, truth.bottom);
        assert_eq!(scan.top[0].0 + 40, scan.top[1].0);
    }
}

#[test]
fn a_row_of_zeros_has_the_uniform_softmax() {
    let (width, tokens) = (8, 700);
    let u = random(tokens * width, 1);
    let scan = scan(&[0.0; 8], &u, width, 3, Signs::Both, 100).remove(0);
    assert_eq!(scan.top, [(0, 0.0), (1, 0.0), (2, 0.0)]);
    assert_eq!(scan.bottom, scan.top);
    assert!((scan.entropy() - 700f64.ln()).abs() < 1e-9);
    assert_eq!((scan.mean(), scan.deviation(), scan.excess_kurtosis()), (0.0, 0.0, 0.0));
}

#[test]
fn equal_tokens_have_no_spread_whatever_their_logit() {
    let token = random(24, 8);
    let u = token.repeat(600);
    let row: Vec<f32> = token.iter().map(|x| 40.0 * x).collect();
    let scan = scan(&row, &u, 24, 5, Signs::Plus, 600).remove(0);
    assert_eq!(scan.top.iter().map(|(token, _)| *token).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    assert_eq!((scan.deviation(), scan.excess_kurtosis()), (0.0, 0.0));
    assert!((scan.entropy() - 600f64.ln()).abs() < 1e-5);
    assert!(scan.z_score(scan.top[0].1).abs() < 1e-12);
}

#[test]
fn rows_that_are_not_finite_have_no_scores_and_leave_the_others_alone() {
    let (width, tokens) = (33, 400);
    let (mut w, u) = (random(5 * width, 1), random(tokens * width, 2));
    let clean = scan(&w, &u, width, 4, Signs::Both, 128);
    w[width + 3] = f32::NAN;
    w[2 * width] = f32::INFINITY;
    w[3 * width..4 * width].fill(3e38);
    let broken = scan(&w, &u, width, 4, Signs::Both, 128);
    for row in [1, 2, 3] {
        let scan = &broken[row];
        assert!(scan.top.is_empty() && scan.bottom.is_empty());
        assert!(scan.plus.log_sum_exp.is_nan() && scan.entropy().is_nan());
        assert!(scan.mean().is_nan() && scan.excess_kurtosis().is_nan());
        assert!(scan.minus.expect("both signs").expected.is_nan());
    }
    assert_eq!((&broken[0], &broken[4]), (&clean[0], &clean[4]));
}

#[test]
fn a_token_that_is_not_finite_breaks_every_row_but_nothing_else() {
    let (width, tokens) = (5, 300);
    let (w, mut u) = (random(3 * width, 1), random(tokens * width, 2));
    u[290 * width] = f32::NAN;
    for scan in scan(&w, &u, width, 4, Signs::Plus, 64) {
        assert!(scan.top.is_empty() && scan.plus.log_sum_exp.is_nan());
    }
}

#[test]
fn fewer_tokens_than_asked_for_are_all_there() {
    let (w, u) = (random(2 * 3, 1), random(4 * 3, 2));
    for (row, scan) in w.chunks(3).zip(scan(&w, &u, 3, 50, Signs::Both, 3)) {
        let truth = naive(&exact(row, &u), 50);
        assert_eq!((scan.top.len(), scan.top), (4, truth.top));
        assert_eq!(scan.bottom, truth.bottom);
    }
    let none = scan(&w, &[], 3, 5, Signs::Both, 3).remove(0);
    assert!(none.top.is_empty() && none.mean().is_nan() && none.count == 0);
    assert!(none.plus.log_sum_exp < f64::MIN);
    let nothing = scan(&w, &u, 3, 0, Signs::Both, 3).remove(0);
    assert!(nothing.top.is_empty() && nothing.plus.log_sum_exp.is_finite());
    assert!(scan(&[], &u, 3, 5, Signs::Both, 3).is_empty());
}

#[test]
fn tokens_may_come_in_any_order() {
    let (width, tokens) = (12, 900);
    let (w, u) = (random(6 * width, 1), random(300 * width, 2).repeat(3));
    let mut backwards = LogitScan::new(&w, width, 9, Signs::Both);
    for first in [600, 0, 300] {
        backwards.push(&u[first * width..(first + 300) * width], first as u32);
    }
    let truth = scan(&w, &u, width, 9, Signs::Both, tokens);
    for (scan, truth) in backwards.finish().into_iter().zip(truth) {
        assert_eq!((scan.top, scan.bottom), (truth.top, truth.bottom));
        assert!((scan.plus.log_sum_exp - truth.plus.log_sum_exp).abs() < 1e-5);
    }
}

#[test]
fn moments_survive_a_large_common_part_and_any_scale() {
    let (width, tokens) = (32, 4000);
    let mut u = random(tokens * width, 1);
    for token in u.chunks_mut(width) {
        token[0] += 300.0;
    }
    let w = random(4 * width, 2);
    for scale in [1e-12f32, 1.0, 1e12] {
        let w: Vec<f32> = w.iter().map(|x| x * scale).collect();
        for (row, scan) in w.chunks(width).zip(scan(&w, &u, width, 1, Signs::Plus, 512)) {
            let truth = naive(&exact(row, &u), 1);
            let (kurtosis, true_one) = (scan.excess_kurtosis(), truth.excess_kurtosis());
            assert!((kurtosis - true_one).abs() < 1e-3, "{kurtosis} beside {true_one}");
            assert!((scan.deviation() / truth.deviation() - 1.0).abs() < 1e-4);
            assert!((scan.mean() / truth.mean() - 1.0).abs() < 1e-5);
        }
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    for width in [48, 300] {
        assert_same_on_any_threads(width);
    }
}

fn assert_same_on_any_threads(width: usize) {
    let (w, u) = (random(700 * width, 1), random(1000 * width, 2));
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| scan(&w, &u, width, 10, Signs::Both, 300))
    };
    let one = on(1);
    assert_eq!(one, on(2));
    assert_eq!(one, on(5));
}

#[test]
fn a_negated_scan_is_that_of_the_negated_row() {
    let (width, tokens) = (20, 500);
    let (w, u) = (random(width, 1), random(tokens * width, 2));
    let negative: Vec<f32> = w.iter().map(|x| -x).collect();
    let plus = scan(&w, &u, width, 5, Signs::Both, 256).remove(0).negated();
    let minus = scan(&negative, &u, width, 5, Signs::Both, 256).remove(0);
    assert_eq!((&plus.top, &plus.bottom), (&minus.top, &minus.bottom));
    assert!((plus.entropy() - minus.entropy()).abs() < 1e-9);
    assert!((plus.mean() - minus.mean()).abs() < 1e-9);
}

/// The nearest numbers that bfloat16 has, or the numbers as they are.
fn stored(x: Vec<f32>, half: bool) -> Vec<f32> {
    if half { x.into_iter().map(|x| half::bf16::from_f32(x).to_f32()).collect() } else { x }
}

#[test]
fn logits_are_within_the_error_that_the_engine_tells() {
    for (width, count, halves) in [
        (31, 45, [false, false]),
        (1064, 320, [false, false]),
        (2100, 60, [false, true]),
        (1500, 33, [true, false]),
        (2500, 70, [true, true]),
        (700, 320, [true, true]),
    ] {
        let w = stored(random(100 * width, 1), halves[0]);
        let u = stored(random(count * width, 2), halves[1]);
        let (rows, tokens) = (norms(&w, width), norms(&u, width));
        for mut engine in [Engine::Plain, Engine::fastest(&w, width, &rows)] {
            engine.load(&u, width);
            let allowed = engine.error(width);
            let mut worst = 0.0f64;
            let mut seen = 0;
            engine.logits(&w, &u, width, 0..100, &mut Vec::new(), |first, logits, stride| {
                for (token, logits) in logits.chunks(stride).enumerate() {
                    for (row, logit) in (first..100.min(first + ROWS)).zip(logits) {
                        let place = |row: usize| row * width..(row + 1) * width;
                        let exact = logits::dot(&w[place(row)], &u[place(token)]);
                        let error = (f64::from(*logit) - exact).abs();
                        worst = worst.max(error / rows[row] / tokens[token]);
                        seen += 1;
                    }
                }
            });
            assert_eq!(seen, 100 * count);
            assert!(worst < allowed, "{worst} where {allowed} was told");
            let usual = 1e-7 + 3e-5 / (width as f64).sqrt();
            assert!(worst < usual, "{worst} at a width of {width}");
        }
    }
}

#[test]
fn either_engine_gives_the_same_lists_from_tiles_of_any_size() {
    for (width, halves) in [(77, [false, false]), (1100, [true, true]), (1100, [false, true])] {
        let w = stored(random(70 * width, 3), halves[0]);
        let u = stored(random(400 * width, 4), halves[1]);
        let run = |engine: Engine, tile: usize| {
            let mut scan = LogitScan::on(engine, &w, width, 6, Signs::Both);
            for (place, tokens) in u.chunks(tile * width).enumerate() {
                scan.push(tokens, (place * tile) as u32);
            }
            scan.finish()
        };
        let plain = run(Engine::Plain, 400);
        assert_eq!(plain, run(Engine::Plain, 37));
        let fastest = || Engine::fastest(&w, width, &norms(&w, width));
        let best = run(fastest(), 400);
        assert_eq!(best, run(fastest(), 93));
        for (plain, (best, row)) in plain.iter().zip(best.iter().zip(w.chunks(width))) {
            assert_eq!((&plain.top, &plain.bottom), (&best.top, &best.bottom));
            let size = norm(row) * (width as f64).sqrt();
            if width > 256 {
                assert_near(best, &naive(&exact(row, &u), 6), size);
            }
            assert_near(plain, &naive(&exact(row, &u), 6), size);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn tiles_of_any_size_give_the_same_bytes(
        sizes in prop::collection::vec(1usize..400, 1..12),
        rows in 1usize..40,
        width in 1usize..70,
        top in 0usize..20,
        seed in any::<u64>(),
    ) {
        let tokens: usize = sizes.iter().sum();
        let (w, u) = (random(rows * width, seed), random(tokens * width, seed ^ 1));
        let fastest = || Engine::fastest(&w, width, &norms(&w, width));
        let mut pieces = LogitScan::on(fastest(), &w, width, top, Signs::Both);
        let mut first = 0;
        for size in sizes {
            pieces.push(&u[first * width..(first + size) * width], first as u32);
            first += size;
        }
        let mut whole = LogitScan::on(fastest(), &w, width, top, Signs::Both);
        whole.push(&u, 0);
        let whole = whole.finish();
        prop_assert_eq!(&pieces.finish(), &whole);
        // The lists are exact, and hence those of the other engine.
        for (plain, tiles) in scan(&w, &u, width, top, Signs::Both, tokens).iter().zip(&whole) {
            prop_assert_eq!((&plain.top, &plain.bottom), (&tiles.top, &tiles.bottom));
        }
    }
}
