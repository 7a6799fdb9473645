//! Cross-layer transcoders of mntss: `W_enc_l.safetensors` and `W_dec_l.safetensors` for each layer `l`.
//!
//! `z_l = max(0, W_enc_l x_l + b_enc_l)`, `y_m = Σ_{l ≤ m} z_l · W_dec_l[:, m − l] + b_dec_m`. Each layer
//! becomes a dictionary of its own, from its site to those of the layers `l…L − 1`, whose units stand side
//! by side; it holds the bias of its own layer alone, so that the sum over dictionaries is the whole.
//!
//! Source: Ameisen et al. 2025 (cross-layer transcoders); github.com/decoderesearch/circuit-tracer.

use ndarray::Array1;
use nissl_core::Result;
use nissl_core::features::Activation;
use nissl_core::files::TensorFile;
use nissl_core::site::Site;

use super::find::ENCODERS;
use super::opened::Opened;
use super::pieces::Pieces;
use super::target::{Target, Tensor};
use super::weights::{Rows, Weights};
use super::{Checkpoint, Maker, Source};
use nissl_core::numbers::{Block, to_bytes};
use nissl_core::store::write_bytes;

pub(super) fn read(opened: &Opened) -> Result<Checkpoint> {
    let layer = layer(opened)?;
    let [encoder, encoder_bias, bias] =
        ["W_enc", "b_enc", "b_dec"].map(|name| format!("{name}_{layer}"));
    let features = opened.length(&encoder_bias)?;
    let width = opened.length(&bias)?;
    let path = opened.folder().join(format!("W_dec_{layer}.safetensors"));
    let other = Opened {
        file: TensorFile::open(&path)?,
        config: serde_json::Value::Null,
        load: opened.load.clone(),
    };
    let name = format!("W_dec_{layer}");
    let shape = other.shape(&name)?;
    let &[rows, layers, columns] = shape else {
        return Err(other.wrong(&name, format!("{shape:?}"), "[features, layers, units]"));
    };
    if rows != features || columns != width || layers == 0 {
        let expected =
            format!("[{features}, layers, {width}], the features and units of the biases");
        return Err(other.wrong(&name, format!("{shape:?}"), &expected));
    }
    let decoder = other.flattened(&name, [features, layers * width])?;
    let mut output_bias = Array1::zeros(layers * width);
    for (whole, part) in output_bias.iter_mut().zip(&opened.vector(&bias, width)?) {
        *whole = *part;
    }
    let weights = Weights {
        encoder: opened.encoder(&encoder, features, Rows::Features)?,
        encoder_bias: Some(opened.vector(&encoder_bias, features)?),
        decoder,
        decoder_bias: Some(output_bias),
    };
    let mut source = Source::new(Maker::CrossLayer);
    source.model = opened.text(&["model_name"]).map(str::to_owned);
    source.site = Some(Site::new(format!("layers.{layer}.mlp.in")));
    source.targets = (layer..layer + layers)
        .map(|target| Site::new(format!("layers.{target}.mlp.out")))
        .collect();
    source.notes.push(format!(
        "layer {layer} alone, of a transcoder across layers: what the layers predict adds up"
    ));
    let dictionary = weights.transcoder(opened, Activation::Relu, None)?;
    Ok(Checkpoint { dictionary, source })
}

fn layer(opened: &Opened) -> Result<usize> {
    let name = opened.path().file_name().map(|name| name.to_string_lossy().into_owned());
    let number = name
        .as_deref()
        .and_then(|name| name.strip_prefix(ENCODERS[0])?.strip_suffix(ENCODERS[1])?.parse().ok());
    number.ok_or_else(|| opened.wrong("name", name.unwrap_or_default(), "W_enc_N.safetensors"))
}

pub(super) fn write(pieces: Pieces, source: &Source, target: &Target<'_>) -> Result<()> {
    if !pieces.transcoder {
        return pieces.refuse("an autoencoder, which predicts no other site");
    }
    if pieces.activation != Activation::Relu {
        return pieces.refuse_activation();
    }
    pieces.without_norm()?;
    pieces.without_skip()?;
    let pieces = pieces.uncentred();
    let layers = source.targets.len().max(1);
    let width = pieces.outputs() / layers;
    if width * layers != pieces.outputs() {
        return pieces.refuse("layers of different width");
    }
    if pieces.decoder_bias.iter().skip(width).any(|&bias| bias != 0.0) {
        return pieces.refuse("a bias of a later layer");
    }
    let layer = source.site.as_ref().and_then(Site::layer).unwrap_or(0);
    let names = ["W_enc", "b_enc", "b_dec", "W_dec"].map(|name| format!("{name}_{layer}"));
    let [encoders, decoders] = target
        .files([&format!("{}.safetensors", names[0]), &format!("{}.safetensors", names[3])])?;
    let bias: Array1<f32> = pieces.decoder_bias.iter().take(width).copied().collect();
    let (values, _) = Tensor::Matrix(&pieces.decoder).numbers();
    let decoder = Block::f32s(&values, &[pieces.features(), layers, width]);
    write_bytes(&decoders, &to_bytes(&[(&names[3], decoder)])?)?;
    super::target::safetensors(
        &encoders,
        &[
            (&names[0], Tensor::Matrix(&pieces.encoder)),
            (&names[1], Tensor::Vector(&pieces.encoder_bias)),
            (&names[2], Tensor::Vector(&bias)),
        ],
    )
}
