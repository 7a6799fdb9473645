//! The study `lib`: coordinates in which the layers of a network interact sparsely.
//!
//! Part A plants two blocks that never meet, beside decoys; part B repeats the paper's experiment with
//! the paper's trained networks; part C shows a language network, where little is gained.

mod language_model;
pub mod modular_addition;
mod planted;

use nissl_core::Result;

use crate::report::Bars;
use crate::study::{Findings, Setting, Study};

/// The study.
pub const LIB: Study = Study {
    name: "lib",
    title: "Do layers interact sparsely in the local interaction basis?",
    source: "Bushnaq et al. 2024, arXiv:2405.10928",
    about: "A network of two blocks that never meet is hidden by rotations, beside decoys that nothing \
            reads: the basis must drop the decoys and part the blocks, principal components must not. \
            Then five trained networks that add modulo 113: as few vectors and edges must be needed as \
            the authors found, and fewer edges than between principal components where they found that. \
            Last a small language network, where the paper saw no gain.",
    run,
};

fn run(setting: &Setting<'_>) -> Result<Findings> {
    let bars = Bars::new("The local interaction basis beside principal components");
    let mut findings = Findings { bars, ..Findings::default() };
    planted::planted(setting, &mut findings)?;
    modular_addition::modular_addition(setting, &mut findings)?;
    language_model::language_model(setting, &mut findings)?;
    Ok(findings)
}
