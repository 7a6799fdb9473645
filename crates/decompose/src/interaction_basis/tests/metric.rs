//! `M′` in closed form, by pulling back, and by explicit Jacobians.

use ndarray::{Array2, s};
use nissl_core::section::{Affine, Basis, Chain, Held, Nonlinearity, Rule, Samples, Section};

use super::super::{BasisKind, LocalInteractionBasis, Sources};
use super::{Mixing, Opaque, Stated, curved, furthest, held, hidden, quiet, random};

/// `1/(N P) Σ J S Jᵀ` by pushing every unit vector at every position of one sample at a time.
pub(super) fn jacobian_metric(
    chain: &Chain,
    samples: &Held,
    layer: usize,
    target: &Basis,
) -> Array2<f64> {
    averaged(chain, samples, layer, target, &[[1.0, 1.0]])
}

fn averaged(
    chain: &Chain,
    samples: &Held,
    layer: usize,
    target: &Basis,
    points: &[[f64; 2]],
) -> Array2<f64> {
    let section = &chain.sections[layer];
    let extent = section.extent();
    let (positions, inputs) = (extent.positions_in, extent.inputs);
    let metric = target.into.dot(&target.into.t());
    let mut sum = Array2::zeros((inputs, inputs));
    for n in 0..samples.samples() {
        let mut rows = samples.rows(n..n + 1).expect("rows");
        for before in &chain.sections[..layer] {
            rows = before.forward(rows.view()).expect("fits");
        }
        for position in 0..positions {
            // The rows of J_ts for this s, all t side by side.
            let mut jacobian =
                Array2::<f64>::zeros((inputs, extent.positions_out * extent.outputs));
            for input in 0..inputs {
                let mut along = Array2::zeros(rows.dim());
                along[[position, input]] = 1.0;
                for &[alpha, weight] in points {
                    let at = &rows * alpha;
                    let out = section.push(at.view(), along.view()).expect("fits");
                    for (value, out) in jacobian.row_mut(input).iter_mut().zip(&out) {
                        *value += weight * out;
                    }
                }
            }
            for t in 0..extent.positions_out {
                let part = jacobian.slice(s![.., t * extent.outputs..(t + 1) * extent.outputs]);
                sum = sum + part.dot(&metric).dot(&part.t());
            }
        }
    }
    sum / (samples.samples() * positions) as f64
}

fn target(name: &str, coordinates: usize, vectors: usize, seed: u64) -> Basis {
    Basis {
        into: random(coordinates, vectors, seed),
        back: random(vectors, coordinates, seed),
        ..Basis::identity(name, coordinates)
    }
}

fn sums(
    settings: &LocalInteractionBasis,
    chain: &Chain,
    samples: &Held,
    to: &Basis,
) -> Array2<f64> {
    let all = 0..samples.samples();
    settings.sums(chain, samples, all, 0, to, &quiet()).expect("sums").mean()
}

#[test]
fn closed_forms_are_the_sum_over_jacobians() {
    let settings = LocalInteractionBasis { chunk: 3, ..LocalInteractionBasis::default() };
    for seed in 0..3 {
        let relu = || hidden("x", [6, 15, 5], Nonlinearity::Relu, seed);
        let weight = random(6, 5, seed + 20);
        let linear = || -> Box<dyn Section> {
            Box::new(Affine { name: "x".to_owned(), positions: 1, weight: weight.clone() })
        };
        let makes: [&dyn Fn() -> Box<dyn Section>; 2] = [&relu, &linear];
        for (kind, make) in makes.into_iter().enumerate() {
            let (samples, to) = (held(70, 1, 6, seed + 30), target("out", 5, 4, seed + 40));
            let of = |section| Chain { sections: vec![section], end: "out".to_owned() };
            let closed = sums(&settings, &of(make()), &samples, &to);
            let pulled = sums(&settings, &of(Box::new(Opaque(make()))), &samples, &to);
            let known = jacobian_metric(&of(make()), &samples, 0, &to);
            assert!(furthest(&known, &closed) < 1e-9, "kind {kind}, seed {seed}");
            assert!(furthest(&known, &pulled) < 1e-9, "kind {kind}, seed {seed}");
            // On the way from zero the constant shrinks with the rest, so that masks stay.
            let on_the_way =
                LocalInteractionBasis { integration: Rule::GaussLegendre, ..settings.clone() };
            let closed = sums(&on_the_way, &of(make()), &samples, &to);
            let pulled = sums(&on_the_way, &of(Box::new(Opaque(make()))), &samples, &to);
            assert!(furthest(&pulled, &closed) < 1e-9, "kind {kind}, seed {seed}, integrated");
        }
    }
}

#[test]
fn positions_are_summed_outside_at_the_output_and_averaged_at_the_input() {
    for seed in 0..3 {
        let mixing = || Mixing { positions: 3, weight: random(6, 5, seed) };
        let chain = Chain { sections: vec![Box::new(mixing())], end: "out".to_owned() };
        let (samples, to) = (held(20, 3, 6, seed + 30), target("out", 5, 4, seed + 40));
        let known = jacobian_metric(&chain, &samples, 0, &to);
        for chunk in [1, 5, 64] {
            let settings = LocalInteractionBasis { chunk, ..LocalInteractionBasis::default() };
            let found = sums(&settings, &chain, &samples, &to);
            assert!(furthest(&known, &found) < 1e-9, "seed {seed}, chunks of {chunk}");
        }
    }
}

#[test]
fn integration_averages_the_jacobian_before_it_is_squared() {
    let (chain, samples, to) = (curved(2), held(30, 1, 6, 3), target("y", 5, 4, 4));
    for rule in [Rule::GaussLegendre, Rule::Trapezoid] {
        for intervals in [0, 3] {
            let settings =
                LocalInteractionBasis { integration: rule, intervals, ..Default::default() };
            let points = settings.points().points();
            let known = averaged(&chain, &samples, 0, &to, &points);
            let found = sums(&settings, &chain, &samples, &to);
            assert!(furthest(&known, &found) < 1e-9, "{rule:?} {intervals}");
            let plain = jacobian_metric(&chain, &samples, 0, &to);
            assert!(furthest(&plain, &found) > 1e-3, "{rule:?} {intervals} is another point");
        }
    }
}

#[test]
fn what_a_section_states_itself_is_taken_for_the_exact_local_basis_alone() {
    let (samples, to) = (held(30, 3, 6, 3), target("out", 5, 4, 4));
    let mixing = || Box::new(Mixing { positions: 3, weight: random(6, 5, 1) });
    let stated = Stated { section: mixing(), metric: random(6, 6, 2) };
    let told = &stated.metric / 90.0;
    let chain = Chain { sections: vec![Box::new(stated)], end: "out".to_owned() };
    let plain = Chain { sections: vec![mixing()], end: "out".to_owned() };
    let lib = LocalInteractionBasis::default();
    assert!(furthest(&told, &sums(&lib, &chain, &samples, &to)) < 1e-12);
    for settings in [
        LocalInteractionBasis { sources: Sources::Hidden, ..lib.clone() },
        LocalInteractionBasis { basis: BasisKind::OneMinusZeroAlpha, ..lib.clone() },
    ] {
        let found = sums(&settings, &chain, &samples, &to);
        assert_eq!(found, sums(&settings, &plain, &samples, &to), "{settings:?}");
    }
}
