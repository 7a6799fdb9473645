//! Matching of found rows (features) to planted ones by cosine.
//!
//! Hungarian matching gives the greatest total score, greedy matching takes the best pair left.
//! Source: Kuhn 1955, doi:10.1002/nav.3800020109 (Hungarian).
//! Memory: the scores twice for Hungarian; twice, sorted, for greedy.

#![expect(clippy::needless_pass_by_value, reason = "a view is a reference already")]

use ndarray::{Array2, ArrayView2, Axis};
use pathfinding::kuhn_munkres::kuhn_munkres;
use pathfinding::matrix::Matrix;

/// Whether a row and its negative are the same direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sign {
    /// They are opposite: cosines from −1 to 1.
    #[default]
    Signed,
    /// They are the same: absolute cosines, 0 to 1.
    Absolute,
}

/// A found row and the planted row it stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    /// Index of the found row.
    pub found: usize,
    /// Index of the planted row.
    pub planted: usize,
    /// Their score.
    pub score: f64,
}

/// Cosines of every row of `found` `[feature, unit]` with every row of `planted` `[truth, unit]`, as
/// `[feature, truth]`.
///
/// A row of zeros (a dead feature) has the cosine 0 with everything; a row with a NaN has NaN.
///
/// # Panics
/// When their units differ in number.
pub fn cosines(
    found: ArrayView2<'_, f32>,
    planted: ArrayView2<'_, f32>,
    sign: Sign,
) -> Array2<f64> {
    assert_eq!(found.ncols(), planted.ncols(), "units of found and planted rows");
    let cosines = unit_rows(found).dot(&unit_rows(planted).t());
    match sign {
        Sign::Signed => cosines.mapv(|cosine| cosine.clamp(-1.0, 1.0)),
        Sign::Absolute => cosines.mapv(|cosine| cosine.abs().min(1.0)),
    }
}

fn unit_rows(rows: ArrayView2<'_, f32>) -> Array2<f64> {
    let mut rows = rows.mapv(f64::from);
    for mut row in rows.axis_iter_mut(Axis(0)) {
        let norm = row.dot(&row).sqrt();
        if norm != 0.0 {
            row /= norm;
        }
    }
    rows
}

/// The mean over planted rows of the greatest cosine with any found row; NaN without rows.
///
/// # Panics
/// When their units differ in number.
pub fn mean_max_cosine(
    found: ArrayView2<'_, f32>,
    planted: ArrayView2<'_, f32>,
    sign: Sign,
) -> f64 {
    let cosines = cosines(found, planted, sign);
    let best =
        |column: ndarray::ArrayView1<'_, f64>| column.iter().copied().fold(f64::NAN, f64::max);
    cosines.axis_iter(Axis(1)).map(best).sum::<f64>() / planted.nrows() as f64
}

/// Matches rows by cosine so that their total is greatest; pairs in the order of the planted rows.
///
/// # Panics
/// When their units differ in number.
pub fn match_rows(
    found: ArrayView2<'_, f32>,
    planted: ArrayView2<'_, f32>,
    sign: Sign,
) -> Vec<Pair> {
    hungarian(cosines(found, planted, sign).view())
}

/// Of `scores` `[found, planted]`, takes the best pair left until one side is used up; pairs in
/// descending order of score, equal ones by found, then planted row. NaN is the worst score.
pub fn greedy(scores: ArrayView2<'_, f64>) -> Vec<Pair> {
    let mut pairs: Vec<Pair> = scores
        .indexed_iter()
        .map(|((found, planted), &score)| Pair { found, planted, score })
        .collect();
    let worth = |pair: &Pair| if pair.score.is_nan() { f64::NEG_INFINITY } else { pair.score };
    pairs.sort_by(|a, b| worth(b).total_cmp(&worth(a)));
    let mut found_free = vec![true; scores.nrows()];
    let mut planted_free = vec![true; scores.ncols()];
    pairs.retain(|pair| {
        let free = found_free[pair.found] && planted_free[pair.planted];
        if free {
            found_free[pair.found] = false;
            planted_free[pair.planted] = false;
        }
        free
    });
    pairs
}

/// Of `scores` `[found, planted]`, the pairs of greatest total that use up the shorter side, in the
/// order of the planted rows. NaN is worse than any score.
///
/// Scores are compared to within 10⁻¹² of the greatest in size.
pub fn hungarian(scores: ArrayView2<'_, f64>) -> Vec<Pair> {
    if scores.is_empty() {
        return Vec::new();
    }
    let wide = scores.nrows() > scores.ncols();
    let turned = if wide { scores.t() } else { scores };
    let assigned = kuhn_munkres(&whole_numbers(turned)).1;
    let mut pairs: Vec<Pair> = assigned
        .into_iter()
        .enumerate()
        .map(|(row, column)| {
            let (found, planted) = if wide { (column, row) } else { (row, column) };
            Pair { found, planted, score: scores[[found, planted]] }
        })
        .collect();
    pairs.sort_by_key(|pair| pair.planted);
    pairs
}

/// The greatest size of a whole-number score: many of them still add up within 64 bits.
const LARGEST: f64 = (1i64 << 42) as f64;

fn whole_numbers(scores: ArrayView2<'_, f64>) -> Matrix<i64> {
    let greatest = scores
        .iter()
        .filter(|score| score.is_finite())
        .fold(f64::MIN_POSITIVE, |most, score| most.max(score.abs()));
    let mut whole = Matrix::new(scores.nrows(), scores.ncols(), 0);
    for ((row, column), &score) in scores.indexed_iter() {
        whole[(row, column)] = if score.is_nan() {
            // Worse than a change of any other pair can make good.
            -(LARGEST as i64) * 4 * scores.nrows().min(1 << 10) as i64
        } else {
            // Clamped, so that infinite scores stay in range; a cast rounds toward 0.
            ((score / greatest).clamp(-1.0, 1.0) * LARGEST).round() as i64
        };
    }
    whole
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};
    use proptest::prelude::*;
    use rand::RngExt;

    use super::*;
    use crate::stats::close::assert_close;

    fn total(pairs: &[Pair]) -> f64 {
        pairs.iter().map(|pair| pair.score).sum()
    }

    /// The greatest total over all ways to give each row its own column.
    fn best_total(scores: ArrayView2<'_, f64>, row: usize, used: u32) -> f64 {
        if row == scores.nrows() {
            return 0.0;
        }
        (0..scores.ncols())
            .filter(|column| used >> column & 1 == 0)
            .map(|column| scores[[row, column]] + best_total(scores, row + 1, used | 1 << column))
            .fold(f64::NEG_INFINITY, f64::max)
    }

    #[test]
    fn greedy_is_led_astray_where_hungarian_is_not() {
        let scores = array![[0.9, 0.8], [0.85, 0.1]];
        assert_close(total(&greedy(scores.view())), 1.0, 1e-12);
        let pairs = hungarian(scores.view());
        assert_close(total(&pairs), 1.65, 1e-12);
        assert_eq!((pairs[0].found, pairs[0].planted), (1, 0));
    }

    #[test]
    fn a_shuffled_dictionary_is_matched_back() {
        for seed in 0..4 {
            let mut rng = crate::seed::rng(seed, 0);
            let planted = Array2::from_shape_simple_fn((9, 40), || rng.random_range(-1.0..1.0f32));
            let mut found =
                Array2::from_shape_simple_fn((14, 40), || rng.random_range(-1.0..1.0f32));
            for row in 0..9 {
                let flip = if row % 2 == 0 { -3.0 } else { 0.5 };
                found.row_mut(13 - row).assign(&(&planted.row(row) * flip));
            }
            let pairs = match_rows(found.view(), planted.view(), Sign::Absolute);
            assert_eq!(pairs.len(), 9);
            for (row, pair) in pairs.iter().enumerate() {
                assert_eq!((pair.planted, pair.found), (row, 13 - row));
                assert_close(pair.score, 1.0, 1e-6);
            }
            assert_close(mean_max_cosine(found.view(), planted.view(), Sign::Absolute), 1.0, 1e-6);
            assert!(mean_max_cosine(found.view(), planted.view(), Sign::Signed) < 0.85);
            // The other way round, each planted row still finds its own.
            let back = match_rows(planted.view(), found.view(), Sign::Absolute);
            assert!(back.iter().all(|pair| pair.planted == 13 - pair.found));
        }
    }

    #[test]
    fn dead_rows_match_nothing_and_nan_is_avoided() {
        let found = array![[0.0f32, 0.0], [0.0, 2.0]];
        let planted = array![[1.0f32, 0.0], [0.0, 1.0]];
        let all = cosines(found.view(), planted.view(), Sign::Signed);
        assert_eq!(all, array![[0.0, 0.0], [0.0, 1.0]]);
        let scores = array![[f64::NAN, 0.1], [-0.9, -0.8]];
        for pairs in [hungarian(scores.view()), greedy(scores.view())] {
            assert!(pairs.iter().all(|pair| !pair.score.is_nan()));
        }
        assert!(hungarian(Array2::zeros((0, 3)).view()).is_empty());
        assert!(greedy(Array2::zeros((3, 0)).view()).is_empty());
    }

    fn matrix() -> impl Strategy<Value = Array2<f64>> {
        (1usize..6, 1usize..7).prop_flat_map(|(rows, columns)| {
            prop::collection::vec(-1.0f64..1.0, rows * columns)
                .prop_map(move |v| Array2::from_shape_vec((rows, columns), v).expect("fits"))
        })
    }

    proptest! {
        #[test]
        fn hungarian_is_the_best_of_all_and_never_below_greedy(scores in matrix()) {
            let (best, quick) = (hungarian(scores.view()), greedy(scores.view()));
            let tall = scores.nrows() > scores.ncols();
            let exact =
                if tall { best_total(scores.t(), 0, 0) } else { best_total(scores.view(), 0, 0) };
            assert_close(total(&best), exact, 1e-9);
            prop_assert!(total(&quick) <= exact + 1e-9);
            for pairs in [&best, &quick] {
                prop_assert_eq!(pairs.len(), scores.nrows().min(scores.ncols()));
                for (n, a) in pairs.iter().enumerate() {
                    let clash = |b: &Pair| a.found == b.found || a.planted == b.planted;
                    prop_assert!(!pairs[n + 1..].iter().any(clash));
                }
            }
            let scaled = hungarian((&scores * 1e-20).view());
            prop_assert!((total(&scaled) * 1e20 - exact).abs() < 1e-6);
        }
    }
}
