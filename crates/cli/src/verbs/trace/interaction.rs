//! `nissl trace interaction MODEL --sums N|--tokens FILE|--text FILE…|--recording REC [--bases FILE]`

mod data;

use std::path::PathBuf;
use std::process::ExitCode;

use ndarray::Axis;
use nissl_core::graph::{Graph, Orientation};
use nissl_core::progress::significant;
use nissl_core::section::InteractionBasis;
use nissl_core::store::Provenance;
use nissl_core::{Column, Error, Result, Table};
use nissl_decompose::interaction_basis::LocalInteractionBasis;
use nissl_trace::interaction::{
    EdgeMatrix, EdgeScale, Edges, Measure, Required, graph, modules, required,
};
use nissl_trace::leiden::Communities;

use crate::Context;
use crate::verbs::cut_network::Data;
use data::{Opened, open};

/// `nissl trace interaction`
#[derive(Clone, Debug, clap::Args)]
#[command(override_usage = "nissl trace interaction <MODEL> --text <FILE>... [OPTIONS]\n       \
                      nissl trace interaction <MODEL> --tokens <FILE> [OPTIONS]\n       \
                      nissl trace interaction <MODEL> --sums <N> [OPTIONS]\n       \
                      nissl trace interaction <MODEL> --recording <REC> [OPTIONS]")]
pub(crate) struct InteractionArgs {
    #[command(flatten)]
    data: Data,
    /// Bases found before, such as FOLDER/basis.safetensors of `nissl decompose lib` [default: found now]
    #[arg(long, value_name = "FILE")]
    bases: Option<PathBuf>,
    /// Also find how few vectors and edges each node layer needs
    #[arg(long)]
    ablate: bool,
    /// How the network's answers are judged: sums and next tokens by the truth, a perceptron's by its own
    #[arg(long, value_enum, default_value_t, requires = "ablate")]
    measure: Measure,
    /// What an ablation may cost, in the measure's unit, at least 0
    #[arg(long, default_value_t = 0.001, requires = "ablate", value_name = "COST")]
    tolerance: f64,
    /// Resolutions of the modules, above 0, separated by commas: higher ones find more (γ); the graph keeps the first
    #[arg(long, value_name = "GAMMA,...", value_delimiter = ',', default_value = "0.5")]
    resolution: Vec<f64>,
    /// The weight of an edge in the search for modules
    #[arg(long, value_enum, default_value_t)]
    scale: Scale,
    /// Keep the graph, with its modules, in this folder
    #[arg(short, long, value_name = "GRAPH")]
    output: Option<PathBuf>,
    #[command(flatten)]
    basis: LocalInteractionBasis,
    #[command(flatten)]
    edges: Edges,
}

/// Scales of edges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Scale {
    /// The edge itself
    #[default]
    Plain,
    /// Its square root
    Root,
    /// Its share in all edges between the two node layers
    Share,
    /// Its ratio to the largest edge between the two node layers
    Most,
    /// Its decimal orders above the smallest edge that is needed; needs --ablate
    Log,
}

/// What was found.
struct Found {
    bases: InteractionBasis,
    edges: Vec<EdgeMatrix>,
    required: Vec<Required>,
}

pub(super) fn run(args: &InteractionArgs, context: &Context<'_>) -> Result<ExitCode> {
    validate(args)?;
    let bases = args.bases.as_deref().map(InteractionBasis::load).transpose()?;
    let node_layers = match &bases {
        Some(bases) if args.data.node_layers.is_empty() => {
            bases.node_layers.iter().map(|basis| basis.node_layer.clone()).collect()
        }
        _ => args.data.node_layers.clone(),
    };
    let path = args.data.path(context)?;
    let found = open((&args.data, &path), &node_layers, context, |opened| {
        let settings = LocalInteractionBasis { seed: context.global.seed, ..args.basis.clone() };
        let bases = match bases {
            Some(bases) => bases,
            None => settings.fit(opened.chain, opened.samples, context.progress)?,
        };
        let edges = args.edges.all(opened.chain, opened.samples, &bases, context.progress)?;
        let required =
            if args.ablate { ablated(args, opened, &bases, &edges, context)? } else { Vec::new() };
        Ok(Found { bases, edges, required })
    })?;
    let scale = match args.scale {
        Scale::Plain => EdgeScale::Plain,
        Scale::Root => EdgeScale::Root,
        Scale::Share => EdgeScale::Share,
        Scale::Most => EdgeScale::Most,
        Scale::Log => EdgeScale::Log { least: least(&found)? },
    };
    let scaled = graph(&found.bases, &found.edges, scale, Orientation::Directed)?;
    let split: Vec<(Communities, Table)> = args
        .resolution
        .iter()
        .map(|&gamma| modules(&scaled, gamma, context.global.seed))
        .collect::<Result<_>>()?;
    if let (Some(folder), Some((first, _))) = (&args.output, split.first()) {
        let kept = graph(&found.bases, &found.edges, EdgeScale::Plain, Orientation::Directed)?;
        let module = first.of.iter().map(|&module| module as u32).collect();
        let nodes = kept.nodes().clone().with("module", Column::U32(module));
        let kept = Graph::new(nodes, kept.edges().clone(), Orientation::Directed)?;
        let settings = serde_json::json!({
            "method": "interaction", "edges": args.edges, "basis": found.bases.settings,
            "resolution": args.resolution.first(), "scale": format!("{:?}", args.scale).to_lowercase(),
        });
        let mut provenance = Provenance::here(&settings, context.global.seed, "cpu");
        if let Some(bases) = &args.bases {
            provenance = provenance.with_input(bases)?;
        }
        kept.save(folder, args.data.told(&path, provenance)?, context.global.existing())?;
    }
    show(args, &found, &split, context)?;
    Ok(ExitCode::SUCCESS)
}

fn validate(args: &InteractionArgs) -> Result<()> {
    args.basis.validate()?;
    args.edges.validate()?;
    if !(args.tolerance.is_finite() && args.tolerance >= 0.0) {
        return Err(Error::setting("tolerance", args.tolerance, "a number of at least 0"));
    }
    if let Some(wrong) = args.resolution.iter().find(|it| !(it.is_finite() && **it > 0.0)) {
        return Err(Error::setting("resolution", wrong, "numbers above 0"));
    }
    if args.scale == Scale::Log && !args.ablate {
        let expected = "--ablate beside it, which finds the smallest edge that is needed";
        return Err(Error::setting("scale", "log", expected));
    }
    Ok(())
}

/// What each node layer needs; where the data tell no answers, to answer as the whole network does.
fn ablated(
    args: &InteractionArgs,
    opened: &Opened<'_>,
    bases: &InteractionBasis,
    edges: &[EdgeMatrix],
    context: &Context<'_>,
) -> Result<Vec<Required>> {
    if opened.chain.end != opened.end {
        let expected =
            format!("node layers that end with {}, where answers are judged", opened.end);
        return Err(Error::setting("node_layers", &opened.chain.end, expected));
    }
    let answers = match &opened.answers {
        Some(answers) => answers.clone(),
        None => own(opened)?,
    };
    let judged = (args.measure, args.tolerance);
    required(opened.chain, opened.samples, &answers, (bases, edges), judged, context.progress)
}

/// The network's own answers: its largest outputs, the last of equal ones, as ablations judge them.
fn own(opened: &Opened<'_>) -> Result<Vec<u32>> {
    let mut rows = opened.samples.rows(0..opened.samples.samples())?;
    for section in &opened.chain.sections {
        rows = section.forward(rows.view())?;
    }
    let outputs = rows.ncols() - 1;
    let largest = |row: ndarray::ArrayView1<'_, f64>| {
        (0..outputs).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap_or(0) as u32
    };
    Ok(rows.axis_iter(Axis(0)).map(largest).collect())
}

/// The smallest edge that any node layer needs.
fn least(found: &Found) -> Result<f64> {
    let mut least = f64::INFINITY;
    for (edges, needs) in found.edges.iter().zip(&found.required) {
        let mut sizes = real(edges);
        sizes.sort_by(|a, b| b.total_cmp(a));
        let needed = needs.edges.unwrap_or(sizes.len()).min(sizes.len());
        if let Some(&size) = sizes[..needed].last() {
            least = least.min(size);
        }
    }
    if least.is_finite() {
        return Ok(least);
    }
    Err(Error::setting("scale", "log", "a network that needs edges; this one needs none"))
}

/// Edges above 0 that do not come from the constant.
fn real(edges: &EdgeMatrix) -> Vec<f64> {
    let all = edges.weights.indexed_iter();
    let real = all.filter(|((_, from), weight)| edges.constant != Some(*from) && **weight > 0.0);
    real.map(|(_, &weight)| weight).collect()
}

fn show(
    args: &InteractionArgs,
    found: &Found,
    split: &[(Communities, Table)],
    context: &Context<'_>,
) -> Result<()> {
    for warning in &found.bases.warnings {
        context.printer.note(&format!("warning: {warning}"));
    }
    if context.printer.is_json() {
        return json(args, found, split, context);
    }
    let count = |it: Option<usize>| it.map_or_else(|| "more".to_owned(), |it| it.to_string());
    let mut headers = vec!["from", "to", ">vectors", ">edges", ">largest"];
    if args.ablate {
        headers.extend([">vectors needed", ">edges needed"]);
    }
    let rows: Vec<Vec<String>> = found
        .edges
        .iter()
        .enumerate()
        .map(|(layer, edges)| {
            let sizes = real(edges);
            let mut row = vec![
                edges.from.clone(),
                edges.to.clone(),
                edges.weights.ncols().to_string(),
                sizes.len().to_string(),
                significant(sizes.iter().copied().fold(0.0, f64::max)),
            ];
            if let Some(needs) = found.required.get(layer) {
                row.extend([count(needs.vectors), count(needs.edges)]);
            }
            row
        })
        .collect();
    context.printer.table(&headers, &rows);
    if let Some(needs) = found.required.first() {
        let what = match args.measure {
            Measure::Accuracy => "accuracy",
            Measure::CrossEntropy => "cross-entropy",
        };
        let full = significant(needs.full);
        let cost = significant(args.tolerance);
        context.printer.note(&format!(
            "{what} of the whole network {full}, which may worsen by {cost}; edges from the constant are free"
        ));
    }
    let rows: Vec<Vec<String>> = args
        .resolution
        .iter()
        .zip(split)
        .map(|(gamma, (communities, table))| {
            let sizes = table.u32s("size")?;
            let spans = table.u32s("node_layers")?;
            let several = spans.iter().filter(|span| **span > 1).count();
            let largest: Vec<String> = sizes.iter().take(6).map(u32::to_string).collect();
            Ok(vec![
                gamma.to_string(),
                sizes.len().to_string(),
                several.to_string(),
                largest.join(" "),
                significant(communities.modularity),
            ])
        })
        .collect::<Result<_>>()?;
    let headers = [">resolution", ">modules", ">over several layers", "largest", ">modularity"];
    context.printer.table(&headers, &rows);
    if let Some(folder) = &args.output {
        context.printer.note(&format!("graph with modules in {}", folder.display()));
    }
    Ok(())
}

fn json(
    args: &InteractionArgs,
    found: &Found,
    split: &[(Communities, Table)],
    context: &Context<'_>,
) -> Result<()> {
    let edges = found.edges.iter().map(|edges| {
        let sizes = real(edges);
        serde_json::json!({
            "from": edges.from, "to": edges.to,
            "vectors": [edges.weights.ncols(), edges.weights.nrows()],
            "edges": sizes.len(), "largest": sizes.iter().copied().fold(0.0, f64::max),
            "sum": sizes.iter().sum::<f64>(),
        })
    });
    let modules = args.resolution.iter().zip(split).map(|(gamma, (communities, table))| {
        Ok(serde_json::json!({
            "resolution": gamma, "modularity": communities.modularity,
            "size": table.u32s("size")?, "node_layers": table.u32s("node_layers")?,
        }))
    });
    context.printer.json(&serde_json::json!({
        "path": args.output, "samples": found.bases.samples, "warnings": found.bases.warnings,
        "edges": edges.collect::<Vec<_>>(), "required": found.required,
        "modules": modules.collect::<Result<Vec<_>>>()?,
    }))
}
