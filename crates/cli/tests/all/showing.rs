//! `nissl show`, hierarchies and sweeps, end to end.

use nissl_core::Table;

use crate::support::{fail, json, made, run, scratch, succeed};

const SNMF: &str = "decompose snmf -k 8 --iterations 60 --restarts 1 --sparsity 0.1";

#[test]
fn a_feature_is_shown_with_what_is_known_and_what_is_not() {
    let folder = scratch();
    let recording = made().join("rec").display().to_string();
    let net = made().join("net").display().to_string();
    succeed(folder.path(), &format!("{SNMF} {recording} -o f"));
    let before = run(folder.path(), "show f:3");
    assert_eq!(before.code, 0, "{}", before.stderr);
    assert!(before.stderr.contains("nissl explain all f"), "{}", before.stderr);
    succeed(folder.path(), &format!("explain all f --model {net}"));
    let shown = json(folder.path(), "show f:3,5");
    let shown = shown.as_array().expect("features");
    assert_eq!(shown.len(), 2);
    assert_eq!(shown[1]["feature"], 5);
    let contexts = shown[0]["contexts"].as_array().expect("contexts");
    let strengths: Vec<f64> =
        contexts.iter().map(|one| one["coefficient"].as_f64().expect("a number")).collect();
    assert!(strengths.len() > 3 && strengths.windows(2).all(|pair| pair[0] >= pair[1]));
    // The largest coefficient is the feature's maximum, as the list of all features tells it.
    let all = json(folder.path(), "show f");
    assert_eq!(all.as_array().map(Vec::len), Some(8));
    let most = all[3]["max"].as_f64().expect("a number");
    assert!((strengths[0] - most).abs() < 1e-4 * most, "{strengths:?} {most}");
    assert!(!shown[0]["towards"].as_array().expect("tokens").is_empty());
    succeed(folder.path(), "show f:3 --html page.html");
    let page = std::fs::read_to_string(folder.path().join("page.html")).expect("a page");
    assert!(page.contains("<html") && !page.contains("http://") && !page.contains("<script src"));
    fail(folder.path(), "show f:8", 2, &["`feature` is 8", "0 to 7"]);
    fail(folder.path(), "show f:x", 2, &["FOLDER:NUMBER"]);
    fail(folder.path(), "show nowhere", 2, &["nowhere"]);
}

#[test]
fn levels_stand_on_each_other_and_are_shown_as_a_tree() {
    let folder = scratch();
    let recording = made().join("rec").display().to_string();
    let made = json(folder.path(), &format!("{SNMF} {recording} --levels 4,2 --fine-tune 20 -o h"));
    assert_eq!(made["levels"]["features"], serde_json::json!([8, 4, 2]));
    let tuned = &made["levels"]["tuned"];
    let error = |when: &str| tuned[when].as_f64().expect("a number");
    assert!(error("after") <= error("before"), "{tuned}");
    for level in ["levels/2", "levels/3", "hierarchy"] {
        succeed(folder.path(), &format!("verify h/{level}"));
    }
    let trees = json(folder.path(), "show h --tree --threshold 0.05 --children 8");
    let trees = trees.as_array().expect("roots");
    assert_eq!(trees.len(), 2);
    assert!(trees.iter().all(|root| root["level"] == 3));
    let below = |root: &serde_json::Value| root["children"].as_array().map_or(0, Vec::len);
    assert!(trees.iter().any(|root| below(root) >= 2), "{trees:?}");
    let one = json(folder.path(), "show h --tree --root 2:1");
    assert_eq!((&one[0]["level"], &one[0]["feature"]), (&2.into(), &1.into()));
    fail(folder.path(), "show h --tree --root 4:0", 2, &["root"]);
    fail(folder.path(), "show h --tree --threshold 1", 2, &["threshold"]);
    succeed(folder.path(), &format!("{SNMF} {recording} -o flat"));
    fail(folder.path(), "show flat --tree", 2, &["no hierarchy", "--levels"]);
    for levels in ["4,4", "8", "2,4"] {
        let line = format!("{SNMF} {recording} --levels {levels} -o bad");
        fail(folder.path(), &line, 2, &["levels", "decreasing"]);
    }
    assert!(!folder.path().join("bad").exists());
}

#[test]
fn a_sweep_tries_every_value_and_says_which_it_would_take() {
    let folder = scratch();
    let recording = made().join("rec").display().to_string();
    let base = "decompose snmf --iterations 40 --restarts 1 --sparsity 0.1";
    let line = format!("{base} {recording} --sweep k=4,8 --seeds 2 --each-site -o s");
    let swept = json(folder.path(), &line);
    let settings = swept["settings"].as_array().expect("settings");
    assert_eq!(settings.len(), 2);
    let chosen = settings.iter().filter(|one| one["chosen"] == true).count();
    assert_eq!(chosen, 1, "{swept}");
    for one in settings {
        let stability = one["stability"].as_f64().expect("two seeds");
        assert!((-1.0..=1.0 + 1e-9).contains(&stability));
        let features = one["folder"].as_str().expect("a folder");
        succeed(folder.path(), &format!("verify s/{features}"));
    }
    let table = Table::read(&folder.path().join("s/sweep.parquet"), None).expect("a table");
    assert_eq!(table.rows(), 2);
    let again = run(folder.path(), &line);
    assert_eq!(again.code, 2, "an artefact is not overwritten unasked");
    let line = format!("{base} {recording} --sweep kk=4,8 -o t");
    fail(folder.path(), &line, 2, &["`sweep` is kk", "k"]);
    let line = format!("{base} {recording} --sweep k=4,0 -o t");
    fail(folder.path(), &line, 2, &["`k` is 0"]);
    assert!(!folder.path().join("t").exists());
}
