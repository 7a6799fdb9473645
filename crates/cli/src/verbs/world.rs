//! `nissl world language --tokens N --seed S -o DIR` and `nissl world worm --connectome GRAPH -o REC`

use std::path::PathBuf;
use std::process::ExitCode;

use nissl_core::Result;
use nissl_core::store::Provenance;
use nissl_worlds::language::LanguageWorld;

use super::connectome;
use crate::Context;
use crate::methods::Method;

/// `nissl world`
#[derive(Debug, clap::Args)]
pub(crate) struct World {
    #[command(flatten)]
    world: Method<Kind, Output>,
}

/// The worlds.
#[derive(Clone, Debug, clap::Subcommand)]
enum Kind {
    /// Stories whose every token carries its concepts and its entropy
    Language(LanguageWorld),
    /// Recorded worms whose activity follows from a connectome
    Worm(connectome::WormArgs),
}

/// Where a world goes.
#[derive(Clone, Debug, clap::Args)]
struct Output {
    /// The folder of the new world
    #[arg(short, long, value_name = "FOLDER")]
    out: PathBuf,
}

pub(crate) fn run(args: World, context: &Context<'_>) -> Result<ExitCode> {
    let Method { method, inputs: Output { out } } = args.world;
    let world = match method {
        Kind::Language(world) => world,
        Kind::Worm(args) => return connectome::worm(&args, &out, context),
    };
    let world = LanguageWorld { seed: context.global.seed, ..world };
    let provenance = Provenance::here(&world, world.seed, "cpu");
    let written = world.write(&out, provenance, context.global.existing(), context.progress)?;
    if context.printer.is_json() {
        context.printer.json(&written)?;
    }
    context.printer.note(&format!(
        "{}: {} stories, {} tokens, {:.3} nats a token at least · next: nissl train language --world {}",
        out.display(), written.stories, written.tokens, written.entropy, out.display()
    ));
    Ok(ExitCode::SUCCESS)
}
