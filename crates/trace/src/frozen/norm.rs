//! A norm as an exact linear map with a fixed denominator.

use ndarray::{Array1, ArrayView1};
use nissl_core::network::StreamNorm;

/// `gain ∘ C(x) / σ + bias`, `C` the centring or nothing.
#[derive(Clone, Debug)]
pub(crate) struct Norm {
    scales: bool,
    centres: bool,
    gain: Option<Array1<f64>>,
    bias: Option<Array1<f64>>,
    epsilon: f64,
}

impl Norm {
    pub(crate) fn of(norm: &StreamNorm) -> Self {
        let wide = |values: &Option<Vec<f32>>| {
            values.as_ref().map(|values| values.iter().map(|&value| f64::from(value)).collect())
        };
        Self {
            scales: norm.scales,
            centres: norm.centres && norm.scales,
            gain: wide(&norm.gain),
            bias: wide(&norm.bias),
            epsilon: norm.epsilon,
        }
    }

    /// `σ = √(mean square + ε)` of a residual.
    pub(crate) fn denominator(&self, x: ArrayView1<'_, f64>) -> f64 {
        if !self.scales {
            return 1.0;
        }
        let units = x.len().max(1) as f64;
        let mean = if self.centres { x.sum() / units } else { 0.0 };
        (x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / units + self.epsilon).sqrt()
    }

    /// `C(x) / σ`.
    pub(crate) fn unit(&self, x: ArrayView1<'_, f64>, denominator: f64) -> Array1<f64> {
        let mean = if self.centres { x.sum() / x.len().max(1) as f64 } else { 0.0 };
        x.mapv(|x| (x - mean) / denominator)
    }

    /// A direction of the normed space before the centring and the denominator: `gain ∘ v`.
    pub(crate) fn gained(&self, mut v: Array1<f64>) -> Array1<f64> {
        if let Some(gain) = &self.gain {
            v *= gain;
        }
        v
    }

    /// The direction of the residual stream that is seen as `v`: `C(gain ∘ v) / σ`.
    pub(crate) fn back(&self, v: Array1<f64>, denominator: f64) -> Array1<f64> {
        let gained = self.gained(v);
        self.unit(gained.view(), denominator)
    }

    /// What the norm's bias gives to a direction.
    pub(crate) fn bias_along(&self, v: ArrayView1<'_, f64>) -> f64 {
        self.bias.as_ref().map_or(0.0, |bias| bias.dot(&v))
    }

    /// [`Self::back`] of the rows `[row, residual]` of a position, in place.
    pub(crate) fn back_row(&self, mut row: ndarray::ArrayViewMut1<'_, f64>, denominator: f64) {
        if let Some(gain) = &self.gain {
            row *= gain;
        }
        let mean = if self.centres { row.sum() / row.len().max(1) as f64 } else { 0.0 };
        row.mapv_inplace(|x| (x - mean) / denominator);
    }
}
