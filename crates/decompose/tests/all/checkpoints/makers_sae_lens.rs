//! SAELens: every activation, norm and version by its formula.

use std::path::Path;

use ndarray::{Array1, Array2};
use nissl_core::site::Site;
use nissl_decompose::checkpoints::Maker;
use serde_json::{Value, json};

use super::makers::{parts, sae_lens};
use super::raw::*;

fn write_sae_lens(folder: &Path, tensors: &Tensors, settings: &Value) {
    tensors.safetensors(&folder.join("sae_weights.safetensors"));
    json(&folder.join("cfg.json"), settings);
}

#[test]
fn sae_lens_activations_follow_their_formulas() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    let parts = parts(6, UNITS);
    let (x, centre) = (wide(&samples()), wides(&parts.centre));
    let u = products(&(&x - &centre), &parts.encoder, &parts.bias);
    let plain = products(&x, &parts.encoder, &parts.bias);
    let back = |z: &Array2<f64>| decoded(z, &parts.decoder, &parts.centre);
    let about = json!({"model_name": "gpt2-small", "hook_name": "blocks.8.hook_resid_pre", "prepend_bos": true});
    let settings = |architecture: &str, takes_off: bool| {
        json!({"architecture": architecture, "d_in": 6, "d_sae": 12, "apply_b_dec_to_input": takes_off,
            "normalize_activations": "none", "metadata": about})
    };
    let tensors = sae_lens(&parts);
    write_sae_lens(path, &tensors, &settings("standard", true));
    let checkpoint = found(path, Maker::SaeLens);
    expect(&checkpoint, &relu(&u), &back(&relu(&u)));
    assert_eq!(checkpoint.source.site, Some(Site::new("layers.8.resid.pre")));
    assert_eq!(checkpoint.source.model.as_deref(), Some("gpt2-small"));
    assert_eq!(checkpoint.source.prepend_bos, Some(true));

    let threshold = Draw::new(7).positive(FEATURES);
    let with = sae_lens(&parts).vector("threshold", &threshold);
    for (takes_off, u) in [(true, &u), (false, &plain)] {
        write_sae_lens(path, &with, &settings("jumprelu", takes_off));
        let z = above(u, &wides(&threshold));
        expect(&found(path, Maker::SaeLens), &z, &back(&z));
    }

    let mut top = settings("topk", true);
    top["k"] = 3.into();
    top["rescale_acts_by_decoder_norm"] = true.into();
    write_sae_lens(path, &tensors, &top);
    let lengths = wide(&parts.decoder).map_axis(ndarray::Axis(1), |row| row.dot(&row).sqrt());
    let z = largest(&relu(&(&u * &lengths)), 3, |u| u);
    expect(&found(path, Maker::SaeLens), &z, &back(&(&z / &lengths)));

    let mut draw = Draw::new(8);
    let (gate, logs) = (draw.vector(FEATURES), draw.vector(FEATURES));
    let gated = sae_lens(&parts)
        .without("b_enc")
        .vector("b_gate", &gate)
        .vector("b_mag", &parts.bias)
        .vector("r_mag", &logs);
    write_sae_lens(path, &gated, &settings("gated", true));
    let bare = (&x - &centre).dot(&wide(&parts.encoder).t());
    let sizes = &bare * &wides(&logs).mapv(f64::exp) + &wides(&parts.bias);
    let mut z = relu(&sizes);
    z.zip_mut_with(&(bare + &wides(&gate)), |z, gate| *z = if *gate > 0.0 { *z } else { 0.0 });
    expect(&found(path, Maker::SaeLens), &z, &back(&z));
}

#[test]
fn sae_lens_norms_are_folded_or_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    let parts = parts(9, UNITS);
    let (x, centre) = (wide(&samples()), wides(&parts.centre));
    let settings = |norm: &str| json!({"architecture": "standard", "apply_b_dec_to_input": true, "normalize_activations": norm});
    let encode = |x: &Array2<f64>| relu(&products(&(x - &centre), &parts.encoder, &parts.bias));
    let back = |z: &Array2<f64>| decoded(z, &parts.decoder, &parts.centre);

    write_sae_lens(path, &sae_lens(&parts), &settings("layer_norm"));
    let (normed, means, deviations) = standard(&x);
    let z = encode(&normed);
    let column = |values: &Array1<f64>| values.clone().insert_axis(ndarray::Axis(1));
    expect(&found(path, Maker::SaeLens), &z, &(back(&z) * &column(&deviations) + &column(&means)));

    write_sae_lens(path, &sae_lens(&parts), &settings("constant_norm_rescale"));
    let lengths = x.map_axis(ndarray::Axis(1), |row| row.dot(&row).sqrt()) / (UNITS as f64).sqrt();
    let z = encode(&(&x / &column(&lengths)));
    expect(&found(path, Maker::SaeLens), &z, &(back(&z) * &column(&lengths)));

    // The factor of the samples must come out of the bias as well.
    let average = settings("expected_average_only_in");
    json(&path.join("activation_scaler.json"), &json!({"scaling_factor": 0.37}));
    write_sae_lens(path, &sae_lens(&parts), &average);
    let z = encode(&(&x * 0.37));
    expect(&found(path, Maker::SaeLens), &z, &(back(&z) / 0.37));
    std::fs::remove_file(path.join("activation_scaler.json")).expect("removes");
    let checkpoint = found(path, Maker::SaeLens);
    expect(&checkpoint, &encode(&x), &back(&encode(&x)));
    assert!(checkpoint.source.notes[0].contains("average length"), "{:?}", checkpoint.source.notes);

    let factors = Draw::new(10).positive(FEATURES);
    write_sae_lens(path, &sae_lens(&parts).vector("scaling_factor", &factors), &settings("none"));
    let z = encode(&x);
    expect(&found(path, Maker::SaeLens), &z, &back(&(&z * &wides(&factors))));
}

#[test]
fn sae_lens_before_6_has_its_settings_in_one_level() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    let parts = parts(11, UNITS);
    let x = wide(&samples()) - &wides(&parts.centre);
    let u = products(&x, &parts.encoder, &parts.bias);
    let z = largest(&relu(&u), 4, |u| u);
    for (settings, z) in [
        (
            json!({"d_sae": 12, "hook_point": "blocks.2.hook_mlp_out", "activation_fn_str": "topk",
            "activation_fn_kwargs": {"k": 4}, "normalize_activations": false}),
            &z,
        ),
        (
            json!({"d_sae": 12, "hook_name": "blocks.2.hook_mlp_out", "activation_fn_str": "relu"}),
            &relu(&u),
        ),
    ] {
        write_sae_lens(path, &sae_lens(&parts), &settings);
        let checkpoint = found(path, Maker::SaeLens);
        expect(&checkpoint, z, &decoded(z, &parts.decoder, &parts.centre));
        assert_eq!(checkpoint.source.site, Some(Site::new("layers.2.mlp.out")));
    }
}

#[test]
fn sae_lens_transcoders_predict_another_site() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    let parts = parts(12, OUTPUTS);
    let mut draw = Draw::new(13);
    let (skip, threshold) = (draw.matrix(OUTPUTS, UNITS), draw.positive(FEATURES));
    let x = wide(&samples());
    let u = products(&x, &parts.encoder, &parts.bias);
    let about = json!({"hook_name": "blocks.5.ln2.hook_normalized", "hook_name_out": "blocks.5.hook_mlp_out"});
    let settings = |architecture: &str| json!({"architecture": architecture, "apply_b_dec_to_input": false, "metadata": about});
    let plain = relu(&u);
    let y = decoded(&plain, &parts.decoder, &parts.centre);
    write_sae_lens(path, &sae_lens(&parts), &settings("transcoder"));
    let checkpoint = found(path, Maker::SaeLens);
    expect(&checkpoint, &plain, &y);
    assert_eq!(checkpoint.source.site, Some(Site::new("layers.5.mlp.in")));
    assert_eq!(checkpoint.source.targets, [Site::new("layers.5.mlp.out")]);

    write_sae_lens(path, &sae_lens(&parts).matrix("W_skip", &skip), &settings("skip_transcoder"));
    expect(&found(path, Maker::SaeLens), &plain, &(y + x.dot(&wide(&skip).t())));

    let with = sae_lens(&parts).vector("threshold", &threshold);
    write_sae_lens(path, &with, &settings("jumprelu_transcoder"));
    let z = above(&u, &wides(&threshold));
    expect(&found(path, Maker::SaeLens), &z, &decoded(&z, &parts.decoder, &parts.centre));
}
