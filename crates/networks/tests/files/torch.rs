//! Files of `torch.save` (`fixtures/make/torch_files.py`).

use std::path::PathBuf;

use burn::tensor::Device;
use nissl_core::files::{Element, TensorFile};
use nissl_core::network::LanguageNetwork;
use nissl_core::taps::Taps;
use nissl_networks::language::Language;
use safetensors::SafeTensors;

use crate::common::{FAMILIES, batch, fixture, input, network, values};
use crate::hostile::Archive;

pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/torch")
}

#[test]
fn every_type_and_view_is_read() {
    let file = TensorFile::open(&folder().join("views.pt")).expect("opens");
    let read = |name: &str| file.f32s(name).expect(name);
    let shape = |name: &str| file.tensors()[name].shape.clone();
    let whole: Vec<f32> = (0..24u8).map(f32::from).collect();
    assert_eq!((shape("whole"), read("whole")), (vec![4, 6], whole.clone()));
    let transposed: Vec<f32> = (0..24).map(|at| whole[at % 4 * 6 + at / 4]).collect();
    assert_eq!((shape("transposed"), read("transposed")), (vec![6, 4], transposed));
    assert_eq!(read("corner"), [8.0, 9.0, 10.0, 14.0, 15.0, 16.0]);
    assert_eq!(read("every_other"), [0.0, 3.0, 12.0, 15.0]);
    assert_eq!((shape("repeated"), read("repeated")), (vec![3, 2], vec![7.0; 6]));
    assert_eq!((shape("scalar"), read("scalar")), (vec![], vec![2.5]));
    assert_eq!((shape("empty"), read("empty")), (vec![0, 3], vec![]));
    assert_eq!(read("parameter"), [1.0, -2.0]);
    for name in ["f64", "f16", "bf16", "i64", "i32", "i16", "i8", "u8"] {
        assert_eq!(read(name), [0.0, 1.0, 2.0, 100.0], "{name}");
        assert_eq!(file.tensors()[name].element.to_string().to_lowercase(), name);
    }
    assert_eq!(read("bool"), [0.0, 1.0, 1.0, 1.0]);
    let refused = file.f32s("complex").expect_err("complex numbers").to_string();
    assert!(refused.contains("ComplexFloatStorage"), "{refused}");
    let absent = file.f32s("absent").expect_err("no such tensor").to_string();
    assert!(absent.contains("`absent`") && absent.contains("bf16"), "{absent}");
}

#[test]
fn the_tensors_of_a_training_program_are_found() {
    let file = TensorFile::open(&folder().join("wrapped.pt")).expect("opens");
    assert_eq!(file.tensors().keys().collect::<Vec<_>>(), ["bias", "weight"]);
    assert_eq!(file.tensors()["weight"].shape, [3, 2]);
    assert_eq!(file.tensors()["weight"].element, Element::F32);
}

/// A fixture's weights as a file of `torch.save`, byte for byte the same numbers.
fn as_torch(weights: &SafeTensors<'_>, keep: impl Fn(&str) -> bool) -> Vec<u8> {
    let mut archive = Archive::new();
    for (key, tensor) in weights.tensors().into_iter().filter(|(key, _)| keep(key)) {
        let class = match tensor.dtype() {
            safetensors::Dtype::F32 => "FloatStorage",
            safetensors::Dtype::BF16 => "BFloat16Storage",
            safetensors::Dtype::F16 => "HalfStorage",
            other => panic!("a fixture of type {other:?}"),
        };
        archive.dense(&key, class, tensor.shape(), tensor.data());
    }
    archive.bytes()
}

#[test]
fn pickled_checkpoints_load_to_the_same_networks() {
    for name in FAMILIES.iter().filter(|name| **name != "llama") {
        let copy = tempfile::tempdir().expect("a folder");
        for file in ["config.json", "tokenizer.json"] {
            std::fs::copy(fixture(name).join(file), copy.path().join(file)).expect("copies");
        }
        let bytes = std::fs::read(fixture(name).join("model.safetensors")).expect("reads");
        let weights = SafeTensors::deserialize(&bytes).expect("safetensors");
        let write = |file: &str, content: &[u8]| {
            nissl_core::store::write_bytes(&copy.path().join(file), content).expect("writes");
        };
        let single = as_torch(&weights, |_| true);
        write("pytorch_model.bin", &single);
        let run = || {
            let network = Language::load(copy.path(), name, &Device::flex()).expect("loads");
            let (_, rows) = input(name);
            let site = "layers.1.resid.post";
            let seen = crate::common::record(&network, &rows);
            values(&seen[site])
        };
        let (_, rows) = input(name);
        let expected = crate::common::record(&network(name), &rows);
        let expected = values(&expected["layers.1.resid.post"]);
        assert_eq!(run(), expected, "{name} in one file");

        // In two shards with an index.
        std::fs::remove_file(copy.path().join("pytorch_model.bin")).expect("removes");
        let mut names: Vec<String> = weights.names().into_iter().map(str::to_owned).collect();
        names.sort();
        let first: Vec<_> = names[..names.len() / 2].to_vec();
        write("a.bin", &as_torch(&weights, |key| first.contains(&key.to_owned())));
        write("b.bin", &as_torch(&weights, |key| !first.contains(&key.to_owned())));
        let map: serde_json::Map<_, _> = names
            .iter()
            .map(|key| (key.clone(), if first.contains(key) { "a.bin" } else { "b.bin" }.into()))
            .collect();
        let index = serde_json::json!({ "weight_map": map }).to_string();
        write("pytorch_model.bin.index.json", index.as_bytes());
        assert_eq!(run(), expected, "{name} in shards");
    }
}

#[test]
fn a_file_of_weights_may_stand_for_its_folder() {
    let path = fixture("gpt2").join("model.safetensors");
    let network = Language::load(&path, "one file", &Device::flex()).expect("loads");
    assert!(network.tokenizer().is_ok());
    assert!(network.forward(&batch(&[vec![1, 2]]), &mut Taps::none()).is_ok());
}
