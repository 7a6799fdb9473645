//! How good dictionaries are in their network: L0, FVU, and the loss with them in their sites' place.
//!
//! `recovered = (CE_zero − CE_replaced) / (CE_zero − CE_full)`: 1 where nothing is lost, 0 where the
//! dictionary is no better than a site of zeros.
//!
//! Source: Dunefsky, Chlenski, Nanda 2024, arXiv:2406.11944, §4.1; Gao et al. 2024, arXiv:2406.04093, §4.

use std::cell::RefCell;

use nissl_core::network::LanguageNetwork;
use nissl_core::taps::{Change, Edit, Selection, Taps};
use nissl_core::{Error, Progress, Result, SiteGlob};
use serde::{Deserialize, Serialize};

use super::measure::{Measured, Meter};
use super::pass::{Loss, Text};
use super::replacement::{ErrorTerm, Replacement, matrix};

/// Hyperparameters of the evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Evaluate {
    /// Positions at the beginning of each sequence that stay as they are and do not count; 0 takes all
    ///
    /// The first token has activity of an unusual size in most networks (the attention rests on it),
    /// and many dictionaries were trained without it.
    #[arg(long, value_name = "POSITIONS", default_value_t = Evaluate::default().first)]
    pub first: usize,
    /// What becomes of what a dictionary does not explain
    #[arg(skip)]
    pub error: ErrorTerm,
}

impl Default for Evaluate {
    fn default() -> Self {
        Self { first: 1, error: ErrorTerm::LeftOut }
    }
}

/// The figures of one dictionary, or of several that stand in their places together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluated {
    /// Each dictionary by itself, in the network as it is.
    pub dictionaries: Vec<Measured>,
    /// Tokens whose prediction counts.
    pub tokens: usize,
    /// Mean loss of the network as it is, in nats.
    pub full: f64,
    /// Mean loss with the dictionaries in their sites' place.
    pub replaced: f64,
    /// Mean loss with these sites at zero.
    pub zero: f64,
    /// `(zero − replaced) / (zero − full)`.
    pub recovered: f64,
}

impl Evaluated {
    fn of(dictionaries: Vec<Measured>, [full, replaced, zero]: [Loss; 3]) -> Self {
        let tokens = full.tokens;
        let [full, replaced, zero] = [full, replaced, zero].map(Loss::mean);
        let recovered = recovered(full, replaced, zero);
        Self { dictionaries, tokens, full, replaced, zero, recovered }
    }
}

/// The share of the loss between a site of zeros and the network as it is that is recovered; NaN where
/// zeros cost nothing.
pub(super) fn recovered(full: f64, replaced: f64, zero: f64) -> f64 {
    if (zero - full).abs() > 0.0 { (zero - replaced) / (zero - full) } else { f64::NAN }
}

/// Evaluates each of `sets` on token sequences `text` `[sequence][token]`; the replacements of a set
/// stand in their places together. Their `positions` and `error` are those of the settings.
///
/// # Errors
/// Replacements that do not fit, a text of single tokens, or activity that is not finite.
pub fn evaluate(
    network: &dyn LanguageNetwork,
    sets: &[Vec<Replacement<'_>>],
    text: &[Vec<u32>],
    settings: &Evaluate,
    progress: &Progress,
) -> Result<Vec<Evaluated>> {
    let text = Text::new(network, text, settings.first)?;
    let mut sets: Vec<Vec<Replacement<'_>>> = sets.to_vec();
    for one in sets.iter_mut().flatten() {
        one.positions = text.positions();
        one.error = settings.error;
    }
    if sets.is_empty() || sets.iter().any(Vec::is_empty) {
        let expected = "at least one dictionary".to_owned();
        return Err(Error::Empty { what: "the evaluation".to_owned(), expected });
    }
    let mut meters: Vec<Vec<Meter>> =
        sets.iter().map(|set| set.iter().map(|one| Meter::new(one.dictionary)).collect()).collect();
    let mut full = Loss::default();
    let mut others = vec![[Loss::default(); 2]; sets.len()];
    let stage = progress.stage("evaluate", text.rows.len() as u64, "sequences");
    for batch in text.rows.chunks(text.at_once) {
        progress.check(|| format!("{} tokens; nothing was written", full.tokens))?;
        full.add(measured(network, &text, batch, &sets, &mut meters)?);
        for (place, set) in sets.iter().enumerate() {
            let mut taps = Taps::none();
            for one in set {
                taps = one.tap(taps)?;
            }
            others[place][0].add(text.loss(network, batch, &mut taps)?);
            drop(taps);
            let outputs = |set: &[Replacement<'_>]| -> Vec<_> {
                set.iter().map(|one| one.sites.output.clone()).collect()
            };
            // Dictionaries of the same sites share the run with zeros.
            let same = (0..place).find(|&other| outputs(&sets[other]) == outputs(set));
            if same.is_none() {
                let mut taps = zeros(set, &text)?;
                others[place][1].add(text.loss(network, batch, &mut taps)?);
            }
        }
        stage.advance(batch.len() as u64);
    }
    let mut all: Vec<Evaluated> = Vec::with_capacity(sets.len());
    for ((set, meters), [replaced, zero]) in sets.iter().zip(&meters).zip(others) {
        let of = |(one, meter): (&Replacement<'_>, &Meter)| {
            meter.finish(one.sites.input.name(), one.sites.output.name())
        };
        let dictionaries: Vec<Measured> = set.iter().zip(meters).map(of).collect();
        let mut found = Evaluated::of(dictionaries, [full, replaced, zero]);
        if zero.tokens == 0 {
            let outputs = |one: &Evaluated| -> Vec<String> {
                one.dictionaries.iter().map(|one| one.output.clone()).collect()
            };
            let same = all.iter().find(|other| outputs(other) == outputs(&found));
            found.zero = same.map_or(f64::NAN, |other| other.zero);
            found.recovered = recovered(found.full, found.replaced, found.zero);
        }
        all.push(found);
    }
    Ok(all)
}

/// The loss of the network as it is; what the dictionaries would make of it goes to their meters.
fn measured(
    network: &dyn LanguageNetwork,
    text: &Text<'_>,
    batch: &[&[u32]],
    sets: &[Vec<Replacement<'_>>],
    meters: &mut [Vec<Meter>],
) -> Result<Loss> {
    let places = text.places(batch);
    let failed = RefCell::new(None);
    let meters: Vec<RefCell<&mut Meter>> = meters.iter_mut().flatten().map(RefCell::new).collect();
    let mut taps = Taps::none();
    for (one, meter) in sets.iter().flatten().zip(&meters) {
        let (places, failed) = (&places, &failed);
        taps = taps.substitute(one.sites.input.clone(), one.sites.output.clone(), move |passed| {
            let told = matrix(passed.input).and_then(|input| {
                let output = matrix(passed.output.clone())?;
                meter.borrow_mut().push(one.dictionary, &input, &output, places)
            });
            if let Err(error) = told {
                failed.borrow_mut().get_or_insert(error);
            }
            passed.output
        });
    }
    let loss = text.loss(network, batch, &mut taps)?;
    drop(taps);
    match failed.into_inner() {
        Some(error) => Err(error),
        None => Ok(loss),
    }
}

/// Taps that hold the sites that `set` rebuilds at zero.
fn zeros(set: &[Replacement<'_>], text: &Text<'_>) -> Result<Taps<'static>> {
    let mut taps = Taps::none();
    for one in set {
        let glob: SiteGlob = one.sites.output.name().parse()?;
        let selection = Selection { positions: text.positions(), ..Selection::default() };
        taps = taps.edit(Edit::new(glob, Change::Set(0.0)).on(selection));
    }
    Ok(taps)
}
