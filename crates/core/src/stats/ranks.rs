//! Ranks with ties averaged, and quantiles.

/// Bits that sort as the number does; both zeros are one, and no NaN may come in.
fn sortable(value: f32) -> u32 {
    let bits = (value + 0.0).to_bits();
    if bits >> 31 == 0 { bits | (1 << 31) } else { !bits }
}

/// The indices of `values` in ascending order of value, equal values by index; `None` with a NaN.
pub(crate) fn ascending(values: &[f32]) -> Option<Vec<u32>> {
    if values.iter().any(|value| value.is_nan()) {
        return None;
    }
    let mut keys: Vec<u64> = values
        .iter()
        .enumerate()
        .map(|(index, &value)| (u64::from(sortable(value)) << 32) | index as u64)
        .collect();
    // A key carries its index, so no two are equal and an unstable sort has one outcome.
    keys.sort_unstable();
    Some(keys.into_iter().map(|key| key as u32).collect())
}

/// Ranks of `values`, 1 to their number; equal values share the mean of their ranks.
///
/// With a NaN among the values all ranks are NaN.
pub fn average_ranks(values: &[f32]) -> Vec<f64> {
    let Some(order) = ascending(values) else {
        return vec![f64::NAN; values.len()];
    };
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    for tied in order.chunk_by(|&a, &b| values[a as usize] >= values[b as usize]) {
        let mean = start as f64 + (tied.len() + 1) as f64 / 2.0;
        for &index in tied {
            ranks[index as usize] = mean;
        }
        start += tied.len();
    }
    ranks
}

/// The `fraction` quantile (0 to 1) of `sorted`, ascending, interpolated linearly; NaN when empty.
pub fn quantile_of_sorted(sorted: &[f64], fraction: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let place = fraction.clamp(0.0, 1.0) * last as f64;
    let (low, high) = (place.floor() as usize, place.ceil() as usize);
    if low == high {
        sorted[low]
    } else {
        sorted[low] + (sorted[high] - sorted[low]) * place.fract()
    }
}

/// The quantiles of `values` at each of `fractions` (0 to 1); NaN among the values is left out.
pub fn quantiles(values: &[f32], fractions: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<f64> =
        values.iter().filter(|value| !value.is_nan()).map(|&value| f64::from(value)).collect();
    sorted.sort_by(f64::total_cmp);
    fractions.iter().map(|&fraction| quantile_of_sorted(&sorted, fraction)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::stats::close::assert_close;

    #[test]
    fn ties_share_their_mean_rank_and_both_zeros_are_one() {
        let ranks = average_ranks(&[0.0, 3.0, -0.0, -2.0, 3.0, 0.0]);
        for (rank, expected) in ranks.iter().zip([3.0, 5.5, 3.0, 1.0, 5.5, 3.0]) {
            assert_close(*rank, expected, 0.0);
        }
        assert!(average_ranks(&[1.0, f32::NAN]).iter().all(|rank| rank.is_nan()));
    }

    #[test]
    fn quantiles_interpolate() {
        let found = quantiles(&[4.0, f32::NAN, 1.0, 2.0, 3.0], &[0.0, 0.5, 0.75, 1.0]);
        for (found, expected) in found.iter().zip([1.0, 2.5, 3.25, 4.0]) {
            assert_close(*found, expected, 1e-12);
        }
        assert!(quantiles(&[], &[0.5])[0].is_nan());
    }

    proptest! {
        #[test]
        fn a_rank_counts_those_below_and_half_the_ties(
            values in prop::collection::vec((-4i8..4).prop_map(f32::from), 0..40)
        ) {
            let ranks = average_ranks(&values);
            for (value, rank) in values.iter().zip(ranks) {
                let below = values.iter().filter(|other| *other < value).count() as f64;
                let tied = values.iter().filter(|other| (*other - value).abs() < 0.5).count() as f64;
                assert_close(rank, below + f64::midpoint(tied, 1.0), 1e-9);
            }
        }

        #[test]
        fn sorting_agrees_with_comparison(values in prop::collection::vec(-1e30f32..1e30, 0..60)) {
            let order = ascending(&values).expect("no NaN");
            prop_assert!(order.windows(2).all(|p| values[p[0] as usize] <= values[p[1] as usize]));
        }
    }
}
