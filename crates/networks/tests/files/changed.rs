//! Copies of fixtures with other weights, and what reading them tells.

use std::path::Path;

use nissl_core::network::{Part, ResidualWeights};
use nissl_core::store::write_bytes;
use nissl_networks::weights::CheckpointWeights;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::fixture;
use crate::weights::open;

/// A folder with a fixture's weights under other names or types.
pub(crate) fn changed(
    name: &str,
    change: impl Fn(&str, &TensorView<'_>) -> Option<(String, Dtype, Vec<u8>)>,
) -> TempDir {
    let copy = tempfile::tempdir().expect("a folder");
    for file in ["config.json", "tokenizer.json"] {
        std::fs::copy(fixture(name).join(file), copy.path().join(file)).expect("copies");
    }
    let bytes = std::fs::read(fixture(name).join("model.safetensors")).expect("reads");
    let weights = SafeTensors::deserialize(&bytes).expect("safetensors");
    let tensors: Vec<_> = weights
        .tensors()
        .into_iter()
        .filter_map(|(key, tensor)| Some((change(&key, &tensor)?, tensor.shape().to_vec())))
        .collect();
    let views: Vec<_> = tensors
        .iter()
        .map(|((key, dtype, data), shape)| {
            (key, TensorView::new(*dtype, shape.clone(), data).expect("a tensor"))
        })
        .collect();
    let bytes = safetensors::serialize(views, None).expect("serializes");
    write_bytes(&copy.path().join("model.safetensors"), &bytes).expect("writes");
    copy
}

#[expect(clippy::unnecessary_wraps, reason = "as `changed` takes it")]
pub(crate) fn kept(key: &str, tensor: &TensorView<'_>) -> Option<(String, Dtype, Vec<u8>)> {
    Some((key.to_owned(), tensor.dtype(), tensor.data().to_vec()))
}

#[track_caller]
fn refusal(path: &Path) -> String {
    let error = CheckpointWeights::open(path).expect_err("a lie");
    match &error {
        nissl_core::Error::File { help: Some(help), .. } => format!("{error} ({help})"),
        _ => error.to_string(),
    }
}

fn configured(folder: &Path, change: impl FnOnce(&mut Value)) {
    let path = folder.join("config.json");
    let mut config = serde_json::from_slice(&std::fs::read(&path).expect("reads")).expect("JSON");
    change(&mut config);
    write_bytes(&path, config.to_string().as_bytes()).expect("writes");
}

#[test]
fn what_cannot_be_read_is_told() {
    let tells = |copy: &TempDir, words: &[&str]| {
        let text = refusal(copy.path());
        for word in words {
            assert!(text.contains(word), "`{word}` is not in: {text}");
        }
    };
    let copy = changed("gpt2", kept);
    configured(copy.path(), |config| config["model_type"] = json!("mamba"));
    tells(&copy, &["mamba", "gpt_neox", "transformer.h.0.attn.c_attn.weight"]);
    let copy = changed("gpt2", kept);
    configured(copy.path(), |config| {
        config["quantization_config"] = json!({"quant_method": "awq"});
    });
    tells(&copy, &["quantization_config", "awq"]);
    let copy = changed("qwen2", |key, tensor| match key {
        "model.layers.1.mlp.up_proj.weight" => {
            let bytes = vec![0; tensor.shape().iter().product()];
            Some((key.to_owned(), Dtype::F8_E4M3, bytes))
        }
        _ => kept(key, tensor),
    });
    tells(&copy, &["layers.1.mlp.up_proj.weight", "F8_E4M3"]);
    let copy = changed("qwen2", |key, tensor| {
        let (name, dtype, data) = kept(key, tensor)?;
        Some((name.replace("0.mlp.up_proj.weight", "0.mlp.up_proj.qweight"), dtype, data))
    });
    tells(&copy, &["layers.0.mlp.up_proj.weight", "up_proj.qweight", "quantised"]);
    let copy = changed(
        "neox",
        |key, tensor| {
            if key == "embed_out.weight" { None } else { kept(key, tensor) }
        },
    );
    tells(&copy, &["embed_out.weight", "a head over the vocabulary"]);
    // With tied embeddings there is a head after all.
    configured(copy.path(), |config| config["tie_word_embeddings"] = json!(true));
    assert!(open(copy.path()).head_is_tied());
    let copy =
        changed(
            "gpt2",
            |key, tensor| {
                if key.ends_with("1.mlp.c_fc.weight") { None } else { kept(key, tensor) }
            },
        );
    tells(&copy, &["h.1.mlp.c_fc.weight", "absent"]);
    let copy = changed("neox", kept);
    configured(copy.path(), |config| config["num_attention_heads"] = json!(7));
    tells(&copy, &["num_attention_heads", "a divisor of 32"]);

    let weights = open(&fixture("gpt2"));
    let width = weights.residual_width();
    let read = |layer, part, range: std::ops::Range<usize>, size| {
        weights.read_units(layer, part, range, &mut vec![0.0; size])
    };
    assert!(read(0, Part::Gate, 0..1, width).is_err(), "GPT-2 has no gate");
    assert!(read(weights.layers(), Part::Up, 0..1, width).is_err());
    let units = weights.units(Part::Up);
    assert!(read(0, Part::Up, units..units + 1, width).is_err());
    assert!(read(0, Part::Up, 0..1, width + 1).is_err());
    assert!(read(0, Part::Up, units..units, 0).is_ok());
    assert!(weights.input_gain(9, Part::Up).is_err());
    assert!(weights.input_gain(0, Part::Down).expect("writes").is_none());
}

#[test]
fn padding_rows_of_the_head_are_told() {
    let copy = changed("gpt2", kept);
    let path = copy.path().join("tokenizer.json");
    let mut json: Value =
        serde_json::from_slice(&std::fs::read(&path).expect("reads")).expect("JSON");
    let words = json["model"]["vocab"].as_object_mut().expect("words");
    let total = words.len();
    words.retain(|_, id| id.as_u64().is_some_and(|id| id < 70));
    assert!(total > 70 && words.len() == 70);
    write_bytes(&path, json.to_string().as_bytes()).expect("writes");
    let weights = open(copy.path());
    assert_eq!((weights.tokens_known(), weights.vocabulary()), (70, 80));
    std::fs::remove_file(path).expect("removes");
    let weights = open(copy.path());
    assert_eq!(weights.tokens_known(), 80);
    assert!(weights.tokenizer().is_err());
}
