//! Connectomes end to end: imported, measured, agreed on, exported, and found again in the activity of worms.

use std::fmt::Write as _;
use std::path::Path;

use crate::support::{fail, json, scratch, succeed, write};

/// A table of synapses among 40 neurons, drawn with `seed`, in the layout of White and Witvliet.
fn table(seed: u64) -> String {
    let classes = [
        "AVA", "AVB", "AVD", "AVE", "RIM", "RIA", "RIB", "AIB", "AIY", "AIZ", "ADL", "ASH", "AWA",
        "AWC", "ASE", "AFD", "RMD", "SMB", "SIA", "SIB",
    ];
    let names: Vec<String> = classes
        .iter()
        .flat_map(|class| {
            let sides =
                if class.starts_with('S') || *class == "RMD" { ["DL", "VR"] } else { ["L", "R"] };
            sides.map(|side| format!("{class}{side}"))
        })
        .collect();
    // Small numbers from a linear congruence: the test needs no generator of its own.
    let mut state = seed;
    let mut next = |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut text = "pre\tpost\ttype\tsynapses\n".to_owned();
    for from in 0..names.len() {
        for _ in 0..3 {
            let to = next(names.len() as u64) as usize;
            if to != from {
                let _ok =
                    writeln!(text, "{}\t{}\tchemical\t{}", names[from], names[to], 1 + next(9));
            }
        }
    }
    for pair in 0..15 {
        let (a, b) = (2 * pair, 2 * pair + 1);
        let _ok = writeln!(text, "{}\t{}\telectrical\t{}", names[a], names[b], 1 + next(4));
    }
    text + "AVAL\tpm4\tchemical\t3\n"
}

fn imported(folder: &Path) {
    write(folder, "white_1986_n2u.csv", table(1));
    write(folder, "witvliet_7.csv", table(2));
    for (file, out) in [("white_1986_n2u.csv", "white"), ("witvliet_7.csv", "witvliet")] {
        succeed(folder, &format!("import connectome {file} -o {out}"));
    }
}

#[test]
fn an_import_tells_counts_citation_and_what_was_left_out() {
    let folder = scratch();
    let folder = folder.path();
    write(folder, "white_1986_n2u.csv", table(1));
    let told = succeed(folder, "import connectome white_1986_n2u.csv -o g");
    assert!(told.stdout.starts_with("type\tedges\tweight\nelectrical\t30\t"), "{}", told.stdout);
    for part in ["White, Southgate", "muscle 1", "white_1986_n2u", "next: nissl trace connectome g"]
    {
        assert!(told.stderr.contains(part), "misses {part:?} in {}", told.stderr);
    }
    let report = json(folder, "import connectome white_1986_n2u.csv -o h --duplicates sum");
    assert_eq!(report["name"], "white_1986_n2u");
    assert_eq!(report["gap_pairs"], 15);
    assert_eq!(report["skipped"]["muscle"], 1);
    let info = json(folder, "info g");
    assert_eq!(info["provenance"]["config"]["weight_kind"], "synapses");
    assert_eq!(info["nodes"], 300);
    succeed(folder, "verify g");
    let again = succeed(folder, "reproduce g");
    assert!(again.stdout.starts_with("same"), "{}", again.stdout);
    let merged = json(folder, "import connectome white_1986_n2u.csv -o m --merge class");
    assert_eq!(merged["gap_pairs"], 15);
    assert_eq!(json(folder, "info m")["nodes"], 117);
}

#[test]
fn connectomes_are_measured_compared_and_agreed_on() {
    let folder = scratch();
    let folder = folder.path();
    imported(folder);
    let found = json(folder, "trace connectome white witvliet --html page.html");
    assert_eq!(found["connectomes"][0]["name"], "white_1986_n2u");
    assert_eq!(found["connectomes"][0]["gap_pairs"], 15);
    let agreement = found["agreement"].as_array().expect("a list");
    let gap = agreement.iter().find(|one| one["kind"] == "electrical").expect("gap junctions");
    assert_eq!(gap["jaccard"], 1.0);
    let chemical = agreement.iter().find(|one| one["kind"] == "chemical").expect("synapses");
    assert!(chemical["jaccard"].as_f64().expect("a number") < 0.3);
    let page = std::fs::read_to_string(folder.join("page.html")).expect("a page");
    assert!(page.contains("Connections of witvliet_7") && page.contains("white_1986_n2u"));
    let neurons = succeed(folder, "trace connectome white --neurons");
    assert!(neurons.stdout.lines().any(|line| line.contains("\tAVAL\t")), "{}", neurons.stdout);
    let both = succeed(folder, "trace connectome white witvliet");
    assert!(both.stdout.contains("\n\nfirst\tsecond\ttype"), "{}", both.stdout);

    let made = json(folder, "trace consensus white witvliet -o both --csv tables");
    let counts = made["pairs_by_number_of_sources"].as_array().expect("counts");
    let (one, two) = (counts[0].as_u64().expect("one"), counts[1].as_u64().expect("two"));
    assert_eq!(one + two, made["pairs"].as_u64().expect("pairs"));
    // All gap junctions are in both, each way.
    assert!(two >= 30, "{two}");
    let trimmed =
        std::fs::read_to_string(folder.join("tables/consensus_connectome_trimmed_nofunc.csv"));
    assert_eq!(trimmed.expect("a table").lines().count() as u64, 1 + one + two);
    // The table of a consensus is a connectome itself.
    succeed(folder, "import connectome tables/consensus_connectome_trimmed_nofunc.csv -o back");
    let back = json(folder, "trace connectome back both");
    for agreement in back["agreement"].as_array().expect("a list") {
        assert_eq!(agreement["jaccard"], 1.0, "{agreement}");
    }
    fail(
        folder,
        "trace consensus white witvliet -o other --csv tables",
        2,
        &["exists already", "tables"],
    );
    fail(folder, "trace consensus white white -o other", 2, &["`white` twice"]);
}

#[test]
fn worms_show_the_wiring_that_moved_them_and_no_other() {
    let folder = scratch();
    let folder = folder.path();
    imported(folder);
    let world =
        "world worm --connectome white --worms 3 --samples 900 --labelled-least 0.7 --seed 4";
    let made = json(folder, &format!("{world} -o worms --truth truth"));
    assert_eq!((&made["samples"], &made["units"]), (&2700.into(), &300.into()));
    succeed(folder, &format!("{world} --shuffle -o exchanged"));
    let compare = |recording: &str, more: &str| {
        json(
            folder,
            &format!("trace structure-function white --recording {recording} --draws 99 {more}"),
        )
    };
    let found = compare("worms", "--html page.html");
    let value =
        |found: &serde_json::Value, key: &str| found["auroc"][key].as_f64().expect("a number");
    assert!(value(&found, "value") > 0.7 && value(&found, "p") <= 0.02, "{found:#}");
    let control = compare("exchanged", "");
    assert!(value(&control, "value") < 0.62, "{control:#}");
    let shifted = compare("worms", "--null circular-shift");
    assert!(value(&shifted, "p") <= 0.02, "{shifted:#}");
    assert!(folder.join("page.html").is_file());
    let again = succeed(folder, "reproduce worms");
    assert!(again.stdout.starts_with("same"), "{}", again.stdout);
    let membranes =
        "world worm --connectome white --model conductance --worms 3 --samples 3000 -o m";
    succeed(folder, membranes);
    // Chance is 0.50 with a standard deviation of 0.03.
    let graded = compare("m", "");
    assert!(value(&graded, "value") > 0.6 && value(&graded, "p") <= 0.02, "{graded:#}");
    fail(folder, "trace structure-function white", 2, &["--recording"]);
    fail(folder, "trace structure-function white --functional witvliet", 2, &["functional edges"]);
    fail(folder, "world worm --connectome white --noise=-1 -o n", 2, &["noise"]);
}

#[test]
fn graphs_leave_as_files_and_graphml_comes_back() {
    let folder = scratch();
    let folder = folder.path();
    imported(folder);
    for out in ["g.csv", "g.parquet", "g.npz", "g.pt", "csv"] {
        let told = succeed(folder, &format!("export white -o {out}"));
        assert!(
            told.stderr.contains("300 nodes") && told.stderr.contains("cite: White"),
            "{}",
            told.stderr
        );
        assert!(folder.join(out).exists(), "{out}");
    }
    succeed(folder, "export white -o white_1986_n2u.graphml");
    succeed(folder, "import connectome white_1986_n2u.graphml -o back");
    let found = json(folder, "trace connectome white back");
    for agreement in found["agreement"].as_array().expect("a list") {
        assert_eq!(agreement["jaccard"], 1.0);
        assert_eq!(agreement["rank_correlation"], 1.0);
    }
    fail(folder, "export white -o g.csv", 2, &["exists already"]);
    fail(folder, "export white -o g.gexf", 2, &[".graphml"]);
    fail(folder, "export white -o g2.csv --samples", 2, &["--samples"]);
}

#[test]
fn bad_connectomes_are_refused_with_a_next_step() {
    let folder = scratch();
    let folder = folder.path();
    write(folder, "bad.csv", "pre,post,type,synapses\nAVAL,AVAR,chemical,-2\n");
    fail(folder, "import connectome bad.csv -o g", 2, &["bad.csv", "synapses", "-2 in row 2"]);
    write(folder, "odd.csv", "a,b\n1,2\n");
    fail(
        folder,
        "import connectome odd.csv -o g",
        2,
        &["header", "pre, post, type, synapses", "hint"],
    );
    write(folder, "list.csv", "pre,post,type,synapses\nAVAL,AVAR,chemical,2\n");
    fail(folder, "import connectome list.csv --source funconn -o g", 2, &["matrices of amplitude"]);
    fail(folder, "import connectome -o g", 2, &["FILE"]);
    fail(folder, "import -o g", 2, &["FILE"]);
    fail(folder, "trace connectome nowhere", 2, &["nowhere"]);
    assert!(!folder.join("g").exists());
}
