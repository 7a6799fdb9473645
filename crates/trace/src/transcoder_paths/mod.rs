//! Greedy search for the paths by which tokens, heads and features bring about a feature or a logit.
//!
//! From a start `v`, `iterations` times: of the last step of each path, all contributions one step
//! above it; the `branches` largest extend the path; the `beam` best by what their last step gives are
//! kept. Through a head `v' = A_ts W_V W_O v`, through a feature `v' = w_enc,i (w_dec,i · v)`, each seen
//! through the norm of its half.
//!
//! Source: Dunefsky, Chlenski, Nanda 2024, arXiv:2406.11944, §4.2, appendix D.
//! Differs: heads times sources are ranked all together with features, not only as many as there are
//! heads; features keep the path that leads to them; the cap of zero ablation is taken at every feature
//! of the path; negative contributions can be followed; norms are exact maps by default.
//! Left out: nothing of the search; positions are not averaged over prompts.
//! Memory: the paths of each length, with the errors and biases of the steps they went on from.

mod merge;
mod search;
mod step;

use std::fmt;

use nissl_core::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::frozen::Freeze;
pub use merge::Merge;
pub use search::{Completeness, Expanded, Start, Traced};
pub use step::{Component, Filter, Path, Step};

/// What a step is worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Worth {
    /// What it gives to the start along its path
    #[default]
    Raw,
    /// The same, at most what the features on the path give: taking a step away cannot take more
    /// from a feature than its activation
    ZeroAblation,
}

/// Greedy search for computational paths.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct TranscoderPaths {
    /// Steps from the start (K), 1 or more
    #[arg(long, default_value_t = 3, value_name = "K")]
    pub iterations: usize,
    /// Paths kept of each length (B), 1 or more
    #[arg(long, default_value_t = 10, value_name = "B")]
    pub beam: usize,
    /// Contributions by which a path may be extended, 1 or more
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub branches: usize,
    /// What a step is worth
    #[arg(long, value_enum, default_value_t)]
    pub worth: Worth,
    /// Follow negative contributions too, by their size
    #[arg(long)]
    pub signed: bool,
    /// Follow heads to the first token too, which mostly only rests their attention
    #[arg(long)]
    pub first_token: bool,
    /// Conditions that every step must meet, such as layer>=2,component!=skip; may be repeated
    ///
    /// Layer, position, head and feature are compared by =, !=, <, <=, >, >=; component (feature, head,
    /// skip, mlp, token, place) and sublayer (attn, mlp) by = and !=. A condition on what a step has not
    /// does not bar it.
    #[arg(long = "only", value_name = "CONDITIONS")]
    pub filters: Vec<Filter>,
    /// How the run is frozen
    #[command(flatten)]
    pub freeze: Freeze,
}

impl Default for TranscoderPaths {
    fn default() -> Self {
        Self {
            iterations: 3,
            beam: 10,
            branches: 10,
            worth: Worth::Raw,
            signed: false,
            first_token: false,
            filters: Vec::new(),
            freeze: Freeze::default(),
        }
    }
}

impl TranscoderPaths {
    /// # Errors
    /// The first setting outside its range.
    pub fn validate(&self) -> Result<()> {
        let fields =
            [("iterations", self.iterations), ("beam", self.beam), ("branches", self.branches)];
        for (field, value) in fields {
            if value == 0 {
                return Err(Error::setting(field, 0, "1 or more"));
            }
        }
        Ok(())
    }
}

/// A doubt about a trace that did not keep it from being made.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "caution", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Caution {
    /// Errors make more than 30 % of all that reaches the start.
    Unexplained {
        /// The share, 0 to 1.
        share: f64,
    },
    /// Norms whose constant is negative, or rests on a product near 0.
    Ratios {
        /// How many of the vectors followed.
        doubtful: usize,
        /// Of how many.
        vectors: usize,
    },
    /// Heads were followed to the first token.
    FirstToken,
    /// A feature that the search started at is silent there.
    Silent {
        /// The layer, from 0.
        layer: usize,
        /// The feature.
        feature: u32,
    },
}

impl fmt::Display for Caution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unexplained { share } => write!(
                f,
                "{:.0} % of what reaches the start comes from what no dictionary explains",
                100.0 * share
            ),
            Self::Ratios { doubtful, vectors } => write!(
                f,
                "the norm's constant is negative or rests on almost nothing for {doubtful} of {vectors} vectors; frozen norms have no such constant"
            ),
            Self::FirstToken => f.write_str(
                "heads are followed to the first token, whose norms are often huge and mean little",
            ),
            Self::Silent { layer, feature } => write!(
                f,
                "feature {feature} of layer {layer} is silent there: the paths lead to its pre-activation"
            ),
        }
    }
}
