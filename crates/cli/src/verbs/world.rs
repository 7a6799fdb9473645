//! `nissl world language --tokens N --seed S -o DIR`, `nissl world worm --connectome GRAPH -o REC` and `nissl
//! world dynamic-communities -o DIR`, `nissl world lfr … -o GRAPH`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nissl_core::Result;
use nissl_core::store::Provenance;
use nissl_worlds::dynamic_communities::DynamicCommunities;
use nissl_worlds::language::LanguageWorld;
use nissl_worlds::lfr::WeightedLfr;

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
    /// Recordings of eight animals whose neurons change partners over time
    DynamicCommunities(DynamicCommunities),
    /// A weighted benchmark graph whose communities are known
    Lfr(WeightedLfr),
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
    match method {
        Kind::Language(world) => language(world, &out, context),
        Kind::Worm(args) => connectome::worm(&args, &out, context),
        Kind::DynamicCommunities(world) => animals(&world, &out, context),
        Kind::Lfr(world) => lfr(world, &out, context),
    }
}

fn lfr(world: WeightedLfr, out: &Path, context: &Context<'_>) -> Result<ExitCode> {
    let world = WeightedLfr { seed: context.global.seed, ..world };
    let drawn = world.generate()?;
    let provenance = Provenance::here(&world, world.seed, "cpu");
    drawn.graph()?.save(out, provenance, context.global.existing())?;
    if context.printer.is_json() {
        context.printer.json(&serde_json::json!({
            "path": out, "nodes": drawn.communities.len(), "edges": drawn.edges.len(),
            "communities": drawn.count(), "mean_degree": drawn.mean_degree,
            "edge_mixing": drawn.edge_mixing, "weight_mixing": drawn.weight_mixing,
        }))?;
    }
    context.printer.note(&format!(
        "{0}: {1} nodes, {2} edges, {3} communities; mixing {4:.3} of edges, {5:.3} of weights · next: nissl trace communities {0} --truth community",
        out.display(), drawn.communities.len(), drawn.edges.len(), drawn.count(), drawn.edge_mixing, drawn.weight_mixing
    ));
    Ok(ExitCode::SUCCESS)
}

fn language(world: LanguageWorld, out: &Path, context: &Context<'_>) -> Result<ExitCode> {
    let world = LanguageWorld { seed: context.global.seed, ..world };
    let provenance = Provenance::here(&world, world.seed, "cpu");
    let written = world.write(out, provenance, context.global.existing(), context.progress)?;
    if context.printer.is_json() {
        context.printer.json(&written)?;
    }
    context.printer.note(&format!(
        "{}: {} stories, {} tokens, {:.3} nats a token at least · next: nissl train language --world {}",
        out.display(), written.stories, written.tokens, written.entropy, out.display()
    ));
    Ok(ExitCode::SUCCESS)
}

fn animals(world: &DynamicCommunities, out: &Path, context: &Context<'_>) -> Result<ExitCode> {
    let world = DynamicCommunities { seed: context.global.seed, ..world.clone() };
    let existing = context.global.existing();
    let written = world.generate()?.write(out, &world, existing)?;
    if context.printer.is_json() {
        context.printer.json(&serde_json::json!({
            "path": out, "recordings": written, "neurons": world.neurons, "seconds": world.seconds,
        }))?;
    }
    context.printer.note(&format!(
        "{}: {} recordings of {} neurons, and the truth in truth.parquet · next: nissl decompose ntf {}/animal-* -o motifs",
        out.display(), written.len(), world.neurons, out.display()
    ));
    Ok(ExitCode::SUCCESS)
}
