//! Row reversal: the planted rows change and nothing else does.

use std::collections::BTreeSet;
use std::path::Path;

use burn::tensor::Device;
use half::bf16;
use nissl_core::files::TensorFile;
use nissl_core::network::{LanguageNetwork, Part, ResidualWeights, TokenTable};
use nissl_core::store::{Existing, Kind, Manifest, Provenance};
use nissl_core::{Error, Progress, Result};
use nissl_networks::edit::{
    Aligned, Reverse, Reversed, concept_direction, random_like, write_reversed,
};
use nissl_networks::language::Language;
use nissl_networks::weights::CheckpointWeights;
use safetensors::Dtype;

use crate::changed::changed;
use crate::common::{CAUSAL, FAMILIES, fixture, input, record, values};
use crate::torch::folder;
use crate::weights::{open, rows};

const TOKENS: [u32; 2] = [7, 19];

fn find(weights: &CheckpointWeights, threshold: f64) -> Vec<Aligned> {
    let direction = concept_direction(weights, &TOKENS).expect("a direction");
    let settings = Reverse { threshold, ..Reverse::default() };
    settings.find(weights, &direction, &Progress::silent()).expect("reads")
}

fn write(weights: &CheckpointWeights, reversed: &[Aligned], out: &Path) -> Result<()> {
    let base = weights.id().to_owned();
    let detail = Reversed { base, tokens: TOKENS.to_vec(), reversed: reversed.to_vec() };
    let how = Provenance::default();
    let quiet = Progress::silent();
    write_reversed(weights, detail, how, out, Existing::Refuse, &quiet).map(|_| ())
}

/// The bytes of all weight files, in order of their names.
fn bytes(of: &Path) -> Vec<u8> {
    let mut files: Vec<_> =
        of.read_dir().expect("lists").flatten().map(|file| file.path()).collect();
    files.retain(|path| {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        name.starts_with("model") && path.extension().is_some_and(|end| end == "safetensors")
    });
    files.sort();
    files.iter().flat_map(|path| std::fs::read(path).expect("reads")).collect()
}

#[test]
fn exactly_the_aligned_vectors_change_and_come_back() {
    for name in &FAMILIES[..CAUSAL] {
        let weights = open(&fixture(name));
        let found = find(&weights, 0.35);
        assert!(found.len() > 3, "{name}: too few to tell");
        let out = tempfile::tempdir().expect("a folder");
        let once = out.path().join("once");
        write(&weights, &found, &once).expect("writes");

        // Every vector of every part is as it was, or its negative.
        let edited = open(&once);
        let expected: BTreeSet<_> =
            found.iter().map(|one| (one.layer, one.part, one.unit)).collect();
        let mut changed = BTreeSet::new();
        let width = weights.residual_width();
        let mut numbers = 0;
        for layer in 0..weights.layers() {
            for &part in weights.parts() {
                let (before, after) = (rows(&weights, layer, part), rows(&edited, layer, part));
                for unit in 0..weights.units(part) {
                    let of = |all: &[f32]| all[unit * width..(unit + 1) * width].to_vec();
                    let (before, after) = (of(&before), of(&after));
                    if before != after {
                        let negated: Vec<f32> = before.iter().map(|v| -v).collect();
                        assert_eq!(after, negated, "{name} layer {layer} {}", part.name());
                        changed.insert((layer, part, unit));
                        numbers += width;
                    }
                }
            }
        }
        assert_eq!(changed, expected, "{name}");

        // In bytes: one bit for each of their numbers, and nothing besides.
        let (before, after) = (bytes(&fixture(name)), bytes(&once));
        let differing: Vec<u8> =
            before.iter().zip(&after).map(|(a, b)| a ^ b).filter(|bits| *bits != 0).collect();
        assert_eq!(before.len(), after.len());
        assert_eq!(differing, vec![0x80; numbers], "{name}");

        // Reversed again, every byte is back; what stands beside the weights was copied.
        let again = find(&edited, 0.35);
        let opposite: Vec<(usize, Part, usize, f64)> =
            found.iter().map(|one| (one.layer, one.part, one.unit, -one.cosine)).collect();
        let of = |one: &Aligned| (one.layer, one.part, one.unit, one.cosine);
        assert_eq!(again.iter().map(of).collect::<Vec<_>>(), opposite, "{name}");
        let twice = out.path().join("twice");
        write(&edited, &again, &twice).expect("writes");
        assert!(bytes(&twice) == before, "{name}");
        for file in ["config.json", "tokenizer.json"] {
            let read = |of: &Path| std::fs::read(of.join(file)).expect("reads");
            assert_eq!(read(&twice), read(&fixture(name)), "{name} {file}");
        }
        let manifest = Manifest::<Reversed>::read(&once, Kind::Network).expect("a manifest");
        let told = &manifest.detail.reversed;
        assert_eq!(told.len(), found.len());
        let same = |(a, b): (&Aligned, &Aligned)| {
            let places = (a.layer, a.part, a.unit) == (b.layer, b.part, b.unit);
            places && (a.cosine - b.cosine).abs() < 1e-12
        };
        assert!(told.iter().zip(&found).all(same));
        manifest.verify(&once).expect("whole");
    }
}

#[test]
fn the_edited_network_computes_with_negated_rows() {
    // One down row of the last layer: its neuron's contribution changes its sign.
    let weights = open(&fixture("gpt2"));
    let (layer, unit) = (weights.layers() - 1, 5);
    let one = Aligned { layer, part: Part::Down, unit, cosine: 1.0 };
    let out = tempfile::tempdir().expect("a folder");
    let edited = out.path().join("edited");
    write(&weights, &[one, one], &edited).expect("writes: named twice is reversed once");
    let load = |path: &Path| Language::load(path, "network", &Device::flex()).expect("loads");
    let (before, after) = (load(&fixture("gpt2")), load(&edited));
    let (_, texts) = input("gpt2");
    let (seen, edited) = (record(&before, &texts), record(&after, &texts));
    let act = values(&seen[&format!("layers.{layer}.mlp.act")]);
    let site = format!("layers.{layer}.mlp.out");
    let (out, changed) = (values(&seen[&site]), values(&edited[&site]));
    let width = before.residual_width();
    let row = &rows(&weights, layer, Part::Down)[unit * width..(unit + 1) * width];
    let hidden = weights.units(Part::Down);
    let mut largest = 0f32;
    for at in 0..out.len() {
        let expected = out[at] - 2.0 * act[at / width * hidden + unit] * row[at % width];
        largest = largest.max((changed[at] - expected).abs());
    }
    assert!(largest < 1e-5, "{largest}");
    assert!(out != changed);
}

/// A type of numbers, and how one is written.
type Written = (Dtype, fn(f32) -> Vec<u8>);

#[test]
fn planted_vectors_are_found_in_every_type_and_only_they() {
    // Into three up columns of layer 1 goes the concept's direction, into one its opposite.
    let plain = open(&fixture("gpt2"));
    let direction = concept_direction(&plain, &TOKENS).expect("a direction");
    let (width, hidden) = (plain.residual_width(), plain.units(Part::Up));
    let planted = [(3, 1f32), (40, 2.5), (63, 0.01), (17, -4.0)];
    let raw = TensorFile::open(&fixture("gpt2").join("model.safetensors")).expect("opens");
    let kinds: [Written; 2] = [
        (Dtype::F32, |v| v.to_le_bytes().to_vec()),
        (Dtype::BF16, |v| bf16::from_f32(v).to_le_bytes().to_vec()),
    ];
    for (dtype, encode) in kinds {
        let copy = changed("gpt2", |key, _| {
            let mut numbers = raw.f32s(key).expect("reads");
            if key.ends_with("h.1.mlp.c_fc.weight") {
                for (unit, scale) in planted {
                    for r in 0..width {
                        numbers[r * hidden + unit] = scale * direction[r];
                    }
                }
            }
            Some((key.to_owned(), dtype, numbers.into_iter().flat_map(encode).collect()))
        });
        let weights = open(copy.path());
        let found = find(&weights, 0.97);
        let mut expected: Vec<_> =
            planted.iter().map(|(unit, scale)| (*unit, scale.signum())).collect();
        expected.sort_by_key(|(unit, _)| *unit);
        let units: Vec<_> =
            found.iter().map(|one| (one.unit, one.cosine.signum() as f32)).collect();
        assert_eq!(units, expected, "{dtype:?}");
        assert!(found.iter().all(|one| (one.layer, one.part) == (1, Part::Up)));
        let out = copy.path().join("out");
        write(&weights, &found, &out).expect("writes");
        let (before, after) = (bytes(copy.path()), bytes(&out));
        let apart = before.iter().zip(&after).filter(|(a, b)| a != b).count();
        assert_eq!(apart, 4 * width, "{dtype:?}");
    }
}

#[test]
fn a_control_is_as_large_and_different() {
    let weights = open(&fixture("llama"));
    let found = find(&weights, 0.3);
    let direction = concept_direction(&weights, &TOKENS).expect("a direction");
    let draw = |seed| random_like(&weights, &direction, &found, seed).expect("reads");
    let control = draw(3);
    assert_eq!(control, draw(3));
    assert!(control.iter().all(|one| one.cosine.abs() < 0.3));
    let places = |of: &[Aligned]| -> BTreeSet<_> {
        of.iter().map(|one| (one.layer, one.part, one.unit)).collect()
    };
    assert!(places(&found).is_disjoint(&places(&control)));
    let counts = |of: &[Aligned], layer, part| {
        of.iter().filter(|one| (one.layer, one.part) == (layer, part)).count()
    };
    for layer in 0..weights.layers() {
        for &part in weights.parts() {
            let taken = counts(&found, layer, part);
            let left = weights.units(part) - taken;
            assert_eq!(counts(&control, layer, part), taken.min(left));
        }
    }
    assert_ne!(places(&draw(4)), places(&control));
}

#[test]
fn what_cannot_be_reversed_is_told() {
    let weights = open(&fixture("gpt2"));
    let quiet = Progress::silent();
    let direction = concept_direction(&weights, &TOKENS).expect("a direction");
    let find = |settings: Reverse, direction: &[f32]| settings.find(&weights, direction, &quiet);
    for threshold in [0.0, -0.5, 1.01, f64::NAN] {
        let settings = Reverse { threshold, ..Reverse::default() };
        assert!(find(settings, &direction).is_err(), "{threshold}");
    }
    let base = Reverse::default;
    assert!(find(Reverse { parts: vec![Part::Gate], ..base() }, &direction).is_err());
    assert!(find(Reverse { layers: vec![99], ..base() }, &direction).is_err());
    assert!(find(base(), &direction[1..]).is_err());
    assert!(find(base(), &vec![0.0; direction.len()]).is_err());
    assert!(find(base(), &vec![f32::NAN; direction.len()]).is_err());
    let only = Reverse { threshold: 0.01, parts: vec![Part::Down], layers: vec![1] };
    let only = find(only, &direction).expect("reads");
    assert!(!only.is_empty() && only.iter().all(|one| (one.layer, one.part) == (1, Part::Down)));
    assert!(concept_direction(&weights, &[]).is_err());
    assert!(concept_direction(&weights, &[80]).is_err());
    let mut table = vec![0.0; weights.residual_width()];
    weights.read_tokens(TokenTable::Head, 7..8, &mut table).expect("reads");
    let single = concept_direction(&weights, &[7, 7]).expect("one token");
    let length = |of: &[f32]| of.iter().map(|v| v * v).sum::<f32>().sqrt();
    assert!((length(&single) - 1.0).abs() < 1e-5, "a token named twice counts once");

    let out = tempfile::tempdir().expect("a folder");
    let far = Aligned { layer: 0, part: Part::Up, unit: 9999, cosine: 1.0 };
    assert!(write(&weights, &[far], &out.path().join("a")).is_err());
    let own = write(&weights, &[], &fixture("gpt2")).expect_err("its own folder");
    assert!(own.to_string().contains("own folder"), "{own}");
    let pickle = open(&folder().join("lens/lens.pt"));
    let refused = write(&pickle, &[], &out.path().join("b")).expect_err("a pickle");
    assert!(refused.to_string().contains("PyTorch"), "{refused}");
    let stopped = Progress::silent();
    stopped.interrupt();
    let error = base().find(&weights, &direction, &stopped).expect_err("interrupted");
    assert!(matches!(error, Error::Interrupted { .. }));
}
