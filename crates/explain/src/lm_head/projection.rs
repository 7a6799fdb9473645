//! A network's vectors and tokens as the settings let the head see them.

use nissl_core::network::{HeadNorm, Part, ResidualWeights, TokenTable};
use nissl_core::{Progress, Result};

use super::vocabulary::Vocabulary;
use super::{LmHead, Normalise, Warning};

/// Weights, and what happens to their vectors before the head.
pub(super) struct Projection<'a> {
    pub(super) weights: &'a dyn ResidualWeights,
    pub(super) settings: LmHead,
    pub(super) vocabulary: Vocabulary,
    pub(super) warnings: Vec<Warning>,
    norm: HeadNorm,
}

/// A block of units that are read at once.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Block {
    pub(super) layer: usize,
    pub(super) part: Part,
    /// Ascending.
    pub(super) units: Vec<usize>,
}

impl<'a> Projection<'a> {
    /// # Errors
    /// A setting outside its range or that `weights` does not fit, or files that cannot be read.
    pub(super) fn of(
        weights: &'a dyn ResidualWeights,
        settings: &LmHead,
        progress: &Progress,
    ) -> Result<Self> {
        settings.validate()?;
        let settings = settings.resolved();
        let layers = settings.layers_of(weights)?;
        for &part in &settings.parts {
            weights.check(0, part)?;
            settings.units_of(weights, part)?;
        }
        let (vocabulary, mut warnings) = Vocabulary::of(weights, &settings, progress)?;
        // The head's norm stands before the head alone.
        let mut norm = HeadNorm::default();
        if settings.head == TokenTable::Head {
            norm = weights.head_norm()?;
            if settings.fold_out && norm.gain.is_none() {
                warnings.push(Warning::NoGain);
            }
            let reads = settings.parts.iter().any(|part| part.reads());
            if layers.first() == Some(&0) && reads && !weights.head_is_tied() {
                warnings.push(Warning::UntiedFirstLayer);
            }
        }
        if settings.two_stage {
            warnings.push(Warning::Estimates { candidates: settings.candidates });
        }
        Ok(Self { weights, settings, vocabulary, warnings, norm })
    }

    /// The width of the residual stream.
    pub(super) fn width(&self) -> usize {
        self.weights.residual_width()
    }

    /// All blocks, layer after layer and part after part.
    ///
    /// # Errors
    /// A layer or unit that is not there.
    pub(super) fn blocks(&self) -> Result<Vec<Block>> {
        let mut blocks = Vec::new();
        for layer in self.settings.layers_of(self.weights)? {
            for &part in &self.settings.parts {
                let units = self.settings.units_of(self.weights, part)?;
                blocks.extend(units.chunks(self.settings.block).map(|units| Block {
                    layer,
                    part,
                    units: units.to_vec(),
                }));
            }
        }
        Ok(blocks)
    }

    /// The vectors `[unit, residual]` of some ascending units, as the files hold them, the gain of
    /// the norm before them folded in where the settings say so.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub(super) fn raw(&self, layer: usize, part: Part, units: &[usize]) -> Result<Vec<f32>> {
        let width = self.width();
        let mut rows = vec![0.0f32; units.len() * width];
        let mut done = 0;
        for run in units.chunk_by(|a, b| a + 1 == *b) {
            let out = &mut rows[done..done + run.len() * width];
            self.weights.read_units(layer, part, run[0]..run[0] + run.len(), out)?;
            done += run.len() * width;
        }
        if self.settings.fold_in
            && let Some(gain) = self.weights.input_gain(layer, part)?
        {
            for row in rows.chunks_exact_mut(width) {
                row.iter_mut().zip(&gain).for_each(|(value, gain)| *value *= gain);
            }
        }
        Ok(rows)
    }

    /// The mean `[residual]` of all vectors of a part, when it is to be taken off; vectors that are
    /// not finite do not count.
    ///
    /// # Errors
    /// An interruption, or files that cannot be read.
    pub(super) fn mean(
        &self,
        layer: usize,
        part: Part,
        progress: &Progress,
    ) -> Result<Option<Vec<f64>>> {
        if !self.settings.centre.rows() {
            return Ok(None);
        }
        let (width, units) = (self.width(), self.weights.units(part));
        let (mut mean, mut count) = (vec![0.0f64; width], 0u64);
        for first in (0..units).step_by(self.settings.block) {
            progress.check(|| format!("{first} units"))?;
            let block: Vec<usize> = (first..(first + self.settings.block).min(units)).collect();
            for row in self.raw(layer, part, &block)?.chunks_exact(width) {
                if row.iter().all(|value| value.is_finite()) {
                    mean.iter_mut().zip(row).for_each(|(mean, &value)| *mean += f64::from(value));
                    count += 1;
                }
            }
        }
        for mean in &mut mean {
            *mean /= count.max(1) as f64;
        }
        Ok(Some(mean))
    }

    /// The vectors `[unit, residual]` of a block as they meet the head.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub(super) fn rows(&self, block: &Block, mean: Option<&[f64]>) -> Result<Vec<f32>> {
        let mut rows = self.raw(block.layer, block.part, &block.units)?;
        self.transform(&mut rows, mean);
        Ok(rows)
    }

    /// Takes vectors `[unit, residual]` through everything before the head.
    pub(super) fn transform(&self, rows: &mut [f32], mean: Option<&[f64]>) {
        let LmHead { normalise, temperature, fold_out, .. } = self.settings;
        let width = self.width();
        let normed = fold_out || normalise == Normalise::Rms;
        for row in rows.chunks_exact_mut(width) {
            if let Some(mean) = mean {
                row.iter_mut().zip(mean).for_each(|(value, &mean)| *value -= mean as f32);
            }
            if normed && self.norm.centres {
                let mean = row.iter().map(|&value| f64::from(value)).sum::<f64>() / width as f64;
                for value in row.iter_mut() {
                    *value -= mean as f32;
                }
            }
            let square: f64 = row.iter().map(|&value| f64::from(value).powi(2)).sum();
            let scale = match normalise {
                Normalise::None => 1.0,
                Normalise::Unit => 1.0 / (square.sqrt() * f64::from(temperature)),
                Normalise::Rms => 1.0 / (square / width as f64).sqrt(),
            };
            // A vector of zeros has no direction and stays what it is.
            if square > 0.0 && normalise != Normalise::None {
                for value in row.iter_mut() {
                    *value = (f64::from(*value) * scale) as f32;
                }
            }
            if normed && let Some(gain) = &self.norm.gain {
                row.iter_mut().zip(gain).for_each(|(value, gain)| *value *= gain);
            }
        }
    }
}

/// The length of a vector.
pub(super) fn length(row: &[f32]) -> f64 {
    row.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt()
}
