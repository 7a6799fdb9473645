//! Units read through the head: each vector of the residual stream as a distribution over tokens.
//!
//! `ℓ = U w`, `p = softmax(ℓ)`: `w` is what a neuron reads (a row of the up or gate projection) or
//! writes (a column of the down projection), `U` the head. A unit is *specialised* when `max p ≥ τ`,
//! or when its greatest logit stands `z` standard deviations above the mean over tokens. No data
//! and no forward pass are needed.
//!
//! What a vector goes through before the head, in this order; all of it is off in the paper:
//! the gain of the norm before the MLP (`fold_in`, what the neuron sees), the mean vector of its
//! part taken off (`centre`, what all rows have in common), length 1 or the head's norm
//! (`normalise`), and the gain of the head's norm (`fold_out`, what the head sees).
//!
//! Source: Davies 2025, arXiv:2501.02688; options and scores beyond it are marked where they stand.
//! Memory: a block of units and a tile of tokens, and for each token its length.

mod agreement;
mod compare;
mod comparison;
mod coverage;
mod decode;
mod explanations;
mod families;
mod features;
mod map;
mod matrix;
mod moments;
mod projection;
mod rows;
mod search;
mod settings;
mod span;
mod spectrum;
mod two_stage;
mod unit;
mod vocabulary;
mod warning;

pub use agreement::{Class, class_for, classify};
pub use compare::{Compare, compare};
pub use comparison::{Changed, Comparison, LayerComparison, Likeness};
pub use coverage::{CommonToken, Coverage, LayerCoverage, TAUS, coverage};
pub use decode::decode;
pub use explanations::{FAMILY_METHOD, explain};
pub use families::{Families, Split, WordSet};
pub use features::FeatureWeights;
pub use map::{HeadMap, HeadMapDetail, Units, decode_to};
pub use matrix::MatrixWeights;
pub use moments::HeadMoments;
pub use search::{By, Hit, Search, search, search_map};
pub use settings::{Centre, LmHead, Normalise, SignChoice};
pub use span::Span;
pub use spectrum::{Spectrum, strongest_frequencies};
pub use unit::Decoded;
pub use warning::Warning;

pub use crate::sign::Sign;
