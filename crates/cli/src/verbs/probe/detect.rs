//! `nissl probe detect FEATURES… --model MODEL --sentences FILE|--world FOLDER`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nissl_core::error::nearest;
use nissl_core::features::Features;
use nissl_core::network::LanguageNetwork;
use nissl_core::{Error, Result};
use nissl_probe::detect::{
    AREA, Candidates, ConceptDetection, ConceptSentences, ConceptTokens, Detect, Detected,
    LOG_RATIO, SentenceDraw, Signed, detect, read_sentences,
};
use nissl_probe::scores::set_scores;
use nissl_probe::strength::Sign;

use super::{check_tokenizer, figure};
use crate::Context;
use crate::verbs::record;

/// `nissl probe detect`
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "nissl probe detect <FEATURES>... --model <MODEL> --sentences <FILE> [OPTIONS]\n       \
                      nissl probe detect <FEATURES>... --model <MODEL> --world <FOLDER> [OPTIONS]"
)]
#[command(group(clap::ArgGroup::new("texts").args(["sentences", "world"]).required(true)))]
pub(crate) struct DetectIn {
    /// Folders of features that compete; several may follow
    #[arg(required = true, value_name = "FEATURES")]
    features: Vec<PathBuf>,
    /// The network that was recorded
    #[arg(long)]
    model: String,
    /// Sentences by concept: {concept: {activating: […], neutral: […]}}, or texts with labels
    /// (.json, .jsonl, .csv, .parquet), whose neutral ones are drawn from the other labels
    #[arg(long, value_name = "FILE")]
    sentences: Option<PathBuf>,
    /// A folder that `nissl world language` wrote, whose sentences are drawn by their truth
    #[arg(long, value_name = "FOLDER")]
    world: Option<PathBuf>,
    /// Sentences drawn from a world for each concept, of either kind
    #[arg(long, value_name = "SENTENCES", default_value_t = 40, conflicts_with = "sentences")]
    draw: usize,
    /// Only these concepts, separated by commas
    #[arg(long, value_name = "CONCEPT", value_delimiter = ',')]
    concepts: Vec<String>,
    /// The feature of the first folder that stands for a concept, not to be chosen; a minus before
    /// the number turns it round; may be given several times
    #[arg(long = "feature", value_name = "CONCEPT=NUMBER")]
    given: Vec<String>,
    /// Each concept is the feature of the first folder that its name begins with, as
    /// `nissl explain sentences` writes them
    #[arg(long, conflicts_with = "given", requires = "sentences")]
    described: bool,
    /// List every concept of every method
    #[arg(long)]
    each: bool,
    #[command(flatten)]
    settings: Detect,
}

pub(crate) fn run(args: DetectIn, context: &Context<'_>) -> Result<ExitCode> {
    let settings = Detect { seed: context.global.seed, ..args.settings };
    settings.validate()?;
    let folders: Vec<Features> =
        args.features.iter().map(|path| Features::open(path)).collect::<Result<_>>()?;
    let mut sentences = match (&args.sentences, &args.world) {
        (Some(file), _) => read_sentences(file, settings.seed)?,
        (None, Some(world)) => from_world(world, args.draw, context)?,
        (None, None) => Vec::new(),
    };
    if !args.concepts.is_empty() {
        sentences = only(sentences, &args.concepts)?;
    }
    let mut methods: Vec<Candidates> = folders
        .iter()
        .map(|features| Candidates::of(features, name_of(features, &folders)))
        .collect::<Result<_>>()?;
    for given in &args.given {
        let (concept, signed) = given_feature(given, &sentences)?;
        methods[0].given.insert(concept, signed);
    }
    if args.described {
        for ConceptSentences { concept, .. } in &sentences {
            methods[0].given.insert(concept.clone(), described_feature(concept)?);
        }
    }
    let network = record::open(&args.model, context.global)?;
    for features in &folders {
        check_tokenizer(features, &network, context)?;
    }
    let tokenizer = network.tokenizer()?;
    let concepts: Vec<ConceptTokens> = sentences
        .iter()
        .map(|concept| ConceptTokens::of(concept, tokenizer, network.context()))
        .collect::<Result<_>>()?;
    let found = detect(&network, &concepts, &methods, &settings, context.progress)?;
    for (features, method) in folders.iter().zip(&found.methods) {
        set_scores(features, &[LOG_RATIO, AREA], &method.scores(found.agreement))?;
    }
    print(&found, args.each, context)?;
    Ok(ExitCode::SUCCESS)
}

/// The method, and the folder where two folders hold the same one.
fn name_of(features: &Features, all: &[Features]) -> String {
    let same = all.iter().filter(|other| other.method() == features.method()).count();
    if same == 1 {
        features.method().to_owned()
    } else {
        format!("{} ({})", features.method(), features.path().display())
    }
}

/// Sentences with and without each planted concept, drawn from a world's stories.
fn from_world(world: &Path, each: usize, context: &Context<'_>) -> Result<Vec<ConceptSentences>> {
    if each < 2 {
        return Err(Error::setting("draw", each, "2 or more"));
    }
    let mut draw = SentenceDraw::new(each, context.global.seed);
    for story in nissl_record::world::stories(world)? {
        let story = story?;
        context.progress.check(|| "a part of the stories; nothing was kept".to_owned())?;
        if let Some(truth) = &story.truth {
            draw.push(&story.text, truth)?;
        }
    }
    let (concepts, rare) = draw.finish(each.min(LEAST))?;
    if !rare.is_empty() {
        context.printer.note(&format!(
            "{} concepts are left out: they stand in fewer than {} sentences, or in all but so few",
            rare.len(),
            each.min(LEAST)
        ));
    }
    Ok(concepts)
}

/// Sentences of either kind below which a planted concept is not judged.
const LEAST: usize = 10;

/// The concepts of these names.
fn only(concepts: Vec<ConceptSentences>, names: &[String]) -> Result<Vec<ConceptSentences>> {
    for name in names {
        known(name, &concepts)?;
    }
    Ok(concepts.into_iter().filter(|concept| names.contains(&concept.concept)).collect())
}

fn known(name: &str, concepts: &[ConceptSentences]) -> Result<()> {
    if concepts.iter().any(|concept| concept.concept == name) {
        return Ok(());
    }
    let near = nearest(name, concepts.iter().map(|concept| concept.concept.as_str()));
    Err(Error::setting("concept", format!("`{name}`"), format!("one such as {}", near.join(", "))))
}

/// The feature that a name such as `12: days` or `-3 (output): days` begins with.
fn described_feature(concept: &str) -> Result<Signed> {
    let number = concept.split([':', ' ']).next().unwrap_or_default();
    signed_number(number).ok_or_else(|| {
        Error::setting("concept", format!("`{concept}`"), "a name such as `12: days of the week`")
    })
}

/// `12` or `-12`.
fn signed_number(text: &str) -> Option<Signed> {
    let (sign, number) = match text.strip_prefix('-') {
        Some(number) => (Sign::Minus, number),
        None => (Sign::Plus, text),
    };
    Some(Signed { feature: number.parse().ok()?, sign })
}

/// What `CONCEPT=NUMBER` names.
fn given_feature(text: &str, concepts: &[ConceptSentences]) -> Result<(String, Signed)> {
    let parsed = text.rsplit_once('=');
    let parsed = parsed.and_then(|(concept, number)| Some((concept, signed_number(number)?)));
    let Some((concept, signed)) = parsed else {
        return Err(Error::setting("feature", format!("`{text}`"), "CONCEPT=NUMBER"));
    };
    known(concept, concepts)?;
    Ok((concept.to_owned(), signed))
}

fn print(found: &Detected, each: bool, context: &Context<'_>) -> Result<()> {
    if context.printer.is_json() {
        return context.printer.json(found);
    }
    if each || found.methods.iter().filter(|method| !method.control).count() == 1 {
        let shown = found.methods.iter().filter(|method| each || !method.control);
        let rows: Vec<Vec<String>> = shown
            .flat_map(|method| {
                method.concepts.iter().map(|concept| row(&method.method, &method.site, concept))
            })
            .collect();
        let headers = [
            "method",
            "site",
            "concept",
            ">feature",
            ">sentences",
            ">S_CD",
            ">95 % interval",
            ">AUROC",
            ">95 % interval",
        ];
        context.printer.table(&headers, &rows);
    } else {
        let rows: Vec<Vec<String>> = found
            .methods
            .iter()
            .map(|method| {
                vec![
                    method.method.clone(),
                    method.site.clone(),
                    format!("{:.2}", method.mean_s_cd),
                    figure(method.deviation_s_cd, 2),
                    format!("{:.3}", method.mean_auroc),
                    format!("{:.0} %", 100.0 * method.positive),
                    method.clamped.to_string(),
                ]
            })
            .collect();
        let headers =
            ["method", "site", ">mean S_CD", ">deviation", ">AUROC", ">S_CD > 0", ">clamped"];
        context.printer.table(&headers, &rows);
    }
    let shown_clamped = found.methods.iter().any(|method| method.clamped > 0);
    let concepts = found.methods.first().map_or(0, |method| method.concepts.len());
    context.printer.note(&format!(
        "{concepts} concepts, scored on sentences that no feature was chosen on{}",
        if shown_clamped { " · * a mean below 0.001 was raised to it" } else { "" }
    ));
    Ok(())
}

fn row(method: &str, site: &str, found: &ConceptDetection) -> Vec<String> {
    let feature = found.feature.map(|signed| format!("{}{}", signed.sign.symbol(), signed.feature));
    vec![
        method.to_owned(),
        site.to_owned(),
        found.concept.clone(),
        feature.unwrap_or_default(),
        format!("{}+{}", found.activating, found.neutral),
        format!("{:.2}{}", found.s_cd, if found.clamped > 0 { "*" } else { "" }),
        format!("{:.2}–{:.2}", found.s_cd_low, found.s_cd_high),
        format!("{:.3}", found.auroc),
        format!("{:.3}–{:.3}", found.auroc_low, found.auroc_high),
    ]
}
