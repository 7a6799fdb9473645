//! Dashboards of a planted circuit: from the weights alone each feature names its cause and its effect.

use std::path::Path;
use std::sync::Arc;

use nissl_core::features::{Dictionary, Features, FeaturesPlan, FeaturesWriter};
use nissl_core::network::{Half, ResidualWeights, TokenTable};
use nissl_core::store::{Existing, Provenance};
use nissl_core::{Column, Progress, Table};
use nissl_explain::dashboard::{Dashboard, Dashboards, Sources, make};
use nissl_networks::language::Language;
use nissl_networks::weights::CheckpointWeights;
use nissl_trace::frozen::neurons;
use nissl_worlds::planted_circuit::{Chain, CircuitNorms};

struct World {
    _folder: tempfile::TempDir,
    network: Language,
    weights: CheckpointWeights,
    chain: Chain,
    /// The features of both layers.
    features: [Features; 2],
}

/// A feature that the planted chain does not use, and the token that it is made to read.
const MADE: (usize, u32) = (3, 11);

fn world(seed: u64, norms: CircuitNorms) -> World {
    let (folder, network, weights, chain) = crate::planted::network(seed, norms);
    let features = [0, 1].map(|layer| {
        let replaced = neurons(&weights, layer).expect("relu");
        let mut dictionary = Arc::unwrap_or_clone(replaced.dictionary);
        if layer == 0 {
            read_token(&mut dictionary, &weights);
        }
        stored(&folder.path().join(format!("f{layer}")), layer, dictionary)
    });
    World { _folder: folder, network, weights, chain, features }
}

fn embedding(weights: &CheckpointWeights, token: u32) -> Vec<f32> {
    let mut row = vec![0.0; weights.residual_width()];
    let token = token as usize;
    weights.read_tokens(TokenTable::Embed, token..token + 1, &mut row).expect("reads");
    row
}

fn gain(weights: &CheckpointWeights) -> Vec<f32> {
    let norm = weights.norm_before(0, Half::Mlp).expect("a norm");
    norm.gain.unwrap_or_else(|| vec![1.0; weights.residual_width()])
}

/// Has a feature read the embedding of a token, whatever the norm before it multiplies by.
fn read_token(dictionary: &mut Dictionary, weights: &CheckpointWeights) {
    let gain = gain(weights);
    let row = embedding(weights, MADE.1);
    for (unit, (value, gain)) in row.iter().zip(&gain).enumerate() {
        dictionary.decoder[[MADE.0, unit]] = value / gain;
    }
}

fn stored(folder: &Path, layer: usize, dictionary: Dictionary) -> Features {
    let table = |part: &str, units: usize| {
        let numbers: Vec<u32> = (0..units as u32).collect();
        Table::new()
            .with("unit", Column::U32(numbers.clone()))
            .with("site", Column::Text(vec![format!("layers.{layer}.{part}"); units]))
            .with("index", Column::U32(numbers))
    };
    let (units, outputs) = (dictionary.units(), dictionary.output_units());
    let provenance = Provenance::here(&"test", 0, "cpu");
    let method = serde_json::json!({"method": "transcoder"});
    let mut plan = FeaturesPlan::new(table("mlp.in", units), method, provenance);
    plan.output_units = Some(table("mlp.out", outputs));
    FeaturesWriter::create(folder, &plan, Existing::Refuse, || Ok(dictionary))
        .and_then(FeaturesWriter::finish_dictionary)
        .expect("writes")
}

fn dashboards(world: &World, layer: usize, numbers: &[usize]) -> Vec<Dashboard> {
    let others = [world.features[1 - layer].clone()];
    let sources = Sources {
        recording: None,
        network: Some(&world.network),
        weights: Some(&world.weights),
        others: &others,
    };
    let settings = Dashboards { links: 5, tokens: 4, ..Dashboards::default() };
    let features = &world.features[layer];
    make(features, numbers, &sources, &settings, &Progress::silent()).expect("makes")
}

#[test]
fn the_chain_s_features_name_each_other_and_the_logit_that_they_raise() {
    for seed in 0..4 {
        for norms in [CircuitNorms::Layer, CircuitNorms::Absent] {
            let world = world(seed, norms);
            let [low, high] = world.chain.features.map(|feature| feature as usize);
            let first = dashboards(&world, 0, &[low]).remove(0);
            let link = &first.drives[0];
            assert_eq!((link.feature, link.site.as_str()), (high, "layers.1.mlp.in"), "{first:?}");
            assert!(first.driven_by.is_empty(), "nothing comes before it");
            let last = dashboards(&world, 1, &[high]).remove(0);
            let link = &last.driven_by[0];
            assert_eq!((link.feature, link.site.as_str()), (low, "layers.0.mlp.out"), "{last:?}");
            // It is one and the same connection, told from both ends.
            assert!((link.weight - first.drives[0].weight).abs() < 1e-5 * link.weight.abs());
            assert!(last.drives.is_empty(), "nothing comes after it");
            assert_eq!(last.promotes[0].0, world.chain.logit.to_string(), "{last:?}");
            // A control: a feature beside the chain does neither.
            let beside = dashboards(&world, 0, &[low + 1]).remove(0);
            assert!(beside.drives[0].weight.abs() < 0.7 * first.drives[0].weight.abs());
        }
    }
}

#[test]
fn a_connection_is_the_product_of_what_is_written_and_what_is_read_through_the_norm() {
    let world = world(1, CircuitNorms::Layer);
    let low = world.chain.features[0] as usize;
    let found = dashboards(&world, 0, &[low]).remove(0);
    let norm = world.weights.norm_before(1, Half::Mlp).expect("a norm");
    let gain = norm.gain.expect("a gain");
    assert!(norm.centres);
    let written = world.features[0].dictionary().written();
    for link in &found.drives {
        let read = world.features[1].dictionary().decoder.row(link.feature).to_vec();
        let mut read: Vec<f32> = read.iter().zip(&gain).map(|(w, g)| w * g).collect();
        let mean = read.iter().sum::<f32>() / read.len() as f32;
        for value in &mut read {
            *value -= mean;
        }
        let product: f32 = written.row(low).iter().zip(&read).map(|(a, b)| a * b).sum();
        assert!((product - link.weight).abs() < 1e-4, "{product} {link:?}");
    }
}

#[test]
fn a_feature_that_reads_a_token_is_shown_with_it_first() {
    for seed in 0..4 {
        let world = world(seed, CircuitNorms::Layer);
        let found = dashboards(&world, 0, &[MADE.0]).remove(0);
        let (token, strength) = &found.reads[0];
        assert_eq!(*token, MADE.1.to_string(), "seed {seed}: {:?}", found.reads);
        // What the norm takes off is the mean: E · (E − mean E).
        let row = embedding(&world.weights, MADE.1);
        let mean = row.iter().sum::<f32>() / row.len() as f32;
        let truth: f32 = row.iter().map(|value| value * (value - mean)).sum();
        assert!((strength - truth).abs() < 1e-3 * truth.abs(), "{strength} {truth}");
        assert!(found.reads.windows(2).all(|pair| pair[0].1 >= pair[1].1));
    }
}
