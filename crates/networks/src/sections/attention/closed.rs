//! Closed forms of sums of squared derivatives of attention.
//!
//! For a query at `t` and a head `h`, `ā_s = Σ_α w a^α_s` and `r_s = Σ_α w α² a^α_s (v_s − Σ a^α v)` over
//! the points `α` with weights `w`, where `a^α` is the pattern at `α` times the input, whose scores are
//! `α²` those of the input. The averaged derivative from position `s` to `t` is then, with `D` what passes
//! beside the heads,
//! `J_ts = Σ_h ā_s W_V W_O + (W_K qᵀ/√width)(r_s W_O) + [s = t] (D + Σ_s′ (W_Q k_s′ᵀ/√width)(r_s′ W_O))`:
//! few fixed matrices and products of two vectors, which are never multiplied out.
//!
//! Source: ours, by the product rule; checked against derivatives one by one.
//! Memory: queries, keys and values of the samples; a few hundred rows of keys at a time; one sum for each
//! of a fixed number of parts, added in order, so that the bytes do not depend on the threads.

mod effects;
mod metric;

use std::ops::Range;

use ndarray::{Array2, ArrayView2, s};
use nissl_kernels::gemm::MatRef;
use rayon::prelude::*;

use super::{Attention, add, dot, softmax};

/// Parts that are summed each by one thread.
const PARTS: usize = 8;

/// Rows of keys that are worked on at once: their products stay in the cache.
const ROWS: usize = 192;

/// A query and its keys.
#[derive(Clone, Copy)]
struct Query {
    /// The row of the first position of its sample.
    sample: usize,
    /// Its position.
    place: usize,
    /// The chunk's row of its first key.
    first: usize,
}

impl Query {
    /// The chunk's rows of its keys.
    fn rows(self) -> Range<usize> {
        self.first..self.first + self.place + 1
    }

    /// The chunk's row where it is its own key.
    fn own(self) -> usize {
        self.first + self.place
    }
}

/// Some queries, and of each pair of a query and a key what their derivatives are made of.
struct Chunk {
    queries: Vec<Query>,
    /// `q` `[query, head · unit]`
    query: Vec<f64>,
    /// `k` `[row, head · unit]`
    key: Vec<f64>,
    /// `r` `[row, head · unit]`
    turned: Vec<f64>,
    /// `ā` `[row, head]`
    pattern: Vec<f64>,
}

impl Chunk {
    fn rows(&self) -> usize {
        self.queries.last().map_or(0, |query| query.rows().end)
    }
}

impl Attention {
    /// A head's columns of numbers `[row, head · unit]`.
    fn of_head<'a>(&self, numbers: &'a [f64], rows: usize, head: usize) -> MatRef<'a, f64> {
        let (all, width) = self.widths();
        MatRef::strided(&numbers[head * width..], [rows, width], [all, 1])
    }

    /// `D` times a matrix `[output, vector]`: what passes beside the heads, `[input, vector]`.
    fn beside(&self, basis: ArrayView2<'_, f64>) -> Array2<f64> {
        let (width, last) = (self.residual(), self.inputs - 1);
        let mut out = Array2::zeros((self.inputs, basis.ncols()));
        out.slice_mut(s![..width, ..]).assign(&basis.slice(s![..width, ..]));
        let mut constant = basis.row(width).to_owned();
        for (row, bias) in basis.rows().into_iter().zip(&self.out_bias) {
            constant.scaled_add(*bias, &row);
        }
        let mut row = out.row_mut(last);
        row += &constant;
        out
    }

    /// Queries of the samples in `range`, in chunks of about as many rows of keys.
    fn chunks(&self, range: Range<usize>) -> Vec<Vec<Query>> {
        let mut chunks: Vec<Vec<Query>> = Vec::new();
        let mut first = ROWS;
        for sample in range {
            for query in 0..self.queries() {
                let place = self.place(query);
                if first + place + 1 > ROWS {
                    chunks.push(Vec::new());
                    first = 0;
                }
                let query = Query { sample: sample * self.positions, place, first };
                first += place + 1;
                if let Some(chunk) = chunks.last_mut() {
                    chunk.push(query);
                }
            }
        }
        chunks
    }

    /// What the derivatives of some queries are made of.
    fn chunk(&self, qkv: &[f64], queries: Vec<Query>, points: &[[f64; 2]]) -> Chunk {
        let (all, width) = self.widths();
        let (stride, scale) = (3 * all, self.scale());
        let rows = queries.last().map_or(0, |query| query.rows().end);
        let mut chunk = Chunk {
            query: Vec::with_capacity(queries.len() * all),
            key: Vec::with_capacity(rows * all),
            turned: vec![0.0; rows * all],
            pattern: vec![0.0; rows * self.heads],
            queries,
        };
        let (mut scores, mut weights) = (vec![0.0; self.positions], vec![0.0; self.positions]);
        let mut mean = vec![0.0; width];
        for query in &chunk.queries {
            let sample = &qkv[query.sample * stride..][..self.positions * stride];
            chunk.query.extend_from_slice(&sample[query.place * stride..][..all]);
            let places = sample.chunks_exact(stride).take(query.place + 1);
            places.clone().for_each(|row| chunk.key.extend_from_slice(&row[all..2 * all]));
            let (scores, weights) = (&mut scores[..=query.place], &mut weights[..=query.place]);
            for head in 0..self.heads {
                let units = head * width..(head + 1) * width;
                let value = |key: usize| &sample[key * stride + 2 * all..][units.clone()];
                let q = &sample[query.place * stride..][units.clone()];
                for (score, row) in scores.iter_mut().zip(places.clone()) {
                    *score = scale * dot(q, &row[all..][units.clone()]);
                }
                for &[alpha, weight] in points {
                    let steep = alpha * alpha;
                    weights.iter_mut().zip(&*scores).for_each(|(to, from)| *to = steep * from);
                    softmax(weights);
                    mean.fill(0.0);
                    for (key, &share) in weights.iter().enumerate() {
                        add(&mut mean, share, value(key));
                    }
                    for (key, &share) in weights.iter().enumerate() {
                        let row = query.first + key;
                        chunk.pattern[row * self.heads + head] += weight * share;
                        let turned = &mut chunk.turned[row * all..][units.clone()];
                        let factor = weight * steep * share;
                        for ((out, value), mean) in turned.iter_mut().zip(value(key)).zip(&mean) {
                            *out += factor * (value - mean);
                        }
                    }
                }
            }
        }
        chunk
    }

    /// Sums over the chunks of each part, by `add`, then over the parts.
    fn summed<T: Send>(
        &self,
        samples: usize,
        empty: impl Fn() -> T + Sync,
        add: impl Fn(&mut T, Vec<Query>) + Sync,
        join: impl Fn(&mut T, T),
    ) -> T {
        let each = samples.div_ceil(PARTS).max(1);
        let parts: Vec<T> = (0..samples.div_ceil(each))
            .into_par_iter()
            .map(|part| {
                let mut sum = empty();
                let range = part * each..((part + 1) * each).min(samples);
                self.chunks(range).into_iter().for_each(|queries| add(&mut sum, queries));
                sum
            })
            .collect();
        let mut parts = parts.into_iter();
        let mut sum = parts.next().unwrap_or_else(&empty);
        parts.for_each(|part| join(&mut sum, part));
        sum
    }
}
