//! `nissl probe ablate FEATURES:NUMBER --model MODEL`

use std::path::PathBuf;
use std::process::ExitCode;

use nissl_core::Result;
use nissl_probe::ablate::{Ablate, LabelledText, Removal, ablate};

use super::{feature_of, site_of};
use crate::Context;
use crate::verbs::explain::recording_of;
use crate::verbs::record;

/// `nissl probe ablate`
#[derive(Debug, clap::Args)]
pub(crate) struct AblateOne {
    /// A feature, as FOLDER:NUMBER
    feature: String,
    /// The network that was recorded
    #[arg(long)]
    model: String,
    /// The recording they were found in [default: as their manifest says]
    #[arg(long, value_name = "FOLDER")]
    recording: Option<PathBuf>,
    #[command(flatten)]
    settings: Ablate,
}

pub(crate) fn run(args: AblateOne, context: &Context<'_>) -> Result<ExitCode> {
    let settings = Ablate { seed: context.global.seed, ..args.settings };
    let (features, number) = feature_of(&args.feature)?;
    let site = site_of(&features)?;
    let network = record::open(&args.model, context.global)?;
    let recording = recording_of(&features, args.recording.as_ref())?;
    let text = LabelledText::of(&recording, settings.sequences)?;
    let means = match settings.removal {
        Removal::Mean => unit_means(&recording)?,
        _ => Vec::new(),
    };
    let direction = features.dictionary().decoder.row(number).to_vec();
    let ablated =
        ablate(&network, &site, &[&direction], &means, &text, &settings, context.progress)?;
    let Some(effect) = ablated.into_iter().next() else { return Ok(ExitCode::SUCCESS) };
    if context.printer.is_json() {
        context.printer.json(&effect)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut concepts = effect.concepts;
    concepts.sort_by(|a, b| b.difference.total_cmp(&a.difference));
    let rows: Vec<Vec<String>> = concepts
        .iter()
        .map(|loss| {
            vec![
                loss.concept.clone(),
                loss.tokens.to_string(),
                format!("{:+.4}", loss.with),
                format!("{:+.4}", loss.without),
                format!("{:+.4}–{:+.4}", loss.low, loss.high),
            ]
        })
        .collect();
    let headers =
        ["concept", ">tokens", ">change with it", ">without", ">95 % interval of the difference"];
    context.printer.table(&headers, &rows);
    context.printer.note(&format!(
        "loss {:+.4} nats a token over {} tokens without feature {number}",
        effect.change, effect.tokens,
    ));
    Ok(ExitCode::SUCCESS)
}

/// The mean of each unit over a recording.
fn unit_means(recording: &nissl_core::Recording) -> Result<Vec<f32>> {
    let mut moments = nissl_core::stats::moments::Moments::new(recording.units());
    for block in recording.blocks(4096) {
        moments.push(block?.activity.view());
    }
    Ok(moments.means().into_iter().map(|mean| mean as f32).collect())
}
