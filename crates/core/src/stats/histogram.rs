//! Histograms with fixed edges, streamed.

/// Counts of values between fixed edges, mergeable.
///
/// Bin `n` holds `edgeₙ ≤ value < edgeₙ₊₁`; the last bin holds its upper edge too.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    edges: Vec<f32>,
    counts: Vec<u64>,
    below: u64,
    above: u64,
    missing: u64,
}

impl Histogram {
    /// An empty histogram with the `edges`.
    ///
    /// # Panics
    /// When there are fewer than two edges, or they do not ascend.
    pub fn new(edges: Vec<f32>) -> Self {
        assert!(edges.len() > 1, "a histogram has at least two edges");
        assert!(edges.windows(2).all(|pair| pair[0] < pair[1]), "edges of a histogram ascend");
        let counts = vec![0; edges.len() - 1];
        Self { edges, counts, below: 0, above: 0, missing: 0 }
    }

    /// An empty histogram of `bins` equal bins from `low` to `high`.
    ///
    /// # Panics
    /// When there are no bins, or `f32` cannot tell the edges apart.
    pub fn uniform(low: f32, high: f32, bins: usize) -> Self {
        let (from, to) = (f64::from(low), f64::from(high));
        let edge = |n: usize| (from + (to - from) * n as f64 / bins as f64) as f32;
        Self::new((0..=bins).map(edge).collect())
    }

    /// Takes one value in.
    pub fn push(&mut self, value: f32) {
        let last = self.counts.len();
        if value.is_nan() {
            self.missing += 1;
        } else if value < self.edges[0] {
            self.below += 1;
        } else if value > self.edges[last] {
            self.above += 1;
        } else {
            let bin = self.edges.partition_point(|edge| *edge <= value) - 1;
            self.counts[bin.min(last - 1)] += 1;
        }
    }

    /// Takes many values in.
    pub fn extend(&mut self, values: impl IntoIterator<Item = f32>) {
        for value in values {
            self.push(value);
        }
    }

    /// Takes in all that another histogram of the same edges has seen.
    ///
    /// # Panics
    /// When the edges differ.
    pub fn merge(&mut self, other: &Self) {
        assert_eq!(self.edges, other.edges, "edges of the two histograms");
        for (count, other) in self.counts.iter_mut().zip(&other.counts) {
            *count += other;
        }
        self.below += other.below;
        self.above += other.above;
        self.missing += other.missing;
    }

    /// The edges, one more than bins, ascending.
    pub fn edges(&self) -> &[f32] {
        &self.edges
    }

    /// The counts, `[bin]`.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Values below the first edge.
    pub fn below(&self) -> u64 {
        self.below
    }

    /// Values above the last edge.
    pub fn above(&self) -> u64 {
        self.above
    }

    /// NaN values.
    pub fn missing(&self) -> u64 {
        self.missing
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn edges_belong_to_the_bin_above_and_the_last_to_the_last() {
        let mut histogram = Histogram::new(vec![0.0, 1.0, 4.0]);
        histogram.extend([-0.1, 0.0, 0.99, 1.0, 3.0, 4.0, 4.1, f32::NAN, f32::INFINITY]);
        assert_eq!(histogram.counts(), [2, 3]);
        assert_eq!((histogram.below(), histogram.above(), histogram.missing()), (1, 2, 1));
        assert_eq!(Histogram::uniform(-1.0, 1.0, 4).edges(), [-1.0, -0.5, 0.0, 0.5, 1.0]);
    }

    proptest! {
        #[test]
        fn every_value_is_counted_once(
            values in prop::collection::vec(-2f32..2.0, 0..80), cut in 0usize..80
        ) {
            let mut whole = Histogram::uniform(-1.0, 1.0, 7);
            whole.extend(values.iter().copied());
            let counted: u64 = whole.counts().iter().sum();
            prop_assert_eq!(counted + whole.below() + whole.above(), values.len() as u64);
            for (bin, count) in whole.counts().iter().enumerate() {
                let (low, high) = (whole.edges()[bin], whole.edges()[bin + 1]);
                let inside = values.iter().filter(|v| (low..high).contains(*v)).count() as u64;
                prop_assert!(*count == inside || bin == 6);
            }
            let cut = cut.min(values.len());
            let (mut left, mut right) = (Histogram::uniform(-1.0, 1.0, 7), Histogram::uniform(-1.0, 1.0, 7));
            left.extend(values[..cut].iter().copied());
            right.extend(values[cut..].iter().copied());
            left.merge(&right);
            prop_assert_eq!(left, whole);
        }
    }
}
