//! Changes of a checkpoint's weights that leave everything else as it was, byte for byte.

mod copy;
mod reverse;

pub(crate) use copy::Signs;
pub use reverse::{Aligned, Reverse, Reversed, concept_direction, random_like, write_reversed};
