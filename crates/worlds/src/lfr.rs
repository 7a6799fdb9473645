//! The weighted benchmark graphs of Lancichinetti, Fortunato and Radicchi: communities with known mixing.
//!
//! Degrees follow a power law `k^{−τ₁}` of given mean, sizes of communities `s^{−τ₂}`; a share `1 − μ_t` of a
//! node's edges stays in its community; its strength is `k^β`, of which `1 − μ_w` lies on those edges.
//! Edges are dealt to the largest need first and then swapped at random; weights are scaled by turns until
//! strengths inside and outside are met to 10⁻³.
//!
//! Source: Lancichinetti and Fortunato 2009, Phys. Rev. E 80:016118.
//! Differs: proportional scaling keeps weights positive where least squares may not; a node whose community
//! is too small for its inner edges has more outer ones; graphs that miss `μ_t` or `μ_w` by more than 0.03 on
//! average are drawn anew.
//! Memory: `[node, node]` bits as bytes, and the edges.

mod edges;
mod weights;

use nissl_core::graph::{Graph, Orientation};
use nissl_core::{Column, Error, Result, Table};
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Graphs that are drawn before the settings are given up.
const ATTEMPTS: u64 = 400;
/// How far the realised mixing may be from the wanted one.
const TOLERANCE: f64 = 0.03;

/// What is planted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct WeightedLfr {
    /// Nodes, at least 10 (N)
    #[arg(long, default_value_t = WeightedLfr::default().nodes)]
    pub nodes: usize,
    /// Mean number of edges of a node, at least 2, below the largest (k)
    #[arg(long, default_value_t = WeightedLfr::default().mean_degree, value_name = "EDGES")]
    pub mean_degree: f64,
    /// Most edges of a node, below the number of nodes
    #[arg(long, default_value_t = WeightedLfr::default().largest_degree, value_name = "EDGES")]
    pub largest_degree: usize,
    /// Exponent of the degrees, at least 0 (τ₁)
    #[arg(long, default_value_t = WeightedLfr::default().degree_exponent, value_name = "TAU")]
    pub degree_exponent: f64,
    /// Exponent of the sizes of communities, at least 0 (τ₂)
    #[arg(long, default_value_t = WeightedLfr::default().size_exponent, value_name = "TAU")]
    pub size_exponent: f64,
    /// Share of a node's edges that leave its community, 0 to below 1 (μ_t)
    #[arg(long, default_value_t = WeightedLfr::default().edge_mixing, value_name = "SHARE")]
    pub edge_mixing: f64,
    /// Share of a node's strength that leaves its community, 0 to below 1 (μ_w)
    #[arg(long, default_value_t = WeightedLfr::default().weight_mixing, value_name = "SHARE")]
    pub weight_mixing: f64,
    /// Exponent of strength by degree, at least 0 (β)
    #[arg(long, default_value_t = WeightedLfr::default().strength_exponent, value_name = "BETA")]
    pub strength_exponent: f64,
    /// The seed of every draw; set by the run
    #[arg(skip)]
    pub seed: u64,
}

impl Default for WeightedLfr {
    fn default() -> Self {
        Self {
            nodes: 125,
            mean_degree: 25.0,
            largest_degree: 100,
            degree_exponent: 2.0,
            size_exponent: 1.0,
            edge_mixing: 0.5,
            weight_mixing: 0.5,
            strength_exponent: 2.0,
            seed: 13,
        }
    }
}

/// A benchmark graph with its truth.
#[derive(Clone, Debug, PartialEq)]
pub struct LfrGraph {
    /// Edges as `(a, b, weight)` with `a < b`, ascending.
    pub edges: Vec<(u32, u32, f64)>,
    /// The community of each node `[node]`.
    pub communities: Vec<u32>,
    /// The mean over nodes of the share of edges that leave the community.
    pub edge_mixing: f64,
    /// The mean over nodes of the share of strength that leaves the community.
    pub weight_mixing: f64,
    /// The mean number of edges of a node.
    pub mean_degree: f64,
}

impl WeightedLfr {
    /// # Errors
    /// A setting outside its range.
    pub fn validate(&self) -> Result<()> {
        if self.nodes < 10 || self.nodes > 20_000 {
            return Err(Error::setting("nodes", self.nodes, "10 to 20000"));
        }
        if self.largest_degree >= self.nodes || self.largest_degree < 2 {
            let expected = format!("2 to {}, one less than the nodes", self.nodes - 1);
            return Err(Error::setting("largest_degree", self.largest_degree, expected));
        }
        if !(self.mean_degree >= 2.0 && self.mean_degree <= self.largest_degree as f64) {
            let expected = format!("2 to {}, the largest degree", self.largest_degree);
            return Err(Error::setting("mean_degree", self.mean_degree, expected));
        }
        for (field, value) in [
            ("degree_exponent", self.degree_exponent),
            ("size_exponent", self.size_exponent),
            ("strength_exponent", self.strength_exponent),
        ] {
            if !(0.0..=10.0).contains(&value) {
                return Err(Error::setting(field, value, "0 to 10"));
            }
        }
        for (field, value) in
            [("edge_mixing", self.edge_mixing), ("weight_mixing", self.weight_mixing)]
        {
            if !(0.0..1.0).contains(&value) {
                return Err(Error::setting(field, value, "0 to below 1"));
            }
        }
        if self.edge_mixing == 0.0 && self.weight_mixing > TOLERANCE {
            let expected = "0, as no edge leaves a community";
            return Err(Error::setting("weight_mixing", self.weight_mixing, expected));
        }
        Ok(())
    }

    /// Draws a graph.
    ///
    /// # Errors
    /// Settings that fail [`Self::validate`], or that no graph among many has met.
    pub fn generate(&self) -> Result<LfrGraph> {
        self.validate()?;
        let mut nearest = f64::INFINITY;
        for attempt in 0..ATTEMPTS {
            let mut random = nissl_core::seed::rng(self.seed, attempt);
            let Some(found) = self.draw(&mut random) else { continue };
            let apart = |a: f64, b: f64| (a - b).abs();
            let off = apart(found.edge_mixing, self.edge_mixing)
                .max(apart(found.weight_mixing, self.weight_mixing));
            if off <= TOLERANCE {
                return Ok(found);
            }
            nearest = nearest.min(off);
        }
        let found = format!("missed by {nearest:.3} in the nearest of {ATTEMPTS} graphs");
        Err(Error::setting("mixing", found, format!("missed by {TOLERANCE} at most"))
            .with_help("communities may be too large to leave edges between them: lower the largest degree, or take more nodes"))
    }

    fn draw(&self, random: &mut ChaCha8Rng) -> Option<LfrGraph> {
        let degrees = self.degrees(random);
        let inner: Vec<usize> = degrees
            .iter()
            .map(|&degree| {
                let share = (1.0 - self.edge_mixing) * degree as f64;
                share.floor() as usize + usize::from(random.random::<f64>() < share.fract())
            })
            .collect();
        let sizes = self.sizes(&inner, random)?;
        let communities = placed(&inner, &sizes, random);
        // What a community has no room for goes outside.
        let inner: Vec<usize> = inner
            .iter()
            .zip(&communities)
            .map(|(&inner, &community)| inner.min(sizes[community as usize] - 1))
            .collect();
        let outer: Vec<usize> =
            degrees.iter().zip(&inner).map(|(all, inner)| all - inner).collect();
        let mut pairs = edges::joined(&inner, &|a, b| communities[a] == communities[b], random);
        pairs.extend(edges::joined(&outer, &|a, b| communities[a] != communities[b], random));
        pairs.sort_unstable();
        let is_inner: Vec<bool> = pairs
            .iter()
            .map(|&(a, b)| communities[a as usize] == communities[b as usize])
            .collect();
        let counts = edges::counts(&pairs, &is_inner, self.nodes);
        let strengths = |count: &[usize; 2]| {
            let strength = ((count[0] + count[1]) as f64).powf(self.strength_exponent);
            [(1.0 - self.weight_mixing) * strength, self.weight_mixing * strength]
        };
        let wanted: Vec<[f64; 2]> = counts.iter().map(strengths).collect();
        let weights = weights::scaled(&pairs, &is_inner, &counts, &wanted);
        let mut reached = vec![[0.0; 2]; self.nodes];
        for ((&(a, b), &weight), &is_inner) in pairs.iter().zip(&weights).zip(&is_inner) {
            reached[a as usize][usize::from(!is_inner)] += weight;
            reached[b as usize][usize::from(!is_inner)] += weight;
        }
        let share = |inner: f64, outer: f64| (inner + outer > 0.0).then(|| outer / (inner + outer));
        let mean = |shares: Vec<Option<f64>>| {
            let shares: Vec<f64> = shares.into_iter().flatten().collect();
            shares.iter().sum::<f64>() / shares.len().max(1) as f64
        };
        let edge_shares = counts.iter().map(|count| share(count[0] as f64, count[1] as f64));
        let weight_shares = reached.iter().map(|sum| share(sum[0], sum[1]));
        Some(LfrGraph {
            edge_mixing: mean(edge_shares.collect()),
            weight_mixing: mean(weight_shares.collect()),
            mean_degree: 2.0 * pairs.len() as f64 / self.nodes as f64,
            edges: pairs.iter().zip(&weights).map(|(&(a, b), &weight)| (a, b, weight)).collect(),
            communities,
        })
    }

    /// Degrees by the power law whose lower end gives the wanted mean.
    fn degrees(&self, random: &mut ChaCha8Rng) -> Vec<usize> {
        let (exponent, most) = (self.degree_exponent, self.largest_degree);
        let mean = |least: f64| {
            let shares = (1..=most).map(|k| {
                // The lowest degree may be taken in part, so that the mean is met.
                let part = (k as f64 + 1.0 - least).clamp(0.0, 1.0);
                (k as f64, part * (k as f64).powf(-exponent))
            });
            let (sum, all) = shares.fold((0.0, 0.0), |(sum, all), (k, p)| (sum + k * p, all + p));
            sum / all
        };
        let (mut low, mut high) = (1.0, most as f64);
        for _ in 0..60 {
            let middle = f64::midpoint(low, high);
            if mean(middle) < self.mean_degree { low = middle } else { high = middle }
        }
        let shares: Vec<f64> = (1..=most)
            .map(|k| (k as f64 + 1.0 - low).clamp(0.0, 1.0) * (k as f64).powf(-exponent))
            .collect();
        (0..self.nodes).map(|_| 1 + drawn(&shares, random)).collect()
    }

    /// Sizes of communities that add up to the nodes and have room for the largest inner degree where
    /// two communities can hold it.
    fn sizes(&self, inner: &[usize], random: &mut ChaCha8Rng) -> Option<Vec<usize>> {
        let least = inner.iter().copied().min()?.max(2) + 1;
        // No community may be so large that its outer edges find no ends.
        let room = if self.edge_mixing > 0.0 { self.nodes / 2 } else { self.nodes };
        let most = (inner.iter().copied().max()? + 1).clamp(least, room.max(least));
        let shares: Vec<f64> =
            (least..=most).map(|size| (size as f64).powf(-self.size_exponent)).collect();
        let mut sizes: Vec<usize> = Vec::new();
        let mut left = self.nodes;
        while left > 0 {
            let size = (least + drawn(&shares, random)).min(left);
            if size < least {
                // Too few for another community: the others grow.
                for _ in 0..size {
                    let place = random.random_range(0..sizes.len().max(1));
                    *sizes.get_mut(place)? += 1;
                }
            } else {
                sizes.push(size);
            }
            left -= size;
        }
        Some(sizes)
    }
}

/// Nodes in communities by chance, those with most inner edges first, into ones with room for these.
fn placed(inner: &[usize], sizes: &[usize], random: &mut ChaCha8Rng) -> Vec<u32> {
    let mut order: Vec<usize> = (0..inner.len()).collect();
    order.shuffle(random);
    order.sort_by_key(|&node| std::cmp::Reverse(inner[node]));
    let mut free = sizes.to_vec();
    let mut communities = vec![0; inner.len()];
    for node in order {
        let large = sizes.iter().copied().max().unwrap_or(0).min(inner[node] + 1);
        // Each free place is as likely as another.
        let fits = |community: usize| free[community] > 0 && sizes[community] >= large;
        let is_any = (0..sizes.len()).any(fits);
        let places: Vec<f64> = (0..sizes.len())
            .map(|it| if fits(it) || !is_any { free[it] as f64 } else { 0.0 })
            .collect();
        let community = drawn(&places, random);
        free[community] -= 1;
        communities[node] = community as u32;
    }
    communities
}

/// An index drawn in proportion to its share.
fn drawn(shares: &[f64], random: &mut ChaCha8Rng) -> usize {
    let mut left = random.random::<f64>() * shares.iter().sum::<f64>();
    let found = shares.iter().position(|share| {
        left -= share;
        left < 0.0
    });
    found.unwrap_or_else(|| shares.iter().rposition(|share| *share > 0.0).unwrap_or(0))
}

impl LfrGraph {
    /// The graph, whose nodes carry their `community`.
    ///
    /// # Errors
    /// Never, as the parts fit each other.
    pub fn graph(&self) -> Result<Graph> {
        let count = self.communities.len();
        let names = (0..count).map(|node| format!("node {node}")).collect();
        let nodes = Table::new()
            .with("node", Column::U32((0..count as u32).collect()))
            .with("kind", Column::Text(vec!["node".to_owned(); count]))
            .with("name", Column::Text(names))
            .with("community", Column::U32(self.communities.clone()));
        let edges = Table::new()
            .with("source", Column::U32(self.edges.iter().map(|edge| edge.0).collect()))
            .with("target", Column::U32(self.edges.iter().map(|edge| edge.1).collect()))
            .with("type", Column::Text(vec!["edge".to_owned(); self.edges.len()]))
            .with("weight", Column::F64(self.edges.iter().map(|edge| edge.2).collect()));
        Graph::new(nodes, edges, Orientation::Undirected)
    }

    /// The number of communities.
    pub fn count(&self) -> usize {
        self.communities.iter().max().map_or(0, |&most| most as usize + 1)
    }
}

#[cfg(test)]
mod tests;
