//! Spoilt checkpoints: each is refused by file, field, what was found and what was expected.

use std::path::Path;

use crate::support::{copy_of, fail, scratch, succeed, write};

/// Refuses the checkpoint `net` with a message that holds `parts`, and leaves no recording.
fn refused(folder: &Path, parts: &[&str]) {
    write(folder, "a.txt", "the cat sat");
    fail(folder, "record net --site embed --text a.txt -o r", 2, parts);
    assert!(!folder.join("r").exists(), "a recording was begun");
}

/// Replaces `old` in `net/config.json` of a family by `new`.
fn with_config(folder: &Path, family: &str, old: &str, new: &str) {
    let net = copy_of(family, folder, "net");
    let config = std::fs::read_to_string(net.join("config.json")).expect("a configuration");
    assert!(config.contains(old), "{old} in {config}");
    write(&net, "config.json", config.replace(old, new));
}

#[test]
fn missing_weights() {
    let folder = scratch();
    let net = copy_of("gpt2", folder.path(), "net");
    std::fs::remove_file(net.join("model.safetensors")).expect("removes");
    refused(folder.path(), &["net/model.safetensors", "nothing is there"]);
}

#[test]
fn truncated_weights() {
    for kept in [0, 7, 100, 40_000, 85_527] {
        let folder = scratch();
        let net = copy_of("gpt2", folder.path(), "net");
        let whole = std::fs::read(net.join("model.safetensors")).expect("weights");
        write(&net, "model.safetensors", &whole[..kept]);
        refused(folder.path(), &["net/model.safetensors", "header", "truncated or damaged"]);
    }
}

#[test]
fn weights_that_are_something_else() {
    let folder = scratch();
    let net = copy_of("gpt2", folder.path(), "net");
    write(&net, "model.safetensors", "this is a letter, not a checkpoint".repeat(40));
    refused(folder.path(), &["net/model.safetensors", "header", "truncated or damaged"]);
}

#[test]
fn an_index_that_names_an_absent_shard() {
    let folder = scratch();
    let net = copy_of("llama", folder.path(), "net");
    let shard = "model-00002-of-00002.safetensors";
    std::fs::remove_file(net.join(shard)).expect("removes");
    let parts =
        ["net/model.safetensors.index.json", "weight_map", shard, "download the missing shard"];
    refused(folder.path(), &parts);
}

#[test]
fn an_unknown_architecture() {
    let folder = scratch();
    with_config(folder.path(), "gpt2", "\"model_type\": \"gpt2\"", "\"model_type\": \"mamba\"");
    let parts = ["net/config.json", "`model_type` is mamba", "gpt2, llama", "bert"];
    refused(folder.path(), &parts);
}

#[test]
fn weights_of_another_shape() {
    let folder = scratch();
    with_config(folder.path(), "gpt2", "\"n_embd\": 32", "\"n_embd\": 64");
    let parts = [
        "net/model.safetensors",
        "`h.0.ln_1.weight` has shape [32], expected [64]",
        "more",
        "of the same network?",
    ];
    refused(folder.path(), &parts);
}

#[test]
fn fewer_layers_than_the_configuration_says() {
    let folder = scratch();
    with_config(folder.path(), "gpt2", "\"n_layer\": 2", "\"n_layer\": 3");
    refused(folder.path(), &["net/model.safetensors", "`h.2.ln_1.weight` is missing"]);
}

#[test]
fn more_layers_than_the_configuration_says() {
    let folder = scratch();
    with_config(folder.path(), "gpt2", "\"n_layer\": 2", "\"n_layer\": 1");
    refused(folder.path(), &["net/model.safetensors", "h.1.", "unknown"]);
}

#[test]
fn heads_that_do_not_divide_the_width() {
    let folder = scratch();
    with_config(folder.path(), "gpt2", "\"n_head\": 4", "\"n_head\": 5");
    refused(folder.path(), &["net/config.json", "`n_head` is 5", "a divisor of 32"]);
}

#[test]
fn a_configuration_that_is_cut_off_or_absent() {
    let folder = scratch();
    let net = copy_of("gpt2", folder.path(), "net");
    write(&net, "config.json", "{\"model_type\": ");
    refused(folder.path(), &["net/config.json", "expected JSON"]);
    std::fs::remove_file(net.join("config.json")).expect("removes");
    refused(folder.path(), &["net/config.json", "nothing is there"]);
}

#[test]
fn an_absent_or_broken_tokenizer() {
    let folder = scratch();
    let net = copy_of("gpt2", folder.path(), "net");
    write(&net, "tokenizer.json", "{");
    refused(folder.path(), &["net/tokenizer.json", "expected a tokenizer"]);
    std::fs::remove_file(net.join("tokenizer.json")).expect("removes");
    refused(folder.path(), &["net", "`tokenizer.json` is absent"]);
}

#[test]
fn weights_that_are_not_numbers_are_found_by_the_decomposition() {
    let folder = scratch();
    let net = copy_of("gpt2", folder.path(), "net");
    let mut bytes = std::fs::read(net.join("model.safetensors")).expect("weights");
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    write(&net, "model.safetensors", bytes);
    write(folder.path(), "a.txt", crate::support::prose(4, 20));
    succeed(folder.path(), "record net --site ** --text a.txt -o r");
    let parts = ["activity of sample", "unit", "is NaN", "finite"];
    fail(folder.path(), "decompose pca r -k 2 -o f", 2, &parts);
    assert!(!folder.path().join("f").exists());
}
