//! Fused operations behind burn's backend extension, and memory maps.
//!
//! Each operation is a composition of burn's own on any backend, and one pass over the data on the
//! CPU; both are differentiable, the latter by backward passes of its own.

pub mod convert;
pub mod factors;
mod flex;
pub mod gemm;
pub mod mmap;
mod operation;
mod options;
#[cfg(test)]
mod parity;
mod simd;
pub mod sparse_code;
mod tensors;
pub mod thin;
mod vocabulary;

pub use mmap::Mapped;
pub use operation::{KernelGradients, Kernels, OptionalFloat, OptionalInt};
pub use options::{Activation, AttentionOptions, SoftmaxOptions, Visibility};
pub use tensors::{
    activate, activate_mul, attention, attention_padded, cross_entropy, gelu, gelu_tanh,
    gelu_tanh_mul, layer_norm, linear, log_softmax, rms_norm, silu, silu_mul, softmax,
    softmax_with,
};
pub use vocabulary::{LogitScan, RowScan, Signs, Softmax};
