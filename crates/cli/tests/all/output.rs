//! Results on stdout, everything else on stderr, one JSON document where it is asked for.

use serde_json::Value;

use crate::support::{fail, fixture, json, made, run, scratch, succeed, write};

#[test]
fn without_json_a_verb_that_only_writes_prints_no_result() {
    let folder = scratch();
    let gpt2 = fixture("gpt2");
    write(folder.path(), "a.txt", "one two three");
    let record = format!("record {} --site embed --text a.txt -o r", gpt2.display());
    for line in [
        record.as_str(),
        "export r -o r.csv",
        "import r.csv -o i",
        "decompose neurons r -o f",
        "verify f",
        "world language --tokens 300 -o w",
    ] {
        let outcome = succeed(folder.path(), line);
        assert_eq!(outcome.stdout, "", "nissl {line}");
        assert!(!outcome.stderr.is_empty(), "nissl {line} says what it did");
    }
    let quiet = succeed(folder.path(), "decompose neurons r -o g --quiet");
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
}

#[test]
fn every_verb_prints_one_json_document() {
    let folder = scratch();
    let gpt2 = fixture("gpt2");
    write(folder.path(), "a.txt", "one two three");
    let record = format!("record {} --site embed --text a.txt -o r", gpt2.display());
    let recorded = json(folder.path(), &record);
    assert_eq!(recorded["sites"], serde_json::json!(["embed"]));
    for line in [
        "export r -o r.csv",
        "import r.csv -o i",
        "decompose neurons r -o f",
        "explain all f",
        "verify f",
        "info f",
        "reproduce f",
        "world language --tokens 300 -o w",
        "study list",
    ] {
        json(folder.path(), line);
    }
}

#[test]
fn tables_are_tab_separated_without_a_terminal() {
    let table = succeed(made(), "info rec").stdout;
    let mut lines = table.lines();
    assert_eq!(lines.next(), Some("what\tvalue"));
    assert!(lines.clone().all(|line| line.matches('\t').count() == 1), "{table}");
    assert!(lines.any(|line| line == "kind\trecording"), "{table}");
    let studies = succeed(made(), "study list").stdout;
    assert!(studies.lines().any(|line| line.starts_with("snmf\t")), "{studies}");
}

#[test]
fn a_failed_run_keeps_stdout_empty_even_with_json() {
    fail(scratch().path(), "info nowhere --json", 2, &["nowhere", "nothing is there"]);
}

#[test]
fn warnings_go_to_stderr_and_into_the_json() {
    let out = scratch();
    let recording = made().join("rec");
    let line = format!("decompose snmf -k 8 --iterations 3 --restarts 1 {}", recording.display());
    let outcome = succeed(out.path(), &format!("{line} -o f --json"));
    assert!(outcome.stderr.contains("warning: still improving after 3 iterations"));
    let told: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    assert_eq!(told["warnings"][0]["warning"], "not-converged");
}

#[test]
fn verbose_logs_have_no_colours_either() {
    let out = scratch();
    let outcome = run(out.path(), "world language --tokens 300 -o w -vv");
    assert_eq!((outcome.code, outcome.stdout.as_str()), (0, ""));
}

#[test]
fn completions_name_the_verbs() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = succeed(scratch().path(), &format!("completions {shell}")).stdout;
        assert!(script.contains("decompose"), "{shell}");
    }
}

#[test]
fn a_switch_in_the_environment_is_read_as_people_write_it() {
    let folder = scratch();
    for (value, code) in [("1", 4), ("true", 4), ("yes", 4), ("", 2), ("0", 2)] {
        let model = if code == 4 { "hub:nobody/nothing" } else { "nowhere" };
        let line = format!("record {model} --site embed --text a.txt -o r");
        let mut command = crate::support::nissl(folder.path(), &line);
        command.env("NISSL_OFFLINE", value).env("HF_HOME", folder.path());
        let outcome = crate::support::finished(command);
        assert_eq!(outcome.code, code, "NISSL_OFFLINE={value:?}\n{}", outcome.stderr);
    }
}

#[test]
fn another_folder_can_be_the_starting_point() {
    let told = json(scratch().path(), &format!("-C {} info rec", made().display()));
    assert_eq!(told["nissl"], "recording");
    fail(scratch().path(), "-C nowhere info rec", 2, &["nowhere"]);
}
