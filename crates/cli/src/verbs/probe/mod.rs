//! `nissl probe truth|detect|steer|clamp|ablate|dictionary|overlap|reverse …`, one file for each probe.

mod ablate;
mod asked;
mod clamp;
mod concept;
mod detect;
mod dictionary;
mod overlap;
mod reverse;
mod steer;
mod truth;

use std::path::Path;
use std::process::ExitCode;

use nissl_core::features::Features;
use nissl_core::network::LanguageNetwork;
use nissl_core::{Error, Recording, Result};

use crate::Context;
use asked::Asked;

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
    /// Measure how well features tell sentences about a concept from others
    Detect(detect::DetectIn),
    /// Add features to the activity while the network writes, and judge the texts
    Steer(Box<steer::SteerIn>),
    /// Hold units at values and see what the network says
    Clamp(Box<clamp::ClampUnits>),
    /// Take features out and measure the loss, concept by concept
    Ablate(ablate::AblateOne),
    /// Put autoencoders or transcoders into a network and measure what is lost
    Dictionary(Box<dictionary::Dictionary>),
    /// Show which neurons features share, and what their common and own neurons do
    Overlap(overlap::Overlap),
    /// Negate a network's weight vectors along a concept, and judge what that does
    Reverse(reverse::ReverseRows),
}

pub(crate) fn run(args: Probe, context: &Context<'_>) -> Result<ExitCode> {
    match args.kind {
        Kind::Truth(args) => truth::run(args, context),
        Kind::Detect(args) => detect::run(args, context),
        Kind::Steer(args) => steer::run(&args, context),
        Kind::Clamp(args) => clamp::run(*args, context),
        Kind::Ablate(args) => ablate::run(args, context),
        Kind::Dictionary(args) => dictionary::run(&args, context),
        Kind::Overlap(args) => overlap::run(&args, context),
        Kind::Reverse(args) => reverse::run(args, context),
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

/// Refuses a network that reads otherwise than the one that was recorded, where that can be told.
///
/// # Errors
/// A token of another text than in the recording.
fn check_tokenizer(
    features: &Features,
    network: &dyn LanguageNetwork,
    context: &Context<'_>,
) -> Result<()> {
    let recording = features.manifest().detail.recording.as_ref();
    let opened = recording.map(|input| Recording::open(Path::new(&input.path)));
    if let Some(Ok(recording)) = opened
        && nissl_probe::check_tokenizer(&recording, network.tokenizer()?)?
    {
        return Ok(());
    }
    context.printer.note(&format!(
        "the recording of {} is not at hand, so its tokens were not compared with the network's",
        features.path().display()
    ));
    Ok(())
}

/// A figure with two or more digits, and nothing where it is undefined.
fn figure(value: f64, digits: usize) -> String {
    if value.is_finite() { format!("{value:.digits$}") } else { String::new() }
}
