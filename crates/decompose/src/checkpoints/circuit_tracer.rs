//! circuit-tracer: one `layer_N.safetensors` for each layer, and `config.yaml`.
//!
//! `z = max(0, W_enc x + b_enc)`, where there are thresholds only above them; `y = W_decᵀ z + b_dec +
//! W_skip x`. `W_dec` lies either way: its shape tells.
//!
//! Source: github.com/decoderesearch/circuit-tracer (the layout of its files).

use nissl_core::Result;
use nissl_core::features::Activation;
use nissl_core::site::Site;
use nissl_core::store::write_bytes;

use super::find::LAYERS;
use super::opened::Opened;
use super::pieces::Pieces;
use super::target::{Target, Tensor, safetensors};
use super::weights::{Rows, Weights};
use super::{Checkpoint, Maker, Source, sites};

pub(super) fn read(opened: &Opened) -> Result<Checkpoint> {
    let features = opened.length("b_enc")?;
    let outputs = opened.length("b_dec")?;
    let weights = Weights {
        encoder: opened.encoder("W_enc", features, Rows::Features)?,
        encoder_bias: Some(opened.vector("b_enc", features)?),
        decoder: opened.decoder("W_dec", features, outputs)?,
        decoder_bias: Some(opened.vector("b_dec", outputs)?),
    };
    let units = weights.encoder.ncols();
    let threshold = ["threshold", "activation_function.threshold"]
        .into_iter()
        .find(|name| opened.has(name))
        .map(|name| opened.vector(name, features))
        .transpose()?;
    let activation = if threshold.is_some() { Activation::JumpRelu } else { Activation::Relu };
    let mut source = Source::new(Maker::CircuitTracer);
    source.model = opened.text(&["model_name"]).map(str::to_owned);
    if let Some(layer) = layer(opened) {
        let hook = |keys, default: &str| {
            format!("blocks.{layer}.{}", opened.text(keys).unwrap_or(default))
        };
        let input = hook(&["feature_input_hook"], "mlp.hook_in");
        let output = hook(&["feature_output_hook"], "mlp.hook_out");
        (source.site, source.targets) = sites::of_transcoder(Some(&input), Some(&output));
        source.hook = Some(input);
    }
    let mut dictionary = weights.transcoder(opened, activation, None)?;
    dictionary.threshold = threshold;
    if opened.has("W_skip") {
        dictionary.skip = Some(opened.linear_of("W_skip", [outputs, units])?);
    }
    Ok(Checkpoint { dictionary, source })
}

fn layer(opened: &Opened) -> Option<usize> {
    let name = opened.path().file_name()?.to_str()?;
    name.strip_prefix(LAYERS[0])?.strip_suffix(LAYERS[1])?.parse().ok()
}

pub(super) fn write(pieces: Pieces, source: &Source, target: &Target<'_>) -> Result<()> {
    if !pieces.transcoder {
        return pieces.refuse("an autoencoder, which predicts no other site");
    }
    pieces.without_norm()?;
    pieces.thresholds()?;
    let pieces = pieces.uncentred();
    let mut tensors = vec![
        ("W_enc", Tensor::Matrix(&pieces.encoder)),
        ("W_dec", Tensor::Matrix(&pieces.decoder)),
        ("b_enc", Tensor::Vector(&pieces.encoder_bias)),
        ("b_dec", Tensor::Vector(&pieces.decoder_bias)),
    ];
    if let Some(skip) = &pieces.skip {
        tensors.push(("W_skip", Tensor::Matrix(skip)));
    }
    let threshold = pieces.threshold.as_ref();
    if let Some(threshold) = threshold.filter(|_| pieces.activation == Activation::JumpRelu) {
        tensors.push(("threshold", Tensor::Vector(threshold)));
    }
    let layer = source.site.as_ref().and_then(Site::layer).unwrap_or(0);
    let [weights] = target.files([&format!("{}{layer}{}", LAYERS[0], LAYERS[1])])?;
    let within = |site: Option<&Site>, default: &str| {
        let hook = site.and_then(|site| match site.part() {
            "mlp.in" => Some("mlp.hook_in".to_owned()),
            "mlp.out" => Some("mlp.hook_out".to_owned()),
            _ => sites::to_hook(site)?.splitn(3, '.').nth(2).map(str::to_owned),
        });
        hook.unwrap_or_else(|| default.to_owned())
    };
    let settings = format!(
        "model_name: \"{}\"\nmodel_kind: transcoder_set\nfeature_input_hook: \"{}\"\nfeature_output_hook: \"{}\"\n",
        source.model.as_deref().unwrap_or("unknown").replace(['"', '\n'], ""),
        within(source.site.as_ref(), "mlp.hook_in"),
        within(source.targets.first(), "mlp.hook_out"),
    );
    safetensors(&weights, &tensors)?;
    write_bytes(&target.out.join("config.yaml"), settings.as_bytes())
}
