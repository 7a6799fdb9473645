//! What the fused operations can be asked for.

/// A pointwise non-linearity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x Φ(x)`, by the error function
    Gelu,
    /// `x/2 (1 + tanh(√(2/π) (x + 0.044715 x³)))`
    GeluTanh,
    /// `x / (1 + exp(−x))`
    Silu,
}

/// How raw scores become the logits of a softmax.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SoftmaxOptions {
    /// Factor on the scores, before anything else
    pub scale: f32,
    /// `c` in `c tanh(score / c)`, after the scale and before the mask
    pub soft_cap: Option<f32>,
}

impl Default for SoftmaxOptions {
    fn default() -> Self {
        Self { scale: 1.0, soft_cap: None }
    }
}

/// Which keys a query sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// All keys
    Full,
    /// Keys at or before the query
    Causal,
    /// The last so many keys up to the query, itself included
    Window(usize),
}

/// Options of [`crate::attention`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionOptions {
    /// Factor on `q·k`; commonly `1/√width`
    pub scale: f32,
    /// `c` in `c tanh(score / c)`
    pub soft_cap: Option<f32>,
    /// Which keys a query sees
    pub visibility: Visibility,
    /// Place of the first query among the keys; the number of cached keys before it
    pub query_offset: usize,
}

impl AttentionOptions {
    /// Causal attention with the usual scale `1/√width` and nothing cached.
    pub fn causal(width: usize) -> Self {
        Self {
            scale: 1.0 / (width as f32).sqrt(),
            soft_cap: None,
            visibility: Visibility::Causal,
            query_offset: 0,
        }
    }

    /// Attention over all keys with the usual scale `1/√width`.
    pub fn full(width: usize) -> Self {
        Self { visibility: Visibility::Full, ..Self::causal(width) }
    }

    /// Options of the softmax within.
    pub(crate) fn softmax(&self) -> SoftmaxOptions {
        SoftmaxOptions { scale: self.scale, soft_cap: self.soft_cap }
    }

    /// The keys seen by query `query` (counted without the offset) out of `keys`.
    pub(crate) fn seen(&self, query: usize, keys: usize) -> std::ops::Range<usize> {
        let end = (query + self.query_offset + 1).min(keys);
        match self.visibility {
            Visibility::Full => 0..keys,
            Visibility::Causal => 0..end,
            Visibility::Window(width) => {
                let start = (query + self.query_offset + 1).saturating_sub(width);
                start.min(end)..end
            }
        }
    }
}
