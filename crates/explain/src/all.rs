//! All explanations of all features, in order.

use nissl_core::features::Features;
use nissl_core::network::LanguageNetwork;
use nissl_core::{Error, Progress, Recording, Result};
use serde::{Deserialize, Serialize};

use crate::examples::{Examples, ExamplesWriter, for_each};
use crate::logit_lens::{Effects, LogitLens, applies, logit_lens};
use crate::name::{Background, Name, Pushes, name};
use crate::{composition, logit_lens as lens, name as names};

/// Hyperparameters of explaining without a language model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Explain {
    /// Which examples are kept
    #[command(flatten)]
    pub examples: Examples,
    /// What is read from the weights
    #[command(flatten)]
    pub lens: LogitLens,
    /// Strongest units listed of each feature, 1 or more
    #[arg(long, default_value_t = Explain::default().parts)]
    pub parts: usize,
}

impl Default for Explain {
    fn default() -> Self {
        Self { examples: Examples::default(), lens: LogitLens::default(), parts: 20 }
    }
}

impl Explain {
    /// # Errors
    /// A value outside its range.
    pub fn validate(&self) -> Result<()> {
        self.examples.validate()?;
        self.lens.validate()?;
        if self.parts == 0 { Err(Error::setting("parts", 0, "1 or more")) } else { Ok(()) }
    }
}

/// What was found about every feature.
#[derive(Clone, Debug, PartialEq)]
pub struct Explained {
    /// Names `[feature]`.
    pub names: Vec<Name>,
    /// Pushed tokens `[feature]`; `None` without a network, or when the features' site does not
    /// write into its residual stream.
    pub effects: Option<Vec<Effects>>,
}

impl Explained {
    /// The features whose examples show a pattern, the best first, equal ones by number.
    pub fn good(&self) -> Vec<usize> {
        let mut good: Vec<usize> =
            (0..self.names.len()).filter(|&at| self.names[at].pattern.is_some()).collect();
        good.sort_by(|&a, &b| self.names[b].score.total_cmp(&self.names[a].score));
        good
    }
}

/// Writes `examples.parquet`, `composition.parquet`, `explanations.parquet` and, with a network,
/// `effects.parquet` beside `features`.
///
/// # Errors
/// A setting outside its range, features of another recording or network, an interruption, or a
/// failed file operation.
pub fn all(
    features: &Features,
    recording: &Recording,
    network: Option<&dyn LanguageNetwork>,
    settings: &Explain,
    progress: &Progress,
) -> Result<Explained> {
    settings.validate()?;
    composition::write(features, settings.parts)?;
    let token = |id: u32| {
        let tokenizer = network.and_then(|network| network.tokenizer().ok());
        tokenizer.and_then(|tokenizer| tokenizer.token(id)).unwrap_or_else(|| format!("#{id}"))
    };
    let effects = match network {
        Some(network) if applies(network, features.output_unit_table()) => {
            let decoder = features.dictionary().written();
            let table = features.output_unit_table();
            Some(logit_lens(network, decoder, table, &settings.lens, progress)?)
        }
        Some(network) => {
            tracing::warn!(
                "{}: no logit lens: {} has no head, or these sites do not write into its residual",
                features.path().display(),
                network.id()
            );
            None
        }
        None => None,
    };
    if let Some(effects) = &effects {
        lens::write(features, effects, &token)?;
    }
    let vocabulary = network.map_or(0, LanguageNetwork::vocabulary);
    let background = Background::of(recording)?;
    let mut writer = ExamplesWriter::create(features);
    let mut named = Vec::with_capacity(features.features());
    for_each(features, recording, &settings.examples, progress, |feature, examples| {
        let pushes = effects.as_ref().map(|effects| Pushes {
            effects: &effects[feature],
            vocabulary,
            token: &token,
        });
        named.push(name(&examples, pushes, &background));
        writer.push(feature, &examples)
    })?;
    writer.finish()?;
    names::write(features, &named, effects.as_deref(), &token)?;
    Ok(Explained { names: named, effects })
}
