//! Paths and connections of a planted circuit, end to end: `trace transcoder-paths`, `connections`.

use std::path::Path;

use nissl_worlds::planted_circuit::{Chain, CircuitNorms, PlantedCircuit};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{fail, finished, fixture, json, nissl, scratch, succeed};

/// A network with a planted chain as `folder/net`.
fn planted() -> (TempDir, Chain) {
    let folder = scratch();
    let world = PlantedCircuit { norms: CircuitNorms::Layer, seed: 3, ..PlantedCircuit::default() };
    let planted = world.plant().expect("plants");
    let net = folder.path().join("net");
    std::fs::create_dir(&net).expect("a folder");
    planted.save(&net).expect("saves");
    (folder, planted.chain)
}

fn text(chain: &Chain) -> String {
    chain.prompt.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// Runs with the prompt, whose tokens blanks part.
fn traced(folder: &Path, line: &str, chain: &Chain) -> crate::support::Outcome {
    let mut command = nissl(folder, line);
    command.args(["--prompt", &text(chain)]);
    finished(command)
}

#[test]
fn paths_of_a_planted_chain_are_found_and_kept_as_a_graph() {
    let (folder, chain) = planted();
    let folder = folder.path();
    let line = "trace transcoder-paths net --start layers.1.mlp:40 -o graph --json";
    let outcome = traced(folder, line, &chain);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    let found: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    assert!(found["completeness"]["gap"].as_f64().expect("a number") < 1e-5);
    let paths = found["paths"].as_array().expect("paths");
    let longest = paths.iter().find(|path| path["steps"].as_array().map_or(0, Vec::len) == 4);
    let steps = &longest.expect("a path of three steps")["steps"];
    assert_eq!(steps[1]["feature"], 17);
    assert_eq!((&steps[2]["component"], &steps[2]["head"]), (&"head".into(), &chain.head.into()));
    assert_eq!(
        (&steps[3]["component"], &steps[3]["position"]),
        (&"token".into(), &chain.source.into())
    );
    assert!(outcome.stderr.contains("relative gap"), "{}", outcome.stderr);
    assert!(succeed(folder, "info graph").stdout.contains("graph"));

    let line = format!("trace transcoder-paths net --logit {} --iterations 4", chain.logit);
    let outcome = traced(folder, &line, &chain);
    assert!(outcome.stdout.contains("logit@7 ← layers.1.mlp:40@7"), "{}", outcome.stdout);
    let line = format!("{line} --suffix component=head/component=token --only position>0");
    let outcome = traced(folder, &line, &chain);
    assert!(outcome.stdout.contains("attn:"), "{}", outcome.stdout);
    for path in outcome.stdout.lines().filter(|line| line.contains('←')) {
        assert!(path.contains("← token@"), "{path}");
    }
}

#[test]
fn connections_name_the_planted_feature_token_and_logit() {
    let (folder, chain) = planted();
    let found = json(folder.path(), "trace connections net --of layers.1.mlp:40 --limit 3");
    let first = |title: &str| -> String {
        let lists = found["lists"].as_array().expect("lists");
        let list =
            lists.iter().find(|list| list["title"].as_str().expect("a title").starts_with(title));
        list.expect("the list")["entries"][0]["name"].as_str().expect("a name").to_owned()
    };
    assert_eq!(first("features of layer 0"), "layers.0.mlp:17");
    assert_eq!(first("logits it raises"), chain.logit.to_string());
    let line = format!(
        "trace connections net --of layers.0.mlp:17 --through layers.0.attn:{} --limit 3",
        chain.head
    );
    let through = json(folder.path(), &line);
    let list = through["lists"].as_array().expect("lists").last().expect("tokens");
    assert_eq!(list["entries"][0]["name"], chain.token.to_string());
    let measured = traced(folder.path(), "trace connections net --of layers.1.mlp:40", &chain);
    assert_eq!(measured.code, 0, "{}", measured.stderr);
    assert!(measured.stderr.contains("of the 10 largest connections"), "{}", measured.stderr);
}

#[test]
fn what_cannot_be_traced_is_told() {
    let (folder, _) = planted();
    let folder = folder.path();
    let paths = "trace transcoder-paths net --prompt 5";
    fail(folder, &format!("{paths} --start layers.1.mlp:40"), 2, &["two tokens"]);
    let start = |start: &str| format!("trace transcoder-paths net --prompt=5 --start {start}");
    fail(folder, &start("layers.1.attn:4"), 2, &["layers.LAYER.mlp:FEATURE"]);
    let through = "trace connections net --of layers.0.mlp:17 --through layers.1.attn:0";
    fail(folder, through, 2, &["before the MLP of layer 0"]);
    fail(folder, "trace connections net --of layers.1.mlp:96", 2, &["0 to 95"]);
    fail(folder, "trace connections net --of layers.2.mlp:1", 2, &["a layer with a dictionary"]);
    // A GELU network without transcoders: its MLPs are whole steps.
    let gpt2 = fixture("gpt2").display().to_string();
    let mut command = nissl(folder, &format!("trace transcoder-paths {gpt2} --at 99"));
    command.args(["--logit", "a", "--prompt", "the cat and the dog"]);
    let outcome = finished(command);
    assert_ne!(outcome.code, 0);
    assert!(
        outcome.stderr.contains("MLPs of this network are followed whole"),
        "{}",
        outcome.stderr
    );
}
