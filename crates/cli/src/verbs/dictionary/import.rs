//! `nissl dictionary import CHECKPOINT -o FEATURES`

use std::path::PathBuf;
use std::process::ExitCode;

use nissl_core::{Recording, Result};
use nissl_decompose::checkpoints::{self, Load, load};
use serde_json::json;

use super::show::role;
use crate::Context;

/// `nissl dictionary import`
#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    /// A checkpoint: its file of weights, or the folder it lies in
    checkpoint: PathBuf,
    /// Encode the samples of this recording; without it the dictionary alone is kept
    #[arg(long, value_name = "FOLDER")]
    recording: Option<PathBuf>,
    #[command(flatten)]
    settings: checkpoints::Import,
    #[command(flatten)]
    load: Load,
    /// The folder of the new features
    #[arg(short, long, value_name = "FOLDER")]
    out: PathBuf,
}

pub(super) fn run(args: &Import, context: &Context<'_>) -> Result<ExitCode> {
    let checkpoint = load(&args.checkpoint, &args.load)?;
    let recording = args.recording.as_deref().map(Recording::open).transpose()?;
    let features = checkpoints::import(
        &checkpoint,
        recording.as_ref(),
        &args.settings,
        &args.out,
        context.global.existing(),
        context.progress,
    )?;
    let explained = features.explained_variance().held_out;
    if context.printer.is_json() {
        context.printer.json(&json!({
            "path": args.out, "source": checkpoint.source, "role": checkpoint.role(),
            "features": features.features(), "units": features.units(),
            "output_units": features.dictionary().output_units(), "samples": features.samples(),
            "explained_variance": explained, "warnings": features.manifest().detail.warnings,
        }))?;
    }
    for note in &checkpoint.source.notes {
        context.printer.note(&format!("note: {note}"));
    }
    for warning in &features.manifest().detail.warnings {
        context.printer.note(&format!("warning: {warning}"));
    }
    let out = args.out.display();
    let about = format!(
        "{out}: {} of {}, {} features over {} units",
        role(&checkpoint),
        checkpoint.source.maker,
        features.features(),
        features.units()
    );
    context.printer.note(&if features.samples() == 0 {
        format!("{about}, without samples · import it with --recording to see what it does")
    } else {
        let explained = explained.map_or_else(String::new, |share| {
            format!(" · {:.1} % of the variance explained", 100.0 * share)
        });
        format!("{about}, {} samples{explained} · next: nissl show {out}", features.samples())
    });
    Ok(ExitCode::SUCCESS)
}
