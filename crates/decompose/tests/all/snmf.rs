//! SNMF against planted truth (spec 01, §6A) and the laws of its algorithm (§3).

use ndarray::{Array2, Axis};
use nissl_core::Progress;
use nissl_core::features::{Decompose, Dictionary};
use nissl_core::stats::correlation::pearson;
use nissl_decompose::snmf::{Initial, Sparsity};
use nissl_decompose::{Kmeans, Pca, Snmf};

use crate::harness::{Planted, all, best_match, plant_with, recorded, recovered};

const FEATURES: usize = 10;

fn small(sparsity: Sparsity) -> Snmf {
    Snmf { k: FEATURES, sparsity, iterations: 300, patience: 300, ..Snmf::default() }
}

fn world(seed: u64) -> Planted {
    plant_with(128, 1500, FEATURES, 8, seed)
}

fn fit(method: &impl Decompose, planted: &Planted) -> Dictionary {
    let (_folder, recording) = recorded(planted.activity.view());
    method.fit(&recording, &all(1500), &Progress::silent()).expect("fits")
}

#[test]
fn planted_features_are_found_and_what_should_fail_fails() {
    let mut others = [0.0; 2];
    for seed in 0..3 {
        let planted = world(seed);
        let method = Snmf { seed, ..small(Sparsity::Count(8)) };
        let (_folder, recording) = recorded(planted.activity.view());
        let runs = method.fit_restarts(&recording, &all(1500), &Progress::silent()).expect("fits");
        let scores: Vec<f64> =
            runs.iter().map(|run| recovered(&planted.features, &run.decoder)).collect();
        let losses = &runs[0].restarts;
        let chosen = (0..4).min_by(|&a, &b| losses[a].total_cmp(&losses[b])).expect("four");
        assert!(scores[chosen] >= 0.95, "seed {seed}: {scores:?}, losses {losses:?}");
        let most = scores.iter().copied().fold(0.0, f64::max);
        assert!(scores[chosen] >= most, "seed {seed}: {scores:?}, losses {losses:?}");
        assert!(losses[chosen] <= 1.03 * planted.noise, "seed {seed}: {losses:?}");

        let found = &runs[chosen];
        assert_eq!(found, &method.fit(&recording, &all(1500), &Progress::silent()).expect("fits"));
        let encoded = found.encode(planted.activity.view()).expect("encodes");
        for (feature, row) in planted.features.rows().into_iter().enumerate() {
            let (place, _) = best_match(row, &found.decoder);
            let truth = planted.coefficients.column(feature).to_vec();
            let ours = encoded.column(place).to_vec();
            let together = pearson(&truth, &ours);
            assert!(together >= 0.97, "seed {seed}, feature {feature}: {together}");
        }

        // A measure that any dictionary passes measures nothing.
        let pca = fit(&Pca { k: FEATURES, ..Pca::default() }, &planted);
        others[0] += recovered(&planted.features, &pca.decoder) / 3.0;
        let elsewhere = world(seed + 100);
        assert!(recovered(&elsewhere.features, &found.decoder) < 0.01, "seed {seed}");
        let everything =
            Snmf { seed, restarts: 1, initial: Initial::Random, ..small(Sparsity::Fraction(1.0)) };
        others[1] += recovered(&planted.features, &fit(&everything, &planted).decoder) / 3.0;
    }
    assert!(others[0] <= 0.1, "PCA: {others:?}");
    assert!(others[1] <= 0.3, "all units kept: {others:?}");
}

#[test]
fn clusters_are_not_features_where_many_are_active_together() {
    // The world of the spec at full size: six features are active in a sample on average.
    let planted = plant_with(512, 4000, 20, 11, 1);
    let (_folder, recording) = recorded(planted.activity.view());
    let kmeans = Kmeans { k: 20, restarts: 1, ..Kmeans::default() };
    let found = kmeans.fit(&recording, &all(4000), &Progress::silent()).expect("fits");
    assert!(recovered(&planted.features, &found.decoder) <= 0.2);
}

#[test]
fn every_start_fits_and_the_svd_start_draws_nothing_that_matters() {
    let planted = world(1);
    for initial in [Initial::Random, Initial::Kmeans, Initial::Svd] {
        let method = Snmf { initial, restarts: 2, ..small(Sparsity::Count(8)) };
        let found = fit(&method, &planted);
        let gap = (found.restarts[0] - found.restarts[1]).abs() / found.restarts[0];
        let lowest = found.restarts[0].min(found.restarts[1]);
        assert!(lowest < 3.0 * planted.noise, "{initial:?}: {:?}", found.restarts);
        if initial == Initial::Svd {
            assert!(gap < 1e-3, "{:?}", found.restarts);
        }
    }
}

#[test]
fn without_winner_take_all_the_loss_never_rises() {
    for seed in 0..3 {
        let method = Snmf {
            seed,
            restarts: 1,
            iterations: 100,
            initial: Initial::Random,
            ..small(Sparsity::Fraction(1.0))
        };
        let found = fit(&method, &world(seed));
        assert_eq!(found.loss.len(), 100);
        for pair in found.loss.windows(2) {
            assert!(pair[1] <= pair[0] * (1.0 + 1e-5), "seed {seed}: {} to {}", pair[0], pair[1]);
        }
        assert!(found.loss[99] < 0.9 * found.loss[0]);
    }
}

#[test]
fn the_loss_is_that_of_the_product_and_exactly_so_many_units_stay() {
    let planted = world(2);
    for (sparsity, kept) in [(Sparsity::Count(7), 7), (Sparsity::Fraction(0.05), 7)] {
        let method = Snmf { restarts: 1, iterations: 40, ..small(sparsity) };
        let found = fit(&method, &planted);
        for row in found.decoder.rows() {
            assert_eq!(row.iter().filter(|value| **value != 0.0).count(), kept);
            assert!((row.dot(&row) - 1.0).abs() < 1e-5);
        }
        // The best coefficients for these features cannot do worse than those of the fit.
        let encoded = found.encode(planted.activity.view()).expect("encodes");
        let error = found.reconstruct(encoded.view()).expect("decodes") - &planted.activity;
        let exact: f64 = error.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
        let lowest = found.restarts[0];
        assert!(exact <= lowest * 1.0001, "{exact} {lowest}");
        assert!(exact >= lowest * 0.9, "{exact} {lowest}");
        let least = found.loss.iter().copied().fold(f32::INFINITY, f32::min);
        assert!((f64::from(least) - lowest).abs() < 1e-3 * lowest);
    }
}

#[test]
fn reading_anew_in_every_pass_gives_the_same_bytes() {
    let planted = world(3);
    for initial in [Initial::Random, Initial::Kmeans, Initial::Svd] {
        let held = Snmf { restarts: 1, iterations: 20, initial, ..small(Sparsity::Count(8)) };
        let streamed = Snmf { memory_mib: 0, ..held.clone() };
        assert_eq!(fit(&held, &planted), fit(&streamed, &planted), "{initial:?}");
    }
}

#[test]
fn permuted_units_give_permuted_features() {
    let planted = world(4);
    let order: Vec<usize> = (0..128).map(|unit| (unit * 37 + 11) % 128).collect();
    let turned = Planted {
        activity: planted.activity.select(Axis(1), &order),
        features: planted.features.select(Axis(1), &order),
        coefficients: planted.coefficients.clone(),
        noise: planted.noise,
    };
    let method =
        Snmf { restarts: 1, iterations: 30, initial: Initial::Random, ..small(Sparsity::Count(8)) };
    let (plain, moved) = (fit(&method, &planted), fit(&method, &turned));
    let back: Array2<f32> = plain.decoder.select(Axis(1), &order);
    for (row, other) in back.rows().into_iter().zip(moved.decoder.rows()) {
        assert!(row.dot(&other) > 0.999, "{}", row.dot(&other));
    }
}

#[test]
fn patience_ends_a_restart_that_no_longer_improves() {
    let method = Snmf {
        iterations: 5000,
        patience: 20,
        restarts: 1,
        initial: Initial::Kmeans,
        tolerance: 1e-4,
        ..small(Sparsity::Count(8))
    };
    let found = fit(&method, &world(5));
    assert!(found.loss.len() < 1000 && found.loss.len() > 20, "{}", found.loss.len());
    assert!(found.warnings.is_empty(), "{:?}", found.warnings);
    let cut = Snmf { iterations: 5, ..method };
    let warnings = fit(&cut, &world(5)).warnings;
    assert!(format!("{warnings:?}").contains("NotConverged"), "{warnings:?}");
}
