//! `nissl trace connections MODEL --of layers.5.mlp:123`

use std::process::ExitCode;

use nissl_core::network::{LanguageNetwork, TokenTable, Tokenizer};
use nissl_core::progress::significant;
use nissl_core::{Error, Result};
use nissl_trace::frozen::{Freeze, FrozenRun, Wiring};
use nissl_trace::input_invariant::{
    Importance, along_tokens, head_norms, largest, logit_effects, overlap_at, pullback,
    read_direction, through_head,
};
use serde_json::json;

use super::circuit::Circuit;
use super::transcoder_paths::{feature, prompt};
use crate::Context;

/// `nissl trace connections`
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ConnectionsArgs {
    #[command(flatten)]
    circuit: Circuit,
    /// The feature, as layers.LAYER.mlp:FEATURE
    #[arg(long, value_name = "FEATURE")]
    of: String,
    /// See earlier features and tokens through this head, as layers.LAYER.attn:HEAD
    #[arg(long, value_name = "HEAD")]
    through: Option<String>,
    /// Entries of each list
    #[arg(long, default_value_t = 10)]
    limit: usize,
    /// Texts on which to measure how important earlier features are; may be repeated
    #[arg(long, value_name = "TEXT")]
    prompt: Vec<String>,
    /// Quantile of the feature's activations above which importance is measured, 0 to below 1
    #[arg(long, default_value_t = 0.2, value_name = "SHARE")]
    above: f64,
    /// Take dictionaries that explain nothing of their MLP on the texts
    #[arg(long)]
    force: bool,
}

/// One list of what is connected.
struct List {
    title: String,
    entries: Vec<(String, f64)>,
}

pub(super) fn run(args: &ConnectionsArgs, context: &Context<'_>) -> Result<ExitCode> {
    let (layer, number, _) = feature(&args.of)?;
    let head = args.through.as_deref().map(head).transpose()?;
    let opened = args.circuit.open(context)?;
    let wiring = Wiring::new(&opened.weights, opened.replaced(context)?)?;
    let tokenizer = opened.network.tokenizer()?;
    let name =
        |token: usize| tokenizer.token(token as u32).unwrap_or_else(|| format!("token {token}"));
    let own = read_direction(&wiring, layer, number as usize)?;
    let (read, below, seen) = match head {
        None => (own.clone(), layer, String::new()),
        Some((at, head)) => {
            let norms = head_norms(&wiring, layer, own.view(), context.progress)?;
            if at >= norms.nrows() {
                let expected = format!("a head before the MLP of layer {layer}");
                return Err(Error::setting("through", format!("layer {at}"), expected));
            }
            let read = through_head(&wiring, at, head, own.view())?;
            (read, at, format!(" through layers.{at}.attn:{head}"))
        }
    };
    let mut lists = Vec::new();
    let mut pulled = Vec::new();
    for from in wiring.dictionary_layers().filter(|&from| from < below) {
        let values = pullback(&wiring, from, read.view())?;
        let entries = largest(&values, args.limit);
        lists.push(List {
            title: format!("features of layer {from} that drive it{seen}"),
            entries: entries
                .into_iter()
                .map(|(feature, value)| (format!("layers.{from}.mlp:{feature}"), value))
                .collect(),
        });
        pulled.push((from, values));
    }
    let tokens = along_tokens(&wiring, TokenTable::Embed, read.view(), context.progress)?;
    let named = |values: &[f64], sign: f64| -> Vec<(String, f64)> {
        let signed: Vec<f64> = values.iter().map(|value| value * sign).collect();
        let entries = largest(&signed, args.limit).into_iter();
        entries.map(|(token, value)| (name(token), value * sign)).collect()
    };
    lists.push(List { title: format!("tokens that drive it{seen}"), entries: named(&tokens, 1.0) });
    if head.is_none() {
        let norms = head_norms(&wiring, layer, own.view(), context.progress)?;
        let heads = norms.ncols().max(1);
        let flat: Vec<f64> = norms.iter().copied().collect();
        let entries = largest(&flat, args.limit)
            .into_iter()
            .map(|(at, norm)| (format!("layers.{}.attn:{}", at / heads, at % heads), norm))
            .collect();
        lists.push(List {
            title: "heads that could move it, by ‖W_V W_O v‖".to_owned(), entries
        });
        let logits = logit_effects(&wiring, layer, number as usize, context.progress)?;
        lists.push(List { title: "logits it raises".to_owned(), entries: named(&logits, 1.0) });
        lists.push(List { title: "logits it lowers".to_owned(), entries: named(&logits, -1.0) });
    }
    let (overlaps, more) = if args.prompt.is_empty() {
        (Vec::new(), Vec::new())
    } else {
        measure(args, &wiring, &opened.network, tokenizer, &pulled, (layer, number))?
    };
    lists.extend(more);
    tell(&lists, &overlaps, context)?;
    Ok(ExitCode::SUCCESS)
}

/// How many of the largest connections are the most important on the texts too, and which those are.
fn measure(
    args: &ConnectionsArgs,
    wiring: &Wiring<'_>,
    network: &nissl_networks::language::Language,
    tokenizer: &dyn Tokenizer,
    pulled: &[(usize, Vec<f64>)],
    (layer, number): (usize, u32),
) -> Result<(Vec<serde_json::Value>, Vec<List>)> {
    let from = pulled.iter().map(|(from, _)| Importance::new(*from, layer, number));
    let mut importance = from.collect::<Result<Vec<_>>>()?;
    let freeze = Freeze { force: args.force, ..Freeze::default() };
    for text in &args.prompt {
        let tokens = prompt(network, tokenizer, text)?;
        let run = FrozenRun::new(wiring, network, &tokens, &freeze)?;
        for one in &mut importance {
            one.add(&run)?;
        }
    }
    let (mut overlaps, mut lists) = (Vec::new(), Vec::new());
    for (one, (from, values)) in importance.iter().zip(pulled) {
        let mean = one.mean(values.len(), args.above)?;
        for k in [10, 20, 50] {
            if k < values.len() {
                let share = overlap_at(values, &mean, k)?;
                overlaps.push(json!({"from": from, "k": k, "overlap": share}));
            }
        }
        let entries = largest(&mean, args.limit).into_iter();
        lists.push(List {
            title: format!(
                "features of layer {from} that gave most, over {} tokens of the texts",
                one.tokens()
            ),
            entries: entries
                .map(|(feature, value)| (format!("layers.{from}.mlp:{feature}"), value))
                .collect(),
        });
    }
    Ok((overlaps, lists))
}

fn tell(lists: &[List], overlaps: &[serde_json::Value], context: &Context<'_>) -> Result<()> {
    if context.printer.is_json() {
        let lists: Vec<_> = lists
            .iter()
            .map(|list| {
                let entries: Vec<_> = list
                    .entries
                    .iter()
                    .map(|(name, value)| json!({"name": name, "value": value}))
                    .collect();
                json!({"title": list.title, "entries": entries})
            })
            .collect();
        return context.printer.json(&json!({"lists": lists, "overlaps": overlaps}));
    }
    for list in lists {
        let rows: Vec<Vec<String>> = list
            .entries
            .iter()
            .map(|(name, value)| vec![significant(*value), name.trim().to_owned()])
            .collect();
        context.printer.table(&[">strength", &list.title], &rows);
    }
    for one in overlaps {
        let share = one["overlap"].as_f64().unwrap_or_default();
        context.printer.note(&format!(
            "of the {} largest connections from layer {}, {:.0} % are among those that gave most on the texts",
            one["k"], one["from"], 100.0 * share
        ));
    }
    Ok(())
}

/// The layer and head of `layers.5.attn:3`.
fn head(text: &str) -> Result<(usize, usize)> {
    let parts = || {
        let (site, head) = text.split_once(':')?;
        let layer = site.strip_prefix("layers.")?.strip_suffix(".attn")?.parse().ok()?;
        Some((layer, head.parse().ok()?))
    };
    parts().ok_or_else(|| Error::setting("through", format!("`{text}`"), "layers.LAYER.attn:HEAD"))
}
