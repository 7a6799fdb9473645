//! Merges of groups: what they change, the cheapest of them, and the agglomeration down to one group.

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::combinatorics::ln_factorial;
use super::moves::{Groups, settle};
use super::state::State;

/// Above this many groups only some merges of each group are looked at, and many are done at once.
const FEW: usize = 24;
/// Up to this many groups every merge is looked at.
const ALL: usize = 48;
/// Partners of a group that are looked at when there are many.
const PARTNERS: usize = 20;
/// Sweeps after merges.
const SWEEPS: usize = 4;

impl State<'_> {
    /// How the description length changes when group `gone` joins group `kept`.
    pub(super) fn merge_delta(&self, gone: usize, kept: usize) -> f64 {
        let objective = self.objective;
        let (size, other_size) = (self.size[gone], self.size[kept]);
        let both = size + other_size;
        let mut delta = 0.0;
        for other in (0..self.groups).filter(|&other| other != gone && other != kept) {
            let (a, b) = (self.pair(gone, other), self.pair(kept, other));
            if a.sums.edges > 0 || b.sums.edges > 0 || objective.counts_absent() {
                delta += self.repriced(false, a.sums.plus(b.sums), both, self.size[other]);
                delta -= a.cost() + b.cost();
            }
        }
        let (a, b, between) = (self.pair(gone, gone), self.pair(kept, kept), self.pair(gone, kept));
        delta += self.repriced(true, a.sums.plus(b.sums).plus(between.sums), both, both);
        delta -= a.cost() + b.cost() + between.cost();
        let alike = self.alike_of_both(gone, kept);
        delta += objective.group(both, self.degree[gone] + self.degree[kept], alike);
        delta -= objective.group(size, self.degree[gone], self.alike[gone]);
        delta -= objective.group(other_size, self.degree[kept], self.alike[kept]);
        let is_top = self.upper.is_none();
        delta += objective.partition(self.groups - 1, is_top);
        delta -= objective.partition(self.groups, is_top);
        let Some(upper) = &self.upper else { return delta };
        let (from, onto) = (upper.of[gone] as usize, upper.of[kept] as usize);
        let mut counts = upper.counts.clone();
        let mut links = vec![0; counts.sizes.len()];
        for other in (0..self.groups).filter(|&other| other != gone) {
            links[upper.of[other] as usize] += u64::from(self.pair(gone, other).sums.edges);
        }
        counts.shift(from, onto, &links, u64::from(a.sums.edges));
        counts.sizes[from] -= 1;
        delta + counts.cost(&upper.rest) - upper.cost
    }

    fn alike_of_both(&self, a: usize, b: usize) -> f64 {
        if !self.objective.keeps_degrees() {
            return 0.0;
        }
        let distinct = self.objective.distinct;
        let row = |group: usize| &self.histogram[group * distinct..(group + 1) * distinct];
        row(a).iter().zip(row(b)).map(|(a, b)| ln_factorial(u64::from(a + b))).sum()
    }

    /// Does merges that do not touch each other, cheapest first, until `target` groups are left; the
    /// levels above are dropped.
    fn merge_to(&mut self, target: usize, random: &mut ChaCha8Rng) {
        let groups = self.groups;
        let mut merges = Vec::new();
        for gone in 0..groups {
            if groups <= ALL {
                merges.extend((0..gone).map(|kept| (self.merge_delta(gone, kept), gone, kept)));
            } else {
                let touched: Vec<usize> =
                    (0..groups).filter(|&other| self.pair(gone, other).sums.edges > 0).collect();
                for turn in 0..PARTNERS {
                    let kept = if turn % 2 == 0 && !touched.is_empty() {
                        touched[random.random_range(0..touched.len())]
                    } else {
                        random.random_range(0..groups)
                    };
                    if kept != gone {
                        merges.push((self.merge_delta(gone, kept), gone, kept));
                    }
                }
            }
        }
        merges.sort_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        let mut onto: Vec<u32> = (0..groups as u32).collect();
        let mut is_used = vec![false; groups];
        let mut left = groups;
        for (_, gone, kept) in merges {
            if left == target {
                break;
            }
            if !is_used[gone] && !is_used[kept] {
                (is_used[gone], is_used[kept]) = (true, true);
                onto[gone] = kept as u32;
                left -= 1;
            }
        }
        for label in &mut self.of {
            *label = onto[*label as usize];
        }
        self.recount();
    }
}

/// A partition that was passed on the way to one group.
#[derive(Clone, Debug)]
pub(super) struct Rung {
    pub(super) groups: usize,
    pub(super) cost: f64,
    pub(super) of: Vec<u32>,
}

/// Merges groups and moves nodes by turns, down to one group; a rung for each number of groups.
pub(super) fn agglomerate(mut state: State<'_>, random: &mut ChaCha8Rng) -> Vec<Rung> {
    let mut rungs: Vec<Rung> = Vec::new();
    loop {
        settle(&mut state, Groups::Given, SWEEPS, random);
        rungs.push(Rung { groups: state.groups, cost: state.cost(), of: state.of.clone() });
        if state.groups <= 1 {
            return rungs;
        }
        let target = if state.groups > FEW { state.groups * 3 / 4 } else { state.groups - 1 };
        state.merge_to(target, random);
    }
}

/// A partition of `nodes` into `groups` by chance.
pub(super) fn by_chance(nodes: usize, groups: usize, random: &mut ChaCha8Rng) -> Vec<u32> {
    let mut of: Vec<u32> = (0..nodes).map(|node| (node % groups) as u32).collect();
    of.shuffle(random);
    of
}
