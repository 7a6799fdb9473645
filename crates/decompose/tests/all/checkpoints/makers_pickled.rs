//! Makers whose weights are pickled: each rule of encoding by its formula, and files of PyTorch itself.

use std::path::Path;

use ndarray::{Array1, Array2};
use nissl_core::files::{Item, write_torch};
use nissl_core::site::Site;
use nissl_decompose::checkpoints::{Checkpoint, Load, Maker, load};
use serde_json::json;

use super::raw::*;

fn dictionary_learning(folder: &Path, class: &str, tensors: &Tensors) -> Checkpoint {
    tensors.torch(&folder.join("ae.pt"), &[]);
    let trainer = json!({"dict_class": class, "activation_dim": UNITS, "dict_size": FEATURES, "k": 3,
        "layer": 8, "lm_name": "EleutherAI/pythia-70m", "submodule_name": "resid_post_layer_8"});
    json(&folder.join("config.json"), &json!({"trainer": trainer}));
    let checkpoint = found(folder, Maker::DictionaryLearning);
    assert_eq!(checkpoint.source.site, Some(Site::new("layers.8.resid.post")));
    // The names of the tensors tell the same without the configuration.
    std::fs::remove_file(folder.join("config.json")).expect("removes");
    if tensors_tell(class) {
        let bare = found(folder, Maker::DictionaryLearning);
        assert_eq!(bare.dictionary, checkpoint.dictionary, "{class}");
    }
    checkpoint
}

/// The bare layers are Goodfire's as well, and k is a setting.
fn tensors_tell(class: &str) -> bool {
    !matches!(class, "AutoEncoderNew" | "AutoEncoderTopK")
}

#[test]
fn dictionary_learning_classes_follow_their_formulas() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    let mut draw = Draw::new(1);
    let (encoder, decoder) = (draw.matrix(FEATURES, UNITS), draw.matrix(FEATURES, UNITS));
    let [bias, gate, logs] = [0; 3].map(|_| draw.vector(FEATURES));
    let centre = draw.vector(UNITS);
    let threshold = draw.positive(FEATURES);
    let x = wide(&samples());
    let bare = products(&x, &encoder, &bias);
    let u = products(&(&x - &wides(&centre)), &encoder, &bias);
    let back = |z: &Array2<f64>| decoded(z, &decoder, &centre);
    let linear =
        || Tensors::default().matrix("encoder.weight", &encoder).turned("decoder.weight", &decoder);
    let raw = || {
        Tensors::default()
            .turned("W_enc", &encoder)
            .matrix("W_dec", &decoder)
            .vector("b_enc", &bias)
            .vector("b_dec", &centre)
    };
    let check = |class: &str, tensors: &Tensors, z: &Array2<f64>| {
        expect(&dictionary_learning(path, class, tensors), z, &back(z));
    };
    let biased = || linear().vector("encoder.bias", &bias);
    check("AutoEncoder", &biased().vector("bias", &centre), &relu(&u));
    check("AutoEncoderNew", &biased().vector("decoder.bias", &centre), &relu(&bare));
    let top = largest(&relu(&u), 3, |u| u);
    check("AutoEncoderTopK", &biased().vector("b_dec", &centre), &top);
    let limit = |of: Tensors, limit: f32| of.shaped("threshold", vec![limit], &[]);
    let kept = above(&u, &Array1::from_elem(FEATURES, 0.5));
    let batch = biased().vector("b_dec", &centre).shaped("k", vec![3.0], &[]);
    check("BatchTopKSAE", &limit(batch, 0.5), &kept);
    let unset = biased().vector("b_dec", &centre).shaped("k", vec![3.0], &[]);
    check("BatchTopKSAE", &limit(unset, -1.0), &top);
    let groups = raw().shaped("group_sizes", vec![4.0, 8.0], &[2]);
    check("MatryoshkaBatchTopKSAE", &limit(groups, 0.5), &kept);
    let jump = raw().vector("threshold", &threshold);
    check("JumpReluAutoEncoder", &jump, &above(&bare, &wides(&threshold)));
    let gated = linear()
        .vector("r_mag", &logs)
        .vector("gate_bias", &gate)
        .vector("mag_bias", &bias)
        .vector("decoder_bias", &centre);
    let product = (&x - &wides(&centre)).dot(&wide(&encoder).t());
    let mut z = relu(&(&product * &wides(&logs).mapv(f64::exp) + &wides(&bias)));
    z.zip_mut_with(&(product + &wides(&gate)), |z, gate| *z = if *gate > 0.0 { *z } else { 0.0 });
    check("GatedAutoEncoder", &gated, &z);
}

#[test]
fn openai_norms_the_samples_of_top_k_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("v5_32k.pt");
    let mut draw = Draw::new(2);
    let (encoder, decoder) = (draw.matrix(FEATURES, UNITS), draw.matrix(FEATURES, UNITS));
    let (bias, centre) = (draw.vector(FEATURES), draw.vector(UNITS));
    let tensors = Tensors::default()
        .vector("pre_bias", &centre)
        .matrix("encoder.weight", &encoder)
        .vector("latent_bias", &bias)
        .turned("decoder.weight", &decoder)
        .shaped("stats_last_nonzero", vec![0.0; FEATURES], &[FEATURES]);
    let x = wide(&samples());
    let encode = |x: &Array2<f64>| relu(&products(&(x - &wides(&centre)), &encoder, &bias));
    tensors.torch(&path, &[("activation", json!("ReLU"))]);
    let z = encode(&x);
    expect(&found(&path, Maker::OpenAi), &z, &decoded(&z, &decoder, &centre));

    let state = json!({"k": 4, "postact_fn": "ReLU"});
    tensors.torch(&path, &[("activation", json!("TopK")), ("activation_state_dict", state)]);
    let (normed, means, deviations) = standard(&x);
    let z = largest(&encode(&normed), 4, |z| z);
    let column = |values: Array1<f64>| values.insert_axis(ndarray::Axis(1));
    let y = decoded(&z, &decoder, &centre) * &column(deviations) + &column(means);
    expect(&found(&path, Maker::OpenAi), &z, &y);
}

#[test]
fn dunefsky_has_a_bias_on_each_side() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tc.pt");
    let mut draw = Draw::new(3);
    let x = wide(&samples());
    for outputs in [OUTPUTS, UNITS] {
        let transcoder = outputs == OUTPUTS;
        let (encoder, decoder) = (draw.matrix(FEATURES, UNITS), draw.matrix(FEATURES, outputs));
        let [bias, input, output] =
            [draw.vector(FEATURES), draw.vector(UNITS), draw.vector(outputs)];
        let mut tensors = Tensors::default()
            .turned("W_enc", &encoder)
            .vector("b_enc", &bias)
            .matrix("W_dec", &decoder)
            .vector("b_dec", &input);
        if transcoder {
            tensors = tensors.vector("b_dec_out", &output);
        }
        let settings = json!({"hook_point": "blocks.8.ln2.hook_normalized",
            "out_hook_point": "blocks.8.hook_mlp_out", "is_transcoder": transcoder});
        let file = [("cfg", Item::Plain(settings)), ("state_dict", Item::Dict(tensors.items()))];
        write_torch(&path, &file).expect("writes");
        let checkpoint = found(&path, Maker::Dunefsky);
        let z = relu(&products(&(&x - &wides(&input)), &encoder, &bias));
        expect(&checkpoint, &z, &decoded(&z, &decoder, if transcoder { &output } else { &input }));
        assert_eq!(checkpoint.source.site, Some(Site::new("layers.8.mlp.in")));
    }
}

#[test]
fn goodfire_is_two_linear_layers() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("sae.pt");
    let mut draw = Draw::new(4);
    let (encoder, decoder) = (draw.matrix(FEATURES, UNITS), draw.matrix(FEATURES, UNITS));
    let (bias, centre) = (draw.vector(FEATURES), draw.vector(UNITS));
    for [first, second] in [["encoder", "decoder"], ["encoder_linear", "decoder_linear"]] {
        Tensors::default()
            .matrix(&format!("{first}.weight"), &encoder)
            .vector(&format!("{first}.bias"), &bias)
            .turned(&format!("{second}.weight"), &decoder)
            .vector(&format!("{second}.bias"), &centre)
            .torch(&path, &[]);
        let z = relu(&products(&wide(&samples()), &encoder, &bias));
        expect(&found(&path, Maker::Goodfire), &z, &decoded(&z, &decoder, &centre));
    }
}

/// Files that PyTorch wrote, with what it computed from them (`fixtures/make/dictionaries.py`).
#[test]
fn files_of_pytorch_itself_give_what_it_computed() {
    let (folder, matrix) = golden("dictionaries");
    let x = matrix("x");
    for (name, path, maker) in [
        ("dunefsky", "dunefsky.pt", Maker::Dunefsky),
        ("openai", "openai.pt", Maker::OpenAi),
        ("batch_top_k", "batch_top_k", Maker::DictionaryLearning),
        ("goodfire", "goodfire.pt", Maker::Goodfire),
        ("sparsify", "layers.2.mlp", Maker::Sparsify),
        ("gemma", "gemma/params.npz", Maker::GemmaScope),
        ("gemma", "gemma/compressed.npz", Maker::GemmaScope),
    ] {
        let checkpoint = load(&folder.join(path), &Load::default()).expect(path);
        assert_eq!(checkpoint.source.maker, maker, "{path}");
        let z = checkpoint.dictionary.encode(x.view()).expect("encodes");
        let y = checkpoint.dictionary.predict(x.view(), z.view()).expect("predicts");
        near(&z, &wide(&matrix(&format!("{name}_z"))));
        near(&y, &wide(&matrix(&format!("{name}_y"))));
        if maker == Maker::Dunefsky {
            let notes = checkpoint.source.notes.join(" ");
            assert!(notes.contains("SAERunnerConfig") && notes.contains("not run"), "{notes}");
            assert_eq!(checkpoint.source.site, Some(Site::new("layers.8.mlp.in")));
            assert_eq!(checkpoint.source.targets, [Site::new("layers.8.mlp.out")]);
        }
    }
}
