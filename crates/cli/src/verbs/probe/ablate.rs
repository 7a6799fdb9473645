//! `nissl probe ablate FEATURES:NUMBER --model MODEL`

use std::path::PathBuf;
use std::process::ExitCode;

use nissl_core::{Error, Recording, Result, Site};
use nissl_probe::ablate::{Ablate, LabelledText, Removal, ablate};
use nissl_probe::site_direction;

use super::feature_of;
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
    let network = record::open(&args.model, context.global)?;
    let (site, direction) = site_direction(&network, &features, number)?;
    let recording = recording_of(&features, args.recording.as_ref())?;
    let text = LabelledText::of(&recording, settings.sequences)?;
    let means = match settings.removal {
        Removal::Mean => unit_means(&recording, &site, &direction)?,
        _ => Vec::new(),
    };
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

/// The mean over a recording of each unit of a site that `direction` has.
///
/// # Errors
/// A recording without the site, or without a unit of the direction.
fn unit_means(recording: &Recording, site: &Site, direction: &[f32]) -> Result<Vec<f32>> {
    let recording = recording.only(&site.name().parse()?)?;
    let mut moments = nissl_core::stats::moments::Moments::new(recording.units());
    for block in recording.blocks(4096) {
        moments.push(block?.activity.view());
    }
    let mut means: Vec<Option<f32>> = vec![None; direction.len()];
    for (&index, mean) in recording.unit_table().u32s("index")?.iter().zip(moments.means()) {
        if let Some(place) = means.get_mut(index as usize) {
            *place = Some(mean as f32);
        }
    }
    let missing = (0..means.len()).find(|&unit| means[unit].is_none() && direction[unit] != 0.0);
    if let Some(unit) = missing {
        let found = format!("a recording without {site}:{unit}");
        return Err(Error::setting("removal", found, "the mean of every unit of the feature")
            .with_help("name a recording of the whole site with --recording"));
    }
    Ok(means.into_iter().map(Option::unwrap_or_default).collect())
}
