//! `Dictionary`: directions over units, and how a sample is written in them.

use ndarray::{Array1, Array2, ArrayView2, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::nonnegative::{self, Steps};
use super::product::product;
use super::sparse::{Activation, InputNorm, stand_for};
use super::warning::Warning;
use crate::error::{Error, Result};

/// How a dictionary turns a sample into activations; kept in the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Encoding {
    /// A feature is a unit: its activation is that unit's activity.
    Identity,
    /// `(x − decoder_bias) · encoderᵀ + encoder_bias`, signed; without an encoder by the decoder.
    Projection,
    /// 1 for the feature nearest to the sample, 0 for all others.
    Nearest,
    /// `max(0, mean distance − distance)` (Coates, Lee, Ng 2011, §4.2); reconstruction by the
    /// nearest feature.
    Triangle,
    /// Coefficients `≥ 0` by multiplicative steps with the dictionary held fixed (semi-NMF).
    NonNegative {
        /// Steps at most.
        iterations: usize,
        /// Relative improvement of a sample's loss below which it is done.
        tolerance: f64,
    },
    /// Coefficients `≥ 0` of least squared error.
    NonNegativeExact,
    /// By a trained encoder; see the head of `sparse.rs`.
    Sparse {
        /// What becomes of the pre-activations.
        #[serde(flatten)]
        activation: Activation,
        /// What is done to a sample before.
        #[serde(default)]
        norm: InputNorm,
        /// Whether `decoder_bias` is taken off before the encoder.
        centred: bool,
    },
}

/// Features as directions over units, with what is needed to encode new samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Dictionary {
    /// `[feature, unit]`; a row is a feature's direction. Of a dictionary from one site to another, the
    /// direction that it reads.
    pub decoder: Array2<f32>,
    /// `[feature, unit]`, where it is not the decoder.
    pub encoder: Option<Array2<f32>>,
    /// `[feature]`, added after the encoder.
    pub encoder_bias: Option<Array1<f32>>,
    /// `[unit]`, subtracted before the encoder (where the encoding is centred) and added after the
    /// decoder.
    pub decoder_bias: Option<Array1<f32>>,
    /// `[feature]`, below which an activation is zero.
    pub threshold: Option<Array1<f32>>,
    /// `[feature, output unit]` of dictionaries from one site to another.
    pub output_decoder: Option<Array2<f32>>,
    /// `[output unit]`, added after the output decoder.
    pub output_bias: Option<Array1<f32>>,
    /// `[output unit, unit]`: what passes straight from the samples to the output (skip transcoders).
    pub skip: Option<Array2<f32>>,
    /// `[feature]` of gated dictionaries: added to the products that open the gates.
    pub gate_bias: Option<Array1<f32>>,
    /// `[feature]` of gated dictionaries: logarithms of the factors of the products.
    pub log_magnitude: Option<Array1<f32>>,
    /// The loss after each iteration of the fit.
    pub loss: Vec<f32>,
    /// The final loss of each restart.
    pub restarts: Vec<f64>,
    /// How samples are encoded.
    pub encoding: Encoding,
    /// What the reader of a result must know.
    pub warnings: Vec<Warning>,
}

impl Dictionary {
    /// A dictionary of directions alone.
    pub fn new(decoder: Array2<f32>, encoding: Encoding) -> Self {
        Self {
            decoder,
            encoder: None,
            encoder_bias: None,
            decoder_bias: None,
            threshold: None,
            output_decoder: None,
            output_bias: None,
            skip: None,
            gate_bias: None,
            log_magnitude: None,
            loss: Vec::new(),
            restarts: Vec::new(),
            encoding,
            warnings: Vec::new(),
        }
    }

    /// The number of features.
    pub fn features(&self) -> usize {
        self.decoder.nrows()
    }

    /// The number of units.
    pub fn units(&self) -> usize {
        self.decoder.ncols()
    }

    /// Activations `[sample, feature]` of `samples` `[sample, unit]`.
    ///
    /// # Errors
    /// Other units than the dictionary's, or a value that is not finite.
    pub fn encode(&self, samples: ArrayView2<'_, f32>) -> Result<Array2<f32>> {
        self.fits("the activity", samples.ncols())?;
        if let Some(((sample, unit), &found)) =
            samples.indexed_iter().find(|(_, value)| !value.is_finite())
        {
            return Err(Error::NotFinite { sample: sample as u64, unit: unit as u64, found });
        }
        let mut out = match self.encoding {
            Encoding::Identity => self.gather(samples),
            Encoding::Projection => self.project(samples),
            Encoding::Nearest => {
                let mut out = Array2::zeros((samples.nrows(), self.features()));
                let scores = self.half_distances(samples);
                for (mut row, score) in out.rows_mut().into_iter().zip(scores.rows()) {
                    row[first_least(score.iter().copied())] = 1.0;
                }
                out
            }
            Encoding::Triangle => self.triangle(samples),
            Encoding::NonNegative { iterations, tolerance } => {
                let steps = Steps { iterations, tolerance };
                nonnegative::multiplicative(&self.correlate(samples), self.decoder.view(), steps)
            }
            Encoding::NonNegativeExact => {
                nonnegative::exact(&self.correlate(samples), self.decoder.view())
            }
            Encoding::Sparse { activation, norm, centred } => {
                return Ok(self.encode_sparse(samples, activation, norm, centred));
            }
        };
        if let Some(threshold) = &self.threshold {
            for mut row in out.rows_mut() {
                row.zip_mut_with(threshold, |value, least| {
                    if *value <= *least {
                        *value = 0.0;
                    }
                });
            }
        }
        Ok(out)
    }

    /// The samples `[sample, unit]` that `activations` `[sample, feature]` stand for.
    ///
    /// # Errors
    /// Another number of features than the dictionary's.
    pub fn reconstruct(&self, activations: ArrayView2<'_, f32>) -> Result<Array2<f32>> {
        self.has(activations)?;
        let mut out = match self.encoding {
            Encoding::Triangle => {
                let nearest: Vec<usize> = activations
                    .rows()
                    .into_iter()
                    .map(|row| first_least(row.iter().map(|value| -value)))
                    .collect();
                self.decoder.select(Axis(0), &nearest)
            }
            Encoding::Identity => {
                let mut out = Array2::zeros((activations.nrows(), self.units()));
                for (feature, unit) in self.chosen_units().into_iter().enumerate() {
                    out.column_mut(unit).assign(&activations.column(feature));
                }
                out
            }
            Encoding::Sparse { .. } => stand_for(activations, &self.decoder),
            _ => product(activations, self.decoder.view()),
        };
        if let Some(bias) = &self.decoder_bias {
            out += bias;
        }
        Ok(out)
    }

    /// # Errors
    /// Another number of features than the dictionary's.
    pub(super) fn has(&self, activations: ArrayView2<'_, f32>) -> Result<()> {
        if activations.ncols() == self.features() {
            return Ok(());
        }
        let expected = format!("{}, as in the dictionary", self.features());
        Err(Error::setting("features", activations.ncols(), expected))
    }

    /// # Errors
    /// Another number of units than the dictionary's.
    pub(super) fn fits(&self, what: &str, found: usize) -> Result<()> {
        if found == self.units() {
            return Ok(());
        }
        Err(Error::Units {
            left: what.to_owned(),
            found,
            right: "the dictionary".to_owned(),
            expected: self.units(),
            help: None,
        })
    }

    /// The unit that each feature of an identity dictionary copies.
    fn chosen_units(&self) -> Vec<usize> {
        self.decoder
            .rows()
            .into_iter()
            .map(|row| first_least(row.iter().map(|value| -value)))
            .collect()
    }

    fn gather(&self, samples: ArrayView2<'_, f32>) -> Array2<f32> {
        samples.select(Axis(1), &self.chosen_units())
    }

    fn project(&self, samples: ArrayView2<'_, f32>) -> Array2<f32> {
        let encoder = self.encoder.as_ref().unwrap_or(&self.decoder);
        // The bias is taken off before the product: after it, large means would cancel badly.
        let mut out = match &self.decoder_bias {
            Some(bias) => product((&samples - bias).view(), encoder.t()),
            None => product(samples, encoder.t()),
        };
        if let Some(bias) = &self.encoder_bias {
            out += bias;
        }
        out
    }

    /// Inner products of samples and features `[sample, feature]`.
    fn correlate(&self, samples: ArrayView2<'_, f32>) -> Array2<f32> {
        match &self.decoder_bias {
            Some(bias) => product((&samples - bias).view(), self.decoder.t()),
            None => product(samples, self.decoder.t()),
        }
    }

    /// `½‖c‖² − x·c` `[sample, feature]`: half the squared distance less what no feature changes.
    fn half_distances(&self, samples: ArrayView2<'_, f32>) -> Array2<f32> {
        let mut out = self.correlate(samples);
        let halves: Array1<f32> =
            self.decoder.rows().into_iter().map(|row| squared(row.iter()) as f32 / 2.0).collect();
        for mut row in out.rows_mut() {
            row.zip_mut_with(&halves, |value, half| *value = half - *value);
        }
        out
    }

    fn triangle(&self, samples: ArrayView2<'_, f32>) -> Array2<f32> {
        let mut out = self.half_distances(samples);
        let features = self.features() as f64;
        out.axis_iter_mut(Axis(0)).into_par_iter().zip(samples.axis_iter(Axis(0))).for_each(
            |(mut row, sample)| {
                let own = squared(sample.iter());
                let distance = |half: f32| (own + 2.0 * f64::from(half)).max(0.0).sqrt();
                let mean = row.iter().map(|&half| distance(half)).sum::<f64>() / features;
                row.mapv_inplace(|half| (mean - distance(half)).max(0.0) as f32);
            },
        );
        out
    }
}

fn squared<'a>(values: impl Iterator<Item = &'a f32>) -> f64 {
    values.map(|&value| f64::from(value) * f64::from(value)).sum()
}

/// The first place of the least value.
fn first_least(values: impl Iterator<Item = f32>) -> usize {
    let mut best = (0, f32::INFINITY);
    for (place, value) in values.enumerate() {
        if value < best.1 {
            best = (place, value);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    fn corners(encoding: Encoding) -> Dictionary {
        Dictionary::new(array![[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [1.0, 1.0, 1.0]], encoding)
    }

    #[test]
    fn nearest_and_triangle_follow_the_distances() {
        let samples = array![[0.9f32, 0.1, 0.0], [0.0, 3.0, 0.0], [1.0, 0.9, 0.9]];
        let nearest = corners(Encoding::Nearest);
        let found = nearest.encode(samples.view()).expect("encodes");
        assert_eq!(found, Array2::<f32>::eye(3));
        assert_eq!(nearest.reconstruct(found.view()).expect("decodes"), nearest.decoder);

        let triangle = corners(Encoding::Triangle);
        let found = triangle.encode(samples.view()).expect("encodes");
        // Distances of the second sample by hand: √10, 1, √6.
        let mean = (10f32.sqrt() + 1.0 + 6f32.sqrt()) / 3.0;
        let truth = [0.0, mean - 1.0, 0.0];
        for (found, truth) in found.row(1).iter().zip(truth) {
            assert!((found - truth).abs() < 1e-5, "{found} {truth}");
        }
        let back = triangle.reconstruct(found.view()).expect("decodes");
        assert_eq!(back, triangle.decoder);
    }

    #[test]
    fn a_projection_takes_its_bias_off_and_puts_it_on() {
        let mut dictionary = Dictionary::new(array![[0.6, 0.8], [-0.8, 0.6]], Encoding::Projection);
        dictionary.decoder_bias = Some(array![10.0, -3.0]);
        let samples = array![[1.0f32, 2.0], [10.0, -3.0]];
        let found = dictionary.encode(samples.view()).expect("encodes");
        assert!((found[[0, 0]] - (-9.0 * 0.6 + 5.0 * 0.8)).abs() < 1e-5);
        assert!(found[[1, 0]].abs() < 1e-6 && found[[1, 1]].abs() < 1e-6);
        let back = dictionary.reconstruct(found.view()).expect("decodes");
        assert!((&back - &samples).iter().all(|gap| gap.abs() < 1e-5));
    }

    #[test]
    fn an_identity_copies_the_chosen_units() {
        let dictionary =
            Dictionary::new(array![[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]], Encoding::Identity);
        let samples = array![[1.0f32, 2.0, -3.0]];
        let found = dictionary.encode(samples.view()).expect("encodes");
        assert_eq!(found, array![[-3.0, 1.0]]);
        let back = dictionary.reconstruct(found.view()).expect("decodes");
        assert_eq!(back, array![[1.0, 0.0, -3.0]]);
    }

    #[test]
    fn a_threshold_silences_what_does_not_pass_it() {
        let mut dictionary = Dictionary::new(Array2::eye(2), Encoding::Projection);
        dictionary.threshold = Some(array![0.5, 2.0]);
        let found = dictionary.encode(array![[0.6f32, 1.0]].view()).expect("encodes");
        assert_eq!(found, array![[0.6, 0.0]]);
    }

    #[test]
    fn wrong_units_and_missing_values_are_told() {
        let dictionary = corners(Encoding::NonNegativeExact);
        let narrow = dictionary.encode(Array2::zeros((1, 2)).view());
        assert!(matches!(narrow, Err(Error::Units { found: 2, expected: 3, .. })));
        let missing = dictionary.encode(array![[0.0, 1.0, 2.0], [0.0, f32::NAN, 0.0]].view());
        assert!(matches!(missing, Err(Error::NotFinite { sample: 1, unit: 1, .. })));
        assert!(dictionary.reconstruct(Array2::zeros((1, 2)).view()).is_err());
    }
}
