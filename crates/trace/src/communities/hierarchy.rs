//! The levels above the groups of a nested block model.
//!
//! The counts of edges between groups are themselves a graph, described by a block model of the level
//! above: `Σ_{r<s} ln multiset(n_r n_s, e_rs) + Σ_r ln multiset(n_r(n_r+1)/2, e_rr/2)` and the partition,
//! `n` counted in groups of the level below, up to a single group.
//!
//! Source: Peixoto 2014, Phys. Rev. X 4:011047, §III; 2017, Phys. Rev. E 95:012317, §IV.

use super::combinatorics::{ln_choose, ln_factorial, ln_multiset};

/// Groups of groups: level by level, the last of which has one group.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Upper {
    /// The group at level 1 of each group at level 0.
    pub(super) of: Vec<u32>,
    /// The levels above it, each for the groups of the level below.
    pub(super) rest: Vec<Vec<u32>>,
    /// Edges between the groups of level 1, symmetric, inner edges once.
    pub(super) counts: Counts,
    pub(super) cost: f64,
}

/// Groups at a level: how many of the level below each has, and the edges between them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Counts {
    pub(super) sizes: Vec<u32>,
    pub(super) edges: Vec<u64>,
}

impl Counts {
    pub(super) fn new(groups: usize) -> Self {
        Self { sizes: vec![0; groups], edges: vec![0; groups * groups] }
    }

    /// Adds `count` edges between `a` and `b`.
    pub(super) fn add(&mut self, a: usize, b: usize, count: u64) {
        let groups = self.sizes.len();
        self.edges[a * groups + b] += count;
        if a != b {
            self.edges[b * groups + a] += count;
        }
    }

    fn take(&mut self, a: usize, b: usize, count: u64) {
        let groups = self.sizes.len();
        self.edges[a * groups + b] -= count;
        if a != b {
            self.edges[b * groups + a] -= count;
        }
    }

    /// Moves something with `links` edges to each group and `loops` to itself.
    pub(super) fn shift(&mut self, from: usize, to: usize, links: &[u64], loops: u64) {
        if from == to {
            return;
        }
        for (other, &count) in links.iter().enumerate().filter(|(_, count)| **count > 0) {
            self.take(from, other, count);
            self.add(to, other, count);
        }
        self.take(from, from, loops);
        self.add(to, to, loops);
    }

    /// The cost of these counts and of all levels above them.
    pub(super) fn cost(&self, rest: &[Vec<u32>]) -> f64 {
        let groups = self.sizes.len();
        let mut cost = 0.0;
        let (mut items, mut alive) = (0u64, 0u64);
        for (a, &size) in self.sizes.iter().enumerate().filter(|(_, size)| **size > 0) {
            let size = u64::from(size);
            items += size;
            alive += 1;
            cost += ln_multiset(size * (size + 1) / 2, self.edges[a * groups + a]);
            cost -= ln_factorial(size);
            for b in 0..a {
                if self.sizes[b] > 0 {
                    cost +=
                        ln_multiset(size * u64::from(self.sizes[b]), self.edges[a * groups + b]);
                }
            }
        }
        if items == 0 {
            return 0.0;
        }
        cost += ln_factorial(items) + ln_choose(items - 1, alive - 1) + (items as f64).ln();
        if let Some((of, rest)) = rest.split_first() {
            cost += self.above(of).cost(rest);
        }
        cost
    }

    /// The counts of the level above.
    pub(super) fn above(&self, of: &[u32]) -> Self {
        let mut above = Self::new(of.iter().max().map_or(0, |&most| most as usize + 1));
        let groups = self.sizes.len();
        for a in 0..groups {
            if self.sizes[a] > 0 {
                above.sizes[of[a] as usize] += 1;
            }
            for b in 0..=a {
                let count = self.edges[a * groups + b];
                if count > 0 {
                    above.add(of[a] as usize, of[b] as usize, count);
                }
            }
        }
        above
    }
}

impl Upper {
    /// The levels `levels` above groups with these counts between them, which has a size of 1 each.
    pub(super) fn new(below: &Counts, levels: &[Vec<u32>]) -> Self {
        let (of, rest) = match levels.split_first() {
            Some((of, rest)) => (of.clone(), rest.to_vec()),
            None => (vec![0; below.sizes.len()], Vec::new()),
        };
        let counts = below.above(&of);
        let cost = counts.cost(&rest);
        Self { of, rest, counts, cost }
    }

    /// The levels, from that above the groups.
    pub(super) fn levels(&self) -> Vec<Vec<u32>> {
        let mut levels = vec![self.of.clone()];
        levels.extend(self.rest.iter().cloned());
        levels
    }
}
