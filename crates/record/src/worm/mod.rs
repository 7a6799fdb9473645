//! The worm C. elegans: its 302 neurons, and recordings of them in one form.

pub mod neurons;

pub use neurons::{Merge, Neuron, neuron, neurons, slot, slots};
