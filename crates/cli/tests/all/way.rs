//! The way of issue 2: world, train, record, decompose, explain, probe.

use nissl_core::{Column, Recording};
use serde_json::Value;

use crate::support::{fail, json, made, manifest, scratch, succeed};

#[test]
fn a_world_trains_a_network_that_learns() {
    let folder = made();
    let trained = json(folder, "info net");
    let curve = trained["curve"].as_array().expect("a curve");
    let loss = |point: &Value| point["held_out"].as_f64().expect("a loss");
    let last = loss(curve.last().expect("a point"));
    let vocabulary = json(folder, "info w")["vocabulary"].as_f64().expect("words");
    // A network that had learnt nothing would be at the logarithm of the vocabulary.
    assert!(last < vocabulary.ln() - 0.7, "{last}");
    let bound = trained["baselines"]["lower_bound"].as_f64().expect("a bound");
    assert!(bound < last && bound > 0.1, "{bound}");
}

#[test]
fn a_recorded_world_carries_its_truth() {
    let folder = made();
    let recording = Recording::open(&folder.join("rec")).expect("a recording");
    assert_eq!(recording.units(), 64);
    let table = recording.sample_columns(&["token", "truth.animal"]).expect("columns");
    let tokens = table.texts("token").expect("tokens");
    let Some(Column::Bool(animal)) = table.get("truth.animal") else { panic!("{table:?}") };
    let animals: Vec<&String> =
        tokens.iter().zip(animal).filter(|(_, animal)| **animal).map(|(word, _)| word).collect();
    assert!(animals.len() > 20, "{animals:?}");
    assert!(animals.iter().all(|word| *word != "the" && *word != "."), "{animals:?}");
    assert_eq!(tokens.len(), recording.samples());
}

#[test]
fn every_method_decomposes_the_recording() {
    let (folder, out) = (made(), scratch());
    let recording = folder.join("rec");
    let recording = recording.display();
    let mut explained = Vec::new();
    for line in [
        "neurons",
        "pca -k 8",
        "pca -k 8 --solver randomised",
        "kmeans -k 8 --restarts 1",
        "snmf -k 8 --iterations 30 --restarts 2 --sparsity 0.1",
        "snmf -k 8 --iterations 30 --restarts 1 --initial svd",
    ] {
        let told = json(out.path(), &format!("decompose {line} {recording} -o f --overwrite"));
        assert_eq!(told["units"], 64, "{line}");
        assert_eq!(told["samples"], json(folder, "info rec")["samples"], "{line}");
        explained.push(told["explained_variance"]["held_out"].as_f64().expect("a share"));
        json(out.path(), "verify f");
    }
    let [neurons, exact, randomised, kmeans, snmf, _] = explained[..] else {
        panic!("six methods, got {explained:?}")
    };
    assert!((neurons - 1.0).abs() < 1e-6, "neurons are the activity itself: {neurons}");
    assert!((exact - randomised).abs() < 0.01, "{exact} and {randomised} are the same subspace");
    assert!(exact > kmeans && exact > snmf, "no 8 features explain more than PCA's: {explained:?}");
}

#[test]
fn nmf_takes_rectified_activity_and_refuses_signed() {
    let (folder, out) = (made(), scratch());
    let recording = folder.join("rec").display().to_string();
    let line = format!("decompose nmf -k 4 {recording} -o f");
    fail(out.path(), &line, 2, &["expected 0 or more for `nmf`", "`snmf` takes signed activity"]);
    assert!(!out.path().join("f").exists());
    let csv: String = std::iter::once("a,b,c\n".to_owned())
        .chain((0..40).map(|row| format!("{},{},{}\n", row % 3, row % 5, (row % 3) + (row % 5))))
        .collect();
    crate::support::write(out.path(), "m.csv", csv);
    succeed(out.path(), "import m.csv -o rec");
    let told = json(out.path(), "decompose nmf -k 2 rec -o f");
    let share = told["explained_variance"]["fit"].as_f64().expect("a share");
    assert!(share > 0.95, "two parts make these three columns: {share}");
}

#[test]
fn features_are_explained_and_probed() {
    let (folder, out) = (made(), scratch());
    let (recording, net) = (folder.join("rec"), folder.join("net"));
    let (recording, net) = (recording.display(), net.display());
    let line = "decompose snmf -k 8 --iterations 60 --restarts 1 --sparsity 0.1";
    succeed(out.path(), &format!("{line} {recording} -o f"));

    let names = json(out.path(), &format!("explain all f --model {net}"));
    let names = names.as_array().expect("a list");
    assert_eq!(names.len(), 8);
    assert!(names.iter().any(|name| !name["name"].as_str().expect("a name").is_empty()));
    for file in ["examples.parquet", "explanations.parquet", "effects.parquet"] {
        assert!(out.path().join("f").join(file).exists(), "{file}");
    }
    let pushed = json(out.path(), &format!("explain logit-lens f --model {net}"));
    assert!(!pushed[0]["towards"].as_array().expect("tokens").is_empty());
    assert_ne!(pushed[0]["towards"], pushed[0]["away_from"]);

    let truth = json(out.path(), "probe truth f");
    let mean = truth["mean_auroc"].as_f64().expect("a mean");
    assert!(mean > 0.5 && mean < 1.0, "the best of 8 features is above chance: {mean}");
    assert!(truth["concepts"].as_array().expect("concepts").len() > 10);
    let table = succeed(out.path(), "probe truth f").stdout;
    assert!(table.starts_with("concept\ttokens\tfeature\tAUROC\t"), "{table}");

    // By cosine, a recording of several sites is cut to the one that was decomposed.
    let world = folder.join("w");
    let sites = "--site layers.0.resid.post --site layers.0.mlp.act";
    succeed(out.path(), &format!("record {net} {sites} --world {} -o two", world.display()));
    succeed(out.path(), "decompose pca -k 4 two --site layers.0.mlp.act -o g");
    let cosine = json(out.path(), "probe truth g --by cosine");
    let mean = cosine["mean_auroc"].as_f64().expect("a mean");
    assert!(mean > 0.5 && mean < 1.0, "{mean}");
    assert_ne!(cosine["concepts"], json(out.path(), "probe truth g")["concepts"]);

    let steer = format!("probe steer f:0 --model {net} --words cat,dog --kl 0.1 --samples 2");
    let mut command = crate::support::nissl(out.path(), &format!("{steer} --tokens 5 --json"));
    command.args(["--prompt", "The cat"]);
    let steered = crate::support::finished(command);
    assert_eq!(steered.code, 0, "{}", steered.stderr);
    let steered: Value = serde_json::from_str(&steered.stdout).expect("one document");
    assert_eq!(steered["curve"].as_array().expect("a curve").len(), 2, "both signs");

    let ablate = format!("probe ablate f:0 --model {net} --sequences 12");
    let ablated = json(out.path(), &ablate);
    assert!(ablated["change"].as_f64().expect("a change").is_finite());
    let tokens = ablated["tokens"].as_u64().expect("tokens");
    // Stories are longer than the network's 32 tokens, so they are read in windows.
    assert!(tokens > 12 * 32, "{tokens}");
    let feature = format!("probe ablate f:99 --model {net}");
    fail(out.path(), &feature, 2, &["`feature` is 99", "0 to 7"]);
}

#[test]
fn texts_train_a_network_too() {
    let folder = scratch();
    crate::support::write(folder.path(), "t.txt", crate::support::prose(60, 30));
    let line = "train language --text t.txt --layers 1 --width 16 --heads 2 --context 16 --batch 4 \
                --steps 4 --warmup 1 --held-out 0.1 --vocabulary 50 -o net";
    let trained = json(folder.path(), line);
    assert!(trained["held_out"].as_f64().expect("a loss") > 0.0);
    assert_eq!(manifest(folder.path(), "net")["complete"], true);
    let recorded = json(folder.path(), "record net --site embed --text t.txt -o rec");
    assert_eq!(recorded["units"], 16);
    fail(folder.path(), line, 2, &["net exists already", "--overwrite"]);
}

#[test]
fn an_aligned_world_speaks_its_languages() {
    let folder = scratch();
    let line = "world language --tokens 1500 --languages english,german --seed 5 -o w";
    let written = json(folder.path(), line);
    assert!(written["tokens"].as_u64().expect("tokens") >= 1500);
    let text = std::fs::read_to_string(folder.path().join("w/text.txt")).expect("text");
    assert!(text.contains("der") || text.contains("die"), "{}", &text[..200]);
    let told = json(folder.path(), "reproduce w");
    assert_eq!(told["same"], true);
}

#[test]
fn features_of_an_encoder_are_explained_by_their_examples() {
    let folder = scratch();
    crate::support::write(folder.path(), "a.txt", crate::support::prose(20, 20));
    let bert = crate::support::fixture("bert");
    let bert = bert.display();
    succeed(folder.path(), &format!("record {bert} --site layers.1.mlp.act --text a.txt -o rec"));
    succeed(folder.path(), "decompose kmeans rec -k 4 -o f");
    let outcome = succeed(folder.path(), &format!("explain all f --model {bert} --json"));
    assert!(outcome.stderr.contains("no logit lens"), "{}", outcome.stderr);
    let names: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    assert_eq!(names.as_array().map(Vec::len), Some(4));
    let lens = format!("explain logit-lens f --model {bert}");
    fail(folder.path(), &lens, 2, &["a head over its vocabulary"]);
}
