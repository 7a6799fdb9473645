//! Whose checkpoint it is: by the keys of the configuration, then by the names of the tensors.

use nissl_core::Result;

use super::Maker;
use super::opened::Opened;

/// # Errors
/// A layout of none of the makers.
pub(super) fn maker(opened: &Opened) -> Result<Maker> {
    by_configuration(opened).or_else(|| by_names(opened)).ok_or_else(|| {
        let names: Vec<_> = opened.file.tensors().keys().take(12).cloned().collect();
        let makers = Maker::ALL.map(Maker::name).join(", ");
        opened
            .wrong("tensors", names.join(", "), &format!("those of a dictionary of {makers}"))
            .with_help("keep the configuration beside the weights, or say the maker with --maker")
    })
}

fn by_configuration(opened: &Opened) -> Option<Maker> {
    let says = |key: &str| opened.config.get(key).is_some();
    let any = |keys: &[&str]| keys.iter().any(|key| says(key));
    if opened.config.pointer("/trainer/dict_class").is_some() {
        return Some(Maker::DictionaryLearning);
    }
    if any(&["dataset_average_activation_norm", "norm_activation", "jump_relu_threshold"])
        || opened.has("log_jumprelu_threshold")
    {
        return Some(Maker::LlamaScope);
    }
    if opened.has("encoder.weight") && opened.has("W_dec") && any(&["k", "expansion_factor"]) {
        return Some(Maker::Sparsify);
    }
    if opened.has("W_enc") && any(&["architecture", "d_sae", "hook_name", "hook_point"]) {
        return Some(Maker::SaeLens);
    }
    let named = |key: &str| opened.text(&[key]).is_some();
    (opened.has("W_enc") && (named("feature_input_hook") || named("model_kind")))
        .then_some(Maker::CircuitTracer)
}

fn by_names(opened: &Opened) -> Option<Maker> {
    let all = |names: &[&str]| names.iter().all(|name| opened.has(name));
    let named = |[before, after]: [&str; 2]| {
        let name = opened.path().file_name().map(|name| name.to_string_lossy().into_owned());
        name.is_some_and(|name| name.starts_with(before) && name.ends_with(after))
    };
    if all(&["latent_bias", "pre_bias"]) {
        Some(Maker::OpenAi)
    } else if named(super::find::ENCODERS) {
        Some(Maker::CrossLayer)
    } else if all(&["encoder.weight", "W_dec"]) {
        Some(Maker::Sparsify)
    } else if all(&["W_enc", "b_dec_out"]) || (opened.has("W_enc") && is_of_dunefsky(opened)) {
        Some(Maker::Dunefsky)
    } else if all(&["b_gate", "r_mag", "W_enc"]) {
        Some(Maker::SaeLens)
    } else if all(&["encoder.weight", "bias"])
        || all(&["encoder.weight", "gate_bias", "r_mag"])
        || all(&["encoder.weight", "decoder.weight", "b_dec"])
        || all(&["W_enc", "W_dec", "group_sizes"])
    {
        Some(Maker::DictionaryLearning)
    } else if named(super::find::LAYERS) && all(&["W_enc", "W_dec"]) {
        Some(Maker::CircuitTracer)
    } else if all(&["W_enc", "W_dec", "threshold"]) || all(&["w_enc", "w_dec", "threshold"]) {
        let numpy = opened.path().extension().is_some_and(|ending| ending == "npz");
        let pickled = opened.path().extension().is_some_and(|ending| ending == "pt");
        (numpy || opened.has("w_enc"))
            .then_some(Maker::GemmaScope)
            .or(pickled.then_some(Maker::DictionaryLearning))
    } else if all(&["encoder.weight", "decoder.weight"])
        || all(&["encoder_linear.weight", "decoder_linear.weight"])
    {
        Some(Maker::Goodfire)
    } else {
        None
    }
}

/// Whether plain values beside the tensors are settings of that program.
fn is_of_dunefsky(opened: &Opened) -> bool {
    let values = opened.file.values();
    values.contains_key("cfg.hook_point") || values.contains_key("cfg.is_transcoder")
}
