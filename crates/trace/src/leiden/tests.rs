//! Planted partitions, the direct formula, and communities that must hold together.

use nissl_core::graph::{Graph, Orientation};
use nissl_core::table::{Column, Table};
use rand::RngExt;

use super::*;

fn graph(nodes: usize, edges: &[(usize, usize, f64)]) -> Graph {
    let texts = |text: &str, count: usize| Column::Text(vec![text.to_owned(); count]);
    let ends = |of: fn(&(usize, usize, f64)) -> usize| {
        Column::U32(edges.iter().map(|edge| of(edge) as u32).collect())
    };
    let table = Table::new()
        .with("node", Column::U32((0..nodes as u32).collect()))
        .with("kind", texts("node", nodes))
        .with("name", texts("n", nodes));
    let edges = Table::new()
        .with("source", ends(|it| it.0))
        .with("target", ends(|it| it.1))
        .with("type", texts("edge", edges.len()))
        .with("weight", Column::F64(edges.iter().map(|it| it.2).collect()));
    Graph::new(table, edges, Orientation::Undirected).expect("valid")
}

/// Blocks of `size` nodes with denser edges inside.
fn planted(blocks: usize, size: usize, seed: u64) -> (Graph, Vec<(usize, usize, f64)>) {
    let mut random = nissl_core::seed::rng(seed, 1);
    let mut edges = Vec::new();
    for a in 0..blocks * size {
        for b in a + 1..blocks * size {
            let chance = if a / size == b / size { 0.4 } else { 0.03 };
            if random.random::<f64>() < chance {
                edges.push((a, b, 0.5 + random.random::<f64>()));
            }
        }
    }
    (graph(blocks * size, &edges), edges)
}

#[test]
fn planted_blocks_are_found_and_q_is_the_formula() {
    for seed in 0..4 {
        let (graph, edges) = planted(6, 25, seed);
        let found = leiden(&graph, 1.0, seed).expect("found");
        let same = |a: usize, b: usize| found.of[a] == found.of[b];
        for a in 0..150 {
            for b in 0..150 {
                assert_eq!(same(a, b), a / 25 == b / 25, "seed {seed}: {a} {b}");
            }
        }
        let total: f64 = edges.iter().map(|it| 2.0 * it.2).sum();
        let mut strength = vec![0.0; 150];
        for &(a, b, weight) in &edges {
            strength[a] += weight;
            strength[b] += weight;
        }
        let mut q: f64 = edges.iter().filter(|it| same(it.0, it.1)).map(|it| 2.0 * it.2).sum();
        for a in 0..150 {
            for b in 0..150 {
                q -= if same(a, b) { strength[a] * strength[b] / total } else { 0.0 };
            }
        }
        assert!((found.modularity - q / total).abs() < 1e-12);
        let mixed: Vec<usize> = (0..150).map(|node| node % 6).collect();
        assert!(modularity(&graph, &mixed, 1.0).expect("fits") < 0.05);
        assert_eq!(found, leiden(&graph, 1.0, seed).expect("found"), "the same seed");
    }
}

#[test]
fn more_resolution_gives_more_communities_that_all_hold_together() {
    let (graph, edges) = planted(5, 20, 7);
    let mut before = 0;
    for resolution in [0.01, 0.5, 1.0, 4.0, 40.0] {
        for seed in 0..5 {
            let found = leiden(&graph, resolution, seed).expect("found");
            let count = 1 + found.of.iter().copied().max().expect("nodes");
            if seed == 0 {
                assert!(count >= before, "{resolution}: {count} after {before}");
                before = count;
            }
            let mut root: Vec<usize> = (0..100).collect();
            for _ in 0..100 {
                for &(a, b, _) in edges.iter().filter(|it| found.of[it.0] == found.of[it.1]) {
                    let least = root[a].min(root[b]);
                    (root[a], root[b]) = (least, least);
                }
            }
            let mut roots: Vec<usize> = root.clone();
            roots.sort_unstable();
            roots.dedup();
            assert_eq!(roots.len(), count, "each community is one connected part");
        }
    }
    assert!(before > 60);
}

#[test]
fn a_node_that_leaves_takes_no_bridge_with_it() {
    // Two cliques that only hub 8 joins, and a third that draws the hub away: Louvain leaves the two
    // joined by nothing.
    let mut edges = Vec::new();
    for base in [0, 4] {
        for a in base..base + 4 {
            edges.extend((a + 1..base + 4).map(|b| (a, b, 1.0)));
            edges.push((a, 8, 0.6));
        }
    }
    for a in 9..13 {
        edges.extend((a + 1..13).map(|b| (a, b, 2.0)));
        edges.push((a, 8, 2.0));
    }
    let graph = graph(13, &edges);
    let split =
        Net::of(&graph, 1.0).expect("valid").connected(&[0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1]);
    assert_ne!(split[0], split[4], "cut apart where nothing joins them");
    for seed in 0..20 {
        let found = leiden(&graph, 0.3, seed).expect("found");
        let joined = found.of[0] == found.of[4];
        assert!(!joined || found.of[8] == found.of[0], "seed {seed}: {:?}", found.of);
    }
}

#[test]
fn wrong_settings_and_weights_are_refused_and_edges_that_are_absent_are_not() {
    let none = graph(4, &[]);
    assert_eq!(leiden(&none, 1.0, 0).expect("found").of, [0, 1, 2, 3]);
    assert!(leiden(&none, 0.0, 0).is_err() && leiden(&none, f64::NAN, 0).is_err());
    assert!(leiden(&graph(2, &[(0, 1, -1.0)]), 1.0, 0).is_err());
    assert!(modularity(&none, &[0, 1], 1.0).is_err());
}
