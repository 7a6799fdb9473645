//! Principal components: orthogonal directions of greatest variance.
//!
//! `z = (x − μ) Vᵀ` with the rows of `V` the leading eigenvectors of `Σ (x − μ)ᵀ(x − μ)`; exact
//! from the whole covariance, or randomised by subspace iteration.
//!
//! Source: Hotelling 1933; Halko, Martinsson, Tropp 2011, §4.5 (randomised).
//! Memory: exact, two `[unit, unit]` matrices in f64; randomised, two `[unit, k + oversample]`.

use ndarray::{Array1, Array2, s};
use nissl_core::features::{Decompose, Dictionary, Encoding, product};
use nissl_core::{Progress, Recording, Result};
use serde::{Deserialize, Serialize};

use crate::activity::Activity;
use crate::range::at_least_1;
use crate::subspace::{Subspace, centred, eigen, leading, signed};

/// How principal components are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Solver {
    /// Exact up to 1024 units, randomised above
    #[default]
    Auto,
    /// All eigenvectors of the covariance
    Exact,
    /// Subspace iteration from random directions
    Randomised,
}

/// Hyperparameters of principal component analysis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Pca {
    /// Components, 1 to the smaller of samples and units
    #[arg(short, long, default_value_t = Pca::default().k)]
    pub k: usize,
    /// How they are found
    #[arg(long, value_enum, default_value_t)]
    pub solver: Solver,
    /// Directions the randomised solver carries along beyond `k`
    #[arg(long, default_value_t = Pca::default().oversample)]
    pub oversample: usize,
    /// Passes over the activity of the randomised solver, at least 1
    #[arg(long, default_value_t = Pca::default().passes)]
    pub passes: usize,
    /// Activity up to this size is held in memory (MiB)
    #[arg(long = "memory", value_name = "MIB", default_value_t = Pca::default().memory_mib)]
    pub memory_mib: usize,
    /// The seed of the randomised solver; set by the run
    #[arg(skip)]
    pub seed: u64,
}

impl Default for Pca {
    fn default() -> Self {
        Self { k: 100, solver: Solver::Auto, oversample: 10, passes: 6, memory_mib: 2048, seed: 0 }
    }
}

/// Units above which the whole covariance is not formed unasked.
const EXACT_UNITS: usize = 1024;

impl Decompose for Pca {
    fn name(&self) -> &'static str {
        "pca"
    }

    fn validate(&self) -> Result<()> {
        at_least_1(&[("k", self.k), ("passes", self.passes)])
    }

    fn fit(
        &self,
        recording: &Recording,
        rows: &[usize],
        progress: &Progress,
    ) -> Result<Dictionary> {
        self.validate()?;
        let &Self { k, solver, oversample, passes, memory_mib, seed } = self;
        let activity = Activity::read(recording, rows, memory_mib, progress)?;
        activity.require_enough(k)?;
        let means = activity.means();
        let exact = match solver {
            Solver::Exact => true,
            Solver::Randomised => false,
            Solver::Auto => activity.units() <= EXACT_UNITS,
        };
        let components = if exact {
            let (_, vectors) = eigen(&scatter(&activity, &means, progress)?)?;
            signed(vectors.slice(s![..k, ..]).mapv(|value| value as f32))
        } else {
            let seed = (seed, 0);
            let wanted = Subspace { k, oversample, passes, seed, means: Some(means.clone()) };
            leading(&activity, &wanted, progress)?.0
        };
        let mut dictionary = Dictionary::new(components, Encoding::Projection);
        dictionary.decoder_bias = Some(Array1::from(means));
        dictionary.warnings = activity.warnings(k);
        Ok(dictionary)
    }
}

/// `Σ (x − μ)ᵀ(x − μ)` `[unit, unit]`, tiles in f32 and their sum in f64.
fn scatter(activity: &Activity<'_>, means: &[f32], progress: &Progress) -> Result<Array2<f64>> {
    let units = activity.units();
    let mut sum = Array2::<f64>::zeros((units, units));
    let stage = progress.stage("covariance", activity.samples() as u64, "samples");
    activity.pass(|first, tile| {
        progress.check(|| format!("{first} samples; nothing was written"))?;
        let tile = centred(tile, Some(means));
        let part = product(tile.view(), tile.t());
        sum.zip_mut_with(&part, |sum, &part| *sum += f64::from(part));
        stage.advance(tile.ncols() as u64);
        Ok(())
    })?;
    Ok(sum)
}
