//! PCA, k-means, NMF and the units themselves against closed forms and planted truth.

use ndarray::{Array2, Axis, s};
use nissl_core::features::{Decompose, Dictionary, Encoding};
use nissl_core::seed::rng;
use nissl_core::{Error, Progress};
use nissl_decompose::kmeans::Activation;
use nissl_decompose::pca::Solver;
use nissl_decompose::{Kmeans, Neurons, Nmf, Pca};
use rand::RngExt;

use crate::harness::{all, plant, recorded, recovered};

fn fit(method: &impl Decompose, activity: &Array2<f32>) -> Dictionary {
    let (_folder, recording) = recorded(activity.view());
    method.fit(&recording, &all(activity.nrows()), &Progress::silent()).expect("fits")
}

fn pca(k: usize, solver: Solver) -> Pca {
    Pca { k, solver, ..Pca::default() }
}

/// Samples with variances 9, 4, 1 along known orthogonal directions, far from the origin.
fn ellipsoid(samples: usize, seed: u64) -> Array2<f32> {
    let axes = [[0.6f32, 0.8, 0.0, 0.0], [-0.8, 0.6, 0.0, 0.0], [0.0, 0.0, 0.6, -0.8]];
    let mut rng = rng(seed, 0);
    let mut out = Array2::from_elem((samples, 4), 5.0f32);
    for mut row in out.rows_mut() {
        for (axis, deviation) in axes.iter().zip([3.0f32, 2.0, 1.0]) {
            // Uniform with that standard deviation.
            let along = rng.random_range(-1.0..1.0f32) * deviation * 3f32.sqrt();
            for (value, part) in row.iter_mut().zip(axis) {
                *value += along * part;
            }
        }
    }
    out
}

#[test]
fn components_are_eigenvectors_of_the_covariance() {
    for seed in 0..3 {
        let activity = plant(60, 700, 8, seed).activity + 2.0;
        let means = activity.mean_axis(Axis(0)).expect("samples");
        let wide = (&activity - &means).mapv(f64::from);
        let covariance = wide.t().dot(&wide) / 699.0;
        let found = fit(&pca(8, Solver::Exact), &activity);
        let vectors = found.decoder.mapv(f64::from);
        let mut before = f64::INFINITY;
        for row in vectors.rows() {
            let image = covariance.dot(&row);
            let value = image.dot(&row);
            let rest = (&image - &(&row * value)).mapv(|v| v * v).sum().sqrt();
            assert!(rest < 1e-4 * value, "seed {seed}: {rest} beside {value}");
            assert!(value <= before, "seed {seed}");
            before = value;
        }
        let gram = vectors.dot(&vectors.t());
        assert!((gram - Array2::<f64>::eye(8)).iter().all(|gap| gap.abs() < 1e-4));
        let shift = found.decoder_bias.as_ref().expect("centred");
        assert!((shift - &means).iter().all(|gap| gap.abs() < 1e-4));
    }
}

#[test]
fn the_axes_of_an_ellipsoid_are_found() {
    let found = fit(&pca(3, Solver::Exact), &ellipsoid(4000, 1));
    let truth = [[0.6f32, 0.8, 0.0, 0.0], [0.8, -0.6, 0.0, 0.0], [0.0, 0.0, -0.6, 0.8]];
    for (row, truth) in found.decoder.rows().into_iter().zip(truth) {
        let cosine: f32 = row.iter().zip(truth).map(|(a, b)| a * b).sum();
        assert!(cosine > 0.99, "{row} is not {truth:?}");
    }
}

#[test]
fn randomised_components_are_near_the_exact_ones() {
    for seed in 0..3 {
        let activity = plant(200, 900, 10, seed).activity;
        let exact = fit(&pca(6, Solver::Exact), &activity);
        let near = fit(&Pca { seed, ..pca(6, Solver::Randomised) }, &activity);
        for (row, other) in exact.decoder.rows().into_iter().zip(near.decoder.rows()) {
            assert!(row.dot(&other) > 0.999, "seed {seed}: {}", row.dot(&other));
        }
        let streamed = Pca { seed, memory_mib: 0, ..pca(6, Solver::Randomised) };
        assert_eq!(near, fit(&streamed, &activity));
        let one = Pca { seed, passes: 1, oversample: 0, ..pca(6, Solver::Randomised) };
        let rough = fit(&one, &activity);
        let worst = exact.decoder.row(5).dot(&rough.decoder.row(5)).abs();
        assert!(worst < 0.999, "seed {seed}: one pass without spare directions cannot suffice");
    }
}

/// `count` samples around each of the corners, which lie far apart.
fn clusters(count: usize, seed: u64) -> (Array2<f32>, Array2<f32>) {
    let mut rng = rng(seed, 0);
    let corners = Array2::from_shape_simple_fn((5, 20), || rng.random_range(-4.0..4.0f32));
    let samples = Array2::from_shape_fn((5 * count, 20), |(sample, unit)| {
        corners[[sample % 5, unit]] + rng.random_range(-0.3..0.3f32)
    });
    (corners, samples)
}

#[test]
fn planted_clusters_are_found_and_each_has_its_samples() {
    for seed in 0..3 {
        let (corners, samples) = clusters(60, seed);
        let method = Kmeans { k: 5, seed, activation: Activation::Nearest, ..Kmeans::default() };
        let found = fit(&method, &samples);
        assert!(recovered(&corners, &found.decoder) > 0.99, "seed {seed}");
        assert_eq!(found.encoding, Encoding::Nearest);
        let activations = found.encode(samples.view()).expect("encodes");
        assert!(
            activations.sum_axis(Axis(0)).iter().all(|&size| (size - 60.0).abs() < 0.1),
            "seed {seed}"
        );
        assert!(found.loss.windows(2).all(|pair| pair[1] <= pair[0] * 1.000_001));
        let error = found.reconstruct(activations.view()).expect("decodes") - &samples;
        let inertia: f64 = error.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
        let told = found.restarts.iter().copied().fold(f64::INFINITY, f64::min);
        assert!((inertia - told).abs() < 1e-2 * told, "seed {seed}: {inertia} {told}");
        assert_eq!(found, fit(&Kmeans { memory_mib: 0, ..method }, &samples));
    }
}

#[test]
fn more_clusters_than_different_samples_do_no_harm() {
    let samples =
        Array2::from_shape_fn((100, 6), |(sample, unit)| ((sample % 3) * (unit + 1)) as f32);
    let found = fit(&Kmeans { k: 5, ..Kmeans::default() }, &samples);
    assert!(found.decoder.iter().all(|value| value.is_finite()));
    assert!(format!("{:?}", found.warnings).contains("DuplicateSamples"));
}

/// Non-negative parts on separate units, so that the factorisation is unique.
fn parts(seed: u64) -> (Array2<f32>, Array2<f32>) {
    let mut rng = rng(seed, 0);
    let mut truth = Array2::<f32>::zeros((6, 40));
    for (part, mut row) in truth.rows_mut().into_iter().enumerate() {
        for unit in 0..8 {
            row[(part * 6 + unit) % 40] = rng.random_range(0.5..1.5);
        }
    }
    let shares = Array2::from_shape_simple_fn((400, 6), || {
        if rng.random_bool(0.4) { rng.random_range(0.2..2.0f32) } else { 0.0 }
    });
    let samples = shares.dot(&truth);
    (truth, samples)
}

#[test]
fn planted_parts_are_found_and_the_loss_never_rises() {
    for seed in 0..3 {
        let (truth, samples) = parts(seed);
        let method = Nmf { k: 6, seed, restarts: 3, tolerance: 1e-9, ..Nmf::default() };
        let found = fit(&method, &samples);
        assert!(recovered(&truth, &found.decoder) >= 0.99, "seed {seed}");
        assert!(found.decoder.iter().all(|&value| value >= 0.0));
        let power: f64 = samples.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
        let slack = (1e-6 * power) as f32;
        assert!(found.loss.windows(2).all(|pair| pair[1] <= pair[0] + slack), "{:?}", found.loss);
        let principal = fit(&pca(6, Solver::Exact), &samples);
        assert!(recovered(&truth, &principal.decoder) < 0.5, "seed {seed}");
        assert_eq!(found, fit(&Nmf { memory_mib: 0, ..method }, &samples));
    }
}

#[test]
fn negative_activity_is_named_and_sent_to_snmf() {
    let (_, mut samples) = parts(1);
    samples[[123, 7]] = -0.5;
    let (_folder, recording) = recorded(samples.view());
    let error = Nmf { k: 3, ..Nmf::default() }
        .fit(&recording, &all(400), &Progress::silent())
        .expect_err("negative");
    let told = error.to_string();
    assert!(told.contains("sample 123, unit 7") && told.contains("-0.5"), "{told}");
    assert!(told.contains("snmf"), "{told}");
}

#[test]
fn the_units_themselves_are_the_baseline() {
    let samples = ellipsoid(100, 3);
    let found = fit(&Neurons::default(), &samples);
    assert_eq!(found.decoder, Array2::<f32>::eye(4));
    assert_eq!(found.encode(samples.view()).expect("encodes"), samples);
    // Units 0 and 1 carry the two longest axes.
    let found = fit(&Neurons { k: Some(2) }, &samples);
    assert_eq!(found.encode(samples.view()).expect("encodes"), samples.slice(s![.., ..2]));
}

#[test]
fn an_interrupt_stops_a_fit() {
    let progress = Progress::silent();
    progress.interrupt();
    let (_folder, recording) = recorded(ellipsoid(200, 3).view());
    for method in [&Pca { k: 2, ..Pca::default() } as &dyn Decompose, &Neurons::default()] {
        let stopped = method.fit(&recording, &all(200), &progress);
        assert!(matches!(stopped, Err(Error::Interrupted { .. })));
    }
}
