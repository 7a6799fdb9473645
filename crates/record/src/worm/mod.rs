//! The worm C. elegans: its 302 neurons, and recordings of them in one form.

pub mod impute;
pub mod neurons;
pub mod normalise;
pub mod resample;
pub mod smooth;
mod spline;

pub use impute::Imputation;
pub use neurons::{Merge, Neuron, neuron, neurons, slot, slots};
pub use normalise::Normalisation;
pub use resample::Interpolation;
pub use smooth::Smoothing;
