//! The weighted stochastic block model: the partition of least description length.
//!
//! Flat integrated (`beta-gamma`), flat microcanonical, or nested microcanonical, with or without
//! degree correction; weights exponential, log-normal or ignored. Restarts begin at partitions by chance
//! with many groups: moves, the cheapest merges, moves again, down to one group; the best is polished by
//! moves that may open groups, merges and splits, and once more after it was heated and cooled. Clusters of
//! the leading eigenvectors of edges and weights are polished as well.
//!
//! Source: Peixoto 2017, Phys. Rev. E 95:012317; 2018, 97:012306; 2014, Phys. Rev. X 4:011047, appendix.
//! Differs: restarts begin at 256 groups at most.
//! Memory: the edges twice, up to 1000 nodes six matrices of nodes by nodes, and 64 bytes for each pair of groups.

use nissl_core::{Error, Progress, Result};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::embedding::{Points, k_means, residual_points};
use super::graph::{WeightedGraph, by_size, count};
use super::hierarchy::Upper;
use super::merging::{Rung, agglomerate, by_chance};
use super::moves::{Groups, LEAST_GAIN, anneal, settle};
use super::nested::{POLISHED, with_levels};
use super::objective::{Degrees, Kind, Objective};
use super::splitting::merge_split;
use super::state::State;
use super::weights::Weights;

/// The stream of random numbers of the first restart.
const STREAM: u64 = 0x5b_0000;
/// Groups at which a restart begins.
const LEAST_START: usize = 10;
const MOST_START: usize = 256;
/// Clusters of the eigenvectors that are tried: 2 up to this.
const MOST_CLUSTERS: usize = 6;
/// Nodes up to which eigenvectors are found.
const MOST_EIGEN: usize = 1000;

/// Which block model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Model {
    /// Flat, with edge probabilities and weights integrated out
    #[default]
    BetaGamma,
    /// Flat, with the edge counts between groups given
    Microcanonical,
    /// Groups of groups, so that more groups can be told apart
    Nested,
}

/// Whether nodes of one group may differ in degree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum DegreeCorrection {
    /// Whichever describes the graph more shortly
    #[default]
    Auto,
    /// Each node keeps its degree
    Yes,
    /// Nodes of a group are alike
    No,
}

/// What is believed of the degrees in a group before they are seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum DegreePrior {
    /// All sequences of degrees are equally likely
    Uniform,
    /// All distributions of degrees are equally likely, which suits uneven ones
    #[default]
    Distribution,
}

/// Hyperparameters of the weighted stochastic block model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct BlockModel {
    /// Which model; set by the method
    #[arg(skip)]
    pub model: Model,
    /// How weights are distributed between two groups
    #[arg(long, value_enum, default_value_t)]
    pub weights: Weights,
    /// Whether nodes of one group may differ in degree (nested and microcanonical models)
    #[arg(long, value_enum, default_value_t, value_name = "WHETHER")]
    pub degree_correction: DegreeCorrection,
    /// What is believed of degrees in a group
    #[arg(long, value_enum, default_value_t, value_name = "PRIOR")]
    pub degree_prior: DegreePrior,
    /// Runs from other starts, of which the shortest description is kept, at least 1
    #[arg(long, default_value_t = BlockModel::default().restarts)]
    pub restarts: usize,
    /// Sweeps of cooling from β = 1, at least 1
    #[arg(long, default_value_t = BlockModel::default().sweeps)]
    pub sweeps: usize,
    /// The seed of every draw; set by the run
    #[arg(skip)]
    pub seed: u64,
}

impl Default for BlockModel {
    fn default() -> Self {
        Self {
            model: Model::default(),
            weights: Weights::default(),
            degree_correction: DegreeCorrection::default(),
            degree_prior: DegreePrior::default(),
            restarts: 10,
            sweeps: 20,
            seed: 42,
        }
    }
}

/// Groups, groups of groups, and what they cost.
#[derive(Clone, Debug, PartialEq)]
pub struct Blocks {
    /// The group of each node at each level `[level][node]`, by size, the largest 0; a flat model has one
    /// level, and the last level of a nested one has more than one group unless it is the only one.
    pub levels: Vec<Vec<u32>>,
    /// Σ, in nats.
    pub description_length: f64,
    /// Whether the description is degree-corrected.
    pub is_degree_corrected: bool,
    /// The description length that each restart reached, in nats.
    pub restarts: Vec<f64>,
}

impl BlockModel {
    /// # Errors
    /// A hyperparameter outside its range.
    pub fn validate(&self) -> Result<()> {
        for (field, value) in [("restarts", self.restarts), ("sweeps", self.sweeps)] {
            if value == 0 {
                return Err(Error::setting(field, value, "at least 1"));
            }
        }
        if self.model == Model::BetaGamma && self.degree_correction == DegreeCorrection::Yes {
            let expected = "auto or no, as the flat integrated model has no degree correction";
            return Err(Error::setting("degree_correction", "yes", expected)
                .with_help("take the nested or the microcanonical model"));
        }
        Ok(())
    }

    /// The likelihoods to be tried.
    fn kinds(&self) -> Vec<Kind> {
        let corrected = Kind::Microcanonical(match self.degree_prior {
            DegreePrior::Uniform => Degrees::Uniform,
            DegreePrior::Distribution => Degrees::Distribution,
        });
        let alike = Kind::Microcanonical(Degrees::Ignored);
        match (self.model, self.degree_correction) {
            (Model::BetaGamma, _) => vec![Kind::Bernoulli],
            (_, DegreeCorrection::Auto) => vec![alike, corrected],
            (_, DegreeCorrection::Yes) => vec![corrected],
            (_, DegreeCorrection::No) => vec![alike],
        }
    }

    /// The least description length of given groups, each level telling the group of each node.
    ///
    /// # Errors
    /// Settings that fail [`Self::validate`], a level with another number of nodes, one that does not
    /// join groups of the level below, several levels of a flat model, or weights that the model cannot
    /// hold.
    pub fn description_length(&self, graph: &WeightedGraph, levels: &[Vec<u32>]) -> Result<f64> {
        self.validate()?;
        let Some(first) = levels.first() else {
            return Err(Error::setting("levels", 0, "at least 1"));
        };
        if let Some(wrong) = levels.iter().find(|level| level.len() != graph.nodes()) {
            return Err(Error::setting(
                "level",
                wrong.len(),
                format!("{}, one a node", graph.nodes()),
            ));
        }
        if self.model != Model::Nested && levels.len() > 1 {
            return Err(Error::setting("levels", levels.len(), "1 for a flat model"));
        }
        let (ground, above) = (renumbered(first), between(levels)?);
        let mut least = f64::INFINITY;
        for kind in self.kinds() {
            let objective = Objective::new(graph, kind, self.weights)?;
            let levels = (self.model == Model::Nested).then_some(above.as_slice());
            least = least.min(State::new(&objective, &ground, levels).cost());
        }
        Ok(least)
    }

    /// The groups of least description length that were found.
    ///
    /// # Errors
    /// Settings that fail [`Self::validate`], weights that the model cannot hold, or an interruption.
    pub fn fit(&self, graph: &WeightedGraph, progress: &Progress) -> Result<Blocks> {
        self.validate()?;
        let mut best: Option<Blocks> = None;
        let mut reached = vec![f64::INFINITY; self.restarts];
        let kinds = self.kinds();
        let points = (graph.nodes() <= MOST_EIGEN).then(|| residual_points(graph)).transpose()?;
        let stage = progress.stage("communities", (kinds.len() * self.restarts) as u64, "restarts");
        for (variant, kind) in kinds.into_iter().enumerate() {
            let objective = Objective::new(graph, kind, self.weights)?;
            let found = (0..self.restarts).into_par_iter().map(|restart| {
                progress.check(|| format!("{restart} restarts"))?;
                let stream = STREAM + (variant * self.restarts + restart) as u64;
                let found = self.restart(&objective, points.as_ref(), restart, stream);
                stage.advance(1);
                Ok(found)
            });
            // In the order of restarts, so that equal ones do not depend on threads.
            for (restart, (cost, levels)) in
                found.collect::<Result<Vec<_>>>()?.into_iter().enumerate()
            {
                reached[restart] = reached[restart].min(cost);
                if best.as_ref().is_none_or(|best| cost < best.description_length - LEAST_GAIN) {
                    best = Some(Blocks {
                        levels,
                        description_length: cost,
                        is_degree_corrected: !matches!(
                            kind,
                            Kind::Bernoulli | Kind::Microcanonical(Degrees::Ignored)
                        ),
                        restarts: Vec::new(),
                    });
                }
            }
        }
        let mut best = best.ok_or_else(|| Error::setting("restarts", 0, "at least 1"))?;
        best.restarts = reached;
        Ok(best)
    }

    fn restart(
        &self,
        objective: &Objective,
        points: Option<&Points>,
        restart: usize,
        stream: u64,
    ) -> (f64, Vec<Vec<u32>>) {
        let mut random = nissl_core::seed::rng(self.seed, stream);
        let nodes = objective.nodes();
        let most = nodes.min(MOST_START);
        let least = LEAST_START.min(most);
        let share = if restart == 0 { 1.0 } else { random.random::<f64>() };
        let groups = (least as f64 * (most as f64 / least as f64).powf(share)).round() as usize;
        let start =
            State::new(objective, &by_chance(nodes, groups.clamp(1, nodes), &mut random), None);
        let mut rungs = agglomerate(start, &mut random);
        // Where only weights differ, the eigenvectors show what merges miss.
        for k in points.iter().flat_map(|_| 2..=MOST_CLUSTERS.min(nodes)) {
            let (of, _) = k_means(points.unwrap_or(&Points::new()), k, &mut random);
            let mut few = State::new(objective, &of, None);
            settle(&mut few, Groups::Given, 20, &mut random);
            rungs.push(Rung { groups: few.groups, cost: few.cost(), of: few.of });
        }
        let state = if self.model == Model::Nested {
            with_levels(objective, &rungs, self.sweeps, &mut random)
        } else {
            flat(objective, rungs, self.sweeps, &mut random)
        };
        let levels = all_levels(&state);
        // Summed anew, free of what many moves have left of rounding.
        let above = state.upper.as_ref().map(Upper::levels);
        let cost = State::new(objective, &state.of, above.as_deref()).cost();
        (cost, levels)
    }
    /// The objective of the description that [`Self::fit`] has chosen.
    pub(super) fn chosen(&self, graph: &WeightedGraph, blocks: &Blocks) -> Result<Objective> {
        let kinds = self.kinds();
        let kind = if blocks.is_degree_corrected { kinds.last() } else { kinds.first() };
        Objective::new(graph, kind.copied().unwrap_or(Kind::Bernoulli), self.weights)
    }
}

/// The best of the lowest partitions that agglomeration passed, each polished.
fn flat<'a>(
    objective: &'a Objective,
    mut rungs: Vec<Rung>,
    sweeps: usize,
    random: &mut ChaCha8Rng,
) -> State<'a> {
    rungs.sort_by(|a, b| a.cost.total_cmp(&b.cost));
    rungs.truncate(POLISHED);
    let polished = rungs.iter().map(|rung| {
        let mut state = State::new(objective, &rung.of, None);
        settle(&mut state, Groups::Free, 50, random);
        merge_split(&mut state, random);
        let mut cooled = state.clone();
        anneal(&mut cooled, sweeps, random);
        merge_split(&mut cooled, random);
        if cooled.cost() < state.cost() - LEAST_GAIN { cooled } else { state }
    });
    let best = polished.min_by(|a, b| a.cost().total_cmp(&b.cost()));
    best.unwrap_or_else(|| State::new(objective, &vec![0; objective.nodes()], None))
}

/// The group of each node at each level, without levels of one group above others.
fn all_levels(state: &State<'_>) -> Vec<Vec<u32>> {
    let mut levels = vec![state.of.clone()];
    if let Some(upper) = &state.upper {
        for above in upper.levels() {
            let below = &levels[levels.len() - 1];
            levels.push(below.iter().map(|&group| above[group as usize]).collect());
        }
    }
    let mut levels: Vec<Vec<u32>> = levels.iter().map(|level| by_size(level)).collect();
    while levels.len() > 1 && count(&levels[levels.len() - 1]) == 1 {
        levels.pop();
    }
    levels
}

/// Labels numbered without gaps, in their order.
fn renumbered(of: &[u32]) -> Vec<u32> {
    let mut known = of.to_vec();
    known.sort_unstable();
    known.dedup();
    of.iter().map(|label| known.partition_point(|it| it < label) as u32).collect()
}

/// Levels of nodes as levels of groups, from that above the first up to one with a single group.
pub(super) fn between(levels: &[Vec<u32>]) -> Result<Vec<Vec<u32>>> {
    let mut above = Vec::new();
    let mut last = levels.first().map_or(1, |first| count(&renumbered(first)));
    for pair in levels.windows(2) {
        let (below, here) = (renumbered(&pair[0]), renumbered(&pair[1]));
        let mut of = vec![u32::MAX; count(&below)];
        for (&below, &here) in below.iter().zip(&here) {
            let known = &mut of[below as usize];
            if *known != u32::MAX && *known != here {
                let found =
                    format!("group {below} in the groups {known} and {here} of the level above");
                return Err(Error::setting("levels", found, "levels that only join groups"));
            }
            *known = here;
        }
        last = count(&of);
        above.push(of);
    }
    if last > 1 {
        above.push(vec![0; last]);
    }
    Ok(above)
}
