//! Concept detection: how well one direction tells sentences about a concept from others.
//!
//! For a sentence `a = maxₜ cos(hₜ − b, z)` over its tokens (`b` the dictionary's centre where it has
//! one), `S_CD = ln (mean₊ a / mean₋ a)` over sentences about the concept and neutral ones, either
//! mean at least 10⁻³, and the AUROC of `a`, which is always defined. The feature that stands for a
//! concept is given, or chosen with its sign by AUROC (equal ones by the gap of the means) on one
//! part of the sentences and scored on the rest. The difference of means, `v = mean₊ h − mean₋ h`
//! over tokens, is formed on the part to choose on; random directions compete like features.
//!
//! Source: Shafran, Geiger, Geva 2025, arXiv:2506.10920, concept detection.
//! Differs: means are clamped and counted, choices are scored on other sentences, AUROC and intervals.
//! Memory: the dictionaries twice, one batch of activity, and two numbers for each direction and
//! sentence of one concept.

mod file;
mod found;
mod method;
mod run;
mod sentences;

use ndarray::{Array1, Array2};
use nissl_core::network::LanguageNetwork;
use nissl_core::seed::rng;
use nissl_core::stats::auroc::auroc;
use nissl_core::stats::bootstrap::Bootstrap;
use nissl_core::{Error, Progress, Result, Site};
use rand::seq::SliceRandom;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use self::file::read_sentences;
pub use self::found::{
    AREA, ConceptDetection, Detected, LEAST_MEAN, LOG_RATIO, MethodDetection, log_ratio,
};
use self::method::Ready;
pub use self::method::{Candidates, Signed};
use self::run::{Peaks, Reader};
pub use self::sentences::{
    ConceptSentences, ConceptTokens, SentenceDraw, TokenSentence, draw_neutral,
};
use crate::strength::Sign;

/// How a token's activity is compared with a direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Agreement {
    /// Their cosine
    #[default]
    Cosine,
    /// Their correlation over units: the cosine after each lost its mean
    Pearson,
}

/// Hyperparameters of concept detection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Detect {
    /// How a token is compared with a direction
    #[arg(long, value_enum, default_value_t)]
    pub agreement: Agreement,
    /// Share of a concept's sentences on which its feature is chosen, above 0, below 1
    #[arg(long, value_name = "SHARE", default_value_t = Detect::default().choose)]
    pub choose: f64,
    /// Let the difference of means compete, formed on the sentences to choose on
    #[arg(long)]
    pub diff_means: bool,
    /// Random directions that compete like features, as a control; 0 is none
    #[arg(long, value_name = "DIRECTIONS", default_value_t = Detect::default().controls)]
    pub controls: usize,
    /// Resamples of the intervals, 1 or more
    #[arg(long, default_value_t = Detect::default().resamples)]
    pub resamples: usize,
    /// Seed of the split, of the controls and of the resamples
    #[arg(skip)]
    pub seed: u64,
}

impl Default for Detect {
    fn default() -> Self {
        Self {
            agreement: Agreement::Cosine,
            choose: 0.5,
            diff_means: false,
            controls: 100,
            resamples: 500,
            seed: 0,
        }
    }
}

impl Detect {
    /// # Errors
    /// A value outside its range.
    pub fn validate(&self) -> Result<()> {
        if !(self.choose > 0.0 && self.choose < 1.0) {
            return Err(Error::setting("choose", self.choose, "above 0, below 1"));
        }
        if self.resamples == 0 {
            return Err(Error::setting("resamples", 0, "1 or more"));
        }
        Ok(())
    }
}

/// How well each of `methods` tells each of `concepts` on `network`.
///
/// One run of the sentences serves all methods at all sites.
///
/// # Errors
/// A setting outside its range, no method or concept, a concept with too few sentences, a method
/// that does not fit the network, or a run that the network refuses.
pub fn detect(
    network: &dyn LanguageNetwork,
    concepts: &[ConceptTokens],
    methods: &[Candidates],
    settings: &Detect,
    progress: &Progress,
) -> Result<Detected> {
    settings.validate()?;
    for (what, count) in
        [("the list of methods", methods.len()), ("the list of concepts", concepts.len())]
    {
        if count == 0 {
            let expected = "at least one entry".to_owned();
            return Err(Error::Empty { what: what.to_owned(), expected });
        }
    }
    let controls = if settings.controls > 0 { controls(methods, settings) } else { Vec::new() };
    let all: Vec<&Candidates> = methods.iter().chain(&controls).collect();
    for method in &all {
        for signed in method.given.values() {
            method.check(signed.feature)?;
        }
    }
    let means = if settings.diff_means { mean_sites(network, methods) } else { Vec::new() };
    let reader = Reader::new(network, &all, &means)?;
    let ready: Vec<Ready> = all.iter().map(|method| method.ready(settings.agreement)).collect();
    let bootstrap = Bootstrap { resamples: settings.resamples, level: 0.95, seed: settings.seed };
    let stage = progress.stage("detect", concepts.len() as u64, "concepts");
    let mut found: Vec<Vec<ConceptDetection>> = vec![Vec::new(); all.len() + means.len()];
    for (number, concept) in concepts.iter().enumerate() {
        progress.check(|| format!("{number} concepts"))?;
        let choosing = !means.is_empty()
            || methods.iter().any(|method| !method.given.contains_key(&concept.concept));
        let [choose, score] = halves(concept, choosing, number as u64, settings)?;
        let (mut chosen, mut directions) = (Vec::new(), Vec::new());
        if choosing {
            let read = reader.peaks(&choose, &all, &ready, &means)?;
            directions = read.means;
            chosen = read.peaks.par_iter().map(|peaks| best(peaks, choose.activating)).collect();
        }
        let mut single = Vec::with_capacity(all.len());
        let mut picked = Vec::with_capacity(all.len());
        for (place, method) in all.iter().enumerate() {
            let pick = match method.given.get(&concept.concept) {
                Some(&signed) => (signed, None),
                // Beside features that were not chosen stands a direction that was not either.
                None if method.control && !choosing => {
                    let feature = number % method.directions.nrows();
                    (Signed { feature, sign: Sign::Plus }, None)
                }
                None => chosen.get(place).copied().flatten().ok_or_else(|| {
                    let found = format!("{} without a direction of any length", method.name);
                    Error::setting("features", found, "at least one feature that is not dead")
                })?,
            };
            single.push(method.ready_one(pick.0.feature, settings.agreement));
            picked.push(pick);
        }
        let mean_sites: Vec<Candidates> = means
            .iter()
            .zip(&directions)
            .map(|(site, direction)| mean_candidate(site, direction))
            .collect();
        single.extend(mean_sites.iter().map(|method| method.ready_one(0, settings.agreement)));
        let scored: Vec<&Candidates> = all.iter().copied().chain(&mean_sites).collect();
        let read = reader.peaks(&score, &scored, &single, &[])?;
        for (place, peaks) in read.peaks.iter().enumerate() {
            let (feature, auroc) = match picked.get(place) {
                Some(&(signed, auroc)) => (Some(signed), auroc),
                None => (None, None),
            };
            let sign = feature.map_or(Sign::Plus, |signed| signed.sign);
            let values = peaks.of(0, sign);
            let (with, without) = values.split_at(score.activating);
            found[place].push(ConceptDetection::new(
                &concept.concept,
                feature,
                auroc,
                with,
                without,
                &bootstrap,
            ));
        }
        stage.advance(1);
    }
    Ok(gathered(&all, &means, found, settings.agreement))
}

/// The results in the order: methods, differences of means, controls.
fn gathered(
    all: &[&Candidates],
    means: &[Site],
    found: Vec<Vec<ConceptDetection>>,
    agreement: Agreement,
) -> Detected {
    let named = all
        .iter()
        .map(|method| (method.name.as_str(), method.site(), method.control))
        .chain(means.iter().map(|site| (DIFF_MEANS, site.to_string(), false)));
    let mut methods: Vec<MethodDetection> = named
        .zip(found)
        .map(|((name, site, control), found)| MethodDetection::new(name, site, control, found))
        .collect();
    methods.sort_by_key(|method| method.control);
    Detected { agreement, methods }
}

/// The name of the difference of means in tables.
pub const DIFF_MEANS: &str = "diff-means";

fn mean_candidate(site: &Site, direction: &Array1<f32>) -> Candidates {
    let row = direction.clone().insert_axis(ndarray::Axis(0));
    Candidates::new(DIFF_MEANS, site.clone(), row)
}

/// Random directions for each set of units in use.
fn controls(methods: &[Candidates], settings: &Detect) -> Vec<Candidates> {
    let mut found: Vec<Candidates> = Vec::new();
    for method in methods {
        if found.iter().all(|other| other.sites != method.sites) {
            found.push(method.random(settings.controls, settings.seed));
        }
    }
    found
}

/// Where differences of means are taken: each method's site, and the MLP's output for its units.
fn mean_sites(network: &dyn LanguageNetwork, methods: &[Candidates]) -> Vec<Site> {
    let mut sites: Vec<Site> = Vec::new();
    for site in methods.iter().flat_map(|method| &method.sites).map(|part| &part.site) {
        let output = match (site.layer(), site.part()) {
            (Some(layer), "mlp.act") => Some(Site::new(format!("layers.{layer}.mlp.out"))),
            _ => None,
        };
        for site in std::iter::once(site.clone()).chain(output) {
            if network.sites().contains(&site) && !sites.contains(&site) {
                sites.push(site);
            }
        }
    }
    sites
}

/// Some sentences, those about the concept first.
struct Sentences<'a> {
    all: Vec<&'a TokenSentence>,
    activating: usize,
}

/// The sentences to choose on and those to score on; all are scored when nothing is chosen.
fn halves<'a>(
    concept: &'a ConceptTokens,
    choosing: bool,
    number: u64,
    settings: &Detect,
) -> Result<[Sentences<'a>; 2]> {
    let least = if choosing { 2 } else { 1 };
    let mut halves = [Vec::new(), Vec::new()];
    let mut activating = [0, 0];
    for (side, name, stream) in
        [(&concept.activating, "activating", 0), (&concept.neutral, "neutral", 1)]
    {
        if side.len() < least {
            return Err(Error::setting(
                "sentences",
                format!("{} {name} for `{}`", side.len(), concept.concept),
                format!("at least {least}"),
            ));
        }
        let mut order: Vec<usize> = (0..side.len()).collect();
        order.shuffle(&mut rng(settings.seed, 0xc405_0000 + 2 * number + stream));
        let count = if choosing {
            let wanted = (settings.choose * side.len() as f64).round() as usize;
            wanted.clamp(1, side.len() - 1)
        } else {
            0
        };
        for (half, places) in
            [&mut order[..count].to_vec(), &mut order[count..].to_vec()].into_iter().enumerate()
        {
            places.sort_unstable();
            halves[half].extend(places.iter().map(|&place| &side[place]));
            if name == "activating" {
                activating[half] = places.len();
            }
        }
    }
    let [choose, score] = halves;
    Ok([
        Sentences { all: choose, activating: activating[0] },
        Sentences { all: score, activating: activating[1] },
    ])
}

/// The direction and sign of greatest AUROC, equal ones by the gap of the means; `None` when all
/// directions have length 0.
fn best(peaks: &Peaks, activating: usize) -> Option<(Signed, Option<f64>)> {
    let labels: Vec<bool> = (0..peaks.sentences()).map(|at| at < activating).collect();
    let judged: Vec<(f64, f64, Signed)> = (0..peaks.directions())
        .into_par_iter()
        .filter(|&feature| !peaks.is_flat(feature))
        .flat_map_iter(|feature| {
            Sign::BOTH.map(|sign| {
                let values = peaks.of(feature, sign);
                let (with, without) = values.split_at(activating);
                let gap = found::side_mean(with) - found::side_mean(without);
                (auroc(&values, &labels), gap, Signed { feature, sign })
            })
        })
        .collect();
    let mut best: Option<(f64, f64, Signed)> = None;
    for one in judged {
        if best.is_none_or(|best| (one.0, one.1) > (best.0, best.1)) {
            best = Some(one);
        }
    }
    best.map(|(auroc, _, signed)| (signed, Some(auroc)))
}

/// The difference of means `[unit]` of two sums over tokens.
fn difference(sums: &[Array1<f64>; 2], tokens: [f64; 2]) -> Array1<f32> {
    let [with, without] = sums;
    let mut direction: Array1<f64> = with / tokens[0] - without / tokens[1];
    let length = direction.dot(&direction).sqrt();
    if length > 0.0 {
        direction /= length;
    }
    direction.mapv(|value| value as f32)
}

/// The difference of the mean token activity at `site`, of unit length: sentences about a concept
/// less neutral ones `[unit]`.
///
/// # Errors
/// No sentence of either kind, a site that the network lacks, or a run that it refuses.
pub fn diff_means(
    network: &dyn LanguageNetwork,
    site: &Site,
    concept: &ConceptTokens,
) -> Result<Vec<f32>> {
    let [_, all] = halves(concept, false, 0, &Detect::default())?;
    let sites = [site.clone()];
    let reader = Reader::new(network, &[], &sites)?;
    let read = reader.peaks(&all, &[], &[], &sites)?;
    Ok(read.means.into_iter().next().map(|mean| mean.to_vec()).unwrap_or_default())
}

/// Rows of a batch.
type Rows = Array2<f32>;
