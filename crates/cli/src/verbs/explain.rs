//! `nissl explain METHOD FEATURES`

use std::path::PathBuf;
use std::process::ExitCode;

use nissl_core::features::Features;
use nissl_core::network::LanguageNetwork;
use nissl_core::{Error, Recording, Result};
use nissl_networks::language::Language;

use crate::Context;
use crate::methods::Method;

/// `nissl explain`
#[derive(Debug, clap::Args)]
pub(crate) struct Explain {
    #[command(flatten)]
    explain: Method<Kind, Inputs>,
}

/// The ways to explain.
#[derive(Clone, Debug, clap::Subcommand)]
enum Kind {
    /// Examples, composition, logit lens and names, without a language model's help
    All(nissl_explain::Explain),
    /// The tokens each feature pushes the next token towards, from the weights alone
    LogitLens(nissl_explain::logit_lens::LogitLens),
}

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

/// The recording that features were found in, or the one that the user names.
pub(crate) fn recording_of(features: &Features, named: Option<&PathBuf>) -> Result<Recording> {
    if let Some(path) = named {
        return Recording::open(path);
    }
    let recording = features.manifest().detail.recording.as_ref();
    let recording = recording.ok_or_else(|| {
        Error::file(features.path(), "recording", "not told", "a recording's folder")
            .with_help("name it with --recording")
    })?;
    Recording::open(std::path::Path::new(&recording.path))
        .map_err(|error| error.with_help("name the recording with --recording"))
}

pub(crate) fn run(args: Explain, context: &Context<'_>) -> Result<ExitCode> {
    let Method { method, inputs } = args.explain;
    let features = Features::open(&inputs.features)?;
    let network = match &inputs.model {
        Some(model) => Some(super::record::open(model, context.global)?),
        None => None,
    };
    match method {
        Kind::All(settings) => all(&features, network.as_ref(), &settings, &inputs, context),
        Kind::LogitLens(settings) => {
            let network = network.ok_or_else(|| {
                Error::setting("model", "absent", "the network that was recorded, with --model")
            })?;
            let decoder = features.dictionary().decoder.view();
            let effects = nissl_explain::logit_lens::logit_lens(
                &network,
                decoder,
                features.unit_table(),
                &settings,
                context.progress,
            )?;
            let tokenizer = network.tokenizer()?;
            let word = |id: u32| tokenizer.token(id).unwrap_or_default();
            nissl_explain::logit_lens::write(&features, &effects, &word)?;
            let told = |pushed: &nissl_explain::logit_lens::Pushed| {
                nissl_explain::name::pushed_text(pushed, &word)
            };
            let rows: Vec<Vec<String>> = effects
                .iter()
                .enumerate()
                .take(inputs.limit)
                .map(|(feature, effect)| {
                    vec![feature.to_string(), told(&effect.plus), told(&effect.minus)]
                })
                .collect();
            if context.printer.is_json() {
                let words = |pushed: &nissl_explain::logit_lens::Pushed| {
                    pushed.tokens.iter().map(|(id, _)| word(*id)).collect::<Vec<_>>()
                };
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
            context.printer.table(&[">feature", "pushes towards", "pushes away from"], &rows);
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn all(
    features: &Features,
    network: Option<&Language>,
    settings: &nissl_explain::Explain,
    inputs: &Inputs,
    context: &Context<'_>,
) -> Result<ExitCode> {
    let recording = recording_of(features, inputs.recording.as_ref())?;
    let network = network.map(|network| network as &dyn LanguageNetwork);
    let explained = nissl_explain::all(features, &recording, network, settings, context.progress)?;
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
