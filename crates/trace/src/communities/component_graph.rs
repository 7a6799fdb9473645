//! From a component of a factorised tensor to a graph: which pairs are strong enough to be edges.
//!
//! Otsu: of 64 bins over the loadings, the cut of greatest variance between the two sides. Or the strongest
//! fraction; or all above the 95th percentile that the same component has in circularly shifted data. Nodes
//! without an edge are background.
//!
//! Source: Otsu 1979; Dyballa et al. 2024, arXiv:2402.14102, §3.3.
//! Memory: one matrix of nodes by nodes.

use std::fmt;
use std::str::FromStr;

use ndarray::Array2;
use nissl_core::components::TensorComponents;
use nissl_core::graph::{Graph, Orientation};
use nissl_core::{Column, Error, Result, Table};
use serde::{Deserialize, Serialize};

use super::graph::WeightedGraph;

/// Bins of the histogram of loadings.
const BINS: usize = 64;

/// Which pairs become edges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Threshold {
    /// Those above the cut between weak and strong loadings.
    #[default]
    Otsu,
    /// Those above what shifted data give.
    Shifted,
    /// All above 0.
    None,
    /// The strongest fraction of all pairs, above 0 up to 1.
    Keep(f64),
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Otsu => f.write_str("otsu"),
            Self::Shifted => f.write_str("shifted"),
            Self::None => f.write_str("none"),
            Self::Keep(fraction) => write!(f, "{fraction}"),
        }
    }
}

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "otsu" => Ok(Self::Otsu),
            "shifted" => Ok(Self::Shifted),
            "none" => Ok(Self::None),
            _ => match text.parse::<f64>() {
                Ok(fraction) if fraction > 0.0 && fraction <= 1.0 => Ok(Self::Keep(fraction)),
                _ => Err(format!(
                    "`{text}`: expected otsu, shifted, none, or a fraction above 0 up to 1"
                )),
            },
        }
    }
}

impl TryFrom<String> for Threshold {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        text.parse()
    }
}

impl From<Threshold> for String {
    fn from(threshold: Threshold) -> Self {
        threshold.to_string()
    }
}

/// The graph of one component.
#[derive(Clone, Debug, PartialEq)]
pub struct ComponentGraph {
    /// The graph of the units that have an edge, numbered anew.
    pub graph: WeightedGraph,
    /// The unit of each node.
    pub units: Vec<usize>,
    /// The units without an edge.
    pub background: Vec<usize>,
    /// The loading above which a pair is an edge.
    pub cut: f64,
}

impl ComponentGraph {
    /// The graph of a symmetric matrix `[unit, unit]` of numbers of 0 or more; `shifted` is the cut of
    /// shifted data, where it is known.
    ///
    /// # Errors
    /// A matrix that is not square, a number below 0 or not finite, a cut that is not known, or no edge.
    pub fn of(matrix: &Array2<f64>, threshold: Threshold, shifted: Option<f64>) -> Result<Self> {
        let (units, columns) = matrix.dim();
        if units != columns {
            return Err(Error::setting("matrix", format!("{units} × {columns}"), "square"));
        }
        let upper = || (0..units).flat_map(|a| (a + 1..units).map(move |b| [a, b]));
        let loadings: Vec<f64> = upper().map(|place| matrix[place]).collect();
        if let Some(bad) = loadings.iter().find(|x| !(**x >= 0.0 && x.is_finite())) {
            return Err(Error::setting("loading", bad, "finite numbers of 0 or more"));
        }
        let cut = match threshold {
            Threshold::Otsu => otsu(&loadings),
            Threshold::None => 0.0,
            Threshold::Shifted => shifted.ok_or_else(|| {
                Error::setting(
                    "threshold",
                    "shifted",
                    "components that know what shifted data give",
                )
                .with_help("factorise again with --shifted 20, or take another threshold")
            })?,
            Threshold::Keep(fraction) => kept(&loadings, fraction),
        };
        let edges: Vec<(usize, usize, f64)> = upper()
            .zip(&loadings)
            .filter(|(_, loading)| **loading > cut)
            .map(|([a, b], &loading)| (a, b, loading))
            .collect();
        if edges.is_empty() {
            let found = format!("none of {} pairs above {cut:.3e}", loadings.len());
            return Err(Error::setting("edges", found, "at least one")
                .with_help("take a lower threshold, such as otsu or none"));
        }
        let (nodes, graph) = WeightedGraph::new(units, edges)?.connected()?;
        let background = (0..units).filter(|unit| nodes.binary_search(unit).is_err()).collect();
        Ok(Self { graph, units: nodes, background, cut })
    }

    /// The graph of component `number` of `components`.
    ///
    /// # Errors
    /// No such component, and as [`Self::of`].
    pub fn of_component(
        components: &TensorComponents,
        number: usize,
        threshold: Threshold,
    ) -> Result<Self> {
        if number >= components.rank() {
            let expected = format!("below {}", components.rank());
            return Err(Error::setting("component", number, expected));
        }
        let shifted = components.shifted.get(number).map(|&cut| f64::from(cut));
        Self::of(&components.matrix(number).mapv(f64::from), threshold, shifted)
    }

    /// The group of every unit, counting from 1, from the groups of the nodes; 0 for background.
    pub fn labels(&self, groups: &[u32]) -> Vec<u32> {
        let mut labels = vec![0; self.units.len() + self.background.len()];
        for (&unit, &group) in self.units.iter().zip(groups) {
            labels[unit] = group + 1;
        }
        labels
    }

    /// The graph with names, for other stages: nodes of kind `neuron`, edges of type `affinity`; `groups` adds the
    /// column `group`.
    ///
    /// # Errors
    /// Another number of groups than nodes.
    pub fn to_graph(&self, names: &[String], groups: Option<&[u32]>) -> Result<Graph> {
        let count = self.units.len();
        let named = self.units.iter().map(|&unit| names.get(unit).cloned().unwrap_or_default());
        let mut nodes = Table::new()
            .with("node", Column::U32(self.units.iter().map(|&unit| unit as u32).collect()))
            .with("kind", Column::Text(vec!["neuron".to_owned(); count]))
            .with("name", Column::Text(named.collect()));
        if let Some(groups) = groups {
            if groups.len() != count {
                return Err(Error::setting("groups", groups.len(), format!("{count}, one a node")));
            }
            nodes = nodes.with("group", Column::U32(groups.to_vec()));
        }
        let ends = |end: fn(&(u32, u32, f64)) -> u32| {
            let units = self.graph.edges().iter().map(|edge| self.units[end(edge) as usize] as u32);
            Column::U32(units.collect())
        };
        let edges = Table::new()
            .with("source", ends(|edge| edge.0))
            .with("target", ends(|edge| edge.1))
            .with("type", Column::Text(vec!["affinity".to_owned(); self.graph.edges().len()]))
            .with("weight", Column::F64(self.graph.edges().iter().map(|edge| edge.2).collect()));
        Graph::new(nodes, edges, Orientation::Undirected)
    }
}

/// The upper edge of the bin after which the two sides differ most.
fn otsu(values: &[f64]) -> f64 {
    let [least, most] =
        values.iter().fold([f64::INFINITY, f64::NEG_INFINITY], |[a, b], &x| [a.min(x), b.max(x)]);
    if most <= least {
        return 0.0;
    }
    let width = (most - least) / BINS as f64;
    let mut counts = [0f64; BINS];
    for value in values {
        counts[(((value - least) / width) as usize).min(BINS - 1)] += 1.0;
    }
    let total = values.len() as f64;
    let centre = |bin: usize| (bin as f64 + 0.5) * width;
    let whole: f64 = counts.iter().enumerate().map(|(bin, count)| count * centre(bin)).sum();
    let (mut below, mut sum, mut best) = (0.0, 0.0, (0.0, 0));
    for (bin, count) in counts.iter().enumerate().take(BINS - 1) {
        below += count;
        sum += count * centre(bin);
        if below > 0.0 && below < total {
            let apart = sum / below - (whole - sum) / (total - below);
            let between = below * (total - below) * apart * apart;
            if between > best.0 {
                best = (between, bin);
            }
        }
    }
    least + (best.1 + 1) as f64 * width
}

/// The loading above which the strongest `fraction` of all pairs lies.
fn kept(values: &[f64], fraction: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let count = (fraction * sorted.len() as f64).round() as usize;
    sorted.get(count).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix() -> Array2<f64> {
        // {0, 1, 2} strong, {3, 4} strong, all else weak, 5 alone.
        Array2::from_shape_fn((6, 6), |(a, b)| match (a.min(b), a.max(b)) {
            (a, b) if a == b => 0.0,
            (a, b) if b <= 2 => 1.0 + 0.01 * (a + b) as f64,
            (3, 4) => 0.8,
            _ => 0.1,
        })
    }

    #[test]
    fn otsu_parts_strong_from_weak_and_leaves_background() {
        let found = ComponentGraph::of(&matrix(), Threshold::Otsu, None).expect("a graph");
        assert_eq!(found.units, [0, 1, 2, 3, 4]);
        assert_eq!(found.background, [5]);
        assert_eq!(found.graph.edges().len(), 4);
        assert!(found.cut > 0.1 && found.cut < 0.8, "{}", found.cut);
        assert_eq!(found.labels(&[0, 0, 0, 1, 1]), [1, 1, 1, 2, 2, 0]);
        let names: Vec<String> = (0..6).map(|n| format!("n{n}")).collect();
        let graph = found.to_graph(&names, Some(&[0, 0, 0, 1, 1])).expect("a graph");
        assert_eq!(graph.nodes().texts("name").expect("names")[4], "n4");
        assert!(found.to_graph(&names, Some(&[0])).is_err());
    }

    #[test]
    fn other_thresholds_keep_what_they_say() {
        let edges = |threshold, shifted| {
            ComponentGraph::of(&matrix(), threshold, shifted).expect("a graph").graph.edges().len()
        };
        assert_eq!(edges(Threshold::None, None), 15);
        assert_eq!(edges(Threshold::Keep(0.2), None), 3);
        assert_eq!(edges(Threshold::Shifted, Some(0.9)), 3);
        let refused = ComponentGraph::of(&matrix(), Threshold::Shifted, None).expect_err("unknown");
        assert!(format!("{refused:?}").contains("--shifted"), "{refused:?}");
        assert!(ComponentGraph::of(&matrix(), Threshold::Shifted, Some(5.0)).is_err());
        assert!(ComponentGraph::of(&Array2::zeros((3, 3)), Threshold::Otsu, None).is_err());
        let mut negative = matrix();
        negative[[0, 1]] = -1.0;
        assert!(ComponentGraph::of(&negative, Threshold::None, None).is_err());
        for text in ["otsu", "shifted", "none", "0.25"] {
            assert_eq!(text.parse::<Threshold>().expect("reads").to_string(), text);
        }
        assert!("1.5".parse::<Threshold>().is_err() && "all".parse::<Threshold>().is_err());
    }
}
