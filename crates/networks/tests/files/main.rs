//! Weights in files: what is read of them, and what is refused.

mod changed;
#[path = "../common/mod.rs"]
mod common;
mod hostile;
mod lens;
mod reversal;
mod torch;
mod weights;
