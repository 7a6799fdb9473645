//! Derivatives against differences, and backwards against forwards.

use ndarray::{Array2, s};
use nissl_core::section::{Affine, Form, Hidden, Nonlinearity, Section};
use proptest::prelude::*;

use super::super::composed::composed;
use super::super::norm::{Normalise, Variance};
use super::super::transformer::{Outputs, Transformer};
use super::{attention, fixture, furthest, names, random, rows};

fn hidden(nonlinearity: Nonlinearity, seed: u64) -> Box<dyn Section> {
    Box::new(Hidden {
        name: "layers.0.resid.mid".to_owned(),
        positions: 2,
        straight: random(6, 4, seed),
        into: random(6, 9, seed + 1),
        out: random(9, 4, seed + 2),
        nonlinearity,
    })
}

fn affine(inputs: usize, outputs: usize, positions: usize, seed: u64) -> Box<dyn Section> {
    let weight = random(inputs, outputs, seed);
    Box::new(Affine { name: "layers.0".to_owned(), positions, weight })
}

fn norm(positions: usize, seed: u64) -> [Box<dyn Section>; 2] {
    let (gain, bias) = (random(1, 5, seed), random(1, 5, seed + 1));
    let flat = |x: Array2<f64>| x.into_raw_vec_and_offset().0;
    let (gain, bias) = (flat(gain + 2.0), flat(bias));
    let name = "layers.0.attn.variance".to_owned();
    [
        Box::new(Variance { name: "layers.0.resid.pre".to_owned(), positions, width: 5 }),
        Box::new(Normalise { name, positions, gain, bias, epsilon: 1e-3 }),
    ]
}

/// One of each kind, by number.
fn section(kind: usize, seed: u64) -> Box<dyn Section> {
    let [variance, normalise] = norm(4, seed);
    match kind {
        0 => affine(5, 3, 2, seed),
        1 => hidden(Nonlinearity::Relu, seed),
        2 => hidden(Nonlinearity::GeluTanh, seed),
        3 => variance,
        4 => normalise,
        5 => Box::new(attention(false, false, seed)),
        6 => Box::new(attention(true, false, seed)),
        7 => {
            let attention = Box::new(attention(true, true, seed));
            composed(vec![variance, normalise, attention, affine(6, 4, 1, seed)]).expect("parts")
        }
        _ => {
            let parts = vec![affine(4, 6, 2, seed), hidden(Nonlinearity::Tanh, seed)];
            composed(parts).expect("parts")
        }
    }
}

const KINDS: usize = 9;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn pull_is_the_adjoint_of_push(kind in 0..KINDS, seed in 0u64..1000, samples in 1usize..4) {
        let section = section(kind, seed);
        let extent = section.extent();
        let inputs = rows(section.as_ref(), samples, seed + 10);
        let tangents = [11, 12].map(|n| random(inputs.nrows(), extent.inputs, seed + n));
        let outputs = samples * extent.positions_out;
        let cotangents = [13, 14].map(|n| random(outputs, extent.outputs, seed + n));
        let pushed = section.pushes(inputs.view(), &tangents).expect("fits");
        let pulled = section.pulls(inputs.view(), &cotangents).expect("fits");
        for (n, tangent) in tangents.iter().enumerate() {
            let one = section.push(inputs.view(), tangent.view()).expect("fits");
            prop_assert!(furthest(&one, &pushed[n]) < 1e-12);
            for (m, cotangent) in cotangents.iter().enumerate() {
                let forwards = (&pushed[n] * cotangent).sum();
                let backwards = (tangent * &pulled[m]).sum();
                prop_assert!((forwards - backwards).abs() < 1e-9 * (1.0 + forwards.abs()));
            }
        }
    }

    #[test]
    fn push_is_the_slope(kind in 0..KINDS, seed in 0u64..1000) {
        let section = section(kind, seed);
        let inputs = rows(section.as_ref(), 2, seed + 10);
        let tangents = random(inputs.nrows(), inputs.ncols(), seed + 11);
        let pushed = section.push(inputs.view(), tangents.view()).expect("fits");
        let step = 1e-6;
        let up = section.forward((&inputs + &(&tangents * step)).view()).expect("fits");
        let down = section.forward((&inputs - &(&tangents * step)).view()).expect("fits");
        let slope = (up - down) / (2.0 * step);
        let scale = pushed.iter().fold(1.0f64, |most, x| most.max(x.abs()));
        let gap = furthest(&pushed, &slope) / scale;
        prop_assert!(gap < 1e-5, "{}", gap);
    }
}

#[test]
fn a_negative_variance_counts_as_zero() {
    let [_, normalise] = norm(1, 3);
    let mut inputs = rows(normalise.as_ref(), 3, 4);
    inputs.column_mut(5).fill(-0.7);
    let below = normalise.forward(inputs.view()).expect("fits");
    let mut tangents = Array2::zeros(inputs.dim());
    tangents.column_mut(5).fill(1.0);
    let slope = normalise.push(inputs.view(), tangents.view()).expect("fits");
    assert!(slope.iter().all(|value| *value == 0.0), "nothing hangs on it");
    inputs.column_mut(5).fill(0.0);
    assert_eq!(below, normalise.forward(inputs.view()).expect("fits"));
    inputs.column_mut(5).fill(0.3);
    assert!(furthest(&below, &normalise.forward(inputs.view()).expect("fits")) > 0.1);
}

#[test]
fn the_last_position_alone_is_what_it_was_among_all() {
    let (all, last) = (attention(false, true, 5), attention(true, true, 5));
    let inputs = rows(&all, 3, 6);
    let found = last.forward(inputs.view()).expect("fits");
    let whole = all.forward(inputs.view()).expect("fits");
    assert!(furthest(&found, &whole.slice(s![3..;4, ..]).to_owned()) < 1e-14);
    // What comes later changes nothing before it.
    let mut changed = inputs.clone();
    changed.slice_mut(s![3..;4, ..5]).fill(9.0);
    let after = all.forward(changed.view()).expect("fits");
    assert!(
        furthest(&after.slice(s![..3, ..]).to_owned(), &whole.slice(s![..3, ..]).to_owned())
            < 1e-14
    );
    assert!(furthest(&after, &whole) > 0.1);
}

#[test]
fn closed_forms_survive_the_joining_of_sections() {
    let network = Transformer::open(&fixture("models/gpt2")).expect("opens");
    let cut = network
        .cut(
            &names(&["layers.1.mlp.normed", "layers.1.resid.post", "final.norm", "logits"]),
            4,
            Outputs::All,
        )
        .expect("cuts");
    assert!(matches!(cut.chain.sections[2].form(), Form::Linear(_)));
    let relu =
        composed(vec![affine(4, 6, 2, 1), hidden(Nonlinearity::Relu, 2), affine(4, 3, 2, 3)]);
    let relu = relu.expect("parts");
    let Form::Relu { straight, .. } = relu.form() else { panic!("no closed form") };
    assert_eq!(straight.dim(), (4, 3));
    let inputs = random(6, 4, 9);
    let parts: [Box<dyn Section>; 3] =
        [affine(4, 6, 2, 1), hidden(Nonlinearity::Relu, 2), affine(4, 3, 2, 3)];
    let mut now = inputs.clone();
    for part in &parts {
        now = part.forward(now.view()).expect("fits");
    }
    assert!(furthest(&relu.forward(inputs.view()).expect("fits"), &now) < 1e-12);
}
