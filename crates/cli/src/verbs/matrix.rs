//! `nissl import FILE -o DIR` and `nissl export REC -o FILE`: other tools' matrices; what is no matrix has
//! subcommands of its own.

use std::path::PathBuf;
use std::process::ExitCode;

use nissl_core::store::{self, Kind};
use nissl_core::{Error, Graph, Recording, Result};
use nissl_record::export::export_graph;

use super::artefact::size;
use super::connectome;
use crate::Context;

/// `nissl import`
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    subcommand_value_name = "WHAT",
    subcommand_help_heading = "What else can be imported",
    disable_help_subcommand = true
)]
pub(crate) struct Import {
    #[command(subcommand)]
    what: Option<What>,
    /// A matrix, rows samples: .npy, .npz, .csv, .parquet or .safetensors
    #[arg(required = true)]
    file: Option<PathBuf>,
    #[command(flatten)]
    settings: nissl_record::import::Import,
    /// The folder of the new recording
    #[arg(short, long, value_name = "FOLDER", required = true)]
    out: Option<PathBuf>,
}

/// What is no matrix.
#[derive(Debug, clap::Subcommand)]
enum What {
    /// A published connectome of C. elegans, as a graph
    Connectome(Box<connectome::ImportArgs>),
}

/// `nissl export`
#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// The folder of a recording or a graph
    #[arg(value_name = "ARTEFACT")]
    recording: PathBuf,
    #[command(flatten)]
    settings: nissl_record::export::Export,
    /// The file to write; its extension tells the format
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
}

pub(crate) fn import(args: &Import, context: &Context<'_>) -> Result<ExitCode> {
    if let Some(What::Connectome(args)) = &args.what {
        return connectome::import(args, context);
    }
    let (Some(file), Some(out)) = (&args.file, &args.out) else {
        return Err(Error::setting("file", "absent", "a matrix and -o FOLDER"));
    };
    let recording = nissl_record::import::import(
        file,
        &args.settings,
        out,
        context.global.existing(),
        context.progress,
    )?;
    let (samples, units) = (recording.samples(), recording.units());
    if context.printer.is_json() {
        context.printer.json(&serde_json::json!({
            "path": out, "samples": samples, "units": units,
        }))?;
    }
    context.printer.note(&format!(
        "{}: {samples} samples × {units} units · next: nissl decompose snmf {} -o FEATURES",
        out.display(),
        out.display()
    ));
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn export(args: &Export, context: &Context<'_>) -> Result<ExitCode> {
    let manifest = store::read_value(&args.recording, "recording or graph")?;
    if manifest["nissl"] == Kind::Graph.name() {
        return graph(args, context);
    }
    let recording = Recording::open(&args.recording)?;
    let written = nissl_record::export::export(
        &recording,
        &args.settings,
        &args.out,
        context.global.existing(),
        context.progress,
    )?;
    if context.printer.is_json() {
        context.printer.json(&written)?;
    }
    context.printer.note(&format!(
        "{}: {} samples × {} units, {}",
        args.out.display(),
        written.samples,
        written.units,
        size(written.bytes)
    ));
    Ok(ExitCode::SUCCESS)
}

fn graph(args: &Export, context: &Context<'_>) -> Result<ExitCode> {
    if args.settings != nissl_record::export::Export::default() {
        let found = "--as, --samples or --dtype for a graph";
        return Err(Error::setting(
            "settings",
            found,
            "none; the name of the file tells the format",
        ));
    }
    let graph = Graph::open(&args.recording)?;
    let written = export_graph(&graph, &args.out, context.global.existing())?;
    if context.printer.is_json() {
        context.printer.json(&written)?;
    }
    let (nodes, edges) = (written.nodes, written.edges);
    context.printer.note(&format!("{}: {nodes} nodes, {edges} edges", args.out.display()));
    connectome::cite(&args.recording, context);
    Ok(ExitCode::SUCCESS)
}
