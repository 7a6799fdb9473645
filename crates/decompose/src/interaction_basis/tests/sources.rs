//! Random signs give the exact sums on average, and less work.

use ndarray::Array2;
use nissl_core::section::{Basis, Chain, Held};

use super::super::{LocalInteractionBasis, Sources};
use super::{Mixing, furthest, held, quiet, random};

fn mixing() -> (Chain, Held, Basis) {
    let section = Mixing { positions: 3, weight: random(6, 5, 1) };
    let chain = Chain { sections: vec![Box::new(section)], end: "out".to_owned() };
    (chain, held(40, 3, 6, 2), Basis::identity("out", 5))
}

fn metric(sources: Sources, draws: usize, seed: u64) -> Array2<f64> {
    let (chain, samples, target) = mixing();
    let settings = LocalInteractionBasis { sources, draws, seed, ..Default::default() };
    settings.sums(&chain, &samples, 0..40, 0, &target, &quiet()).expect("sums").mean()
}

#[test]
fn random_signs_are_unbiased() {
    let exact = metric(Sources::Exact, 1, 0);
    for sources in [Sources::Positions, Sources::Hidden, Sources::Both] {
        let once = furthest(&exact, &metric(sources, 1, 0));
        assert!(once > 1e-3, "{sources:?}: one draw is an estimate, {once}");
        let many = furthest(&exact, &metric(sources, 2000, 0));
        assert!(many < 0.02 && many < once, "{sources:?}: {many} after {once}");
        let mut sum = Array2::zeros(exact.dim());
        for seed in 0..400 {
            sum = sum + metric(sources, 1, seed);
        }
        let mean = furthest(&exact, &(sum / 400.0));
        assert!(mean < 0.05, "{sources:?}: the mean over seeds is off by {mean}");
        assert_eq!(metric(sources, 2, 7), metric(sources, 2, 7), "same seed, same numbers");
    }
}

#[test]
fn signs_do_not_depend_on_how_samples_are_parted() {
    let (chain, samples, target) = mixing();
    for sources in [Sources::Positions, Sources::Hidden, Sources::Both] {
        let settings = LocalInteractionBasis { sources, draws: 2, ..Default::default() };
        let of =
            |range| settings.sums(&chain, &samples, range, 0, &target, &quiet()).expect("sums");
        let mut parts = of(0..13);
        parts.add(&of(13..40)).expect("adds");
        assert!(furthest(&of(0..40).sum, &parts.sum) < 1e-12, "{sources:?}");
    }
}
