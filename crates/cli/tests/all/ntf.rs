//! `nissl decompose ntf` and what follows it, on a planted world and on an artificial network.

use nissl_core::Table;

use crate::support::{fail, json, made, scratch, succeed, write};

/// A world in which neurons change partners, and its components.
fn world(folder: &std::path::Path) -> String {
    let told = json(folder, "world dynamic-communities --seed 1 -o w");
    assert_eq!(told["recordings"].as_array().expect("recordings").len(), 8);
    (0..8).map(|n| format!("w/animal-{n:02}")).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_planted_world_is_factorised_drawn_and_asked_what_a_neuron_does() {
    let folder = scratch();
    let path = folder.path();
    let animals = world(path);
    let line =
        format!("decompose ntf {animals} --affinity geo --bin 1.0 --rank 2..6 --restarts 20");
    let told = json(path, &format!("{line} --shifted 1 -o f"));
    let rank = told["rank"].as_u64().expect("a rank");
    assert!((4..=5).contains(&rank), "{told}");
    assert_eq!(told["ranks"].as_array().expect("rows").len(), 5);
    assert!(told["stability"].as_f64().expect("a number") > 0.95, "{told}");
    // Every window belongs to some component.
    let rows = told["atlas"].as_array().expect("an atlas");
    for stimulus in ["first", "second", "third"] {
        let best = rows
            .iter()
            .filter(|row| row["stimulus"] == stimulus)
            .map(|row| row["fraction"].as_f64().expect("a share"))
            .fold(0.0, f64::max);
        assert!(best > 0.7, "{stimulus}: {best}");
    }
    for file in [
        "components.safetensors",
        "animals.parquet",
        "times.parquet",
        "neurons.parquet",
        "stimuli.parquet",
        "ranks.parquet",
        "atlas.csv",
        "samples.parquet",
    ] {
        assert!(path.join("f").join(file).exists(), "{file}");
    }
    succeed(path, "verify f");
    let shown = succeed(path, "show f").stdout;
    assert!(shown.lines().count() > 4, "{shown}");
    let info = succeed(path, "info f").stdout;
    assert!(info.contains("ntf"), "{info}");

    let again = succeed(path, &format!("{line} --shifted 1 -o g")).stdout;
    assert!(again.contains("stability") && again.contains("first ("), "{again}");
    let [one, two] =
        ["f", "g"].map(|name| std::fs::read(path.join(name).join("components.safetensors")));
    assert_eq!(one.expect("reads"), two.expect("reads"), "the same seed gives the same bytes");

    let told = json(path, "trace atlas f -o atlas");
    assert_eq!(told["components"].as_array().expect("components").len() as u64, rank);
    let page = std::fs::read_to_string(path.join("atlas/report.html")).expect("a page");
    assert!(page.contains("class=\"band\"") && page.contains("class=\"entry\""));
    let table = Table::read(&path.join("atlas/communities.parquet"), None).expect("reads");
    assert_eq!(table.rows() as u64, rank * 40);

    let told = json(path, "trace removal f --neuron N07 --neuron N39");
    let told = told.as_array().expect("rows");
    assert_eq!(told.len() as u64, 2 * rank);
    assert_eq!(told[0]["neuron"], "N07", "{told:?}");
    fail(path, "trace removal f --neuron N99", 2, &["N99", "one of"]);
}

#[test]
fn what_cannot_be_factorised_is_told_and_nothing_is_written() {
    let folder = scratch();
    let path = folder.path();
    let animals = world(path);
    fail(path, "decompose ntf w/animal-00 -o f", 2, &["animals", "--single"]);
    fail(path, &format!("decompose ntf {animals} --align smell -o f"), 2, &["smell", "first"]);
    fail(path, &format!("decompose ntf {animals} --rank 0 -o f"), 2, &["rank"]);
    fail(path, &format!("decompose ntf {animals} --bin 200 -o f"), 2, &["duration", "--bin"]);
    fail(path, &format!("decompose ntf {animals} --rank 200 -o f"), 2, &["rank", "time bins"]);
    write(path, "late.csv", "name,start_s,end_s\nlight,140,170\n");
    fail(
        path,
        &format!("decompose ntf {animals} --stimuli late.csv -o f"),
        2,
        &["light", "within"],
    );
    write(path, "odd.csv", "name,from\nlight,140\n");
    fail(path, &format!("decompose ntf {animals} --stimuli odd.csv -o f"), 2, &["start_s"]);
    fail(path, "trace atlas w/animal-00 -o a", 2, &["features"]);
    assert!(!path.join("f").exists() && !path.join("a").exists());
}

#[test]
fn sequences_of_an_artificial_network_are_animals_as_well() {
    let folder = scratch();
    let recording = made().join("rec");
    let line = format!(
        "decompose ntf {} --by-sequence --rank 2 --restarts 2 --min-animals 3 -o f",
        recording.display()
    );
    let told = json(folder.path(), &line);
    assert_eq!(told["rank"], 2);
    assert!(told["animals"].as_array().expect("animals").len() > 3);
    let other = succeed(folder.path(), "trace atlas f -o atlas");
    assert!(other.stdout.contains("communities"), "{}", other.stdout);
}
