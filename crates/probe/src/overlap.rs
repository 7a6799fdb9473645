//! Neurons that features share, and what their common and their own neurons do.
//!
//! `B = 1[Z ≠ 0]`, `M = Bᵀ B` counts shared neurons. Of some features (siblings) the core is the
//! neurons in all of them, exclusive to one are those in it and in no sibling. An intervention adds
//! `α` to exactly the neurons of one group, with the feature's signs, at every position of a prompt,
//! and reads how the logits of the siblings' words change after its last token. Beside each group
//! stand random groups of as many other neurons, with random signs.
//!
//! Source: Shafran, Geiger, Geva 2025, arXiv:2506.10920, §5.
//! Differs: signs of the core by majority over the features; `α` matched by divergence unless given.
//! Memory: the directions of the siblings, and the logits of a prompt.

use ndarray::{ArrayView2, Axis};
use nissl_core::features::{Groups, groups, shared_units};
use nissl_core::network::LanguageNetwork;
use nissl_core::seed::rng;
use nissl_core::{Error, Progress, Result, Site};
use rand::RngExt;
use rand::seq::index;
use serde::{Deserialize, Serialize};

use crate::strength::{Response, StrengthMatch};

/// Hyperparameters of the intervention on groups of neurons.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Intervene {
    /// What is added to each neuron of a group, not 0; without it the strength at which the core
    /// moves the next token by `kl`
    #[arg(long, value_name = "ALPHA", allow_negative_numbers = true)]
    pub strength: Option<f64>,
    /// Divergence from the plain next-token distribution that sets the strength, in nats, above 0
    #[arg(long, value_name = "NATS", default_value_t = Intervene::default().kl)]
    pub kl: f64,
    /// Random groups beside each group, as a control
    #[arg(long, value_name = "GROUPS", default_value_t = Intervene::default().controls)]
    pub controls: usize,
    /// Seed of the random groups
    #[arg(skip)]
    pub seed: u64,
}

impl Default for Intervene {
    fn default() -> Self {
        Self { strength: None, kl: 0.25, controls: 10, seed: 0 }
    }
}

impl Intervene {
    /// # Errors
    /// A value outside its range.
    pub fn validate(&self) -> Result<()> {
        if let Some(strength) = self.strength.filter(|a| !(a.is_finite() && *a != 0.0)) {
            return Err(Error::setting("strength", strength, "a number that is not 0"));
        }
        if !(self.kl > 0.0 && self.kl.is_finite()) {
            return Err(Error::setting("kl", self.kl, "above 0 nats"));
        }
        Ok(())
    }
}

/// Two features that share neurons.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SharedPair {
    /// The one.
    pub feature: usize,
    /// The other, of greater number.
    pub other: usize,
    /// Neurons in both.
    pub shared: u32,
    /// Neurons in both if each had drawn its own by chance, `|a| |b| / d`.
    pub expected: f64,
}

/// The `most` pairs of features that share most neurons beyond chance, from the directions `decoder`
/// `[feature, unit]`; equal ones by number.
pub fn shared_pairs(decoder: ArrayView2<'_, f32>, most: usize) -> Vec<SharedPair> {
    let counts = shared_units(decoder);
    let units = decoder.ncols().max(1) as f64;
    let mut pairs = Vec::new();
    for feature in 0..decoder.nrows() {
        for other in feature + 1..decoder.nrows() {
            let shared = counts[[feature, other]];
            let sizes = [counts[[feature, feature]], counts[[other, other]]].map(f64::from);
            let expected = sizes[0] * sizes[1] / units;
            if shared > 0 && f64::from(shared) > expected {
                pairs.push(SharedPair { feature, other, shared, expected });
            }
        }
    }
    let gain = |pair: &SharedPair| f64::from(pair.shared) - pair.expected;
    pairs.sort_by(|a, b| {
        gain(b).total_cmp(&gain(a)).then((a.feature, a.other).cmp(&(b.feature, b.other)))
    });
    pairs.truncate(most);
    pairs
}

/// Who has which neurons among some features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Overlap {
    /// The features.
    pub features: Vec<usize>,
    /// Neurons that each pair shares `[feature, feature]`; the diagonal is the size of each.
    pub shared: Vec<Vec<u32>>,
    /// Neurons in all of them.
    pub core: Vec<u32>,
    /// Neurons in one and no other `[feature]`.
    pub exclusive: Vec<Vec<u32>>,
}

/// The overlap of the features numbered `features` of `decoder` `[feature, unit]`.
///
/// # Errors
/// A feature that does not exist or is named twice.
pub fn overlap(decoder: ArrayView2<'_, f32>, features: &[usize]) -> Result<Overlap> {
    for (place, &feature) in features.iter().enumerate() {
        let last = decoder.nrows().saturating_sub(1);
        if feature > last {
            return Err(Error::setting("features", feature, format!("0 to {last}")));
        }
        if features[..place].contains(&feature) {
            return Err(Error::setting("features", format!("{feature} twice"), "each once"));
        }
    }
    let Groups { core, exclusive } = groups(decoder, features);
    let shared = shared_units(decoder.select(Axis(0), features).view());
    let shared = shared.rows().into_iter().map(|row| row.to_vec()).collect();
    Ok(Overlap { features: features.to_vec(), shared, core, exclusive })
}

/// What an intervention on the groups of some features did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Intervened {
    /// The features.
    pub features: Vec<usize>,
    /// What was added to each neuron.
    pub strength: f64,
    /// Neurons of the core whose sign is not the same in all features.
    pub disagreeing: usize,
    /// The core first, then the exclusive neurons of each feature.
    pub groups: Vec<GroupEffect>,
}

/// What one group of neurons does to the words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupEffect {
    /// The feature whose own neurons these are; `None` for the core.
    pub feature: Option<usize>,
    /// Its neurons, as places in the site.
    pub units: Vec<u32>,
    /// How much the logit of each word rises, mean over the prompts `[word]`; NaN without neurons.
    pub change: Vec<f64>,
    /// The same for random groups of that size, their mean `[word]`; NaN without controls.
    pub control: Vec<f64>,
    /// The standard deviation over random groups `[word]`.
    pub control_deviation: Vec<f64>,
}

impl GroupEffect {
    /// The word whose logit rises most; `None` without neurons.
    pub fn most_raised(&self) -> Option<usize> {
        let words = (0..self.change.len()).filter(|&word| self.change[word].is_finite());
        words.rev().max_by(|&a, &b| self.change[a].total_cmp(&self.change[b]))
    }
}

/// A group with the sign of each of its neurons.
struct SignedGroup {
    feature: Option<usize>,
    units: Vec<u32>,
    signs: Vec<f32>,
}

/// Prompts and the words whose logits are read after them.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a> {
    /// Tokens of each prompt `[prompt][token]`.
    pub prompts: &'a [Vec<u32>],
    /// One token for each word.
    pub tokens: &'a [u32],
}

/// Adds to the core and to the exclusive neurons of `features`, whose `directions`
/// `[feature, unit]` cover all units of `site`, and reads the words.
///
/// # Errors
/// A setting outside its range, fewer than two features, no prompt or word, features without a
/// neuron of their own or in common, a strength that cannot be matched, or a run that the network
/// refuses.
pub fn intervene(
    network: &dyn LanguageNetwork,
    site: &Site,
    (features, directions): (&[usize], ArrayView2<'_, f32>),
    words: Words<'_>,
    settings: &Intervene,
    progress: &Progress,
) -> Result<Intervened> {
    settings.validate()?;
    if features.len() < 2 {
        return Err(Error::setting("features", features.len(), "two siblings or more"));
    }
    for (what, count) in
        [("the list of prompts", words.prompts.len()), ("the list of words", words.tokens.len())]
    {
        if count == 0 {
            let expected = "at least one".to_owned();
            return Err(Error::Empty { what: what.to_owned(), expected });
        }
    }
    if let Some(token) = words.tokens.iter().find(|&&token| token as usize >= network.vocabulary())
    {
        let expected = format!("below {}, the network's vocabulary", network.vocabulary());
        return Err(Error::setting("token", token, expected));
    }
    let (groups, disagreeing) = signed_groups(features, directions);
    let strength = match settings.strength {
        Some(strength) => strength,
        None => matched(network, site, directions.ncols(), &groups, words, settings)?,
    };
    let taken: Vec<bool> =
        directions.columns().into_iter().map(|unit| unit.iter().any(|&z| z != 0.0)).collect();
    let stage = progress.stage("intervene", groups.len() as u64, "groups");
    let mut effects = Vec::with_capacity(groups.len());
    for (number, group) in groups.into_iter().enumerate() {
        let mut controls: Vec<Vec<f64>> = Vec::with_capacity(settings.controls);
        let change = change(network, site, directions.ncols(), &group, words, strength)?;
        for draw in 0..settings.controls {
            progress.check(|| format!("{number} groups"))?;
            let stream = (number as u64) << 32 | draw as u64;
            let random = random_group(&group, &taken, settings.seed, stream);
            let width = directions.ncols();
            controls.push(self::change(network, site, width, &random, words, strength)?);
        }
        let over = |of: &dyn Fn(&[f64]) -> f64| -> Vec<f64> {
            (0..words.tokens.len())
                .map(|word| of(&controls.iter().map(|row| row[word]).collect::<Vec<_>>()))
                .collect()
        };
        effects.push(GroupEffect {
            feature: group.feature,
            units: group.units,
            change,
            control: over(&mean),
            control_deviation: over(&deviation),
        });
        stage.advance(1);
    }
    Ok(Intervened { features: features.to_vec(), strength, disagreeing, groups: effects })
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn deviation(values: &[f64]) -> f64 {
    let mean = mean(values);
    let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
    if values.len() > 1 { (squares / (values.len() - 1) as f64).sqrt() } else { f64::NAN }
}

/// Core and exclusive groups with their signs, and how many units of the core disagree in sign.
fn signed_groups(features: &[usize], directions: ArrayView2<'_, f32>) -> (Vec<SignedGroup>, usize) {
    let all: Vec<usize> = (0..features.len()).collect();
    let Groups { core, exclusive } = groups(directions, &all);
    let mut disagreeing = 0;
    let signs = core
        .iter()
        .map(|&unit| {
            let column = directions.column(unit as usize);
            let plus = column.iter().filter(|&&z| z > 0.0).count();
            disagreeing += usize::from(plus != 0 && plus != features.len());
            // A tie goes to the stronger side.
            let sum = column.iter().map(|&z| f64::from(z)).sum::<f64>();
            match (2 * plus).cmp(&features.len()) {
                std::cmp::Ordering::Greater => 1.0,
                std::cmp::Ordering::Equal if sum >= 0.0 => 1.0,
                _ => -1.0,
            }
        })
        .collect();
    let mut found = vec![SignedGroup { feature: None, units: core, signs }];
    for (place, units) in exclusive.into_iter().enumerate() {
        let sign = |&unit: &u32| directions[[place, unit as usize]].signum();
        let signs = units.iter().map(sign).collect();
        found.push(SignedGroup { feature: Some(features[place]), units, signs });
    }
    (found, disagreeing)
}

/// As many units in no feature as the group has, or in no case its own, with random signs.
fn random_group(group: &SignedGroup, taken: &[bool], seed: u64, stream: u64) -> SignedGroup {
    let mut rng = rng(seed, 0x6e0_0000_0000_0000 | stream);
    let wanted = group.units.len();
    let mut pool: Vec<u32> = (0..taken.len() as u32).filter(|&u| !taken[u as usize]).collect();
    if pool.len() < wanted {
        pool = (0..taken.len() as u32).filter(|unit| !group.units.contains(unit)).collect();
    }
    let drawn = index::sample(&mut rng, pool.len(), wanted.min(pool.len()));
    let mut units: Vec<u32> = drawn.iter().map(|place| pool[place]).collect();
    units.sort_unstable();
    let signs = units.iter().map(|_| if rng.random::<bool>() { 1.0 } else { -1.0 }).collect();
    SignedGroup { feature: group.feature, units, signs }
}

fn direction(width: usize, group: &SignedGroup) -> Vec<f32> {
    let mut direction = vec![0.0; width];
    for (&unit, &sign) in group.units.iter().zip(&group.signs) {
        direction[unit as usize] = sign;
    }
    direction
}

/// What adding `strength` to each unit of a group does to each word, mean over the prompts.
fn change(
    network: &dyn LanguageNetwork,
    site: &Site,
    width: usize,
    group: &SignedGroup,
    words: Words<'_>,
    strength: f64,
) -> Result<Vec<f64>> {
    if group.units.is_empty() {
        return Ok(vec![f64::NAN; words.tokens.len()]);
    }
    let direction = direction(width, group);
    // A response is to a direction of unit length.
    let along = strength * (group.units.len() as f64).sqrt();
    let mut sums = vec![0.0; words.tokens.len()];
    for prompt in words.prompts {
        let change = Response::new(network, site, &direction, prompt)?.logit_change(along)?;
        for (sum, &token) in sums.iter_mut().zip(words.tokens) {
            *sum += f64::from(change[token as usize]) / words.prompts.len() as f64;
        }
    }
    Ok(sums)
}

/// What to add to each neuron so that the core, or the first group with neurons, moves the next token
/// after the first prompt by the wanted divergence.
fn matched(
    network: &dyn LanguageNetwork,
    site: &Site,
    width: usize,
    groups: &[SignedGroup],
    words: Words<'_>,
    settings: &Intervene,
) -> Result<f64> {
    let Some(group) = groups.iter().find(|group| !group.units.is_empty()) else {
        return Err(Error::Empty {
            what: "the core and every exclusive group of these features".to_owned(),
            expected: "sparse features; those of snmf keep few neurons each".to_owned(),
        });
    };
    let direction = direction(width, group);
    let wanted = StrengthMatch { targets: vec![settings.kl], ..StrengthMatch::default() };
    let response = Response::new(network, site, &direction, &words.prompts[0])?;
    let found = response.match_strengths(&wanted)?.into_iter().next();
    let strength = found.and_then(|found| found.strength).ok_or_else(|| {
        let found = format!("{} nats, which no strength reaches", settings.kl);
        Error::setting("kl", found, "a divergence within reach, or a strength of your own")
    })?;
    Ok(strength / (group.units.len() as f64).sqrt())
}
