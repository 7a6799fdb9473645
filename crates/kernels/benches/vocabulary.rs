//! Rows read through a vocabulary: one scan beside all logits, of which the sums are then taken.

use divan::{Bencher, black_box, counter::ItemsCount};
use nissl_kernels::{
    LogitScan, Signs,
    gemm::{self, MatRef},
};

fn main() {
    divan::main();
}

const ROWS: usize = 1024;
const TOKENS: usize = 8192;

fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let draw = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    std::iter::repeat_with(draw).take(count).collect()
}

/// The numbers that remain when the lower half of the bits is dropped.
fn halves(x: &[f32]) -> Vec<f32> {
    x.iter().map(|x| f32::from_bits(x.to_bits() & 0xffff_0000)).collect()
}

fn scan(bencher: Bencher<'_, '_>, width: usize, signs: Signs, half: bool) {
    let (mut rows, mut tokens) = (numbers(ROWS * width, 1), numbers(TOKENS * width, 2));
    if half {
        (rows, tokens) = (halves(&rows), halves(&tokens));
    }
    bencher.counter(ItemsCount::new(ROWS * TOKENS)).bench_local(|| {
        let mut scan = LogitScan::new(black_box(&rows), width, 10, signs);
        scan.push(black_box(&tokens), 0);
        black_box(scan.finish())
    });
}

#[divan::bench(args = [1024, 4096], sample_count = 10)]
fn one_sign(bencher: Bencher<'_, '_>, width: usize) {
    scan(bencher, width, Signs::Plus, false);
}

#[divan::bench(args = [1024], sample_count = 10)]
fn both_signs(bencher: Bencher<'_, '_>, width: usize) {
    scan(bencher, width, Signs::Both, false);
}

#[divan::bench(args = [1024, 4096], sample_count = 10)]
fn bfloat16(bencher: Bencher<'_, '_>, width: usize) {
    scan(bencher, width, Signs::Plus, true);
}

/// The product alone, in single precision.
#[divan::bench(args = [1024], sample_count = 5)]
fn product_only(bencher: Bencher<'_, '_>, width: usize) {
    let (rows, tokens) = (numbers(ROWS * width, 1), numbers(TOKENS * width, 2));
    let mut logits = vec![0.0; ROWS * TOKENS];
    bencher.counter(ItemsCount::new(ROWS * TOKENS)).bench_local(|| {
        let tokens = MatRef::row_major(black_box(&tokens), TOKENS, width).transposed();
        gemm::matmul(MatRef::row_major(&rows, ROWS, width), tokens, &mut logits);
        black_box(logits[0])
    });
}
