//! Numbers of pairs: the upper triangle of a matrix, row by row.

/// The number of the pair of `first < second` among `units`: `i N − i(i+1)/2 + (j − i − 1)`.
pub fn pair_index(first: usize, second: usize, units: usize) -> usize {
    first * units - first * (first + 1) / 2 + second - first - 1
}

/// The two units of a pair, the smaller first.
///
/// # Panics
/// When there are fewer pairs.
pub fn pair_at(pair: usize, units: usize) -> [usize; 2] {
    assert!(pair < units * units.saturating_sub(1) / 2, "pair {pair} of {units} units");
    let (mut first, mut last) = (0, units - 2);
    while first < last {
        let middle = (first + last).div_ceil(2);
        if pair_index(middle, middle + 1, units) <= pair {
            first = middle;
        } else {
            last = middle - 1;
        }
    }
    [first, pair - pair_index(first, first + 1, units) + first + 1]
}
