//! `nissl decompose lib`: bases of a language model and of a perceptron, used as features.

use std::path::{Path, PathBuf};

use nissl_core::features::Features;
use nissl_core::numbers::{Block, to_bytes};
use nissl_core::section::InteractionBasis;
use nissl_core::store::write_bytes;

use crate::support::{fail, json, succeed};

fn gpt2() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/models/gpt2")
}

fn tokens(folder: &Path) {
    let line = |n: u32| {
        let ids: Vec<String> = (0..6).map(|at| ((n * 17 + at * at * 5) % 50).to_string()).collect();
        ids.join(" ")
    };
    let text: Vec<String> = (0..60).map(line).collect();
    write_bytes(&folder.join("tokens.txt"), text.join("\n").as_bytes()).expect("writes");
}

#[test]
fn bases_of_a_language_model_become_features_of_its_sites() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    tokens(here);
    let model = gpt2();
    let line = format!(
        "decompose lib {} --tokens tokens.txt --node-layers layers.0.resid.mid,layers.1.resid.pre,layers.1.resid.mid -o bases",
        model.display()
    );
    let told = json(here, &line);
    assert_eq!(told["samples"], 60);
    let names = ["layers.0.resid.mid", "layers.1.resid.pre", "layers.1.resid.mid"];
    let found = InteractionBasis::load(&here.join("bases/basis.safetensors")).expect("reads");
    for (layer, name) in names.iter().enumerate() {
        assert_eq!(told["node_layers"][layer]["node_layer"], *name);
        let basis = found.of(name).expect("there");
        assert_eq!(told["node_layers"][layer]["vectors"], basis.vectors());
    }
    let features = Features::open(&here.join("bases/layers.1.resid.pre")).expect("opens");
    assert_eq!(features.method(), "lib");
    assert_eq!(features.features(), found.node_layers[1].vectors() - 1, "the constant is a bias");
    let importance = features.table().f32s("importance").expect("a column").to_vec();
    assert!(importance.is_sorted_by(|a, b| a >= b), "{importance:?}");
    // It is there: not again without --overwrite, and the same bytes with it.
    fail(here, &line, 2, &["bases", "exists already"]);
    let before = std::fs::read(here.join("bases/basis.safetensors")).expect("reads");
    succeed(here, &format!("{line} --overwrite"));
    assert_eq!(before, std::fs::read(here.join("bases/basis.safetensors")).expect("reads"));
    // What can be done with features can be done with its coordinates.
    succeed(here, "show bases/layers.1.resid.pre");
}

#[test]
fn a_perceptron_is_decomposed_on_its_inputs() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let wave = |size: usize| -> Vec<f32> { (0..size).map(|n| (n as f32 * 1.7).sin()).collect() };
    let (first, second, bias, last) = (wave(24), wave(18), wave(6), wave(3));
    let blocks = [
        ("layers.0.weight", Block::f32s(&first, &[6, 4])),
        ("layers.0.bias", Block::f32s(&bias, &[6])),
        ("layers.1.weight", Block::f32s(&second, &[3, 6])),
        ("layers.1.bias", Block::f32s(&last, &[3])),
    ];
    write_bytes(&here.join("mlp.safetensors"), &to_bytes(&blocks).expect("fits")).expect("writes");
    let row = |n: usize| -> Vec<String> {
        (0..4).map(|unit| ((n * (unit + 3)) as f32 * 0.37).sin().to_string()).collect()
    };
    let table: Vec<String> = (0..80).map(|n| row(n).join(",")).collect();
    let table = format!("a,b,c,d\n{}\n", table.join("\n"));
    write_bytes(&here.join("inputs.csv"), table.as_bytes()).expect("writes");
    succeed(here, "import inputs.csv -o inputs");
    let told = json(here, "decompose lib mlp.safetensors --recording inputs -o bases");
    let vectors = |layer: usize| told["node_layers"][layer]["vectors"].as_u64();
    // Three outputs of a linear layer can hang on three directions of its input.
    assert_eq!((vectors(0), vectors(1), vectors(2)), (Some(5), Some(4), Some(4)));
    let features = Features::open(&here.join("bases/layers.1")).expect("opens");
    assert_eq!((features.features(), features.units()), (3, 6));
    let pca = json(here, "decompose lib mlp.safetensors --recording inputs --basis pca -o pca");
    assert_eq!(pca["node_layers"][1]["vectors"], 7);
}

#[test]
fn what_is_wrong_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    tokens(here);
    let model = gpt2().display().to_string();
    let lib = |rest: &str| format!("decompose lib {model} -o bases {rest}");
    fail(here, &lib(""), 2, &["`data` is absent", "--tokens FILE"]);
    fail(
        here,
        &lib("--tokens tokens.txt --node-layers logits,layers.0.resid.pre"),
        2,
        &["order of the network"],
    );
    fail(
        here,
        &lib("--tokens tokens.txt --node-layers layers.0.resid.pru,logits"),
        2,
        &["layers.0.resid.pre"],
    );
    fail(here, &lib("--tokens tokens.txt --precision f16"), 2, &["`precision` is f16"]);
    write_bytes(&here.join("odd.txt"), b"1 2 3\n1 two 3\n").expect("writes");
    fail(here, &lib("--tokens odd.txt"), 2, &["line 2", "whole numbers"]);
    write_bytes(&here.join("odd.txt"), b"1 2 3\n1 2\n").expect("writes");
    fail(here, &lib("--tokens odd.txt"), 2, &["sequence 1"]);
    let llama = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/models/llama");
    let line = format!("decompose lib {} --tokens tokens.txt -o bases", llama.display());
    fail(here, &line, 2, &["model_type", "llama", "rotary"]);
}
