//! The interaction graph as a Graph, and its modules.
//!
//! Nodes: every vector of every node layer but the constants, with its importance. Modules: communities
//! of the graph without direction, its weights `E`, `√E`, `E/ΣE` or `E/max` of each pair of node layers,
//! or `max(0, log₁₀(E/ε))`.
//!
//! Source: Bushnaq et al. 2024, arXiv:2405.10928, §3 (modules).
//! Memory: all edges.

use nissl_core::graph::{Graph, Orientation};
use nissl_core::section::InteractionBasis;
use nissl_core::table::{Column, Table};
use nissl_core::{Error, Result};

use super::edges::EdgeMatrix;
use crate::leiden::{Communities, leiden};

/// The weight that an edge has in the search for modules.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum EdgeScale {
    /// `E`.
    #[default]
    Plain,
    /// `√E`.
    Root,
    /// `E/ΣE` of its pair of node layers.
    Share,
    /// `E/max E` of its pair of node layers.
    Most,
    /// `log₁₀(E/ε)` where that is positive, and 0 elsewhere.
    Log {
        /// `ε`: the smallest edge that matters, above 0.
        least: f64,
    },
}

/// The interaction graph: edges above 0, with their weights scaled.
///
/// # Errors
/// Edges that do not fit the bases, or an `ε` that is not positive.
pub fn graph(
    bases: &InteractionBasis,
    edges: &[EdgeMatrix],
    scale: EdgeScale,
    orientation: Orientation,
) -> Result<Graph> {
    if let EdgeScale::Log { least } = scale
        && !(least.is_finite() && least > 0.0)
    {
        return Err(Error::setting("least edge", least, "a positive number"));
    }
    let (mut numbers, mut names, mut layers, mut indices, mut importance) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut places: Vec<Vec<Option<u32>>> = Vec::new();
    for basis in &bases.node_layers {
        let mut of = vec![None; basis.vectors()];
        for (vector, place) in of.iter_mut().enumerate() {
            if basis.constant == Some(vector) {
                continue;
            }
            let number = numbers.len() as u32;
            *place = Some(number);
            numbers.push(number);
            names.push(format!("{}.{vector}", basis.node_layer));
            layers.push(basis.node_layer.clone());
            indices.push(vector as u32);
            importance.push(basis.importance[vector]);
        }
        places.push(of);
    }
    let place = |name: &str| {
        bases.of(name)?;
        Ok::<_, Error>(bases.node_layers.iter().position(|basis| basis.node_layer == name))
    };
    let (mut sources, mut targets, mut weights) = (Vec::new(), Vec::new(), Vec::new());
    for matrix in edges {
        let (Some(from), Some(to)) = (place(&matrix.from)?, place(&matrix.to)?) else { continue };
        let expected = [places[to].len(), places[from].len()];
        if matrix.weights.shape() != expected {
            let found = format!("{:?}", matrix.weights.shape());
            return Err(Error::setting("edges", found, format!("{expected:?}, as the bases")));
        }
        let real = matrix.weights.indexed_iter().filter_map(|((i, j), &weight)| {
            Some((places[from][j]?, places[to][i]?, weight)).filter(|it| it.2 > 0.0)
        });
        let real: Vec<(u32, u32, f64)> = real.collect();
        let sum: f64 = real.iter().map(|it| it.2).sum();
        let most = real.iter().map(|it| it.2).fold(0.0, f64::max);
        for (source, target, weight) in real {
            let scaled = match scale {
                EdgeScale::Plain => weight,
                EdgeScale::Root => weight.sqrt(),
                EdgeScale::Share => weight / sum,
                EdgeScale::Most => weight / most,
                EdgeScale::Log { least } => (weight / least).log10().max(0.0),
            };
            if scaled > 0.0 {
                sources.push(source);
                targets.push(target);
                weights.push(scaled);
            }
        }
    }
    let kinds = vec!["coordinate".to_owned(); numbers.len()];
    let types = vec!["interaction".to_owned(); weights.len()];
    let nodes = Table::new()
        .with("node", Column::U32(numbers))
        .with("kind", Column::Text(kinds))
        .with("name", Column::Text(names))
        .with("node_layer", Column::Text(layers))
        .with("index", Column::U32(indices))
        .with("importance", Column::F64(importance));
    let edges = Table::new()
        .with("source", Column::U32(sources))
        .with("target", Column::U32(targets))
        .with("type", Column::Text(types))
        .with("weight", Column::F64(weights));
    Graph::new(nodes, edges, orientation)
}

/// The modules of an interaction graph, with one row for each: `module`, `size`, `node_layers` (how many
/// it touches).
///
/// # Errors
/// A resolution that is not positive, or a graph without the column `node_layer`.
pub fn modules(graph: &Graph, resolution: f64, seed: u64) -> Result<(Communities, Table)> {
    let found = leiden(graph, resolution, seed)?;
    let layers = graph.nodes().texts("node_layer")?;
    let count = 1 + found.of.iter().copied().max().unwrap_or(0);
    let mut sizes = vec![0u32; count];
    let mut touched = vec![std::collections::BTreeSet::new(); count];
    for (&module, layer) in found.of.iter().zip(layers) {
        sizes[module] += 1;
        touched[module].insert(layer);
    }
    let table = Table::new()
        .with("module", Column::U32((0..count as u32).collect()))
        .with("size", Column::U32(sizes))
        .with("node_layers", Column::U32(touched.iter().map(|it| it.len() as u32).collect()));
    Ok((found, table))
}
