//! What must hold of the coordinates, whatever the network.

use ndarray::{Array2, Axis, s};
use nissl_core::section::{Basis, Chain, Integration, Nonlinearity, Rule, Samples};
use proptest::prelude::*;

use super::super::{BasisKind, LocalInteractionBasis};
use super::metric::jacobian_metric;
use super::{curved, furthest, held, hidden, quiet, random};

fn diagonal(values: impl Iterator<Item = f64>) -> Array2<f64> {
    Array2::from_diag(&values.collect::<ndarray::Array1<f64>>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// In new coordinates the Gram matrix is `Λ` and the pulled-back metric the identity, but for the
    /// rows of the constant, which is kept apart.
    #[test]
    fn gram_becomes_importance_and_the_metric_the_identity(seed in 0u64..500) {
        let (chain, samples) = (curved(seed), held(80, 1, 6, seed));
        let found = LocalInteractionBasis::default().fit(&chain, &samples, &quiet()).expect("fits");
        let rows = samples.rows(0..80).expect("rows");
        let basis = &found.node_layers[0];
        prop_assert_eq!(basis.constant, Some(0));
        let new = basis.project(rows.view()).expect("fits");
        prop_assert!(new.column(0).iter().all(|x| (x - new[[0, 0]]).abs() < 1e-9));
        let free = new.slice(s![.., 1..]).to_owned();
        prop_assert!(free.mean_axis(Axis(0)).expect("rows").iter().all(|x| x.abs() < 1e-9));
        let gram = free.t().dot(&free) / 80.0;
        let importance = diagonal(basis.importance.iter().skip(1).copied());
        prop_assert!(furthest(&importance, &gram) < 1e-8);
        let pulled = jacobian_metric(&chain, &samples, 0, &found.node_layers[1]);
        let metric = basis.back.dot(&pulled).dot(&basis.back.t());
        let metric = metric.slice(s![1.., 1..]).to_owned();
        prop_assert!(furthest(&Array2::eye(metric.nrows()), &metric) < 1e-6);
        let order = basis.importance.iter().skip(1).copied().collect::<Vec<_>>();
        prop_assert!(order.is_sorted_by(|a, b| a >= b));
    }

    /// With nothing dropped, there and back is where it began; the constant stays 1.
    #[test]
    fn there_and_back_is_the_same(seed in 0u64..500, uncentred in any::<bool>()) {
        let (chain, samples) = (curved(seed), held(80, 1, 6, seed));
        for basis in [BasisKind::Lib, BasisKind::Pca, BasisKind::Svd, BasisKind::Global] {
            let settings = LocalInteractionBasis { basis, uncentred, rotate_final: true, ..Default::default() };
            let found = settings.fit(&chain, &samples, &quiet()).expect("fits");
            let mut rows = samples.rows(0..80).expect("rows");
            for (layer, basis) in found.node_layers.iter().enumerate() {
                // Four outputs at the end carry at most what there is before.
                let new = basis.project(rows.view()).expect("fits");
                let back = basis.restore(new.view()).expect("fits");
                if basis.dropped == 0 {
                    prop_assert!(furthest(&rows, &back) < 1e-6, "layer {}", layer);
                }
                if layer < 2 {
                    rows = chain.sections[layer].forward(rows.view()).expect("fits");
                }
            }
        }
    }
}

#[test]
fn whitened_data_do_not_hide_the_constant() {
    // Every direction has variance 1, as the constant has.
    let mut rows = Array2::ones((12, 4));
    for axis in 0..3 {
        for row in 0..12 {
            if row % 6 / 2 == axis {
                rows[[row, axis]] = 3f64.sqrt() * f64::from(1 - 2 * (row as i32 % 2));
            } else {
                rows[[row, axis]] = 0.0;
            }
        }
    }
    let samples = nissl_core::section::Held { rows, positions: 1 };
    let sections = vec![hidden("x", [4, 6, 3], Nonlinearity::Tanh, 4)];
    let chain = Chain { sections, end: "out".to_owned() };
    let found = LocalInteractionBasis::default().fit(&chain, &samples, &quiet()).expect("fits");
    let basis = &found.node_layers[0];
    assert!(basis.spectrum.iter().all(|value| (value - 1.0).abs() < 1e-12), "{}", basis.spectrum);
    assert_eq!(basis.constant, Some(0));
    assert!(basis.into.slice(s![..3, 0]).iter().all(|value| value.abs() < 1e-12));
}

#[test]
fn global_is_local_before_the_end_and_another_before_that() {
    let (chain, samples) = (curved(3), held(90, 1, 6, 4));
    let fit = |basis| {
        let settings = LocalInteractionBasis { basis, ..LocalInteractionBasis::default() };
        settings.fit(&chain, &samples, &quiet()).expect("fits")
    };
    let (local, global) = (fit(BasisKind::Lib), fit(BasisKind::Global));
    assert!(furthest(&local.node_layers[1].into, &global.node_layers[1].into) < 1e-12);
    let leading = |basis: &Basis| basis.importance[1];
    let (local, global) = (leading(&local.node_layers[0]), leading(&global.node_layers[0]));
    assert!((local / global - 1.0).abs() > 1e-3, "{local} {global}");
}

/// Of a linear section each formula is known: the gradient of the whole change is `f S`.
#[test]
fn older_formulas_of_a_linear_section_are_known() {
    let weight = random(6, 3, 1);
    let section =
        nissl_core::section::Affine { name: "x".to_owned(), positions: 1, weight: weight.clone() };
    let chain = Chain { sections: vec![Box::new(section)], end: "out".to_owned() };
    let samples = held(60, 1, 6, 8);
    let target = Basis::identity("out", 3);
    let rows = samples.rows(0..60).expect("rows");
    let through = rows.dot(&weight.dot(&weight.t()));
    for (basis, factor) in
        [(BasisKind::OneMinusZeroAlpha, 1.0), (BasisKind::OneMinusAlphaSquared, -1.0)]
    {
        let settings = LocalInteractionBasis {
            basis,
            integration: Rule::GaussLegendre,
            intervals: 2,
            ..LocalInteractionBasis::default()
        };
        let sums = settings.sums(&chain, &samples, 0..60, 0, &target, &quiet()).expect("sums");
        // ∫ −2 (1 − α) dα = −1 of what the whole change gives.
        let known = &through * factor;
        assert!(furthest(&known.t().dot(&known), &sums.sum) < 1e-12, "{basis:?}");
        let cross = sums.cross.as_ref().expect("the older formulas have it");
        assert!(furthest(&known.t().dot(&rows), cross) < 1e-12, "{basis:?}");
        let found = settings.fit(&chain, &samples, &quiet()).expect("fits");
        assert_eq!(found.node_layers[0].vectors(), 4, "the rank of the section");
    }
    assert_eq!(Integration::default().points().len(), 1);
}
