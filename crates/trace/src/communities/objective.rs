//! The terms of a description length: what each pair of groups, each group and the partition cost.
//!
//! `Σ = Σ_{r≤s} pair(r, s) + Σ_r group(r) + partition(B)`, in nats. Flat integrated: pair
//! `−ln B(m+1, p−m+1)`. Microcanonical: pair `−ln m!`, within a group `−ln (2m)!!`; group `e_r ln n_r`, or
//! degree-corrected `ln e_r!` and the prior of degrees; the edge counts by `multiset(B(B+1)/2, E)` or by a
//! hierarchy above. Every partition: `ln N! − Σ ln n_r! + ln C(N−1, B−1) + ln N`.
//!
//! Source: Peixoto 2017, Phys. Rev. E 95:012317, §II–IV.

use nissl_core::Result;

use super::combinatorics::{Partitions, ln_choose, ln_factorial, ln_multiset};
use super::graph::WeightedGraph;
use super::weights::{Prior, Sums, Weights};

/// What is known of degrees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Degrees {
    /// Nodes of a group are alike.
    Ignored,
    /// Each node keeps its degree, all degrees of a group being equally likely.
    Uniform,
    /// Each node keeps its degree, all distributions of degrees being equally likely.
    Distribution,
}

/// Which likelihood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Edge probabilities integrated out.
    Bernoulli,
    /// Edge counts given.
    Microcanonical(Degrees),
    /// Edge counts themselves, at a level of a hierarchy; nodes may have loops.
    Counts,
}

/// Edges of a node to another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub(super) to: u32,
    pub(super) sums: Sums,
}

/// A description length of partitions of one graph.
#[derive(Clone, Debug)]
pub(super) struct Objective {
    pub(super) kind: Kind,
    pub(super) prior: Prior,
    starts: Vec<usize>,
    links: Vec<Link>,
    /// Inner edges of each node.
    pub(super) loops: Vec<u32>,
    /// Ends of edges at each node, a loop twice.
    pub(super) degrees: Vec<u32>,
    /// The number of each node's degree among the distinct ones, and how many of these there are.
    pub(super) degree_numbers: Vec<u32>,
    pub(super) distinct: usize,
    partitions: Option<Partitions>,
    edges: u64,
    constant: f64,
}

impl Objective {
    pub(super) fn new(graph: &WeightedGraph, kind: Kind, weights: Weights) -> Result<Self> {
        let prior = Prior::new(graph, weights)?;
        let edges = graph.edges().iter().map(|&(a, b, weight)| (a, b, prior.edge(weight)));
        Ok(Self::from_links(kind, prior, vec![0; graph.nodes()], edges.collect()))
    }

    /// Of the edge counts between the nodes of a level, `loops` within them.
    pub(super) fn of_counts(loops: Vec<u32>, edges: Vec<(u32, u32, u32)>) -> Self {
        let sums = |edges| Sums { edges, ..Sums::default() };
        let edges = edges.into_iter().map(|(a, b, count)| (a, b, sums(count))).collect();
        Self::from_links(Kind::Counts, Prior::None, loops, edges)
    }

    fn from_links(kind: Kind, prior: Prior, loops: Vec<u32>, edges: Vec<(u32, u32, Sums)>) -> Self {
        let nodes = loops.len();
        let mut starts = vec![0; nodes + 1];
        for &(a, b, _) in &edges {
            starts[a as usize + 1] += 1;
            starts[b as usize + 1] += 1;
        }
        for node in 0..nodes {
            starts[node + 1] += starts[node];
        }
        let mut next = starts.clone();
        let mut links = vec![Link { to: 0, sums: Sums::default() }; 2 * edges.len()];
        let mut degrees: Vec<u32> = loops.iter().map(|count| 2 * count).collect();
        for &(a, b, sums) in &edges {
            for (from, to) in [(a, b), (b, a)] {
                links[next[from as usize]] = Link { to, sums };
                next[from as usize] += 1;
                degrees[from as usize] += sums.edges;
            }
        }
        let mut distinct = degrees.clone();
        distinct.sort_unstable();
        distinct.dedup();
        let number = |degree: &u32| distinct.partition_point(|it| it < degree) as u32;
        let degree_numbers = degrees.iter().map(number).collect();
        let total: u64 = degrees.iter().map(|&degree| u64::from(degree)).sum();
        let partitions = (kind == Kind::Microcanonical(Degrees::Distribution))
            .then(|| Partitions::new(total as usize, nodes));
        let count = nodes as u64;
        let mut constant = ln_factorial(count) + (count.max(1) as f64).ln();
        if let Kind::Microcanonical(Degrees::Uniform | Degrees::Distribution) = kind {
            constant -= degrees.iter().map(|&k| ln_factorial(u64::from(k))).sum::<f64>();
        }
        Self {
            kind,
            prior,
            starts,
            links,
            loops,
            degrees,
            degree_numbers,
            distinct: distinct.len(),
            partitions,
            edges: total / 2,
            constant,
        }
    }

    pub(super) fn nodes(&self) -> usize {
        self.loops.len()
    }

    pub(super) fn links(&self, node: usize) -> &[Link] {
        &self.links[self.starts[node]..self.starts[node + 1]]
    }

    /// Whether pairs without an edge cost something that depends on the sizes of the two groups.
    pub(super) fn counts_absent(&self) -> bool {
        !matches!(self.kind, Kind::Microcanonical(_))
    }

    pub(super) fn keeps_degrees(&self) -> bool {
        self.kind == Kind::Microcanonical(Degrees::Distribution)
    }

    /// The cost of which edges there are among `a` nodes.
    pub(super) fn within(&self, m: u32, a: u32) -> f64 {
        let (m, a) = (u64::from(m), u64::from(a));
        match self.kind {
            Kind::Bernoulli => beta(m, a * a.saturating_sub(1) / 2),
            Kind::Microcanonical(_) => -ln_factorial(m) - m as f64 * std::f64::consts::LN_2,
            Kind::Counts => ln_multiset(a * (a + 1) / 2, m),
        }
    }

    /// The cost of which edges there are between `a` and `b` other nodes.
    pub(super) fn between(&self, m: u32, a: u32, b: u32) -> f64 {
        let m = u64::from(m);
        match self.kind {
            Kind::Bernoulli => beta(m, u64::from(a) * u64::from(b)),
            Kind::Microcanonical(_) => -ln_factorial(m),
            Kind::Counts => ln_multiset(u64::from(a) * u64::from(b), m),
        }
    }

    /// The cost of a group of `n` nodes with `e` ends of edges; `alike` is `Σ_k ln η_k!`.
    pub(super) fn group(&self, n: u32, e: u64, alike: f64) -> f64 {
        if n == 0 {
            return 0.0;
        }
        let (size, members) = (u64::from(n), ln_factorial(u64::from(n)));
        match self.kind {
            Kind::Bernoulli | Kind::Counts => -members,
            Kind::Microcanonical(Degrees::Ignored) => e as f64 * f64::from(n).ln() - members,
            Kind::Microcanonical(Degrees::Uniform) => {
                ln_factorial(e) + ln_multiset(size, e) - members
            }
            Kind::Microcanonical(Degrees::Distribution) => {
                let ways = self.partitions.as_ref().map_or(0.0, |table| table.ln_count(e, size));
                ln_factorial(e) - alike + ways
            }
        }
    }

    /// What depends on the number of groups alone; `is_top` when no hierarchy tells the edge counts.
    pub(super) fn partition(&self, groups: usize, is_top: bool) -> f64 {
        let b = groups as u64;
        let sizes = ln_choose((self.nodes() as u64).saturating_sub(1), b.saturating_sub(1));
        let counts = match self.kind {
            Kind::Microcanonical(_) if is_top => ln_multiset(b * (b + 1) / 2, self.edges),
            Kind::Counts => ln_multiset(b * (b + 1) / 2, self.edges) + (b.max(1) as f64).ln(),
            Kind::Microcanonical(_) | Kind::Bernoulli => 0.0,
        };
        self.constant + sizes + counts
    }
}

/// `−ln B(m + 1, p − m + 1)`
fn beta(m: u64, p: u64) -> f64 {
    ln_factorial(p + 1) - ln_factorial(m) - ln_factorial(p.saturating_sub(m))
}
