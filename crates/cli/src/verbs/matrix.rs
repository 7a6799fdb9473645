//! `nissl import FILE -o DIR` and `nissl export REC -o FILE`: other tools' matrices.

use std::path::PathBuf;
use std::process::ExitCode;

use nissl_core::{Recording, Result};

use super::artefact::size;
use crate::Context;

/// `nissl import`
#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    /// A matrix, rows samples: .npy, .npz, .csv, .parquet or .safetensors
    file: PathBuf,
    #[command(flatten)]
    settings: nissl_record::import::Import,
    /// The folder of the new recording
    #[arg(short, long, value_name = "FOLDER")]
    out: PathBuf,
}

/// `nissl export`
#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// A recording's folder
    recording: PathBuf,
    #[command(flatten)]
    settings: nissl_record::export::Export,
    /// The file to write; its extension tells the format
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
}

pub(crate) fn import(args: &Import, context: &Context<'_>) -> Result<ExitCode> {
    let recording = nissl_record::import::import(
        &args.file,
        &args.settings,
        &args.out,
        context.global.existing(),
        context.progress,
    )?;
    let (samples, units) = (recording.samples(), recording.units());
    if context.printer.is_json() {
        context.printer.json(&serde_json::json!({
            "path": args.out, "samples": samples, "units": units,
        }))?;
    }
    context.printer.note(&format!(
        "{}: {samples} samples × {units} units · next: nissl decompose snmf {} -o FEATURES",
        args.out.display(),
        args.out.display()
    ));
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn export(args: &Export, context: &Context<'_>) -> Result<ExitCode> {
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
