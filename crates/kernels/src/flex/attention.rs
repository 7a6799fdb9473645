//! Attention, one block of queries at a time: scores, softmax and mixture stay in the cache.
//!
//! Memory: one block of scores `[query, key]` for each thread, besides the output.

use super::{all_f32, tensor};
use crate::gemm::{Into, MatRef, Threads, product};
use crate::options::AttentionOptions;
use crate::simd::rows as kernel;
use burn::backend::TensorMetadata;
use burn::tensor::Shape;
use burn_flex::{FlexTensor, Layout};
use rayon::prelude::*;
use std::ops::Range;

/// Queries handled together.
const BLOCK: usize = 64;

/// Query, key, value and the lengths of the sequences, as they came.
type Inputs = (FlexTensor, FlexTensor, FlexTensor, Option<FlexTensor>);

/// Tensors `[batch, head, place, width]` of attention, and its options.
pub(super) struct Problem {
    query: FlexTensor,
    key: FlexTensor,
    value: FlexTensor,
    lengths: Option<Vec<usize>>,
    options: AttentionOptions,
}

/// The matrix `[place, width]` of one head, in its buffer.
fn head(tensor: &FlexTensor, batch: usize, head: usize) -> MatRef<'_, f32> {
    let layout = tensor.layout();
    let stride = |axis: usize| layout.strides()[axis] as usize;
    let start = layout.start_offset() + batch * stride(0) + head * stride(1);
    let shape = [layout.shape()[2], layout.shape()[3]];
    let storage = tensor.storage::<f32>();
    MatRef::strided(&storage[start.min(storage.len())..], shape, [stride(2), stride(3)])
}

/// The tensor, or a copy when one of its axes runs backwards.
fn forward(tensor: FlexTensor) -> FlexTensor {
    let backward = tensor.layout().strides().iter().any(|stride| *stride < 0);
    if backward { tensor.to_contiguous() } else { tensor }
}

/// Raw scores of a block in `scores` `[query, key seen]`.
fn raw_scores(query: MatRef<'_, f32>, key: MatRef<'_, f32>, scores: &mut [f32]) {
    let [keys, _] = key.shape();
    product(query, key.transposed(), scores, keys, Into::Overwrite, Threads::One);
}

impl Problem {
    /// Gives the inputs back when they are of types not handled here.
    pub(super) fn new(
        query: FlexTensor,
        key: FlexTensor,
        value: FlexTensor,
        lengths: Option<FlexTensor>,
        options: AttentionOptions,
    ) -> Result<Self, Box<Inputs>> {
        let host = lengths.as_ref().map(super::rows::classes);
        if !all_f32(&[&query, &key, &value]) || matches!(host, Some(None)) {
            return Err(Box::new((query, key, value, lengths)));
        }
        let (query, key, value) = (forward(query), forward(key), forward(value));
        Ok(Self { query, key, value, lengths: host.flatten(), options })
    }

    /// Sizes: batch, heads, queries, heads that share keys, keys.
    fn sizes(&self) -> [usize; 5] {
        let (query, key) = (self.query.shape(), self.key.shape());
        [query[0], query[1], query[2], query[1] / key[1].max(1), key[2]]
    }

    /// The keys that `query` sees in sequence `batch`.
    fn seen(&self, batch: usize, query: usize) -> Range<usize> {
        let keys = self.key.shape()[2];
        let keys = self.lengths.as_ref().map_or(keys, |lengths| lengths[batch].min(keys));
        self.options.seen(query, keys)
    }

    /// The keys that at least one of a block of queries sees.
    fn seen_by_block(&self, batch: usize, queries: &Range<usize>) -> Range<usize> {
        let (first, last) = (self.seen(batch, queries.start), self.seen(batch, queries.end - 1));
        let start = if first.is_empty() { last.start } else { first.start };
        start.min(last.end)..last.end
    }

    /// Turns raw scores of a block into probabilities, row by row; zero where nothing is seen.
    fn weigh(&self, batch: usize, queries: &Range<usize>, keys: &Range<usize>, scores: &mut [f32]) {
        for (row, query) in scores.chunks_exact_mut(keys.len()).zip(queries.clone()) {
            let seen = self.seen(batch, query);
            let end = seen.end.clamp(keys.start, keys.end) - keys.start;
            let start = (seen.start.clamp(keys.start, keys.end) - keys.start).min(end);
            row[..start].fill(0.0);
            row[end..].fill(0.0);
            if start < end {
                kernel::softmax(&mut row[start..end], None, self.options.softmax());
            }
        }
    }

    /// Output `[batch, head, query, width]`, laid out so that heads of one place lie together.
    pub(super) fn output(&self) -> FlexTensor {
        let [batches, heads, queries, group, _] = self.sizes();
        let width = self.value.shape()[3];
        let across = heads * width;
        let mut out = vec![0.0; batches * queries * across];
        if !out.is_empty() {
            let blocks: Vec<_> = out
                .chunks_mut(queries * across)
                .enumerate()
                .flat_map(|(batch, out)| {
                    let blocks = out.chunks_mut(BLOCK * across).enumerate();
                    blocks.map(move |(block, out)| (batch, block * BLOCK, out))
                })
                .collect();
            blocks.into_par_iter().for_each_init(Vec::new, |scores, (batch, start, out)| {
                let block = start..start + out.len() / across;
                let keys = self.seen_by_block(batch, &block);
                if keys.is_empty() {
                    return;
                }
                scores.resize(block.len() * keys.len(), 0.0);
                for index in 0..heads {
                    let query = head(&self.query, batch, index).rows(block.clone());
                    let key = head(&self.key, batch, index / group).rows(keys.clone());
                    let value = head(&self.value, batch, index / group).rows(keys.clone());
                    raw_scores(query, key, scores);
                    self.weigh(batch, &block, &keys, scores);
                    let weights = MatRef::row_major(scores, block.len(), keys.len());
                    let out = &mut out[index * width..];
                    product(weights, value, out, across, Into::Overwrite, Threads::One);
                }
            });
        }
        let shape = Shape::new([batches, heads, queries, width]);
        let strides = [queries * across, width, across, 1].map(|stride| stride as isize);
        tensor(out, shape.clone()).with_layout(Layout::new(shape, strides.to_vec(), 0))
    }

    /// Gradients by query, key and value from that by the output.
    pub(super) fn gradients(&self, gradient: FlexTensor) -> [FlexTensor; 3] {
        let [_, _, queries, group, keys] = self.sizes();
        let gradient = forward(gradient);
        let (width, value_width) = (self.query.shape()[3], self.value.shape()[3]);
        let key_heads = self.key.shape()[1];
        let shapes = [&self.query, &self.key, &self.value].map(TensorMetadata::shape);
        let [mut by_query, mut by_key, mut by_value] =
            shapes.each_ref().map(|shape| vec![0.0f32; shape.num_elements()]);
        if shapes.iter().all(|shape| shape.num_elements() > 0) {
            by_query
                .par_chunks_mut(group * queries * width)
                .zip(by_key.par_chunks_mut(keys * width))
                .zip(by_value.par_chunks_mut(keys * value_width))
                .enumerate()
                .for_each(|(index, ((by_query, by_key), by_value))| {
                    let (batch, key_head) = (index / key_heads, index % key_heads);
                    let own = by_query.chunks_exact_mut(queries * width);
                    for (member, by_query) in own.enumerate() {
                        let heads = (key_head * group + member, key_head);
                        self.head_gradients(
                            batch,
                            heads,
                            &gradient,
                            [&mut *by_query, &mut *by_key, &mut *by_value],
                        );
                    }
                });
        }
        let [query, key, value] = shapes;
        [tensor(by_query, query), tensor(by_key, key), tensor(by_value, value)]
    }

    /// Adds the gradients of one head to `[by query, by key, by value]`.
    fn head_gradients(
        &self,
        batch: usize,
        (own, shared): (usize, usize),
        gradient: &FlexTensor,
        [by_query, by_key, by_value]: [&mut [f32]; 3],
    ) {
        let queries = self.query.shape()[2];
        let (width, value_width) = (self.query.shape()[3], self.value.shape()[3]);
        let options = self.options.softmax();
        let one = Threads::One;
        for start in (0..queries).step_by(BLOCK) {
            let block = start..(start + BLOCK).min(queries);
            let keys = self.seen_by_block(batch, &block);
            if keys.is_empty() {
                continue;
            }
            let query = head(&self.query, batch, own).rows(block.clone());
            let key = head(&self.key, batch, shared).rows(keys.clone());
            let value = head(&self.value, batch, shared).rows(keys.clone());
            let gradient = head(gradient, batch, own).rows(block.clone());
            let mut raw = vec![0.0; block.len() * keys.len()];
            raw_scores(query, key, &mut raw);
            let mut weights = raw.clone();
            self.weigh(batch, &block, &keys, &mut weights);
            let mut by_score = vec![0.0; raw.len()];
            let across = keys.len();
            product(gradient, value.transposed(), &mut by_score, across, Into::Overwrite, one);
            let seen = MatRef::row_major(&weights, block.len(), across).transposed();
            let by_value = &mut by_value[keys.start * value_width..keys.end * value_width];
            product(seen, gradient, by_value, value_width, Into::Add, one);
            for ((by_score, weights), raw) in by_score
                .chunks_exact_mut(across)
                .zip(weights.chunks_exact(across))
                .zip(raw.chunks_exact(across))
            {
                kernel::softmax_gradient(raw, weights, by_score, options);
            }
            let by_score = MatRef::row_major(&by_score, block.len(), across);
            let by_query = &mut by_query[block.start * width..block.end * width];
            product(by_score, key, by_query, width, Into::Overwrite, one);
            let by_key = &mut by_key[keys.start * width..keys.end * width];
            product(by_score.transposed(), query, by_key, width, Into::Add, one);
        }
    }
}
