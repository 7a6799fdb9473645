//! From features and neurons to words without a language model's help: examples, logit lens, LM head,
//! composition, names.
//!
//! Every step reads nouns of the core and writes a table beside the features; [`all`] takes them in
//! order.

mod all;
pub mod composition;
pub mod dashboard;
pub mod describe;
pub mod examples;
pub mod lm_head;
pub mod logit_lens;
pub mod name;
pub mod shown;
mod sign;

pub use all::{Explain, Explained, all};
