//! Community detectors behind one interface, and what they find.

use nissl_core::{Column, Error, Progress, Result, Table};
use serde::{Deserialize, Serialize};

use super::block_model::{BlockModel, Blocks, Model};
use super::contrast::{BACKGROUND, Contrast};
use super::graph::{WeightedGraph, count};
use super::louvain::louvain;
use super::posterior::Posterior;
use super::spectral::spectral;
use super::surprise::surprise;
use crate::leiden::{Net, of_net};

/// How communities are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// A block model of one level, probabilities and weights integrated out
    Sbm,
    /// A block model of one level, the edge counts between groups given
    Microcanonical,
    /// A block model with groups of groups
    #[default]
    Nested,
    /// Modularity by the Leiden method
    Leiden,
    /// Modularity by the Louvain method
    Louvain,
    /// Eigenvectors of the Laplacian and k-means
    Spectral,
    /// Asymptotic surprise
    Surprise,
}

impl Method {
    /// All of them, in the order in which they are compared.
    pub const ALL: [Self; 7] = [
        Self::Nested,
        Self::Microcanonical,
        Self::Sbm,
        Self::Leiden,
        Self::Louvain,
        Self::Spectral,
        Self::Surprise,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sbm => "sbm",
            Self::Microcanonical => "microcanonical",
            Self::Nested => "nested",
            Self::Leiden => "leiden",
            Self::Louvain => "louvain",
            Self::Spectral => "spectral",
            Self::Surprise => "surprise",
        }
    }
}

/// Hyperparameters of a search for communities.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default)]
pub struct Detector {
    /// How communities are found
    #[arg(short, long, value_enum, default_value_t)]
    pub method: Method,
    /// The block model
    #[command(flatten)]
    #[serde(flatten)]
    pub block: BlockModel,
    /// Draws of the posterior that tell how surely a node belongs to its group; block models only
    #[arg(long, default_value_t = 0, value_name = "DRAWS")]
    pub samples: usize,
    /// Resolution of modularity, above 0: higher ones find more communities (γ)
    #[arg(long, default_value_t = Detector::default().resolution, value_name = "GAMMA")]
    pub resolution: f64,
    /// Communities of the spectral method [default: as the widest gap between eigenvalues suggests]
    #[arg(long, value_name = "COUNT")]
    pub groups: Option<usize>,
}

impl Default for Detector {
    fn default() -> Self {
        Self {
            method: Method::default(),
            block: BlockModel::default(),
            samples: 0,
            resolution: 1.0,
            groups: None,
        }
    }
}

/// What a method has optimised.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Score {
    /// Its name, with the unit.
    pub name: &'static str,
    /// Its value.
    pub value: f64,
}

/// Communities of a graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Communities {
    /// The nodes that have an edge, ascending; all other lists speak of these.
    pub nodes: Vec<usize>,
    /// The group of each of them at each level `[level][node]`, the largest 0; one level unless nested.
    pub levels: Vec<Vec<u32>>,
    /// What was optimised, and how far.
    pub score: Score,
    /// Mean weights within and between the groups of the first level.
    pub contrast: Contrast,
    /// What a block model tells besides.
    pub blocks: Option<Blocks>,
    /// What draws of the posterior tell.
    pub posterior: Option<Posterior>,
    /// Nodes of the whole graph.
    all: usize,
}

impl Detector {
    /// # Errors
    /// A hyperparameter outside its range, or one that the method has not.
    pub fn validate(&self) -> Result<()> {
        if let Some(model) = self.model() {
            return BlockModel { model, ..self.block.clone() }.validate();
        }
        if self.samples > 0 {
            let expected = "0, or a block model: sbm, microcanonical or nested";
            return Err(Error::setting("samples", self.samples, expected));
        }
        if !(self.resolution.is_finite() && self.resolution > 0.0) {
            return Err(Error::setting("resolution", self.resolution, "above 0"));
        }
        if self.groups == Some(0) {
            return Err(Error::setting("groups", 0, "at least 1"));
        }
        Ok(())
    }

    fn model(&self) -> Option<Model> {
        match self.method {
            Method::Sbm => Some(Model::BetaGamma),
            Method::Microcanonical => Some(Model::Microcanonical),
            Method::Nested => Some(Model::Nested),
            _ => None,
        }
    }

    /// How long these communities of `graph` describe it, in nats, by the block model of this method, or the
    /// nested one; other methods' groups are one level.
    ///
    /// # Errors
    /// As [`BlockModel::description_length`].
    pub fn description_length(&self, graph: &WeightedGraph, found: &Communities) -> Result<f64> {
        let model = self.model().unwrap_or(Model::Nested);
        let (_, inner) = graph.connected()?;
        let levels = if model == Model::Nested { found.levels.len() } else { 1 };
        let settings = BlockModel { model, ..self.block.clone() };
        settings.description_length(&inner, &found.levels[..levels.min(found.levels.len())])
    }

    /// Finds the communities of the nodes that have an edge.
    ///
    /// # Errors
    /// Settings that fail [`Self::validate`], a graph without edges, weights that the method cannot
    /// hold, or an interruption.
    pub fn find(&self, graph: &WeightedGraph, progress: &Progress) -> Result<Communities> {
        self.validate()?;
        let (nodes, inner) = graph.connected()?;
        let seed = self.block.seed;
        let (mut blocks, mut posterior) = (None, None);
        let labels =
            |of: Vec<usize>| of.into_iter().map(|label| label as u32).collect::<Vec<u32>>();
        let (levels, name, value) = match (self.method, self.model()) {
            (_, Some(model)) => {
                let settings = BlockModel { model, ..self.block.clone() };
                let found = settings.fit(&inner, progress)?;
                if self.samples > 0 {
                    posterior = Some(settings.sample(&inner, &found, self.samples, progress)?);
                }
                let (levels, length) = (found.levels.clone(), found.description_length);
                blocks = Some(found);
                (levels, "description length (nats)", length)
            }
            (Method::Louvain, _) => {
                let found = louvain(&inner, self.resolution, seed)?;
                (vec![labels(found.of)], "modularity", found.modularity)
            }
            (Method::Spectral, _) => {
                let (of, gap) = spectral(&inner, self.groups, seed)?;
                (vec![of], "eigenvalue gap", gap)
            }
            (Method::Surprise, _) => {
                let (of, surprise) = surprise(&inner, seed)?;
                (vec![of], "surprise (nats)", surprise)
            }
            _ => {
                let net = Net::of_pairs(inner.nodes(), inner.edges(), self.resolution)?;
                let found = of_net(&net, self.resolution, seed);
                (vec![labels(found.of)], "modularity", found.modularity)
            }
        };
        let contrast = Contrast::of(&inner, levels.first().map_or(&[], Vec::as_slice));
        let score = Score { name, value };
        Ok(Communities { nodes, levels, score, contrast, blocks, posterior, all: graph.nodes() })
    }
}

impl Communities {
    /// The group of every node of the graph at `level`; [`BACKGROUND`] without an edge.
    pub fn groups(&self, level: usize) -> Vec<u32> {
        let mut groups = vec![BACKGROUND; self.all];
        for (&node, &group) in self.nodes.iter().zip(self.levels.get(level).into_iter().flatten()) {
            groups[node] = group;
        }
        groups
    }

    /// The number of groups at `level`.
    pub fn count(&self, level: usize) -> usize {
        self.levels.get(level).map_or(0, |level| count(level))
    }

    /// The nodes without an edge, ascending.
    pub fn background(&self) -> Vec<usize> {
        let groups = self.groups(0);
        (0..self.all).filter(|&node| groups[node] == BACKGROUND).collect()
    }

    /// How surely a node of [`Self::nodes`] is in its group at `level`, 0 to 1; NaN without draws.
    pub fn marginal(&self, level: usize, place: usize) -> f64 {
        self.posterior.as_ref().map_or(f64::NAN, |drawn| drawn.of(&self.levels, level, place))
    }

    /// One row for each level and node with an edge: `component` (as given), `level`, `node` and `neuron`
    /// (its number and name), `group`, `marginal` (NaN without draws).
    ///
    /// # Panics
    /// When there are fewer numbers or names than nodes: an error of the calling code.
    pub fn table(&self, component: u32, numbers: &[u32], names: &[String]) -> Table {
        let (mut level, mut node, mut neuron, mut group, mut marginal) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (height, of) in self.levels.iter().enumerate() {
            for (place, (&row, &label)) in self.nodes.iter().zip(of).enumerate() {
                level.push(height as u32);
                node.push(numbers[row]);
                neuron.push(names[row].clone());
                group.push(label);
                marginal.push(self.marginal(height, place));
            }
        }
        Table::new()
            .with("component", Column::U32(vec![component; level.len()]))
            .with("level", Column::U32(level))
            .with("node", Column::U32(node))
            .with("neuron", Column::Text(neuron))
            .with("group", Column::U32(group))
            .with("marginal", Column::F64(marginal))
    }
}

#[cfg(test)]
mod tests {
    use nissl_core::stats::agreement::normalized_mutual_information;

    use super::super::tests::weight_groups;
    use super::*;

    fn found(method: Method, graph: &WeightedGraph) -> Communities {
        let detector = Detector { method, ..Detector::default() };
        detector.find(graph, &Progress::silent()).expect("finds")
    }

    #[test]
    fn every_method_finds_strong_groups_and_leaves_lonely_nodes_out() {
        let (graph, truth) = weight_groups(20.0, 1.0, 3);
        // Node 0 and two new ones have no edge.
        let edges =
            graph.edges().iter().map(|&(a, b, weight)| (a as usize + 1, b as usize + 1, weight));
        let graph = WeightedGraph::new(62, edges).expect("valid");
        for method in Method::ALL {
            let found = found(method, &graph);
            assert_eq!(found.background(), [0, 61], "{method:?}");
            let alike = normalized_mutual_information(&found.levels[0], &truth);
            // Surprise prefers smaller groups where all nodes are joined.
            let bar = if method == Method::Surprise { 0.6 } else { 0.85 };
            assert!(alike > bar, "{method:?}: {alike}");
            assert!(found.contrast.contrast > 1.5, "{method:?}: {:?}", found.contrast);
            let names: Vec<String> = (0..62).map(|node| format!("n{node}")).collect();
            let numbers: Vec<u32> = (0..62).collect();
            let table = found.table(7, &numbers, &names);
            assert_eq!(table.rows(), 60 * found.levels.len());
            assert_eq!(table.texts("neuron").expect("names")[0], "n1");
            assert_eq!(found.groups(0)[0], BACKGROUND);
        }
    }

    #[test]
    fn modularity_does_not_see_groups_that_avoid_each_other() {
        let mut alike = 0.0;
        for seed in 0..5 {
            let (graph, truth) = weight_groups(1.0, 4.0, seed);
            for method in [Method::Leiden, Method::Louvain] {
                let found = found(method, &graph);
                alike += normalized_mutual_information(&found.levels[0], &truth) / 10.0;
            }
        }
        assert!(alike <= 0.1, "{alike}");
    }

    #[test]
    fn two_cliques_have_the_surprise_of_the_formula() {
        let clique =
            |base: usize| (0..4).flat_map(move |a| (0..a).map(move |b| (base + a, base + b, 1.0)));
        let edges = clique(0).chain(clique(4)).chain([(0, 4, 1.0)]);
        let graph = WeightedGraph::new(8, edges).expect("valid");
        let (of, value) = surprise(&graph, 0).expect("finds");
        assert_eq!(of, [0, 0, 0, 0, 1, 1, 1, 1]);
        let (q, p) = (12.0f64 / 13.0, 12.0f64 / 28.0);
        let expected = 13.0 * (q * (q / p).ln() + (1.0 - q) * ((1.0 - q) / (1.0 - p)).ln());
        assert!((value - expected).abs() < 1e-12);
        let (of, _) = spectral(&graph, None, 0).expect("finds");
        assert_eq!(of, [0, 0, 0, 0, 1, 1, 1, 1]);
    }

    #[test]
    fn settings_and_graphs_that_do_not_fit_are_refused() {
        let (graph, _) = weight_groups(4.0, 1.0, 0);
        let refused = |detector: Detector, graph: &WeightedGraph, word: &str| {
            let error = detector.find(graph, &Progress::silent()).expect_err("refused");
            assert!(error.to_string().contains(word), "{error}");
        };
        let with = |method| Detector { method, ..Detector::default() };
        refused(Detector { resolution: 0.0, ..with(Method::Leiden) }, &graph, "resolution");
        refused(Detector { samples: 3, ..with(Method::Spectral) }, &graph, "samples");
        refused(Detector { groups: Some(0), ..with(Method::Spectral) }, &graph, "groups");
        refused(Detector { groups: Some(61), ..with(Method::Spectral) }, &graph, "groups");
        let empty = WeightedGraph::new(3, []).expect("nodes");
        for method in Method::ALL {
            refused(with(method), &empty, "edge");
            let negative = WeightedGraph::new(3, [(0, 1, -1.0), (1, 2, 1.0)]).expect("finite");
            refused(with(method), &negative, "weight");
        }
    }
}
