//! Multilayer perceptrons: linear layers with one function of the units between them.
//!
//! `f ↦ φ(f W + b)` for every layer but the last, which is linear. Node layers are the inputs of the
//! layers, `layers.0` and on, and `output`.

use std::path::Path;

use ndarray::{Array2, s};
use nissl_core::section::{Affine, Hidden, Nonlinearity, Section};
use nissl_core::{Error, Result};

use super::read::Weights;
use super::{Cut, folded, with_bias};
use crate::files::Files;

/// A multilayer perceptron in f64.
#[derive(Clone, Debug)]
pub struct Perceptron {
    layers: Vec<Layer>,
    nonlinearity: Nonlinearity,
}

#[derive(Clone, Debug)]
struct Layer {
    /// `[input, output]`
    weight: Array2<f64>,
    bias: Vec<f64>,
}

/// The node layer at the end.
const END: &str = "output";

impl Perceptron {
    /// Reads `layers.N.weight` `[output, input]` and `layers.N.bias` from safetensors or a PyTorch
    /// file; numbers may have gaps, and what stands before `N` may be any one name.
    ///
    /// # Errors
    /// A tensor that is no part of a linear layer, such as those of batch norms and convolutions, or
    /// layers that do not fit each other.
    pub fn open(path: &Path, nonlinearity: Nonlinearity) -> Result<Self> {
        let files = Files::open(path)?;
        let weights = Weights { files: &files };
        let mut found: Vec<(usize, String)> = Vec::new();
        for key in files.places.keys() {
            let layer = linear(key, &weights).ok_or_else(|| {
                let shape = weights.shape(key).unwrap_or_default();
                let expected = "`N.weight` of two axes or `N.bias` of a linear layer";
                Error::file(path, key, format!("of shape {shape:?}"), expected).with_help(
                    "only linear layers can be folded; fold batch norms into the layer before, and take dropout out",
                )
            })?;
            if let Some(layer) = layer {
                found.push(layer);
            }
        }
        found.sort();
        let layers = found.iter().map(|(_, stem)| {
            let key = format!("{stem}.weight");
            let shape = weights.shape(&key)?;
            let shape = [shape[0], shape[1]];
            let weight = weights.matrix(&key, shape)?.reversed_axes();
            let bias = weights.vector_or_zero(&format!("{stem}.bias"), shape[0])?;
            Ok(Layer { weight, bias })
        });
        let layers: Vec<Layer> = layers.collect::<Result<_>>()?;
        if layers.is_empty() {
            return Err(Error::file(path, "layers", "absent", "`layers.N.weight`"));
        }
        for (pair, (_, stem)) in layers.windows(2).zip(&found[1..]) {
            let (given, taken) = (pair[0].weight.ncols(), pair[1].weight.nrows());
            if given != taken {
                let expected = format!("{given}, the outputs of the layer before");
                return Err(Error::file(path, format!("{stem}.weight"), taken, expected));
            }
        }
        Ok(Self { layers, nonlinearity })
    }

    /// The number of inputs, without the constant.
    pub fn inputs(&self) -> usize {
        self.layers[0].weight.nrows()
    }

    /// The names of all node layers.
    pub fn node_layers(&self) -> Vec<String> {
        let inputs = (0..self.layers.len()).map(|n| format!("layers.{n}"));
        inputs.chain([END.to_owned()]).collect()
    }

    /// Cuts it at node layers; its samples are its inputs with the constant 1 last.
    ///
    /// # Errors
    /// Node layers that are not there or not in order.
    pub fn cut(&self, node_layers: &[String]) -> Result<Cut> {
        let last = self.layers.len() - 1;
        let sections = self.layers.iter().enumerate().map(|(n, layer)| {
            let name = format!("layers.{n}");
            let (inputs, outputs) = layer.weight.dim();
            let positions = 1;
            if n == last {
                let weight = folded(layer.weight.view(), &layer.bias);
                return Box::new(Affine { name, positions, weight }) as Box<dyn Section>;
            }
            let mut straight = Array2::zeros((inputs + 1, outputs + 1));
            straight[[inputs, outputs]] = 1.0;
            let mut out = Array2::zeros((outputs, outputs + 1));
            out.slice_mut(s![.., ..outputs]).assign(&Array2::eye(outputs));
            let into = with_bias(layer.weight.view(), &layer.bias, outputs);
            let nonlinearity = self.nonlinearity;
            Box::new(Hidden { name, positions, straight, into, out, nonlinearity })
        });
        Cut::at(sections.collect(), END, node_layers)
    }
}

/// The number and stem of a linear layer whose weight `key` is; `Some(None)` for a bias.
#[expect(clippy::option_option, reason = "no part of a linear layer, a bias, or a weight")]
fn linear(key: &str, weights: &Weights<'_>) -> Option<Option<(usize, String)>> {
    let (stem, part) = key.rsplit_once('.')?;
    let number = stem.rsplit('.').next()?.parse().ok()?;
    let axes = weights.shape(key).ok()?.len();
    let has = |part: &str, axes: usize| {
        weights.shape(&format!("{stem}.{part}")).is_ok_and(|shape| shape.len() == axes)
    };
    match (part, axes) {
        ("weight", 2) => Some(Some((number, stem.to_owned()))),
        ("bias", 1) if has("weight", 2) => Some(None),
        _ => None,
    }
}
