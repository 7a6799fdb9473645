//! Products of a block of rows with a matrix of few columns, both ways, while the block lies in cache.
//!
//! What tensor factorisations need in each step: the block is read from memory once for both.
//! Memory: none beyond the arguments.

use crate::simd::thin;

/// Columns come in multiples of this; the rest must be padded with zeros.
pub const GROUP: usize = 8;

/// `out = block right`: `block` `[row, inner]`, `right` `[inner, column]`, `out` `[row, column]`, all
/// row-major. Sums of 256 terms in single precision are added up in double.
///
/// # Panics
///
/// When the sizes do not fit, or the columns are no multiple of [`GROUP`].
pub fn times(block: &[f32], right: &[f32], columns: usize, out: &mut [f64]) {
    let inner = check(columns, right.len());
    assert_eq!(out.len() / columns * inner, block.len(), "rows of {inner}");
    assert_eq!(out.len() % columns, 0, "rows of {columns}");
    if inner > 0 {
        thin::times(block, inner, right, columns, out);
    }
}

/// `out += blockᵀ left`: `block` `[row, inner]`, `left` `[row, column]`, `out` `[inner, column]`, all
/// row-major.
///
/// # Panics
///
/// As in [`times`].
pub fn add_transposed_times(block: &[f32], left: &[f32], columns: usize, out: &mut [f32]) {
    let inner = check(columns, out.len());
    assert_eq!(left.len() / columns * inner, block.len(), "rows of {inner}");
    assert_eq!(left.len() % columns, 0, "rows of {columns}");
    if inner > 0 {
        thin::add_transposed(block, inner, left, columns, out);
    }
}

fn check(columns: usize, numbers: usize) -> usize {
    assert!(columns > 0 && columns.is_multiple_of(GROUP), "{columns} columns");
    assert_eq!(numbers % columns, 0, "rows of {columns}");
    numbers / columns
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, seed: u64) -> Vec<f32> {
        let mut state = seed;
        (0..count)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                ((state >> 40) as f32) / 8_388_608.0 - 1.0
            })
            .collect()
    }

    #[test]
    fn both_products_are_those_of_the_schoolbook() {
        for (rows, inner, columns) in
            [(1, 1, 8), (8, 300, 16), (13, 257, 24), (17, 33, 40), (0, 5, 8)]
        {
            let block = numbers(rows * inner, 1);
            let (right, left) = (numbers(inner * columns, 2), numbers(rows * columns, 3));
            let mut out = vec![9.0; rows * columns];
            times(&block, &right, columns, &mut out);
            for (at, found) in out.iter().enumerate() {
                let (row, column) = (at / columns, at % columns);
                let truth: f64 = (0..inner)
                    .map(|k| {
                        f64::from(block[row * inner + k]) * f64::from(right[k * columns + column])
                    })
                    .sum();
                assert!((truth - found).abs() < 1e-4, "{rows} {inner} {columns}: {truth} {found}");
            }
            let mut out = vec![1.0; inner * columns];
            add_transposed_times(&block, &left, columns, &mut out);
            for (at, &found) in out.iter().enumerate() {
                let (k, column) = (at / columns, at % columns);
                let truth: f64 = (0..rows)
                    .map(|row| {
                        f64::from(block[row * inner + k]) * f64::from(left[row * columns + column])
                    })
                    .sum();
                assert!((1.0 + truth - f64::from(found)).abs() < 1e-4, "{truth} {found}");
            }
        }
    }
}
