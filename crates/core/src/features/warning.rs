//! What the reader of a decomposition must know.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A doubt about a decomposition that did not keep it from being made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "warning", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Warning {
    /// Features whose activations stay below a millionth of the largest.
    DeadFeatures {
        /// How many.
        dead: usize,
        /// Of how many.
        features: usize,
    },
    /// More than half of the samples repeat another one.
    DuplicateSamples {
        /// How many repeat another one.
        duplicates: usize,
        /// Of how many.
        samples: usize,
    },
    /// More than one feature for five samples.
    ManyFeatures {
        /// Features asked for.
        features: usize,
        /// Samples to find them in.
        samples: usize,
    },
    /// Units that never move and were left out.
    ConstantUnits {
        /// Their names.
        units: Vec<String>,
    },
    /// Runs from other starts ended at other factors.
    UnstableRestarts {
        /// Their mean factor match score, at most 1.
        stability: f64,
    },
    /// The fit used all its iterations and was still improving.
    NotConverged {
        /// Iterations done.
        iterations: usize,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DeadFeatures { dead, features } => {
                write!(f, "{dead} of {features} features are never active; ask for fewer")
            }
            Self::DuplicateSamples { duplicates, samples } => {
                write!(f, "{duplicates} of {samples} samples repeat another one")
            }
            Self::ManyFeatures { features, samples } => {
                write!(
                    f,
                    "{features} features from {samples} samples; use at least five times as many samples"
                )
            }
            Self::ConstantUnits { units } => {
                let named = units.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(", ");
                let more = if units.len() > 5 { ", …" } else { "" };
                write!(f, "{} constant traces were left out: {named}{more}", units.len())
            }
            Self::UnstableRestarts { stability } => {
                write!(
                    f,
                    "restarts disagree (match score {stability:.2}); ask for fewer components"
                )
            }
            Self::NotConverged { iterations } => {
                write!(f, "still improving after {iterations} iterations; allow more")
            }
        }
    }
}
