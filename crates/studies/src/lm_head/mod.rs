//! The study `lmhead`: neurons are read through the output head.
//!
//! Parts A and B plant neurons that read and write known words; part C has trained networks whose
//! neurons stand for waves instead of words; part D asks what fine-tuning changes.

mod checkpoint;
mod clamping;
mod fine_tuning;
mod modular_addition;
mod planted;

use nissl_core::Result;

use crate::report::Bars;
use crate::study::{Findings, Setting, Study};

/// The study.
pub const LM_HEAD: Study = Study {
    name: "lmhead",
    title: "Does the output head tell what a neuron is for?",
    source: "Davies 2025, arXiv:2501.02688",
    about: "Neurons that read or write a word are planted among noise; the head must name their words, \
            and must name none where there is none. Clamping a neuron must move the word that it \
            writes, and no other. Trained networks that add modulo 113 must show no word neurons but \
            the waves that they add with. Last, a small network is fine-tuned, and most neurons must \
            keep their first token.",
    run,
};

fn run(setting: &Setting<'_>) -> Result<Findings> {
    let bars = Bars::new("Neurons read through the head");
    let mut findings = Findings { bars, ..Findings::default() };
    planted::planted(setting, &mut findings)?;
    clamping::clamping(setting, &mut findings)?;
    modular_addition::modular_addition(setting, &mut findings)?;
    fine_tuning::fine_tuning(setting, &mut findings)?;
    Ok(findings)
}
