//! The published table of recorded worms: Parquet, one row for each neuron of each worm.
//!
//! Reading looks first at the small columns of those row groups that can hold what is asked for, and
//! then at the traces of the rows that do. Any subset of the published columns is enough, as long as
//! `worm`, `neuron` and `calcium_data` are there. Times that half precision has made equal are made
//! anew from their number.
//!
//! Source: the schema of Simeon et al. 2024, arXiv:2411.12091, and of the code published with it.
//! Memory: the small columns, and one worm.

mod read;
mod select;
#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these values are exact")]
mod tests;
mod worm;
mod write;

pub use read::{Hub, HubWorm, is_hub};
pub use select::Selection;
pub use write::HubWriter;
