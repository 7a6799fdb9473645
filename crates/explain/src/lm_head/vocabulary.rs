//! The tokens that take part, and their vectors a tile at a time.

use nissl_core::network::{ResidualWeights, TokenTable};
use nissl_core::{Error, Progress, Result};
use regex::Regex;

use super::projection::length;
use super::{LmHead, Warning};

/// Tokens of a table, in order, with the lengths of their vectors.
pub(super) struct Vocabulary {
    /// Their numbers, ascending `[place]`.
    pub(super) ids: Vec<u32>,
    /// `‖u_t‖` `[place]`.
    pub(super) lengths: Vec<f32>,
    /// The length of each once the mean is taken off, where it is `[place]`.
    seen: Vec<f32>,
    /// `‖u_t‖`, ascending.
    sorted: Vec<f32>,
    /// The mean vector `[residual]` of the tokens that take part.
    pub(super) mean: Vec<f64>,
    table: TokenTable,
    tile: usize,
    /// Whether the mean is taken off.
    centred: bool,
}

impl Vocabulary {
    /// The tokens that `settings` let take part, and what the user should know of them.
    pub(super) fn of(
        weights: &dyn ResidualWeights,
        settings: &LmHead,
        progress: &Progress,
    ) -> Result<(Self, Vec<Warning>)> {
        let rows = weights.vocabulary();
        let mut warnings = Vec::new();
        if rows == 0 || weights.residual_width() == 0 {
            let what = format!("the head of {}", weights.id());
            return Err(Error::Empty { what, expected: "one token or more".to_owned() });
        }
        let mut size = rows;
        if let Ok(tokenizer) = weights.tokenizer() {
            let known = tokenizer.size();
            if known < rows {
                warnings.push(Warning::UnnamedTokens { tokenizer: known, vocabulary: rows });
                size = known;
            } else if known > rows {
                warnings.push(Warning::TokensWithoutRow { tokenizer: known, vocabulary: rows });
            }
        }
        if let Some(first) = settings.first_tokens {
            size = size.min(first);
        }
        let mut ids: Vec<u32> = (0..size as u32).collect();
        if let Some(pattern) = &settings.only {
            let pattern = Regex::new(pattern)
                .map_err(|error| Error::setting("only", error, "a regular expression"))?;
            let tokenizer = weights.tokenizer()?;
            ids.retain(|&id| tokenizer.token(id).is_some_and(|text| pattern.is_match(&text)));
        }
        let mut vocabulary = Self {
            ids,
            lengths: Vec::new(),
            seen: Vec::new(),
            sorted: Vec::new(),
            mean: Vec::new(),
            table: settings.head,
            tile: settings.tile,
            centred: false,
        };
        vocabulary.measure(weights, progress)?;
        if settings.norm_floor > 0.0 && !vocabulary.ids.is_empty() {
            let place = (settings.norm_floor * vocabulary.sorted.len() as f32) as usize;
            let floor = vocabulary.sorted[place.min(vocabulary.sorted.len() - 1)];
            let kept = vocabulary.lengths.iter().map(|&length| length >= floor);
            let kept: Vec<bool> = kept.collect();
            let mut places = kept.iter();
            vocabulary.ids.retain(|_| places.next().is_some_and(|&kept| kept));
            vocabulary.measure(weights, progress)?;
        }
        if vocabulary.ids.len() < 2 {
            return Err(Error::Empty {
                what: "the vocabulary".to_owned(),
                expected: "two tokens or more that take part (see --only, --first-tokens)"
                    .to_owned(),
            });
        }
        vocabulary.seen = vocabulary.lengths.clone();
        if settings.centre.tokens() {
            vocabulary.centred = true;
            let width = weights.residual_width();
            let mut seen = Vec::with_capacity(vocabulary.ids.len());
            vocabulary.tiles(weights, progress, |tile, _| {
                seen.extend(tile.chunks_exact(width).map(|row| length(row) as f32));
                Ok(())
            })?;
            vocabulary.seen = seen;
        }
        Ok((vocabulary, warnings))
    }

    /// The number of tokens that take part.
    pub(super) fn size(&self) -> usize {
        self.ids.len()
    }

    /// Whether the mean over tokens is taken off.
    pub(super) fn is_centred(&self) -> bool {
        self.centred
    }

    /// The length of the vector at `place` as [`Self::tiles`] gives it.
    pub(super) fn length_as_seen(&self, place: usize) -> f32 {
        self.seen[place]
    }

    /// The share of tokens with a shorter vector than the one at `place`.
    pub(super) fn length_percentile(&self, place: usize) -> f32 {
        let shorter = self.sorted.partition_point(|&other| other < self.lengths[place]);
        shorter as f32 / self.sorted.len() as f32
    }

    /// The place of a token, when it takes part.
    pub(super) fn place(&self, id: u32) -> Option<usize> {
        self.ids.binary_search(&id).ok()
    }

    /// Lengths and mean of the vectors that take part.
    fn measure(&mut self, weights: &dyn ResidualWeights, progress: &Progress) -> Result<()> {
        let width = weights.residual_width();
        let mut lengths = Vec::with_capacity(self.ids.len());
        let mut mean = vec![0.0f64; width];
        self.tiles(weights, progress, |tile, _| {
            for row in tile.chunks_exact(width) {
                let mut square = 0.0f64;
                for (mean, &value) in mean.iter_mut().zip(row) {
                    *mean += f64::from(value);
                    square += f64::from(value).powi(2);
                }
                if !square.is_finite() {
                    let expected = "finite numbers";
                    return Err(Error::setting("head", "a row with NaN or infinity", expected));
                }
                lengths.push(square.sqrt() as f32);
            }
            Ok(())
        })?;
        for mean in &mut mean {
            *mean /= self.ids.len().max(1) as f64;
        }
        self.sorted = lengths.clone();
        self.sorted.sort_unstable_by(f32::total_cmp);
        self.lengths = lengths;
        self.mean = mean;
        Ok(())
    }

    /// Hands the vectors `[token, residual]` to `each`, tile after tile, with the place of the first.
    pub(super) fn tiles(
        &self,
        weights: &dyn ResidualWeights,
        progress: &Progress,
        mut each: impl FnMut(&[f32], usize) -> Result<()>,
    ) -> Result<()> {
        let width = weights.residual_width();
        let mut tile = vec![0.0f32; self.tile.min(self.ids.len()) * width];
        for first in (0..self.ids.len()).step_by(self.tile) {
            progress.check(|| format!("{first} tokens"))?;
            let ids = &self.ids[first..(first + self.tile).min(self.ids.len())];
            let tile = &mut tile[..ids.len() * width];
            self.read(weights, ids, tile)?;
            each(tile, first)?;
        }
        Ok(())
    }

    /// Copies the vectors of ascending tokens to `out` `[token, residual]`.
    pub(super) fn read(
        &self,
        weights: &dyn ResidualWeights,
        ids: &[u32],
        out: &mut [f32],
    ) -> Result<()> {
        let width = weights.residual_width();
        let mut done = 0;
        for run in ids.chunk_by(|a, b| a + 1 == *b) {
            let tokens = run[0] as usize..run[0] as usize + run.len();
            weights.read_tokens(self.table, tokens, &mut out[done..done + run.len() * width])?;
            done += run.len() * width;
        }
        if self.centred {
            for row in out.chunks_exact_mut(width) {
                for (value, &mean) in row.iter_mut().zip(&self.mean) {
                    *value -= mean as f32;
                }
            }
        }
        Ok(())
    }
}
