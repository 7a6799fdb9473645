//! `nissl probe truth|steer|ablate FEATURES…`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nissl_core::features::Features;
use nissl_core::network::LanguageNetwork;
use nissl_core::{Error, Result, Site};
use nissl_probe::ablate::{Ablate, LabelledText, Removal, ablate};
use nissl_probe::steer::{Steer, Target, steer};
use nissl_probe::truth::{TruthMatch, match_features};

use super::explain::recording_of;
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
    Truth {
        /// A folder of features
        features: PathBuf,
        /// The recording they were found in [default: as their manifest says]
        #[arg(long, value_name = "FOLDER")]
        recording: Option<PathBuf>,
        #[command(flatten)]
        settings: TruthMatch,
    },
    /// Add a feature to the activity while the network writes
    Steer {
        /// A feature, as FOLDER:NUMBER
        feature: String,
        /// The network that was recorded
        #[arg(long)]
        model: String,
        /// The text that is continued
        #[arg(long)]
        prompt: String,
        /// Words whose appearance is counted, separated by commas
        #[arg(long, value_delimiter = ',')]
        words: Vec<String>,
        #[command(flatten)]
        settings: Steer,
    },
    /// Take features out and measure the loss, concept by concept
    Ablate {
        /// A feature, as FOLDER:NUMBER
        feature: String,
        /// The network that was recorded
        #[arg(long)]
        model: String,
        /// The recording they were found in [default: as their manifest says]
        #[arg(long, value_name = "FOLDER")]
        recording: Option<PathBuf>,
        #[command(flatten)]
        settings: Ablate,
    },
}

pub(crate) fn run(args: Probe, context: &Context<'_>) -> Result<ExitCode> {
    let seed = context.global.seed;
    match args.kind {
        Kind::Truth { features, recording, settings } => {
            let settings = TruthMatch { seed, ..settings };
            truth(&features, recording.as_ref(), &settings, context)
        }
        Kind::Steer { feature, model, prompt, words, settings } => {
            let settings = Steer { seed, ..settings };
            steer_one(&feature, &model, &prompt, &words, &settings, context)
        }
        Kind::Ablate { feature, model, recording, settings } => {
            let settings = Ablate { seed, ..settings };
            ablate_one(&feature, &model, recording.as_ref(), &settings, context)
        }
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

fn truth(
    folder: &Path,
    recording: Option<&PathBuf>,
    settings: &TruthMatch,
    context: &Context<'_>,
) -> Result<ExitCode> {
    let mut features = Features::open(folder)?;
    let recording = recording_of(&features, recording)?;
    let matches = match_features(&features, &recording, settings, context.progress)?;
    matches.write(&mut features)?;
    if context.printer.is_json() {
        context.printer.json(&matches)?;
    } else {
        let rows: Vec<Vec<String>> = matches
            .concepts
            .iter()
            .map(|found| {
                let ranker = &found.auroc;
                vec![
                    found.concept.clone(),
                    found.positives.to_string(),
                    format!("{}{}", ranker.sign.symbol(), ranker.feature),
                    format!("{:.3}", ranker.held_out),
                    format!("{:.3}–{:.3}", ranker.low, ranker.high),
                    format!("{:.3}", found.f1.held_out),
                ]
            })
            .collect();
        let headers = ["concept", ">tokens", ">feature", ">AUROC", ">95 % interval", ">best F1"];
        context.printer.table(&headers, &rows);
    }
    context.printer.note(&format!(
        "mean AUROC {:.3} ({:.3}–{:.3}) · {} of {} concepts found · {} too rare to judge",
        matches.mean_auroc,
        matches.low,
        matches.high,
        matches.recovered,
        matches.concepts.len(),
        matches.skipped.len()
    ));
    Ok(ExitCode::SUCCESS)
}

fn steer_one(
    feature: &str,
    model: &str,
    prompt: &str,
    words: &[String],
    settings: &Steer,
    context: &Context<'_>,
) -> Result<ExitCode> {
    let (features, number) = feature_of(feature)?;
    let site = site_of(&features)?;
    let network = super::record::open(model, context.global)?;
    let tokenizer = network.tokenizer()?;
    let mut counted = Vec::new();
    for word in words {
        // A word stands for itself and for its form after a blank.
        for form in [word.clone(), format!(" {word}")] {
            let spans = tokenizer.encode(&form)?;
            counted.extend(spans.iter().filter(|span| span.start < span.end).map(|span| span.id));
        }
    }
    let tokens: Vec<u32> = tokenizer.encode(prompt)?.iter().map(|span| span.id).collect();
    let direction = features.dictionary().decoder.row(number).to_vec();
    let hits = |text: &[u32]| text.iter().filter(|token| counted.contains(token)).count();
    let target = Target { site: &site, direction: &direction, hits: &hits };
    let steered = steer(&network, &tokens, target, settings, context.progress)?;
    if context.printer.is_json() {
        context.printer.json(&steered)?;
        return Ok(ExitCode::SUCCESS);
    }
    let text = |ids: Option<&Vec<u32>>| ids.map_or(Ok(String::new()), |ids| tokenizer.decode(ids));
    let mut rows = vec![vec![
        "plain".to_owned(),
        String::new(),
        String::new(),
        format!("{:.2}", steered.plain_concept),
        text(steered.plain.first())?,
    ]];
    for point in &steered.curve {
        let strength =
            point.strength.map_or("not reached".to_owned(), nissl_core::progress::significant);
        rows.push(vec![
            point.sign.symbol().to_owned(),
            point.target.to_string(),
            strength,
            if point.score.is_finite() { format!("{:.2}", point.score) } else { String::new() },
            text(point.texts.first())?,
        ]);
    }
    context.printer.table(&["sign", ">KL", ">strength", ">score", "first text"], &rows);
    context.printer.note(&format!(
        "best score {:.2} of 2 · random directions {:.2}",
        steered.score(),
        steered.control_score()
    ));
    Ok(ExitCode::SUCCESS)
}

fn ablate_one(
    feature: &str,
    model: &str,
    recording: Option<&PathBuf>,
    settings: &Ablate,
    context: &Context<'_>,
) -> Result<ExitCode> {
    let (features, number) = feature_of(feature)?;
    let site = site_of(&features)?;
    let network = super::record::open(model, context.global)?;
    let recording = recording_of(&features, recording)?;
    let text = LabelledText::of(&recording, settings.sequences)?;
    let means = match settings.removal {
        Removal::Mean => unit_means(&recording)?,
        _ => Vec::new(),
    };
    let direction = features.dictionary().decoder.row(number).to_vec();
    let ablated =
        ablate(&network, &site, &[&direction], &means, &text, settings, context.progress)?;
    let Some(effect) = ablated.into_iter().next() else { return Ok(ExitCode::SUCCESS) };
    if context.printer.is_json() {
        context.printer.json(&effect)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut concepts = effect.concepts;
    concepts.sort_by(|a, b| b.difference.total_cmp(&a.difference));
    let rows: Vec<Vec<String>> = concepts
        .iter()
        .map(|loss| {
            vec![
                loss.concept.clone(),
                loss.tokens.to_string(),
                format!("{:+.4}", loss.with),
                format!("{:+.4}", loss.without),
                format!("{:+.4}–{:+.4}", loss.low, loss.high),
            ]
        })
        .collect();
    let headers =
        ["concept", ">tokens", ">change with it", ">without", ">95 % interval of the difference"];
    context.printer.table(&headers, &rows);
    context.printer.note(&format!(
        "loss {:+.4} nats a token over {} tokens without feature {number}",
        effect.change, effect.tokens,
    ));
    Ok(ExitCode::SUCCESS)
}

/// The mean of each unit over a recording.
fn unit_means(recording: &nissl_core::Recording) -> Result<Vec<f32>> {
    let mut moments = nissl_core::stats::moments::Moments::new(recording.units());
    for block in recording.blocks(4096) {
        moments.push(block?.activity.view());
    }
    Ok(moments.means().into_iter().map(|mean| mean as f32).collect())
}
