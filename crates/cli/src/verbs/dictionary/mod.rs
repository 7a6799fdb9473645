//! `nissl dictionary …`: sparse autoencoders and transcoders of other tools, read, kept and written.

mod import;
mod show;
mod write;

use std::process::ExitCode;

use nissl_core::Result;

use crate::Context;

/// `nissl dictionary`
#[derive(Debug, clap::Args)]
pub(crate) struct Dictionary {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Tell whose checkpoint it is, and what it encodes and predicts
    Show(show::Show),
    /// Make features of a checkpoint, with a recording also the activations of its samples
    Import(import::Import),
    /// Write features as a checkpoint that another tool reads
    Export(write::Export),
    /// Write one tool's checkpoint in the layout of another
    Convert(write::Convert),
}

pub(crate) fn run(args: &Dictionary, context: &Context<'_>) -> Result<ExitCode> {
    match &args.verb {
        Verb::Show(args) => show::run(args, context),
        Verb::Import(args) => import::run(args, context),
        Verb::Export(args) => write::export(args, context),
        Verb::Convert(args) => write::convert(args, context),
    }
}
