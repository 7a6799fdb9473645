//! `nissl trace communities` and `nissl world lfr`: planted communities, levels, methods side by side, and
//! what is refused.

use std::path::Path;

use nissl_core::graph::{Graph, Orientation};
use nissl_core::store::{Existing, Provenance};
use nissl_core::{Column, Table};

use crate::support::{fail, json, run, scratch, succeed};

/// Two triangles, joined weakly, and a node that nothing joins; edges of type `weak` are light.
fn triangles(folder: &Path, name: &str, weight: f64) {
    let edges: [(u32, u32, &str, f64); 8] = [
        (0, 1, "strong", 2.0),
        (0, 2, "strong", 1.0),
        (1, 2, "strong", 3.0),
        (3, 4, "strong", 1.5),
        (4, 5, "strong", 0.5),
        (3, 5, "strong", 2.5),
        (2, 3, "weak", weight),
        (4, 4, "strong", 1.0),
    ];
    let nodes = Table::new()
        .with("node", Column::U32((0..7).collect()))
        .with("kind", Column::Text(vec!["neuron".to_owned(); 7]))
        .with("name", Column::Text("ABCDEFG".chars().map(String::from).collect()))
        .with("side", Column::Text("lllrrrx".chars().map(String::from).collect()));
    let edges = Table::new()
        .with("source", Column::U32(edges.iter().map(|edge| edge.0).collect()))
        .with("target", Column::U32(edges.iter().map(|edge| edge.1).collect()))
        .with("type", Column::Text(edges.iter().map(|edge| edge.2.to_owned()).collect()))
        .with("weight", Column::F64(edges.iter().map(|edge| edge.3).collect()));
    let graph = Graph::new(nodes, edges, Orientation::Undirected).expect("valid");
    let provenance = Provenance::here(&"test", 0, "cpu");
    graph.save(&folder.join(name), provenance, Existing::Refuse).expect("writes");
}

#[test]
fn planted_communities_are_found_kept_and_compared() {
    let folder = scratch();
    let here = folder.path();
    let world =
        json(here, "world lfr --edge-mixing 0.25 --weight-mixing 0.25 --seed 13 -o planted");
    for mixing in ["edge_mixing", "weight_mixing"] {
        let reached = world[mixing].as_f64().expect("a number");
        assert!((reached - 0.25).abs() <= 0.03, "{world}");
    }
    let line = "trace communities planted --truth community --restarts 3 --samples 20 --compare";
    let told = json(here, &format!("{line} -o found"));
    let graph = &told["graphs"][0];
    assert_eq!(graph["method"], "nested");
    assert!(graph["truth"]["nmi_of_nearest_level"].as_f64().expect("a number") > 0.8, "{graph}");
    let compared = graph["compared"].as_array().expect("methods");
    assert_eq!(compared.len(), 7, "every method");
    let length = |place: usize| compared[place]["description_length"].as_f64().expect("nats");
    for other in 1..7 {
        assert!(length(0) <= length(other) + 1e-6, "none is described more shortly: {compared:?}");
    }
    let found = Graph::open(&here.join("found")).expect("opens");
    let nodes = found.nodes();
    assert_eq!(nodes.u32s("community").expect("communities").len(), 125);
    let confidence = nodes.f64s("confidence").expect("confidence");
    assert!(confidence.iter().all(|sure| (0.0..=1.0).contains(sure)));
    let table = Table::read(&here.join("found/communities.parquet"), None).expect("reads");
    let levels = graph["levels"].as_array().expect("levels").len();
    assert_eq!(table.rows(), 125 * levels);
    assert_eq!(
        table.names().collect::<Vec<_>>(),
        ["component", "level", "node", "neuron", "group", "marginal"]
    );
    fail(here, &format!("{line} -o found"), 2, &["found", "exists already"]);
    // The same seed, the same communities.
    let again = json(here, "trace communities planted --restarts 3");
    assert_eq!(again["graphs"][0]["levels"], graph["levels"]);
    let shown = succeed(here, "trace communities found --method leiden --limit 2");
    assert!(shown.stdout.contains(" more") && shown.stderr.contains("modularity"), "{shown:?}");
}

#[test]
fn types_of_edges_are_chosen_and_lonely_nodes_are_background() {
    let folder = scratch();
    let here = folder.path();
    triangles(here, "graph", 0.2);
    let told = json(
        here,
        "trace communities graph --method spectral --groups 2 --edge-type strong --truth side -o out",
    );
    let graph = &told["graphs"][0];
    assert_eq!(graph["levels"][0], serde_json::json!([0, 0, 0, 1, 1, 1]));
    assert_eq!(graph["nodes"], serde_json::json!(["A", "B", "C", "D", "E", "F"]));
    assert_eq!(graph["background"], 1);
    assert_eq!(graph["truth"]["nmi"], 1.0);
    let out = Graph::open(&here.join("out")).expect("opens");
    assert_eq!(out.nodes().u32s("community").expect("there"), [0, 0, 0, 1, 1, 1, 2]);
    let background = out.nodes().bools("background").expect("there");
    assert_eq!(background, [false, false, false, false, false, false, true]);
    assert_eq!(out.edges().rows(), 8, "no edge is lost");
    let outcome = run(here, "trace communities graph --method sbm");
    assert!(outcome.stderr.contains("1 edges from a node to itself are left out"), "{outcome:?}");
    // One group is the shortest description of so few edges: the golden value of the flat model.
    assert!(outcome.stderr.contains("description length (nats) 24.4146"), "{outcome:?}");
}

#[test]
fn what_cannot_be_done_is_refused_with_the_next_step() {
    let folder = scratch();
    let here = folder.path();
    triangles(here, "graph", 0.2);
    triangles(here, "signed", -0.2);
    let refused: [(&str, &[&str]); 9] = [
        ("nowhere", &["nowhere", "nothing is there"]),
        ("graph --edge-type strnog", &["strnog", "strong, weak"]),
        ("graph --restarts 0", &["restarts", "at least 1"]),
        ("graph --method sbm --degree-correction yes", &["degree_correction", "nested"]),
        ("graph --method leiden --samples 5", &["samples", "block model"]),
        ("graph --method leiden --resolution 0", &["resolution"]),
        ("graph --truth sdie", &["sdie", "side"]),
        ("graph --component 0", &["component", "nissl decompose ntf"]),
        ("signed", &["weight", "-0.2 between the nodes 2 and 3", "--weights none"]),
    ];
    for (line, parts) in refused {
        fail(here, &format!("trace communities {line} -o out"), 2, parts);
        assert!(!here.join("out").exists(), "nothing is written: {line}");
    }
    succeed(here, "trace communities signed --absolute");
    succeed(here, "trace communities signed --weights none");
    let edges = "source,target,weight\n0,1,1.0\n";
    nissl_core::store::write_bytes(&here.join("edges.csv"), edges.as_bytes()).expect("writes");
    fail(here, "trace communities edges.csv", 2, &["nissl import edges.csv"]);
    fail(here, "world lfr --edge-mixing 1 -o w", 2, &["edge_mixing", "0 to below 1"]);
    fail(here, "world lfr --nodes 4 -o w", 2, &["nodes", "10 to 20000"]);
}
