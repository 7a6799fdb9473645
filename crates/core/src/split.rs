//! Held-out samples: whole sequences, never single samples of one.

use std::collections::BTreeSet;

use rand::seq::SliceRandom;

use crate::seed::rng;

/// Which samples a method may see, and which it is judged on. Both sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// Samples to fit on.
    pub fit: Vec<usize>,
    /// Samples held out.
    pub held_out: Vec<usize>,
}

/// Holds out about `fraction` of the sequences, at least one when there are two or more;
/// `sequences` gives the sequence of each sample.
///
/// A recording of one sequence is cut in time: its last samples are held out, so that neighbours
/// in time do not stand on both sides.
pub fn held_out(sequences: &[u32], fraction: f64, seed: u64) -> Split {
    let fraction = fraction.clamp(0.0, 1.0);
    let mut names: Vec<u32> =
        sequences.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
    if fraction == 0.0 {
        return Split { fit: (0..sequences.len()).collect(), held_out: Vec::new() };
    }
    if names.len() < 2 {
        let cut = ((1.0 - fraction) * sequences.len() as f64).round() as usize;
        return Split { fit: (0..cut).collect(), held_out: (cut..sequences.len()).collect() };
    }
    let count = ((names.len() as f64 * fraction).round() as usize).clamp(1, names.len() - 1);
    names.shuffle(&mut rng(seed, 0x5_1117));
    let chosen: BTreeSet<u32> = names[..count].iter().copied().collect();
    let (held_out, fit) =
        (0..sequences.len()).partition(|&sample| chosen.contains(&sequences[sample]));
    Split { fit, held_out }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_sequence_stands_on_both_sides(
            sequences in prop::collection::vec(0u32..12, 1..200),
            fraction in 0.05f64..0.9,
            seed in 0u64..100,
        ) {
            let split = held_out(&sequences, fraction, seed);
            let mut all = split.fit.clone();
            all.extend(&split.held_out);
            all.sort_unstable();
            prop_assert_eq!(all, (0..sequences.len()).collect::<Vec<_>>());
            let names = |rows: &[usize]| rows.iter().map(|&r| sequences[r]).collect::<BTreeSet<_>>();
            let several = names(&(0..sequences.len()).collect::<Vec<_>>()).len() > 1;
            if several {
                prop_assert!(names(&split.fit).is_disjoint(&names(&split.held_out)));
                prop_assert!(!split.held_out.is_empty() && !split.fit.is_empty());
            }
        }
    }

    #[test]
    fn one_sequence_is_cut_in_time() {
        let split = held_out(&[0; 10], 0.2, 1);
        assert_eq!(split.held_out, vec![8, 9]);
    }
}
