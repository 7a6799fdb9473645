//! `nissl trace interaction`: edges, what is needed and modules of a perceptron with two planted blocks
//! and of a transformer.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use nissl_core::graph::Graph;
use nissl_core::numbers::{Block, to_bytes};
use nissl_core::section::{Held, InteractionBasis, Nonlinearity};
use nissl_core::store::write_bytes;
use nissl_decompose::interaction_basis::{BasisKind, LocalInteractionBasis};
use nissl_networks::sections::Perceptron;

use crate::support::{fail, json, scratch, succeed};

fn wave(at: usize) -> f32 {
    (at as f32 * 1.7 + 0.3).sin()
}

/// Inputs 0 and 1 reach outputs 0 and 1 through units 0 to 2; inputs 2 and 3 the others.
fn two_blocks(folder: &Path) {
    let within = |rows: usize, columns: usize| -> Vec<f32> {
        let block = |row: usize, column: usize| 2 * row / rows == 2 * column / columns;
        let at = |n: usize| if block(n / columns, n % columns) { wave(n) } else { 0.0 };
        (0..rows * columns).map(at).collect()
    };
    let (first, second) = (within(6, 4), within(4, 6));
    let (bias, last) = ([0.3; 6], [0.1; 4]);
    let blocks = [
        ("layers.0.weight", Block::f32s(&first, &[6, 4])),
        ("layers.0.bias", Block::f32s(&bias, &[6])),
        ("layers.1.weight", Block::f32s(&second, &[4, 6])),
        ("layers.1.bias", Block::f32s(&last, &[4])),
    ];
    write_bytes(&folder.join("mlp.safetensors"), &to_bytes(&blocks).expect("fits"))
        .expect("writes");
    let row = |n: usize| -> Vec<String> {
        (0..4).map(|unit| wave(n * (2 * unit + 3) + unit).to_string()).collect()
    };
    let rows: Vec<String> = (0..200).map(|n| row(n).join(",")).collect();
    let table = format!("a,b,c,d\n{}\n", rows.join("\n"));
    write_bytes(&folder.join("inputs.csv"), table.as_bytes()).expect("writes");
    succeed(folder, "import inputs.csv -o inputs");
}

#[test]
fn two_blocks_that_never_meet_become_two_modules() {
    let folder = scratch();
    let here = folder.path();
    two_blocks(here);
    let line = "trace interaction mlp.safetensors --recording inputs --basis neuron --ablate \
                --tolerance 0 --resolution 0.5,4 -o graph";
    let told = json(here, line);
    // Each input reaches three units, each unit two outputs; a unit that is never active reaches none.
    assert_eq!(told["edges"][0]["from"], "layers.0");
    let count = |layer: usize| told["edges"][layer]["edges"].as_u64().expect("a number");
    assert!((1..=12).contains(&count(0)) && (1..=12).contains(&count(1)), "{told}");
    for layer in 0..2 {
        let needs = &told["required"][layer];
        assert_eq!(needs["full"], 1.0, "a perceptron is judged by its own answers");
        assert!(needs["edges"].as_u64().expect("enough") <= count(layer), "{needs}");
    }
    let modules = |of: usize| told["modules"][of]["size"].as_array().expect("sizes").len();
    assert!(modules(1) > modules(0), "more modules at the higher resolution: {told}");

    let graph = Graph::open(&here.join("graph")).expect("opens");
    let (layers, index) = (graph.nodes().texts("node_layer"), graph.nodes().u32s("index"));
    let (layers, index) = (layers.expect("layers"), index.expect("indices"));
    let module = graph.nodes().u32s("module").expect("modules");
    let width = |layer: &str| layers.iter().filter(|it| *it == layer).count() as u32;
    let block = |row: usize| 2 * index[row] / width(&layers[row]);
    let of = |wanted: u32| -> BTreeSet<u32> {
        (0..layers.len()).filter(|&row| block(row) == wanted).map(|row| module[row]).collect()
    };
    assert!(of(0).is_disjoint(&of(1)), "no module holds both blocks: {module:?}");
    for (source, target, _) in graph.links() {
        let rows = [source, target].map(|node| graph.row(node).expect("there"));
        assert_eq!(block(rows[0]), block(rows[1]), "no edge between the blocks");
    }
    fail(here, line, 2, &["graph", "exists already"]);
    let table = succeed(here, &format!("{line} --overwrite"));
    assert!(table.stdout.contains("edges needed"), "{}", table.stdout);
    let logs = line.replace("-o graph", "--scale log");
    assert!(json(here, &logs)["modules"][0]["modularity"].as_f64().is_some_and(f64::is_finite));
}

#[test]
fn bases_found_before_give_the_same_edges() {
    let folder = scratch();
    let here = folder.path();
    two_blocks(here);
    let network = Perceptron::open(&here.join("mlp.safetensors"), Nonlinearity::Relu);
    let network = network.expect("opens");
    let cut = network.cut(&network.node_layers()).expect("cuts");
    let recording = nissl_core::Recording::open(&here.join("inputs")).expect("opens");
    let mut rows = ndarray::Array2::ones((recording.samples(), 5));
    for block in recording.blocks(64) {
        let block = block.expect("reads");
        let range = block.start..block.start + block.activity.nrows();
        rows.slice_mut(ndarray::s![range, ..4]).assign(&block.activity.mapv(f64::from));
    }
    let samples = cut.samples(Held { rows, positions: 1 });
    let pca = LocalInteractionBasis { basis: BasisKind::Pca, ..LocalInteractionBasis::default() };
    let silent = nissl_core::Progress::silent();
    let bases: InteractionBasis = pca.fit(&cut.chain, &samples, &silent).expect("fits");
    bases.save(&here.join("pca.safetensors")).expect("writes");
    let line = "trace interaction mlp.safetensors --recording inputs";
    let read = json(here, &format!("{line} --bases pca.safetensors"));
    let found = json(here, &format!("{line} --basis pca"));
    let other = json(here, line);
    assert_eq!(read["edges"], found["edges"]);
    assert_ne!(read["edges"], other["edges"], "the local interaction basis has other edges");
}

#[test]
fn a_transformer_is_judged_by_the_tokens_that_follow() {
    let folder = scratch();
    let here = folder.path();
    let line = |n: u32| {
        let ids: Vec<String> = (0..6).map(|at| ((n * 17 + at * at * 5) % 50).to_string()).collect();
        ids.join(" ")
    };
    let text: Vec<String> = (0..40).map(line).collect();
    write_bytes(&here.join("tokens.txt"), text.join("\n").as_bytes()).expect("writes");
    let model: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/models/gpt2");
    let model = model.display();
    let cut = format!("trace interaction {model} --tokens tokens.txt --node-layers");
    let judged = "--ablate --measure cross-entropy --tolerance 0.05";
    let told = json(here, &format!("{cut} layers.1.resid.post,logits {judged}"));
    let full = told["required"][0]["full"].as_f64().expect("nats");
    assert!(full > 0.5, "a random network cannot know what follows: {full}");
    let needs = told["required"][0]["edges"].as_u64().expect("enough");
    assert!(needs <= told["edges"][0]["edges"].as_u64().expect("a number"));

    let early = format!("{cut} layers.0.resid.mid,layers.1.resid.pre {judged}");
    fail(here, &early, 2, &["layers.1.resid.pre", "logits"]);
    fail(here, &format!("trace interaction {model}"), 2, &["`data` is absent", "--tokens FILE"]);
    let scaled = format!("{cut} layers.1.resid.post,logits --scale log");
    fail(here, &scaled, 2, &["`scale` is log", "--ablate"]);
    let negative = format!("{cut} layers.1.resid.post,logits --resolution 0");
    fail(here, &negative, 2, &["`resolution` is 0"]);
    write_bytes(&here.join("short.txt"), b"1\n2\n").expect("writes");
    fail(here, &format!("trace interaction {model} --tokens short.txt"), 2, &["sequence 0"]);
}
