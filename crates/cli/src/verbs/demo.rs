//! `nissl demo`: the whole way on an embedded model, or on one of the user's.

use std::path::PathBuf;
use std::process::ExitCode;

use nissl_core::Result;
use nissl_studies::demo;

use super::report::{self, Folder};
use crate::Context;

/// `nissl demo`
#[derive(Debug, clap::Args)]
pub(crate) struct Demo {
    /// A checkpoint of yours instead of the embedded model: a folder or hub:owner/name
    #[arg(long, requires = "text")]
    model: Option<String>,
    /// Texts for that checkpoint: .txt, .jsonl, .csv or .parquet
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "model")]
    text: Vec<PathBuf>,
    /// The folder of everything that is made [default: nissl-demo]
    #[arg(short, long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

pub(crate) fn run(args: &Demo, context: &Context<'_>) -> Result<ExitCode> {
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from("nissl-demo"));
    let chosen = if args.out.is_some() { Folder::Named } else { Folder::Usual };
    // What can be wrong with a model is found before a folder is made.
    let network = match &args.model {
        Some(model) => Some(super::record::open(model, context.global)?),
        None => None,
    };
    let config = serde_json::json!({ "demo": args.model.as_deref().unwrap_or("embedded") });
    let unfinished = report::begin(&out, chosen, &config, context)?;
    let (seed, progress) = (context.global.seed, context.progress);
    let summary = match &network {
        None => demo::embedded(&out, seed, progress)?,
        Some(network) => demo::checkpoint(network, &args.text, &out, seed, progress)?,
    };
    unfinished.finish()?;
    if context.printer.is_json() {
        context.printer.json(&summary)?;
        return Ok(ExitCode::SUCCESS);
    }
    if summary.methods.is_empty() {
        context.printer.text(&format!("{} features of {} named", summary.named, summary.site));
    } else {
        let rows: Vec<Vec<String>> = summary
            .methods
            .iter()
            .map(|method| {
                vec![
                    method.method.clone(),
                    format!("{:.3}", method.mean_auroc),
                    format!("{:.3}–{:.3}", method.low, method.high),
                    format!("{} of {}", method.recovered, method.concepts),
                    method.features.to_string(),
                ]
            })
            .collect();
        context.printer.table(
            &["method", ">mean AUROC", ">95 % interval", ">concepts found", ">features"],
            &rows,
        );
    }
    context.printer.note(&format!(
        "{:.0} s · open {} in a browser · everything else is in {}",
        summary.seconds,
        summary.report,
        out.display()
    ));
    Ok(ExitCode::SUCCESS)
}
