//! `nissl explain all|logit-lens FEATURES`

use std::path::PathBuf;
use std::process::ExitCode;

use nissl_core::features::Features;
use nissl_core::network::LanguageNetwork;
use nissl_core::{Error, Result};
use nissl_explain::logit_lens::{self as lens, LogitLens, Pushed};

use super::recording_of;
use crate::Context;

/// What is explained.
#[derive(Clone, Debug, clap::Args)]
struct Inputs {
    /// A folder of features
    features: PathBuf,
    /// The recording they were found in [default: as their manifest says]
    #[arg(long, value_name = "FOLDER")]
    recording: Option<PathBuf>,
    /// The network that was recorded, for the tokens that features push
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Features listed, the clearest first
    #[arg(long, default_value_t = 20)]
    limit: usize,
}

/// `nissl explain all`
#[derive(Clone, Debug, clap::Args)]
pub(super) struct All {
    #[command(flatten)]
    inputs: Inputs,
    #[command(flatten)]
    settings: nissl_explain::Explain,
}

/// `nissl explain logit-lens`
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Lens {
    #[command(flatten)]
    inputs: Inputs,
    #[command(flatten)]
    settings: LogitLens,
}

pub(super) fn logit_lens(args: &Lens, context: &Context<'_>) -> Result<ExitCode> {
    let Lens { inputs, settings } = args;
    let features = Features::open(&inputs.features)?;
    let model = inputs.model.as_ref().ok_or_else(|| {
        Error::setting("model", "absent", "the network that was recorded, with --model")
    })?;
    let network = crate::verbs::record::open(model, context.global)?;
    let decoder = features.dictionary().written();
    let table = features.output_unit_table();
    let effects = lens::logit_lens(&network, decoder, table, settings, context.progress)?;
    let tokenizer = network.tokenizer()?;
    let word = |id: u32| tokenizer.token(id).unwrap_or_default();
    lens::write(&features, &effects, &word)?;
    if context.printer.is_json() {
        let words =
            |pushed: &Pushed| pushed.tokens.iter().map(|(id, _)| word(*id)).collect::<Vec<_>>();
        let features: Vec<_> = effects
            .iter()
            .enumerate()
            .map(|(feature, effect)| {
                serde_json::json!({
                    "feature": feature,
                    "towards": words(&effect.plus),
                    "away_from": words(&effect.minus),
                })
            })
            .collect();
        context.printer.json(&features)?;
        return Ok(ExitCode::SUCCESS);
    }
    let told = |pushed: &Pushed| nissl_explain::name::pushed_text(pushed, &word);
    let rows: Vec<Vec<String>> = effects
        .iter()
        .enumerate()
        .take(inputs.limit)
        .map(|(feature, effect)| vec![feature.to_string(), told(&effect.plus), told(&effect.minus)])
        .collect();
    context.printer.table(&[">feature", "pushes towards", "pushes away from"], &rows);
    Ok(ExitCode::SUCCESS)
}

pub(super) fn all(args: &All, context: &Context<'_>) -> Result<ExitCode> {
    let All { inputs, settings } = args;
    let features = Features::open(&inputs.features)?;
    let network = match &inputs.model {
        Some(model) => Some(crate::verbs::record::open(model, context.global)?),
        None => None,
    };
    let recording = recording_of(&features, inputs.recording.as_ref())?;
    let network = network.as_ref().map(|network| network as &dyn LanguageNetwork);
    let explained = nissl_explain::all(&features, &recording, network, settings, context.progress)?;
    let good = explained.good();
    if context.printer.is_json() {
        let rows: Vec<_> = explained
            .names
            .iter()
            .enumerate()
            .map(|(feature, name)| {
                serde_json::json!({
                    "feature": feature, "name": name.text, "score": name.score,
                    "pattern": name.pattern.is_some(),
                })
            })
            .collect();
        context.printer.json(&rows)?;
    } else {
        let rows: Vec<Vec<String>> = good
            .iter()
            .take(inputs.limit)
            .map(|&feature| {
                let name = &explained.names[feature];
                vec![feature.to_string(), format!("{:.2}", name.score), name.text.clone()]
            })
            .collect();
        context.printer.table(&[">feature", ">score", "name"], &rows);
    }
    context.printer.note(&format!(
        "{} of {} features show a clear pattern · written beside {}",
        good.len(),
        features.features(),
        features.path().display()
    ));
    Ok(ExitCode::SUCCESS)
}
