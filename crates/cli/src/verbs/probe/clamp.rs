//! `nissl probe clamp MODEL --unit LAYER:NUMBER --to C --words WORD --prompt TEXT`

use std::path::PathBuf;
use std::process::ExitCode;

use nissl_core::network::{LanguageNetwork, Tokenizer};
use nissl_core::progress::significant;
use nissl_core::{Recording, Result};
use nissl_networks::language::Language;
use nissl_probe::clamp::{
    Clamp, ClampPoint, ClampReport, Clamped, Texts, TokenChoice, Unit, UnitRange, check_units,
    clamp, concept_tokens, mentions, ranges_in_recording, ranges_in_texts,
};
use nissl_record::{Documents, documents};

use super::Asked;
use crate::Context;
use crate::verbs::record;

/// `nissl probe clamp`
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "nissl probe clamp <MODEL> --unit <UNIT>... --words <WORD> --to <C> [OPTIONS]\n       \
                      nissl probe clamp <MODEL> --unit <UNIT>... --words <WORD> --times-max <TIMES> --texts <FILE>"
)]
pub(crate) struct ClampUnits {
    /// A folder with a checkpoint, or hub:owner/name[@revision]
    model: String,
    /// Units to hold, as SITE:NUMBER, or LAYER:NUMBER for an MLP's neuron; several are held at once
    #[arg(long, value_name = "UNIT", num_args = 1.., required = true)]
    unit: Vec<Unit>,
    #[command(flatten)]
    asked: Asked,
    /// Words of the concept, separated by commas
    #[arg(long, value_name = "WORD", value_delimiter = ',', required = true)]
    words: Vec<String>,
    /// Which tokens stand for a word that the tokenizer splits
    #[arg(long, value_enum, value_name = "WHICH")]
    token_choice: Option<TokenChoice>,
    /// Texts that show what the units do by themselves: .txt, .jsonl, .csv, .parquet
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with = "recording")]
    texts: Vec<PathBuf>,
    /// The column of .jsonl, .csv and .parquet that holds the text
    #[arg(long, default_value = "text", value_name = "NAME")]
    column: String,
    /// A recording of the units that shows the same
    #[arg(long, value_name = "FOLDER")]
    recording: Option<PathBuf>,
    #[command(flatten)]
    settings: Clamp,
}

pub(crate) fn run(args: ClampUnits, context: &Context<'_>) -> Result<ExitCode> {
    let settings = Clamp { seed: context.global.seed, ..args.settings.clone() };
    settings.validate()?;
    let network = record::open(&args.model, context.global)?;
    check_units(&network, &args.unit)?;
    let tokenizer = network.tokenizer()?;
    let tokens = concept_tokens(tokenizer, &args.words, args.token_choice)?;
    let prompt = args.asked.tokens(tokenizer)?;
    let ranges = ranges(&args, &network, context)?;
    let hits = |text: &[u32]| tokenizer.decode(text).map_or(0, |text| mentions(&text, &args.words));
    let target =
        Clamped { units: &args.unit, ranges: ranges.as_deref(), tokens: &tokens, hits: &hits };
    let report = clamp(&network, &prompt, target, &settings, context.progress)?;
    show(&report, &tokens, tokenizer, context)?;
    Ok(ExitCode::SUCCESS)
}

/// What the units do by themselves, where the user gave a reference.
fn ranges(
    args: &ClampUnits,
    network: &Language,
    context: &Context<'_>,
) -> Result<Option<Vec<UnitRange>>> {
    if let Some(folder) = &args.recording {
        return ranges_in_recording(&Recording::open(folder)?, &args.unit).map(Some);
    }
    if args.texts.is_empty() {
        return Ok(None);
    }
    let tokenizer = network.tokenizer()?;
    let texts = documents(&args.texts, &args.column, Documents::Paragraph)?.map(|document| {
        Ok(tokenizer.encode(&document?.text)?.iter().map(|span| span.id).collect())
    });
    ranges_in_texts(network, texts, &args.unit, context.progress).map(Some)
}

fn show(
    report: &ClampReport,
    tokens: &[u32],
    tokenizer: &dyn Tokenizer,
    context: &Context<'_>,
) -> Result<()> {
    if context.printer.is_json() {
        let mut value = serde_json::to_value(report)
            .map_err(|error| nissl_core::Error::setting("report", error, "a JSON document"))?;
        in_words(&mut value, tokenizer);
        return context.printer.json(&value);
    }
    let mut rows = vec![row("plain", &report.plain, &report.plain_texts, tokenizer)?];
    for (at, point) in report.curve.iter().enumerate() {
        let mut cells = row(&named(point), &point.effect, &point.texts, tokenizer)?;
        let control = report.control_change(at);
        cells[5] = if control.is_finite() { format!("{control:.3}") } else { String::new() };
        cells[4].clone_from(&predicted(point));
        rows.push(cells);
    }
    for matched in &report.matched {
        let name = format!("{} KL {}", matched.sign.symbol(), matched.target);
        if let Some(point) = &matched.point {
            let name = format!("{} ({name})", named(point));
            let mut cells = row(&name, &point.effect, &point.texts, tokenizer)?;
            cells[4].clone_from(&predicted(point));
            rows.push(cells);
        } else {
            let mut cells = vec![String::new(); 8];
            cells[0] = format!("not reached ({name})");
            cells[3] = format!("{:.3}", matched.divergence);
            rows.push(cells);
        }
    }
    let headers = [
        "value",
        ">p(concept)",
        ">rank",
        ">KL",
        ">logit, predicted",
        ">controls",
        ">texts with it",
        "first text",
    ];
    context.printer.table(&headers, &rows);
    let words: Vec<String> = tokens
        .iter()
        .map(|&token| format!("`{}`", tokenizer.token(token).unwrap_or_default()))
        .collect();
    context.printer.note(&format!(
        "p(concept) is of {} · controls: mean change of its logarithm by {} other units{}",
        words.join(" "),
        report.controls.len(),
        report.slope.map_or_else(String::new, |slope| {
            format!(
                " · measured against predicted logits: slope {:.3}, with the final norm kept {:.3}",
                slope.measured, slope.frozen
            )
        })
    ));
    if report.curve.iter().any(|point| point.far) {
        context.printer.note("values beyond 20 times what the reference shows are marked with `!`");
    }
    Ok(())
}

/// The value of a point; the units' own where there are few.
fn named(point: &ClampPoint) -> String {
    let values: Vec<String> =
        point.values.iter().map(|&value| significant(f64::from(value))).collect();
    let shown = match &values[..] {
        [first, .., last] if values.len() > 3 => format!("{first} … {last}"),
        _ => values.join(" "),
    };
    if point.far { format!("{shown} !") } else { shown }
}

/// The mean measured and predicted change of the concept's logits.
fn predicted(point: &ClampPoint) -> String {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let measured = mean(&point.effect.logit_change);
    point.predicted.as_ref().map_or_else(
        || format!("{measured:+.2}"),
        |predicted| format!("{measured:+.2}, {:+.2}", mean(predicted)),
    )
}

fn row(
    name: &str,
    effect: &nissl_probe::clamp::Effect,
    texts: &Texts,
    tokenizer: &dyn Tokenizer,
) -> Result<Vec<String>> {
    let (count, first) = match texts.texts.first() {
        None => (String::new(), String::new()),
        Some(first) => {
            (format!("{} of {}", texts.mentioning(), texts.texts.len()), tokenizer.decode(first)?)
        }
    };
    Ok(vec![
        name.to_owned(),
        significant(effect.probability),
        effect.rank.to_string(),
        format!("{:.3}", effect.divergence),
        String::new(),
        String::new(),
        count,
        first,
    ])
}

/// Replaces every list of texts in tokens by the texts in words.
fn in_words(value: &mut serde_json::Value, tokenizer: &dyn Tokenizer) {
    let children: Vec<&mut serde_json::Value> = match value {
        serde_json::Value::Array(items) => items.iter_mut().collect(),
        serde_json::Value::Object(fields) => {
            if let Some(texts) = fields.get_mut("texts")
                && let Ok(tokens) = serde_json::from_value::<Vec<Vec<u32>>>(texts.clone())
            {
                let words = tokens.iter().map(|text| tokenizer.decode(text).unwrap_or_default());
                *texts = words.collect::<Vec<String>>().into();
            }
            fields.values_mut().collect()
        }
        _ => return,
    };
    for child in children {
        in_words(child, tokenizer);
    }
}
