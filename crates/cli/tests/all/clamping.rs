//! `nissl probe clamp`: units held at values, from the command line.

use serde_json::Value;

use crate::support::{fail, finished, made, nissl, scratch, succeed, write};

/// Runs a clamp of the shared network with a prompt or question of several words.
fn clamp(line: &str, flag: &str, text: &str) -> Value {
    let mut command = nissl(made(), &format!("probe clamp {line} --json"));
    command.args([flag, text]);
    let outcome = finished(command);
    assert_eq!(outcome.code, 0, "{line}\n{}", outcome.stderr);
    serde_json::from_str(&outcome.stdout).expect("one document")
}

#[test]
fn a_sweep_tells_every_value_beside_its_controls() {
    let line = "net --unit 0:3 --times-max 30 --steps 2 --recording rec --words dog,cat --kl 0.01 \
                --controls 3 --samples 2 --tokens 4";
    let report = clamp(line, "--prompt", "The cat");
    let curve = report["curve"].as_array().expect("a curve");
    let strengths: Vec<f64> =
        curve.iter().map(|point| point["strength"].as_f64().expect("a strength")).collect();
    assert_eq!(strengths, [-30.0, -15.0, 0.0, 15.0, 30.0]);
    let far: Vec<bool> = curve.iter().map(|point| point["far"] == Value::Bool(true)).collect();
    assert!(far[4] && !far[2], "{far:?}");
    let divergence = |at: usize| curve[at]["effect"]["divergence"].as_f64().expect("nats");
    assert!(divergence(4) > divergence(3) && divergence(3) > 0.0, "{report}");
    // The one layer is the last: with the final norm kept the prediction is exact.
    let slope = report["slope"]["frozen"].as_f64().expect("a slope");
    assert!((slope - 1.0).abs() < 1e-3, "{slope}");
    assert_eq!(report["controls"].as_array().map(Vec::len), Some(3));
    assert_eq!(report["matched"].as_array().map(Vec::len), Some(2), "both signs");
    assert!(curve[4]["texts"]["texts"][1].is_string(), "texts are told in words");
    assert_eq!(report, clamp(line, "--prompt", "The cat"), "the same seed tells the same");
}

#[test]
fn the_table_marks_far_values() {
    let line = "probe clamp net --unit 0:3 layers.0.mlp.act:9 --to 2,900 --recording rec --words dog \
                --samples 0 --controls 1";
    let outcome = succeed(made(), line);
    assert!(outcome.stdout.starts_with("value\tp(concept)\trank\tKL\t"), "{}", outcome.stdout);
    assert_eq!(outcome.stdout.lines().count(), 5, "plain, 0, 2 and 900\n{}", outcome.stdout);
    let marked = outcome.stdout.lines().filter(|line| line.contains(" !")).count();
    assert_eq!(marked, 1, "{}", outcome.stdout);
    assert!(outcome.stderr.contains("beyond 20 times"), "{}", outcome.stderr);
}

#[test]
fn a_question_goes_through_the_chat_template() {
    let folder = scratch();
    let net = folder.path().join("net");
    std::fs::create_dir_all(&net).expect("a folder");
    for name in ["config.json", "model.safetensors", "tokenizer.json", "manifest.json"] {
        std::fs::copy(made().join("net").join(name), net.join(name)).expect("copies");
    }
    let template = "{% for m in messages %}The {{ m.content }}{% endfor %}";
    write(folder.path(), "net/chat_template.jinja", template);
    let line = format!("{} --unit 0:3 --to 5 --words dog --samples 1 --tokens 4", net.display());
    let asked = clamp(&line, "--chat", "cat");
    assert_eq!(asked, clamp(&line, "--prompt", "The cat"));
    let refused = "probe clamp net --unit 0:3 --to 5 --words dog --chat cat";
    fail(made(), refused, 2, &["`chat_template` is absent", "plain text"]);
}

#[test]
fn what_cannot_be_clamped_is_told() {
    let refused =
        |line: &str, parts: &[&str]| fail(made(), &format!("probe clamp net {line}"), 2, parts);
    refused("--unit 0:64 --to 1 --words dog", &["`unit` is 64", "0 to 63"]);
    refused("--unit 7:0 --to 1 --words dog", &["layers.7.mlp.act"]);
    refused("--unit three --to 1 --words dog", &["SITE:NUMBER"]);
    refused("--unit 0:3 --to nan --words dog", &["`to` is NaN", "finite"]);
    refused("--unit 0:3 --to inf --words dog", &["`to` is inf", "finite"]);
    refused("--unit 0:3 --words dog", &["`to` is absent", "times_max"]);
    refused("--unit 0:3 --times-max 2 --words dog", &["without a reference"]);
    refused("--unit 0:3 --to 1 --words zebrafinch", &["`zebrafinch`", "words of the vocabulary"]);
    refused("--unit 0:3 --to 1 --times-max 2 --words dog", &["--to", "--times-max"]);
    refused("--unit 0:3 --to 1", &["--words"]);
}
