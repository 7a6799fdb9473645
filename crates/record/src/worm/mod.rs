//! The worm C. elegans: its 302 neurons, and recordings of them in one form.

pub mod form;
#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these values are exact")]
mod golden;
pub mod homogenise;
pub mod hub;
pub mod import;
pub mod impute;
pub mod labels;
pub mod layouts;
pub mod neurons;
pub mod normalise;
pub mod raw;
pub mod recording;
pub mod resample;
pub mod set;
#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these values are exact")]
mod set_tests;
pub mod smooth;
mod spline;
pub mod statistics;

pub use form::{Signal, Worm, WormNeuron};
pub use homogenise::{Homogenise, Outcome, TimeUnit};
pub use import::{ImportWorms, Imported};
pub use impute::Imputation;
pub use labels::{Confidence, Naming};
pub use layouts::Dataset;
pub use neurons::{Merge, Neuron, neuron, neurons, slot, slots};
pub use normalise::Normalisation;
pub use raw::{Fluorescence, LeftOut, RawWorm, Stimulus};
pub use resample::Interpolation;
pub use smooth::Smoothing;
