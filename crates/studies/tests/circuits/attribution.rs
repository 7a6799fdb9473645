//! Attribution graphs of planted circuits: the chain is kept and carries the most, effects add up.

use std::sync::Arc;

use burn::tensor::Device;
use nissl_core::Progress;
use nissl_core::seed::rng;
use nissl_networks::language::Language;
use nissl_networks::weights::CheckpointWeights;
use nissl_trace::attribution::{Attributed, Attribution, FrozenPrompt, Node, attribute};
use nissl_trace::frozen::{Freeze, FrozenRun, Replaced, Wiring, neurons};
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
        let width = nissl_core::network::LanguageNetwork::residual_width(&network);
        let layers = nissl_core::network::LanguageNetwork::layers(&network);
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
