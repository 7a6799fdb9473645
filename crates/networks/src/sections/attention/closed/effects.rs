//! `Σ (Σ_s f̂_sj C⁺_j J_ts C′_i)²` of attention.
//!
//! The sum in brackets is, for a query at `t`, `f̂_tj (C⁺ D C′)_ji + Σ_h (Σ_s ā_s f̂_sj)(C⁺ W_V W_O C′)_ji
//! + Σ_s δ_sj (r_s W_O C′)_i` with `δ_sj = (f̂_tj (C⁺ W_Q)_j·k_s + f̂_sj (C⁺ W_K)_j·q)/√width`.

use ndarray::{Array2, ArrayView2, s};
use nissl_core::features::product;
use nissl_kernels::gemm::{Into, MatRef, matmul_alone};

use super::super::{Attention, add};
use super::{Chunk, Query};

/// What is the same for all samples.
struct Maps {
    sources: usize,
    targets: usize,
    /// `C⁺ X` `[source, 3 · head · unit]`
    back: Array2<f64>,
    /// `W_O C′` `[head · unit, target]`
    seen: Array2<f64>,
    /// `C⁺ D C′` and for each head `C⁺ W_V W_O C′`: `[source, 1 + head, target]`.
    fixed: Vec<f64>,
}

/// Memory that is used again for every chunk.
#[derive(Default)]
struct Room {
    /// `(C⁺ W_Q)_j·k` `[head, row, source]`
    at_keys: Vec<f64>,
    /// `(C⁺ W_K)_j·q` `[head, query, source]`
    at_queries: Vec<f64>,
    /// `r W_O C′` `[head, row, target]`
    shown: Vec<f64>,
    /// `δ` of a query `[head · key, source]`
    moved: Vec<f64>,
    /// The same of `r W_O C′` `[head · key, target]`
    right: Vec<f64>,
    /// `f̂_t` and `Σ ā f̂` of each head: `[1 + head, source]`
    weights: Vec<f64>,
    /// `[source, target]`
    effect: Vec<f64>,
}

impl Attention {
    pub(in super::super) fn closed_effects(
        &self,
        new: ArrayView2<'_, f64>,
        [back, into]: [ArrayView2<'_, f64>; 2],
        points: &[[f64; 2]],
    ) -> Array2<f64> {
        let (all, width) = self.widths();
        let read = product(self.read(back).view(), self.into.view());
        let seen = product(self.out.view(), into.slice(s![..self.residual(), ..]));
        let qkv = product(new, read.view());
        let (sources, targets) = (back.nrows(), into.ncols());
        let mut fixed = Array2::zeros((sources, (1 + self.heads) * targets));
        let beside = product(back, self.beside(into).view());
        fixed.slice_mut(s![.., ..targets]).assign(&beside);
        for head in 0..self.heads {
            let value = read.slice(s![.., 2 * all + head * width..2 * all + (head + 1) * width]);
            let seen = seen.slice(s![head * width..(head + 1) * width, ..]);
            let columns = (1 + head) * targets..(2 + head) * targets;
            fixed.slice_mut(s![.., columns]).assign(&product(value, seen));
        }
        let fixed = fixed.into_raw_vec_and_offset().0;
        let maps = Maps { sources, targets, back: read, seen, fixed };
        let new = new.as_standard_layout();
        let new = new.as_slice().expect("it was laid out so");
        let numbers = qkv.as_slice().expect("a product has no gaps");
        let (sum, _) = self.summed(
            numbers.len() / (3 * all * self.positions),
            || (vec![0.0; sources * targets], Room::default()),
            |(sum, room), queries: Vec<Query>| {
                let chunk = self.chunk(numbers, queries, points);
                self.meet(&maps, &chunk, room);
                for (n, query) in chunk.queries.iter().enumerate() {
                    self.add_effect(&maps, &chunk, (n, *query), new, room);
                    for (sum, effect) in sum.iter_mut().zip(&room.effect) {
                        *sum += effect * effect;
                    }
                }
            },
            |(own, _), (other, _)| add(own, 1.0, &other),
        );
        Array2::from_shape_vec((sources, targets), sum).expect("as made")
    }

    /// The products that all queries of a chunk share.
    fn meet(&self, maps: &Maps, chunk: &Chunk, room: &mut Room) {
        let (all, width) = self.widths();
        let (rows, count) = (chunk.rows(), chunk.queries.len());
        let Maps { sources, targets, .. } = *maps;
        room.at_keys.resize(self.heads * rows * sources, 0.0);
        room.at_queries.resize(self.heads * count * sources, 0.0);
        room.shown.resize(self.heads * rows * targets, 0.0);
        let back = maps.back.as_slice().expect("a product has no gaps");
        let seen = maps.seen.as_slice().expect("a product has no gaps");
        for head in 0..self.heads {
            let from = head * width;
            let mapped = |part: usize| {
                let back = &back[part * all + from..];
                MatRef::strided(back, [sources, width], [3 * all, 1]).transposed()
            };
            let out = &mut room.at_keys[head * rows * sources..][..rows * sources];
            matmul_alone(self.of_head(&chunk.key, rows, head), mapped(0), out, Into::Overwrite);
            let out = &mut room.at_queries[head * count * sources..][..count * sources];
            matmul_alone(self.of_head(&chunk.query, count, head), mapped(1), out, Into::Overwrite);
            let out = &mut room.shown[head * rows * targets..][..rows * targets];
            let seen =
                MatRef::row_major(&seen[from * targets..][..width * targets], width, targets);
            matmul_alone(self.of_head(&chunk.turned, rows, head), seen, out, Into::Overwrite);
        }
    }

    /// The effects of all source vectors on the outputs of the chunk's query `n`, left in the room.
    fn add_effect(
        &self,
        maps: &Maps,
        chunk: &Chunk,
        (n, query): (usize, Query),
        new: &[f64],
        room: &mut Room,
    ) {
        let Maps { sources, targets, .. } = *maps;
        let (scale, keys) = (self.scale(), query.rows().len());
        let (rows, count) = (chunk.rows(), chunk.queries.len());
        let at = |place: usize| &new[(query.sample + place) * sources..][..sources];
        let here = at(query.place);
        room.moved.resize(self.heads * keys * sources, 0.0);
        room.right.resize(self.heads * keys * targets, 0.0);
        room.weights.clear();
        room.weights.extend_from_slice(here);
        room.weights.resize((1 + self.heads) * sources, 0.0);
        for head in 0..self.heads {
            let by_query = &room.at_queries[(head * count + n) * sources..][..sources];
            for (key, row) in query.rows().enumerate() {
                let by_key = &room.at_keys[(head * rows + row) * sources..][..sources];
                let there = at(key);
                let moved = &mut room.moved[(head * keys + key) * sources..][..sources];
                for j in 0..sources {
                    moved[j] = scale * (here[j] * by_key[j] + there[j] * by_query[j]);
                }
                let weights = &mut room.weights[(1 + head) * sources..][..sources];
                add(weights, chunk.pattern[row * self.heads + head], there);
                let shown = &room.shown[(head * rows + row) * targets..][..targets];
                room.right[(head * keys + key) * targets..][..targets].copy_from_slice(shown);
            }
        }
        room.effect.clear();
        room.effect.resize(sources * targets, 0.0);
        let fixed = maps.fixed.chunks_exact((1 + self.heads) * targets);
        for ((j, effect), fixed) in room.effect.chunks_exact_mut(targets).enumerate().zip(fixed) {
            for (part, fixed) in fixed.chunks_exact(targets).enumerate() {
                add(effect, room.weights[part * sources + j], fixed);
            }
        }
        let moved = MatRef::row_major(&room.moved, self.heads * keys, sources);
        let right = MatRef::row_major(&room.right, self.heads * keys, targets);
        matmul_alone(moved.transposed(), right, &mut room.effect, Into::Add);
    }
}
