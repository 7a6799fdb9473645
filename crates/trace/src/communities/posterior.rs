//! Draws of partitions around the best one: how surely each node belongs to its group.
//!
//! Partitions are drawn with probability `∝ exp(−Σ)`: each node in turn from its conditional distribution,
//! new groups included, and splits and merges accepted with `min(1, exp(−ΔΣ) q⁻¹)`, `q` the probability of
//! the split. Groups of a draw are matched to those of the best partition by the most shared nodes.
//!
//! Source: Jain and Neal 2004, J. Comput. Graph. Stat. 13:158 (splits and merges); Peixoto 2021, Phys. Rev.
//! X 11:021003 (why marginals need matched groups).
//! Differs: with levels above, these and the number of groups stay as they are, and only nodes move.
//! Memory: `[node, group]` counts.

use ndarray::Array2;
use nissl_core::stats::matching::hungarian;
use nissl_core::{Error, Progress, Result};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::block_model::{BlockModel, Blocks, Model, between};
use super::graph::{WeightedGraph, count};
use super::moves::{Groups, heat};
use super::state::State;

/// The stream of random numbers.
const STREAM: u64 = 0x905;
/// Sweeps before the first draw, besides a fifth of the draws.
const BEFORE: usize = 20;
/// Splits and merges tried for each draw.
const SPLITS: usize = 4;
/// Restricted sweeps before the one whose probability counts.
const SWEEPS: usize = 3;

/// What draws of partitions tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Posterior {
    /// The share of draws in which a node is in each group of the first level `[node, group]`; what is
    /// missing to 1 was in groups that match none.
    pub marginals: Array2<f64>,
    /// The share of draws with each number of groups, ascending.
    pub groups: Vec<(usize, f64)>,
}

impl Posterior {
    /// How surely a node is in the group `group` of `level`, 0 to 1.
    pub(super) fn of(&self, levels: &[Vec<u32>], level: usize, node: usize) -> f64 {
        let (Some(first), Some(here)) = (levels.first(), levels.get(level)) else {
            return f64::NAN;
        };
        let mut is_inside = vec![false; self.marginals.ncols()];
        for (&below, &above) in first.iter().zip(here) {
            is_inside[below as usize] |= above == here[node];
        }
        let shares = self.marginals.row(node);
        shares
            .iter()
            .zip(is_inside)
            .filter(|(_, is_inside)| *is_inside)
            .map(|(share, _)| share)
            .sum()
    }
}

impl BlockModel {
    /// Draws partitions around `blocks`, which [`Self::fit`] has found of the same graph.
    ///
    /// # Errors
    /// No draws, blocks of another graph, weights that the model cannot hold, or an interruption.
    pub fn sample(
        &self,
        graph: &WeightedGraph,
        blocks: &Blocks,
        draws: usize,
        progress: &Progress,
    ) -> Result<Posterior> {
        if draws == 0 {
            return Err(Error::setting("samples", draws, "at least 1"));
        }
        let best = blocks.levels.first().filter(|first| first.len() == graph.nodes());
        let Some(best) = best else {
            return Err(Error::setting(
                "blocks",
                blocks.levels.len(),
                "levels of this graph's nodes",
            ));
        };
        let objective = self.chosen(graph, blocks)?;
        let above = between(&blocks.levels)?;
        let levels = (self.model == Model::Nested).then_some(above.as_slice());
        let mut state = State::new(&objective, best, levels);
        let mut random = nissl_core::seed::rng(self.seed, STREAM);
        let groups = count(best);
        let mut counts = Array2::<f64>::zeros((graph.nodes(), groups));
        let mut sizes = std::collections::BTreeMap::new();
        let before = BEFORE + draws / 5;
        let stage = progress.stage("samples", draws as u64, "samples");
        for draw in 0..before + draws {
            progress.check(|| format!("{draw} samples"))?;
            step(&mut state, &mut random);
            if draw < before {
                continue;
            }
            stage.advance(1);
            *sizes.entry(state.groups).or_insert(0usize) += 1;
            for (node, group) in matched(&state, best, groups).into_iter().enumerate() {
                if let Some(group) = group {
                    counts[(node, group)] += 1.0;
                }
            }
        }
        let share = |(size, times): (usize, usize)| (size, times as f64 / draws as f64);
        Ok(Posterior {
            marginals: counts / draws as f64,
            groups: sizes.into_iter().map(share).collect(),
        })
    }
}

/// One step of the chain.
pub(super) fn step(state: &mut State<'_>, random: &mut ChaCha8Rng) {
    if state.upper.is_some() {
        heat(state, Groups::Fixed, 1.0, random);
        return;
    }
    heat(state, Groups::Free, 1.0, random);
    for _ in 0..SPLITS {
        split_or_merge(state, random);
    }
}

/// The group of the best partition for each node, by the group it is in.
fn matched(state: &State<'_>, best: &[u32], groups: usize) -> Vec<Option<usize>> {
    let mut shared = Array2::<f64>::zeros((state.groups, groups));
    for (&found, &best) in state.of.iter().zip(best) {
        shared[(found as usize, best as usize)] += 1.0;
    }
    let mut to = vec![None; state.groups];
    for pair in hungarian(shared.view()) {
        if shared[(pair.found, pair.planted)] > 0.0 {
            to[pair.found] = Some(pair.planted);
        }
    }
    state.of.iter().map(|&group| to[group as usize]).collect()
}

/// Two nodes at random: their group is split between them, or their two groups become one.
fn split_or_merge(state: &mut State<'_>, random: &mut ChaCha8Rng) {
    let nodes = state.of.len();
    if nodes < 2 {
        return;
    }
    let first = random.random_range(0..nodes);
    let second = (first + 1 + random.random_range(0..nodes - 1)) % nodes;
    let (a, b) = (state.of[first], state.of[second]);
    let inside = |node: &usize| state.of[*node] == a || state.of[*node] == b;
    let others: Vec<usize> =
        (0..nodes).filter(|&node| node != first && node != second).filter(inside).collect();
    let before = state.cost();
    let mut tried = state.clone();
    if a == b {
        tried.look(second);
        tried.shift(tried.groups);
        launch(&mut tried, &others, (first, second), random);
        let ln_probability = scan(&mut tried, &others, (first, second), None, random);
        if accepted(before - tried.cost() - ln_probability, random) {
            *state = tried;
        }
    } else {
        // The probability of the split that would undo the merge.
        let wanted: Vec<bool> = others.iter().map(|&node| state.of[node] == a).collect();
        launch(&mut tried, &others, (first, second), random);
        let ln_probability = scan(&mut tried, &others, (first, second), Some(&wanted), random);
        for node in others.into_iter().chain([second]) {
            tried.look(node);
            tried.shift(tried.of[first] as usize);
        }
        if accepted(before - tried.cost() + ln_probability, random) {
            *state = tried;
        }
    }
}

fn accepted(ln_ratio: f64, random: &mut ChaCha8Rng) -> bool {
    random.random::<f64>() < ln_ratio.exp()
}

/// Deals the nodes out to the groups of the two anchors by chance, and lets them settle.
fn launch(
    state: &mut State<'_>,
    nodes: &[usize],
    (first, second): (usize, usize),
    random: &mut ChaCha8Rng,
) {
    for &node in nodes {
        let anchor = if random.random::<bool>() { first } else { second };
        state.look(node);
        state.shift(state.of[anchor] as usize);
    }
    for _ in 0..SWEEPS {
        scan(state, nodes, (first, second), None, random);
    }
}

/// Draws the side of each node in turn, or takes the `wanted` one (whether it is the first anchor's);
/// the logarithm of the probability of what was taken.
fn scan(
    state: &mut State<'_>,
    nodes: &[usize],
    (first, second): (usize, usize),
    wanted: Option<&[bool]>,
    random: &mut ChaCha8Rng,
) -> f64 {
    let mut ln_probability = 0.0;
    for (place, &node) in nodes.iter().enumerate() {
        state.look(node);
        let (a, b) = (state.of[first] as usize, state.of[second] as usize);
        let difference = state.delta(b) - state.delta(a);
        // ln P(a) and ln P(b) by the logistic function.
        let (ln_a, ln_b) = (-(-difference).exp().ln_1p(), -difference.exp().ln_1p());
        let is_first = match wanted {
            Some(wanted) => wanted[place],
            None => random.random::<f64>() < ln_a.exp(),
        };
        ln_probability += if is_first { ln_a } else { ln_b };
        state.shift(if is_first { a } else { b });
    }
    ln_probability
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::objective::{Degrees, Kind, Objective};
    use super::super::weights::Weights;
    use super::*;

    /// All partitions of six nodes, as labels in the order of first appearance.
    fn partitions(nodes: usize) -> Vec<Vec<u32>> {
        let mut all = vec![vec![]];
        for _ in 0..nodes {
            let more = |of: &Vec<u32>| {
                let of = of.clone();
                (0..=count(&of) as u32).map(move |label| [of.clone(), vec![label]].concat())
            };
            all = all.iter().flat_map(more).collect();
        }
        all
    }

    fn canonical(of: &[u32]) -> Vec<u32> {
        let mut known = Vec::new();
        of.iter()
            .map(|label| {
                known.iter().position(|it| it == label).unwrap_or_else(|| {
                    known.push(*label);
                    known.len() - 1
                }) as u32
            })
            .collect()
    }

    #[test]
    fn partitions_are_drawn_as_often_as_their_description_is_short() {
        let edges = [(0, 1, 2.0), (0, 2, 1.0), (1, 2, 3.0), (3, 4, 0.2), (4, 5, 0.1), (2, 3, 2.5)];
        let graph = WeightedGraph::new(6, edges).expect("valid");
        for kind in [Kind::Bernoulli, Kind::Microcanonical(Degrees::Distribution)] {
            let objective = Objective::new(&graph, kind, Weights::Exponential).expect("positive");
            let all = partitions(6);
            assert_eq!(all.len(), 203);
            let costs: Vec<f64> =
                all.iter().map(|of| State::new(&objective, of, None).cost()).collect();
            let least = costs.iter().copied().fold(f64::INFINITY, f64::min);
            let total: f64 = costs.iter().map(|cost| (least - cost).exp()).sum();
            for has_moves in [true, false] {
                let mut state = State::new(&objective, &[0; 6], None);
                let mut random = nissl_core::seed::rng(1, 2);
                let mut seen: BTreeMap<Vec<u32>, f64> = BTreeMap::new();
                let draws = 40_000;
                for _ in 0..draws {
                    if has_moves {
                        step(&mut state, &mut random);
                    } else {
                        // Splits and merges alone must have the same distribution.
                        split_or_merge(&mut state, &mut random);
                    }
                    *seen.entry(canonical(&state.of)).or_default() += 1.0 / f64::from(draws);
                }
                let expected = costs.iter().map(|cost| (least - cost).exp() / total);
                let apart: f64 = all
                    .iter()
                    .zip(expected)
                    .map(|(of, share)| (share - seen.get(of).copied().unwrap_or(0.0)).abs() / 2.0)
                    .sum();
                assert!(apart < 0.05, "{kind:?}, moves {has_moves}: {apart}");
            }
        }
    }

    #[test]
    fn nodes_that_could_be_elsewhere_are_less_sure() {
        let (graph, truth) = super::super::tests::weight_groups(6.0, 1.0, 1);
        // Node 0 is joined to all groups alike.
        let mut edges: Vec<(usize, usize, f64)> = graph
            .edges()
            .iter()
            .filter(|edge| edge.0 != 0)
            .map(|&(a, b, weight)| (a as usize, b as usize, weight))
            .collect();
        edges.extend((0..3).flat_map(|group| (1..9).map(move |n| (0, group * 20 + n, 3.0))));
        let graph = WeightedGraph::new(60, edges).expect("valid");
        for model in [Model::BetaGamma, Model::Nested] {
            let settings = BlockModel { model, restarts: 2, ..BlockModel::default() };
            let blocks = settings.fit(&graph, &Progress::silent()).expect("fits");
            let drawn = settings.sample(&graph, &blocks, 200, &Progress::silent()).expect("draws");
            let sure = |node| drawn.of(&blocks.levels, 0, node);
            let others = (1..60).map(sure).sum::<f64>() / 59.0;
            assert!(others > 0.95 && sure(0) < 0.9, "{model:?}: {others} {}", sure(0));
            let found = &blocks.levels[0];
            assert!(
                (1..60).all(|a| (1..60).all(|b| (found[a] == found[b]) == (truth[a] == truth[b])))
            );
            assert!(drawn.groups.iter().map(|it| it.1).sum::<f64>() > 0.999);
            assert!(settings.sample(&graph, &blocks, 0, &Progress::silent()).is_err());
        }
    }
}
