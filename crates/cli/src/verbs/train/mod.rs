//! `nissl train language|dictionary …`, one file for each.

mod dictionary;
mod language;

use std::process::ExitCode;

use nissl_core::Result;

use crate::Context;

/// `nissl train`
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Train {
    #[command(subcommand)]
    kind: Kind,
}

/// What is trained.
#[derive(Debug, clap::Subcommand)]
#[command(subcommand_value_name = "METHOD", subcommand_help_heading = "Methods")]
enum Kind {
    /// A network that predicts the next token
    Language(Box<language::Language>),
    /// A sparse autoencoder or transcoder, on the activity of a network that runs meanwhile
    Dictionary(Box<dictionary::TrainDictionary>),
}

pub(crate) fn run(args: Train, context: &Context<'_>) -> Result<ExitCode> {
    match args.kind {
        Kind::Language(args) => language::run(*args, context),
        Kind::Dictionary(args) => dictionary::run(&args, context),
    }
}
