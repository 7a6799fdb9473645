//! Attribution graphs of runs whose effects are known.

use nissl_core::Progress;
use nissl_core::seed::rng;
use rand::RngExt;

use super::*;

/// A run with a planted chain token 1 → feature 3 of layer 0 → feature 1 of layer 1 → logit 2, beside
/// weak random effects.
struct Planted {
    sources: Vec<Node>,
    effects: Array2<f32>,
    on_logits: Array2<f32>,
    logits: Vec<f32>,
    /// Added to what the run has, and told by no effect.
    hidden: f64,
}

const EACH: usize = 8;
const POSITIONS: usize = 2;

impl Planted {
    fn new(seed: u64, strength: f32) -> Self {
        let mut rng = rng(seed, 1);
        let mut sources = Vec::new();
        for layer in 0..2 {
            for position in 0..POSITIONS {
                sources.extend((0..EACH).map(|feature| Node::Feature {
                    layer,
                    position,
                    feature,
                    activation: 1.0,
                }));
            }
        }
        for layer in 0..2 {
            sources.extend((0..POSITIONS).map(|position| Node::Error { layer, position }));
        }
        sources.extend((0..POSITIONS).map(|position| Node::Token { position, token: 9 }));
        let targets = 2 * POSITIONS * EACH;
        let mut effects = Array2::from_shape_fn((targets, sources.len()), |(target, source)| {
            let weak = rng.random_range(-0.1..0.1f32);
            if sources[source].depth() < sources[target].depth() { weak } else { 0.0 }
        });
        let mut on_logits =
            Array2::from_shape_fn((4, sources.len()), |_| rng.random_range(-0.1..0.1f32));
        let (low, high, token) = chain(&sources);
        effects[[low, token]] = strength;
        effects[[high, low]] = -strength;
        on_logits[[2, high]] = strength;
        Self { sources, effects, on_logits, logits: vec![0.0, -2.0, 3.0, -8.0], hidden: 0.0 }
    }

    fn of(&self, weights: Array2<f32>) -> Effects {
        let sums = weights.rows().into_iter().map(|row| row.iter().map(|&w| f64::from(w)).sum());
        let value = sums.map(|sum: f64| sum + 0.25 + self.hidden).collect();
        Effects { bias: vec![0.25; weights.nrows()], value, weights }
    }
}

/// The chain's two features and its token, among the sources.
fn chain(sources: &[Node]) -> (usize, usize, usize) {
    let find = |wanted: &dyn Fn(&Node) -> bool| sources.iter().position(wanted).expect("is there");
    let feature = |at: usize, number: usize| {
        find(&move |node: &Node| {
            matches!(node, Node::Feature { layer, position: 1, feature, .. }
                if *layer == at && *feature == number)
        })
    };
    let token = find(&|node: &Node| matches!(node, Node::Token { position: 1, .. }));
    (feature(0, 3), feature(1, 1), token)
}

impl Frozen for Planted {
    fn sources(&self) -> &[Node] {
        &self.sources
    }

    fn layers(&self) -> usize {
        2
    }

    fn logits(&self) -> &[f32] {
        &self.logits
    }

    fn on_features(&self, first: usize, count: usize) -> Result<Effects> {
        Ok(self.of(self.effects.slice(s![first..first + count, ..]).to_owned()))
    }

    fn on_logits(&self, tokens: &[u32]) -> Result<Effects> {
        let rows: Vec<usize> = tokens.iter().map(|&token| token as usize).collect();
        Ok(self.of(self.on_logits.select(ndarray::Axis(0), &rows)))
    }
}

fn made(run: &Planted, settings: &Attribution) -> Attributed {
    attribute(run, settings, &Progress::silent()).expect("is made")
}

/// The two features of greatest influence.
fn strongest(found: &Attributed) -> Vec<usize> {
    let nodes = found.graph.nodes();
    let mut order: Vec<usize> =
        (0..nodes.len()).filter(|&node| matches!(nodes[node], Node::Feature { .. })).collect();
    let influence = &found.pruned.influence;
    order.sort_by(|&a, &b| influence[b].total_cmp(&influence[a]));
    order.truncate(2);
    order.sort_unstable();
    order
}

#[test]
fn a_planted_chain_carries_the_most_influence_and_is_kept() {
    for seed in 0..10 {
        let run = Planted::new(seed, 20.0);
        let found = made(&run, &Attribution::default());
        let (low, high, token) = chain(&run.sources);
        assert_eq!(strongest(&found), [low, high], "seed {seed}");
        let logit = run.sources.len();
        for edge in [(low, token), (high, low), (logit, high)] {
            assert!(found.pruned.edges.contains(&edge), "seed {seed}: {edge:?}");
        }
        assert!(found.pruned.nodes() < run.sources.len() / 2, "weak nodes go");
    }
    // Without the chain these two features are as all others.
    let hits = (0..10).filter(|&seed| {
        let run = Planted::new(seed, 0.05);
        let (low, high, _) = chain(&run.sources);
        strongest(&made(&run, &Attribution::default())) == [low, high]
    });
    assert!(hits.count() <= 1);
}

#[test]
fn the_size_of_a_batch_changes_nothing() {
    let run = Planted::new(3, 2.0);
    let whole = made(&run, &Attribution::default());
    let parts = made(&run, &Attribution { batch: 5, ..Attribution::default() });
    assert_eq!(whole.graph, parts.graph);
    assert_eq!(whole.pruned, parts.pruned);
}

#[test]
fn completeness_sees_what_no_effect_tells() {
    let mut run = Planted::new(1, 2.0);
    let found = made(&run, &Attribution::default());
    assert_eq!(found.completeness.targets, 2 * POSITIONS * EACH + 2);
    assert!(found.completeness.worst < 1e-6, "{:?}", found.completeness);
    run.hidden = 0.01;
    assert!(made(&run, &Attribution::default()).completeness.worst > 1e-3);
}

#[test]
fn logits_are_taken_until_they_hold_the_mass() {
    // Probabilities by hand: e^3, e^0, e^-2, e^-8 over their sum.
    let logits = [0.0, -2.0, 3.0, -8.0];
    let chosen = |mass: f64, most: usize| -> Vec<u32> {
        let settings = Attribution { logit_mass: mass, logits: most, ..Attribution::default() };
        likely(&logits, &settings).into_iter().map(|(token, _)| token).collect()
    };
    assert_eq!(chosen(0.9, 10), [2]);
    assert_eq!(chosen(0.95, 10), [2, 0]);
    assert_eq!(chosen(1.0, 3), [2, 0, 1]);
    let found = likely(&logits, &Attribution::default());
    let sum = 3f64.exp() + 1.0 + (-2f64).exp() + (-8f64).exp();
    assert!((f64::from(found[0].1) - 3f64.exp() / sum).abs() < 1e-6);
}

#[test]
fn settings_and_graphs_that_do_not_fit_are_refused_by_name() {
    let run = Planted::new(0, 1.0);
    let refused = |settings: Attribution| {
        attribute(&run, &settings, &Progress::silent()).expect_err("is refused").to_string()
    };
    let usual = Attribution::default;
    for (settings, field) in [
        (Attribution { node_threshold: 2.0, ..usual() }, "node_threshold"),
        (Attribution { edge_threshold: -1.0, ..usual() }, "edge_threshold"),
        (Attribution { logit_mass: 0.0, ..usual() }, "logit_mass"),
        (Attribution { logits: 0, ..usual() }, "logits"),
        (Attribution { batch: 0, ..usual() }, "batch"),
        (Attribution { most_nodes: 10, ..usual() }, "most_nodes"),
    ] {
        let error = refused(settings);
        assert!(error.contains(field), "{error}");
    }
    let mut silent = Planted::new(0, 1.0);
    silent.sources.retain(|node| !matches!(node, Node::Feature { .. }));
    let error = attribute(&silent, &usual(), &Progress::silent()).expect_err("is refused");
    assert!(error.to_string().contains("active features"), "{error}");
}

#[test]
fn the_graph_says_what_viewers_need() {
    let run = Planted::new(2, 20.0);
    let found = made(&run, &Attribution::default());
    let names = Names {
        token: &|token| format!("t{token}"),
        feature: &|layer, feature| format!("f{layer}.{feature}"),
    };
    let graph = found.to_graph(&names).expect("fits");
    let nodes = graph.nodes();
    assert_eq!(nodes.rows(), found.pruned.nodes());
    assert_eq!(graph.edges().rows(), found.pruned.edges.len());
    let (kinds, layers) = (nodes.texts("kind").expect("c"), nodes.texts("layer").expect("c"));
    let logit = kinds.iter().position(|kind| kind == "logit").expect("a logit");
    assert_eq!(layers[logit], "3");
    assert_eq!(nodes.texts("name").expect("c")[logit], "t2");
    assert_eq!(nodes.u32s("position").expect("c")[logit], 1);
    let metadata = found.metadata("s", "m", "the prompt", vec!["f".to_owned()], &names);
    assert_eq!(metadata.prompt_tokens, ["t9", "t9"]);
    let mut bytes = Vec::new();
    graph.to_attribution_json(&metadata, &mut bytes).expect("writes");
    let json: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
    let targets = json["nodes"].as_array().expect("nodes");
    let targets: Vec<_> = targets.iter().filter(|node| node["is_target_logit"] == true).collect();
    assert_eq!(targets.len(), 1);
    assert_eq!(targets[0]["node_id"], "3_2_1");
    // Viewers that prune by the same threshold show all that is here.
    for node in json["nodes"].as_array().expect("nodes") {
        if node["feature_type"] == "cross layer transcoder" {
            assert!(node["influence"].as_f64().expect("a share") <= 1.0);
        }
    }
}
