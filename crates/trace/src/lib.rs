//! From a network and its features to a Graph: circuits, attribution, interactions, modules.

pub mod attribution;
pub mod frozen;
pub mod input_invariant;
pub mod transcoder_paths;
