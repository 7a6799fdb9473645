//! The demo and the studies: their folders, their reports, their figures.

use crate::support::{
    ended_by, fail, fixture, json, nissl, nothing_half_valid, prose, run, scratch, succeed, write,
};

#[test]
fn the_demo_runs_on_a_checkpoint_and_texts_of_the_users() {
    let folder = scratch();
    write(folder.path(), "a.txt", prose(40, 30));
    for family in ["gpt2", "bert"] {
        let line = format!("demo --model {} --text a.txt", fixture(family).display());
        let told = json(folder.path(), &line);
        assert_eq!(told["methods"].as_array().map(Vec::len), Some(0), "no truth, no table");
        assert_eq!(told["report"], "nissl-demo/report.html");
        let page = std::fs::read_to_string(folder.path().join("nissl-demo/report.html"));
        let page = page.expect("a report");
        assert!(page.contains("<html") && !page.contains("src=\"http"), "it stands for itself");
        // The usual folder is the demo's own: the second family takes the place of the first.
        assert_eq!(json(folder.path(), "info nissl-demo")["nissl"], "report");
        assert_eq!(json(folder.path(), "verify nissl-demo")["whole"], true);
    }
    let line = format!("demo --model {} --text a.txt -o nissl-demo", fixture("gpt2").display());
    fail(folder.path(), &line, 2, &["nissl-demo exists already", "--overwrite"]);
    succeed(folder.path(), &format!("{line} --overwrite"));
    fail(folder.path(), "reproduce nissl-demo", 2, &["report", "run its command again"]);
}

#[test]
fn the_usual_folder_of_the_demo_is_spared_when_it_is_somebody_elses() {
    let folder = scratch();
    write(folder.path(), "a.txt", prose(40, 30));
    write(&folder.path().join("nissl-demo"), "thesis.txt", "years of work");
    let line = format!("demo --model {} --text a.txt", fixture("gpt2").display());
    for flag in ["", "--overwrite", "--resume"] {
        fail(folder.path(), &format!("{line} {flag}"), 2, &["nissl-demo"]);
    }
    assert_eq!(std::fs::read_dir(folder.path().join("nissl-demo")).expect("it").count(), 1);
    fail(folder.path(), "demo --model nowhere --text a.txt -o d", 2, &["nowhere"]);
    assert!(!folder.path().join("d").exists());
}

#[test]
#[cfg(unix)]
fn a_demo_that_was_stopped_can_be_run_again() {
    let folder = scratch();
    write(folder.path(), "a.txt", prose(2000, 30));
    let line = format!("demo --model {} --text a.txt", fixture("gpt2").display());
    let manifest = folder.path().join("nissl-demo/manifest.json");
    let child = crate::support::begun(nissl(folder.path(), &line), || manifest.exists());
    let output = ended_by(child, "-INT");
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    nothing_half_valid(folder.path(), "nissl-demo");
    write(folder.path(), "a.txt", prose(40, 30));
    succeed(folder.path(), &line);
}

#[test]
fn an_unknown_study_suggests_the_nearest() {
    let folder = scratch();
    fail(folder.path(), "study run snfm", 2, &["`snfm`", "snmf"]);
    assert_eq!(run(folder.path(), "study").code, 2);
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
}
