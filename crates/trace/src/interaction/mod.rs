//! The interaction graph between the coordinates of neighbouring node layers, and what of it a network
//! needs.
//!
//! Source: Bushnaq et al. 2024, arXiv:2405.10928, §3 (edges, ablations, modules).
//! Left out: random signs over output positions; derivatives are pushed forward, once for each
//! coordinate at the input, at a cost that does not grow with the positions at the output.

mod ablate;
mod edges;
mod fourier;
mod graph;
mod masked;
#[cfg(test)]
mod tests;

pub use ablate::{Ablation, Measure, Required, required};
pub use edges::{EdgeFormula, EdgeMatrix, Edges};
pub use fourier::Waves;
pub use graph::{EdgeScale, graph, modules};
