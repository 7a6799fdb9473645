//! Five transformers that learnt to add modulo 113, as real networks whose truth is known.
//!
//! Their answer to `(x, y, 113)` is `(x + y) mod 113`, which they compute with waves of a few *key
//! frequencies* over the numbers; these are read from the embedding, so that no result is presumed.
//!
//! Source: the checkpoints of the Local Interaction Basis paper (MIT), see their README in the data
//! folder; how such networks add: Nanda et al. 2023, arXiv:2301.05217.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use ndarray::{Array2, ArrayView2, Axis};
use nissl_core::features::product;
use nissl_core::network::{Part, ResidualWeights, TokenTable};
use nissl_core::store::{Existing, Provenance};
use nissl_core::{Error, Recording, Result};
use nissl_networks::language::Language;
use nissl_networks::weights::CheckpointWeights;
use nissl_record::{Document, RecordNetwork, record};

use crate::study::{Findings, Setting};

/// Their folder among the real files.
const FOLDER: &str = "07-local-interaction-basis";
/// How many there are.
pub(crate) const NETWORKS: usize = 5;
/// The numbers that are added; the token after them asks for the sum.
pub(crate) const MODULUS: usize = 113;
/// A key frequency has this share of the strongest one's power in the embedding or more. The others
/// have 0.15 of it at most, in all five.
const KEY: f64 = 0.2;

/// The folder of the networks; without it part `part` is named as not done.
pub(crate) fn folder(
    setting: &Setting<'_>,
    part: &str,
    findings: &mut Findings,
) -> Option<PathBuf> {
    let folder = setting.data(FOLDER);
    if folder.is_none() {
        findings.skipped.push(format!(
            "{part}: the trained networks are not there; name the folder that holds {FOLDER} with \
             --data"
        ));
    }
    folder
}

/// One of the networks.
pub(crate) struct Adder {
    /// Its matrices.
    pub(crate) weights: CheckpointWeights,
    /// To run it.
    pub(crate) network: Language,
}

impl Adder {
    /// The network of a training seed.
    ///
    /// # Errors
    /// A file that is not there or damaged.
    pub(crate) fn open(folder: &Path, seed: usize) -> Result<Self> {
        let path = folder.join(format!("seed{seed}.pt"));
        let weights = CheckpointWeights::open(&path)?;
        let network = Language::load(&path, &format!("seed{seed}.pt"), &Device::flex())?;
        Ok(Self { weights, network })
    }

    /// Logits of the answers `[vector, number]` of vectors `[vector, residual]`.
    ///
    /// # Errors
    /// A head that cannot be read.
    pub(crate) fn answers(&self, vectors: ArrayView2<'_, f32>) -> Result<Array2<f32>> {
        let head = self.table(TokenTable::Head)?;
        Ok(product(vectors, head.t()))
    }

    /// A part's vectors `[unit, residual]`.
    ///
    /// # Errors
    /// A part that cannot be read.
    pub(crate) fn part(&self, part: Part) -> Result<Array2<f32>> {
        let (units, width) = (self.weights.units(part), self.weights.residual_width());
        let mut values = vec![0.0; units * width];
        self.weights.read_units(0, part, 0..units, &mut values)?;
        shaped(values, units)
    }

    /// The frequencies that the embedding holds most power at.
    ///
    /// # Errors
    /// An embedding that cannot be read.
    pub(crate) fn key_frequencies(&self) -> Result<BTreeSet<usize>> {
        let embedding = self.table(TokenTable::Embed)?;
        let power = |frequency: usize| -> f64 {
            let wave = |turn: fn(f64) -> f64| -> f64 {
                let sums = embedding.axis_iter(Axis(1)).map(|column| {
                    let at = |token: usize| {
                        let angle = (frequency * token % MODULUS) as f64 / MODULUS as f64;
                        turn(angle * std::f64::consts::TAU)
                    };
                    column.iter().enumerate().map(|(t, &x)| f64::from(x) * at(t)).sum::<f64>()
                });
                sums.map(|sum| sum * sum).sum()
            };
            wave(f64::cos) + wave(f64::sin)
        };
        let powers: Vec<f64> = (1..=MODULUS / 2).map(power).collect();
        let strongest = powers.iter().copied().fold(0.0, f64::max);
        Ok((1..).zip(powers).filter(|&(_, power)| power >= KEY * strongest).map(|p| p.0).collect())
    }

    /// Its activity at `sites` over the sums numbered `pairs`: `x y 113` with `x = pair / 113`,
    /// `y = pair mod 113`, in their order.
    ///
    /// # Errors
    /// A failed file operation, or an interruption.
    pub(crate) fn record(
        &self,
        pairs: impl IntoIterator<Item = usize>,
        sites: &[&str],
        folder: &Path,
        setting: &Setting<'_>,
    ) -> Result<Recording> {
        let documents = pairs.into_iter().map(|pair| {
            let text = format!("{} {} {MODULUS}", pair / MODULUS, pair % MODULUS);
            Ok::<_, Error>(Document { text, ..Document::default() })
        });
        let sites = sites.iter().map(|site| site.parse()).collect::<Result<_>>()?;
        let settings = RecordNetwork { sites, batch: 500, ..RecordNetwork::default() };
        let out = (folder, Existing::Refuse);
        let provenance = Provenance::here(&settings, setting.seed, "cpu");
        record(&self.network, documents, &settings, out, provenance, setting.progress)
    }

    /// The vectors of the numbers in a table `[number, residual]`.
    fn table(&self, table: TokenTable) -> Result<Array2<f32>> {
        let mut values = vec![0.0; MODULUS * self.weights.residual_width()];
        self.weights.read_tokens(table, 0..MODULUS, &mut values)?;
        shaped(values, MODULUS)
    }
}

/// The sums that the networks were trained on, 30 % of all, and the others, ascending: the draw that the
/// authors' program makes for seed 0, PyTorch's random permutation.
///
/// Source: the paper's published configurations (`frac_train: 0.3`, `seed: 0`); the permutation is
/// Fisher and Yates' over the Mersenne Twister's 32-bit numbers.
pub(crate) fn trained_and_others() -> [Vec<usize>; 2] {
    let mut generator = rand_mt::Mt::new(0);
    let sums = MODULUS * MODULUS;
    let mut order: Vec<usize> = (0..sums).collect();
    for at in 0..sums - 1 {
        order.swap(at, at + generator.next_u32() as usize % (sums - at));
    }
    let mut others = order.split_off(sums * 3 / 10);
    others.sort_unstable();
    [order, others]
}

/// The samples at which the sums are answered: the last of three positions.
///
/// # Errors
/// A table that cannot be read.
pub(crate) fn answer_rows(recording: &Recording) -> Result<Vec<usize>> {
    let table = recording.sample_columns(&["position"])?;
    let positions = table.u32s("position")?;
    Ok((0..recording.samples()).filter(|&row| positions[row] == 2).collect())
}

fn shaped(values: Vec<f32>, rows: usize) -> Result<Array2<f32>> {
    let columns = values.len() / rows;
    Array2::from_shape_vec((rows, columns), values)
        .map_err(|error| Error::setting("rows", error, "a whole number of vectors"))
}

/// Frequencies as text, ascending.
pub(crate) fn listed(frequencies: &BTreeSet<usize>) -> String {
    frequencies.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `torch.randperm(12769, generator=torch.Generator().manual_seed(0))` begins with these.
    #[test]
    fn the_trained_sums_are_the_authors() {
        let [trained, others] = trained_and_others();
        assert_eq!(trained[..5], [4182, 2608, 269, 825, 4847]);
        assert_eq!((trained.len(), others.len()), (3830, 8939));
        assert!(others.iter().all(|sum| !trained.contains(sum)));
    }
}
