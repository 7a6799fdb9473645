//! What the tests share: the binary, the fixtures, one small world with its network and recording.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nissl_core::store::write_bytes;
use serde_json::Value;
use tempfile::TempDir;

/// What a run left: its exit code and both streams.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The binary in `folder`, with two threads unless the line says otherwise, and nothing of the tester's environment.
pub(crate) fn nissl(folder: &Path, line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nissl"));
    command.current_dir(folder).args(line.split_whitespace());
    if !line.contains("--threads") {
        command.args(["--threads", "2"]);
    }
    for name in ["NISSL_OFFLINE", "NISSL_LOG", "HF_HUB_OFFLINE", "NO_COLOR", "CLICOLOR_FORCE"] {
        command.env_remove(name);
    }
    command.env("COLUMNS", "100").stdin(Stdio::null());
    command
}

/// Runs `nissl` with the words of `line` in `folder`.
pub(crate) fn run(folder: &Path, line: &str) -> Outcome {
    finished(nissl(folder, line))
}

/// Runs a command to its end; no stream may hold a colour code, for neither is a terminal.
pub(crate) fn finished(mut command: Command) -> Outcome {
    let output = command.output().expect("the binary starts");
    let outcome = Outcome {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).expect("stdout is UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("stderr is UTF-8"),
    };
    for stream in [&outcome.stdout, &outcome.stderr] {
        assert!(!stream.contains('\u{1b}'), "colour codes without a terminal: {stream:?}");
    }
    outcome
}

/// Runs `nissl` and requires success.
pub(crate) fn succeed(folder: &Path, line: &str) -> Outcome {
    let outcome = run(folder, line);
    assert_eq!(outcome.code, 0, "nissl {line}\n{}", outcome.stderr);
    outcome
}

/// Runs `nissl --json` and gives the document, which must be all of stdout.
pub(crate) fn json(folder: &Path, line: &str) -> Value {
    let outcome = succeed(folder, &format!("{line} --json"));
    serde_json::from_str(&outcome.stdout)
        .unwrap_or_else(|error| panic!("nissl {line} --json: {error}\n{}", outcome.stdout))
}

/// Runs `nissl` and requires an exit code and a message that holds all of `parts`; nothing may go
/// to stdout.
pub(crate) fn fail(folder: &Path, line: &str, code: i32, parts: &[&str]) {
    let outcome = run(folder, line);
    assert_eq!(outcome.code, code, "nissl {line}\n{}{}", outcome.stdout, outcome.stderr);
    assert_eq!(outcome.stdout, "", "nissl {line}");
    for part in parts {
        assert!(
            outcome.stderr.contains(part),
            "nissl {line}\nmisses {part:?} in\n{}",
            outcome.stderr
        );
    }
}

/// Starts a command and waits until `reached`.
#[expect(clippy::zombie_processes, reason = "a failed test ends, and its child with it")]
pub(crate) fn begun(mut command: Command, reached: impl Fn() -> bool) -> Child {
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
    let since = Instant::now();
    while since.elapsed() < Duration::from_mins(1) {
        assert!(child.try_wait().expect("a state").is_none(), "it ended before it was stopped");
        if reached() {
            return child;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("not reached within a minute: {command:?}");
}

/// Sends a signal, such as `-INT`.
pub(crate) fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status();
    assert!(sent.expect("kill runs").success());
}

/// Sends a signal and waits for the end.
pub(crate) fn ended_by(child: Child, name: &str) -> Output {
    signal(&child, name);
    child.wait_with_output().expect("ends")
}

/// A folder of its own for a test.
pub(crate) fn scratch() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// The committed checkpoint of a family.
pub(crate) fn fixture(family: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/models").join(family)
}

/// A copy of the checkpoint of a family as `folder/name`, to be spoilt.
pub(crate) fn copy_of(family: &str, folder: &Path, name: &str) -> PathBuf {
    let copy = folder.join(name);
    copy_files(&fixture(family), &copy);
    copy
}

/// Copies the files of a folder to another.
pub(crate) fn copy_files(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let file = entry.expect("an entry").path();
        let target = to.join(file.file_name().expect("a name"));
        std::fs::copy(&file, target).expect("copies");
    }
}

/// Writes a file of `folder`.
pub(crate) fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) {
    write_bytes(&folder.join(name), content.as_ref()).expect("writes");
}

/// The manifest of the artefact `folder/name`.
pub(crate) fn manifest(folder: &Path, name: &str) -> Value {
    let text = std::fs::read(folder.join(name).join("manifest.json")).expect("a manifest");
    serde_json::from_slice(&text).expect("a manifest in JSON")
}

/// The checksums of an artefact's shards.
pub(crate) fn checksums(folder: &Path, name: &str) -> Vec<String> {
    let manifest = manifest(folder, name);
    let shards = manifest["shards"].as_array().expect("shards");
    shards.iter().map(|shard| shard["sha256"].as_str().expect("a checksum").to_owned()).collect()
}

/// Asserts that a failed run left nothing that could be taken for a whole artefact.
pub(crate) fn nothing_half_valid(folder: &Path, name: &str) {
    let path = folder.join(name).join("manifest.json");
    let complete = std::fs::read(path)
        .ok()
        .and_then(|text| serde_json::from_slice::<Value>(&text).ok())
        .is_some_and(|manifest| manifest["complete"] != Value::Bool(false));
    assert!(!complete, "{name} looks whole after a failed run");
}

/// Documents of words that the fixtures' tokenizers know, about `words` tokens each.
pub(crate) fn prose(documents: usize, words: usize) -> String {
    let known = ["the", "cat", "sat", "on", "a", "mat", "and", "told", "two", "stories", "about"];
    let document = |number: usize| {
        let word = |at: usize| known[(at * at + 3 * number + at / 7) % known.len()];
        (0..words).map(word).collect::<Vec<_>>().join(" ")
    };
    (0..documents).map(document).collect::<Vec<_>>().join("\n\n")
}

/// A folder with a world `w`, a network `net` trained on it and its recording `rec`, made once for
/// all tests by the commands of issue 2; the tests only read it.
pub(crate) fn made() -> &'static Path {
    static MADE: OnceLock<TempDir> = OnceLock::new();
    let folder = MADE.get_or_init(|| {
        let folder = scratch();
        succeed(folder.path(), "world language --tokens 6000 --seed 3 -o w");
        succeed(
            folder.path(),
            "train language --world w --layers 1 --width 16 --heads 2 --context 32 --batch 4 \
             --steps 30 --warmup 4 --held-out 0.1 --learning-rate 0.01 -o net",
        );
        succeed(folder.path(), "record net --site layers.*.mlp.act --world w -o rec");
        folder
    });
    folder.path()
}
