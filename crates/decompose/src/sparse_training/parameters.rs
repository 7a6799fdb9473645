//! What is trained, in the units of the training: input and target centred, of mean square length 1.

use ndarray::{Array1, Array2};
use nissl_core::features::{Dictionary, Encoding, InputNorm};
use nissl_core::seed::rng;
use rand::RngExt;

use super::settings::{Architecture, Training};

/// How large everything is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) units: usize,
    pub(super) outputs: usize,
    pub(super) features: usize,
    /// Whether the input itself is rebuilt, from what stands above the output's bias.
    pub(super) tied: bool,
    pub(super) skip: bool,
}

/// All numbers that are trained, or as many gradients or moments; empty where there are none.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Parameters {
    /// `[feature, unit]`
    pub(super) encoder: Vec<f32>,
    /// `[feature]`; of gated ones that of the magnitudes
    pub(super) encoder_bias: Vec<f32>,
    /// `[feature, output]`, rows of norm 1
    pub(super) decoder: Vec<f32>,
    /// `[output]`
    pub(super) output_bias: Vec<f32>,
    /// `[feature]`
    pub(super) gate_bias: Vec<f32>,
    /// `[feature]`
    pub(super) log_magnitude: Vec<f32>,
    /// `[feature]`
    pub(super) log_threshold: Vec<f32>,
    /// `[output, unit]`
    pub(super) skip: Vec<f32>,
}

/// The names of the parts, in their order.
pub(super) const PARTS: [&str; 8] = [
    "encoder",
    "encoder_bias",
    "decoder",
    "output_bias",
    "gate_bias",
    "log_magnitude",
    "log_threshold",
    "skip",
];

impl Parameters {
    pub(super) fn parts(&self) -> [&Vec<f32>; 8] {
        [
            &self.encoder,
            &self.encoder_bias,
            &self.decoder,
            &self.output_bias,
            &self.gate_bias,
            &self.log_magnitude,
            &self.log_threshold,
            &self.skip,
        ]
    }

    pub(super) fn parts_mut(&mut self) -> [&mut Vec<f32>; 8] {
        [
            &mut self.encoder,
            &mut self.encoder_bias,
            &mut self.decoder,
            &mut self.output_bias,
            &mut self.gate_bias,
            &mut self.log_magnitude,
            &mut self.log_threshold,
            &mut self.skip,
        ]
    }

    /// As many zeros.
    pub(super) fn zeros(&self) -> Self {
        let mut zeros = Self::default();
        for (to, from) in zeros.parts_mut().into_iter().zip(self.parts()) {
            to.resize(from.len(), 0.0);
        }
        zeros
    }

    /// Sets all to 0.
    pub(super) fn clear(&mut self) {
        for part in self.parts_mut() {
            part.fill(0.0);
        }
    }

    /// The beginning: Kaiming-uniform encoder and decoder, the decoder's rows of norm 1, an encoder
    /// that is the decoder where the input is rebuilt, biases and skip 0.
    pub(super) fn initial(shape: Shape, training: &Training) -> Self {
        let Shape { units, outputs, features, tied, skip } = shape;
        let mut rng = rng(training.seed, 0xd1c7);
        let mut uniform = |width: usize| -> Vec<f32> {
            let most = 1.0 / (width as f32).sqrt();
            (0..features * width).map(|_| rng.random_range(-most..=most)).collect()
        };
        let mut decoder = uniform(outputs);
        nissl_kernels::sparse_code::unit_rows(&mut decoder, outputs);
        let encoder = if tied { decoder.clone() } else { uniform(units) };
        let of = |wanted: bool, value: f32| if wanted { vec![value; features] } else { Vec::new() };
        let gated = training.architecture == Architecture::Gated;
        let jumps = training.architecture == Architecture::JumpRelu;
        Self {
            encoder,
            encoder_bias: vec![0.0; features],
            decoder,
            output_bias: vec![0.0; outputs],
            gate_bias: of(gated, 0.0),
            log_magnitude: of(gated, 0.0),
            log_threshold: of(jumps, training.threshold.ln() as f32),
            skip: if skip { vec![0.0; outputs * units] } else { Vec::new() },
        }
    }
}

/// What stands between the activity and the units of the training: `x′ = scale · (x − mean)`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scale {
    pub(super) mean: Vec<f32>,
    pub(super) scale: f32,
}

impl Scale {
    /// Centres `samples` `[row, unit]` and brings them to mean square length 1, or leaves their length.
    pub(super) fn of(samples: &[f32], units: usize, keep_length: bool) -> Self {
        let rows = (samples.len() / units).max(1) as f64;
        let mut sums = vec![0f64; units];
        for row in samples.chunks_exact(units) {
            for (sum, &value) in sums.iter_mut().zip(row) {
                *sum += f64::from(value);
            }
        }
        let mean: Vec<f32> = sums.iter().map(|sum| (sum / rows) as f32).collect();
        let mut squares = 0f64;
        for row in samples.chunks_exact(units) {
            for (&mean, &value) in mean.iter().zip(row) {
                squares += f64::from(value - mean).powi(2);
            }
        }
        let variance = squares / rows;
        let scale = if keep_length || variance <= 0.0 { 1.0 } else { variance.sqrt().recip() };
        Self { mean, scale: scale as f32 }
    }

    /// Puts `samples` `[row, unit]` into the units of the training.
    pub(super) fn apply(&self, samples: &mut [f32]) {
        for row in samples.chunks_exact_mut(self.mean.len()) {
            for (value, &mean) in row.iter_mut().zip(&self.mean) {
                *value = self.scale * (*value - mean);
            }
        }
    }
}

/// The dictionary that does with the activity what `parameters` do in the units of the training.
///
/// With `x′ = s (x − x̄)` and `y′ = t (y − ȳ)`, the activations are those of the training over `t`, so
/// that the rows of the decoder keep the norm 1.
pub(super) fn dictionary(
    parameters: &Parameters,
    shape: Shape,
    training: &Training,
    scales: [&Scale; 2],
    least: f64,
) -> Dictionary {
    let Shape { units, outputs, features, tied, .. } = shape;
    let [input, target] = scales;
    let (s, t) = (input.scale, if tied { input.scale } else { target.scale });
    let matrix = |values: &[f32], rows: usize, factor: f32| {
        let columns = values.len() / rows.max(1);
        Array2::from_shape_fn((rows, columns), |(row, column)| {
            values[row * columns + column] * factor
        })
    };
    let encoding = Encoding::Sparse {
        activation: training.activation(),
        norm: InputNorm::None,
        centred: tied,
    };
    // What the mean of the input adds to the products, `[feature]`.
    let shift: Vec<f32> = if tied {
        vec![0.0; features]
    } else {
        let rows = parameters.encoder.chunks_exact(units);
        rows.map(|row| (f64::from(s) * dot(row, &input.mean)) as f32).collect()
    };
    let factors = |feature: usize| parameters.log_magnitude.get(feature).map_or(1.0, |r| r.exp());
    let over =
        |value: &dyn Fn(usize) -> f32| (0..features).map(|i| value(i) / t).collect::<Array1<f32>>();
    let bias = over(&|i| parameters.encoder_bias[i] - factors(i) * shift[i]);
    let written = matrix(&parameters.decoder, features, 1.0);
    let mut offset: Array1<f32> = (0..outputs)
        .map(|unit| {
            let mean = if tied { input.mean[unit] } else { target.mean[unit] };
            mean + parameters.output_bias[unit] / t
        })
        .collect();
    let mut dictionary = if tied {
        let mut dictionary = Dictionary::new(written, encoding);
        dictionary.encoder = Some(matrix(&parameters.encoder, features, 1.0));
        dictionary.decoder_bias = Some(offset);
        dictionary
    } else {
        let read = matrix(&parameters.encoder, features, s / t);
        let mut dictionary = Dictionary::new(read, encoding);
        if shape.skip {
            let skip = matrix(&parameters.skip, outputs, s / t);
            for (offset, row) in offset.iter_mut().zip(skip.rows()) {
                *offset -= dot(&row.to_vec(), &input.mean) as f32;
            }
            dictionary.skip = Some(skip);
        }
        dictionary.output_decoder = Some(written);
        dictionary.output_bias = Some(offset);
        dictionary
    };
    dictionary.encoder_bias = Some(bias);
    match training.architecture {
        Architecture::Gated => {
            dictionary.gate_bias = Some(over(&|i| parameters.gate_bias[i] - shift[i]));
            dictionary.log_magnitude = Some(parameters.log_magnitude.iter().copied().collect());
        }
        Architecture::JumpRelu => {
            dictionary.threshold = Some(over(&|i| parameters.log_threshold[i].exp()));
        }
        Architecture::BatchTopK => dictionary.threshold = Some(over(&|_| least as f32)),
        _ => {}
    }
    dictionary
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}
