//! Ways back for features that are never active: AuxK, ghost gradients, resampling.
//!
//! AuxK: `α min(1, n_dead/k_aux) ‖ê − e‖²/‖e‖²` with the error `e = y − ŷ` held fixed and `ê` decoded from the
//! `k_aux = d_out/2` largest dead features. Ghost: with `r = y − ŷ` and `g = exp(u_dead) W_dec,dead` brought
//! to half the length of `r`, the mean of `(g − r)²/‖r‖`, brought to the size of the loss; `r`, both factors
//! held fixed. Resampling: a dead feature reads a sample drawn by its squared loss² and writes its error.
//!
//! Source: Gao et al. 2024, arXiv:2406.04093, appendix A.2; Dunefsky et al. 2024, arXiv:2406.11944; Bricken
//! et al. 2023, appendix "Neuron Resampling".
//! Differs: the ghost's residual is `y − ŷ`, of transcoders as well, of which the published code takes
//! `x − ŷ`; resampled features are drawn from the samples of one batch; AuxK and ghost leave alone the bias
//! that an autoencoder takes off its input.
//! Memory: ghost gradients `[256, dead]` numbers; AuxK a copy of the dead features.

use nissl_core::seed::rng;
use nissl_kernels::gemm::{MatRef, matmul, matmul_add};
use nissl_kernels::sparse_code::{Select, decode, decode_gradient, encode, encode_gradient};
use rand::RngExt;

use super::gradient::{Batch, Outcome};
use super::parameters::{Parameters, Shape};

/// Rows whose dead features stand in memory at once.
const TILE: usize = 256;
/// Pre-activations beyond which the exponential grows no more.
const STEEPEST: f32 = 10.0;
/// The length of a resampled encoder, as a share of the mean of the others.
const RESAMPLED: f32 = 0.2;

/// Dead features, and what they are trained on.
pub(super) struct Dead<'a> {
    pub(super) parameters: &'a Parameters,
    pub(super) shape: Shape,
    pub(super) features: &'a [usize],
    pub(super) batch: &'a Batch,
    pub(super) outcome: &'a Outcome,
}

impl Dead<'_> {
    /// Adds the gradient of the auxiliary loss with weight `alpha`; gives the loss.
    pub(super) fn auxiliary(&self, alpha: f64, gradient: &mut Parameters) -> f64 {
        let Shape { units, outputs, .. } = self.shape;
        let wanted = (outputs / 2).max(1);
        let squares: f64 = self.outcome.error.iter().map(|&e| f64::from(e).powi(2)).sum();
        if squares <= 0.0 {
            return 0.0;
        }
        let weight = alpha * (self.features.len() as f64 / wanted as f64).min(1.0) / squares;
        let (encoder, bias, decoder) = self.rows();
        let input = self.input();
        let select = Select::TopK(wanted.min(self.features.len()));
        let code = encode(&input, &encoder, Some(&bias), units, select);
        let mut guess = vec![0f32; self.outcome.error.len()];
        decode(&code, &decoder, None, outputs, &mut guess);
        let mut loss = 0f64;
        for (guess, &error) in guess.iter_mut().zip(&self.outcome.error) {
            // The error is ŷ − y, and y − ŷ is to be found.
            let gap = *guess + error;
            loss += weight * f64::from(gap).powi(2);
            *guess = (2.0 * weight) as f32 * gap;
        }
        let mut by_decoder = vec![0f32; decoder.len()];
        let values = decode_gradient(&code, &decoder, outputs, &guess, &mut by_decoder);
        let mut by_encoder = vec![0f32; encoder.len()];
        let mut by_bias = vec![0f32; bias.len()];
        encode_gradient(&code, &values, &input, units, &mut by_encoder, &mut by_bias);
        self.add(&by_encoder, &by_bias, &by_decoder, gradient);
        loss
    }

    /// Adds ghost gradients; gives the loss.
    pub(super) fn ghost(&self, gradient: &mut Parameters) -> f64 {
        let Shape { units, outputs, .. } = self.shape;
        let (count, rows) = (self.features.len(), self.batch.rows());
        let (encoder, bias, decoder) = self.rows();
        let input = self.input();
        let mut by_encoder = vec![0f32; encoder.len()];
        let mut by_bias = vec![0f32; bias.len()];
        let mut by_decoder = vec![0f32; decoder.len()];
        let encoder = MatRef::row_major(&encoder, count, units);
        let decoder = MatRef::row_major(&decoder, count, outputs);
        let mut loss = 0f64;
        // All is linear in the last factor, which is known in the end.
        let each = 1.0 / (rows * outputs) as f64;
        for first in (0..rows).step_by(TILE) {
            let tile = TILE.min(rows - first);
            let x = MatRef::row_major(&input[first * units..][..tile * units], tile, units);
            let mut sizes = vec![0f32; tile * count];
            matmul(x, encoder.transposed(), &mut sizes);
            for row in sizes.chunks_exact_mut(count) {
                for (value, &bias) in row.iter_mut().zip(&bias) {
                    *value = (*value + bias).min(STEEPEST).exp();
                }
            }
            let mut ghost = vec![0f32; tile * outputs];
            matmul(MatRef::row_major(&sizes, tile, count), decoder, &mut ghost);
            let errors = &self.outcome.error[first * outputs..][..tile * outputs];
            for (ghost, error) in ghost.chunks_exact_mut(outputs).zip(errors.chunks_exact(outputs))
            {
                let length = norm(error);
                let factor = length / (2.0 * norm(ghost) + 1e-6);
                let weight = if length > 0.0 { each / length } else { 0.0 };
                for (ghost, &error) in ghost.iter_mut().zip(error) {
                    let gap = factor * f64::from(*ghost) + f64::from(error);
                    loss += weight * gap * gap;
                    *ghost = (2.0 * weight * factor * gap) as f32;
                }
            }
            let back = MatRef::row_major(&ghost, tile, outputs);
            matmul_add(MatRef::row_major(&sizes, tile, count).transposed(), back, &mut by_decoder);
            let mut by_size = vec![0f32; tile * count];
            matmul(back, decoder.transposed(), &mut by_size);
            for row in by_size.chunks_exact_mut(count).zip(sizes.chunks_exact(count)) {
                for ((value, &size), bias) in row.0.iter_mut().zip(row.1).zip(&mut by_bias) {
                    *value *= size;
                    *bias += *value;
                }
            }
            matmul_add(MatRef::row_major(&by_size, tile, count).transposed(), x, &mut by_encoder);
        }
        let ratio = self.outcome.error_loss / (loss + 1e-6);
        for part in [&mut by_encoder, &mut by_bias, &mut by_decoder] {
            for value in part.iter_mut() {
                *value *= ratio as f32;
            }
        }
        self.add(&by_encoder, &by_bias, &by_decoder, gradient);
        ratio * loss
    }

    /// What the encoder reads.
    fn input(&self) -> Vec<f32> {
        if !self.shape.tied {
            return self.batch.input.clone();
        }
        let rows = self.batch.input.chunks_exact(self.shape.units);
        rows.flat_map(|row| row.iter().zip(&self.parameters.output_bias).map(|(x, b)| x - b))
            .collect()
    }

    /// Encoder, bias and decoder of the dead features. Of gated ones it is the gate that must open.
    fn rows(&self) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
        let Shape { units, outputs, .. } = self.shape;
        let Parameters { encoder, decoder, .. } = self.parameters;
        let bias = self.opening();
        let pick = |matrix: &[f32], width: usize| -> Vec<f32> {
            self.features.iter().flat_map(|&f| &matrix[f * width..][..width]).copied().collect()
        };
        (pick(encoder, units), pick(bias, 1), pick(decoder, outputs))
    }

    fn opening(&self) -> &[f32] {
        let Parameters { gate_bias, encoder_bias, .. } = self.parameters;
        if gate_bias.is_empty() { encoder_bias } else { gate_bias }
    }

    fn add(&self, encoder: &[f32], bias: &[f32], decoder: &[f32], gradient: &mut Parameters) {
        let Shape { units, outputs, .. } = self.shape;
        let gated = !gradient.gate_bias.is_empty();
        let biases = if gated { &mut gradient.gate_bias } else { &mut gradient.encoder_bias };
        for (place, &feature) in self.features.iter().enumerate() {
            biases[feature] += bias[place];
            let parts = [
                (&mut gradient.encoder, encoder, units),
                (&mut gradient.decoder, decoder, outputs),
            ];
            for (to, from, width) in parts {
                let to = &mut to[feature * width..][..width];
                for (to, from) in to.iter_mut().zip(&from[place * width..][..width]) {
                    *to += from;
                }
            }
        }
    }
}

/// Lets dead features begin anew at samples drawn by the square of their squared error, and forgets
/// their `moments`; gives which.
pub(super) fn resample(
    parameters: &mut Parameters,
    moments: [&mut Parameters; 2],
    shape: Shape,
    dead: &[usize],
    batch: &Batch,
    error: &[f32],
    draw: Draw,
) -> Vec<usize> {
    let Shape { units, outputs, .. } = shape;
    let mut rng = rng(draw.seed, draw.stream);
    let mut weights: Vec<f64> =
        error.chunks_exact(outputs).map(|error| norm(error).powi(4)).collect();
    let alive: Vec<usize> = {
        let mut is_dead = vec![false; shape.features];
        for &feature in dead {
            is_dead[feature] = true;
        }
        (0..shape.features).filter(|&feature| !is_dead[feature]).collect()
    };
    let lengths = alive.iter().map(|&f| norm(&parameters.encoder[f * units..][..units]));
    let mean = if alive.is_empty() { 1.0 } else { lengths.sum::<f64>() / alive.len() as f64 };
    let mut begun = Vec::new();
    for &feature in dead {
        let total: f64 = weights.iter().sum();
        if total <= 0.0 {
            break;
        }
        let mut left = rng.random::<f64>() * total;
        let chosen = weights.iter().position(|&weight| {
            left -= weight;
            weight > 0.0 && left <= 0.0
        });
        let Some(row) = chosen.or_else(|| weights.iter().rposition(|&weight| weight > 0.0)) else {
            break;
        };
        weights[row] = 0.0;
        let input = &batch.input[row * units..][..units];
        let reads: Vec<f32> = if shape.tied {
            input.iter().zip(&parameters.output_bias).map(|(x, b)| x - b).collect()
        } else {
            input.to_vec()
        };
        let (length, missing) = (norm(&reads), norm(&error[row * outputs..][..outputs]));
        if length <= 0.0 || missing <= 0.0 {
            continue;
        }
        let factor = f64::from(RESAMPLED) * mean / length;
        for (to, &from) in parameters.encoder[feature * units..][..units].iter_mut().zip(&reads) {
            *to = (f64::from(from) * factor) as f32;
        }
        let written = &mut parameters.decoder[feature * outputs..][..outputs];
        for (to, &from) in written.iter_mut().zip(&error[row * outputs..][..outputs]) {
            // The error is ŷ − y.
            *to = -(f64::from(from) / missing) as f32;
        }
        begun.push(feature);
    }
    for &feature in &begun {
        parameters.encoder_bias[feature] = 0.0;
        if let Some(bias) = parameters.gate_bias.get_mut(feature) {
            *bias = 0.0;
            parameters.log_magnitude[feature] = 0.0;
        }
        if let Some(log) = parameters.log_threshold.get_mut(feature) {
            *log = draw.log_threshold;
        }
    }
    for moments in moments {
        for &feature in &begun {
            moments.encoder[feature * units..][..units].fill(0.0);
            moments.decoder[feature * outputs..][..outputs].fill(0.0);
            let vectors = [
                &mut moments.encoder_bias,
                &mut moments.gate_bias,
                &mut moments.log_magnitude,
                &mut moments.log_threshold,
            ];
            for vector in vectors {
                if let Some(value) = vector.get_mut(feature) {
                    *value = 0.0;
                }
            }
        }
    }
    begun
}

/// Where a resampling draws from, and where thresholds begin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draw {
    pub(super) seed: u64,
    pub(super) stream: u64,
    pub(super) log_threshold: f32,
}

fn norm(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt()
}
