//! Which units features share: counts for each pair, and the core and the own units of a group.
//!
//! `B = 1[Z ≠ 0]`, `M = Bᵀ B`: an entry of `M` is the number of units two features share, and the
//! diagonal is the size of each. The core of a group is in all of its features; a unit is exclusive
//! to one feature when no other feature of the group has it.
//!
//! Source: Shafran, Geiger, Geva 2025, arXiv:2506.10920, §5.
//! Memory: one bit for each entry of the dictionary, and the counts.

use ndarray::{Array2, ArrayView1, ArrayView2};
use rayon::prelude::*;

/// The number of units that each pair of features shares `[feature, feature]`, from the directions
/// `decoder` `[feature, unit]`. Symmetric; the diagonal holds the number of units of each feature.
pub fn shared_units(decoder: ArrayView2<'_, f32>) -> Array2<u32> {
    let features = decoder.nrows();
    let sets: Vec<Vec<u64>> = decoder.rows().into_iter().map(members).collect();
    let counts: Vec<u32> = (0..features * features)
        .into_par_iter()
        .map(|at| {
            let (one, other) = (at / features, at % features);
            sets[one].iter().zip(&sets[other]).map(|(a, b)| (a & b).count_ones()).sum()
        })
        .collect();
    Array2::from_shape_fn((features, features), |(row, column)| counts[row * features + column])
}

/// The units of a group of features, by who has them; unit numbers ascend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Groups {
    /// Units in all features of the group.
    pub core: Vec<u32>,
    /// `[feature of the group]`: units in that feature and in no other of the group.
    pub exclusive: Vec<Vec<u32>>,
}

/// The core and the exclusive units of the features numbered `features`, each named once, of
/// `decoder` `[feature, unit]`. Units in some but not all of several features are in neither list;
/// a single feature's units are all core and all exclusive.
///
/// # Panics
/// A feature that `decoder` has not.
pub fn groups(decoder: ArrayView2<'_, f32>, features: &[usize]) -> Groups {
    let mut found = Groups { core: Vec::new(), exclusive: vec![Vec::new(); features.len()] };
    if features.is_empty() {
        return found;
    }
    for unit in 0..decoder.ncols() {
        let holds = |&place: &usize| decoder[[features[place], unit]] != 0.0;
        let (mut holders, mut first) = (0, None);
        for place in (0..features.len()).filter(holds) {
            holders += 1;
            first = first.or(Some(place));
        }
        if holders == features.len() {
            found.core.push(unit as u32);
        }
        if let (1, Some(place)) = (holders, first) {
            found.exclusive[place].push(unit as u32);
        }
    }
    found
}

/// The units of one feature, a bit each.
fn members(row: ArrayView1<'_, f32>) -> Vec<u64> {
    let mut bits = vec![0u64; row.len().div_ceil(64)];
    for (unit, _) in row.iter().enumerate().filter(|(_, value)| **value != 0.0) {
        bits[unit / 64] |= 1 << (unit % 64);
    }
    bits
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pairs_and_groups_are_counted_by_hand() {
        // Units 0 and 1 are the core of the first two features; signs do not matter.
        let decoder = array![
            [1.0, -1.0, 0.5, 0.0, 0.0, 0.0],
            [-2.0, 1.0, 0.0, 3.0, 4.0, 0.0],
            [0.0, 1.0, 0.0, 3.0, 0.0, 0.0]
        ];
        assert_eq!(shared_units(decoder.view()), array![[3, 2, 1], [2, 4, 2], [1, 2, 2]]);
        let two = groups(decoder.view(), &[0, 1]);
        assert_eq!((two.core, two.exclusive), (vec![0, 1], vec![vec![2], vec![3, 4]]));
        // With a third sibling unit 3 belongs to no one alone, and unit 0 is no longer core.
        let three = groups(decoder.view(), &[1, 0, 2]);
        assert_eq!((three.core, three.exclusive), (vec![1], vec![vec![4], vec![2], vec![]]));
        let one = groups(decoder.view(), &[2]);
        assert_eq!((one.core, one.exclusive), (vec![1, 3], vec![vec![1, 3]]));
        assert_eq!(groups(decoder.view(), &[]), Groups::default());
    }

    proptest! {
        #[test]
        fn counts_are_those_of_the_product(bits in proptest::collection::vec(any::<bool>(), 5 * 131)) {
            let decoder = Array2::from_shape_fn((5, 131), |(feature, unit)| {
                if bits[feature * 131 + unit] { -0.5 } else { 0.0 }
            });
            let ones = decoder.mapv(|value: f32| u32::from(value != 0.0));
            prop_assert_eq!(shared_units(decoder.view()), ones.dot(&ones.t()));
            let found = groups(decoder.view(), &[0, 3]);
            let shared = shared_units(decoder.view());
            prop_assert_eq!(found.core.len() as u32, shared[[0, 3]]);
            prop_assert_eq!(found.exclusive[0].len() as u32, shared[[0, 0]] - shared[[0, 3]]);
        }
    }
}
