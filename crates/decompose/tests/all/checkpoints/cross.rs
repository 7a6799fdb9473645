//! Transcoders across layers.

use ndarray::{Array1, Array2, s};
use nissl_core::site::Site;
use nissl_core::store::Existing;
use nissl_decompose::checkpoints::{Load, Maker, load, save};

use super::raw::*;

const LAYERS: usize = 3;

#[test]
fn the_dictionaries_of_all_layers_add_up_to_the_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    let mut draw = Draw::new(1);
    let inputs: Vec<Array2<f32>> = (0..LAYERS).map(|_| draw.matrix(20, UNITS)).collect();
    let mut whole = Array2::<f64>::zeros((20, LAYERS * UNITS));
    for (layer, input) in inputs.iter().enumerate() {
        let encoder = draw.matrix(FEATURES, UNITS);
        let [bias, centre] = [draw.vector(FEATURES), draw.vector(UNITS)];
        let left = LAYERS - layer;
        let decoder = draw.matrix(FEATURES, left * UNITS);
        Tensors::default()
            .matrix(&format!("W_enc_{layer}"), &encoder)
            .vector(&format!("b_enc_{layer}"), &bias)
            .vector(&format!("b_dec_{layer}"), &centre)
            .safetensors(&path.join(format!("W_enc_{layer}.safetensors")));
        Tensors::default()
            .shaped(
                &format!("W_dec_{layer}"),
                decoder.iter().copied().collect(),
                &[FEATURES, left, UNITS],
            )
            .safetensors(&path.join(format!("W_dec_{layer}.safetensors")));
        let z = relu(&products(&wide(input), &encoder, &bias));
        let none = Array1::zeros(left * UNITS);
        let mut later = whole.slice_mut(s![.., layer * UNITS..]);
        later += &decoded(&z, &decoder, &none);
        let mut own = whole.slice_mut(s![.., layer * UNITS..(layer + 1) * UNITS]);
        own += &wides(&centre);
    }
    let asked = load(path, &Load::default()).expect_err("three layers").to_string();
    assert!(asked.contains("`layer` is absent") && asked.contains("[0, 1, 2]"), "{asked}");
    let mut sum = Array2::<f32>::zeros((20, LAYERS * UNITS));
    for (layer, input) in inputs.iter().enumerate() {
        let settings = Load { layer: Some(layer), ..Load::default() };
        let checkpoint = load(path, &settings).expect("loads");
        assert_eq!(checkpoint.source.maker, Maker::CrossLayer);
        assert_eq!(checkpoint.source.site, Some(Site::new(format!("layers.{layer}.mlp.in"))));
        assert_eq!(checkpoint.source.targets.len(), LAYERS - layer);
        let x = input.view();
        let z = checkpoint.dictionary.encode(x).expect("encodes");
        let y = checkpoint.dictionary.predict(x, z.view()).expect("predicts");
        let mut later = sum.slice_mut(s![.., layer * UNITS..]);
        later += &y;

        let copy = path.join("copy");
        save(&checkpoint, Maker::CrossLayer, &copy, Existing::Refuse).expect("writes");
        let back = load(&copy, &settings).expect("loads");
        assert_eq!(back.dictionary, checkpoint.dictionary);
        assert_eq!(back.source.targets, checkpoint.source.targets);
    }
    near(&sum, &whole);
}
