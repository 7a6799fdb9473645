//! Samples through a wide trained dictionary and back: by sparse codes, as top-k and threshold dictionaries
//! go, beside the dense product that every other way takes.

use std::sync::LazyLock;

use divan::{Bencher, black_box, counter::ItemsCount};
use ndarray::{Array1, Array2, s};
use nissl_core::features::{Activation, Dictionary, Encoding, InputNorm, product};
use nissl_core::seed::rng;
use rand_distr::{Distribution, StandardNormal};

fn main() {
    divan::main();
}

const ROWS: usize = 2048;
const UNITS: usize = 768;
const FEATURES: usize = 24_576;
const K: usize = 32;
/// The activation above which about one in 768 normal numbers lies.
const THRESHOLD: f32 = 3.0;

fn normal(rows: usize, columns: usize, stream: u64) -> Array2<f32> {
    let mut rng = rng(1, stream);
    Array2::from_shape_simple_fn((rows, columns), || StandardNormal.sample(&mut rng))
}

static SAMPLES: LazyLock<Array2<f32>> = LazyLock::new(|| normal(ROWS, UNITS, 0));
static DICTIONARY: LazyLock<Dictionary> = LazyLock::new(|| {
    let rows = normal(FEATURES, UNITS, 1) / (UNITS as f32).sqrt();
    let mut dictionary = Dictionary::new(rows, encoding(Activation::TopK { k: K }));
    dictionary.threshold = Some(Array1::from_elem(FEATURES, THRESHOLD));
    dictionary
});

fn encoding(activation: Activation) -> Encoding {
    Encoding::Sparse { activation, norm: InputNorm::None, centred: false }
}

fn encode_by(bencher: Bencher<'_, '_>, activation: Activation) {
    let samples = SAMPLES.view();
    let dictionary = Dictionary { encoding: encoding(activation), ..DICTIONARY.clone() };
    bencher
        .counter(ItemsCount::new(ROWS))
        .bench_local(|| black_box(dictionary.encode(black_box(samples)).expect("encodes")));
}

#[divan::bench(sample_count = 5)]
fn encode_top_k(bencher: Bencher<'_, '_>) {
    encode_by(bencher, Activation::TopK { k: K });
}

#[divan::bench(sample_count = 5)]
fn encode_threshold(bencher: Bencher<'_, '_>) {
    encode_by(bencher, Activation::JumpRelu);
}

/// The k of largest magnitude are sought in dense rows, as all were once.
#[divan::bench(sample_count = 5)]
fn encode_dense(bencher: Bencher<'_, '_>) {
    encode_by(bencher, Activation::SignedTopK { k: K });
}

#[divan::bench(sample_count = 5)]
fn decode_code(bencher: Bencher<'_, '_>) {
    let codes = DICTIONARY.encode(SAMPLES.slice(s![..ROWS, ..])).expect("encodes");
    bencher.counter(ItemsCount::new(ROWS)).bench_local(|| {
        black_box(DICTIONARY.reconstruct(black_box(codes.view()))).expect("decodes")
    });
}

#[divan::bench(sample_count = 5)]
fn decode_dense(bencher: Bencher<'_, '_>) {
    let codes = DICTIONARY.encode(SAMPLES.slice(s![..ROWS, ..])).expect("encodes");
    bencher
        .counter(ItemsCount::new(ROWS))
        .bench_local(|| black_box(product(black_box(codes.view()), DICTIONARY.decoder.view())));
}
