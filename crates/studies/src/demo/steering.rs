//! Five features of the demo, steered: the text before and after, and the loss without them.

use std::collections::BTreeMap;

use nissl_core::network::{LanguageNetwork, Tokenizer};
use nissl_core::{Error, Progress, Recording, Result};
use nissl_explain::Explained;
use nissl_explain::shown::spaced;
use nissl_probe::ablate::{Ablate, Ablated, LabelledText, ablate};
use nissl_probe::steer::{Steer, Steered, Target, steer};
use nissl_probe::strength::StrengthMatch;

use crate::compare::Compared;
use crate::report::{BeforeAfter, Direction, Piece};

/// A steered feature.
pub(super) struct SteeredFeature {
    /// Its number.
    pub(super) feature: usize,
    /// Its concept.
    pub(super) concept: String,
    /// What steering did.
    pub(super) steered: Steered,
    /// What the network loses without it.
    pub(super) ablated: Ablated,
    /// The texts.
    pub(super) texts: BeforeAfter,
}

/// The prompt that is continued: a story that has only begun.
const PROMPT: &str = "<story> one day";

/// How many features are steered.
const STEERED: usize = 5;

/// Steers the five features that tell different classes of words best.
pub(super) fn steer_five(
    network: &dyn LanguageNetwork,
    chosen: &Compared,
    recording: &Recording,
    explained: &Explained,
    seed: u64,
    progress: &Progress,
) -> Result<Vec<SteeredFeature>> {
    let words = words_of_concepts(recording)?;
    let tokenizer = network.tokenizer()?;
    let prompt: Vec<u32> = tokenizer.encode(PROMPT)?.iter().map(|span| span.id).collect();
    let site = recording
        .sites()
        .first()
        .cloned()
        .ok_or_else(|| Error::setting("site", "absent", "one site in the recording"))?;
    let text = LabelledText::of(recording, ABLATED_SEQUENCES)?;
    let stage = progress.stage("steer", STEERED as u64, "features");
    let settings_of_ablation =
        Ablate { sequences: ABLATED_SEQUENCES, resamples: 200, ..Ablate::default() };
    let silent = Progress::silent();
    let mut found = Vec::new();
    for (feature, concept) in candidates(chosen, explained, &words) {
        let Some(tokens) = words.get(&concept) else { continue };
        let settings = Steer {
            strength: StrengthMatch { targets: vec![0.25, 0.5], ..StrengthMatch::default() },
            samples: 4,
            tokens: 24,
            controls: 1,
            seed,
            ..Steer::default()
        };
        let direction = chosen.features.dictionary().decoder.row(feature).to_vec();
        let hits = |text: &[u32]| text.iter().filter(|token| tokens.contains(token)).count();
        let target = Target { site: &site, direction: &direction, hits: &hits };
        let steered = steer(network, &prompt, target, &settings, &silent)?;
        let ablated =
            ablate(network, &site, &[&direction], &[], &text, &settings_of_ablation, &silent)?;
        let Some(ablated) = ablated.into_iter().next() else { continue };
        let texts = before_after(tokenizer, feature, &concept, &steered, tokens);
        found.push(SteeredFeature { feature, concept, steered, ablated, texts });
        stage.advance(1);
        progress.check(|| format!("{} steered features", found.len()))?;
    }
    Ok(found)
}

/// Sequences on which the loss without a feature is measured.
const ABLATED_SEQUENCES: usize = 80;

/// Features with the class of words each tells best: different classes, the best told first.
fn candidates(
    chosen: &Compared,
    explained: &Explained,
    words: &BTreeMap<String, Vec<u32>>,
) -> Vec<(usize, String)> {
    let mut all: Vec<(f64, usize, String)> = chosen
        .matches
        .features
        .iter()
        .enumerate()
        .filter(|(feature, found)| {
            found.sign == nissl_probe::strength::Sign::Plus
                && explained.names.get(*feature).is_some_and(|name| name.pattern.is_some())
        })
        .filter_map(|(feature, found)| {
            let concept = found.concept.clone()?;
            words
                .get(&concept)
                .is_some_and(|tokens| tokens.len() > 1)
                .then_some((found.f1, feature, concept))
        })
        .collect();
    all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut seen = Vec::new();
    all.retain(|(_, _, concept)| {
        let family = concept.split('.').next().unwrap_or(concept).to_owned();
        !seen.contains(&family) && {
            seen.push(family);
            true
        }
    });
    all.into_iter().take(STEERED).map(|(_, feature, concept)| (feature, concept)).collect()
}

/// For each concept that is told by words, the tokens that nearly always carry it.
fn words_of_concepts(recording: &Recording) -> Result<BTreeMap<String, Vec<u32>>> {
    let names = recording.sample_column_names()?;
    let concepts: Vec<&str> =
        names.iter().map(String::as_str).filter(|name| name.starts_with("truth.")).collect();
    let mut wanted = concepts.clone();
    wanted.push("token_id");
    let table = recording.sample_columns(&wanted)?;
    let ids = table.u32s("token_id")?;
    let mut seen: BTreeMap<u32, usize> = BTreeMap::new();
    for &id in ids {
        *seen.entry(id).or_default() += 1;
    }
    let mut words = BTreeMap::new();
    for concept in concepts {
        let Ok(carried) = table.bools(concept) else { continue };
        let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
        let mut all = 0;
        for (&id, _) in ids.iter().zip(carried).filter(|(_, carried)| **carried) {
            *counts.entry(id).or_default() += 1;
            all += 1;
        }
        let tokens: Vec<u32> = counts
            .iter()
            .filter(|(id, count)| seen.get(id).is_some_and(|all| **count * 5 >= all * 4))
            .map(|(id, _)| *id)
            .collect();
        // A concept of whole stretches of text is not told by single words.
        let by_words: usize = tokens.iter().filter_map(|id| counts.get(id)).sum();
        if by_words * 5 >= all * 4 {
            words.insert(concept.trim_start_matches("truth.").to_owned(), tokens);
        }
    }
    Ok(words)
}

fn before_after(
    tokenizer: &dyn Tokenizer,
    feature: usize,
    concept: &str,
    steered: &Steered,
    tokens: &[u32],
) -> BeforeAfter {
    let pieces = |text: Option<&Vec<u32>>| -> Vec<Piece> {
        let ids = text.map(Vec::as_slice).unwrap_or_default();
        let words: Vec<String> =
            ids.iter().map(|&id| tokenizer.token(id).unwrap_or_default()).collect();
        spaced(&words)
            .into_iter()
            .zip(ids)
            .map(|(text, id)| Piece { text, in_concept: tokens.contains(id) })
            .collect()
    };
    BeforeAfter {
        feature: format!("feature {feature}"),
        concept: concept.to_owned(),
        prompt: PROMPT.to_owned(),
        plain: pieces(steered.plain.first()),
        steered: steered
            .curve
            .iter()
            .map(|point| crate::report::Steered {
                direction: match point.sign {
                    nissl_probe::strength::Sign::Plus => Direction::Along,
                    nissl_probe::strength::Sign::Minus => Direction::Against,
                },
                target_kl: point.target,
                reached_kl: point.strength.map(|_| point.divergence),
                strength: point.strength,
                text: pieces(point.texts.first()),
            })
            .collect(),
    }
}
