//! Decompositions that cannot be done, and output folders that are taken.

use crate::support::{checksums, fail, fixture, made, nothing_half_valid, scratch, succeed, write};

#[test]
fn k_must_fit_the_samples_and_the_units() {
    let folder = scratch();
    let recording = made().join("rec").display().to_string();
    for method in ["pca", "kmeans", "snmf", "neurons"] {
        for (k, expected) in [(65, "at most 64"), (0, "at least 1")] {
            let line = format!("decompose {method} {recording} -k {k} -o f");
            fail(folder.path(), &line, 2, &[&format!("`k` is {k}"), expected]);
            assert!(!folder.path().join("f").exists(), "{method} leaves a folder");
        }
    }
    write(folder.path(), "a.csv", "a,b,c,d,e\n1,2,3,4,5\n2,1,4,3,6\n5,4,3,2,1\n");
    succeed(folder.path(), "import a.csv -o small");
    fail(folder.path(), "decompose snmf small -k 4 -o f", 2, &["`k` is 4", "samples"]);
}

#[test]
fn settings_outside_their_range_are_named() {
    let folder = scratch();
    let recording = made().join("rec").display().to_string();
    for (flags, parts) in [
        ("snmf --sparsity 2.5", &["sparsity", "2.5"][..]),
        ("snmf --sparsity 0", &["sparsity", "0"]),
        ("snmf --restarts 0 -k 4", &["`restarts` is 0", "at least 1"]),
        ("snmf --iterations 0 -k 4", &["`iterations` is 0", "at least 1"]),
        ("pca -k 4 --held-out 1.5", &["`held_out` is 1.5"]),
        ("pca -k -1", &["-1"]),
        ("kmeans -k many", &["many"]),
    ] {
        fail(folder.path(), &format!("decompose {flags} {recording} -o f"), 2, parts);
        assert!(!folder.path().join("f").exists(), "{flags}");
    }
}

#[test]
fn activity_that_is_no_number_is_named_by_sample_and_unit() {
    let folder = scratch();
    let row = |row: usize| format!("{row},{},{}\n", if row == 13 { "nan" } else { "2" }, row % 3);
    let csv: String = std::iter::once("a,b,c\n".to_owned()).chain((0..20).map(row)).collect();
    write(folder.path(), "m.csv", csv);
    succeed(folder.path(), "import m.csv -o rec");
    for method in ["neurons", "pca", "kmeans", "nmf", "snmf"] {
        let line = format!("decompose {method} rec -k 2 -o f");
        fail(folder.path(), &line, 2, &["sample 13, unit 1", "NaN", "finite"]);
        assert!(!folder.path().join("f").exists(), "{method} leaves a folder");
    }
}

#[test]
fn unknown_methods_and_flags_suggest_the_near_ones() {
    let folder = scratch();
    let recording = made().join("rec").display().to_string();
    for (line, parts) in [
        (format!("decompose pcaa {recording} -o f"), &["'pcaa'", "'pca'"][..]),
        (format!("decompose snmf {recording} --sparsty 0.1 -o f"), &["--sparsty", "--sparsity"]),
        (format!("decompose pca {recording} --sparsity 0.1 -o f"), &["--sparsity"]),
        ("decompse pca".to_owned(), &["'decompse'", "'decompose'"]),
        ("study run snfm".to_owned(), &["snfm", "snmf"]),
        (format!("decompose pca {recording}"), &["--out <FOLDER>"]),
        ("info rec --progress loud".to_owned(), &["loud", "plain"]),
    ] {
        fail(folder.path(), &line, 2, parts);
    }
}

#[test]
fn an_output_folder_that_is_there_is_kept_unless_it_may_be_replaced() {
    let folder = scratch();
    let recording = made().join("rec").display().to_string();
    let line = format!("decompose pca {recording} -k 3 -o f");
    succeed(folder.path(), &line);
    let before = checksums(folder.path(), "f");
    fail(folder.path(), &line, 2, &["f exists already", "--resume", "--overwrite"]);
    fail(folder.path(), &format!("{line} --resume"), 2, &["f exists already"]);
    fail(folder.path(), &format!("{line} --resume --overwrite"), 2, &["--overwrite"]);
    assert_eq!(checksums(folder.path(), "f"), before);
    let other = format!("decompose pca {recording} -k 4 -o f --overwrite");
    succeed(folder.path(), &other);
    assert_ne!(checksums(folder.path(), "f"), before);
}

#[test]
fn a_folder_or_file_of_somebody_else_is_never_removed() {
    let folder = scratch();
    let thesis = folder.path().join("mine");
    write(&thesis, "thesis.txt", "years of work");
    write(folder.path(), "a.txt", "the cat sat");
    write(folder.path(), "a.csv", "a,b\n1,2\n3,4\n");
    let recording = made().join("rec").display().to_string();
    let gpt2 = fixture("gpt2").display().to_string();
    for line in [
        format!("decompose pca {recording} -k 3 -o mine"),
        format!("record {gpt2} --site embed --text a.txt -o mine"),
        "world language --tokens 300 -o mine".to_owned(),
        "import a.csv -o mine".to_owned(),
        format!("train language --world {} -o mine", made().join("w").display()),
        "demo -o mine".to_owned(),
        "study run snmf -o mine".to_owned(),
    ] {
        for flag in ["", "--overwrite", "--resume"] {
            fail(folder.path(), &format!("{line} {flag}"), 2, &["mine"]);
            let kept = std::fs::read_to_string(thesis.join("thesis.txt")).expect("still there");
            assert_eq!(kept, "years of work", "{line} {flag}");
        }
    }
    assert_eq!(std::fs::read_dir(&thesis).expect("a folder").count(), 1, "nothing was added");
    let onto_a_file = format!("decompose pca {recording} -k 3 -o a.txt --overwrite");
    fail(folder.path(), &onto_a_file, 2, &["a.txt"]);
    assert_eq!(std::fs::read_to_string(folder.path().join("a.txt")).expect("text"), "the cat sat");
}

#[test]
fn a_failed_overwrite_keeps_the_old_artefact() {
    let folder = scratch();
    let recording = made().join("rec").display().to_string();
    succeed(folder.path(), &format!("decompose pca {recording} -k 3 -o f"));
    let before = checksums(folder.path(), "f");
    for line in [
        format!("decompose pca {recording} -k 99 -o f --overwrite"),
        "decompose pca nowhere -k 3 -o f --overwrite".to_owned(),
    ] {
        fail(folder.path(), &line, 2, &[]);
        assert_eq!(checksums(folder.path(), "f"), before, "{line}");
    }
}

#[test]
fn damaged_recordings_are_refused() {
    let folder = scratch();
    write(folder.path(), "a.csv", "a,b,c\n1,2,3\n4,5,6\n7,8,1\n2,2,2\n1,1,3\n9,8,7\n");
    let spoil = |name: &str, change: &dyn Fn(&std::path::Path)| {
        succeed(folder.path(), &format!("import a.csv -o {name}"));
        change(&folder.path().join(name));
    };
    spoil("no-manifest", &|rec| std::fs::remove_file(rec.join("manifest.json")).expect("removes"));
    spoil("no-shard", &|rec| {
        std::fs::remove_file(rec.join("activity-00000.safetensors")).expect("removes");
    });
    spoil("no-units", &|rec| std::fs::remove_file(rec.join("units.parquet")).expect("removes"));
    spoil("cut", &|rec| {
        let shard = std::fs::read(rec.join("activity-00000.safetensors")).expect("a shard");
        write(rec, "activity-00000.safetensors", &shard[..shard.len() - 5]);
    });
    spoil("half-manifest", &|rec| write(rec, "manifest.json", "{\"nissl\": \"recording\","));
    for (name, parts) in [
        ("no-manifest", &["no-manifest", "no manifest.json"][..]),
        ("no-shard", &["no-shard", "activity-00000.safetensors"]),
        ("no-units", &["no-units", "units.parquet"]),
        ("cut", &["cut", "activity-00000.safetensors"]),
        ("half-manifest", &["half-manifest", "manifest.json"]),
    ] {
        fail(folder.path(), &format!("decompose neurons {name} -o f"), 2, parts);
        nothing_half_valid(folder.path(), "f");
    }
    fail(folder.path(), "decompose neurons nowhere -o f", 2, &["nowhere", "nothing is there"]);
}
