//! `nissl record` over texts of every kind, at several sites, in every precision.

use ndarray::Array2;
use nissl_core::{Column, Recording, Table};

use crate::support::{
    checksums, copy_of, fail, fixture, json, made, manifest, prose, scratch, succeed, write,
};

/// The whole activity of a recording, `[sample, unit]`.
fn activity(folder: &std::path::Path, name: &str) -> Array2<f32> {
    let recording = Recording::open(&folder.join(name)).expect("a recording");
    let mut values = Vec::new();
    for block in recording.blocks(1000) {
        values.extend(block.expect("a block").activity.iter().copied());
    }
    let shape = (recording.samples(), recording.units());
    Array2::from_shape_vec(shape, values).expect("a matrix")
}

fn record(model: &std::path::Path, flags: &str) -> String {
    format!("record {} {flags}", model.display())
}

#[test]
fn every_family_is_recorded_at_every_site() {
    let folder = scratch();
    write(folder.path(), "a.txt", "the cat sat.\n\ntwo stories");
    for family in ["bert", "gemma2", "gpt2", "llama", "mistral", "neox", "neox-sequential", "qwen2"]
    {
        let line = record(&fixture(family), "--site ** --text a.txt -o r --overwrite");
        let told = json(folder.path(), &line);
        let sites = told["sites"].as_array().expect("sites");
        assert!(sites.contains(&"layers.1.mlp.act".into()), "{family}: {sites:?}");
        let values = activity(folder.path(), "r");
        assert!(values.iter().all(|value| value.is_finite()), "{family}");
        assert_eq!(values.ncols() as u64, told["units"].as_u64().expect("units"), "{family}");
    }
}

#[test]
fn the_kind_of_text_file_changes_nothing() {
    let folder = scratch();
    let texts = ["the cat sat on a mat", "two \"stories\", told", "about a cat"];
    write(folder.path(), "a.txt", texts.join("\n\n"));
    write(folder.path(), "l.txt", texts.join("\n"));
    let lines: Vec<String> =
        texts.iter().map(|text| serde_json::json!({"n": 1, "said": text}).to_string()).collect();
    write(folder.path(), "a.jsonl", lines.join("\n"));
    let quoted: Vec<String> =
        texts.iter().map(|text| format!("1,\"{}\"", text.replace('"', "\"\""))).collect();
    write(folder.path(), "a.csv", format!("n,said\n{}\n", quoted.join("\n")));
    let column = Column::Text(texts.map(str::to_owned).to_vec());
    Table::new().with("said", column).write(&folder.path().join("a.parquet")).expect("writes");
    let gpt2 = fixture("gpt2");
    let mut seen = Vec::new();
    for flags in [
        "--text a.txt",
        "--text l.txt --documents line",
        "--text a.jsonl --column said",
        "--text a.csv --column said",
        "--text a.parquet --column said",
    ] {
        let line = format!("--site layers.1.mlp.act {flags} -o r --overwrite");
        succeed(folder.path(), &record(&gpt2, &line));
        seen.push((flags, checksums(folder.path(), "r")));
    }
    for (flags, sums) in &seen {
        assert_eq!(sums, &seen[0].1, "{flags}");
    }
    // One document instead of three: other contexts, so other activity.
    succeed(
        folder.path(),
        &record(&gpt2, "--site layers.1.mlp.act --text a.txt --documents file -o f"),
    );
    assert_ne!(checksums(folder.path(), "f"), seen[0].1);
    // Several files in one run.
    let two = json(
        folder.path(),
        &record(&gpt2, "--site embed --text a.txt l.txt --documents line -o t"),
    );
    let one = json(folder.path(), &record(&gpt2, "--site embed --text a.txt -o o"));
    assert_eq!(two["samples"].as_u64(), one["samples"].as_u64().map(|samples| 2 * samples));
}

#[test]
fn several_sites_in_one_pass_agree_with_one_pass_each() {
    let folder = scratch();
    write(folder.path(), "a.txt", prose(3, 20));
    let gpt2 = fixture("gpt2");
    let told = json(
        folder.path(),
        &record(&gpt2, "--site layers.*.mlp.act --site final.norm --text a.txt -o all"),
    );
    assert_eq!(
        told["sites"],
        serde_json::json!(["layers.0.mlp.act", "layers.1.mlp.act", "final.norm"])
    );
    let all = activity(folder.path(), "all");
    for (site, from, to) in [("layers.1.mlp.act", 64, 128), ("final.norm", 128, 160)] {
        succeed(folder.path(), &record(&gpt2, &format!("--site {site} --text a.txt -o {site}")));
        let one = activity(folder.path(), site);
        let part = all.slice(ndarray::s![.., from..to]);
        let worst = (&one - &part).iter().fold(0f32, |worst, value| worst.max(value.abs()));
        assert!(worst < 1e-6, "{site}: {worst}");
    }
    let only = json(folder.path(), "decompose neurons all --site final.norm -o f");
    assert_eq!(only["units"], 32);
    fail(
        folder.path(),
        "decompose neurons all --site final.nrm -o g",
        2,
        &["`final.nrm`", "final.norm"],
    );
}

#[test]
fn half_precision_is_close_and_half_the_size() {
    let folder = scratch();
    write(folder.path(), "a.txt", prose(4, 25));
    let gpt2 = fixture("gpt2");
    let bytes = |name: &str| manifest(folder.path(), name)["shards"][0]["bytes"].as_u64();
    for (dtype, relative) in [("f32", 0.0), ("f16", 1e-3), ("bf16", 8e-3)] {
        let flags = format!("--site layers.1.resid.post --text a.txt --dtype {dtype} -o {dtype}");
        succeed(folder.path(), &record(&gpt2, &flags));
        assert_eq!(manifest(folder.path(), dtype)["dtype"], dtype);
        let (exact, rounded) = (activity(folder.path(), "f32"), activity(folder.path(), dtype));
        let pairs = || exact.iter().zip(&rounded);
        assert!(pairs().all(|(a, b)| (a - b).abs() <= relative * a.abs() + 1e-6), "{dtype}");
        assert_eq!(dtype == "f32", exact == rounded, "{dtype} is stored as such");
    }
    let share = bytes("f16").expect("bytes") as f64 / bytes("f32").expect("bytes") as f64;
    assert!((share - 0.5).abs() < 0.05, "{share}");
}

#[test]
fn sparse_recordings_keep_what_is_above_the_bound() {
    let folder = scratch();
    write(folder.path(), "a.txt", prose(4, 25));
    let gpt2 = fixture("gpt2");
    let site = "--site layers.1.mlp.act --text a.txt";
    succeed(folder.path(), &record(&gpt2, &format!("{site} -o dense")));
    let dense = activity(folder.path(), "dense");
    let mut sizes: Vec<f32> = dense.iter().map(|value| value.abs()).collect();
    sizes.sort_by(f32::total_cmp);
    let bound = sizes[sizes.len() * 9 / 10];
    succeed(folder.path(), &record(&gpt2, &format!("{site} --sparse-above {bound} -o sparse")));
    assert_eq!(manifest(folder.path(), "sparse")["layout"], "csr");
    let sparse = activity(folder.path(), "sparse");
    assert_eq!(sparse, dense.mapv(|value| if value.abs() > bound { value } else { 0.0 }));
    json(folder.path(), "decompose neurons sparse -o f");
    let below = record(&gpt2, &format!("{site} --sparse-above=-1 -o x"));
    fail(folder.path(), &below, 2, &["`sparse_above`", "0 or more"]);
}

#[test]
fn long_documents_are_read_in_windows_that_overlap_by_the_stride() {
    let folder = scratch();
    write(folder.path(), "a.txt", prose(1, 70));
    let gpt2 = fixture("gpt2");
    let site = "--site layers.1.mlp.act --text a.txt";
    let samples = |flags: &str, name: &str| {
        json(folder.path(), &record(&gpt2, &format!("{site} {flags} -o {name}")))["samples"]
            .as_u64()
            .expect("samples")
    };
    let all = samples("", "whole");
    assert!(all > 64, "{all}");
    assert_eq!(samples("--context 16", "windows"), all, "each token once");
    assert_eq!(samples("--context 16 --stride 4", "strides"), all, "each token once");
    let recording = Recording::open(&folder.path().join("strides")).expect("a recording");
    let table = recording.sample_columns(&["position"]).expect("positions");
    let positions = table.u32s("position").expect("positions");
    assert!(positions.iter().copied().eq(0..all as u32), "positions of the document");
    let (windows, strides) =
        (activity(folder.path(), "windows"), activity(folder.path(), "strides"));
    let differ = |at: usize| (&windows.row(at) - &strides.row(at)).iter().any(|d| d.abs() > 1e-4);
    assert!(!(0..16).any(differ), "the first window is the same");
    assert!(differ(16), "token 16 begins a window, or has 12 tokens before it");
    for (flags, parts) in [
        ("--context 99", ["`context` is 99", "at most 32"]),
        ("--context 8 --stride 9", ["`context`", "stride"]),
    ] {
        fail(folder.path(), &record(&gpt2, &format!("{site} {flags} -o x")), 2, &parts);
    }
    assert!(!folder.path().join("x").exists());
}

#[test]
fn recording_stops_after_the_tokens_that_were_asked_for() {
    let folder = scratch();
    write(folder.path(), "a.txt", prose(40, 20));
    let flags = "--site embed --text a.txt --max-tokens 100 -o r";
    let told = json(folder.path(), &record(&fixture("gpt2"), flags));
    assert_eq!(told["samples"], 100);
}

#[test]
fn special_tokens_are_left_out_unless_they_are_wanted() {
    let folder = scratch();
    write(folder.path(), "a.txt", "the cat\n\ntwo");
    let bert = fixture("bert");
    let plain = json(folder.path(), &record(&bert, "--site embed --text a.txt -o plain"));
    let kept =
        json(folder.path(), &record(&bert, "--site embed --text a.txt --keep-special -o kept"));
    let number = |told: &serde_json::Value| told["samples"].as_u64().expect("samples");
    assert_eq!(number(&kept), number(&plain) + 4, "[CLS] and [SEP] of two texts");
    let recording = Recording::open(&folder.path().join("kept")).expect("a recording");
    let table = recording.sample_columns(&["token"]).expect("tokens");
    assert_eq!(table.texts("token").expect("tokens")[0], "[CLS]");
}

#[test]
fn a_site_that_matches_nothing_lists_the_nearest() {
    let folder = scratch();
    write(folder.path(), "a.txt", "the cat");
    let line = record(&fixture("gpt2"), "--site layers.*.mlp.akt --text a.txt -o r");
    let parts = ["no site", "`layers.*.mlp.akt`", "nearest", "layers.0.mlp.act"];
    fail(folder.path(), &line, 2, &parts);
    assert!(!folder.path().join("r").exists());
}

#[test]
fn a_network_is_named_by_what_it_is_not() {
    let folder = scratch();
    write(folder.path(), "a.txt", "the cat");
    let site = "--site embed --text a.txt -o r";
    fail(folder.path(), &format!("record nowhere {site}"), 2, &["nowhere", "hub:owner/name"]);
    let offline = format!("record hub:nobody/nothing --offline {site}");
    fail(folder.path(), &offline, 4, &["hub:nobody/nothing", "offline"]);
    let recording = made().join("rec");
    fail(folder.path(), &record(&recording, site), 2, &["config.json"]);
    copy_of("gpt2", folder.path(), "net");
    let device = format!("record net --device cuda:0 {site}");
    fail(folder.path(), &device, 3, &["`cuda:0` is not available", "cpu", "--features cuda"]);
    let device = format!("record net --device gpu {site}");
    fail(folder.path(), &device, 3, &["`gpu`", "cpu"]);
    assert!(!folder.path().join("r").exists());
}
