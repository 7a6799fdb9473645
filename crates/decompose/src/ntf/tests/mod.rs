//! Planted truth, finite differences, other programs' figures, and laws.

mod affinity;
mod disk;
mod golden;

use ndarray::Array2;
use proptest::prelude::*;
use rand::RngExt;

use super::pass::{pass, residual};
use super::*;

/// A tensor of planted factors, each entry off by up to half of `noise`, and pairs that some animals lack.
fn planted(
    shape: [usize; 3],
    rank: usize,
    noise: f64,
    missing: f64,
    seed: u64,
) -> (PairTensor, Factors) {
    let mut rng = nissl_core::seed::rng(seed, 9);
    let [pairs, animals, times] = shape;
    // Sparse factors, so that components differ.
    let mut draw = |rows: usize, kept: f64| {
        Array2::from_shape_simple_fn((rows, rank), || {
            let value = rng.random::<f64>();
            if rng.random::<f64>() < kept { 0.2 + value } else { 0.0 }
        })
    };
    let mut truth =
        Factors { times: draw(times, 0.4), animals: draw(animals, 0.7), pairs: draw(pairs, 0.3) };
    let observed: Vec<bool> =
        (0..pairs * animals).map(|_| rng.random::<f64>() >= missing).collect();
    let mut values = Vec::with_capacity(pairs * animals * times);
    for pair in 0..pairs {
        for animal in 0..animals {
            let weights = &truth.pairs.row(pair) * &truth.animals.row(animal);
            for value in truth.times.dot(&weights) {
                let seen = observed[pair * animals + animal];
                let value = value * (1.0 + noise * (rng.random::<f64>() - 0.5));
                values.push(if seen { value as f32 } else { 0.0 });
            }
        }
    }
    truth.normalise();
    (PairTensor::stored(values, shape, observed).expect("a tensor"), truth)
}

fn settings(solver: Solver, restarts: usize) -> Ntf {
    Ntf { solver, restarts, iterations: 1000, tolerance: 1e-8, seed: 3, ..Ntf::default() }
}

#[test]
fn planted_factors_are_recovered_by_every_solver() {
    let silent = Progress::silent();
    for seed in 0..3 {
        let (tensor, truth) = planted([105, 6, 40], 3, 0.0, 0.0, seed);
        for (solver, least, most) in
            [(Solver::Hals, 0.9999, 1e-3), (Solver::Lbfgsb, 0.9999, 2e-3), (Solver::Mu, 0.99, 0.05)]
        {
            let found = settings(solver, 6).fit(&tensor, 3, None, &silent).expect("fits");
            let score = match_score(&found.best.factors, &truth);
            assert!(score > least, "{solver:?}, seed {seed}: {score}, error {}", found.best.error);
            assert!(found.best.error < most, "{solver:?}, seed {seed}: {}", found.best.error);
        }
    }
}

#[test]
fn what_animals_lack_is_left_out_and_not_taken_for_zero() {
    let silent = Progress::silent();
    for seed in 0..3 {
        let (tensor, truth) = planted([105, 8, 40], 3, 0.0, 0.3, seed);
        for solver in [Solver::Hals, Solver::Lbfgsb] {
            let found = settings(solver, 6).fit(&tensor, 3, None, &silent).expect("fits");
            let score = match_score(&found.best.factors, &truth);
            assert!(score > 0.999, "{solver:?}, seed {seed}: {score}, {}", found.best.error);
        }
        // The same numbers with zeros taken for measurements: a control that must do worse.
        let [pairs, animals, times] = tensor.shape();
        let mut values = Vec::new();
        for stripe in tensor.stripes() {
            tensor
                .blocks(stripe, |_, rows| {
                    values.extend_from_slice(rows);
                    Ok(())
                })
                .expect("blocks");
        }
        let whole =
            PairTensor::stored(values, [pairs, animals, times], vec![true; pairs * animals]);
        let found = settings(Solver::Hals, 6)
            .fit(&whole.expect("a tensor"), 3, None, &silent)
            .expect("fits");
        assert!(match_score(&found.best.factors, &truth) < 0.99);
        assert!(found.best.error > 0.1);
    }
}

#[test]
fn slopes_are_those_of_finite_differences() {
    for missing in [0.0, 0.3] {
        let (tensor, _) = planted([20, 4, 9], 2, 0.5, missing, 1);
        let factors = Factors::drawn(tensor.shape(), 3, 5, 0);
        let seen = pass(&tensor, &mut factors.clone(), |_, _, _| {}).expect("passes");
        assert!((seen.error(&tensor) - residual(&tensor, &factors).expect("sums")).abs() < 1e-3);
        let slopes = lbfgsb::slopes(&tensor, &factors, &seen);
        let value = |factors: &Factors| 0.5 * residual(&tensor, factors).expect("sums");
        let step = 1e-5;
        for mode in 0..3 {
            let rows = factors.modes()[mode].nrows();
            for (row, column) in [(0, 0), (rows / 2, 1), (rows - 1, 2)] {
                let at = |by: f64| {
                    let mut moved = factors.clone();
                    let modes = [&mut moved.times, &mut moved.animals, &mut moved.pairs];
                    modes[mode][[row, column]] += by;
                    value(&moved)
                };
                let numeric = (at(step) - at(-step)) / (2.0 * step);
                let exact = slopes.modes()[mode][[row, column]];
                assert!(
                    (numeric - exact).abs() < 1e-4 * (1.0 + exact.abs()),
                    "mode {mode}, {row}, {column}: {numeric} {exact}"
                );
            }
        }
    }
}

#[test]
fn the_error_of_sums_is_that_of_entries_and_counts_what_was_observed() {
    let (tensor, truth) = planted([60, 5, 20], 2, 0.3, 0.2, 2);
    let found = settings(Solver::Hals, 2).fit(&tensor, 2, None, &Progress::silent()).expect("fits");
    let last = found.best.errors.last().copied().expect("errors");
    assert!((found.best.error - last).abs() < 1e-5, "{} {last}", found.best.error);
    assert!(found.best.explained(&tensor) > 0.0);
    assert!(found.best.factors.modes().iter().all(|factor| factor.iter().all(|x| *x >= 0.0)));
    for factor in found.best.factors.modes() {
        for column in factor.columns() {
            assert!((column.dot(&column) - 1.0).abs() < 1e-12);
        }
    }
    assert!(found.best.lambda.windows(2).into_iter().all(|pair| pair[0] >= pair[1]));
    assert!(match_score(&truth, &truth) > 1.0 - 1e-12);
}

#[test]
fn the_same_seed_gives_the_same_bytes_on_any_number_of_threads() {
    let (tensor, _) = planted([300, 5, 30], 3, 0.3, 0.1, 4);
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("starts");
        pool.install(|| settings(Solver::Hals, 3).fit(&tensor, 3, None, &Progress::silent()))
            .expect("fits")
            .best
    };
    assert_eq!(on(1), on(3));
}

#[test]
fn the_rank_that_was_planted_is_recommended() {
    let mut right = 0;
    for seed in 0..4 {
        let (tensor, _) = planted([190, 8, 60], 3, 0.6, 0.1, seed);
        let ntf = Ntf { rank: "2..6".parse().expect("ranks"), ..settings(Solver::Hals, 6) };
        let scan = ntf.scan(&tensor, &Progress::silent()).expect("scans");
        let errors: Vec<f64> = scan.rows.iter().map(|row| row.error).collect();
        assert!(errors.windows(2).all(|pair| pair[1] <= pair[0] + 1e-9), "{errors:?}");
        assert!(scan.rows[1].core_consistency > 90.0, "{:?}", scan.rows);
        assert_eq!(scan.table().rows(), 5);
        right += usize::from(scan.rank == 3);
    }
    assert!(right >= 3, "{right} of 4");
}

#[test]
fn the_core_of_exact_factors_is_the_assumed_one() {
    // With animals that lack pairs, and with none that does.
    for missing in [0.2, 0.0] {
        let (tensor, truth) = planted([60, 6, 30], 3, 0.0, missing, 6);
        let ntf = settings(Solver::Hals, 8);
        let found = ntf.fit(&tensor, 3, None, &Progress::silent()).expect("fits");
        assert!(match_score(&found.best.factors, &truth) > 0.99);
        let exact = core_consistency(&tensor, &found.best).expect("a core");
        assert!((exact - 100.0).abs() < 1.0, "{missing}: {exact}");
        let many = ntf.fit(&tensor, 5, None, &Progress::silent()).expect("fits");
        let many = core_consistency(&tensor, &many.best).expect("a core");
        assert!(many < 80.0, "{missing}: {many}");
    }
}

#[test]
fn settings_and_tensors_that_cannot_be_are_told() {
    let refuse = |error: nissl_core::Error, word: &str| {
        assert!(error.to_string().contains(word), "{error}");
    };
    let stored = |values: Vec<f32>, observed: Vec<bool>| {
        PairTensor::stored(values, [2, 1, 2], observed).err().expect("refused")
    };
    refuse(stored(vec![1.0, -0.5, 0.0, 0.0], vec![true; 2]), "pair 0");
    refuse(stored(vec![1.0, f32::NAN, 0.0, 0.0], vec![true; 2]), "NaN");
    refuse(stored(vec![0.0, 0.0, 1.0, 0.0], vec![true, false]), "not observed");
    refuse(stored(vec![0.0; 4], vec![true; 2]), "all zeros");
    refuse(stored(vec![0.0; 3], vec![true; 2]), "tensor");
    let (tensor, _) = planted([20, 3, 5], 2, 0.1, 0.0, 0);
    let silent = Progress::silent();
    refuse(Ntf::default().fit(&tensor, 6, None, &silent).expect_err("too many"), "rank");
    for wrong in [
        Ntf { restarts: 0, ..Ntf::default() },
        Ntf { repeats: 11, ..Ntf::default() },
        Ntf { tolerance: 1.5, ..Ntf::default() },
        Ntf { failed: 0.0, ..Ntf::default() },
        Ntf { rank: Ranks { from: 3, to: 2 }, ..Ntf::default() },
    ] {
        assert!(wrong.validate().is_err(), "{wrong:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn no_step_raises_the_error(
        seed in 0u64..1000,
        rank in 1usize..5,
        missing in 0.0f64..0.5,
        solver in prop::sample::select(vec![Solver::Hals, Solver::Mu, Solver::Lbfgsb]),
    ) {
        let (tensor, _) = planted([30, 4, 12], 3, 0.5, missing, seed);
        let ntf = Ntf { restarts: 1, iterations: 60, solver, seed, ..Ntf::default() };
        let found = ntf.fit(&tensor, rank, None, &Progress::silent()).expect("fits");
        for pair in found.best.errors.windows(2) {
            prop_assert!(pair[1] <= pair[0], "{:?}", found.best.errors);
        }
        prop_assert!(found.best.factors.modes().iter().all(|f| f.iter().all(|x| *x >= 0.0)));
    }

    #[test]
    fn a_match_score_does_not_mind_order_and_scale(seed in 0u64..1000, rank in 1usize..5) {
        let factors = Factors::drawn([20, 4, 10], rank, seed, 0);
        let mut moved = factors.clone();
        moved.take(&(0..rank).rev().collect::<Vec<_>>());
        moved.pairs *= 3.0;
        prop_assert!((match_score(&factors, &moved) - 1.0).abs() < 1e-9);
        let other = Factors::drawn([20, 4, 10], rank, seed + 1, 0);
        let score = match_score(&factors, &other);
        prop_assert!((0.0..0.999_999).contains(&score));
        prop_assert!((score - match_score(&other, &factors)).abs() < 1e-9);
    }
}
