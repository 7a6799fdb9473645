//! The pass over all units: blocks of vectors by tiles of tokens.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use nissl_core::network::ResidualWeights;
use nissl_core::{Progress, Result};
use nissl_kernels::LogitScan;
use nissl_kernels::gemm::{MatRef, matmul};
use rayon::prelude::*;

use super::projection::{Block, Projection, length};
use super::two_stage::TwoStage;
use super::unit::Place;
use super::{Decoded, LmHead, Sign, SignChoice, Warning};

/// Decodes units in order of layer and part, both signs of a unit one after the other, and hands
/// each block to `each`; gives what the reader must know.
///
/// # Errors
/// A setting outside its range or that `weights` does not fit, what `each` returns, an interruption,
/// or files that cannot be read.
pub fn decode(
    weights: &dyn ResidualWeights,
    settings: &LmHead,
    progress: &Progress,
    mut each: impl FnMut(&[Decoded]) -> Result<()>,
) -> Result<Vec<Warning>> {
    let pass = Pass::of(weights, settings, progress)?;
    let blocks = pass.projection.blocks()?;
    let mut common = CommonFirst::default();
    pass.run(&blocks, progress, |_, decoded| {
        for one in decoded {
            common.push(one);
        }
        each(decoded)
    })?;
    let mut warnings = pass.projection.warnings.clone();
    let text = |token| token_text(weights, token);
    warnings.extend(common.warnings(pass.projection.vocabulary.size(), &text));
    Ok(warnings)
}

/// A projection and what the chosen mode needs.
pub(super) struct Pass<'a> {
    pub(super) projection: Projection<'a>,
    two_stage: Option<TwoStage>,
}

impl<'a> Pass<'a> {
    pub(super) fn of(
        weights: &'a dyn ResidualWeights,
        settings: &LmHead,
        progress: &Progress,
    ) -> Result<Self> {
        let projection = Projection::of(weights, settings, progress)?;
        let two_stage = if projection.settings.two_stage {
            Some(TwoStage::of(&projection, progress)?)
        } else {
            None
        };
        Ok(Self { projection, two_stage })
    }

    /// Decodes `blocks` and hands each, with its number, to `each`.
    pub(super) fn run(
        &self,
        blocks: &[Block],
        progress: &Progress,
        mut each: impl FnMut(usize, &[Decoded]) -> Result<()>,
    ) -> Result<()> {
        let total = blocks.iter().map(|block| block.units.len() as u64).sum();
        let stage = progress.stage("decode", total, "units");
        let mut before = None;
        let mut mean = None;
        for (number, block) in blocks.iter().enumerate() {
            if before != Some((block.layer, block.part)) {
                mean = self.projection.mean(block.layer, block.part, progress)?;
                before = Some((block.layer, block.part));
            }
            let rows = self.projection.rows(block, mean.as_deref())?;
            let decoded = match &self.two_stage {
                Some(two_stage) => two_stage.decode(&self.projection, block, &rows, progress)?,
                None => exact(&self.projection, block, &rows, progress)?,
            };
            each(number, &decoded)?;
            stage.advance(block.units.len() as u64);
        }
        Ok(())
    }
}

/// Scans the vectors `rows` `[unit, residual]` of a block over all tokens.
fn exact(
    projection: &Projection<'_>,
    block: &Block,
    rows: &[f32],
    progress: &Progress,
) -> Result<Vec<Decoded>> {
    let (settings, vocabulary) = (&projection.settings, &projection.vocabulary);
    let width = projection.width();
    let mut scan = LogitScan::new(rows, width, settings.top, settings.signs.signs());
    vocabulary.tiles(projection.weights, progress, |tile, first| {
        scan.push(tile, first as u32);
        Ok(())
    })?;
    let mut decoded = Vec::with_capacity(block.units.len() * 2);
    for ((scan, row), &unit) in
        scan.finish().into_iter().zip(rows.chunks_exact(width)).zip(&block.units)
    {
        let (layer, part, length) = (block.layer, block.part, length(row));
        let place = Place { layer, part, unit, sign: Sign::Plus, length };
        decoded.push(Decoded::of(&scan, place, vocabulary));
        if settings.signs == SignChoice::Both {
            let place = Place { sign: Sign::Minus, ..place };
            decoded.push(Decoded::of(&scan.negated(), place, vocabulary));
        }
    }
    if settings.percentile {
        percentiles(projection, rows, &mut decoded, progress)?;
    }
    Ok(decoded)
}

/// Counts, by a second pass, the tokens whose vectors have a smaller cosine with each unit than its
/// first token.
fn percentiles(
    projection: &Projection<'_>,
    rows: &[f32],
    decoded: &mut [Decoded],
    progress: &Progress,
) -> Result<()> {
    let (width, vocabulary) = (projection.width(), &projection.vocabulary);
    let units = rows.len() / width;
    let signs = decoded.len() / units.max(1);
    let mut below = vec![0u64; decoded.len()];
    let mut logits = Vec::new();
    vocabulary.tiles(projection.weights, progress, |tile, first| {
        let tokens = tile.len() / width;
        logits.resize(units * tokens, 0.0f32);
        let tile = MatRef::row_major(tile, tokens, width).transposed();
        matmul(MatRef::row_major(rows, units, width), tile, &mut logits);
        let counts = below.par_chunks_mut(signs).zip(decoded.par_chunks(signs));
        counts.zip(logits.par_chunks_exact(tokens)).for_each(|((below, decoded), logits)| {
            for (below, one) in below.iter_mut().zip(decoded) {
                let flip = if one.sign == Sign::Plus { 1.0 } else { -1.0 };
                let least = one.cosine * one.length * flip;
                let lengths = (first..).map(|place| vocabulary.length_as_seen(place));
                *below += logits
                    .iter()
                    .zip(lengths)
                    .filter(|&(&logit, length)| {
                        if flip > 0.0 { logit < least * length } else { logit > least * length }
                    })
                    .count() as u64;
            }
        });
        Ok(())
    })?;
    for (one, below) in decoded.iter_mut().zip(below) {
        if one.first().is_some() {
            // The first token itself may fall to either side by its last digit.
            one.percentile = below as f32 / vocabulary.size() as f32;
        }
    }
    Ok(())
}

/// Share of units with the same first token from which it is said to be common.
const COMMON: f64 = 0.2;
/// Fewest units of which such a share means anything.
const FEW: u64 = 20;

/// First tokens counted over all units.
#[derive(Default)]
pub(super) struct CommonFirst {
    counts: BTreeMap<u32, u64>,
    units: u64,
    not_finite: u64,
}

impl CommonFirst {
    pub(super) fn push(&mut self, one: &Decoded) {
        if one.sign == Sign::Minus {
            return;
        }
        self.units += 1;
        match one.first() {
            // A vector of zeros prefers no token.
            Some(_) if one.length == 0.0 => {}
            Some(first) => *self.counts.entry(first).or_default() += 1,
            None => self.not_finite += 1,
        }
    }

    /// What the counts say, for a head over `tokens` tokens.
    pub(super) fn warnings(&self, tokens: usize, text: &dyn Fn(u32) -> String) -> Vec<Warning> {
        let mut warnings = Vec::new();
        if self.not_finite > 0 {
            warnings.push(Warning::NotFinite { units: self.not_finite });
        }
        let greatest = self.counts.iter().max_by_key(|&(&token, &count)| (count, Reverse(token)));
        if let Some((&token, &count)) = greatest
            && self.units >= FEW
        {
            let share = count as f64 / self.units as f64;
            // A head over few tokens gives each a large share anyway.
            if share > COMMON && share > 3.0 / tokens as f64 {
                warnings.push(Warning::CommonToken { token, text: text(token), share });
            }
        }
        warnings
    }
}

/// The text of a token as the weights' tokenizer shows it, or its number.
pub(super) fn token_text(weights: &dyn ResidualWeights, token: u32) -> String {
    let tokenizer = weights.tokenizer().ok();
    let text = tokenizer.and_then(|tokenizer| tokenizer.token(token));
    text.unwrap_or_else(|| format!("#{token}"))
}
