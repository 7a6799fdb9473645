//! Communities of the greatest asymptotic surprise.
//!
//! `S = w D(q ‖ q̂)`, `q` the share of weight within communities, `q̂` the share of pairs of nodes within,
//! `w` all weight and `D` the Kullback–Leibler divergence of two yes-or-no draws; 0 when `q < q̂`. Found by
//! moves of nodes and aggregation.
//!
//! Source: Traag, Aldecoa, Delvenne 2015, Phys. Rev. E 92:022816.
//! Memory: the edges twice.

use std::collections::BTreeMap;

use nissl_core::{Error, Result};
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::graph::WeightedGraph;

/// The stream of random numbers.
const STREAM: u64 = 0x50_7b;

/// Nodes that may stand for several, and what joins them.
struct Net {
    links: Vec<Vec<(usize, f64)>>,
    sizes: Vec<f64>,
}

/// All weight, that within communities, and pairs of nodes, all and within.
#[derive(Clone, Copy)]
struct Shares {
    weight: f64,
    inner: f64,
    pairs: f64,
    inner_pairs: f64,
}

impl Shares {
    fn surprise(&self) -> f64 {
        let q = (self.inner / self.weight).clamp(0.0, 1.0);
        let expected = (self.inner_pairs / self.pairs).clamp(0.0, 1.0);
        if q <= expected {
            return 0.0;
        }
        let term = |q: f64, p: f64| if q > 0.0 { q * (q / p).ln() } else { 0.0 };
        self.weight * (term(q, expected) + term(1.0 - q, 1.0 - expected))
    }
}

/// Finds the communities of `graph`; the label of each node, and S in nats.
///
/// # Errors
/// A negative weight, or no weight at all.
pub fn surprise(graph: &WeightedGraph, seed: u64) -> Result<(Vec<u32>, f64)> {
    if let Some(&(a, b, weight)) = graph.edges().iter().find(|edge| edge.2 < 0.0) {
        let found = format!("{weight} between the nodes {a} and {b}");
        return Err(Error::setting("weight", found, "at least 0 for asymptotic surprise"));
    }
    let nodes = graph.nodes();
    let weight = graph.edges().iter().map(|edge| edge.2).sum::<f64>();
    if weight <= 0.0 || nodes < 2 {
        return Err(Error::setting("weight", weight, "a sum above 0 for asymptotic surprise"));
    }
    let mut random = nissl_core::seed::rng(seed, STREAM);
    let mut links = vec![Vec::new(); nodes];
    for &(a, b, weight) in graph.edges() {
        links[a as usize].push((b as usize, weight));
        links[b as usize].push((a as usize, weight));
    }
    let pairs = nodes as f64 * (nodes as f64 - 1.0) / 2.0;
    let mut shares = Shares { weight, inner: 0.0, pairs, inner_pairs: 0.0 };
    let mut net = Net { links, sizes: vec![1.0; nodes] };
    let mut of: Vec<usize> = (0..nodes).collect();
    loop {
        let parts = moved(&net, &mut shares, &mut random);
        let found = 1 + parts.iter().copied().max().unwrap_or(0);
        for label in &mut of {
            *label = parts[*label];
        }
        if found == net.sizes.len() {
            let of: Vec<u32> = of.iter().map(|&label| label as u32).collect();
            return Ok((super::graph::by_size(&of), shares.surprise()));
        }
        net = aggregated(&net, &parts, found);
    }
}

/// Moves nodes until none gains; communities without gaps.
fn moved(net: &Net, shares: &mut Shares, random: &mut ChaCha8Rng) -> Vec<usize> {
    let nodes = net.sizes.len();
    let mut of: Vec<usize> = (0..nodes).collect();
    let mut sizes = net.sizes.clone();
    let mut order = of.clone();
    order.shuffle(random);
    let mut has_moved = true;
    while has_moved {
        has_moved = false;
        for &node in &order {
            let own = of[node];
            let mut weights = BTreeMap::from([(own, 0.0)]);
            for &(other, weight) in &net.links[node] {
                *weights.entry(of[other]).or_insert(0.0) += weight;
            }
            let rest = sizes[own] - net.sizes[node];
            let now = shares.surprise();
            let mut best = (now + 1e-9 * (1.0 + now.abs()), own, *shares);
            for (&to, &weight) in weights.iter().filter(|(to, _)| **to != own) {
                let after = Shares {
                    inner: shares.inner + weight - weights[&own],
                    inner_pairs: shares.inner_pairs + net.sizes[node] * (sizes[to] - rest),
                    ..*shares
                };
                if after.surprise() > best.0 {
                    best = (after.surprise(), to, after);
                }
            }
            if best.1 != own {
                sizes[own] = rest;
                sizes[best.1] += net.sizes[node];
                (of[node], *shares) = (best.1, best.2);
                has_moved = true;
            }
        }
    }
    crate::leiden::renumbered(&of)
}

fn aggregated(net: &Net, parts: &[usize], found: usize) -> Net {
    let mut sizes = vec![0.0; found];
    let mut links = vec![BTreeMap::new(); found];
    for (node, near) in net.links.iter().enumerate() {
        sizes[parts[node]] += net.sizes[node];
        for &(other, weight) in near.iter().filter(|(other, _)| parts[*other] != parts[node]) {
            *links[parts[node]].entry(parts[other]).or_insert(0.0) += weight;
        }
    }
    Net { links: links.into_iter().map(|near| near.into_iter().collect()).collect(), sizes }
}
