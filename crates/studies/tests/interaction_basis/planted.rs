//! Two blocks and decoys behind rotations: what is kept, how pure, and what it is good for.

use ndarray::{Array2, s};
use nissl_core::section::{Basis, Chain, InteractionBasis, Samples};
use nissl_worlds::two_blocks::TwoBlocks;

use crate::quiet;
use nissl_decompose::interaction_basis::{BasisKind, LocalInteractionBasis};

fn of(basis: BasisKind) -> LocalInteractionBasis {
    LocalInteractionBasis { basis, rotate_final: true, ..LocalInteractionBasis::default() }
}

fn free(basis: &Basis) -> Array2<f64> {
    assert_eq!(basis.constant, Some(0));
    basis.into.slice(s![.., 1..]).to_owned()
}

/// Unexplained share of the output's variance with the constant and 8 vectors kept at `x`.
fn unexplained(chain: &Chain, inputs: &Array2<f64>, found: &InteractionBasis) -> f64 {
    let run = |x: &Array2<f64>| {
        let y = chain.sections[0].forward(x.view()).expect("fits");
        chain.sections[1].forward(y.view()).expect("fits")
    };
    let whole = run(inputs);
    let part = run(&inputs.dot(&found.node_layers[0].projector(9)));
    let mean = whole.mean_axis(ndarray::Axis(0)).expect("rows");
    let square = |x: Array2<f64>| x.mapv(|x| x * x).sum();
    square(part - &whole) / square(&whole - &mean)
}

#[test]
fn the_basis_keeps_what_matters_and_parts_the_blocks() {
    for seed in 0..4 {
        let world = TwoBlocks { samples: 20_000, seed, ..TwoBlocks::default() };
        let here = world.generate().expect("valid");
        let (chain, samples) = (here.chain(), here.samples());
        let lib = of(BasisKind::Lib).fit(&chain, &samples, &quiet()).expect("fits");
        let pca = of(BasisKind::Pca).fit(&chain, &samples, &quiet()).expect("fits");
        for (layer, name) in ["x", "y"].into_iter().enumerate() {
            let (a, b) = (lib.of(name).expect("there"), pca.of(name).expect("there"));
            let kept = (a.vectors() - 1, b.vectors() - 1);
            assert_eq!(kept, (8, 12), "seed {seed}, {name}: {:?}", a.importance);
            assert_eq!((a.dropped, b.dropped), (4, 0));
            let purity = here.purity(layer, free(a).view());
            assert!(purity >= 0.97, "seed {seed}, {name}: {purity}");
        }
        let purity = here.purity(0, free(&pca.node_layers[0]).view());
        assert!(purity <= 0.88, "seed {seed}: {purity} of principal components");
        let left = unexplained(&chain, &here.inputs, &lib);
        assert!(left <= 1e-9, "seed {seed}: {left:e}");
        let left = unexplained(&chain, &here.inputs, &pca);
        assert!(left >= 0.2, "seed {seed}: {left} of principal components");
    }
}

#[test]
fn kin_of_the_basis_drop_the_decoys_too_and_others_do_not() {
    let world = TwoBlocks { samples: 1500, seed: 2, ..TwoBlocks::default() };
    let here = world.generate().expect("valid");
    let (chain, samples) = (here.chain(), here.samples());
    for basis in [BasisKind::Global, BasisKind::OneMinusZeroAlpha, BasisKind::OneMinusAlphaSquared]
    {
        let integration = nissl_core::section::Rule::GaussLegendre;
        let settings = LocalInteractionBasis { integration, intervals: 3, tau: 1e-12, ..of(basis) };
        let found = settings.fit(&chain, &samples, &quiet()).expect("fits");
        let kept = found.node_layers[0].vectors() - 1;
        assert_eq!(kept, 8, "{basis:?}: {:?}", found.node_layers[0].importance);
    }
    let neuron = of(BasisKind::Neuron).fit(&chain, &samples, &quiet()).expect("fits");
    assert_eq!(neuron.node_layers[1], Basis::identity("y", 13));
    let svd = of(BasisKind::Svd).fit(&chain, &samples, &quiet()).expect("fits");
    assert_eq!((svd.node_layers[0].vectors(), svd.node_layers[0].constant), (13, None));
    assert!(samples.samples() == 1500 && svd.samples == 1500);
}
