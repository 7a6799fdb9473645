//! `nissl dictionary`: checkpoints of other tools shown, imported, exported and converted.

use std::path::{Path, PathBuf};

use ndarray::{Array1, Array2};
use nissl_core::features::{Activation, Dictionary, Encoding, Features, InputNorm};
use nissl_core::site::Site;
use nissl_core::store::Existing;
use nissl_decompose::checkpoints::{Checkpoint, Load, Maker, Source, load, save};

use crate::support::{fail, json, made, nothing_half_valid, run, scratch, succeed, write};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/dictionaries").join(name)
}

/// An autoencoder of `units` units as SAELens writes it, which takes `centre` off and puts it on.
fn autoencoder(folder: &Path, units: usize, centre: f32) {
    let activation = Activation::Relu;
    let encoding = Encoding::Sparse { activation, norm: InputNorm::None, centred: true };
    let axes = Array2::from_shape_fn((units + 1, units), |(f, u)| if f == u { 1.0 } else { 0.0 });
    let mut dictionary = Dictionary::new(axes, encoding);
    dictionary.decoder_bias = Some(Array1::from_elem(units, centre));
    let mut source = Source::new(Maker::SaeLens);
    source.site = Some(Site::new("layers.0.mlp.act"));
    source.model = Some("net".to_owned());
    let checkpoint = Checkpoint { dictionary, source };
    save(&checkpoint, Maker::SaeLens, folder, Existing::Refuse).expect("writes");
}

#[test]
fn a_checkpoint_is_shown_with_its_maker_and_place() {
    let folder = scratch();
    let path = golden("dunefsky.pt");
    let shown = succeed(folder.path(), &format!("dictionary show {}", path.display()));
    for part in
        ["dunefsky", "transcoder", "layers.8.mlp.in", "layers.8.mlp.out", "gpt2-small", "ReLU"]
    {
        assert!(shown.stdout.contains(part), "{part}\n{}", shown.stdout);
    }
    assert!(shown.stderr.contains("SAERunnerConfig"), "{}", shown.stderr);
    let told = json(folder.path(), &format!("dictionary show {}", golden("openai.pt").display()));
    assert_eq!(told["source"]["maker"], "openai");
    assert_eq!(
        (&told["encoding"]["k"], &told["encoding"]["norm"]),
        (&3.into(), &"standard".into())
    );
    assert_eq!((&told["features"], &told["role"]), (&10.into(), &"autoencoder".into()));
}

#[test]
fn a_checkpoint_is_imported_alone_and_exported_again() {
    let folder = scratch();
    let path = golden("layers.2.mlp");
    let told = json(folder.path(), &format!("dictionary import {} -o tc", path.display()));
    assert_eq!((&told["samples"], &told["role"]), (&0.into(), &"transcoder".into()));
    let features = Features::open(&folder.path().join("tc")).expect("opens");
    assert_eq!(features.unit_table().texts("site").expect("sites")[0], "layers.2.mlp.in");
    succeed(folder.path(), "info tc");
    succeed(folder.path(), "verify tc");
    succeed(folder.path(), "dictionary export tc --as sparsify -o layers.2.mlp");
    let back = load(&folder.path().join("layers.2.mlp"), &Load::default()).expect("loads");
    assert_eq!(&back.dictionary, features.dictionary());
    assert_eq!(back.source.site, Some(Site::new("layers.2.mlp.in")));
    fail(
        folder.path(),
        "dictionary export tc --as gemma-scope -o g",
        2,
        &["gemma-scope", "a layout that can express a skip connection"],
    );
    fail(
        folder.path(),
        "dictionary export tc --as sparsify -o layers.2.mlp",
        2,
        &["exists already"],
    );
    succeed(folder.path(), "dictionary export tc --as sparsify -o layers.2.mlp --overwrite");
    let goodfire = golden("goodfire.pt");
    let line = format!("dictionary import {}", goodfire.display());
    fail(folder.path(), &format!("{line} -o g"), 2, &["`site` is unknown", "--site"]);
    nothing_half_valid(folder.path(), "g");
    succeed(folder.path(), &format!("{line} --site layers.1.resid.post -o g"));
    for line in ["explain all g", "probe truth g"] {
        fail(folder.path(), line, 2, &["`samples` is 0", "import it again with --recording"]);
    }
}

#[test]
fn one_layout_is_converted_to_another() {
    let folder = scratch();
    let gemma = golden("gemma/params.npz");
    let line = format!("dictionary convert {}", gemma.display());
    succeed(folder.path(), &format!("{line} --as dictionary-learning -o dl"));
    let told = json(folder.path(), "dictionary convert dl --as gemma-scope -o mine.npz");
    assert_eq!((&told["layout"], &told["features"]), (&"gemma-scope".into(), &10.into()));
    let one = load(&gemma, &Load::default()).expect("loads").dictionary;
    let two = load(&folder.path().join("mine.npz"), &Load::default()).expect("loads").dictionary;
    assert_eq!(one, two);
    fail(
        folder.path(),
        &format!("dictionary convert {} --as openai -o o.pt", golden("batch_top_k").display()),
        2,
        &["openai", "a layout that can express JumpReLU"],
    );
    let unknown = run(folder.path(), &format!("{line} --as pickle -o x"));
    assert_eq!(unknown.code, 2);
    assert!(unknown.stderr.contains("sae-lens"), "{}", unknown.stderr);
}

#[test]
fn the_samples_of_a_recording_are_encoded_where_the_dictionary_fits() {
    let folder = scratch();
    let recording = made().join("rec");
    let units = nissl_core::Recording::open(&recording).expect("opens").units();
    // What the network shows lies above −1, and far below 50.
    autoencoder(&folder.path().join("fits"), units, -1.0);
    autoencoder(&folder.path().join("far"), units, 50.0);
    autoencoder(&folder.path().join("narrow"), 8, 0.0);
    let recording = recording.display();
    let line = |name: &str| format!("dictionary import {name} --recording {recording}");
    let told = json(folder.path(), &format!("{} -o f", line("fits")));
    let explained = told["explained_variance"].as_f64().expect("measured");
    assert!(explained > 0.999 && told["samples"].as_u64() > Some(1000), "{told}");
    succeed(folder.path(), "show f");
    let again = json(folder.path(), "reproduce f");
    assert_eq!(again["same"], true);
    let shown = json(folder.path(), &format!("dictionary show fits --recording {recording}"));
    assert_eq!(shown["fits"][0]["site"], "layers.0.mlp.act");

    let words = ["unexplained", "layers.0.mlp.act", "--force"];
    fail(folder.path(), &format!("{} -o g", line("far")), 2, &words);
    nothing_half_valid(folder.path(), "g");
    succeed(folder.path(), &format!("{} --force -o g", line("far")));
    let words = ["the dictionary has 8 units", "no site of this recording"];
    fail(folder.path(), &format!("{} -o h", line("narrow")), 2, &words);
    let line = format!("{} --site layers.7.mlp.act -o h", line("fits"));
    fail(folder.path(), &line, 2, &["layers.7.mlp.act"]);
}

#[test]
fn what_is_no_checkpoint_is_told() {
    let folder = scratch();
    write(folder.path(), "broken.safetensors", b"\x10\0\0\0\0\0\0\0{}");
    write(folder.path(), "notes.txt", b"none");
    write(folder.path(), "other/notes.txt", b"none");
    fail(folder.path(), "dictionary show broken.safetensors", 2, &["broken.safetensors"]);
    fail(folder.path(), "dictionary show notes.txt", 2, &["notes.txt"]);
    fail(folder.path(), "dictionary show other", 2, &["the folder of one dictionary, or its file"]);
    fail(folder.path(), "dictionary show nowhere", 2, &["nowhere", "nothing is there"]);
    succeed(
        folder.path(),
        &format!(
            "dictionary convert {} --as sae-lens -o cut",
            golden("gemma/params.npz").display()
        ),
    );
    let path = folder.path().join("cut/sae_weights.safetensors");
    let bytes = std::fs::read(&path).expect("reads");
    write(folder.path(), "cut/sae_weights.safetensors", &bytes[..bytes.len() - 7]);
    fail(folder.path(), "dictionary show cut", 2, &["truncated"]);
}
