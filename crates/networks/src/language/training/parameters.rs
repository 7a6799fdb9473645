//! The trained tensors of a network, walked by name, and their first values.

use burn::tensor::{Device, Tensor, TensorData};
use nissl_core::Result;
use nissl_core::numbers::{Block, Precision, to_bytes};
use nissl_core::seed;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::super::config::Config;
use super::super::gpt2::{Gpt2, Layer};
use super::super::ops::{Activation, LayerNorm, Linear};
use super::adamw::Gradients;

/// Something with named tensors that are trained.
pub(super) trait Parameters {
    /// Shows every parameter under its name in checkpoints.
    fn each(&mut self, visitor: &mut impl Visit);
}

/// Is shown every parameter.
pub(super) trait Visit {
    fn visit<const D: usize>(&mut self, name: &str, parameter: &mut Tensor<D>);
}

impl Parameters for Gpt2 {
    fn each(&mut self, visitor: &mut impl Visit) {
        visitor.visit("transformer.wte.weight", &mut self.tokens);
        visitor.visit("transformer.wpe.weight", &mut self.positions);
        for (n, layer) in self.layers.iter_mut().enumerate() {
            let at = |name: &str| format!("transformer.h.{n}.{name}");
            each_norm(visitor, &at("ln_1"), &mut layer.attn_norm);
            each_linear(visitor, &at("attn.c_attn"), &mut layer.qkv);
            each_linear(visitor, &at("attn.c_proj"), &mut layer.attn_out);
            each_norm(visitor, &at("ln_2"), &mut layer.mlp_norm);
            each_linear(visitor, &at("mlp.c_fc"), &mut layer.up);
            each_linear(visitor, &at("mlp.c_proj"), &mut layer.down);
        }
        each_norm(visitor, "transformer.ln_f", &mut self.final_norm);
        if let Some(head) = &mut self.head {
            visitor.visit("lm_head.weight", head);
        }
    }
}

fn each_norm(visitor: &mut impl Visit, name: &str, norm: &mut LayerNorm) {
    visitor.visit(&format!("{name}.weight"), &mut norm.gain);
    visitor.visit(&format!("{name}.bias"), &mut norm.bias);
}

fn each_linear(visitor: &mut impl Visit, name: &str, linear: &mut Linear) {
    visitor.visit(&format!("{name}.weight"), &mut linear.weight);
    if let Some(bias) = &mut linear.bias {
        visitor.visit(&format!("{name}.bias"), bias);
    }
}

/// A GPT-2 with first values drawn from `seed`: matrices from a normal distribution, those that end
/// in the residual stream smaller by `√(2 layers)`, gains one, biases zero.
///
/// Source: Radford et al. 2019, §2.3. Differs: the deviation is `0.55 / √width` in place of 0.02, the
/// same at their width of 768; a narrow network with 0.02 is slow to begin to attend.
pub(super) fn fresh(config: &Config, seed: u64, device: &Device) -> Result<Gpt2> {
    let shape = Gpt2::shape(config)?;
    let mut draw = Draw { rng: seed::rng(seed, u64::MAX), device: device.clone() };
    let (width, hidden) = (shape.width, shape.hidden);
    let plain = 0.55 / (width as f32).sqrt();
    let small = plain / (2.0 * shape.layers as f32).sqrt();
    let layers = (0..shape.layers)
        .map(|_| Layer {
            attn_norm: draw.norm(width),
            qkv: draw.linear([width, 3 * width], plain),
            attn_out: draw.linear([width, width], small),
            mlp_norm: draw.norm(width),
            up: draw.linear([width, hidden], plain),
            down: draw.linear([hidden, width], small),
        })
        .collect();
    Ok(Gpt2 {
        tokens: draw.matrix([shape.vocabulary, width], plain),
        positions: draw.matrix([shape.context, width], plain / 2.0),
        layers,
        final_norm: draw.norm(width),
        head: None,
        attention: Gpt2::attention(&shape),
        activation: Activation::GeluTanh,
        shape,
    })
}

struct Draw {
    rng: ChaCha8Rng,
    device: Device,
}

impl Draw {
    fn matrix(&mut self, shape: [usize; 2], deviation: f32) -> Tensor<2> {
        let mut values = Vec::with_capacity(shape[0] * shape[1] + 1);
        while values.len() < shape[0] * shape[1] {
            // Box–Muller: two normal numbers of two even ones.
            let radius = (-2.0 * (1.0 - self.rng.random::<f64>()).ln()).sqrt();
            let angle = std::f64::consts::TAU * self.rng.random::<f64>();
            values.push((radius * angle.cos()) as f32 * deviation);
            values.push((radius * angle.sin()) as f32 * deviation);
        }
        values.truncate(shape[0] * shape[1]);
        Tensor::from_data(TensorData::new(values, shape), &self.device)
    }

    fn linear(&mut self, shape: [usize; 2], deviation: f32) -> Linear {
        let bias = Some(Tensor::zeros([shape[1]], &self.device));
        Linear { weight: self.matrix(shape, deviation), bias }
    }

    fn norm(&self, size: usize) -> LayerNorm {
        let gain = Tensor::ones([size], &self.device);
        LayerNorm { gain, bias: Tensor::zeros([size], &self.device), epsilon: 1e-5 }
    }
}

/// The same network with every parameter tracked by autodiff.
pub(super) fn tracked(network: &Gpt2) -> Gpt2 {
    struct Track;
    impl Visit for Track {
        fn visit<const D: usize>(&mut self, _name: &str, parameter: &mut Tensor<D>) {
            *parameter = parameter.clone().autodiff().require_grad();
        }
    }
    let mut network = network.clone();
    network.each(&mut Track);
    network
}

/// The gradients of a tracked network's parameters.
pub(super) fn gradients(network: &mut Gpt2, tape: &burn::tensor::Gradients) -> Gradients {
    struct Collect<'a> {
        tape: &'a burn::tensor::Gradients,
        found: Gradients,
    }
    impl Visit for Collect<'_> {
        fn visit<const D: usize>(&mut self, name: &str, parameter: &mut Tensor<D>) {
            if let Some(gradient) = parameter.grad(self.tape) {
                let size = gradient.dims().iter().product::<usize>();
                self.found.insert(name.to_owned(), gradient.reshape([size]));
            }
        }
    }
    let mut collect = Collect { tape, found: Gradients::new() };
    network.each(&mut collect);
    collect.found
}

/// A parameter's name, values and shape.
pub(super) type Exported = (String, Vec<f32>, Vec<usize>);

/// All parameters.
pub(super) fn export(network: &mut Gpt2) -> Result<Vec<Exported>> {
    struct Export(Result<Vec<Exported>>);
    impl Visit for Export {
        fn visit<const D: usize>(&mut self, name: &str, parameter: &mut Tensor<D>) {
            let Ok(found) = &mut self.0 else { return };
            match floats(parameter.clone().flatten(0, D - 1)) {
                Ok(values) => found.push((name.to_owned(), values, parameter.dims().to_vec())),
                Err(error) => self.0 = Err(error),
            }
        }
    }
    let mut export = Export(Ok(Vec::new()));
    network.each(&mut export);
    export.0
}

/// The bytes of `model.safetensors`.
pub(super) fn to_safetensors(network: &mut Gpt2, precision: Precision) -> Result<Vec<u8>> {
    let exported = export(network)?;
    let blocks: Vec<_> = exported
        .iter()
        .map(|(name, values, shape)| (name.as_str(), Block::rounded(values, shape, precision)))
        .collect();
    to_bytes(&blocks)
}

/// The numbers of a vector.
pub(super) fn floats(vector: Tensor<1>) -> Result<Vec<f32>> {
    vector.into_data().try_to_vec().map_err(|error| {
        nissl_core::Error::setting("parameters", format!("{error:?}"), "numbers in f32")
    })
}
