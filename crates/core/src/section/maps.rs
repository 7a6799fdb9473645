//! Sections that work position by position: linear ones, and those with one hidden layer.
//!
//! Hidden: `f A + φ(f W_in) W_out`, `push = t A + (t W_in ∘ φ′) W_out`,
//! `pull = c Aᵀ + (c W_outᵀ ∘ φ′) W_inᵀ`.

use ndarray::{Array2, ArrayView2, Zip};
use serde::{Deserialize, Serialize};

use super::{Extent, Form, Section};
use crate::error::{Error, Result};
use crate::features::{add_product, product};

/// `f W`, position by position.
#[derive(Clone, Debug)]
pub struct Affine {
    /// The node layer at the input.
    pub name: String,
    /// Positions of a sample.
    pub positions: usize,
    /// `W` `[input, output]`, biases in its last row, the last column passing the constant on.
    pub weight: Array2<f64>,
}

/// `f A + φ(f W_in) W_out`, position by position.
#[derive(Clone, Debug)]
pub struct Hidden {
    /// The node layer at the input.
    pub name: String,
    /// Positions of a sample.
    pub positions: usize,
    /// `A` `[input, output]`.
    pub straight: Array2<f64>,
    /// `W_in` `[input, hidden]`.
    pub into: Array2<f64>,
    /// `W_out` `[hidden, output]`.
    pub out: Array2<f64>,
    /// `φ`.
    pub nonlinearity: Nonlinearity,
}

/// A function of each hidden unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Nonlinearity {
    /// `max(0, x)`; the derivative at 0 is 0.
    Relu,
    /// `x Φ(x)`.
    Gelu,
    /// GELU through its approximation with tanh.
    GeluTanh,
    /// `tanh x`.
    Tanh,
    /// `x σ(x)`.
    Silu,
}

impl Nonlinearity {
    /// Its value and derivative at `x`.
    pub fn at(self, x: f64) -> (f64, f64) {
        match self {
            Self::Relu => {
                if x > 0.0 {
                    (x, 1.0)
                } else {
                    (0.0, 0.0)
                }
            }
            Self::Gelu => {
                let below = normal_cdf(x);
                let density = (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt();
                (x * below, below + x * density)
            }
            Self::GeluTanh => {
                let scale = (2.0 / std::f64::consts::PI).sqrt();
                let curve = (scale * (x + 0.044_715 * x * x * x)).tanh();
                let slope = (1.0 - curve * curve) * scale * (1.0 + 3.0 * 0.044_715 * x * x);
                (0.5 * x * (1.0 + curve), 0.5 * (1.0 + curve) + 0.5 * x * slope)
            }
            Self::Tanh => {
                let value = x.tanh();
                (value, 1.0 - value * value)
            }
            Self::Silu => {
                let gate = 1.0 / (1.0 + (-x).exp());
                (x * gate, gate + x * gate * (1.0 - gate))
            }
        }
    }
}

/// `Φ(x)` by the continued fraction of the complementary error function far out and its series near 0,
/// to 15 digits.
///
/// Source: Abramowitz and Stegun 1964, 7.1.5 and 7.1.14.
fn normal_cdf(x: f64) -> f64 {
    let z = x.abs() / std::f64::consts::SQRT_2;
    let upper = if z < 2.5 {
        let (mut term, mut sum) = (z, z);
        for n in 1..120 {
            let n = f64::from(n);
            term *= -z * z / n;
            sum += term / (2.0 * n + 1.0);
        }
        0.5 - sum / std::f64::consts::PI.sqrt()
    } else {
        let fraction = (1..160).rev().fold(z, |rest, n| z + f64::from(n) / 2.0 / rest);
        0.5 * (-z * z).exp() / (std::f64::consts::PI.sqrt() * fraction)
    };
    if x < 0.0 { upper } else { 1.0 - upper }
}

/// Checks a matrix of `[sample · position, coordinate]` against what a section takes.
///
/// # Errors
/// Another number of coordinates, or rows that are no whole samples.
pub fn fits(
    section: &str,
    what: &str,
    matrix: ArrayView2<'_, f64>,
    positions: usize,
    coordinates: usize,
) -> Result<()> {
    if matrix.ncols() != coordinates {
        let expected = format!("{coordinates} coordinates, the constant among them");
        return Err(Error::setting(format!("{what} of {section}"), matrix.ncols(), expected));
    }
    if !matrix.nrows().is_multiple_of(positions.max(1)) {
        let expected = format!("rows for whole samples of {positions} positions");
        return Err(Error::setting(format!("{what} of {section}"), matrix.nrows(), expected));
    }
    Ok(())
}

impl Section for Affine {
    fn name(&self) -> &str {
        &self.name
    }

    fn extent(&self) -> Extent {
        let (inputs, outputs) = self.weight.dim();
        let positions = self.positions;
        Extent { positions_in: positions, inputs, positions_out: positions, outputs }
    }

    fn form(&self) -> Form<'_> {
        Form::Linear(self.weight.view())
    }

    fn forward(&self, inputs: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
        fits(&self.name, "inputs", inputs, self.positions, self.weight.nrows())?;
        Ok(product(inputs, self.weight.view()))
    }

    fn push(
        &self,
        _inputs: ArrayView2<'_, f64>,
        tangents: ArrayView2<'_, f64>,
    ) -> Result<Array2<f64>> {
        fits(&self.name, "tangents", tangents, self.positions, self.weight.nrows())?;
        Ok(product(tangents, self.weight.view()))
    }

    fn pull(
        &self,
        _inputs: ArrayView2<'_, f64>,
        cotangents: ArrayView2<'_, f64>,
    ) -> Result<Array2<f64>> {
        fits(&self.name, "cotangents", cotangents, self.positions, self.weight.ncols())?;
        Ok(product(cotangents, self.weight.t()))
    }
}

impl Hidden {
    /// `φ′(f W_in)` `[row, hidden]`.
    fn slopes(&self, inputs: ArrayView2<'_, f64>) -> Array2<f64> {
        let mut slopes = product(inputs, self.into.view());
        slopes.par_mapv_inplace(|x| self.nonlinearity.at(x).1);
        slopes
    }

    fn pushed(&self, slopes: &Array2<f64>, tangents: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
        fits(&self.name, "tangents", tangents, self.positions, self.straight.nrows())?;
        let mut hidden = product(tangents, self.into.view());
        Zip::from(&mut hidden).and(slopes).par_for_each(|x, slope| *x *= slope);
        let mut out = product(tangents, self.straight.view());
        add_product(out.view_mut(), hidden.view(), self.out.view());
        Ok(out)
    }

    fn pulled(&self, slopes: &Array2<f64>, cotangents: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
        fits(&self.name, "cotangents", cotangents, self.positions, self.straight.ncols())?;
        let mut hidden = product(cotangents, self.out.t());
        Zip::from(&mut hidden).and(slopes).par_for_each(|x, slope| *x *= slope);
        let mut out = product(cotangents, self.straight.t());
        add_product(out.view_mut(), hidden.view(), self.into.t());
        Ok(out)
    }
}

impl Section for Hidden {
    fn name(&self) -> &str {
        &self.name
    }

    fn extent(&self) -> Extent {
        let (inputs, outputs) = self.straight.dim();
        let positions = self.positions;
        Extent { positions_in: positions, inputs, positions_out: positions, outputs }
    }

    fn form(&self) -> Form<'_> {
        if self.nonlinearity != Nonlinearity::Relu {
            return Form::General;
        }
        let (straight, into, out) = (self.straight.view(), self.into.view(), self.out.view());
        Form::Relu { straight, into, out }
    }

    fn forward(&self, inputs: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
        fits(&self.name, "inputs", inputs, self.positions, self.straight.nrows())?;
        let mut hidden = product(inputs, self.into.view());
        hidden.par_mapv_inplace(|x| self.nonlinearity.at(x).0);
        let mut out = product(inputs, self.straight.view());
        add_product(out.view_mut(), hidden.view(), self.out.view());
        Ok(out)
    }

    fn push(
        &self,
        inputs: ArrayView2<'_, f64>,
        tangents: ArrayView2<'_, f64>,
    ) -> Result<Array2<f64>> {
        fits(&self.name, "inputs", inputs, self.positions, self.straight.nrows())?;
        self.pushed(&self.slopes(inputs), tangents)
    }

    fn pull(
        &self,
        inputs: ArrayView2<'_, f64>,
        cotangents: ArrayView2<'_, f64>,
    ) -> Result<Array2<f64>> {
        fits(&self.name, "inputs", inputs, self.positions, self.straight.nrows())?;
        self.pulled(&self.slopes(inputs), cotangents)
    }

    fn pushes(
        &self,
        inputs: ArrayView2<'_, f64>,
        tangents: &[Array2<f64>],
    ) -> Result<Vec<Array2<f64>>> {
        fits(&self.name, "inputs", inputs, self.positions, self.straight.nrows())?;
        let slopes = self.slopes(inputs);
        tangents.iter().map(|tangent| self.pushed(&slopes, tangent.view())).collect()
    }

    fn pulls(
        &self,
        inputs: ArrayView2<'_, f64>,
        cotangents: &[Array2<f64>],
    ) -> Result<Vec<Array2<f64>>> {
        fits(&self.name, "inputs", inputs, self.positions, self.straight.nrows())?;
        let slopes = self.slopes(inputs);
        cotangents.iter().map(|cotangent| self.pulled(&slopes, cotangent.view())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivatives_of_the_functions_are_their_slopes() {
        use Nonlinearity::{Gelu, GeluTanh, Relu, Silu, Tanh};
        for function in [Relu, Gelu, GeluTanh, Tanh, Silu] {
            for x in [-7.0, -3.6, -1.3, -0.2, 0.4, 2.1, 3.5, 6.0] {
                let step = 1e-5;
                let rise = function.at(x + step).0 - function.at(x - step).0;
                let gap = (rise / (2.0 * step) - function.at(x).1).abs();
                assert!(gap < 1e-9, "{function:?} at {x}: {gap:e}");
            }
        }
        // Values of Φ from tables of 15 digits.
        for (x, truth) in [(1.0, 0.841_344_746_068_543), (-4.0, 3.167_124_183_311_99e-5)] {
            assert!((normal_cdf(x) / truth - 1.0).abs() < 1e-12, "{}", normal_cdf(x));
        }
    }
}
