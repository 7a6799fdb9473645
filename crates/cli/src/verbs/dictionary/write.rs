//! `nissl dictionary export FEATURES --as LAYOUT -o OUT` and `nissl dictionary convert CHECKPOINT …`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nissl_core::Result;
use nissl_core::features::Features;
use nissl_decompose::checkpoints::{Checkpoint, Load, Maker, load, save};
use serde_json::json;

use super::show::role;
use crate::Context;

/// Where a checkpoint is written, and how.
#[derive(Debug, clap::Args)]
struct Output {
    /// The layout to write
    #[arg(long = "as", value_enum, value_name = "LAYOUT")]
    layout: Maker,
    /// The folder to write it into; of layouts of one file also that file
    #[arg(short, long, value_name = "PATH")]
    out: PathBuf,
}

/// `nissl dictionary export`
#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// A features' folder
    features: PathBuf,
    #[command(flatten)]
    output: Output,
}

/// `nissl dictionary convert`
#[derive(Debug, clap::Args)]
pub(crate) struct Convert {
    /// A checkpoint: its file of weights, or the folder it lies in
    checkpoint: PathBuf,
    #[command(flatten)]
    load: Load,
    #[command(flatten)]
    output: Output,
}

pub(super) fn export(args: &Export, context: &Context<'_>) -> Result<ExitCode> {
    let checkpoint = Checkpoint::of(&Features::open(&args.features)?);
    written(&checkpoint, &args.features, &args.output, context)
}

pub(super) fn convert(args: &Convert, context: &Context<'_>) -> Result<ExitCode> {
    let checkpoint = load(&args.checkpoint, &args.load)?;
    for note in &checkpoint.source.notes {
        context.printer.note(&format!("note: {note}"));
    }
    written(&checkpoint, &args.checkpoint, &args.output, context)
}

fn written(
    checkpoint: &Checkpoint,
    from: &Path,
    output: &Output,
    context: &Context<'_>,
) -> Result<ExitCode> {
    let Output { layout, out } = output;
    save(checkpoint, *layout, out, context.global.existing())?;
    let dictionary = &checkpoint.dictionary;
    if context.printer.is_json() {
        context.printer.json(&json!({
            "path": out, "from": from, "layout": layout, "role": checkpoint.role(),
            "features": dictionary.features(), "units": dictionary.units(),
            "output_units": dictionary.output_units(),
        }))?;
    }
    context.printer.note(&format!(
        "{}: {} of {} features over {} units, as {layout} writes it",
        out.display(),
        role(checkpoint),
        dictionary.features(),
        dictionary.units()
    ));
    Ok(ExitCode::SUCCESS)
}
