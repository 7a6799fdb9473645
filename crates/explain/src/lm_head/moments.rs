//! Mean and variance of a vector's logits over tokens, without its logits.
//!
//! `mean = ū·w`, `variance = wᵀ C w` with `C` the covariance of the rows of `U`: `2 d²` operations a
//! vector in the place of `2 V d`. For wide networks the variance comes from a sample of tokens
//! instead, whose relative error is about `1 / √(2 · tokens)`.
//!
//! Memory: `C`, or the sample.

use nissl_core::network::ResidualWeights;
use nissl_core::seed::rng;
use nissl_core::{Progress, Result};
use nissl_kernels::gemm::{MatRef, matmul};
use rand::seq::index;
use rayon::prelude::*;

use super::LmHead;
use super::projection::Projection;
use super::vocabulary::Vocabulary;

/// Widest residual stream for which the covariance is formed unless the caller needs it exact.
const WIDEST: usize = 1024;
/// Tokens of a sample in its place.
const SAMPLE: usize = 2048;

/// Mean and covariance of the head's rows.
pub struct HeadMoments {
    mean: Vec<f64>,
    width: usize,
    spread: Spread,
}

enum Spread {
    /// `[residual, residual]`
    Covariance(Vec<f32>),
    /// `(u − ū) / √n`, `[token, residual]`
    Sample(Vec<f32>),
}

impl HeadMoments {
    /// The moments of the tokens that `settings` let take part; exact up to a width of 1,024, beyond
    /// that the variance is that over 2,048 tokens.
    ///
    /// # Errors
    /// A setting outside its range, an interruption, or files that cannot be read.
    pub fn of(
        weights: &dyn ResidualWeights,
        settings: &LmHead,
        progress: &Progress,
    ) -> Result<Self> {
        let projection = Projection::of(weights, settings, progress)?;
        Self::of_vocabulary(&projection, projection.width() <= WIDEST, progress)
    }

    pub(super) fn exact(projection: &Projection<'_>, progress: &Progress) -> Result<Self> {
        Self::of_vocabulary(projection, true, progress)
    }

    pub(super) fn quick(projection: &Projection<'_>, progress: &Progress) -> Result<Self> {
        Self::of_vocabulary(projection, projection.width() <= WIDEST, progress)
    }

    fn of_vocabulary(
        projection: &Projection<'_>,
        exact: bool,
        progress: &Progress,
    ) -> Result<Self> {
        let (width, vocabulary) = (projection.width(), &projection.vocabulary);
        // Where the mean over tokens is taken off, tiles come without it and so does the mean.
        let seen = vocabulary.mean_as_seen();
        let spread = if exact || vocabulary.size() <= SAMPLE {
            covariance(projection, &seen, progress)?
        } else {
            let mut rng = rng(projection.settings.seed, 1);
            let mut places = index::sample(&mut rng, vocabulary.size(), SAMPLE).into_vec();
            places.sort_unstable();
            let ids: Vec<u32> = places.iter().map(|&place| vocabulary.ids[place]).collect();
            let mut rows = vec![0.0f32; ids.len() * width];
            vocabulary.read(projection.weights, &ids, &mut rows)?;
            let scale = 1.0 / (ids.len() as f64).sqrt();
            for row in rows.chunks_exact_mut(width) {
                for (value, mean) in row.iter_mut().zip(&seen) {
                    *value = ((f64::from(*value) - mean) * scale) as f32;
                }
            }
            Spread::Sample(rows)
        };
        Ok(Self { mean: seen, width, spread })
    }

    /// Whether the variance is that over all tokens.
    pub fn is_exact(&self) -> bool {
        matches!(self.spread, Spread::Covariance(_))
    }

    /// Mean and standard deviation over tokens of the logits of each of `rows` `[row, residual]`.
    ///
    /// # Panics
    /// When `rows` does not consist of whole rows.
    pub fn of_rows(&self, rows: &[f32]) -> Vec<(f64, f64)> {
        let (width, count) = (self.width, rows.len() / self.width);
        let left = MatRef::row_major(rows, count, width);
        let (spread, columns) = match &self.spread {
            Spread::Covariance(matrix) => (MatRef::row_major(matrix, width, width), width),
            Spread::Sample(sample) => {
                let tokens = sample.len() / width;
                (MatRef::row_major(sample, tokens, width).transposed(), tokens)
            }
        };
        let mut product = vec![0.0f32; count * columns];
        matmul(left, spread, &mut product);
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
        };
        let rows = rows.par_chunks_exact(width).zip(product.par_chunks_exact(columns));
        rows.map(|(row, product)| {
            let mean = row.iter().zip(&self.mean).map(|(&w, &u)| f64::from(w) * u).sum();
            let variance = match self.spread {
                Spread::Covariance(_) => dot(row, product),
                Spread::Sample(_) => dot(product, product),
            };
            (mean, variance.max(0.0).sqrt())
        })
        .collect()
    }
}

/// `C = mean (u − ū)(u − ū)ᵀ` over the tokens that take part.
fn covariance(projection: &Projection<'_>, mean: &[f64], progress: &Progress) -> Result<Spread> {
    let (width, vocabulary) = (projection.width(), &projection.vocabulary);
    let mut sum = vec![0.0f64; width * width];
    let mut product = vec![0.0f32; width * width];
    let mut centred = Vec::new();
    let stage = progress.stage("covariance", vocabulary.size() as u64, "tokens");
    vocabulary.tiles(projection.weights, progress, |tile, _| {
        centred.clear();
        for row in tile.chunks_exact(width) {
            centred.extend(row.iter().zip(mean).map(|(&u, &m)| (f64::from(u) - m) as f32));
        }
        let matrix = MatRef::row_major(&centred, tile.len() / width, width);
        matmul(matrix.transposed(), matrix, &mut product);
        sum.iter_mut().zip(&product).for_each(|(sum, &more)| *sum += f64::from(more));
        stage.advance((tile.len() / width) as u64);
        Ok(())
    })?;
    let count = vocabulary.size() as f64;
    Ok(Spread::Covariance(sum.into_iter().map(|sum| (sum / count) as f32).collect()))
}

impl Vocabulary {
    /// The mean vector `[residual]` of what [`Vocabulary::tiles`] gives.
    fn mean_as_seen(&self) -> Vec<f64> {
        if self.is_centred() { vec![0.0; self.mean.len()] } else { self.mean.clone() }
    }
}
