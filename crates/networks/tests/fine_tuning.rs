//! A trained network goes on learning from another corpus, and says where it came from.

mod common;

use std::path::Path;

use burn::tensor::Device;
use common::fixture;
use nissl_core::network::{LanguageNetwork, TokenBatch};
use nissl_core::numbers::NumberFile;
use nissl_core::store::{Existing, Provenance, sha256_file};
use nissl_core::taps::Taps;
use nissl_core::{Error, Progress, Result, seed};
use nissl_networks::language::Language;
use nissl_networks::language::training::{
    Base, Baselines, Corpus, Packed, TrainLanguage, Trained, TrainingData,
};
use rand::RngExt;

/// Pairs of words: after the first comes, nine times in ten, a partner a fixed way off.
fn text(size: usize, shift: u32, stream: u64) -> Vec<u32> {
    let mut rng = seed::rng(5, stream);
    let mut tokens = Vec::with_capacity(size + 1);
    while tokens.len() < size {
        let first = rng.random_range(0..10);
        let follows = rng.random::<f32>() < 0.9;
        let partner = if follows { (first + shift) % 10 } else { rng.random_range(0..10) };
        tokens.extend([first, 10 + partner]);
    }
    tokens
}

fn settings(steps: usize) -> TrainLanguage {
    TrainLanguage {
        layers: 1,
        width: 16,
        heads: 2,
        context: 16,
        batch: 8,
        steps,
        learning_rate: 1e-2,
        warmup: 5,
        evaluate_every: 10,
        checkpoint_every: 10,
        ..TrainLanguage::default()
    }
}

fn tokenizer() -> nissl_networks::language::TextTokenizer {
    nissl_networks::language::TextTokenizer::read(&fixture("gpt2"), Some(4)).expect("a tokenizer")
}

/// Trains a base on partners one way off.
fn base(folder: &Path) -> Base {
    let (tokenizer, held_out) = (tokenizer(), text(500, 1, 9));
    let data = TrainingData {
        corpus: &Packed::new(text(4_000, 1, 0), 1),
        held_out: &held_out,
        tokenizer: &tokenizer,
        baselines: Baselines::default(),
        provenance: Provenance::default(),
    };
    let (device, silent) = (Device::flex(), Progress::silent());
    let trained = settings(150).fit(&data, folder, Existing::Refuse, &device, &silent);
    assert_eq!(trained.expect("trains").held_out_before, None);
    Base::open(folder, &Device::flex()).expect("a GPT-2")
}

/// Goes on with partners four ways off.
fn fine_tune(
    base: &Base,
    settings: &TrainLanguage,
    corpus: &dyn Corpus,
    folder: &Path,
    existing: Existing,
    progress: &Progress,
) -> Result<Trained> {
    let (tokenizer, held_out) = (base.tokenizer().clone(), text(500, 4, 9));
    let data = TrainingData {
        corpus,
        held_out: &held_out,
        tokenizer: &tokenizer,
        baselines: Baselines::default(),
        provenance: Provenance::default(),
    };
    settings.fine_tune(base, &data, folder, existing, progress)
}

fn shifted() -> Packed {
    Packed::new(text(4_000, 4, 0), 2)
}

fn weights(folder: &Path) -> Vec<(String, Vec<f32>)> {
    let file = NumberFile::open(&folder.join("model.safetensors")).expect("opens");
    let names =
        ["transformer.wte.weight", "transformer.h.0.mlp.c_fc.weight", "transformer.ln_f.bias"];
    names.map(|name| (name.to_owned(), common::floats(&file, name))).to_vec()
}

fn difference(a: &Path, b: &Path) -> f32 {
    let pairs = weights(a).into_iter().zip(weights(b));
    let of = |((_, a), (_, b)): ((String, Vec<f32>), (String, Vec<f32>))| {
        a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    };
    pairs.map(of).fold(0.0, f32::max)
}

#[test]
fn a_shifted_corpus_is_learnt_from_where_the_base_stood() {
    let folders = [0; 3].map(|_| tempfile::tempdir().expect("a folder"));
    let [first, tuned, still] = folders.each_ref().map(tempfile::TempDir::path);
    let base = base(first);
    let short = base.shaped(TrainLanguage { learning_rate: 5e-3, ..settings(60) });
    let silent = Progress::silent();
    let trained = fine_tune(&base, &short, &shifted(), tuned, Existing::Refuse, &silent);
    let trained = trained.expect("trains");
    let before = trained.held_out_before.expect("measured");
    let after = trained.held_out.expect("measured");
    assert!(after < before - 0.5, "{before} to {after}");
    assert!(difference(first, tuned) > 0.01);

    // The first loss is the base's own, as an independent run of the loaded network finds it.
    let network = Language::load(first, "base", &Device::flex()).expect("loads");
    let held_out = text(500, 4, 9);
    let (mut sum, mut count) = (0.0, 0);
    for start in (0..held_out.len() - 1).step_by(16) {
        let end = (start + 16).min(held_out.len() - 1);
        let batch = TokenBatch::new(&[&held_out[start..end]]).expect("tokens");
        let logits = network.forward(&batch, &mut Taps::none()).expect("runs").expect("logits");
        for (row, next) in common::values(&logits).chunks(network.vocabulary()).zip(start + 1..) {
            let total: f64 = row.iter().map(|&logit| f64::from(logit).exp()).sum();
            sum += total.ln() - f64::from(row[held_out[next] as usize]);
            count += 1;
        }
    }
    let own = sum / f64::from(count);
    assert!((own - f64::from(before)).abs() < 1e-4, "{own} {before}");

    // At next to no learning rate nothing moves.
    let frozen = TrainLanguage { learning_rate: 1e-12, ..short };
    let trained = fine_tune(&base, &frozen, &shifted(), still, Existing::Refuse, &silent);
    let trained = trained.expect("trains");
    assert!(difference(first, still) < 1e-6);
    let moved = trained.held_out.expect("measured") - trained.held_out_before.expect("measured");
    assert!(moved.abs() < 1e-4, "{moved}");
}

#[test]
fn a_fine_tuned_network_names_its_base_and_loads_again() {
    let folders = [0; 2].map(|_| tempfile::tempdir().expect("a folder"));
    let [first, tuned] = folders.each_ref().map(tempfile::TempDir::path);
    let base = base(first);
    let beside = first.join("tokenizer_config.json");
    nissl_core::store::write_bytes(&beside, b"{\"chat_template\": \"x\"}").expect("writes");
    let short = base.shaped(settings(10));
    fine_tune(&base, &short, &shifted(), tuned, Existing::Refuse, &Progress::silent())
        .expect("trains");
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(tuned.join("manifest.json")).expect("reads"))
            .expect("JSON");
    let input = &manifest["provenance"]["inputs"][0];
    assert_eq!(input["path"], first.display().to_string());
    assert_eq!(input["sha256"], sha256_file(&first.join("manifest.json")).expect("a checksum"));
    for name in ["config.json", "tokenizer_config.json"] {
        let read = |folder: &Path| std::fs::read(folder.join(name)).expect("reads");
        assert_eq!(read(first), read(tuned), "{name}");
    }
    let network = Language::load(tuned, "tuned", &Device::flex()).expect("loads");
    assert_eq!(network.layers(), 1);

    // A foreign folder has no manifest: its weights are the input.
    let foreign = Base::open(&fixture("gpt2"), &Device::flex()).expect("a GPT-2");
    let own = foreign.shaped(TrainLanguage { steps: 1, warmup: 0, batch: 1, ..settings(1) });
    let out = tempfile::tempdir().expect("a folder");
    fine_tune(&foreign, &own, &shifted(), out.path(), Existing::Refuse, &Progress::silent())
        .expect("trains");
    let manifest = std::fs::read_to_string(out.path().join("manifest.json")).expect("reads");
    let weights = sha256_file(&fixture("gpt2").join("model.safetensors")).expect("a checksum");
    assert!(manifest.contains(&weights), "{manifest}");
}

struct Stopping<'a>(Packed, usize, &'a Progress);

impl Corpus for Stopping<'_> {
    fn windows(&self, step: usize, batch: usize, length: usize) -> Result<Vec<u32>> {
        if step == self.1 {
            self.2.interrupt();
        }
        self.0.windows(step, batch, length)
    }
}

#[test]
fn an_interrupted_fine_tuning_goes_on_to_the_same_bytes() {
    let folders = [0; 4].map(|_| tempfile::tempdir().expect("a folder"));
    let [first, whole, parts, second] = folders.each_ref().map(tempfile::TempDir::path);
    let base = base(first);
    let short = base.shaped(settings(40));
    let silent = Progress::silent();
    let plain = fine_tune(&base, &short, &shifted(), whole, Existing::Refuse, &silent);
    let plain = plain.expect("trains");

    let progress = Progress::silent();
    let stopping = Stopping(shifted(), 13, &progress);
    let error = fine_tune(&base, &short, &stopping, parts, Existing::Refuse, &progress);
    assert!(matches!(error, Err(Error::Interrupted { .. })), "{error:?}");

    // Another base in its place would make a network of unknown origin.
    let other = {
        let own = settings(5);
        fine_tune(&base, &own, &shifted(), second, Existing::Refuse, &silent).expect("trains");
        Base::open(second, &Device::flex()).expect("a GPT-2")
    };
    let refused = fine_tune(&other, &short, &shifted(), parts, Existing::Resume, &silent);
    assert!(refused.expect_err("another base").to_string().contains("begun_from"));

    let resumed = fine_tune(&base, &short, &shifted(), parts, Existing::Resume, &silent);
    assert_eq!(resumed.expect("resumes"), plain);
    assert_eq!(weights(whole), weights(parts));
}

#[test]
fn what_contradicts_the_base_is_named() {
    let folders = [0; 2].map(|_| tempfile::tempdir().expect("a folder"));
    let [first, out] = folders.each_ref().map(tempfile::TempDir::path);
    let base = base(first);
    let own = base.shaped(settings(5));
    let run = |settings: &TrainLanguage| {
        let silent = Progress::silent();
        let result = fine_tune(&base, settings, &shifted(), out, Existing::Refuse, &silent);
        result.expect_err("refused").to_string()
    };
    for (wrong, field, expected) in [
        (TrainLanguage { layers: 2, ..own.clone() }, "layers", "expected 1"),
        (TrainLanguage { width: 32, ..own.clone() }, "width", "expected 16"),
        (TrainLanguage { heads: 4, ..own.clone() }, "heads", "expected 2"),
        (TrainLanguage { context: 17, ..own.clone() }, "context", "at most 16"),
    ] {
        let message = run(&wrong);
        assert!(message.contains(field) && message.contains(expected), "{message}");
    }
    assert!(!out.join("manifest.json").exists(), "a refused run writes nothing");
    // Shorter windows are no contradiction.
    assert!(base.check(&TrainLanguage { context: 8, ..own }).is_ok());
    let llama = Base::open(&fixture("llama"), &Device::flex()).expect_err("another family");
    assert!(llama.to_string().contains("gpt2"), "{llama}");
    assert!(Base::open(Path::new("nowhere"), &Device::flex()).is_err());
}
