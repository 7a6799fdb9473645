//! `nissl probe reverse`: a concept is taken out of a copy of a checkpoint, and judged; and a state
//! dict of TransformerLens goes the way of every other network.

use std::path::Path;

use nissl_core::numbers::{Block, NumberFile, to_bytes};
use serde_json::Value;

use crate::support::{
    copy_of, fail, json, manifest, nothing_half_valid, prose, scratch, succeed, write,
};

/// A copy of the GPT-2 fixture in which one neuron of the last layer is always on and writes `cat`.
fn planted(folder: &Path) {
    let copy = copy_of("gpt2", folder, "net");
    std::fs::remove_file(copy.join("golden.safetensors")).expect("removes");
    let path = copy.join("model.safetensors");
    let file = NumberFile::open(&path).expect("opens");
    let shape = |name: &str| file.shape(name).expect("there").to_vec();
    let mut tensors: Vec<(String, Vec<f32>, Vec<usize>)> = file
        .names()
        .into_iter()
        .map(|name| {
            let size = shape(&name).iter().product();
            (name.clone(), file.f32s(&name, 0, size).expect("reads"), shape(&name))
        })
        .collect();
    let get = |tensors: &[(String, Vec<f32>, Vec<usize>)], end: &str| {
        tensors.iter().position(|(name, ..)| name.ends_with(end)).expect("there")
    };
    let (embed, down) = (get(&tensors, "wte.weight"), get(&tensors, "h.1.mlp.c_proj.weight"));
    let width = tensors[embed].2[1];
    let json: Value =
        serde_json::from_slice(&std::fs::read(copy.join("tokenizer.json")).expect("reads"))
            .expect("JSON");
    let cat = json["model"]["vocab"]["cat"].as_u64().expect("a token") as usize;
    let row = tensors[embed].1[cat * width..(cat + 1) * width].to_vec();
    let length = row.iter().map(|v| v * v).sum::<f32>().sqrt();
    for (to, from) in tensors[down].1[5 * width..6 * width].iter_mut().zip(&row) {
        *to = 4.0 * from / length;
    }
    let bias = get(&tensors, "h.1.mlp.c_fc.bias");
    tensors[bias].1[5] = 4.0;
    let blocks: Vec<(&str, Block<'_>)> = tensors
        .iter()
        .map(|(name, values, shape)| (name.as_str(), Block::f32s(values, shape)))
        .collect();
    let bytes = to_bytes(&blocks).expect("fits");
    drop(file);
    write(&copy, "model.safetensors", bytes);
}

#[test]
fn a_concept_is_taken_out_of_a_copy() {
    let folder = scratch();
    planted(folder.path());
    write(folder.path(), "held.txt", prose(8, 20));
    let line = "probe reverse net --words cat --threshold 0.9 --text held.txt";
    let report = json(folder.path(), &format!("{line} -o edited"));
    let reversed = report["reversed"].as_array().expect("vectors");
    assert_eq!(reversed.len(), 1, "{report}");
    assert_eq!((&reversed[0]["layer"], &reversed[0]["unit"]), (&1.into(), &5.into()));
    assert_eq!(reversed[0]["part"], "down");
    let p = |when: &str| report[when]["probability"].as_f64().expect("a probability");
    assert!(p("before") > 5.0 * p("after"), "{report}");
    assert!((p("control") / p("before") - 1.0).abs() < 0.5, "{report}");
    assert!(!folder.path().join(".edited.control").exists());
    assert_eq!(manifest(folder.path(), "edited")["reversed"], report["reversed"]);
    succeed(folder.path(), "verify edited");
    // The edited folder is a network like any other; edited again it is the first once more.
    let again = line.replace(" net ", " edited ");
    let back = json(folder.path(), &format!("{again} --control none -o back"));
    assert_eq!(back["after"], report["before"], "{back}");
    let bytes = |name: &str| {
        std::fs::read(folder.path().join(name).join("model.safetensors")).expect("reads")
    };
    assert!(bytes("net") == bytes("back") && bytes("net") != bytes("edited"));
    let shown = succeed(folder.path(), &format!("{line} --control none -o shown"));
    assert!(shown.stdout.contains("before") && shown.stdout.contains("perplexity"), "{shown:?}");
    assert!(shown.stderr.contains("1 vectors reversed (1 down)"), "{shown:?}");
}

#[test]
fn an_edit_that_cannot_be_is_told() {
    let folder = scratch();
    planted(folder.path());
    write(folder.path(), "held.txt", prose(4, 20));
    write(folder.path(), "other.txt", "a mat on the mat");
    let line = |more: &str| format!("probe reverse net {more} -o out");
    for (more, parts) in [
        ("--words cat --text held.txt --threshold 0", &["threshold", "at most 1"][..]),
        ("--words cat --text held.txt --part up --threshold 0.9999", &["threshold", "smaller"]),
        ("--words zebra --text held.txt", &["zebra"]),
        ("--words cat --text other.txt", &["concept comes next"]),
        ("--tokens 80 --text held.txt", &["tokens", "0 to 79"]),
        ("--words cat --text nowhere.txt", &["nowhere.txt"]),
        ("--words cat --text held.txt --part gate", &["gate", "part"]),
        ("--words cat --text held.txt --layer 7", &["layer", "0 to 1"]),
        ("--text held.txt", &["--words"]),
    ] {
        fail(folder.path(), &line(more), 2, parts);
        nothing_half_valid(folder.path(), "out");
    }
    let own = "probe reverse net --words cat --text held.txt --threshold 0.9 -o net --overwrite";
    fail(folder.path(), own, 2, &["own folder"]);
}

#[test]
fn a_state_dict_is_recorded_like_any_network() {
    let folder = scratch();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/torch/lens");
    for file in ["lens.pt", "config.json"] {
        std::fs::copy(from.join(file), folder.path().join(file)).expect("copies");
    }
    write(folder.path(), "pairs.txt", "1 5 10\n\n3 2 7\n\n0 0 4");
    let made =
        json(folder.path(), "record lens.pt --text pairs.txt --site layers.0.mlp.act -o rec");
    assert_eq!((&made["samples"], &made["units"]), (&9.into(), &10.into()));
    let inputs = manifest(folder.path(), "rec")["provenance"]["inputs"].to_string();
    assert!(inputs.contains("lens.pt"), "{inputs}");
    write(folder.path(), "words.txt", "one five ten");
    let line = "record lens.pt --text words.txt --site layers.0.mlp.act -o other";
    fail(folder.path(), line, 2, &["`one`", "whole numbers below 11"]);
    write(folder.path(), "evil.pt", b"\x80\x02cos\nsystem\nX\x04\0\0\0true\x85R.");
    let line = "record evil.pt --text pairs.txt --site layers.0.mlp.act -o other";
    fail(folder.path(), line, 2, &["evil.pt", "pickle"]);
}
