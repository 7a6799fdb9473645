//! Laws of simulated worms: the stated radius, rest, repeatability, labels, and wiring that shows.

#![expect(clippy::float_cmp, reason = "exact zeros and copied numbers")]

use super::*;

/// A ring of `count` neurons by synapses, with a gap junction between the first two.
fn ring(count: usize) -> Graph {
    let text = |of: &dyn Fn(usize) -> String| Column::Text((0..count).map(of).collect());
    let nodes = Table::new()
        .with("node", Column::U32((0..count as u32).collect()))
        .with("kind", text(&|_| "neuron".to_owned()))
        .with("name", text(&|row| format!("N{row}")))
        .with(
            "neurotransmitter",
            text(&|row| if row == 1 { "GABA".into() } else { "Glutamate".into() }),
        );
    let mut links: Vec<(u32, u32, &str, f64)> =
        (0..count as u32).map(|row| (row, (row + 1) % count as u32, "chemical", 4.0)).collect();
    links.extend([(0, 1, "electrical", 2.0), (1, 0, "electrical", 2.0), (0, 0, "electrical", 9.0)]);
    let edges = Table::new()
        .with("source", Column::U32(links.iter().map(|link| link.0).collect()))
        .with("target", Column::U32(links.iter().map(|link| link.1).collect()))
        .with("type", Column::Text(links.iter().map(|link| link.2.to_owned()).collect()))
        .with("weight", Column::F64(links.iter().map(|link| link.3).collect()));
    Graph::new(nodes, edges, nissl_core::graph::Orientation::Directed).expect("fits")
}

fn correlation(activity: &Array2<f32>, a: usize, b: usize) -> f64 {
    let (a, b) = (activity.column(a).to_vec(), activity.column(b).to_vec());
    nissl_core::stats::correlation::pearson(&a, &b)
}

#[test]
fn the_spectral_radius_is_found_also_of_rotations() {
    // A ring of three with weights 2, 3 and 4.5 has eigenvalues of size 3, one real, two complex.
    let matrix = [vec![(2, 2.0)], vec![(0, 3.0)], vec![(1, 4.5)]];
    let found = rate::spectral_radius(&matrix);
    assert!((found - 3.0).abs() < 1e-2, "{found}");
    assert_eq!(rate::spectral_radius(&[vec![], vec![(0, 3.0)]]), 0.0);
}

#[test]
fn at_rest_no_current_flows() {
    let world = WormWorld { signs: Signs::Transmitter, ..WormWorld::default() };
    let wiring = world.wiring(&ring(5)).expect("sound");
    assert_eq!(wiring.sign, [1.0, -1.0, 1.0, 1.0, 1.0]);
    assert_eq!(wiring.electrical[0], [(1, 2.0)]);
    let reversal = [0.0, -48.0, 0.0, 0.0, 0.0];
    let rest = conductance::rest(&wiring, &reversal);
    // Neuron 2 has the leak and the inhibitory synapse of neuron 1 only.
    let open = 100.0 * 4.0 / 11.0;
    let expected = (10.0 * -35.0 + open * -48.0) / (10.0 + open);
    assert!((rest[2] - expected).abs() < 1e-6, "{} {expected}", rest[2]);
    // Without noise it stays there, and a constant neuron is shown as 0.
    let still = WormWorld {
        model: WormModel::Conductance,
        noise: 0.0,
        measurement_noise: 0.0,
        samples: 5,
        ..world
    };
    let worm = still.simulate(&wiring, 0);
    assert!(worm.activity.iter().all(|value| value.is_finite()));
}

#[test]
fn a_worm_depends_on_its_seed_and_number_alone() {
    for model in [WormModel::Rate, WormModel::Conductance] {
        let world = WormWorld { model, samples: 40, worms: 3, seed: 7, ..WormWorld::default() };
        let wiring = world.wiring(&ring(6)).expect("sound");
        let again = world.simulate(&world.wiring(&ring(6)).expect("sound"), 2);
        assert_eq!(world.simulate(&wiring, 2), again);
        assert_ne!(world.simulate(&wiring, 1).activity, again.activity);
        let other = WormWorld { seed: 8, ..world };
        assert_ne!(other.simulate(&wiring, 2).activity, again.activity);
    }
}

#[test]
fn coupled_neurons_move_together_and_signs_show() {
    for seed in 0..3 {
        let rates = WormWorld {
            samples: 3000,
            signs: Signs::Transmitter,
            gap: 0.0,
            seed,
            ..WormWorld::default()
        };
        let wiring = rates.wiring(&ring(12)).expect("sound");
        let activity = rates.simulate(&wiring, 0).activity;
        // 3 excites 4, 1 inhibits 2, 4 and 9 are far apart.
        assert!(correlation(&activity, 3, 4) > 0.3, "{}", correlation(&activity, 3, 4));
        assert!(correlation(&activity, 1, 2) < -0.3, "{}", correlation(&activity, 1, 2));
        assert!(correlation(&activity, 4, 9).abs() < 0.25, "{}", correlation(&activity, 4, 9));
        let membranes = WormWorld { model: WormModel::Conductance, ..rates };
        let activity = membranes.simulate(&wiring, 0).activity;
        assert!(correlation(&activity, 0, 1) > 0.7, "gap: {}", correlation(&activity, 0, 1));
        assert!(correlation(&activity, 4, 9).abs() < 0.3, "{}", correlation(&activity, 4, 9));
    }
}

#[test]
fn what_is_not_seen_is_missing_and_exchanged_names_keep_the_wiring() {
    let world = WormWorld {
        labelled_least: 0.4,
        labelled_most: 0.6,
        samples: 20,
        worms: 4,
        ..WormWorld::default()
    };
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("worms");
    let progress = Progress::silent();
    let recording = world
        .write(&ring(40), &path, Provenance::default(), Existing::Refuse, &progress)
        .expect("writes");
    assert_eq!((recording.samples(), recording.units()), (80, 40));
    let names = recording.sample_column_names().expect("reads");
    assert!(["sequence", "position", "time_s"].iter().all(|name| names.iter().any(|n| n == name)));
    let activity = recording.rows(&(0..80).collect::<Vec<_>>()).expect("reads");
    for worm in 0..4 {
        let seen = (0..40)
            .filter(|&unit| {
                let column = activity.column(unit);
                let part: Vec<bool> = (0..20).map(|at| column[20 * worm + at].is_nan()).collect();
                assert!(part.iter().all(|missing| *missing == part[0]), "whole worms");
                !part[0]
            })
            .count();
        assert!((16..=24).contains(&seen), "{seen} of 40");
    }
    let shuffled = WormWorld { shuffle: true, ..WormWorld::default() };
    let (plain, mixed) = (
        WormWorld::default().wiring(&ring(40)).expect("sound"),
        shuffled.wiring(&ring(40)).expect("sound"),
    );
    assert_eq!(plain.names, mixed.names);
    assert_ne!(plain.chemical, mixed.chemical);
    let total = |wiring: &Wiring| wiring.chemical.iter().flatten().count();
    assert_eq!(total(&plain), total(&mixed));
    assert_eq!(plain.graph().expect("a graph").edges().rows(), 42);
}

#[test]
fn settings_and_graphs_out_of_range_are_refused_by_name() {
    let refused = |change: &dyn Fn(&mut WormWorld), field: &str| {
        let mut world = WormWorld::default();
        change(&mut world);
        let error = world.validate().expect_err(field);
        assert!(error.to_string().contains(&format!("`{field}`")), "{error}");
    };
    refused(&|w| w.worms = 0, "worms");
    refused(&|w| w.samples = 0, "samples");
    refused(&|w| w.interval = f64::NAN, "interval");
    refused(&|w| w.noise = -1.0, "noise");
    refused(&|w| w.inhibitory = 1.5, "inhibitory");
    refused(&|w| w.labelled_least = 0.0, "labelled_least");
    refused(&|w| (w.labelled_least, w.labelled_most) = (0.5, 0.4), "labelled_most");
    let graph = ring(5);
    let functional = graph.edges().clone().with("type", Column::Text(vec!["functional".into(); 8]));
    let other = Graph::new(graph.nodes().clone(), functional, graph.orientation()).expect("fits");
    let error = WormWorld::default().wiring(&other).expect_err("no synapses");
    assert!(error.to_string().contains("chemical or electrical"), "{error}");
}
