//! Interventions and scores: truth matching, concept detection, steering, clamping, ablation.
//!
//! A probe takes features, a recording or a network as the nouns of the core, never a concrete
//! network or method, and gives figures with their intervals.

pub mod ablate;
pub mod clamp;
mod continuation;
pub mod detect;
pub mod dictionary;
mod direction;
mod likelihood;
pub mod overlap;
pub mod reversal;
pub mod scores;
pub mod steer;
pub mod strength;
pub mod truth;
mod vocabulary;

pub use continuation::continue_prompt;
pub use direction::{site_direction, site_directions};
pub use vocabulary::{WordToken, check_tokenizer, word_token};
