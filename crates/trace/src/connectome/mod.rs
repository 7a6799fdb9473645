//! Connectomes compared: measures of each, agreement between them, their consensus, and what wiring
//! says about activity.
//!
//! A connectome is a [`Graph`] of named neurons whose edges have a type: `electrical` (both ways),
//! `chemical`, `functional` or others. [`Connectome`] holds it as matrices.
//! Memory: the square of the neurons for each type of edge.

mod agreement;
mod consensus;
mod functional;
mod measures;
mod paths;
mod structure_function;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use ndarray::Array2;
use nissl_core::graph::Graph;
use nissl_core::{Error, Result, Table};

pub use agreement::{Agreement, agreement};
pub use consensus::{CONSENSUS_FILES, Consensus, Consented, Pair};
pub use functional::ActivityCorrelation;
pub use measures::{EdgeMeasures, Measures, NodeMeasures, measures, node_measures};
pub use paths::path_lengths;
pub use structure_function::{
    ByLength, Compared, Function, Null, StructureFunction, TestedAgainstNull,
};

/// Gap junctions.
pub const ELECTRICAL: &str = "electrical";
/// Chemical synapses.
pub const CHEMICAL: &str = "chemical";
/// What the activity of one does to that of the other.
pub const FUNCTIONAL: &str = "functional";

/// A connectome as matrices.
#[derive(Clone, Debug, PartialEq)]
pub struct Connectome {
    /// What it is called, such as `cook_2019`.
    pub name: String,
    /// The neurons, in the order of the node table.
    pub neurons: Vec<String>,
    /// Weights by type of edge, each `[from, to]`; edges of one pair and type add up.
    pub weights: BTreeMap<String, Array2<f64>>,
    /// The node table.
    pub nodes: Table,
}

impl Connectome {
    /// The connectome `name` of `graph`.
    ///
    /// # Errors
    /// Neurons of the same name.
    pub fn new(name: impl Into<String>, graph: &Graph) -> Result<Self> {
        let neurons = graph.nodes().texts("name")?.to_vec();
        let mut sorted: Vec<&String> = neurons.iter().collect();
        sorted.sort_unstable();
        if let Some((twice, _)) = sorted.iter().zip(sorted.iter().skip(1)).find(|(a, b)| a == b) {
            let expected = "names of neurons, each once";
            return Err(Error::setting("name", format!("`{twice}` twice"), expected));
        }
        let mut weights: BTreeMap<String, Array2<f64>> = BTreeMap::new();
        let kinds = graph.edges().texts("type")?;
        let count = neurons.len();
        for ((source, target, weight), kind) in graph.links().zip(kinds) {
            let at = [graph.row(source)?, graph.row(target)?];
            let matrix =
                weights.entry(kind.clone()).or_insert_with(|| Array2::zeros((count, count)));
            matrix[at] += weight;
            if graph.orientation() == nissl_core::graph::Orientation::Undirected && at[0] != at[1] {
                matrix[[at[1], at[0]]] += weight;
            }
        }
        Ok(Self { name: name.into(), neurons, weights, nodes: graph.nodes().clone() })
    }

    /// The weight of `kind` from one neuron to another; 0 without an edge.
    pub fn weight(&self, kind: &str, from: usize, to: usize) -> f64 {
        self.weights.get(kind).map_or(0.0, |matrix| matrix[[from, to]])
    }

    /// Gap junctions and chemical synapses as one matrix `[from, to]`.
    pub fn anatomy(&self) -> Array2<f64> {
        let mut sum = Array2::zeros((self.neurons.len(), self.neurons.len()));
        for kind in [ELECTRICAL, CHEMICAL] {
            if let Some(matrix) = self.weights.get(kind) {
                sum += matrix;
            }
        }
        sum
    }

    /// Whether each neuron has an edge of any type to another or itself `[neuron]`.
    pub fn connected(&self) -> Vec<bool> {
        let mut seen = vec![false; self.neurons.len()];
        for matrix in self.weights.values() {
            for ((from, to), &weight) in matrix.indexed_iter() {
                if weight != 0.0 {
                    (seen[from], seen[to]) = (true, true);
                }
            }
        }
        seen
    }

    /// The row of each neuron by name.
    pub(crate) fn rows(&self) -> BTreeMap<&str, usize> {
        self.neurons.iter().enumerate().map(|(row, name)| (name.as_str(), row)).collect()
    }
}
