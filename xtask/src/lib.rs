//! The house rules, checked: `cargo xtask tidy`.
//!
//! Each rule reads the repository and gives one line for each offence. The suite runs them too.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Which crates of ours each crate may depend on.
const ARROWS: &[(&str, &[&str])] = &[
    ("nissl-kernels", &[]),
    ("nissl-core", &["nissl-kernels"]),
    ("nissl-worlds", &["nissl-core"]),
    ("nissl-networks", &["nissl-core", "nissl-kernels"]),
    ("nissl-record", &["nissl-core", "nissl-kernels"]),
    ("nissl-decompose", &["nissl-core", "nissl-kernels"]),
    ("nissl-judge", &["nissl-core"]),
    ("nissl-explain", &["nissl-core", "nissl-kernels", "nissl-judge"]),
    ("nissl-probe", &["nissl-core", "nissl-judge"]),
    ("nissl-trace", &["nissl-core", "nissl-kernels"]),
    (
        "nissl-studies",
        &[
            "nissl-core",
            "nissl-worlds",
            "nissl-networks",
            "nissl-record",
            "nissl-decompose",
            "nissl-judge",
            "nissl-explain",
            "nissl-probe",
            "nissl-trace",
        ],
    ),
    (
        "nissl",
        &[
            "nissl-core",
            "nissl-worlds",
            "nissl-networks",
            "nissl-record",
            "nissl-decompose",
            "nissl-judge",
            "nissl-explain",
            "nissl-probe",
            "nissl-trace",
            "nissl-studies",
            "xtask",
        ],
    ),
];

/// No file is longer, unless its first line says that it is a table.
const LONGEST_FILE: usize = 400;

/// All offences against the house rules in the repository at `root`.
pub fn tidy(root: &Path) -> Vec<String> {
    let mut offences = Vec::new();
    arrows(root, &mut offences);
    sources(root, &mut offences);
    dependencies(root, &mut offences);
    texts(root, &mut offences);
    offences
}

/// Dependency arrows point one way.
fn arrows(root: &Path, offences: &mut Vec<String>) {
    let allowed: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    for manifest in manifests(root) {
        let text = fs::read_to_string(&manifest).unwrap_or_default();
        let name = value_of(&text, "name").unwrap_or_default();
        let Some(allowed) = allowed.get(name.as_str()) else {
            offences.push(format!(
                "{}: crate `{name}` has no place in the plan (xtask/src/lib.rs, ARROWS)",
                shown(root, &manifest)
            ));
            continue;
        };
        let ours = sections(&text, &["dependencies", "dev-dependencies"])
            .into_iter()
            .filter(|dependency| dependency.starts_with("nissl") || dependency == "xtask");
        for dependency in ours {
            if !allowed.contains(&dependency.as_str()) {
                offences.push(format!(
                    "{}: `{name}` must not depend on `{dependency}`",
                    shown(root, &manifest)
                ));
            }
        }
        if !text.contains("[lints]\nworkspace = true") {
            offences
                .push(format!("{}: does not take the workspace's lints", shown(root, &manifest)));
        }
    }
}

/// File sizes, headings of method files, reasons for unsafe code.
fn sources(root: &Path, offences: &mut Vec<String>) {
    let mut files = Vec::new();
    for folder in ["crates", "xtask"] {
        walk(&root.join(folder), "rs", &mut files);
    }
    for file in files {
        let text = fs::read_to_string(&file).unwrap_or_default();
        let name = shown(root, &file);
        let lines = text.lines().count();
        let is_table = text.lines().next().is_some_and(|line| line.starts_with("//! Table:"));
        if lines > LONGEST_FILE && !is_table {
            offences.push(format!("{name}: {lines} lines, at most {LONGEST_FILE}"));
        }
        let head: String =
            text.lines().take_while(|line| line.starts_with("//!")).collect::<Vec<_>>().join("\n");
        let is_target = !name.contains("/tests/") && !name.contains("/benches/");
        if head.is_empty() && is_target && !text.trim().is_empty() {
            offences.push(format!("{name}: does not say at its head what it holds"));
        }
        let is_method = text.contains("\nimpl Decompose for");
        for heading in ["Source:", "Memory:"] {
            if is_method && is_target && !head.contains(heading) {
                offences.push(format!("{name}: a method without `{heading}` in its head"));
            }
        }
        // Spelled in two parts so that this line is no offence itself.
        let marker = concat!("unsafe", " {");
        if text.contains(marker) && !text.contains("// SAFETY:") {
            offences.push(format!("{name}: unsafe code without a safety comment"));
        }
    }
}

/// Every dependency has its reason.
fn dependencies(root: &Path, offences: &mut Vec<String>) {
    let text = fs::read_to_string(root.join("Cargo.toml")).unwrap_or_default();
    let reasons = fs::read_to_string(root.join("docs/dependencies.md")).unwrap_or_default();
    let all = sections(&text, &["workspace.dependencies"]);
    for dependency in all.iter().filter(|name| !name.starts_with("nissl-") && *name != "xtask") {
        if !reasons.contains(&format!("| `{dependency}` |")) {
            offences
                .push(format!("Cargo.toml: `{dependency}` has no reason in docs/dependencies.md"));
        }
        let used = manifests(root).into_iter().any(|manifest| {
            let text = fs::read_to_string(manifest).unwrap_or_default();
            sections(&text, &["dependencies", "dev-dependencies"]).contains(dependency)
        });
        if !used {
            offences.push(format!("Cargo.toml: `{dependency}` is used by no crate"));
        }
    }
    for line in reasons.lines().filter(|line| line.starts_with("| `")) {
        let name = line.split('`').nth(1).unwrap_or_default();
        if !all.iter().any(|dependency| dependency == name) {
            offences.push(format!("docs/dependencies.md: `{name}` is no dependency any more"));
        }
    }
}

/// The texts that a repository owes its readers, and paths that none may name.
fn texts(root: &Path, offences: &mut Vec<String>) {
    for text in [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
    ] {
        if !root.join(text).exists() {
            offences.push(format!("{text} is missing"));
        }
    }
    let plan = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap_or_default();
    for (name, _) in ARROWS.iter().filter(|(name, _)| *name != "nissl") {
        if !plan.contains(&format!("`{name}`")) {
            offences.push(format!("ARCHITECTURE.md: does not name `{name}`"));
        }
    }
}

fn manifests(root: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(root.join("crates"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("Cargo.toml"))
        .filter(|path| path.exists())
        .collect();
    found.sort();
    found
}

fn walk(folder: &Path, extension: &str, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "target") {
                walk(&path, extension, files);
            }
        } else if path.extension().is_some_and(|other| other == extension) {
            files.push(path);
        }
    }
}

fn shown(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

/// The value of the first `key = "value"` of a manifest.
fn value_of(text: &str, key: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let rest = line.strip_prefix(key)?.trim_start().strip_prefix('=')?;
        Some(rest.trim().trim_matches('"').to_owned())
    })
}

/// The keys of some tables of a manifest, without `.workspace`.
fn sections(text: &str, wanted: &[&str]) -> Vec<String> {
    let mut keys = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        if let Some(header) = line.strip_prefix('[') {
            inside = wanted.contains(&header.trim_end_matches(']'));
        } else if inside && let Some((key, _)) = line.split_once('=') {
            let key = key.trim().trim_end_matches(".workspace");
            if !key.is_empty() && !key.starts_with('#') {
                keys.push(key.to_owned());
            }
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_manifest_are_found() {
        let text = "[package]\nname = \"a\"\n[dependencies]\nburn.workspace = true\n# x = 1\n\
                    serde = { version = \"1\" }\n[features]\ncuda = []\n";
        assert_eq!(sections(text, &["dependencies"]), ["burn", "serde"]);
        assert_eq!(value_of(text, "name").as_deref(), Some("a"));
    }

    #[test]
    fn an_arrow_back_and_a_long_file_are_offences() {
        let root = std::env::temp_dir().join(format!("nissl-tidy-{}", std::process::id()));
        let source = root.join("crates/core/src");
        fs::create_dir_all(&source).expect("makes");
        let manifest = "name = \"nissl-core\"\n[lints]\nworkspace = true\n[dependencies]\nnissl-studies.workspace = true\n";
        let write = |path: PathBuf, text: &str| {
            #[expect(clippy::disallowed_methods, reason = "a scratch folder of this test")]
            fs::write(path, text).expect("writes");
        };
        write(root.join("crates/core/Cargo.toml"), manifest);
        write(source.join("lib.rs"), &"//! Long.\n".repeat(401));
        write(source.join("bare.rs"), "fn nothing() {}\n");
        let offences = tidy(&root).join("\n");
        fs::remove_dir_all(&root).expect("removes");
        assert!(offences.contains("must not depend on `nissl-studies`"), "{offences}");
        assert!(offences.contains("401 lines"), "{offences}");
        assert!(offences.contains("bare.rs: does not say"), "{offences}");
        assert!(offences.contains("README.md is missing"), "{offences}");
    }
}
