//! Networks cut into sections at node layers, in f64 with folded biases.
//!
//! Node layers are named as nissl's sites are (`layers.0.resid.pre`), and the names of the Local
//! Interaction Basis paper (`ln1.0`) are understood. Each is one row for each position: the values of
//! the site, where a layer norm begins its variance, and the constant 1 last.
//!
//! Source: Bushnaq et al. 2024, arXiv:2405.10928, §3. Left out: RMS norms, rotary positions, gated MLPs,
//! convolutions, batch norms, recurrent networks.
//! Memory: the weights in f64, twice while a network is cut.

mod attention;
mod composed;
mod cut;
mod load;
mod norm;
mod perceptron;
mod read;
#[cfg(test)]
mod tests;
mod transformer;

pub use cut::{Cut, Prefixed};
pub use perceptron::Perceptron;
pub use transformer::{Outputs, Tokens, Transformer};

use std::path::Path;

use ndarray::{Array2, ArrayView2, s};
use nissl_core::Result;

use crate::files::Files;

/// Whether the checkpoint at `path` is a transformer: it is described by a `config.json`, or in
/// TransformerLens's naming. Else it can only be a [`Perceptron`].
///
/// # Errors
/// No checkpoint, or a damaged one.
pub fn is_transformer(path: &Path) -> Result<bool> {
    let folder = if path.is_dir() { Some(path) } else { path.parent() };
    if folder.is_some_and(|folder| folder.join("config.json").exists()) {
        return Ok(true);
    }
    Ok(Files::open(path)?.places.contains_key("embed.W_E"))
}

/// `W` `[input, output]` with its bias as `[input + 1, output + 1]`, the constant passing on.
fn folded(weight: ArrayView2<'_, f64>, bias: &[f64]) -> Array2<f64> {
    let (inputs, outputs) = weight.dim();
    let mut out = with_bias(weight, bias, outputs + 1);
    out[[inputs, outputs]] = 1.0;
    out
}

/// `W` with its bias as the last row, and columns of zeros up to `columns`.
fn with_bias(weight: ArrayView2<'_, f64>, bias: &[f64], columns: usize) -> Array2<f64> {
    let (inputs, outputs) = weight.dim();
    let mut out = Array2::zeros((inputs + 1, columns));
    out.slice_mut(s![..inputs, ..outputs]).assign(&weight);
    for (n, bias) in bias.iter().enumerate() {
        out[[inputs, n]] = *bias;
    }
    out
}
