//! EleutherAI sparsify: `cfg.json`, `sae.safetensors`, in a folder with the name of the module.
//!
//! `z = top-k(max(0, W x' + b))`, `x' = x − b_dec` but for transcoders; `y = W_decᵀ z + b_dec + W_skip x`.
//! Groupmax keeps the largest of each of k groups; an old setting `signed` keeps the largest magnitudes.
//! Before February 2025 transcoders took `b_dec` off as well; their configuration lacks `transcode`.
//!
//! Source: github.com/EleutherAI/sparsify (the layout of its files).

use nissl_core::Result;
use nissl_core::features::{Activation, InputNorm};
use serde_json::json;

use super::find::configuration;
use super::opened::Opened;
use super::pieces::Pieces;
use super::target::{Target, Tensor, json, safetensors};
use super::weights::Weights;
use super::{Checkpoint, Maker, Source, sites};

pub(super) fn read(opened: &Opened) -> Result<Checkpoint> {
    let encoder = opened.linear("encoder.weight")?;
    let (features, units) = encoder.dim();
    let outputs = opened.length("b_dec")?;
    expect_features(opened, features, units)?;
    let k = opened.k(&["k"])?;
    let activation = match opened.text(&["activation"]).unwrap_or("topk") {
        "topk" if opened.flag(&["signed"]) == Some(true) => Activation::SignedTopK { k },
        // All features: what is written of a plain ReLU.
        "topk" if k == features => Activation::Relu,
        "topk" => Activation::TopK { k },
        "groupmax" => Activation::GroupMax { k },
        other => return Err(opened.wrong("activation", other, "topk or groupmax")),
    };
    let mut source = Source::new(Maker::Sparsify);
    source.hook = opened.folder_name();
    source.model = run(opened, "model").and_then(|model| model.as_str().map(str::to_owned));
    let said = opened.flag(&["transcode"]);
    let above = run(opened, "transcode").and_then(|value| value.as_bool());
    let told = said.or(above).unwrap_or(opened.has("W_skip") || outputs != units);
    let weights = Weights {
        encoder,
        encoder_bias: Some(opened.vector("encoder.bias", features)?),
        decoder: opened.decoder("W_dec", features, outputs)?,
        decoder_bias: Some(opened.vector("b_dec", outputs)?),
    };
    let dictionary = if opened.transcodes(told) {
        // Only the configurations of versions that still took it off lack the key.
        let takes_off = said.is_none() && outputs == units && told;
        if takes_off {
            source.notes.push(
                "no `transcode` in the configuration, as before February 2025: b_dec is taken off the input"
                    .to_owned(),
            );
        }
        let bias = weights.decoder_bias.clone().filter(|_| takes_off);
        let mut dictionary = weights.transcoder(opened, activation, bias)?;
        if opened.has("W_skip") {
            dictionary.skip = Some(opened.linear_of("W_skip", [outputs, units])?);
        }
        (source.site, source.targets) = sites::of_transcoder(source.hook.as_deref(), None);
        dictionary
    } else {
        if opened.has("W_skip") {
            return Err(opened.wrong("W_skip", "there", "none in what is no transcoder"));
        }
        source.site = source.hook.as_deref().and_then(sites::of_hook);
        weights.autoencoder(opened, activation, InputNorm::None, true)?
    };
    if source.site.is_none() {
        source.hook = None;
    }
    Ok(Checkpoint { dictionary, source })
}

/// A setting of the training run, whose configuration lies one folder up.
fn run(opened: &Opened, key: &str) -> Option<serde_json::Value> {
    let path = opened.folder().parent()?.join("config.json");
    if !path.is_file() {
        return None;
    }
    configuration(&path).ok()?.get(key).cloned()
}

/// # Errors
/// Another number of features than the configuration says.
fn expect_features(opened: &Opened, found: usize, units: usize) -> Result<()> {
    let expected = match (opened.number(&["num_latents"])?, opened.number(&["expansion_factor"])?) {
        (Some(features), _) if features > 0.0 => features,
        (_, Some(factor)) => factor * units as f64,
        _ => return Ok(()),
    };
    if (expected - found as f64).abs() < 0.5 {
        return Ok(());
    }
    let expected = format!("{expected}, as the configuration says");
    Err(opened.wrong("encoder.weight", format!("of {found} features"), &expected))
}

pub(super) fn write(pieces: Pieces, target: &Target<'_>) -> Result<()> {
    pieces.without_norm()?;
    let features = pieces.features();
    let (activation, k, signed) = match pieces.activation {
        Activation::TopK { k } => ("topk", k.min(features), false),
        Activation::SignedTopK { k } => ("topk", k.min(features), true),
        Activation::GroupMax { k } if features.is_multiple_of(k.max(1)) => ("groupmax", k, false),
        Activation::GroupMax { .. } => return pieces.refuse("groups of unequal size"),
        // Of all features the largest: all.
        Activation::Relu => ("topk", features, false),
        _ => return pieces.refuse_activation(),
    };
    if pieces.outputs() != pieces.units() {
        return pieces.refuse("another number of units at the output");
    }
    let pieces = if pieces.transcoder { pieces.uncentred() } else { pieces.centred() };
    let mut tensors = vec![
        ("encoder.weight", Tensor::Matrix(&pieces.encoder)),
        ("encoder.bias", Tensor::Vector(&pieces.encoder_bias)),
        ("W_dec", Tensor::Matrix(&pieces.decoder)),
        ("b_dec", Tensor::Vector(&pieces.decoder_bias)),
    ];
    if let Some(skip) = &pieces.skip {
        tensors.push(("W_skip", Tensor::Matrix(skip)));
    }
    let mut settings = json!({
        "activation": activation,
        "expansion_factor": features as f64 / pieces.units() as f64,
        "normalize_decoder": false,
        "num_latents": features,
        "k": k,
        "multi_topk": false,
        "skip_connection": pieces.skip.is_some(),
        "transcode": pieces.transcoder,
        "d_in": pieces.units(),
    });
    if signed {
        settings["signed"] = true.into();
    }
    let [configuration, weights] = target.files(["cfg.json", "sae.safetensors"])?;
    safetensors(&weights, &tensors)?;
    json(&configuration, &settings)
}
