//! Entropy and divergences of distributions, given as probabilities or as logits; in nats.
//!
//! `H(p) = −Σ p ln p`, `KL(p‖q) = Σ p ln (p / q)`, `JS(p, q) = ½ KL(p‖m) + ½ KL(q‖m)` with
//! `m = (p + q) / 2`, from 0 to ln 2. A logit of −∞ is a probability of 0.

/// `ln Σ exp(logit)` without overflow; −∞ of nothing.
pub fn log_sum_exp(logits: &[f32]) -> f64 {
    let greatest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if greatest.is_infinite() && !logits.iter().any(|logit| logit.is_nan()) {
        return f64::from(greatest);
    }
    let greatest = f64::from(greatest);
    greatest + logits.iter().map(|&logit| (f64::from(logit) - greatest).exp()).sum::<f64>().ln()
}

/// The logarithms of the probabilities that `logits` `[outcome]` stand for.
pub fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let total = log_sum_exp(logits);
    logits.iter().map(|&logit| f64::from(logit) - total).collect()
}

/// Entropy of probabilities `p` `[outcome]` that sum to 1.
pub fn entropy(p: &[f32]) -> f64 {
    p.iter().map(|&p| f64::from(p)).filter(|&p| p != 0.0).map(|p| -p * p.ln()).sum()
}

/// `KL(p‖q)` of probabilities, both `[outcome]`; infinite where q rules out what p allows.
///
/// # Panics
/// When their lengths differ.
pub fn kullback_leibler(p: &[f32], q: &[f32]) -> f64 {
    divergence(&wide(p), &logarithms(p), &logarithms(q))
}

/// Jensen–Shannon divergence of probabilities, both `[outcome]`.
///
/// # Panics
/// When their lengths differ.
pub fn jensen_shannon(p: &[f32], q: &[f32]) -> f64 {
    symmetric(&wide(p), &wide(q))
}

/// Entropy of the distribution of `logits` `[outcome]`.
pub fn entropy_of_logits(logits: &[f32]) -> f64 {
    let terms = log_softmax(logits).into_iter().filter(|&log| log != f64::NEG_INFINITY);
    terms.map(|log| -log.exp() * log).sum()
}

/// `KL(p‖q)` of the distributions of two rows of logits, both `[outcome]`.
///
/// # Panics
/// When their lengths differ.
pub fn kullback_leibler_of_logits(p: &[f32], q: &[f32]) -> f64 {
    let (p, q) = (log_softmax(p), log_softmax(q));
    divergence(&exponentials(&p), &p, &q)
}

/// Jensen–Shannon divergence of the distributions of two rows of logits, both `[outcome]`.
///
/// # Panics
/// When their lengths differ.
pub fn jensen_shannon_of_logits(p: &[f32], q: &[f32]) -> f64 {
    symmetric(&exponentials(&log_softmax(p)), &exponentials(&log_softmax(q)))
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

fn logarithms(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value).ln()).collect()
}

fn exponentials(values: &[f64]) -> Vec<f64> {
    values.iter().map(|value| value.exp()).collect()
}

fn divergence(p: &[f64], log_p: &[f64], log_q: &[f64]) -> f64 {
    assert_eq!(p.len(), log_q.len(), "outcomes of p and q");
    let terms = p.iter().zip(log_p).zip(log_q).filter(|((p, _), _)| **p != 0.0);
    // Rounding can bring the sum of two nearly equal distributions just below 0.
    let sum: f64 = terms.map(|((p, log_p), log_q)| p * (log_p - log_q)).sum();
    if sum.is_nan() { sum } else { sum.max(0.0) }
}

fn symmetric(p: &[f64], q: &[f64]) -> f64 {
    assert_eq!(p.len(), q.len(), "outcomes of p and q");
    let half =
        |from: f64, to: f64| if from == 0.0 { 0.0 } else { from * (2.0 * from / (from + to)).ln() };
    let sum: f64 = p.iter().zip(q).map(|(&p, &q)| half(p, q) + half(q, p)).sum();
    if sum.is_nan() { sum } else { (sum / 2.0).max(0.0) }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::LN_2;

    use proptest::prelude::*;

    use super::*;
    use crate::stats::close::assert_close;

    #[test]
    fn worked_values() {
        assert_close(entropy(&[0.25; 4]), 4f64.ln(), 1e-12);
        assert_close(entropy(&[1.0, 0.0]), 0.0, 0.0);
        let expected = 0.5 * 2f64.ln() + 0.5 * (2.0f64 / 3.0).ln();
        assert_close(kullback_leibler(&[0.5, 0.5], &[0.25, 0.75]), expected, 1e-12);
        assert!(kullback_leibler(&[0.5, 0.5], &[1.0, 0.0]).is_infinite());
        assert_close(kullback_leibler(&[1.0, 0.0], &[0.5, 0.5]), LN_2, 1e-12);
        assert_close(jensen_shannon(&[1.0, 0.0], &[0.0, 1.0]), LN_2, 1e-12);
    }

    #[test]
    fn great_logits_neither_overflow_nor_vanish() {
        assert_close(log_sum_exp(&[1e4, 1e4]), 1e4 + LN_2, 1e-9);
        assert_close(log_sum_exp(&[-1e4, -1e4]), -1e4 + LN_2, 1e-9);
        assert_close(entropy_of_logits(&[3e38, 0.0, f32::NEG_INFINITY]), 0.0, 1e-12);
        assert_close(kullback_leibler_of_logits(&[0.0, 0.0], &[0.0, -800.0]), 400.0 - LN_2, 1e-6);
        assert_close(jensen_shannon_of_logits(&[0.0, -800.0], &[-800.0, 0.0]), LN_2, 1e-12);
        assert!(log_sum_exp(&[]).is_infinite());
        assert!(entropy_of_logits(&[f32::NAN, 1.0]).is_nan());
        assert!(kullback_leibler_of_logits(&[f32::NAN, 1.0], &[1.0, 1.0]).is_nan());
    }

    proptest! {
        #[test]
        fn logits_agree_with_their_probabilities(
            rows in prop::collection::vec((-9f32..9.0, -9f32..9.0), 1..30), shift in -50f32..50.0
        ) {
            let (a, b): (Vec<f32>, Vec<f32>) = rows.into_iter().unzip();
            let probabilities = |logits: &[f32]| {
                log_softmax(logits).iter().map(|log| log.exp() as f32).collect::<Vec<_>>()
            };
            let (p, q) = (probabilities(&a), probabilities(&b));
            assert_close(entropy_of_logits(&a), entropy(&p), 1e-5);
            assert_close(kullback_leibler_of_logits(&a, &b), kullback_leibler(&p, &q), 1e-5);
            let js = jensen_shannon_of_logits(&a, &b);
            assert_close(js, jensen_shannon(&p, &q), 1e-5);
            assert_close(js, jensen_shannon_of_logits(&b, &a), 1e-12);
            prop_assert!((0.0..=LN_2 + 1e-12).contains(&js));
            prop_assert!(entropy_of_logits(&a) <= (a.len() as f64).ln() + 1e-9);
            let shifted: Vec<f32> = a.iter().map(|logit| logit + shift).collect();
            assert_close(entropy_of_logits(&shifted), entropy_of_logits(&a), 1e-4);
            assert_close(kullback_leibler_of_logits(&a, &a), 0.0, 1e-12);
        }
    }
}
