//! transcoder_circuits: a `.pt` file with a pickled configuration (`cfg`) and a `state_dict`.
//!
//! `z = max(0, W_encᵀ(x − b_dec) + b_enc)`, `y = W_decᵀ z + b_dec_out`; of an autoencoder `b_dec` again.
//! The class of the configuration is passed over; its plain values are read. Written files hold them as a
//! dict, which that program must make an object of.
//!
//! Source: Dunefsky, Chlenski, Nanda 2024, arXiv:2406.11944.

use ndarray::Array1;
use nissl_core::Result;
use nissl_core::features::{Activation, InputNorm};
use nissl_core::files::{Item, write_torch};
use nissl_core::site::Site;
use serde_json::json;

use super::dictionary_learning::items;
use super::opened::Opened;
use super::pieces::Pieces;
use super::target::{Target, Tensor};
use super::weights::{Rows, Weights};
use super::{Checkpoint, Maker, Source, sites};

pub(super) fn read(opened: &Opened) -> Result<Checkpoint> {
    let features = opened.length("b_enc")?;
    let transcodes = opened.transcodes(opened.has("b_dec_out"));
    let output_bias = if opened.has("b_dec_out") { "b_dec_out" } else { "b_dec" };
    let outputs = opened.length(output_bias)?;
    let weights = Weights {
        encoder: opened.encoder("W_enc", features, Rows::Units)?,
        encoder_bias: Some(opened.vector("b_enc", features)?),
        decoder: opened.decoder("W_dec", features, outputs)?,
        decoder_bias: Some(opened.vector(output_bias, outputs)?),
    };
    let units = weights.encoder.ncols();
    let mut source = Source::new(Maker::Dunefsky);
    source.hook = opened.text(&["cfg.hook_point"]).map(str::to_owned);
    source.model = opened.text(&["cfg.model_name"]).map(str::to_owned);
    let dictionary = if transcodes {
        let output = opened.text(&["cfg.out_hook_point"]);
        (source.site, source.targets) = sites::of_transcoder(source.hook.as_deref(), output);
        let input_bias = opened.vector("b_dec", units)?;
        weights.transcoder(opened, Activation::Relu, Some(input_bias))?
    } else {
        source.site = source.hook.as_deref().and_then(sites::of_hook);
        weights.autoencoder(opened, Activation::Relu, InputNorm::None, true)?
    };
    Ok(Checkpoint { dictionary, source })
}

pub(super) fn write(pieces: Pieces, source: &Source, target: &Target<'_>) -> Result<()> {
    pieces.without_norm()?;
    pieces.without_skip()?;
    if pieces.activation != Activation::Relu {
        return pieces.refuse_activation();
    }
    let pieces = if pieces.transcoder { pieces } else { pieces.centred() };
    let none = Array1::zeros(pieces.units());
    let input_bias = pieces.input_bias.as_ref().unwrap_or(&none);
    let mut tensors = vec![
        ("W_enc", Tensor::Transposed(&pieces.encoder)),
        ("b_enc", Tensor::Vector(&pieces.encoder_bias)),
        ("W_dec", Tensor::Matrix(&pieces.decoder)),
        ("b_dec", Tensor::Vector(input_bias)),
    ];
    if pieces.transcoder {
        tensors.push(("b_dec_out", Tensor::Vector(&pieces.decoder_bias)));
    }
    let place = |site: Option<&Site>| (site.and_then(sites::to_hook), site.and_then(Site::layer));
    let (hook, layer) = place(source.site.as_ref());
    let (out_hook, out_layer) = place(source.targets.first());
    let settings = json!({
        "model_name": source.model,
        "hook_point": hook,
        "hook_point_layer": layer,
        "is_transcoder": pieces.transcoder,
        "out_hook_point": out_hook,
        "out_hook_point_layer": out_layer,
        "d_in": pieces.units(),
        "d_out": pieces.outputs(),
        "d_sae": pieces.features(),
        "dtype": "float32",
    });
    let file = [("cfg", Item::Plain(settings)), ("state_dict", Item::Dict(items(tensors)))];
    write_torch(&target.file("transcoder.pt")?, &file)
}
