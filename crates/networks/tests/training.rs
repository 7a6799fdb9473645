//! A small network learns a planted language, resumes to the same bytes, and loads again.

mod common;

use std::path::Path;

use burn::tensor::Device;
use common::{batch, fixture};
use nissl_core::network::{LanguageNetwork, Tokenizer};
use nissl_core::numbers::Precision;
use nissl_core::store::{Existing, Provenance};
use nissl_core::taps::Taps;
use nissl_core::{Error, Progress, Result, seed};
use nissl_networks::language::ngram::NGram;
use nissl_networks::language::training::{
    Baselines, Corpus, Packed, TrainLanguage, Trained, TrainingData,
};
use nissl_networks::language::{Language, TextTokenizer};
use rand::RngExt;

/// Tokens of the planted language: 0 begins a story, 1 to 4 are its topics, 5 asks for it.
const ASK: u32 = 5;
/// The first of fourteen words that say nothing.
const FILLER: std::ops::Range<u32> = 6..20;
/// Questions in a story; six words stand before each, so that a 5-gram cannot know the topic.
const QUESTIONS: usize = 5;

fn text(size: usize, stream: u64) -> Vec<u32> {
    let mut rng = seed::rng(11, stream);
    let mut tokens = Vec::new();
    while tokens.len() < size {
        let topic = rng.random_range(1..ASK);
        tokens.extend([0, topic]);
        for _ in 0..QUESTIONS {
            tokens.extend((0..6).map(|_| rng.random_range(FILLER)));
            tokens.extend([ASK, topic]);
        }
    }
    tokens.truncate(size);
    tokens
}

/// The entropy of a token, given all before it.
fn bound() -> f64 {
    let words = 6 * QUESTIONS;
    (words as f64 * 14f64.ln() + 4f64.ln()) / (2 + 8 * QUESTIONS) as f64
}

fn small(steps: usize) -> TrainLanguage {
    TrainLanguage {
        layers: 2,
        width: 32,
        heads: 2,
        context: 32,
        batch: 16,
        steps,
        learning_rate: 4e-3,
        warmup: steps.min(20),
        evaluate_every: 50,
        checkpoint_every: 10,
        ..TrainLanguage::default()
    }
}

fn tokenizer() -> TextTokenizer {
    TextTokenizer::read(&fixture("gpt2"), Some(4)).expect("a tokenizer")
}

fn train(
    settings: &TrainLanguage,
    corpus: &dyn Corpus,
    folder: &Path,
    existing: Existing,
    progress: &Progress,
) -> Result<Trained> {
    let (tokenizer, held_out) = (tokenizer(), text(1_000, 9));
    let data = TrainingData {
        corpus,
        held_out: &held_out,
        tokenizer: &tokenizer,
        baselines: Baselines::default(),
        provenance: Provenance::default(),
    };
    settings.fit(&data, folder, existing, &Device::flex(), progress)
}

#[test]
fn a_network_learns_what_a_five_gram_cannot() {
    let folder = tempfile::tempdir().expect("a folder");
    let training = text(60_000, 0);
    let held_out = text(3_000, 1);
    let tokenizer = tokenizer();
    let baselines =
        Baselines::measure(&training, &held_out, tokenizer.size(), Some(bound())).expect("fits");
    let (unigram, five_gram) =
        (baselines.unigram.expect("there"), baselines.five_gram.expect("there"));
    let data = TrainingData {
        corpus: &Packed::new(training, 0),
        held_out: &held_out,
        tokenizer: &tokenizer,
        baselines,
        provenance: Provenance::default(),
    };
    let trained = small(1_000)
        .fit(&data, folder.path(), Existing::Refuse, &Device::flex(), &Progress::silent())
        .expect("trains");
    let loss = f64::from(trained.held_out.expect("measured"));
    assert!(trained.complete && trained.curve.len() == 20);
    assert!(loss > bound() * 0.97, "no model is better than the source: {loss} {}", bound());
    assert!(loss < five_gram - 0.1 && five_gram < unigram - 0.1, "{loss} {five_gram} {unigram}");
    assert!(f64::from(trained.curve[0].held_out) > loss);

    // What was saved is what was trained: it answers where a 5-gram guesses.
    let network = Language::load(folder.path(), "trained", &Device::flex()).expect("loads");
    let rows: Vec<Vec<u32>> = held_out[..2_880].chunks(32).map(<[u32]>::to_vec).collect();
    let logits = network.forward(&batch(&rows), &mut Taps::none()).expect("runs").expect("logits");
    let logits = common::values(&logits);
    let guesser = NGram::fit(&text(60_000, 0), 5, tokenizer.size()).expect("fits");
    let vocabulary = network.vocabulary();
    let best = |score: &dyn Fn(usize) -> f64| {
        (0..vocabulary).max_by(|&a, &b| score(a).total_cmp(&score(b))).map(|token| token as u32)
    };
    let (mut right, mut guessed, mut asked) = (0, 0, 0);
    for (n, row) in rows.iter().enumerate() {
        for place in (12..31).filter(|&place| row[place] == ASK) {
            let at = (n * 32 + place) * vocabulary;
            let topic = Some(row[place + 1]);
            right += usize::from(best(&|token| f64::from(logits[at + token])) == topic);
            let before = &row[..=place];
            guessed +=
                usize::from(best(&|token| guesser.probability(before, token as u32)) == topic);
            asked += 1;
        }
    }
    assert!(asked > 100 && right * 10 > asked * 9, "{right} of {asked}");
    assert!(guessed * 2 < asked, "the control must fail: {guessed} of {asked}");
}

/// Stops the run at one step, as a person would.
struct Stopping<'a> {
    inner: Packed,
    at: usize,
    progress: &'a Progress,
}

impl Corpus for Stopping<'_> {
    fn windows(&self, step: usize, batch: usize, length: usize) -> Result<Vec<u32>> {
        if step == self.at {
            self.progress.interrupt();
        }
        self.inner.windows(step, batch, length)
    }
}

#[test]
fn a_resumed_run_gives_the_same_bytes() {
    let settings = TrainLanguage { precision: Precision::F16, evaluate_every: 15, ..small(40) };
    let corpus = Packed::new(text(5_000, 0), 3);
    let (whole, parts) =
        (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let plain = train(&settings, &corpus, whole.path(), Existing::Refuse, &Progress::silent());
    let plain = plain.expect("trains");

    let progress = Progress::silent();
    let stopping = Stopping { inner: corpus.clone(), at: 16, progress: &progress };
    let error = train(&settings, &stopping, parts.path(), Existing::Refuse, &progress)
        .expect_err("interrupted");
    assert!(matches!(&error, Error::Interrupted { done } if done == "step 17"), "{error}");
    assert!(!parts.path().join("model.safetensors").exists(), "nothing half-valid is left");

    let other = TrainLanguage { learning_rate: 1.0, ..settings.clone() };
    let refused = train(&other, &corpus, parts.path(), Existing::Resume, &Progress::silent());
    assert!(refused.expect_err("other settings").to_string().contains("config"));

    let resumed = train(&settings, &corpus, parts.path(), Existing::Resume, &Progress::silent());
    assert_eq!(resumed.expect("resumes"), plain);
    let bytes = |folder: &Path| std::fs::read(folder.join("model.safetensors")).expect("reads");
    assert_eq!(bytes(whole.path()), bytes(parts.path()));
    assert!(!parts.path().join("state.json").exists());

    let again = train(&settings, &corpus, parts.path(), Existing::Resume, &Progress::silent());
    assert_eq!(again.expect("is done already"), plain);
    let twice = train(&settings, &corpus, parts.path(), Existing::Refuse, &Progress::silent());
    assert!(matches!(twice, Err(Error::Exists { .. })));
    let seeded = tempfile::tempdir().expect("a folder");
    let other = TrainLanguage { seed: 1, ..settings };
    train(&other, &corpus, seeded.path(), Existing::Refuse, &Progress::silent()).expect("trains");
    assert_ne!(bytes(whole.path()), bytes(seeded.path()));
}

#[test]
fn a_damaged_state_is_not_gone_on_from() {
    let settings = small(40);
    let corpus = Packed::new(text(5_000, 0), 3);
    let folder = tempfile::tempdir().expect("a folder");
    let progress = Progress::silent();
    let stopping = Stopping { inner: corpus.clone(), at: 5, progress: &progress };
    assert!(train(&settings, &stopping, folder.path(), Existing::Refuse, &progress).is_err());
    let state = folder.path().join("state-00000006.safetensors");
    let mut bytes = std::fs::read(&state).expect("reads");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    nissl_core::store::write_bytes(&state, &bytes).expect("writes");
    let resumed = train(&settings, &corpus, folder.path(), Existing::Resume, &Progress::silent());
    assert!(matches!(resumed, Err(Error::Checksum { .. })));
}

#[test]
fn settings_outside_their_range_are_named() {
    let wrong = [
        (TrainLanguage { heads: 3, ..small(10) }, "heads"),
        (TrainLanguage { layers: 0, ..small(10) }, "layers"),
        (TrainLanguage { learning_rate: 0.0, ..small(10) }, "learning_rate"),
        (TrainLanguage { clip: f32::NAN, ..small(10) }, "clip"),
        (TrainLanguage { weight_decay: -1.0, ..small(10) }, "weight_decay"),
        (TrainLanguage { warmup: 11, ..small(10) }, "warmup"),
        (TrainLanguage { steps: 0, ..small(10) }, "steps"),
    ];
    for (settings, field) in wrong {
        let error = settings.validate().expect_err(field);
        assert!(error.to_string().contains(field), "{error}");
    }
    assert!(TrainLanguage::default().validate().is_ok());
}

#[test]
fn the_rate_rises_then_falls_to_a_tenth() {
    let settings = TrainLanguage { warmup: 10, learning_rate: 1.0, ..small(110) };
    assert!((settings.rate(0) - 0.1).abs() < 1e-12);
    assert!((settings.rate(9) - 1.0).abs() < 1e-12);
    assert!((settings.rate(60) - 0.55).abs() < 1e-12);
    assert!((settings.rate(110) - 0.1).abs() < 1e-12);
}
