//! Dashboards: what a person needs to judge a feature, with or without its texts.
//!
//! Its strongest samples, draws from bands of equal width of its activations with the share of the
//! active samples in each, the tokens that what it writes promotes and suppresses, the tokens whose
//! embedding it reads most, and the features of other layers that drive it and that it drives, from
//! the weights alone. Without a recording there are no texts: the blind case study.
//!
//! Source: Dunefsky, Chlenski, Nanda 2024, arXiv:2406.11944, §4 and appendix on blind case studies.
//! Memory: examples of the chosen features, a tile of the embedding, products of pairs of features.

mod bands;
mod sheet;
mod weights;

use ndarray::Axis;
use nissl_core::features::Features;
use nissl_core::network::{FinalNorm, LanguageNetwork, ResidualWeights};
use nissl_core::{Error, Progress, Recording, Result};
use serde::{Deserialize, Serialize};

pub use bands::Band;
pub use sheet::{Item, Judged, Mixed, Tally, judged, key_text, mix, sheet_text, tally};
pub use weights::Link;

use crate::examples::Example;
use crate::logit_lens::{self, LogitLens};
use crate::shown::names;

/// Hyperparameters of dashboards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Dashboards {
    /// Strongest examples of each feature, 1 or more
    #[arg(long, default_value_t = Dashboards::default().strongest)]
    pub strongest: usize,
    /// Bands of equal width between 0 and the largest activation, 1 to 100
    #[arg(long, default_value_t = Dashboards::default().bands)]
    pub bands: usize,
    /// Examples drawn from each band
    #[arg(long, default_value_t = Dashboards::default().each)]
    pub each: usize,
    /// Tokens shown before and after, at most 1000
    #[arg(long, default_value_t = Dashboards::default().window)]
    pub window: usize,
    /// Tokens listed for each direction, 1 or more
    #[arg(long, default_value_t = Dashboards::default().tokens)]
    pub tokens: usize,
    /// Features of other layers listed for each direction
    #[arg(long, default_value_t = Dashboards::default().links)]
    pub links: usize,
    /// Seed of the draws from bands
    #[arg(id = "example-seed", long, default_value_t = Dashboards::default().seed)]
    pub seed: u64,
}

impl Default for Dashboards {
    fn default() -> Self {
        Self { strongest: 10, bands: 10, each: 2, window: 12, tokens: 12, links: 8, seed: 0 }
    }
}

impl Dashboards {
    /// # Errors
    /// A value outside its range.
    pub fn validate(&self) -> Result<()> {
        let &Self { strongest, bands, window, tokens, .. } = self;
        if strongest == 0 {
            return Err(Error::setting("strongest", strongest, "1 or more"));
        }
        if bands == 0 || bands > 100 {
            return Err(Error::setting("bands", bands, "1 to 100"));
        }
        if window > 1000 {
            return Err(Error::setting("window", window, "at most 1000"));
        }
        if tokens == 0 {
            return Err(Error::setting("tokens", tokens, "1 or more"));
        }
        Ok(())
    }
}

/// What dashboards are made from; what is absent is left out of them.
#[derive(Clone, Copy, Default)]
pub struct Sources<'a> {
    /// The recording of the features, for texts; none in blind mode.
    pub recording: Option<&'a Recording>,
    /// The network, for the tokens that features promote.
    pub network: Option<&'a dyn LanguageNetwork>,
    /// Its weights, for de-embeddings and circuits.
    pub weights: Option<&'a dyn ResidualWeights>,
    /// Features of other layers, for circuits.
    pub others: &'a [Features],
}

/// What a person needs to judge a feature.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dashboard {
    /// Its number.
    pub feature: usize,
    /// Its name or explanation; empty without one, and in blind mode.
    pub name: String,
    /// The share of samples on which it is active, 0 to 1.
    pub density: f32,
    /// Its largest activation.
    pub max: f32,
    /// The bands of its activations, from the weakest.
    pub bands: Vec<Band>,
    /// The strongest samples (quantile 0), then draws from the bands (1 is the weakest).
    pub examples: Vec<Example>,
    /// Tokens that what it writes promotes, with their logits, greatest first.
    pub promotes: Vec<(String, f32)>,
    /// Tokens that it suppresses, most suppressed first.
    pub suppresses: Vec<(String, f32)>,
    /// Tokens whose embedding it reads most, greatest first.
    pub reads: Vec<(String, f32)>,
    /// Features of earlier layers by how much what they write drives it, strongest first.
    pub driven_by: Vec<Link>,
    /// Features of later layers by how much it drives them, strongest first.
    pub drives: Vec<Link>,
}

/// The dashboards of the features `numbers`, in their order.
///
/// # Errors
/// A setting outside its range, a feature that is not there, a recording or network of other
/// features, or a file that cannot be read.
pub fn make(
    features: &Features,
    numbers: &[usize],
    sources: &Sources<'_>,
    settings: &Dashboards,
    progress: &Progress,
) -> Result<Vec<Dashboard>> {
    settings.validate()?;
    let all = features.features();
    if let Some(number) = numbers.iter().find(|&&number| number >= all) {
        let expected = format!("0 to {}", all.saturating_sub(1));
        return Err(Error::setting("feature", number, expected));
    }
    let (density, max) = (features.table().f32s("density")?, features.table().f32s("max")?);
    let named =
        if sources.recording.is_some() { names(features)? } else { vec![String::new(); all] };
    let mut dashboards: Vec<Dashboard> = numbers
        .iter()
        .map(|&feature| Dashboard {
            feature,
            name: named[feature].clone(),
            density: density[feature],
            max: max[feature],
            ..Dashboard::default()
        })
        .collect();
    if let Some(recording) = sources.recording {
        let found = bands::find(features, numbers, recording, settings, progress)?;
        for (dashboard, (bands, examples)) in dashboards.iter_mut().zip(found) {
            dashboard.bands = bands;
            dashboard.examples = examples;
        }
    }
    if let Some(network) = sources.network {
        effects(features, numbers, network, settings, &mut dashboards, progress)?;
    }
    if let Some(weights) = sources.weights {
        weights::read(features, numbers, weights, sources.others, settings, &mut dashboards)?;
    }
    Ok(dashboards)
}

/// The tokens that what the features write promotes and suppresses.
fn effects(
    features: &Features,
    numbers: &[usize],
    network: &dyn LanguageNetwork,
    settings: &Dashboards,
    dashboards: &mut [Dashboard],
    progress: &Progress,
) -> Result<()> {
    let table = features.output_unit_table();
    if numbers.is_empty() || !logit_lens::applies(network, table) {
        return Ok(());
    }
    let written = features.dictionary().written().select(Axis(0), numbers);
    let lens = LogitLens { tokens: settings.tokens, norm: FinalNorm::Gain };
    let effects = logit_lens::logit_lens(network, written.view(), table, &lens, progress)?;
    let tokenizer = network.tokenizer()?;
    let told = |tokens: &[(u32, f32)], sign: f32| -> Vec<(String, f32)> {
        let text = |id: u32| tokenizer.token(id).unwrap_or_else(|| format!("token {id}"));
        tokens.iter().map(|&(id, logit)| (text(id), sign * logit)).collect()
    };
    for (dashboard, effect) in dashboards.iter_mut().zip(effects) {
        dashboard.promotes = told(&effect.plus.tokens, 1.0);
        dashboard.suppresses = told(&effect.minus.tokens, -1.0);
    }
    Ok(())
}

/// Tokens in a label.
const LABELLED: usize = 3;

/// A few words for each of the features `numbers`: its name, else the tokens that it promotes most;
/// empty where neither is known.
///
/// # Errors
/// A feature that is not there, or a file that cannot be read.
pub fn labels(
    features: &Features,
    numbers: &[usize],
    network: &dyn LanguageNetwork,
    progress: &Progress,
) -> Result<Vec<String>> {
    let settings = Dashboards { tokens: LABELLED, ..Dashboards::default() };
    let sources = Sources { network: Some(network), ..Sources::default() };
    let names = names(features)?;
    let made = make(features, numbers, &sources, &settings, progress)?;
    let label = |one: Dashboard| {
        let name = &names[one.feature];
        let words: Vec<&str> = one.promotes.iter().map(|(token, _)| token.trim()).collect();
        match name.is_empty() {
            true if words.is_empty() => String::new(),
            true => format!("→ {}", words.join(" ")),
            false => name.clone(),
        }
    };
    Ok(made.into_iter().map(label).collect())
}
