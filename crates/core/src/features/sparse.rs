//! How trained sparse dictionaries (sparse autoencoders and transcoders) turn samples into activations.
//!
//! `u = encoder · (norm(x) − [centred] decoder_bias) + encoder_bias`, then an [`Activation`].
//! What the norm takes off is put back on what the dictionary says of the same site; what a
//! transcoder says of another site, it says unscaled.
//!
//! Source: Cunningham et al. 2023, arXiv:2309.08600 (ReLU); Gao et al. 2024, arXiv:2406.04093 (top-k);
//! Rajamanoharan et al. 2024, arXiv:2404.16014 (gated), arXiv:2407.14435 (JumpReLU).

use ndarray::{Array1, Array2, ArrayView2, ArrayViewMut1, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::code;
use super::dictionary::{Dictionary, Encoding};
use super::product::{add_product, product};
use crate::error::{Error, Result};

/// What becomes of the pre-activations `u` of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "activation", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Activation {
    /// `max(0, u)`.
    Relu,
    /// `max(0, u)` of the `k` largest; of equal ones the first.
    TopK {
        /// Features of a sample.
        k: usize,
    },
    /// `u` of the `k` largest magnitudes.
    SignedTopK {
        /// Features of a sample.
        k: usize,
    },
    /// `max(0, u)` of the largest in each of `k` groups of neighbouring features.
    GroupMax {
        /// Groups.
        k: usize,
    },
    /// `max(0, u)` where `u` is above the feature's threshold, which must be there.
    JumpRelu,
    /// `max(0, u)` where the gate `encoder · x + gate_bias` is above 0; the magnitude is
    /// `u = exp(log_magnitude) · (encoder · x) + encoder_bias`.
    Gated,
}

/// What is done to a sample before it is encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum InputNorm {
    /// Nothing.
    #[default]
    None,
    /// `x · √units / ‖x‖`.
    Length,
    /// `(x − mean) / (deviation + 1e-5)` over the units, with `units − 1` in the deviation.
    Standard,
}

/// What an [`InputNorm`] took off a sample and what is put back: `shift + scale · normed`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Taken {
    /// Added back to every unit.
    pub shift: f32,
    /// Multiplied back.
    pub scale: f32,
}

impl InputNorm {
    /// Norms a sample `[unit]` in place.
    pub fn apply(self, mut sample: ArrayViewMut1<'_, f32>) -> Taken {
        let units = sample.len() as f64;
        let taken = match self {
            Self::None => return Taken { shift: 0.0, scale: 1.0 },
            Self::Length => {
                let squares: f64 = sample.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
                let scale = (squares / units).sqrt();
                Taken { shift: 0.0, scale: if scale > 0.0 { scale as f32 } else { 1.0 } }
            }
            Self::Standard => {
                let mean = sample.iter().map(|&x| f64::from(x)).sum::<f64>() / units;
                let squares: f64 = sample.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum();
                let deviation = (squares / (units - 1.0).max(1.0)).sqrt();
                Taken { shift: mean as f32, scale: deviation as f32 }
            }
        };
        // What is put back lacks the small number, as in every tool that norms so.
        let more = if self == Self::Standard { 1e-5 } else { 0.0 };
        let divisor = (f64::from(taken.scale) + more) as f32;
        sample.mapv_inplace(|x| (x - taken.shift) / divisor);
        taken
    }
}

impl Dictionary {
    /// The number of units of the site it writes to.
    pub fn output_units(&self) -> usize {
        self.output_decoder.as_ref().map_or(self.units(), Array2::ncols)
    }

    /// `[feature, output unit]`: what a feature writes; the decoder, but of a dictionary from one site
    /// to another the output decoder.
    pub fn written(&self) -> ArrayView2<'_, f32> {
        self.output_decoder.as_ref().unwrap_or(&self.decoder).view()
    }

    /// What the dictionary makes of `samples` `[sample, unit]` with their `activations`
    /// `[sample, feature]`: the samples again, or the activity `[sample, output unit]` of the site it
    /// writes to.
    ///
    /// # Errors
    /// Other units or features than the dictionary's, or fewer activations than samples.
    pub fn predict(
        &self,
        samples: ArrayView2<'_, f32>,
        activations: ArrayView2<'_, f32>,
    ) -> Result<Array2<f32>> {
        self.fits("the activity", samples.ncols())?;
        if samples.nrows() != activations.nrows() {
            let expected = format!("{}, one for each sample", samples.nrows());
            return Err(Error::setting("activations", activations.nrows(), expected));
        }
        let Some(decoder) = &self.output_decoder else {
            let mut out = self.reconstruct(activations)?;
            if let Encoding::Sparse { norm, .. } = self.encoding
                && norm != InputNorm::None
            {
                put_back(&mut out, &normed(samples, norm).1);
            }
            return Ok(out);
        };
        self.has(activations)?;
        let mut out = stand_for(activations, decoder);
        if let Some(bias) = &self.output_bias {
            out += bias;
        }
        if let Some(skip) = &self.skip {
            add_product(out.view_mut(), samples, skip.t());
        }
        Ok(out)
    }

    pub(super) fn encode_sparse(
        &self,
        samples: ArrayView2<'_, f32>,
        activation: Activation,
        norm: InputNorm,
        centred: bool,
    ) -> Array2<f32> {
        let encoder = self.encoder.as_ref().unwrap_or(&self.decoder);
        let mut input = normed(samples, norm).0;
        if let Some(bias) = self.decoder_bias.as_ref().filter(|_| centred) {
            input -= bias;
        }
        let parts = Parts::of(self);
        if let Some(out) = code::activations(input.view(), encoder, activation, &parts) {
            return out;
        }
        let mut out = product(input.view(), encoder.t());
        activate(&mut out, activation, &parts);
        out
    }
}

/// `activations · directions`, by the rows at work where they are few.
pub(super) fn stand_for(activations: ArrayView2<'_, f32>, directions: &Array2<f32>) -> Array2<f32> {
    code::stands_for(activations, directions)
        .unwrap_or_else(|| product(activations, directions.view()))
}

/// The parts of a dictionary that its activation needs beside the products.
pub(super) struct Parts<'a> {
    /// `[feature]`.
    pub(super) bias: Option<&'a Array1<f32>>,
    /// `[feature]`.
    pub(super) threshold: Option<&'a Array1<f32>>,
    /// `[feature]`.
    pub(super) gate_bias: Option<&'a Array1<f32>>,
    /// `[feature]`.
    pub(super) log_magnitude: Option<&'a Array1<f32>>,
}

impl<'a> Parts<'a> {
    pub(super) fn of(dictionary: &'a Dictionary) -> Self {
        Self {
            bias: dictionary.encoder_bias.as_ref(),
            threshold: dictionary.threshold.as_ref(),
            gate_bias: dictionary.gate_bias.as_ref(),
            log_magnitude: dictionary.log_magnitude.as_ref(),
        }
    }

    /// The magnitude of a gated feature whose product with a sample is `product`.
    pub(super) fn magnitude(&self, feature: usize, product: f32) -> f32 {
        let at = |values: Option<&Array1<f32>>| values.map_or(0.0, |values| values[feature]);
        at(self.log_magnitude).exp() * product + at(self.bias)
    }
}

/// Activations in place of the products `encoder · x` `[sample, feature]`.
pub(super) fn activate(products: &mut Array2<f32>, activation: Activation, parts: &Parts<'_>) {
    products.axis_iter_mut(Axis(0)).into_par_iter().for_each(|row| one(row, activation, parts));
}

fn one(mut row: ArrayViewMut1<'_, f32>, activation: Activation, parts: &Parts<'_>) {
    if activation == Activation::Gated {
        for (feature, value) in row.iter_mut().enumerate() {
            let opens = *value + parts.gate_bias.map_or(0.0, |bias| bias[feature]) > 0.0;
            let size = parts.magnitude(feature, *value);
            *value = if opens { size.max(0.0) } else { 0.0 };
        }
        return;
    }
    if let Some(bias) = parts.bias {
        row += bias;
    }
    match activation {
        Activation::Relu | Activation::Gated => row.mapv_inplace(|u| u.max(0.0)),
        Activation::JumpRelu => {
            if let Some(threshold) = parts.threshold {
                row.zip_mut_with(threshold, |u, &least| *u = if *u > least { *u } else { 0.0 });
            }
            row.mapv_inplace(|u| u.max(0.0));
        }
        Activation::TopK { k } => {
            keep_largest(row.view_mut(), k, |u| u);
            row.mapv_inplace(|u| u.max(0.0));
        }
        Activation::SignedTopK { k } => keep_largest(row, k, f32::abs),
        Activation::GroupMax { k } => {
            let size = row.len().div_ceil(k.max(1)).max(1);
            for mut group in row.axis_chunks_iter_mut(Axis(0), size) {
                keep_largest(group.view_mut(), 1, |u| u);
                group.mapv_inplace(|u| u.max(0.0));
            }
        }
    }
}

/// Sets all to zero but the `k` largest by `size`; of equal ones the first stay.
fn keep_largest(mut row: ArrayViewMut1<'_, f32>, k: usize, size: impl Fn(f32) -> f32) {
    if k >= row.len() {
        return;
    }
    if k == 0 {
        row.fill(0.0);
        return;
    }
    let mut sizes: Vec<f32> = row.iter().map(|&u| size(u)).collect();
    let (_, &mut least, _) = sizes.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
    let above = row.iter().filter(|&&u| size(u).total_cmp(&least).is_gt()).count();
    let mut ties = k - above;
    for u in &mut row {
        match size(*u).total_cmp(&least) {
            std::cmp::Ordering::Greater => {}
            std::cmp::Ordering::Equal if ties > 0 => ties -= 1,
            _ => *u = 0.0,
        }
    }
}

/// Samples normed, and what was taken off each.
fn normed(samples: ArrayView2<'_, f32>, norm: InputNorm) -> (Array2<f32>, Vec<Taken>) {
    let mut out = samples.to_owned();
    let taken = out.rows_mut().into_iter().map(|row| norm.apply(row)).collect();
    (out, taken)
}

/// Puts back what norms took off the samples that `out` `[sample, unit]` stands for.
fn put_back(out: &mut Array2<f32>, taken: &[Taken]) {
    for (mut row, taken) in out.rows_mut().into_iter().zip(taken) {
        row.mapv_inplace(|x| taken.shift + taken.scale * x);
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    const BARE: Parts<'_> =
        Parts { bias: None, threshold: None, gate_bias: None, log_magnitude: None };

    fn activated(activation: Activation, parts: &Parts<'_>) -> Vec<f32> {
        let mut rows = array![[-3.0f32, 1.0, 2.0, -0.5, 2.0, 0.5]];
        activate(&mut rows, activation, parts);
        rows.into_raw_vec_and_offset().0
    }

    #[test]
    fn each_activation_keeps_what_its_formula_keeps() {
        assert_eq!(activated(Activation::Relu, &BARE), [0.0, 1.0, 2.0, 0.0, 2.0, 0.5]);
        let first_of_equal = activated(Activation::TopK { k: 1 }, &BARE);
        assert_eq!(first_of_equal, [0.0, 0.0, 2.0, 0.0, 0.0, 0.0]);
        // A negative one among the k largest gives no activation.
        let wide = activated(Activation::TopK { k: 5 }, &BARE);
        assert_eq!(wide, [0.0, 1.0, 2.0, 0.0, 2.0, 0.5]);
        let signed = activated(Activation::SignedTopK { k: 2 }, &BARE);
        assert_eq!(signed, [-3.0, 0.0, 2.0, 0.0, 0.0, 0.0]);
        let groups = activated(Activation::GroupMax { k: 3 }, &BARE);
        assert_eq!(groups, [0.0, 1.0, 2.0, 0.0, 2.0, 0.0]);
        let threshold = array![0.0, 1.0, 1.9, 0.0, 3.0, -2.0];
        let jump = activated(Activation::JumpRelu, &Parts { threshold: Some(&threshold), ..BARE });
        assert_eq!(jump, [0.0, 0.0, 2.0, 0.0, 0.0, 0.5]);
    }

    #[test]
    fn a_gate_opens_by_its_own_bias_and_the_size_has_its_own_scale() {
        let (gate, log) = (array![4.0, -2.0, 0.0, 0.0, 0.0, 0.0], Array1::from_elem(6, 2f32.ln()));
        let bias = Array1::from_elem(6, 7.0);
        let parts =
            Parts { bias: Some(&bias), gate_bias: Some(&gate), log_magnitude: Some(&log), ..BARE };
        let found = activated(Activation::Gated, &parts);
        for (found, truth) in found.iter().zip([1.0, 0.0, 11.0, 0.0, 11.0, 8.0]) {
            assert!((found - truth).abs() < 1e-5, "{found} {truth}");
        }
    }

    #[test]
    fn norms_are_undone_by_what_they_took() {
        let samples = array![[3.0f32, -4.0, 0.0], [1.0, 2.0, 6.0]];
        let (length, taken) = normed(samples.view(), InputNorm::Length);
        let squares = length.row(0).iter().map(|x| x * x).sum::<f32>();
        assert!((squares - 3.0).abs() < 1e-5);
        let mut back = length;
        put_back(&mut back, &taken);
        assert!((&back - &samples).iter().all(|gap| gap.abs() < 1e-5));
        let (standard, taken) = normed(samples.view(), InputNorm::Standard);
        // Of 1, 2, 6: mean 3, squares 4 + 1 + 9 over 2 is 7.
        assert!((standard[[1, 2]] - 3.0 / (7f32.sqrt() + 1e-5)).abs() < 1e-5);
        let mut back = standard;
        put_back(&mut back, &taken);
        assert!((&back - &samples).iter().all(|gap| gap.abs() < 2e-5));
    }
}
