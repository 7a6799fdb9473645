//! `nissl probe steer FEATURES:NUMBER|FEATURES --model MODEL [--prompt TEXT|--chat TEXT]`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nissl_core::features::Features;
use nissl_core::network::{LanguageNetwork, Tokenizer};
use nissl_core::progress::significant;
use nissl_core::{Error, Result, Site};
use nissl_judge::ChatSettings;
use nissl_probe::detect::{ConceptTokens, diff_means, read_sentences};
use nissl_probe::scores::{Score, add_scores};
use nissl_probe::site_direction;
use nissl_probe::steer::{Aim, ChatJudge, Judge, RuleJudge, Steer, Steered, Summary, steer_judged};
use serde::Serialize;

use super::concept::Concept;
use super::{Asked, check_tokenizer, feature_of, figure};
use crate::Context;
use crate::verbs::{chat, record};

/// `nissl probe steer`
#[derive(Debug, clap::Args)]
pub(crate) struct SteerIn {
    /// A feature, as FOLDER:NUMBER; or a folder, with --features or --all
    #[arg(value_name = "FEATURE")]
    feature: String,
    /// Several features of the folder, separated by commas
    #[arg(long = "features", value_name = "NUMBERS", value_delimiter = ',')]
    chosen: Vec<usize>,
    /// Every feature of the folder that is not dead
    #[arg(long, conflicts_with = "chosen")]
    all: bool,
    /// The network that was recorded
    #[arg(long)]
    model: String,
    #[command(flatten)]
    asked: Asked,
    /// Words whose appearance is counted, separated by commas [default: the tokens of each feature's
    /// strongest examples]
    #[arg(long, value_delimiter = ',')]
    words: Vec<String>,
    /// The concept in words, for a language model that judges (--chat-model) [default: the words, or
    /// each feature's explanation]
    #[arg(long, value_name = "TEXT")]
    concept: Option<String>,
    /// Another feature to steer for the same concept, as FOLDER:NUMBER; may be given several times
    #[arg(long, value_name = "FEATURE", conflicts_with_all = ["chosen", "all"])]
    against: Vec<String>,
    /// Sentences by concept (as `nissl probe detect` reads them): steer the difference of their
    /// means too, at the MLP's output
    #[arg(long, value_name = "FILE", requires = "label", conflicts_with_all = ["chosen", "all"])]
    diff_means: Option<PathBuf>,
    /// The concept of those sentences
    #[arg(long, value_name = "CONCEPT", requires = "diff_means")]
    label: Option<String>,
    #[command(flatten)]
    settings: Steer,
    #[command(flatten)]
    chat: ChatSettings,
}

/// A direction that is steered.
struct Candidate {
    name: String,
    site: Site,
    direction: Vec<f32>,
    /// Where its score goes.
    of: Option<(Features, usize)>,
    concept: Concept,
}

/// A direction with what steering did.
#[derive(Serialize)]
struct Outcome<'a> {
    name: &'a str,
    site: &'a Site,
    concept: &'a str,
    #[serde(flatten)]
    steered: &'a Steered,
}

pub(crate) fn run(args: &SteerIn, context: &Context<'_>) -> Result<ExitCode> {
    let settings = Steer { seed: context.global.seed, ..args.settings.clone() };
    settings.validate()?;
    let client = if args.chat.is_given() { Some(chat::client(&args.chat, context)?) } else { None };
    let (features, numbers) = wanted(args)?;
    let network = record::open(&args.model, context.global)?;
    check_tokenizer(&features, &network, context)?;
    let tokenizer = network.tokenizer()?;
    let prompt = args.asked.tokens(tokenizer)?;
    let candidates = candidates(args, (&features, &numbers), &network, settings.seed)?;

    let mut steered = Vec::with_capacity(candidates.len());
    for candidate in &candidates {
        context.progress.check(|| format!("{} directions", steered.len()))?;
        let hits = |text: &[u32]| {
            text.iter().filter(|token| candidate.concept.tokens.contains(token)).count()
        };
        let by_rule = RuleJudge { hits: &hits };
        let by_model = client.as_ref().map(|client| ChatJudge {
            client,
            tokenizer,
            concept: &candidate.concept.text,
            progress: context.progress,
        });
        let judge: &dyn Judge = match &by_model {
            Some(judge) => judge,
            None => &by_rule,
        };
        let aim = Aim { site: &candidate.site, direction: &candidate.direction };
        let found = steer_judged(&network, &prompt, aim, judge, &settings, context.progress)
            .map_err(|error| named(error, &candidate.name))?;
        steered.push(found);
    }
    print(&candidates, &steered, numbers.len() > 1, tokenizer, context)?;
    if let Some(client) = &client {
        context.printer.note(&chat::told(client.spent()));
    }
    keep(&candidates, &steered)?;
    Ok(ExitCode::SUCCESS)
}

/// An error about a direction, with the name of the direction.
fn named(error: Error, name: &str) -> Error {
    match error {
        Error::Setting { field, found, expected, .. } if field == "direction" => {
            Error::setting(name, found, expected)
        }
        other => other,
    }
}

/// The features to steer.
fn wanted(args: &SteerIn) -> Result<(Features, Vec<usize>)> {
    if args.all {
        let features = Features::open(Path::new(&args.feature))?;
        let dead = features.table().bools("dead")?;
        let alive: Vec<usize> = (0..dead.len()).filter(|&feature| !dead[feature]).collect();
        return Ok((features, alive));
    }
    if !args.chosen.is_empty() {
        return Ok((Features::open(Path::new(&args.feature))?, args.chosen.clone()));
    }
    let (features, number) = feature_of(&args.feature).map_err(|error| match error {
        Error::Setting { found, .. } if Path::new(&args.feature).is_dir() => {
            Error::setting("feature", found, "FOLDER:NUMBER, or --features or --all beside it")
        }
        other => other,
    })?;
    Ok((features, vec![number]))
}

fn candidates(
    args: &SteerIn,
    (features, numbers): (&Features, &[usize]),
    network: &dyn LanguageNetwork,
    seed: u64,
) -> Result<Vec<Candidate>> {
    let tokenizer = network.tokenizer()?;
    let of_words =
        if args.words.is_empty() { None } else { Some(Concept::of_words(&args.words, tokenizer)?) };
    let mut found = Vec::with_capacity(numbers.len() + 2);
    for &number in numbers {
        let (site, direction) = site_direction(network, features, number)?;
        let mut concept = match (&of_words, &args.concept) {
            (Some(concept), _) => concept.clone(),
            (None, Some(_)) if args.chat.is_given() => Concept::default(),
            (None, _) => Concept::of_feature(features, number, tokenizer)?,
        };
        if let Some(text) = &args.concept {
            concept.text.clone_from(text);
        }
        let name = format!("{} {number}", features.method());
        let of = Some((features.clone(), number));
        found.push(Candidate { name, site, direction, of, concept });
    }
    for other in &args.against {
        let (features, number) = feature_of(other)?;
        let (site, direction) = site_direction(network, &features, number)?;
        let name = format!("{} {number}", features.method());
        let concept = found[0].concept.clone();
        found.push(Candidate { name, site, direction, of: Some((features, number)), concept });
    }
    if let (Some(file), Some(label)) = (&args.diff_means, &args.label) {
        let sentences = read_sentences(file, seed)?;
        let Some(sentences) = sentences.iter().find(|one| one.concept == *label) else {
            let names = sentences.iter().map(|one| one.concept.as_str());
            let near = nissl_core::error::nearest(label, names).join(", ");
            return Err(Error::setting(
                "label",
                format!("`{label}`"),
                format!("one such as {near}"),
            ));
        };
        let concept = ConceptTokens::of(sentences, tokenizer, network.context())?;
        let site = written_site(network, &found[0].site);
        let direction = diff_means(network, &site, &concept)?;
        let name = format!("diff-means of {label}");
        found.push(Candidate {
            name,
            site,
            direction,
            of: None,
            concept: found[0].concept.clone(),
        });
    }
    Ok(found)
}

/// Where a difference of means is added: at the MLP's output for a site inside the MLP.
fn written_site(network: &dyn LanguageNetwork, site: &Site) -> Site {
    let output = match (site.layer(), site.part()) {
        (Some(layer), "mlp.act" | "mlp.pre") => Site::new(format!("layers.{layer}.mlp.out")),
        _ => site.clone(),
    };
    if network.sites().contains(&output) { output } else { site.clone() }
}

/// Writes the scores of features beside them.
fn keep(candidates: &[Candidate], steered: &[Steered]) -> Result<()> {
    let mut by_folder: Vec<(&Features, Vec<Score>)> = Vec::new();
    for (candidate, steered) in candidates.iter().zip(steered) {
        let Some((features, number)) = &candidate.of else { continue };
        let score = steered.to_score(*number as u32, &candidate.concept.text);
        match by_folder.iter_mut().find(|(other, _)| other.path() == features.path()) {
            Some((_, scores)) => scores.push(score),
            None => by_folder.push((features, vec![score])),
        }
    }
    by_folder.iter().try_for_each(|(features, scores)| add_scores(features, scores))
}

fn print(
    candidates: &[Candidate],
    steered: &[Steered],
    sum_up: bool,
    tokenizer: &dyn Tokenizer,
    context: &Context<'_>,
) -> Result<()> {
    let summary = sum_up.then(|| Summary::of(steered));
    if context.printer.is_json() {
        let outcomes: Vec<Outcome<'_>> = candidates
            .iter()
            .zip(steered)
            .map(|(candidate, steered)| Outcome {
                name: &candidate.name,
                site: &candidate.site,
                concept: &candidate.concept.text,
                steered,
            })
            .collect();
        return match &outcomes[..] {
            [one] => context.printer.json(one),
            several => context
                .printer
                .json(&serde_json::json!({"directions": several, "summary": summary})),
        };
    }
    match (candidates, steered) {
        ([candidate], [steered]) => print_one(candidate, steered, tokenizer, context)?,
        _ => print_several(candidates, steered, context),
    }
    if let Some(summary) = summary {
        let best = summary.best().map_or("none reached".to_owned(), |point| {
            format!("{:.2} at {}KL {}", point.mean, point.sign.symbol(), point.target)
        });
        context.printer.note(&format!(
            "{} features: best score {:.2} ± {} of 2 · best of the mean curve {best} · random {:.2}",
            summary.features,
            summary.mean,
            figure(summary.deviation, 2),
            summary.control
        ));
    }
    let missing: usize = steered.iter().map(Steered::missing).sum();
    if missing > 0 {
        context.printer.note(&format!(
            "{missing} texts got no grade, for the judge's answer was none of 0, 1, 2; they enter no \
             mean"
        ));
    }
    Ok(())
}

fn print_one(
    candidate: &Candidate,
    steered: &Steered,
    tokenizer: &dyn Tokenizer,
    context: &Context<'_>,
) -> Result<()> {
    let text = |ids: Option<&Vec<u32>>| ids.map_or(Ok(String::new()), |ids| tokenizer.decode(ids));
    let mut rows = vec![vec![
        "plain".to_owned(),
        String::new(),
        String::new(),
        figure(steered.plain_concept, 2),
        String::new(),
        String::new(),
        text(steered.plain.first())?,
    ]];
    for point in &steered.curve {
        rows.push(vec![
            point.sign.symbol().to_owned(),
            point.target.to_string(),
            point.strength.map_or("not reached".to_owned(), significant),
            figure(point.concept, 2),
            figure(point.fluency, 2),
            figure(point.score, 2),
            text(point.texts.first())?,
        ]);
    }
    let headers = ["sign", ">KL", ">strength", ">concept", ">fluency", ">score", "first text"];
    context.printer.table(&headers, &rows);
    context.printer.note(&format!(
        "{} for `{}`, judged {}: best score {:.2} of 2 · random directions {:.2}",
        candidate.name,
        candidate.concept.text,
        steered.judge,
        steered.score(),
        steered.control_score()
    ));
    Ok(())
}

fn print_several(candidates: &[Candidate], steered: &[Steered], context: &Context<'_>) {
    let rows: Vec<Vec<String>> = candidates
        .iter()
        .zip(steered)
        .map(|(candidate, steered)| {
            let best = steered.best.map(|best| &steered.curve[best]);
            let reached = steered.curve.iter().filter(|point| point.strength.is_some()).count();
            vec![
                candidate.name.clone(),
                candidate.site.to_string(),
                format!("{:.2}", steered.score()),
                best.map_or(String::new(), |best| best.sign.symbol().to_owned()),
                best.map_or(String::new(), |best| best.target.to_string()),
                best.map_or(String::new(), |best| figure(best.concept, 2)),
                best.map_or(String::new(), |best| figure(best.fluency, 2)),
                format!("{:.2}", steered.control_score()),
                format!("{reached} of {}", steered.curve.len()),
                candidate.concept.text.clone(),
            ]
        })
        .collect();
    let headers = [
        "direction",
        "site",
        ">best score",
        "sign",
        ">KL",
        ">concept",
        ">fluency",
        ">random",
        ">reached",
        "concept",
    ];
    context.printer.table(&headers, &rows);
}
