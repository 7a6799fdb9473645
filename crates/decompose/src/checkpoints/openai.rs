//! OpenAI's autoencoders of GPT-2: a state dict in a `.pt` file.
//!
//! `z = max(0, W(x' − pre_bias) + latent_bias)`, of the k largest where the activation is `TopK`, whose
//! samples are `x' = (x − mean)/(deviation + 1e-5)`; `x̂ = W_dec z + pre_bias`, un-normed.
//!
//! Source: Gao et al. 2024, arXiv:2406.04093; github.com/openai/sparse_autoencoder (its files).
//! Left out: the identity as an activation.

use nissl_core::Result;
use nissl_core::features::{Activation, InputNorm};
use nissl_core::files::{Item, write_torch};
use serde_json::json;

use super::dictionary_learning::items;
use super::opened::Opened;
use super::pieces::Pieces;
use super::target::{Target, Tensor};
use super::weights::Weights;
use super::{Checkpoint, Maker, Source};

pub(super) fn read(opened: &Opened) -> Result<Checkpoint> {
    let encoder = opened.linear("encoder.weight")?;
    let (features, units) = encoder.dim();
    let decoder = if opened.has("decoder.weight") || !opened.has("decoder.linear.weight") {
        let decoder = opened.linear_of("decoder.weight", [units, features])?;
        decoder.t().as_standard_layout().into_owned()
    } else {
        encoder.clone()
    };
    let weights = Weights {
        encoder,
        encoder_bias: Some(opened.vector("latent_bias", features)?),
        decoder,
        decoder_bias: Some(opened.vector("pre_bias", units)?),
    };
    let after = opened.text(&["activation_state_dict.postact_fn"]).unwrap_or("ReLU");
    let (activation, norm) = match opened.text(&["activation"]).unwrap_or("ReLU") {
        "ReLU" => (Activation::Relu, InputNorm::None),
        "TopK" if after != "ReLU" => {
            return Err(opened.wrong("activation_state_dict.postact_fn", after, "ReLU"));
        }
        "TopK" => {
            let k = opened.k(&["activation_state_dict.k"])?;
            (Activation::TopK { k }, InputNorm::Standard)
        }
        other => return Err(opened.wrong("activation", other, "ReLU or TopK")),
    };
    let dictionary = weights.autoencoder(opened, activation, norm, true)?;
    let mut source = Source::new(Maker::OpenAi);
    source.notes.push("the file does not tell its site; name it with --site".to_owned());
    Ok(Checkpoint { dictionary, source })
}

pub(super) fn write(pieces: Pieces, target: &Target<'_>) -> Result<()> {
    pieces.without_transcoding()?;
    let activation = match (pieces.activation, pieces.norm) {
        (Activation::Relu, InputNorm::None) => json!("ReLU"),
        (Activation::TopK { .. }, InputNorm::Standard) => json!("TopK"),
        (Activation::TopK { .. }, _) => {
            return pieces.refuse("top-k of samples that are not scaled to unit variance");
        }
        (Activation::Relu, _) => {
            return pieces.without_norm();
        }
        _ => return pieces.refuse_activation(),
    };
    let pieces = pieces.centred();
    let mut items = items(vec![
        ("pre_bias", Tensor::Vector(&pieces.decoder_bias)),
        ("encoder.weight", Tensor::Matrix(&pieces.encoder)),
        ("latent_bias", Tensor::Vector(&pieces.encoder_bias)),
        ("decoder.weight", Tensor::Transposed(&pieces.decoder)),
    ]);
    let features = pieces.features();
    items.push(("stats_last_nonzero", Item::I64s(vec![0; features], vec![features])));
    items.push(("activation", Item::Plain(activation)));
    if let Activation::TopK { k } = pieces.activation {
        let state = json!({"k": k, "postact_fn": "ReLU"});
        items.push(("activation_state_dict", Item::Plain(state)));
    }
    write_torch(&target.file("autoencoder.pt")?, &items)
}
