//! AdamW with clipping by the norm of all gradients.
//!
//! `m ← β₁ m + (1 − β₁) g`, `v ← β₂ v + (1 − β₂) g²`,
//! `θ ← θ (1 − η λ) − η (m / (1 − β₁ᵗ)) / (√(v / (1 − β₂ᵗ)) + ε)`; `λ` acts on matrices only.
//!
//! Source: Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2. Memory: two numbers a parameter.

use std::collections::BTreeMap;

use burn::tensor::Tensor;

use super::parameters::{Parameters, Visit};

const BETA_1: f32 = 0.9;
const BETA_2: f32 = 0.99;
const EPSILON: f32 = 1e-8;

/// The running moments of every parameter, flat.
#[derive(Clone, Debug, Default)]
pub(super) struct AdamW {
    /// `(m, v)` by the parameter's name.
    pub moments: BTreeMap<String, (Tensor<1>, Tensor<1>)>,
    /// Steps made.
    pub steps: usize,
}

/// The gradients of every parameter, flat, by name.
pub(super) type Gradients = BTreeMap<String, Tensor<1>>;

/// Scales all gradients down to a common norm of `bound`; gives the norm before.
pub(super) fn clip(gradients: &mut Gradients, bound: f32) -> f32 {
    let squares = gradients.values().map(|gradient| gradient.clone().square().sum());
    let norm = squares.reduce(|a, b| a + b).map_or(0.0, |sum| sum.sqrt().into_scalar::<f32>());
    if norm > bound {
        for gradient in gradients.values_mut() {
            *gradient = gradient.clone() * (bound / norm);
        }
    }
    norm
}

impl AdamW {
    /// One step of every parameter of `network` that has a gradient.
    pub(super) fn step(
        &mut self,
        network: &mut impl Parameters,
        gradients: Gradients,
        rate: f64,
        decay: f64,
    ) {
        self.steps += 1;
        network.each(&mut Step {
            optimizer: self,
            gradients,
            rate: rate as f32,
            decay: decay as f32,
        });
    }
}

struct Step<'a> {
    optimizer: &'a mut AdamW,
    gradients: Gradients,
    rate: f32,
    decay: f32,
}

impl Visit for Step<'_> {
    fn visit<const D: usize>(&mut self, name: &str, parameter: &mut Tensor<D>) {
        let Some(gradient) = self.gradients.remove(name) else { return };
        let steps = self.optimizer.steps as i32;
        let (first, second) = self
            .optimizer
            .moments
            .remove(name)
            .unwrap_or_else(|| (gradient.zeros_like(), gradient.zeros_like()));
        let first = first * BETA_1 + gradient.clone() * (1.0 - BETA_1);
        let second = second * BETA_2 + gradient.square() * (1.0 - BETA_2);
        // The corrections are put into the two constants, which saves two passes.
        let root = (1.0 - BETA_2.powi(steps)).sqrt();
        let rate = self.rate * root / (1.0 - BETA_1.powi(steps));
        let change = first.clone() / (second.clone().sqrt() + EPSILON * root) * rate;
        let shape = parameter.dims();
        let kept = if D > 1 { 1.0 - self.rate * self.decay } else { 1.0 };
        let flat = parameter.clone().reshape([change.dims()[0]]) * kept - change;
        *parameter = flat.reshape(shape);
        self.optimizer.moments.insert(name.to_owned(), (first, second));
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    struct Two {
        matrix: Tensor<2>,
        vector: Tensor<1>,
    }

    impl Parameters for Two {
        fn each(&mut self, visitor: &mut impl Visit) {
            visitor.visit("matrix", &mut self.matrix);
            visitor.visit("vector", &mut self.vector);
        }
    }

    #[test]
    fn steps_follow_the_algorithm() {
        let device = Device::flex();
        let one = |value: f32| Tensor::<1>::from_floats([value], &device);
        let mut network = Two { matrix: one(2.0).reshape([1, 1]), vector: one(2.0) };
        let mut optimizer = AdamW::default();
        let (mut theta, mut m, mut v) = ([2.0f64, 2.0], 0.0f64, 0.0f64);
        let (rate, decay) = (0.1, 0.5);
        for (step, gradient) in [1.0f64, -0.5, 2.0].into_iter().enumerate() {
            let flat = |name: &str| (name.to_owned(), one(gradient as f32));
            let gradients = Gradients::from([flat("matrix"), flat("vector")]);
            optimizer.step(&mut network, gradients, rate, decay);
            m = 0.9 * m + 0.1 * gradient;
            v = 0.99 * v + 0.01 * gradient * gradient;
            let t = step as i32 + 1;
            let change =
                rate * (m / (1.0 - 0.9f64.powi(t))) / ((v / (1.0 - 0.99f64.powi(t))).sqrt() + 1e-8);
            theta = [theta[0] * (1.0 - rate * decay) - change, theta[1] - change];
        }
        let found = [network.matrix.into_scalar::<f32>(), network.vector.into_scalar::<f32>()];
        for (a, b) in found.iter().zip(theta) {
            assert!((f64::from(*a) - b).abs() < 1e-5, "{found:?} {theta:?}");
        }
    }

    #[test]
    fn clipping_keeps_the_direction() {
        let device = Device::flex();
        let mut gradients = Gradients::from([
            ("a".to_owned(), Tensor::from_floats([3.0], &device)),
            ("b".to_owned(), Tensor::from_floats([0.0, 4.0], &device)),
        ]);
        assert!((clip(&mut gradients, 10.0) - 5.0).abs() < 1e-6);
        assert!((clip(&mut gradients, 1.0) - 5.0).abs() < 1e-6);
        let b: Vec<f32> = gradients["b"].clone().into_data().try_to_vec().expect("f32");
        assert!((b[1] - 0.8).abs() < 1e-6, "{b:?}");
    }
}
