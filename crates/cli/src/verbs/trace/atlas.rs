//! `nissl trace atlas NTF -o DIR` and `nissl trace removal NTF`: components of pairs as communities.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nissl_core::components::TensorComponents;
use nissl_core::features::Features;
use nissl_core::{Column, Error, Recording, Result, Table};
use nissl_decompose::ntf::{Affinities, Animals, Factorisation};
use nissl_studies::dynamic_communities::{Community, communities, page, removals};
use nissl_studies::report::Report;

use crate::Context;
use crate::verbs::report::{self, Folder};

/// `nissl trace atlas`
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct AtlasArgs {
    /// Features of pairs that `nissl decompose ntf` found
    features: PathBuf,
    /// The folder of the page and its tables
    #[arg(short, long, value_name = "FOLDER")]
    out: PathBuf,
}

/// `nissl trace removal`
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RemovalArgs {
    /// Features of pairs that `nissl decompose ntf` found; their recordings are read again
    features: PathBuf,
    /// Neurons to remove, each by itself; all of them without this flag
    #[arg(long = "neuron", value_name = "NAME")]
    neurons: Vec<String>,
    /// Rows shown
    #[arg(long, default_value_t = 20)]
    top: usize,
}

fn found(path: &Path, context: &Context<'_>) -> Result<(TensorComponents, Vec<Community>)> {
    Features::open(path)?;
    let components = TensorComponents::open(path)?;
    let groups = communities(&components, context.global.seed, context.progress)?;
    Ok((components, groups))
}

pub(crate) fn atlas(args: &AtlasArgs, context: &Context<'_>) -> Result<ExitCode> {
    let config = serde_json::json!({ "trace": "atlas", "features": args.features });
    let (components, groups) = found(&args.features, context)?;
    let unfinished = report::begin(&args.out, Folder::Named, &config, context)?;
    let page = Report::new(
        "Who acts with whom, when, and in which animals",
        "Each component is a set of pairs of neurons that act together at the same times in the same \
         animals; its communities are groups of neurons within which pairs are strong.",
    );
    let sections = page::sections(&components, &groups, None);
    let page = sections.into_iter().fold(page, Report::with_section);
    page.write(&args.out.join("report.html"))?;
    table(&components, &groups).write(&args.out.join("communities.parquet"))?;
    unfinished.finish()?;
    let told = |number: usize| {
        let labels = &groups[number].labels;
        let count = labels.iter().max().copied().unwrap_or(0);
        let placed = labels.iter().filter(|&&label| label > 0).count();
        (count, placed)
    };
    if context.printer.is_json() {
        let rows = (0..components.rank()).map(|number| {
            let (count, placed) = told(number);
            serde_json::json!({
                "component": number, "communities": count, "neurons": placed,
                "contrast": groups[number].contrast.contrast,
            })
        });
        let rows: Vec<_> = rows.collect();
        context.printer.json(&serde_json::json!({ "path": args.out, "components": rows }))?;
    }
    let rows: Vec<Vec<String>> = (0..components.rank())
        .map(|number| {
            let (count, placed) = told(number);
            vec![
                number.to_string(),
                count.to_string(),
                format!("{placed} of {}", components.units.len()),
                format!("{:.2}", groups[number].contrast.contrast),
            ]
        })
        .collect();
    if !context.printer.is_json() {
        context.printer.table(&[">component", ">communities", "neurons", ">contrast"], &rows);
    }
    context.printer.note(&format!("{}: report.html, communities.parquet", args.out.display()));
    Ok(ExitCode::SUCCESS)
}

/// One row for each component and neuron: `component`, `neuron`, `name`, `group` (0 for background).
fn table(components: &TensorComponents, groups: &[Community]) -> Table {
    let units = components.units.len();
    let rows = 0..groups.len() * units;
    let number = |of: fn(usize, usize) -> usize| {
        Column::U32(rows.clone().map(|row| of(row, units) as u32).collect())
    };
    let name = |row: usize| components.units[row % units].clone();
    let labels = groups.iter().flat_map(|group| group.labels.iter().copied());
    Table::new()
        .with("component", number(|row, units| row / units))
        .with("neuron", number(|row, units| row % units))
        .with("name", Column::Text(rows.clone().map(name).collect()))
        .with("group", Column::U32(labels.collect()))
}

/// The affinities that the components were found in, made again from their recordings.
fn affinities(features: &Features, context: &Context<'_>) -> Result<(Affinities, Factorisation)> {
    let mut method = features.manifest().detail.method.clone();
    if let Some(settings) = method.as_object_mut() {
        settings.remove("method");
    }
    let settings: Factorisation = serde_json::from_value(method).map_err(|error| {
        Error::file(features.path(), "method", error, "the settings of decompose ntf")
    })?;
    let seed = features.manifest().provenance.seed;
    let settings = settings.seeded(seed);
    let inputs = &features.manifest().provenance.inputs;
    let recordings = inputs
        .iter()
        .map(|input| Recording::open(Path::new(&input.path)))
        .collect::<Result<Vec<_>>>()?;
    let animals = Animals::read(&recordings, &settings.reading, &[])?;
    Ok((settings.affinity.of(&animals, context.progress)?, settings))
}

pub(crate) fn removal(args: &RemovalArgs, context: &Context<'_>) -> Result<ExitCode> {
    let (components, groups) = found(&args.features, context)?;
    let (affinities, settings) = affinities(&Features::open(&args.features)?, context)?;
    let names = if args.neurons.is_empty() { &components.units } else { &args.neurons };
    let told = removals(&components, &affinities, &groups, names, &settings.ntf, context.progress)?;
    if context.printer.is_json() {
        context.printer.json(&told)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Vec<String>> = told
        .iter()
        .take(args.top)
        .map(|one| {
            vec![
                one.neuron.clone(),
                one.component.to_string(),
                // Adding 0 takes the sign off what rounds to 0.
                format!("{:.1} %", (1000.0 * one.lost).round() / 10.0 + 0.0),
                format!("{:.3}", one.agreement),
            ]
        })
        .collect();
    let headers = ["without", ">component", ">loading lost", ">agreement of the others"];
    context.printer.table(&headers, &rows);
    context.printer.note(&format!("{} of {} changes shown, largest first", rows.len(), told.len()));
    Ok(ExitCode::SUCCESS)
}
