//! The accelerated solver of SNMF: planted truth, a loss no higher than the paper's steps reach, and
//! the laws that both solvers obey.

use ndarray::{Array2, Axis};
use nissl_core::features::{Decompose, Dictionary, Features};
use nissl_core::seed::rng;
use nissl_core::{Error, Progress};
use nissl_decompose::snmf::{Fit, Initial, Solver, Sparsity};
use nissl_decompose::{Method, Options, Snmf, decompose};
use proptest::prelude::*;
use rand::RngExt;
use rand::seq::index::sample;
use rand_distr::{Distribution, StandardNormal, StudentT};

use crate::harness::{all, plant_with, recorded, recovered};

const SOLVERS: [Solver; 2] = [Solver::Multiplicative, Solver::Accelerated];

fn accelerated(k: usize, sparsity: Sparsity) -> Snmf {
    Snmf { k, sparsity, iterations: 100, solver: Solver::Accelerated, ..Snmf::default() }
}

fn timed(method: &Snmf, activity: &Array2<f32>) -> Vec<Fit> {
    let (_folder, recording) = recorded(activity.view());
    let rows = all(activity.nrows());
    method.fit_timed(&recording, &rows, &Progress::silent()).expect("fits")
}

fn fit(method: &Snmf, activity: &Array2<f32>) -> Dictionary {
    let (_folder, recording) = recorded(activity.view());
    method.fit(&recording, &all(activity.nrows()), &Progress::silent()).expect("fits")
}

/// Activity as of a network: some features in half of the samples and some in few, popular units,
/// heavy tails, an offset, and a rest that no sparse group explains.
fn heavy_tailed(units: usize, samples: usize, features: usize, seed: u64) -> Array2<f32> {
    let mut rng = rng(seed, 11);
    let tails = StudentT::new(4.0f32).expect("a degree above 0");
    let mut groups = Array2::<f32>::zeros((features, units));
    for mut row in groups.rows_mut() {
        let kept = rng.random_range(4..24);
        for unit in sample(&mut rng, units, kept) {
            // Every second unit is drawn into the first quarter.
            let unit = if rng.random_bool(0.5) { unit / 4 } else { unit };
            let value: f32 = StandardNormal.sample(&mut rng);
            row[unit] = value.exp() * if rng.random_bool(0.5) { 1.0 } else { -1.0 };
        }
        let norm = row.dot(&row).sqrt();
        row /= norm;
    }
    let mut coefficients = Array2::<f32>::zeros((samples, features));
    for (feature, mut column) in coefficients.columns_mut().into_iter().enumerate() {
        let often = 0.5 / ((feature + 1) as f64).powf(0.7);
        column.mapv_inplace(|_| {
            let value: f32 = StandardNormal.sample(&mut rng);
            if rng.random_bool(often) { value.exp() } else { 0.0 }
        });
    }
    let mut activity = coefficients.dot(&groups);
    activity.mapv_inplace(|value| value - 0.02 + 0.03 * tails.sample(&mut rng));
    activity
}

#[test]
fn planted_features_are_found_and_without_winner_take_all_they_are_not() {
    let mut control = 0.0;
    for seed in 0..4 {
        let planted = plant_with(128, 1500, 10, 8, seed);
        let method = Snmf { seed, ..accelerated(10, Sparsity::Count(8)) };
        let fits = timed(&method, &planted.activity);
        let losses = &fits[0].dictionary.restarts;
        let chosen = (0..4).min_by(|&a, &b| losses[a].total_cmp(&losses[b])).expect("four");
        let share = recovered(&planted.features, &fits[chosen].dictionary.decoder);
        assert!(share >= 0.95, "seed {seed}: {share}, losses {losses:?}");
        assert!(losses[chosen] <= 1.03 * planted.noise, "seed {seed}: {losses:?}");
        let everything = Snmf {
            restarts: 1,
            initial: Initial::Random,
            sparsity: Sparsity::Fraction(1.0),
            ..method
        };
        control += recovered(&planted.features, &fit(&everything, &planted.activity).decoder) / 4.0;
    }
    assert!(control <= 0.3, "all units kept: {control}");
}

#[test]
fn the_world_of_the_spec_is_found_in_full() {
    let planted = plant_with(512, 4000, 20, 11, 2);
    let found = fit(&accelerated(20, Sparsity::Fraction(0.02)), &planted.activity);
    assert!(recovered(&planted.features, &found.decoder) >= 0.95, "{:?}", found.restarts);
}

#[test]
fn sixty_iterations_reach_what_four_hundred_of_the_paper_do() {
    let (mut lower, mut gain) = (0, 0.0);
    for seed in 0..6 {
        let activity = heavy_tailed(256, 1200, 24, seed);
        let fast = Snmf {
            seed,
            restarts: 2,
            initial: Initial::Random,
            iterations: 60,
            ..accelerated(24, Sparsity::Count(8))
        };
        let slow =
            Snmf { solver: Solver::Multiplicative, iterations: 400, patience: 400, ..fast.clone() };
        let lowest = |method: &Snmf| {
            let found = fit(method, &activity);
            assert!(found.loss.len() <= method.iterations);
            found.restarts.iter().copied().fold(f64::INFINITY, f64::min)
        };
        let (fast, slow) = (lowest(&fast), lowest(&slow));
        lower += usize::from(fast <= slow);
        gain += (slow / fast).ln() / 6.0;
        assert!(fast <= 1.15 * slow, "seed {seed}: {fast} {slow}");
    }
    // Both end in local minima, so that one seed says little.
    assert!(lower >= 5, "{lower} of 6");
    assert!(gain > 0.05, "{gain}");
}

#[test]
fn without_winner_take_all_the_loss_never_rises() {
    for seed in 0..3 {
        for initial in [Initial::Random, Initial::Kmeans, Initial::Svd] {
            let every = Sparsity::Fraction(1.0);
            let method =
                Snmf { seed, restarts: 1, initial, iterations: 80, ..accelerated(10, every) };
            let found = fit(&method, &heavy_tailed(64, 700, 12, seed));
            for pair in found.loss.windows(2) {
                assert!(pair[1] <= pair[0], "{initial:?} {seed}: {} to {}", pair[0], pair[1]);
            }
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_on_one_thread_and_on_two() {
    let activity = heavy_tailed(200, 2000, 16, 5);
    for solver in SOLVERS {
        for sparsity in [Sparsity::Count(7), Sparsity::Fraction(0.5)] {
            let method = Snmf { solver, restarts: 2, iterations: 25, ..accelerated(16, sparsity) };
            let on = |threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                pool.expect("starts").install(|| fit(&method, &activity))
            };
            assert_eq!(on(1), on(2), "{solver:?} {sparsity:?}");
            let streamed = Snmf { memory_mib: 0, ..method.clone() };
            assert_eq!(fit(&method, &activity), fit(&streamed, &activity), "{solver:?}");
        }
    }
}

#[test]
fn exactly_so_many_units_stay_and_the_loss_is_that_of_the_product() {
    let activity = heavy_tailed(150, 900, 12, 6);
    for iterations in [1, 2, 5, 60] {
        let method = Snmf { restarts: 1, iterations, ..accelerated(12, Sparsity::Fraction(0.05)) };
        let found = fit(&method, &activity);
        for row in found.decoder.rows() {
            assert_eq!(row.iter().filter(|value| **value != 0.0).count(), 8);
            assert!((row.dot(&row) - 1.0).abs() < 1e-5);
        }
        // The best coefficients for these features cannot do worse than those of the fit, and three
        // sweeps an iteration leave little.
        let encoded = found.encode(activity.view()).expect("encodes");
        assert!(encoded.iter().all(|&value| value >= 0.0));
        let error = found.reconstruct(encoded.view()).expect("decodes") - &activity;
        let exact: f64 = error.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
        let lowest = found.restarts[0];
        assert!(exact <= lowest * 1.0001, "{exact} {lowest}");
        assert!(iterations < 60 || exact >= lowest * 0.99, "{exact} {lowest}");
    }
}

#[test]
fn it_ends_by_itself_and_says_so() {
    let planted = plant_with(96, 800, 6, 6, 3);
    let free = Snmf { iterations: 200_000, restarts: 1, ..accelerated(6, Sparsity::Count(6)) };
    let fits = timed(&free, &planted.activity);
    let found = &fits[0].dictionary;
    assert!(found.loss.len() < 500, "{}", found.loss.len());
    assert!(found.warnings.is_empty(), "{:?}", found.warnings);
    assert_eq!(fits[0].seconds.len(), found.loss.len());
    assert!(fits[0].seconds.is_sorted());
    let curve = fits[0].curve();
    assert!(curve.windows(2).all(|pair| pair[1][1] <= pair[0][1]));
    let cut = fit(&Snmf { iterations: 4, ..free }, &planted.activity);
    assert!(format!("{:?}", cut.warnings).contains("NotConverged"), "{:?}", cut.warnings);
}

#[test]
fn the_files_tell_solver_loss_and_restarts() {
    let activity = heavy_tailed(40, 400, 4, 12);
    let (folder, recording) = recorded(activity.view());
    let method = Snmf { restarts: 2, ..accelerated(4, Sparsity::Count(5)) };
    let out = folder.path().join("features");
    let method = Method::Snmf(method);
    let options = Options::default();
    decompose(&method, &recording, &out, &options, &Progress::silent()).expect("decomposes");
    let features = Features::open(&out).expect("opens");
    let detail = &features.manifest().detail;
    assert_eq!(detail.method["solver"], "accelerated");
    assert_eq!(detail.restarts.len(), 2);
    let loss = &features.dictionary().loss;
    let least = loss.iter().copied().fold(f32::INFINITY, f32::min);
    let best = detail.restarts.iter().copied().fold(f64::INFINITY, f64::min);
    assert!((f64::from(least) - best).abs() <= 1e-5 * best, "{least} {best}");
}

#[test]
fn more_features_than_there_are_different_samples_end_with_finite_numbers() {
    let planted = plant_with(40, 6, 3, 4, 8);
    let places: Vec<usize> = (0..120).map(|place| place % 6).collect();
    let activity = planted.activity.select(Axis(0), &places);
    for solver in SOLVERS {
        for initial in [Initial::Random, Initial::Kmeans, Initial::Svd] {
            let method = Snmf { solver, initial, ..accelerated(20, Sparsity::Count(4)) };
            let found = fit(&method, &activity);
            assert!(found.decoder.iter().all(|value| value.is_finite()), "{solver:?} {initial:?}");
            assert!(format!("{:?}", found.warnings).contains("DuplicateSamples"));
        }
    }
}

#[test]
fn bad_activity_and_settings_are_told_by_both_solvers() {
    let activity = heavy_tailed(30, 100, 4, 9);
    let (rows, progress) = (all(100), Progress::silent());
    let fails = |method: &Snmf, activity: &Array2<f32>| {
        let (_folder, recording) = recorded(activity.view());
        method.fit(&recording, &rows, &progress).expect_err("must not fit")
    };
    for solver in SOLVERS {
        let fine = Snmf { solver, ..accelerated(4, Sparsity::Count(3)) };
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut wrong = activity.clone();
            wrong[[57, 12]] = value;
            let error = fails(&fine, &wrong);
            assert!(matches!(error, Error::NotFinite { sample: 57, unit: 12, .. }), "{error}");
        }
        let error = fails(&fine, &Array2::zeros((100, 30)));
        assert!(matches!(error, Error::Empty { .. }), "{error}");
        for k in [0, 31, 101] {
            let error = fails(&Snmf { k, ..fine.clone() }, &activity).to_string();
            assert!(error.contains('k'), "{error}");
        }
        for sparsity in [
            Sparsity::Fraction(0.0),
            Sparsity::Fraction(-0.1),
            Sparsity::Fraction(1.01),
            Sparsity::Fraction(f64::NAN),
            Sparsity::Count(0),
            Sparsity::Count(31),
        ] {
            let error = fails(&Snmf { sparsity, ..fine.clone() }, &activity).to_string();
            assert!(error.contains("sparsity"), "{error}");
        }
        let many = fit(&Snmf { k: 21, ..fine.clone() }, &activity);
        assert!(format!("{:?}", many.warnings).contains("ManyFeatures"), "{:?}", many.warnings);
    }
}

#[test]
fn numbers_too_large_for_the_products_are_told() {
    let activity = heavy_tailed(30, 100, 4, 9) * 1e25;
    for solver in SOLVERS {
        let method = Snmf { solver, ..accelerated(4, Sparsity::Count(3)) };
        let (_folder, recording) = recorded(activity.view());
        let error = method.fit(&recording, &all(100), &Progress::silent()).expect_err("too large");
        assert!(matches!(error, Error::Diverged { .. }), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn scaled_activity_gives_the_same_features_and_a_scaled_loss(seed in 0u64..1000, power in -9i32..9) {
        let activity = heavy_tailed(60, 300, 6, seed);
        let method =
            Snmf { seed, restarts: 1, iterations: 30, ..accelerated(6, Sparsity::Count(5)) };
        let factor = 2f32.powi(power);
        let (plain, scaled) = (fit(&method, &activity), fit(&method, &(&activity * factor)));
        // A power of two is exact in every product, so that nothing but the scale may differ.
        prop_assert_eq!(&plain.decoder, &scaled.decoder);
        for (plain, scaled) in plain.loss.iter().zip(&scaled.loss) {
            prop_assert!((plain * factor * factor - scaled).abs() <= 1e-5 * scaled.abs());
        }
    }

    #[test]
    fn permuted_units_give_permuted_features(seed in 0u64..1000, shift in 1usize..60) {
        let planted = plant_with(61, 500, 5, 6, seed);
        let order: Vec<usize> = (0..61).map(|unit| (unit * shift + 7) % 61).collect();
        let method =
            Snmf { seed, restarts: 1, iterations: 12, initial: Initial::Random, ..accelerated(5, Sparsity::Count(6)) };
        let plain = fit(&method, &planted.activity);
        let moved = fit(&method, &planted.activity.select(Axis(1), &order));
        let back = plain.decoder.select(Axis(1), &order);
        for (row, other) in back.rows().into_iter().zip(moved.decoder.rows()) {
            prop_assert!(row.dot(&other) > 0.999, "{}", row.dot(&other));
        }
    }
}
