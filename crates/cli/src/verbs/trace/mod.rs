//! `nissl trace METHOD …`, one file for each method.

mod atlas;
mod attribution;
mod circuit;
mod communities;
mod connections;
mod connectome;
mod consensus;
mod interaction;
mod structure_function;
mod transcoder_paths;

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
    /// The strongest paths that lead to a feature or a logit
    TranscoderPaths(Box<transcoder_paths::TranscoderPathsArgs>),
    /// What features, tokens and errors do to each other and the logits
    Attribution(Box<attribution::AttributionArgs>),
    /// What drives a feature and what it drives on every input, from the weights
    Connections(Box<connections::ConnectionsArgs>),
    /// Groups of nodes that belong together, by block models and other methods
    Communities(Box<communities::CommunitiesArgs>),
    /// Which coordinates of a layer act on which of the next, and their modules
    Interaction(Box<interaction::InteractionArgs>),
    /// Measures of connectomes, and how far they agree
    Connectome(Box<connectome::ConnectomeArgs>),
    /// One connectome from several
    Consensus(Box<consensus::ConsensusArgs>),
    /// What the wiring of a connectome says about activity
    StructureFunction(Box<structure_function::StructureFunctionArgs>),
    /// A page of who acts with whom, when and in which animals
    Atlas(atlas::AtlasArgs),
    /// What would change without a neuron: the communities of the others
    Removal(atlas::RemovalArgs),
}

pub(crate) fn run(args: Trace, context: &Context<'_>) -> Result<ExitCode> {
    match args.kind {
        Kind::TranscoderPaths(args) => transcoder_paths::run(&args, context),
        Kind::Attribution(args) => attribution::run(&args, context),
        Kind::Connections(args) => connections::run(&args, context),
        Kind::Communities(args) => communities::run(&args, context),
        Kind::Interaction(args) => interaction::run(&args, context),
        Kind::Connectome(args) => connectome::run(&args, context),
        Kind::Consensus(args) => consensus::run(&args, context),
        Kind::StructureFunction(args) => structure_function::run(&args, context),
        Kind::Atlas(args) => atlas::atlas(&args, context),
        Kind::Removal(args) => atlas::removal(&args, context),
    }
}
