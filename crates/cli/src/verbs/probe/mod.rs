//! `nissl probe truth|steer|ablate …`, one file for each probe.

mod ablate;
mod steer;
mod truth;

use std::path::Path;
use std::process::ExitCode;

use nissl_core::features::Features;
use nissl_core::{Error, Result, Site};

use crate::Context;

/// `nissl probe`
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Probe {
    #[command(subcommand)]
    kind: Kind,
}

/// The probes.
#[derive(Debug, clap::Subcommand)]
enum Kind {
    /// Find for each planted concept the feature that tells it best
    Truth(truth::Truth),
    /// Add a feature to the activity while the network writes
    Steer(steer::SteerOne),
    /// Take features out and measure the loss, concept by concept
    Ablate(ablate::AblateOne),
}

pub(crate) fn run(args: Probe, context: &Context<'_>) -> Result<ExitCode> {
    match args.kind {
        Kind::Truth(args) => truth::run(args, context),
        Kind::Steer(args) => steer::run(args, context),
        Kind::Ablate(args) => ablate::run(args, context),
    }
}

/// The features and the number that `FOLDER:NUMBER` names.
fn feature_of(text: &str) -> Result<(Features, usize)> {
    let parts =
        text.rsplit_once(':').and_then(|(folder, number)| Some((folder, number.parse().ok()?)));
    let Some((folder, number)) = parts else {
        return Err(Error::setting("feature", format!("`{text}`"), "FOLDER:NUMBER"));
    };
    let features = Features::open(Path::new(folder))?;
    if number >= features.features() {
        let last = features.features().saturating_sub(1);
        return Err(Error::setting("feature", number, format!("0 to {last}, as {folder} has")));
    }
    Ok((features, number))
}

/// The one site that features stand on.
fn site_of(features: &Features) -> Result<Site> {
    let sites = features.unit_table().texts("site")?;
    match sites.first() {
        Some(first) if sites.iter().all(|site| site == first) => Ok(Site::new(first.as_str())),
        _ => Err(Error::setting("site", "several", "features of one site")),
    }
}
