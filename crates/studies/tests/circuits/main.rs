//! Circuits of real checkpoints of every family, held to what their own forward pass gives.

mod attribution;
mod dashboards;
mod frozen;
mod planted;

use std::path::PathBuf;
use std::sync::Arc;

use burn::tensor::Device;
use ndarray::{Array1, Array2};
use nissl_core::features::{Activation, Dictionary, Encoding, InputNorm};
use nissl_core::seed::rng;
use nissl_networks::language::Language;
use nissl_networks::weights::CheckpointWeights;
use nissl_trace::frozen::{Reads, Replaced};
use rand::RngExt;

/// Every causal fixture: learnt and turned positions, grouped heads, parallel halves, norms after halves.
pub(crate) const FAMILIES: [&str; 7] =
    ["gpt2", "llama", "mistral", "qwen2", "gemma2", "neox", "neox-sequential"];

pub(crate) fn open(name: &str) -> (Language, CheckpointWeights) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/models").join(name);
    let network = Language::load(&path, name, &Device::flex()).expect("the fixture loads");
    (network, CheckpointWeights::open(&path).expect("the weights open"))
}

/// A random transcoder with all its parts: biases on both sides, and a skip connection.
pub(crate) fn transcoder(layer: usize, width: usize, seed: u64) -> Replaced {
    let mut rng = rng(seed, layer as u64);
    let mut matrix = |rows: usize, columns: usize, size: f32| {
        Array2::from_shape_simple_fn((rows, columns), || (rng.random::<f32>() - 0.5) * size)
    };
    let features = 3 * width;
    let encoding = Encoding::Sparse {
        activation: Activation::TopK { k: 7 },
        norm: InputNorm::None,
        centred: true,
    };
    let mut dictionary = Dictionary::new(matrix(features, width, 1.0), encoding);
    dictionary.output_decoder = Some(matrix(features, width, 0.2));
    dictionary.skip = Some(matrix(width, width, 0.1));
    let mut vector = |size: usize| Array1::from_iter(matrix(1, size, 0.5));
    dictionary.encoder_bias = Some(vector(features));
    dictionary.decoder_bias = Some(vector(width));
    dictionary.output_bias = Some(vector(width));
    Replaced { layer, dictionary: Arc::new(dictionary), reads: Reads::Normed }
}
