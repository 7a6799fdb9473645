//! The interaction graph between the coordinates of neighbouring node layers, and what of it a network
//! needs.
//!
//! Source: Bushnaq et al. 2024, arXiv:2405.10928, §3 (edges, ablations, modules).

mod ablate;
mod edges;
mod fourier;
mod graph;
mod kinks;
mod masked;
mod needed;
mod random_signs;
#[cfg(test)]
mod tests;
mod trial;

pub use ablate::{Ablation, Measure};
pub use edges::{EdgeFormula, EdgeMatrix, Edges};
pub use fourier::{Waves, wave_labels};
pub use graph::{EdgeScale, graph, modules};
pub use needed::{Ablate, Kept, Required, Schedule};
