//! Part D: real trained networks.

use std::path::Path;

use ndarray::{Array2, ArrayView2};
use nissl_core::Result;
use nissl_core::features::{Decompose, product};
use nissl_core::network::Part;
use nissl_core::seed::rng;
use nissl_decompose::Snmf;
use nissl_decompose::snmf::{Initial, Sparsity};
use nissl_explain::lm_head::{Spectrum, strongest_frequencies};
use rand::seq::index;

use crate::modular_addition::{Adder, MODULUS, NETWORKS, answer_rows, folder, listed};
use crate::report::{Bar, Bound, Cell, Note, Section, Table};
use crate::study::{Findings, Setting};

/// Pairs of numbers that are recorded, of 113².
const PAIRS: usize = 4000;
/// The networks that the bars were set on; the others are shown.
const JUDGED: [usize; 2] = [1, 3];
/// Groups of random units beside the features.
const GROUPS: usize = 500;
/// From this share of the power a vector counts as a wave of one frequency.
const PURE: f64 = 0.8;

/// Looks for the frequencies that the networks add with.
pub(super) fn modular_addition(setting: &Setting<'_>, findings: &mut Findings) -> Result<()> {
    let Some(folder) = folder(setting, "D", findings) else { return Ok(()) };
    let mut table = Table::new(
        "Features of each network",
        [
            "network",
            "key frequencies",
            "features at a key frequency",
            "features with 80 % of their power at one",
            "random groups with 80 %",
        ],
    );
    let (mut at_key, mut pure, mut random) = (1.0_f64, 1.0_f64, 0.0_f64);
    for number in 0..NETWORKS {
        let found = features_of(&folder, number, setting)?;
        table = table.with_row([
            Cell::text(format!("seed {number}")),
            Cell::text(&found.key),
            Cell::Number(found.at_key),
            Cell::Number(found.pure),
            Cell::Number(found.random),
        ]);
        if JUDGED.contains(&number) {
            at_key = at_key.min(found.at_key);
            pure = pure.min(found.pure);
            random = random.max(found.random);
        }
    }
    findings.bars.bars.extend([
        Bar::new("D: features at a key frequency, share", at_key, Bound::AtLeast(1.0)),
        Bar::new("D: features with 80 % of their power at one", pure, Bound::AtLeast(0.85)),
        Bar::new("D: random groups of units with 80 %", random, Bound::AtMost(0.1))
            .with_note("must fail"),
    ]);
    findings.sections.push(
        Section::new("D: networks that add modulo 113")
            .says(format!(
                "SNMF takes the MLP activity of five trained transformers over {PAIRS} sums apart. \
                 Each feature is sent through the output map and the head; the power spectrum of \
                 its logits over the 113 answers says which wave it stands for."
            ))
            .with(Note::how_to_read(
                "The bars were set on the networks of seeds 1 and 3; the worse of the two counts.",
            ))
            .with(table),
    );
    Ok(())
}

/// What SNMF found in one network.
struct Found {
    key: String,
    at_key: f64,
    pure: f64,
    random: f64,
}

fn features_of(folder: &Path, number: usize, setting: &Setting<'_>) -> Result<Found> {
    let adder = Adder::open(folder, number)?;
    let mut rng = rng(setting.seed, 0xadd0 + number as u64);
    let pairs = index::sample(&mut rng, MODULUS * MODULUS, PAIRS);
    let folder = setting.folder.join(format!("sums-{number}"));
    let recording = adder.record(pairs, &["layers.0.mlp.act"], &folder, setting)?;
    let last = answer_rows(&recording)?;
    let snmf = Snmf {
        k: 40,
        sparsity: Sparsity::Fraction(0.05),
        iterations: 120,
        initial: Initial::Kmeans,
        seed: setting.seed,
        ..Snmf::default()
    };
    let dictionary = snmf.fit(&recording, &last, setting.progress)?;
    let down = adder.part(Part::Down)?;
    let spectra = |vectors: ArrayView2<'_, f32>| -> Result<Vec<Spectrum>> {
        let logits = adder.answers(product(vectors, down.view()).view())?;
        Ok(strongest_frequencies(logits.view()))
    };
    let found = spectra(dictionary.decoder.view())?;
    let kept = dictionary.decoder.row(0).iter().filter(|value| **value != 0.0).count();
    let random = spectra(random_groups(down.nrows(), kept, setting.seed).view())?;
    let keys = adder.key_frequencies()?;
    let share = |spectra: &[Spectrum], told: &dyn Fn(&Spectrum) -> bool| {
        spectra.iter().filter(|one| told(one)).count() as f64 / spectra.len() as f64
    };
    Ok(Found {
        at_key: share(&found, &|one| keys.contains(&one.frequency)),
        pure: share(&found, &|one| one.share >= PURE),
        random: share(&random, &|one| one.share >= PURE),
        key: listed(&keys),
    })
}

/// Rows that add up `kept` random units `[group, unit]`.
fn random_groups(units: usize, kept: usize, seed: u64) -> Array2<f32> {
    let mut rng = rng(seed, 0xadd_5eed);
    let mut groups = Array2::zeros((GROUPS, units));
    for mut group in groups.rows_mut() {
        for unit in index::sample(&mut rng, units, kept) {
            group[unit] = 1.0;
        }
    }
    groups
}
