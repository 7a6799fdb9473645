//! Makers whose weights are safetensors or NumPy's: each rule of encoding by its formula.

use std::path::Path;

use ndarray::{Array1, Array2};
use nissl_core::site::Site;
use nissl_decompose::checkpoints::{DecoderRows, Load, Maker, Role, load};
use serde_json::{Value, json};

use super::raw::*;

/// The parts that most makers have.
pub(super) struct Parts {
    pub(super) encoder: Array2<f32>,
    pub(super) bias: Array1<f32>,
    pub(super) decoder: Array2<f32>,
    pub(super) centre: Array1<f32>,
}

pub(super) fn parts(seed: u64, outputs: usize) -> Parts {
    let mut draw = Draw::new(seed);
    Parts {
        encoder: draw.matrix(FEATURES, UNITS),
        bias: draw.vector(FEATURES),
        decoder: draw.matrix(FEATURES, outputs),
        centre: draw.vector(outputs),
    }
}

fn sparsify(folder: &Path, parts: &Parts, settings: &Value, skip: Option<&Array2<f32>>) {
    let mut tensors = Tensors::default()
        .matrix("encoder.weight", &parts.encoder)
        .vector("encoder.bias", &parts.bias)
        .matrix("W_dec", &parts.decoder)
        .vector("b_dec", &parts.centre);
    if let Some(skip) = skip {
        tensors = tensors.matrix("W_skip", skip);
    }
    tensors.safetensors(&folder.join("sae.safetensors"));
    json(&folder.join("cfg.json"), settings);
}

#[test]
fn sparsify_keeps_the_largest_of_all_or_of_groups() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path().join("layers.4.mlp");
    let parts = parts(1, UNITS);
    let x = wide(&samples()) - &wides(&parts.centre);
    let u = products(&x, &parts.encoder, &parts.bias);
    let groups = {
        let mut kept = Array2::zeros(u.dim());
        for (row, mut kept) in u.rows().into_iter().zip(kept.rows_mut()) {
            for group in 0..4 {
                let best = (3 * group..3 * group + 3)
                    .max_by(|&a, &b| row[a].total_cmp(&row[b]))
                    .expect("a group");
                kept[best] = row[best].max(0.0);
            }
        }
        kept
    };
    for (settings, z) in [
        (
            json!({"k": 4, "num_latents": 12, "activation": "topk", "transcode": false}),
            largest(&relu(&u), 4, |u| u),
        ),
        (json!({"k": 4, "expansion_factor": 2, "signed": false}), largest(&relu(&u), 4, |u| u)),
        (json!({"k": 4, "num_latents": 12, "activation": "groupmax"}), groups),
        (json!({"k": 4, "expansion_factor": 2, "signed": true}), largest(&u, 4, f64::abs)),
    ] {
        sparsify(&folder, &parts, &settings, None);
        let checkpoint = found(&folder, Maker::Sparsify);
        expect(&checkpoint, &z, &decoded(&z, &parts.decoder, &parts.centre));
        assert_eq!(checkpoint.source.site, Some(Site::new("layers.4.mlp.out")));
    }
}

#[test]
fn sparsify_takes_the_bias_off_the_input_of_old_transcoders_alone() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path().join("gpt_neox.layers.3.mlp");
    let parts = parts(2, UNITS);
    let skip = Draw::new(3).matrix(UNITS, UNITS);
    let x = wide(&samples());
    let through = x.dot(&wide(&skip).t());
    let new = json!({"k": 3, "num_latents": 12, "transcode": true, "skip_connection": true});
    let old = json!({"k": 3, "num_latents": 12, "skip_connection": true});
    for (settings, x, notes) in [(new, x.clone(), 0), (old, &x - &wides(&parts.centre), 1)] {
        sparsify(&folder, &parts, &settings, Some(&skip));
        let z = largest(&relu(&products(&x, &parts.encoder, &parts.bias)), 3, |u| u);
        let checkpoint = found(&folder, Maker::Sparsify);
        expect(&checkpoint, &z, &(decoded(&z, &parts.decoder, &parts.centre) + &through));
        assert_eq!(checkpoint.source.site, Some(Site::new("layers.3.mlp.in")));
        assert_eq!(checkpoint.source.targets, [Site::new("layers.3.mlp.out")]);
        assert_eq!(checkpoint.source.notes.len(), notes, "{:?}", checkpoint.source.notes);
    }
}

#[test]
fn the_orientation_of_a_decoder_is_told_by_its_shape_or_by_the_user() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    let mut parts = parts(4, OUTPUTS);
    let settings = json!({"k": 3, "num_latents": 12, "transcode": true});
    let z = |parts: &Parts| {
        largest(&relu(&products(&wide(&samples()), &parts.encoder, &parts.bias)), 3, |u| u)
    };
    let y = decoded(&z(&parts), &parts.decoder, &parts.centre);
    sparsify(path, &parts, &settings, None);
    expect(&found(path, Maker::Sparsify), &z(&parts), &y);
    parts.decoder = parts.decoder.t().as_standard_layout().into_owned();
    sparsify(path, &parts, &settings, None);
    expect(&found(path, Maker::Sparsify), &z(&parts), &y);

    // As many features as output units: the shape tells nothing.
    let mut draw = Draw::new(5);
    parts.decoder = draw.matrix(FEATURES, FEATURES);
    parts.centre = draw.vector(FEATURES);
    sparsify(path, &parts, &settings, None);
    let asked = load(path, &Load::default()).expect_err("ambiguous").to_string();
    assert!(asked.contains("as many features as units"), "{asked}");
    for (rows, decoder) in [
        (DecoderRows::Features, parts.decoder.clone()),
        (DecoderRows::Units, parts.decoder.t().to_owned()),
    ] {
        let told = Load { decoder_rows: Some(rows), ..Load::default() };
        let checkpoint = load(path, &told).expect("told");
        expect(&checkpoint, &z(&parts), &decoded(&z(&parts), &decoder, &parts.centre));
    }
}

pub(super) fn sae_lens(parts: &Parts) -> Tensors {
    Tensors::default()
        .turned("W_enc", &parts.encoder)
        .vector("b_enc", &parts.bias)
        .matrix("W_dec", &parts.decoder)
        .vector("b_dec", &parts.centre)
}

#[test]
fn gemma_scope_never_takes_the_bias_off_the_input() {
    let root = tempfile::tempdir().expect("a folder");
    let threshold = Draw::new(14).positive(FEATURES);
    let x = wide(&samples());
    for (folder, outputs, scale, site) in [
        (
            "gemma-scope-2b-pt-res/layer_7/width_16k/average_l0_10",
            UNITS,
            1.0,
            Some("layers.7.resid.post"),
        ),
        (
            "gemma-scope-2b-pt-att/layer_7/width_16k/average_l0_10",
            UNITS,
            1.0,
            Some("layers.7.attn.z"),
        ),
        (
            "gemma-scope-2b-pt-transcoders/layer_7/width_16k/average_l0_10",
            UNITS,
            1.0,
            Some("layers.7.mlp.in"),
        ),
        (
            "gemma-scope-2b-pt-res/embedding/width_4k/average_l0_10",
            UNITS,
            6f64.sqrt(),
            Some("embed"),
        ),
        ("other", OUTPUTS, 1.0, None),
    ] {
        let path = root.path().join(folder);
        let parts = parts(15, outputs);
        let tensors = sae_lens(&parts).vector("threshold", &threshold);
        tensors.npz(&path.join("params.npz"));
        let checkpoint = found(&path, Maker::GemmaScope);
        let z = above(&products(&(&x / scale), &parts.encoder, &parts.bias), &wides(&threshold));
        expect(&checkpoint, &z, &(decoded(&z, &parts.decoder, &parts.centre) * scale));
        assert_eq!(checkpoint.source.site, site.map(Site::new), "{folder}");
        let transcoder = folder.contains("transcoders") || outputs != UNITS;
        assert_eq!(checkpoint.role() == Role::Transcoder, transcoder, "{folder}");
        assert_eq!(checkpoint.source.targets.is_empty(), !folder.contains("transcoders"));
    }
    // Later releases: the same in lower case, with hooks named as modules.
    let path = root.path().join("later");
    let parts = parts(16, UNITS);
    Tensors::default()
        .turned("w_enc", &parts.encoder)
        .vector("b_enc", &parts.bias)
        .matrix("w_dec", &parts.decoder)
        .vector("b_dec", &parts.centre)
        .vector("threshold", &threshold)
        .safetensors(&path.join("params.safetensors"));
    let checkpoint = found(&path, Maker::GemmaScope);
    let z = above(&products(&x, &parts.encoder, &parts.bias), &wides(&threshold));
    expect(&checkpoint, &z, &decoded(&z, &parts.decoder, &parts.centre));
}

#[test]
fn llama_scope_scales_are_folded() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    let x = wide(&samples());
    let logs = Draw::new(17).vector(FEATURES);
    for (outputs, by_length, separate) in
        [(UNITS, false, false), (UNITS, true, false), (OUTPUTS, false, false), (UNITS, false, true)]
    {
        let parts = parts(18, outputs);
        let mut tensors = Tensors::default()
            .matrix("encoder.weight", &parts.encoder)
            .vector("encoder.bias", &parts.bias)
            .turned("decoder.weight", &parts.decoder)
            .vector("decoder.bias", &parts.centre);
        let mut settings = json!({
            "hook_point_in": "blocks.3.hook_resid_post", "hook_point_out": "blocks.3.hook_resid_post",
            "sparsity_include_decoder_norm": by_length, "norm_activation": "dataset-wise",
            "dataset_average_activation_norm": {"in": 4.0, "out": 7.0},
            "act_fn": "jumprelu", "jump_relu_threshold": 0.6,
        });
        let lengths = wide(&parts.decoder).map_axis(ndarray::Axis(1), |row| row.dot(&row).sqrt());
        let mut threshold = Array1::from_elem(FEATURES, 0.6);
        if by_length {
            threshold /= &lengths;
        }
        let place = if separate {
            tensors = tensors.vector("log_jumprelu_threshold", &logs);
            settings["jump_relu_threshold"] = Value::Null;
            threshold = wides(&logs).mapv(f64::exp);
            "sae_weights.safetensors"
        } else {
            "checkpoints/final.safetensors"
        };
        let folder = path.join(format!("{outputs}-{by_length}-{separate}"));
        tensors.safetensors(&folder.join(place));
        json(&folder.join("hyperparams.json"), &settings);
        let checkpoint = found(&folder, Maker::LlamaScope);
        let (into, out) = ((UNITS as f64).sqrt() / 4.0, (outputs as f64).sqrt() / 7.0);
        let z = above(&products(&(&x * into), &parts.encoder, &parts.bias), &threshold);
        expect(&checkpoint, &z, &(decoded(&z, &parts.decoder, &parts.centre) / out));
        assert_eq!(checkpoint.source.site, Some(Site::new("layers.3.resid.post")));
    }
}

#[test]
fn circuit_tracer_decoders_lie_either_way() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    let parts = parts(19, UNITS);
    let skip = Draw::new(20).matrix(UNITS, UNITS);
    let settings = "# ours\nmodel_name: \"google/gemma-2-2b\"  # the base\nfeature_input_hook: \"hook_resid_mid\"\n\
                    feature_output_hook: hook_mlp_out\ntranscoders:\n  - \"a: b\"\n";
    nissl_core::store::write_bytes(&path.join("config.yaml"), settings.as_bytes()).expect("writes");
    let x = wide(&samples());
    let z = relu(&products(&x, &parts.encoder, &parts.bias));
    let y = decoded(&z, &parts.decoder, &parts.centre) + x.dot(&wide(&skip).t());
    let turned = parts.decoder.t().as_standard_layout().into_owned();
    for decoder in [&parts.decoder, &turned] {
        let tensors = Tensors::default()
            .matrix("W_enc", &parts.encoder)
            .vector("b_enc", &parts.bias)
            .matrix("W_dec", decoder)
            .vector("b_dec", &parts.centre)
            .matrix("W_skip", &skip);
        tensors.safetensors(&path.join("layer_3.safetensors"));
        let checkpoint = found(path, Maker::CircuitTracer);
        expect(&checkpoint, &z, &y);
        assert_eq!(checkpoint.source.site, Some(Site::new("layers.3.resid.mid")));
        assert_eq!(checkpoint.source.targets, [Site::new("layers.3.mlp.out")]);
        assert_eq!(checkpoint.source.model.as_deref(), Some("google/gemma-2-2b"));
    }
    std::fs::copy(path.join("layer_3.safetensors"), path.join("layer_11.safetensors"))
        .expect("copies");
    let asked = load(path, &Load::default()).expect_err("two layers").to_string();
    assert!(asked.contains("[3, 11]"), "{asked}");
    let told = load(path, &Load { layer: Some(11), ..Load::default() }).expect("told");
    assert_eq!(told.source.site, Some(Site::new("layers.11.resid.mid")));
}
