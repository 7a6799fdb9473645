//! Golden description lengths, moves against recounts, and planted groups.

use nissl_core::stats::agreement::normalized_mutual_information;
use nissl_core::{Progress, seed};
use proptest::prelude::*;
use rand::RngExt;
use rand_distr::{Distribution, Exp1};

use super::hierarchy::Upper;
use super::nested::levels_above;
use super::objective::{Degrees, Kind, Objective};
use super::state::State;
use super::*;

/// Two triangles and a weak edge between them.
const TRIANGLES: [(usize, usize, f64); 7] =
    [(0, 1, 2.0), (0, 2, 1.0), (1, 2, 3.0), (3, 4, 1.5), (4, 5, 0.5), (3, 5, 2.5), (2, 3, 0.2)];

fn triangles() -> WeightedGraph {
    WeightedGraph::new(6, TRIANGLES).expect("valid")
}

fn length(settings: &BlockModel, groups: [u32; 6]) -> f64 {
    settings.description_length(&triangles(), &[groups.to_vec()]).expect("fits")
}

#[test]
fn description_lengths_are_the_golden_ones() {
    let flat = BlockModel::default();
    assert!((length(&flat, [0; 6]) - 24.414_561).abs() < 1e-6);
    assert!((length(&flat, [0, 0, 0, 1, 1, 1]) - 25.168_260).abs() < 1e-6);
    let bare = BlockModel {
        model: Model::Microcanonical,
        weights: Weights::None,
        degree_prior: DegreePrior::Uniform,
        degree_correction: DegreeCorrection::No,
        ..flat
    };
    assert!((length(&bare, [0; 6]) - 13.499_200).abs() < 1e-6);
    assert!((length(&bare, [4, 4, 4, 2, 2, 2]) - 17.618_619).abs() < 1e-6, "whatever the labels");
    let corrected = BlockModel { degree_correction: DegreeCorrection::Yes, ..bare.clone() };
    assert!((length(&corrected, [0; 6]) - 16.610_853).abs() < 1e-6);
    assert!((length(&corrected, [0, 0, 0, 1, 1, 1]) - 20.099_300).abs() < 1e-6);
    let auto = BlockModel { degree_correction: DegreeCorrection::Auto, ..bare.clone() };
    assert!((length(&auto, [0; 6]) - 13.499_200).abs() < 1e-6, "the shorter of both");
    // A hierarchy over two groups costs their partition into one: ln 2.
    let nested = BlockModel { model: Model::Nested, ..bare };
    let two = length(&nested, [0, 0, 0, 1, 1, 1]);
    assert!((two - 17.618_619 - 2f64.ln()).abs() < 1e-6);
}

#[test]
fn the_prior_of_degrees_counts_partitions() {
    // Degrees 2 2 3 in each triangle: Σ ln η! = ln 2, ln q(7, 3) = ln 8, against ln multiset(3, 7) = ln 36.
    let uniform = BlockModel {
        model: Model::Microcanonical,
        weights: Weights::None,
        degree_prior: DegreePrior::Uniform,
        degree_correction: DegreeCorrection::Yes,
        ..BlockModel::default()
    };
    let distribution = BlockModel { degree_prior: DegreePrior::Distribution, ..uniform.clone() };
    let groups = [0, 0, 0, 1, 1, 1];
    let expected = 2.0 * (6f64.ln() - 2f64.ln() + 8f64.ln() - 36f64.ln());
    let found = length(&distribution, groups) - length(&uniform, groups);
    assert!((found - expected).abs() < 1e-9, "{found} {expected}");
}

#[test]
fn levels_that_do_not_join_groups_are_refused() {
    let nested = BlockModel { model: Model::Nested, ..BlockModel::default() };
    let torn = [vec![0, 0, 0, 1, 1, 1], vec![0, 0, 1, 1, 1, 1]];
    assert!(nested.description_length(&triangles(), &torn).is_err());
    assert!(nested.description_length(&triangles(), &[vec![0; 5]]).is_err());
    assert!(nested.description_length(&triangles(), &[]).is_err());
    let flat = BlockModel::default();
    assert!(flat.description_length(&triangles(), &[vec![0; 6], vec![0; 6]]).is_err());
    let corrected = BlockModel { degree_correction: DegreeCorrection::Yes, ..flat.clone() };
    assert!(corrected.fit(&triangles(), &Progress::silent()).is_err());
    assert!(BlockModel { restarts: 0, ..flat }.validate().is_err());
}

fn random_graph(nodes: usize, probability: f64, seed: u64) -> WeightedGraph {
    let mut random = seed::rng(seed, 3);
    let mut edges = Vec::new();
    for a in 0..nodes {
        for b in 0..a {
            if random.random::<f64>() < probability {
                edges.push((a, b, 0.1 + random.random::<f64>()));
            }
        }
    }
    WeightedGraph::new(nodes, edges).expect("valid")
}

/// Groups with `inside` and `across` as mean weights and edges everywhere with probability 0.4.
pub(super) fn weight_groups(inside: f64, across: f64, seed: u64) -> (WeightedGraph, Vec<u32>) {
    let mut random = seed::rng(seed, 4);
    let truth: Vec<u32> = (0..60).map(|node| node / 20).collect();
    let mut edges = Vec::new();
    for a in 0..60 {
        for b in 0..a {
            if random.random::<f64>() < 0.4 {
                let unit: f64 = Exp1.sample(&mut random);
                edges.push((a, b, unit * if truth[a] == truth[b] { inside } else { across }));
            }
        }
    }
    (WeightedGraph::new(60, edges).expect("valid"), truth)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn a_move_changes_the_description_length_as_a_recount_does(
        seed in 0u64..10_000,
        kind in 0usize..5,
        weights in 0usize..3,
        has_levels in any::<bool>(),
    ) {
        let kind = [
            Kind::Bernoulli,
            Kind::Microcanonical(Degrees::Ignored),
            Kind::Microcanonical(Degrees::Uniform),
            Kind::Microcanonical(Degrees::Distribution),
            Kind::Counts,
        ][kind];
        let weights = [Weights::Exponential, Weights::LogNormal, Weights::None][weights];
        let graph = random_graph(18, 0.4, seed);
        let counts = |(n, edge): (usize, &(u32, u32, f64))| (edge.0, edge.1, 1 + n as u32 % 3);
        let objective = if kind == Kind::Counts {
            let edges = graph.edges().iter().enumerate().map(counts).collect();
            Objective::of_counts((0..18).map(|node| node % 4).collect(), edges)
        } else {
            Objective::new(&graph, kind, weights).expect("positive")
        };
        let mut random = seed::rng(seed, 9);
        let of: Vec<u32> = (0..18).map(|_| random.random_range(0..5)).collect();
        let mut state = State::new(&objective, &of, None);
        if has_levels && matches!(kind, Kind::Microcanonical(_)) {
            let groups = state.groups;
            let levels = [(0..groups as u32).map(|it| it % 3).collect(), vec![0, 1, 1], vec![0, 0]];
            state = State::new(&objective, &state.of, Some(&levels));
        }
        for _ in 0..60 {
            let node = random.random_range(0..18);
            state.look(node);
            let to = random.random_range(0..=state.groups);
            let before = state.cost();
            let delta = state.delta(to);
            state.shift(to);
            let after = state.cost();
            prop_assert!((after - before - delta).abs() < 1e-8, "{delta} {}", after - before);
            let levels = state.upper.as_ref().map(Upper::levels);
            let anew = State::new(&objective, &state.of, levels.as_deref());
            prop_assert!((anew.cost() - after).abs() < 1e-8, "{after} {}", anew.cost());
            prop_assert_eq!(anew.groups, state.groups);
        }
        if state.groups > 1 {
            let (gone, kept) = (0, state.groups - 1);
            let (delta, before) = (state.merge_delta(gone, kept), state.cost());
            for node in (0..18).filter(|&node| state.of[node] == 0).collect::<Vec<_>>() {
                state.look(node);
                state.shift(kept);
            }
            prop_assert!((state.cost() - before - delta).abs() < 1e-8);
        }
    }
}

fn recovered(settings: &BlockModel, inside: f64, across: f64) -> (usize, usize) {
    let (mut short, mut alike) = (0, 0);
    for seed in 0..10 {
        let (graph, truth) = weight_groups(inside, across, seed);
        let settings = BlockModel { seed, ..settings.clone() };
        let found = settings.fit(&graph, &Progress::silent()).expect("fits");
        let planted =
            settings.description_length(&graph, std::slice::from_ref(&truth)).expect("fits");
        short += usize::from(found.description_length <= planted + 0.01);
        alike += usize::from(normalized_mutual_information(&found.levels[0], &truth) >= 0.85);
        let told = settings.description_length(&graph, &found.levels).expect("fits");
        assert!((told - found.description_length).abs() < 1e-6, "{told} {found:?}");
    }
    (short, alike)
}

#[test]
fn groups_that_only_weights_tell_apart_are_found() {
    for model in [Model::BetaGamma, Model::Microcanonical, Model::Nested] {
        let settings = BlockModel { model, restarts: 4, ..BlockModel::default() };
        let (short, alike) = recovered(&settings, 4.0, 1.0);
        assert!(short >= 9 && alike >= 9, "{model:?}: {short} {alike}");
        let (short, _) = recovered(&settings, 1.0, 4.0);
        assert!(short >= 9, "{model:?}, weak inside: {short}");
    }
}

#[test]
fn weights_ignored_or_without_structure_give_one_group() {
    for seed in 0..10 {
        let (graph, truth) = weight_groups(4.0, 1.0, seed);
        let settings =
            BlockModel { weights: Weights::None, restarts: 3, seed, ..BlockModel::default() };
        let found = settings.fit(&graph, &Progress::silent()).expect("fits");
        assert!(normalized_mutual_information(&found.levels[0], &truth) <= 0.1);
        let (graph, _) = weight_groups(1.0, 1.0, seed);
        for model in [Model::BetaGamma, Model::Nested] {
            let settings = BlockModel { model, restarts: 3, seed, ..BlockModel::default() };
            let found = settings.fit(&graph, &Progress::silent()).expect("fits");
            assert!(found.levels == [vec![0; 60]], "{model:?}, seed {seed}: {:?}", found.levels);
        }
    }
}

#[test]
fn groups_of_groups_become_levels() {
    // 16 groups of 12 in 4 groups of 4; across these, edges are rare.
    let mut random = seed::rng(5, 5);
    let mut edges = Vec::new();
    for a in 0..192 {
        for b in 0..a {
            let chance = match (a / 12 == b / 12, a / 48 == b / 48) {
                (true, _) => 0.95,
                (_, true) => 0.15,
                _ => 0.01,
            };
            if random.random::<f64>() < chance {
                edges.push((a, b, 1.0));
            }
        }
    }
    let graph = WeightedGraph::new(192, edges).expect("valid");
    let settings = BlockModel {
        model: Model::Nested,
        weights: Weights::None,
        restarts: 2,
        ..BlockModel::default()
    };
    let found = settings.fit(&graph, &Progress::silent()).expect("fits");
    let truth = |size: u32| -> Vec<u32> { (0..192).map(|node| node / size).collect() };
    let alike = |level: &[u32], size| normalized_mutual_information(level, &truth(size));
    assert!(alike(&found.levels[0], 12) > 0.99, "{:?}", found.levels[0]);
    assert!(found.levels.iter().any(|level| alike(level, 48) > 0.99), "{:?}", found.levels);
    let flat = BlockModel { model: Model::Microcanonical, ..settings };
    let flat = flat.fit(&graph, &Progress::silent()).expect("fits");
    assert!(found.description_length < flat.description_length, "the hierarchy pays");
}

#[test]
fn the_same_seed_gives_the_same_groups_on_any_number_of_threads() {
    let (graph, _) = weight_groups(3.0, 1.0, 0);
    let settings = BlockModel { model: Model::Nested, restarts: 3, ..BlockModel::default() };
    let fit = || settings.fit(&graph, &Progress::silent()).expect("fits");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a pool");
    assert_eq!(fit(), pool.install(fit));
    let stopped = Progress::silent();
    stopped.interrupt();
    assert!(settings.fit(&graph, &stopped).is_err());
}

#[test]
fn levels_above_never_cost_more_than_none() {
    for seed in 0..5 {
        let graph = random_graph(24, 0.5, seed);
        let kind = Kind::Microcanonical(Degrees::Ignored);
        let objective = Objective::new(&graph, kind, Weights::None).expect("valid");
        let of: Vec<u32> = (0..24).map(|node| node / 3).collect();
        let one = State::new(&objective, &of, Some(&[])).cost();
        let counts = State::new(&objective, &of, None).counts();
        let levels = levels_above(&counts, false, &mut seed::rng(seed, 0));
        assert!(State::new(&objective, &of, Some(&levels)).cost() <= one + 1e-9);
    }
}
