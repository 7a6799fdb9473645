//! Multiplicative updates, for comparison: slower than the others.
//!
//! `F ← F ∘ M / (F G + ε)`, mode by mode, with `M` and `G` as in [`super::hals`]; an entry that is zero
//! stays zero.
//!
//! Source: Lee and Seung 1999; Welling and Weber 2001, §3 (tensors).
//! Memory: as [`super::hals`].

/// Keeps quotients finite where nothing is explained.
const LEAST: f64 = 1e-12;

/// One multiplicative step of a row, `sweeps` times over.
pub(super) fn multiplicative(row: &mut [f64], product: &[f64], gram: &[f64], sweeps: usize) {
    let rank = row.len();
    let mut factors = vec![0.0; rank];
    for _ in 0..sweeps {
        for (r, factor) in factors.iter_mut().enumerate() {
            let fitted = super::pass::dot(&gram[r * rank..][..rank], row);
            *factor = product[r].max(0.0) / (fitted + LEAST * product[r].abs() + f64::MIN_POSITIVE);
        }
        row.iter_mut().zip(&factors).for_each(|(value, factor)| *value *= factor);
    }
}
