//! `info`, `verify` and `reproduce` of every kind of artefact.

use crate::support::{fail, json, made, run, scratch, succeed, write};

#[test]
fn info_tells_how_an_artefact_was_made() {
    let folder = made();
    for (name, kind) in [("w", "world"), ("net", "network"), ("rec", "recording")] {
        let told = json(folder, &format!("info {name}"));
        assert_eq!(told["nissl"], kind);
        assert!(told["provenance"]["command"].as_array().is_some_and(|words| words.len() > 3));
        let table = succeed(folder, &format!("info {name}")).stdout;
        for line in [format!("kind\t{kind}"), "version\t".to_owned(), "seconds\t".to_owned()] {
            assert!(table.contains(&line), "{line} in {table}");
        }
    }
    fail(folder, "info .", 2, &["holds no artefact of nissl", "manifest.json"]);
}

#[test]
fn features_are_told_from_recordings() {
    let folder = made();
    fail(folder, "decompose pca net -k 2 -o x", 2, &["net holds no recording", "`network`"]);
    fail(folder, "explain all rec", 2, &["rec holds no features", "`recording`", "nissl info"]);
    fail(folder, "probe truth rec", 2, &["rec holds no features"]);
}

#[test]
fn what_was_made_is_verified_and_can_be_made_again() {
    let folder = made();
    for name in ["w", "net", "rec"] {
        assert_eq!(json(folder, &format!("verify {name}"))["whole"], true, "{name}");
        let again = json(folder, &format!("reproduce {name}"));
        assert_eq!(again["same"], true, "{name}: {again}");
    }
    let out = scratch();
    let recording = folder.join("rec");
    let line = format!("decompose kmeans -k 5 --restarts 1 --seed 4 {}", recording.display());
    succeed(out.path(), &format!("{line} -o f"));
    let told = succeed(out.path(), "reproduce f").stdout;
    assert_eq!(told, "same: 2 shards, equal checksums\n");
}

#[test]
fn a_changed_dictionary_is_found() {
    let out = scratch();
    write(out.path(), "a.csv", "a,b\n1,2\n3,4\n5,6\n7,9\n");
    succeed(out.path(), "import a.csv -o rec");
    succeed(out.path(), "decompose pca -k 1 rec -o f");
    succeed(out.path(), "verify f");
    let mut bytes = std::fs::read(out.path().join("f/dictionary.safetensors")).expect("a file");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    write(&out.path().join("f"), "dictionary.safetensors", bytes);
    let outcome = run(out.path(), "verify f");
    assert_eq!(outcome.code, 1);
    assert!(outcome.stderr.contains("dictionary.safetensors"), "{}", outcome.stderr);
}

#[test]
fn a_changed_byte_is_found() {
    let out = scratch();
    write(out.path(), "a.csv", "a,b\n1,2\n3,4\n5,6\n");
    succeed(out.path(), "import a.csv -o rec");
    let file = out.path().join("rec/activity-00000.safetensors");
    let mut bytes = std::fs::read(&file).expect("a shard");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    write(&out.path().join("rec"), "activity-00000.safetensors", bytes);
    let outcome = run(out.path(), "verify rec --json");
    assert_eq!(outcome.code, 1);
    let told: serde_json::Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    assert_eq!(told["whole"], false);
    for part in ["activity-00000.safetensors", "sha256", "changed or damaged"] {
        assert!(outcome.stderr.contains(part), "{}", outcome.stderr);
    }
    // The file itself is what it was, so making it again gives the old bytes.
    assert_eq!(json(out.path(), "reproduce rec")["same"], true);
}

#[test]
fn a_changed_input_gives_other_bytes() {
    let out = scratch();
    write(out.path(), "a.csv", "a,b\n1,2\n3,4\n5,6\n");
    succeed(out.path(), "import a.csv -o rec");
    write(out.path(), "a.csv", "a,b\n1,2\n3,4\n5,7\n");
    let outcome = run(out.path(), "reproduce rec");
    assert_eq!(outcome.code, 1);
    assert_eq!(outcome.stdout, "different: activity-00000.safetensors\n");
    std::fs::remove_file(out.path().join("a.csv")).expect("removes");
    fail(out.path(), "reproduce rec", 2, &["a.csv", "its inputs must be there"]);
}
