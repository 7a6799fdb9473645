//! The dictionary of a basis does in f32 what the basis does in f64.

use ndarray::{Array2, s};
use nissl_core::section::Samples;

use super::super::{BasisKind, LocalInteractionBasis, dictionary, importance};
use super::{curved, held, quiet};

#[test]
fn a_dictionary_encodes_and_writes_as_its_basis_does() {
    let (chain, samples) = (curved(5), held(100, 1, 6, 6));
    let rows = samples.rows(0..100).expect("rows");
    let units = rows.slice(s![.., ..5]).mapv(|value| value as f32);
    for basis in [BasisKind::Lib, BasisKind::Pca, BasisKind::Svd, BasisKind::Neuron] {
        let settings = LocalInteractionBasis { basis, ..Default::default() };
        let found = settings.fit(&chain, &samples, &quiet()).expect("fits");
        let basis = &found.node_layers[0];
        let made = dictionary(basis).expect("vectors");
        let hidden = usize::from(basis.constant.is_some());
        assert_eq!((made.features(), made.units()), (basis.vectors() - hidden, 5));
        let free: Vec<usize> =
            (0..basis.vectors()).filter(|v| basis.constant != Some(*v)).collect();
        let known = basis.project(rows.view()).expect("fits").select(ndarray::Axis(1), &free);
        let codes = made.encode(units.view()).expect("encodes");
        let far = |a: &Array2<f32>, b: &Array2<f64>| {
            a.iter().zip(b).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max)
        };
        assert!(far(&codes, &known) < 1e-3, "{}", far(&codes, &known));
        // Back, and with a vector ablated, scaled and set: as the basis itself does it.
        for (factor, set) in [(1.0, None), (0.0, None), (2.5, None), (0.0, Some(0.7))] {
            let mut new = basis.project(rows.view()).expect("fits");
            let mut codes = codes.clone();
            new.column_mut(free[0]).mapv_inplace(|x| set.unwrap_or(x * factor));
            codes.column_mut(0).mapv_inplace(|x| set.unwrap_or(f64::from(x) * factor) as f32);
            let known = basis.restore(new.view()).expect("fits").slice(s![.., ..5]).to_owned();
            let back = made.reconstruct(codes.view()).expect("decodes");
            assert!(far(&back, &known) < 2e-3, "{}", far(&back, &known));
        }
        let table = importance(basis);
        assert_eq!(table.rows(), made.features());
        let first = f64::from(table.f32s("importance").expect("there")[0]);
        assert!((first / basis.importance[free[0]] - 1.0).abs() < 1e-6);
    }
}
