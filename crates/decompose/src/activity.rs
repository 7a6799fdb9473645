//! The samples a method is fitted to, as tiles that are held in memory or read anew in every pass.
//!
//! A tile is `[unit, sample]`, rows contiguous: products run over samples, and the sparse product
//! of SNMF adds up whole rows. Both paths hand out the same tiles, so that they give the same bytes.
//! Memory: all fit samples when they fit into the bound, else two tiles.

use std::collections::HashSet;

use ndarray::{Array2, ArrayView2, Axis, s};
use nissl_core::features::Warning;
use nissl_core::{Error, Progress, Recording, Result};
use rayon::prelude::*;

/// The fit samples of a recording, or the rows of a matrix, with what one pass tells about them.
pub(crate) struct Activity<'a> {
    source: Source<'a>,
    tile_samples: usize,
    held: Vec<Array2<f32>>,
    facts: Facts,
}

/// Where the samples come from.
#[derive(Clone, Copy)]
enum Source<'a> {
    Recording { recording: &'a Recording, rows: &'a [usize] },
    Matrix(ArrayView2<'a, f32>),
}

/// What the first pass finds.
struct Facts {
    unit_sums: Vec<f64>,
    squares: f64,
    negative: Option<(usize, usize, f32)>,
    duplicates: usize,
}

/// Numbers in a tile, about: large enough for fast products, small enough for the caches.
const TILE: usize = 4 << 20;

impl<'a> Activity<'a> {
    /// Reads `rows` once and keeps them when they take at most `memory_mib`.
    ///
    /// # Errors
    /// No samples, a value that is not finite, activity that is zero throughout, an interruption,
    /// or a shard that cannot be read.
    pub(crate) fn read(
        recording: &'a Recording,
        rows: &'a [usize],
        memory_mib: usize,
        progress: &Progress,
    ) -> Result<Self> {
        let keep = 4 * recording.units() * rows.len() <= memory_mib << 20;
        Self::of(Source::Recording { recording, rows }, keep, progress)
    }

    /// The rows of a matrix `[sample, unit]` that is in memory anyway.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(crate) fn of_matrix(matrix: ArrayView2<'a, f32>, progress: &Progress) -> Result<Self> {
        Self::of(Source::Matrix(matrix), true, progress)
    }

    fn of(source: Source<'a>, keep: bool, progress: &Progress) -> Result<Self> {
        let (samples, units) = source.dim();
        if samples == 0 {
            return Err(Error::Empty {
                what: source.name(),
                expected: "at least one sample to fit".to_owned(),
            });
        }
        let tile_samples = (TILE / units.max(1)).clamp(64, 4096) / 64 * 64;
        let mut activity = Self {
            source,
            tile_samples,
            held: Vec::new(),
            facts: Facts {
                unit_sums: vec![0.0; units],
                squares: 0.0,
                negative: None,
                duplicates: 0,
            },
        };
        let mut seen = HashSet::with_capacity(samples);
        let stage = progress.stage("read", samples as u64, "samples");
        for first in (0..samples).step_by(tile_samples) {
            progress.check(|| format!("{first} samples read; nothing was written"))?;
            let samples = activity.gather(first)?;
            activity.facts.add(&samples, |row| source.sample(first + row), &mut seen);
            stage.advance(samples.nrows() as u64);
            if keep {
                activity.held.push(turned(samples.view()));
            }
        }
        if activity.facts.squares == 0.0 {
            return Err(Error::Empty {
                what: format!("the activity of {}", source.name()),
                expected: "some value that is not zero".to_owned(),
            });
        }
        Ok(activity)
    }

    /// The number of units.
    pub(crate) fn units(&self) -> usize {
        self.source.dim().1
    }

    /// The number of samples.
    pub(crate) fn samples(&self) -> usize {
        self.source.dim().0
    }

    /// The first sample of each tile, and the number in it.
    pub(crate) fn tiles(&self) -> impl Iterator<Item = (usize, usize)> {
        let (all, step) = (self.samples(), self.tile_samples);
        (0..all).step_by(step).map(move |first| (first, step.min(all - first)))
    }

    /// The sum of squares of all values, ‖A‖².
    pub(crate) fn squares(&self) -> f64 {
        self.facts.squares
    }

    /// The mean of each unit.
    pub(crate) fn means(&self) -> Vec<f32> {
        let count = self.samples() as f64;
        self.facts.unit_sums.iter().map(|sum| (sum / count) as f32).collect()
    }

    /// The sum of each unit.
    pub(crate) fn sums(&self) -> &[f64] {
        &self.facts.unit_sums
    }

    /// # Errors
    /// The first negative value, by its sample in the recording and its unit.
    pub(crate) fn require_non_negative(&self) -> Result<()> {
        match self.facts.negative {
            None => Ok(()),
            Some((sample, unit, value)) => Err(Error::setting(
                format!("activity of sample {sample}, unit {unit}"),
                value,
                "0 or more for `nmf`; `snmf` takes signed activity",
            )),
        }
    }

    /// # Errors
    /// More features than samples or units.
    pub(crate) fn require_enough(&self, k: usize) -> Result<()> {
        let (samples, units) = (self.samples(), self.units());
        if k > samples {
            let expected = format!("at most {samples}, the samples to fit");
            return Err(Error::setting("k", k, expected));
        }
        if k > units {
            return Err(Error::setting("k", k, format!("at most {units}, the units")));
        }
        Ok(())
    }

    /// What the reader must know about a fit of `k` features to these samples.
    pub(crate) fn warnings(&self, k: usize) -> Vec<Warning> {
        let (samples, duplicates) = (self.samples(), self.facts.duplicates);
        let mut warnings = Vec::new();
        if 2 * duplicates > samples {
            warnings.push(Warning::DuplicateSamples { duplicates, samples });
        }
        if 5 * k > samples {
            warnings.push(Warning::ManyFeatures { features: k, samples });
        }
        warnings
    }

    /// Hands every tile `[unit, sample]` with the number of its first sample to `work`.
    ///
    /// # Errors
    /// What `work` returns, or a shard that cannot be read.
    pub(crate) fn pass(
        &self,
        mut work: impl FnMut(usize, ArrayView2<'_, f32>) -> Result<()>,
    ) -> Result<()> {
        for (number, (first, _)) in self.tiles().enumerate() {
            match self.held.get(number) {
                Some(tile) => work(first, tile.view())?,
                None => work(first, turned(self.gather(first)?.view()).view())?,
            }
        }
        Ok(())
    }

    /// Some samples `[sample, unit]`, by their sorted place among the fit samples.
    pub(crate) fn pick(&self, places: &[usize]) -> Result<Array2<f32>> {
        match self.source {
            Source::Recording { recording, rows } => {
                let rows: Vec<usize> = places.iter().map(|&place| rows[place]).collect();
                recording.rows(&rows)
            }
            Source::Matrix(matrix) => Ok(matrix.select(Axis(0), places)),
        }
    }

    fn gather(&self, first: usize) -> Result<Array2<f32>> {
        let last = (first + self.tile_samples).min(self.samples());
        let activity = match self.source {
            Source::Recording { recording, rows } => recording.rows(&rows[first..last])?,
            Source::Matrix(matrix) => matrix.slice(s![first..last, ..]).to_owned(),
        };
        match activity.indexed_iter().find(|(_, value)| !value.is_finite()) {
            None => Ok(activity),
            Some(((row, unit), &found)) => {
                let sample = self.source.sample(first + row) as u64;
                Err(Error::NotFinite { sample, unit: unit as u64, found })
            }
        }
    }
}

impl Source<'_> {
    /// Samples and units.
    fn dim(&self) -> (usize, usize) {
        match self {
            Self::Recording { recording, rows } => (rows.len(), recording.units()),
            Self::Matrix(matrix) => matrix.dim(),
        }
    }

    /// The number by which the user knows the sample at `place`.
    fn sample(&self, place: usize) -> usize {
        match self {
            Self::Recording { rows, .. } => rows[place],
            Self::Matrix(_) => place,
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Recording { recording, .. } => recording.path().display().to_string(),
            Self::Matrix(_) => "the matrix".to_owned(),
        }
    }
}

impl Facts {
    fn add(
        &mut self,
        samples: &Array2<f32>,
        number: impl Fn(usize) -> usize,
        seen: &mut HashSet<u64>,
    ) {
        for (row, sample) in samples.rows().into_iter().enumerate() {
            // FNV-1a over the bits: equal samples have equal hashes.
            let mut hash = 0xcbf2_9ce4_8422_2325u64;
            for (unit, (&value, sum)) in sample.iter().zip(&mut self.unit_sums).enumerate() {
                let wide = f64::from(value);
                *sum += wide;
                self.squares += wide * wide;
                hash = (hash ^ u64::from(value.to_bits())).wrapping_mul(0x100_0000_01b3);
                if value < 0.0 && self.negative.is_none() {
                    self.negative = Some((number(row), unit, value));
                }
            }
            self.duplicates += usize::from(!seen.insert(hash));
        }
    }
}

/// Samples turned into rows of units: `[unit, sample]` from `[sample, unit]`.
fn turned(samples: ArrayView2<'_, f32>) -> Array2<f32> {
    /// Rows and columns moved together, so that both sides stay in the nearest cache.
    const SQUARE: usize = 32;
    let (rows, units) = samples.dim();
    let mut out = vec![0f32; rows * units];
    out.par_chunks_mut(SQUARE * rows.max(1)).enumerate().for_each(|(number, strip)| {
        let first = number * SQUARE;
        for begin in (0..rows).step_by(SQUARE) {
            let end = (begin + SQUARE).min(rows);
            for (unit, line) in strip.chunks_mut(rows).enumerate() {
                for (sample, to) in (begin..end).zip(&mut line[begin..end]) {
                    *to = samples[[sample, first + unit]];
                }
            }
        }
    });
    Array2::from_shape_vec((units, rows), out).expect("as many values as before")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turning_swaps_the_axes() {
        let samples = Array2::from_shape_fn((70, 45), |(s, u)| (s * 100 + u) as f32);
        assert_eq!(turned(samples.view()), samples.t());
    }
}
