//! What the tests share: planted weights in memory, and words for their tokens.

use ndarray::Array2;
use nissl_core::Progress;
use nissl_core::network::{Part, ResidualWeights};
use nissl_core::seed::rng;
use nissl_explain::lm_head::{Decoded, LmHead, MatrixWeights, Sign, Warning, decode};
use rand_distr::{Distribution, StandardNormal};

use crate::planted_head::{PlantedHead, PlantedHeadWeights};

/// Planted weights and their truth.
pub(crate) fn planted(settings: &PlantedHead) -> (MatrixWeights, PlantedHeadWeights) {
    let made = settings.weights().expect("makes");
    (weights_of(&made), made)
}

/// Planted weights as a method sees them.
pub(crate) fn weights_of(made: &PlantedHeadWeights) -> MatrixWeights {
    MatrixWeights::new("planted", made.head.clone())
        .with_part(Part::Up, made.up.clone())
        .and_then(|weights| weights.with_part(Part::Gate, made.gate.clone()))
        .and_then(|weights| weights.with_part(Part::Down, made.down.clone()))
        .expect("fits")
}

/// All decoded units, and the warnings.
pub(crate) fn decoded(
    weights: &dyn ResidualWeights,
    settings: &LmHead,
) -> (Vec<Decoded>, Vec<Warning>) {
    let mut all = Vec::new();
    let warnings = decode(weights, settings, &Progress::silent(), |block| {
        all.extend_from_slice(block);
        Ok(())
    });
    (all, warnings.expect("decodes"))
}

/// The row of a unit along its vector.
pub(crate) fn unit(all: &[Decoded], part: Part, layer: usize, unit: usize) -> &Decoded {
    all.iter()
        .find(|one| {
            (one.part, one.layer, one.unit, one.sign)
                == (part, layer as u32, unit as u32, Sign::Plus)
        })
        .expect("decoded")
}

/// A matrix of normal numbers.
pub(crate) fn normal(rows: usize, columns: usize, seed: u64) -> Array2<f32> {
    let mut rng = rng(seed, 9);
    Array2::from_shape_simple_fn((rows, columns), || StandardNormal.sample(&mut rng))
}

/// The share of `items` that satisfy a claim.
pub(crate) fn share<T>(items: &[T], claim: impl Fn(&T) -> bool) -> f64 {
    items.iter().filter(|item| claim(item)).count() as f64 / items.len() as f64
}
