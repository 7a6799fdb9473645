//! `nissl probe truth FEATURES`

use std::path::PathBuf;
use std::process::ExitCode;

use nissl_core::Result;
use nissl_core::features::Features;
use nissl_probe::truth::{TruthMatch, match_features};

use crate::Context;
use crate::verbs::explain::recording_of;

/// `nissl probe truth`
#[derive(Debug, clap::Args)]
pub(crate) struct Truth {
    /// A folder of features
    features: PathBuf,
    /// The recording they were found in [default: as their manifest says]
    #[arg(long, value_name = "FOLDER")]
    recording: Option<PathBuf>,
    #[command(flatten)]
    settings: TruthMatch,
}

pub(crate) fn run(args: Truth, context: &Context<'_>) -> Result<ExitCode> {
    let settings = TruthMatch { seed: context.global.seed, ..args.settings };
    let mut features = Features::open(&args.features)?;
    let recording = recording_of(&features, args.recording.as_ref())?;
    let matches = match_features(&features, &recording, &settings, context.progress)?;
    matches.write(&mut features)?;
    if context.printer.is_json() {
        context.printer.json(&matches)?;
    } else {
        let rows: Vec<Vec<String>> = matches
            .concepts
            .iter()
            .map(|found| {
                let ranker = &found.auroc;
                vec![
                    found.concept.clone(),
                    found.positives.to_string(),
                    format!("{}{}", ranker.sign.symbol(), ranker.feature),
                    format!("{:.3}", ranker.held_out),
                    format!("{:.3}–{:.3}", ranker.low, ranker.high),
                    format!("{:.3}", found.f1.held_out),
                ]
            })
            .collect();
        let headers = ["concept", ">tokens", ">feature", ">AUROC", ">95 % interval", ">best F1"];
        context.printer.table(&headers, &rows);
    }
    context.printer.note(&format!(
        "mean AUROC {:.3} ({:.3}–{:.3}) · {} of {} concepts found · {} too rare to judge",
        matches.mean_auroc,
        matches.low,
        matches.high,
        matches.recovered,
        matches.concepts.len(),
        matches.skipped.len()
    ));
    Ok(ExitCode::SUCCESS)
}
