//! What is left of an attribution graph when weak nodes and edges are taken away.
//!
//! Nodes by influence until `node_threshold` of all of it is kept; among them, normalised anew, edges by
//! `Â[t, s] (influence[t] + w[t])` until `edge_threshold` is kept; then features without in- or
//! out-edges and errors without out-edges go, until none is left. Tokens and logits always stay.
//! Of equally strong ones all stay.
//!
//! Source: Ameisen et al. 2025, "Circuit Tracing", appendix on graph pruning; thresholds of
//! circuit-tracer.
//! Memory: a score and an address for each effect among the kept nodes.

use nissl_core::{Error, Result};

use super::adjacency::{Adjacency, Node};

/// A part of an attribution graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Pruned {
    /// Whether each node is kept `[node]`.
    pub kept: Vec<bool>,
    /// The kept effects as `(target, source)`, by target and then source.
    pub edges: Vec<(usize, usize)>,
    /// The influence of each node `[node]` in the whole graph.
    pub influence: Vec<f64>,
    /// The share of all influence that each node and those before it carry `[node]`, strongest
    /// first: a node is kept for every threshold above the share before it.
    pub cumulative: Vec<f64>,
}

impl Pruned {
    /// How many nodes are kept.
    pub fn nodes(&self) -> usize {
        self.kept.iter().filter(|&&kept| kept).count()
    }

    /// The share of all influence that the kept nodes carry.
    pub fn share(&self) -> f64 {
        let of = |wanted: &dyn Fn(usize) -> bool| -> f64 {
            let nodes = (0..self.influence.len()).filter(|&node| wanted(node));
            nodes.map(|node| self.influence[node]).sum()
        };
        let all = of(&|_| true);
        if all > 0.0 { of(&|node| self.kept[node]) / all } else { 0.0 }
    }
}

/// Prunes `graph` to the shares of influence `node_threshold` and `edge_threshold`, 0 to 1.
///
/// # Errors
/// A threshold outside its range.
pub fn prune(graph: &Adjacency, node_threshold: f64, edge_threshold: f64) -> Result<Pruned> {
    check("node_threshold", node_threshold)?;
    check("edge_threshold", edge_threshold)?;
    let nodes = graph.nodes();
    let influence = graph.influence();
    let cumulative = cumulative(&influence);
    let least = least_kept(&influence, node_threshold);
    let mut kept: Vec<bool> =
        (0..nodes.len()).map(|node| !nodes[node].may_go() || influence[node] >= least).collect();

    let among = |target: usize, source: usize| kept[target] && kept[source];
    let within = graph.influence_among(among);
    let own = graph.logit_weights();
    let mut scored: Vec<((usize, usize), f64)> = Vec::new();
    for target in (0..nodes.len()).filter(|&node| kept[node] && nodes[node].is_target()) {
        let total = own[target] + within[target];
        for (source, share) in graph.shares(target, among) {
            scored.push(((target, source), share * total));
        }
    }
    let scores: Vec<f64> = scored.iter().map(|(_, score)| *score).collect();
    let least = least_kept(&scores, edge_threshold);
    let strong = scored.into_iter().filter(|&(_, score)| score > 0.0 && score >= least);
    let mut edges: Vec<(usize, usize)> = strong.map(|(edge, _)| edge).collect();
    take_loose_ends(nodes, &mut kept, &mut edges);
    Ok(Pruned { kept, edges, influence, cumulative })
}

/// # Errors
/// A share outside 0 to 1.
pub(super) fn check(field: &'static str, share: f64) -> Result<()> {
    if (0.0..=1.0).contains(&share) {
        return Ok(());
    }
    Err(Error::setting(field, share, "0 to 1"))
}

/// Takes features without in- or out-edges and errors without out-edges, until none is left.
fn take_loose_ends(nodes: &[Node], kept: &mut [bool], edges: &mut Vec<(usize, usize)>) {
    loop {
        let (mut has_in, mut has_out) = (vec![false; nodes.len()], vec![false; nodes.len()]);
        for &(target, source) in edges.iter() {
            has_in[target] = true;
            has_out[source] = true;
        }
        let mut gone = false;
        for (place, node) in nodes.iter().enumerate().filter(|(_, node)| node.may_go()) {
            let holds = has_out[place] && (has_in[place] || !node.is_target());
            if kept[place] && !holds {
                kept[place] = false;
                gone = true;
            }
        }
        if !gone {
            return;
        }
        edges.retain(|&(target, source)| kept[target] && kept[source]);
    }
}

/// The least of the strongest scores that together hold `share` of the sum.
fn least_kept(scores: &[f64], share: f64) -> f64 {
    let mut sorted = scores.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let wanted = share * sorted.iter().sum::<f64>();
    let mut sum = 0.0;
    for score in sorted {
        sum += score;
        if sum >= wanted {
            return score;
        }
    }
    // Rounding kept the sum below the whole: all stay.
    0.0
}

/// The share of the sum that each score and the greater ones hold; of equal ones the first first.
fn cumulative(scores: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let all: f64 = order.iter().map(|&place| scores[place]).sum();
    let (mut sum, mut shares) = (0.0, vec![0.0; scores.len()]);
    for place in order {
        sum += scores[place];
        shares[place] = if all > 0.0 { (sum / all).min(1.0) } else { 0.0 };
    }
    shares
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::adjacency::tests::random;
    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "scores are taken as they are, not computed")]
    fn the_strongest_that_hold_the_share_stay() {
        assert_eq!(least_kept(&[1.0, 4.0, 3.0, 2.0], 0.7), 3.0);
        assert_eq!(least_kept(&[1.0, 4.0, 3.0, 2.0], 0.71), 2.0);
        assert_eq!(least_kept(&[1.0, 4.0], 0.0), 4.0);
        assert_eq!(least_kept(&[1.0, 4.0], 1.0), 1.0);
        assert_eq!(least_kept(&[], 0.5), 0.0);
        assert_eq!(cumulative(&[1.0, 4.0, 3.0, 2.0]), [1.0, 0.4, 0.7, 0.9]);
        assert_eq!(cumulative(&[0.0, 0.0]), [0.0, 0.0]);
    }

    #[test]
    fn thresholds_outside_their_range_are_refused() {
        let graph = random(0, 2, 2);
        for (nodes, edges, field) in
            [(1.1, 0.5, "node_threshold"), (0.5, -0.1, "edge_threshold"), (f64::NAN, 0.5, "node")]
        {
            let error = prune(&graph, nodes, edges).expect_err("is refused").to_string();
            assert!(error.contains(field), "{error}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_share_is_kept_and_more_threshold_keeps_more(
            seed in 0u64..10_000,
            low in 0.05f64..0.9,
            more in 0.0f64..0.1,
            edges in 0.3f64..0.95,
        ) {
            let graph = random(seed, 3, 5);
            let nodes = graph.nodes();
            // With every edge kept, only features that nothing reaches can fall away afterwards.
            let pruned = prune(&graph, low, 1.0).expect("in range");
            let of = |wanted: &dyn Fn(usize) -> bool| -> f64 {
                (0..nodes.len()).filter(|&n| wanted(n)).map(|n| pruned.influence[n]).sum()
            };
            let least = least_kept(&pruned.influence, low);
            let (all, strong) = (of(&|_| true), of(&|n| pruned.influence[n] >= least));
            prop_assert!(strong >= low * all - 1e-12);
            for (place, node) in nodes.iter().enumerate() {
                prop_assert!(node.may_go() || pruned.kept[place]);
                if node.may_go() && pruned.influence[place] < least {
                    prop_assert!(!pruned.kept[place]);
                }
            }
            // Every kept edge has kept ends, every kept feature both kinds of edges.
            let part = prune(&graph, low, edges).expect("in range");
            for &(target, source) in &part.edges {
                prop_assert!(part.kept[target] && part.kept[source]);
            }
            for (place, node) in nodes.iter().enumerate() {
                if part.kept[place] && node.may_go() {
                    prop_assert!(part.edges.iter().any(|&(_, source)| source == place));
                    if node.is_target() {
                        prop_assert!(part.edges.iter().any(|&(target, _)| target == place));
                    }
                }
            }
            // A greater edge threshold keeps all that a lesser one keeps.
            let wider = prune(&graph, low, (edges + more).min(1.0)).expect("in range");
            for edge in &part.edges {
                prop_assert!(wider.edges.contains(edge));
            }
            for place in 0..nodes.len() {
                prop_assert!(!part.kept[place] || wider.kept[place]);
            }
            // So does a greater node threshold, of the nodes.
            let deeper = prune(&graph, low + more, 1.0).expect("in range");
            prop_assert!(least_kept(&deeper.influence, low + more) <= least);
        }
    }
}
