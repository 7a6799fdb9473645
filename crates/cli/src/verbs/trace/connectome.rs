//! `nissl trace connectome GRAPH…`

use std::path::PathBuf;
use std::process::ExitCode;

use nissl_core::Result;
use nissl_core::progress::significant;
use nissl_studies::report::connectome_page;
use nissl_trace::connectome::{
    Agreement, CHEMICAL, ELECTRICAL, Measures, agreement, measures, node_measures,
};

use crate::Context;
use crate::verbs::connectome::{cite, figure, open};

/// `nissl trace connectome`
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ConnectomeArgs {
    /// Connectomes: folders of graphs of named neurons
    #[arg(value_name = "GRAPH", required = true)]
    graphs: Vec<PathBuf>,
    /// List every neuron with its degrees instead
    #[arg(long)]
    neurons: bool,
    /// Write a page with matrices and drawings
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

pub(super) fn run(args: &ConnectomeArgs, context: &Context<'_>) -> Result<ExitCode> {
    let connectomes = open(&args.graphs)?;
    let measured: Vec<Measures> = connectomes.iter().map(measures).collect();
    let agreements = agreement(&connectomes);
    let neurons: Vec<_> = connectomes.iter().map(node_measures).collect();
    if let Some(file) = &args.html {
        let seed = context.global.seed;
        connectome_page::page(&connectomes, &measured, &agreements, seed)?.write(file)?;
    }
    if context.printer.is_json() {
        let named: serde_json::Map<String, serde_json::Value> = connectomes
            .iter()
            .zip(&neurons)
            .map(|(one, neurons)| (one.name.clone(), serde_json::json!(neurons)))
            .collect();
        context.printer.json(&serde_json::json!({
            "connectomes": measured,
            "agreement": agreements,
            "neurons": args.neurons.then_some(named),
        }))?;
    } else if args.neurons {
        let rows: Vec<Vec<String>> = connectomes
            .iter()
            .zip(&neurons)
            .flat_map(|(one, neurons)| {
                neurons.iter().map(|neuron| {
                    vec![
                        one.name.clone(),
                        neuron.neuron.clone(),
                        neuron.out_degree.to_string(),
                        neuron.in_degree.to_string(),
                        neuron.gap_degree.to_string(),
                        significant(neuron.out_weight),
                        significant(neuron.in_weight),
                        significant(neuron.gap_weight),
                        figure(neuron.clustering),
                    ]
                })
            })
            .collect();
        let heads = [
            "connectome",
            "neuron",
            ">out",
            ">in",
            ">gap",
            ">out weight",
            ">in weight",
            ">gap weight",
            ">clustering",
        ];
        context.printer.table(&heads, &rows);
    } else {
        tables(&measured, &agreements, context);
    }
    for (one, graph) in measured.iter().zip(&args.graphs) {
        context.printer.note(&format!(
            "{}: {:.1} neighbours of a neuron, most {} ({}) · clustering {} (chance {}) · path {} steps",
            one.name,
            one.mean_degree,
            one.largest_degree.0,
            one.largest_degree.1,
            figure(one.clustering),
            figure(one.chance_clustering),
            figure(one.mean_path)
        ));
        cite(graph, context);
    }
    Ok(ExitCode::SUCCESS)
}

fn tables(measured: &[Measures], agreements: &[Agreement], context: &Context<'_>) {
    let rows: Vec<Vec<String>> = measured
        .iter()
        .map(|one| {
            let kind = |name: &str| one.kinds.iter().find(|kind| kind.kind == name);
            let count = |name: &str| kind(name).map_or(0, |kind| kind.edges).to_string();
            let weight = |name: &str| kind(name).map_or(0.0, |kind| kind.weight);
            vec![
                one.name.clone(),
                one.neurons.to_string(),
                one.pairs.to_string(),
                count(CHEMICAL),
                significant(weight(CHEMICAL)),
                one.gap_pairs.to_string(),
                significant(weight(ELECTRICAL)),
                figure(kind(CHEMICAL).map_or(f64::NAN, |kind| kind.reciprocity)),
                figure(one.clustering),
                figure(one.mean_path),
                figure(one.gap_with_chemical),
            ]
        })
        .collect();
    let heads = [
        "connectome",
        ">neurons",
        ">pairs",
        ">chemical",
        ">weight",
        ">gap pairs",
        ">gap weight",
        ">reciprocity",
        ">clustering",
        ">path",
        ">gaps with synapses",
    ];
    context.printer.table(&heads, &rows);
    if agreements.is_empty() {
        return;
    }
    let rows: Vec<Vec<String>> = agreements
        .iter()
        .map(|one| {
            vec![
                one.first.clone(),
                one.second.clone(),
                one.kind.clone(),
                one.neurons.to_string(),
                one.shared.to_string(),
                figure(one.jaccard),
                figure(one.rank_correlation),
            ]
        })
        .collect();
    context.printer.text("");
    context.printer.table(
        &["first", "second", "type", ">neurons", ">shared", ">Jaccard", ">rank correlation"],
        &rows,
    );
}
