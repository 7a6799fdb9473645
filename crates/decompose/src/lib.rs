//! From a Recording to Features.
//!
//! Each method is a struct of its hyperparameters in a file of its own; [`Method`] lists them for
//! flags and files, and [`decompose`] runs one from a recording to features on disk.

mod activity;
pub mod checkpoints;
pub mod diff_means;
pub mod hierarchy;
pub mod interaction_basis;
pub mod kmeans;
pub mod neurons;
pub mod nmf;
pub mod ntf;
pub mod pca;
mod pipeline;
mod range;
pub mod sae;
pub mod snmf;
pub mod sparse_training;
mod subspace;
pub mod sweep;
pub mod transcoder;

use nissl_core::features::Decompose;
use nissl_core::{Recording, Result, Table};
use serde::{Deserialize, Serialize};

pub use diff_means::DiffMeans;
pub use hierarchy::Hierarchy;
pub use kmeans::Kmeans;
pub use neurons::Neurons;
pub use nmf::Nmf;
pub use ntf::Ntf;
pub use pca::Pca;
pub use pipeline::{Options, decompose, explained_variance};
pub use sae::Sae;
pub use snmf::Snmf;
pub use sweep::{Sweep, sweep};
pub use transcoder::Transcoder;

/// The methods of this stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Subcommand)]
#[serde(tag = "method", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Method {
    /// Every unit as it is: the baseline
    Neurons(Neurons),
    /// Directions of greatest variance
    Pca(Pca),
    /// Centroids of clusters of samples
    Kmeans(Kmeans),
    /// Non-negative parts of non-negative activity (Lee and Seung 1999)
    Nmf(Nmf),
    /// Sparse signed groups of units with non-negative coefficients (Shafran et al. 2025)
    Snmf(Snmf),
    /// A sparse autoencoder: activity rebuilt from a few of many features
    Sae(Sae),
    /// A transcoder: what a part of a network writes, from a few features of what it reads
    Transcoder(Transcoder),
    /// A direction for each label: the difference of means, a supervised baseline
    DiffMeans(DiffMeans),
}

impl Method {
    /// The method behind the trait of its stage.
    pub fn method(&self) -> &dyn Decompose {
        match self {
            Self::Neurons(method) => method,
            Self::Pca(method) => method,
            Self::Kmeans(method) => method,
            Self::Nmf(method) => method,
            Self::Snmf(method) => method,
            Self::Sae(method) => method,
            Self::Transcoder(method) => method,
            Self::DiffMeans(method) => method,
        }
    }

    /// What the method tells of each feature besides its direction, found in the samples `rows`.
    ///
    /// # Errors
    /// As in the fit.
    pub(crate) fn columns(&self, recording: &Recording, rows: &[usize]) -> Result<Option<Table>> {
        match self {
            Self::DiffMeans(method) => method.columns(recording, rows).map(Some),
            _ => Ok(None),
        }
    }

    /// The same method with every draw from `seed`.
    #[must_use]
    pub fn seeded(mut self, seed: u64) -> Self {
        match &mut self {
            Self::Neurons(_) | Self::DiffMeans(_) => {}
            Self::Pca(method) => method.seed = seed,
            Self::Kmeans(method) => method.seed = seed,
            Self::Nmf(method) => method.seed = seed,
            Self::Snmf(method) => method.seed = seed,
            Self::Sae(method) => method.training.seed = seed,
            Self::Transcoder(method) => method.training.seed = seed,
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_names_a_method_and_misspelt_settings_are_told() {
        let text = r#"{"method": "snmf", "k": 7, "sparsity": "2%"}"#;
        let method: Method = serde_json::from_str(text).expect("reads");
        let Method::Snmf(snmf) = &method else { panic!("{method:?}") };
        assert_eq!((snmf.k, snmf.restarts), (7, 4));
        let back = serde_json::to_value(&method).expect("writes");
        assert_eq!(serde_json::from_value::<Method>(back).expect("reads"), method);
        let wrong = serde_json::from_str::<Method>(r#"{"method": "snmf", "sparsty": "2%"}"#);
        assert!(wrong.expect_err("misspelt").to_string().contains("sparsty"));
        // Settings that two methods share stand beside their own.
        let text =
            r#"{"method": "transcoder", "target": "b", "features": 9, "architecture": "gated"}"#;
        let method: Method = serde_json::from_str(text).expect("reads");
        let Method::Transcoder(transcoder) = &method else { panic!("{method:?}") };
        assert_eq!(transcoder.training.features, Some(9));
        let back = serde_json::to_value(&method).expect("writes");
        assert_eq!(serde_json::from_value::<Method>(back).expect("reads"), method);
        let wrong = serde_json::from_str::<Method>(r#"{"method": "sae", "featurs": 9}"#);
        assert!(wrong.expect_err("misspelt").to_string().contains("featurs"));
    }

    #[test]
    fn the_defaults_are_valid() {
        for method in [
            Method::Neurons(Neurons::default()),
            Method::Pca(Pca::default()),
            Method::Kmeans(Kmeans::default()),
            Method::Nmf(Nmf::default()),
            Method::Snmf(Snmf::default()),
            Method::Sae(Sae::default()),
            Method::Transcoder(Transcoder::default()),
            Method::DiffMeans(DiffMeans::default()),
        ] {
            method.method().validate().expect("valid");
            let tag = serde_json::to_value(&method).expect("writes")["method"].clone();
            assert_eq!(tag, method.method().name());
        }
    }
}
