//! `nissl decompose METHOD REC -o DIR`

use std::path::PathBuf;
use std::process::ExitCode;

use nissl_core::{Recording, Result, SiteGlob};
use nissl_decompose::Options;

use crate::Context;
use crate::methods::Method;

/// `nissl decompose`
#[derive(Debug, clap::Args)]
pub(crate) struct Decompose {
    #[command(flatten)]
    method: Method<nissl_decompose::Method, Inputs>,
}

/// What is decomposed, and into what.
#[derive(Clone, Debug, clap::Args)]
struct Inputs {
    /// A recording's folder
    recording: PathBuf,
    /// Decompose only the units of these sites, when several were recorded
    #[arg(long, value_name = "GLOB")]
    site: Option<SiteGlob>,
    /// Share of the sequences that is held out to judge the features
    #[arg(long, default_value_t = 0.2, value_name = "SHARE")]
    held_out: f64,
    /// The folder of the new features
    #[arg(short, long, value_name = "FOLDER")]
    out: PathBuf,
}

pub(crate) fn run(args: Decompose, context: &Context<'_>) -> Result<ExitCode> {
    let Method { method, inputs } = args.method;
    let mut recording = Recording::open(&inputs.recording)?;
    if let Some(site) = &inputs.site {
        recording = recording.only(site)?;
    }
    let options = Options {
        held_out: inputs.held_out,
        seed: context.global.seed,
        existing: context.global.existing(),
    };
    let features =
        nissl_decompose::decompose(&method, &recording, &inputs.out, &options, context.progress)?;
    let explained = features.explained_variance();
    let detail = &features.manifest().detail;
    if context.printer.is_json() {
        context.printer.json(&serde_json::json!({
            "path": inputs.out, "method": features.method(), "features": features.features(),
            "units": features.units(), "samples": features.samples(),
            "explained_variance": explained, "warnings": detail.warnings,
        }))?;
    }
    for warning in &detail.warnings {
        context.printer.note(&format!("warning: {warning}"));
    }
    let told = explained.held_out.map_or_else(String::new, |share| {
        format!(" · {:.1} % of the variance of held-out samples explained", 100.0 * share)
    });
    context.printer.note(&format!(
        "{}: {} features of {} units{told} · next: nissl explain all {}",
        inputs.out.display(),
        features.features(),
        features.units(),
        inputs.out.display()
    ));
    Ok(ExitCode::SUCCESS)
}
