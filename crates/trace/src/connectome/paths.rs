//! Lengths of shortest paths in steps, by breadth first search from every neuron.
//!
//! Memory: the square of the neurons.

use std::collections::VecDeque;

use ndarray::{Array2, ArrayView2};

/// The steps from one neuron to another along edges of weight other than 0 `[from, to]`; 0 from a
/// neuron to itself, `u32::MAX` where no path leads.
pub fn path_lengths(weights: ArrayView2<'_, f64>) -> Array2<u32> {
    let count = weights.nrows();
    let next: Vec<Vec<usize>> = weights
        .rows()
        .into_iter()
        .map(|row| (0..count).filter(|&to| row[to] != 0.0).collect())
        .collect();
    let mut lengths = Array2::from_elem((count, count), u32::MAX);
    for from in 0..count {
        let mut row = lengths.row_mut(from);
        row[from] = 0;
        let mut queue = VecDeque::from([from]);
        while let Some(at) = queue.pop_front() {
            for &to in &next[at] {
                if row[to] == u32::MAX {
                    row[to] = row[at] + 1;
                    queue.push_back(to);
                }
            }
        }
    }
    lengths
}
