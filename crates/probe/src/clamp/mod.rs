//! Clamping: what a network says when units are held at a value.
//!
//! `h_i ← c` at a site (by default the MLP activity that enters the down projection), for `c` from
//! `−c_m` over 0, the zero-ablation, to `c_m`. At each value: the probability of a concept's tokens,
//! their best rank, the divergence from the plain distribution, the change of their logits beside the
//! linear prediction ([`HeldUnits`]), and texts by the same random numbers as the plain ones.
//! Controls are random units of the site with write vectors of about the same length at the same
//! values; a divergence can be given in the place of `c`.
//!
//! Source: Davies 2025, arXiv:2501.02688, clamping of feature neurons.
//! Memory: the logits of `samples` texts, and those of [`HeldUnits`].

mod control;
mod effect;
mod held;
mod reference;
mod settings;
mod unit;
mod words;

use nissl_core::network::{LanguageNetwork, Sampling, Tokenizer};
use nissl_core::taps::Taps;
use nissl_core::{Progress, Result};
use serde::{Deserialize, Serialize};

pub use control::control_units;
pub use effect::{Effect, Slope};
pub use held::{ClampedPositions, HeldRun, HeldUnits, write_vector};
pub use reference::{UnitRange, ranges_in_recording, ranges_in_texts};
pub use settings::Clamp;
pub use unit::{Unit, check_units};
pub use words::{TokenChoice, concept_tokens, mentions};

use crate::continuation::continue_prompt;
use crate::strength::Sign;
use effect::SlopeSums;

/// Beyond this multiple of the greatest observed magnitude a network is far from all it knows.
pub const FAR: f64 = 20.0;

/// What is clamped, and how its concept is told.
#[derive(Clone, Copy)]
pub struct Clamped<'a> {
    /// The units, all held at once.
    pub units: &'a [Unit],
    /// What each of them does by itself; needed for multiples.
    pub ranges: Option<&'a [UnitRange]>,
    /// The tokens of the concept.
    pub tokens: &'a [u32],
    /// How often the concept stands in a text, given its tokens.
    pub hits: &'a dyn Fn(&[u32]) -> usize,
}

/// What clamping did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClampReport {
    /// The units that were held.
    pub units: Vec<Unit>,
    /// The tokens of the concept.
    pub tokens: Vec<u32>,
    /// Their activity at the prompt's last position without a clamp `[unit]`.
    pub activity: Vec<f32>,
    /// What they do by themselves, where a reference was given.
    pub ranges: Option<Vec<UnitRange>>,
    /// The plain network.
    pub plain: Effect,
    /// Its texts.
    pub plain_texts: Texts,
    /// One point for each value, ascending; 0 is the zero-ablation.
    pub curve: Vec<ClampPoint>,
    /// One for each sign and divergence, plus first.
    pub matched: Vec<MatchedPoint>,
    /// The linear prediction against what was measured, over the curve and all tokens.
    pub slope: Option<Slope>,
    /// Other units at the values of the curve.
    pub controls: Vec<ControlUnits>,
}

/// The texts of one clamp.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Texts {
    /// The texts `[sample][token]`.
    pub texts: Vec<Vec<u32>>,
    /// How often the concept stands in each `[sample]`.
    pub hits: Vec<usize>,
}

impl Texts {
    /// The number of texts that speak of the concept.
    pub fn mentioning(&self) -> usize {
        self.hits.iter().filter(|&&hits| hits > 0).count()
    }
}

/// One value of a clamp.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClampPoint {
    /// The value, or the multiple of what is one for each unit.
    pub strength: f64,
    /// The value of each unit `[unit]`.
    pub values: Vec<f32>,
    /// Whether a value is beyond 20 times what the reference shows.
    pub far: bool,
    /// What it does to the next token.
    pub effect: Effect,
    /// The predicted change of each of the concept's logits `[token]`.
    pub predicted: Option<Vec<f64>>,
    /// What is written.
    pub texts: Texts,
}

/// The value that reaches a divergence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MatchedPoint {
    /// The side.
    pub sign: Sign,
    /// The wanted divergence, in nats.
    pub target: f64,
    /// The divergence reached, or the nearest one met.
    pub divergence: f64,
    /// The clamp that reaches it; `None` when no value does.
    pub point: Option<ClampPoint>,
}

/// Units clamped in the place of those of interest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ControlUnits {
    /// The units, one for each of those of interest.
    pub units: Vec<Unit>,
    /// What they do at each value of the curve.
    pub effects: Vec<Effect>,
}

impl ClampReport {
    /// The point at which all units are set to 0.
    pub fn ablation(&self) -> Option<&ClampPoint> {
        self.curve.iter().find(|point| point.strength == 0.0)
    }

    /// The mean over the controls of the magnitude by which point `at` of the curve moves the
    /// logarithm of the concept's probability; NaN without controls.
    pub fn control_change(&self, at: usize) -> f64 {
        let before = self.plain.log_probability;
        let changes = self.controls.iter().filter_map(|control| control.effects.get(at));
        let sum: f64 = changes.map(|effect| (effect.log_probability - before).abs()).sum();
        sum / self.controls.len() as f64
    }
}

/// Clamps units of `network` after `prompt`, for every value and divergence of `settings`.
///
/// # Errors
/// A setting outside its range, units or tokens that the network has not, multiples without a
/// reference, or a run that the network refuses.
pub fn clamp(
    network: &dyn LanguageNetwork,
    prompt: &[u32],
    target: Clamped<'_>,
    settings: &Clamp,
    progress: &Progress,
) -> Result<ClampReport> {
    settings.validate()?;
    check_units(network, target.units)?;
    let bases = settings.bases(target.units.len(), target.ranges)?;
    let held = HeldUnits::new(network, target.units, prompt, settings.positions)?;
    let measure = effect::Measure::new(target.tokens, &held.plain().logits)?;
    let stop = network.tokenizer().ok().and_then(Tokenizer::end);
    let ends = network.tokenizer().map(Tokenizer::answer_ends).unwrap_or_default();
    let sampling = settings.sampling(stop);
    let writer = Writer { network, prompt, target, settings, sampling, ends };
    let (strengths, matching) = (settings.strengths(), settings.matching());
    let sought = matching.as_ref().map_or(0, |matching| 2 * matching.targets.len());
    let points = strengths.len() + sought + settings.controls;
    let stage = progress.stage("clamp", points as u64, "points");
    let at =
        |strength: f64| -> Vec<f32> { bases.iter().map(|base| (base * strength) as f32).collect() };
    let mut sums = SlopeSums::default();
    let mut point = |strength: f64, run: &HeldRun| -> Result<ClampPoint> {
        progress.check(|| "some clamped points".to_owned())?;
        let values = at(strength);
        let predicted = held.predicted(run);
        if let Some(predicted) = &predicted {
            let frozen = held.with_frozen_norm(run)?;
            sums.push(predicted, frozen.as_deref(), &run.logits, &held.plain().logits);
        }
        let far = is_far(&values, target.ranges);
        let texts = writer.write(&mut held.taps(&values)?)?;
        stage.advance(1);
        Ok(ClampPoint {
            strength,
            values,
            far,
            effect: measure.of(&run.logits),
            predicted: predicted.map(|all| measure.pick(&all)),
            texts,
        })
    };
    let values: Vec<Vec<f32>> = strengths.iter().map(|&strength| at(strength)).collect();
    let mut curve = Vec::with_capacity(strengths.len());
    for (&strength, run) in strengths.iter().zip(&held.runs(&values)?) {
        curve.push(point(strength, run)?);
    }
    let mut matched = Vec::new();
    if let Some(matching) = matching {
        let divergences = |strengths: &[f64]| -> Result<Vec<f64>> {
            let values: Vec<Vec<f32>> = strengths.iter().map(|&strength| at(strength)).collect();
            Ok(held.runs(&values)?.iter().map(|run| measure.divergence(&run.logits)).collect())
        };
        for found in matching.matched_by(divergences)? {
            let signed = found.strength.map(|strength| f64::from(found.sign.factor()) * strength);
            let reached = match signed {
                None => None,
                Some(signed) => {
                    let runs = held.runs(&[at(signed)])?;
                    runs.first().map(|run| point(signed, run)).transpose()?
                }
            };
            let (sign, target, divergence) = (found.sign, found.target, found.divergence);
            matched.push(MatchedPoint { sign, target, divergence, point: reached });
        }
    }
    let mut controls = Vec::with_capacity(settings.controls);
    for units in control_units(network, target.units, settings.controls, settings.seed)? {
        progress.check(|| format!("{} controls", controls.len()))?;
        let other = HeldUnits::new(network, &units, prompt, settings.positions)?;
        let effects = other.runs(&values)?.iter().map(|run| measure.of(&run.logits)).collect();
        controls.push(ControlUnits { units, effects });
        stage.advance(1);
    }
    if curve.iter().any(|point| point.far) {
        tracing::warn!("some values are beyond {FAR} times what the reference shows of the units");
    }
    Ok(ClampReport {
        units: target.units.to_vec(),
        tokens: target.tokens.to_vec(),
        activity: held.plain().activity.clone(),
        ranges: target.ranges.map(<[_]>::to_vec),
        plain: measure.of(&held.plain().logits),
        plain_texts: writer.write(&mut Taps::none())?,
        curve,
        matched,
        slope: sums.slope(),
        controls,
    })
}

/// Writes texts under a clamp, by the same random numbers every time.
struct Writer<'a> {
    network: &'a dyn LanguageNetwork,
    prompt: &'a [u32],
    target: Clamped<'a>,
    settings: &'a Clamp,
    sampling: Sampling,
    ends: Vec<u32>,
}

impl Writer<'_> {
    fn write(&self, taps: &mut Taps<'_>) -> Result<Texts> {
        let count = self.settings.samples;
        if count == 0 {
            return Ok(Texts::default());
        }
        let mut texts = continue_prompt(self.network, self.prompt, count, &self.sampling, taps)?;
        // An answer may end by other tokens than a text.
        for text in &mut texts {
            let end = text.iter().position(|token| self.ends.contains(token));
            text.truncate(end.unwrap_or(text.len()));
        }
        let hits = texts.iter().map(|text| (self.target.hits)(text)).collect();
        Ok(Texts { texts, hits })
    }
}

/// Whether a value is beyond what the reference shows of its unit, by far.
fn is_far(values: &[f32], ranges: Option<&[UnitRange]>) -> bool {
    let ranges = ranges.unwrap_or_default();
    values.iter().zip(ranges).any(|(value, range)| f64::from(value.abs()) > FAR * range.magnitude())
}
