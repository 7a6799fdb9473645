//! Sums over parts of the data, saved, loaded and continued, are the sums over all.

use nissl_core::section::{Basis, InteractionBasis, Samples};

use super::super::{BasisKind, LayerSums, LocalInteractionBasis, Moments};
use super::{curved, furthest, held, quiet};

#[test]
fn several_processes_find_what_one_finds() {
    let folder = tempfile::tempdir().expect("a folder");
    let (chain, samples) = (curved(5), held(100, 1, 6, 6));
    for basis in [BasisKind::Lib, BasisKind::Global, BasisKind::OneMinusZeroAlpha] {
        let settings = LocalInteractionBasis { basis, rotate_final: true, ..Default::default() };
        let whole = settings.fit(&chain, &samples, &quiet()).expect("fits");

        let parts = [0..37, 37..38, 38..100];
        let mut moments: Option<Moments> = None;
        for (n, part) in parts.iter().enumerate() {
            let path = folder.path().join(format!("moments{n}.safetensors"));
            let found = settings.moments(&chain, &samples, part.clone(), &quiet());
            found.expect("moments").save(&path).expect("writes");
            let found = Moments::load(&path).expect("reads");
            match &mut moments {
                None => moments = Some(found),
                Some(moments) => moments.merge(&found).expect("merges"),
            }
        }
        let moments = moments.expect("three parts");
        assert_eq!((moments.samples, moments.node_layers[1].rows), (100, 100));
        let mut found: Vec<Basis> = vec![settings.end(&chain, &moments).expect("the end")];
        for layer in [1, 0] {
            let target = if basis == BasisKind::Global { 0 } else { found.len() - 1 };
            let mut sums: Option<LayerSums> = None;
            for (n, part) in parts.iter().enumerate() {
                let path = folder.path().join(format!("sums{n}.safetensors"));
                let part = part.clone();
                let one = settings.sums(&chain, &samples, part, layer, &found[target], &quiet());
                one.expect("sums").save(&path).expect("writes");
                let one = LayerSums::load(&path).expect("reads");
                match &mut sums {
                    None => sums = Some(one),
                    Some(sums) => sums.add(&one).expect("adds"),
                }
            }
            let (basis, _) = settings.layer(&chain, &moments, layer, sums.as_ref()).expect("basis");
            found.push(basis);
        }
        found.reverse();
        for (one, many) in whole.node_layers.iter().zip(&found) {
            assert_eq!((one.dropped, one.constant), (many.dropped, many.constant));
            // Vectors turn by the square root of rounding; what they span and weigh does not.
            let weighed = |basis: &Basis| basis.into.dot(&basis.into.t());
            assert!(furthest(&weighed(one), &weighed(many)) < 1e-8, "{}", one.node_layer);
        }
        let path = folder.path().join("basis.safetensors");
        whole.save(&path).expect("writes");
        assert_eq!(InteractionBasis::load(&path).expect("reads"), whole);
    }
}

#[test]
fn continued_moments_are_those_of_all_and_stable_far_from_zero() {
    let chain = curved(5);
    let mut samples = held(300, 1, 6, 6);
    for mut row in samples.rows.rows_mut() {
        row[0] += 1e6;
    }
    let settings = LocalInteractionBasis::default();
    let whole = settings.moments(&chain, &samples, 0..300, &quiet()).expect("moments");
    let mut moments = settings.moments(&chain, &samples, 0..120, &quiet()).expect("moments");
    moments.extend(&settings, &chain, &samples, 120..300, &quiet()).expect("goes on");
    for (one, two) in whole.node_layers.iter().zip(&moments.node_layers) {
        let gap = (&one.mean - &two.mean).iter().fold(0.0f64, |most, x| most.max(x.abs()));
        assert!(gap < 1e-8 && one.rows == two.rows);
        match (&one.scatter, &two.scatter) {
            (Some(one), Some(two)) => assert!(furthest(one, two) < 1e-8),
            (None, None) => {}
            other => panic!("{other:?}"),
        }
    }
    // Computed about the true mean, as two passes would.
    let rows = samples.rows(0..300).expect("rows");
    let mean = rows.mean_axis(ndarray::Axis(0)).expect("rows");
    let around = &rows - &mean;
    let known = around.t().dot(&around);
    assert!(furthest(&known, whole.node_layers[0].scatter.as_ref().expect("there")) < 1e-9);
    let mut other = settings.moments(&chain, &samples, 0..9, &quiet()).expect("moments");
    other.node_layers[0].node_layer = "z".to_owned();
    assert!(moments.merge(&other).is_err(), "of another network");
}
