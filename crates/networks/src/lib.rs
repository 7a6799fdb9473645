//! Networks with named sites, loaded from checkpoints or trained here.

pub mod edit;
mod files;
pub mod language;
pub mod sections;
pub mod weights;
