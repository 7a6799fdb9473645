//! The factors of a tensor, and small matrices that are made of them.

use ndarray::{Array1, Array2, ArrayView1, Axis};
use rand::RngExt;

use super::tensor::PairTensor;

/// Non-negative factors, a column for each component: `A ≈ Σ_r f_a^r ∘ f_w^r ∘ f_t^r`.
#[derive(Clone, Debug, PartialEq)]
pub struct Factors {
    /// `[time, component]`
    pub times: Array2<f64>,
    /// `[animal, component]`
    pub animals: Array2<f64>,
    /// `[pair, component]`
    pub pairs: Array2<f64>,
}

impl Factors {
    /// Numbers drawn evenly from 0 to 1.
    pub(super) fn drawn(shape: [usize; 3], rank: usize, seed: u64, stream: u64) -> Self {
        let mut rng = nissl_core::seed::rng(seed, stream);
        let mut draw =
            |rows: usize| Array2::from_shape_simple_fn((rows, rank), || rng.random::<f64>());
        let [pairs, animals, times] = shape;
        Self { times: draw(times), animals: draw(animals), pairs: draw(pairs) }
    }

    /// The number of components.
    pub fn rank(&self) -> usize {
        self.pairs.ncols()
    }

    /// Time, animal and pair factors.
    pub(super) fn modes(&self) -> [&Array2<f64>; 3] {
        [&self.times, &self.animals, &self.pairs]
    }

    fn modes_mut(&mut self) -> [&mut Array2<f64>; 3] {
        [&mut self.times, &mut self.animals, &mut self.pairs]
    }

    /// Scales all columns to unit 2-norm, strongest component first, and gives the scales `λ`. A component
    /// that is zero stays so, with `λ = 0`.
    pub fn normalise(&mut self) -> Array1<f64> {
        let scales = self.unit_columns();
        let mut order: Vec<usize> = (0..self.rank()).collect();
        order.sort_by(|&a, &b| scales[b].total_cmp(&scales[a]));
        self.take(&order);
        scales.select(Axis(0), &order)
    }

    /// As [`Self::normalise`], with the components in their order.
    pub(super) fn unit_columns(&mut self) -> Array1<f64> {
        let mut scales = Array1::ones(self.rank());
        for factor in self.modes_mut() {
            for (mut column, scale) in factor.columns_mut().into_iter().zip(&mut scales) {
                let norm = column.dot(&column).sqrt();
                *scale *= norm;
                if norm > 0.0 {
                    column /= norm;
                }
            }
        }
        scales
    }

    /// Keeps the components `order`, in that order.
    pub(super) fn take(&mut self, order: &[usize]) {
        for factor in self.modes_mut() {
            *factor = factor.select(Axis(1), order);
        }
        self.lay_out();
    }

    /// Lays every row out in one piece, as all sweeps read them: what was put together by columns may lie
    /// the other way.
    pub(super) fn lay_out(&mut self) {
        for factor in self.modes_mut() {
            if !factor.is_standard_layout() {
                *factor = factor.as_standard_layout().into_owned();
            }
        }
    }

    /// One component more, drawn evenly from 0 to 1.
    pub(super) fn with_one_more(&self, seed: u64, stream: u64) -> Self {
        let shape = [self.pairs.nrows(), self.animals.nrows(), self.times.nrows()];
        let more = Self::drawn(shape, 1, seed, stream);
        let mut out = self.clone();
        for (factor, column) in out.modes_mut().into_iter().zip(more.modes()) {
            // A new column as long as the others are on average, so that it has a say.
            let mean = factor.iter().map(|x| x * x).sum::<f64>() / factor.ncols().max(1) as f64;
            let own = column.iter().map(|x| x * x).sum::<f64>();
            let scale = if mean > 0.0 { (0.1 * mean / own).sqrt() } else { 1.0 };
            let wide = ndarray::concatenate![Axis(1), *factor, column * scale];
            *factor = wide;
        }
        out.lay_out();
        out
    }

    /// The scale of each component: the product of the norms of its columns.
    pub(super) fn scales(&self) -> Array1<f64> {
        let mut scales = Array1::ones(self.rank());
        for factor in self.modes() {
            for (column, scale) in factor.columns().into_iter().zip(&mut scales) {
                *scale *= column.dot(&column).sqrt();
            }
        }
        scales
    }
}

/// `FᵀF` of a factor.
pub(super) fn gram(factor: &Array2<f64>) -> Array2<f64> {
    factor.t().dot(factor)
}

/// The outer product of a row with itself, added to `out` `[component, component]`.
pub(super) fn add_outer(row: &[f64], out: &mut [f64]) {
    for (&left, line) in row.iter().zip(out.chunks_exact_mut(row.len().max(1))) {
        for (&right, out) in row.iter().zip(line) {
            *out += left * right;
        }
    }
}

/// Gram matrices of the pairs that each animal has: one for all animals where all have all pairs.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PairGrams {
    /// Of the pairs that all animals have, `[component, component]`.
    pub(super) shared: Vec<f64>,
    /// What each animal has besides; empty where all have all pairs.
    pub(super) own: Vec<Vec<f64>>,
}

impl PairGrams {
    pub(super) fn zeros(tensor: &PairTensor, rank: usize) -> Self {
        let animals = if tensor.is_whole() { 0 } else { tensor.shape()[1] };
        Self { shared: vec![0.0; rank * rank], own: vec![vec![0.0; rank * rank]; animals] }
    }

    pub(super) fn add(&mut self, row: &[f64], partial: Option<&[bool]>) {
        match partial {
            None => add_outer(row, &mut self.shared),
            Some(seen) => {
                for (own, _) in self.own.iter_mut().zip(seen).filter(|(_, seen)| **seen) {
                    add_outer(row, own);
                }
            }
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        let add = |into: &mut Vec<f64>, from: &Vec<f64>| {
            into.iter_mut().zip(from).for_each(|(into, from)| *into += from);
        };
        add(&mut self.shared, &other.shared);
        self.own.iter_mut().zip(&other.own).for_each(|(into, from)| add(into, from));
    }

    /// Of the pair factor `pairs`.
    pub(super) fn of(tensor: &PairTensor, pairs: &Array2<f64>) -> Self {
        let mut grams = Self::zeros(tensor, pairs.ncols());
        for (pair, row) in pairs.rows().into_iter().enumerate() {
            grams.add(&row.to_vec(), tensor.partial(pair));
        }
        grams
    }

    /// Of the pairs that `animal` has.
    pub(super) fn of_animal(&self, animal: usize) -> Vec<f64> {
        match self.own.get(animal) {
            None => self.shared.clone(),
            Some(own) => self.shared.iter().zip(own).map(|(shared, own)| shared + own).collect(),
        }
    }

    /// All multiplied by `scale`.
    pub(super) fn scale(&mut self, scale: f64) {
        self.own
            .iter_mut()
            .chain([&mut self.shared])
            .for_each(|gram| gram.iter_mut().for_each(|g| *g *= scale));
    }

    /// `Σ_w (f_w f_wᵀ) ∘ G_w`: what the times see, `[component, component]`.
    pub(super) fn for_times(&self, animals: &Array2<f64>) -> Vec<f64> {
        let mut out = vec![0.0; self.shared.len()];
        for (animal, row) in animals.rows().into_iter().enumerate() {
            add_outer_of(row, &self.of_animal(animal), &mut out);
        }
        out
    }
}

/// `out += (f fᵀ) ∘ G`.
fn add_outer_of(row: ArrayView1<'_, f64>, gram: &[f64], out: &mut [f64]) {
    let rank = row.len();
    for a in 0..rank {
        for b in 0..rank {
            out[a * rank + b] += row[a] * row[b] * gram[a * rank + b];
        }
    }
}

/// `(F_tᵀF_t) ∘ Σ_w m_w f_w f_wᵀ`: what a pair sees that the animals `m` have.
#[derive(Clone, Debug)]
pub(super) struct PairView {
    times: Vec<f64>,
    animals: Array2<f64>,
    whole: Vec<f64>,
}

impl PairView {
    pub(super) fn new(times: &Array2<f64>, animals: &Array2<f64>) -> Self {
        let times: Vec<f64> = gram(times).iter().copied().collect();
        let whole = gram(animals).iter().zip(&times).map(|(a, t)| a * t).collect();
        Self { times, animals: animals.clone(), whole }
    }

    /// Its Gram matrix `[component, component]`, in `own` where it is the pair's own.
    pub(super) fn gram<'a>(&'a self, partial: Option<&[bool]>, own: &'a mut Vec<f64>) -> &'a [f64] {
        let Some(seen) = partial else { return &self.whole };
        own.clear();
        own.resize(self.times.len(), 0.0);
        for (row, _) in self.animals.rows().into_iter().zip(seen).filter(|(_, seen)| **seen) {
            if let Some(row) = row.as_slice() {
                add_outer(row, own);
            }
        }
        own.iter_mut().zip(&self.times).for_each(|(own, times)| *own *= times);
        own
    }
}
