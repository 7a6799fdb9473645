//! Truth matching: which feature tells which planted concept, and how well.
//!
//! For each concept the feature (and, for signed activations, the sign) of greatest AUROC, and that
//! of greatest F1 with its threshold, are chosen on the samples to fit and scored on samples held
//! out, whole sequences at a time; intervals are bootstrapped by sequence. In reverse, each feature
//! gets the concept whose F1 gains most over always saying yes, `(F1 − F1₁) / (1 − F1₁)`.
//! A concept is recovered when its feature has a held-out AUROC of 0.9 or more.
//!
//! Memory: the truth, and the activations of at most 64 Mi samples × features at once.

mod cosine;
mod cut;
mod labels;
mod matches;
mod score;

use ndarray::Array2;
use nissl_core::features::Features;
use nissl_core::split::{Split, held_out};
use nissl_core::stats::auroc::auroc;
use nissl_core::stats::bootstrap::Bootstrap;
use nissl_core::stats::classification::confusion_at;
use nissl_core::stats::concepts::Concepts;
use nissl_core::{Error, Progress, Recording, Result};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use self::labels::Carried;
pub use self::labels::{PREFIX, Truth};
pub use self::matches::{ConceptMatch, Detector, FeatureMatch, Matches, Ranker};
use crate::strength::Sign;

/// The figure by which a feature tells a concept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Told {
    /// Its activation
    #[default]
    Activation,
    /// The cosine between the activity and its direction, as the SNMF paper detects concepts
    Cosine,
}

/// Hyperparameters of truth matching.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct TruthMatch {
    /// Share of the sequences on which choices are scored, above 0, below 1; without it those
    /// that the decomposition held out, or else one fifth
    #[arg(long)]
    pub held_out: Option<f64>,
    /// The figure by which features tell concepts
    #[arg(long, value_enum, default_value_t)]
    pub by: Told,
    /// Positive and negative samples that a concept needs on either side, 1 or more
    #[arg(long, default_value_t = TruthMatch::default().least)]
    pub least: usize,
    /// Held-out AUROC from which a concept counts as recovered, 0 to 1
    #[arg(long, default_value_t = TruthMatch::default().bar)]
    pub bar: f64,
    /// Resamples of the intervals, 1 or more
    #[arg(long, default_value_t = TruthMatch::default().resamples)]
    pub resamples: usize,
    /// Seed of the split and of the resamples
    #[arg(skip)]
    pub seed: u64,
}

impl Default for TruthMatch {
    fn default() -> Self {
        Self { held_out: None, by: Told::Activation, least: 20, bar: 0.9, resamples: 500, seed: 0 }
    }
}

impl TruthMatch {
    /// # Errors
    /// A value outside its range.
    pub fn validate(&self) -> Result<()> {
        let &Self { held_out, least, bar, resamples, .. } = self;
        if let Some(fraction) = held_out.filter(|fraction| !(*fraction > 0.0 && *fraction < 1.0)) {
            return Err(Error::setting("held_out", fraction, "above 0, below 1"));
        }
        if !(0.0..=1.0).contains(&bar) {
            return Err(Error::setting("bar", bar, "0 to 1"));
        }
        for (field, value) in [("least", least), ("resamples", resamples)] {
            if value == 0 {
                return Err(Error::setting(field, value, "1 or more"));
            }
        }
        Ok(())
    }

    /// The samples to choose on and those to score on, as the decomposition split them when it did.
    fn split(&self, features: &Features, sequences: &[u32]) -> Split {
        let provenance = &features.manifest().provenance;
        let theirs = provenance.config["held_out"].as_f64().filter(|fraction| *fraction > 0.0);
        match (self.held_out, theirs) {
            (Some(fraction), _) => held_out(sequences, fraction, self.seed),
            (None, Some(fraction)) => held_out(sequences, fraction, provenance.seed),
            (None, None) => held_out(sequences, HELD_OUT, self.seed),
        }
    }

    fn bootstrap(&self) -> Bootstrap {
        Bootstrap { resamples: self.resamples, level: 0.95, seed: self.seed }
    }
}

/// Activations of some features `[sample, feature]`, given their numbers.
pub type Columns<'a> = dyn Fn(&[usize]) -> Result<Array2<f32>> + 'a;

/// The share of sequences that is held out where nothing says otherwise.
const HELD_OUT: f64 = 0.2;
/// Samples × features held at once.
const VALUES_AT_ONCE: usize = 64 << 20;

/// Matches features with the truth columns of the recording they were found in.
///
/// # Errors
/// A setting outside its range, features of another recording, a recording without truth, or a file
/// that cannot be read.
pub fn match_features(
    features: &Features,
    recording: &Recording,
    settings: &TruthMatch,
    progress: &Progress,
) -> Result<Matches> {
    settings.validate()?;
    if features.samples() != recording.samples() {
        return Err(Error::file(
            features.path(),
            "samples",
            features.samples(),
            format!("{}, as in {}", recording.samples(), recording.path().display()),
        ));
    }
    let sequences = recording.sequences()?;
    let split = settings.split(features, &sequences);
    let truth = Truth::of(recording)?;
    let columns = |wanted: &[usize]| match settings.by {
        Told::Activation => features.columns(wanted),
        Told::Cosine => cosine::cosines(features, recording, wanted),
    };
    match_columns(features.features(), &columns, &truth, &sequences, &split, settings, progress)
}

/// Matches any activations with a truth; `sequences` `[sample]` names the sequence of each sample.
///
/// # Errors
/// As [`match_features`]; activations that are not finite.
pub fn match_columns(
    features: usize,
    columns: &Columns<'_>,
    truth: &Truth,
    sequences: &[u32],
    split: &Split,
    settings: &TruthMatch,
    progress: &Progress,
) -> Result<Matches> {
    settings.validate()?;
    if features == 0 {
        let expected = "at least one feature".to_owned();
        return Err(Error::Empty { what: "the dictionary".to_owned(), expected });
    }
    let (kept, skipped) = enough(truth, split, settings.least);
    let labels: Vec<&[bool]> = kept.iter().map(|&at| truth.labels[at].as_slice()).collect();
    let names: Vec<&str> = kept.iter().map(|&at| truth.names[at].as_str()).collect();
    let sides = Sides::new(&labels, split, sequences);
    let stage = progress.stage("truth", features as u64, "features");
    let at_once = (VALUES_AT_ONCE / sequences.len().max(1)).clamp(1, 1024);
    let mut rankers: Vec<Option<Choice>> = vec![None; labels.len()];
    let mut detectors: Vec<Option<Choice>> = vec![None; labels.len()];
    let mut reverse = Vec::with_capacity(features);
    for first in (0..features).step_by(at_once) {
        progress.check(|| format!("{first} features"))?;
        let some: Vec<usize> = (first..(first + at_once).min(features)).collect();
        let activations = columns(&some)?;
        require_finite(&activations, first)?;
        let judged: Vec<Judged> = (0..some.len())
            .into_par_iter()
            .map(|place| {
                let values: Vec<f32> = activations.column(place).to_vec();
                Judged::new(first + place, &values, split, &sides, &names)
            })
            .collect();
        for one in judged {
            for concept in 0..labels.len() {
                keep(&mut rankers[concept], one.rank[concept]);
                keep(&mut detectors[concept], one.detect[concept]);
            }
            reverse.push(one.reverse);
        }
        stage.advance(some.len() as u64);
    }
    let chosen: Vec<(Choice, Choice)> =
        rankers.into_iter().flatten().zip(detectors.into_iter().flatten()).collect();
    let concepts = score::score(&chosen, columns, split, &sides, &names, settings)?;
    Ok(Matches::new(concepts, skipped, reverse, settings))
}

/// The concepts with enough samples on either side, and the names of the others.
fn enough(truth: &Truth, split: &Split, least: usize) -> (Vec<usize>, Vec<String>) {
    let enough = |labels: &[bool]| {
        [&split.fit, &split.held_out].into_iter().all(|rows| {
            let positives = rows.iter().filter(|&&row| labels[row]).count();
            positives >= least && rows.len() - positives >= least
        })
    };
    let (kept, others): (Vec<usize>, Vec<usize>) =
        (0..truth.names.len()).partition(|&concept| enough(&truth.labels[concept]));
    (kept, others.into_iter().map(|concept| truth.names[concept].clone()).collect())
}

fn require_finite(activations: &Array2<f32>, first: usize) -> Result<()> {
    match activations.indexed_iter().find(|(_, value)| !value.is_finite()) {
        None => Ok(()),
        Some(((sample, place), &found)) => {
            Err(Error::NotFinite { sample: sample as u64, unit: (first + place) as u64, found })
        }
    }
}

/// The truth on either side of the split.
struct Sides {
    fit: Concepts,
    fit_carried: Carried,
    held_labels: Vec<Vec<bool>>,
    held_groups: Vec<u32>,
}

impl Sides {
    fn new(labels: &[&[bool]], split: &Split, sequences: &[u32]) -> Self {
        let pick = |rows: &[usize], labels: &[bool]| -> Vec<bool> {
            rows.iter().map(|&row| labels[row]).collect()
        };
        let fit: Vec<Vec<bool>> = labels.iter().map(|labels| pick(&split.fit, labels)).collect();
        Self {
            fit: Concepts::new(split.fit.len(), &fit),
            fit_carried: Carried::new(labels, &split.fit),
            held_labels: labels.iter().map(|labels| pick(&split.held_out, labels)).collect(),
            held_groups: split.held_out.iter().map(|&row| sequences[row]).collect(),
        }
    }

    /// F1 of always saying yes on the samples to fit.
    fn trivial(&self, concept: usize) -> f64 {
        let positives = self.fit_carried.positives[concept] as f64;
        2.0 * positives / (self.fit_carried.samples() as f64 + positives)
    }
}

/// A feature with a sign (and a threshold), and how well it does on the samples to fit.
#[derive(Clone, Copy, Debug)]
struct Choice {
    feature: usize,
    sign: Sign,
    threshold: f32,
    fit: f64,
}

fn keep(best: &mut Option<Choice>, choice: Choice) {
    if best.is_none_or(|best| choice.fit > best.fit) {
        *best = Some(choice);
    }
}

/// One feature against every concept.
struct Judged {
    rank: Vec<Choice>,
    detect: Vec<Choice>,
    reverse: FeatureMatch,
}

impl Judged {
    fn new(feature: usize, values: &[f32], split: &Split, sides: &Sides, names: &[&str]) -> Self {
        let fit: Vec<f32> = split.fit.iter().map(|&row| values[row]).collect();
        let choice = |sign, threshold, fit| Choice { feature, sign, threshold, fit };
        let mut rank: Vec<Choice> = sides
            .fit
            .auroc(&fit)
            .into_iter()
            .map(|area| choice(Sign::Plus, f32::NAN, area))
            .collect();
        let ranked = cut::Ranked::new(&fit);
        let mut detect: Vec<Choice> = cut::best(&ranked, &sides.fit_carried)
            .into_iter()
            .map(|cut| choice(Sign::Plus, cut.threshold, cut.f1))
            .collect();
        if fit.iter().any(|value| *value < 0.0) {
            for rank in &mut rank {
                if 1.0 - rank.fit > rank.fit {
                    *rank = choice(Sign::Minus, f32::NAN, 1.0 - rank.fit);
                }
            }
            let cuts = cut::best(&ranked.negated(), &sides.fit_carried);
            for (detect, cut) in detect.iter_mut().zip(cuts) {
                if cut.f1 > detect.fit {
                    *detect = choice(Sign::Minus, cut.threshold, cut.f1);
                }
            }
        }
        let reverse = reverse(&detect, values, split, sides, names);
        Self { rank, detect, reverse }
    }
}

/// The concept that a feature tells best, scored on the samples held out.
fn reverse(
    detect: &[Choice],
    values: &[f32],
    split: &Split,
    sides: &Sides,
    names: &[&str],
) -> FeatureMatch {
    let gain = |concept: usize| {
        let trivial = sides.trivial(concept);
        (detect[concept].fit - trivial) / (1.0 - trivial)
    };
    let mut best: Option<usize> = None;
    for concept in (0..detect.len()).filter(|&concept| gain(concept) > 0.0) {
        if best.is_none_or(|best| gain(concept) > gain(best)) {
            best = Some(concept);
        }
    }
    let Some(concept) = best else { return FeatureMatch::none() };
    let Choice { sign, threshold, .. } = detect[concept];
    let held = signed(values, &split.held_out, sign);
    let labels = &sides.held_labels[concept];
    let confusion = confusion_at(&held, labels, threshold);
    FeatureMatch {
        concept: Some(names[concept].to_owned()),
        sign,
        threshold: sign.factor() * threshold,
        auroc: auroc(&held, labels),
        f1: confusion.f1(),
        precision: confusion.precision(),
        recall: confusion.recall(),
    }
}

fn signed(values: &[f32], rows: &[usize], sign: Sign) -> Vec<f32> {
    rows.iter().map(|&row| sign.factor() * values[row]).collect()
}
