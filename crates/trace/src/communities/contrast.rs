//! How much stronger edges are within groups than between them, and whether chance could do that.
//!
//! Means are over pairs of nodes in groups, a pair without an edge counting 0;
//! `contrast = mean within / mean of all`, 1 for a single group.

use nissl_core::stats::permutation::p_value;
use serde::{Deserialize, Serialize};

use super::graph::WeightedGraph;

/// The group of a node that belongs to none, having no edge.
pub const BACKGROUND: u32 = u32::MAX;

/// Mean weights of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contrast {
    /// Of pairs within a group; NaN when there is none.
    pub within: f64,
    /// Of pairs in different groups; NaN when there is none.
    pub between: f64,
    /// `within` divided by the mean of all pairs; NaN without pairs or weight.
    pub contrast: f64,
}

impl Contrast {
    /// Of the groups `[node]` of `graph`; nodes of [`BACKGROUND`] do not count.
    ///
    /// # Panics
    /// When there are fewer groups than nodes: an error of the calling code.
    pub fn of(graph: &WeightedGraph, groups: &[u32]) -> Self {
        let mut sizes = std::collections::BTreeMap::new();
        for &group in groups.iter().filter(|group| **group != BACKGROUND) {
            *sizes.entry(group).or_insert(0.0) += 1.0;
        }
        let (mut within, mut between) = (0.0, 0.0);
        for &(a, b, weight) in graph.edges() {
            let (a, b) = (groups[a as usize], groups[b as usize]);
            if a != BACKGROUND && b != BACKGROUND {
                *(if a == b { &mut within } else { &mut between }) += weight;
            }
        }
        let pairs = |size: f64| size * (size - 1.0) / 2.0;
        let inner: f64 = sizes.values().map(|&size| pairs(size)).sum();
        let all = pairs(sizes.values().sum());
        Self {
            within: within / inner,
            between: between / (all - inner),
            contrast: (within / inner) / ((within + between) / all),
        }
    }

    /// The share of refits on shuffled data, and of this one, whose contrast is as great: `(1 + #{null ≥
    /// contrast}) / (1 + #null)`. NaN when the contrast is; a null contrast of NaN counts as 1, that of a
    /// single group.
    pub fn p_value(&self, null: &[f64]) -> f64 {
        if self.contrast.is_nan() {
            return f64::NAN;
        }
        let as_great =
            null.iter().filter(|&&null| (if null.is_nan() { 1.0 } else { null }) >= self.contrast);
        p_value(as_great.count(), null.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_over_pairs_and_background_does_not_count() {
        let edges = [(0, 1, 4.0), (2, 3, 2.0), (1, 2, 1.0), (3, 4, 8.0)];
        let graph = WeightedGraph::new(5, edges).expect("valid");
        let found = Contrast::of(&graph, &[0, 0, 1, 1, BACKGROUND]);
        assert!((found.within - 3.0).abs() < 1e-12 && (found.between - 0.25).abs() < 1e-12);
        assert!((found.contrast - 3.0 / (7.0 / 6.0)).abs() < 1e-12);
        let one = Contrast::of(&graph, &[0; 5]);
        assert!((one.contrast - 1.0).abs() < 1e-12 && one.between.is_nan());
        assert!((found.p_value(&[1.0; 19]) - 0.05).abs() < 1e-12);
        assert!((found.p_value(&[1.0, 5.0, f64::NAN]) - 0.5).abs() < 1e-12);
        assert!((one.p_value(&[f64::NAN, 0.5]) - 2.0 / 3.0).abs() < 1e-12);
    }
}
