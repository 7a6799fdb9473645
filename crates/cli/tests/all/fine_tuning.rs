//! `nissl train language --from`: a network goes on learning from other texts.

use crate::support::{fail, json, made, manifest, prose, scratch, succeed, write};

const SMALL: &str = "--batch 4 --steps 20 --warmup 2 --held-out 0.1";

#[test]
fn a_network_is_fine_tuned_on_other_texts() {
    let folder = scratch();
    write(folder.path(), "a.txt", prose(60, 30));
    let other: Vec<String> = (0..60).map(|n| format!("mat cat the on sat {}", n % 7)).collect();
    write(folder.path(), "b.txt", other.join("\n\n"));
    let shape = "--layers 1 --width 16 --heads 2 --context 16";
    succeed(folder.path(), &format!("train language --text a.txt {shape} {SMALL} -o base"));

    let line = format!("train language --text b.txt --from base {SMALL} --learning-rate 0.01");
    let tuned = json(folder.path(), &format!("{line} -o tuned"));
    let loss = |name: &str| tuned[name].as_f64().expect("a loss");
    assert!(loss("held_out") < loss("held_out_before") - 0.1, "{tuned}");
    let made_of = manifest(folder.path(), "tuned");
    let inputs = made_of["provenance"]["inputs"].as_array().expect("inputs");
    assert!(inputs.iter().any(|input| input["path"] == "base"), "{made_of}");
    assert_eq!(made_of["provenance"]["config"]["width"], 16, "the shape is the base's");

    let wrong = format!("{line} --width 32 -o w");
    fail(folder.path(), &wrong, 2, &["`width` is 32, expected 16, as base has"]);
    let wrong = format!("{line} --context 32 -o w");
    fail(folder.path(), &wrong, 2, &["`context` is 32, expected at most 16"]);
    let wrong = format!("{line} --tokenizer base/tokenizer.json -o w");
    fail(folder.path(), &wrong, 2, &["--tokenizer", "--from"]);
    fail(folder.path(), &line.replace("--from base", "--from nowhere -o w"), 2, &["nowhere"]);
    let world = made().join("w").display().to_string();
    let wrong = format!("train language --world {world} --from base {SMALL} -o w");
    fail(folder.path(), &wrong, 2, &["another tokenizer", "--text"]);
    assert!(!folder.path().join("w").exists());
}
