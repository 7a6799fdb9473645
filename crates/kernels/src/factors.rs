//! Coordinate descent on non-negative coefficients, and products with features of few units.
//!
//! Many samples at once: `min ½ gᵀ Q g − pᵀ g` over `g ≥ 0` for each, where `Q = ZᵀZ` is the same for
//! all and `p = Zᵀ a` is the sample's own. A sweep sets each coefficient to its optimum in turn.
//!
//! Source: Cichocki and Phan 2009, §3 (hierarchical alternating least squares).
//! Memory: the overlaps that are not zero, and 128 numbers a feature for each thread.

use rayon::prelude::*;

use crate::gemm::{Into, MatRef, Number, Threads, product};
use crate::simd::factors::{LANES, Rows, sum_rows, sweep};

/// Blocks of rows that a product is cut into, and the fewest rows of one.
const BLOCKS: usize = 8;
const LEAST_BLOCK: usize = 32;

/// Which features overlap, and by how much: `Q = ZᵀZ` without its zeros.
#[derive(Clone, Debug, PartialEq)]
pub struct Overlaps {
    starts: Vec<usize>,
    others: Vec<u32>,
    weights: Vec<f32>,
    squares: Vec<f32>,
    inverses: Vec<f32>,
}

impl Overlaps {
    /// Of inner products `gram` `[feature, feature]`, row-major.
    ///
    /// # Panics
    ///
    /// When `gram` is not square.
    pub fn new(gram: &[f64], features: usize) -> Self {
        assert_eq!(gram.len(), features * features, "inner products of {features} features");
        let mut overlaps = Self {
            starts: vec![0],
            others: Vec::new(),
            weights: Vec::new(),
            squares: Vec::with_capacity(features),
            inverses: Vec::with_capacity(features),
        };
        for (feature, row) in gram.chunks(features.max(1)).enumerate() {
            for (other, &weight) in row.iter().enumerate() {
                if other != feature && weight != 0.0 {
                    overlaps.others.push(other as u32);
                    overlaps.weights.push(weight as f32);
                }
            }
            overlaps.starts.push(overlaps.others.len());
            let square = row[feature] as f32;
            overlaps.squares.push(square);
            let inverse = 1.0 / square;
            overlaps.inverses.push(if inverse.is_finite() { inverse } else { 0.0 });
        }
        overlaps
    }

    /// The number of features.
    pub fn features(&self) -> usize {
        self.squares.len()
    }

    /// Moves `coefficients` `[feature, sample]` by `sweeps` sweeps towards `products`
    /// `[feature, sample]`, the inner products of features and samples. Writes how much of each
    /// sample's square is explained, `‖a‖² − ‖a − Z g‖²`, into `explained`.
    ///
    /// No coefficient ends below 0, and each sample's error never rises. The bytes do not depend on
    /// the number of threads.
    ///
    /// # Panics
    ///
    /// When the sizes do not fit.
    pub fn sweep(
        &self,
        products: &[f32],
        coefficients: &mut [f32],
        sweeps: usize,
        explained: &mut [f64],
    ) {
        let (features, samples) = (self.features(), explained.len());
        assert_eq!(products.len(), features * samples, "products");
        assert_eq!(coefficients.len(), features * samples, "coefficients");
        let rows = Rows {
            starts: &self.starts,
            others: &self.others,
            weights: &self.weights,
            squares: &self.squares,
            inverses: &self.inverses,
        };
        // A block of columns each: rows are cut up first, so that blocks can be moved in parallel.
        let mut blocks: Vec<Vec<&mut [f32]>> = Vec::new();
        blocks.resize_with(samples.div_ceil(LANES), || Vec::with_capacity(features));
        for row in coefficients.chunks_mut(samples.max(1)) {
            for (block, part) in blocks.iter_mut().zip(row.chunks_mut(LANES)) {
                block.push(part);
            }
        }
        let memory = || (vec![[0f32; LANES]; features], vec![[0f32; LANES]; features]);
        blocks.par_iter_mut().zip(explained.par_chunks_mut(LANES)).enumerate().for_each_init(
            memory,
            |(p, g), (number, (block, explained))| {
                let (first, width) = (number * LANES, explained.len());
                for (feature, part) in block.iter().enumerate() {
                    g[feature][..width].copy_from_slice(part);
                    let from = feature * samples + first;
                    p[feature][..width].copy_from_slice(&products[from..from + width]);
                }
                let mut lanes = [0.0; LANES];
                sweep(rows, p, g, sweeps, &mut lanes);
                for (part, moved) in block.iter_mut().zip(&*g) {
                    part.copy_from_slice(&moved[..width]);
                }
                explained.copy_from_slice(&lanes[..width]);
            },
        );
    }
}

/// Adds the inner products of the rows of `left` `[row, inner]` and `right` `[column, inner]` to `out`
/// `[row, column]`. The bytes do not depend on the number of threads.
///
/// # Panics
///
/// When the sizes do not fit.
pub fn add_inner_products<T: Number>(left: &[T], right: &[T], inner: usize, out: &mut [T]) {
    if left.is_empty() || right.is_empty() {
        return;
    }
    let (rows, columns) = (left.len() / inner, right.len() / inner);
    let right = MatRef::row_major(right, columns, inner).transposed();
    assert_eq!(left.len(), rows * inner, "{rows} rows of {inner}");
    assert_eq!(out.len(), rows * columns, "{rows} rows of {columns}");
    // Each block on one thread: how a product is cut up changes the order of its sums.
    let block = rows.div_ceil(BLOCKS).max(LEAST_BLOCK);
    out.par_chunks_mut(block * columns).zip(left.par_chunks(block * inner)).for_each(
        |(out, left)| {
            let left = MatRef::row_major(left, left.len() / inner, inner);
            product(left, right, out, columns, Into::Add, Threads::One);
        },
    );
}

/// Adds up rows of `matrix`, each `out.len()` wide: `out = Σ weights[i] · matrix[rows[i]]`.
///
/// # Panics
///
/// When there are not as many weights as rows, or a row lies beyond the end of `matrix`.
pub fn weighted_rows(matrix: &[f32], rows: &[u32], weights: &[f32], out: &mut [f32]) {
    let width = out.len();
    assert_eq!(rows.len(), weights.len(), "a weight for each row");
    let last = rows.iter().copied().max().map_or(0, |row| row as usize + 1);
    assert!(last * width <= matrix.len(), "row {last} of {} numbers", matrix.len());
    sum_rows(matrix, width, rows, weights, out);
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
    fn sweeps_end_at_the_optimum_of_every_sample_and_say_its_error() {
        let (features, units, samples) = (7, 20, 150);
        let z = numbers(features * units, 1);
        let a = numbers(units * samples, 2);
        let at = |f: usize, u: usize| f64::from(z[f * units + u]);
        let mut gram = vec![0.0; features * features];
        let mut products = vec![0f32; features * samples];
        for f in 0..features {
            for other in 0..features {
                gram[f * features + other] = (0..units).map(|u| at(f, u) * at(other, u)).sum();
            }
            for s in 0..samples {
                let sum: f64 = (0..units).map(|u| at(f, u) * f64::from(a[u * samples + s])).sum();
                products[f * samples + s] = sum as f32;
            }
        }
        let overlaps = Overlaps::new(&gram, features);
        let error = |g: &[f32], s: usize| -> f64 {
            let residual = |u: usize| {
                let fit: f64 =
                    (0..features).map(|f| at(f, u) * f64::from(g[f * samples + s])).sum();
                f64::from(a[u * samples + s]) - fit
            };
            (0..units).map(|u| residual(u).powi(2)).sum()
        };
        let mut g: Vec<f32> = numbers(features * samples, 3).iter().map(|g| g.abs()).collect();
        let mut explained = vec![0.0; samples];
        let mut before: Vec<f64> = (0..samples).map(|s| error(&g, s)).collect();
        for sweeps in [1, 1, 3, 200] {
            overlaps.sweep(&products, &mut g, sweeps, &mut explained);
            assert!(g.iter().all(|&g| g >= 0.0));
            for s in 0..samples {
                let now = error(&g, s);
                assert!(now <= before[s] + 1e-5, "{now} {}", before[s]);
                let square: f64 = (0..units).map(|u| f64::from(a[u * samples + s]).powi(2)).sum();
                assert!((square - explained[s] - now).abs() < 1e-4, "{now}");
                before[s] = now;
            }
        }
        // The slope is zero where a coefficient is not, and does not point down where it is.
        for s in 0..samples {
            for f in 0..features {
                let slope: f64 = (0..features)
                    .map(|other| gram[f * features + other] * f64::from(g[other * samples + s]))
                    .sum::<f64>()
                    - f64::from(products[f * samples + s]);
                let fine =
                    if g[f * samples + s] > 0.0 { slope.abs() < 1e-3 } else { slope > -1e-3 };
                assert!(fine, "{slope} {}", g[f * samples + s]);
            }
        }
    }

    #[test]
    fn a_feature_that_is_zero_gets_no_coefficients() {
        let overlaps = Overlaps::new(&[0.0, 0.0, 0.0, 4.0], 2);
        let mut g = vec![5.0, 5.0, 1.0, 1.0];
        let mut explained = vec![0.0; 2];
        overlaps.sweep(&[0.0, 0.0, 2.0, -2.0], &mut g, 1, &mut explained);
        assert_eq!(g, [0.0, 0.0, 0.5, 0.0]);
        assert_eq!(explained, [1.0, 0.0]);
    }

    #[test]
    fn inner_products_are_added_with_the_same_bytes_on_one_thread_and_on_many() {
        for (rows, columns, inner) in [(1, 1, 3), (300, 7, 65), (33, 40, 128)] {
            let (left, right) = (numbers(rows * inner, 5), numbers(columns * inner, 6));
            let on = |threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                let mut out = vec![1f32; rows * columns];
                pool.expect("starts")
                    .install(|| add_inner_products(&left, &right, inner, &mut out));
                out
            };
            let out = on(1);
            assert_eq!(out, on(3));
            for (place, &found) in out.iter().enumerate() {
                let a = &left[place / columns * inner..][..inner];
                let b = &right[place % columns * inner..][..inner];
                let truth: f32 = 1.0 + a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
                assert!((truth - found).abs() < 1e-4, "{truth} {found}");
            }
        }
        add_inner_products::<f32>(&[], &[], 0, &mut []);
    }

    #[test]
    fn weighted_rows_are_added_up_at_every_width() {
        for width in [1, 15, 16, 130, 200, 256] {
            let matrix = numbers(9 * width, 4);
            let (rows, weights) = ([1u32, 4, 8], [2.0f32, -1.0, 0.5]);
            let mut out = vec![7.0; width];
            weighted_rows(&matrix, &rows, &weights, &mut out);
            for (column, &found) in out.iter().enumerate() {
                let truth: f32 = rows
                    .iter()
                    .zip(&weights)
                    .map(|(&r, w)| w * matrix[r as usize * width + column])
                    .sum();
                assert!((truth - found).abs() < 1e-5, "{width}: {truth} {found}");
            }
        }
    }
}
