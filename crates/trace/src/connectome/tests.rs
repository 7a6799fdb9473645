//! Closed forms of measures, the rules of the consensus, and planted wiring that activity must show.

use ndarray::Array2;
use nissl_core::graph::Orientation;
use nissl_core::recording::{RecordingPlan, RecordingWriter, Source};
use nissl_core::store::{Existing, Provenance};
use nissl_core::{Column, Graph, Progress, Recording, Table};
use rand::RngExt;
use rand::seq::SliceRandom;

use super::*;

type Edge<'a> = (&'a str, &'a str, &'a str, f64);

fn graph(names: &[&str], edges: &[Edge<'_>]) -> Graph {
    let node = |name: &str| names.iter().position(|other| *other == name).expect("there") as u32;
    let text = |values: Vec<&str>| Column::Text(values.into_iter().map(str::to_owned).collect());
    let axis = |by: f32| Column::F32((0..names.len()).map(|row| row as f32 * by).collect());
    let nodes = Table::new()
        .with("node", Column::U32((0..names.len() as u32).collect()))
        .with("kind", text(vec!["neuron"; names.len()]))
        .with("name", text(names.to_vec()))
        .with("type", text(vec!["motor"; names.len()]))
        .with("x", axis(1.0))
        .with("y", axis(2.0))
        .with("z", axis(3.0));
    let edges = Table::new()
        .with("source", Column::U32(edges.iter().map(|edge| node(edge.0)).collect()))
        .with("target", Column::U32(edges.iter().map(|edge| node(edge.1)).collect()))
        .with("type", text(edges.iter().map(|edge| edge.2).collect()))
        .with("weight", Column::F64(edges.iter().map(|edge| edge.3).collect()));
    Graph::new(nodes, edges, Orientation::Directed).expect("fits")
}

fn connectome(name: &str, names: &[&str], edges: &[Edge<'_>]) -> Connectome {
    Connectome::new(name, &graph(names, edges)).expect("sound")
}

fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-12, "{found} is not {expected}");
}

#[test]
fn measures_have_their_closed_forms() {
    // A triangle a-b-c by synapses a→b→c→a and b→a, with d hanging on c by a gap junction; e alone.
    let names = ["a", "b", "c", "d", "e"];
    let edges = [
        ("a", "b", "chemical", 2.0),
        ("b", "a", "chemical", 1.0),
        ("b", "c", "chemical", 4.0),
        ("c", "a", "chemical", 1.0),
        ("c", "d", "electrical", 3.0),
        ("d", "c", "electrical", 3.0),
        ("a", "b", "electrical", 1.0),
        ("b", "a", "electrical", 1.0),
        ("d", "d", "electrical", 5.0),
    ];
    let found = measures(&connectome("small", &names, &edges));
    assert_eq!((found.neurons, found.pairs, found.gap_pairs), (4, 7, 3));
    let [chemical, electrical] = found.kinds.as_slice() else { panic!("{:?}", found.kinds) };
    assert_eq!((chemical.edges, chemical.weight), (4, 8.0));
    close(chemical.density, 4.0 / 12.0);
    close(chemical.reciprocity, 0.5);
    assert_eq!((electrical.edges, electrical.weight), (5, 13.0));
    close(electrical.reciprocity, 1.0);
    // Neighbours: a 2, b 2, c 3, d 1.
    close(found.mean_degree, 2.0);
    assert_eq!(found.largest_degree, (3, "c".to_owned()));
    close(found.clustering, (1.0 + 1.0 + 1.0 / 3.0) / 3.0);
    close(found.chance_clustering, 8.0 / 12.0);
    // One triangle counted at three corners, of 1 + 1 + 3 triples.
    close(found.transitivity, 3.0 / 5.0);
    close(found.gap_with_chemical, 0.5);
    close(found.chemical_with_gap, 1.0 / 3.0);
    close(found.overlap, 0.25);
    close(found.chance_overlap, 0.5);
    // From a: b 1, c 2, d 3; b: 1, 1, 2; c: 1, 2, 1; d: c 1, a 2, b 3.
    close(found.mean_path, (6.0 + 4.0 + 4.0 + 6.0) / 12.0);
    close(found.reachable, 1.0);
    let nodes = node_measures(&connectome("small", &names, &edges));
    assert_eq!(nodes.len(), 4);
    assert_eq!((nodes[1].out_degree, nodes[1].in_degree, nodes[1].gap_degree), (2, 1, 1));
    assert_eq!((nodes[1].out_weight, nodes[1].in_weight), (5.0, 2.0));
    // The loop of d is no neighbour.
    assert_eq!((nodes[3].gap_degree, nodes[3].gap_weight), (1, 3.0));
    assert!(nodes[3].clustering.is_nan());
}

#[test]
fn paths_follow_the_direction() {
    let found = connectome(
        "line",
        &["a", "b", "c"],
        &[("a", "b", "chemical", 1.0), ("b", "c", "chemical", 1.0)],
    );
    let lengths = path_lengths(found.anatomy().view());
    assert_eq!(lengths.row(0).to_vec(), [0, 1, 2]);
    assert_eq!(lengths.row(2).to_vec(), [u32::MAX, u32::MAX, 0]);
}

#[test]
fn agreement_counts_only_neurons_of_both() {
    let names = ["a", "b", "c", "d"];
    let one = connectome(
        "one",
        &names,
        &[
            ("a", "b", "chemical", 1.0),
            ("b", "c", "chemical", 5.0),
            ("c", "a", "chemical", 3.0),
            ("a", "c", "chemical", 2.0),
            ("d", "a", "chemical", 9.0),
            ("a", "b", "electrical", 1.0),
            ("b", "a", "electrical", 1.0),
        ],
    );
    // The same neurons in another order, without d.
    let two = connectome(
        "two",
        &["c", "b", "a"],
        &[
            ("a", "b", "chemical", 2.0),
            ("b", "c", "chemical", 7.0),
            ("c", "a", "chemical", 6.0),
            ("c", "b", "chemical", 6.0),
            ("a", "b", "electrical", 4.0),
            ("b", "a", "electrical", 4.0),
        ],
    );
    let found = agreement(&[one, two]);
    assert_eq!(found.len(), 2);
    let chemical = &found[0];
    assert_eq!((chemical.kind.as_str(), chemical.neurons), ("chemical", 3));
    assert_eq!((chemical.first_edges, chemical.second_edges, chemical.shared), (4, 4, 3));
    close(chemical.jaccard, 3.0 / 5.0);
    close(chemical.rank_correlation, 1.0);
    assert_eq!((found[1].first_edges, found[1].shared), (1, 1));
    close(found[1].jaccard, 1.0);
}

#[test]
fn consensus_takes_distinct_gap_values_and_mean_synapses() {
    let names = ["a", "b", "c"];
    let gap = |weight| [("a", "b", "electrical", weight), ("b", "a", "electrical", weight)];
    let with = |name: &str, weight, more: &[Edge<'_>]| {
        connectome(name, &names, &[&gap(weight)[..], more].concat())
    };
    let sources = [
        with("x", 1.0, &[("a", "b", "chemical", 2.0)]),
        with("y", 1.0, &[("a", "b", "chemical", 6.0), ("b", "c", "chemical", 4.0)]),
        with("z", 4.0, &[("b", "c", "monoamine", 1.0)]),
        connectome("f", &names, &[("c", "a", "functional", -0.5), ("a", "b", "functional", 0.25)]),
    ];
    let found = Consensus::default().of(&sources).expect("agree");
    let at = |from, to| found.pairs.iter().find(|p| (p.from, p.to) == (from, to)).expect("there");
    let pair = at(0, 1);
    // 1 of x and y counts once: (1 + 4) / 2.
    close(pair.weights["electrical"], 2.5);
    close(pair.weights["chemical"], 4.0);
    close(pair.weights["functional"], 0.25);
    close(pair.uncertainty.expect("both kinds"), 0.9 * 2.0 + 0.1 * 1.5);
    assert_eq!(pair.sources, ["f", "x", "y", "z"]);
    assert_eq!(at(1, 0).uncertainty, None);
    assert_eq!(at(2, 0).weights.len(), 1);
    let made = found.graph().expect("a graph");
    assert_eq!(made.edges().rows(), 7);
    let weight = Connectome::new("again", &made).expect("sound").weight("chemical", 1, 2);
    assert!((weight - 4.0).abs() < 1e-12, "{weight}");

    let folder = tempfile::tempdir().expect("a folder");
    found.write_csv(folder.path()).expect("writes");
    let lines = |file: usize| -> Vec<String> {
        let text =
            std::fs::read_to_string(folder.path().join(CONSENSUS_FILES[file])).expect("reads");
        text.lines().map(str::to_owned).collect()
    };
    assert_eq!(
        lines(0)[0],
        "from_neuron,to_neuron,from_pos,to_pos,from_type,to_type,mean_gap_weight,mean_chem_weight,\
         uncertainty,functional_weight,mean_monoamine_weight,data_sources"
    );
    assert_eq!([0, 1, 2, 3].map(|file| lines(file).len()), [10, 10, 5, 4]);
    assert_eq!(
        lines(0)[2],
        "a,b,\"(0, 0, 0)\",\"(1, 2, 3)\",motor,motor,2.5,4,1.95,0.25,,\"['f', 'x', 'y', 'z']\""
    );
    assert_eq!(lines(1)[1], "a,a,\"(0, 0, 0)\",\"(0, 0, 0)\",motor,motor,,,,,\"[]\"");
    assert!(!lines(3)[0].contains("functional"));

    let normalised = Consensus { normalise: true }.of(&sources).expect("agree");
    let pair = normalised.pairs.iter().find(|p| (p.from, p.to) == (0, 1)).expect("there");
    // All gap junctions are a half of their source's total; synapses are all of x's and 6/10 of y's.
    close(pair.weights["electrical"], 0.5);
    close(pair.weights["chemical"], 0.8);

    let refused =
        |list: &[Connectome]| Consensus::default().of(list).expect_err("refused").to_string();
    assert!(refused(&[sources[0].clone(), sources[0].clone()]).contains("`x` twice"));
    assert!(refused(&[sources[0].clone(), connectome("w", &["a"], &[])]).contains("1 of `w`"));
    assert!(refused(&[]).contains("empty"));
}

/// Names of `count` neurons.
fn names(count: usize) -> Vec<String> {
    (0..count).map(|row| format!("N{row:02}")).collect()
}

/// A ring of neurons whose neighbours drive each other, and its activity: each neuron follows what
/// its sources did a step before. The last `missing` neurons of each animal are not measured.
fn planted(folder: &std::path::Path, order: &[usize], seed: u64) -> (Connectome, Recording) {
    let count = order.len();
    let (animals, samples) = (3, 400);
    let names = names(count);
    let refs: Vec<&str> = names.iter().map(String::as_str).collect();
    let pairs: Vec<(usize, usize)> = (0..count).map(|row| (row, (row + 1) % count)).collect();
    let edges: Vec<Edge<'_>> = pairs
        .iter()
        .map(|&(from, to)| (refs[from], refs[to], "chemical", 1.0 + (from % 3) as f64))
        .collect();
    let mut rng = nissl_core::seed::rng(seed, 9);
    let mut activity = Array2::<f32>::zeros((animals * samples, count));
    for animal in 0..animals {
        let mut state = vec![0.0_f64; count];
        for sample in 0..samples {
            let mut next = vec![0.0; count];
            for (row, next) in next.iter_mut().enumerate() {
                let drive = state[(row + count - 1) % count];
                *next = 0.6 * state[row] + 0.35 * drive + rng.random_range(-1.0..1.0);
            }
            state = next;
            for row in 0..count {
                let missing = (row + animal) % 5 == 0 || (row == 1 && sample < 50);
                let value = if missing { f32::NAN } else { state[row] as f32 };
                activity[[animal * samples + sample, order[row]]] = value;
            }
        }
    }
    let units = Table::new()
        .with("unit", Column::U32((0..count as u32).collect()))
        .with("site", Column::Text(vec!["neurons".to_owned(); count]))
        .with("index", Column::U32((0..count as u32).collect()))
        .with("name", Column::Text(names.clone()));
    let plan = RecordingPlan::new(units, Source::default(), Provenance::default());
    let mut writer = RecordingWriter::create(folder, plan, Existing::Refuse).expect("begins");
    let all = animals * samples;
    let table = Table::new()
        .with("sequence", Column::U32((0..all).map(|at| (at / samples) as u32).collect()))
        .with("position", Column::U32((0..all).map(|at| (at % samples) as u32).collect()));
    writer.push(activity.view(), table).expect("pushes");
    (connectome("ring", &refs, &edges), writer.finish().expect("finishes"))
}

#[test]
fn activity_shows_the_wiring_that_made_it_and_no_other() {
    let progress = Progress::silent();
    let count = 24;
    for seed in 0..3 {
        for null in [Null::Permutation, Null::CircularShift] {
            let folder = tempfile::tempdir().expect("a folder");
            let identity: Vec<usize> = (0..count).collect();
            let (ring, recording) = planted(&folder.path().join("a"), &identity, seed);
            let compare = |recording: Recording| {
                let activity =
                    ActivityCorrelation::of(&[recording], &ring.neurons, &progress).expect("reads");
                assert_eq!(activity.animals, 3);
                let settings = StructureFunction { null, draws: 99 };
                settings
                    .compare(&ring, Function::Activity(&activity), seed, &progress)
                    .expect("compares")
            };
            let found = compare(recording);
            assert_eq!((found.neurons, found.connected), (count, count));
            assert!(found.auroc.value > 0.95 && found.auroc.p <= 0.02, "{found:?}");
            assert!(found.rank_correlation.p <= 0.02, "{found:?}");
            assert!((found.auroc.null_mean - 0.5).abs() < 0.1, "{found:?}");
            let steps = &found.by_length;
            assert!(steps[0].mean > steps[1].mean && steps[1].mean > steps[3].mean, "{steps:?}");
            // The same activity under exchanged names is none of the ring's.
            let mut order = identity;
            order.shuffle(&mut nissl_core::seed::rng(seed, 5));
            let (_, shuffled) = planted(&folder.path().join("b"), &order, seed);
            let control = compare(shuffled);
            assert!(control.auroc.value < 0.75, "{control:?}");
            assert!(control.auroc.p > 0.02 || null == Null::CircularShift, "{control:?}");
        }
    }
}

#[test]
fn correlations_use_common_samples_and_match_a_plain_sum() {
    let folder = tempfile::tempdir().expect("a folder");
    let identity: Vec<usize> = (0..6).collect();
    let (ring, recording) = planted(&folder.path().join("a"), &identity, 4);
    let whole = recording.rows(&(0..400).collect::<Vec<_>>()).expect("reads");
    let activity =
        ActivityCorrelation::of(&[recording], &ring.neurons, &Progress::silent()).expect("reads");
    // Animal 0 lacks neuron 0 and 5, animals 1 and 2 have them: 1 and 3 are together in 0 and 2.
    let column = |row: usize| whole.column(row).to_vec();
    let (x, y) = nissl_core::stats::correlation::complete_pairs(&column(1), &column(2));
    assert_eq!(x.len(), 350);
    let first = nissl_core::stats::correlation::pearson(&x, &y);
    assert!(first.is_finite() && activity.correlation[[1, 2]].is_finite());
    assert!((activity.correlation[[1, 2]] - activity.correlation[[2, 1]]).abs() < 1e-12);
    let alone = within_first(&activity);
    assert!((alone - first).abs() < 1e-5, "{alone} is not {first}");
}

/// The correlation of the neurons 1 and 2 in the first animal.
fn within_first(activity: &ActivityCorrelation) -> f64 {
    let only =
        ActivityCorrelation { activity: vec![activity.activity[0].clone()], ..activity.clone() };
    only.unshifted()[[1, 2]]
}

#[test]
fn functional_edges_are_compared_in_their_direction() {
    let count = 20;
    let names = names(count);
    let refs: Vec<&str> = names.iter().map(String::as_str).collect();
    let ring: Vec<Edge<'_>> =
        (0..count).map(|row| (refs[row], refs[(row + 1) % count], "chemical", 1.0)).collect();
    let along: Vec<Edge<'_>> = ring.iter().map(|e| (e.0, e.1, "functional", -0.5)).collect();
    let against: Vec<Edge<'_>> = ring.iter().map(|e| (e.1, e.0, "functional", -0.5)).collect();
    let anatomy = connectome("ring", &refs, &ring);
    let progress = Progress::silent();
    let compare = |edges: &[Edge<'_>]| {
        let function = connectome("f", &refs, edges);
        StructureFunction::default().compare(&anatomy, Function::Edges(&function), 1, &progress)
    };
    let found = compare(&along).expect("compares");
    close(found.auroc.value, 1.0);
    assert!(found.auroc.p < 0.01);
    assert_eq!((found.pairs, found.connected), (count * (count - 1), count));
    let reversed = compare(&against).expect("compares");
    assert!(reversed.auroc.value < 0.5);
    assert!(compare(&ring).is_err(), "no functional edges");
    assert!(compare(&along[..1]).is_err(), "two neurons");
    let shifts = StructureFunction { null: Null::CircularShift, draws: 19 };
    let function = connectome("f", &refs, &along);
    let error =
        shifts.compare(&anatomy, Function::Edges(&function), 1, &progress).expect_err("no traces");
    assert!(error.to_string().contains("circular-shift"));
    assert!(StructureFunction { draws: 3, ..shifts }.validate().is_err());
}

#[test]
fn recordings_without_the_neurons_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let identity: Vec<usize> = (0..6).collect();
    let (_, recording) = planted(&folder.path().join("a"), &identity, 4);
    let progress = Progress::silent();
    let of = |neurons: &[&str], recordings: &[Recording]| {
        let neurons: Vec<String> = neurons.iter().map(|&name| name.to_owned()).collect();
        ActivityCorrelation::of(recordings, &neurons, &progress).expect_err("refused").to_string()
    };
    assert!(of(&["AVAL"], std::slice::from_ref(&recording)).contains("N00, N01, N02 and 3 more"));
    assert!(of(&["N00"], &[]).contains("empty"));
}
