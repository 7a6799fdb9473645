//! `nissl trace attribution`, `nissl explain dashboard` and `tally`, end to end.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use nissl_core::Table;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{fail, json, made, run, scratch, succeed, write};

/// A folder with two transcoders `t` and `u` of the shared network's MLP, made once.
pub(crate) fn transcoders() -> &'static Path {
    static MADE: OnceLock<TempDir> = OnceLock::new();
    let folder = MADE.get_or_init(|| {
        let folder = scratch();
        let (net, world) = (made().join("net"), made().join("w"));
        let (net, world) = (net.display(), world.display());
        let sites = "layers.0.mlp.{in,out}";
        succeed(folder.path(), &format!("record {net} --site {sites} --world {world} -o rec"));
        let train = "decompose transcoder rec --input layers.0.mlp.in --target layers.0.mlp.out \
                     --features 48 -k 4 --tokens 20000";
        succeed(folder.path(), &format!("{train} -o t"));
        succeed(folder.path(), &format!("{train} --seed 5 -o u"));
        folder
    });
    folder.path()
}

fn net() -> PathBuf {
    made().join("net")
}

/// A command that traces `prompt`.
fn traced(folder: &Path, more: &str, prompt: &str) -> std::process::Command {
    let line = format!("trace attribution {} {more}", net().display());
    let mut command = crate::support::nissl(folder, &line);
    command.args(["--prompt", prompt]);
    command
}

const PROMPT: &str = "he was a guide and owned a grey";

#[test]
fn a_prompt_is_traced_completely_and_viewers_get_what_is_kept() {
    let folder = scratch();
    let features = transcoders().join("t").display().to_string();
    let files = "-o g --viewer-json g.json --html g.html --slug one --json";
    let command = traced(folder.path(), &format!("--features {features} {files}"), PROMPT);
    let outcome = crate::support::finished(command);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    let told: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    let gap = told["completeness"]["worst"].as_f64().expect("a gap");
    assert!(gap < 1e-4, "contributions + biases + errors fall short by {gap}");
    assert!(outcome.stderr.contains("largest relative gap"), "{}", outcome.stderr);
    assert!(told["influence_kept"].as_f64().expect("a share") > 0.7);

    succeed(folder.path(), "verify g");
    let nodes = Table::read(&folder.path().join("g/nodes.parquet"), None).expect("reads");
    let text = std::fs::read(folder.path().join("g.json")).expect("a file");
    let viewer: Value = serde_json::from_slice(&text).expect("JSON");
    assert_eq!(viewer["nodes"].as_array().expect("nodes").len(), nodes.rows());
    assert_eq!(viewer["metadata"]["slug"], "one");
    assert_eq!(viewer["metadata"]["node_threshold"], 0.8);
    assert_eq!(viewer["metadata"]["prompt_tokens"].as_array().expect("tokens").len(), 8);
    let ids: Vec<&str> = viewer["nodes"]
        .as_array()
        .expect("nodes")
        .iter()
        .filter_map(|n| n["node_id"].as_str())
        .collect();
    for link in viewer["links"].as_array().expect("links") {
        assert!(ids.contains(&link["source"].as_str().expect("an id")), "{link}");
        assert!(ids.contains(&link["target"].as_str().expect("an id")), "{link}");
    }
    let page = std::fs::read_to_string(folder.path().join("g.html")).expect("a page");
    assert!(page.contains("<svg") && !page.contains("http://") && !page.contains("<script src"));
    assert!(page.contains("class=\"link "));
}

#[test]
fn what_cannot_be_traced_is_told() {
    let folder = scratch();
    let (t, u) = (transcoders().join("t"), transcoders().join("u"));
    let (t, u, rec) = (t.display(), u.display(), transcoders().join("rec"));
    let long = "the red hat ".repeat(30);
    for (more, prompt, says) in [
        (format!("--features {t}"), "he", "at least two tokens"),
        (format!("--features {t}"), long.as_str(), "at most 32, the context"),
        (format!("--features {t} {u}"), PROMPT, "one for layer 0"),
        (format!("--features {}", rec.display()), PROMPT, "holds no features"),
        (format!("--features {t} --node-threshold 2"), PROMPT, "0 to 1"),
        (format!("--features {t} --most-nodes 5"), PROMPT, "`most_nodes` is 5"),
    ] {
        let outcome = crate::support::finished(traced(folder.path(), &more, prompt));
        assert_eq!(outcome.code, 2, "{more}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(says), "{more}: {}", outcome.stderr);
    }
}

#[test]
fn without_transcoders_neurons_are_the_nodes_unless_they_are_gated() {
    let folder = scratch();
    let command = traced(folder.path(), "--viewer-json g.json --json", PROMPT);
    let outcome = crate::support::finished(command);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("the nodes are neurons"), "{}", outcome.stderr);
    let told: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    assert!(told["completeness"]["worst"].as_f64().expect("a gap") < 1e-3, "{told}");
    assert!(folder.path().join("g.json").exists());
    let line = format!("trace attribution {}", crate::support::fixture("llama").display());
    let mut command = crate::support::nissl(folder.path(), &line);
    command.args(["--prompt", "the cat sat"]);
    let outcome = crate::support::finished(command);
    assert_eq!(outcome.code, 2, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("neurons are gated"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("nissl train dictionary"), "{}", outcome.stderr);
}

#[test]
fn dashboards_show_bands_and_hide_what_the_blind_may_not_see() {
    let (folder, net) = (scratch(), net());
    let (t, u, net) = (transcoders().join("t"), transcoders().join("u"), net.display());
    let (t, u, rec) = (t.display(), u.display(), transcoders().join("rec"));
    let texts = format!("--recording {}", rec.display());
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("a page");
    succeed(
        folder.path(),
        &format!("explain dashboard {t}:3,4 --model {net} {texts} -o open.html"),
    );
    let open = read("open.html");
    assert!(open.contains("Share of the active samples in each band"));
    assert!(open.contains("Tokens whose embedding it reads most"));
    assert_eq!(open.matches("class=\"from\"").count() % 2, 0);
    assert!(open.contains("class=\"tokens\""));

    let blind = "--blind --sheet sheet.csv -o blind.html";
    succeed(folder.path(), &format!("explain dashboard {t}:3,4 --model {net} {blind}"));
    let page = read("blind.html");
    assert!(page.contains("What it writes") && page.contains("Tokens whose embedding"));
    assert!(!page.contains("class=\"tokens\"") && !page.contains("class=\"from\""));
    assert_eq!(read("sheet.csv"), "item,judgement,words\r\n3,,\r\n4,,\r\n");
    fail(folder.path(), &format!("explain dashboard {t} --blind -o x.html"), 2, &["--model"]);
    fail(
        folder.path(),
        &format!("explain dashboard {t}:99 {texts} -o x.html"),
        2,
        &["`feature` is 99"],
    );

    let mixed = format!("explain dashboard {t} --against {u} --count 5 --sheet s.csv --key k.csv");
    succeed(folder.path(), &format!("{mixed} {texts} -o mixed.html"));
    let (page, key) = (read("mixed.html"), read("k.csv"));
    assert!(page.contains("Item 10") && !page.contains("Item 11"));
    for source in [t.to_string(), u.to_string()] {
        assert!(!page.contains(&source), "the page tells whose features they are");
        assert_eq!(key.matches(&source).count(), 5);
    }
    let filled =
        read("s.csv").replace("\r\n1,,", "\r\n1,yes,\"a, b\"").replace("\r\n2,,", "\r\n2,no,");
    write(folder.path(), "s.csv", filled);
    let tallies = json(folder.path(), "explain tally s.csv --key k.csv");
    let tallies = tallies.as_array().expect("tallies");
    let sum = |field: &str| -> u64 { tallies.iter().filter_map(|one| one[field].as_u64()).sum() };
    assert_eq!([sum("yes"), sum("maybe"), sum("no"), sum("blank")], [1, 0, 1, 8]);
    assert_eq!(tallies.len(), 2);
    write(folder.path(), "bad.csv", "item,judgement\n1,perhaps\n");
    fail(folder.path(), "explain tally bad.csv", 2, &["perhaps", "yes, maybe, no"]);
    assert_eq!(run(folder.path(), "explain tally nowhere.csv").code, 2);
}
