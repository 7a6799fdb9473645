//! The linear circuit that is left of a network when one prompt's attention and norms are held fixed.
//!
//! With attention patterns `A` and the denominators of norms as they were on the prompt, what reaches
//! any direction `v` of the residual stream is a sum over tokens, heads, features of dictionaries in
//! place of MLPs, what these leave unexplained, and biases:
//!
//! `v · r = v · (W_E + W_pos) + Σ_l Σ_h Σ_s A_{ts} (LN(r_s) W_V W_O · v) + Σ_l Σ_i z_i (w_dec,i · v) +
//! Σ_l v · (MLP(x) − ŷ) + biases`.
//!
//! A feature's pre-activation is such a sum, with `v = w_enc` seen through the norm:
//! [`FrozenRun::feature`] makes the target, [`FrozenRun::contributions`] the terms one step above it,
//! [`FrozenRun::effects`] those of everything above through all heads at once.
//!
//! Source: Dunefsky, Chlenski, Nanda 2024, arXiv:2406.11944, §4; frozen attributions: Ameisen et al.
//! 2025, "Circuit Tracing". Differs: norms are taken apart exactly by default (centring and gain, with
//! the denominator held); the paper's single constant is [`NormTreatment::Ratio`].
//! Memory: the value and output matrices of all layers, the dictionaries, and for a prompt of `T`
//! tokens `heads · T²` numbers and some `T · residual` a layer.

mod capture;
mod contributions;
mod effects;
mod neurons;
mod norm;
mod run;
mod target;
mod wiring;

pub use contributions::Contributions;
pub use effects::{Effects, FeatureSite};
pub use neurons::{STRONGEST, frozen_neurons, neurons};
pub use run::{Freeze, FrozenRun, NormTreatment};
pub use target::{Depth, Target};
pub use wiring::{Reads, Replaced, Wiring};
