//! `nissl dictionary show CHECKPOINT`

use std::path::PathBuf;
use std::process::ExitCode;

use nissl_core::features::{Activation, Encoding, InputNorm};
use nissl_core::{Recording, Result};
use nissl_decompose::checkpoints::{Checkpoint, Fit, Load, Role, best_sites, load};
use serde_json::json;

use crate::Context;

/// `nissl dictionary show`
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// A checkpoint: its file of weights, or the folder it lies in
    checkpoint: PathBuf,
    /// List the sites of this recording that it fits, the best first
    #[arg(long, value_name = "FOLDER")]
    recording: Option<PathBuf>,
    #[command(flatten)]
    load: Load,
}

pub(super) fn run(args: &Show, context: &Context<'_>) -> Result<ExitCode> {
    let checkpoint = load(&args.checkpoint, &args.load)?;
    let fits = match &args.recording {
        Some(path) => Some(best_sites(&Recording::open(path)?, &checkpoint)?),
        None => None,
    };
    if context.printer.is_json() {
        context.printer.json(&told(&checkpoint, fits.as_deref()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let Checkpoint { dictionary, source } = &checkpoint;
    let unknown = || "unknown".to_owned();
    let mut rows = Vec::new();
    let mut add = |what: &str, value: String| rows.push(vec![what.to_owned(), value]);
    add("maker", source.maker.to_string());
    add("kind", role(&checkpoint).to_owned());
    add("features", dictionary.features().to_string());
    add("units", dictionary.units().to_string());
    if checkpoint.role() == Role::Transcoder {
        add("output units", dictionary.output_units().to_string());
        add("skip connection", yes(dictionary.skip.is_some()));
    }
    if let Encoding::Sparse { activation, norm, centred } = dictionary.encoding {
        add("activation", in_words(activation));
        add("samples are", norm_in_words(norm).to_owned());
        add("bias taken off before the encoder", yes(centred));
    }
    add("reads", source.site.as_ref().map_or_else(unknown, ToString::to_string));
    if checkpoint.role() == Role::Transcoder {
        let targets: Vec<String> = source.targets.iter().map(ToString::to_string).collect();
        add("predicts", if targets.is_empty() { unknown() } else { targets.join(", ") });
    }
    add("the maker's name of the place", source.hook.clone().unwrap_or_else(unknown));
    add("model", source.model.clone().unwrap_or_else(unknown));
    if let Some(bos) = source.prepend_bos {
        add("texts began with a token of their own", yes(bos));
    }
    context.printer.table(&["what", "value"], &rows);
    for note in &source.notes {
        context.printer.note(&format!("note: {note}"));
    }
    if let Some(fits) = &fits {
        let rows: Vec<Vec<String>> = fits
            .iter()
            .map(|fit| {
                let Fit { site, target, unexplained } = fit;
                vec![site.to_string(), target.to_string(), format!("{unexplained:.4}")]
            })
            .collect();
        context.printer.table(&["reads", "describes", ">unexplained"], &rows);
        if rows.is_empty() {
            context.printer.note("no site of the recording has as many units as the dictionary");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The document of a checkpoint.
fn told(checkpoint: &Checkpoint, fits: Option<&[Fit]>) -> serde_json::Value {
    let Checkpoint { dictionary, source } = checkpoint;
    json!({
        "source": source,
        "role": checkpoint.role(),
        "features": dictionary.features(),
        "units": dictionary.units(),
        "output_units": dictionary.output_units(),
        "encoding": dictionary.encoding,
        "skip": dictionary.skip.is_some(),
        "fits": fits,
    })
}

/// What it is, in the field's words.
pub(super) fn role(checkpoint: &Checkpoint) -> &'static str {
    match checkpoint.role() {
        Role::Autoencoder => "sparse autoencoder",
        Role::Transcoder => "transcoder",
    }
}

fn in_words(activation: Activation) -> String {
    match activation {
        Activation::Relu => "ReLU".to_owned(),
        Activation::TopK { k } => format!("top-k, k = {k}"),
        Activation::SignedTopK { k } => format!("top-k by magnitude, k = {k}"),
        Activation::GroupMax { k } => format!("the largest of each of {k} groups"),
        Activation::JumpRelu => "JumpReLU, a threshold for each feature".to_owned(),
        Activation::Gated => "gated".to_owned(),
        other => format!("{other:?}"),
    }
}

fn norm_in_words(norm: InputNorm) -> &'static str {
    match norm {
        InputNorm::None => "read as they are",
        InputNorm::Length => "scaled to the length √units",
        InputNorm::Standard => "scaled to mean 0 and variance 1",
        _ => "normed",
    }
}

fn yes(is: bool) -> String {
    if is { "yes" } else { "no" }.to_owned()
}
