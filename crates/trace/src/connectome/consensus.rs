//! One connectome from several: mean weights, how far they scatter, and who measured them.
//!
//! For an ordered pair: the gap weight is the mean of the distinct values of all sources in both directions, any other
//! weight the mean over the sources that have the edge; `uncertainty = 0.9 sd(chemical) + 0.1 sd(gap)` with population
//! deviations, where both kinds are there.
//! Source: Simeon et al. 2024, arXiv:2411.12091, and the code of its data set.
//! Differs: positions are millimetres, those of the connectomes; edges of sources without synapses (functional,
//! monoamine, neuropeptide) have columns of their own; `normalise` divides by a source's total before.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use clap::Args;
use nissl_core::graph::{Graph, Orientation};
use nissl_core::store::write_bytes;
use nissl_core::{Column, Error, Result, Table};
use serde::{Deserialize, Serialize};

use super::{CHEMICAL, Connectome, ELECTRICAL, FUNCTIONAL};

/// The four tables: all pairs or those with an edge, with functional weights or without.
pub const CONSENSUS_FILES: [&str; 4] = [
    "consensus_connectome_full_withfunc.csv",
    "consensus_connectome_full_nofunc.csv",
    "consensus_connectome_trimmed_withfunc.csv",
    "consensus_connectome_trimmed_nofunc.csv",
];

/// How the deviations of chemical weights count against those of gap weights.
const CHEMICAL_SHARE: f64 = 0.9;

/// How a consensus is made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Args)]
#[serde(default, deny_unknown_fields)]
pub struct Consensus {
    /// Divide weights by the total of their source and type before they are averaged
    #[arg(long)]
    pub normalise: bool,
}

/// An ordered pair of neurons with what its sources say.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pair {
    /// The row of the neuron where it begins.
    pub from: usize,
    /// The row of the neuron where it ends.
    pub to: usize,
    /// Mean weights by type; types without an edge are absent.
    pub weights: BTreeMap<String, f64>,
    /// How far the sources scatter; none unless there are gap junctions and chemical synapses.
    pub uncertainty: Option<f64>,
    /// The sources that have an edge, by name.
    pub sources: Vec<String>,
}

/// A consensus.
#[derive(Clone, Debug, PartialEq)]
pub struct Consented {
    /// The pairs with an edge, by row.
    pub pairs: Vec<Pair>,
    neurons: Vec<String>,
    nodes: Table,
    kinds: BTreeSet<String>,
}

impl Consensus {
    /// The consensus of `connectomes`.
    ///
    /// # Errors
    /// No connectome, two of the same name, or connectomes over other neurons.
    pub fn of(&self, connectomes: &[Connectome]) -> Result<Consented> {
        let Some(first) = connectomes.first() else {
            let what = "the list of connectomes".to_owned();
            return Err(Error::Empty { what, expected: "one connectome or more".to_owned() });
        };
        for (place, other) in connectomes.iter().enumerate() {
            if other.neurons != first.neurons {
                let found = format!("{} of `{}`", other.neurons.len(), other.name);
                let expected = format!("the {} of `{}`", first.neurons.len(), first.name);
                return Err(Error::setting("neurons", found, expected)
                    .with_help("import all of them with the same --merge"));
            }
            if connectomes[..place].iter().any(|before| before.name == other.name) {
                let found = format!("`{}` twice", other.name);
                return Err(Error::setting("connectomes", found, "each source once"));
            }
        }
        let kinds: BTreeSet<String> =
            connectomes.iter().flat_map(|one| one.weights.keys().cloned()).collect();
        let totals: Vec<BTreeMap<&str, f64>> = connectomes
            .iter()
            .map(|one| {
                let total = |matrix: &ndarray::Array2<f64>| {
                    if self.normalise { matrix.iter().map(|w| w.abs()).sum() } else { 1.0 }
                };
                one.weights.iter().map(|(kind, matrix)| (kind.as_str(), total(matrix))).collect()
            })
            .collect();
        let count = first.neurons.len();
        let mut pairs = Vec::new();
        for from in 0..count {
            for to in 0..count {
                let pair = pair(connectomes, &totals, &kinds, from, to);
                pairs.extend((!pair.sources.is_empty()).then_some(pair));
            }
        }
        Ok(Consented { pairs, neurons: first.neurons.clone(), nodes: first.nodes.clone(), kinds })
    }
}

fn pair(
    connectomes: &[Connectome],
    totals: &[BTreeMap<&str, f64>],
    kinds: &BTreeSet<String>,
    from: usize,
    to: usize,
) -> Pair {
    let (mut weights, mut sources) = (BTreeMap::new(), BTreeSet::new());
    let (mut gap_deviation, mut chemical_deviation) = (None, None);
    for kind in kinds {
        let mut values = Vec::new();
        for (one, totals) in connectomes.iter().zip(totals) {
            let Some(total) = totals.get(kind.as_str()) else { continue };
            let both = [one.weight(kind, from, to), one.weight(kind, to, from)];
            let directions = if kind == ELECTRICAL { &both[..] } else { &both[..1] };
            for &weight in directions.iter().filter(|&&weight| weight != 0.0) {
                values.push(weight / total);
                sources.insert(one.name.clone());
            }
        }
        if kind == ELECTRICAL {
            values.sort_by(f64::total_cmp);
            values.dedup();
        }
        if values.is_empty() {
            continue;
        }
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let square = |value: &f64| (value - mean) * (value - mean);
        let deviation = (values.iter().map(square).sum::<f64>() / values.len() as f64).sqrt();
        match kind.as_str() {
            ELECTRICAL => gap_deviation = Some(deviation),
            CHEMICAL => chemical_deviation = Some(deviation),
            _ => {}
        }
        weights.insert(kind.clone(), mean);
    }
    let uncertainty = chemical_deviation
        .zip(gap_deviation)
        .map(|(chemical, gap)| CHEMICAL_SHARE * chemical + (1.0 - CHEMICAL_SHARE) * gap);
    Pair { from, to, weights, uncertainty, sources: sources.into_iter().collect() }
}

impl Consented {
    /// The consensus as a graph; edges have `uncertainty` (NaN where none) and `sources`.
    ///
    /// # Errors
    /// Node tables that are no graph's.
    pub fn graph(&self) -> Result<Graph> {
        let nodes = self.nodes.u32s("node")?;
        let each = || {
            self.pairs.iter().flat_map(|pair| pair.weights.iter().map(move |weight| (pair, weight)))
        };
        let edges = Table::new()
            .with("source", Column::U32(each().map(|(pair, _)| nodes[pair.from]).collect()))
            .with("target", Column::U32(each().map(|(pair, _)| nodes[pair.to]).collect()))
            .with("type", Column::Text(each().map(|(_, (kind, _))| kind.clone()).collect()))
            .with("weight", Column::F64(each().map(|(_, (_, &weight))| weight).collect()))
            .with(
                "uncertainty",
                Column::F64(each().map(|(pair, _)| pair.uncertainty.unwrap_or(f64::NAN)).collect()),
            )
            .with("sources", Column::Texts(each().map(|(pair, _)| pair.sources.clone()).collect()));
        Graph::new(self.nodes.clone(), edges, Orientation::Directed)
    }

    /// Writes the four tables of [`CONSENSUS_FILES`] into `folder`.
    ///
    /// # Errors
    /// A failed file operation.
    pub fn write_csv(&self, folder: &Path) -> Result<()> {
        let all: BTreeMap<(usize, usize), &Pair> =
            self.pairs.iter().map(|pair| ((pair.from, pair.to), pair)).collect();
        let count = self.neurons.len();
        for (file, whole, functional) in [
            (CONSENSUS_FILES[0], true, true),
            (CONSENSUS_FILES[1], true, false),
            (CONSENSUS_FILES[2], false, true),
            (CONSENSUS_FILES[3], false, false),
        ] {
            let kinds: Vec<&str> = self.columns(functional);
            let mut text = self.header(functional);
            for from in 0..count {
                for to in 0..count {
                    let pair = all.get(&(from, to)).copied();
                    let any = pair.is_some_and(|pair| {
                        kinds.iter().any(|kind| pair.weights.contains_key(*kind))
                    });
                    if whole || any {
                        self.row(&mut text, from, to, pair, functional);
                    }
                }
            }
            write_bytes(&folder.join(file), text.as_bytes())?;
        }
        Ok(())
    }

    /// The types that a table has columns for.
    fn columns(&self, functional: bool) -> Vec<&str> {
        let mut kinds = vec![ELECTRICAL, CHEMICAL];
        kinds.extend(functional.then_some(FUNCTIONAL));
        let named = kinds.clone();
        kinds.extend(
            self.kinds
                .iter()
                .map(String::as_str)
                .filter(|kind| *kind != FUNCTIONAL && !named.contains(kind)),
        );
        kinds
    }

    fn header(&self, functional: bool) -> String {
        let mut text = "from_neuron,to_neuron,from_pos,to_pos,from_type,to_type,mean_gap_weight,\
                        mean_chem_weight,uncertainty"
            .to_owned();
        for kind in self.columns(functional).into_iter().skip(2) {
            let column = if kind == FUNCTIONAL {
                "functional_weight".to_owned()
            } else {
                format!("mean_{kind}_weight")
            };
            let _infallible = write!(text, ",{column}");
        }
        text + ",data_sources\n"
    }

    fn row(
        &self,
        text: &mut String,
        from: usize,
        to: usize,
        pair: Option<&Pair>,
        functional: bool,
    ) {
        let position = |row: usize| {
            let axis = |name: &str| self.nodes.f32s(name).map_or(f32::NAN, |values| values[row]);
            let all = ["x", "y", "z"].map(axis);
            if all.iter().any(|value| value.is_nan()) {
                String::new()
            } else {
                format!("\"({}, {}, {})\"", all[0], all[1], all[2])
            }
        };
        let kind = |row: usize| self.nodes.texts("type").map_or("", |types| types[row].as_str());
        let weight = |kind: &str| {
            pair.and_then(|pair| pair.weights.get(kind)).map_or_else(String::new, f64::to_string)
        };
        let uncertainty = pair
            .and_then(|pair| pair.uncertainty)
            .map_or_else(String::new, |value| value.to_string());
        let _infallible = write!(
            text,
            "{},{},{},{},{},{},{},{},{uncertainty}",
            self.neurons[from],
            self.neurons[to],
            position(from),
            position(to),
            kind(from),
            kind(to),
            weight(ELECTRICAL),
            weight(CHEMICAL),
        );
        for kind in self.columns(functional).into_iter().skip(2) {
            let _infallible = write!(text, ",{}", weight(kind));
        }
        let sources: Vec<String> = pair
            .map_or(&[][..], |pair| &pair.sources)
            .iter()
            .map(|name| format!("'{name}'"))
            .collect();
        let _infallible = writeln!(text, ",\"[{}]\"", sources.join(", "));
    }
}
