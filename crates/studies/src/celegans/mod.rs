//! The study `celegans-homogenize`: recorded brains and connectomes of C. elegans in one form.
//!
//! Part A reads the published connectomes and counts.

mod connectome;

use nissl_core::Result;

use crate::report::Bars;
use crate::study::{Findings, Setting, Study};

/// The study.
pub const CELEGANS_HOMOGENIZE: Study = Study {
    name: "celegans-homogenize",
    title: "Do worms and connectomes of many laboratories fit one form?",
    source: "Simeon, Astrom, Kashyap, Kording, Boyden 2024, arXiv:2411.12091",
    about: "Connectomes of five publications are read into one schema and must have the published counts of \
            neurons, synapses and gap junctions, with the mistakes of the published pipeline and without. \
            Their consensus, agreement and measures follow. A worm simulated from one of them must show its \
            wiring in its activity, and a worm with exchanged names must not.",
    run,
};

fn run(setting: &Setting<'_>) -> Result<Findings> {
    let bars = Bars::new("Worms and connectomes in one form");
    let mut findings = Findings { bars, ..Findings::default() };
    connectome::connectomes(setting, &mut findings)?;
    Ok(findings)
}
