//! Every lie a checkpoint can tell is an error that names the file and says what was expected.

mod common;

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use common::{batch, fixture, network};
use nissl_core::Error;
use nissl_core::network::{KeyValueCache, LanguageNetwork, Sampling, TokenBatch};
use nissl_core::numbers::{Block, to_bytes};
use nissl_core::store::write_bytes;
use nissl_core::taps::Taps;
use nissl_networks::language::{Hub, Language, Source};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A copy of a fixture that may be damaged.
fn copy(name: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for entry in fixture(name).read_dir().expect("reads").flatten() {
        std::fs::copy(entry.path(), folder.path().join(entry.file_name())).expect("copies");
    }
    folder
}

fn error_of(folder: &Path) -> String {
    match Language::load(folder, "damaged", &Device::flex()) {
        Ok(_) => panic!("it loaded"),
        Err(error) => {
            assert_eq!(error.exit_code(), 2);
            error.to_string()
        }
    }
}

fn change_config(folder: &Path, change: impl FnOnce(&mut Value)) {
    let path = folder.join("config.json");
    let mut config = serde_json::from_slice(&std::fs::read(&path).expect("reads")).expect("JSON");
    change(&mut config);
    write_bytes(&path, config.to_string().as_bytes()).expect("writes");
}

fn weights(folder: &Path) -> PathBuf {
    folder.join("model.safetensors")
}

#[test]
fn absent_files_are_named() {
    let nowhere = error_of(Path::new("/nonexistent/network"));
    assert!(nowhere.contains("/nonexistent/network"), "{nowhere}");
    for file in ["config.json", "model.safetensors"] {
        let folder = copy("gpt2");
        std::fs::remove_file(folder.path().join(file)).expect("removes");
        let text = error_of(folder.path());
        assert!(text.contains(file), "{text}");
    }
}

#[test]
fn truncated_and_corrupt_weights_are_refused() {
    let whole = std::fs::read(fixture("gpt2").join("model.safetensors")).expect("reads");
    let mut lying_header = whole.clone();
    lying_header[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    let mut broken_json = whole.clone();
    broken_json[8] = b'x';
    let mut longer = whole.clone();
    longer.extend([0; 16]);
    let half = whole[..whole.len() / 2].to_vec();
    let short = whole[..whole.len() - 1].to_vec();
    for damaged in [Vec::new(), whole[..6].to_vec(), half, short, lying_header, broken_json, longer]
    {
        let folder = copy("gpt2");
        write_bytes(&weights(folder.path()), &damaged).expect("writes");
        let text = error_of(folder.path());
        assert!(text.contains("model.safetensors") && text.contains("expected"), "{text}");
    }
}

#[test]
fn all_that_does_not_fit_is_told_at_once() {
    let folder = copy("gpt2");
    let small = vec![0.5f32; 32];
    let bytes = to_bytes(&[
        ("transformer.wte.weight", Block::f32s(&small, &[32])),
        ("transformer.surprise", Block::f32s(&small, &[4, 8])),
        ("transformer.ln_f.weight", Block::u32s(&[1; 32], &[32])),
    ])
    .expect("fits");
    write_bytes(&weights(folder.path()), &bytes).expect("writes");
    let text = error_of(folder.path());
    for part in [
        "`wte.weight` has shape [32], expected [80, 32]",
        "`surprise` is unknown",
        "`ln_f.weight` is of type U32",
        "`h.0.ln_1.weight` is missing",
        "; and 23 more",
    ] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
}

#[test]
fn an_index_is_held_to_what_it_says() {
    let folder = copy("llama");
    std::fs::remove_file(folder.path().join("model-00002-of-00002.safetensors")).expect("removes");
    let text = error_of(folder.path());
    assert!(text.contains("index.json") && text.contains("model-00002"), "{text}");

    let folder = copy("llama");
    let index = folder.path().join("model.safetensors.index.json");
    let promise = |map: Value| {
        write_bytes(&index, json!({ "weight_map": map }).to_string().as_bytes()).expect("writes");
        error_of(folder.path())
    };
    assert!(promise(json!({"x": "../../secret.safetensors"})).contains("same folder"));
    assert!(promise(json!({"x": 3})).contains("same folder"));
    let text = promise(json!({"not.there": "model-00001-of-00002.safetensors"}));
    assert!(text.contains("not.there"), "{text}");
    write_bytes(&index, b"{}").expect("writes");
    assert!(error_of(folder.path()).contains("weight_map"));
}

#[test]
fn what_computes_otherwise_is_refused() {
    let cases = [
        ("gpt2", "model_type", json!("mamba")),
        ("gpt2", "activation_function", json!("mish")),
        ("gpt2", "scale_attn_by_inverse_layer_idx", json!(true)),
        ("gpt2", "n_head", json!(5)),
        ("gpt2", "n_layer", json!(-1)),
        ("gpt2", "n_layer", json!(1_000_000)),
        ("gpt2", "vocab_size", json!(1e30)),
        ("llama", "rope_scaling", json!({"rope_type": "yarn", "factor": 4.0})),
        ("llama", "num_key_value_heads", json!(3)),
        ("mistral", "sliding_window", json!("wide")),
        ("mistral", "layer_types", json!(["full_attention"])),
        ("gemma2", "attention_bias", json!(true)),
        ("gemma2", "attn_logit_softcapping", json!(-1.0)),
        ("neox", "rotary_pct", json!(1.5)),
        ("bert", "position_embedding_type", json!("relative_key")),
    ];
    for (name, field, value) in cases {
        let folder = copy(name);
        change_config(folder.path(), |config| config[field] = value.clone());
        let text = error_of(folder.path());
        let key = if field == "rotary_pct" { "rotary_emb_base" } else { field };
        assert!(text.contains("config.json") && text.contains(key), "{field} = {value}: {text}");
    }
}

#[test]
fn pickles_are_never_run() {
    let folder = copy("gpt2");
    std::fs::remove_file(weights(folder.path())).expect("removes");
    // What a careless reader would run: os.system("touch ran").
    let program = b"\x80\x02cos\nsystem\nX\x09\0\0\0touch ran\x85R.";
    write_bytes(&folder.path().join("pytorch_model.bin"), program).expect("writes");
    let text = error_of(folder.path());
    assert!(text.contains("pytorch_model.bin") && text.contains("pickle"), "{text}");
    assert!(!Path::new("ran").exists());
}

#[test]
fn a_network_without_tokenizer_runs_and_says_so_when_asked() {
    let folder = copy("gpt2");
    std::fs::remove_file(folder.path().join("tokenizer.json")).expect("removes");
    let network = Language::load(folder.path(), "mute", &Device::flex()).expect("loads");
    assert!(network.forward(&batch(&[vec![1, 2]]), &mut Taps::none()).is_ok());
    let Err(error) = network.tokenizer() else { panic!("there is none") };
    assert!(error.to_string().contains("tokenizer.json"), "{error}");

    let folder = copy("gpt2");
    write_bytes(&folder.path().join("tokenizer.json"), b"{\"model\": 3}").expect("writes");
    assert!(error_of(folder.path()).contains("tokenizer.json"));
}

#[test]
fn tokens_and_lengths_are_checked_before_the_run() {
    let network = network("gpt2");
    let run = |rows: &[Vec<u32>]| network.forward(&batch(rows), &mut Taps::none());
    assert!(run(&[vec![80]]).is_err(), "outside the vocabulary");
    assert!(run(&[vec![1; 33]]).is_err(), "longer than the context");
    assert!(run(&[vec![1; 32]]).is_ok());
    assert!(TokenBatch::new(&[&[]]).is_err());
    let mut cache = KeyValueCache::default();
    let padded = batch(&[vec![1, 2], vec![1]]);
    assert!(network.forward_cached(&padded, &mut cache, &mut Taps::none()).is_err());
    let generate =
        |prompt: &[u32], sampling: Sampling| network.generate(prompt, &sampling, &mut Taps::none());
    assert!(generate(&[], Sampling::default()).is_err(), "empty prompt");
    assert!(generate(&[1; 4], Sampling { tokens: 30, ..Sampling::default() }).is_err());
    assert!(generate(&[1; 4], Sampling { tokens: 29, ..Sampling::default() }).is_ok());
    assert!(generate(&[1], Sampling { temperature: -1.0, ..Sampling::default() }).is_err());
    assert!(generate(&[1], Sampling { tokens: 1, top_p: 0.0, ..Sampling::default() }).is_err());
}

#[test]
fn an_encoder_says_what_it_cannot_do() {
    let network = network("bert");
    assert!(network.generate(&[1], &Sampling::default(), &mut Taps::none()).is_err());
    assert!(!network.is_causal());
    let output = network.forward(&batch(&[vec![1, 2]]), &mut Taps::none()).expect("runs");
    assert!(output.is_none());
}

#[test]
fn offline_only_the_cache_is_read() {
    let source: Source = "hub:nobody/nothing-of-this-name".parse().expect("an id");
    let error = source.folder(Hub::Offline).expect_err("not in the cache");
    assert!(
        matches!(error, Error::Remote { .. }) && error.to_string().contains("offline"),
        "{error}"
    );
}
