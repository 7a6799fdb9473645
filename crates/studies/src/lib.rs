//! Studies: each rebuilds a published claim and checks its bars; and the demo, the whole way at once.

pub mod celegans;
pub mod compare;
pub mod demo;
pub mod dynamic_communities;
pub mod feature_page;
pub mod language_world;
pub mod lib_basis;
pub mod lm_head;
mod matrix;
mod modular_addition;
pub mod report;
pub mod snmf;
pub mod study;
pub mod transcoders;
