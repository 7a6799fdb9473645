//! The MLPs of a network as they are, by their neurons, where there are no transcoders.
//!
//! Left out: gated MLPs, whose neurons read by two rows.

use std::sync::Arc;

use ndarray::{Array1, Array2};
use nissl_core::features::{Activation, Dictionary, Encoding, InputNorm};
use nissl_core::network::{Part, ResidualWeights};
use nissl_core::{Error, Result};

use super::wiring::{Reads, Replaced, matrix};

/// Neurons of a layer that are features at a position, of those that stand for an MLP as it is.
pub const STRONGEST: usize = 64;

/// The MLP of a layer as a dictionary, its neurons the features: exact where it is `relu` without a gate.
///
/// # Errors
/// A layer that is not there, a gated MLP or one of another non-linearity, or a file that cannot be read.
pub fn neurons(weights: &dyn ResidualWeights, layer: usize) -> Result<Replaced> {
    let form = weights.stream_form()?;
    if form.activation != "relu" {
        let gate = if form.gated { "gated " } else { "" };
        let found = format!("{gate}{}", form.activation);
        let expected = "MLPs of relu without a gate, or transcoders in their place";
        return Err(Error::setting("neurons", found, expected));
    }
    linear(weights, layer, Reads::Normed)
}

/// The MLP of a layer by its neurons, whatever their non-linearity: a neuron's input `u = w_up · x + b` is the
/// target, its activation `z` what it writes, as the network has it. The ratio `z/u` is as it was on the
/// prompt, so that sums add up; what a change of `u` would do to `z` they do not tell. Of each position the
/// neurons that write most are features, and the others unexplained. For attribution graphs: paths through
/// such neurons would need the ratio.
///
/// # Errors
/// A layer that is not there, a gated MLP, whose neurons read by two rows, or a file that cannot be read.
pub fn frozen_neurons(weights: &dyn ResidualWeights, layer: usize) -> Result<Replaced> {
    linear(weights, layer, Reads::Neurons)
}

fn linear(weights: &dyn ResidualWeights, layer: usize, reads: Reads) -> Result<Replaced> {
    let form = weights.stream_form()?;
    if form.gated {
        let found = format!("gated {}", form.activation);
        let expected =
            "MLPs without a gate, whose neurons read by one row, or transcoders in their place";
        return Err(Error::setting("neurons", found, expected));
    }
    let mut dictionary = Dictionary::new(
        matrix(weights, layer, Part::Up)?,
        Encoding::Sparse { activation: Activation::Relu, norm: InputNorm::None, centred: false },
    );
    dictionary.output_decoder = Some(matrix(weights, layer, Part::Down)?);
    dictionary.encoder_bias = weights.part_bias(layer, Part::Up)?.map(Array1::from);
    dictionary.output_bias = weights.part_bias(layer, Part::Down)?.map(Array1::from);
    Ok(Replaced { layer, dictionary: Arc::new(dictionary), reads })
}

/// The neurons `[position, neuron]` that write most at each position; the others at 0.
pub(super) fn strongest(one: &Replaced, mut activations: Array2<f32>) -> Array2<f32> {
    let written = one.dictionary.written();
    let lengths: Vec<f32> = written.rows().into_iter().map(|row| row.dot(&row).sqrt()).collect();
    for mut row in activations.rows_mut() {
        let mut order: Vec<usize> = (0..row.len()).collect();
        let size = |neuron: usize| row[neuron].abs() * lengths[neuron];
        order.sort_by(|&a, &b| size(b).total_cmp(&size(a)).then(a.cmp(&b)));
        for &neuron in order.iter().skip(STRONGEST) {
            row[neuron] = 0.0;
        }
    }
    activations
}
