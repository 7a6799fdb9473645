//! Communities of undirected weighted graphs: block models, and other detectors beside them.

mod block_model;
mod combinatorics;
mod component_graph;
mod contrast;
mod detector;
mod embedding;
mod graph;
mod hierarchy;
mod louvain;
mod merging;
mod moves;
mod nested;
mod objective;
mod posterior;
mod spectral;
mod splitting;
mod state;
mod surprise;
#[cfg(test)]
mod tests;
mod weights;

pub use block_model::{BlockModel, Blocks, DegreeCorrection, DegreePrior, Model};
pub use component_graph::{ComponentGraph, Threshold};
pub use contrast::{BACKGROUND, Contrast};
pub use detector::{Communities, Detector, Method, Score};
pub use graph::WeightedGraph;
pub use louvain::louvain;
pub use posterior::Posterior;
pub use spectral::spectral;
pub use surprise::surprise;
pub use weights::Weights;
