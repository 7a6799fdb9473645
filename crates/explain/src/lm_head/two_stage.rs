//! Candidates from a random projection, scored exactly: about 16 times less work at 256 of 4,096.
//!
//! With `R` `[residual, m]` of entries `N(0, 1/m)`, `(U R)(Rᵀ w)` estimates `U w`; its greatest
//! entries are the candidates. Mean and variance of all logits are exact in closed form, so those
//! of the tokens that were not scored are known too: `n` of them with mean `μ` and variance `σ²`
//! have `n e^μ ≤ Σ eˡ ≤ n (b² e^{μ − σ²/b} + σ² e^{μ + b}) / (b² + σ²)`, where `μ + b` is the last
//! listed logit, which none of them exceeds when no token was missed (Jensen; Bennett 1962). The
//! estimate between these is `n e^{μ + σ²/2}`.
//!
//! Memory: the projected head, a block of units, and a tile of tokens.

use nissl_core::{Progress, Result};
use nissl_kernels::LogitScan;
use nissl_kernels::gemm::{MatRef, matmul};
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

use super::moments::HeadMoments;
use super::projection::{Block, Projection, length};
use super::unit::Place;
use super::{Decoded, Sign, SignChoice};

/// What is computed once for all blocks.
pub(super) struct TwoStage {
    /// `R` `[residual, dimension]`
    random: Vec<f32>,
    /// `U R` `[token, dimension]`
    head: Vec<f32>,
    dimensions: usize,
    moments: HeadMoments,
}

impl TwoStage {
    pub(super) fn of(projection: &Projection<'_>, progress: &Progress) -> Result<Self> {
        let (width, dimensions) = (projection.width(), projection.settings.projection);
        let mut rng = nissl_core::seed::rng(projection.settings.seed, 0);
        let scale = 1.0 / (dimensions as f32).sqrt();
        let random: Vec<f32> = (0..width * dimensions)
            .map(|_| {
                let normal: f32 = StandardNormal.sample(&mut rng);
                normal * scale
            })
            .collect();
        let mut head = vec![0.0f32; projection.vocabulary.size() * dimensions];
        projection.vocabulary.tiles(projection.weights, progress, |tile, first| {
            let count = tile.len() / width;
            let out = &mut head[first * dimensions..(first + count) * dimensions];
            let left = MatRef::row_major(tile, count, width);
            matmul(left, MatRef::row_major(&random, width, dimensions), out);
            Ok(())
        })?;
        let moments = HeadMoments::exact(projection, progress)?;
        Ok(Self { random, head, dimensions, moments })
    }

    /// What the head tells of the vectors `rows` `[unit, residual]` of a block.
    pub(super) fn decode(
        &self,
        projection: &Projection<'_>,
        block: &Block,
        rows: &[f32],
        progress: &Progress,
    ) -> Result<Vec<Decoded>> {
        let (settings, vocabulary) = (&projection.settings, &projection.vocabulary);
        let (width, dimensions) = (projection.width(), self.dimensions);
        let units = block.units.len();
        let mut small = vec![0.0f32; units * dimensions];
        let random = MatRef::row_major(&self.random, width, dimensions);
        matmul(MatRef::row_major(rows, units, width), random, &mut small);
        let candidates = settings.candidates.min(vocabulary.size());
        let mut scan = LogitScan::new(&small, dimensions, candidates, settings.signs.signs());
        scan.push(&self.head, 0);
        let mut wanted: Vec<Vec<(u32, f32)>> = scan
            .finish()
            .into_iter()
            .map(|row| {
                let mut places: Vec<(u32, f32)> = row.top;
                places.extend(row.bottom);
                places.sort_unstable_by_key(|&(place, _)| place);
                places.dedup_by_key(|(place, _)| *place);
                places
            })
            .collect();
        vocabulary.tiles(projection.weights, progress, |tile, first| {
            let end = first + tile.len() / width;
            wanted.par_iter_mut().zip(rows.par_chunks_exact(width)).for_each(|(wanted, row)| {
                let from = wanted.partition_point(|&(place, _)| (place as usize) < first);
                let to = wanted.partition_point(|&(place, _)| (place as usize) < end);
                for (place, logit) in &mut wanted[from..to] {
                    let at = (*place as usize - first) * width;
                    let token = &tile[at..at + width];
                    let dot = row.iter().zip(token).map(|(&a, &b)| f64::from(a) * f64::from(b));
                    *logit = dot.sum::<f64>() as f32;
                }
            });
            Ok(())
        })?;
        let moments = self.moments.of_rows(rows);
        let mut decoded = Vec::with_capacity(units * 2);
        for (at, wanted) in wanted.iter().enumerate() {
            let row = &rows[at * width..(at + 1) * width];
            for sign in [Sign::Plus, Sign::Minus] {
                if sign == Sign::Minus && settings.signs == SignChoice::Plus {
                    continue;
                }
                let (layer, part, unit) = (block.layer, block.part, block.units[at]);
                let place = Place { layer, part, unit, sign, length: length(row) };
                let (mean, deviation) = moments[at];
                let flip = if sign == Sign::Plus { 1.0 } else { -1.0 };
                let logits = wanted.iter().map(|&(place, logit)| (place, logit * flip as f32));
                let mut logits: Vec<(u32, f32)> = logits.collect();
                logits.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
                let size = vocabulary.size();
                let rest = Rest { mean: mean * flip, variance: deviation * deviation, size };
                let mut one =
                    Decoded::listed(&logits[..settings.top.min(logits.len())], place, vocabulary);
                rest.estimate(&logits, settings.top, &mut one);
                decoded.push(one);
            }
        }
        Ok(decoded)
    }
}

/// Mean and variance of all `size` logits.
struct Rest {
    mean: f64,
    variance: f64,
    size: usize,
}

impl Rest {
    /// Fills in what depends on the normaliser, from scored logits `scored`, greatest first.
    fn estimate(&self, scored: &[(u32, f32)], top: usize, out: &mut Decoded) {
        let Some(&(_, greatest)) = scored.first() else { return };
        let greatest = f64::from(greatest);
        let logits = || scored.iter().map(|&(_, logit)| f64::from(logit));
        let last = f64::from(scored[top.min(scored.len()) - 1].1);
        let known: f64 = logits().map(|logit| (logit - greatest).exp()).sum();
        let known_expected: f64 = logits().map(|logit| (logit - greatest).exp() * logit).sum();
        let rest = (self.size - scored.len()) as f64;
        let (mut low, mut high, mut estimate, mut expected) = (0.0, 0.0, 0.0, 0.0);
        if rest > 0.0 {
            let size = self.size as f64;
            let mean = (size * self.mean - logits().sum::<f64>()) / rest;
            let squares = size * (self.variance + self.mean * self.mean);
            let squares = squares - logits().map(|logit| logit * logit).sum::<f64>();
            let variance = (squares / rest - mean * mean).max(0.0);
            let shifted = mean - greatest;
            low = rest * shifted.exp();
            let bound = last - mean;
            high = if bound > 0.0 {
                let far = bound * bound;
                let near = far * (shifted - variance / bound).exp();
                rest * (near + variance * (shifted + bound).exp()) / (far + variance)
            } else {
                rest * (last - greatest).exp()
            };
            estimate = (rest * (shifted + variance / 2.0).exp()).clamp(low.min(high), high);
            expected = estimate * (mean + variance).min(last);
        }
        let whole = known + estimate;
        out.log_sum_exp = greatest + whole.ln();
        out.entropy = (out.log_sum_exp - (known_expected + expected) / whole).max(0.0) as f32;
        out.probabilities = out
            .tokens
            .iter()
            .map(|&(_, logit)| ((f64::from(logit) - greatest).exp() / whole) as f32)
            .collect();
        out.bounds = ((1.0 / (known + high)) as f32, (1.0 / (known + low)) as f32);
        let deviation = self.variance.sqrt();
        out.z = if deviation > 0.0 { ((greatest - self.mean) / deviation) as f32 } else { 0.0 };
    }
}
