//! The passes of a training step of a sparse autoencoder: 4096 samples of 768 units, 12,288 features, 32 at
//! a time.

use std::sync::LazyLock;

use divan::{Bencher, black_box, counter::ItemsCount};
use nissl_kernels::sparse_code::{
    AdamStep, Select, SparseCode, adam, decode, decode_gradient, encode, encode_gradient,
    remove_along_rows, unit_rows,
};

fn main() {
    divan::main();
}

const ROWS: usize = 4096;
const UNITS: usize = 768;
const FEATURES: usize = 12_288;
const K: usize = 32;

fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let mut draw = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    // Sums of four are about as normal as trained weights are.
    std::iter::repeat_with(|| draw() + draw() + draw() + draw()).take(count).collect()
}

static SAMPLES: LazyLock<Vec<f32>> = LazyLock::new(|| numbers(ROWS * UNITS, 1));
static MATRIX: LazyLock<Vec<f32>> = LazyLock::new(|| numbers(FEATURES * UNITS, 2));
static CODE: LazyLock<SparseCode> =
    LazyLock::new(|| encode(&SAMPLES, &MATRIX, None, UNITS, Select::TopK(K)));

#[divan::bench(sample_count = 10)]
fn encode_top(bencher: Bencher<'_, '_>) {
    encode_by(bencher, Select::TopK(K));
}

#[divan::bench(sample_count = 10)]
fn encode_batch_top(bencher: Bencher<'_, '_>) {
    encode_by(bencher, Select::BatchTopK(K));
}

#[divan::bench(sample_count = 10)]
fn encode_none(bencher: Bencher<'_, '_>) {
    encode_by(bencher, Select::TopK(0));
}

#[divan::bench(sample_count = 5)]
fn encode_relu(bencher: Bencher<'_, '_>) {
    encode_by(bencher, Select::Relu);
}

fn encode_by(bencher: Bencher<'_, '_>, select: Select<'_>) {
    let (x, encoder) = (&*SAMPLES, &*MATRIX);
    bencher
        .counter(ItemsCount::new(ROWS))
        .bench_local(|| black_box(encode(black_box(x), encoder, None, UNITS, select)));
}

#[divan::bench(sample_count = 20)]
fn decode_code(bencher: Bencher<'_, '_>) {
    let mut out = vec![0.0; ROWS * UNITS];
    bencher.bench_local(|| decode(black_box(&CODE), &MATRIX, None, UNITS, &mut out));
}

#[divan::bench(sample_count = 20)]
fn gradient_of_decode(bencher: Bencher<'_, '_>) {
    let mut out = vec![0.0; FEATURES * UNITS];
    bencher.bench_local(|| decode_gradient(black_box(&CODE), &MATRIX, UNITS, &SAMPLES, &mut out));
}

#[divan::bench(sample_count = 20)]
fn gradient_of_encode(bencher: Bencher<'_, '_>) {
    let (mut out, mut bias) = (vec![0.0; FEATURES * UNITS], vec![0.0; FEATURES]);
    bencher.bench_local(|| {
        encode_gradient(black_box(&CODE), &CODE.values, &SAMPLES, UNITS, &mut out, &mut bias);
    });
}

#[divan::bench(sample_count = 20)]
fn adam_of_a_matrix(bencher: Bencher<'_, '_>) {
    let count = FEATURES * UNITS;
    let (mut parameters, mut first, mut second) =
        (MATRIX.clone(), vec![0.0; count], vec![0.0; count]);
    let step = AdamStep { rate: 1e-4, betas: [0.9, 0.999], epsilon: 1e-8, number: 1 };
    bencher.bench_local(|| adam(&mut parameters, &MATRIX, &mut first, &mut second, step));
}

#[divan::bench(sample_count = 20)]
fn unit_rows_of_a_matrix(bencher: Bencher<'_, '_>) {
    let mut matrix = MATRIX.clone();
    bencher.bench_local(|| unit_rows(black_box(&mut matrix), UNITS));
}

#[divan::bench(sample_count = 20)]
fn gradient_along_rows(bencher: Bencher<'_, '_>) {
    let mut gradient = SAMPLES.repeat(3);
    bencher.bench_local(|| remove_along_rows(black_box(&mut gradient), &MATRIX, UNITS));
}
