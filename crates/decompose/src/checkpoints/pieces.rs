//! A dictionary taken apart for writing, and what of it a layout can say.

use ndarray::{Array1, Array2};
use nissl_core::features::{Activation, Dictionary, Encoding, InputNorm};
use nissl_core::{Error, Result};

use super::Maker;

/// The parts of a dictionary as makers keep them.
pub(super) struct Pieces {
    maker: Maker,
    /// `[feature, unit]`.
    pub encoder: Array2<f32>,
    /// `[feature]`.
    pub encoder_bias: Array1<f32>,
    /// `[unit]`, taken off before the encoder.
    pub input_bias: Option<Array1<f32>>,
    /// `[feature, output unit]`.
    pub decoder: Array2<f32>,
    /// `[output unit]`, added after the decoder.
    pub decoder_bias: Array1<f32>,
    pub activation: Activation,
    pub norm: InputNorm,
    /// `[feature]`.
    pub threshold: Option<Array1<f32>>,
    /// `[feature]`.
    pub gate_bias: Array1<f32>,
    /// `[feature]`.
    pub log_magnitude: Array1<f32>,
    /// `[output unit, unit]`.
    pub skip: Option<Array2<f32>>,
    pub transcoder: bool,
}

impl Pieces {
    /// # Errors
    /// A dictionary that is not encoded by a trained encoder.
    pub(super) fn of(dictionary: &Dictionary, maker: Maker) -> Result<Self> {
        let Encoding::Sparse { activation, norm, centred } = dictionary.encoding else {
            let expected = "that of a sparse autoencoder or transcoder, with a trained encoder";
            let found = serde_json::to_value(dictionary.encoding).unwrap_or_default();
            return Err(Error::setting("encoding", &found["kind"], expected));
        };
        if activation == Activation::JumpRelu && dictionary.threshold.is_none() {
            return Err(Error::setting("threshold", "absent", "one for each feature, by JumpReLU"));
        }
        let (features, outputs) = (dictionary.features(), dictionary.output_units());
        let above_none = |threshold: &Array1<f32>| threshold.iter().all(|&least| least <= 0.0);
        // The same as a plain ReLU, which more layouts can say.
        let activation = match (activation, &dictionary.threshold) {
            (Activation::TopK { k }, _) if k >= features => Activation::Relu,
            (Activation::JumpRelu, Some(threshold)) if above_none(threshold) => Activation::Relu,
            (activation, _) => activation,
        };
        let transcoder = dictionary.output_decoder.is_some();
        let or_zeros = |vector: &Option<Array1<f32>>, length| {
            vector.clone().unwrap_or_else(|| Array1::zeros(length))
        };
        let decoder_bias =
            if transcoder { &dictionary.output_bias } else { &dictionary.decoder_bias };
        let contiguous = |matrix: &Array2<f32>| matrix.as_standard_layout().into_owned();
        Ok(Self {
            maker,
            encoder: contiguous(dictionary.encoder.as_ref().unwrap_or(&dictionary.decoder)),
            encoder_bias: or_zeros(&dictionary.encoder_bias, features),
            input_bias: dictionary.decoder_bias.clone().filter(|_| centred),
            decoder: dictionary.written().as_standard_layout().into_owned(),
            decoder_bias: or_zeros(decoder_bias, outputs),
            activation,
            norm,
            threshold: dictionary.threshold.clone(),
            gate_bias: or_zeros(&dictionary.gate_bias, features),
            log_magnitude: or_zeros(&dictionary.log_magnitude, features),
            skip: dictionary.skip.as_ref().map(contiguous),
            transcoder,
        })
    }

    pub(super) fn features(&self) -> usize {
        self.encoder.nrows()
    }

    pub(super) fn units(&self) -> usize {
        self.encoder.ncols()
    }

    pub(super) fn outputs(&self) -> usize {
        self.decoder.ncols()
    }

    /// The layout cannot say `what`.
    pub(super) fn refuse<T>(&self, what: &str) -> Result<T> {
        Err(Error::setting("as", self.maker, format!("a layout that can express {what}")))
    }

    /// The layout cannot say this activation.
    pub(super) fn refuse_activation<T>(&self) -> Result<T> {
        self.refuse(match self.activation {
            Activation::Relu => "a plain ReLU",
            Activation::TopK { .. } => "top-k",
            Activation::SignedTopK { .. } => "signed top-k",
            Activation::GroupMax { .. } => "the maximum of groups",
            Activation::JumpRelu => "JumpReLU",
            Activation::Gated => "gates",
            _ => "this activation",
        })
    }

    /// # Errors
    /// A transcoder.
    pub(super) fn without_transcoding(&self) -> Result<()> {
        if self.transcoder { self.refuse("a transcoder") } else { Ok(()) }
    }

    /// # Errors
    /// What passes straight to the output.
    pub(super) fn without_skip(&self) -> Result<()> {
        if self.skip.is_some() { self.refuse("a skip connection") } else { Ok(()) }
    }

    /// # Errors
    /// A norm of the samples.
    pub(super) fn without_norm(&self) -> Result<()> {
        match self.norm {
            InputNorm::None => Ok(()),
            InputNorm::Length => self.refuse("samples scaled to one length"),
            _ => self.refuse("samples scaled to unit variance"),
        }
    }

    /// The same dictionary with nothing taken off before the encoder: its biases take that in.
    #[must_use]
    pub(super) fn uncentred(mut self) -> Self {
        if let Some(bias) = self.input_bias.take() {
            self.shift(&bias, -1.0);
        }
        self
    }

    /// The same autoencoder with the decoder's bias taken off before the encoder.
    #[must_use]
    pub(super) fn centred(mut self) -> Self {
        if self.input_bias.is_none() {
            let bias = self.decoder_bias.clone();
            self.shift(&bias, 1.0);
            self.input_bias = Some(bias);
        }
        self
    }

    /// Adds `sign · encoder · bias` to what is added after the encoder.
    fn shift(&mut self, bias: &Array1<f32>, sign: f64) {
        for (feature, row) in self.encoder.rows().into_iter().enumerate() {
            let product: f64 =
                row.iter().zip(bias).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
            let add = |to: &mut f32, by: f64| *to = (f64::from(*to) + sign * by) as f32;
            if self.activation == Activation::Gated {
                add(&mut self.gate_bias[feature], product);
                let magnitude = f64::from(self.log_magnitude[feature]).exp();
                add(&mut self.encoder_bias[feature], magnitude * product);
            } else {
                add(&mut self.encoder_bias[feature], product);
            }
        }
    }

    /// The threshold of every feature; 0 stands for a plain ReLU.
    ///
    /// # Errors
    /// Another activation.
    pub(super) fn thresholds(&self) -> Result<Array1<f32>> {
        match (self.activation, &self.threshold) {
            (Activation::JumpRelu, Some(threshold)) => Ok(threshold.clone()),
            (Activation::Relu, _) => Ok(Array1::zeros(self.features())),
            _ => self.refuse_activation(),
        }
    }
}
