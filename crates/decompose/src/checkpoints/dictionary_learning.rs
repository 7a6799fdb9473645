//! dictionary_learning: `config.json` with `trainer.dict_class`, and `ae.pt`.
//!
//! AutoEncoder `z = max(0, W(x − bias) + b)`, `x̂ = W_dec z + bias`; AutoEncoderNew the same without
//! taking the bias off; TopK and BatchTopK, Matryoshka take `b_dec` off, and the latter two keep what is
//! above one threshold; Gated as Rajamanoharan et al. 2024; JumpRelu `z = u` where `u` is above the
//! feature's threshold.
//!
//! Source: github.com/saprmarks/dictionary_learning (the layout of its files).

use std::borrow::Cow;

use ndarray::Array1;
use nissl_core::Result;
use nissl_core::features::{Activation, InputNorm};
use nissl_core::files::{Item, write_torch};
use serde_json::json;

use super::opened::Opened;
use super::pieces::Pieces;
use super::target::{Target, Tensor, json};
use super::weights::{Rows, Weights};
use super::{Checkpoint, Maker, Source, sites};

const CLASSES: &str = "AutoEncoder, AutoEncoderNew, AutoEncoderTopK, BatchTopKSAE, \
                       MatryoshkaBatchTopKSAE, GatedAutoEncoder or JumpReluAutoEncoder";

pub(super) fn read(opened: &Opened) -> Result<Checkpoint> {
    let class = match opened.text(&["trainer.dict_class"]) {
        Some(class) => class,
        None => by_names(opened)?,
    };
    let mut source = Source::new(Maker::DictionaryLearning);
    source.model = opened.text(&["trainer.lm_name"]).map(str::to_owned);
    source.hook = opened.text(&["trainer.submodule_name"]).map(str::to_owned);
    source.site = source.hook.as_deref().and_then(sites::of_hook).or_else(|| {
        let layer = opened.value(&["trainer.layer"])?.as_u64()?;
        let kind = source.hook.as_deref()?;
        sites::of_hook(&format!("{kind}_layer_{layer}"))
    });
    let (mut threshold, mut gates) = (None, None);
    let (weights, activation, centred) = match class {
        "AutoEncoder" => (linear(opened, "encoder.bias", "bias")?, Activation::Relu, true),
        "AutoEncoderNew" => {
            (linear(opened, "encoder.bias", "decoder.bias")?, Activation::Relu, false)
        }
        "AutoEncoderTopK" | "BatchTopKSAE" => {
            let weights = linear(opened, "encoder.bias", "b_dec")?;
            let limit = if class == "BatchTopKSAE" { limit(opened)? } else { None };
            threshold = limit.map(|limit| Array1::from_elem(weights.encoder.nrows(), limit));
            (weights, sparse(opened, limit, class, &mut source)?, true)
        }
        "MatryoshkaBatchTopKSAE" => {
            let weights = raw(opened)?;
            let limit = limit(opened)?;
            threshold = limit.map(|limit| Array1::from_elem(weights.encoder.nrows(), limit));
            (weights, sparse(opened, limit, class, &mut source)?, true)
        }
        "GatedAutoEncoder" => {
            let weights = linear(opened, "mag_bias", "decoder_bias")?;
            let features = weights.encoder.nrows();
            gates =
                Some((opened.vector("gate_bias", features)?, opened.vector("r_mag", features)?));
            (weights, Activation::Gated, true)
        }
        "JumpReluAutoEncoder" => {
            let weights = raw(opened)?;
            threshold = Some(opened.vector("threshold", weights.encoder.nrows())?);
            (weights, Activation::JumpRelu, false)
        }
        other => return Err(opened.wrong("trainer.dict_class", other, CLASSES)),
    };
    let mut dictionary = weights.autoencoder(opened, activation, InputNorm::None, centred)?;
    dictionary.threshold = threshold;
    if let Some((gate_bias, log_magnitude)) = gates {
        dictionary.gate_bias = Some(gate_bias);
        dictionary.log_magnitude = Some(log_magnitude);
    }
    Ok(Checkpoint { dictionary, source })
}

fn by_names(opened: &Opened) -> Result<&'static str> {
    Ok(match opened.has("encoder.weight") {
        true if opened.has("gate_bias") => "GatedAutoEncoder",
        true if opened.has("bias") => "AutoEncoder",
        true if opened.has("b_dec") && opened.has("threshold") => "BatchTopKSAE",
        true if opened.has("b_dec") => "AutoEncoderTopK",
        true if opened.has("decoder.bias") => "AutoEncoderNew",
        false if opened.has("group_sizes") => "MatryoshkaBatchTopKSAE",
        false if opened.has("threshold") => "JumpReluAutoEncoder",
        _ => return Err(opened.wrong("trainer.dict_class", "absent", CLASSES)),
    })
}

/// With linear layers, whose biases have these names.
fn linear(opened: &Opened, encoder_bias: &str, decoder_bias: &str) -> Result<Weights> {
    let encoder = opened.linear("encoder.weight")?;
    let (features, units) = encoder.dim();
    let decoder = opened.linear_of("decoder.weight", [units, features])?;
    Ok(Weights {
        encoder_bias: Some(opened.vector(encoder_bias, features)?),
        decoder: decoder.t().as_standard_layout().into_owned(),
        decoder_bias: Some(opened.vector(decoder_bias, units)?),
        encoder,
    })
}

/// With bare matrices.
fn raw(opened: &Opened) -> Result<Weights> {
    let features = opened.length("b_enc")?;
    let units = opened.length("b_dec")?;
    Ok(Weights {
        encoder: opened.encoder("W_enc", features, Rows::Units)?,
        encoder_bias: Some(opened.vector("b_enc", features)?),
        decoder: opened.decoder("W_dec", features, units)?,
        decoder_bias: Some(opened.vector("b_dec", units)?),
    })
}

/// The threshold that training with batches has found; −1 stands for none.
fn limit(opened: &Opened) -> Result<Option<f32>> {
    if !opened.has("threshold") {
        return Ok(None);
    }
    Ok(Some(opened.scalar("threshold")?).filter(|limit| *limit >= 0.0))
}

fn sparse(
    opened: &Opened,
    limit: Option<f32>,
    class: &str,
    source: &mut Source,
) -> Result<Activation> {
    if limit.is_some() {
        return Ok(Activation::JumpRelu);
    }
    if class != "AutoEncoderTopK" {
        source
            .notes
            .push("its threshold was never set: the k largest of each sample are kept".to_owned());
    }
    Ok(Activation::TopK { k: opened.k(&["trainer.k"])? })
}

pub(super) fn write(pieces: Pieces, source: &Source, target: &Target<'_>) -> Result<()> {
    pieces.without_norm()?;
    pieces.without_transcoding()?;
    let (class, pieces) = match pieces.activation {
        Activation::Relu if pieces.input_bias.is_some() => ("AutoEncoder", pieces),
        Activation::Relu => ("AutoEncoderNew", pieces),
        Activation::TopK { .. } => ("AutoEncoderTopK", pieces.centred()),
        Activation::Gated => ("GatedAutoEncoder", pieces.centred()),
        Activation::JumpRelu => ("JumpReluAutoEncoder", pieces.uncentred()),
        _ => return pieces.refuse_activation(),
    };
    let (features, units) = (pieces.features(), pieces.units());
    let mut trainer = json!({
        "dict_class": class,
        "activation_dim": units,
        "dict_size": features,
        "layer": source.site.as_ref().and_then(nissl_core::site::Site::layer),
        "lm_name": source.model,
        "submodule_name": source.site.as_ref().and_then(submodule),
    });
    let mut whole = Vec::new();
    let (encoder, bias, decoder) = (&pieces.encoder, &pieces.encoder_bias, &pieces.decoder);
    let centre = Tensor::Vector(&pieces.decoder_bias);
    let mut tensors = vec![];
    if class == "JumpReluAutoEncoder" {
        tensors.push(("W_enc", Tensor::Transposed(encoder)));
        tensors.push(("b_enc", Tensor::Vector(bias)));
        tensors.push(("W_dec", Tensor::Matrix(decoder)));
        tensors.push(("b_dec", centre));
        tensors.extend(pieces.threshold.as_ref().map(|t| ("threshold", Tensor::Vector(t))));
    } else {
        tensors.push(("encoder.weight", Tensor::Matrix(encoder)));
        tensors.push(("decoder.weight", Tensor::Transposed(decoder)));
        let names = match class {
            "AutoEncoder" => ["encoder.bias", "bias"],
            "AutoEncoderNew" => ["encoder.bias", "decoder.bias"],
            "AutoEncoderTopK" => ["encoder.bias", "b_dec"],
            _ => ["mag_bias", "decoder_bias"],
        };
        tensors.push((names[0], Tensor::Vector(bias)));
        tensors.push((names[1], centre));
    }
    if class == "GatedAutoEncoder" {
        tensors.push(("gate_bias", Tensor::Vector(&pieces.gate_bias)));
        tensors.push(("r_mag", Tensor::Vector(&pieces.log_magnitude)));
    }
    if let Activation::TopK { k } = pieces.activation {
        trainer["k"] = k.into();
        whole.push(("k", Item::I64s(vec![k as i64], Vec::new())));
        whole.push(("threshold", Item::F32s(Cow::Owned(vec![-1.0]), Vec::new())));
    }
    let mut items = items(tensors);
    items.extend(whole);
    let [configuration, weights] = target.files(["config.json", "ae.pt"])?;
    write_torch(&weights, &items)?;
    json(&configuration, &json!({"trainer": trainer, "buffer": {}}))
}

/// Tensors as a file of PyTorch holds them.
pub(super) fn items<'a>(tensors: Vec<(&'a str, Tensor<'_>)>) -> Vec<(&'a str, Item<'a>)> {
    let item = |tensor: &Tensor<'_>| {
        let (values, shape) = tensor.numbers();
        Item::F32s(Cow::Owned(values), shape)
    };
    tensors.iter().map(|(name, tensor)| (*name, item(tensor))).collect()
}

/// What its scripts call a place.
fn submodule(site: &nissl_core::site::Site) -> Option<String> {
    let kind = match site.part() {
        "resid.post" => "resid_post",
        "resid.pre" => "resid_pre",
        "mlp.out" => "mlp_out",
        "attn.out" => "attention_out",
        _ => return None,
    };
    Some(format!("{kind}_layer_{}", site.layer()?))
}
