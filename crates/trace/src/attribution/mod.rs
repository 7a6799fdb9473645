//! Attribution graphs: what active features, tokens and errors do to each other and to the next token.
//!
//! `A[t, s]`: the direct effect of node `s` on the pre-activation of feature `t` or on the logit `t` at
//! the last position, on one prompt, with attention patterns, the denominators of norms and the
//! activations of features frozen, so that effects are linear and no effect passes through another
//! feature. Nodes in the order features, errors (layer × position), tokens, logits (the most probable,
//! until `logit_mass`). A logit's target is its unembedding vector less the mean of all (a shift of all
//! logits changes no probability). Then [`prune`].
//!
//! Source: Ameisen et al. 2025, "Circuit Tracing: Revealing Computational Graphs in Language Models";
//! settings and order of circuit-tracer.
//! Left out: effects through attention patterns (they are frozen); means over prompts.
//! Differs: all active features are targets; circuit-tracer can stop at the most influential ones.
//! Memory: 4 bytes for each pair of nodes, and of each pair of a batch of targets with every source.

mod adjacency;
mod graph;
mod prune;
mod run;

use ndarray::{Array2, s};
use nissl_core::{Error, Progress, Result};
use serde::{Deserialize, Serialize};

pub use adjacency::{Adjacency, Node};
pub use graph::Names;
pub use prune::{Pruned, prune};
pub use run::FrozenPrompt;

/// Hyperparameters of attribution graphs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Attribution {
    /// Share of the influence on the logits that the kept nodes carry, 0 to 1
    #[arg(long, default_value_t = Attribution::default().node_threshold)]
    pub node_threshold: f64,
    /// Share of the influence among the kept nodes that the kept edges carry, 0 to 1
    #[arg(long, default_value_t = Attribution::default().edge_threshold)]
    pub edge_threshold: f64,
    /// Logits explained at most, 1 or more
    #[arg(long, default_value_t = Attribution::default().logits)]
    pub logits: usize,
    /// Probability at which no further logit is explained, above 0 to 1
    #[arg(long, default_value_t = Attribution::default().logit_mass)]
    pub logit_mass: f64,
    /// Targets computed at once, 1 or more
    #[arg(long, default_value_t = Attribution::default().batch)]
    pub batch: usize,
    /// Nodes before pruning at most: memory grows as 4 bytes times their square
    #[arg(long, default_value_t = Attribution::default().most_nodes)]
    pub most_nodes: usize,
}

impl Default for Attribution {
    fn default() -> Self {
        Self {
            node_threshold: 0.8,
            edge_threshold: 0.98,
            logits: 10,
            logit_mass: 0.95,
            batch: 256,
            most_nodes: 20_000,
        }
    }
}

impl Attribution {
    /// # Errors
    /// A value outside its range.
    pub fn validate(&self) -> Result<()> {
        prune::check("node_threshold", self.node_threshold)?;
        prune::check("edge_threshold", self.edge_threshold)?;
        if !(self.logit_mass > 0.0 && self.logit_mass <= 1.0) {
            return Err(Error::setting("logit_mass", self.logit_mass, "above 0 to 1"));
        }
        for (field, value) in
            [("logits", self.logits), ("batch", self.batch), ("most_nodes", self.most_nodes)]
        {
            if value == 0 {
                return Err(Error::setting(field, value, "1 or more"));
            }
        }
        Ok(())
    }
}

/// A run of a network over one prompt in which everything that is not linear is frozen.
pub trait Frozen {
    /// The sources: active features, then errors (layer × position), then tokens.
    fn sources(&self) -> &[Node];

    /// The number of layers of the network.
    fn layers(&self) -> usize;

    /// The logits `[token]` at the last position.
    fn logits(&self) -> &[f32];

    /// The effects of all sources on the pre-activations of the features `first..first + count` among
    /// the sources.
    ///
    /// # Errors
    /// A failed computation.
    fn on_features(&self, first: usize, count: usize) -> Result<Effects>;

    /// The effects of all sources on the logits of `tokens` at the last position, less the mean logit.
    ///
    /// # Errors
    /// A failed computation.
    fn on_logits(&self, tokens: &[u32]) -> Result<Effects>;
}

/// Direct effects on some targets.
#[derive(Clone, Debug, PartialEq)]
pub struct Effects {
    /// `[target, source]`.
    pub weights: Array2<f32>,
    /// What biases contribute to each target `[target]`.
    pub bias: Vec<f64>,
    /// What each target has in the run `[target]`: the pre-activation or the logit.
    pub value: Vec<f64>,
}

/// How far the effects on all targets add up to what the run has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Completeness {
    /// The targets looked at: all active features and all explained logits.
    pub targets: usize,
    /// The greatest `|Σ effects + bias − value|`, by the greatest of `|value|` and the root mean
    /// square of all values.
    pub worst: f64,
    /// The mean of the same.
    pub mean: f64,
    /// The share of the absolute effects on features and logits that errors have, mean over targets.
    pub errors: f64,
}

/// An attribution graph, whole and pruned.
#[derive(Clone, Debug, PartialEq)]
pub struct Attributed {
    /// All effects.
    pub graph: Adjacency,
    /// What pruning kept of them.
    pub pruned: Pruned,
    /// Whether they add up.
    pub completeness: Completeness,
    /// The number of layers of the network.
    pub layers: usize,
    /// The settings.
    pub settings: Attribution,
}

/// The attribution graph of `run`.
///
/// # Errors
/// A setting outside its range, a run without an active feature, more nodes than allowed, or a failed
/// computation.
pub fn attribute(
    run: &dyn Frozen,
    settings: &Attribution,
    progress: &Progress,
) -> Result<Attributed> {
    settings.validate()?;
    let sources = run.sources();
    let features = sources.iter().take_while(|node| matches!(node, Node::Feature { .. })).count();
    if features == 0 {
        return Err(Error::Empty {
            what: "the prompt's active features".to_owned(),
            expected: "at least one: are the features those of this network's MLPs?".to_owned(),
        });
    }
    let chosen = likely(run.logits(), settings);
    let count = sources.len() + chosen.len();
    if count > settings.most_nodes {
        let expected = format!(
            "{count} or more ({} MB), or a shorter prompt: {features} features are active on this one",
            4 * count * count / 1_000_000
        );
        return Err(Error::setting("most_nodes", settings.most_nodes, expected));
    }
    let mut nodes = sources.to_vec();
    nodes.extend(chosen.iter().map(|&(token, probability)| Node::Logit { token, probability }));
    let mut weights = Array2::zeros((count, count));
    let mut sums = Sums::default();
    let stage = progress.stage("attribution", (features + chosen.len()) as u64, "targets");
    for first in (0..features).step_by(settings.batch) {
        progress.check(|| format!("{first} of {features} features"))?;
        let some = settings.batch.min(features - first);
        let effects = run.on_features(first, some)?;
        sums.add(&effects, sources);
        weights.slice_mut(s![first..first + some, ..sources.len()]).assign(&effects.weights);
        stage.advance(some as u64);
    }
    let tokens: Vec<u32> = chosen.iter().map(|&(token, _)| token).collect();
    let effects = run.on_logits(&tokens)?;
    sums.add(&effects, sources);
    weights.slice_mut(s![sources.len().., ..sources.len()]).assign(&effects.weights);
    let graph = Adjacency::new(nodes, weights)?;
    let pruned = prune(&graph, settings.node_threshold, settings.edge_threshold)?;
    let completeness = sums.finish();
    Ok(Attributed { graph, pruned, completeness, layers: run.layers(), settings: settings.clone() })
}

/// The most probable tokens with their probabilities, until they hold `logit_mass`.
fn likely(logits: &[f32], settings: &Attribution) -> Vec<(u32, f32)> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sizes: Vec<f64> = logits.iter().map(|&logit| f64::from(logit - most).exp()).collect();
    let sum: f64 = sizes.iter().sum();
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    let (mut chosen, mut mass) = (Vec::new(), 0.0);
    for token in order.into_iter().take(settings.logits) {
        if mass >= settings.logit_mass {
            break;
        }
        let probability = sizes[token] / sum;
        mass += probability;
        chosen.push((token as u32, probability as f32));
    }
    chosen
}

/// What [`Completeness`] is made of.
#[derive(Default)]
struct Sums {
    gaps: Vec<(f64, f64)>,
    errors: f64,
}

impl Sums {
    fn add(&mut self, effects: &Effects, sources: &[Node]) {
        for (target, row) in effects.weights.rows().into_iter().enumerate() {
            let (mut sum, mut sizes, mut errors) = (0.0, 0.0, 0.0);
            for (&weight, node) in row.iter().zip(sources) {
                let weight = f64::from(weight);
                sum += weight;
                sizes += weight.abs();
                if matches!(node, Node::Error { .. }) {
                    errors += weight.abs();
                }
            }
            let value = effects.value[target];
            self.gaps.push((value, (sum + effects.bias[target] - value).abs()));
            self.errors += if sizes > 0.0 { errors / sizes } else { 0.0 };
        }
    }

    fn finish(self) -> Completeness {
        let count = self.gaps.len().max(1) as f64;
        let squares: f64 = self.gaps.iter().map(|(value, _)| value * value).sum();
        let usual = (squares / count).sqrt().max(f64::MIN_POSITIVE);
        let relative = self.gaps.iter().map(|(value, gap)| gap / value.abs().max(usual));
        let (mut worst, mut sum) = (0.0f64, 0.0);
        for gap in relative {
            worst = worst.max(gap);
            sum += gap;
        }
        Completeness {
            targets: self.gaps.len(),
            worst,
            mean: sum / count,
            errors: self.errors / count,
        }
    }
}

#[cfg(test)]
mod tests;
