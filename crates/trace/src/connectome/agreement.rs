//! How far two connectomes agree: which edges both have, and in what order their weights are.
//!
//! `J = |A ∩ B| / |A ∪ B|` over the edges of one type between neurons that both connectomes connect; the rank
//! correlation (Spearman) is that of the weights of shared edges, so that absent edges do not count twice.
//! Gap junctions count once for an unordered pair.

use nissl_core::stats::correlation::spearman;
use serde::Serialize;

use super::{Connectome, ELECTRICAL};

/// Agreement of two connectomes in one type of edge.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Agreement {
    /// The first connectome.
    pub first: String,
    /// The second one.
    pub second: String,
    /// The type of edge.
    pub kind: String,
    /// Neurons that both connect.
    pub neurons: usize,
    /// Edges of the first between them.
    pub first_edges: usize,
    /// Edges of the second between them.
    pub second_edges: usize,
    /// Edges of both.
    pub shared: usize,
    /// Shared edges of those of either, 0 to 1; NaN without edges.
    pub jaccard: f64,
    /// Rank correlation of the weights of shared edges, −1 to 1; NaN with fewer than two.
    pub rank_correlation: f64,
}

/// The agreement of every two of `connectomes`, type by type.
pub fn agreement(connectomes: &[Connectome]) -> Vec<Agreement> {
    let mut found = Vec::new();
    for (place, first) in connectomes.iter().enumerate() {
        for second in &connectomes[place + 1..] {
            for kind in first.weights.keys().filter(|kind| second.weights.contains_key(*kind)) {
                found.push(of_two(first, second, kind));
            }
        }
    }
    found
}

fn of_two(first: &Connectome, second: &Connectome, kind: &str) -> Agreement {
    let (in_first, in_second) = (first.connected(), second.connected());
    let rows = second.rows();
    let common: Vec<(usize, usize)> = first
        .neurons
        .iter()
        .enumerate()
        .filter_map(|(row, name)| rows.get(name.as_str()).map(|&other| (row, other)))
        .filter(|&(row, other)| in_first[row] && in_second[other])
        .collect();
    let (mut edges, mut shared) = ([0, 0], 0);
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for &(from, other_from) in &common {
        for &(to, other_to) in &common {
            if kind == ELECTRICAL && from > to {
                continue;
            }
            let a = first.weight(kind, from, to);
            let b = second.weight(kind, other_from, other_to);
            edges[0] += usize::from(a != 0.0);
            edges[1] += usize::from(b != 0.0);
            if a != 0.0 && b != 0.0 {
                shared += 1;
                left.push(a as f32);
                right.push(b as f32);
            }
        }
    }
    Agreement {
        first: first.name.clone(),
        second: second.name.clone(),
        kind: kind.to_owned(),
        neurons: common.len(),
        first_edges: edges[0],
        second_edges: edges[1],
        shared,
        jaccard: shared as f64 / (edges[0] + edges[1] - shared) as f64,
        rank_correlation: spearman(&left, &right),
    }
}
