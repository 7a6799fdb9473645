//! `nissl trace consensus GRAPH… -o GRAPH`

use std::path::PathBuf;
use std::process::ExitCode;

use nissl_core::store::Provenance;
use nissl_core::{Error, Result};
use nissl_trace::connectome::{CONSENSUS_FILES, Consensus};

use crate::Context;
use crate::verbs::connectome::{cite, open};

/// `nissl trace consensus`
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ConsensusArgs {
    /// Connectomes: folders of graphs of the same neurons
    #[arg(value_name = "GRAPH", required = true)]
    graphs: Vec<PathBuf>,
    #[command(flatten)]
    settings: Consensus,
    /// The folder of the new graph
    #[arg(short, long, value_name = "GRAPH")]
    out: PathBuf,
    /// Write the four tables of the published data set into this folder
    #[arg(long, value_name = "FOLDER")]
    csv: Option<PathBuf>,
}

pub(super) fn run(args: &ConsensusArgs, context: &Context<'_>) -> Result<ExitCode> {
    let connectomes = open(&args.graphs)?;
    let consensus = args.settings.of(&connectomes)?;
    let names: Vec<&str> = connectomes.iter().map(|one| one.name.as_str()).collect();
    let config = serde_json::json!({
        "name": "consensus", "weight_kind": if args.settings.normalise { "share" } else { "mean" },
        "of": names, "settings": args.settings,
    });
    let mut provenance = Provenance::here(&config, context.global.seed, "cpu");
    for graph in &args.graphs {
        provenance = provenance.with_input(graph)?;
    }
    if let Some(folder) = &args.csv
        && context.global.existing() != nissl_core::store::Existing::Overwrite
        && let Some(file) =
            CONSENSUS_FILES.iter().map(|file| folder.join(file)).find(|f| f.exists())
    {
        return Err(Error::Exists { path: file.display().to_string() });
    }
    consensus.graph()?.save(&args.out, provenance, context.global.existing())?;
    if let Some(folder) = &args.csv {
        consensus.write_csv(folder)?;
    }
    let shared =
        |count: usize| consensus.pairs.iter().filter(|pair| pair.sources.len() == count).count();
    if context.printer.is_json() {
        let by_sources: Vec<usize> = (1..=connectomes.len()).map(shared).collect();
        context.printer.json(&serde_json::json!({
            "path": args.out, "connectomes": names, "pairs": consensus.pairs.len(),
            "pairs_by_number_of_sources": by_sources,
        }))?;
    } else {
        let rows: Vec<Vec<String>> = (1..=connectomes.len())
            .map(|count| vec![count.to_string(), shared(count).to_string()])
            .collect();
        context.printer.table(&[">sources", ">pairs"], &rows);
    }
    for graph in &args.graphs {
        cite(graph, context);
    }
    context.printer.note(&format!(
        "{}: {} ordered pairs with a connection in {}",
        args.out.display(),
        consensus.pairs.len(),
        names.join(", ")
    ));
    Ok(ExitCode::SUCCESS)
}
