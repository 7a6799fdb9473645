//! `nissl explain dashboard FEATURES`, `nissl explain tally SHEET`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nissl_core::features::Features;
use nissl_core::network::{LanguageNetwork, ResidualWeights};
use nissl_core::store::write_bytes;
use nissl_core::{Error, Result};
use nissl_explain::dashboard::{
    self, Dashboard, Dashboards, Item, Mixed, Sources, Tally, judged, key_text, mix, sheet_text,
    tally,
};
use nissl_networks::language::Hub;
use nissl_networks::weights::CheckpointWeights;
use nissl_studies::report::dashboard_page::{Sight, mixed_page, page};

use super::recording_of;
use crate::Context;

/// `nissl explain dashboard`
#[derive(Clone, Debug, clap::Args)]
pub(super) struct DashboardArgs {
    /// A folder of features, or some of them: FOLDER:12 or FOLDER:3,7,12
    #[arg(value_name = "FEATURES")]
    features: String,
    /// The recording they were found in [default: as their manifest says]
    #[arg(long, value_name = "FOLDER", conflicts_with = "blind")]
    recording: Option<PathBuf>,
    /// The network, for the tokens that features write and read
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Features of other layers, for what drives these and what they drive
    #[arg(long, value_name = "FEATURES", requires = "model", num_args = 1..)]
    circuit: Vec<PathBuf>,
    /// Hide the texts: explain features from the weights alone, then compare
    #[arg(long, requires = "model")]
    blind: bool,
    /// Write a sheet to be filled in: item, judgement (yes, maybe, no), words
    #[arg(long, value_name = "FILE")]
    sheet: Option<PathBuf>,
    /// Other features of the same recording, mixed with these so that nobody can tell whose they are
    #[arg(long, value_name = "FEATURES", requires = "sheet", requires = "key", conflicts_with_all = ["blind", "circuit"])]
    against: Option<PathBuf>,
    /// Write what each item of a mixed sheet is
    #[arg(long, value_name = "FILE", requires = "against")]
    key: Option<PathBuf>,
    /// Live features drawn of each set for a mixed sheet
    #[arg(long, default_value_t = Mixed::default().count, requires = "against")]
    count: usize,
    /// The page
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    settings: Dashboards,
}

/// `nissl explain tally`
#[derive(Clone, Debug, clap::Args)]
pub(super) struct TallyArgs {
    /// A sheet that was filled in
    sheet: PathBuf,
    /// Its key, when two sets of features were mixed
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

/// Features on a page when none are named.
const USUAL: usize = 20;

pub(super) fn run(args: &DashboardArgs, context: &Context<'_>) -> Result<ExitCode> {
    args.settings.validate()?;
    let (folder, numbers) = crate::verbs::show::parse(&args.features)?;
    let features = Features::open(&folder)?;
    let network = match &args.model {
        Some(model) => Some(crate::verbs::record::open(model, context.global)?),
        None => None,
    };
    let weights = match &args.model {
        Some(model) => Some(weights_of(model, context)?),
        None => None,
    };
    let recording =
        if args.blind { None } else { Some(recording_of(&features, args.recording.as_ref())?) };
    let others =
        args.circuit.iter().map(|path| Features::open(path)).collect::<Result<Vec<_>>>()?;
    let sources = Sources {
        recording: recording.as_ref(),
        network: network.as_ref().map(|network| network as &dyn LanguageNetwork),
        weights: weights.as_ref().map(|weights| weights as &dyn ResidualWeights),
        others: &others,
    };
    if let Some(against) = &args.against {
        return compared(args, (&folder, &features), against, &sources, context);
    }
    let numbers = if numbers.is_empty() { liveliest(&features)? } else { numbers };
    let made = dashboard::make(&features, &numbers, &sources, &args.settings, context.progress)?;
    let sight = if args.blind { Sight::Blind } else { Sight::Open };
    page(&features, &made, sight).write(&args.output)?;
    if let Some(sheet) = &args.sheet {
        write_bytes(sheet, sheet_text(numbers.iter().copied()).as_bytes())?;
    }
    tell(args, &made, context)
}

/// Two sets of features on one page, in random order, without their names.
fn compared(
    args: &DashboardArgs,
    (folder, features): (&Path, &Features),
    against: &Path,
    sources: &Sources<'_>,
    context: &Context<'_>,
) -> Result<ExitCode> {
    let (Some(sheet), Some(key)) = (&args.sheet, &args.key) else {
        return Err(Error::setting("against", against.display(), "--sheet and --key beside it"));
    };
    let others = Features::open(against)?;
    let names = (folder.display().to_string(), against.display().to_string());
    let settings = Mixed { count: args.count, seed: context.global.seed, ..Mixed::default() };
    let items = mix(&[(&names.0, features), (&names.1, &others)], &settings)?;
    let of = |name: &str| -> Vec<usize> {
        items.iter().filter(|item| item.source == name).map(|item| item.feature).collect()
    };
    let make = |features: &Features, name: &str| {
        dashboard::make(features, &of(name), sources, &args.settings, context.progress)
    };
    let mut first = make(features, &names.0)?.into_iter();
    let mut second = make(&others, &names.1)?.into_iter();
    let in_order = |item: &Item| if item.source == names.0 { first.next() } else { second.next() };
    let made: Vec<Dashboard> = items.iter().filter_map(in_order).collect();
    mixed_page(&items, &made).write(&args.output)?;
    write_bytes(sheet, sheet_text(items.iter().map(|item| item.item)).as_bytes())?;
    write_bytes(key, key_text(&items).as_bytes())?;
    context.printer.note(&format!(
        "when the sheet is filled in: nissl explain tally {} --key {}",
        sheet.display(),
        key.display()
    ));
    tell(args, &made, context)
}

/// The features with the highest density, which are most worth a look, when none are named.
fn liveliest(features: &Features) -> Result<Vec<usize>> {
    let density = features.table().f32s("density")?;
    let mut order: Vec<usize> = (0..density.len()).filter(|&at| density[at] > 0.0).collect();
    order.sort_by(|&a, &b| density[b].total_cmp(&density[a]).then(a.cmp(&b)));
    order.truncate(USUAL);
    if order.is_empty() {
        return Err(Error::file(features.path(), "density", 0, "a feature that is ever active")
            .with_help("name the features: FOLDER:3,7"));
    }
    Ok(order)
}

fn tell(args: &DashboardArgs, made: &[Dashboard], context: &Context<'_>) -> Result<ExitCode> {
    if context.printer.is_json() {
        context.printer.json(&serde_json::json!({
            "page": args.output, "features": made.len(), "sheet": args.sheet, "key": args.key,
        }))?;
    }
    context.printer.note(&format!("{}: {} features", args.output.display(), made.len()));
    Ok(ExitCode::SUCCESS)
}

fn weights_of(model: &str, context: &Context<'_>) -> Result<CheckpointWeights> {
    let hub = if context.global.offline { Hub::Offline } else { Hub::from_environment() };
    CheckpointWeights::from_source(&model.parse()?, hub)
}

pub(super) fn run_tally(args: &TallyArgs, context: &Context<'_>) -> Result<ExitCode> {
    let read =
        |path: &Path| std::fs::read_to_string(path).map_err(|error| Error::io(path, "read", error));
    let found = judged(&read(&args.sheet)?, &args.sheet)?;
    let tallies: Vec<Tally> = if let Some(key) = &args.key {
        tally(&found, &read(key)?, key)?
    } else {
        let one = |&item: &usize| Item { item, source: "all".to_owned(), feature: item };
        let all: Vec<Item> = found.keys().map(one).collect();
        tally(&found, &key_text(&all), &args.sheet)?
    };
    if context.printer.is_json() {
        context.printer.json(&tallies)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Vec<String>> = tallies
        .iter()
        .map(|one| {
            let mut row = vec![one.source.clone()];
            row.extend([one.yes, one.maybe, one.no, one.blank].map(|count| count.to_string()));
            row
        })
        .collect();
    context.printer.table(&["features", ">yes", ">maybe", ">no", ">not judged"], &rows);
    Ok(ExitCode::SUCCESS)
}
