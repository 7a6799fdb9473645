//! What a comparison of two checkpoints tells.

use nissl_core::network::Part;
use serde::Serialize;

/// How alike two maps are, over some units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Likeness {
    /// Share of units with the same first token, 0 to 1.
    pub same_first: f64,
    /// Mean Jaccard index of the first five tokens, 0 to 1.
    pub jaccard: f64,
    /// Mean Jensen-Shannon divergence in nats, 0 to log 2.
    pub divergence: f64,
}

/// One part of one layer, compared.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerComparison {
    /// The layer.
    pub layer: u32,
    /// The part.
    pub part: Part,
    /// The units compared.
    pub units: u64,
    /// Root mean square of the change of a weight.
    pub change: f64,
    /// The checkpoints.
    pub observed: Likeness,
    /// The first checkpoint's units against other units of the second.
    pub permuted: Likeness,
    /// The first checkpoint against itself with noise of the size `change`.
    pub noise: Likeness,
}

/// A unit whose first token changed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Changed {
    /// The layer.
    pub layer: u32,
    /// The part.
    pub part: Part,
    /// The unit.
    pub unit: u32,
    /// Its first token before.
    pub before: u32,
    /// Its first token after.
    pub after: u32,
    /// Jensen-Shannon divergence in nats.
    pub divergence: f64,
}

/// Two checkpoints, compared.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// By layer and part.
    pub layers: Vec<LayerComparison>,
    /// Over all units.
    pub units: u64,
    /// The checkpoints, over all units.
    pub observed: Likeness,
    /// Units against others, over all.
    pub permuted: Likeness,
    /// The first checkpoint against itself with noise, over all.
    pub noise: Likeness,
    /// Units whose first token changed, the greatest divergence first.
    pub changed: Vec<Changed>,
    /// The number of units whose first token changed.
    pub changed_units: u64,
    /// Units left out because one of their vectors is not finite.
    pub not_finite: u64,
}

impl Likeness {
    pub(super) fn add(&mut self, other: &Self) {
        self.same_first += other.same_first;
        self.jaccard += other.jaccard;
        self.divergence += other.divergence;
    }

    pub(super) fn divide(&mut self, units: u64) {
        let units = units as f64;
        self.same_first /= units;
        self.jaccard /= units;
        self.divergence /= units;
    }
}
