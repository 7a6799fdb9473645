//! Probes of concepts and of shared neurons, end to end: `probe detect`, `steer`, `overlap`.

use std::path::Path;
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    Outcome, copy_files, copy_of, fail, finished, fixture, json, made, nissl, scratch, succeed,
    write,
};

/// Features of the recording of [`made`]: `f` by SNMF, `p` by PCA, `n` the neurons; never changed.
fn features() -> &'static Path {
    static FEATURES: OnceLock<TempDir> = OnceLock::new();
    let folder = FEATURES.get_or_init(|| {
        let folder = scratch();
        let recording = made().join("rec").display().to_string();
        let snmf = "decompose snmf -k 8 --iterations 60 --restarts 1 --sparsity 0.1";
        succeed(folder.path(), &format!("{snmf} {recording} -o f"));
        succeed(folder.path(), &format!("decompose pca -k 8 {recording} -o p"));
        succeed(folder.path(), &format!("decompose neurons {recording} -o n"));
        folder
    });
    folder.path()
}

/// The features `names` in a folder of their own, for tests whose commands write scores beside them.
fn own(names: &[&str]) -> TempDir {
    let folder = scratch();
    for name in names {
        copy_files(&features().join(name), &folder.path().join(name));
    }
    folder
}

fn net() -> String {
    made().join("net").display().to_string()
}

/// Runs with a text argument that holds blanks.
fn with(folder: &Path, line: &str, texts: &[&str]) -> Outcome {
    let mut command = nissl(folder, line);
    command.args(texts);
    finished(command)
}

const SENTENCES: &str = r#"{
    "animals": {
        "activating": ["the cat sees a dog .", "a dog runs .", "the cat is here .", "one cat and a dog ."],
        "neutral": ["it rains .", "the sun is warm .", "he went to the house .", "she is at home ."]
    }
}"#;

#[test]
fn concepts_of_a_world_are_detected_by_all_methods_at_once() {
    let own = own(&["f", "p", "n"]);
    let (folder, world) = (own.path(), made().join("w"));
    let line = format!(
        "probe detect f p n --model {} --world {} --draw 20 --diff-means --controls 20 \
         --resamples 50",
        net(),
        world.display()
    );
    let found = json(folder, &line);
    let methods = found["methods"].as_array().expect("methods");
    let named: Vec<&str> =
        methods.iter().map(|method| method["method"].as_str().expect("a name")).collect();
    let expected = ["snmf", "pca", "neurons", "diff-means", "diff-means", "random directions"];
    assert_eq!(named, expected);
    assert_eq!(methods[3]["site"], "layers.0.mlp.act");
    assert_eq!(methods[4]["site"], "layers.0.mlp.out");
    let concepts = methods[0]["concepts"].as_array().expect("concepts");
    assert!(concepts.len() > 10, "{}", concepts.len());
    for method in methods {
        let auroc = method["mean_auroc"].as_f64().expect("a mean");
        assert!(auroc > 0.4 && auroc <= 1.0, "{auroc}");
        assert_eq!(method["concepts"].as_array().map(Vec::len), Some(concepts.len()));
    }
    let means = methods[3]["mean_auroc"].as_f64().expect("a mean");
    assert!(means > 0.55, "words stand in this world's concepts: {means}");
    assert!(folder.join("f/scores.parquet").exists());

    let table = succeed(folder, &line).stdout;
    assert!(table.starts_with("method\tsite\tmean S_CD\tdeviation\tAUROC\t"), "{table}");
    assert_eq!(table.lines().count(), 7);
    let each = succeed(folder, &format!("{line} --each")).stdout;
    assert_eq!(each.lines().count(), 1 + 6 * concepts.len());
    let one = "--concepts nothing-of-the-kind";
    fail(folder, &format!("{line} {one}"), 2, &["`nothing-of-the-kind`", "one such as"]);
}

#[test]
fn sentences_of_a_file_are_detected_with_a_given_feature() {
    let folder = own(&["p"]);
    write(folder.path(), "s.json", SENTENCES);
    let features = folder.path().join("p");
    let line = format!("probe detect {} --model {} --sentences s.json", features.display(), net());
    let found = json(folder.path(), &format!("{line} --feature animals=-2 --controls 3"));
    let concept = &found["methods"][0]["concepts"][0];
    assert_eq!(
        (&concept["feature"]["feature"], &concept["feature"]["sign"]),
        (&2.into(), &"minus".into())
    );
    assert_eq!(concept["activating"], 4, "nothing is chosen, so every sentence is scored");
    assert_eq!(concept["chosen_auroc"], Value::Null);
    let chosen = json(folder.path(), &line);
    assert_eq!(chosen["methods"][0]["concepts"][0]["activating"], 2, "half is left to score on");
    assert_eq!(chosen, json(folder.path(), &line), "the same seed, the same figures");
    let by = json(folder.path(), &format!("{line} --agreement pearson --feature animals=2"));
    assert_eq!(by["agreement"], "pearson");

    let named = SENTENCES.replace("animals", "-3 (output): pets");
    write(folder.path(), "named.json", named);
    let line_of_named = line.replace("s.json", "named.json --described");
    let found = json(folder.path(), &line_of_named);
    let concept = &found["methods"][0]["concepts"][0];
    assert_eq!(concept["feature"], serde_json::json!({"feature": 3, "sign": "minus"}));
    assert_eq!(concept["activating"], 4, "the feature is told, not chosen");
    fail(folder.path(), &format!("{line} --described"), 2, &["`animals`", "such as `12:"]);

    fail(folder.path(), &format!("{line} --feature cats=1"), 2, &["`cats`", "animals"]);
    fail(folder.path(), &format!("{line} --feature animals=99"), 2, &["0 to 7"]);
    fail(folder.path(), &format!("{line} --feature animals"), 2, &["CONCEPT=NUMBER"]);
    fail(folder.path(), &format!("{line} --choose 1"), 2, &["`choose` is 1"]);
    write(folder.path(), "t.txt", "no label\n");
    let unlabelled =
        format!("probe detect {} --model {} --sentences t.txt", features.display(), net());
    fail(folder.path(), &unlabelled, 2, &["line 1", "without a label", "activating"]);
}

#[test]
fn another_network_is_refused() {
    let folder = own(&["f"]);
    write(folder.path(), "s.json", SENTENCES);
    let of = "f";
    let gpt2 = fixture("gpt2").display().to_string();
    let line = format!("probe detect {of} --model {gpt2} --sentences s.json");
    fail(folder.path(), &line, 2, &["whose token 1 is", "the network that was recorded"]);
    let steer = format!("probe steer {of}:0 --model {gpt2} --words cat");
    fail(folder.path(), &steer, 2, &["the network that was recorded"]);
    // The same tokens but another width: the site tells.
    write(folder.path(), "a.txt", crate::support::prose(30, 30));
    succeed(folder.path(), &format!("record {gpt2} --site layers.0.mlp.act --text a.txt -o rec"));
    succeed(folder.path(), "decompose pca -k 2 rec -o g");
    let wide = copy_of("gpt2", folder.path(), "other");
    let missing = folder.path().join("rec");
    std::fs::rename(&missing, folder.path().join("moved")).expect("moves");
    let overlap =
        format!("probe overlap g --features 0,1 --model {} --words the,and", wide.display());
    let outcome = succeed(folder.path(), &overlap);
    assert!(outcome.stderr.contains("tokens were not compared"), "{}", outcome.stderr);
    let line = format!("probe detect {of} --model {} --sentences s.json", net());
    succeed(folder.path(), &line);
    let llama = fixture("llama").display().to_string();
    let width = format!("probe steer g:0 --model {llama} --words cat");
    let outcome = crate::support::run(folder.path(), &width);
    assert_eq!(outcome.code, 2, "{}", outcome.stderr);
}

#[test]
fn features_and_baselines_are_steered_alike() {
    let folder = own(&["f", "p"]);
    write(folder.path(), "s.json", SENTENCES);
    let [f, p] = ["f", "p"];
    let settings = format!("--model {} --samples 2 --tokens 5 --kl 0.1 --words cat,dog", net());
    let baselines = format!("--against {p}:1 --diff-means s.json --label animals");
    let line = format!("probe steer {f}:0 {settings} {baselines}");
    let outcome = with(folder.path(), &format!("{line} --json"), &["--prompt", "the cat"]);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    let found: Value = serde_json::from_str(&outcome.stdout).expect("one document");
    let directions = found["directions"].as_array().expect("directions");
    let sites: Vec<&str> =
        directions.iter().map(|one| one["site"].as_str().expect("a site")).collect();
    assert_eq!(sites, ["layers.0.mlp.act", "layers.0.mlp.act", "layers.0.mlp.out"]);
    for direction in directions {
        assert_eq!(direction["concept"], "cat, dog");
        assert_eq!(direction["curve"].as_array().map(Vec::len), Some(2), "both signs");
        assert_eq!(direction["judge"], "by rule");
    }
    let table = with(folder.path(), &line, &["--prompt", "the cat"]).stdout;
    assert!(table.starts_with("direction\tsite\tbest score\t"), "{table}");
    assert_eq!(table.lines().count(), 4);

    let several = json(folder.path(), &format!("probe steer {f} --features 1,3 {settings}"));
    assert_eq!(several["summary"]["features"], 2);
    assert_eq!(several["summary"]["curve"].as_array().map(Vec::len), Some(2));
    assert!(folder.path().join("f/scores.parquet").exists());

    // Without words a feature's own examples say what its concept is.
    let silent = format!("probe steer {p}:0 --model {} --samples 1 --tokens 3 --kl 0.1", net());
    fail(folder.path(), &silent, 2, &["`words` is absent", "nissl explain all"]);
    fail(folder.path(), &format!("probe steer {f} {settings}"), 2, &["--features or --all"]);
    fail(folder.path(), &format!("probe steer {f} --features 99 {settings}"), 2, &["0 to 7"]);
    let unknown = settings.replace("cat,dog", "qqqzzz");
    fail(
        folder.path(),
        &format!("probe steer {f}:0 {unknown}"),
        2,
        &["`qqqzzz`", "tokenizer knows"],
    );
    let label = format!("probe steer {f}:0 {settings} --diff-means s.json --label cats");
    fail(folder.path(), &label, 2, &["`cats`", "animals"]);
}

#[test]
fn a_concept_may_come_from_a_features_examples() {
    let folder = scratch();
    let recording = made().join("rec").display().to_string();
    succeed(folder.path(), &format!("decompose kmeans -k 4 --restarts 1 {recording} -o k"));
    succeed(folder.path(), &format!("explain all k --model {}", net()));
    let line = format!("probe steer k --all --model {} --samples 1 --tokens 3 --kl 0.2", net());
    let found = json(folder.path(), &line);
    let directions = found["directions"].as_array().expect("directions");
    assert!(directions.len() >= 2);
    assert!(directions.iter().any(|one| !one["concept"].as_str().expect("words").is_empty()));
}

#[test]
fn shared_neurons_are_shown_and_pushed() {
    let folder = features();
    let pairs = json(folder, "probe overlap f --pairs 3");
    let pairs = pairs.as_array().expect("pairs");
    assert!(pairs.len() <= 3);
    for pair in pairs {
        assert!(pair["shared"].as_f64() > pair["expected"].as_f64());
    }
    let found = json(folder, "probe overlap f --features 2,0,5");
    let shared = &found["overlap"]["shared"];
    // A tenth of 64 units each.
    assert_eq!((&shared[0][0], &shared[1][1]), (&7.into(), &7.into()));
    assert_eq!(shared[0][1], shared[1][0]);
    assert_eq!(found["intervention"], Value::Null);
    let table = succeed(folder, "probe overlap f --features 2,0,5").stdout;
    assert!(table.starts_with("feature\t2\t0\t5\texclusive\t"), "{table}");

    let line =
        format!("probe overlap f --features 2,0 --model {} --words cat,dog --strength 2", net());
    let outcome =
        with(folder, &format!("{line} --json"), &["--prompt", "the cat", "--prompt", "a dog"]);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    let found: Value = serde_json::from_str(&outcome.stdout).expect("one document");
    let groups = found["intervention"]["groups"].as_array().expect("groups");
    assert_eq!(groups.len(), 3, "the core and one for each feature");
    let own = &groups[1];
    assert!(own["change"].as_array().is_some_and(|change| change.len() == 2));
    assert!(own["change"][0].as_f64().is_some_and(|change| change.abs() > 1e-6), "{own}");
    assert!(own["control_deviation"][0].as_f64().is_some_and(|spread| spread > 0.0));

    fail(folder, "probe overlap f --features 1,1", 2, &["1 twice"]);
    fail(folder, "probe overlap f --features 1,88", 2, &["0 to 7"]);
    fail(folder, &format!("probe overlap f --features 1,2 --model {}", net()), 2, &["--words"]);
    fail(folder, &line.replace("--strength 2", "--strength 0"), 2, &["`strength` is 0"]);
    fail(folder, &line.replace("--strength 2", "--kl 1e9"), 2, &["no strength reaches"]);
}
