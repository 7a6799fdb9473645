//! What `--help` says, word for word: read the snapshots aloud when they change.

use crate::support::{scratch, succeed};

fn help(line: &str) -> String {
    let text = succeed(scratch().path(), line).stdout;
    let widest = text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
    assert!(widest <= 100, "{widest} columns in\n{text}");
    text
}

#[test]
fn of_the_program() {
    insta::assert_snapshot!("nissl", help("--help"));
}

#[test]
fn of_a_stage() {
    insta::assert_snapshot!("nissl-decompose", help("decompose --help"));
}

#[test]
fn of_a_method() {
    insta::assert_snapshot!("nissl-decompose-snmf", help("decompose snmf --help"));
}

#[test]
fn of_recording() {
    insta::assert_snapshot!("nissl-record", help("record --help"));
}

#[test]
fn of_training() {
    insta::assert_snapshot!("nissl-train-language", help("train language --help"));
}

#[test]
fn every_verb_and_method_explains_itself() {
    let mut todo: Vec<Vec<String>> = vec![Vec::new()];
    let mut seen = 0;
    while let Some(path) = todo.pop() {
        let text = help(&format!("{} --help", path.join(" ")));
        seen += 1;
        assert!(text.lines().next().is_some_and(|line| line.len() > 10), "{path:?}\n{text}");
        let mut listed = false;
        for line in text.lines() {
            if matches!(line, "Commands:" | "Methods:") {
                listed = true;
            } else if line.trim().is_empty() {
                listed = false;
            } else if listed {
                let (name, about) =
                    line.trim().split_once("  ").unwrap_or_else(|| panic!("no word on {line}"));
                assert!(!about.trim().is_empty());
                if name != "help" {
                    todo.push([path.clone(), vec![name.to_owned()]].concat());
                }
            }
        }
    }
    assert!(seen > 25, "only {seen} helps were found");
}

#[test]
fn the_version_is_that_of_the_package() {
    let told = succeed(scratch().path(), "--version").stdout;
    assert_eq!(told, format!("nissl {}\n", env!("CARGO_PKG_VERSION")));
}
