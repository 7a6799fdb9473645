//! Study A and the class of B for Davies 2025, arXiv:2501.02688: tokens planted in weights come out.

use nissl_core::Progress;
use nissl_core::network::Part;
use nissl_core::store::{Existing, Provenance};
use nissl_explain::lm_head::{
    By, Centre, Class, HeadMap, LmHead, Search, Warning, class_for, coverage, decode_to, search,
    search_map,
};
use rand::seq::SliceRandom;

use crate::planted_head::PlantedHead;
use crate::support::{decoded, planted, share, unit, weights_of};

const SEEDS: std::ops::Range<u64> = 0..3;

#[test]
fn every_planted_token_is_its_units_first_and_a_shuffled_head_tells_nothing() {
    for seed in SEEDS {
        for strength in [2.0, 4.0, 8.0] {
            let settings = PlantedHead { strength, seed, ..PlantedHead::default() };
            let (weights, mut truth) = planted(&settings);
            let (all, _) = decoded(&weights, &LmHead::default());
            assert_eq!(all.len(), 4096);
            let recall = share(&truth.planted, |one| {
                unit(&all, Part::Up, one.layer, one.neuron).first() == Some(one.reads as u32)
            });
            assert!(recall >= 1.0, "seed {seed}, a = {strength}: {recall}");

            let mut order: Vec<usize> = (0..512).collect();
            order.shuffle(&mut nissl_core::seed::rng(seed, 5));
            truth.head = truth.head.select(ndarray::Axis(0), &order);
            let (all, _) = decoded(&weights_of(&truth), &LmHead::default());
            let chance = share(&truth.planted, |one| {
                unit(&all, Part::Up, one.layer, one.neuron).first() == Some(one.reads as u32)
            });
            assert!(chance <= 0.02, "seed {seed}, a = {strength}: {chance} with a shuffled head");
        }
    }
}

#[test]
fn specialised_are_the_planted_units_and_no_others() {
    for seed in SEEDS {
        let (weights, truth) = planted(&PlantedHead { seed, ..PlantedHead::default() });
        let (all, _) = decoded(&weights, &LmHead::default());
        let is_planted = |layer: u32, neuron: u32| {
            truth
                .planted
                .iter()
                .any(|one| (one.layer, one.neuron) == (layer as usize, neuron as usize))
        };
        let (planted, background): (Vec<_>, Vec<_>) =
            all.iter().partition(|one| is_planted(one.layer, one.unit));
        let recall = share(&planted, |one| one.probability() >= 0.1);
        assert!(recall >= 0.98, "seed {seed}: {recall}");
        let noise = truth.noise_row.expect("a row of noise");
        let called: Vec<_> = background
            .iter()
            .filter(|one| (one.layer as usize, one.unit as usize) != noise)
            .filter(|one| one.probability() >= 0.1)
            .collect();
        assert!(called.is_empty(), "seed {seed}: {called:?}");
        let found = coverage([Ok(all.clone())], 512, &LmHead::default()).expect("covers");
        let special: u64 = found.layers.iter().map(|layer| layer.special).sum();
        assert!((196..=201).contains(&special), "{special}");
        assert_eq!(found.layers.iter().map(|layer| layer.units).sum::<u64>(), 4096);
        let binned: u64 = found.layers.iter().flat_map(|layer| &layer.entropies).sum();
        assert_eq!(binned, 4096);
    }
}

#[test]
fn a_search_by_token_puts_the_planted_neuron_first() {
    for seed in SEEDS {
        let (weights, truth) =
            planted(&PlantedHead { seed, strength: 4.0, noise_row: 0.0, ..PlantedHead::default() });
        for by in [By::Z, By::Probability] {
            let some = if by == By::Z { &truth.planted[..] } else { &truth.planted[..20] };
            let first = share(some, |one| {
                let options = Search { by, hits: 3 };
                let tokens = [one.reads as u32];
                let hits =
                    search(&weights, &LmHead::default(), &tokens, &options, &Progress::silent())
                        .expect("finds");
                (hits[0].layer as usize, hits[0].unit as usize) == (one.layer, one.neuron)
            });
            assert!(first >= 0.99, "seed {seed}, {by:?}: {first}");
        }
    }
}

#[test]
fn what_all_rows_share_hides_their_tokens_until_it_is_taken_off() {
    for seed in SEEDS {
        let settings = PlantedHead { seed, strength: 4.0, common: 12.0, ..PlantedHead::default() };
        let (weights, truth) = planted(&settings);
        let recall = |settings: &LmHead| {
            let (all, warnings) = decoded(&weights, settings);
            let right = share(&truth.planted, |one| {
                unit(&all, Part::Up, one.layer, one.neuron).first() == Some(one.reads as u32)
            });
            (right, warnings)
        };
        let (raw, warnings) = recall(&LmHead::default());
        assert!(raw <= 0.5, "seed {seed}: {raw}");
        let warned = warnings
            .iter()
            .any(|one| matches!(one, Warning::CommonToken { share, .. } if *share > 0.2));
        assert!(warned, "seed {seed}: {warnings:?}");
        let (centred, warnings) = recall(&LmHead { centre: Centre::Rows, ..LmHead::default() });
        assert!(centred >= 0.98, "seed {seed}: {centred}");
        assert!(warnings.is_empty(), "seed {seed}: {warnings:?}");
        // The mean over tokens is the same for all tokens of a unit and takes nothing off.
        let (tokens, _) = recall(&LmHead { centre: Centre::Tokens, ..LmHead::default() });
        assert!((tokens - raw).abs() < 0.02, "seed {seed}: {tokens}, {raw}");
    }
}

#[test]
fn the_recommended_preset_calls_no_background_and_no_noise() {
    for seed in SEEDS {
        let (weights, truth) =
            planted(&PlantedHead { seed, strength: 4.0, ..PlantedHead::default() });
        let settings = LmHead { recommended: true, least_z: Some(5.5), ..LmHead::default() };
        let (all, _) = decoded(&weights, &settings);
        let recall =
            share(&truth.planted, |one| unit(&all, Part::Up, one.layer, one.neuron).z >= 5.5);
        assert!(recall >= 0.95, "seed {seed}: {recall}");
        let (layer, neuron) = truth.noise_row.expect("a row of noise");
        let noise = unit(&all, Part::Up, layer, neuron);
        assert!(!settings.is_special(noise.probability(), noise.z), "seed {seed}: {noise:?}");
        let called = all.iter().filter(|one| settings.is_special(one.probability(), one.z)).count();
        let right = (recall * 200.0).round() as usize;
        assert_eq!(called, right, "seed {seed}: background was called");
    }
}

#[test]
fn classes_tell_what_a_neuron_reads_and_what_it_writes() {
    let folder = tempfile::tempdir().expect("a folder");
    for seed in SEEDS {
        let (weights, truth) = planted(&PlantedHead { seed, ..PlantedHead::default() });
        let settings =
            LmHead { parts: vec![Part::Up, Part::Gate, Part::Down], ..LmHead::default() };
        let path = folder.path().join(seed.to_string());
        let target = (path.as_path(), Existing::Refuse);
        let map =
            decode_to(&weights, &settings, target, Provenance::default(), &Progress::silent())
                .expect("decodes");
        let mut all = Vec::new();
        for group in map.units().expect("opens") {
            all.extend(group.expect("reads"));
        }
        assert_eq!(all.len(), 3 * 4096);
        let right = share(&truth.planted, |one| {
            let class = match one.writes {
                None => Class::Reads,
                Some(token) if token == one.reads => Class::Both,
                Some(_) => Class::Differs,
            };
            unit(&all, Part::Down, one.layer, one.neuron).class == Some(class)
        });
        assert!(right >= 0.95, "seed {seed}: {right}");
        for one in truth.planted.iter().filter(|one| one.writes.is_some_and(|w| w != one.reads)) {
            let rows: Vec<_> = all
                .iter()
                .filter(|row| (row.layer as usize, row.unit as usize) == (one.layer, one.neuron))
                .collect();
            let written = one.writes.expect("writes") as u32;
            assert_eq!(class_for(&rows, &[one.reads as u32], &settings), Class::Reads);
            assert_eq!(class_for(&rows, &[written], &settings), Class::Writes);
        }
        let told = coverage(map.units().expect("opens"), 512, &settings).expect("covers");
        assert_eq!(told.classes.values().sum::<u64>(), 4096);
        assert!(told.classes[&Class::Neither] >= 3890, "{:?}", told.classes);
        // A stored map knows the normalisers, and so the probabilities without another pass.
        let tokens = [truth.planted[0].reads as u32, truth.planted[1].reads as u32];
        let options = Search { by: By::Probability, hits: 10 };
        let stored = search_map(&weights, &map, &tokens, &options, &Progress::silent());
        let scanned = search(&weights, &settings, &tokens, &options, &Progress::silent());
        for (a, b) in stored.expect("finds").iter().zip(&scanned.expect("finds")) {
            assert_eq!((a.layer, a.part, a.unit), (b.layer, b.part, b.unit));
            // The map keeps probabilities and logits as f32.
            assert!((a.score - b.score).abs() < 1e-5, "{} {}", a.score, b.score);
        }
        assert!(HeadMap::open(&path).expect("opens").manifest().detail.special >= 240);
    }
}
