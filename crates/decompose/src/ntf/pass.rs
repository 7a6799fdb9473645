//! One pass over a tensor: the products that all three modes need, with each block read once.
//!
//! `M_a[p] = Σ_{w,t} A[p,w,t] (f_w[w] ∘ f_t[t])` moves the pair's row of `F_a`; while the block lies in
//! cache, `B[w,t] = Σ_p A[p,w,t] f_a[p]` of the moved rows is added up, from which the next step has
//! `M_t[t] = Σ_w B[w,t] ∘ f_w[w]` and `M_w[w] = Σ_t B[w,t] ∘ f_t[t]`.
//!
//! Source: Phan, Tichavský, Cichocki 2013, §III (products shared between modes).
//! Memory: `[animal, time, component]` once in f64 and once in f32 for each of 16 stripes.

use ndarray::{Array2, Axis};
use nissl_core::Result;
use nissl_kernels::thin;
use rayon::prelude::*;

use super::factors::{Factors, PairGrams, PairView};
use super::tensor::PairTensor;

/// What a pass gave.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// `B` `[animal × time, component]`.
    pub(super) products: Array2<f64>,
    /// Gram matrices of the pair factor.
    pub(super) grams: PairGrams,
    /// `⟨A, Â⟩`.
    pub(super) inner: f64,
    /// `‖Â‖²` over what was observed.
    pub(super) square: f64,
    /// `M_a` `[pair, component]`.
    pub(super) pair_products: Array2<f64>,
}

impl Seen {
    /// `‖A − Â‖²` over what was observed.
    pub(super) fn error(&self, tensor: &PairTensor) -> f64 {
        (tensor.square() - 2.0 * self.inner + self.square).max(0.0)
    }

    /// `‖A − Â‖ / ‖A‖`.
    pub(super) fn relative_error(&self, tensor: &PairTensor) -> f64 {
        (self.error(tensor) / tensor.square()).sqrt()
    }

    /// `M_t` `[time, component]`.
    pub(super) fn for_times(&self, animals: &Array2<f64>) -> Array2<f64> {
        let rank = animals.ncols();
        let times = self.products.nrows() / animals.nrows();
        let mut out = Array2::zeros((times, rank));
        for (animal, block) in self.products.axis_chunks_iter(Axis(0), times).enumerate() {
            out += &(&block * &animals.row(animal));
        }
        out
    }

    /// `M_w` `[animal, component]`.
    pub(super) fn for_animals(&self, times: &Array2<f64>) -> Array2<f64> {
        let animals = self.products.nrows() / times.nrows();
        let mut out = Array2::zeros((animals, times.ncols()));
        let blocks = self.products.axis_chunks_iter(Axis(0), times.nrows());
        for (mut out, block) in out.rows_mut().into_iter().zip(blocks) {
            out.assign(&(&block * times).sum_axis(Axis(0)));
        }
        out
    }
}

/// Moves every row of the pair factor by `step(row, M_a[p], Gram)` and gives the products with the moved rows.
///
/// # Errors
/// Rows that cannot be had.
pub(super) fn pass(
    tensor: &PairTensor,
    factors: &mut Factors,
    step: impl Fn(&mut [f64], &[f64], &[f64]) + Sync,
) -> Result<Seen> {
    factors.lay_out();
    let rank = factors.rank();
    let columns = rank.next_multiple_of(thin::GROUP);
    let [pairs, animals, times] = tensor.shape();
    let width = animals * times;
    let right = khatri_rao(factors, columns);
    let view = PairView::new(&factors.times, &factors.animals);
    let mut pair_products = Array2::zeros((pairs, rank));
    let stripe = tensor.stripe();
    let parts = tensor
        .stripes()
        .into_par_iter()
        .zip(factors.pairs.axis_chunks_iter_mut(Axis(0), stripe))
        .zip(pair_products.axis_chunks_iter_mut(Axis(0), stripe))
        .map(|((range, mut rows), mut kept)| {
            let mut part = Part {
                products: vec![0f32; width * columns],
                grams: PairGrams::zeros(tensor, rank),
                inner: 0.0,
                square: 0.0,
            };
            let (mut products, mut left, mut own) = (Vec::new(), Vec::new(), Vec::new());
            let first = range.start;
            tensor.blocks(range, |block, values| {
                products.resize(block.len() * columns, 0.0);
                thin::times(values, &right, columns, &mut products);
                left.clear();
                left.resize(block.len() * columns, 0f32);
                let lines = products.chunks_exact(columns).zip(left.chunks_exact_mut(columns));
                for (pair, (product, left)) in block.zip(lines) {
                    let partial = tensor.partial(pair);
                    let gram = view.gram(partial, &mut own);
                    let product = &product[..rank];
                    let mut row = rows.row_mut(pair - first);
                    let Some(row) = row.as_slice_mut() else { continue };
                    if partial.is_some_and(|seen| !seen.contains(&true)) {
                        // No animal has the pair, whatever its row holds.
                        row.fill(0.0);
                        continue;
                    }
                    step(row, product, gram);
                    for (left, &value) in left.iter_mut().zip(&*row) {
                        *left = value as f32;
                    }
                    part.grams.add(row, partial);
                    part.inner += dot(row, product);
                    part.square += quadratic(row, gram);
                    kept.row_mut(pair - first).iter_mut().zip(product).for_each(|(k, p)| *k = *p);
                }
                thin::add_transposed_times(values, &left, columns, &mut part.products);
                Ok(())
            })?;
            Ok(part)
        })
        .collect::<Result<Vec<Part>>>()?;
    let mut seen = Seen {
        products: Array2::zeros((width, rank)),
        grams: PairGrams::zeros(tensor, rank),
        inner: 0.0,
        square: 0.0,
        pair_products,
    };
    for part in &parts {
        for (mut out, line) in
            seen.products.rows_mut().into_iter().zip(part.products.chunks_exact(columns))
        {
            out.iter_mut().zip(line).for_each(|(out, &value)| *out += f64::from(value));
        }
        seen.grams.merge(&part.grams);
        seen.inner += part.inner;
        seen.square += part.square;
    }
    Ok(seen)
}

/// What one stripe gives.
struct Part {
    products: Vec<f32>,
    grams: PairGrams,
    inner: f64,
    square: f64,
}

/// `f_w[w] ∘ f_t[t]`, `[animal, time, column]`, with zeros in the columns beyond the rank.
fn khatri_rao(factors: &Factors, columns: usize) -> Vec<f32> {
    let (animals, times) = (&factors.animals, &factors.times);
    let mut out = vec![0f32; animals.nrows() * times.nrows() * columns];
    let mut lines = out.chunks_exact_mut(columns);
    for animal in animals.rows() {
        for time in times.rows() {
            let Some(line) = lines.next() else { return out };
            for (out, (a, t)) in line.iter_mut().zip(animal.iter().zip(time)) {
                *out = (a * t) as f32;
            }
        }
    }
    out
}

pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `xᵀ G x`.
pub(super) fn quadratic(x: &[f64], gram: &[f64]) -> f64 {
    x.iter().zip(gram.chunks_exact(x.len().max(1))).map(|(value, line)| value * dot(line, x)).sum()
}

/// The sum of squared residuals entry by entry, in double precision: exact where the error is small.
///
/// # Errors
/// Rows that cannot be had.
pub(super) fn residual(tensor: &PairTensor, factors: &Factors) -> Result<f64> {
    let [_, _, times] = tensor.shape();
    let width = tensor.shape()[1] * times;
    let parts = tensor.stripes().into_par_iter().map(|range| {
        let mut sum = 0.0;
        tensor.blocks(range, |block, values| {
            for (pair, row) in block.zip(values.chunks_exact(width)) {
                let of_pair = factors.pairs.row(pair);
                for (animal, row) in row.chunks_exact(times).enumerate() {
                    if !tensor.is_observed(pair, animal) {
                        continue;
                    }
                    let weights = &of_pair * &factors.animals.row(animal);
                    let rebuilt = factors.times.dot(&weights);
                    sum += row
                        .iter()
                        .zip(&rebuilt)
                        .map(|(&a, b)| (f64::from(a) - b).powi(2))
                        .sum::<f64>();
                }
            }
            Ok(())
        })?;
        Ok(sum)
    });
    Ok(parts.collect::<Result<Vec<f64>>>()?.iter().sum())
}
