//! What is done to a code before it is decoded.

use ndarray::Array2;
use nissl_core::features::Dictionary;
use nissl_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// A change of one feature's activation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeatureEdit {
    /// The feature.
    pub feature: usize,
    /// What becomes of its activation.
    pub change: FeatureChange,
}

/// What becomes of an activation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FeatureChange {
    /// 0.
    Ablate,
    /// This many times what it was.
    Scale(f32),
    /// This value, at every place.
    Set(f32),
    /// This much is added, at every place, where the feature is silent too.
    Steer(f32),
}

impl FeatureChange {
    fn of(self, value: f32) -> f32 {
        match self {
            Self::Ablate => 0.0,
            Self::Scale(factor) => value * factor,
            Self::Set(to) => to,
            Self::Steer(by) => value + by,
        }
    }
}

/// Which features a code keeps.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Kept {
    /// All.
    #[default]
    All,
    /// These; the others are 0.
    These(Vec<usize>),
    /// These; each of the others has its value of `[feature]`.
    TheseOver(Vec<usize>, Vec<f32>),
}

/// What stands for units or features that are not kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Rest {
    /// 0.
    Zero,
    /// Their mean.
    #[default]
    Mean,
}

/// The code `[token, feature]` that is decoded in the place of `code`.
pub(super) fn changed(code: &Array2<f32>, kept: &Kept, edits: &[FeatureEdit]) -> Array2<f32> {
    let mut out = match kept {
        Kept::All => code.clone(),
        Kept::These(features) => {
            let mut out = Array2::zeros(code.dim());
            for &feature in features {
                out.column_mut(feature).assign(&code.column(feature));
            }
            out
        }
        Kept::TheseOver(features, rest) => {
            let mut out = Array2::from_shape_fn(code.dim(), |(_, feature)| rest[feature]);
            for &feature in features {
                out.column_mut(feature).assign(&code.column(feature));
            }
            out
        }
    };
    for edit in edits {
        out.column_mut(edit.feature).mapv_inplace(|value| edit.change.of(value));
    }
    out
}

/// # Errors
/// A feature that the dictionary lacks, or a number that is not finite.
pub(super) fn check(dictionary: &Dictionary, kept: &Kept, edits: &[FeatureEdit]) -> Result<()> {
    let features = dictionary.features();
    let known = |feature: usize| {
        if feature < features {
            return Ok(());
        }
        let expected = format!("0 to {}, as the dictionary has", features.saturating_sub(1));
        Err(Error::setting("feature", feature, expected))
    };
    match kept {
        Kept::All => {}
        Kept::These(these) => these.iter().try_for_each(|&feature| known(feature))?,
        Kept::TheseOver(these, rest) => {
            these.iter().try_for_each(|&feature| known(feature))?;
            if rest.len() != features {
                let expected = format!("{features}, one for each feature");
                return Err(Error::setting("values of the rest", rest.len(), expected));
            }
        }
    }
    for edit in edits {
        known(edit.feature)?;
        if let FeatureChange::Scale(value) | FeatureChange::Set(value) | FeatureChange::Steer(value) =
            edit.change
            && !value.is_finite()
        {
            return Err(Error::setting("strength", value, "a finite number"));
        }
    }
    Ok(())
}
