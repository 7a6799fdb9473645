//! `nissl explain describe|sentences FEATURES`

use std::path::PathBuf;
use std::process::ExitCode;

use nissl_core::chat::{Chat, Question};
use nissl_core::features::Features;
use nissl_core::network::{LanguageNetwork, Network};
use nissl_core::{Error, Recording, Result, Site};
use nissl_explain::describe::{
    self, Describe, Described, Description, NO_LINK, Side, Sources, preferred,
};
use nissl_judge::sentences::{Sentences, WriteSentences, first_questions, write_sentences};
use nissl_judge::{ChatSettings, Estimate};
use nissl_networks::language::Language;

use super::recording_of;
use crate::Context;
use crate::verbs::chat;

/// What is described.
#[derive(Clone, Debug, clap::Args)]
struct Inputs {
    /// A folder of features
    features: PathBuf,
    /// Features to describe, such as 0-9,12 [default: all]
    #[arg(id = "chosen", long = "features", value_name = "NUMBERS")]
    chosen: Option<String>,
    /// The recording they were found in [default: as their manifest says]
    #[arg(long, value_name = "FOLDER")]
    recording: Option<PathBuf>,
    /// Tell what would be asked and what it would cost at most, and ask nobody
    #[arg(long)]
    estimate: bool,
}

/// `nissl explain describe`
#[derive(Clone, Debug, clap::Args)]
pub(super) struct DescribeAll {
    #[command(flatten)]
    inputs: Inputs,
    /// The network that was recorded, for the tokens that features push
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// What is described: input, output or both
    #[arg(long, default_value = "both", value_parser = ["input", "output", "both"])]
    side: String,
    /// Descriptions listed
    #[arg(long, default_value_t = 20)]
    limit: usize,
    #[command(flatten)]
    settings: Describe,
    #[command(flatten)]
    chat: ChatSettings,
}

/// `nissl explain sentences`
#[derive(Clone, Debug, clap::Args)]
pub(super) struct WriteAll {
    #[command(flatten)]
    inputs: Inputs,
    /// The .json file to write, which `nissl probe detect --sentences` reads
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    settings: WriteSentences,
    #[command(flatten)]
    chat: ChatSettings,
}

pub(super) fn describe(args: &DescribeAll, context: &Context<'_>) -> Result<ExitCode> {
    args.settings.validate()?;
    let features = Features::open(&args.inputs.features)?;
    let chosen = numbers(args.inputs.chosen.as_deref(), features.features())?;
    let recording = match args.side.as_str() {
        "output" => None,
        _ => Some(recording_of(&features, args.inputs.recording.as_ref())?),
    };
    let network = match (&args.model, args.side.as_str()) {
        (None, "output") => {
            let expected = "the network that was recorded, with --model";
            return Err(Error::setting("model", "absent", expected));
        }
        (Some(model), "output" | "both") => {
            Some(crate::verbs::record::open(model, context.global)?)
        }
        _ => None,
    };
    let sources = Sources {
        features: &features,
        recording: recording.as_ref(),
        network: network.as_ref().map(|network| network as &dyn LanguageNetwork),
        chosen: &chosen,
    };
    let usable = sources.where_lens_applies();
    if sources.network.is_some() && usable.network.is_none() {
        if args.side == "output" {
            let found = "no head, or features of a site that does not write into its residual";
            return Err(Error::setting(
                "model",
                found,
                "a network whose tokens these features push",
            ));
        }
        context
            .printer
            .note("no output side: the features do not write into this network's residual");
    }
    if !args.chat.is_given() {
        if args.inputs.estimate {
            context.printer.note("nobody is asked: without --chat-model rules describe");
        }
        let found = describe::by_rule(usable, &args.settings, context.progress)?;
        return finish(&features, network.as_ref(), &found, args.limit, "by rule", context);
    }
    let asked = describe::questions(usable, &args.settings, context.progress)?;
    let client = chat::client(&args.chat, context)?;
    if args.inputs.estimate {
        let all: Vec<Question> = asked.into_iter().map(|asked| asked.question).collect();
        return estimate(client.estimate(&all), context);
    }
    let found = describe::ask(&asked, &client, context.progress)?;
    let by = format!("by {} ({})", client.id(), chat::told(client.spent()));
    finish(&features, network.as_ref(), &found, args.limit, &by, context)
}

/// Writes descriptions and shows them.
fn finish(
    features: &Features,
    network: Option<&Language>,
    found: &Described,
    limit: usize,
    by: &str,
    context: &Context<'_>,
) -> Result<ExitCode> {
    describe::write(features, &found.descriptions)?;
    let prefers = preferred_side(features, network);
    if context.printer.is_json() {
        context.printer.json(&serde_json::json!({
            "descriptions": found.descriptions, "missing": found.missing, "preferred": prefers,
        }))?;
    } else {
        let rows: Vec<Vec<String>> =
            found.descriptions.iter().take(limit).map(|one| row(one, prefers)).collect();
        context.printer.table(&[">feature", "side", "sign", "description"], &rows);
    }
    let linked = found.descriptions.iter().filter(|one| one.text.is_some()).count();
    let missing = match found.missing {
        0 => String::new(),
        missing => format!(", {missing} answers said nothing"),
    };
    let mark = match prefers {
        Some(side) => format!(" · * {} side, preferred at this depth", side.method()),
        None => String::new(),
    };
    context.printer.note(&format!(
        "{linked} described, {} without a link ({NO_LINK}){missing} · {by} · written beside {}{mark}",
        found.descriptions.len() - linked,
        features.path().display()
    ));
    Ok(ExitCode::SUCCESS)
}

fn row(one: &Description, prefers: Option<Side>) -> Vec<String> {
    let mark = if prefers == Some(one.side) { " *" } else { "" };
    vec![
        one.feature.to_string(),
        format!("{}{mark}", one.side.method()),
        one.sign.symbol().to_owned(),
        one.text.clone().unwrap_or_else(|| NO_LINK.to_owned()),
    ]
}

/// The side that describes features of this depth better; known only beside their network.
fn preferred_side(features: &Features, network: Option<&Language>) -> Option<Side> {
    let sites = features.unit_table().texts("site").ok()?;
    let layer = Site::new(sites.first()?.as_str()).layer()?;
    let layers = network?.sites().iter().filter_map(Site::layer).max()? + 1;
    Some(preferred(layer, layers))
}

fn estimate(estimate: Estimate, context: &Context<'_>) -> Result<ExitCode> {
    if context.printer.is_json() {
        context.printer.json(&estimate)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows = [
        ("questions", estimate.questions),
        ("answers in the cache", estimate.cached),
        ("tokens to ask, about", estimate.question_tokens),
        ("tokens to answer, at most", estimate.answer_tokens),
    ];
    let rows = rows.map(|(what, number)| vec![what.to_owned(), number.to_string()]);
    context.printer.table(&["what", ">number"], &rows);
    Ok(ExitCode::SUCCESS)
}

pub(super) fn sentences(args: &WriteAll, context: &Context<'_>) -> Result<ExitCode> {
    args.settings.validate()?;
    let features = Features::open(&args.inputs.features)?;
    let chosen = numbers(args.inputs.chosen.as_deref(), features.features())?;
    let mut described = describe::read(&features)?;
    // TRASH is no concept; neither is what was not chosen.
    described
        .retain(|one| one.text.is_some() && chosen.binary_search(&(one.feature as usize)).is_ok());
    if described.is_empty() {
        return Err(Error::file(
            features.path(),
            "explanations.parquet",
            "without a description of these features",
            "descriptions",
        )
        .with_help("run `nissl explain describe` first"));
    }
    let (written, missing, by) = if args.chat.is_given() {
        let client = chat::client(&args.chat, context)?;
        let concepts: Vec<String> = described.iter().filter_map(|one| one.text.clone()).collect();
        if args.inputs.estimate {
            let first = client.estimate(&first_questions(&concepts, &args.settings));
            let each = args.settings.each as u64;
            // Later questions show earlier sentences, each about as long as a line of this text.
            let questions = first.questions * each;
            return estimate(
                Estimate {
                    questions,
                    question_tokens: first.question_tokens * each
                        + questions * each.saturating_sub(1) / 2 * SENTENCE_TOKENS,
                    answer_tokens: first.answer_tokens * each,
                    ..first
                },
                context,
            );
        }
        let written = write_sentences(&client, &concepts, &args.settings, context.progress)?;
        let by = format!("written by {} ({})", client.id(), chat::told(client.spent()));
        (written.sentences, written.missing, by)
    } else {
        let recording = recording_of(&features, args.inputs.recording.as_ref())?;
        // Contexts belong to what switches a feature on.
        described.retain(|one| one.side == Side::Input);
        let found = recorded(&features, &recording, &described, args, context)?;
        (found, 0, "recorded contexts, not written sentences (no --chat-model)".to_owned())
    };
    let mut document = serde_json::Map::new();
    let mut left_out = 0;
    for (one, sentences) in described.iter().zip(written) {
        if sentences.activating.is_empty() || sentences.neutral.is_empty() {
            left_out += 1;
            continue;
        }
        document.insert(key(one), serde_json::json!(sentences));
    }
    if document.is_empty() {
        let what = "the list of concepts with sentences of either kind".to_owned();
        return Err(Error::Empty { what, expected: "one concept".to_owned() });
    }
    let concepts = document.len();
    let bytes = serde_json::to_vec_pretty(&document)
        .map_err(|error| Error::file(&args.out, "sentences", error, "JSON"))?;
    nissl_core::store::write_bytes(&args.out, &bytes)?;
    if context.printer.is_json() {
        context.printer.json(&serde_json::json!({
            "path": args.out, "concepts": concepts, "left_out": left_out, "missing": missing,
            "by": by,
        }))?;
    }
    context.printer.note(&format!(
        "{}: {concepts} concepts, {left_out} left out, {missing} sentences missing · {by} · next: \
         nissl probe detect {} --described --sentences {}",
        args.out.display(),
        features.path().display(),
        args.out.display()
    ));
    Ok(ExitCode::SUCCESS)
}

/// Tokens of a sentence, about.
const SENTENCE_TOKENS: u64 = 25;

/// A concept's name in the file: the feature, the sign where it is −, and the description.
fn key(one: &Description) -> String {
    let sign = if one.sign == describe::Sign::Minus { "-" } else { "" };
    let side = if one.side == Side::Output { " (output)" } else { "" };
    format!("{sign}{}{side}: {}", one.feature, one.text.as_deref().unwrap_or(NO_LINK))
}

fn recorded(
    features: &Features,
    recording: &Recording,
    described: &[Description],
    args: &WriteAll,
    context: &Context<'_>,
) -> Result<Vec<Sentences>> {
    let chosen: Vec<usize> = described.iter().map(|one| one.feature as usize).collect();
    let sources = Sources { features, recording: Some(recording), network: None, chosen: &chosen };
    let draw = (args.settings.each, context.global.seed);
    describe::contexts(sources, &Describe::default(), draw, context.progress)
}

/// The numbers of `0-9,12`, ascending; all below `count` where nothing is said.
fn numbers(text: Option<&str>, count: usize) -> Result<Vec<usize>> {
    let Some(text) = text else { return Ok((0..count).collect()) };
    let wrong = || {
        let expected = format!("numbers below {count}, such as 0-9,12");
        Error::setting("features", format!("`{text}`"), expected)
    };
    let mut chosen = Vec::new();
    for part in text.split(',').map(str::trim) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let first: usize = first.trim().parse().ok().ok_or_else(wrong)?;
        let last: usize = last.trim().parse().ok().ok_or_else(wrong)?;
        if first > last || last >= count {
            return Err(wrong());
        }
        chosen.extend(first..=last);
    }
    chosen.sort_unstable();
    chosen.dedup();
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_ranges_are_read() {
        assert_eq!(numbers(Some("3, 0-2,2"), 9).expect("reads"), [0, 1, 2, 3]);
        assert_eq!(numbers(None, 2).expect("reads"), [0, 1]);
        for text in ["", "9", "2-1", "a", "1-", "-1", "0-9"] {
            let error = numbers(Some(text), 9).expect_err("is refused").to_string();
            assert!(error.contains("`features`"), "{text}: {error}");
        }
    }
}
