//! `nissl study list|run NAME`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nissl_core::Result;
use nissl_studies::study::{self, Setting};

use super::report::{self, Folder};
use crate::Context;

/// `nissl study`
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Study {
    #[command(subcommand)]
    action: Action,
}

/// What to do with studies.
#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Name the studies
    List,
    /// Run one; exit code 0 when every bar holds, 1 when one is missed
    Run {
        /// Its name, as `nissl study list` tells it
        name: String,
        /// Where its artefacts and report go [default: nissl-studies/NAME]
        #[arg(short, long, value_name = "FOLDER")]
        out: Option<PathBuf>,
        /// Where real files lie that some parts use [default: ../shared/data, where it is]
        #[arg(long, value_name = "FOLDER")]
        data: Option<PathBuf>,
    },
}

pub(crate) fn run(args: &Study, context: &Context<'_>) -> Result<ExitCode> {
    match &args.action {
        Action::List => {
            list(context)?;
            Ok(ExitCode::SUCCESS)
        }
        Action::Run { name, out, data } => execute(name, out.clone(), data.as_deref(), context),
    }
}

fn list(context: &Context<'_>) -> Result<()> {
    if context.printer.is_json() {
        let rows: Vec<_> = study::all()
            .into_iter()
            .map(|study| {
                serde_json::json!({
                    "study": study.name, "title": study.title, "source": study.source
                })
            })
            .collect();
        return context.printer.json(&rows);
    }
    let rows: Vec<Vec<String>> = study::all()
        .into_iter()
        .map(|study| [study.name, study.title, study.source].map(str::to_owned).to_vec())
        .collect();
    context.printer.table(&["study", "what", "source"], &rows);
    Ok(())
}

fn execute(
    name: &str,
    out: Option<PathBuf>,
    data: Option<&Path>,
    context: &Context<'_>,
) -> Result<ExitCode> {
    let study = study::find(name)?;
    let chosen = if out.is_some() { Folder::Named } else { Folder::Usual };
    let out = out.unwrap_or_else(|| PathBuf::from("nissl-studies").join(study.name));
    let unfinished =
        report::begin(&out, chosen, &serde_json::json!({ "study": study.name }), context)?;
    let usual = Path::new("../shared/data");
    let data = data.or_else(|| usual.is_dir().then_some(usual));
    let setting =
        Setting { seed: context.global.seed, folder: &out, data, progress: context.progress };
    let outcome = study.execute(&setting)?;
    unfinished.finish()?;
    if context.printer.is_json() {
        context.printer.json(&outcome)?;
    } else {
        let rows: Vec<Vec<String>> = outcome
            .bars
            .iter()
            .map(|bar| {
                let word = if bar.pass { "holds" } else { "MISSED" };
                let value = nissl_core::progress::significant(bar.value);
                vec![bar.name.clone(), value, bar.bound.clone(), word.to_owned()]
            })
            .collect();
        context.printer.table(&["claim", ">value", "bound", "verdict"], &rows);
    }
    for skipped in &outcome.skipped {
        context.printer.note(&format!("not done: {skipped}"));
    }
    context.printer.note(&format!(
        "{name}: {} in {:.0} s · report: {}",
        outcome.verdict, outcome.seconds, outcome.report
    ));
    Ok(ExitCode::from(u8::from(!outcome.passed())))
}
