//! Part C: trained networks whose neurons name no word.

use std::collections::BTreeSet;

use nissl_core::Result;
use nissl_core::network::{Part, ResidualWeights};
use nissl_core::stats::ranks::quantiles;
use nissl_explain::lm_head::{LmHead, decode, strongest_frequencies};

use crate::modular_addition::{Adder, NETWORKS, folder, listed};
use crate::report::{Bar, Bound, Cell, Note, Section, Table};
use crate::study::{Findings, Setting};

/// The winning frequencies of the output map that an independent program found.
const EXPECTED: [&[usize]; NETWORKS] =
    [&[1, 8, 15, 18, 56], &[1, 30, 38, 49], &[3, 19, 44, 49], &[36, 38, 49], &[7, 15, 19, 20, 36]];
/// The medians that it found, least and greatest over the networks, widened by 0.02.
const DOWN: Bound = Bound::Within(0.84, 0.97);
const UP: Bound = Bound::Within(0.54, 0.81);

/// Decodes the MLP neurons of the five networks.
pub(super) fn modular_addition(setting: &Setting<'_>, findings: &mut Findings) -> Result<()> {
    let Some(folder) = folder(setting, "C", findings) else { return Ok(()) };
    let mut table = Table::new(
        "Each network",
        [
            "network",
            "frequencies of what neurons write",
            "median share, written",
            "median share, read",
            "median probability of the first token",
            "99th percentile",
        ],
    );
    let (mut exact, mut specialised) = (0, 0);
    let (mut down, mut up, mut top) = (Range::default(), Range::default(), Range::default());
    let mut vocabulary = 0;
    for (number, expected) in EXPECTED.into_iter().enumerate() {
        let adder = Adder::open(&folder, number)?;
        let spectrum = |part: Part| -> Result<(BTreeSet<usize>, f64)> {
            let found = strongest_frequencies(adder.answers(adder.part(part)?.view())?.view());
            let shares: Vec<f32> = found.iter().map(|one| one.share as f32).collect();
            Ok((found.iter().map(|one| one.frequency).collect(), quantile(&shares, 0.5)))
        };
        let (written, written_share) = spectrum(Part::Down)?;
        let (_, read_share) = spectrum(Part::Up)?;
        let mut greatest = Vec::new();
        let settings = LmHead { parts: vec![Part::Up, Part::Down], ..LmHead::default() };
        decode(&adder.weights, &settings, setting.progress, |units| {
            greatest.extend(units.iter().map(nissl_explain::lm_head::Decoded::probability));
            Ok(())
        })?;
        vocabulary = adder.weights.vocabulary();
        exact += u32::from(written == expected.iter().copied().collect());
        specialised += greatest.iter().filter(|&&p| p >= settings.threshold).count();
        let median = quantile(&greatest, 0.5);
        down.include(written_share);
        up.include(read_share);
        top.include(median);
        table = table.with_row([
            Cell::text(format!("seed {number}")),
            Cell::text(listed(&written)),
            Cell::Number(written_share),
            Cell::Number(read_share),
            Cell::Number(median),
            Cell::Number(quantile(&greatest, 0.99)),
        ]);
    }
    findings.bars.bars.extend([
        Bar::new(
            "C: networks with exactly the known frequencies",
            f64::from(exact),
            Bound::AtLeast(NETWORKS as f64),
        ),
        Bar::new(
            "C: specialised neurons at probability 0.1",
            specialised as f64,
            Bound::AtMost(0.0),
        )
        .with_note("must find none"),
        Bar::new("C: power at the strongest frequency, written, least median", down.least, DOWN),
        Bar::new("C: the same, greatest median", down.greatest, DOWN),
        Bar::new("C: power at the strongest frequency, read, least median", up.least, UP),
        Bar::new("C: the same, greatest median", up.greatest, UP),
        Bar::new(
            "C: probability of the first token, greatest median",
            top.greatest,
            Bound::AtMost(0.0108 + 0.02),
        ),
    ]);
    findings.sections.push(
        Section::new("C: networks that add modulo 113")
            .says(format!(
                "No neuron of these networks stands for a number: the greatest probability is hardly \
                 above one in {vocabulary}. Over the 113 answers their logits are waves, and what they \
                 write has the key frequencies of the network, no others."
            ))
            .with(Note::how_to_read(
                "Share: power of a neuron's strongest frequency, of all but the constant.",
            ))
            .with(table),
    );
    Ok(())
}

fn quantile(values: &[f32], fraction: f64) -> f64 {
    quantiles(values, &[fraction]).first().copied().unwrap_or(f64::NAN)
}

/// The least and the greatest of some figures.
struct Range {
    least: f64,
    greatest: f64,
}

impl Default for Range {
    fn default() -> Self {
        Self { least: f64::INFINITY, greatest: f64::NEG_INFINITY }
    }
}

impl Range {
    fn include(&mut self, value: f64) {
        self.least = self.least.min(value);
        self.greatest = self.greatest.max(value);
    }
}
