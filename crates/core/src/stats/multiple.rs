//! Corrections for many tests at once.
//!
//! Source: Benjamini and Hochberg 1995, J. R. Stat. Soc. B 57:289, §3.1.

/// Benjamini–Hochberg q values of `p` `[test]`: `q₍ᵢ₎ = min over j ≥ i of m p₍ⱼ₎ / j`, at most 1.
///
/// Rejecting all tests with `q ≤ α` keeps the expected share of false ones among them at `α`.
/// A NaN p is a test that was not made: its q is NaN, and it does not count in `m`.
pub fn benjamini_hochberg(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).filter(|&test| !p[test].is_nan()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut q = vec![f64::NAN; p.len()];
    let mut least = 1.0f64;
    for (place, &test) in order.iter().enumerate().rev() {
        least = least.min(p[test] * order.len() as f64 / (place + 1) as f64);
        q[test] = least;
    }
    q
}

/// Bonferroni-corrected `p` `[test]`: `min(1, m p)`; NaN stays NaN and does not count in `m`.
pub fn bonferroni(p: &[f64]) -> Vec<f64> {
    let made = p.iter().filter(|p| !p.is_nan()).count() as f64;
    p.iter().map(|&p| if p.is_nan() { p } else { (p * made).min(1.0) }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::stats::close::assert_close;

    #[test]
    fn a_table_worked_by_hand() {
        // Sorted with m p / rank: 0.01·5, 0.02·5/2, 0.03·5/3, 0.2·5/4, 0.5; minima from the right.
        let q = benjamini_hochberg(&[0.02, 0.5, f64::NAN, 0.01, 0.2, 0.03]);
        for (q, expected) in q.iter().zip([0.05, 0.5, f64::NAN, 0.05, 0.25, 0.05]) {
            assert!((q - expected).abs() < 1e-12 || expected.is_nan() && q.is_nan(), "{q}");
        }
    }

    #[test]
    fn the_step_up_takes_the_minimum_from_the_right() {
        // 0.04·4/2 = 0.08 would exceed 0.05·4/3 = 0.0667 to its right.
        let q = benjamini_hochberg(&[0.001, 0.04, 0.05, 0.9]);
        for (q, expected) in q.iter().zip([0.004, 0.2 / 3.0, 0.2 / 3.0, 0.9]) {
            assert_close(*q, expected, 1e-12);
        }
    }

    #[test]
    fn bonferroni_multiplies_by_the_tests_made() {
        let found = bonferroni(&[0.01, f64::NAN, 0.6]);
        assert_close(found[0], 0.02, 1e-12);
        assert_close(found[2], 1.0, 0.0);
        assert!(found[1].is_nan());
    }

    proptest! {
        #[test]
        fn q_keeps_the_order_and_lies_between_p_and_bonferroni(
            p in prop::collection::vec(0.0f64..=1.0, 0..50)
        ) {
            let (q, strict) = (benjamini_hochberg(&p), bonferroni(&p));
            for a in 0..p.len() {
                prop_assert!(p[a] - 1e-12 <= q[a] && q[a] <= strict[a] + 1e-12 && q[a] <= 1.0);
                for b in 0..p.len() {
                    prop_assert!(p[a] > p[b] || q[a] <= q[b]);
                }
            }
        }
    }
}
