//! Killed and interrupted runs: at most one shard is lost, and the rest is continued.
#![cfg(unix)]

use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use crate::support::{
    begun, checksums, ended_by, fail, fixture, made, manifest, nissl, nothing_half_valid, prose,
    run, scratch, signal, succeed, write,
};

/// Six shards of 32 MiB: 36,000 tokens of 1,232 units, slowly, so that there is time to stop it.
fn long_recording(folder: &Path) -> String {
    write(folder, "long.txt", prose(600, 60));
    let gpt2 = fixture("gpt2");
    format!("record {} --site ** --dtype f16 --batch 1 --context 6 --text long.txt", gpt2.display())
}

/// Begins `line` and waits until the manifest of `name` lists a shard.
fn begun_with_shard(folder: &Path, line: &str, name: &str) -> Child {
    let path = folder.join(name).join("manifest.json");
    begun(nissl(folder, line), || path.exists() && !checksums(folder, name).is_empty())
}

#[test]
fn a_killed_recording_goes_on_to_the_same_bytes() {
    let folder = scratch();
    let line = long_recording(folder.path());
    succeed(folder.path(), &format!("{line} -o whole"));
    let whole = checksums(folder.path(), "whole");
    assert!(whole.len() >= 3, "{} shards", whole.len());

    let child = begun_with_shard(folder.path(), &format!("{line} -o killed"), "killed");
    assert_eq!(ended_by(child, "-KILL").status.code(), None);
    let kept = checksums(folder.path(), "killed");
    assert!(!kept.is_empty() && kept.len() < whole.len(), "{} shards", kept.len());
    assert_eq!(kept, whole[..kept.len()], "what was committed is whole");
    nothing_half_valid(folder.path(), "killed");

    let incomplete = ["killed is incomplete", "--resume"];
    fail(folder.path(), "decompose neurons killed -o f", 2, &incomplete);
    fail(folder.path(), &format!("{line} -o killed"), 2, &["exists already", "--resume"]);
    let other = line.replace("f16", "bf16");
    let differs = ["dtype", "with the settings of the interrupted run"];
    fail(folder.path(), &format!("{other} -o killed --resume"), 2, &differs);
    assert_eq!(checksums(folder.path(), "killed"), kept, "refusals change nothing");

    succeed(folder.path(), &format!("{line} -o killed --resume"));
    assert_eq!(checksums(folder.path(), "killed"), whole);
    assert_eq!(manifest(folder.path(), "killed")["complete"], true);
    let samples = |name: &str| {
        let file = folder.path().join(name).join("samples.parquet");
        nissl_core::Table::read(&file, None).expect("a table")
    };
    assert_eq!(samples("killed"), samples("whole"));
    let left = std::fs::read_dir(folder.path().join("killed")).expect("a folder").count();
    let right = std::fs::read_dir(folder.path().join("whole")).expect("a folder").count();
    assert_eq!(left, right, "no file of the killed run is left over");
}

#[test]
fn ctrl_c_finishes_the_shard_and_says_how_to_go_on() {
    let folder = scratch();
    let line = long_recording(folder.path());
    let child = begun_with_shard(folder.path(), &format!("{line} -o stopped"), "stopped");
    let output = ended_by(child, "-INT");
    let told = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(130), "{told}");
    assert!(output.stdout.is_empty());
    for part in ["interrupted after", "tokens in stopped", "--resume", "Ctrl-C again"] {
        assert!(told.contains(part), "{part:?} in {told}");
    }
    nothing_half_valid(folder.path(), "stopped");
    let kept = checksums(folder.path(), "stopped");
    assert!(!kept.is_empty());

    succeed(folder.path(), &format!("{line} -o stopped --resume"));
    // As if it had never been stopped: its own command makes the same shards again.
    let outcome = crate::support::json(folder.path(), "reproduce stopped");
    assert_eq!(outcome["same"], true, "{outcome}");
    assert_eq!(checksums(folder.path(), "stopped")[..kept.len()], kept);
}

#[test]
fn a_training_that_is_stopped_or_killed_goes_on_to_the_same_weights() {
    let folder = scratch();
    let world = made().join("w");
    let line = format!(
        "train language --world {} --layers 1 --width 16 --heads 2 --context 32 --batch 4 \
         --steps 600 --warmup 4 --held-out 0.1 --checkpoint-every 20",
        world.display()
    );
    succeed(folder.path(), &format!("{line} -o whole"));
    for (name, signal, code) in [("stopped", "-INT", Some(130)), ("killed", "-KILL", None)] {
        let state = folder.path().join(name).join("state.json");
        let child = begun(nissl(folder.path(), &format!("{line} -o {name}")), || state.exists());
        let output = ended_by(child, signal);
        assert_eq!(output.status.code(), code, "{name}");
        nothing_half_valid(folder.path(), name);
        let record = format!("record {name} --site embed --world {} -o r", world.display());
        let outcome = run(folder.path(), &record);
        assert_eq!(outcome.code, 2, "a half-trained network is recorded: {}", outcome.stderr);
        fail(folder.path(), &format!("{line} -o {name}"), 2, &["exists already", "--resume"]);
        succeed(folder.path(), &format!("{line} -o {name} --resume"));
        assert_eq!(checksums(folder.path(), name), checksums(folder.path(), "whole"), "{name}");
        assert!(!state.exists(), "the state of the training is left over");
    }
}

#[test]
fn a_dictionary_s_training_that_is_stopped_or_killed_goes_on_to_the_same_bytes() {
    let folder = scratch();
    let line = format!(
        "train dictionary {} --site layers.0.resid.post --world {} --tokens 300000 --batch 64 \
         --features 256 -k 8 --buffer 4096 --checkpoint 1 --evaluate 500",
        made().join("net").display(),
        made().join("w").display()
    );
    succeed(folder.path(), &format!("{line} -o whole"));
    let bytes = |name: &str| {
        std::fs::read(folder.path().join(name).join("dictionary.safetensors")).expect("reads")
    };
    for (name, signal, code) in [("stopped", "-INT", Some(130)), ("killed", "-KILL", None)] {
        let state = folder.path().join(name).join("training.unfinished");
        let child = begun(nissl(folder.path(), &format!("{line} -o {name}")), || state.exists());
        let output = ended_by(child, signal);
        assert_eq!(output.status.code(), code, "{name}");
        nothing_half_valid(folder.path(), name);
        succeed(folder.path(), &format!("{line} -o {name} --resume"));
        assert_eq!(bytes(name), bytes("whole"), "{name}");
        assert!(!state.exists(), "the state of the training is left over");
    }
}

#[test]
fn a_stopped_decomposition_leaves_nothing_half_valid() {
    let folder = scratch();
    let recording = made().join("rec");
    let line = format!(
        "decompose snmf {} -k 32 --iterations 100000 --patience 100000 -o f",
        recording.display()
    );
    let begun_at = Instant::now();
    let started = || begun_at.elapsed() > Duration::from_millis(800);
    let child = begun(nissl(folder.path(), &line), started);
    let output = ended_by(child, "-INT");
    let told = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(130), "{told}");
    assert!(told.contains("interrupted after"), "{told}");
    assert!(begun_at.elapsed() < Duration::from_secs(30), "it stops soon");
    nothing_half_valid(folder.path(), "f");
    let short = line.replace("100000", "10");
    succeed(folder.path(), &format!("{short} --overwrite"));
}

#[test]
fn a_second_ctrl_c_ends_at_once() {
    let folder = scratch();
    let line = long_recording(folder.path());
    let manifest = folder.path().join("r/manifest.json");
    let mut child = begun(nissl(folder.path(), &format!("{line} -o r")), || manifest.exists());
    for _ in 0..2 {
        signal(&child, "-INT");
        std::thread::sleep(Duration::from_millis(20));
    }
    let status = child.wait().expect("ends");
    assert_eq!(status.code(), Some(130));
    nothing_half_valid(folder.path(), "r");
}
