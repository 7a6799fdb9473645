//! Communities by the eigenvectors of the normalised Laplacian and k-means.
//!
//! `L = I − D^{−½} W D^{−½}`; the rows of its `k` lowest eigenvectors, scaled to unit length, are clustered,
//! the best of twenty starts. `k` not given: from 2 to 20, where the gap between the eigenvalues `k` and
//! `k + 1` is widest.
//!
//! Source: Ng, Jordan, Weiss 2001, NIPS 14; von Luxburg 2007, Stat. Comput. 17:395, §8.3 (the gap).
//! Memory: four `[node, node]` matrices of f64.

use faer::Mat;
use nissl_core::{Error, Result};

use super::embedding::{eigen, k_means};
use super::graph::{WeightedGraph, by_size};

/// The stream of random numbers.
const STREAM: u64 = 0x5b_ec;
/// Communities that are looked for unless a number is given.
const MOST: usize = 20;
/// Starts of k-means.
const STARTS: usize = 20;
/// Nodes at most.
const MOST_NODES: usize = 8_000;

/// Finds `groups` communities of `graph`, or as many as its eigenvalues suggest; the label of each node,
/// and the gap between the eigenvalues.
///
/// # Errors
/// A negative weight, a node without weight, more groups than nodes, or a graph of more than 8,000 nodes.
pub fn spectral(
    graph: &WeightedGraph,
    groups: Option<usize>,
    seed: u64,
) -> Result<(Vec<u32>, f64)> {
    let nodes = graph.nodes();
    if nodes > MOST_NODES {
        return Err(Error::setting(
            "nodes",
            nodes,
            format!("at most {MOST_NODES} for eigenvectors"),
        )
        .with_help("take the method leiden or nested"));
    }
    if let Some(&(a, b, weight)) = graph.edges().iter().find(|edge| edge.2 < 0.0) {
        let found = format!("{weight} between the nodes {a} and {b}");
        return Err(Error::setting("weight", found, "at least 0 for the Laplacian"));
    }
    if let Some(groups) = groups.filter(|&groups| groups == 0 || groups > nodes) {
        return Err(Error::setting(
            "groups",
            groups,
            format!("1 to {nodes}, the nodes with an edge"),
        ));
    }
    let mut strength = vec![0.0; nodes];
    for &(a, b, weight) in graph.edges() {
        strength[a as usize] += weight;
        strength[b as usize] += weight;
    }
    if let Some(node) = strength.iter().position(|&strength| strength <= 0.0) {
        return Err(Error::setting(
            "weight",
            format!("0 at node {node}"),
            "some weight at each node",
        ));
    }
    let mut laplacian = Mat::<f64>::identity(nodes, nodes);
    for &(a, b, weight) in graph.edges() {
        let (a, b) = (a as usize, b as usize);
        let value = -weight / (strength[a] * strength[b]).sqrt();
        laplacian[(a, b)] = value;
        laplacian[(b, a)] = value;
    }
    let (values, vectors) = eigen(&laplacian)?;
    let gap = |k: usize| if k < nodes { values[k] - values[k - 1] } else { 0.0 };
    let k = groups.unwrap_or_else(|| {
        let all = 2..=MOST.min(nodes.saturating_sub(1));
        all.max_by(|&a, &b| gap(a).total_cmp(&gap(b)).then(b.cmp(&a))).unwrap_or(1)
    });
    let points = (0..nodes)
        .map(|node| {
            let row: Vec<f64> = (0..k).map(|column| vectors[(node, column)]).collect();
            let length = row.iter().map(|value| value * value).sum::<f64>().sqrt();
            row.into_iter().map(|value| value / length.max(f64::MIN_POSITIVE)).collect()
        })
        .collect();
    let starts = (0..STARTS).map(|start| {
        let mut random = nissl_core::seed::rng(seed, STREAM + ((start as u64) << 32));
        k_means(&points, k, &mut random)
    });
    let best = starts.min_by(|a, b| a.1.total_cmp(&b.1)).map_or_else(Vec::new, |best| best.0);
    Ok((by_size(&best), gap(k)))
}
