//! Recursive SNMF: features of features, level above level.
//!
//! The dictionary `Z_{L−1}` of one level, its features as samples, is factorised by the same SNMF
//! with winner-take-all: `Z_{L−1} ≈ Z_L W_Lᵀ`, `W_L ≥ 0` `[feature below, feature]`. A sample is then
//! `a ≈ Z_L W_Lᵀ … W_2ᵀ y`, `y` its coefficients on the first level. The levels can be tuned together
//! afterwards, see [`FineTune`].
//!
//! Source: Shafran, Geiger, Geva 2025, arXiv:2506.10920, §5.
//! Differs: `W_L` is the exact non-negative least squares solution for the `Z_L` that was found.
//! Memory: the dictionaries of all levels; tuning also holds the coefficients three times over.

mod store;
mod tree;
mod tune;

use ndarray::{Array2, ArrayView2};
use nissl_core::features::{Decompose, Dictionary, Warning, product};
use nissl_core::{Error, Progress, Recording, Result};
use serde::{Deserialize, Serialize};

pub use store::Levels;
pub(crate) use store::{finest, write};
pub use tree::{Branch, Concept, Tree, trees};
pub use tune::{FineTune, Tuned};

use crate::activity::Activity;
use crate::snmf::{self, Snmf};

/// Coarser levels above the features of an SNMF.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Recursion {
    /// Features of coarser levels, each level made of the one before: strictly decreasing and below
    /// `k`, such as 200,100,50
    #[arg(long, value_delimiter = ',', value_name = "RANKS")]
    pub levels: Vec<usize>,
    /// How the levels are tuned together
    #[command(flatten)]
    pub tuning: FineTune,
}

impl Recursion {
    /// # Errors
    /// Ranks that do not strictly decrease from `k`, or settings of the tuning outside their range.
    pub(crate) fn validate(&self, k: usize) -> Result<()> {
        let ranks: Vec<usize> = std::iter::once(k).chain(self.levels.iter().copied()).collect();
        if let Some(at) = (1..ranks.len()).find(|&at| ranks[at] >= ranks[at - 1]) {
            let told: Vec<String> = ranks.iter().map(usize::to_string).collect();
            return Err(Error::setting(
                "levels",
                format!("{} after {} in {}", ranks[at], ranks[at - 1], told.join(", ")),
                "strictly decreasing ranks, all below `k`",
            ));
        }
        if self.levels.last() == Some(&0) {
            return Err(Error::setting("levels", 0, "at least 1 feature in a level"));
        }
        self.tuning.validate()
    }
}

/// Levels of features, each made of the one below.
#[derive(Clone, Debug, PartialEq)]
pub struct Hierarchy {
    /// From the finest to the coarsest; the first is the dictionary of the samples.
    pub levels: Vec<Dictionary>,
    /// `W_2 …`: `weights[l]` `[feature of levels[l], feature of levels[l + 1]]`, at least 0.
    pub weights: Vec<Array2<f32>>,
}

impl Hierarchy {
    /// Factorises `first` into levels of `ranks` features, each by `method` with that `k`.
    ///
    /// # Errors
    /// Ranks that do not strictly decrease, settings outside their range, or an interruption.
    pub fn build(
        first: Dictionary,
        ranks: &[usize],
        method: &Snmf,
        progress: &Progress,
    ) -> Result<Self> {
        let recursion = Recursion { levels: ranks.to_vec(), ..Recursion::default() };
        recursion.validate(first.features())?;
        let method = Snmf { recursion: Recursion::default(), ..method.clone() };
        method.validate()?;
        let mut hierarchy = Self { levels: vec![first], weights: Vec::new() };
        for &rank in ranks {
            let below = &hierarchy.levels[hierarchy.levels.len() - 1];
            let method = Snmf { k: rank, ..method.clone() };
            let activity = Activity::of_matrix(below.decoder.view(), progress)?;
            let mut found = snmf::best(method.fit_activity(&activity, progress)?);
            // Features are few by design, and a level has more than a fifth of them.
            found.warnings.retain(|warning| !matches!(warning, Warning::ManyFeatures { .. }));
            let weights = found.encode(below.decoder.view())?;
            hierarchy.levels.push(found);
            hierarchy.weights.push(weights);
        }
        Ok(hierarchy)
    }

    /// How much of feature `feature` of level `level` (0 is the finest) each feature of the finest
    /// level brings with it: that column of `W_2 … W_L` `[feature of the finest level]`.
    pub fn shares(&self, level: usize, feature: usize) -> Vec<f32> {
        shares(&self.weights, self.levels[0].features(), level, feature)
    }

    /// The strongest feature one level up for each feature of level `level` (0 is the finest);
    /// the lower one on ties.
    ///
    /// # Panics
    /// For the coarsest level.
    pub fn parents(&self, level: usize) -> Vec<usize> {
        let strongest = |row: ndarray::ArrayView1<'_, f32>| {
            let above = |best: usize, at: usize| if row[at] > row[best] { at } else { best };
            (0..row.len()).fold(0, above)
        };
        self.weights[level].rows().into_iter().map(strongest).collect()
    }

    /// `‖A − Z_l W_lᵀ … W_2ᵀ Y‖² / ‖A‖²` for the chain that ends at each level `[level]`, on the
    /// samples `rows` of `recording`; `Y` are their coefficients on the first level.
    ///
    /// # Errors
    /// Activity that cannot be read or encoded, or an interruption.
    pub fn errors(
        &self,
        recording: &Recording,
        rows: &[usize],
        progress: &Progress,
    ) -> Result<Vec<f64>> {
        let activity = Activity::read(recording, rows, 0, progress)?;
        let grams: Vec<Array2<f32>> =
            self.levels.iter().map(|level| gram(&level.decoder)).collect();
        let mut errors = vec![activity.squares(); self.levels.len()];
        let stage = progress.stage("levels", activity.samples() as u64, "samples");
        activity.pass(|first, tile| {
            progress.check(|| format!("{first} samples"))?;
            let mut coefficients = self.levels[0].encode(tile.t())?.reversed_axes();
            for (number, level) in self.levels.iter().enumerate() {
                if let Some(weights) = number.checked_sub(1).and_then(|at| self.weights.get(at)) {
                    coefficients = product(weights.t(), coefficients.view());
                }
                let seen = product(level.decoder.view(), tile);
                let known = product(grams[number].view(), coefficients.view());
                errors[number] += inner(known.view(), coefficients.view())
                    - 2.0 * inner(seen.view(), coefficients.view());
            }
            stage.advance(tile.ncols() as u64);
            Ok(())
        })?;
        Ok(errors.into_iter().map(|error| (error / activity.squares()).max(0.0)).collect())
    }
}

/// The column `feature` of `W_2 … W_L`; `level` counts from 0.
fn shares(weights: &[Array2<f32>], finest: usize, level: usize, feature: usize) -> Vec<f32> {
    let width = if level == 0 { finest } else { weights[level - 1].ncols() };
    let mut column = Array2::<f32>::zeros((width, 1));
    column[[feature, 0]] = 1.0;
    for weights in weights[..level].iter().rev() {
        column = product(weights.view(), column.view());
    }
    column.into_raw_vec_and_offset().0
}

/// `Z Zᵀ` of rows `[feature, unit]`.
fn gram(rows: &Array2<f32>) -> Array2<f32> {
    product(rows.view(), rows.t())
}

/// `⟨a, b⟩`, summed in order and in f64.
fn inner(a: ArrayView2<'_, f32>, b: ArrayView2<'_, f32>) -> f64 {
    a.iter().zip(b.iter()).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}
