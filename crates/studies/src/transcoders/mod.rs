//! The study `transcoders`: circuits through sparse layers that stand for MLPs.
//!
//! Part A has a network whose MLPs are known transcoders, so that every contribution can be checked;
//! part B plants a sparse map that must be found; part C trains transcoders on real networks.

mod adder;
mod circuit;
mod planted;
mod recovered;
mod teacher;

use nissl_core::Result;

use crate::report::Bars;
use crate::study::{Findings, Setting, Study};

/// The study.
pub const TRANSCODERS: Study = Study {
    name: "transcoders",
    title: "Do transcoders show what a network computes?",
    source: "Dunefsky, Chlenski, Nanda 2024, arXiv:2406.11944",
    about: "A transcoder stands for an MLP: it says from what the MLP reads what it writes, by a few of \
            many features. Contributions must add up exactly in a network whose MLPs are known \
            transcoders, and a planted chain must be found first. Trained on a planted sparse map, \
            transcoders must find its units, where neurons and principal components find none. In \
            trained networks that add modulo 113, a transcoder must take the MLP's place, and its \
            features must stand for single waves.",
    run,
};

fn run(setting: &Setting<'_>) -> Result<Findings> {
    let bars = Bars::new("Transcoders");
    let mut findings = Findings { bars, ..Findings::default() };
    circuit::circuits(setting, &mut findings)?;
    planted::planted(setting, &mut findings)?;
    adder::adders(setting, &mut findings)?;
    Ok(findings)
}
