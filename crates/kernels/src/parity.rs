//! Tests: the CPU kernels against burn's own operations, values and gradients.

use crate::operation::portable;
use crate::{Activation, AttentionOptions, SoftmaxOptions, Visibility};
use burn::backend::Dispatch;
use burn::tensor::{Device, Int, Tensor, TensorData};
use proptest::prelude::*;

/// Numbers spread over `−spread` to `spread`, the same for one seed.
fn numbers(seed: u64, count: usize, spread: f32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32 / (1u64 << 24) as f32 * 2.0 - 1.0) * spread
    };
    (0..count).map(|_| next()).collect()
}

fn random<const D: usize>(seed: u64, shape: [usize; D], spread: f32) -> Tensor<D> {
    let data = TensorData::new(numbers(seed, shape.iter().product(), spread), shape);
    Tensor::from_data(data, &Device::flex().autodiff())
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec::<f32>().expect("single precision")
}

fn close(ours: &[f32], theirs: &[f32], tolerance: f32) {
    assert_eq!(ours.len(), theirs.len());
    for (place, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        let allowed = tolerance * (1.0 + theirs.abs());
        assert!((ours - theirs).abs() <= allowed, "at {place}: {ours} for {theirs}");
    }
}

/// Values and gradients of two functions of the same inputs agree.
fn agree<const D: usize, const N: usize, const O: usize>(
    inputs: &[Tensor<D>; N],
    ours: impl Fn([Tensor<D>; N]) -> Tensor<O>,
    theirs: impl Fn([Tensor<D>; N]) -> Tensor<O>,
) {
    let run = |f: &dyn Fn([Tensor<D>; N]) -> Tensor<O>| {
        let inputs = inputs.clone().map(|input| input.detach().require_grad());
        let out = f(inputs.clone());
        let weights = random(99, out.dims(), 1.0);
        let mut gradients = (out.clone() * weights).sum().backward();
        let gradients = inputs.map(|input| {
            input
                .grad_remove(&mut gradients)
                .map(|g| g.into_data().try_to_vec::<f32>().expect("single precision"))
        });
        (values(out), gradients)
    };
    let (ours, our_gradients) = run(&ours);
    let (theirs, their_gradients) = run(&theirs);
    close(&ours, &theirs, 2e-5);
    for (ours, theirs) in our_gradients.iter().zip(&their_gradients) {
        let (ours, theirs) = (ours.as_ref().expect("ours"), theirs.as_ref().expect("theirs"));
        close(ours, theirs, 1e-4);
    }
}

const ACTIVATIONS: [Activation; 3] = [Activation::Gelu, Activation::GeluTanh, Activation::Silu];

fn wrap<const D: usize>(tensor: burn::backend::tensor::FloatTensor<Dispatch>) -> Tensor<D> {
    Tensor::from_dispatch(tensor)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn activations_agree(rows in 1usize..40, width in 1usize..70, seed: u64) {
        for activation in ACTIVATIONS {
            agree(
            &[random(seed, [rows, width], 6.0)],
                |[x]| crate::activate(x, activation),
                |[x]| wrap(portable::activate::<Dispatch>(x.into_dispatch(), activation)));
            agree(
            &[random(seed, [rows, width], 4.0), random(seed ^ 1, [rows, width], 2.0)],
                |[gate, up]| crate::activate_mul(gate, up, activation),
                |[gate, up]| {
                    wrap::<2>(portable::activate::<Dispatch>(gate.into_dispatch(), activation)) * up
                });
        }
    }

    #[test]
    fn norms_agree(rows in 1usize..40, width in 2usize..130, seed: u64) {
        let x = random(seed, [rows, width], 3.0);
        let (gain, bias) = (random(seed ^ 1, [1, width], 1.5), random(seed ^ 2, [1, width], 1.0));
        agree(
            &[x.clone(), gain.clone(), bias],
            |[x, gain, bias]| crate::layer_norm(x, gain.flatten(0, 1), bias.flatten(0, 1), 1e-3),
            |[x, gain, bias]| wrap(portable::layer_norm::<Dispatch>(x.into_dispatch(),
                gain.flatten::<1>(0, 1).into_dispatch(), bias.flatten::<1>(0, 1).into_dispatch(), 1e-3)));
        agree(
            &[x, gain],
            |[x, gain]| crate::rms_norm(x, gain.flatten(0, 1), 1e-3),
            |[x, gain]| wrap(portable::rms_norm::<Dispatch>(x.into_dispatch(),
                gain.flatten::<1>(0, 1).into_dispatch(), 1e-3)));
    }

    #[test]
    fn softmaxes_agree(rows in 1usize..20, width in 1usize..130, cap in any::<bool>(), seed: u64) {
        let options = SoftmaxOptions { scale: 0.7, soft_cap: cap.then_some(5.0) };
        for mask_rows in [1, rows] {
            let mask = random(seed ^ 5, [1, mask_rows, width], 2.0);
            let (one, other) = (mask.clone(), mask);
            agree(
            &[random(seed, [3, rows, width], 9.0)],
                move |[x]| crate::softmax_with(x, Some(one.clone()), options),
                move |[x]| wrap(portable::softmax::<Dispatch>(x.into_dispatch(),
                    Some(other.clone().into_dispatch()), options)));
        }
        agree(
            &[random(seed, [rows, width], 9.0)],
            |[x]| crate::log_softmax(x),
            |[x]| wrap(portable::log_softmax::<Dispatch>(x.into_dispatch())));
        let targets: Vec<i64> = (0..rows).map(|row| (row * 7 % width) as i64).collect();
        let targets = Tensor::<1, Int>::from_data(
            TensorData::new(targets, [rows]), &Device::flex().autodiff());
        agree(
            &[random(seed, [rows, width], 9.0)],
            |[x]| crate::cross_entropy(x, targets.clone()),
            |[x]| wrap::<1>(portable::cross_entropy::<Dispatch>(
                x.into_dispatch(), targets.clone().into_dispatch())));
    }

    #[test]
    fn attentions_agree(
        queries in 1usize..90, cached in 0usize..20, kind in 0usize..4, cap in any::<bool>(), seed: u64,
    ) {
        let visibility = [Visibility::Full, Visibility::Causal, Visibility::Window(1), Visibility::Window(7)][kind];
        let options = AttentionOptions {
            soft_cap: cap.then_some(3.0), visibility, query_offset: cached, ..AttentionOptions::causal(5)
        };
        let keys = queries + cached;
        // Places before heads in memory, as a projection leaves them.
        let shaped = |seed, places, heads| random(seed, [2, places, heads, 5], 2.0).swap_dims(1, 2);
        let inputs = [shaped(seed, queries, 4), shaped(seed ^ 1, keys, 2), shaped(seed ^ 2, keys, 2)];
        agree(&inputs,
            |[q, k, v]| crate::attention(q, k, v, options),
            |[q, k, v]| wrap(portable::attention::<Dispatch>(
                q.into_dispatch(), k.into_dispatch(), v.into_dispatch(), None, options)));
        let lengths = TensorData::new(vec![0i64, keys as i64 / 2 + 1], [2]);
        let lengths = Tensor::<1, Int>::from_data(lengths, &Device::flex().autodiff());
        agree(&inputs,
            |[q, k, v]| crate::attention_padded(q, k, v, lengths.clone(), options),
            |[q, k, v]| wrap(portable::attention::<Dispatch>(q.into_dispatch(), k.into_dispatch(),
                v.into_dispatch(), Some(lengths.clone().into_dispatch()), options)));
    }

    #[test]
    fn linear_maps_agree(rows in 1usize..70, input in 1usize..50, output in 1usize..70, seed: u64) {
        let x = random(seed, [rows, input], 1.0);
        // Stored the other way round, as torch has it.
        let weight = random(seed ^ 1, [output, input], 1.0).transpose();
        let bias = random(seed ^ 2, [1, output], 1.0);
        agree(
            &[x.clone(), weight.clone(), bias],
            |[x, weight, bias]| crate::linear(x, weight, Some(bias.flatten(0, 1))),
            |[x, weight, bias]| x.matmul(weight) + bias);
        agree(
            &[x, weight],
            |[x, weight]| crate::linear(x, weight, None),
            |[x, weight]| x.matmul(weight));
    }
}

#[test]
fn large_scores_do_not_overflow() {
    let x = Tensor::<1>::from_floats([1e30, 1e30, -1e30, 0.0], &Device::flex());
    close(&values(crate::softmax(x.clone())), &[0.5, 0.5, 0.0, 0.0], 1e-7);
    assert!(values(crate::log_softmax(x)).iter().all(|value| !value.is_nan()));
}

#[test]
fn not_a_number_stays_one() {
    let x = Tensor::<1>::from_floats([f32::NAN, 0.0, 1.0], &Device::flex());
    for activation in ACTIVATIONS {
        let out = values(crate::activate(x.clone(), activation));
        assert_eq!(out.iter().map(|x| x.is_nan()).collect::<Vec<_>>(), [true, false, false]);
    }
    assert!(values(crate::softmax(x)).iter().all(|x| x.is_nan()));
}

#[test]
fn nothing_in_nothing_out() {
    let device = Device::flex();
    let vector = Tensor::<1>::zeros([4], &device);
    let empty = Tensor::<2>::zeros([0, 4], &device);
    assert_eq!(crate::gelu(empty.clone()).dims(), [0, 4]);
    assert_eq!(crate::softmax(empty.clone()).dims(), [0, 4]);
    assert_eq!(crate::layer_norm(empty.clone(), vector.clone(), vector, 1e-5).dims(), [0, 4]);
    assert_eq!(crate::linear(empty, Tensor::zeros([4, 3], &device), None).dims(), [0, 3]);
}

#[test]
fn a_shared_input_is_left_alone() {
    let x = Tensor::<1>::from_floats([1.0, 2.0], &Device::flex());
    let kept = x.clone();
    drop(crate::gelu(x.clone()));
    drop(crate::softmax(x));
    assert_eq!(values(kept), [1.0, 2.0]);
}
