//! Studies: each rebuilds a published claim and checks its bars; and the demo, the whole way at once.

pub mod compare;
pub mod demo;
pub mod language_world;
mod matrix;
pub mod report;
pub mod snmf;
pub mod study;
