//! `Σ J C Cᵀ Jᵀ` of attention.
//!
//! With `X` the maps to queries, keys and values side by side and `O` that from the heads, the derivative
//! is `J_ts = [s = t] D + X Y_ts O`, where `Y_ts` has for each head the blocks `[s = t] Σ_s′ k_s′ᵀ r_s′/√width`
//! (queries), `qᵀ r_s/√width` (keys) and `ā_s` on the diagonal (values). With `T = O C Cᵀ Oᵀ`,
//! `Σ J C Cᵀ Jᵀ = n D C Cᵀ Dᵀ + X (Σ Y_tt) O C Cᵀ Dᵀ + (·)ᵀ + X (Σ Y_ts T Y_tsᵀ) Xᵀ`,
//! the last sum block by block, in products as long as there are rows of keys.

use ndarray::{Array2, ArrayView2, s};
use nissl_core::features::{add_product, product};
use nissl_kernels::gemm::{Into, MatRef, matmul_alone};

use super::super::{Attention, add, dot};
use super::{Chunk, Query};

/// The sums over samples that the metric is made of.
struct Sums {
    queries: usize,
    /// `Σ Y T Yᵀ`, from queries to queries, keys, values: `[head · unit, 3 · head · unit]`.
    of_queries: Vec<f64>,
    /// From keys to keys and values: `[head · unit, 2 · head · unit]`.
    of_keys: Vec<f64>,
    /// `Σ ā ā` of pairs of heads: `[head, head]`.
    of_values: Vec<f64>,
    /// `Σ Y_tt` of queries and of keys, head by head: `[2 · head · unit, unit]`.
    alone: Vec<f64>,
    /// `Σ ā_t` `[head]`
    kept: Vec<f64>,
}

impl Sums {
    fn all(&mut self) -> [&mut Vec<f64>; 5] {
        let Self { of_queries, of_keys, of_values, alone, kept, .. } = self;
        [of_queries, of_keys, of_values, alone, kept]
    }

    fn join(&mut self, mut other: Self) {
        self.queries += other.queries;
        for (own, other) in self.all().into_iter().zip(other.all()) {
            add(own, 1.0, other);
        }
    }
}

impl Attention {
    pub(in super::super) fn closed_metric(
        &self,
        inputs: ArrayView2<'_, f64>,
        basis: ArrayView2<'_, f64>,
        points: &[[f64; 2]],
    ) -> Array2<f64> {
        let (all, width) = self.widths();
        let qkv = product(self.read(inputs).view(), self.into.view());
        let seen = product(self.out.view(), basis.slice(s![..self.residual(), ..]));
        let inside = product(seen.view(), seen.t());
        let numbers = qkv.as_slice().expect("a product has no gaps");
        let metric = inside.as_slice().expect("a product has no gaps");
        let sums = self.summed(
            inputs.nrows() / self.positions,
            || Sums {
                queries: 0,
                of_queries: vec![0.0; 3 * all * all],
                of_keys: vec![0.0; 2 * all * all],
                of_values: vec![0.0; self.heads * self.heads],
                alone: vec![0.0; 2 * all * width],
                kept: vec![0.0; self.heads],
            },
            |sums, queries: Vec<Query>| {
                let chunk = self.chunk(numbers, queries, points);
                self.add_squares(sums, &chunk, metric);
                self.add_own(sums, &chunk);
            },
            Sums::join,
        );
        self.pulled_back(&sums, &seen, &inside, self.beside(basis).view())
    }

    /// Adds `Y T Yᵀ` of a chunk.
    fn add_squares(&self, sums: &mut Sums, chunk: &Chunk, metric: &[f64]) {
        let (all, width) = self.widths();
        let (rows, scale) = (chunk.rows(), self.scale());
        let mut met = vec![0.0; rows * all];
        let mut by_query = vec![0.0; rows * 3 * all];
        let mut by_key = vec![0.0; chunk.queries.len() * 2 * all];
        for head in 0..self.heads {
            let from = head * width;
            // r T `[row, head · unit]`
            let turned = self.of_head(&chunk.turned, rows, head);
            let metric = MatRef::row_major(&metric[from * all..][..width * all], width, all);
            matmul_alone(turned, metric, &mut met, Into::Overwrite);
            by_query.fill(0.0);
            by_key.fill(0.0);
            for (n, query) in chunk.queries.iter().enumerate() {
                let q = &chunk.query[n * all..][..all];
                for other in 0..self.heads {
                    let to = other * width;
                    let near = |row: usize| &met[row * all + to..][..width];
                    let turned = |row: usize| &chunk.turned[row * all + to..][..width];
                    let pattern = |row: usize| chunk.pattern[row * self.heads + other];
                    let q = &q[to..][..width];
                    let (keys, values) = by_key[n * 2 * all..][..2 * all].split_at_mut(all);
                    let values = &mut values[to..][..width];
                    let mut both = 0.0;
                    for row in query.rows() {
                        both += dot(near(row), turned(row));
                        add(values, scale * pattern(row), near(row));
                        let out = &mut by_query[row * 3 * all..][..3 * all];
                        for next in query.rows() {
                            let product = scale * scale * dot(near(row), turned(next));
                            let key = &chunk.key[next * all + to..][..width];
                            add(&mut out[to..][..width], product, key);
                            if next == query.own() {
                                add(&mut out[all + to..][..width], product, q);
                            }
                        }
                        add(
                            &mut out[2 * all + to..][..width],
                            scale * pattern(query.own()),
                            near(row),
                        );
                    }
                    add(&mut keys[to..][..width], scale * scale * both, q);
                }
            }
            let keys = self.of_head(&chunk.key, rows, head);
            let right = MatRef::row_major(&by_query, rows, 3 * all);
            let out = &mut sums.of_queries[from * 3 * all..][..width * 3 * all];
            matmul_alone(keys.transposed(), right, out, Into::Add);
            let count = chunk.queries.len();
            let queries = self.of_head(&chunk.query, count, head);
            let right = MatRef::row_major(&by_key, count, 2 * all);
            let out = &mut sums.of_keys[from * 2 * all..][..width * 2 * all];
            matmul_alone(queries.transposed(), right, out, Into::Add);
        }
        for pattern in chunk.pattern.chunks_exact(self.heads) {
            for (sums, &weight) in sums.of_values.chunks_exact_mut(self.heads).zip(pattern) {
                add(sums, weight, pattern);
            }
        }
    }

    /// Adds `Y_tt` of a chunk.
    fn add_own(&self, sums: &mut Sums, chunk: &Chunk) {
        let (all, width) = self.widths();
        let (rows, count) = (chunk.rows(), chunk.queries.len());
        let turned: Vec<f64> = chunk
            .queries
            .iter()
            .flat_map(|query| &chunk.turned[query.own() * all..][..all])
            .copied()
            .collect();
        for head in 0..self.heads {
            let from = head * width;
            let pairs = [(&chunk.key, &chunk.turned, rows), (&chunk.query, &turned, count)];
            for ((left, right, rows), sum) in
                pairs.into_iter().zip(sums.alone.chunks_mut(all * width))
            {
                let left = self.of_head(left, rows, head);
                let right = self.of_head(right, rows, head);
                let out = &mut sum[from * width..][..width * width];
                matmul_alone(left.transposed(), right, out, Into::Add);
            }
        }
        for query in &chunk.queries {
            add(&mut sums.kept, 1.0, &chunk.pattern[query.own() * self.heads..][..self.heads]);
        }
        sums.queries += count;
    }

    /// The sums led back to the inputs; `seen` is `O C`, `inside` `T` and `beside` `D C`.
    fn pulled_back(
        &self,
        sums: &Sums,
        seen: &Array2<f64>,
        inside: &Array2<f64>,
        beside: ArrayView2<'_, f64>,
    ) -> Array2<f64> {
        let ((all, width), scale) = (self.widths(), self.scale());
        let view = |numbers, columns| ArrayView2::from_shape((all, columns), numbers);
        let of_queries = view(&sums.of_queries, 3 * all).expect("as made");
        let of_keys = view(&sums.of_keys, 2 * all).expect("as made");
        let mut pairs = Array2::zeros((3 * all, 3 * all));
        pairs.slice_mut(s![..all, ..]).assign(&of_queries);
        pairs.slice_mut(s![all..2 * all, all..]).assign(&of_keys);
        let below = of_queries.slice(s![.., all..]);
        pairs.slice_mut(s![all.., ..all]).assign(&below.t());
        pairs.slice_mut(s![2 * all.., all..2 * all]).assign(&of_keys.slice(s![.., all..]).t());
        let mut values = pairs.slice_mut(s![2 * all.., 2 * all..]);
        for ((row, column), value) in values.indexed_iter_mut() {
            *value =
                inside[[row, column]] * sums.of_values[row / width * self.heads + column / width];
        }
        let mut own = Array2::zeros((3 * all, seen.ncols()));
        for head in 0..self.heads {
            let units = head * width..(head + 1) * width;
            let seen = seen.slice(s![units.clone(), ..]);
            for (part, sum) in sums.alone.chunks(all * width).enumerate() {
                let sum = &sum[units.start * width..][..width * width];
                let sum = ArrayView2::from_shape((width, width), sum).expect("as made");
                let rows = part * all + units.start..part * all + units.end;
                own.slice_mut(s![rows, ..]).assign(&(product(sum, seen) * scale));
            }
            let rows = 2 * all + units.start..2 * all + units.end;
            own.slice_mut(s![rows, ..]).assign(&(&seen * sums.kept[head]));
        }
        let (residual, last) = (self.residual(), self.inputs - 1);
        let mut read = Array2::zeros((self.inputs, 3 * all));
        read.slice_mut(s![self.reads..self.reads + residual, ..])
            .assign(&self.into.slice(s![..residual, ..]));
        read.row_mut(last).assign(&self.into.row(residual));
        let mut sum = product(beside, beside.t()) * sums.queries as f64;
        let mixed = product(product(read.view(), own.view()).view(), beside.t());
        sum += &mixed;
        sum += &mixed.t();
        let half = product(read.view(), pairs.view());
        add_product(sum.view_mut(), half.view(), read.t());
        sum
    }
}
