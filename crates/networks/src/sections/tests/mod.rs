//! Sections against the networks they are cut from, and their derivatives against each other.

mod closed;
mod derivatives;
mod refusals;
mod same_network;

use std::path::PathBuf;

use ndarray::Array2;
use nissl_core::section::{Chain, Section};
use nissl_core::seed::rng;
use rand::RngExt;

use super::attention::Attention;

pub(super) fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name)
}

pub(super) fn random(rows: usize, columns: usize, seed: u64) -> Array2<f64> {
    let mut rng = rng(seed, 7);
    Array2::from_shape_simple_fn((rows, columns), || rng.random_range(-1.0..1.0))
}

pub(super) fn names(of: &[&str]) -> Vec<String> {
    of.iter().map(|name| (*name).to_owned()).collect()
}

pub(super) fn furthest(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
    assert_eq!(a.dim(), b.dim());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// The node layers' rows from the first.
pub(super) fn run(chain: &Chain, first: Array2<f64>) -> Vec<Array2<f64>> {
    let mut all = vec![first];
    for section in &chain.sections {
        let next = section.forward(all[all.len() - 1].view()).expect("fits");
        all.push(next);
    }
    all
}

/// Attention of random weights that reads columns beside the stream.
pub(super) fn attention(last_only: bool, beside: bool, seed: u64) -> Attention {
    let (width, heads, unit, positions) = (5, 2, 3, 4);
    let reads = if beside { width } else { 0 };
    Attention {
        name: "layers.0.resid.pre".to_owned(),
        positions,
        last_only,
        inputs: reads + width + 1,
        reads,
        heads,
        into: random(width + 1, 3 * heads * unit, seed) * 2.0,
        out: random(heads * unit, width, seed + 1),
        out_bias: random(1, width, seed + 2).into_raw_vec_and_offset().0,
    }
}

/// Rows for a section, the last column 1.
pub(super) fn rows(section: &dyn Section, samples: usize, seed: u64) -> Array2<f64> {
    let extent = section.extent();
    let mut rows = random(samples * extent.positions_in, extent.inputs, seed);
    rows.column_mut(extent.inputs - 1).fill(1.0);
    rows
}
