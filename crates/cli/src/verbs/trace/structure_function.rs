//! `nissl trace structure-function GRAPH --recording REC…|--functional GRAPH`

use std::path::PathBuf;
use std::process::ExitCode;

use nissl_core::{Error, Recording, Result};
use nissl_studies::report::{Report, connectome_page};
use nissl_trace::connectome::{
    ActivityCorrelation, Compared, Function, StructureFunction, TestedAgainstNull,
};

use crate::Context;
use crate::verbs::connectome::{cite, figure, open};

/// `nissl trace structure-function`
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct StructureFunctionArgs {
    /// The connectome whose wiring is held against activity
    #[arg(value_name = "GRAPH")]
    connectome: PathBuf,
    /// Recordings of worms, whose units have the names of neurons
    #[arg(
        long, value_name = "REC", num_args = 1..,
        required_unless_present = "functional", conflicts_with = "functional"
    )]
    recording: Vec<PathBuf>,
    /// A graph of functional edges instead, such as the atlas funconn
    #[arg(long, value_name = "GRAPH")]
    functional: Option<PathBuf>,
    #[command(flatten)]
    settings: StructureFunction,
    /// Write a page with the curve
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

pub(super) fn run(args: &StructureFunctionArgs, context: &Context<'_>) -> Result<ExitCode> {
    args.settings.validate()?;
    let mut folders = vec![args.connectome.clone()];
    folders.extend(args.functional.clone());
    let opened = open(&folders)?;
    let Some(connectome) = opened.first() else {
        return Err(Error::setting("connectome", "absent", "the folder of a graph"));
    };
    let (seed, progress) = (context.global.seed, context.progress);
    let compared = if let Some(functional) = opened.get(1) {
        args.settings.compare(connectome, Function::Edges(functional), seed, progress)?
    } else {
        let recordings =
            args.recording.iter().map(|path| Recording::open(path)).collect::<Result<Vec<_>>>()?;
        let activity = ActivityCorrelation::of(&recordings, &connectome.neurons, progress)?;
        args.settings.compare(connectome, Function::Activity(&activity), seed, progress)?
    };
    if let Some(file) = &args.html {
        let lede = "Whether neurons that are wired together are active together, and how that fades with \
                    the length of paths between them.";
        Report::new(format!("Wiring and activity: {}", compared.connectome), lede)
            .with_section(connectome_page::structure_function(&compared))
            .write(file)?;
    }
    if context.printer.is_json() {
        context.printer.json(&compared)?;
    } else {
        tables(&compared, context);
    }
    for folder in &folders {
        cite(folder, context);
    }
    context.printer.note(&format!(
        "{}: {} neurons measured, {} pairs, {} of them connected",
        compared.connectome, compared.neurons, compared.pairs, compared.connected
    ));
    Ok(ExitCode::SUCCESS)
}

fn tables(compared: &Compared, context: &Context<'_>) {
    let row = |name: &str, tested: &TestedAgainstNull| {
        vec![
            name.to_owned(),
            figure(tested.value),
            figure(tested.null_mean),
            figure(tested.null_sd),
            figure(tested.p),
        ]
    };
    context.printer.table(
        &["figure", ">value", ">chance", ">sd", ">p"],
        &[
            row("AUROC of connected pairs", &compared.auroc),
            row("rank correlation with weight", &compared.rank_correlation),
            row("rank correlation, connected pairs", &compared.connected_rank_correlation),
        ],
    );
    let rows: Vec<Vec<String>> = compared
        .by_length
        .iter()
        .map(|one| {
            let steps = match one.steps {
                None => "no path".to_owned(),
                Some(5) => "5 or more".to_owned(),
                Some(steps) => steps.to_string(),
            };
            vec![steps, one.pairs.to_string(), figure(one.mean), figure(one.error)]
        })
        .collect();
    context.printer.text("");
    context.printer.table(&["steps", ">pairs", ">mean |v|", ">error"], &rows);
}
