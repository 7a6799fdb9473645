//! `nissl trace transcoder-paths MODEL --prompt TEXT --start layers.5.mlp:123@7`

use std::path::PathBuf;
use std::process::ExitCode;

use nissl_core::network::{LanguageNetwork, Tokenizer};
use nissl_core::progress::significant;
use nissl_core::store::Provenance;
use nissl_core::{Error, Result};
use nissl_trace::frozen::{FrozenRun, Wiring};
use nissl_trace::transcoder_paths::{
    Component, Filter, Merge, Path, Start, Step, Traced, TranscoderPaths,
};

use super::circuit::Circuit;
use crate::Context;

/// `nissl trace transcoder-paths`
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct TranscoderPathsArgs {
    #[command(flatten)]
    circuit: Circuit,
    /// The text that is run, of two tokens or more
    #[arg(long, value_name = "TEXT")]
    prompt: String,
    /// Trace a feature, as layers.LAYER.mlp:FEATURE, with @POSITION at a token, else at the last
    #[arg(
        long,
        value_name = "FEATURE",
        required_unless_present = "logit",
        conflicts_with = "logit"
    )]
    start: Option<String>,
    /// Trace the logit of a token, or with two tokens that of the first less that of the second
    #[arg(long, value_name = "TOKEN", num_args = 1..=2)]
    logit: Vec<String>,
    /// The position whose logits are traced, from 0 [default: the last]
    #[arg(long, value_name = "POSITION", requires = "logit")]
    at: Option<usize>,
    /// Show only paths with steps that follow each other as described, parted by /, such as
    /// component=head/component=token
    #[arg(long, value_name = "STEPS")]
    infix: Option<String>,
    /// Show only paths whose last steps are as described, as for --infix
    #[arg(long, value_name = "STEPS")]
    suffix: Option<String>,
    /// Paths shown of each length
    #[arg(long, default_value_t = 10)]
    limit: usize,
    /// Keep the merged graph of all paths in this folder
    #[arg(short, long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// What becomes one node of the merged graph
    #[arg(long, value_enum, default_value_t)]
    merge: Merge,
    #[command(flatten)]
    settings: TranscoderPaths,
}

pub(super) fn run(args: &TranscoderPathsArgs, context: &Context<'_>) -> Result<ExitCode> {
    args.settings.validate()?;
    args.start.as_deref().map(feature).transpose()?;
    let infix = args.infix.as_deref().map(pattern).transpose()?;
    let suffix = args.suffix.as_deref().map(pattern).transpose()?;
    let opened = args.circuit.open(context)?;
    let wiring = Wiring::new(&opened.weights, opened.replaced(context)?)?;
    let network = &opened.network;
    let tokenizer = network.tokenizer()?;
    let tokens = prompt(network, tokenizer, &args.prompt)?;
    let run = FrozenRun::new(&wiring, network, &tokens, &args.settings.freeze)?;
    let start = start(args, tokenizer, tokens.len())?;
    let traced = args.settings.run(&run, &start, context.progress)?;
    let names: Vec<String> = tokens
        .iter()
        .map(|&id| tokenizer.token(id).unwrap_or_else(|| format!("token {id}")))
        .collect();
    if let Some(folder) = &args.output {
        let provenance =
            Provenance::here(&args.settings, context.global.seed, &context.global.device);
        let provenance = opened.inputs(provenance)?;
        traced.graph(&names, args.merge)?.save(folder, provenance, context.global.existing())?;
    }
    let shown = shown(args, &traced, infix.as_deref(), suffix.as_deref());
    if context.printer.is_json() {
        context.printer.json(&serde_json::json!({
            "start": traced.start,
            "tokens": names,
            "paths": shown,
            "completeness": traced.completeness,
            "unexplained_variance": run.unexplained(),
            "cautions": traced.cautions,
        }))?;
    } else {
        let rows: Vec<Vec<String>> = shown
            .iter()
            .map(|path| vec![significant(path.contribution()), line(path, &names)])
            .collect();
        context.printer.table(&[">gives", "path, from the effect to its causes"], &rows);
    }
    notes(&traced, context);
    Ok(ExitCode::SUCCESS)
}

/// The tokens of a prompt that fits the network.
pub(super) fn prompt(
    network: &impl LanguageNetwork,
    tokenizer: &dyn Tokenizer,
    text: &str,
) -> Result<Vec<u32>> {
    let tokens: Vec<u32> = tokenizer.encode(text)?.iter().map(|span| span.id).collect();
    if tokens.len() > network.context() {
        let found = format!("{} tokens", tokens.len());
        let expected = format!("at most {}, the context of {}", network.context(), network.id());
        return Err(Error::setting("prompt", found, expected));
    }
    Ok(tokens)
}

fn start(args: &TranscoderPathsArgs, tokenizer: &dyn Tokenizer, positions: usize) -> Result<Start> {
    let last = positions.saturating_sub(1);
    if let Some(text) = &args.start {
        let (layer, feature, position) = feature(text)?;
        return Ok(Start::Feature { layer, feature, position: position.unwrap_or(last) });
    }
    let mut tokens = Vec::new();
    for (text, weight) in args.logit.iter().zip([1.0, -1.0]) {
        let spans = tokenizer.encode(text)?;
        let own: Vec<u32> =
            spans.iter().filter(|span| span.end > span.start).map(|span| span.id).collect();
        let &[token] = own.as_slice() else {
            let found = format!("`{text}`, {} tokens", own.len());
            let expected = "a text of one token, with the blank it may begin with, as in ' cat'";
            return Err(Error::setting("logit", found, expected));
        };
        tokens.push((token, weight));
    }
    Ok(Start::Logits { tokens, position: args.at.unwrap_or(last) })
}

/// The layer, feature and position of `layers.5.mlp:123@7`.
pub(super) fn feature(text: &str) -> Result<(usize, u32, Option<usize>)> {
    let parts = || {
        let (site, rest) = text.split_once(':')?;
        let layer = site.strip_prefix("layers.")?.strip_suffix(".mlp")?.parse().ok()?;
        let (feature, position) = match rest.split_once('@') {
            Some((feature, position)) => (feature, Some(position.parse().ok()?)),
            None => (rest, None),
        };
        Some((layer, feature.parse().ok()?, position))
    };
    parts().ok_or_else(|| {
        Error::setting("feature", format!("`{text}`"), "layers.LAYER.mlp:FEATURE or …@POSITION")
    })
}

/// The steps of `a=1/b=2`.
fn pattern(text: &str) -> Result<Vec<Filter>> {
    text.split('/').map(str::parse).collect()
}

fn shown<'a>(
    args: &TranscoderPathsArgs,
    traced: &'a Traced,
    infix: Option<&[Filter]>,
    suffix: Option<&[Filter]>,
) -> Vec<&'a Path> {
    let asked = |path: &&Path| {
        infix.is_none_or(|steps| path.contains(steps))
            && suffix.is_none_or(|steps| path.ends_with(steps))
    };
    (1..=args.settings.iterations)
        .flat_map(|steps| traced.of_length(steps).filter(asked).take(args.limit))
        .collect()
}

fn line(path: &Path, names: &[String]) -> String {
    let steps: Vec<String> = path.steps.iter().map(|step| show(step, names)).collect();
    steps.join(" ← ")
}

fn show(step: &Step, names: &[String]) -> String {
    let token = names.get(step.position).map_or("", |name| name.trim());
    match step.component {
        Component::Logit => format!("logit@{}", step.position),
        component => format!("{component}@{} {token:?}", step.position),
    }
}

fn notes(traced: &Traced, context: &Context<'_>) {
    let sum = &traced.completeness;
    context.printer.note(&format!(
        "contributions {} + errors {} + biases {} = {}; the network: {} (relative gap {})",
        significant(sum.sum - sum.error - sum.bias),
        significant(sum.error),
        significant(sum.bias),
        significant(sum.sum),
        significant(sum.value),
        significant(sum.gap)
    ));
    for caution in &traced.cautions {
        context.printer.note(&format!("warning: {caution}"));
    }
}
