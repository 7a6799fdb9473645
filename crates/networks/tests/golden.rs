//! Each family against the reference library's numbers (`fixtures/make/language_models.py`).

mod common;

use burn::tensor::{Device, Tensor};
use common::{CAUSAL, FAMILIES, batch, fixture, floats, glob, input, network, record, values};
use nissl_core::Site;
use nissl_core::network::{FinalNorm, KeyValueCache, LanguageNetwork, Network, Sampling};
use nissl_core::taps::Taps;
use nissl_networks::language::{Embedded, Language};
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;

/// The largest difference from the reference library.
const BAR: f32 = 2e-4;

/// The largest difference over the true positions; padded ones are not compared.
fn difference(found: &[f32], expected: &[f32], rows: &[Vec<u32>]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let positions = rows.iter().map(Vec::len).max().expect("rows");
    let units = found.len() / rows.len() / positions;
    let mut largest = 0f32;
    for (sample, row) in rows.iter().enumerate() {
        let from = sample * positions * units;
        for i in from..from + row.len() * units {
            let apart = (found[i] - expected[i]).abs();
            largest = if apart.is_nan() { f32::INFINITY } else { largest.max(apart) };
        }
    }
    largest
}

#[test]
fn every_site_matches_the_reference_library() {
    for name in FAMILIES {
        let network = network(name);
        let (golden, rows) = input(name);
        let seen = record(&network, &rows);
        let mut compared = 0;
        for site in golden.names() {
            if ["tokens", "lengths", "pooled"].contains(&site.as_str()) {
                continue;
            }
            let found = seen.get(&site).unwrap_or_else(|| panic!("{name} has no site {site}"));
            assert_eq!(Some(found.dims().as_slice()), golden.shape(&site), "{name} {site}");
            let apart = difference(&values(found), &floats(&golden, &site), &rows);
            assert!(apart <= BAR, "{name} {site}: {apart}");
            compared += 1;
        }
        assert!(compared >= 16, "{name}: only {compared} sites were compared");
    }
}

#[test]
fn sites_come_in_the_promised_order_and_width() {
    for name in FAMILIES {
        let network = network(name);
        let (_, rows) = input(name);
        let mut seen = Vec::new();
        let mut taps =
            Taps::none().read(glob("**"), |site, x| seen.push((site.to_owned(), x.dims()[2])));
        network.forward(&batch(&rows), &mut taps).expect("runs");
        drop(taps);
        let names: Vec<_> = seen.iter().map(|(site, _)| site.as_str()).collect();
        let promised: Vec<_> = network.sites().iter().map(Site::name).collect();
        assert_eq!(names, promised, "{name}");
        for (site, (_, units)) in network.sites().iter().zip(&seen) {
            assert!(network.width(site).is_none_or(|width| width == *units), "{name} {site}");
        }
    }
}

#[test]
fn a_cache_changes_nothing() {
    for name in &FAMILIES[..CAUSAL] {
        let network = network(name);
        let (golden, rows) = input(name);
        let expected = floats(&golden, "logits");
        let mut cache = KeyValueCache::default();
        let mut found = Vec::new();
        // Three at once, then one by one.
        let steps = [0..3, 3..4, 4..5, 5..8, 8..9, 9..10];
        for step in steps {
            let part: Vec<_> = rows.iter().map(|row| row[step.clone()].to_vec()).collect();
            let logits =
                network.forward_cached(&batch(&part), &mut cache, &mut Taps::none()).expect("runs");
            found.push(logits);
        }
        let found = values(&Tensor::cat(found, 1));
        let apart = difference(&found, &expected, &rows);
        assert!(apart <= BAR, "{name}: {apart}");
    }
}

#[test]
fn greedy_generation_is_that_of_whole_runs() {
    for name in &FAMILIES[..CAUSAL] {
        let network = network(name);
        let (_, rows) = input(name);
        let sampling = Sampling { tokens: 8, temperature: 0.0, ..Sampling::default() };
        let prompt = rows[0][..4].to_vec();
        let generated = network.generate(&prompt, &sampling, &mut Taps::none()).expect("generates");
        let mut text = prompt;
        for token in &generated.tokens {
            let logits = network
                .forward(&batch(&[text.clone()]), &mut Taps::none())
                .expect("runs")
                .expect("logits");
            let flat = values(&logits);
            let last = &flat[flat.len() - network.vocabulary()..];
            let best = (0..last.len()).max_by(|&a, &b| last[a].total_cmp(&last[b]));
            assert_eq!(best, Some(*token as usize), "{name}");
            text.push(*token);
        }
        let drawn = |seed| {
            let sampling = Sampling { tokens: 12, seed, ..Sampling::default() };
            network.generate(&text, &sampling, &mut Taps::none()).expect("generates").tokens
        };
        assert_eq!(drawn(1), drawn(1), "{name}");
        assert_ne!(drawn(1), drawn(2), "{name}");
    }
}

#[test]
fn the_mean_over_true_positions_is_the_sentence_embedding() {
    let network = network("bert");
    let (golden, rows) = input("bert");
    let seen = record(&network, &rows);
    let last = &seen["layers.1.resid.post"];
    let expected = floats(&golden, "pooled");
    for (sample, row) in rows.iter().enumerate() {
        let mean = last.clone().narrow(0, sample, 1).narrow(1, 0, row.len()).mean_dim(1);
        let width = network.residual_width();
        let wanted = &expected[sample * width..(sample + 1) * width];
        for (a, b) in values(&mean).iter().zip(wanted) {
            assert!((a - b).abs() <= BAR, "sample {sample}: {a} {b}");
        }
    }
}

#[test]
fn the_residual_stream_is_the_sum_of_what_is_added() {
    for name in ["gpt2", "mistral", "gemma2", "neox", "neox-sequential"] {
        let network = network(name);
        let (_, rows) = input(name);
        let seen = record(&network, &rows);
        for n in 0..network.layers() {
            let at = |part: &str| seen[&format!("layers.{n}.{part}")].clone();
            let sum = at("resid.pre") + at("attn.out") + at("mlp.out");
            let apart = (sum - at("resid.post")).abs().max().into_scalar::<f32>();
            assert!(apart < 1e-4, "{name} layer {n}: {apart}");
        }
    }
}

#[test]
fn the_lens_on_the_last_residual_gives_the_logits() {
    for name in &FAMILIES[..CAUSAL] {
        let network = network(name);
        let (golden, rows) = input(name);
        let seen = record(&network, &rows);
        let last = &seen[&format!("layers.{}.resid.post", network.layers() - 1)];
        let flat = last.clone().flatten::<2>(0, 1);
        let logits = network.unembed(flat.clone(), FinalNorm::Apply).expect("a head");
        let apart = difference(&values(&logits), &floats(&golden, "logits"), &rows);
        assert!(apart <= BAR, "{name}: {apart}");
        // The two linear forms add up; with a norm in between they would not.
        for norm in [FinalNorm::Gain, FinalNorm::Skip] {
            let lens = |x: Tensor<2>| network.unembed(x, norm).expect("a head");
            let [rows, _] = flat.dims();
            let (a, b) =
                (flat.clone().narrow(0, 0, rows / 2), flat.clone().narrow(0, rows / 2, rows / 2));
            let apart = (lens(a.clone() + b.clone()) - lens(a) - lens(b)).abs().max();
            assert!(apart.into_scalar::<f32>() < 1e-3, "{name} {norm:?}");
        }
    }
}

#[test]
fn the_down_projection_maps_activity_to_what_is_added() {
    // Without norm and bias after it, the map is exact up to the bias: differences of two positions.
    for name in FAMILIES {
        let network = network(name);
        let (_, rows) = input(name);
        let seen = record(&network, &rows);
        let between = |site: &str| {
            let x = seen[site].clone().narrow(0, 0, 1);
            (x.clone().narrow(1, 2, 1) - x.narrow(1, 5, 1)).squeeze_dim::<2>(0)
        };
        let through =
            between("layers.0.mlp.act").matmul(network.down_projection(0).expect("there"));
        let added = between("layers.0.mlp.out");
        if name == "gemma2" {
            // A norm follows: only its gain is part of the map.
            continue;
        }
        let apart = (through - added).abs().max().into_scalar::<f32>();
        assert!(apart < 1e-4, "{name}: {apart}");
        assert!(network.down_projection(network.layers()).is_err());
    }
}

/// A fixture's weights under other keys, loaded from memory.
fn respelt(name: &str, spell: impl Fn(&str) -> String, more: &[&str]) -> Language {
    let file = |file: &str| -> &'static [u8] {
        std::fs::read(fixture(name).join(file)).expect("reads").leak()
    };
    let weights = SafeTensors::deserialize(file("model.safetensors")).expect("safetensors");
    let mut tensors: Vec<(String, TensorView<'_>)> =
        weights.tensors().into_iter().map(|(key, tensor)| (spell(&key), tensor)).collect();
    let (_, any) = tensors[0].clone();
    tensors.extend(more.iter().map(|key| ((*key).to_owned(), any.clone())));
    let tensors = tensors.iter().map(|(key, tensor)| (key, tensor));
    let weights = safetensors::serialize(tensors, None).expect("serializes").leak();
    let parts = Embedded {
        name: "respelt",
        config: file("config.json"),
        weights,
        tokenizer: file("tokenizer.json"),
    };
    Language::embedded(parts, &Device::flex()).expect("loads")
}

#[test]
fn older_spellings_load_to_the_same_network() {
    let bare = |key: &str| key.replace("transformer.", "");
    let gpt2 = respelt("gpt2", bare, &["h.0.attn.bias", "h.1.attn.masked_bias", "lm_head.weight"]);
    let old = |key: &str| {
        let key = key.replace("LayerNorm.weight", "LayerNorm.gamma");
        format!("bert.{}", key.replace("LayerNorm.bias", "LayerNorm.beta"))
    };
    let bert = respelt("bert", old, &["bert.embeddings.position_ids", "cls.predictions.bias"]);
    for (name, found) in [("gpt2", gpt2), ("bert", bert)] {
        let (golden, rows) = input(name);
        let seen = record(&found, &rows);
        let site = "layers.1.resid.post";
        let apart = difference(&values(&seen[site]), &floats(&golden, site), &rows);
        assert!(apart <= BAR, "{name}: {apart}");
        assert!(found.tokenizer().is_ok());
    }
}
