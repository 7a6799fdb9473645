//! What cannot be cut says why.

use std::path::Path;

use ndarray::Array2;
use nissl_core::numbers::{Block, to_bytes};
use nissl_core::section::{Nonlinearity, Section};
use nissl_core::store::write_bytes;

use super::super::{Outputs, Perceptron, Transformer};
use super::{attention, fixture, names, random};

/// Writes linear layers, and tensors besides.
pub(super) fn write(
    path: &Path,
    weights: &[Array2<f64>],
    biases: &[Array2<f64>],
    besides: &[(&str, usize)],
) {
    let mut tensors: Vec<(String, Vec<usize>, Vec<f32>)> = Vec::new();
    let flat = |x: &Array2<f64>| x.iter().map(|&value| value as f32).collect::<Vec<_>>();
    for (n, (weight, bias)) in weights.iter().zip(biases).enumerate() {
        tensors.push((format!("layers.{n}.weight"), weight.shape().to_vec(), flat(weight)));
        tensors.push((format!("layers.{n}.bias"), vec![bias.len()], flat(bias)));
    }
    for (name, size) in besides {
        tensors.push(((*name).to_owned(), vec![*size], vec![1.0; *size]));
    }
    let blocks: Vec<(&str, Block<'_>)> = tensors
        .iter()
        .map(|(name, shape, values)| (name.as_str(), Block::f32s(values, shape)))
        .collect();
    write_bytes(path, &to_bytes(&blocks).expect("fits")).expect("writes");
}

fn told<T>(result: nissl_core::Result<T>) -> String {
    let Err(error) = result else { panic!("it should be refused") };
    format!("{error} {}", miette(&error))
}

fn miette(error: &nissl_core::Error) -> String {
    use nissl_core::Error::File;
    if let File { help: Some(help), .. } = error { help.clone() } else { String::new() }
}

#[test]
fn modules_that_cannot_be_folded_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.safetensors");
    let (weights, biases) =
        ([random(4, 3, 1), random(2, 4, 2)], [random(1, 4, 3), random(1, 2, 4)]);
    write(&path, &weights, &biases, &[("bn1.running_mean", 4)]);
    let text = told(Perceptron::open(&path, Nonlinearity::Relu));
    assert!(text.contains("bn1.running_mean") && text.contains("dropout"), "{text}");
    write(&path, &[random(4, 3, 1), random(2, 5, 2)], &biases, &[]);
    let text = told(Perceptron::open(&path, Nonlinearity::Relu));
    assert!(text.contains("layers.1.weight") && text.contains("expected 4"), "{text}");
    let text = told(Transformer::open(&fixture("models/llama")));
    assert!(
        text.contains("model_type") && text.contains("llama") && text.contains("rotary"),
        "{text}"
    );
}

#[test]
fn node_layers_must_be_there_and_in_order() {
    let network = Transformer::open(&fixture("models/gpt2")).expect("opens");
    let cut = |layers: &[&str], positions| network.cut(&names(layers), positions, Outputs::All);
    let text = told(cut(&["layers.0.resid.mid", "layers.0.resid.pre"], 4));
    assert!(text.contains("order") && text.contains("layers.0.resid.pre after"), "{text}");
    let text = told(cut(&["layers.0.resid.mid", "layers.0.resid.mid"], 4));
    assert!(text.contains("order"), "{text}");
    let text = told(cut(&["layers.0.resid.mdi", "logits"], 4));
    assert!(text.contains("such as layers.0.resid.mid"), "{text}");
    let text = told(cut(&["logits"], 4));
    assert!(text.contains("at least two"), "{text}");
    let text = told(cut(&["layers.0.resid.pre", "logits"], 100_000));
    assert!(text.contains("positions") && text.contains("context"), "{text}");
    assert!(told(cut(&["layers.0.resid.pre", "logits"], 0)).contains("positions"));
}

#[test]
fn sequences_must_be_of_one_length_and_known_tokens() {
    let network = Transformer::open(&fixture("models/gpt2")).expect("opens");
    assert!(told(network.tokens(Vec::new())).contains("empty"));
    assert!(told(network.tokens(vec![vec![1, 2], vec![1]])).contains("sequence 1"));
    assert!(told(network.tokens(vec![vec![1, 2], vec![1, 9_999_999]])).contains("vocabulary"));
    assert!(told(network.tokens(vec![vec![]])).contains("positions"));
}

#[test]
fn inputs_of_another_extent_are_refused() {
    let section = attention(true, false, 1);
    let text = told(section.forward(Array2::zeros((8, 5)).view()));
    assert!(text.contains("6 coordinates"), "{text}");
    let text = told(section.forward(Array2::zeros((7, 6)).view()));
    assert!(text.contains("whole samples of 4"), "{text}");
    let inputs = Array2::zeros((8, 6));
    assert!(section.push(inputs.view(), Array2::zeros((8, 5)).view()).is_err());
    assert!(section.pull(inputs.view(), Array2::zeros((2, 5)).view()).is_err());
}
