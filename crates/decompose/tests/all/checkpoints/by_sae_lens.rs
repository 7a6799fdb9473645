//! Checkpoints that SAELens wrote itself, with what it does with samples
//! (`fixtures/make/dictionaries_of_sae_lens.py`, whose `--check` goes the other way).

use ndarray::Array2;
use nissl_core::Site;
use nissl_core::features::{Activation, Encoding, InputNorm};
use nissl_core::store::Existing;
use nissl_decompose::checkpoints::{Load, Maker, load, save};

use super::raw::golden;

/// Each checkpoint with its activation, its norm, and whether it has a skip connection.
const CASES: [(&str, Activation, InputNorm, bool); 15] = [
    ("standard", Activation::Relu, InputNorm::None, false),
    ("standard-length", Activation::Relu, InputNorm::Length, false),
    ("standard-layer-norm", Activation::Relu, InputNorm::Standard, false),
    ("topk", Activation::TopK { k: 4 }, InputNorm::None, false),
    ("topk-rescaled", Activation::TopK { k: 4 }, InputNorm::None, false),
    ("abstopk", Activation::SignedTopK { k: 4 }, InputNorm::None, false),
    ("batchtopk", Activation::JumpRelu, InputNorm::None, false),
    ("jumprelu", Activation::JumpRelu, InputNorm::None, false),
    ("gated", Activation::Gated, InputNorm::None, false),
    ("transcoder", Activation::Relu, InputNorm::None, false),
    ("transcoder-layer-norm", Activation::Relu, InputNorm::Standard, false),
    ("skip-transcoder", Activation::Relu, InputNorm::None, true),
    ("skip-transcoder-length", Activation::Relu, InputNorm::Length, true),
    ("jumprelu-transcoder", Activation::JumpRelu, InputNorm::None, false),
    ("jumprelu-skip-transcoder", Activation::JumpRelu, InputNorm::None, true),
];

fn near(found: &Array2<f32>, truth: &Array2<f32>, what: &str) {
    assert_eq!(found.dim(), truth.dim(), "{what}");
    let scale = truth.iter().fold(1.0f32, |most, value| most.max(value.abs()));
    let gap = found.iter().zip(truth).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(gap <= 1e-5 * scale, "{what}: {gap} of {scale}");
}

#[test]
fn every_architecture_does_what_it_does_in_sae_lens_and_comes_back_whole() {
    let (folder, matrix) = golden("sae_lens");
    let x = matrix("x");
    let scratch = tempfile::tempdir().expect("a folder");
    for (name, activation, norm, skip) in CASES {
        let written = scratch.path().join(name);
        let first = load(&folder.join(name), &Load::default()).expect(name);
        save(&first, Maker::SaeLens, &written, Existing::Refuse).expect(name);
        let again = load(&written, &Load::default()).expect(name);
        for checkpoint in [first, again] {
            assert_eq!(checkpoint.source.maker, Maker::SaeLens, "{name}");
            let dictionary = checkpoint.dictionary;
            match dictionary.encoding {
                Encoding::Sparse { activation: found, norm: its, .. } => {
                    assert_eq!((found, its), (activation, norm), "{name}");
                }
                other => panic!("{name}: {other:?}"),
            }
            assert_eq!(dictionary.skip.is_some(), skip, "{name}");
            let z = dictionary.encode(x.view()).expect("encodes");
            near(&z, &matrix(&format!("{name}_z")), name);
            assert!(z.iter().any(|value| *value != 0.0), "{name}");
            near(
                &dictionary.predict(x.view(), z.view()).expect("predicts"),
                &matrix(&format!("{name}_y")),
                name,
            );
            let site = if name.contains("transcoder") { "mlp.in" } else { "resid.post" };
            assert_eq!(checkpoint.source.site, Some(Site::new(format!("layers.2.{site}"))));
            assert_eq!(checkpoint.source.prepend_bos, Some(true));
        }
    }
}
