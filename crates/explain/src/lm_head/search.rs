//! Search by concept: the units whose vectors favour a set of tokens.
//!
//! By probability `Σ_{t∈T} p_t`, which needs the normaliser and so all tokens; or by the greatest
//! z-score `(ℓ_t − mean) / deviation` over `T`, for which mean and deviation are had in closed form
//! and `2 · units · d · |T|` operations suffice.
//!
//! Source: Davies 2025, arXiv:2501.02688; the closed form is ours.
//! Memory: a block of units, the vectors of `T`, and the covariance of the head's rows.

use std::collections::BTreeMap;

use nissl_core::network::{Part, ResidualWeights};
use nissl_core::{Error, Progress, Result};
use nissl_kernels::LogitScan;
use nissl_kernels::gemm::{MatRef, matmul};
use serde::{Deserialize, Serialize};

use super::moments::HeadMoments;
use super::projection::{Block, Projection};
use super::{Decoded, HeadMap, LmHead, Sign, SignChoice};

/// By what units are ranked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// Standard deviations of the best token's logit above the mean over tokens
    #[default]
    Z,
    /// The sum of the tokens' probabilities
    Probability,
}

/// Hyperparameters of a search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Search {
    /// By what units are ranked; probabilities need a pass over all tokens
    #[arg(long, value_enum, default_value_t = Search::default().by)]
    pub by: By,
    /// Units listed, 1 or more
    #[arg(long, default_value_t = Search::default().hits)]
    pub hits: usize,
}

impl Default for Search {
    fn default() -> Self {
        Self { by: By::Z, hits: 20 }
    }
}

/// A unit that a search found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Hit {
    /// The layer.
    pub layer: u32,
    /// Which of its matrices.
    pub part: Part,
    /// The unit within the part.
    pub unit: u32,
    /// The sign of its vector.
    pub sign: Sign,
    /// What it is ranked by.
    pub score: f64,
    /// The token of the set with the greatest logit.
    pub token: u32,
    /// That logit.
    pub logit: f32,
    /// Its z-score.
    pub z: f64,
    /// The sum of the probabilities of all tokens of the set; `None` when ranked by z.
    pub probability: Option<f64>,
}

/// The units that favour `tokens` most, best first; equal ones in order of layer, part and unit.
///
/// # Errors
/// Tokens that do not take part, a setting outside its range, an interruption, or files that cannot
/// be read.
pub fn search(
    weights: &dyn ResidualWeights,
    settings: &LmHead,
    tokens: &[u32],
    search: &Search,
    progress: &Progress,
) -> Result<Vec<Hit>> {
    find(weights, settings, tokens, search, None, progress)
}

/// The same by the normalisers of a stored map, so that probabilities need no pass over all tokens;
/// with a two-stage map they are estimates.
///
/// # Errors
/// As [`search`]; a map of another network, or one that is damaged.
pub fn search_map(
    weights: &dyn ResidualWeights,
    map: &HeadMap,
    tokens: &[u32],
    search: &Search,
    progress: &Progress,
) -> Result<Vec<Hit>> {
    let detail = &map.manifest().detail;
    if detail.vocabulary != weights.vocabulary() || detail.layers != weights.layers() {
        let found = format!("of {} tokens and {} layers", detail.vocabulary, detail.layers);
        let expected =
            format!("{} and {}, as {} has", weights.vocabulary(), weights.layers(), weights.id());
        return Err(Error::file(map.path(), "vocabulary", found, expected));
    }
    let mut normalisers = Normalisers::new();
    for group in map.units()? {
        let of = |one: Decoded| ((one.layer, one.part, one.unit, one.sign), one.log_sum_exp);
        normalisers.extend(group?.into_iter().map(of));
    }
    find(weights, map.settings(), tokens, search, Some(&normalisers), progress)
}

/// `log Σ exp ℓ` of units and signs.
type Normalisers = BTreeMap<(u32, Part, u32, Sign), f64>;

fn find(
    weights: &dyn ResidualWeights,
    settings: &LmHead,
    tokens: &[u32],
    search: &Search,
    normalisers: Option<&Normalisers>,
    progress: &Progress,
) -> Result<Vec<Hit>> {
    if search.hits == 0 {
        return Err(Error::setting("hits", 0, "1 or more"));
    }
    let projection = Projection::of(weights, settings, progress)?;
    let mut wanted = tokens.to_vec();
    wanted.sort_unstable();
    wanted.dedup();
    let outside = wanted.iter().find(|&&token| token as usize >= weights.vocabulary());
    if let Some(outside) = outside {
        let expected = format!("below {}, the head's rows", weights.vocabulary());
        return Err(Error::setting("token", outside, expected));
    }
    wanted.retain(|&token| projection.vocabulary.place(token).is_some());
    if wanted.is_empty() {
        return Err(Error::Empty {
            what: "the set of tokens that take part".to_owned(),
            expected: "one token or more (see --only, --first-tokens and --norm-floor)".to_owned(),
        });
    }
    let width = projection.width();
    let mut vectors = vec![0.0f32; wanted.len() * width];
    projection.vocabulary.read(weights, &wanted, &mut vectors)?;
    let moments = HeadMoments::quick(&projection, progress)?;
    let blocks = projection.blocks()?;
    let total = blocks.iter().map(|block| block.units.len() as u64).sum();
    let stage = progress.stage("search", total, "units");
    let mut means = BTreeMap::new();
    let mut best: Vec<Hit> = Vec::new();
    for (number, block) in blocks.iter().enumerate() {
        progress.check(|| format!("{number} of {} blocks", blocks.len()))?;
        let key = (block.layer, block.part);
        if let std::collections::btree_map::Entry::Vacant(entry) = means.entry(key) {
            entry.insert(projection.mean(block.layer, block.part, progress)?);
        }
        let rows = projection.rows(block, means[&key].as_deref())?;
        let looked =
            Looked { projection: &projection, block, rows: &rows, moments: &moments, normalisers };
        best.extend(looked.hits(&wanted, &vectors, search.by, progress)?);
        best.sort_by(|a, b| {
            let place = |hit: &Hit| (hit.layer, hit.part, hit.unit, hit.sign);
            b.score.total_cmp(&a.score).then_with(|| place(a).cmp(&place(b)))
        });
        best.truncate(search.hits);
        stage.advance(block.units.len() as u64);
    }
    Ok(best)
}

/// A block under search.
struct Looked<'a> {
    projection: &'a Projection<'a>,
    block: &'a Block,
    rows: &'a [f32],
    moments: &'a HeadMoments,
    normalisers: Option<&'a Normalisers>,
}

impl Looked<'_> {
    /// All units of the block, scored; those without finite numbers are left out.
    fn hits(
        &self,
        tokens: &[u32],
        vectors: &[f32],
        by: By,
        progress: &Progress,
    ) -> Result<Vec<Hit>> {
        let Self { projection, block, rows, moments, normalisers } = *self;
        let (width, units) = (projection.width(), block.units.len());
        let mut logits = vec![0.0f32; units * tokens.len()];
        let vectors = MatRef::row_major(vectors, tokens.len(), width).transposed();
        matmul(MatRef::row_major(rows, units, width), vectors, &mut logits);
        let signs: &[Sign] = match projection.settings.signs {
            SignChoice::Plus => &[Sign::Plus],
            SignChoice::Both => &[Sign::Plus, Sign::Minus],
        };
        let scans = if by == By::Probability && normalisers.is_none() {
            let mut scan = LogitScan::new(rows, width, 1, projection.settings.signs.signs());
            projection.vocabulary.tiles(projection.weights, progress, |tile, first| {
                scan.push(tile, first as u32);
                Ok(())
            })?;
            scan.finish()
        } else {
            Vec::new()
        };
        let normaliser = |at: usize, sign: Sign| match normalisers {
            _ if by == By::Z => None,
            Some(known) => {
                let key = (block.layer as u32, block.part, block.units[at] as u32, sign);
                known.get(&key).copied()
            }
            None if sign == Sign::Plus => Some(scans[at].plus.log_sum_exp),
            None => scans[at].minus.map(|softmax| softmax.log_sum_exp),
        };
        let mut hits = Vec::with_capacity(units * signs.len());
        for (at, (mean, deviation)) in moments.of_rows(rows).into_iter().enumerate() {
            let row = &logits[at * tokens.len()..(at + 1) * tokens.len()];
            if !row.iter().all(|logit| logit.is_finite()) || !deviation.is_finite() {
                continue;
            }
            for &sign in signs {
                let flip = if sign == Sign::Plus { 1.0f32 } else { -1.0 };
                let mut first = 0;
                for other in 1..row.len() {
                    if row[other] * flip > row[first] * flip {
                        first = other;
                    }
                }
                let logit = row[first] * flip;
                let above = f64::from(logit) - mean * f64::from(flip);
                let z = if deviation > 0.0 { above / deviation } else { 0.0 };
                let probability = normaliser(at, sign).map(|normaliser| {
                    let logits = row.iter().map(|&logit| f64::from(logit * flip));
                    logits.map(|logit| (logit - normaliser).exp()).sum::<f64>().min(1.0)
                });
                hits.push(Hit {
                    layer: block.layer as u32,
                    part: block.part,
                    unit: block.units[at] as u32,
                    sign,
                    score: probability.unwrap_or(z),
                    token: tokens[first],
                    logit,
                    z,
                    probability,
                });
            }
        }
        Ok(hits)
    }
}
