//! `Section`: a part of a network between two node layers, as a function of its whole input.
//!
//! All biases are folded: the last coordinate of every node layer is the constant, so that a linear
//! section is one matrix. Everything is f64. Samples come one after the other, each with its positions:
//! a matrix of inputs is `[sample · position, coordinate]`.
//!
//! Source: Bushnaq et al. 2024, arXiv:2405.10928, §3 (node layers, folded biases).

mod arrays;
mod basis;
mod integration;
mod maps;

use std::ops::Range;

use crate::features::product;
use ndarray::{Array2, ArrayView2, s};

pub use arrays::Arrays;
pub use basis::{Basis, InteractionBasis};
pub use integration::{Integration, Rule};
pub use maps::{Affine, Hidden, Nonlinearity, fits};

use crate::error::{Error, Result};

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

    /// The input coordinate that a basis keeps apart from all others: a layer norm's variance.
    fn isolated(&self) -> Option<usize> {
        None
    }

    /// Outputs `[sample · position, output]` of inputs `[sample · position, input]`.
    ///
    /// # Errors
    /// Inputs of another extent.
    fn forward(&self, inputs: ArrayView2<'_, f64>) -> Result<Array2<f64>>;

    /// [`Self::forward`] between two bases: of inputs `new · back` the outputs times `into`, with `new`
    /// `[sample · position, vector]`, `back` `[vector, input]` and `into` `[output, vector]`.
    ///
    /// # Errors
    /// New coordinates of another extent.
    fn between(
        &self,
        new: ArrayView2<'_, f64>,
        back: ArrayView2<'_, f64>,
        into: ArrayView2<'_, f64>,
    ) -> Result<Array2<f64>> {
        Ok(product(self.forward(product(new, back).view())?.view(), into))
    }

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

    /// [`Self::push`] along several tangents at the same inputs, whose common work is done once.
    ///
    /// # Errors
    /// As [`Self::push`].
    fn pushes(
        &self,
        inputs: ArrayView2<'_, f64>,
        tangents: &[Array2<f64>],
    ) -> Result<Vec<Array2<f64>>> {
        tangents.iter().map(|tangent| self.push(inputs, tangent.view())).collect()
    }

    /// [`Self::pull`] of several cotangents at the same inputs, whose common work is done once.
    ///
    /// # Errors
    /// As [`Self::pull`].
    fn pulls(
        &self,
        inputs: ArrayView2<'_, f64>,
        cotangents: &[Array2<f64>],
    ) -> Result<Vec<Array2<f64>>> {
        cotangents.iter().map(|cotangent| self.pull(inputs, cotangent.view())).collect()
    }

    /// `Σ_x Σ_t Σ_s J_ts C Cᵀ J_tsᵀ` `[input, input]` over the samples at `inputs`, with `basis` the `C`
    /// `[output, vector]` and `J` the derivative at `α` times the inputs, averaged over `points`
    /// `[α, weight]`. `None` where there is no closed form, so that outputs must be pulled one by one.
    ///
    /// # Errors
    /// Inputs of another extent.
    fn metric(
        &self,
        _inputs: ArrayView2<'_, f64>,
        _basis: ArrayView2<'_, f64>,
        _points: &[[f64; 2]],
    ) -> Result<Option<Array2<f64>>> {
        Ok(None)
    }

    /// `Σ_x Σ_t (Σ_s f̂_sj C⁺_j J_ts C′_i)²` `[source vector, target vector]` over the samples whose new
    /// coordinates `new` are `f̂` `[sample · position, source vector]`, with `back` the `C⁺`
    /// `[source vector, input]`, `into` the `C′` `[output, target vector]` and `J` as in
    /// [`Self::metric`]. `None` where there is no closed form.
    ///
    /// # Errors
    /// New coordinates of another extent.
    fn squared_effects(
        &self,
        _new: ArrayView2<'_, f64>,
        _back: ArrayView2<'_, f64>,
        _into: ArrayView2<'_, f64>,
        _points: &[[f64; 2]],
    ) -> Result<Option<Array2<f64>>> {
        Ok(None)
    }
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

    /// Checks that every section takes what the one before gives.
    ///
    /// # Errors
    /// No section at all, or two neighbours that do not fit; names the node layer between them.
    pub fn validate(&self) -> Result<()> {
        if self.sections.is_empty() {
            let what = "the chain of sections".to_owned();
            return Err(Error::Empty { what, expected: "at least one section".to_owned() });
        }
        for pair in self.sections.windows(2) {
            let (given, taken) = (pair[0].extent(), pair[1].extent());
            let given = [given.positions_out, given.outputs];
            let taken = [taken.positions_in, taken.inputs];
            if given != taken {
                let expected = format!("{taken:?} positions and coordinates");
                return Err(Error::setting(pair[1].name(), format!("{given:?}"), expected));
            }
        }
        Ok(())
    }
}

/// Inputs of the first node layer of a chain, given block by block.
pub trait Samples: Sync {
    /// How many samples there are.
    fn samples(&self) -> usize;

    /// The rows `[sample · position, coordinate]` of a range of samples.
    ///
    /// # Errors
    /// Rows that cannot be read.
    fn rows(&self, range: Range<usize>) -> Result<Array2<f64>>;
}

/// Samples that are in memory.
#[derive(Clone, Debug)]
pub struct Held {
    /// `[sample · position, coordinate]`, the constant last.
    pub rows: Array2<f64>,
    /// Positions of a sample, at least 1.
    pub positions: usize,
}

impl Samples for Held {
    fn samples(&self) -> usize {
        self.rows.nrows() / self.positions.max(1)
    }

    fn rows(&self, range: Range<usize>) -> Result<Array2<f64>> {
        let positions = self.positions.max(1);
        Ok(self.rows.slice(s![range.start * positions..range.end * positions, ..]).to_owned())
    }
}
