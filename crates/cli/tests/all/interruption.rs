//! Killed and interrupted runs: at most one shard is lost, and the rest is continued.
#![cfg(unix)]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{
    checksums, fail, fixture, manifest, nissl, nothing_half_valid, prose, scratch, succeed, write,
};

/// Four shards of 32 MiB: 27,000 tokens of 1,232 units.
fn long_recording(folder: &Path) -> String {
    write(folder, "long.txt", prose(450, 60));
    let gpt2 = fixture("gpt2");
    format!("record {} --site ** --dtype f16 --text long.txt", gpt2.display())
}

/// Begins `line` and waits until the manifest of `name` lists a shard.
fn begin(folder: &Path, line: &str, name: &str) -> Child {
    let mut command = nissl(folder, line);
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
    let begun = Instant::now();
    let path = folder.join(name).join("manifest.json");
    while begun.elapsed() < Duration::from_secs(60) {
        assert!(child.try_wait().expect("a state").is_none(), "it ended before it was stopped");
        if path.exists() && !checksums(folder, name).is_empty() {
            return child;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("no shard was committed within a minute");
}

#[test]
fn a_killed_recording_goes_on_to_the_same_bytes() {
    let folder = scratch();
    let line = long_recording(folder.path());
    succeed(folder.path(), &format!("{line} -o whole"));
    let whole = checksums(folder.path(), "whole");
    assert!(whole.len() >= 3, "{} shards", whole.len());

    let mut child = begin(folder.path(), &format!("{line} -o killed"), "killed");
    child.kill().expect("kills");
    child.wait().expect("ends");
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
    let child = begin(folder.path(), &format!("{line} -o stopped"), "stopped");
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(sent.expect("kill runs").success());
    let output = child.wait_with_output().expect("ends");
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
