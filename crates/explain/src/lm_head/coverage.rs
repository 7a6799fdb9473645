//! What a whole map looks like: how many units are specialised, on what, and how sure.
//!
//! A token that comes first for many units and has an unusually short or long vector is most likely
//! one that the model hardly saw while it was trained ("glitch tokens").
//!
//! Memory: the counts of distinct tokens.

use std::collections::{BTreeMap, BTreeSet};

use nissl_core::Result;
use nissl_core::network::Part;
use serde::Serialize;

use super::{Class, Decoded, LmHead, Sign};

/// The thresholds at which specialised units are counted.
pub const TAUS: [f32; 3] = [0.1, 0.5, 0.9];
/// Bins of entropy histograms.
const BINS: usize = 20;
/// Common tokens listed.
const LISTED: usize = 20;

/// What a map looks like.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Coverage {
    /// By layer, part and sign, in this order.
    pub layers: Vec<LayerCoverage>,
    /// The most frequent first tokens, at most 20; equal ones by number.
    pub common: Vec<CommonToken>,
    /// Neurons by class, where reading and writing parts were decoded.
    pub classes: BTreeMap<Class, u64>,
    /// Units that are not finite.
    pub not_finite: u64,
}

/// What one part of one layer looks like.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerCoverage {
    /// The layer.
    pub layer: u32,
    /// The part.
    pub part: Part,
    /// The sign.
    pub sign: Sign,
    /// Its units.
    pub units: u64,
    /// Units specialised as the settings say.
    pub special: u64,
    /// Share of units whose greatest probability reaches each of [`TAUS`].
    pub shares: [f64; 3],
    /// Distinct first tokens.
    pub distinct: u64,
    /// Units by entropy, in 20 equal bins from 0 to `log V`.
    pub entropies: Vec<u64>,
}

/// A first token of many units.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CommonToken {
    /// The token.
    pub token: u32,
    /// Units (and signs) of which it is the first.
    pub units: u64,
    /// Their share of all.
    pub share: f64,
    /// Share of tokens with a shorter vector.
    pub length_percentile: f32,
}

/// The coverage of decoded units, over a head of `tokens` tokens that take part.
///
/// # Errors
/// What reading the units gives.
pub fn coverage(
    units: impl IntoIterator<Item = Result<Vec<Decoded>>>,
    tokens: usize,
    settings: &LmHead,
) -> Result<Coverage> {
    let most = (tokens.max(2) as f32).ln();
    let mut layers: BTreeMap<(u32, Part, Sign), (LayerCoverage, BTreeSet<u32>)> = BTreeMap::new();
    let mut firsts: BTreeMap<u32, (u64, f32)> = BTreeMap::new();
    let mut found = Coverage::default();
    let (mut all, mut classed) = (0u64, BTreeSet::new());
    for group in units {
        for one in group? {
            let Some(first) = one.first() else {
                found.not_finite += 1;
                continue;
            };
            all += 1;
            let entry = layers.entry((one.layer, one.part, one.sign)).or_insert_with(|| {
                let (layer, part, sign) = (one.layer, one.part, one.sign);
                let entropies = vec![0; BINS];
                let zero = LayerCoverage {
                    layer,
                    part,
                    sign,
                    units: 0,
                    special: 0,
                    shares: [0.0; 3],
                    distinct: 0,
                    entropies,
                };
                (zero, BTreeSet::new())
            });
            let (layer, distinct) = entry;
            layer.units += 1;
            layer.special += u64::from(settings.is_special(one.probability(), one.z));
            for (share, tau) in layer.shares.iter_mut().zip(TAUS) {
                *share += f64::from(u8::from(one.probability() >= tau));
            }
            distinct.insert(first);
            let bin = (one.entropy / most * BINS as f32) as usize;
            layer.entropies[bin.min(BINS - 1)] += 1;
            let counted = firsts.entry(first).or_insert((0, one.length_percentile));
            counted.0 += 1;
            if let Some(class) = one.class
                && classed.insert((one.layer, one.unit))
            {
                *found.classes.entry(class).or_default() += 1;
            }
        }
    }
    found.layers = layers
        .into_values()
        .map(|(mut layer, distinct)| {
            layer.shares = layer.shares.map(|count| count / layer.units as f64);
            layer.distinct = distinct.len() as u64;
            layer
        })
        .collect();
    let mut common: Vec<CommonToken> = firsts
        .into_iter()
        .map(|(token, (units, length_percentile))| CommonToken {
            token,
            units,
            share: units as f64 / all as f64,
            length_percentile,
        })
        .collect();
    common.sort_by(|a, b| b.units.cmp(&a.units).then(a.token.cmp(&b.token)));
    common.truncate(LISTED);
    found.common = common;
    Ok(found)
}
