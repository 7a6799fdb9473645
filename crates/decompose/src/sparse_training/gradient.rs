//! The loss of a batch and its gradient, one function for each way to make activations sparse.
//!
//! `ŷ = W_decᵀ z + b_out (+ W_skip x)`, `loss = Σ_r w_r ‖ŷ_r − y_r‖² + λ/B Σ S(z_r)` with `w = 1/B` (the
//! variance of the target is 1: FVU), or `1/(B d_out ‖y_r‖)` (Dunefsky et al.). The rows of `W_dec` have
//! the norm 1, so that `S = Σ z_i` is the sum of `z_i ‖w_dec,i‖`; of JumpReLU `S` is the number of
//! `z_i > 0`; of gated ones the sum of the gates above 0.
//!
//! JumpReLU learns by straight-through estimators with the rectangle `K(v) = 1` for `|v| < ½`:
//! `∂z/∂θ = −θ/ε K((u − θ)/ε)`, `∂S/∂θ = −1/ε K((u − θ)/ε)`; `θ = exp(log_threshold)`.
//!
//! Source: Dunefsky et al. 2024, arXiv:2406.11944, appendix; Rajamanoharan et al. 2024, arXiv:2407.14435,
//! eqs. 11–12 and appendix J (JumpReLU), arXiv:2404.16014, §3.2 (gated).

use nissl_kernels::gemm::{MatRef, matmul_add};
use nissl_kernels::sparse_code::{
    Select, SparseCode, decode, decode_gradient, encode, encode_gradient,
};

use super::parameters::{Parameters, Shape};
use super::settings::Architecture;

/// Some samples in the units of the training.
#[derive(Clone, Debug, Default)]
pub(super) struct Batch {
    /// `[row, unit]`, what the encoder reads.
    pub(super) input: Vec<f32>,
    /// `[row, output]`
    pub(super) target: Vec<f32>,
    /// `[row]`, what the squared error of a sample counts: 1 over the samples in all but Dunefsky's loss.
    pub(super) weights: Vec<f32>,
}

impl Batch {
    pub(super) fn rows(&self) -> usize {
        self.weights.len()
    }
}

/// What is made small.
#[derive(Clone, Copy, Debug)]
pub(super) struct Objective {
    pub(super) architecture: Architecture,
    pub(super) k: usize,
    /// λ as it is at this step.
    pub(super) penalty: f32,
    pub(super) bandwidth: f32,
}

/// What a batch tells beside the gradient.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    /// The active features of each sample.
    pub(super) code: SparseCode,
    /// `ŷ − y` `[row, output]`
    pub(super) error: Vec<f32>,
    /// The weighted squared error.
    pub(super) error_loss: f64,
    /// The error and the penalties.
    pub(super) loss: f64,
}

/// Adds the gradient of the loss of `batch` to `gradient`.
pub(super) fn gradient(
    parameters: &Parameters,
    shape: Shape,
    batch: &Batch,
    objective: Objective,
    gradient: &mut Parameters,
) -> Outcome {
    // Where the input is rebuilt, the encoder reads what stands above the output's bias.
    let above;
    let input: &[f32] = if shape.tied {
        let bias = &parameters.output_bias;
        let rows = batch.input.chunks_exact(shape.units);
        above = rows.flat_map(|row| row.iter().zip(bias).map(|(x, b)| x - b)).collect::<Vec<f32>>();
        &above
    } else {
        &batch.input
    };
    let mut pass = Pass { parameters, shape, batch, input, gradient };
    match objective.architecture {
        Architecture::JumpRelu => pass.jump(objective),
        Architecture::Gated => pass.gated(objective),
        _ => pass.plain(objective),
    }
}

struct Pass<'a> {
    parameters: &'a Parameters,
    shape: Shape,
    batch: &'a Batch,
    input: &'a [f32],
    gradient: &'a mut Parameters,
}

impl Pass<'_> {
    fn plain(&mut self, objective: Objective) -> Outcome {
        let select = match objective.architecture {
            Architecture::TopK => Select::TopK(objective.k),
            Architecture::BatchTopK => Select::BatchTopK(objective.k),
            Architecture::GroupMax => Select::GroupMax(objective.k),
            _ => Select::Relu,
        };
        let code = self.encode(&self.parameters.encoder_bias, select);
        let (error, error_loss) = self.error(&code);
        let back = self.weighted(&error);
        let mut values = self.decode_back(&code, &back);
        let each = objective.penalty / self.batch.rows() as f32;
        for value in &mut values {
            *value += each;
        }
        let penalty = f64::from(each) * code.values.iter().map(|&z| f64::from(z)).sum::<f64>();
        self.encode_back(&code, &values);
        self.output_back(&back);
        Outcome { loss: error_loss + penalty, code, error, error_loss }
    }

    fn jump(&mut self, objective: Objective) -> Outcome {
        let width = objective.bandwidth;
        let thresholds: Vec<f32> =
            self.parameters.log_threshold.iter().map(|log| log.exp()).collect();
        let lower: Vec<f32> = thresholds.iter().map(|theta| theta - width / 2.0).collect();
        // All that is active, and what is near its threshold with the value 0.
        let mut code = self.encode(&self.parameters.encoder_bias, Select::Above(&lower));
        let products = code.values.clone();
        for (value, &feature) in code.values.iter_mut().zip(&code.indices) {
            if *value <= thresholds[feature as usize] {
                *value = 0.0;
            }
        }
        let (error, error_loss) = self.error(&code);
        let back = self.weighted(&error);
        let mut values = self.decode_back(&code, &back);
        let each = objective.penalty / self.batch.rows() as f32;
        let mut active = 0usize;
        for ((value, &u), &feature) in values.iter_mut().zip(&products).zip(&code.indices) {
            let theta = thresholds[feature as usize];
            if (u - theta).abs() < width / 2.0 {
                let by_threshold = -(*value * theta + each) / width;
                self.gradient.log_threshold[feature as usize] += theta * by_threshold;
            }
            if u > theta {
                active += 1;
            } else {
                *value = 0.0;
            }
        }
        self.encode_back(&code, &values);
        self.output_back(&back);
        drop_zeros(&mut code);
        Outcome { loss: error_loss + f64::from(each) * active as f64, code, error, error_loss }
    }

    fn gated(&mut self, objective: Objective) -> Outcome {
        let Parameters { gate_bias, log_magnitude, encoder_bias, .. } = self.parameters;
        let gates = self.encode(gate_bias, Select::Relu);
        let mut code = gates.clone();
        let mut products = vec![0f32; code.values.len()];
        for ((value, product), &feature) in
            code.values.iter_mut().zip(&mut products).zip(&code.indices)
        {
            let feature = feature as usize;
            *product = *value - gate_bias[feature];
            *value = (log_magnitude[feature].exp() * *product + encoder_bias[feature]).max(0.0);
        }
        let (error, error_loss) = self.error(&code);
        let back = self.weighted(&error);
        let mut values = self.decode_back(&code, &back);
        for (place, value) in values.iter_mut().enumerate() {
            let feature = code.indices[place] as usize;
            let by_size = if code.values[place] > 0.0 { *value } else { 0.0 };
            let factor = log_magnitude[feature].exp();
            self.gradient.log_magnitude[feature] += by_size * factor * products[place];
            self.gradient.encoder_bias[feature] += by_size;
            *value = by_size * factor;
        }
        // The gates themselves must rebuild the target with the decoder held fixed, else nothing would
        // say which to open.
        let (gate_error, gate_loss) = self.error(&gates);
        let gate_back = self.weighted(&gate_error);
        let mut unused = vec![0f32; self.parameters.decoder.len()];
        let outputs = self.shape.outputs;
        let by_gates =
            decode_gradient(&gates, &self.parameters.decoder, outputs, &gate_back, &mut unused);
        let each = objective.penalty / self.batch.rows() as f32;
        for (place, by_gate) in by_gates.iter().enumerate() {
            self.gradient.gate_bias[gates.indices[place] as usize] += by_gate + each;
            values[place] += by_gate + each;
        }
        let penalty = f64::from(each) * gates.values.iter().map(|&g| f64::from(g)).sum::<f64>();
        let bias = std::mem::take(&mut self.gradient.encoder_bias);
        self.gradient.encoder_bias = vec![0.0; bias.len()];
        // Adds to the bias all that went through the products, which is only what centring needs.
        self.encode_back(&gates, &values);
        self.gradient.encoder_bias = bias;
        self.output_back(&back);
        drop_zeros(&mut code);
        Outcome { loss: error_loss + gate_loss + penalty, code, error, error_loss }
    }

    fn encode(&self, bias: &[f32], select: Select<'_>) -> SparseCode {
        encode(self.input, &self.parameters.encoder, Some(bias), self.shape.units, select)
    }

    /// `ŷ − y` `[row, output]` and the weighted sum of its squares.
    fn error(&self, code: &SparseCode) -> (Vec<f32>, f64) {
        let Shape { units, outputs, skip, .. } = self.shape;
        let rows = self.batch.rows();
        let mut error = vec![0f32; rows * outputs];
        let bias = Some(self.parameters.output_bias.as_slice());
        decode(code, &self.parameters.decoder, bias, outputs, &mut error);
        if skip {
            let input = MatRef::row_major(self.input, rows, units);
            let weights = MatRef::row_major(&self.parameters.skip, outputs, units);
            matmul_add(input, weights.transposed(), &mut error);
        }
        let mut loss = 0f64;
        let targets = self.batch.target.chunks_exact(outputs);
        for ((error, target), &weight) in
            error.chunks_exact_mut(outputs).zip(targets).zip(&self.batch.weights)
        {
            let mut squares = 0f64;
            for (error, &target) in error.iter_mut().zip(target) {
                *error -= target;
                squares += f64::from(*error) * f64::from(*error);
            }
            loss += f64::from(weight) * squares;
        }
        (error, loss)
    }

    /// The gradient of the weighted squares by `ŷ`.
    fn weighted(&self, error: &[f32]) -> Vec<f32> {
        let rows = error.chunks_exact(self.shape.outputs).zip(&self.batch.weights);
        rows.flat_map(|(row, &weight)| row.iter().map(move |error| 2.0 * weight * error)).collect()
    }

    fn decode_back(&mut self, code: &SparseCode, back: &[f32]) -> Vec<f32> {
        let (outputs, decoder) = (self.shape.outputs, &self.parameters.decoder);
        decode_gradient(code, decoder, outputs, back, &mut self.gradient.decoder)
    }

    fn encode_back(&mut self, code: &SparseCode, values: &[f32]) {
        let Shape { units, tied, .. } = self.shape;
        let bias = &mut self.gradient.encoder_bias;
        let before = if tied { bias.clone() } else { Vec::new() };
        encode_gradient(code, values, self.input, units, &mut self.gradient.encoder, bias);
        if !tied {
            return;
        }
        // The bias that is taken off the input: − W_encᵀ · what reached the encoder.
        let mut through = vec![0f64; units];
        for (feature, row) in self.parameters.encoder.chunks_exact(units).enumerate() {
            let reached = f64::from(bias[feature] - before[feature]);
            if reached != 0.0 {
                for (through, &weight) in through.iter_mut().zip(row) {
                    *through += reached * f64::from(weight);
                }
            }
        }
        for (gradient, through) in self.gradient.output_bias.iter_mut().zip(through) {
            *gradient -= through as f32;
        }
    }

    fn output_back(&mut self, back: &[f32]) {
        let Shape { units, outputs, skip, .. } = self.shape;
        let mut sums = vec![0f64; outputs];
        for row in back.chunks_exact(outputs) {
            for (sum, &value) in sums.iter_mut().zip(row) {
                *sum += f64::from(value);
            }
        }
        for (gradient, sum) in self.gradient.output_bias.iter_mut().zip(sums) {
            *gradient += sum as f32;
        }
        if skip {
            let rows = self.batch.rows();
            let back = MatRef::row_major(back, rows, outputs).transposed();
            let input = MatRef::row_major(self.input, rows, units);
            matmul_add(back, input, &mut self.gradient.skip);
        }
    }
}

/// Takes out entries of value 0.
fn drop_zeros(code: &mut SparseCode) {
    let mut to = 0;
    let mut begin = 0;
    for row in 1..code.starts.len() {
        let end = code.starts[row];
        for from in begin..end {
            if code.values[from] != 0.0 {
                code.values[to] = code.values[from];
                code.indices[to] = code.indices[from];
                to += 1;
            }
        }
        begin = end;
        code.starts[row] = to;
    }
    code.values.truncate(to);
    code.indices.truncate(to);
}
