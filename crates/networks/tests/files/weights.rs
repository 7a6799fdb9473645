//! Rows read from files are those the built networks compute with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use half::{bf16, f16};
use nissl_core::files::TensorFile;
use nissl_core::network::{
    FinalNorm, HeadNorm, LanguageNetwork, Part, ResidualWeights, TokenTable,
};
use nissl_core::store::write_bytes;
use nissl_networks::language::{Embedded, Language};
use nissl_networks::weights::CheckpointWeights;
use safetensors::{Dtype, tensor::TensorView};

use crate::changed::changed;
use crate::common::{CAUSAL, FAMILIES, fixture, input, record, values};
use crate::hostile::Archive;
use crate::torch::folder;

pub(crate) fn open(path: &Path) -> CheckpointWeights {
    CheckpointWeights::open(path).expect("opens")
}

/// All vectors of a part.
pub(crate) fn rows(weights: &CheckpointWeights, layer: usize, part: Part) -> Vec<f32> {
    let units = weights.units(part);
    let mut out = vec![f32::NAN; units * weights.residual_width()];
    weights.read_units(layer, part, 0..units, &mut out).expect("reads");
    out
}

fn table(weights: &CheckpointWeights, table: TokenTable) -> Vec<f32> {
    let mut out = vec![f32::NAN; weights.vocabulary() * weights.residual_width()];
    weights.read_tokens(table, 0..weights.vocabulary(), &mut out).expect("reads");
    out
}

/// Every causal fixture, a norm-free one among those of TransformerLens where it is there.
fn checkpoints() -> Vec<(String, PathBuf, Vec<Vec<u32>>)> {
    let mut all: Vec<_> = FAMILIES[..CAUSAL]
        .iter()
        .map(|name| ((*name).to_owned(), fixture(name), input(name).1))
        .collect();
    let tokens = vec![vec![1, 5, 10, 0, 3], vec![2, 2, 7, 9, 4]];
    all.push(("lens".to_owned(), folder().join("lens/lens.pt"), tokens));
    if let Some(published) = crate::lens::published() {
        all.push(("bare".to_owned(), published.join("seed3.pt"), vec![vec![5, 90, 113]; 2]));
    }
    all
}

/// What a layer's half reads: the residual `[position, unit]` of the first text, through its norm.
fn read_through(resid: &[f32], width: usize, gain: Option<&[f32]>, norm: &HeadNorm) -> Vec<f64> {
    let HeadNorm { centres, scales, .. } = *norm;
    let mut out = Vec::new();
    for row in resid.chunks(width) {
        let mean = row.iter().map(|v| f64::from(*v)).sum::<f64>() / row.len() as f64;
        let mean = if centres { mean } else { 0.0 };
        let square = |v: &f32| (f64::from(*v) - mean).powi(2);
        let rms = (row.iter().map(square).sum::<f64>() / row.len() as f64 + 1e-6).sqrt();
        let rms = if scales { rms } else { 1.0 };
        let gained = row.iter().enumerate().map(|(at, v)| {
            (f64::from(*v) - mean) / rms * gain.map_or(1.0, |gain| f64::from(gain[at]))
        });
        out.extend(gained);
    }
    out
}

/// `x` `[position, from]` through `rows` `[unit, residual]`: `[position, unit]` where they read.
fn through(x: &[f64], rows: &[f32], width: usize) -> Vec<f64> {
    x.chunks(width)
        .flat_map(|x| {
            rows.chunks(width)
                .map(move |row| x.iter().zip(row).map(|(x, w)| x * f64::from(*w)).sum::<f64>())
        })
        .collect()
}

/// The largest difference between the steps from the first position to the others: what is added
/// at every position, such as a bias, is no part of a map.
fn apart(found: &[f64], expected: &[f32], units: usize) -> f64 {
    let mut largest = 0f64;
    for at in units..found.len() {
        let step = found[at] - found[at % units];
        let wanted = f64::from(expected[at]) - f64::from(expected[at % units]);
        let scale = f64::from(expected[at]).abs().max(1.0);
        largest = largest.max((step - wanted).abs() / scale);
    }
    assert!(found.len() > units && found.len() == expected.len() && !largest.is_nan());
    largest
}

#[test]
fn every_part_maps_as_the_built_network_does() {
    for (name, path, tokens) in checkpoints() {
        let weights = open(&path);
        let network = Language::load(&path, &name, &Device::flex()).expect("loads");
        assert_eq!(
            (weights.layers(), weights.residual_width(), weights.vocabulary()),
            (network.layers(), network.residual_width(), network.vocabulary()),
            "{name}"
        );
        let seen = record(&network, &tokens);
        let first = |site: &str| {
            let x = seen[site].clone();
            let [_, positions, _] = x.dims();
            values(&x.narrow(0, 0, 1).narrow(1, 0, positions.min(tokens[0].len())))
        };
        let width = weights.residual_width();
        let norm = weights.head_norm().expect("reads");
        let parallel = !seen.contains_key("layers.0.resid.mid");
        for n in 0..weights.layers() {
            let at = |part: &str| first(&format!("layers.{n}.{part}"));
            let reads = |part: Part, resid: &[f32]| {
                let gain = weights.input_gain(n, part).expect("reads");
                let x = read_through(resid, width, gain.as_deref(), &norm);
                through(&x, &rows(&weights, n, part), width)
            };
            let mut bars = BTreeMap::new();
            for (part, site) in
                [(Part::Query, "attn.q"), (Part::Key, "attn.k"), (Part::Value, "attn.v")]
            {
                let far = apart(&reads(part, &at("resid.pre")), &at(site), weights.units(part));
                bars.insert(site, far);
            }
            // Another part's rows would not do.
            let far =
                apart(&reads(Part::Key, &at("resid.pre")), &at("attn.v"), weights.units(Part::Key));
            assert!(far > 0.1, "{name} layer {n}: keys pass for values");
            let mid = at(if parallel { "resid.pre" } else { "resid.mid" });
            let gated = weights.parts().contains(&Part::Gate);
            let pre = if gated { Part::Gate } else { Part::Up };
            let hidden = weights.units(Part::Up);
            bars.insert("mlp.pre", apart(&reads(pre, &mid), &at("mlp.pre"), hidden));
            let x: Vec<f64> = at("mlp.in").into_iter().map(f64::from).collect();
            let found = through(&x, &rows(&weights, n, pre), width);
            bars.insert("mlp.in", apart(&found, &at("mlp.pre"), hidden));
            if gated {
                let open = |x: f64| match name.as_str() {
                    "gemma2" => x / (1.0 + (-1.595_769 * (x + 0.044_715 * x.powi(3))).exp()),
                    _ => x / (1.0 + (-x).exp()),
                };
                let up = reads(Part::Up, &mid);
                let act: Vec<f64> =
                    at("mlp.pre").iter().zip(up).map(|(g, u)| open(f64::from(*g)) * u).collect();
                bars.insert("mlp.act", apart(&act, &at("mlp.act"), hidden));
            }
            // What is written: Gemma 2 scales the sum afterwards, so that only its direction is told.
            for (part, from, to) in
                [(Part::Down, "mlp.act", "mlp.out"), (Part::AttentionOut, "attn.z", "attn.out")]
            {
                let vectors = rows(&weights, n, part);
                let units = weights.units(part);
                let mut sums: Vec<f64> = Vec::new();
                for z in at(from).chunks(units) {
                    sums.extend((0..width).map(|r| {
                        let term = |(u, z): (usize, &f32)| {
                            f64::from(*z) * f64::from(vectors[u * width + r])
                        };
                        z.iter().enumerate().map(term).sum::<f64>()
                    }));
                }
                let out = at(to);
                if name == "gemma2" {
                    for (sum, out) in sums.chunks_mut(width).zip(out.chunks(width)) {
                        let norm = |x: f64| x * x;
                        let long: f64 = sum.iter().copied().map(norm).sum();
                        let short: f64 = out.iter().map(|v| norm(f64::from(*v))).sum();
                        for v in sum {
                            *v *= (short / long).sqrt();
                        }
                    }
                }
                bars.insert(to, apart(&sums, &out, width));
            }
            for (site, far) in bars {
                assert!(far < 2e-3, "{name} layer {n} {site}: {far}");
            }
        }
    }
}

#[test]
fn tables_and_down_projections_are_the_network_s_own() {
    for (name, path, _) in checkpoints() {
        let weights = open(&path);
        let network = Language::load(&path, &name, &Device::flex()).expect("loads");
        let (width, vocabulary) = (weights.residual_width(), weights.vocabulary());
        for n in 0..weights.layers() {
            let down = values(&network.down_projection(n).expect("a layer"));
            assert_eq!(rows(&weights, n, Part::Down), down, "{name} layer {n}");
        }
        // The lens on unit vectors is the head, one number at a time.
        let unit: Vec<f32> =
            (0..width * width).map(|at| f32::from(u8::from(at / width == at % width))).collect();
        let unit = || {
            let data = TensorData::new(unit.clone(), [width, width]);
            Tensor::<2>::from_data(data, &Device::flex())
        };
        let lens = |norm| values(&network.unembed(unit(), norm).expect("a head").transpose());
        let head = table(&weights, TokenTable::Head);
        assert_eq!(head, lens(FinalNorm::Skip), "{name}");
        // Through the linear part of the norm: centred, and by its gain.
        let norm = weights.head_norm().expect("reads");
        let gain = norm.gain.clone().unwrap_or_else(|| vec![1.0; width]);
        let mut normed = head.clone();
        for row in normed.chunks_mut(width) {
            row.iter_mut().zip(&gain).for_each(|(w, gain)| *w *= gain);
            let mean = row.iter().sum::<f32>() / width as f32;
            row.iter_mut().filter(|_| norm.centres).for_each(|w| *w -= mean);
        }
        let far = normed.iter().zip(lens(FinalNorm::Gain)).map(|(a, b)| (a - b).abs());
        assert!(far.fold(0f32, f32::max) < 1e-5, "{name}");
        assert_eq!(head.len(), vocabulary * width);
        let tied = ["gpt2", "gemma2", "qwen2"].contains(&name.as_str());
        assert_eq!(weights.head_is_tied(), tied, "{name}");
        assert_eq!(table(&weights, TokenTable::Embed) == head, tied, "{name}");
        assert!(weights.tokens_known() <= vocabulary);
    }
    let raw = TensorFile::open(&fixture("neox").join("model.safetensors")).expect("opens");
    let embed = table(&open(&fixture("neox")), TokenTable::Embed);
    assert_eq!(embed, raw.f32s("gpt_neox.embed_in.weight").expect("there"));
}

#[test]
fn odd_blocks_join_to_the_whole() {
    for (name, path, _) in checkpoints() {
        let weights = open(&path);
        let width = weights.residual_width();
        for &part in weights.parts() {
            let whole = rows(&weights, 0, part);
            for block in [1, 3, 7, 64] {
                let mut found = Vec::new();
                let units = weights.units(part);
                for from in (0..units).step_by(block) {
                    let range = from..units.min(from + block);
                    let mut out = vec![f32::NAN; range.len() * width];
                    weights.read_units(0, part, range, &mut out).expect("reads");
                    found.extend(out);
                }
                assert!(found == whole, "{name} {} in blocks of {block}", part.name());
            }
        }
    }
}

fn numbers(tensor: &TensorView<'_>) -> Vec<f32> {
    tensor.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

#[test]
fn every_float_type_is_read() {
    type Round = (Dtype, fn(f32) -> Vec<u8>, fn(f32) -> f32);
    let plain = open(&fixture("gpt2"));
    let kinds: [Round; 3] = [
        (Dtype::F16, |v| f16::from_f32(v).to_le_bytes().to_vec(), |v| f16::from_f32(v).to_f32()),
        (Dtype::BF16, |v| bf16::from_f32(v).to_le_bytes().to_vec(), |v| bf16::from_f32(v).to_f32()),
        (Dtype::F64, |v| f64::from(v).to_le_bytes().to_vec(), |v| v),
    ];
    for (dtype, encode, round) in kinds {
        let copy = changed("gpt2", |key, tensor| {
            let data = numbers(tensor).into_iter().flat_map(encode).collect();
            Some((key.to_owned(), dtype, data))
        });
        let weights = open(copy.path());
        for &part in plain.parts() {
            let expected: Vec<f32> = rows(&plain, 1, part).into_iter().map(round).collect();
            assert_eq!(rows(&weights, 1, part), expected, "{dtype:?} {}", part.name());
        }
    }
}

#[test]
fn a_checkpoint_in_memory_reads_as_its_folder() {
    let file = |file: &str| -> &'static [u8] {
        std::fs::read(fixture("gpt2").join(file)).expect("reads").leak()
    };
    let parts = Embedded {
        name: "inside",
        config: file("config.json"),
        weights: file("model.safetensors"),
        tokenizer: file("tokenizer.json"),
    };
    let (inside, outside) =
        (CheckpointWeights::embedded(parts).expect("reads"), open(&fixture("gpt2")));
    assert_eq!(rows(&inside, 1, Part::Up), rows(&outside, 1, Part::Up));
    assert_eq!(inside.id(), "inside");
    assert!(inside.tokenizer().is_ok());
}

#[test]
fn strided_weights_of_a_pickle_are_read() {
    // The down projection as every other column of a transposed storage.
    let plain = TensorFile::open(&folder().join("lens/lens.pt")).expect("opens");
    let mut archive = Archive::new();
    for (name, stored) in plain.tensors().iter().filter(|(_, stored)| stored.element.is_float()) {
        let values = plain.f32s(name).expect("reads");
        let bytes =
            |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>();
        if name == "blocks.1.mlp.W_out" {
            let (units, width) = (stored.shape[0], stored.shape[1]);
            let at = |at: usize| values[at / 2 % units * width + at / 2 / units];
            let spread: Vec<f32> = (0..2 * units * width).map(at).collect();
            archive.storage(&bytes(&spread));
            let (units, width) = (units as i64, width as i64);
            let view = (1, &[units, width][..], &[2, 2 * units][..]);
            archive.view(name, "FloatStorage", 2 * units * width, view);
        } else {
            archive.dense(name, "FloatStorage", &stored.shape, &bytes(&values));
        }
    }
    let copy = tempfile::tempdir().expect("a folder");
    let path = copy.path().join("strided.pt");
    write_bytes(&path, &archive.bytes()).expect("writes");
    std::fs::copy(folder().join("lens/config.json"), copy.path().join("config.json"))
        .expect("copies");
    let (found, expected) = (open(&path), open(&folder().join("lens/lens.pt")));
    assert_eq!(rows(&found, 1, Part::Down), rows(&expected, 1, Part::Down));
}
