//! Llama Scope: `hyperparams.json`, `checkpoints/final.safetensors` (or `.pth`).
//!
//! `u = W x √d/a_in + b`, `z = u` where `u` (times `‖w_dec‖`, where `sparsity_include_decoder_norm` says
//! so) is above one threshold; `y = (W_dec z + b_dec) a_out/√d`, with the average lengths `a` of the
//! samples. All factors are folded. The release for R1 has a logarithm of a threshold for each feature.
//!
//! Source: He et al. 2024, arXiv:2410.20526; github.com/OpenMOSS/Language-Model-SAEs (its files).

use ndarray::Array1;
use nissl_core::Result;
use nissl_core::features::{Activation, InputNorm};
use serde_json::json;

use super::opened::Opened;
use super::pieces::Pieces;
use super::sae_lens::fold;
use super::target::{Target, Tensor, json, safetensors};
use super::weights::Weights;
use super::{Checkpoint, Maker, Source, sites};

pub(super) fn read(opened: &Opened) -> Result<Checkpoint> {
    let encoder = opened.linear("encoder.weight")?;
    let (features, units) = encoder.dim();
    let decoder = opened.linear("decoder.weight")?;
    let outputs = decoder.nrows();
    if decoder.ncols() != features {
        let found = format!("{:?}", decoder.dim());
        return Err(opened.wrong("decoder.weight", found, &format!("[units, {features}]")));
    }
    let decoder = decoder.t().as_standard_layout().into_owned();
    let bias = opened.has("decoder.bias").then(|| opened.vector("decoder.bias", outputs));
    let mut weights = Weights {
        encoder,
        encoder_bias: Some(opened.vector("encoder.bias", features)?),
        decoder,
        decoder_bias: bias.transpose()?,
    };
    let input_hook = opened.text(&["hook_point_in", "hook_point"]).map(str::to_owned);
    let output_hook = opened.text(&["hook_point_out"]).map(str::to_owned);
    let (activation, threshold) = activation(opened, &weights)?;
    let [input, output] =
        factors(opened, [units, outputs], [input_hook.as_deref(), output_hook.as_deref()])?;
    fold(&mut weights, input, output);
    let mut source = Source::new(Maker::LlamaScope);
    source.model = opened.text(&["model_name", "lm.model_name"]).map(str::to_owned);
    source.hook.clone_from(&input_hook);
    let centred = opened.flag(&["apply_decoder_bias_to_pre_encoder"]) == Some(true);
    let told = outputs != units || (output_hook.is_some() && output_hook != input_hook);
    let mut dictionary = if opened.transcodes(told) {
        (source.site, source.targets) =
            sites::of_transcoder(input_hook.as_deref(), output_hook.as_deref());
        let bias = weights.decoder_bias.clone().filter(|_| centred);
        weights.transcoder(opened, activation, bias)?
    } else {
        source.site = input_hook.as_deref().and_then(sites::of_hook);
        weights.autoencoder(opened, activation, InputNorm::None, centred)?
    };
    dictionary.threshold = threshold;
    Ok(Checkpoint { dictionary, source })
}

fn activation(opened: &Opened, weights: &Weights) -> Result<(Activation, Option<Array1<f32>>)> {
    let features = weights.encoder.nrows();
    if opened.has("log_jumprelu_threshold") {
        let logs = opened.vector("log_jumprelu_threshold", features)?;
        return Ok((Activation::JumpRelu, Some(logs.mapv(f32::exp))));
    }
    match opened.text(&["act_fn"]).unwrap_or("jumprelu").to_lowercase().as_str() {
        "relu" => Ok((Activation::Relu, None)),
        "jumprelu" => {
            let Some(threshold) = opened.number(&["jump_relu_threshold"])? else {
                return Err(opened.wrong(
                    "jump_relu_threshold",
                    "absent",
                    "the threshold of JumpReLU",
                ));
            };
            let by_length = opened.flag(&["sparsity_include_decoder_norm"]) == Some(true);
            let thresholds = weights.decoder.rows().into_iter().map(|row| {
                let squares: f64 = row.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
                let length = if by_length { squares.sqrt() } else { 1.0 };
                // A feature that writes nothing passes no threshold; the largest number stands for that.
                ((threshold / length) as f32).min(f32::MAX)
            });
            Ok((Activation::JumpRelu, Some(thresholds.collect())))
        }
        other => Err(opened.wrong("act_fn", other, "relu or jumprelu")),
    }
}

/// What the samples and the targets are multiplied with.
fn factors(
    opened: &Opened,
    units: [usize; 2],
    [input_hook, output_hook]: [Option<&str>; 2],
) -> Result<[f64; 2]> {
    if matches!(opened.text(&["norm_activation"]), Some("inference" | "none")) {
        return Ok([1.0, 1.0]);
    }
    let averages = opened.value(&["dataset_average_activation_norm"]);
    let of = |place: &str, hook: Option<&str>| {
        let found = averages?.get(place).or_else(|| averages?.get(hook?))?;
        found.as_f64()
    };
    let input = of("in", input_hook);
    let output = of("out", output_hook).or(input);
    let mut factors = [1.0; 2];
    for ((factor, average), units) in factors.iter_mut().zip([input, output]).zip(units) {
        if let Some(average) = average {
            if !(average > 0.0 && average.is_finite()) {
                return Err(opened.wrong("dataset_average_activation_norm", average, "above 0"));
            }
            *factor = (units as f64).sqrt() / average;
        }
    }
    Ok(factors)
}

pub(super) fn write(pieces: Pieces, source: &Source, target: &Target<'_>) -> Result<()> {
    pieces.without_norm()?;
    pieces.without_skip()?;
    let thresholds = pieces.thresholds()?;
    let pieces = pieces.uncentred();
    let relu = pieces.activation == Activation::Relu;
    let first = thresholds[0];
    let one = thresholds.iter().all(|threshold| threshold.to_bits() == first.to_bits());
    if !one && thresholds.iter().any(|&threshold| threshold <= 0.0) {
        return pieces.refuse("several thresholds of which some are 0 or less");
    }
    let logs = thresholds.mapv(|threshold| f64::from(threshold).ln() as f32);
    let mut tensors = vec![
        ("encoder.weight", Tensor::Matrix(&pieces.encoder)),
        ("encoder.bias", Tensor::Vector(&pieces.encoder_bias)),
        ("decoder.weight", Tensor::Transposed(&pieces.decoder)),
        ("decoder.bias", Tensor::Vector(&pieces.decoder_bias)),
    ];
    let hook = |site: Option<&nissl_core::site::Site>| site.and_then(sites::to_hook);
    let input = hook(source.site.as_ref());
    let output = if pieces.transcoder { hook(source.targets.first()) } else { input.clone() };
    let root = |units: usize| (units as f64).sqrt();
    let mut settings = json!({
        "hook_point_in": input,
        "hook_point_out": output,
        "model_name": source.model,
        "d_model": pieces.units(),
        "d_sae": pieces.features(),
        "use_decoder_bias": true,
        "apply_decoder_bias_to_pre_encoder": false,
        "sparsity_include_decoder_norm": false,
        "norm_activation": "dataset-wise",
        "dataset_average_activation_norm": {"in": root(pieces.units()), "out": root(pieces.outputs())},
        "act_fn": if relu { "relu" } else { "jumprelu" },
    });
    if !relu && one {
        settings["jump_relu_threshold"] = f64::from(first).into();
    } else if !relu {
        tensors.push(("log_jumprelu_threshold", Tensor::Vector(&logs)));
    }
    let [configuration, weights] =
        target.files(["hyperparams.json", "checkpoints/final.safetensors"])?;
    safetensors(&weights, &tensors)?;
    json(&configuration, &settings)
}
