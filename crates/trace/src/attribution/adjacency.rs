//! The direct effects between the nodes of an attribution graph, and what follows from them.
//!
//! `Â[t, s] = |A[t, s]| / Σ_s' |A[t, s']|`, `influence = w (Â + Â² + …)`: since effects only go to
//! deeper nodes, one pass from the deepest gives the whole sum.
//!
//! Source: Ameisen et al. 2025, "Circuit Tracing", appendix on graph pruning.
//! Memory: 4 bytes for each pair of nodes.

use ndarray::Array2;
use nissl_core::{Error, Result};
use serde::Serialize;

/// A node of an attribution graph.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Node {
    /// An active feature of a dictionary.
    Feature {
        /// The layer of its dictionary, from 0.
        layer: usize,
        /// The token position, from 0.
        position: usize,
        /// The feature's number.
        feature: usize,
        /// Its activation.
        activation: f32,
    },
    /// What the dictionary of a layer leaves unexplained at a position.
    Error {
        /// The layer, from 0.
        layer: usize,
        /// The token position, from 0.
        position: usize,
    },
    /// The embedding of a token.
    Token {
        /// The token position, from 0.
        position: usize,
        /// The vocabulary index.
        token: u32,
    },
    /// The logit of a token that may come next.
    Logit {
        /// The vocabulary index.
        token: u32,
        /// Its probability, 0 to 1.
        probability: f32,
    },
}

impl Node {
    /// How deep it stands: an effect goes only from a lesser depth to a greater.
    pub fn depth(&self) -> usize {
        match self {
            Self::Token { .. } => 0,
            // The error of a layer is written with its features, and has no sources.
            Self::Feature { layer, .. } | Self::Error { layer, .. } => layer + 1,
            Self::Logit { .. } => usize::MAX,
        }
    }

    /// Whether it has sources: features and logits.
    pub fn is_target(&self) -> bool {
        matches!(self, Self::Feature { .. } | Self::Logit { .. })
    }

    /// Whether pruning may take it: features and errors.
    pub fn may_go(&self) -> bool {
        matches!(self, Self::Feature { .. } | Self::Error { .. })
    }
}

/// The direct effects between nodes.
#[derive(Clone, Debug, PartialEq)]
pub struct Adjacency {
    nodes: Vec<Node>,
    weights: Array2<f32>,
}

impl Adjacency {
    /// Effects `weights` `[target, source]` between `nodes`.
    ///
    /// # Errors
    /// Another number of nodes than rows or columns, an effect that is not finite, or one that does
    /// not go to a deeper node.
    pub fn new(nodes: Vec<Node>, weights: Array2<f32>) -> Result<Self> {
        let count = nodes.len();
        if weights.dim() != (count, count) {
            let found = format!("{:?}", weights.dim());
            return Err(Error::setting("weights", found, format!("({count}, {count})")));
        }
        for ((target, source), &weight) in weights.indexed_iter() {
            if !weight.is_finite() {
                let found = format!("{weight} from node {source} to node {target}");
                return Err(Error::setting("weights", found, "finite effects of finite weights"));
            }
            if weight != 0.0 && nodes[source].depth() >= nodes[target].depth() {
                let found = format!("an effect of node {source} on node {target}");
                return Err(Error::setting("weights", found, "effects on deeper nodes only"));
            }
        }
        Ok(Self { nodes, weights })
    }

    /// The nodes: features, errors, tokens, logits.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The direct effects `[target, source]`.
    pub fn weights(&self) -> &Array2<f32> {
        &self.weights
    }

    /// The probability of each node that is a logit `[node]`, 0 elsewhere: `w`.
    pub fn logit_weights(&self) -> Vec<f64> {
        let weight = |node: &Node| match node {
            Node::Logit { probability, .. } => f64::from(*probability),
            _ => 0.0,
        };
        self.nodes.iter().map(weight).collect()
    }

    /// The influence of each node on the logits `[node]`, over all paths; of logits 0.
    pub fn influence(&self) -> Vec<f64> {
        self.influence_among(|_, _| true)
    }

    /// The influence when only the effects `[target, source]` that `kept` names count.
    pub(super) fn influence_among(&self, kept: impl Fn(usize, usize) -> bool) -> Vec<f64> {
        let own = self.logit_weights();
        let mut influence = vec![0.0; self.nodes.len()];
        for target in self.deepest_first() {
            let total = own[target] + influence[target];
            if total <= 0.0 {
                continue;
            }
            for (source, share) in self.shares(target, &kept) {
                influence[source] += total * share;
            }
        }
        influence
    }

    /// The nodes with sources, the deepest first.
    pub(super) fn deepest_first(&self) -> Vec<usize> {
        let mut order: Vec<usize> =
            (0..self.nodes.len()).filter(|&node| self.nodes[node].is_target()).collect();
        order.sort_by_key(|&node| std::cmp::Reverse(self.nodes[node].depth()));
        order
    }

    /// The sources of a node with their shares `Â` of its absolute input, those of effect 0 left out.
    pub(super) fn shares(
        &self,
        target: usize,
        kept: impl Fn(usize, usize) -> bool,
    ) -> Vec<(usize, f64)> {
        let row = self.weights.row(target);
        let sizes = row
            .iter()
            .enumerate()
            .filter(|&(source, &weight)| weight != 0.0 && kept(target, source));
        let sizes: Vec<(usize, f64)> =
            sizes.map(|(source, &weight)| (source, f64::from(weight).abs())).collect();
        let sum: f64 = sizes.iter().map(|(_, size)| size).sum();
        // The floor is circuit-tracer's: a node that hardly anything reaches passes hardly anything on.
        let sum = sum.max(1e-10);
        sizes.into_iter().map(|(source, size)| (source, size / sum)).collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use ndarray::Array2;
    use nissl_core::seed::rng;
    use rand::RngExt;

    use super::*;

    /// A random layered graph: `layers` × `positions` cells of `each` features, errors, tokens, and
    /// three logits.
    pub(in super::super) fn random(seed: u64, layers: usize, each: usize) -> Adjacency {
        let positions = 3;
        let mut rng = rng(seed, 0);
        let mut nodes = Vec::new();
        for layer in 0..layers {
            for position in 0..positions {
                nodes.extend((0..each).map(|feature| Node::Feature {
                    layer,
                    position,
                    feature,
                    activation: 1.0,
                }));
            }
        }
        for layer in 0..layers {
            nodes.extend((0..positions).map(|position| Node::Error { layer, position }));
        }
        nodes.extend((0..positions).map(|position| Node::Token { position, token: 5 }));
        nodes.extend([0.5, 0.3, 0.1].map(|probability| Node::Logit { token: 7, probability }));
        let weights = Array2::from_shape_fn((nodes.len(), nodes.len()), |(target, source)| {
            let deeper = nodes[source].depth() < nodes[target].depth();
            if nodes[target].is_target() && deeper && rng.random_bool(0.6) {
                rng.random_range(-1.0..2.0f32)
            } else {
                0.0
            }
        });
        Adjacency::new(nodes, weights).expect("layered")
    }

    #[test]
    fn influence_is_the_sum_of_all_powers() {
        for seed in 0..5 {
            let graph = random(seed, 3, 4);
            let count = graph.nodes().len();
            let normed = Array2::from_shape_fn((count, count), |(target, source)| {
                let sum: f64 = graph.weights().row(target).iter().map(|w| f64::from(w.abs())).sum();
                f64::from(graph.weights()[[target, source]].abs()) / sum.max(1e-10)
            });
            let mut power = ndarray::Array1::from(graph.logit_weights());
            let mut truth = ndarray::Array1::<f64>::zeros(count);
            for _ in 0..10 {
                power = power.dot(&normed);
                truth += &power;
            }
            assert!(power.iter().all(|&left| left == 0.0), "the matrix is nilpotent");
            for (found, truth) in graph.influence().iter().zip(&truth) {
                assert!((found - truth).abs() < 1e-12, "{found} {truth}");
            }
        }
    }

    #[test]
    fn a_chain_by_hand() {
        // Token → feature 0 → feature 1 → logit, beside an error that goes straight to the logit.
        let feature = |layer| Node::Feature { layer, position: 0, feature: layer, activation: 1.0 };
        let nodes = vec![
            feature(0),
            feature(1),
            Node::Error { layer: 1, position: 0 },
            Node::Token { position: 0, token: 3 },
            Node::Logit { token: 9, probability: 0.5 },
        ];
        let mut weights = Array2::zeros((5, 5));
        weights[[0, 3]] = 2.0;
        weights[[1, 0]] = -7.0;
        weights[[4, 1]] = 3.0;
        weights[[4, 2]] = -1.0;
        let graph = Adjacency::new(nodes, weights).expect("layered");
        assert_eq!(graph.influence(), [0.375, 0.375, 0.125, 0.375, 0.0]);
    }

    #[test]
    fn effects_against_the_order_are_refused() {
        let nodes =
            vec![Node::Token { position: 0, token: 1 }, Node::Logit { token: 1, probability: 1.0 }];
        let made = |at: [usize; 2], weight: f32| {
            let mut weights = Array2::zeros((2, 2));
            weights[at] = weight;
            Adjacency::new(nodes.clone(), weights)
        };
        assert!(made([1, 0], 1.0).is_ok());
        assert!(made([0, 1], 1.0).is_err());
        assert!(made([1, 1], 1.0).is_err());
        assert!(made([1, 0], f32::NAN).is_err());
        assert!(Adjacency::new(nodes.clone(), Array2::zeros((2, 3))).is_err());
    }
}
