//! Weights in files: what is read of them, and what is refused.

#[path = "../common/mod.rs"]
mod common;
mod hostile;
mod lens;
mod torch;
mod weights;
