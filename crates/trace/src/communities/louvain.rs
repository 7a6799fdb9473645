//! Communities by the Louvain method: moves of nodes that gain modularity, and aggregation.
//!
//! `Q = Σ_c (w_in(c)/2m − γ (k_c/2m)²)`
//!
//! Source: Blondel et al. 2008, J. Stat. Mech. P10008.
//! Left out: nothing; communities may come apart, which is what Leiden mends.
//! Memory: the edges twice.

use nissl_core::Result;

use super::graph::WeightedGraph;
use crate::leiden::{Communities, Net, by_size, renumbered};

/// The stream of random numbers.
const STREAM: u64 = 0x10_0f;

/// Finds the communities of `graph` at `resolution` γ above 0.
///
/// # Errors
/// A resolution that is not positive, or a negative weight.
pub fn louvain(graph: &WeightedGraph, resolution: f64, seed: u64) -> Result<Communities> {
    let net = Net::of_pairs(graph.nodes(), graph.edges(), resolution)?;
    let mut random = nissl_core::seed::rng(seed, STREAM);
    let mut of: Vec<usize> = (0..graph.nodes()).collect();
    let mut now = net.clone();
    loop {
        let nodes = now.nodes();
        let parts = renumbered(&now.moved((0..nodes).collect(), resolution, &mut random));
        let found = 1 + parts.iter().copied().max().unwrap_or(0);
        of = of.iter().map(|&node| parts[node]).collect();
        if found == nodes {
            break;
        }
        now = now.aggregated(&parts, found);
    }
    let of = by_size(&of);
    let modularity = net.modularity(&of, resolution);
    Ok(Communities { of, modularity })
}
