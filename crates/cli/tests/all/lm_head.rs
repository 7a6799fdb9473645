//! `nissl explain lm-head`: maps, searches, comparisons, features and heads of other kinds.

use nissl_core::Table;

use crate::support::{fail, fixture, json, made, manifest, run, scratch, succeed, write};

#[test]
fn a_map_of_a_checkpoint_is_made_told_verified_and_reproduced() {
    let folder = scratch();
    let model = fixture("llama");
    let line = format!("explain lm-head {} --part up,gate,down --signs both", model.display());
    let told = json(folder.path(), &format!("{line} --jsonl m.jsonl -o m"));
    let rows = told["rows"].as_u64().expect("a number");
    let layers = told["coverage"]["layers"].as_array().expect("layers");
    let units: u64 = layers.iter().map(|layer| layer["units"].as_u64().expect("units")).sum();
    assert_eq!(units, rows);
    let manifest = manifest(folder.path(), "m");
    assert_eq!(manifest["nissl"], "headmap");
    assert_eq!(manifest["complete"], true);
    let table = Table::read(&folder.path().join("m/units.parquet"), None).expect("reads");
    assert_eq!(table.rows() as u64, rows);
    let lists = table.number_lists("probabilities").expect("lists");
    assert!(lists.iter().all(|list| list.len() == 10 && list.is_sorted_by(|a, b| a >= b)));
    assert!(table.texts("class").expect("classes").iter().all(|class| !class.is_empty()));
    let lines = std::fs::read_to_string(folder.path().join("m.jsonl")).expect("reads");
    assert_eq!(lines.lines().count() as u64, rows);
    let info = succeed(folder.path(), "info m").stdout;
    assert!(info.contains("headmap") && info.contains("vocabulary"), "{info}");
    succeed(folder.path(), "verify m");
    let again = succeed(folder.path(), "reproduce m").stdout;
    assert!(again.contains("same"), "{again}");
    fail(folder.path(), &format!("{line} -o m"), 2, &["exists already", "--resume"]);
    let plain = succeed(folder.path(), &line);
    assert!(plain.stdout.contains("specialised"), "{}", plain.stdout);
    assert!(plain.stderr.contains("most common first tokens"), "{}", plain.stderr);
}

#[test]
fn units_are_found_by_word_by_expression_by_number_and_in_a_map() {
    let folder = scratch();
    let model = fixture("gpt2");
    let model = model.display();
    let hits = json(folder.path(), &format!("explain lm-head {model} --search cat --hits 3"));
    let hits = hits.as_array().expect("hits");
    assert_eq!(hits.len(), 3);
    let z = |hit: &serde_json::Value| hit["z"].as_f64().expect("z");
    assert!(z(&hits[0]) >= z(&hits[1]) && z(&hits[1]) >= z(&hits[2]));
    let token = hits[0]["token"].as_u64().expect("a token");
    let number = format!("explain lm-head {model} --token {token} --hits 3");
    let by_number = json(folder.path(), &number);
    assert_eq!(by_number[0]["unit"], hits[0]["unit"]);
    let regex = format!("explain lm-head {model} --regex ^.?[a-c] --by probability --recommended");
    let outcome = succeed(folder.path(), &regex);
    assert!(outcome.stdout.contains("probability"), "{}", outcome.stdout);
    assert!(outcome.stderr.contains("^.?[a-c]:"), "{}", outcome.stderr);

    succeed(folder.path(), &format!("explain lm-head {model} --recommended -o m"));
    let stored = succeed(folder.path(), &format!("{regex} --map m"));
    assert_eq!(stored.stdout, outcome.stdout);

    let unknown = format!("explain lm-head {model} --search forset");
    fail(folder.path(), &unknown, 2, &["`forset`", "such as", "forest"]);
    let outside = format!("explain lm-head {model} --token 99999999");
    fail(folder.path(), &outside, 2, &["`token` is 99999999"]);
}

#[test]
fn a_checkpoint_is_compared_with_itself_and_with_another() {
    let folder = scratch();
    let model = fixture("gpt2");
    let line = format!("explain lm-head {0} --against {0}", model.display());
    let told = json(folder.path(), &line);
    assert_eq!(told["observed"]["same_first"], 1.0);
    assert!(told["permuted"]["same_first"].as_f64().expect("a share") < 0.5);
    let outcome = succeed(folder.path(), &line);
    assert!(outcome.stderr.contains("paper 75.4 %"), "{}", outcome.stderr);
    let other =
        format!("explain lm-head {} --against {}", model.display(), fixture("llama").display());
    let outcome = run(folder.path(), &other);
    assert_eq!(outcome.code, 2, "{}", outcome.stderr);
}

#[test]
fn features_are_read_through_the_head_of_their_network() {
    let folder = scratch();
    let made = made();
    let (rec, net) = (made.join("rec"), made.join("net"));
    let fit = format!("decompose snmf {} -k 6 --iterations 20 --restarts 1 -o f", rec.display());
    succeed(folder.path(), &fit);
    fail(folder.path(), "explain lm-head f", 2, &["`model` is absent", "--model"]);
    let outcome = succeed(folder.path(), &format!("explain lm-head f --model {}", net.display()));
    assert!(outcome.stderr.contains("method lm_head"), "{}", outcome.stderr);
    let told = Table::read(&folder.path().join("f/explanations.parquet"), None).expect("reads");
    let methods = told.texts("method").expect("methods");
    assert_eq!(methods.iter().filter(|method| *method == "lm_head").count(), 6);
    let texts = told.texts("text").expect("texts");
    assert!(texts.iter().all(|text| text.starts_with("writes ") || text.starts_with("reads ")));
    let wrong = format!("explain lm-head {0} --model {0}", net.display());
    fail(folder.path(), &wrong, 2, &["`model` is set", "features"]);
}

#[test]
fn heads_of_other_kinds_name_their_classes() {
    let folder = scratch();
    let head = "a,b,c\n1,0,0\n0,1,0\n0,0,1\n-1,-1,-1\n";
    let units = "a,b,c\n0,9,0\n5,0,0\n-4,-4,-4\n";
    write(folder.path(), "head.csv", head);
    write(folder.path(), "units.csv", units);
    write(folder.path(), "labels.txt", "cat\ndog\nship\nnone\n");
    let line = "explain lm-head units.csv --head-file head.csv --labels labels.txt --top 2";
    let told = json(folder.path(), line);
    let names: Vec<_> =
        told["units"].as_array().expect("units").iter().map(|unit| &unit["texts"][0]).collect();
    assert_eq!(names, ["none", "dog", "cat"]);
    let hits = json(folder.path(), &format!("{line} --search dog --hits 1"));
    assert_eq!(hits[0]["unit"], 0);
    fail(folder.path(), &format!("{line} --search dgo"), 2, &["dgo", "dog"]);
    write(folder.path(), "labels.txt", "1\n2\n3\n4\n5\n");
    fail(folder.path(), line, 2, &["`labels` is 5", "at most 4"]);
    write(folder.path(), "head.csv", "a,b\n1,0\n0,1\n");
    let line = "explain lm-head units.csv --head-file head.csv";
    fail(folder.path(), line, 2, &["3", "2", "adapter"]);
}

#[test]
fn bad_settings_are_named() {
    let folder = scratch();
    let line = format!("explain lm-head {}", fixture("gpt2").display());
    for (flags, parts) in [
        ("--top 51", ["`top` is 51", "1 to 50"]),
        ("--layers 99", ["`layers` is 99", "within 0 to"]),
        ("--part gate", ["`part` is gate", "up"]),
        ("--only (", ["`only`", "regular expression"]),
        ("--map nowhere --token 1", ["nowhere", "nothing is there"]),
        ("--layers 5..3", ["5..3", "range"]),
    ] {
        fail(folder.path(), &format!("{line} {flags}"), 2, &parts);
    }
    fail(folder.path(), "explain lm-head nowhere", 2, &["nowhere"]);
}
