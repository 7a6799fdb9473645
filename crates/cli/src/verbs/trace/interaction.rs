//! `nissl trace interaction MODEL --sums N|--tokens FILE|--text FILE…|--recording REC [--bases FILE]`

mod data;
mod tell;

use std::path::PathBuf;
use std::process::ExitCode;

use ndarray::Axis;
use nissl_core::graph::{Graph, Orientation};
use nissl_core::section::InteractionBasis;
use nissl_core::store::Provenance;
use nissl_core::{Column, Error, Result, Table};
use nissl_decompose::interaction_basis::{BasisKind, LocalInteractionBasis};
use nissl_studies::report::interaction_page::{self, Interactions};
use nissl_trace::interaction::{
    Ablate, EdgeMatrix, EdgeScale, Edges, Required, graph, modules, wave_labels,
};
use nissl_trace::leiden::Communities;

use crate::Context;
use crate::verbs::cut_network::Data;
use data::{Opened, open};
use tell::{real, show};

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
    #[command(flatten)]
    ablation: Ablate,
    /// Also find principal components, to see beside them what the bases save
    #[arg(long, conflicts_with = "bases")]
    beside_pca: bool,
    /// Resolutions of the modules, above 0, separated by commas: higher ones find more (γ); the graph keeps the first
    #[arg(long, value_name = "GAMMA,...", value_delimiter = ',', default_value = "0.5")]
    resolution: Vec<f64>,
    /// The weight of an edge in the search for modules
    #[arg(long, value_enum, default_value_t)]
    scale: Scale,
    /// Keep the graph, with its modules and labels, in this folder
    #[arg(short, long, value_name = "GRAPH")]
    output: Option<PathBuf>,
    /// Write a page with the drawing
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Coordinates of each node layer that are drawn, the most important ones, at least 1
    #[arg(long, default_value_t = 12, value_name = "N")]
    shown: usize,
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
    /// By node layer and vector; empty where the data tell no words.
    labels: Vec<Vec<String>>,
    /// The same between principal components.
    beside: Option<(Vec<EdgeMatrix>, Vec<Required>)>,
}

impl Found {
    fn label(&self, layer: usize, vector: usize) -> String {
        self.labels.get(layer).and_then(|all| all.get(vector)).cloned().unwrap_or_default()
    }
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
        let (edges, required) = interactions(args, opened, &bases, context)?;
        for warning in
            args.edges.warnings(opened.chain, opened.samples, &bases, context.progress)?
        {
            context.printer.note(&format!("warning: {warning}"));
        }
        let beside = if args.beside_pca {
            let settings = LocalInteractionBasis { basis: BasisKind::Pca, ..settings };
            let bases = settings.fit(opened.chain, opened.samples, context.progress)?;
            Some(interactions(args, opened, &bases, context)?)
        } else {
            None
        };
        let labels = match args.data.sums {
            Some(modulus) => wave_labels(opened.chain, opened.samples, &bases, modulus as usize)?,
            None => Vec::new(),
        };
        Ok(Found { bases, edges, required, labels, beside })
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
        let mut nodes = kept.nodes().clone().with("module", Column::U32(module));
        if !found.labels.is_empty() {
            nodes = nodes.with("label", Column::Text(labels(&found)));
        }
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
    if let (Some(file), Some((first, _))) = (&args.html, split.first()) {
        let label = |layer: usize, vector: usize| found.label(layer, vector);
        let interactions = Interactions {
            bases: &found.bases,
            edges: &found.edges,
            modules: first,
            required: &found.required,
            label: &label,
            shown: args.shown,
        };
        interaction_page::page(&interactions, &args.data.model)?.write(file)?;
    }
    show(args, &found, &split, context)?;
    Ok(ExitCode::SUCCESS)
}

/// The edges between the coordinates of `bases`, and what is needed of them where that was asked for.
fn interactions(
    args: &InteractionArgs,
    opened: &Opened<'_>,
    bases: &InteractionBasis,
    context: &Context<'_>,
) -> Result<(Vec<EdgeMatrix>, Vec<Required>)> {
    let settings = Edges { seed: context.global.seed, ..args.edges.clone() };
    let edges = settings.all(opened.chain, opened.samples, bases, context.progress)?;
    let required =
        if args.ablate { ablated(args, opened, bases, &edges, context)? } else { Vec::new() };
    Ok((edges, required))
}

/// The labels of all nodes of the graph, which has no constants.
fn labels(found: &Found) -> Vec<String> {
    let layers = found.bases.node_layers.iter().enumerate();
    let all = layers.flat_map(|(layer, basis)| {
        let vectors = (0..basis.vectors()).filter(|&n| basis.constant != Some(n));
        vectors.map(move |vector| found.label(layer, vector))
    });
    all.collect()
}

fn validate(args: &InteractionArgs) -> Result<()> {
    args.basis.validate()?;
    args.edges.validate()?;
    args.ablation.validate()?;
    if !args.ablate && args.ablation != Ablate::default() {
        let expected = "--ablate beside its settings, such as --tolerance or --edge-schedule";
        return Err(Error::setting("ablate", "absent", expected));
    }
    if args.shown == 0 {
        return Err(Error::setting("shown", 0, "at least 1"));
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
    let interaction = (bases, edges);
    args.ablation.required(opened.chain, opened.samples, &answers, interaction, context.progress)
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
