//! A planted chain: found first, complete, and worth what cutting it costs.

use burn::tensor::Device;
use nissl_core::graph::AttributionMetadata;
use nissl_core::network::{LanguageNetwork, ResidualWeights, TokenBatch};
use nissl_core::taps::{Change, Edit, Positions, Selection, Taps};
use nissl_core::{Progress, SiteGlob};
use nissl_networks::language::Language;
use nissl_networks::weights::CheckpointWeights;
use nissl_trace::frozen::{Freeze, FrozenRun, NormTreatment, Replaced, Wiring, neurons};
use nissl_trace::transcoder_paths::{Caution, Component, Merge, Start, TranscoderPaths, Worth};
use nissl_worlds::planted_circuit::{Chain, CircuitNorms, PlantedCircuit};

struct World {
    network: Language,
    weights: CheckpointWeights,
    chain: Chain,
}

/// The planted network in a folder of its own, and its matrices.
pub(crate) fn network(
    seed: u64,
    norms: CircuitNorms,
) -> (tempfile::TempDir, Language, CheckpointWeights, Chain) {
    let planted = PlantedCircuit { seed, norms, ..PlantedCircuit::default() };
    let planted = planted.plant().expect("plants");
    let folder = tempfile::tempdir().expect("a folder");
    planted.save(folder.path()).expect("saves");
    let network = Language::load(folder.path(), "planted", &Device::flex()).expect("loads");
    let weights = CheckpointWeights::open(folder.path()).expect("opens");
    (folder, network, weights, planted.chain)
}

fn world(seed: u64, norms: CircuitNorms) -> World {
    let (_folder, network, weights, chain) = network(seed, norms);
    World { network, weights, chain }
}

fn both(weights: &CheckpointWeights) -> Vec<Replaced> {
    (0..weights.layers()).map(|layer| neurons(weights, layer).expect("relu")).collect()
}

fn start(chain: &Chain) -> Start {
    Start::Feature { layer: 1, feature: chain.features[1], position: chain.target }
}

/// Feature of layer 0, head, token: what the search must find first.
fn planted(chain: &Chain) -> [(Component, usize); 3] {
    [
        (Component::Feature { layer: 0, feature: chain.features[0] }, chain.target),
        (Component::Head { layer: 0, head: chain.head }, chain.source),
        (Component::Token, chain.source),
    ]
}

#[test]
fn every_active_feature_is_complete_and_few_are_active() {
    for seed in 0..5 {
        let World { network, weights, chain } = world(seed, CircuitNorms::Layer);
        let wiring = Wiring::new(&weights, both(&weights)).expect("fits");
        for norms in [NormTreatment::Frozen, NormTreatment::Ratio] {
            let freeze = Freeze { norms, force: false };
            let run = FrozenRun::new(&wiring, &network, &chain.prompt, &freeze).expect("runs");
            let active = run.active_features();
            let share = active.len() as f64 / (2 * 96 * chain.prompt.len()) as f64;
            assert!((0.02..0.08).contains(&share), "{share} of features active");
            let targets: Vec<_> = active
                .iter()
                .map(|at| run.feature(at.layer, at.position, at.feature as usize).expect("there"))
                .collect();
            for (site, found) in active.iter().zip(run.contributions(&targets)) {
                let truth = f64::from(site.activation);
                let largest = found.features.iter().flatten().map(|(_, term)| term.abs());
                let size = largest.fold(truth, f64::max).max(found.bias().abs());
                assert!((found.sum() - truth).abs() < 1e-5 * size, "{site:?}");
                // The MLPs are their own transcoders: nothing is left unexplained.
                assert!(found.unexplained() < 1e-5, "{site:?}: {}", found.unexplained());
            }
        }
    }
}

#[test]
fn an_imperfect_copy_leaves_exactly_what_it_misses() {
    let World { network, weights, chain } = world(2, CircuitNorms::Layer);
    let mut copies = both(&weights);
    for copy in &mut copies {
        let dictionary = std::sync::Arc::make_mut(&mut copy.dictionary);
        let decoder = dictionary.output_decoder.as_mut().expect("it writes");
        for ((feature, unit), value) in decoder.indexed_iter_mut() {
            *value *= 0.7 + 0.05 * ((feature * 7 + unit * 3) % 11) as f32;
        }
    }
    let true_wiring = Wiring::new(&weights, both(&weights)).expect("fits");
    let wiring = Wiring::new(&weights, copies).expect("fits");
    let freeze = Freeze::default();
    let truth = FrozenRun::new(&true_wiring, &network, &chain.prompt, &freeze).expect("runs");
    let run = FrozenRun::new(&wiring, &network, &chain.prompt, &freeze).expect("runs");
    let feature = chain.features[1] as usize;
    let target = run.feature(1, chain.target, feature).expect("there");
    let found = &run.contributions(std::slice::from_ref(&target))[0];
    // v · (MLP − ŷ) is what the true features give more than the copies.
    let whole = &truth.contributions(std::slice::from_ref(&target))[0];
    let sum = |features: &[(u32, f64)]| features.iter().map(|(_, value)| value).sum::<f64>();
    let missed = sum(&whole.features[0]) - sum(&found.features[0]);
    assert!(missed.abs() > 0.1, "the copy is imperfect: {missed}");
    assert!((found.errors[0] - missed).abs() < 1e-6, "{} {missed}", found.errors[0]);
    assert!(found.gap() < 1e-5);
}

#[test]
fn the_planted_chain_is_first_on_every_seed() {
    for seed in 0..20 {
        let World { network, weights, chain } = world(seed, CircuitNorms::Layer);
        let wiring = Wiring::new(&weights, both(&weights)).expect("fits");
        for norms in [NormTreatment::Frozen, NormTreatment::Ratio] {
            let freeze = Freeze { norms, force: false };
            let run = FrozenRun::new(&wiring, &network, &chain.prompt, &freeze).expect("runs");
            let search = TranscoderPaths { beam: 10, iterations: 3, ..TranscoderPaths::default() };
            let traced = search.run(&run, &start(&chain), &Progress::silent()).expect("runs");
            let first = traced.of_length(3).next().expect("a path of three steps");
            let found: Vec<_> =
                first.steps[1..].iter().map(nissl_trace::transcoder_paths::Step::place).collect();
            assert_eq!(found, planted(&chain), "seed {seed} {norms:?}: {first:?}");
            assert!(traced.completeness.gap < 1e-5, "{:?}", traced.completeness);

            // From the logit, one step more.
            let search = TranscoderPaths { iterations: 4, ..search };
            let logit = Start::Logits { tokens: vec![(chain.logit, 1.0)], position: chain.target };
            let traced = search.run(&run, &logit, &Progress::silent()).expect("runs");
            let first = traced.of_length(4).next().expect("a path of four steps");
            let found: Vec<_> =
                first.steps[2..].iter().map(nissl_trace::transcoder_paths::Step::place).collect();
            assert_eq!(found, planted(&chain), "seed {seed} from the logit: {first:?}");
        }
    }
}

/// The activation of the chain's second feature, with the first one held at 0 or not.
fn second(world: &World, ablated: bool) -> f64 {
    let chain = &world.chain;
    let glob = |site: &str| site.parse::<SiteGlob>().expect("a site");
    let mut seen = Vec::new();
    let mut taps = Taps::none();
    if ablated {
        let selection = Selection {
            samples: None,
            positions: Positions::These(vec![chain.target]),
            units: Some(vec![chain.features[0] as usize]),
        };
        taps = taps.edit(Edit::new(glob("layers.0.mlp.act"), Change::Set(0.0)).on(selection));
    }
    let mut taps = taps.read(glob("layers.1.mlp.act"), |_, x| {
        seen = x.clone().into_data().try_to_vec::<f32>().expect("f32");
    });
    let batch = TokenBatch::new(&[&chain.prompt]).expect("a batch");
    world.network.forward(&batch, &mut taps).expect("runs");
    drop(taps);
    f64::from(seen[chain.target * 96 + chain.features[1] as usize])
}

#[test]
fn taking_a_feature_out_costs_its_zero_ablation_attribution() {
    let mut capped = 0;
    for seed in 0..10 {
        let world = world(seed, CircuitNorms::Absent);
        let wiring = Wiring::new(&world.weights, both(&world.weights)).expect("fits");
        let run = FrozenRun::new(&wiring, &world.network, &world.chain.prompt, &Freeze::default());
        let run = run.expect("runs");
        let search = |worth| {
            let search = TranscoderPaths { worth, iterations: 1, ..TranscoderPaths::default() };
            let traced = search.run(&run, &start(&world.chain), &Progress::silent());
            let traced = traced.expect("runs");
            let place = planted(&world.chain)[0];
            let step = traced.paths.iter().map(|path| path.steps[1]);
            step.into_iter().find(|step| step.place() == place).expect("found").contribution
        };
        let cost = second(&world, false) - second(&world, true);
        let found = search(Worth::ZeroAblation);
        assert!((found - cost).abs() < 1e-5 * cost.max(1.0), "seed {seed}: {found} {cost}");
        if search(Worth::Raw) > cost + 0.1 {
            capped += 1;
        }
    }
    assert!(capped > 5, "raw attribution is too much on {capped} of 10 seeds");
}

#[test]
fn filters_bar_steps_and_signed_mode_finds_what_holds_back() {
    let World { network, weights, chain } = world(1, CircuitNorms::Layer);
    let wiring = Wiring::new(&weights, both(&weights)).expect("fits");
    let run = FrozenRun::new(&wiring, &network, &chain.prompt, &Freeze::default()).expect("runs");
    let usual = TranscoderPaths::default();
    let trace = |search: &TranscoderPaths| {
        search.run(&run, &start(&chain), &Progress::silent()).expect("runs")
    };
    let barred = format!("feature!={}", chain.features[0]).parse().expect("a filter");
    let traced = trace(&TranscoderPaths { filters: vec![barred], ..usual.clone() });
    assert!(!traced.paths.is_empty());
    let chained = planted(&chain)[0];
    assert!(traced.paths.iter().all(|path| path.steps.iter().all(|one| one.place() != chained)));

    let plain = trace(&usual);
    assert!(plain.paths.iter().all(|path| path.contribution() > 0.0));
    assert!(
        plain
            .paths
            .iter()
            .flat_map(|path| &path.steps[1..])
            .all(|step| { step.position > 0 || !matches!(step.component, Component::Head { .. }) })
    );
    let signed = trace(&TranscoderPaths { signed: true, first_token: true, ..usual.clone() });
    assert!(signed.paths.iter().any(|path| path.contribution() < 0.0));
    assert!(signed.cautions.contains(&Caution::FirstToken));

    // Without any dictionary the MLPs are whole steps, and paths end in them.
    let bare = Wiring::new(&weights, Vec::new()).expect("fits");
    let run = FrozenRun::new(&bare, &network, &chain.prompt, &Freeze::default()).expect("runs");
    let logit = Start::Logits { tokens: vec![(chain.logit, 1.0)], position: chain.target };
    let traced = usual.run(&run, &logit, &Progress::silent()).expect("runs");
    assert_eq!(traced.paths[0].steps[1].component, Component::Mlp { layer: 1 });
    let unexplained = |caution: &Caution| matches!(caution, Caution::Unexplained { .. });
    assert!(traced.cautions.iter().any(unexplained), "{:?}", traced.cautions);
    assert!(usual.run(&run, &start(&chain), &Progress::silent()).is_err(), "no dictionary");
    let none = TranscoderPaths { beam: 0, ..usual };
    assert!(none.run(&run, &logit, &Progress::silent()).is_err());
}

#[test]
fn merged_graphs_account_for_every_value() {
    let World { network, weights, chain } = world(4, CircuitNorms::Layer);
    let wiring = Wiring::new(&weights, both(&weights)).expect("fits");
    let run = FrozenRun::new(&wiring, &network, &chain.prompt, &Freeze::default()).expect("runs");
    let search = TranscoderPaths { signed: true, ..TranscoderPaths::default() };
    let traced = search.run(&run, &start(&chain), &Progress::silent()).expect("runs");
    let names: Vec<String> = chain.prompt.iter().map(ToString::to_string).collect();
    for merge in [Merge::Token, Merge::Sum] {
        let graph = traced.graph(&names, merge).expect("a graph");
        let values = graph.nodes().f64s("value").expect("values").to_vec();
        let kinds = graph.nodes().texts("kind").expect("kinds").to_vec();
        let incoming = graph.in_strength();
        let degree = graph.in_degree();
        for row in 0..values.len() {
            if degree[row] > 0 {
                let gap = (incoming[row] - values[row]).abs();
                assert!(gap < 1e-6 * values[row].abs().max(1.0), "{}: {gap}", kinds[row]);
            }
        }
        assert!(kinds.iter().any(|kind| kind == "pruned") && kinds.iter().any(|k| k == "bias"));
        let mut json = Vec::new();
        graph.to_attribution_json(&AttributionMetadata::default(), &mut json).expect("writes");
    }
    // Paths that part and meet again count once for each way, a shared prefix once.
    let token = traced.graph(&names, Merge::Token).expect("a graph");
    let sum = traced.graph(&names, Merge::Sum).expect("a graph");
    assert!(sum.nodes().rows() <= token.nodes().rows());
}
