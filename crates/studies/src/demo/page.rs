//! The demo's report: what was done, what came out, and how to do it again.

use nissl_core::features::Features;
use nissl_core::store::Provenance;
use nissl_core::{Recording, Result};
use serde_json::Value;

use super::steering::SteeredFeature;
use super::{Summary, model};
use crate::compare::{Compared, concept_table, score_bars};
use crate::report::{
    Axis, Cell, Facts, FeatureCard, FeatureCards, Histogram, Lines, Note, Quality, Reference,
    Report, Section, Series, Steps, Table,
};

/// The report of the demo on the embedded model.
pub(super) fn with_truth(
    compared: &[Compared],
    cards: Vec<FeatureCard>,
    steered: Vec<SteeredFeature>,
    recording: &Recording,
    summary: &Summary,
    seed: u64,
) -> Result<Report> {
    let report = Report::new(
        "What is inside this network?",
        "A small language network read simple stories. nissl recorded its neurons, took their \
         activity apart into features, and checked each feature against what the words really mean: \
         the stories are told by a grammar, so the truth about every word is known.",
    );
    Ok(report
        .with_section(done(compared, recording, summary))
        .with_section(methods(compared))
        .with_section(features(
            cards,
            "Each card is one feature that SNMF found. Darker tokens \
            activate it more. The truth was not used to find or to name it.",
        ))
        .with_section(steering(steered))
        .with_section(distribution(compared)?)
        .with_section(network()?)
        .with_section(again("nissl demo", seed, summary)))
}

/// The report of the demo on a checkpoint of the user's.
pub(super) fn without_truth(
    model: &str,
    found: &Features,
    cards: Vec<FeatureCard>,
    recording: &Recording,
    summary: &Summary,
    seed: u64,
) -> Report {
    let report = Report::new(
        format!("What is inside {model}?"),
        "nissl recorded one layer's neurons while the network read your texts, and took their \
         activity apart into features. Nobody knows the truth about this network, so each card says \
         only what its examples show.",
    );
    let explained = found.explained_variance().held_out.unwrap_or(f64::NAN);
    let facts = Facts::default()
        .with(recording.samples().to_string(), "tokens read")
        .with(recording.units().to_string(), format!("neurons of {}", summary.site))
        .with(format!("{} of {}", summary.named, found.features()), "features with a clear pattern")
        .with(format!("{:.0} %", 100.0 * explained), "of the variance of unread text explained");
    report
        .with_section(Section::new("What was done").with(facts))
        .with_section(features(
            cards,
            "Each card is one feature that SNMF found. Darker tokens \
            activate it more.",
        ))
        .with_section(again("nissl demo --model", seed, summary))
}

fn done(compared: &[Compared], recording: &Recording, summary: &Summary) -> Section {
    let concepts = compared.first().map_or(0, |one| one.matches.concepts.len());
    let snmf = compared.iter().find(|one| one.method == "snmf");
    let found = snmf.map_or(0, |one| one.matches.recovered);
    let steps = Steps::default()
        .then("Stories", "New stories were told, none of which the network was trained on. Every word \
            carries its planted concepts: colour, past tense, who owns what, and so on.")
        .then("Recording", format!("The network read them; the activity of the {} neurons at `{}` was \
            kept for each of {} tokens.", recording.units(), summary.site, recording.samples()))
        .then("Decomposition", "Six methods took the activity apart: single neurons as they are, \
            principal components (PCA), clusters (k-means), a sparse autoencoder (SAE), sparse signed groups \
            of neurons (SNMF), and a transcoder, which says from what the MLP reads what it writes.")
        .then("Truth", "For each concept the best feature of each method was chosen on four fifths of \
            the stories and scored on the rest.")
        .then("Names and tests", "Features were named from their examples and from the words they push \
            towards; five were switched on to see whether the text changes as the name says.");
    let facts = Facts::default()
        .with(recording.samples().to_string(), "tokens read")
        .with(concepts.to_string(), "planted concepts judged")
        .with(found.to_string(), "concepts found by SNMF")
        .with(summary.named.to_string(), "features with a clear pattern");
    Section::new("What was done").with(facts).with(steps)
}

fn methods(compared: &[Compared]) -> Section {
    let skipped = compared.first().map_or(0, |one| one.matches.skipped.len());
    let mut section = Section::new("Which method finds what is really there?")
        .with(score_bars(compared, "snmf"))
        .with(Note::how_to_read(
            "AUROC is the chance that a token that carries the concept points more along the feature \
             than one that does not: 0.5 is chance, 1 is perfect. How far it points along the feature is \
             the cosine between the activity and the feature's direction, the same rule for every \
             method; for the transcoder the activity is what the MLP reads, for the others its neurons. The bar spans the 95 % interval over concepts. A concept counts as found from 0.9.",
        ))
        .with(concept_table(compared));
    if skipped > 0 {
        section = section.says(format!(
            "{skipped} concepts were too rare in these stories to be judged and are left out."
        ));
    }
    section
}

fn features(cards: Vec<FeatureCard>, says: &str) -> Section {
    let weak = cards.iter().filter(|card| card.quality == Some(Quality::Weak)).count();
    let caption = format!(
        "{} features, {weak} of which show no pattern: they are part of the picture",
        cards.len()
    );
    Section::new("What do the features mean?").says(says).with(FeatureCards { caption, cards })
}

fn steering(steered: Vec<SteeredFeature>) -> Section {
    let section = Section::new("Do the features do what their names say?").says(
        "Each feature was added to the network's activity while it wrote, just strongly enough to \
         change its next-word distribution by a given amount (KL divergence). Words of the concept \
         are marked. Scores run from 0 to 2 and fall to 0 when the text loses its fluency; the control \
         is a random direction of the same effect.",
    );
    let table = Table::new(
        "Steering and ablation",
        ["feature", "concept", "plain", "steered", "random", "loss on its words", "loss on others"],
    );
    let table = steered.iter().fold(table, |table, one| {
        let loss = one.ablated.concepts.iter().find(|loss| loss.concept == one.concept);
        let number = |value: f64| Cell::Number((value * 1000.0).round() / 1000.0);
        table.with_row([
            Cell::Number(one.feature as f64),
            Cell::Token(one.concept.clone()),
            number(one.steered.plain_concept),
            number(one.steered.score()),
            number(one.steered.control_score()),
            loss.map_or(Cell::Empty, |loss| number(loss.with)),
            loss.map_or(Cell::Empty, |loss| number(loss.without)),
        ])
    });
    let section = section.with(table).with(Note::how_to_read(
        "`plain` is how much of the concept stands in the text without steering. The last two columns \
         tell how much worse the network predicts, in nats a token, after words of the concept and \
         after all others, when the feature is taken out.",
    ));
    steered.into_iter().fold(section, |section, one| section.with(one.texts))
}

fn distribution(compared: &[Compared]) -> Result<Section> {
    let section = Section::new("How often are features active?");
    let Some(snmf) = compared.iter().find(|one| one.method == "snmf") else { return Ok(section) };
    let densities: Vec<f64> =
        snmf.features.table().f32s("density")?.iter().map(|&d| f64::from(d)).collect();
    let axis = Axis::linear("share of tokens on which a feature is active");
    Ok(section.with(Histogram::of("Density of SNMF features", axis, &densities, 24)))
}

fn network() -> Result<Section> {
    let manifest = model::provenance()?;
    let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
    let points = |key: &str| -> Vec<[f64; 2]> {
        manifest["curve"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|point| [number(&point["tokens"]), number(&point[key])])
            .collect()
    };
    let line = |label: &str, key: &str| Reference {
        label: label.to_owned(),
        value: number(&manifest["baselines"][key]),
    };
    let curves = Lines {
        caption: "Loss of the network while it was trained, in nats a token".to_owned(),
        x: Axis::linear("tokens seen"),
        y: Axis::linear("loss"),
        series: vec![
            Series { label: "training".to_owned(), points: points("train") },
            Series { label: "held out".to_owned(), points: points("held_out") },
        ],
        bands: Vec::new(),
        references: vec![
            line("unigram", "unigram"),
            line("5-gram", "five_gram"),
            line("lower bound", "lower_bound"),
        ],
    };
    Ok(Section::new("The network")
        .says(
            "A GPT-2-type network, trained by `nissl train language` on stories of the same grammar. \
             The lower bound is the entropy of the grammar's own choices: no network can do better.",
        )
        .with(curves))
}

fn again(command: &str, seed: u64, summary: &Summary) -> Section {
    let mut provenance = Provenance::here(&serde_json::json!({"site": summary.site}), seed, "cpu");
    provenance.seconds = summary.seconds;
    Section::new("How this was made, and what next")
        .says(format!(
            "`{command}` made this page and everything beside it: the recording, the features of every \
             method with their examples, explanations and scores. Every folder says how it was made \
             (`nissl info FOLDER`) and can be made again (`nissl reproduce FOLDER`)."
        ))
        .says("On a network and texts of your own: `nissl demo --model FOLDER --text FILE`.")
        .with(provenance)
}
