//! Realised mixing, power laws and simple graphs.

use std::collections::BTreeSet;

use super::*;

/// The nine settings of the benchmark: k, β, μ_t, μ_w.
const SETTINGS: [(f64, f64, f64, f64); 9] = [
    (25.0, 0.5, 0.5, 0.5),
    (25.0, 1.0, 0.5, 0.5),
    (25.0, 2.0, 0.5, 0.5),
    (25.0, 2.0, 0.25, 0.5),
    (25.0, 2.0, 0.5, 0.5),
    (25.0, 2.0, 0.75, 0.5),
    (10.0, 2.0, 0.5, 0.5),
    (25.0, 2.0, 0.5, 0.25),
    (25.0, 2.0, 0.5, 0.75),
];

fn settings(
    (mean_degree, strength_exponent, edge_mixing, weight_mixing): (f64, f64, f64, f64),
    seed: u64,
) -> WeightedLfr {
    WeightedLfr {
        mean_degree,
        edge_mixing,
        weight_mixing,
        strength_exponent,
        seed,
        ..WeightedLfr::default()
    }
}

#[test]
fn all_settings_of_the_benchmark_are_met() {
    for setting in SETTINGS {
        let mut degree = 0.0;
        for seed in 13..23 {
            let wanted = settings(setting, seed);
            let found = wanted.generate().expect("can be met");
            assert!((found.edge_mixing - wanted.edge_mixing).abs() <= 0.03);
            assert!((found.weight_mixing - wanted.weight_mixing).abs() <= 0.03);
            degree += found.mean_degree / 10.0;
            let distinct: BTreeSet<(u32, u32)> =
                found.edges.iter().map(|edge| (edge.0, edge.1)).collect();
            assert_eq!(distinct.len(), found.edges.len(), "no edge twice");
            assert!(found.edges.iter().all(|edge| edge.0 < edge.1 && edge.2 > 0.0));
            assert!(found.count() >= 2, "{setting:?}, seed {seed}");
            // Recomputed by hand.
            let mut shares = vec![[0.0; 2]; wanted.nodes];
            for &(a, b, weight) in &found.edges {
                let is_outer = found.communities[a as usize] != found.communities[b as usize];
                shares[a as usize][usize::from(is_outer)] += weight;
                shares[b as usize][usize::from(is_outer)] += weight;
            }
            let with = shares.iter().filter(|it| it[0] + it[1] > 0.0);
            let mixing: Vec<f64> = with.map(|it| it[1] / (it[0] + it[1])).collect();
            let mixing = mixing.iter().sum::<f64>() / mixing.len() as f64;
            assert!((mixing - found.weight_mixing).abs() < 1e-9);
        }
        assert!((degree / setting.0 - 1.0).abs() < 0.15, "{setting:?}: mean degree {degree}");
    }
}

#[test]
fn strength_grows_with_degree_as_told() {
    for exponent in [0.5, 1.0, 2.0] {
        let found = settings((25.0, exponent, 0.5, 0.5), 13).generate().expect("can be met");
        let (mut degree, mut strength) = (vec![0.0; 125], vec![0.0; 125]);
        for &(a, b, weight) in &found.edges {
            for node in [a as usize, b as usize] {
                degree[node] += 1.0f64;
                strength[node] += weight;
            }
        }
        let log: Vec<(f64, f64)> =
            degree.iter().zip(&strength).map(|(k, s): (&f64, &f64)| (k.ln(), s.ln())).collect();
        let mean = |of: &dyn Fn(&(f64, f64)) -> f64| log.iter().map(of).sum::<f64>() / 125.0;
        let (x, y) = (mean(&|it| it.0), mean(&|it| it.1));
        let slope = mean(&|it| (it.0 - x) * (it.1 - y)) / mean(&|it| (it.0 - x).powi(2));
        assert!((slope - exponent).abs() < 0.1, "{slope} for {exponent}");
    }
}

#[test]
fn the_seed_decides_and_wrong_settings_are_refused() {
    let graph = |seed| settings(SETTINGS[0], seed).generate().expect("can be met");
    assert_eq!(graph(13), graph(13));
    assert_ne!(graph(13).edges, graph(14).edges);
    let stored = graph(13).graph().expect("a graph");
    assert_eq!(stored.nodes().u32s("community").expect("truth"), graph(13).communities);
    let fields: [(&str, WeightedLfr); 6] = [
        ("nodes", WeightedLfr { nodes: 3, ..WeightedLfr::default() }),
        ("largest_degree", WeightedLfr { largest_degree: 125, ..WeightedLfr::default() }),
        ("mean_degree", WeightedLfr { mean_degree: f64::NAN, ..WeightedLfr::default() }),
        ("edge_mixing", WeightedLfr { edge_mixing: 1.0, ..WeightedLfr::default() }),
        ("weight_mixing", WeightedLfr { edge_mixing: 0.0, ..WeightedLfr::default() }),
        ("strength_exponent", WeightedLfr { strength_exponent: -1.0, ..WeightedLfr::default() }),
    ];
    for (field, wrong) in fields {
        let error = wrong.generate().expect_err("refused").to_string();
        assert!(error.contains(field), "{error}");
    }
}
