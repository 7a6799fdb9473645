//! Goodfire's autoencoders of R1: a state dict of two linear layers in a `.pt` file.
//!
//! `z = max(0, W x + b)`, `x̂ = W_dec z + b_dec`.

use nissl_core::Result;
use nissl_core::features::{Activation, InputNorm};
use nissl_core::files::write_torch;

use super::dictionary_learning::items;
use super::opened::Opened;
use super::pieces::Pieces;
use super::target::{Target, Tensor};
use super::weights::Weights;
use super::{Checkpoint, Maker, Source};

pub(super) fn read(opened: &Opened) -> Result<Checkpoint> {
    let linear = opened.has("encoder_linear.weight");
    let [encoder, decoder] =
        if linear { ["encoder_linear", "decoder_linear"] } else { ["encoder", "decoder"] };
    let [encoder_bias, decoder_bias] = [encoder, decoder].map(|name| format!("{name}.bias"));
    let encoder = opened.linear(&format!("{encoder}.weight"))?;
    let (features, units) = encoder.dim();
    let decoder = opened.linear_of(&format!("{decoder}.weight"), [units, features])?;
    let weights = Weights {
        encoder,
        encoder_bias: Some(opened.vector(&encoder_bias, features)?),
        decoder: decoder.t().as_standard_layout().into_owned(),
        decoder_bias: Some(opened.vector(&decoder_bias, units)?),
    };
    let dictionary = weights.autoencoder(opened, Activation::Relu, InputNorm::None, false)?;
    let mut source = Source::new(Maker::Goodfire);
    source.notes.push("the file does not tell its site; name it with --site".to_owned());
    Ok(Checkpoint { dictionary, source })
}

pub(super) fn write(pieces: Pieces, target: &Target<'_>) -> Result<()> {
    pieces.without_norm()?;
    pieces.without_transcoding()?;
    if pieces.activation != Activation::Relu {
        return pieces.refuse_activation();
    }
    let pieces = pieces.uncentred();
    let items = items(vec![
        ("encoder.weight", Tensor::Matrix(&pieces.encoder)),
        ("encoder.bias", Tensor::Vector(&pieces.encoder_bias)),
        ("decoder.weight", Tensor::Transposed(&pieces.decoder)),
        ("decoder.bias", Tensor::Vector(&pieces.decoder_bias)),
    ]);
    write_torch(&target.file("autoencoder.pt")?, &items)
}
