//! `Section`: a part of a network between two node layers, as a function of its whole input.
//!
//! All biases are folded: the last coordinate of every node layer is the constant, so that a linear
//! section is one matrix. Everything is f64. Samples come one after the other, each with its positions:
//! a matrix of inputs is `[sample · position, coordinate]`.
//!
//! Source: Bushnaq et al. 2024, arXiv:2405.10928, §3 (node layers, folded biases).

use ndarray::{Array2, ArrayView2};

use crate::error::Result;

/// Positions and coordinates on both sides of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Positions of a sample at the input.
    pub positions_in: usize,
    /// Coordinates of a position at the input, the constant last.
    pub inputs: usize,
    /// Positions of a sample at the output.
    pub positions_out: usize,
    /// Coordinates of a position at the output, the constant last.
    pub outputs: usize,
}

/// What is known of a section's formula, for closed forms.
#[derive(Clone, Copy, Debug)]
pub enum Form<'a> {
    /// `f W`, position by position, `W` `[input, output]`.
    Linear(ArrayView2<'a, f64>),
    /// `f A + max(0, f W_in) W_out`, position by position.
    Relu {
        /// `A` `[input, output]`: what passes beside the hidden layer, and the bias.
        straight: ArrayView2<'a, f64>,
        /// `W_in` `[input, hidden]`.
        into: ArrayView2<'a, f64>,
        /// `W_out` `[hidden, output]`.
        out: ArrayView2<'a, f64>,
    },
    /// Any other.
    General,
}

/// A differentiable map from one node layer to the next.
pub trait Section: Send + Sync {
    /// The name of the node layer at its input.
    fn name(&self) -> &str;

    /// Its positions and coordinates.
    fn extent(&self) -> Extent;

    /// Its formula.
    fn form(&self) -> Form<'_> {
        Form::General
    }

    /// Outputs `[sample · position, output]` of inputs `[sample · position, input]`.
    ///
    /// # Errors
    /// Inputs of another extent.
    fn forward(&self, inputs: ArrayView2<'_, f64>) -> Result<Array2<f64>>;

    /// The derivative at `inputs` along `tangents` of the same shape: `[sample · position, output]`.
    ///
    /// # Errors
    /// Inputs or tangents of another extent.
    fn push(
        &self,
        inputs: ArrayView2<'_, f64>,
        tangents: ArrayView2<'_, f64>,
    ) -> Result<Array2<f64>>;

    /// The derivative at `inputs` of `Σ cotangents ∘ outputs` by the inputs.
    ///
    /// # Errors
    /// Inputs or cotangents of another extent.
    fn pull(
        &self,
        inputs: ArrayView2<'_, f64>,
        cotangents: ArrayView2<'_, f64>,
    ) -> Result<Array2<f64>>;
}

/// Sections one after the other, each the input of the next.
pub struct Chain {
    /// In the order of computation.
    pub sections: Vec<Box<dyn Section>>,
    /// The name of the node layer at the end.
    pub end: String,
}

impl Chain {
    /// The names of all node layers, the end included.
    pub fn node_layers(&self) -> Vec<&str> {
        let inputs = self.sections.iter().map(|section| section.name());
        inputs.chain([self.end.as_str()]).collect()
    }
}
