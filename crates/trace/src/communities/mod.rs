//! Communities of undirected weighted graphs: block models, and other detectors beside them.

mod block_model;
mod combinatorics;
mod component_graph;
mod embedding;
mod graph;
mod hierarchy;
mod merging;
mod moves;
mod nested;
mod objective;
mod splitting;
mod state;
#[cfg(test)]
mod tests;
mod weights;

pub use block_model::{BlockModel, Blocks, DegreeCorrection, DegreePrior, Model};
pub use component_graph::{ComponentGraph, Threshold};
pub use graph::WeightedGraph;
pub use weights::Weights;
