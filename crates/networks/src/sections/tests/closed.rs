//! Closed forms of attention against derivatives one by one.

use ndarray::{Array2, Axis};
use nissl_core::section::{Integration, Rule, Section};

use super::super::attention::Attention;
use super::{attention, furthest, random, rows};

/// `J` averaged over points, times a basis: for each output vector `[sample · output position, …]` the
/// derivatives `[vector][position out]` of shape `[sample · position, input]`.
fn pulled(
    section: &Attention,
    inputs: &Array2<f64>,
    basis: &Array2<f64>,
    points: &[[f64; 2]],
) -> Vec<Array2<f64>> {
    let extent = section.extent();
    let samples = inputs.nrows() / extent.positions_in;
    let mut all = Vec::new();
    for vector in basis.columns() {
        for place in 0..extent.positions_out {
            let mut cotangent = Array2::zeros((samples * extent.positions_out, extent.outputs));
            for sample in 0..samples {
                cotangent.row_mut(sample * extent.positions_out + place).assign(&vector);
            }
            let mut sum = Array2::zeros(inputs.dim());
            for [alpha, weight] in points {
                let at = inputs * *alpha;
                sum.scaled_add(*weight, &section.pull(at.view(), cotangent.view()).expect("fits"));
            }
            all.push(sum);
        }
    }
    all
}

/// Attention, whether its last position alone is given and columns are read beside the stream.
fn cases() -> impl Iterator<Item = Attention> {
    let kinds = [(false, false), (false, true), (true, false), (true, true)];
    let of = |(n, (last, beside)): (usize, (bool, bool))| attention(last, beside, 40 + n as u64);
    let one = Attention { heads: 1, ..attention(false, false, 50) };
    kinds.into_iter().enumerate().map(of).chain([one])
}

fn points(rule: Rule) -> Vec<[f64; 2]> {
    Integration { rule, intervals: 2 }.points()
}

#[test]
fn the_metric_is_the_sum_over_single_outputs() {
    for (n, section) in cases().enumerate() {
        // Samples of several chunks and parts.
        for samples in [1, 70] {
            let inputs = rows(&section, samples, n as u64);
            let basis = random(section.extent().outputs, 4, 9);
            for rule in [Rule::Gradient, Rule::GaussLegendre, Rule::Trapezoid] {
                let points = points(rule);
                let mut truth = Array2::<f64>::zeros((inputs.ncols(), inputs.ncols()));
                for g in pulled(&section, &inputs, &basis, &points) {
                    truth += &g.t().dot(&g);
                }
                let found = section.metric(inputs.view(), basis.view(), &points);
                let found = found.expect("fits").expect("attention has a closed form");
                let most = truth.iter().fold(0.0f64, |most, x| most.max(x.abs()));
                let gap = furthest(&found, &truth) / most;
                assert!(gap < 1e-12, "case {n}, {samples} samples, {rule:?}: {gap:e}");
                // The product of the weights' own derivative is no rounding of it.
                let value = section.metric((&inputs * 0.9).view(), basis.view(), &points);
                let value = value.expect("fits").expect("closed");
                assert!(furthest(&value, &truth) / most > 1e-3);
            }
        }
    }
}

#[test]
fn squared_effects_are_those_of_single_source_vectors() {
    for (n, section) in cases().enumerate() {
        let extent = section.extent();
        for samples in [1, 70] {
            let inputs = rows(&section, samples, n as u64);
            // As many vectors as coordinates, so that the new coordinates hold all.
            let back = random(extent.inputs, extent.inputs, 8) + Array2::<f64>::eye(extent.inputs);
            let new = random(inputs.nrows(), extent.inputs, 7);
            let restored = new.dot(&back);
            let into = random(extent.outputs, 4, 9);
            for rule in [Rule::Gradient, Rule::GaussLegendre] {
                let points = points(rule);
                let mut truth = Array2::<f64>::zeros((extent.inputs, 4));
                for (which, g) in pulled(&section, &restored, &into, &points).iter().enumerate() {
                    let by_new = g.dot(&back.t()) * &new;
                    let samples = by_new.axis_chunks_iter(Axis(0), extent.positions_in);
                    for sample in samples {
                        let effect = sample.sum_axis(Axis(0));
                        let mut column = truth.column_mut(which / extent.positions_out);
                        column += &(&effect * &effect);
                    }
                }
                let found = section.squared_effects(new.view(), back.view(), into.view(), &points);
                let found = found.expect("fits").expect("attention has a closed form");
                let most = truth.iter().fold(0.0f64, |most, x| most.max(x.abs()));
                let gap = furthest(&found, &truth) / most;
                assert!(gap < 1e-12, "case {n}, {samples} samples, {rule:?}: {gap:e}");
            }
        }
    }
    let section = attention(true, false, 1);
    let wrong = random(3, 6, 2);
    let basis = random(6, 2, 3);
    assert!(section.metric(wrong.view(), basis.view(), &[[1.0, 1.0]]).is_err(), "no whole sample");
    let effects =
        section.squared_effects(wrong.view(), random(6, 6, 4).view(), basis.view(), &[[1.0, 1.0]]);
    assert!(effects.is_err(), "no whole sample");
}

#[test]
fn between_two_bases_the_outputs_are_those_of_the_whole() {
    for (n, section) in cases().enumerate() {
        let extent = section.extent();
        let back = random(4, extent.inputs, 31 + n as u64);
        let into = random(extent.outputs, 3, 61 + n as u64);
        let new = random(6 * extent.positions_in, 4, 91 + n as u64);
        let whole = section.forward(new.dot(&back).view()).expect("fits").dot(&into);
        let found = section.between(new.view(), back.view(), into.view()).expect("fits");
        assert!(furthest(&found, &whole) < 1e-10, "case {n}: {}", furthest(&found, &whole));
    }
}
