//! The verbs of the command line, one file for each group.

mod artefact;
mod chat;
mod connectome;
mod cut_network;
mod decompose;
mod demo;
mod dictionary;
mod explain;
mod interaction_basis;
mod matrix;
mod ntf;
mod probe;
mod record;
mod report;
mod show;
mod study;
mod sweep;
mod texts;
mod trace;
mod train;
mod world;
mod worm;

use std::io::IsTerminal;
use std::process::ExitCode;

use nissl_core::{Progress, Result};

use crate::printer::Printer;
use crate::{Context, Global};

/// What `nissl` does.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Run the whole way on an embedded model, scored against planted truth
    Demo(demo::Demo),
    /// Make data whose truth is known
    World(world::World),
    /// Train a network
    Train(train::Train),
    /// Record a network's activity over texts
    Record(record::Record),
    /// Make recordings from other tools' files and brains, graphs from connectomes
    Import(matrix::Import),
    /// Write a recording or a graph as a file that other tools read
    Export(matrix::Export),
    /// Find features in a recording
    Decompose(decompose::Decompose),
    /// Sparse autoencoders and transcoders of other tools: read, keep and write them
    Dictionary(dictionary::Dictionary),
    /// Say in words what features are
    Explain(explain::Explain),
    /// Show features: the list, one of them, or the tree of a hierarchy
    Show(show::Show),
    /// Test features: match with truth, steer, ablate
    Probe(probe::Probe),
    /// Trace circuits: what leads to a feature or to the next token
    Trace(trace::Trace),
    /// Rebuild a published claim and check its bars
    Study(study::Study),
    /// Tell what an artefact is and how it was made
    Info(artefact::Info),
    /// Compare an artefact's shards with their checksums
    Verify(artefact::Verify),
    /// Make an artefact again and compare
    Reproduce(artefact::Reproduce),
    /// Print completions for a shell
    Completions(Completions),
}

/// `nissl completions SHELL`
#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// The shell
    shell: clap_complete::Shell,
}

pub(crate) fn run(
    verb: Verb,
    global: &Global,
    printer: &Printer,
    progress: &Progress,
) -> Result<ExitCode> {
    let context = Context { global, printer, progress };
    match verb {
        Verb::Demo(args) => demo::run(&args, &context),
        Verb::World(args) => world::run(args, &context),
        Verb::Train(args) => train::run(args, &context),
        Verb::Record(args) => record::run(&args, &context),
        Verb::Import(args) => matrix::import(&args, &context),
        Verb::Export(args) => matrix::export(&args, &context),
        Verb::Decompose(args) => decompose::run(args, &context),
        Verb::Dictionary(args) => dictionary::run(&args, &context),
        Verb::Explain(args) => explain::run(args, &context),
        Verb::Show(args) => show::run(&args, &context),
        Verb::Probe(args) => probe::run(args, &context),
        Verb::Trace(args) => trace::run(args, &context),
        Verb::Study(args) => study::run(&args, &context),
        Verb::Info(args) => artefact::info(&args, &context),
        Verb::Verify(args) => artefact::verify(&args, &context),
        Verb::Reproduce(args) => artefact::reproduce(&args, &context),
        Verb::Completions(args) => {
            let mut command = <crate::Cli as clap::CommandFactory>::command();
            let mut script = Vec::new();
            clap_complete::generate(args.shell, &mut command, "nissl", &mut script);
            printer.text(&String::from_utf8_lossy(&script));
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Sends the log to stderr: warnings, and with `-v` more.
pub(crate) fn log(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        _ => "debug",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("NISSL_LOG")
        .unwrap_or_else(|_unset| tracing_subscriber::EnvFilter::new(level));
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .without_time()
        .with_target(false)
        .try_init();
    if started.is_err() {
        tracing::debug!("a log was set up before");
    }
}
