//! `nissl decompose sae` and `transcoder` on a recording, end to end; sweeps, sites and seeds of them.

use std::path::Path;
use std::sync::OnceLock;

use nissl_core::Recording;
use nissl_core::features::Features;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    begun, ended_by, fail, json, made, nissl, nothing_half_valid, run, scratch, succeed,
};

/// A recording of both sides of the shared network's MLP, made once.
fn recorded() -> &'static Path {
    static MADE: OnceLock<TempDir> = OnceLock::new();
    let folder = MADE.get_or_init(|| {
        let folder = scratch();
        let (net, world) = (made().join("net"), made().join("w"));
        let sites = "layers.0.mlp.{in,out}";
        let line = format!("record {} --site {sites} --world {}", net.display(), world.display());
        succeed(folder.path(), &format!("{line} -o rec"));
        folder
    });
    folder.path()
}

const SAE: &str = "decompose sae rec --site layers.0.mlp.out --features 48";
const TRANSCODER: &str = "decompose transcoder rec --input layers.0.mlp.in --target \
                          layers.0.mlp.out --features 48";

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn dictionaries_of_a_recording_are_trained_encoded_shown_and_matched_with_the_truth() {
    let folder = recorded();
    for (line, name, method) in [(SAE, "sae", "sae"), (TRANSCODER, "tc", "transcoder")] {
        let told = json(folder, &format!("{line} -k 4 --batch 256 --tokens 60000 -o {name}"));
        assert_eq!((&told["features"], &told["units"]), (&48.into(), &16.into()), "{told}");
        assert_eq!(told["method"], method);
        let explained = number(&told["explained_variance"]["held_out"]);
        assert!(explained > 0.3, "{name}: {told}");
        succeed(folder, &format!("verify {name}"));
        // All samples of the recording are encoded, as the dictionary encodes them.
        let features = Features::open(&folder.join(name)).expect("features");
        let recording = Recording::open(&folder.join("rec")).expect("a recording");
        assert_eq!(features.samples(), recording.samples());
        let site = if method == "sae" { "layers.0.mlp.out" } else { "layers.0.mlp.in" };
        let side = recording.only(&site.parse().expect("a glob")).expect("the site");
        let block = side.blocks(64).next().expect("a block").expect("reads");
        let truth = features.dictionary().encode(block.activity.view()).expect("encodes");
        let rows: Vec<usize> = (0..64).collect();
        let found = features.rows(&rows).expect("activations");
        assert!((&found - &truth).iter().all(|gap| gap.abs() < 1e-5));
        assert!(found.rows().into_iter().all(|row| row.iter().filter(|v| **v > 0.0).count() <= 4));

        let matches = json(folder, &format!("probe truth {name}"));
        assert!(number(&matches["mean_auroc"]) > 0.6, "{}", matches["mean_auroc"]);
        let shown = json(folder, &format!("show {name}:0"));
        assert!(shown[0]["scores"].is_array());
        let again = run(folder, &format!("{line} -k 4 --batch 256 --tokens 60000 -o {name}"));
        assert_eq!(again.code, 2, "an artefact is not overwritten unasked");
        // As its manifest says how: the same bytes once more.
        let outcome = json(folder, &format!("reproduce {name}"));
        assert_eq!(outcome["same"], true, "{outcome}");
    }
}

#[test]
fn every_architecture_trains_at_its_defaults() {
    let folder = recorded();
    for architecture in ["relu", "top-k", "batch-top-k", "jump-relu", "gated", "group-max"] {
        let line = format!("{SAE} -k 4 --batch 256 --tokens 20000 --architecture {architecture}");
        let told = json(folder, &format!("{line} -o by-{architecture}"));
        let explained = number(&told["explained_variance"]["held_out"]);
        assert!(explained > 0.0, "{architecture}: {told}");
    }
    fail(folder, &format!("{SAE} -k 49 -o no"), 2, &["`k` is 49", "48"]);
    fail(folder, &format!("{SAE} --lambda=-1 -o no"), 2, &["`lambda` is -1"]);
    fail(folder, &format!("{SAE} --tokens 9 --epochs 2 -o no"), 2, &["--epochs"]);
    let unknown = TRANSCODER.replace("mlp.out", "attn.out");
    fail(folder, &format!("{unknown} -o no"), 2, &["layers.0.attn.out", "layers.0.mlp.out"]);
    assert!(!folder.join("no").exists());
}

#[test]
fn a_stopped_training_on_a_recording_goes_on_to_the_same_bytes() {
    let folder = recorded();
    let bytes = |name: &str| {
        std::fs::read(folder.join(name).join("dictionary.safetensors")).expect("reads")
    };
    // Long enough that the interruption comes before the end on a busy machine.
    let line = format!("{SAE} -k 4 --epochs 300 --batch 64 --checkpoint 1");
    succeed(folder, &format!("{line} -o whole"));
    let state = folder.join("stopped/training.unfinished");
    let child = begun(nissl(folder, &format!("{line} -o stopped")), || state.exists());
    let output = ended_by(child, "-INT");
    assert_eq!(output.status.code(), Some(130));
    nothing_half_valid(folder, "stopped");
    fail(folder, &format!("{line} -o stopped"), 2, &["--resume"]);
    succeed(folder, &format!("{line} -o stopped --resume"));
    assert_eq!(bytes("stopped"), bytes("whole"));
    assert!(!state.exists(), "the state of the training is left over");
}

#[test]
fn autoencoders_are_swept_by_site_and_seed() {
    let folder = recorded();
    let base = "decompose sae rec --features 32 --tokens 15000 --batch 128";
    let line = format!("{base} --sweep k=2,6 --seeds 2 --each-site -o s");
    let swept = json(folder, &line);
    let settings = swept["settings"].as_array().expect("settings");
    // Each of both sites has a row for each k, and of each site one is chosen.
    assert_eq!(settings.len(), 4, "{swept}");
    let chosen = settings.iter().filter(|one| one["chosen"] == true).count();
    assert_eq!(chosen, 2, "{swept}");
    for one in settings {
        let stability = number(&one["stability"]);
        assert!((-1.0..=1.0 + 1e-9).contains(&stability), "{one}");
        let path = format!("s/{}", one["folder"].as_str().expect("a folder"));
        succeed(folder, &format!("verify {path}"));
        let features = Features::open(&folder.join(&path)).expect("features");
        let sites = features.unit_table().texts("site").expect("sites");
        assert!(path.contains(sites[0].as_str()), "{path} {}", sites[0]);
    }
    // More active features explain more.
    let of = |one: &Value| number(&one["held_out"]);
    for pair in settings.chunks(2) {
        assert!(of(&pair[0]) < of(&pair[1]) + 0.02, "{swept}");
    }
    // Another seed is another dictionary.
    let alone = json(folder, &format!("{base} -k 3 --seeds 3 -o seeds"));
    assert!(number(&alone["settings"][0]["stability"]) < 1.0, "{alone}");
    fail(folder, &format!("{base} --sweep kk=2 -o no"), 2, &["`sweep` is kk"]);
    fail(folder, &format!("{base} --seeds 0 -o no"), 2, &["seeds"]);
    assert!(!folder.join("no").exists());
}

#[test]
fn flags_that_only_a_recording_knows_are_not_shown_to_a_stream() {
    let folder = scratch();
    let help = succeed(folder.path(), "train dictionary --help").stdout;
    assert!(help.contains("--tokens") && help.contains("--buffer"), "{help}");
    assert!(!help.contains("--epochs") && !help.contains("--memory"), "{help}");
    let help = succeed(folder.path(), "decompose sae --help").stdout;
    assert!(help.contains("--epochs") && help.contains("--memory"), "{help}");
    let net = made().join("net").display().to_string();
    let world = made().join("w").display().to_string();
    let line = format!("train dictionary {net} --site embed --world {world} -o f");
    fail(folder.path(), &format!("{line} --epochs 2"), 2, &["`epochs`", "tokens"]);
    fail(folder.path(), &format!("{line} --memory 64"), 2, &["`memory`", "--buffer"]);
}
