//! Fused operations beside the same made of burn's own, at the sizes of GPT-2 small.

use burn::tensor::{Device, Distribution, Tensor, activation};
use divan::{Bencher, black_box};
use nissl_kernels as kernels;

fn main() {
    divan::main();
}

fn random<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), &Device::flex())
}

#[divan::bench(sample_count = 10)]
fn gelu_ours(bencher: Bencher<'_, '_>) {
    let x = random([8192, 3072]);
    bencher.bench_local(|| black_box(kernels::gelu(x.clone())));
}

#[divan::bench(sample_count = 3)]
fn gelu_composed(bencher: Bencher<'_, '_>) {
    let x = random([8192, 3072]);
    bencher.bench_local(|| black_box(activation::gelu(x.clone())));
}

#[divan::bench(sample_count = 10)]
fn softmax_ours(bencher: Bencher<'_, '_>) {
    let x = random([12288, 512]);
    bencher.bench_local(|| black_box(kernels::softmax(x.clone())));
}

#[divan::bench(sample_count = 3)]
fn softmax_composed(bencher: Bencher<'_, '_>) {
    let x = random([12288, 512]);
    bencher.bench_local(|| black_box(activation::softmax(x.clone(), 1)));
}

#[divan::bench(sample_count = 10)]
fn attention_ours(bencher: Bencher<'_, '_>) {
    let x = random([16, 12, 512, 64]);
    let options = kernels::AttentionOptions::causal(64);
    bencher.bench_local(|| black_box(kernels::attention(x.clone(), x.clone(), x.clone(), options)));
}

#[divan::bench(sample_count = 3)]
fn attention_composed(bencher: Bencher<'_, '_>) {
    let x = random([16, 12, 512, 64]);
    let mask = Tensor::<2>::full([512, 512], -1e30, &Device::flex()).triu(1).unsqueeze::<4>();
    bencher.bench_local(|| {
        let scores = x.clone().matmul(x.clone().transpose()) * 0.125 + mask.clone();
        black_box(activation::softmax(scores, 3).matmul(x.clone()))
    });
}

#[divan::bench(sample_count = 10)]
fn linear_ours(bencher: Bencher<'_, '_>) {
    let (x, weight, bias) = (random([8192, 768]), random([768, 3072]), random([3072]));
    bencher
        .bench_local(|| black_box(kernels::linear(x.clone(), weight.clone(), Some(bias.clone()))));
}

#[divan::bench(sample_count = 10)]
fn linear_composed(bencher: Bencher<'_, '_>) {
    let (x, weight, bias) = (random([8192, 768]), random([768, 3072]), random([1, 3072]));
    bencher.bench_local(|| black_box(x.clone().matmul(weight.clone()) + bias.clone()));
}
