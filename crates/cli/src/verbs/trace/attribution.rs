//! `nissl trace attribution MODEL --prompt TEXT --features FEATURES…`

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use nissl_core::features::Features;
use nissl_core::network::{LanguageNetwork, Network, ResidualWeights};
use nissl_core::progress::significant;
use nissl_core::store::Provenance;
use nissl_core::{Error, Result};
use nissl_explain::dashboard;
use nissl_networks::language::Hub;
use nissl_networks::weights::CheckpointWeights;
use nissl_studies::report::circuit_page;
use nissl_trace::attribution::{Attributed, Attribution, FrozenPrompt, Names, Node, attribute};
use nissl_trace::frozen::{Freeze, FrozenRun, STRONGEST, Wiring, frozen_neurons, neurons};

use super::circuit::{replaced, sites};
use crate::Context;

/// `nissl trace attribution`
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct AttributionArgs {
    /// The network: a folder or a name of the hub
    #[arg(value_name = "MODEL")]
    model: String,
    /// The text whose next token is traced, of two tokens or more
    #[arg(long, value_name = "TEXT")]
    prompt: String,
    /// Transcoders in the place of MLPs, one for a layer [default: the neurons of MLPs without a gate]
    #[arg(long, value_name = "FEATURES", num_args = 1..)]
    features: Vec<PathBuf>,
    /// Keep the pruned graph in this folder
    #[arg(short, long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Write the pruned graph as JSON that public viewers of attribution graphs open
    #[arg(long, value_name = "FILE")]
    viewer_json: Option<PathBuf>,
    /// Write a page with the drawing
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Name of the graph in viewers
    #[arg(long, value_name = "NAME", default_value = "nissl")]
    slug: String,
    /// Name of the network in viewers [default: MODEL]
    #[arg(long, value_name = "NAME")]
    scan: Option<String>,
    /// Nodes listed, the most influential first
    #[arg(long, default_value_t = 20)]
    limit: usize,
    /// Take transcoders that explain nothing of their MLP on this prompt
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    settings: Attribution,
}

/// Above this share of unexplained effects the reader is warned.
const UNEXPLAINED: f64 = 0.3;
/// Above this relative gap the effects do not add up.
const COMPLETE: f64 = 1e-3;

pub(super) fn run(args: &AttributionArgs, context: &Context<'_>) -> Result<ExitCode> {
    args.settings.validate()?;
    let network = crate::verbs::record::open(&args.model, context.global)?;
    let hub = if context.global.offline { Hub::Offline } else { Hub::from_environment() };
    let weights = CheckpointWeights::from_source(&args.model.parse()?, hub)?;
    let features =
        args.features.iter().map(|path| Features::open(path)).collect::<Result<Vec<_>>>()?;
    let by_layer = by_layer(&features)?;
    let replaced = if features.is_empty() {
        let form = weights.stream_form()?;
        if form.gated {
            let expected =
                format!("a transcoder for each MLP of {}, whose neurons are gated", network.id());
            let help = "train one: nissl train dictionary MODEL --site layers.L.mlp.in \
                        --target layers.L.mlp.out";
            return Err(Error::setting("features", "absent", expected).with_help(help));
        }
        if form.activation != "relu" {
            context.printer.note(&format!(
                "without transcoders the nodes are neurons: {STRONGEST} of each layer and position, the rest \
                 unexplained; what {} makes of a neuron's input is held as it was",
                form.activation
            ));
        }
        let of = if form.activation == "relu" { neurons } else { frozen_neurons };
        (0..network.layers()).map(|layer| of(&weights, layer)).collect::<Result<Vec<_>>>()?
    } else {
        let form = weights.stream_form()?;
        by_layer.values().copied().map(|one| replaced(one, &form)).collect::<Result<Vec<_>>>()?
    };
    let wiring = Wiring::new(&weights, replaced)?;
    let tokenizer = network.tokenizer()?;
    let tokens: Vec<u32> = tokenizer.encode(&args.prompt)?.iter().map(|span| span.id).collect();
    if tokens.len() > network.context() {
        let found = format!("{} tokens", tokens.len());
        let expected = format!("at most {}, the context of {}", network.context(), network.id());
        return Err(Error::setting("prompt", found, expected));
    }
    let freeze = Freeze { force: args.force, ..Freeze::default() };
    let run = FrozenRun::new(&wiring, &network, &tokens, &freeze)?;
    let prompt = FrozenPrompt::new(&run, context.progress)?;
    let found = attribute(&prompt, &args.settings, context.progress)?;

    let known = labels(&found, &by_layer, &network, context)?;
    let text = |id: u32| tokenizer.token(id).unwrap_or_else(|| format!("token {id}"));
    let label =
        |layer: usize, feature: usize| known.get(&(layer, feature)).cloned().unwrap_or_default();
    let names = Names { token: &text, feature: &label };
    write(args, &found, &names, &features, context)?;
    tell(args, &found, &names, context)
}

fn write(
    args: &AttributionArgs,
    found: &Attributed,
    names: &Names<'_>,
    features: &[Features],
    context: &Context<'_>,
) -> Result<()> {
    let graph = found.to_graph(names)?;
    if let Some(folder) = &args.output {
        let mut provenance =
            Provenance::here(&args.settings, context.global.seed, &context.global.device);
        for one in features {
            provenance.inputs.push(one.input()?);
        }
        graph.save(folder, provenance, context.global.existing())?;
    }
    if let Some(file) = &args.viewer_json {
        let scan = args.scan.as_deref().unwrap_or(&args.model);
        let dictionaries = args.features.iter().map(|path| path.display().to_string()).collect();
        let metadata = found.metadata(&args.slug, scan, &args.prompt, dictionaries, names);
        graph.save_attribution_json(&metadata, file)?;
    }
    if let Some(file) = &args.html {
        circuit_page::page(found, names, &args.prompt, &args.model).write(file)?;
    }
    Ok(())
}

fn tell(
    args: &AttributionArgs,
    found: &Attributed,
    names: &Names<'_>,
    context: &Context<'_>,
) -> Result<ExitCode> {
    let (nodes, pruned) = (found.graph.nodes(), &found.pruned);
    let mut order: Vec<usize> = (0..nodes.len()).filter(|&node| pruned.kept[node]).collect();
    order.sort_by(|&a, &b| pruned.influence[b].total_cmp(&pruned.influence[a]));
    let logits: Vec<(String, f32)> = nodes
        .iter()
        .filter_map(|node| match *node {
            Node::Logit { token, probability } => Some(((names.token)(token), probability)),
            _ => None,
        })
        .collect();
    if context.printer.is_json() {
        let rows: Vec<_> = order
            .iter()
            .take(args.limit)
            .map(|&node| {
                serde_json::json!({"node": nodes[node], "influence": pruned.influence[node]})
            })
            .collect();
        context.printer.json(&serde_json::json!({
            "logits": logits,
            "nodes": {"all": nodes.len(), "kept": pruned.nodes()},
            "edges": {"kept": pruned.edges.len()},
            "influence_kept": pruned.share(),
            "completeness": found.completeness,
            "strongest": rows,
        }))?;
    } else {
        let rows: Vec<Vec<String>> = order
            .iter()
            .filter(|&&node| !matches!(nodes[node], Node::Logit { .. }))
            .take(args.limit)
            .map(|&node| row(&nodes[node], pruned.influence[node], names, &found.tokens()))
            .collect();
        let heads = [">influence", "node", ">layer", "at", ">activation", "says"];
        context.printer.table(&heads, &rows);
    }
    let likely: Vec<String> =
        logits.iter().map(|(token, share)| format!("{token} {:.1} %", 100.0 * share)).collect();
    let completeness = &found.completeness;
    context.printer.note(&format!(
        "next: {} · {} of {} nodes and {} edges kept, {:.0} % of the influence",
        likely.join(",").trim_start(),
        pruned.nodes(),
        nodes.len(),
        pruned.edges.len(),
        100.0 * pruned.share()
    ));
    context.printer.note(&format!(
        "contributions + biases + errors against the network, {} targets: largest relative gap {}",
        completeness.targets,
        significant(completeness.worst)
    ));
    if completeness.worst > COMPLETE {
        context.printer.note("warning: the effects do not add up; take this graph with care");
    }
    if completeness.errors > UNEXPLAINED {
        context.printer.note(&format!(
            "warning: {:.0} % of the effects come from what the features leave unexplained; \
             transcoders for every layer, or better ones, explain more",
            100.0 * completeness.errors
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn row(node: &Node, influence: f64, names: &Names<'_>, tokens: &[u32]) -> Vec<String> {
    let at = |position: usize| tokens.get(position).map_or(String::new(), |&t| (names.token)(t));
    let (what, layer, place, activation, says) = match *node {
        Node::Feature { layer, position, feature, activation } => (
            format!("feature {feature}"),
            layer.to_string(),
            at(position),
            significant(f64::from(activation)),
            (names.feature)(layer, feature),
        ),
        Node::Error { layer, position } => (
            "unexplained".to_owned(),
            layer.to_string(),
            at(position),
            String::new(),
            String::new(),
        ),
        Node::Token { position, .. } => {
            ("token".to_owned(), String::new(), at(position), String::new(), String::new())
        }
        Node::Logit { token, .. } => {
            ("logit".to_owned(), String::new(), String::new(), String::new(), (names.token)(token))
        }
    };
    vec![format!("{influence:.4}"), what, layer, place.trim().to_owned(), activation, says]
}

/// The features of each layer.
fn by_layer(features: &[Features]) -> Result<BTreeMap<usize, &Features>> {
    let mut found = BTreeMap::new();
    for one in features {
        let (_, layer) = sites(one)?;
        if let Some(other) = found.insert(layer, one) {
            let both = format!("{} and {}", other.path().display(), one.path().display());
            return Err(Error::setting("features", both, format!("one for layer {layer}")));
        }
    }
    Ok(found)
}

/// What the kept features are called.
fn labels(
    found: &Attributed,
    by_layer: &BTreeMap<usize, &Features>,
    network: &dyn LanguageNetwork,
    context: &Context<'_>,
) -> Result<BTreeMap<(usize, usize), String>> {
    let mut known = BTreeMap::new();
    for (&at, features) in by_layer {
        let kept = found.graph.nodes().iter().zip(&found.pruned.kept);
        let mut numbers: Vec<usize> = kept
            .filter_map(|(node, &kept)| match *node {
                Node::Feature { layer, feature, .. } if kept && layer == at => Some(feature),
                _ => None,
            })
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        let labels = dashboard::labels(features, &numbers, network, context.progress)?;
        known.extend(numbers.into_iter().map(|feature| (at, feature)).zip(labels));
    }
    Ok(known)
}
