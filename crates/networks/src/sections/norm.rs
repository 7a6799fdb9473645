//! Layer norm in two sections, so that its variance is a coordinate of its own.
//!
//! Variance: `[r, 1] → [r, v, 1]`, `v = mean (r − r̄)²`. Normalise: `[r, v, 1] → [r, n, 1]`,
//! `n = (r − r̄) / √(max(v, 0) + ε) ∘ gain + 1 bias`: a variance that an ablation makes negative
//! counts as zero.
//!
//! Source: Ba, Kiros, Hinton 2016; Bushnaq et al. 2024, arXiv:2405.10928, §3 (LayerNorm).

use ndarray::{Array2, ArrayView2, ArrayViewMut1};
use nissl_core::Result;
use nissl_core::section::{Extent, Section, fits};

/// Puts the variance beside the residual stream.
#[derive(Clone, Debug)]
pub(super) struct Variance {
    pub(super) name: String,
    pub(super) positions: usize,
    /// Width of the residual stream.
    pub(super) width: usize,
}

/// Puts the normalised stream in the place of the variance.
#[derive(Clone, Debug)]
pub(super) struct Normalise {
    pub(super) name: String,
    pub(super) positions: usize,
    /// `[residual]`
    pub(super) gain: Vec<f64>,
    /// `[residual]`
    pub(super) bias: Vec<f64>,
    /// ε
    pub(super) epsilon: f64,
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Applies `row` to each row of two matrices and a fresh one of `width` columns.
fn by_rows(
    inputs: ArrayView2<'_, f64>,
    beside: ArrayView2<'_, f64>,
    width: usize,
    row: impl Fn(&[f64], &[f64], ArrayViewMut1<'_, f64>),
) -> Array2<f64> {
    let mut out = Array2::zeros((inputs.nrows(), width));
    let (inputs, beside) = (inputs.as_standard_layout(), beside.as_standard_layout());
    for ((input, beside), out) in inputs.rows().into_iter().zip(beside.rows()).zip(out.rows_mut()) {
        row(input.to_slice().unwrap_or_default(), beside.to_slice().unwrap_or_default(), out);
    }
    out
}

impl Section for Variance {
    fn name(&self) -> &str {
        &self.name
    }

    fn extent(&self) -> Extent {
        let (positions, width) = (self.positions, self.width);
        Extent {
            positions_in: positions,
            inputs: width + 1,
            positions_out: positions,
            outputs: width + 2,
        }
    }

    fn forward(&self, inputs: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
        let width = self.width;
        fits(&self.name, "inputs", inputs, self.positions, width + 1)?;
        Ok(by_rows(inputs, inputs, width + 2, |input, _, mut out| {
            let mean = mean(&input[..width]);
            let mut variance = 0.0;
            for (n, &value) in input[..width].iter().enumerate() {
                out[n] = value;
                variance += (value - mean) * (value - mean);
            }
            out[width] = variance / width as f64;
            out[width + 1] = input[width];
        }))
    }

    fn push(
        &self,
        inputs: ArrayView2<'_, f64>,
        tangents: ArrayView2<'_, f64>,
    ) -> Result<Array2<f64>> {
        let width = self.width;
        fits(&self.name, "inputs", inputs, self.positions, width + 1)?;
        fits(&self.name, "tangents", tangents, self.positions, width + 1)?;
        Ok(by_rows(inputs, tangents, width + 2, |input, tangent, mut out| {
            let mean = mean(&input[..width]);
            let mut slope = 0.0;
            for n in 0..width {
                out[n] = tangent[n];
                slope += (input[n] - mean) * tangent[n];
            }
            out[width] = 2.0 * slope / width as f64;
            out[width + 1] = tangent[width];
        }))
    }

    fn pull(
        &self,
        inputs: ArrayView2<'_, f64>,
        cotangents: ArrayView2<'_, f64>,
    ) -> Result<Array2<f64>> {
        let width = self.width;
        fits(&self.name, "inputs", inputs, self.positions, width + 1)?;
        fits(&self.name, "cotangents", cotangents, self.positions, width + 2)?;
        Ok(by_rows(inputs, cotangents, width + 1, |input, cotangent, mut out| {
            let mean = mean(&input[..width]);
            let slope = 2.0 * cotangent[width] / width as f64;
            for n in 0..width {
                out[n] = cotangent[n] + slope * (input[n] - mean);
            }
            out[width] = cotangent[width + 1];
        }))
    }
}

impl Normalise {
    /// `1/σ` and its derivative by the variance.
    fn inverse(&self, variance: f64) -> (f64, f64) {
        let inverse = (variance.max(0.0) + self.epsilon).sqrt().recip();
        let slope = if variance > 0.0 { -0.5 * inverse.powi(3) } else { 0.0 };
        (inverse, slope)
    }
}

impl Section for Normalise {
    fn name(&self) -> &str {
        &self.name
    }

    fn extent(&self) -> Extent {
        let (positions, width) = (self.positions, self.gain.len());
        Extent {
            positions_in: positions,
            inputs: width + 2,
            positions_out: positions,
            outputs: 2 * width + 1,
        }
    }

    fn isolated(&self) -> Option<usize> {
        Some(self.gain.len())
    }

    fn forward(&self, inputs: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
        let width = self.gain.len();
        fits(&self.name, "inputs", inputs, self.positions, width + 2)?;
        Ok(by_rows(inputs, inputs, 2 * width + 1, |input, _, mut out| {
            let mean = mean(&input[..width]);
            let (inverse, _) = self.inverse(input[width]);
            let constant = input[width + 1];
            for n in 0..width {
                out[n] = input[n];
                out[width + n] =
                    (input[n] - mean) * inverse * self.gain[n] + constant * self.bias[n];
            }
            out[2 * width] = constant;
        }))
    }

    fn push(
        &self,
        inputs: ArrayView2<'_, f64>,
        tangents: ArrayView2<'_, f64>,
    ) -> Result<Array2<f64>> {
        let width = self.gain.len();
        fits(&self.name, "inputs", inputs, self.positions, width + 2)?;
        fits(&self.name, "tangents", tangents, self.positions, width + 2)?;
        Ok(by_rows(inputs, tangents, 2 * width + 1, |input, tangent, mut out| {
            let (centre, shift) = (mean(&input[..width]), mean(&tangent[..width]));
            let (inverse, slope) = self.inverse(input[width]);
            let (variance, constant) = (tangent[width], tangent[width + 1]);
            for n in 0..width {
                out[n] = tangent[n];
                let moved = (tangent[n] - shift) * inverse;
                let scaled = (input[n] - centre) * slope * variance;
                out[width + n] = (moved + scaled) * self.gain[n] + constant * self.bias[n];
            }
            out[2 * width] = constant;
        }))
    }

    fn pull(
        &self,
        inputs: ArrayView2<'_, f64>,
        cotangents: ArrayView2<'_, f64>,
    ) -> Result<Array2<f64>> {
        let width = self.gain.len();
        fits(&self.name, "inputs", inputs, self.positions, width + 2)?;
        fits(&self.name, "cotangents", cotangents, self.positions, 2 * width + 1)?;
        Ok(by_rows(inputs, cotangents, width + 2, |input, cotangent, mut out| {
            let centre = mean(&input[..width]);
            let (inverse, slope) = self.inverse(input[width]);
            let (mut total, mut variance, mut constant) = (0.0, 0.0, cotangent[2 * width]);
            for n in 0..width {
                let turned = cotangent[width + n] * self.gain[n];
                total += turned * inverse;
                variance += turned * slope * (input[n] - centre);
                constant += cotangent[width + n] * self.bias[n];
                out[n] = cotangent[n] + turned * inverse;
            }
            let share = total / width as f64;
            for n in 0..width {
                out[n] -= share;
            }
            out[width] = variance;
            out[width + 1] = constant;
        }))
    }
}
