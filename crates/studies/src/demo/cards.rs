//! Feature cards of the demo: good ones and weak ones, side by side.

use nissl_core::features::Features;
use nissl_core::network::LanguageNetwork;
use nissl_core::{Progress, Recording, Result};
use nissl_explain::composition::composition;
use nissl_explain::examples::{Example, Examples, find};
use nissl_explain::shown::spaced;
use nissl_explain::{Explained, logit_lens::Pushed};
use nissl_probe::truth::FeatureMatch;

use crate::compare::Compared;
use crate::report::{
    self, FeatureCard, Match, Quality, Score, TokenActivity, TokenEffect, Truth, UnitWeight,
};

/// Cards of features with a clear pattern, and of features without.
const GOOD: usize = 15;
const WEAK: usize = 5;

/// Twenty features, each beside the planted concept it tells best.
pub(super) fn cards(
    chosen: &Compared,
    recording: &Recording,
    network: &dyn LanguageNetwork,
    explained: &Explained,
    progress: &Progress,
) -> Result<Vec<FeatureCard>> {
    let mut cards = draw(&chosen.features, recording, network, explained, progress)?;
    for card in &mut cards {
        card.matched = chosen.matches.features.get(card.feature).and_then(matched);
    }
    Ok(cards)
}

/// Twenty features of a network whose truth nobody knows.
pub(super) fn without_truth(
    features: &Features,
    recording: &Recording,
    network: &dyn LanguageNetwork,
    explained: &Explained,
    progress: &Progress,
) -> Result<Vec<FeatureCard>> {
    draw(features, recording, network, explained, progress)
}

fn matched(found: &FeatureMatch) -> Option<Match> {
    let concept = found.concept.clone()?;
    let truth = if found.auroc >= 0.9 { Truth::Found } else { Truth::NotFound };
    let score = Score::new(found.auroc).with_baseline(0.5);
    Some(Match { truth, concept, score })
}

/// The features that are shown: the best named, of different names, and weak ones.
fn shown(explained: &Explained, features: &Features) -> Vec<(usize, Quality)> {
    let good = explained.good();
    let mut names = std::collections::BTreeSet::new();
    let mut shown: Vec<(usize, Quality)> = good
        .iter()
        .copied()
        .filter(|&feature| names.insert(explained.names[feature].text.clone()))
        .take(GOOD)
        .map(|feature| (feature, Quality::Good))
        .collect();
    let dead = features.table().bools("dead").unwrap_or_default();
    let weak = (0..features.features())
        .filter(|feature| !good.contains(feature) && !dead.get(*feature).is_some_and(|dead| *dead))
        .take(GOOD + WEAK - shown.len());
    shown.extend(weak.map(|feature| (feature, Quality::Weak)));
    shown
}

fn draw(
    features: &Features,
    recording: &Recording,
    network: &dyn LanguageNetwork,
    explained: &Explained,
    progress: &Progress,
) -> Result<Vec<FeatureCard>> {
    let settings = Examples { strongest: 5, each: 1, quantiles: 4, ..Examples::default() };
    let examples = find(features, recording, &settings, progress)?;
    let density = features.table().f32s("density").unwrap_or_default();
    let tokenizer = network.tokenizer().ok();
    let effects = |pushed: &Pushed| -> Vec<TokenEffect> {
        let word = |id| tokenizer.and_then(|tokenizer| tokenizer.token(id)).unwrap_or_default();
        let shown = pushed.tokens.iter().take(8);
        shown.map(|&(id, effect)| TokenEffect { text: word(id), effect }).collect()
    };
    let indices = features.unit_table().u32s("index")?;
    let card = |(feature, quality): (usize, Quality)| {
        let name = &explained.names[feature];
        let parts = composition(features.dictionary().decoder.row(feature), 6);
        let units = parts.iter().map(|part| UnitWeight {
            unit: format!("neuron {}", indices.get(part.unit).copied().unwrap_or_default()),
            weight: part.weight,
        });
        let direction = features.dictionary().decoder.row(feature);
        let pushes = explained.effects.as_ref().and_then(|effects| effects.get(feature));
        FeatureCard {
            feature,
            name: name.text.clone(),
            quality: Some(quality),
            reason: reason(name.score, quality),
            matched: None,
            density: density.get(feature).map(|&density| f64::from(density)),
            examples: examples[feature].iter().take(7).map(example).collect(),
            up: pushes.map(|pushes| effects(&pushes.plus)).unwrap_or_default(),
            down: pushes.map(|pushes| effects(&pushes.minus)).unwrap_or_default(),
            units: units.collect(),
            units_in_all: direction.iter().filter(|weight| **weight != 0.0).count(),
        }
    };
    Ok(shown(explained, features).into_iter().map(card).collect())
}

fn reason(score: f64, quality: Quality) -> String {
    match quality {
        Quality::Good => {
            format!("the name fits {:.0} % of examples it was not drawn from", 100.0 * score)
        }
        Quality::Weak => "no single word or neighbour explains its examples".to_owned(),
    }
}

fn example(example: &Example) -> report::Example {
    let from = match example.quantile {
        0 => "top".to_owned(),
        part => format!("part {part} of 4"),
    };
    let tokens = spaced(&example.tokens)
        .into_iter()
        .zip(&example.activations)
        .map(|(text, &activity)| TokenActivity { text, activity })
        .collect();
    report::Example { from, tokens }
}
