//! From a network and its features to a Graph: circuits, attribution, interactions, modules.

pub mod attribution;
pub mod communities;
pub mod connectome;
pub mod frozen;
pub mod input_invariant;
pub mod interaction;
pub mod leiden;
pub mod pooled_dynamics;
pub mod transcoder_paths;
