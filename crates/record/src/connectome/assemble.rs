//! From readings to one graph over the 300 neurons: what is pooled, kept, and left out.
//!
//! Readings of the gap junctions of an unordered pair are pooled over both directions, and their mean
//! (or sum, or maximum) holds both ways; a loop stands once. Of chemical readings of one ordered pair
//! the first counts (or their sum). Weights of 0 are no connections.

use std::collections::BTreeMap;
use std::path::Path;

use nissl_core::graph::Orientation;
use nissl_core::{Column, Error, Graph, Result, Table};
use serde::Serialize;

use super::names::{CellKind, Padding, resolve};
use super::reading::{EdgeKind, Readings};
use super::source::Identity;
use super::{Duplicates, ImportConnectome, Quirks, Symmetrise};
use crate::worm::{neuron, slots};

/// From, to, kind, weight.
type Edge = (usize, usize, EdgeKind, f64);

/// Names of unknown cells that a report lists.
const LISTED: usize = 12;

/// What became of the readings of a connectome.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ImportReport {
    /// Its name, weights and papers.
    #[serde(flatten)]
    pub identity: Identity,
    /// How the file laid it out.
    pub form: super::Form,
    /// The connections in the files, weights of 0 without.
    pub readings: usize,
    /// Neurons with a connection.
    pub neurons: usize,
    /// Ordered pairs of neurons with a connection of any kind.
    pub pairs: usize,
    /// Edges and their weight, by kind; gap junctions count in both directions.
    pub edges: BTreeMap<EdgeKind, EdgeCount>,
    /// Unordered pairs of neurons with gap junctions.
    pub gap_pairs: usize,
    /// Readings left out because a cell is no neuron of the 300, by what it is.
    pub skipped: BTreeMap<CellKind, usize>,
    /// Cells that nobody knows, at most twelve.
    pub unknown: Vec<String>,
    /// Rows left out by the rules of the form, such as mirrors.
    pub left_out: usize,
    /// Weights of 0.
    pub zeros: usize,
    /// Second and later chemical readings of an ordered pair.
    pub duplicates: usize,
    /// Gap junctions whose readings disagree, or that a symmetric table has in one direction only.
    pub asymmetric: Vec<Asymmetric>,
}

/// Edges of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct EdgeCount {
    /// How many.
    pub edges: usize,
    /// The sum of their weights.
    pub weight: f64,
}

/// A gap junction whose readings disagree.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Asymmetric {
    /// The neurons, in the order of their slots.
    pub pair: [String; 2],
    /// Readings from the first to the second.
    pub forth: Vec<f64>,
    /// Readings from the second to the first.
    pub back: Vec<f64>,
    /// What was taken.
    pub taken: f64,
}

/// Builds the graph of `readings`.
pub(super) fn assemble(
    readings: &Readings,
    identity: Identity,
    form: super::Form,
    settings: &ImportConnectome,
    path: &Path,
) -> Result<(Graph, ImportReport)> {
    let padding = match settings.quirks() {
        Quirks::Reference if identity.name == "cook_2019" => Padding::Kept,
        _ => Padding::Removed,
    };
    let mut report = ImportReport {
        identity,
        form,
        readings: 0,
        neurons: 0,
        pairs: 0,
        edges: BTreeMap::new(),
        gap_pairs: 0,
        skipped: BTreeMap::new(),
        unknown: Vec::new(),
        left_out: readings.left_out,
        zeros: 0,
        duplicates: 0,
        asymmetric: Vec::new(),
    };
    let mut gaps: BTreeMap<(usize, usize), [Vec<f64>; 2]> = BTreeMap::new();
    let mut others: BTreeMap<(EdgeKind, usize, usize), BTreeMap<u8, f64>> = BTreeMap::new();
    for reading in &readings.all {
        if reading.weight == 0.0 {
            report.zeros += 1;
            continue;
        }
        report.readings += 1;
        let ends = [&reading.from, &reading.to].map(|name| (name, resolve(name, padding)));
        let [(_, Ok(from)), (_, Ok(to))] = ends else {
            let mut worst = CellKind::Neuron;
            for (name, end) in ends {
                let Err(kind) = end else { continue };
                worst = worst.max(kind);
                if kind == CellKind::Unknown && !report.unknown.contains(name) {
                    report.unknown.push(name.clone());
                }
            }
            *report.skipped.entry(worst).or_default() += 1;
            continue;
        };
        if reading.kind == EdgeKind::Electrical {
            let pooled = gaps.entry((from.min(to), from.max(to))).or_default();
            pooled[usize::from(from > to)].push(reading.weight);
            continue;
        }
        let parts = others.entry((reading.kind, from, to)).or_default();
        match (parts.get_mut(&reading.part), settings.duplicates) {
            (None, _) => {
                parts.insert(reading.part, reading.weight);
            }
            (Some(_), Duplicates::First) => report.duplicates += 1,
            (Some(sum), Duplicates::Sum) => {
                report.duplicates += 1;
                *sum += reading.weight;
            }
        }
    }
    mostly_known(&report, path)?;
    report.unknown.truncate(LISTED);
    let mut edges: Vec<Edge> = Vec::new();
    report.gap_pairs = gaps.len();
    for (&(a, b), both) in &gaps {
        let weight = pooled(both, settings.symmetrise);
        if disagree(both, a == b, readings.symmetric) {
            report.asymmetric.push(Asymmetric {
                pair: [a, b].map(|slot| slots()[slot].to_owned()),
                forth: both[0].clone(),
                back: both[1].clone(),
                taken: weight,
            });
        }
        edges.push((a, b, EdgeKind::Electrical, weight));
        if a != b {
            edges.push((b, a, EdgeKind::Electrical, weight));
        }
    }
    edges.extend(
        others.iter().map(|(&(kind, from, to), parts)| (from, to, kind, parts.values().sum())),
    );
    edges.sort_by_key(|&(from, to, kind, _)| (from, to, kind));
    count(&edges, &mut report);
    if edges.is_empty() {
        let what = format!("the connectome of {}", path.display());
        return Err(Error::Empty { what, expected: "connections between neurons".to_owned() });
    }
    let graph = Graph::new(node_table(), edge_table(&edges), Orientation::Directed)?;
    Ok((graph, report))
}

/// One weight for the readings of both directions.
fn pooled(both: &[Vec<f64>; 2], symmetrise: Symmetrise) -> f64 {
    let all = || both.iter().flatten().copied();
    let sum: f64 = all().sum();
    match symmetrise {
        Symmetrise::Mean => sum / all().count() as f64,
        Symmetrise::Sum => sum,
        Symmetrise::Max => all().fold(f64::NEG_INFINITY, f64::max),
    }
}

/// Whether readings of one gap junction differ, or one of two that a symmetric sheet must have lacks.
fn disagree(both: &[Vec<f64>; 2], is_loop: bool, symmetric: bool) -> bool {
    let mut all = both.iter().flatten();
    let first = all.next();
    let differ = all.any(|value| Some(value) != first);
    differ || symmetric && !is_loop && both.iter().any(Vec::is_empty)
}

fn mostly_known(report: &ImportReport, path: &Path) -> Result<()> {
    let unknown = report.skipped.get(&CellKind::Unknown).copied().unwrap_or(0);
    if 2 * unknown <= report.readings {
        return Ok(());
    }
    let names: Vec<&str> = report.unknown.iter().take(LISTED).map(String::as_str).collect();
    let found = format!("{} in {unknown} of {} connections", names.join(", "), report.readings);
    Err(Error::file(path, "names", found, "names of neurons such as AVAL in at least half of them")
        .with_help("classes without sides, such as AVA, are no neurons; rename them or split them"))
}

fn count(edges: &[Edge], report: &mut ImportReport) {
    let mut seen = vec![false; slots().len()];
    let mut last = None;
    for &(from, to, kind, weight) in edges {
        (seen[from], seen[to]) = (true, true);
        report.pairs += usize::from(last != Some((from, to)));
        last = Some((from, to));
        let of_kind = report.edges.entry(kind).or_default();
        of_kind.edges += 1;
        of_kind.weight += weight;
    }
    report.neurons = seen.into_iter().filter(|&seen| seen).count();
}

/// The 300 neurons; the number of a node is its slot.
fn node_table() -> Table {
    let all: Vec<_> = slots().iter().filter_map(|label| neuron(label)).collect();
    let text = |of: &dyn Fn(&crate::worm::Neuron) -> String| {
        Column::Text(all.iter().map(|neuron| of(neuron)).collect())
    };
    let axis = |axis: usize| Column::F32(all.iter().map(|neuron| neuron.position[axis]).collect());
    Table::new()
        .with("node", Column::U32((0..all.len() as u32).collect()))
        .with("kind", text(&|_| "neuron".to_owned()))
        .with("name", text(&|neuron| neuron.label.clone()))
        .with("class", text(&|neuron| neuron.class.clone()))
        .with("type", text(&|neuron| neuron.types.join(";")))
        .with("neurotransmitter", text(&|neuron| neuron.transmitters.join(";")))
        .with("x", axis(0))
        .with("y", axis(1))
        .with("z", axis(2))
}

fn edge_table(edges: &[Edge]) -> Table {
    let ends = |of: &dyn Fn(&Edge) -> usize| {
        Column::U32(edges.iter().map(|edge| of(edge) as u32).collect())
    };
    Table::new()
        .with("source", ends(&|edge| edge.0))
        .with("target", ends(&|edge| edge.1))
        .with("type", Column::Text(edges.iter().map(|edge| edge.2.name().to_owned()).collect()))
        .with("weight", Column::F64(edges.iter().map(|edge| edge.3).collect()))
}
