//! The linear maps of a checkpoint, and the dictionaries they become.

use ndarray::{Array1, Array2};
use nissl_core::Result;
use nissl_core::features::{Activation, Dictionary, Encoding, InputNorm};

use super::opened::Opened;

/// What the rows of a matrix are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rows {
    Features,
    Units,
}

impl Rows {
    /// The matrix with the features along its rows.
    pub(super) fn features_first(self, matrix: Array2<f32>) -> Array2<f32> {
        match self {
            Self::Features => matrix,
            Self::Units => matrix.t().as_standard_layout().into_owned(),
        }
    }
}

/// The weights of a dictionary as its maker keeps them, apart from what its activation needs.
pub(super) struct Weights {
    /// `[feature, unit]`.
    pub encoder: Array2<f32>,
    /// `[feature]`.
    pub encoder_bias: Option<Array1<f32>>,
    /// `[feature, output unit]`.
    pub decoder: Array2<f32>,
    /// `[output unit]`.
    pub decoder_bias: Option<Array1<f32>>,
}

impl Weights {
    /// An autoencoder; `centred` where the decoder's bias is taken off before the encoder.
    pub(super) fn autoencoder(
        self,
        opened: &Opened,
        activation: Activation,
        norm: InputNorm,
        centred: bool,
    ) -> Result<Dictionary> {
        if self.decoder.ncols() != self.encoder.ncols() {
            let found = format!("{} units", self.decoder.ncols());
            let expected = format!("{}, as in the encoder; or a transcoder", self.encoder.ncols());
            return Err(opened.wrong("decoder", found, &expected));
        }
        let encoding = Encoding::Sparse { activation, norm, centred };
        let mut dictionary = Dictionary::new(self.decoder, encoding);
        dictionary.encoder = Some(self.encoder);
        dictionary.encoder_bias = self.encoder_bias;
        dictionary.decoder_bias = self.decoder_bias;
        Ok(dictionary)
    }

    /// A transcoder, which takes `input_bias` `[unit]` off before the encoder.
    pub(super) fn transcoder(
        self,
        opened: &Opened,
        activation: Activation,
        input_bias: Option<Array1<f32>>,
    ) -> Result<Dictionary> {
        if let Some(bias) = input_bias.as_ref().filter(|bias| bias.len() != self.encoder.ncols()) {
            let expected = format!("{}, the units that are read", self.encoder.ncols());
            return Err(opened.wrong("b_dec", format!("{} numbers", bias.len()), &expected));
        }
        let centred = input_bias.is_some();
        let encoding = Encoding::Sparse { activation, norm: InputNorm::None, centred };
        let mut dictionary = Dictionary::new(self.encoder, encoding);
        dictionary.encoder_bias = self.encoder_bias;
        dictionary.decoder_bias = input_bias;
        dictionary.output_decoder = Some(self.decoder);
        dictionary.output_bias = self.decoder_bias;
        Ok(dictionary)
    }
}
