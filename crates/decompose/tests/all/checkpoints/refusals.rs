//! Checkpoints that lie or are damaged: told by name, never a panic.

use std::path::{Path, PathBuf};

use ndarray::{Array1, Array2};
use nissl_core::archive::ArchiveWriter;
use nissl_core::features::{Activation, Dictionary, Encoding, InputNorm};
use nissl_core::seed::rng;
use nissl_core::store::{Existing, write_bytes};
use nissl_decompose::checkpoints::{Checkpoint, Load, Maker, Source, load, save};
use rand::RngExt;
use serde_json::json;

use super::raw::*;

fn refused(path: &Path) -> String {
    load(path, &Load::default()).expect_err("a bad checkpoint").to_string()
}

struct Weights {
    encoder: Array2<f32>,
    bias: Array1<f32>,
    decoder: Array2<f32>,
    centre: Array1<f32>,
}

fn weights(outputs: usize) -> Weights {
    let mut draw = Draw::new(1);
    Weights {
        encoder: draw.matrix(FEATURES, UNITS),
        bias: draw.vector(FEATURES),
        decoder: draw.matrix(FEATURES, outputs),
        centre: draw.vector(outputs),
    }
}

fn sae_lens(weights: &Weights) -> Tensors {
    Tensors::default()
        .turned("W_enc", &weights.encoder)
        .vector("b_enc", &weights.bias)
        .matrix("W_dec", &weights.decoder)
        .vector("b_dec", &weights.centre)
}

#[test]
fn settings_that_make_no_dictionary_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    sae_lens(&weights(UNITS)).safetensors(&path.join("sae_weights.safetensors"));
    for (settings, words) in [
        (
            json!({"architecture": "standard", "activation_fn_str": "tanh-relu"}),
            ["tanh-relu", "relu or topk"],
        ),
        (json!({"architecture": "temporal"}), ["`architecture` is temporal", "jumprelu"]),
        (json!({"architecture": "jumprelu"}), ["`threshold` is absent", "JumpReLU"]),
        (json!({"architecture": "topk", "k": 13}), ["`k` is 13", "12"]),
        (json!({"architecture": "topk", "k": 0}), ["`k` is 0", "from 1"]),
        (json!({"architecture": "topk", "k": 2.5}), ["`k` is 2.5", "whole"]),
        (json!({"architecture": "topk"}), ["`k` is absent", "sample"]),
        (json!({"architecture": "gated"}), ["a layout", ""]),
        (
            json!({"architecture": "standard", "normalize_activations": "sphere"}),
            ["sphere", "layer_norm"],
        ),
        (
            json!({"architecture": "standard", "normalize_activations": "expected_average_only_in", "norm_scaling_factor": 0.0}),
            ["scaling_factor", "above 0"],
        ),
    ] {
        json(&path.join("cfg.json"), &settings);
        let found = refused(path);
        if words[0] == "a layout" {
            // A gated dictionary without gates reads `b_enc`, and must not pass for one.
            assert!(found.contains("b_gate"), "{found}");
            continue;
        }
        assert!(words.iter().all(|word| found.contains(word)), "{settings}: {found}");
    }
    write_bytes(&path.join("cfg.json"), b"{\"architecture\": ").expect("writes");
    assert!(refused(path).contains("JSON"));
    write_bytes(&path.join("cfg.json"), b"[1]").expect("writes");
    assert!(refused(path).contains("object"));
}

#[test]
fn shapes_that_fit_neither_orientation_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    let file = path.join("sae_weights.safetensors");
    json(&path.join("cfg.json"), &json!({"architecture": "standard"}));
    let good = weights(UNITS);
    let with = |name: &str, matrix: &Array2<f32>| {
        sae_lens(&good).without(name).matrix(name, matrix).safetensors(&file);
        refused(path)
    };
    let found = with("W_dec", &Array2::zeros((FEATURES, UNITS + 1)));
    assert!(found.contains("[12, 7]") && found.contains("[12, 6] or [6, 12]"), "{found}");
    let found = with("W_enc", &Array2::zeros((UNITS, FEATURES + 1)));
    assert!(found.contains("(6, 13)") && found.contains("12 features"), "{found}");
    let found = with("b_enc", &Array2::zeros((FEATURES, 1)));
    assert!(found.contains("[12, 1]") && found.contains("one axis"), "{found}");
    sae_lens(&good).without("W_dec").safetensors(&file);
    assert!(refused(path).contains("`W_dec` is absent"));
    // An autoencoder that predicts other units than it reads.
    sae_lens(&weights(OUTPUTS)).safetensors(&file);
    assert!(refused(path).contains("5 units"));
    let mut broken = weights(UNITS);
    broken.decoder[[3, 1]] = f32::NAN;
    sae_lens(&broken).safetensors(&file);
    let found = refused(path);
    assert!(found.contains("`W_dec` is NaN in place 19"), "{found}");
    // As many features as units.
    let mut draw = Draw::new(2);
    let square = Weights {
        encoder: draw.matrix(UNITS, UNITS),
        bias: draw.vector(UNITS),
        decoder: draw.matrix(UNITS, UNITS),
        centre: draw.vector(UNITS),
    };
    sae_lens(&square).safetensors(&file);
    let error = load(path, &Load::default()).expect_err("ambiguous");
    assert!(error.to_string().contains("as many features as units"), "{error}");
}

#[test]
fn a_folder_of_something_else_is_told_what_is_known() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    let found = refused(path);
    assert!(found.contains("0 files"), "{found}");
    let file = path.join("model.safetensors");
    Tensors::default().matrix("wte.weight", &Array2::zeros((2, 2))).safetensors(&file);
    let found = refused(path);
    assert!(found.contains("wte.weight") && found.contains("sae-lens"), "{found}");
    assert!(refused(&path.join("nowhere")).contains("nowhere"));
    // The other maker's names under this one.
    let settings = Load { maker: Some(Maker::OpenAi), ..Load::default() };
    let found = load(&file, &settings).expect_err("other names").to_string();
    assert!(found.contains("`encoder.weight` is absent beside wte.weight"), "{found}");
}

#[test]
fn a_pickle_with_code_is_never_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ae.pt");
    let witness = folder.path().join("witness");
    let command = format!("touch {}", witness.display());
    let mut program = b"\x80\x02}(X\x03\0\0\0cfgcos\nsystem\nX".to_vec();
    program.extend((command.len() as u32).to_le_bytes());
    program.extend([command.as_bytes(), b"\x85Ru."].concat());
    let mut archive = ArchiveWriter::create(&path).expect("begins");
    archive.member("archive/data.pkl", &[&program]).expect("writes");
    archive.finish().expect("finishes");
    let found = refused(&path);
    assert!(found.contains("`tensors` is cfg"), "{found}");
    assert!(!witness.exists(), "the command was run");
}

/// A checkpoint of every maker, and its files.
fn every_maker(root: &Path) -> Vec<(PathBuf, Vec<PathBuf>)> {
    let mut all = Vec::new();
    for maker in Maker::ALL {
        let mut draw = Draw::new(3);
        let top = maker == Maker::Sparsify;
        let activation = if top { Activation::TopK { k: 2 } } else { Activation::Relu };
        let encoding = Encoding::Sparse { activation, norm: InputNorm::None, centred: true };
        let mut dictionary = Dictionary::new(draw.matrix(5, 3), encoding);
        dictionary.encoder_bias = Some(draw.vector(5));
        if matches!(maker, Maker::CircuitTracer | Maker::CrossLayer) {
            dictionary.output_decoder = Some(draw.matrix(5, 4));
        } else {
            dictionary.encoder = Some(draw.matrix(5, 3));
        }
        let folder = root.join(maker.name());
        let checkpoint = Checkpoint { dictionary, source: Source::new(maker) };
        save(&checkpoint, maker, &folder, Existing::Refuse).expect("writes");
        let mut files = Vec::new();
        let mut folders = vec![folder.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).expect("lists") {
                let path = entry.expect("an entry").path();
                if path.is_dir() { folders.push(path) } else { files.push(path) }
            }
        }
        files.sort();
        all.push((folder, files));
    }
    all
}

#[test]
fn damaged_files_give_errors_or_other_dictionaries_but_no_panic() {
    let root = tempfile::tempdir().expect("a folder");
    let mut rng = rng(4, 0);
    let x = Draw::new(5).matrix(3, 3);
    let mut told = 0;
    for (folder, files) in every_maker(root.path()) {
        load(&folder, &Load::default()).expect("whole");
        for file in files {
            let bytes = std::fs::read(&file).expect("reads");
            for round in 0..120 {
                let mut broken = bytes.clone();
                if round % 3 == 0 {
                    broken.truncate(rng.random_range(0..bytes.len()));
                } else {
                    for _ in 0..=round % 4 {
                        let at = rng.random_range(0..bytes.len());
                        broken[at] ^= 1 << rng.random_range(0..8);
                    }
                }
                // Not synced: these are many.
                #[expect(clippy::disallowed_methods, reason = "thousands of scratch files")]
                std::fs::write(&file, &broken).expect("writes");
                match load(&folder, &Load::default()) {
                    Err(_) => told += 1,
                    Ok(checkpoint) => {
                        let encoded = checkpoint.dictionary.encode(x.view());
                        encoded
                            .and_then(|z| checkpoint.dictionary.predict(x.view(), z.view()))
                            .ok();
                    }
                }
                if round % 3 == 0 && !file.ends_with("config.yaml") {
                    assert!(load(&folder, &Load::default()).is_err(), "{} cut off", file.display());
                }
            }
            #[expect(clippy::disallowed_methods, reason = "as above")]
            std::fs::write(&file, &bytes).expect("writes");
        }
    }
    assert!(told > 500, "{told}");
}
