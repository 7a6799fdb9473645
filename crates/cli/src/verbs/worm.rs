//! `nissl import worm FILES -o FOLDER` and `nissl export worm FOLDERS -o TABLE`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use nissl_core::{Error, Result};
use nissl_record::worm::import::{self, ImportWorms, Imported};
use nissl_record::worm::set::WormSummary;
use nissl_record::worm::statistics::statistics;

use crate::Context;

/// `nissl import worm`
///
/// Reads the raw files of twelve published data sets (told from the names in them), or the published
/// table of all of them, and brings every worm into one form: cleaned names of neurons, one sampling
/// interval, smoothed and normalised. Each worm becomes a recording whose units are its neurons.
#[derive(Debug, clap::Args)]
pub(crate) struct ImportWorm {
    /// Raw files (.mat, .nwb, .h5, .json, .csv, .zip, N_gcamp.txt), folders of them, or the
    /// published table (.parquet)
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// A folder for the recordings, or a table when the name ends in .parquet
    #[arg(short, long, value_name = "PATH", required_unless_present = "coverage")]
    out: Option<PathBuf>,
    /// Tell which neurons are labelled in how many worms; without -o nothing is written
    #[arg(long)]
    coverage: bool,
    #[command(flatten)]
    settings: ImportWorms,
}

/// `nissl export worm`
#[derive(Debug, clap::Args)]
pub(crate) struct ExportWorm {
    /// Sets of worms, or recordings of single worms
    #[arg(required = true, value_name = "FOLDER")]
    recordings: Vec<PathBuf>,
    /// The table to write, .parquet
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
}

pub(crate) fn import(args: &ImportWorm, context: &Context<'_>) -> Result<ExitCode> {
    let printer = context.printer;
    let imported = match &args.out {
        Some(out) => {
            let existing = context.global.existing();
            import::import(&args.paths, &args.settings, out, existing, context.progress)?
        }
        None => import::survey(&args.paths, &args.settings, context.progress)?,
    };
    let covered = args.coverage.then(|| coverage(&imported.worms));
    if printer.is_json() {
        printer.json(&serde_json::json!({
            "path": args.out,
            "datasets": statistics(&imported.worms),
            "coverage": covered,
            "worms": imported.worms,
            "skipped": imported.skipped,
            "left_out": imported.left_out,
        }))?;
    } else {
        tables(&imported, covered.as_deref(), context);
    }
    notes(&imported, context);
    if let Some(out) = &args.out {
        let count = imported.worms.len();
        let first = out.join(&imported.worms[0].folder);
        printer.note(&format!("{}: {count} worms", out.display()));
        if out.is_dir() {
            printer.note(&format!("next: nissl decompose snmf {} -o FEATURES", first.display()));
        } else {
            printer.note(&format!("next: nissl import worm {} -o FOLDER", out.display()));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The labelled neurons with the number of worms that have them, the most frequent first.
fn coverage(worms: &[WormSummary]) -> Vec<(String, usize)> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for label in worms.iter().flat_map(|worm| &worm.labels) {
        *counts.entry(label).or_default() += 1;
    }
    let mut counts: Vec<(String, usize)> =
        counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    counts
}

fn tables(imported: &Imported, covered: Option<&[(String, usize)]>, context: &Context<'_>) {
    let known = |value: f64, digits: usize| {
        if value.is_finite() { format!("{value:.digits$}") } else { String::new() }
    };
    let rows: Vec<Vec<String>> = statistics(&imported.worms)
        .into_iter()
        .map(|set| {
            vec![
                set.dataset,
                set.worms.to_string(),
                format!("{:.1}", set.labelled),
                format!("{:.1}", set.recorded),
                set.distinct.to_string(),
                known(set.original_dt, 3),
                known(set.hours, 2),
                set.citation,
            ]
        })
        .collect();
    let heads =
        ["dataset", ">worms", ">labelled", ">neurons", ">names", ">raw s", ">hours", "cite"];
    context.printer.table(&heads, &rows);
    if let Some(covered) = covered {
        context.printer.text("");
        let rows: Vec<Vec<String>> =
            covered.iter().map(|(name, count)| vec![name.clone(), count.to_string()]).collect();
        context.printer.table(&["neuron", ">worms"], &rows);
    }
}

/// What was not taken: a few of each kind.
fn notes(imported: &Imported, context: &Context<'_>) {
    const SHOWN: usize = 5;
    let printer = context.printer;
    for skipped in imported.skipped.iter().take(SHOWN) {
        printer.note(&format!("skipped {}: {}", skipped.file, skipped.reason));
    }
    for left in imported.left_out.iter().take(SHOWN) {
        let neuron = &left.neuron;
        let name = if neuron.label.is_empty() { "without a name" } else { &neuron.label };
        printer.note(&format!(
            "left out of {} {}: column {} ({name}), {}",
            left.dataset, left.worm, neuron.column, neuron.reason
        ));
    }
    let more = imported.skipped.len().saturating_sub(SHOWN)
        + imported.left_out.len().saturating_sub(SHOWN);
    if more > 0 {
        printer.note(&format!("and {more} more that were not taken; --json tells all"));
    }
}

pub(crate) fn export(args: &ExportWorm, context: &Context<'_>) -> Result<ExitCode> {
    if !args.out.extension().is_some_and(|end| end.eq_ignore_ascii_case("parquet")) {
        return Err(Error::setting("out", args.out.display(), "a name that ends in .parquet"));
    }
    let existing = context.global.existing();
    let rows = import::export(&args.recordings, &args.out, existing, context.progress)?;
    if context.printer.is_json() {
        context.printer.json(&serde_json::json!({"path": args.out, "rows": rows}))?;
    }
    context.printer.note(&format!("{}: {rows} rows, one for each neuron", args.out.display()));
    Ok(ExitCode::SUCCESS)
}
