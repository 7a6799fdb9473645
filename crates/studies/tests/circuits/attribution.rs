//! Attribution graphs of planted circuits: the chain is kept and carries the most, effects add up.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::Device;
use nissl_core::Progress;
use nissl_core::network::{LanguageNetwork, TokenBatch};
use nissl_core::seed::rng;
use nissl_core::taps::Taps;
use nissl_networks::language::Language;
use nissl_networks::weights::CheckpointWeights;
use nissl_trace::attribution::{Attributed, Attribution, FrozenPrompt, Node, attribute};
use nissl_trace::frozen::{
    FeatureSite, Freeze, FrozenRun, Replaced, STRONGEST, Wiring, frozen_neurons, neurons,
};
use nissl_worlds::planted_circuit::{Chain, PlantedCircuit};
use rand::seq::SliceRandom;

use crate::{open, transcoder};

/// The graph of the chain's prompt, with the true features or those that `change` makes of them.
fn graph(seed: u64, change: impl Fn(&mut Replaced)) -> (Attributed, Chain) {
    let planted = PlantedCircuit { seed, ..PlantedCircuit::default() }.plant().expect("plants");
    let folder = tempfile::tempdir().expect("a folder");
    planted.save(folder.path()).expect("saves");
    let network = Language::load(folder.path(), "planted", &Device::flex()).expect("loads");
    let weights = CheckpointWeights::open(folder.path()).expect("opens");
    let mut features: Vec<Replaced> =
        (0..2).map(|layer| neurons(&weights, layer).expect("relu")).collect();
    features.iter_mut().for_each(change);
    let wiring = Wiring::new(&weights, features).expect("fits");
    let freeze = Freeze { force: true, ..Freeze::default() };
    let run = FrozenRun::new(&wiring, &network, &planted.chain.prompt, &freeze).expect("runs");
    let prompt = FrozenPrompt::new(&run, &Progress::silent()).expect("frozen");
    let found = attribute(&prompt, &Attribution::default(), &Progress::silent()).expect("traces");
    (found, planted.chain)
}

/// The places of the chain's two features, where they are active.
fn chained(found: &Attributed, chain: &Chain) -> [Option<usize>; 2] {
    [0, 1].map(|at| {
        found.graph.nodes().iter().position(|node| {
            matches!(*node, Node::Feature { layer, position, feature, .. }
                if layer == at && position == chain.target && feature == chain.features[at] as usize)
        })
    })
}

/// Whether the chain is kept from its token to its logit.
fn is_kept(found: &Attributed, chain: &Chain) -> bool {
    let [Some(low), Some(high)] = chained(found, chain) else { return false };
    let nodes = found.graph.nodes();
    let place = |wanted: &dyn Fn(&Node) -> bool| nodes.iter().position(wanted);
    let token =
        place(&|node| matches!(*node, Node::Token { position, .. } if position == chain.source));
    let logit = place(&|node| matches!(*node, Node::Logit { token, .. } if token == chain.logit));
    let (Some(token), Some(logit)) = (token, logit) else { return false };
    [(low, token), (high, low), (logit, high)].iter().all(|edge| found.pruned.edges.contains(edge))
}

/// How many features of a layer carry more influence than the chain's.
fn before(found: &Attributed, chain: &Chain, layer: usize) -> usize {
    let Some(place) = chained(found, chain)[layer] else { return usize::MAX };
    let influence = &found.pruned.influence;
    let others = found.graph.nodes().iter().zip(influence).filter(|(node, other)| {
        matches!(**node, Node::Feature { layer: at, .. } if at == layer)
            && **other > influence[place]
    });
    others.count()
}

#[test]
fn the_planted_chain_is_kept_and_carries_the_most() {
    for seed in 0..10 {
        let (found, chain) = graph(seed, |_| ());
        let completeness = &found.completeness;
        assert!(completeness.worst < 1e-5, "seed {seed}: {completeness:?}");
        // The MLPs are their own transcoders.
        assert!(completeness.errors < 1e-4, "seed {seed}: {completeness:?}");
        assert!(is_kept(&found, &chain), "seed {seed}");
        assert_eq!([0, 1].map(|layer| before(&found, &chain, layer)), [0, 0], "seed {seed}");
        assert!(found.pruned.nodes() < found.graph.nodes().len());
    }
}

#[test]
fn a_shuffled_dictionary_loses_the_chain() {
    let lost = (0..10).filter(|&seed| {
        let (found, chain) = graph(seed, |features| {
            // What features write is dealt out anew: each writes what another wrote.
            let dictionary = Arc::make_mut(&mut features.dictionary);
            let written = dictionary.output_decoder.as_mut().expect("it writes");
            let mut order: Vec<usize> = (0..written.nrows()).collect();
            order.shuffle(&mut rng(seed, features.layer as u64));
            *written = written.select(ndarray::Axis(0), &order);
        });
        // Errors make up for it, and the sums stay complete.
        assert!(found.completeness.worst < 1e-4, "{:?}", found.completeness);
        assert!(found.completeness.errors > 0.1, "{:?}", found.completeness);
        let first = [0, 1].map(|layer| before(&found, &chain, layer)) == [0, 0];
        !(is_kept(&found, &chain) && first)
    });
    assert!(lost.count() >= 9);
}

#[test]
fn effects_add_up_in_every_family_with_transcoders_that_explain_nothing() {
    for family in crate::FAMILIES {
        let (network, weights) = open(family);
        let width = network.residual_width();
        let layers = network.layers();
        let features = (0..layers).map(|layer| transcoder(layer, width, 3)).collect();
        let wiring = Wiring::new(&weights, features).expect("fits");
        let freeze = Freeze { force: true, ..Freeze::default() };
        let run = FrozenRun::new(&wiring, &network, &[5, 9, 3, 17, 4], &freeze).expect("runs");
        let prompt = FrozenPrompt::new(&run, &Progress::silent()).expect("frozen");
        let settings = Attribution { batch: 7, ..Attribution::default() };
        let found = attribute(&prompt, &settings, &Progress::silent()).expect("traces");
        assert!(found.completeness.worst < 1e-4, "{family}: {:?}", found.completeness);
        assert!(found.completeness.targets > 5 * layers, "{family}");
    }
}

/// The planted circuit with neurons of another non-linearity, and what its MLPs are in `mlp.pre` and
/// `mlp.act` on the prompt.
fn smooth(seed: u64) -> (Language, CheckpointWeights, Chain) {
    let mut planted = PlantedCircuit { seed, ..PlantedCircuit::default() }.plant().expect("plants");
    planted.config["act_fn"] = "gelu_new".into();
    let folder = tempfile::tempdir().expect("a folder");
    planted.save(folder.path()).expect("saves");
    let network = Language::load(folder.path(), "smooth", &Device::flex()).expect("loads");
    (network, CheckpointWeights::open(folder.path()).expect("opens"), planted.chain)
}

#[test]
fn neurons_of_any_non_linearity_are_nodes_and_the_weak_ones_are_told_as_unexplained() {
    let (network, weights, chain) = smooth(1);
    assert!(neurons(&weights, 0).is_err(), "they are not their own transcoder");
    let features = (0..2).map(|layer| frozen_neurons(&weights, layer).expect("no gate")).collect();
    let wiring = Wiring::new(&weights, features).expect("fits");
    let run = FrozenRun::new(&wiring, &network, &chain.prompt, &Freeze::default()).expect("runs");
    // What a node reads and writes is what the network's neuron does.
    let seen = RefCell::new(BTreeMap::new());
    let mut taps = Taps::none();
    for part in ["mlp.pre", "mlp.act"] {
        let glob = format!("layers.*.{part}").parse().expect("a glob");
        taps = taps.read(glob, |name, tensor| {
            let values: Vec<f32> = tensor.clone().into_data().try_to_vec().expect("numbers");
            seen.borrow_mut().insert(name.to_owned(), values);
        });
    }
    let batch = TokenBatch::new(&[&chain.prompt]).expect("a prompt");
    network.forward(&batch, &mut taps).expect("runs");
    drop(taps);
    let seen = seen.into_inner();
    let at = |part: &str, site: &FeatureSite| {
        let values = &seen[&format!("layers.{}.{part}", site.layer)];
        f64::from(values[site.position * 96 + site.feature as usize])
    };
    let active = run.active_features();
    assert_eq!(active.len(), 2 * chain.prompt.len() * STRONGEST);
    let targets: Vec<_> = active
        .iter()
        .map(|site| run.feature(site.layer, site.position, site.feature as usize).expect("there"))
        .collect();
    for (site, found) in active.iter().zip(run.contributions(&targets)) {
        assert!((f64::from(site.activation) - at("mlp.act", site)).abs() < 1e-5, "{site:?}");
        let truth = at("mlp.pre", site);
        assert!((found.sum() - truth).abs() < 1e-4 * truth.abs().max(1.0), "{site:?} {truth}");
    }
    // The rest is small, and the whole is complete.
    assert!(run.unexplained().values().all(|&share| share > 0.0 && share < 0.1));
    let prompt = FrozenPrompt::new(&run, &Progress::silent()).expect("frozen");
    let found = attribute(&prompt, &Attribution::default(), &Progress::silent()).expect("traces");
    assert!(found.completeness.worst < 1e-4, "{:?}", found.completeness);
    assert!(found.completeness.errors > 0.0, "{:?}", found.completeness);
    // Paths through such neurons would need the ratio of what they write to what they read.
    let high = run.feature(1, chain.target, chain.features[1] as usize).expect("there");
    let error = run.through_feature(&high, 0, 17).expect_err("refused").to_string();
    assert!(error.contains("transcoders"), "{error}");
    let (_, gated) = open("llama");
    let error = frozen_neurons(&gated, 0).expect_err("refused").to_string();
    assert!(error.contains("gated"), "{error}");
}
