//! Scaled dot-product attention with grouped queries, windows, soft caps and a cache.
//!
//! `z = softmax(mask(cap(q kᵀ · scale))) v`; query head `h` reads key head `h / (heads / key_heads)`.
//!
//! Source: Vaswani et al. 2017, arXiv:1706.03762, §3.2.1; grouped queries: Ainslie et al. 2023,
//! arXiv:2305.13245. Memory: `[head, query, key]` of one batch, only where a tap reads the pattern or
//! changes it.

use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use nissl_core::network::KeyValueCache;
use nissl_core::taps::Taps;
use nissl_kernels::{self as kernels, AttentionOptions, Visibility};

use super::family::pass;
use super::ops::soft_cap;

/// The form of a layer's attention.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Attention {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads, a divisor of `heads`.
    pub key_heads: usize,
    /// Units of a head.
    pub width: usize,
    /// Multiplies the scores.
    pub scale: f32,
    /// Bounds the scores softly.
    pub cap: Option<f32>,
    /// Which keys a query sees.
    pub view: View,
}

/// Which keys a query sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    /// Its own and all before it.
    Past,
    /// The last so many, its own included.
    Window(usize),
    /// All of its sequence.
    All,
}

impl Attention {
    /// `[batch, position, head · width]` to `[batch, head, position, width]`.
    pub(crate) fn split(&self, x: Tensor<3>) -> Tensor<4> {
        let [batch, positions, units] = x.dims();
        x.reshape([batch, positions, units / self.width, self.width]).swap_dims(1, 2)
    }

    /// What the heads read, `[batch, query, head · width]`, after the taps at `attn.pattern` and
    /// `attn.z` of layer `n`; `None` when the taps have seen all they want.
    ///
    /// `query` `[batch, head, query, width]`, `key` and `value` `[batch, key head, key, width]`; the
    /// queries are the last positions of the keys. `lengths` are the true lengths where padding must
    /// be hidden.
    pub(crate) fn read(
        &self,
        n: usize,
        [query, key, value]: [Tensor<4>; 3],
        lengths: Option<&[usize]>,
        taps: &mut Taps<'_>,
    ) -> Option<Tensor<3>> {
        let [batch, heads, queries, width] = query.dims();
        let [_, key_heads, keys, _] = key.dims();
        if !taps.wants(format_args!("layers.{n}.attn.pattern")) {
            let z = self.fused([query, key, value], lengths).swap_dims(1, 2);
            let z = z.reshape([batch, queries, heads * width]);
            return pass(taps, format_args!("layers.{n}.attn.z"), z);
        }
        let group = heads / key_heads;
        // Queries that share a key head are stacked, so that keys are never copied.
        let stacked = query.reshape([batch, key_heads, group * queries, width]);
        let scores = stacked.matmul(key.swap_dims(2, 3)) * self.scale;
        let scores = soft_cap(scores.reshape([batch, heads, queries, keys]), self.cap);
        let scores = match self.hidden(queries, keys, lengths, &scores.device()) {
            None => scores,
            Some(hidden) => {
                scores.mask_fill(hidden.expand([batch, heads, queries, keys]), f32::NEG_INFINITY)
            }
        };
        let flat = kernels::softmax(scores).swap_dims(1, 2).reshape([batch, queries, heads * keys]);
        let flat = pass(taps, format_args!("layers.{n}.attn.pattern"), flat)?;
        let pattern = flat.reshape([batch, queries, heads, keys]).swap_dims(1, 2);
        let z = pattern.reshape([batch, key_heads, group * queries, keys]).matmul(value);
        let z = z.reshape([batch, heads, queries, width]).swap_dims(1, 2);
        pass(taps, format_args!("layers.{n}.attn.z"), z.reshape([batch, queries, heads * width]))
    }

    /// The same without a pattern that anyone could see: `[batch, head, query, width]`.
    fn fused(&self, [query, key, value]: [Tensor<4>; 3], lengths: Option<&[usize]>) -> Tensor<4> {
        let visibility = match self.view {
            View::Past => Visibility::Causal,
            View::Window(size) => Visibility::Window(size),
            View::All => Visibility::Full,
        };
        let query_offset = key.dims()[2] - query.dims()[2];
        let options =
            AttentionOptions { scale: self.scale, soft_cap: self.cap, visibility, query_offset };
        match lengths {
            // Padding stands at the end, where no query of a causal network looks.
            Some(lengths) if self.view == View::All => {
                let lengths: Vec<i64> = lengths.iter().map(|&length| length as i64).collect();
                let data = TensorData::new(lengths, [query.dims()[0]]);
                let lengths = Tensor::<1, Int>::from_data(data, &query.device());
                kernels::attention_padded(query, key, value, lengths, options)
            }
            _ => kernels::attention(query, key, value, options),
        }
    }

    /// Where a query must not look: `[batch or 1, 1, query, key]`.
    fn hidden(
        &self,
        queries: usize,
        keys: usize,
        lengths: Option<&[usize]>,
        device: &Device,
    ) -> Option<Tensor<4, Bool>> {
        let past = keys - queries;
        let rows = |visible: &dyn Fn(usize, usize) -> bool| -> Vec<bool> {
            (0..queries)
                .flat_map(|query| (0..keys).map(move |key| (query + past, key)))
                .map(|(query, key)| !visible(query, key))
                .collect()
        };
        let (values, batch) = match (self.view, lengths) {
            (View::Past, _) if queries == 1 => return None,
            (View::Past, _) => (rows(&|query, key| key <= query), 1),
            (View::Window(size), _) => (rows(&|query, key| key <= query && query - key < size), 1),
            (View::All, None) => return None,
            (View::All, Some(lengths)) => {
                let all = lengths.iter().flat_map(|&length| rows(&|_, key| key < length)).collect();
                (all, lengths.len())
            }
        };
        let data = TensorData::new(values, [batch, 1, queries, keys]);
        Some(Tensor::from_data(data, device))
    }
}

/// Adds the new keys and values of layer `n` to the cache and gives all of them.
pub(crate) fn remember(
    cache: Option<&mut KeyValueCache>,
    n: usize,
    key: Tensor<4>,
    value: Tensor<4>,
) -> (Tensor<4>, Tensor<4>) {
    let Some(cache) = cache else { return (key, value) };
    if cache.layers.len() <= n {
        cache.layers.resize(n + 1, None);
    }
    let all = match cache.layers[n].take() {
        None => (key, value),
        Some((keys, values)) => {
            (Tensor::cat(vec![keys, key], 2), Tensor::cat(vec![values, value], 2))
        }
    };
    cache.layers[n] = Some(all.clone());
    all
}
