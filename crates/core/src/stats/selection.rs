//! Which samples to show of a feature: the strongest, a fair draw, and a draw from each quantile.
//!
//! All depend only on the values, the sample indices and the seed, never on the order of arrival,
//! the blocks or the threads.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// A sample and its value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Example {
    /// The sample's index.
    pub sample: u64,
    /// Its value.
    pub value: f32,
}

/// The order of examples: greater values first, equal ones by lower sample index.
pub fn by_strength(a: &Example, b: &Example) -> Ordering {
    // Adding 0 makes the two zeros one.
    (b.value + 0.0).total_cmp(&(a.value + 0.0)).then(a.sample.cmp(&b.sample))
}

/// An example that is the greater, the less it is wanted.
#[derive(Clone, Debug)]
struct Ranked<K> {
    key: K,
    example: Example,
}

impl<K: Ord> PartialEq for Ranked<K> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<K: Ord> Eq for Ranked<K> {}

impl<K: Ord> PartialOrd for Ranked<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K: Ord> Ord for Ranked<K> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key).then_with(|| by_strength(&self.example, &other.example))
    }
}

fn keep<K: Ord>(heap: &mut BinaryHeap<Ranked<K>>, size: usize, ranked: Ranked<K>) {
    if heap.len() < size {
        heap.push(ranked);
    } else if let Some(mut worst) = heap.peek_mut()
        && ranked < *worst
    {
        *worst = ranked;
    }
}

/// The `size` strongest samples of a stream, mergeable.
#[derive(Clone, Debug)]
pub struct Strongest {
    size: usize,
    heap: BinaryHeap<Ranked<()>>,
}

impl Strongest {
    /// Keeps the `size` strongest.
    pub fn new(size: usize) -> Self {
        Self { size, heap: BinaryHeap::new() }
    }

    /// Takes one sample in; NaN is left out.
    pub fn push(&mut self, sample: u64, value: f32) {
        if !value.is_nan() {
            keep(&mut self.heap, self.size, Ranked { key: (), example: Example { sample, value } });
        }
    }

    /// Takes in all that another stream has kept.
    pub fn merge(&mut self, other: &Self) {
        for ranked in &other.heap {
            keep(&mut self.heap, self.size, ranked.clone());
        }
    }

    /// The strongest, in the order of [`by_strength`].
    pub fn examples(&self) -> Vec<Example> {
        let mut kept: Vec<Example> = self.heap.iter().map(|ranked| ranked.example).collect();
        kept.sort_by(by_strength);
        kept
    }
}

/// The `size` strongest of `values` `[sample]`, equal ones by lower sample index.
pub fn strongest(values: &[f32], size: usize) -> Vec<Example> {
    let mut kept = Strongest::new(size);
    for (sample, &value) in (0..).zip(values) {
        kept.push(sample, value);
    }
    kept.examples()
}

/// A fair draw of `size` samples of a stream, mergeable: those with the least hash of seed and index.
#[derive(Clone, Debug)]
pub struct Reservoir {
    size: usize,
    seed: u64,
    heap: BinaryHeap<Ranked<u64>>,
}

impl Reservoir {
    /// Draws `size` samples by `seed`.
    pub fn new(size: usize, seed: u64) -> Self {
        Self { size, seed, heap: BinaryHeap::new() }
    }

    /// Takes one sample in; NaN is left out.
    pub fn push(&mut self, sample: u64, value: f32) {
        if !value.is_nan() {
            let ranked =
                Ranked { key: hash(self.seed, sample), example: Example { sample, value } };
            keep(&mut self.heap, self.size, ranked);
        }
    }

    /// Takes in all that another draw of the same seed has kept.
    ///
    /// # Panics
    /// When the seeds differ: the union would not be a fair draw.
    pub fn merge(&mut self, other: &Self) {
        assert_eq!(self.seed, other.seed, "seeds of the two draws");
        for ranked in &other.heap {
            keep(&mut self.heap, self.size, ranked.clone());
        }
    }

    /// The samples drawn, in ascending order of their index.
    pub fn examples(&self) -> Vec<Example> {
        let mut kept: Vec<Example> = self.heap.iter().map(|ranked| ranked.example).collect();
        kept.sort_by_key(|example| example.sample);
        kept
    }
}

/// A fair draw of at most `each` examples from each of `quantiles` equal parts of `examples` by
/// strength, `[quantile][example]`, the strongest part first; within a part by strength.
///
/// NaN is left out. With fewer examples than parts some parts are empty.
pub fn from_quantiles(
    examples: &[Example],
    quantiles: usize,
    each: usize,
    seed: u64,
) -> Vec<Vec<Example>> {
    let mut sorted: Vec<Example> =
        examples.iter().copied().filter(|example| !example.value.is_nan()).collect();
    sorted.sort_by(by_strength);
    let bound = |part: usize| sorted.len() * part / quantiles;
    let draw = |part: usize| {
        let mut drawn = Reservoir::new(each, seed);
        for example in &sorted[bound(part)..bound(part + 1)] {
            drawn.push(example.sample, example.value);
        }
        let mut drawn = drawn.examples();
        drawn.sort_by(by_strength);
        drawn
    };
    (0..quantiles).map(draw).collect()
}

/// Mixes seed and index so that near indices have unlike hashes (the finaliser of SplitMix64).
fn hash(seed: u64, sample: u64) -> u64 {
    let mix = |mut bits: u64| {
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    };
    mix(mix(seed.wrapping_add(0x9e37_79b9_7f4a_7c15)) ^ sample.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn samples(examples: &[Example]) -> Vec<u64> {
        examples.iter().map(|example| example.sample).collect()
    }

    #[test]
    fn equal_values_go_by_index() {
        let found = strongest(&[1.0, 3.0, f32::NAN, 3.0, 2.0, 3.0], 2);
        assert_eq!(samples(&found), [1, 3]);
        assert_eq!(samples(&strongest(&[-0.0, 0.0, -0.0], 2)), [0, 1]);
        assert!(strongest(&[1.0], 0).is_empty());
    }

    #[test]
    fn a_draw_is_fair_over_index_and_seeds() {
        // 100 of 1000, 300 seeds: each tenth of the indices is drawn 3000 times, ± 52.
        let mut tenths = [0i32; 10];
        for seed in 0..300 {
            let mut draw = Reservoir::new(100, seed);
            (0..1000).for_each(|sample| draw.push(sample, 1.0));
            for example in draw.examples() {
                tenths[example.sample as usize / 100] += 1;
            }
        }
        assert!(tenths.iter().all(|count| (count - 3000).abs() < 260), "{tenths:?}");
    }

    #[test]
    fn quantiles_are_drawn_each_from_its_own_part() {
        let all: Vec<Example> =
            (0..100).map(|sample| Example { sample, value: (sample * 7 % 100) as f32 }).collect();
        let parts = from_quantiles(&all, 4, 5, 3);
        for (part, drawn) in parts.iter().enumerate() {
            let high = 100.0 - 25.0 * part as f32;
            assert_eq!(drawn.len(), 5);
            assert!(drawn.iter().all(|e| (high - 25.0..high).contains(&e.value)), "{drawn:?}");
            assert!(drawn.is_sorted_by(|a, b| by_strength(a, b).is_le()));
        }
        assert_ne!(parts, from_quantiles(&all, 4, 5, 4));
        let few = from_quantiles(&all[..2], 4, 5, 3);
        assert_eq!(few.iter().map(Vec::len).sum::<usize>(), 2);
    }

    proptest! {
        #[test]
        fn neither_order_nor_parts_matter(
            values in prop::collection::vec((-3i8..4).prop_map(f32::from), 0..60),
            size in 0usize..12,
            cut in 0usize..60,
        ) {
            let mut sorted: Vec<Example> =
                (0..).zip(&values).map(|(sample, &value)| Example { sample, value }).collect();
            sorted.sort_by(by_strength);
            sorted.truncate(size);
            prop_assert_eq!(strongest(&values, size), sorted.clone());

            let cut = cut.min(values.len()) as u64;
            let mut parts = [Strongest::new(size), Strongest::new(size)];
            let mut draws = [Reservoir::new(size, 5), Reservoir::new(size, 5)];
            let mut whole = Reservoir::new(size, 5);
            for (sample, &value) in (0u64..60).zip(&values).collect::<Vec<_>>().into_iter().rev() {
                let side = usize::from(sample >= cut);
                parts[side].push(sample, value);
                draws[side].push(sample, value);
            }
            for (sample, &value) in (0u64..).zip(&values) {
                whole.push(sample, value);
            }
            let [mut left, right] = parts;
            left.merge(&right);
            prop_assert_eq!(left.examples(), sorted);
            let [mut left, right] = draws;
            left.merge(&right);
            prop_assert_eq!(left.examples(), whole.examples());
            prop_assert_eq!(whole.examples().len(), size.min(values.len()));
        }
    }
}
