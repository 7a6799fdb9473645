//! What a move of one node would change.

use super::super::hierarchy::Counts;
use super::super::weights::Sums;
use super::State;

/// The surroundings of the node under consideration.
#[derive(Clone, Debug, Default)]
pub(super) struct Around {
    pub(super) node: usize,
    /// Groups with a neighbour.
    pub(super) touched: Vec<u32>,
    /// Edges to each group.
    pub(super) links: Vec<Sums>,
    /// What each pair of the node's own group with another gains when it leaves.
    pub(super) loss: Vec<f64>,
    /// The sum of these, with the group's own terms.
    pub(super) leaving: f64,
    /// Of a move to another group of level 1.
    pub(super) upper: Vec<Option<f64>>,
}

impl State<'_> {
    /// Looks at the edges of `node`, of which the next [`Self::delta`] and [`Self::shift`] tell.
    pub(in crate::communities) fn look(&mut self, node: usize) {
        let objective = self.objective;
        let mut around = std::mem::take(&mut self.around);
        for &group in &around.touched {
            around.links[group as usize] = Sums::default();
            around.loss[group as usize] = 0.0;
        }
        around.touched.clear();
        around.node = node;
        around.upper.clear();
        around.upper.resize(self.upper.as_ref().map_or(0, |upper| upper.counts.sizes.len()), None);
        for link in objective.links(node) {
            let group = self.of[link.to as usize];
            let links = &mut around.links[group as usize];
            if links.edges == 0 {
                around.touched.push(group);
            }
            *links = links.plus(link.sums);
        }
        let (own, loops) = (self.of[node] as usize, objective.loops[node]);
        let size = self.size[own];
        let mut leaving = 0.0;
        let mut leave = |other: usize, links: Sums| {
            let pair = self.pair(own, other);
            let loss = if links.edges == 0 {
                self.edges_cost(false, pair.sums.edges, size - 1, self.size[other])
                    - pair.edges_cost
            } else {
                self.repriced(false, pair.sums.minus(links), size - 1, self.size[other])
                    - pair.cost()
            };
            around.loss[other] = loss;
            leaving += loss;
        };
        if objective.counts_absent() {
            for other in (0..self.groups).filter(|&other| other != own) {
                leave(other, around.links[other]);
            }
        } else {
            for &other in around.touched.iter().filter(|&&other| other as usize != own) {
                leave(other as usize, around.links[other as usize]);
            }
        }
        let mut inner = around.links[own];
        inner.edges += loops;
        let pair = self.pair(own, own);
        leaving += self.repriced(true, pair.sums.minus(inner), size - 1, size - 1) - pair.cost();
        let degree = self.degree[own] - u64::from(objective.degrees[node]);
        leaving +=
            objective.group(size - 1, degree, self.alike[own] - self.seen(own, node, 0).ln());
        leaving -= objective.group(size, self.degree[own], self.alike[own]);
        around.leaving = leaving;
        self.around = around;
    }

    /// Nodes of `group` with the degree of `node`, and `more`; 1 where degrees have no distribution.
    pub(super) fn seen(&self, group: usize, node: usize, more: u32) -> f64 {
        if !self.objective.keeps_degrees() {
            return 1.0;
        }
        let number = self.objective.degree_numbers[node] as usize;
        f64::from(self.histogram[group * self.objective.distinct + number] + more)
    }

    /// How the description length changes when the node that was looked at moves to group `to`; the
    /// number of groups stands for a new one.
    pub(in crate::communities) fn delta(&mut self, to: usize) -> f64 {
        let node = self.around.node;
        let own = self.of[node] as usize;
        if to == own || (to == self.groups && self.size[own] == 1) {
            return 0.0;
        }
        let (objective, around) = (self.objective, &self.around);
        let (size, after) = (self.size[to], self.size[to] + 1);
        let mut delta = around.leaving - around.loss[to];
        if objective.counts_absent() {
            for other in (0..self.groups).filter(|&other| other != to && other != own) {
                let (pair, links) = (self.pair(to, other), around.links[other]);
                delta += if links.edges == 0 {
                    self.edges_cost(false, pair.sums.edges, after, self.size[other])
                        - pair.edges_cost
                } else {
                    self.repriced(false, pair.sums.plus(links), after, self.size[other])
                        - pair.cost()
                };
            }
        } else {
            for &other in &around.touched {
                let other = other as usize;
                if other != to && other != own {
                    let (pair, links) = (self.pair(to, other), around.links[other]);
                    delta += self.repriced(false, pair.sums.plus(links), after, self.size[other])
                        - pair.cost();
                }
            }
        }
        let pair = self.pair(own, to);
        let sums = pair.sums.minus(around.links[to]).plus(around.links[own]);
        delta += self.repriced(false, sums, self.size[own] - 1, after) - pair.cost();
        let mut inner = around.links[to];
        inner.edges += objective.loops[node];
        let pair = self.pair(to, to);
        delta += self.repriced(true, pair.sums.plus(inner), after, after) - pair.cost();
        let degree = self.degree[to] + u64::from(objective.degrees[node]);
        delta += objective.group(after, degree, self.alike[to] + self.seen(to, node, 1).ln());
        delta -= objective.group(size, self.degree[to], self.alike[to]);
        let is_top = self.upper.is_none();
        let groups = self.groups + usize::from(size == 0) - usize::from(self.size[own] == 1);
        if groups != self.groups {
            delta += objective.partition(groups, is_top) - objective.partition(self.groups, is_top);
        }
        delta + self.upper_delta(own, to)
    }

    fn upper_delta(&mut self, own: usize, to: usize) -> f64 {
        let Some(upper) = &self.upper else { return 0.0 };
        let is_new = to == self.groups;
        let from = upper.of[own] as usize;
        let onto = if is_new { from } else { upper.of[to] as usize };
        let dies = self.size[own] == 1;
        if from == onto && !is_new && !dies {
            return 0.0;
        }
        if let (false, Some(known)) = (is_new, self.around.upper[onto]) {
            return known;
        }
        let delta = self.upper_shifted(own, from, onto, is_new).cost(&upper.rest) - upper.cost;
        if !is_new {
            self.around.upper[onto] = Some(delta);
        }
        delta
    }

    /// The counts of level 1 after the node that was looked at has moved.
    pub(super) fn upper_shifted(
        &self,
        own: usize,
        from: usize,
        onto: usize,
        is_new: bool,
    ) -> Counts {
        let Some(upper) = &self.upper else { return Counts::default() };
        let mut counts = upper.counts.clone();
        let mut links = vec![0; counts.sizes.len()];
        for &other in &self.around.touched {
            links[upper.of[other as usize] as usize] +=
                u64::from(self.around.links[other as usize].edges);
        }
        counts.shift(from, onto, &links, u64::from(self.objective.loops[self.around.node]));
        counts.sizes[from] -= u32::from(self.size[own] == 1);
        counts.sizes[onto] += u32::from(is_new);
        counts
    }
}
