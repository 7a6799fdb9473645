//! A partition with the sums that make a move of a node cost O(degree + groups).
//!
//! Groups are numbered `0..groups`, none is empty; the number after the last stands for a new one.
//! Memory: 56 bytes for each pair of groups, and the partition.

mod delta;
mod shift;

use super::hierarchy::{Counts, Upper};
use super::objective::Objective;
use super::weights::Sums;
use delta::Around;

/// Edges between two groups and what they cost.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pair {
    pub(super) sums: Sums,
    edges_cost: f64,
    weights_cost: f64,
}

impl Pair {
    pub(super) fn cost(&self) -> f64 {
        self.edges_cost + self.weights_cost
    }
}

/// A partition of the nodes of an objective.
#[derive(Clone, Debug)]
pub(super) struct State<'a> {
    pub(super) objective: &'a Objective,
    pub(super) of: Vec<u32>,
    pub(super) groups: usize,
    capacity: usize,
    pub(super) size: Vec<u32>,
    pub(super) degree: Vec<u64>,
    /// `Σ_k ln η_k!` of each group, and η itself `[group, degree]`, when degrees have a distribution.
    pub(super) alike: Vec<f64>,
    pub(super) histogram: Vec<u32>,
    pairs: Vec<Pair>,
    pub(super) upper: Option<Upper>,
    around: Around,
}

impl<'a> State<'a> {
    /// The partition `of`, whose groups are numbered anew without gaps.
    pub(super) fn new(objective: &'a Objective, of: &[u32], levels: Option<&[Vec<u32>]>) -> Self {
        let mut state = Self {
            objective,
            of: of.to_vec(),
            groups: 0,
            capacity: 0,
            size: Vec::new(),
            degree: Vec::new(),
            alike: Vec::new(),
            histogram: Vec::new(),
            pairs: Vec::new(),
            upper: None,
            around: Around::default(),
        };
        state.recount();
        if let Some(levels) = levels {
            state.upper = Some(Upper::new(&state.counts(), levels));
        }
        state
    }

    /// Numbers the groups without gaps in their order and sums everything anew; drops the levels above.
    pub(super) fn recount(&mut self) {
        self.upper = None;
        let most = self.of.iter().max().map_or(0, |&most| most as usize + 1);
        let mut number = vec![u32::MAX; most];
        for &label in &self.of {
            number[label as usize] = 0;
        }
        let mut groups = 0;
        for number in number.iter_mut().filter(|number| **number == 0) {
            *number = groups;
            groups += 1;
        }
        for label in &mut self.of {
            *label = number[*label as usize];
        }
        self.groups = groups as usize;
        self.capacity = self.groups + 1 + self.groups / 4;
        self.fill();
    }

    fn fill(&mut self) {
        let (objective, capacity) = (self.objective, self.capacity);
        self.size = vec![0; capacity];
        self.degree = vec![0; capacity];
        self.alike = vec![0.0; capacity];
        self.pairs = vec![Pair::default(); capacity * capacity];
        let distinct = if objective.keeps_degrees() { objective.distinct } else { 0 };
        self.histogram = vec![0; capacity * distinct];
        for (node, &label) in self.of.iter().enumerate() {
            let group = label as usize;
            self.size[group] += 1;
            self.degree[group] += u64::from(objective.degrees[node]);
            self.pairs[group * capacity + group].sums.edges += objective.loops[node];
            if distinct > 0 {
                let seen =
                    &mut self.histogram[group * distinct + objective.degree_numbers[node] as usize];
                *seen += 1;
                self.alike[group] += f64::from(*seen).ln();
            }
            for link in objective.links(node).iter().filter(|link| (link.to as usize) < node) {
                let other = self.of[link.to as usize] as usize;
                let (a, b) = (group * capacity + other, other * capacity + group);
                self.pairs[a].sums = self.pairs[a].sums.plus(link.sums);
                if a != b {
                    self.pairs[b].sums = self.pairs[b].sums.plus(link.sums);
                }
            }
        }
        for a in 0..self.groups {
            for b in 0..=a {
                self.price(a, b);
            }
        }
        self.around = Around {
            links: vec![Sums::default(); capacity],
            loss: vec![0.0; capacity],
            ..Around::default()
        };
    }

    /// Computes what the pair of groups costs.
    fn price(&mut self, a: usize, b: usize) {
        let sums = self.pair(a, b).sums;
        let edges_cost = self.edges_cost(a == b, sums.edges, self.size[a], self.size[b]);
        let weights_cost = self.objective.prior.cost(&sums);
        let pair = Pair { sums, edges_cost, weights_cost };
        self.pairs[a * self.capacity + b] = pair;
        self.pairs[b * self.capacity + a] = pair;
    }

    pub(super) fn pair(&self, a: usize, b: usize) -> &Pair {
        &self.pairs[a * self.capacity + b]
    }

    fn edges_cost(&self, is_within: bool, edges: u32, a: u32, b: u32) -> f64 {
        if is_within {
            self.objective.within(edges, a)
        } else {
            self.objective.between(edges, a, b)
        }
    }

    /// What the pair would cost with other edges and sizes.
    pub(super) fn repriced(&self, is_within: bool, sums: Sums, a: u32, b: u32) -> f64 {
        self.edges_cost(is_within, sums.edges, a, b) + self.objective.prior.cost(&sums)
    }

    /// The description length, summed anew from the pairs of groups.
    pub(super) fn cost(&self) -> f64 {
        let mut cost = self.objective.partition(self.groups, self.upper.is_none());
        for a in 0..self.groups {
            cost += self.objective.group(self.size[a], self.degree[a], self.alike[a]);
            cost += (0..=a).map(|b| self.pair(a, b).cost()).sum::<f64>();
        }
        cost + self.upper.as_ref().map_or(0.0, |upper| upper.cost)
    }

    /// The counts of edges between groups.
    pub(super) fn counts(&self) -> Counts {
        let mut counts = Counts::new(self.groups);
        counts.sizes.fill(1);
        for a in 0..self.groups {
            for b in 0..=a {
                counts.add(a, b, u64::from(self.pair(a, b).sums.edges));
            }
        }
        counts
    }
}
