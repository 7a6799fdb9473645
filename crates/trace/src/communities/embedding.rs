//! Nodes as points: leading eigenvectors of a symmetric matrix, and k-means among them.
//!
//! For block models, of which edges there are, less the density, and of weights on edges, less their
//! mean: groups that differ in either lie apart, whether the weights inside are larger or smaller.
//! Memory: two `[node, node]` matrices of f64.

use faer::{Mat, Side};
use nissl_core::{Error, Result};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::graph::WeightedGraph;

/// Eigenvectors of each matrix that are kept.
const KEPT: usize = 8;
/// Rounds of k-means.
const ROUNDS: usize = 50;

/// Points `[node][coordinate]`.
pub(super) type Points = Vec<Vec<f64>>;

/// Eigenvalues and eigenvectors `[node, value]` of a symmetric matrix, ascending.
///
/// # Errors
/// A matrix whose eigenvalues could not be found.
pub(super) fn eigen(matrix: &Mat<f64>) -> Result<(Vec<f64>, Mat<f64>)> {
    let found = matrix.self_adjoint_eigen(Side::Lower).map_err(|error| {
        Error::setting(
            "weight",
            format!("a matrix without eigenvalues ({error:?})"),
            "finite numbers",
        )
    })?;
    let values = found.S().column_vector().iter().copied().collect();
    Ok((values, found.U().to_owned()))
}

/// The points of a graph by its edges and its weights, each scaled by the size of its eigenvalue.
///
/// # Errors
/// As [`eigen`].
pub(super) fn residual_points(graph: &WeightedGraph) -> Result<Points> {
    let nodes = graph.nodes();
    let count = graph.edges().len() as f64;
    let pairs = (nodes * nodes.saturating_sub(1) / 2).max(1) as f64;
    let (density, mean) =
        (count / pairs, graph.edges().iter().map(|edge| edge.2).sum::<f64>() / count.max(1.0));
    let squares = graph.edges().iter().map(|edge| (edge.2 - mean).powi(2)).sum::<f64>();
    // Each matrix has entries of unit variance, so that neither outweighs the other.
    let spread = (density * (1.0 - density)).sqrt().max(1e-9);
    let width = (squares / pairs).sqrt().max(1e-9 * mean.abs()).max(f64::MIN_POSITIVE);
    let mut there = Mat::from_fn(nodes, nodes, |a, b| if a == b { 0.0 } else { -density / spread });
    let mut heavy = Mat::<f64>::zeros(nodes, nodes);
    for &(a, b, weight) in graph.edges() {
        for (a, b) in [(a as usize, b as usize), (b as usize, a as usize)] {
            there[(a, b)] = (1.0 - density) / spread;
            heavy[(a, b)] = (weight - mean) / width;
        }
    }
    let mut points = vec![Vec::new(); nodes];
    for matrix in [there, heavy] {
        let (values, vectors) = eigen(&matrix)?;
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|&a, &b| values[b].abs().total_cmp(&values[a].abs()));
        for &column in order.iter().take(KEPT) {
            for (node, point) in points.iter_mut().enumerate() {
                point.push(vectors[(node, column)] * values[column].abs());
            }
        }
    }
    Ok(points)
}

/// `k` clusters of points by Lloyd's rounds from a k-means++ start; the labels and the squared distances.
pub(super) fn k_means(points: &Points, k: usize, random: &mut ChaCha8Rng) -> (Vec<u32>, f64) {
    let apart = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
    let mut centres = vec![points[random.random_range(0..points.len())].clone()];
    let mut nearest: Vec<f64> = points.iter().map(|point| apart(point, &centres[0])).collect();
    while centres.len() < k.min(points.len()) {
        let mut left = random.random::<f64>() * nearest.iter().sum::<f64>();
        let next = nearest.iter().position(|share| {
            left -= share;
            left < 0.0
        });
        let centre = points[next.unwrap_or(points.len() - 1)].clone();
        for (near, point) in nearest.iter_mut().zip(points) {
            *near = near.min(apart(point, &centre));
        }
        centres.push(centre);
    }
    let mut of = vec![0u32; points.len()];
    let mut total = f64::INFINITY;
    for _ in 0..ROUNDS {
        let mut now = 0.0;
        for (label, point) in of.iter_mut().zip(points) {
            let all = centres.iter().map(|centre| apart(point, centre)).enumerate();
            if let Some((best, distance)) = all.min_by(|a, b| a.1.total_cmp(&b.1)) {
                *label = best as u32;
                now += distance;
            }
        }
        for (cluster, centre) in centres.iter_mut().enumerate() {
            let inside = || points.iter().zip(&of).filter(|(_, label)| **label as usize == cluster);
            let count = inside().count();
            if count > 0 {
                for (axis, value) in centre.iter_mut().enumerate() {
                    *value = inside().map(|(point, _)| point[axis]).sum::<f64>() / count as f64;
                }
            }
        }
        if now >= total * (1.0 - 1e-9) {
            break;
        }
        total = now;
    }
    (of, total)
}
