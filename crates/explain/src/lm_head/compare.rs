//! Two checkpoints compared unit by unit: does a neuron still mean the same word?
//!
//! Share of units with the same first token, Jaccard index of the first five, and Jensen-Shannon
//! divergence `½ KL(p‖m) + ½ KL(q‖m)`, `m = (p + q)/2`, in nats. Beside them stand two nulls: each
//! unit against another one of its block, and the first checkpoint against itself with Gaussian
//! noise of the observed change's size on its vectors.
//!
//! Source: Davies 2025, arXiv:2501.02688 (75.4 % of up-projection rows of Llama-3.1-8B keep their
//! first token in Instruct); nulls and divergence are ours.
//! Left out: the noise null changes no head, though training may have.
//! Memory: a block of units three times, and their logits over a tile of tokens.

use nissl_core::network::ResidualWeights;
use nissl_core::seed::rng;
use nissl_core::{Error, Progress, Result};
use nissl_kernels::gemm::{MatRef, matmul};
use nissl_kernels::{LogitScan, RowScan, Signs};
use rand::seq::SliceRandom;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::LmHead;
use super::comparison::{Changed, Comparison, LayerComparison, Likeness};
use super::projection::{Block, Projection};

/// Hyperparameters of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Compare {
    /// Changed units listed, those that moved most first
    #[arg(long, default_value_t = Compare::default().changed)]
    pub changed: usize,
}

impl Default for Compare {
    fn default() -> Self {
        Self { changed: 20 }
    }
}

/// Tokens whose overlap is told.
const LISTED: usize = 5;

/// Compares two checkpoints of one architecture, `before` and `after`.
///
/// # Errors
/// Checkpoints of other shapes, a setting outside its range, the two-stage mode, an interruption,
/// or files that cannot be read.
pub fn compare(
    before: &dyn ResidualWeights,
    after: &dyn ResidualWeights,
    settings: &LmHead,
    options: &Compare,
    progress: &Progress,
) -> Result<Comparison> {
    if settings.two_stage {
        return Err(Error::setting("two_stage", "set", "unset for a comparison, which is exact"));
    }
    let first = Projection::of(before, settings, progress)?;
    let second = Projection::of(after, settings, progress)?;
    fits("layers", before.layers(), after.layers())?;
    fits("residual width", before.residual_width(), after.residual_width())?;
    for &part in &settings.parts {
        fits(&format!("units of {}", part.name()), before.units(part), after.units(part))?;
    }
    if first.vocabulary.ids != second.vocabulary.ids {
        let (found, expected) = (second.vocabulary.size(), first.vocabulary.size());
        let expected = format!(
            "the {expected} of the other checkpoint; keep those they share with --first-tokens"
        );
        return Err(Error::setting("tokens", found, expected));
    }
    let blocks = first.blocks()?;
    let total = blocks.iter().map(|block| block.units.len() as u64).sum();
    let stage = progress.stage("compare", total, "units");
    let mut found = Comparison {
        layers: Vec::new(),
        units: 0,
        observed: Likeness::default(),
        permuted: Likeness::default(),
        noise: Likeness::default(),
        changed: Vec::new(),
        changed_units: 0,
        not_finite: 0,
    };
    for same in blocks.chunk_by(|a, b| (a.layer, a.part) == (b.layer, b.part)) {
        let (layer, part) = (same[0].layer, same[0].part);
        let means = [first.mean(layer, part, progress)?, second.mean(layer, part, progress)?];
        let mut here = LayerComparison {
            layer: layer as u32,
            part,
            units: 0,
            change: change(&first, &second, same, progress)?,
            observed: Likeness::default(),
            permuted: Likeness::default(),
            noise: Likeness::default(),
        };
        for block in same {
            let three = three_rows(&first, &second, block, &means, here.change)?;
            let pairs = Pairs { first: &first, second: &second, block, rows: &three };
            pairs.compare(&mut here, &mut found, progress)?;
            stage.advance(block.units.len() as u64);
        }
        for (all, one) in [
            (&mut found.observed, &mut here.observed),
            (&mut found.permuted, &mut here.permuted),
            (&mut found.noise, &mut here.noise),
        ] {
            all.add(one);
            one.divide(here.units);
        }
        found.units += here.units;
        found.layers.push(here);
        found.changed.sort_by(|a, b| {
            let place = |one: &Changed| (one.layer, one.part, one.unit);
            b.divergence.total_cmp(&a.divergence).then_with(|| place(a).cmp(&place(b)))
        });
        found.changed.truncate(options.changed);
    }
    for all in [&mut found.observed, &mut found.permuted, &mut found.noise] {
        all.divide(found.units);
    }
    Ok(found)
}

fn fits(what: &str, before: usize, after: usize) -> Result<()> {
    if before == after {
        return Ok(());
    }
    Err(Error::setting(what, after, format!("{before}, as the checkpoint it is compared with has")))
}

/// Root mean square of the change of the raw vectors of a layer's part.
fn change(
    first: &Projection<'_>,
    second: &Projection<'_>,
    blocks: &[Block],
    progress: &Progress,
) -> Result<f64> {
    let (mut square, mut count) = (0.0f64, 0u64);
    for block in blocks {
        progress.check(|| format!("layer {}", block.layer))?;
        let a = first.raw(block.layer, block.part, &block.units)?;
        let b = second.raw(block.layer, block.part, &block.units)?;
        for (&a, &b) in a.iter().zip(&b) {
            let change = f64::from(b) - f64::from(a);
            if change.is_finite() {
                square += change * change;
                count += 1;
            }
        }
    }
    Ok((square / count.max(1) as f64).sqrt())
}

/// The vectors of a block before, after, and before with noise.
fn three_rows(
    first: &Projection<'_>,
    second: &Projection<'_>,
    block: &Block,
    means: &[Option<Vec<f64>>; 2],
    size: f64,
) -> Result<[Vec<f32>; 3]> {
    let mut noisy = first.raw(block.layer, block.part, &block.units)?;
    let width = first.width();
    let stream = |unit: usize| (block.layer as u64) << 40 | (block.part as u64) << 32 | unit as u64;
    noisy.par_chunks_exact_mut(width).zip(&block.units).for_each(|(row, &unit)| {
        let mut rng = rng(first.settings.seed, stream(unit));
        for value in row {
            let normal: f64 = StandardNormal.sample(&mut rng);
            *value = (f64::from(*value) + normal * size) as f32;
        }
    });
    first.transform(&mut noisy, means[0].as_deref());
    Ok([first.rows(block, means[0].as_deref())?, second.rows(block, means[1].as_deref())?, noisy])
}

/// A block of both checkpoints.
struct Pairs<'a> {
    first: &'a Projection<'a>,
    second: &'a Projection<'a>,
    block: &'a Block,
    rows: &'a [Vec<f32>; 3],
}

impl Pairs<'_> {
    fn compare(
        &self,
        here: &mut LayerComparison,
        found: &mut Comparison,
        progress: &Progress,
    ) -> Result<()> {
        let Self { first, second, block, rows } = *self;
        let (width, units) = (first.width(), block.units.len());
        let heads = [first, second, first];
        let mut scans: Vec<Vec<RowScan>> = Vec::with_capacity(heads.len());
        for (head, rows) in heads.into_iter().zip(rows) {
            let mut scan = LogitScan::new(rows, width, LISTED, Signs::Plus);
            head.vocabulary.tiles(head.weights, progress, |tile, first| {
                scan.push(tile, first as u32);
                Ok(())
            })?;
            scans.push(scan.finish());
        }
        let others = derangement(units, first.settings.seed, block);
        // For each unit: after, another unit after, itself with noise.
        let partner = |unit: usize, which: usize| match which {
            0 => &scans[1][unit],
            1 => &scans[1][others[unit]],
            _ => &scans[2][unit],
        };
        let divergences = self.divergences(&scans, &others, progress)?;
        for unit in 0..units {
            let before = &scans[0][unit];
            let whole = !before.top.is_empty() && (0..3).all(|w| !partner(unit, w).top.is_empty());
            if !whole {
                found.not_finite += 1;
                continue;
            }
            here.units += 1;
            let sums = [&mut here.observed, &mut here.permuted, &mut here.noise];
            for (which, sum) in sums.into_iter().enumerate() {
                let other = partner(unit, which);
                sum.same_first += f64::from(u8::from(before.top[0].0 == other.top[0].0));
                sum.jaccard += jaccard(&before.top, &other.top);
                sum.divergence += divergences[unit][which];
            }
            let after = &scans[1][unit];
            if before.top[0].0 != after.top[0].0 {
                found.changed_units += 1;
                found.changed.push(Changed {
                    layer: block.layer as u32,
                    part: block.part,
                    unit: block.units[unit] as u32,
                    before: first.vocabulary.ids[before.top[0].0 as usize],
                    after: first.vocabulary.ids[after.top[0].0 as usize],
                    divergence: divergences[unit][0],
                });
            }
        }
        Ok(())
    }

    /// Jensen-Shannon divergences of each unit's distribution before from three others, by a second
    /// pass over the tokens.
    fn divergences(
        &self,
        scans: &[Vec<RowScan>],
        others: &[usize],
        progress: &Progress,
    ) -> Result<Vec<[f64; 3]>> {
        let Self { first, second, block, rows } = *self;
        let (width, units) = (first.width(), block.units.len());
        let mut sums = vec![[0.0f64; 3]; units];
        let mut logits = [Vec::new(), Vec::new(), Vec::new()];
        let mut tile_after = Vec::new();
        first.vocabulary.tiles(first.weights, progress, |tile, start| {
            let tokens = tile.len() / width;
            tile_after.resize(tile.len(), 0.0f32);
            let ids = &second.vocabulary.ids[start..start + tokens];
            second.vocabulary.read(second.weights, ids, &mut tile_after)?;
            for ((logits, rows), tile) in
                logits.iter_mut().zip(rows).zip([tile, &tile_after[..], tile])
            {
                logits.resize(units * tokens, 0.0f32);
                let tile = MatRef::row_major(tile, tokens, width).transposed();
                matmul(MatRef::row_major(rows, units, width), tile, logits);
            }
            let row = |which: usize, unit: usize| {
                let logits: &[f32] = &logits[which];
                let normaliser = scans[which][unit].plus.log_sum_exp;
                (&logits[unit * tokens..(unit + 1) * tokens], normaliser)
            };
            sums.par_iter_mut().enumerate().for_each(|(unit, sums)| {
                let before = row(0, unit);
                let partners = [row(1, unit), row(1, others[unit]), row(2, unit)];
                for (sum, other) in sums.iter_mut().zip(partners) {
                    *sum += divergence(before, other);
                }
            });
            Ok(())
        })?;
        Ok(sums)
    }
}

/// The share of a tile in the Jensen-Shannon divergence of two rows of logits with their
/// log-sum-exps.
fn divergence(a: (&[f32], f64), b: (&[f32], f64)) -> f64 {
    a.0.iter()
        .zip(b.0)
        .map(|(&one, &other)| {
            let (log_p, log_q) = (f64::from(one) - a.1, f64::from(other) - b.1);
            let (p, q) = (log_p.exp(), log_q.exp());
            // log of the mean, stable when one of them is tiny.
            let more = log_p.max(log_q);
            let log_m = more + (0.5 * (1.0 + (-(log_p - log_q).abs()).exp())).ln();
            0.5 * (p * (log_p - log_m) + q * (log_q - log_m))
        })
        .sum()
}

fn jaccard(a: &[(u32, f32)], b: &[(u32, f32)]) -> f64 {
    let common = a.iter().filter(|(token, _)| b.iter().any(|(other, _)| other == token)).count();
    common as f64 / (a.len() + b.len() - common) as f64
}

/// For each of `units` another one: the next in a random round.
fn derangement(units: usize, seed: u64, block: &Block) -> Vec<usize> {
    let first = block.units.first().copied().unwrap_or(0) as u64;
    let stream = 1 << 60 | (block.layer as u64) << 40 | (block.part as u64) << 32 | first;
    let mut round: Vec<usize> = (0..units).collect();
    round.shuffle(&mut rng(seed, stream));
    let mut others = vec![0; units];
    for (at, &unit) in round.iter().enumerate() {
        others[unit] = round[(at + 1) % units];
    }
    others
}
