//! SAELens: `cfg.json`, `sae_weights.safetensors`.
//!
//! `u = W_encᵀ(norm(x) − [apply_b_dec_to_input] b_dec) + b_enc`; standard: `max(0, u)`, jumprelu: where
//! `u > threshold`, topk: of the k largest, abstopk: `u` of the k largest magnitudes, gated: as Rajamanoharan
//! et al. 2024. `x̂ = W_decᵀ z + b_dec`, un-normed; of transcoders `ŷ = W_decᵀ z + b_dec [+ W_skip x]` as it is,
//! with `x` before its norm. A top-k that is chosen by `u‖w_dec‖`, factors of the features and a factor of all samples
//! are folded into the weights, the last also into `b_dec`.
//! Versions before 6 have their settings in one level, and take `b_dec` off unless they say otherwise.
//!
//! Source: github.com/decoderesearch/SAELens (the layout of its files); checked against its version 6.54.12.

use ndarray::{Array1, Array2};
use nissl_core::features::{Activation, Dictionary, Encoding, InputNorm};
use nissl_core::{Error, Result};
use serde_json::{Value, json};

use super::find::configuration;
use super::opened::Opened;
use super::pieces::Pieces;
use super::target::{Target, Tensor, json, safetensors};
use super::weights::{Rows, Weights};
use super::{Checkpoint, Maker, Source, sites};

const ARCHITECTURES: &str = "standard, gated, jumprelu, topk, abstopk, transcoder, skip_transcoder, jumprelu_transcoder or \
     jumprelu_skip_transcoder";

pub(super) fn read(opened: &Opened) -> Result<Checkpoint> {
    let architecture = opened.text(&["architecture"]).unwrap_or("standard");
    let gated = architecture == "gated";
    let features = opened.length(if gated { "b_gate" } else { "b_enc" })?;
    let outputs = opened.length("b_dec")?;
    let mut weights = Weights {
        encoder: opened.encoder("W_enc", features, Rows::Units)?,
        encoder_bias: Some(opened.vector(if gated { "b_mag" } else { "b_enc" }, features)?),
        decoder: opened.decoder("W_dec", features, outputs)?,
        decoder_bias: Some(opened.vector("b_dec", outputs)?),
    };
    let function = opened.text(&["activation_fn", "activation_fn_str"]).unwrap_or("relu");
    let top_k = || -> Result<Activation> {
        let k = opened.k(&["k", "activation_fn_kwargs.k"])?;
        Ok(if architecture == "abstopk" {
            Activation::SignedTopK { k }
        } else {
            Activation::TopK { k }
        })
    };
    let activation = match (architecture, function) {
        ("gated", _) => Activation::Gated,
        ("jumprelu" | "jumprelu_transcoder" | "jumprelu_skip_transcoder", _) => {
            Activation::JumpRelu
        }
        ("topk" | "abstopk", _) | ("standard", "topk") => top_k()?,
        ("standard" | "transcoder" | "skip_transcoder", "relu") => Activation::Relu,
        ("standard" | "transcoder" | "skip_transcoder", other) => {
            return Err(opened.wrong("activation_fn_str", other, "relu or topk"));
        }
        (other, _) => return Err(opened.wrong("architecture", other, ARCHITECTURES)),
    };
    let mut source = Source::new(Maker::SaeLens);
    about(opened, &mut source);
    if opened.flag(&["rescale_acts_by_decoder_norm"]) == Some(true) {
        rescale_by_decoder(&mut weights);
    }
    if opened.has("scaling_factor") {
        let factors = opened.vector("scaling_factor", features)?;
        scale_rows(&mut weights.decoder, &factors);
    }
    let norm = norm(opened, &mut weights, &mut source)?;
    // Versions before 6 take it off where they do not say.
    let centred = opened.flag(&["apply_b_dec_to_input"]).unwrap_or(true);
    let mut dictionary = if opened.transcodes(architecture.contains("transcoder")) {
        let hook = source.hook.clone();
        let output = opened.text(&["metadata.hook_name_out", "hook_name_out", "out_hook_point"]);
        (source.site, source.targets) = sites::of_transcoder(hook.as_deref(), output);
        let bias = weights.decoder_bias.clone().filter(|_| centred);
        let mut dictionary = weights.transcoder(opened, activation, bias)?;
        if let Encoding::Sparse { norm: own, .. } = &mut dictionary.encoding {
            *own = norm;
        }
        dictionary
    } else {
        source.site = source.hook.as_deref().and_then(sites::of_hook);
        weights.autoencoder(opened, activation, norm, centred)?
    };
    finish(opened, &mut dictionary, features)?;
    Ok(Checkpoint { dictionary, source })
}

/// What stands beside the linear maps.
fn finish(opened: &Opened, dictionary: &mut Dictionary, features: usize) -> Result<()> {
    if opened.has("threshold") {
        dictionary.threshold = Some(opened.vector("threshold", features)?);
    }
    if opened.text(&["architecture"]) == Some("gated") {
        dictionary.gate_bias = Some(opened.vector("b_gate", features)?);
        dictionary.log_magnitude = Some(opened.vector("r_mag", features)?);
    }
    if opened.has("W_skip") {
        let shape = [dictionary.output_units(), dictionary.units()];
        dictionary.skip = Some(opened.linear_of("W_skip", shape)?);
    }
    Ok(())
}

fn about(opened: &Opened, source: &mut Source) {
    let own = |keys: &[&str]| opened.text(keys).map(str::to_owned);
    source.hook = own(&["metadata.hook_name", "hook_name", "hook_point"]);
    source.model = own(&["metadata.model_name", "model_name"]);
    source.prepend_bos = opened.flag(&["metadata.prepend_bos", "prepend_bos"]);
    if opened.text(&["reshape_activations"]) == Some("hook_z") {
        source.notes.push("heads are joined along the units".to_owned());
    }
    if let Some(head) = opened.value(&["metadata.hook_head_index", "hook_head_index"]) {
        source.notes.push(format!("trained on head {head} of the site alone"));
    }
}

/// What is done to a sample before the encoder; a factor of all samples is folded.
fn norm(opened: &Opened, weights: &mut Weights, source: &mut Source) -> Result<InputNorm> {
    let name = match opened.value(&["normalize_activations"]) {
        None | Some(Value::Bool(false)) => "none",
        Some(Value::Bool(true)) => "expected_average_only_in",
        Some(Value::String(name)) => name,
        Some(other) => return Err(opened.wrong("normalize_activations", other, "a text")),
    };
    match name {
        "none" => Ok(InputNorm::None),
        "constant_norm_rescale" => Ok(InputNorm::Length),
        "layer_norm" => Ok(InputNorm::Standard),
        "expected_average_only_in" => {
            match factor(opened)? {
                Some(factor) => fold(weights, factor, factor),
                None => source.notes.push(
                    "the samples were scaled to an average length of √units in training, by a factor that is \
                     not in the checkpoint: it is taken to be folded into the weights"
                        .to_owned(),
                ),
            }
            Ok(InputNorm::None)
        }
        other => Err(opened.wrong(
            "normalize_activations",
            other,
            "none, expected_average_only_in, constant_norm_rescale or layer_norm",
        )),
    }
}

/// The factor of all samples, in the configuration or in a file of its own.
fn factor(opened: &Opened) -> Result<Option<f64>> {
    let mut found = opened.number(&["norm_scaling_factor", "activation_norm_scaling_factor"])?;
    let path = opened.folder().join("activation_scaler.json");
    if found.is_none() && path.is_file() {
        let value = configuration(&path)?;
        found = value.get("scaling_factor").and_then(Value::as_f64);
    }
    match found {
        Some(factor) if !(factor > 0.0 && factor.is_finite()) => {
            Err(Error::file(&path, "scaling_factor", factor, "a factor above 0"))
        }
        found => Ok(found),
    }
}

/// Folds factors of the samples and of what is predicted: with `W' = f W`, `W_dec' = W_dec / g` and
/// `b_dec' = b_dec / g` the dictionary does to `x` what it did to `f x`.
pub(super) fn fold(weights: &mut Weights, input: f64, output: f64) {
    let scale = |value: &mut f32, by: f64| *value = (f64::from(*value) * by) as f32;
    weights.encoder.iter_mut().for_each(|value| scale(value, input));
    weights.decoder.iter_mut().for_each(|value| scale(value, 1.0 / output));
    weights.decoder_bias.iter_mut().flatten().for_each(|value| scale(value, 1.0 / output));
}

/// Folds a choice by `u‖w_dec‖`: features in units of what they write.
fn rescale_by_decoder(weights: &mut Weights) {
    for (feature, mut row) in weights.decoder.rows_mut().into_iter().enumerate() {
        let squares: f64 = row.iter().map(|&value| f64::from(value) * f64::from(value)).sum();
        let length = squares.sqrt();
        let scale = |value: &mut f32, by: f64| *value = (f64::from(*value) * by) as f32;
        if length > 0.0 {
            row.iter_mut().for_each(|value| scale(value, 1.0 / length));
        }
        weights.encoder.row_mut(feature).iter_mut().for_each(|value| scale(value, length));
        if let Some(bias) = &mut weights.encoder_bias {
            scale(&mut bias[feature], length);
        }
    }
}

fn scale_rows(matrix: &mut Array2<f32>, factors: &Array1<f32>) {
    for (mut row, &factor) in matrix.rows_mut().into_iter().zip(factors) {
        row.mapv_inplace(|value| value * factor);
    }
}

pub(super) fn write(pieces: Pieces, source: &Source, target: &Target<'_>) -> Result<()> {
    let architecture = match (pieces.activation, pieces.transcoder, pieces.skip.is_some()) {
        (Activation::Relu, false, _) => "standard",
        (Activation::Gated, false, _) => "gated",
        (Activation::JumpRelu, false, _) => "jumprelu",
        (Activation::TopK { .. }, false, _) => "topk",
        (Activation::SignedTopK { .. }, false, _) => "abstopk",
        (Activation::Relu, true, false) => "transcoder",
        (Activation::Relu, true, true) => "skip_transcoder",
        (Activation::JumpRelu, true, false) => "jumprelu_transcoder",
        (Activation::JumpRelu, true, true) => "jumprelu_skip_transcoder",
        (Activation::TopK { .. }, true, _) => return pieces.refuse("a top-k transcoder"),
        _ => return pieces.refuse_activation(),
    };
    let pieces = if pieces.transcoder { pieces.uncentred() } else { pieces };
    let norm = match pieces.norm {
        InputNorm::None => "none",
        InputNorm::Length => "constant_norm_rescale",
        InputNorm::Standard => "layer_norm",
        _ => return pieces.refuse("this norm of the samples"),
    };
    let named = |site: Option<&nissl_core::site::Site>| site.and_then(sites::to_hook);
    let hook = named(source.site.as_ref()).or_else(|| source.hook.clone());
    let mut settings = json!({
        "architecture": architecture,
        "d_in": pieces.units(),
        "d_sae": pieces.features(),
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": pieces.input_bias.is_some(),
        "normalize_activations": norm,
        "reshape_activations": "none",
        "metadata": {
            "model_name": source.model,
            "hook_name": hook,
            "prepend_bos": source.prepend_bos,
        },
    });
    if pieces.transcoder {
        settings["d_out"] = pieces.outputs().into();
        settings["metadata"]["hook_name_out"] = named(source.targets.first()).into();
    }
    if let Activation::TopK { k } | Activation::SignedTopK { k } = pieces.activation {
        settings["k"] = k.into();
        settings["rescale_acts_by_decoder_norm"] = false.into();
    }
    let mut tensors = vec![
        ("W_enc", Tensor::Transposed(&pieces.encoder)),
        ("W_dec", Tensor::Matrix(&pieces.decoder)),
        ("b_dec", Tensor::Vector(&pieces.decoder_bias)),
    ];
    if pieces.activation == Activation::Gated {
        tensors.extend([
            ("b_gate", Tensor::Vector(&pieces.gate_bias)),
            ("b_mag", Tensor::Vector(&pieces.encoder_bias)),
            ("r_mag", Tensor::Vector(&pieces.log_magnitude)),
        ]);
    } else {
        tensors.push(("b_enc", Tensor::Vector(&pieces.encoder_bias)));
    }
    if let Some(threshold) =
        pieces.threshold.as_ref().filter(|_| pieces.activation == Activation::JumpRelu)
    {
        tensors.push(("threshold", Tensor::Vector(threshold)));
    }
    if let Some(skip) = &pieces.skip {
        tensors.push(("W_skip", Tensor::Matrix(skip)));
    }
    let [configuration, weights] = target.files(["cfg.json", "sae_weights.safetensors"])?;
    safetensors(&weights, &tensors)?;
    json(&configuration, &settings)
}
