//! A world on disk: tables fit the text, same seed same bytes, nothing is overwritten unasked.

use nissl_core::store::{Existing, Kind, Manifest, Provenance};
use nissl_core::{Progress, Table};
use nissl_worlds::language::{CONCEPTS, Language, LanguageWorld, Written};

fn write(world: &LanguageWorld, folder: &std::path::Path) -> Written {
    let provenance = Provenance::here(world, world.seed, "cpu");
    world.write(folder, provenance, Existing::Refuse, &Progress::silent()).expect("writes")
}

#[test]
fn tables_and_text_fit_each_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("world");
    // More than one row group.
    let world = LanguageWorld { tokens: 70_000, seed: 5, ..LanguageWorld::default() };
    let written = write(&world, &out);
    let samples = Table::read(&out.join("samples.parquet"), None).expect("reads");
    assert_eq!(samples.rows() as u64, written.tokens);
    let text = std::fs::read_to_string(out.join("text.txt")).expect("reads");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len() as u64, written.stories);
    let sequence = samples.u32s("sequence").expect("a column");
    let (start, end) =
        (samples.u32s("start").expect("a column"), samples.u32s("end").expect("a column"));
    let token = samples.texts("token").expect("a column");
    for row in (0..samples.rows()).step_by(101) {
        let line = lines[sequence[row] as usize];
        assert_eq!(&line[start[row] as usize..end[row] as usize], token[row]);
    }
    for concept in CONCEPTS {
        assert!(samples.get(&format!("truth.{}", concept.name)).is_some());
    }
    assert!(samples.get("truth.language").is_none(), "one language only");
    let manifest = Manifest::<Written>::read(&out, Kind::World).expect("reads");
    // JSON keeps all but the last bit of a number.
    assert!((manifest.detail.entropy - written.entropy).abs() < 1e-12);
    assert_eq!((manifest.detail.tokens, manifest.detail.next), (written.tokens, written.next));
    manifest.verify(&out).expect("checksums hold");
    assert!((written.entropy - written.surprise).abs() < 0.05);

    let provenance = Provenance::here(&world, 5, "cpu");
    let again = world.write(&out, provenance, Existing::Refuse, &Progress::silent());
    assert!(again.is_err(), "nothing is overwritten unasked");
}

#[test]
fn same_seed_same_bytes() {
    let folder = tempfile::tempdir().expect("a folder");
    let languages = vec![Language::French, Language::German];
    let world = LanguageWorld { tokens: 3_000, languages, ..LanguageWorld::default() };
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    write(&world, &a);
    write(&world, &b);
    for file in ["text.txt", "samples.parquet", "tokenizer.json", "vocabulary.txt", "concepts.json"]
    {
        let read = |folder: &std::path::Path| std::fs::read(folder.join(file)).expect("reads");
        assert_eq!(read(&a), read(&b), "{file}");
    }
    let samples = Table::read(&a.join("samples.parquet"), None).expect("reads");
    let names = samples.texts("truth.language").expect("a column");
    assert!(names.iter().any(|name| name == "french") && names.iter().any(|name| name == "german"));
}
