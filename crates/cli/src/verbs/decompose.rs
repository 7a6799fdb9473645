//! `nissl decompose METHOD REC -o DIR`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgMatches, Args, Command, FromArgMatches};
use nissl_core::features::Features;
use nissl_core::{Recording, Result, SiteGlob};
use nissl_decompose::Options;
use nissl_decompose::hierarchy::Levels;

use crate::Context;
use crate::methods::Method;
use crate::verbs::interaction_basis::{self, Lib};
use crate::verbs::ntf::{self, Ntf};
use crate::verbs::sweep::Sweeping;

/// `nissl decompose`: a method applied to a recording, or to a network and its data.
#[derive(Debug)]
pub(crate) enum Decompose {
    Recording(Box<Method<nissl_decompose::Method, Inputs>>),
    Network(Box<Lib>),
    Animals(Box<Ntf>),
}

/// The method that is applied to a network.
const LIB: &str = "lib";
/// The method that is applied to several recordings.
const NTF: &str = "ntf";

impl Args for Decompose {
    fn augment_args(command: Command) -> Command {
        let about =
            "Coordinates in which a network's layers interact sparsely (Bushnaq et al. 2024)";
        let lib = Lib::augment_args(Command::new(LIB)).about(about).long_about(None);
        let about = "Pairs that act together, when, and in which animals (Dyballa et al. 2024)";
        let ntf = Ntf::augment_args(Command::new(NTF)).about(about).long_about(None);
        Method::<nissl_decompose::Method, Inputs>::augment_args(command)
            .subcommand(lib)
            .subcommand(ntf)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Decompose {
    fn from_arg_matches(matches: &ArgMatches) -> std::result::Result<Self, clap::Error> {
        match matches.subcommand() {
            Some((LIB, of)) => Ok(Self::Network(Box::new(Lib::from_arg_matches(of)?))),
            Some((NTF, of)) => Ok(Self::Animals(Box::new(Ntf::from_arg_matches(of)?))),
            _ => Ok(Self::Recording(Box::new(Method::from_arg_matches(matches)?))),
        }
    }

    fn update_from_arg_matches(
        &mut self,
        matches: &ArgMatches,
    ) -> std::result::Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// What is decomposed, and into what.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Inputs {
    /// A recording's folder
    recording: PathBuf,
    /// Decompose only the units of these sites, when several were recorded
    #[arg(long, value_name = "GLOB")]
    site: Option<SiteGlob>,
    /// Share of the sequences that is held out to judge the features
    #[arg(long, default_value_t = 0.2, value_name = "SHARE")]
    held_out: f64,
    /// The folder of the new features
    #[arg(short, long, value_name = "FOLDER")]
    out: PathBuf,
    #[command(flatten)]
    sweep: Sweeping,
}

pub(crate) fn run(args: Decompose, context: &Context<'_>) -> Result<ExitCode> {
    let Method { method, inputs } = match args {
        Decompose::Network(args) => return interaction_basis::run(&args, context),
        Decompose::Animals(args) => return ntf::run(&args, context),
        Decompose::Recording(args) => *args,
    };
    let mut recording = Recording::open(&inputs.recording)?;
    let options = Options {
        held_out: inputs.held_out,
        seed: context.global.seed,
        existing: context.global.existing(),
    };
    if inputs.sweep.is_wanted() {
        let site = inputs.site.as_ref();
        return inputs.sweep.run(&method, recording, site, &inputs.out, &options, context);
    }
    if let Some(site) = &inputs.site {
        recording = recording.only(site)?;
    }
    let features =
        nissl_decompose::decompose(&method, &recording, &inputs.out, &options, context.progress)?;
    let explained = features.explained_variance();
    let detail = &features.manifest().detail;
    let levels = match &method {
        nissl_decompose::Method::Snmf(snmf) if !snmf.recursion.levels.is_empty() => {
            Some(Levels::open(&inputs.out)?)
        }
        _ => None,
    };
    if context.printer.is_json() {
        context.printer.json(&serde_json::json!({
            "levels": levels.as_ref().map(levels_told),
            "path": inputs.out, "method": features.method(), "features": features.features(),
            "units": features.units(), "samples": features.samples(),
            "explained_variance": explained, "warnings": detail.warnings,
        }))?;
    }
    for warning in &detail.warnings {
        context.printer.note(&format!("warning: {warning}"));
    }
    if let Some(levels) = &levels {
        note_levels(levels, context);
    }
    let told = explained.held_out.map_or_else(String::new, |share| {
        format!(" · {:.1} % of the variance of held-out samples explained", 100.0 * share)
    });
    context.printer.note(&format!(
        "{}: {} features of {} units{told} · next: nissl explain all {}",
        inputs.out.display(),
        features.features(),
        features.units(),
        inputs.out.display()
    ));
    Ok(ExitCode::SUCCESS)
}

/// The levels of a hierarchy for programs.
fn levels_told(levels: &Levels) -> serde_json::Value {
    let ranks: Vec<usize> = levels.features.iter().map(Features::features).collect();
    let tuned = levels.tuned.as_ref().map(|tuned| {
        serde_json::json!({
            "before": tuned.before(), "after": tuned.after(), "steps": tuned.errors.len() - 1,
        })
    });
    serde_json::json!({ "features": ranks, "errors": levels.errors, "tuned": tuned })
}

fn note_levels(levels: &Levels, context: &Context<'_>) {
    let ranks: Vec<String> =
        levels.features.iter().map(|level| level.features().to_string()).collect();
    let tuned = levels.tuned.as_ref().map_or_else(String::new, |tuned| {
        format!(
            " · fine-tuning lowered the relative error from {:.4} to {:.4}",
            tuned.before(),
            tuned.after()
        )
    });
    let path = levels.features[0].path().display();
    context.printer.note(&format!(
        "levels of {} features{tuned} · see nissl show {path} --tree",
        ranks.join(", ")
    ));
}
