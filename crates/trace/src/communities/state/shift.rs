//! The move of one node, and the numbers of groups that follow from it.

use super::super::weights::Sums;
use super::{Pair, State};

impl State<'_> {
    /// Moves the node that was looked at to group `to`.
    pub(in crate::communities) fn shift(&mut self, to: usize) {
        let node = self.around.node;
        let own = self.of[node] as usize;
        if to == own || (to == self.groups && self.size[own] == 1) {
            return;
        }
        let is_new = to == self.groups;
        if let Some(upper) = &self.upper {
            let from = upper.of[own];
            let onto = if is_new { from } else { upper.of[to] };
            let counts = self.upper_shifted(own, from as usize, onto as usize, is_new);
            if let Some(upper) = &mut self.upper {
                upper.cost = counts.cost(&upper.rest);
                upper.counts = counts;
                if is_new {
                    upper.of.push(from);
                }
            }
        }
        self.groups += usize::from(is_new);
        if self.groups == self.capacity {
            self.grow();
        }
        let (objective, capacity) = (self.objective, self.capacity);
        let around = std::mem::take(&mut self.around);
        for &other in &around.touched {
            let (other, links) = (other as usize, around.links[other as usize]);
            let left = self.pair(own, other).sums.minus(links);
            (self.pairs[own * capacity + other].sums, self.pairs[other * capacity + own].sums) =
                (left, left);
            let joined = self.pair(to, other).sums.plus(links);
            (self.pairs[to * capacity + other].sums, self.pairs[other * capacity + to].sums) =
                (joined, joined);
        }
        self.pairs[own * capacity + own].sums.edges -= objective.loops[node];
        self.pairs[to * capacity + to].sums.edges += objective.loops[node];
        self.alike[own] -= self.seen(own, node, 0).ln();
        self.alike[to] += self.seen(to, node, 1).ln();
        if objective.keeps_degrees() {
            let number = objective.degree_numbers[node] as usize;
            self.histogram[own * objective.distinct + number] -= 1;
            self.histogram[to * objective.distinct + number] += 1;
        }
        let degree = u64::from(objective.degrees[node]);
        self.size[own] -= 1;
        self.size[to] += 1;
        self.degree[own] -= degree;
        self.degree[to] += degree;
        self.of[node] = to as u32;
        self.around = around;
        if objective.counts_absent() {
            for other in 0..self.groups {
                self.price(own, other);
                self.price(to, other);
            }
        } else {
            for place in 0..self.around.touched.len() {
                let other = self.around.touched[place] as usize;
                self.price(own, other);
                self.price(to, other);
            }
            self.price(own, own);
            self.price(to, to);
            self.price(own, to);
        }
        if self.size[own] == 0 {
            self.remove(own);
        }
        // What was looked at is no longer so.
        for &group in &self.around.touched {
            self.around.links[group as usize] = Sums::default();
        }
        self.around.touched.clear();
        self.around.loss.fill(0.0);
    }

    /// Gives the empty group `gone` the nodes of the last one.
    fn remove(&mut self, gone: usize) {
        let (last, capacity, distinct) = (self.groups - 1, self.capacity, self.objective.distinct);
        self.groups = last;
        for label in self.of.iter_mut().filter(|label| **label == last as u32) {
            *label = gone as u32;
        }
        for other in 0..=last {
            let pair = if other == gone { *self.pair(last, last) } else { *self.pair(last, other) };
            self.pairs[gone * capacity + other] = pair;
            self.pairs[other * capacity + gone] = pair;
        }
        for other in 0..=last {
            self.pairs[last * capacity + other] = Pair::default();
            self.pairs[other * capacity + last] = Pair::default();
        }
        self.size.swap(gone, last);
        self.degree.swap(gone, last);
        self.alike.swap(gone, last);
        self.alike[last] = 0.0;
        if self.objective.keeps_degrees() && gone != last {
            for number in 0..distinct {
                self.histogram.swap(gone * distinct + number, last * distinct + number);
            }
        }
        if let Some(upper) = &mut self.upper {
            upper.of.swap_remove(gone);
        }
    }

    /// Makes room for more groups.
    fn grow(&mut self) {
        let levels = self.upper.take();
        self.capacity += 1 + self.capacity / 4;
        let (groups, around) = (self.groups, std::mem::take(&mut self.around));
        self.fill();
        self.groups = groups;
        self.upper = levels;
        self.around.node = around.node;
        self.around.touched = around.touched;
        self.around.links[..around.links.len()].copy_from_slice(&around.links);
    }
}
