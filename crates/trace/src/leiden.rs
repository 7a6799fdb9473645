//! Communities of an undirected weighted graph by the Leiden method.
//!
//! Maximises `Q = Σ_c (w_in(c)/2m − γ (k_c/2m)²)`, where `w_in` counts each inner edge both ways and `k_c`
//! sums strengths. Rounds of local moves from a queue, a refinement of each community from single nodes
//! that only merge along edges, and the aggregation of the refined parts.
//!
//! Source: Traag, Waltman, van Eck 2019, "From Louvain to Leiden", Scientific Reports 9:5233, algorithm 1.
//! Differs: merges of the refinement take the best gain (θ → 0); at the end a community that has come
//! apart is split, so that all are connected.
//! Memory: the edges twice.

use std::collections::{BTreeMap, VecDeque};

use nissl_core::graph::Graph;
use nissl_core::{Error, Result};
use rand::seq::SliceRandom;

/// The stream of random numbers.
const STREAM: u64 = 0x1e1d;

/// Communities and how good they are.
#[derive(Clone, Debug, PartialEq)]
pub struct Communities {
    /// The community of each row of the node table, numbered from 0 by size, the largest first.
    pub of: Vec<usize>,
    /// `Q`.
    pub modularity: f64,
}

/// Neighbours and weights of each node; a node's own loop stands in `loops`, counted both ways.
#[derive(Clone, Debug)]
pub(crate) struct Net {
    links: Vec<Vec<(usize, f64)>>,
    loops: Vec<f64>,
    strength: Vec<f64>,
    /// 2m
    total: f64,
}

/// Finds the communities of `graph`, whose direction is ignored and whose parallel edges add up.
///
/// # Errors
/// A resolution that is not positive, or a negative weight.
pub fn leiden(graph: &Graph, resolution: f64, seed: u64) -> Result<Communities> {
    Ok(of_net(&Net::of(graph, resolution)?, resolution, seed))
}

/// [`leiden`] of a net.
pub(crate) fn of_net(net: &Net, resolution: f64, seed: u64) -> Communities {
    let mut random = nissl_core::seed::rng(seed, STREAM);
    let mut of: Vec<usize> = (0..net.links.len()).collect();
    let mut now = net.clone();
    let mut start: Vec<usize> = of.clone();
    loop {
        let parts = renumbered(&now.moved(start, resolution, &mut random));
        let communities = 1 + parts.iter().copied().max().unwrap_or(0);
        if communities == now.links.len() {
            of = of.iter().map(|&node| parts[node]).collect();
            break;
        }
        let refined = renumbered(&now.refined(&parts, resolution, &mut random));
        let merged = 1 + refined.iter().copied().max().unwrap_or(0);
        if merged == now.links.len() {
            of = of.iter().map(|&node| parts[node]).collect();
            break;
        }
        start = vec![0; merged];
        for (node, &part) in refined.iter().enumerate() {
            start[part] = parts[node];
        }
        of = of.iter().map(|&node| refined[node]).collect();
        now = now.aggregated(&refined, merged);
    }
    let of = by_size(&net.connected(&of));
    let modularity = net.modularity(&of, resolution);
    Communities { of, modularity }
}

/// `Q` of any communities of `graph`.
///
/// # Errors
/// As [`leiden`], or another number of communities than nodes.
pub fn modularity(graph: &Graph, of: &[usize], resolution: f64) -> Result<f64> {
    let net = Net::of(graph, resolution)?;
    if of.len() != net.links.len() {
        let expected = format!("{}, one a node", net.links.len());
        return Err(Error::setting("communities", of.len(), expected));
    }
    Ok(net.modularity(of, resolution))
}

impl Net {
    fn of(graph: &Graph, resolution: f64) -> Result<Self> {
        if !(resolution.is_finite() && resolution > 0.0) {
            return Err(Error::setting("resolution", resolution, "a positive number"));
        }
        let nodes = graph.nodes().rows();
        let mut pairs = BTreeMap::new();
        for (source, target, weight) in graph.links() {
            if weight < 0.0 {
                return Err(Error::setting("weight", weight, "at least 0 for communities"));
            }
            let (a, b) = (graph.row(source)?, graph.row(target)?);
            *pairs.entry((a.min(b), a.max(b))).or_insert(0.0) += weight;
        }
        Ok(Self::from_pairs(nodes, pairs, vec![0.0; nodes]))
    }

    /// Of edges between rows.
    pub(crate) fn of_pairs(
        nodes: usize,
        edges: &[(u32, u32, f64)],
        resolution: f64,
    ) -> Result<Self> {
        if !(resolution.is_finite() && resolution > 0.0) {
            return Err(Error::setting("resolution", resolution, "a positive number"));
        }
        if let Some(&(a, b, weight)) = edges.iter().find(|edge| edge.2 < 0.0) {
            let found = format!("{weight} between the nodes {a} and {b}");
            return Err(Error::setting("weight", found, "at least 0 for modularity"));
        }
        let pairs = edges.iter().map(|&(a, b, weight)| ((a as usize, b as usize), weight));
        Ok(Self::from_pairs(nodes, pairs.collect(), vec![0.0; nodes]))
    }

    /// The number of nodes.
    pub(crate) fn nodes(&self) -> usize {
        self.links.len()
    }

    fn from_pairs(nodes: usize, pairs: BTreeMap<(usize, usize), f64>, mut loops: Vec<f64>) -> Self {
        let mut links = vec![Vec::new(); nodes];
        for ((a, b), weight) in pairs {
            if a == b {
                loops[a] += 2.0 * weight;
            } else if weight > 0.0 {
                links[a].push((b, weight));
                links[b].push((a, weight));
            }
        }
        let strength: Vec<f64> = (0..nodes)
            .map(|n| loops[n] + links[n].iter().map(|(_, weight)| weight).sum::<f64>())
            .collect();
        let total = strength.iter().sum();
        Self { links, loops, strength, total }
    }

    pub(crate) fn modularity(&self, of: &[usize], resolution: f64) -> f64 {
        if self.total <= 0.0 {
            return 0.0;
        }
        let count = 1 + of.iter().copied().max().unwrap_or(0);
        let (mut inner, mut strength) = (vec![0.0; count], vec![0.0; count]);
        for (node, links) in self.links.iter().enumerate() {
            strength[of[node]] += self.strength[node];
            inner[of[node]] += self.loops[node];
            for &(other, weight) in links {
                if of[other] == of[node] {
                    inner[of[node]] += weight;
                }
            }
        }
        let parts = inner.iter().zip(&strength);
        parts.map(|(w, k)| w / self.total - resolution * (k / self.total).powi(2)).sum()
    }

    /// Moves nodes to the neighbouring community of the best gain until none gains.
    pub(crate) fn moved(
        &self,
        mut of: Vec<usize>,
        resolution: f64,
        random: &mut impl rand::Rng,
    ) -> Vec<usize> {
        let nodes = self.links.len();
        let mut strength = vec![0.0; nodes];
        for node in 0..nodes {
            strength[of[node]] += self.strength[node];
        }
        let mut order: Vec<usize> = (0..nodes).collect();
        order.shuffle(random);
        let mut queue: VecDeque<usize> = order.into();
        let mut waits = vec![true; nodes];
        while let Some(node) = queue.pop_front() {
            waits[node] = false;
            let own = of[node];
            strength[own] -= self.strength[node];
            let best = self.best(node, own, &strength, resolution, |other| Some(of[other]));
            strength[best] += self.strength[node];
            if best == own {
                continue;
            }
            of[node] = best;
            for &(other, _) in &self.links[node] {
                if of[other] != best && !waits[other] {
                    waits[other] = true;
                    queue.push_back(other);
                }
            }
        }
        of
    }

    /// The community of the best gain for `node`, `own` unless another is better by more than rounding.
    fn best(
        &self,
        node: usize,
        own: usize,
        strength: &[f64],
        resolution: f64,
        of: impl Fn(usize) -> Option<usize>,
    ) -> usize {
        let mut weights = BTreeMap::from([(own, 0.0)]);
        for &(other, weight) in &self.links[node] {
            if let Some(community) = of(other) {
                *weights.entry(community).or_insert(0.0) += weight;
            }
        }
        let expected = resolution * self.strength[node] / self.total.max(f64::MIN_POSITIVE);
        let gain = |community: usize, weight: f64| weight - expected * strength[community];
        let mut best = (own, gain(own, weights[&own]));
        for (&community, &weight) in &weights {
            let gain = gain(community, weight);
            if gain > best.1 + 1e-12 * self.total {
                best = (community, gain);
            }
        }
        best.0
    }

    /// Parts inside the communities `parts`, grown from single nodes along edges.
    fn refined(&self, parts: &[usize], resolution: f64, random: &mut impl rand::Rng) -> Vec<usize> {
        let nodes = self.links.len();
        let mut of: Vec<usize> = (0..nodes).collect();
        let mut strength = self.strength.clone();
        let mut whole = vec![0.0; nodes];
        for node in 0..nodes {
            whole[parts[node]] += self.strength[node];
        }
        let mut is_single = vec![true; nodes];
        let mut order: Vec<usize> = (0..nodes).collect();
        order.shuffle(random);
        for node in order {
            let inner = self.links[node].iter().filter(|(other, _)| parts[*other] == parts[node]);
            let inner: f64 = inner.map(|(_, weight)| weight).sum();
            let (own, rest) = (self.strength[node], whole[parts[node]] - self.strength[node]);
            // Only nodes that are well connected within their community may merge.
            let well = inner >= resolution * own * rest / self.total.max(f64::MIN_POSITIVE);
            if !is_single[node] || !well {
                continue;
            }
            strength[node] -= self.strength[node];
            let best = self.best(node, node, &strength, resolution, |other| {
                (parts[other] == parts[node]).then_some(of[other])
            });
            strength[best] += self.strength[node];
            if best != node {
                of[node] = best;
                is_single[best] = false;
            }
        }
        of
    }

    pub(crate) fn aggregated(&self, of: &[usize], count: usize) -> Self {
        let mut loops = vec![0.0; count];
        let mut pairs = BTreeMap::new();
        for (node, links) in self.links.iter().enumerate() {
            loops[of[node]] += self.loops[node];
            for &(other, weight) in links.iter().filter(|(other, _)| node < *other) {
                let (a, b) = (of[node].min(of[other]), of[node].max(of[other]));
                *pairs.entry((a, b)).or_insert(0.0) += weight;
            }
        }
        Self::from_pairs(count, pairs, loops)
    }

    /// The connected parts of communities.
    fn connected(&self, of: &[usize]) -> Vec<usize> {
        let mut part = vec![usize::MAX; of.len()];
        let mut count = 0;
        for first in 0..of.len() {
            if part[first] != usize::MAX {
                continue;
            }
            let mut open = vec![first];
            part[first] = count;
            while let Some(node) = open.pop() {
                for &(other, _) in &self.links[node] {
                    if part[other] == usize::MAX && of[other] == of[node] {
                        part[other] = count;
                        open.push(other);
                    }
                }
            }
            count += 1;
        }
        part
    }
}

/// Communities numbered from 0 in the order of their first node.
pub(crate) fn renumbered(of: &[usize]) -> Vec<usize> {
    let mut numbers = BTreeMap::new();
    let number = |community: &usize| {
        let next = numbers.len();
        *numbers.entry(*community).or_insert(next)
    };
    of.iter().map(number).collect()
}

pub(crate) fn by_size(of: &[usize]) -> Vec<usize> {
    let of = renumbered(of);
    let count = 1 + of.iter().copied().max().unwrap_or(0);
    let mut sizes = vec![0usize; count];
    for &community in &of {
        sizes[community] += 1;
    }
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by_key(|&community| (usize::MAX - sizes[community], community));
    let mut rank = vec![0; count];
    for (place, community) in order.into_iter().enumerate() {
        rank[community] = place;
    }
    of.iter().map(|&community| rank[community]).collect()
}

#[cfg(test)]
mod tests;
