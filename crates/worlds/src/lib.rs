//! Generators of data whose truth is known.

pub mod dynamic_communities;
pub mod language;
pub mod lfr;
pub mod planted;
pub mod planted_circuit;
pub mod planted_head;
pub mod sparse_mlp;
pub mod two_blocks;
pub mod worm;
