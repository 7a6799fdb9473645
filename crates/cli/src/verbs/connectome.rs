//! `nissl import connectome FILE… -o GRAPH`, `nissl world worm --connectome GRAPH -o REC`, and how other verbs open
//! connectomes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nissl_core::progress::significant;
use nissl_core::store::{self, Provenance};
use nissl_core::{Error, Graph, Result};
use nissl_record::connectome::{Asymmetric, ImportConnectome, ImportReport};
use nissl_trace::connectome::Connectome;
use nissl_worlds::worm::WormWorld;

use crate::Context;

/// Asymmetric gap junctions and unknown names that are listed.
const LISTED: usize = 5;

/// `nissl import connectome`
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ImportArgs {
    /// The published table: .csv, .tsv, .xlsx, .xls, .json, .graphml or .nml; several are parts of one
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    settings: ImportConnectome,
    /// The folder of the new graph
    #[arg(short, long, value_name = "GRAPH")]
    out: PathBuf,
}

/// `nissl world worm`
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct WormArgs {
    /// The connectome that moves the worms
    #[arg(long, value_name = "GRAPH")]
    connectome: PathBuf,
    /// Keep the signed wiring that made them, as a graph
    #[arg(long, value_name = "GRAPH")]
    truth: Option<PathBuf>,
    #[command(flatten)]
    world: WormWorld,
}

pub(crate) fn import(args: &ImportArgs, context: &Context<'_>) -> Result<ExitCode> {
    let imported = args.settings.read(&args.files)?;
    let report = &imported.report;
    let config = serde_json::json!({
        "name": report.identity.name,
        "weight_kind": report.identity.weight_kind,
        "citation": report.identity.citation,
        "settings": args.settings,
    });
    let mut provenance = Provenance::here(&config, context.global.seed, "cpu");
    for file in &args.files {
        provenance = provenance.with_input(file)?;
    }
    imported.graph.save(&args.out, provenance, context.global.existing())?;
    if context.printer.is_json() {
        let mut document = serde_json::to_value(report).unwrap_or_default();
        document["path"] = serde_json::json!(args.out);
        context.printer.json(&document)?;
    } else {
        let rows: Vec<Vec<String>> = report
            .edges
            .iter()
            .map(|(kind, count)| {
                vec![kind.name().to_owned(), count.edges.to_string(), significant(count.weight)]
            })
            .collect();
        context.printer.table(&["type", ">edges", ">weight"], &rows);
    }
    told(report, context);
    context.printer.note(&format!("cite: {}", report.identity.citation));
    context.printer.note(&format!(
        "{}: {}, {} neurons, {} ordered pairs, {} pairs with gap junctions · next: nissl trace connectome {}",
        args.out.display(),
        report.identity.name,
        report.neurons,
        report.pairs,
        report.gap_pairs,
        args.out.display()
    ));
    Ok(ExitCode::SUCCESS)
}

/// Says what of the files is not in the graph, and what disagreed.
fn told(report: &ImportReport, context: &Context<'_>) {
    let note = |text: String| context.printer.note(&text);
    if !report.skipped.is_empty() {
        let kinds: Vec<String> =
            report.skipped.iter().map(|(kind, count)| format!("{} {count}", kind.name())).collect();
        let all: usize = report.skipped.values().sum();
        note(format!("left out {all} of {} readings: {}", report.readings, kinds.join(", ")));
    }
    if !report.unknown.is_empty() {
        let names: Vec<&str> = report.unknown.iter().take(LISTED).map(String::as_str).collect();
        note(format!("warning: unknown cells such as {}", names.join(", ")));
    }
    if report.duplicates > 0 {
        note(format!("{} chemical readings of a pair that had one before", report.duplicates));
    }
    if !report.asymmetric.is_empty() {
        let shown: Vec<String> = report.asymmetric.iter().take(LISTED).map(asymmetric).collect();
        let count = report.asymmetric.len();
        note(format!("warning: {count} gap junctions are asymmetric: {}", shown.join("; ")));
    }
}

fn asymmetric(one: &Asymmetric) -> String {
    let numbers = |values: &[f64]| match values {
        [] => "nothing".to_owned(),
        values => values.iter().map(f64::to_string).collect::<Vec<_>>().join(", "),
    };
    format!(
        "{}–{} {} forth, {} back, taken {}",
        one.pair[0],
        one.pair[1],
        numbers(&one.forth),
        numbers(&one.back),
        one.taken
    )
}

/// Says whom to cite for the artefact in `folder`, where that is known.
pub(crate) fn cite(folder: &Path, context: &Context<'_>) {
    let Ok(manifest) = store::read_value(folder, "graph") else { return };
    if let Some(citation) = manifest["provenance"]["config"]["citation"].as_str() {
        context.printer.note(&format!("cite: {citation}"));
    }
}

/// Opens connectomes, each under the name it was imported with, or that of its folder where two have one.
pub(crate) fn open(folders: &[PathBuf]) -> Result<Vec<Connectome>> {
    let mut found: Vec<(PathBuf, Graph, String)> = Vec::new();
    for folder in folders {
        let graph = Graph::open(folder)?;
        let manifest = store::read_value(folder, "graph")?;
        let name = manifest["provenance"]["config"]["name"].as_str().map(str::to_owned);
        found.push((folder.clone(), graph, name.unwrap_or_else(|| last(folder))));
    }
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for (_, _, name) in &found {
        *times.entry(name.clone()).or_default() += 1;
    }
    let mut opened: Vec<Connectome> = Vec::new();
    for (folder, graph, name) in &found {
        let name = if times[name] > 1 { last(folder) } else { name.clone() };
        if opened.iter().any(|other| other.name == name) {
            let found = format!("`{name}` twice");
            return Err(Error::setting(
                "graphs",
                found,
                "connectomes of different names or folders",
            ));
        }
        opened.push(Connectome::new(name, graph)?);
    }
    Ok(opened)
}

fn last(folder: &Path) -> String {
    folder
        .file_name()
        .map_or_else(|| folder.display().to_string(), |n| n.to_string_lossy().into_owned())
}

/// A share or a correlation, or a stroke where there is none.
pub(crate) fn figure(value: f64) -> String {
    if value.is_nan() { "–".to_owned() } else { format!("{value:.3}") }
}

pub(crate) fn worm(args: &WormArgs, out: &Path, context: &Context<'_>) -> Result<ExitCode> {
    let graph = Graph::open(&args.connectome)?;
    let world = WormWorld { seed: context.global.seed, ..args.world.clone() };
    let provenance = || Provenance::here(&world, world.seed, "cpu").with_input(&args.connectome);
    let wiring = world.wiring(&graph)?;
    let existing = context.global.existing();
    if let Some(folder) = &args.truth {
        wiring.graph()?.save(folder, provenance()?, existing)?;
    }
    let recording = world.write(&graph, out, provenance()?, existing, context.progress)?;
    let (samples, units) = (recording.samples(), recording.units());
    if context.printer.is_json() {
        context.printer.json(&serde_json::json!({
            "path": out, "worms": world.worms, "samples": samples, "units": units,
        }))?;
    }
    context.printer.note(&format!(
        "{}: {} worms, {samples} samples × {units} neurons · next: nissl trace structure-function {} --recording {}",
        out.display(),
        world.worms,
        args.connectome.display(),
        out.display()
    ));
    cite(&args.connectome, context);
    Ok(ExitCode::SUCCESS)
}
