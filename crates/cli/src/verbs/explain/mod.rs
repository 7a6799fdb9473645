//! `nissl explain METHOD …`, one file for each group of methods.

mod dashboard;
mod describe;
mod features;
mod lm_head;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nissl_core::features::Features;
use nissl_core::{Error, Recording, Result};

use crate::Context;

/// `nissl explain`
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    subcommand_value_name = "METHOD",
    subcommand_help_heading = "Methods",
    disable_help_subcommand = true
)]
pub(crate) struct Explain {
    #[command(subcommand)]
    kind: Kind,
}

/// The ways to explain.
#[derive(Debug, clap::Subcommand)]
enum Kind {
    /// Examples, composition, logit lens and names, without a language model's help
    All(features::All),
    /// The tokens each feature pushes the next token towards, from the weights alone
    LogitLens(features::Lens),
    /// What links a feature's examples and the tokens it pushes, by language model or by rule
    #[command(name = "describe")]
    DescribeAll(describe::DescribeAll),
    /// Sentences about each described feature and about other things, to detect it with
    #[command(name = "sentences")]
    WriteAll(describe::WriteAll),
    /// A page to judge features by: texts by strength of activation, tokens, circuits
    Dashboard(Box<dashboard::DashboardArgs>),
    /// Count the judgements on a sheet that was filled in
    Tally(dashboard::TallyArgs),
    /// The tokens that every neuron or feature reads and writes, from the weights alone
    LmHead(Box<lm_head::LmHeadArgs>),
}

pub(crate) fn run(args: Explain, context: &Context<'_>) -> Result<ExitCode> {
    match args.kind {
        Kind::All(args) => features::all(&args, context),
        Kind::LogitLens(args) => features::logit_lens(&args, context),
        Kind::DescribeAll(args) => describe::describe(&args, context),
        Kind::WriteAll(args) => describe::sentences(&args, context),
        Kind::Dashboard(args) => dashboard::run(&args, context),
        Kind::Tally(args) => dashboard::run_tally(&args, context),
        Kind::LmHead(args) => lm_head::run(&args, context),
    }
}

/// The recording that features were found in, or the one that the user names.
pub(crate) fn recording_of(features: &Features, named: Option<&PathBuf>) -> Result<Recording> {
    if let Some(path) = named {
        return Recording::open(path);
    }
    features.require_samples()?;
    let recording = features.manifest().detail.recording.as_ref();
    let recording = recording.ok_or_else(|| {
        Error::file(features.path(), "recording", "not told", "a recording's folder")
            .with_help("name it with --recording")
    })?;
    Recording::open(Path::new(&recording.path))
        .map_err(|error| error.with_help("name the recording with --recording"))
}
