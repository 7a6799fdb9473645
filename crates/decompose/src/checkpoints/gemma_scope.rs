//! Gemma Scope: `layer_N/width_W/average_l0_M/params.npz`, or the same names in safetensors.
//!
//! `z = max(0, u)` where `u = W_encᵀ x + b_enc` is above the threshold; `y = W_decᵀ z + b_dec`. `b_dec` is
//! never taken off before the encoder. Autoencoders of embeddings were trained on embeddings divided by
//! √units, which is folded.
//!
//! Source: Lieberum et al. 2024, arXiv:2408.05147.
//! Left out: the affine connections of later releases.

use nissl_core::Result;
use nissl_core::features::{Activation, InputNorm};
use nissl_core::files::write_arrays;
use nissl_core::site::Site;

use super::opened::Opened;
use super::pieces::Pieces;
use super::sae_lens::fold;
use super::target::{Target, Tensor};
use super::weights::{Rows, Weights};
use super::{Checkpoint, Maker, Source, sites};

pub(super) fn read(opened: &Opened) -> Result<Checkpoint> {
    let lower = opened.has("w_enc");
    let [encoder, decoder] = if lower { ["w_enc", "w_dec"] } else { ["W_enc", "W_dec"] };
    if let Some(name) = opened.file.tensors().keys().find(|name| name.contains("affine")) {
        return Err(opened.wrong(name, "there", "no affine connection, which is not read"));
    }
    let features = opened.length("b_enc")?;
    let outputs = opened.length("b_dec")?;
    let mut weights = Weights {
        encoder: opened.encoder(encoder, features, Rows::Units)?,
        encoder_bias: Some(opened.vector("b_enc", features)?),
        decoder: opened.decoder(decoder, features, outputs)?,
        decoder_bias: Some(opened.vector("b_dec", outputs)?),
    };
    let units = weights.encoder.ncols();
    if !opened.has("threshold") {
        return Err(opened.wrong("threshold", "absent", "one for each feature, by JumpReLU"));
    }
    let threshold = opened.vector("threshold", features)?;
    let path = opened.path().canonicalize().unwrap_or_else(|_gone| opened.path().to_owned());
    let folders: Vec<String> =
        path.iter().rev().skip(1).take(5).map(|name| name.to_string_lossy().into_owned()).collect();
    let mut source = about(opened, &folders);
    let told = outputs != units || folders.iter().any(|name| name.contains("transcoder"));
    let mut dictionary = if opened.transcodes(told) {
        if source.site.is_none()
            && let Some(layer) = layer(&folders)
        {
            source.site = Some(Site::new(format!("layers.{layer}.mlp.in")));
            source.targets = vec![Site::new(format!("layers.{layer}.mlp.out"))];
        }
        source
            .notes
            .push("it predicts the output of the MLP after the norm that follows it".to_owned());
        weights.transcoder(opened, Activation::JumpRelu, None)?
    } else {
        if folders.iter().any(|name| name.contains("embedding")) {
            let root = (units as f64).sqrt();
            fold(&mut weights, 1.0 / root, 1.0 / root);
            source.site = Some(Site::new("embed"));
            source
                .notes
                .push("the scale √units of the embeddings is folded into the weights".to_owned());
        }
        weights.autoencoder(opened, Activation::JumpRelu, InputNorm::None, false)?
    };
    dictionary.threshold = Some(threshold);
    Ok(Checkpoint { dictionary, source })
}

/// What the configuration tells, or else the names of the folders.
fn about(opened: &Opened, folders: &[String]) -> Source {
    let mut source = Source::new(Maker::GemmaScope);
    source.model = opened.text(&["model_name"]).map(str::to_owned);
    source.prepend_bos = Some(true);
    source.hook = opened.text(&["hf_hook_point_in"]).map(str::to_owned);
    if let Some(hook) = &source.hook {
        let output = opened.text(&["hf_hook_point_out"]);
        (source.site, source.targets) = sites::of_transcoder(Some(hook), output);
        return source;
    }
    let kind = folders.iter().find_map(|name| {
        let kinds = [("-res", "resid.post"), ("-att", "attn.z"), ("-mlp", "mlp.out")];
        kinds.iter().find(|(ending, _)| name.ends_with(ending)).map(|(_, part)| *part)
    });
    if let (Some(part), Some(layer)) = (kind, layer(folders)) {
        source.site = Some(Site::new(format!("layers.{layer}.{part}")));
    }
    source
}

fn layer(folders: &[String]) -> Option<usize> {
    folders.iter().find_map(|name| name.strip_prefix("layer_")?.parse().ok())
}

pub(super) fn write(pieces: Pieces, target: &Target<'_>) -> Result<()> {
    pieces.without_norm()?;
    pieces.without_skip()?;
    let threshold = pieces.thresholds()?;
    let pieces = pieces.uncentred();
    let tensors = [
        ("W_enc", Tensor::Transposed(&pieces.encoder)),
        ("W_dec", Tensor::Matrix(&pieces.decoder)),
        ("b_enc", Tensor::Vector(&pieces.encoder_bias)),
        ("b_dec", Tensor::Vector(&pieces.decoder_bias)),
        ("threshold", Tensor::Vector(&threshold)),
    ];
    let arrays = tensors.map(|(name, tensor)| (name, tensor.numbers()));
    let arrays: Vec<(&str, &[f32], Vec<usize>)> = arrays
        .iter()
        .map(|(name, (values, shape))| (*name, values.as_slice(), shape.clone()))
        .collect();
    write_arrays(&target.file("params.npz")?, &arrays)
}
