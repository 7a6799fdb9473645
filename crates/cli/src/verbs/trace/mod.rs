//! `nissl trace METHOD …`, one file for each method.

mod attribution;

use std::process::ExitCode;

use nissl_core::Result;

use crate::Context;

/// `nissl trace`
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    subcommand_value_name = "METHOD",
    subcommand_help_heading = "Methods",
    disable_help_subcommand = true
)]
pub(crate) struct Trace {
    #[command(subcommand)]
    kind: Kind,
}

/// The ways to trace.
#[derive(Debug, clap::Subcommand)]
enum Kind {
    /// What active features, tokens and errors do to each other and to the next token
    Attribution(Box<attribution::AttributionArgs>),
}

pub(crate) fn run(args: Trace, context: &Context<'_>) -> Result<ExitCode> {
    match args.kind {
        Kind::Attribution(args) => attribution::run(&args, context),
    }
}
