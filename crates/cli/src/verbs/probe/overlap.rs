//! `nissl probe overlap FEATURES [--features A,B,…] [--model MODEL --words WORD,…]`

use std::path::PathBuf;
use std::process::ExitCode;

use nissl_core::Result;
use nissl_core::features::Features;
use nissl_core::network::LanguageNetwork;
use nissl_probe::overlap::{
    Intervene, Intervened, Overlap as Found, Words, intervene, overlap, shared_pairs,
};
use nissl_probe::{site_directions, word_token};

use super::{check_tokenizer, figure};
use crate::Context;
use crate::verbs::record;

/// `nissl probe overlap`
#[derive(Debug, clap::Args)]
pub(crate) struct Overlap {
    /// A folder of features
    features: PathBuf,
    /// Features to compare, separated by commas; without them the pairs that share most
    #[arg(long = "features", value_name = "NUMBERS", value_delimiter = ',')]
    chosen: Vec<usize>,
    /// Pairs listed, those that share most beyond chance first
    #[arg(long, default_value_t = 20, conflicts_with = "chosen")]
    pairs: usize,
    /// The network that was recorded: add to the groups of neurons and read the words' logits
    #[arg(long, requires = "chosen", requires = "words")]
    model: Option<String>,
    /// Words whose logits are read, separated by commas; with one for each feature, in their order,
    /// the rise of each feature's own word is counted
    #[arg(long, value_delimiter = ',', requires = "model")]
    words: Vec<String>,
    /// The text after which they are read; of several the mean is taken
    #[arg(long, value_name = "TEXT", default_value = "I think that")]
    prompt: Vec<String>,
    #[command(flatten)]
    settings: Intervene,
}

pub(crate) fn run(args: &Overlap, context: &Context<'_>) -> Result<ExitCode> {
    let settings = Intervene { seed: context.global.seed, ..args.settings.clone() };
    settings.validate()?;
    let features = Features::open(&args.features)?;
    if args.chosen.is_empty() {
        return pairs(&features, args.pairs, context);
    }
    let found = overlap(features.dictionary().written(), &args.chosen)?;
    let effect = match &args.model {
        Some(model) => Some(effect(&features, model, args, &settings, context)?),
        None => None,
    };
    if context.printer.is_json() {
        context.printer.json(&serde_json::json!({
            "overlap": found, "words": args.words, "intervention": effect,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    match effect {
        Some(effect) => print_effect(&effect, &args.words, context),
        None => print_matrix(&found, context),
    }
    context.printer.note(&format!(
        "{} of {} units are in all of these features",
        found.core.len(),
        features.dictionary().output_units()
    ));
    Ok(ExitCode::SUCCESS)
}

/// The pairs of features that share most.
fn pairs(features: &Features, most: usize, context: &Context<'_>) -> Result<ExitCode> {
    let found = shared_pairs(features.dictionary().written(), most);
    if context.printer.is_json() {
        context.printer.json(&found)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|pair| {
            vec![
                pair.feature.to_string(),
                pair.other.to_string(),
                pair.shared.to_string(),
                format!("{:.1}", pair.expected),
            ]
        })
        .collect();
    context.printer.table(&[">feature", ">other", ">shared units", ">by chance"], &rows);
    let text = if found.is_empty() {
        "no two features share more units than by chance; dense features share all of them"
            .to_owned()
    } else {
        format!(
            "look at some together: nissl probe overlap {} --features {},{}",
            features.path().display(),
            found[0].feature,
            found[0].other
        )
    };
    context.printer.note(&text);
    Ok(ExitCode::SUCCESS)
}

fn effect(
    features: &Features,
    model: &str,
    args: &Overlap,
    settings: &Intervene,
    context: &Context<'_>,
) -> Result<Intervened> {
    let network = record::open(model, context.global)?;
    check_tokenizer(features, &network, context)?;
    let tokenizer = network.tokenizer()?;
    let mut tokens = Vec::with_capacity(args.words.len());
    for word in &args.words {
        let token = word_token(tokenizer, word)?;
        if token.pieces > 1 {
            let text = tokenizer.token(token.id).unwrap_or_default();
            let pieces = token.pieces;
            context
                .printer
                .note(&format!("`{word}` is {pieces} tokens; its first, `{text}`, is read"));
        }
        tokens.push(token.id);
    }
    let mut prompts = Vec::with_capacity(args.prompt.len());
    for prompt in &args.prompt {
        prompts.push(tokenizer.encode(prompt)?.iter().map(|span| span.id).collect::<Vec<u32>>());
    }
    let (site, directions) = site_directions(&network, features, &args.chosen)?;
    let of = (args.chosen.as_slice(), directions.view());
    let words = Words { prompts: &prompts, tokens: &tokens };
    intervene(&network, &site, of, words, settings, context.progress)
}

fn print_matrix(found: &Found, context: &Context<'_>) {
    let names: Vec<String> = found.features.iter().map(|feature| format!(">{feature}")).collect();
    let mut headers = vec![">feature"];
    headers.extend(names.iter().map(String::as_str));
    headers.extend([">exclusive", "exclusive units"]);
    let listed = |units: &[u32]| {
        let some: Vec<String> = units.iter().take(LISTED).map(ToString::to_string).collect();
        some.join(" ") + if units.len() > LISTED { " …" } else { "" }
    };
    let mut rows = Vec::new();
    for (place, feature) in found.features.iter().enumerate() {
        let mut row = vec![feature.to_string()];
        row.extend(found.shared[place].iter().map(ToString::to_string));
        row.push(found.exclusive[place].len().to_string());
        row.push(listed(&found.exclusive[place]));
        rows.push(row);
    }
    context.printer.table(&headers, &rows);
    if !found.core.is_empty() {
        context.printer.note(&format!("core: units {}", listed(&found.core)));
    }
}

/// Units named in a row.
const LISTED: usize = 12;

fn print_effect(effect: &Intervened, words: &[String], context: &Context<'_>) {
    let names: Vec<String> = words.iter().map(|word| format!(">{word}")).collect();
    let mut headers = vec!["group", ">units"];
    headers.extend(names.iter().map(String::as_str));
    let mut rows = Vec::new();
    for group in &effect.groups {
        let name = group.feature.map_or("core".to_owned(), |n| format!("only in {n}"));
        let line = |name: String, values: &[f64]| {
            let mut row = vec![name, group.units.len().to_string()];
            row.extend(values.iter().map(|&value| signed(value)));
            row
        };
        rows.push(line(name, &group.change));
        if group.control.iter().any(|value| value.is_finite()) {
            rows.push(line("as many random units".to_owned(), &group.control));
        }
    }
    context.printer.table(&headers, &rows);
    let strength = nissl_core::progress::significant(effect.strength);
    context.printer.note(&format!("change of logit when {strength} is added to each unit"));
    if effect.disagreeing > 0 {
        let count = effect.disagreeing;
        context.printer.note(&format!(
            "{count} units of the core have not the same sign in all features; the majority's is used"
        ));
    }
    if words.len() == effect.features.len() {
        let own = effect.groups.iter().skip(1).enumerate();
        let right = own.filter(|(place, group)| group.most_raised() == Some(*place)).count();
        context.printer.note(&format!(
            "own units raise their own word most for {right} of {} features",
            effect.features.len()
        ));
    }
}

fn signed(value: f64) -> String {
    if value.is_finite() { format!("{value:+.2}") } else { figure(value, 2) }
}
