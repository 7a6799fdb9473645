//! Core consistency: how nearly the best core of a factorisation is the one that it assumes.
//!
//! `G = A ×₁ F_t⁺ ×₂ F_w⁺ ×₃ F_a⁺` with `λ` in the pair factor; `100 (1 − Σ (g_def − δ_def)² / R)`. About 100
//! where the components are needed as they are, low or negative where there are too many. What an animal lacks is
//! filled in by the factorisation.
//!
//! Source: Bro and Kiers 2003, §3 (CORCONDIA).
//! Memory: `[animal, time, component]`; nothing is inverted but `[component, component]`.

use ndarray::Array2;
use nissl_core::Result;

use super::factors::gram;
use super::pass::pass;
use super::restarts::Fit;
use super::tensor::PairTensor;

/// Eigenvalues below this fraction of the largest count as zero.
const SINGULAR: f64 = 1e-10;

/// The core consistency of `fit`, at most 100.
///
/// # Errors
/// Rows that cannot be had.
pub fn core_consistency(tensor: &PairTensor, fit: &Fit) -> Result<f64> {
    let mut factors = fit.scaled();
    let rank = factors.rank();
    let seen = pass(tensor, &mut factors, |_, _, _| {})?;
    let all = gram(&factors.pairs);
    let mut products = seen.products.clone();
    let [_, animals, times] = tensor.shape();
    if !tensor.is_whole() {
        for animal in 0..animals {
            let own = Array2::from_shape_vec((rank, rank), seen.grams.of_animal(animal));
            let missing = &all - &own.unwrap_or_default();
            let weights = &factors.times * &factors.animals.row(animal);
            let filled = weights.dot(&missing);
            let mut part =
                products.slice_mut(ndarray::s![animal * times..(animal + 1) * times, ..]);
            part += &filled;
        }
    }
    let by_pair = products.dot(&inverse(&all));
    let of_times = inverse(&gram(&factors.times)).dot(&factors.times.t());
    let of_animals = inverse(&gram(&factors.animals)).dot(&factors.animals.t());
    let mut off = 0.0;
    for third in 0..rank {
        let column = by_pair.column(third).to_owned();
        let Ok(matrix) = column.into_shape_with_order((animals, times)) else { continue };
        let core = of_animals.dot(&matrix).dot(&of_times.t());
        for ((a, t), &value) in core.indexed_iter() {
            let ideal = if a == t && t == third { 1.0 } else { 0.0 };
            off += (value - ideal).powi(2);
        }
    }
    Ok(100.0 * (1.0 - off / rank as f64))
}

/// The inverse of a Gram matrix, without the directions in which it is zero.
fn inverse(gram: &Array2<f64>) -> Array2<f64> {
    let size = gram.nrows();
    let matrix = faer::Mat::from_fn(size, size, |row, column| gram[[row, column]]);
    let Ok(eigen) = matrix.self_adjoint_eigen(faer::Side::Lower) else {
        return Array2::zeros((size, size));
    };
    let largest = (0..size).map(|n| eigen.S()[n]).fold(0.0, f64::max);
    let mut out = Array2::zeros((size, size));
    for n in 0..size {
        let value = eigen.S()[n];
        if value > SINGULAR * largest {
            for row in 0..size {
                for column in 0..size {
                    out[[row, column]] += eigen.U()[(row, n)] * eigen.U()[(column, n)] / value;
                }
            }
        }
    }
    out
}
