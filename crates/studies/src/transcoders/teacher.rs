//! A dense hidden layer fitted to the planted map: `y = gelu(x W + b) V + c`, the neurons to compare
//! features with.
//!
//! Adam on the mean squared error over fresh samples; the rate falls along a cosine.

use burn::tensor::{Device, Tensor, TensorData, activation};
use ndarray::{Array2, ArrayView2, Axis};
use nissl_core::seed::rng;
use nissl_core::{Error, Progress, Result};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};

/// Steps, and samples of each.
const STEPS: usize = 1500;
const BATCH: usize = 512;
/// The first rate.
const RATE: f64 = 5e-3;

/// The hidden layer.
pub(super) struct Teacher {
    up: Tensor<2>,
    bias: Tensor<1>,
    down: Tensor<2>,
    shift: Tensor<1>,
}

impl Teacher {
    /// Fits a layer of `hidden` units to samples `(x, y)` that `draw` gives, `[sample, unit]` each.
    ///
    /// # Errors
    /// An interruption, or samples that cannot be drawn.
    pub(super) fn fit(
        [inputs, hidden, outputs]: [usize; 3],
        mut draw: impl FnMut(usize) -> Result<(Array2<f32>, Array2<f32>)>,
        seed: u64,
        progress: &Progress,
    ) -> Result<Self> {
        let device = Device::flex().autodiff();
        let mut rng = rng(seed, 0x7eac_4e12);
        let mut parameters = [
            normal(&mut rng, [inputs, hidden], (inputs as f32).sqrt().recip())?,
            vec![0.0; hidden],
            normal(&mut rng, [hidden, outputs], (hidden as f32).sqrt().recip())?,
            vec![0.0; outputs],
        ];
        let shapes = [[inputs, hidden], [1, hidden], [hidden, outputs], [1, outputs]];
        let mut moments: Vec<(Vec<f32>, Vec<f32>)> =
            parameters.iter().map(|p| (vec![0.0; p.len()], vec![0.0; p.len()])).collect();
        for step in 0..STEPS {
            progress.check(|| format!("step {step} of the dense layer"))?;
            let (x, y) = draw(BATCH)?;
            let leaves: Vec<Tensor<2>> = parameters
                .iter()
                .zip(shapes)
                .map(|(values, shape)| {
                    Tensor::from_data(TensorData::new(values.clone(), shape), &device)
                        .require_grad()
                })
                .collect();
            let before = tensor(x.view(), &device).matmul(leaves[0].clone()) + leaves[1].clone();
            let found = activation::gelu(before).matmul(leaves[2].clone()) + leaves[3].clone();
            let gradients = (found - tensor(y.view(), &device)).square().mean().backward();
            let rate =
                RATE * 0.5 * (1.0 + (std::f64::consts::PI * step as f64 / STEPS as f64).cos());
            for ((leaf, values), moments) in leaves.iter().zip(&mut parameters).zip(&mut moments) {
                let gradient = leaf.grad(&gradients).map(|g| host(g.into_data())).transpose()?;
                adam(values, &gradient.unwrap_or_default(), moments, step, rate);
            }
        }
        let device = Device::flex();
        let [up, bias, down, shift] = parameters;
        let matrix = |values, shape: [usize; 2]| {
            Tensor::<2>::from_data(TensorData::new(values, shape), &device)
        };
        Ok(Self {
            up: matrix(up, shapes[0]),
            bias: matrix(bias, shapes[1]).reshape([hidden]),
            down: matrix(down, shapes[2]),
            shift: matrix(shift, shapes[3]).reshape([outputs]),
        })
    }

    /// Activity of the hidden units `[sample, neuron]`, and what the layer gives `[sample, unit]`.
    ///
    /// # Errors
    /// Tensors that are not f32.
    pub(super) fn run(&self, x: ArrayView2<'_, f32>) -> Result<(Array2<f32>, Array2<f32>)> {
        let x = tensor(x, &Device::flex());
        let hidden = activation::gelu(x.matmul(self.up.clone()) + self.bias.clone().unsqueeze());
        let out = hidden.clone().matmul(self.down.clone()) + self.shift.clone().unsqueeze();
        Ok((array(hidden)?, array(out)?))
    }

    /// `E[∂y/∂x]` `[input, output]` over the samples `x` `[sample, input]`.
    ///
    /// # Errors
    /// Tensors that are not f32.
    pub(super) fn mean_jacobian(&self, x: ArrayView2<'_, f32>) -> Result<Array2<f32>> {
        let samples = x.nrows();
        let before = tensor(x, &Device::flex()).matmul(self.up.clone());
        let before = (before + self.bias.clone().unsqueeze()).into_data();
        let device = Device::flex().autodiff();
        let before = Tensor::<2>::from_data(before, &device).require_grad();
        let gradients = activation::gelu(before.clone()).sum().backward();
        let slope = before.grad(&gradients).map(|g| host(g.into_data())).transpose()?;
        let slope =
            Array2::from_shape_vec((samples, self.bias.dims()[0]), slope.unwrap_or_default())
                .map_err(|error| Error::setting("slope", error, "one of each hidden unit"))?;
        let slope = slope.mean_axis(Axis(0)).unwrap_or_default();
        Ok((array(self.up.clone())? * &slope).dot(&array(self.down.clone())?))
    }

    /// What each hidden unit writes `[neuron, unit]`.
    ///
    /// # Errors
    /// Tensors that are not f32.
    pub(super) fn written(&self) -> Result<Array2<f32>> {
        array(self.down.clone())
    }
}

fn adam(
    values: &mut [f32],
    gradient: &[f32],
    (first, second): &mut (Vec<f32>, Vec<f32>),
    step: usize,
    rate: f64,
) {
    let steps = step as i32 + 1;
    let (fade_first, fade_second) = (1.0 - 0.9f64.powi(steps), 1.0 - 0.999f64.powi(steps));
    for (((value, &g), m), v) in values.iter_mut().zip(gradient).zip(first).zip(second) {
        *m = 0.9 * *m + 0.1 * g;
        *v = 0.999 * *v + 0.001 * g * g;
        let size = (f64::from(*v) / fade_second).sqrt() + 1e-8;
        *value -= (rate * f64::from(*m) / fade_first / size) as f32;
    }
}

fn normal(rng: &mut ChaCha8Rng, [rows, columns]: [usize; 2], size: f32) -> Result<Vec<f32>> {
    let normal = Normal::new(0.0, size)
        .map_err(|error| Error::setting("deviation", error, "a finite number"))?;
    Ok((0..rows * columns).map(|_| normal.sample(rng)).collect())
}

fn tensor(values: ArrayView2<'_, f32>, device: &Device) -> Tensor<2> {
    let (rows, columns) = values.dim();
    Tensor::from_data(TensorData::new(values.iter().copied().collect(), [rows, columns]), device)
}

fn host(data: TensorData) -> Result<Vec<f32>> {
    data.try_to_vec().map_err(|error| Error::setting("tensor", format!("{error:?}"), "f32 numbers"))
}

fn array(values: Tensor<2>) -> Result<Array2<f32>> {
    let [rows, columns] = values.dims();
    Array2::from_shape_vec((rows, columns), host(values.into_data())?)
        .map_err(|error| Error::setting("tensor", error, "a matrix"))
}
