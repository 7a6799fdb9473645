//! `nissl train dictionary` and `nissl probe dictionary`, from the command line.

use std::path::Path;
use std::sync::OnceLock;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{copy_files, fail, json as document, made, scratch, succeed, write};

/// A transcoder of the shared network, and the path of the shared folder.
fn trained() -> &'static Path {
    static MADE: OnceLock<TempDir> = OnceLock::new();
    let folder = MADE.get_or_init(|| {
        let folder = scratch();
        let line = train("--target layers.0.mlp.out --features 96 -k 6 -o tc");
        succeed(folder.path(), &line);
        folder
    });
    folder.path()
}

fn train(rest: &str) -> String {
    let (net, world) = (made().join("net"), made().join("w"));
    format!(
        "train dictionary {} --site layers.0.mlp.in --world {} --tokens 40000 --batch 256 {rest}",
        net.display(),
        world.display()
    )
}

fn probe(rest: &str) -> String {
    let (net, world) = (made().join("net"), made().join("w"));
    format!(
        "probe dictionary {rest} --model {} --world {} --tokens 2000",
        net.display(),
        world.display()
    )
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn a_streamed_transcoder_is_evaluated_beside_its_baselines() {
    let folder = trained();
    let report = document(folder, &probe("tc --out found.json"));
    let one = &report[0];
    let own = &one["dictionaries"][0];
    assert!(number(&own["active"]) <= 6.0 && number(&own["active"]) > 1.0, "{own}");
    assert!(number(&own["fvu"]) < 0.7, "{own}");
    assert!(number(&one["zero"]) > number(&one["replaced"]), "{one}");
    assert!(number(&one["recovered"]) > 0.3, "{one}");
    let names: Vec<String> = one["baselines"]
        .as_array()
        .expect("baselines")
        .iter()
        .map(|row| row["baseline"].to_string())
        .collect();
    assert_eq!(names.len(), 3, "{names:?}");
    let written = std::fs::read(folder.join("found.json")).expect("was written");
    assert_eq!(serde_json::from_slice::<Value>(&written).expect("JSON"), report);

    // What the training told of held-out texts stands beside the dictionary.
    let told = std::fs::read(folder.join("tc/evaluation.json")).expect("was written");
    let told: Value = serde_json::from_slice(&told).expect("JSON");
    assert!(number(&told["recovered"]) > 0.3, "{told}");
    let info = succeed(folder, "info tc");
    assert!(info.stdout.contains("96"), "{}", info.stdout);
    succeed(folder, "verify tc");

    // With the error added back nothing is lost.
    let report = document(folder, &probe("tc --error-added-back"));
    let gap = number(&report[0]["replaced"]) - number(&report[0]["full"]);
    assert!(gap.abs() < 1e-6, "{gap}");
    let table = succeed(folder, &probe("tc"));
    assert!(table.stdout.starts_with("dictionary\tsite\tL0\tFVU\tloss\t"), "{}", table.stdout);
    assert!(table.stderr.contains("features by log₁₀ frequency"), "{}", table.stderr);
}

#[test]
fn texts_without_a_next_token_are_trained_on_and_not_evaluated() {
    let folder = scratch();
    write(folder.path(), "a.txt", "the cat\nthe dog\nthe the\n".repeat(80));
    let net = made().join("net");
    let line = format!(
        "train dictionary {} --site embed --text a.txt --documents line --leave-out 1 --batch 64 \
         --tokens 640 --features 8 -k 2 -o f",
        net.display()
    );
    let outcome = succeed(folder.path(), &line);
    assert!(outcome.stderr.contains("not evaluated"), "{}", outcome.stderr);
    assert!(!folder.path().join("f/evaluation.json").exists());
}

#[test]
fn a_sweep_is_a_row_for_each_dictionary() {
    let folder = scratch();
    let (net, world) = (made().join("net"), made().join("w"));
    let line = format!(
        "record {} --site layers.0.mlp.{{in,out}} --world {} --max-tokens 3000 -o rec",
        net.display(),
        world.display()
    );
    succeed(folder.path(), &line);
    succeed(
        folder.path(),
        "decompose transcoder rec --input layers.0.mlp.in --target layers.0.mlp.out --features 64 \
         --tokens 20000 --batch 256 --sweep k=2,8 -o swept",
    );
    let report = document(folder.path(), &probe("swept"));
    let rows = report.as_array().expect("rows");
    assert_eq!(rows.len(), 2);
    let of = |row: &Value, field: &str| number(&row["dictionaries"][0][field]);
    let mut order = [&rows[0], &rows[1]];
    order.sort_by(|a, b| of(a, "active").total_cmp(&of(b, "active")));
    assert!(of(order[0], "active") < 2.5 && of(order[1], "active") > 4.0, "{report}");
    assert!(of(order[0], "fvu") > of(order[1], "fvu"), "{report}");
    assert_eq!(rows[0]["baselines"].as_array().map(Vec::len), Some(0));
}

#[test]
fn features_are_ablated_scaled_and_steered_in_the_network() {
    let folder = trained();
    let found = document(folder, &probe("tc --steer 3=+20 --error-added-back --most 4"));
    let change = (number(&found["after"]) - number(&found["before"])).abs();
    assert!(change > 1e-3, "{found}");
    assert_eq!(found["raised"].as_array().map(Vec::len), Some(4));
    assert!(found["raised"][0]["text"].is_string());
    let same = document(folder, &probe("tc --scale 3=1.0,4=1 --error-added-back"));
    assert!((number(&same["after"]) - number(&same["before"])).abs() < 1e-9);
    let table = succeed(folder, &probe("tc --ablate 3,4 --set 5=-1"));
    assert!(table.stderr.contains("loss"), "{}", table.stderr);
}

#[test]
fn a_task_is_told_against_the_features_kept() {
    let folder = trained();
    let task = "{\"prompt\": \"The cat\", \"good\": [7], \"bad\": [8, 9]}\n";
    write(folder, "task.jsonl", task);
    let net = made().join("net");
    let line =
        format!("probe dictionary tc --model {} --task task.jsonl --keep 2,96", net.display());
    let found = document(folder, &line);
    assert_eq!(found["points"].as_array().map(Vec::len), Some(4), "{found}");
    let kept_all = number(&found["points"][1][2]);
    assert!((kept_all - number(&found["replaced"])).abs() < 1e-6, "{found}");
    let table = succeed(folder, &line);
    assert!(table.stdout.starts_with("kept\tfeatures\tneurons\n"), "{}", table.stdout);
    let years = format!("probe dictionary tc --model {} --greater-than", net.display());
    fail(folder, &years, 2, &["tokens of two digits"]);
}

/// A copy of the shared network whose tokenizer has tokens of two digits, as GPT-2's has.
fn with_years(folder: &Path) {
    copy_files(&made().join("net"), &folder.join("years"));
    let mut words = json!({
        "<unk>": 0, "<story>": 1, "<end>": 2, "The": 3, "war": 4, "lasted": 5, "from": 6, "to": 7,
    });
    for year in 0..100 {
        words[format!("{year:02}")] = (100 + year).into();
    }
    let split = json!({"Regex": "\\d\\d|\\p{L}+"});
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": null, "post_processor": null, "decoder": null,
        "pre_tokenizer": {
            "type": "Split", "pattern": split, "behavior": "Removed", "invert": true,
        },
        "model": {"type": "WordLevel", "vocab": words, "unk_token": "<unk>"},
    });
    write(folder, "years/tokenizer.json", tokenizer.to_string());
}

#[test]
fn wars_that_end_later_are_a_task_of_every_tokenizer_with_two_digits() {
    let folder = scratch();
    with_years(folder.path());
    let tc = trained().join("tc");
    let line = format!("probe dictionary {} --model years --greater-than", tc.display());
    let found = document(folder.path(), &format!("{line} --keep 0,4,96"));
    // YY from 02 to 98, each of which some years follow and some do not.
    assert_eq!(found["prompts"], 97, "{found}");
    let points = found["points"].as_array().expect("points");
    assert_eq!(points.len(), 6, "{found}");
    let of = |units: &str, kept: u64| -> f64 {
        let is = |point: &&Value| point[0] == units && point[1] == kept;
        number(&points.iter().find(is).expect("a point")[2])
    };
    let (full, replaced) = (number(&found["full"]), number(&found["replaced"]));
    assert!((of("features", 96) - replaced).abs() < 1e-6, "{found}");
    // The MLP has 64 neurons: all of them are the network itself.
    assert!((of("neurons", 96) - full).abs() < 1e-6, "{found}");
    for value in [full, replaced, number(&found["zero"])] {
        assert!((-1.0..=1.0).contains(&value), "a difference of probabilities: {found}");
    }
    assert!((of("features", 0) - of("features", 96)).abs() > 1e-6, "{found}");
    let table = succeed(folder.path(), &line);
    assert!(table.stderr.contains("97 prompts"), "{}", table.stderr);
}

#[test]
fn what_does_not_fit_is_told() {
    let folder = trained();
    let refused = |line: &str, parts: &[&str]| fail(folder, &probe(line), 2, parts);
    refused("tc --ablate 96", &["`feature` is 96", "0 to 95"]);
    refused("tc --scale 3", &["FEATURE=NUMBER"]);
    refused("tc --steer 3=inf", &["finite"]);
    refused("tc tc --ablate 3", &["2 folders", "one dictionary"]);
    refused("tc --at layers.0.mlp.out --target layers.0.mlp.in", &["before"]);
    refused("tc --at layers.0.mlp.in", &["`target` is absent"]);
    refused("tc --at layers.0.mlp.act --target layers.0.mlp.out", &["layers.0.mlp.act"]);
    refused("tc --context 99", &["`context` is 99"]);
    refused("nowhere", &["nowhere"]);
    let net = made().join("net");
    let bare = format!("probe dictionary tc --model {}", net.display());
    fail(folder, &bare, 2, &["`text` is absent"]);

    let refused = |line: &str, parts: &[&str]| fail(folder, &train(line), 2, parts);
    refused("--target layers.0.mlp.on -o x", &["layers.0.mlp.on", "layers.0.mlp.out"]);
    refused("--target layers.0.mlp.in -o x", &["`target` is layers.0.mlp.in"]);
    refused("-k 900 -o x", &["`k` is 900"]);
    refused("--held-out 0.7 -o x", &["`held_out` is 0.7"]);
    refused("--skip -o x", &["--target"]);
    assert!(!folder.join("x").exists());
}

#[test]
fn a_dictionary_of_another_site_is_refused_with_the_best_one() {
    let folder = scratch();
    let text = "The cat sat on the mat and the dog ran to the cat.\n\n".repeat(40);
    write(folder.path(), "a.txt", text);
    let shape = "--layers 2 --width 16 --heads 2 --context 16 --batch 4 --steps 20 --warmup 4";
    let line =
        format!("train language --text a.txt {shape} --learning-rate 0.01 --held-out 0.1 -o net");
    succeed(folder.path(), &line);
    let rest =
        "--text a.txt --tokens 30000 --batch 256 --features 64 -k 8 --held-out 0.1 --leave-out 1";
    let sites = "--site layers.1.mlp.in --target layers.1.mlp.out";
    succeed(folder.path(), &format!("train dictionary net {sites} {rest} -o tc"));
    let other = "probe dictionary tc --model net --text a.txt --at layers.0.mlp.in \
                 --target layers.0.mlp.out";
    fail(
        folder.path(),
        other,
        2,
        &["unexplained variance", "layers.1.mlp.in -> layers.1.mlp.out fits best", "--force"],
    );
    let forced = document(folder.path(), &format!("{other} --force"));
    assert!(number(&forced[0]["dictionaries"][0]["fvu"]) > 1.0, "{forced}");
    let warned = succeed(folder.path(), "probe dictionary tc --model net --text a.txt --first 0");
    assert!(warned.stderr.contains("beginning-of-text"), "{}", warned.stderr);
}
