//! The study `snmf`: sparse signed groups of units are recovered, with their hierarchy; they steer;
//! and those of trained networks are what the networks compute with.
//!
//! Part A plants 20 features in 512 units and part B four groups of four that share a core; the
//! bars are those that were calibrated with an independent program before this one was written.
//! Part B takes 16 restarts from clusters instead of four mixed ones: with four, the restart of lowest
//! loss missed the bars on two of three seeds. `docs/studies.md` has the seeds.

mod factors;
mod hierarchy;
mod modular_addition;
mod read_out;
mod solvers;
mod steering;

use ndarray::ArrayView2;
use nissl_core::Result;
use nissl_core::features::Dictionary;
use nissl_core::stats::matching::{Sign, cosines};

use crate::report::Bars;
use crate::study::{Findings, Setting, Study};

/// The study.
pub const SNMF: Study = Study {
    name: "snmf",
    title: "Does SNMF recover sparse signed groups of units?",
    source: "Shafran, Geiger, Geva 2025, arXiv:2506.10920",
    about: "Features are planted in noise, each a signed group of a few units; SNMF must find them \
            again, and methods that should fail must fail. Then groups of features that share a core \
            of units are planted, and factorising the features once more must find the groups. A \
            network that reads planted features out as words is steered by what was found. Last, \
            the features of five trained networks must be the frequencies that they add with.",
    run,
};

/// The cosine from which a planted feature counts as found.
const FOUND: f64 = 0.95;

fn run(setting: &Setting<'_>) -> Result<Findings> {
    let bars = Bars::new("SNMF on planted features");
    let mut findings = Findings { bars, ..Findings::default() };
    let fitted = factors::factors(setting, &mut findings)?;
    hierarchy::hierarchy(setting, &mut findings)?;
    steering::steering(setting, &fitted, &mut findings)?;
    modular_addition::modular_addition(setting, &mut findings)?;
    Ok(findings)
}

/// The share of planted features whose best found row has a cosine of [`FOUND`] or more.
fn found(dictionary: &Dictionary, planted: ArrayView2<'_, f32>, sign: Sign) -> f64 {
    let table = cosines(dictionary.decoder.view(), planted, sign);
    let best =
        |column: usize| table.column(column).iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let hits = (0..planted.nrows()).filter(|&feature| best(feature) >= FOUND).count();
    hits as f64 / planted.nrows() as f64
}
