//! `nissl import FILE -o DIR` and `nissl export REC -o FILE`: other tools' matrices; kinds of data
//! with names of their own are subcommands.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nissl_core::store::{self, Kind as ArtefactKind};
use nissl_core::{Error, Graph, Recording, Result};
use nissl_record::export::export_graph;

use super::artefact::size;
use super::{connectome, worm};
use crate::Context;

/// `nissl import`
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    disable_help_subcommand = true,
    subcommand_value_name = "KIND",
    subcommand_help_heading = "Kinds of data with names of their own"
)]
pub(crate) struct Import {
    #[command(subcommand)]
    kind: Option<Kind>,
    /// A matrix, rows samples: .npy, .npz, .csv, .parquet, .safetensors, .h5, .nwb, .mat, .json,
    /// .edf or .bdf
    #[arg(required = true)]
    file: Option<PathBuf>,
    #[command(flatten)]
    settings: nissl_record::import::Import,
    /// The folder of the new recording
    #[arg(short, long, value_name = "FOLDER", required = true)]
    out: Option<PathBuf>,
}

/// What has units and samples of its own.
#[derive(Debug, clap::Subcommand)]
enum Kind {
    /// Recorded brains of C. elegans, in the layouts of twelve data sets or as published
    Worm(Box<worm::ImportWorm>),
    /// A published connectome of C. elegans, as a graph
    Connectome(Box<connectome::ImportArgs>),
}

/// `nissl export`
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    disable_help_subcommand = true,
    subcommand_value_name = "KIND",
    subcommand_help_heading = "Tables with a form of their own"
)]
pub(crate) struct Export {
    #[command(subcommand)]
    kind: Option<ExportKind>,
    /// The folder of a recording or a graph
    #[arg(value_name = "ARTEFACT", required = true)]
    recording: Option<PathBuf>,
    #[command(flatten)]
    settings: nissl_record::export::Export,
    /// The file to write; its extension tells the format
    #[arg(short, long, value_name = "FILE", required = true)]
    out: Option<PathBuf>,
}

/// What has a form of its own.
#[derive(Debug, clap::Subcommand)]
enum ExportKind {
    /// The published table of recorded worms: one row for each neuron of each worm
    Worm(worm::ExportWorm),
}

/// What clap requires and gives no type for.
fn required(path: Option<&PathBuf>, field: &str) -> Result<PathBuf> {
    path.cloned().ok_or_else(|| Error::setting(field, "absent", "a path"))
}

pub(crate) fn import(args: &Import, context: &Context<'_>) -> Result<ExitCode> {
    match &args.kind {
        Some(Kind::Worm(args)) => return worm::import(args, context),
        Some(Kind::Connectome(args)) => return connectome::import(args, context),
        None => {}
    }
    let (file, out) = (required(args.file.as_ref(), "file")?, required(args.out.as_ref(), "out")?);
    let recording = nissl_record::import::import(
        &file,
        &args.settings,
        &out,
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
    if let Some(ExportKind::Worm(args)) = &args.kind {
        return worm::export(args, context);
    }
    let out = required(args.out.as_ref(), "out")?;
    let artefact = required(args.recording.as_ref(), "recording")?;
    let manifest = store::read_value(&artefact, "recording or graph")?;
    if manifest["nissl"] == ArtefactKind::Graph.name() {
        return graph(args, &artefact, &out, context);
    }
    let recording = Recording::open(&artefact)?;
    let written = nissl_record::export::export(
        &recording,
        &args.settings,
        &out,
        context.global.existing(),
        context.progress,
    )?;
    if context.printer.is_json() {
        context.printer.json(&written)?;
    }
    context.printer.note(&format!(
        "{}: {} samples × {} units, {}",
        out.display(),
        written.samples,
        written.units,
        size(written.bytes)
    ));
    Ok(ExitCode::SUCCESS)
}

fn graph(args: &Export, folder: &Path, out: &Path, context: &Context<'_>) -> Result<ExitCode> {
    if args.settings != nissl_record::export::Export::default() {
        let found = "--as, --samples or --dtype for a graph";
        let expected = "none; the name of the file tells the format";
        return Err(Error::setting("settings", found, expected));
    }
    let graph = Graph::open(folder)?;
    let written = export_graph(&graph, out, context.global.existing())?;
    if context.printer.is_json() {
        context.printer.json(&written)?;
    }
    let (nodes, edges) = (written.nodes, written.edges);
    context.printer.note(&format!("{}: {nodes} nodes, {edges} edges", out.display()));
    connectome::cite(folder, context);
    Ok(ExitCode::SUCCESS)
}
