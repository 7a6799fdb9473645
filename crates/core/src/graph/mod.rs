//! `Graph`: nodes and weighted, typed, possibly time-dependent edges.
//!
//! A circuit, a connectome, communities or a hierarchy, the same type. On disk: see
//! `docs/formats.md`. Orientation: an edge runs from `source` to `target`, its weight is the effect
//! of the source on the target; in an undirected graph each edge stands once and counts both ways.
//! Memory: both tables; [`EdgeGroups`] and [`GraphWriter`] hold the nodes and one row group.

mod attribution;
mod csv;
mod graphml;
mod query;
mod store;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

pub use attribution::AttributionMetadata;
pub use store::{EdgeGroups, GraphWriter};
pub(crate) use store::{finished, fits, listed, of_file};

use crate::error::{Error, Result};
use crate::table::{Column, Table};

/// Whether edges have a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Orientation {
    /// From `source` to `target`.
    Directed,
    /// Both ways; each edge stands once.
    Undirected,
}

/// The part of the manifest that only graphs have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GraphDetail {
    /// The number of nodes.
    pub nodes: usize,
    /// The number of edges.
    pub edges: usize,
    /// Whether edges have a direction.
    pub orientation: Orientation,
    /// The seed of the stored layout, when nodes have `x` and `y`.
    #[serde(default)]
    pub layout_seed: Option<u64>,
    /// Whether all was written.
    pub complete: bool,
}

/// Nodes and edges, checked against each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    nodes: Table,
    edges: Table,
    orientation: Orientation,
    layout_seed: Option<u64>,
    rows: HashMap<u32, usize>,
}

impl Graph {
    /// A graph of a node table (`node` u32, `kind` and `name` string, free columns) and an edge
    /// table (`source` and `target` u32, `type` string, `weight` f64; optional `time_s` f64, where
    /// NaN means always, or `window` u32 or string; free columns).
    ///
    /// # Errors
    /// A missing column or one of another type, a node that stands twice, an edge that names an
    /// absent node, a weight that is not finite, or a layout with only one coordinate.
    pub fn new(nodes: Table, edges: Table, orientation: Orientation) -> Result<Self> {
        let rows = check_nodes(&nodes)?;
        check_edges(&edges, &rows)?;
        Ok(Self { nodes, edges, orientation, layout_seed: None, rows })
    }

    /// The same graph with a place for each row of the node table, drawn with `seed`.
    ///
    /// # Errors
    /// Another number of places than nodes, or a coordinate that is not finite.
    pub fn with_layout(self, places: &[[f32; 2]], seed: u64) -> Result<Self> {
        if places.len() != self.nodes.rows() {
            let expected = format!("{}, one a node", self.nodes.rows());
            return Err(Error::setting("layout", places.len(), expected));
        }
        let coordinate =
            |axis: usize| Column::F32(places.iter().map(|place| place[axis]).collect());
        let nodes = self.nodes.with("x", coordinate(0)).with("y", coordinate(1));
        check_layout(&nodes)?;
        Ok(Self { nodes, layout_seed: Some(seed), ..self })
    }

    /// One row for each node: `node`, `kind`, `name`, and more.
    pub fn nodes(&self) -> &Table {
        &self.nodes
    }

    /// One row for each edge: `source`, `target`, `type`, `weight`, and more.
    pub fn edges(&self) -> &Table {
        &self.edges
    }

    /// Whether edges have a direction.
    pub fn orientation(&self) -> Orientation {
        self.orientation
    }

    /// The seed of the stored layout.
    pub fn layout_seed(&self) -> Option<u64> {
        self.layout_seed
    }

    /// The stored layout, `[x, y]` for each row of the node table.
    pub fn layout(&self) -> Option<Vec<[f32; 2]>> {
        let (x, y) = (self.nodes.f32s("x").ok()?, self.nodes.f32s("y").ok()?);
        Some(x.iter().zip(y).map(|(&x, &y)| [x, y]).collect())
    }

    /// The row of a node in the node table.
    ///
    /// # Errors
    /// No such node.
    pub fn row(&self, node: u32) -> Result<usize> {
        let known = self.rows.get(&node).copied();
        known.ok_or_else(|| Error::setting("node", node, "a node of the graph"))
    }

    /// The edges as `(source, target, weight)`, in their order.
    pub fn links(&self) -> impl Iterator<Item = (u32, u32, f64)> + '_ {
        let ends = |name| self.edges.u32s(name).unwrap_or_default();
        let weights = self.edges.f64s("weight").unwrap_or_default();
        ends("source").iter().zip(ends("target")).zip(weights).map(|((&s, &t), &w)| (s, t, w))
    }
}

/// An edge table without rows.
fn no_edges() -> Table {
    Table::new()
        .with("source", Column::U32(Vec::new()))
        .with("target", Column::U32(Vec::new()))
        .with("type", Column::Text(Vec::new()))
        .with("weight", Column::F64(Vec::new()))
}

/// The row of each node.
fn check_nodes(nodes: &Table) -> Result<HashMap<u32, usize>> {
    let numbers = nodes.u32s("node")?;
    if numbers.is_empty() {
        let what = "the node table".to_owned();
        return Err(Error::Empty { what, expected: "at least one node".to_owned() });
    }
    nodes.texts("kind")?;
    nodes.texts("name")?;
    check_layout(nodes)?;
    let mut rows = HashMap::with_capacity(numbers.len());
    for (row, &node) in numbers.iter().enumerate() {
        if let Some(before) = rows.insert(node, row) {
            let found = format!("{node} in the rows {before} and {row}");
            return Err(Error::setting("node", found, "each node once"));
        }
    }
    Ok(rows)
}

fn check_layout(nodes: &Table) -> Result<()> {
    if nodes.get("x").is_none() && nodes.get("y").is_none() {
        return Ok(());
    }
    for axis in ["x", "y"] {
        if let Some(value) = nodes.f32s(axis)?.iter().find(|value| !value.is_finite()) {
            return Err(Error::setting(axis, value, "finite numbers"));
        }
    }
    Ok(())
}

fn check_edges(edges: &Table, rows: &HashMap<u32, usize>) -> Result<()> {
    for end in ["source", "target"] {
        let absent = |(_, node): &(usize, &u32)| !rows.contains_key(*node);
        if let Some((row, node)) = edges.u32s(end)?.iter().enumerate().find(absent) {
            let found = format!("{node} in edge {row}");
            return Err(Error::setting(end, found, "a node of the node table"));
        }
    }
    edges.texts("type")?;
    let weights = edges.f64s("weight")?;
    if let Some(row) = weights.iter().position(|weight| !weight.is_finite()) {
        let found = format!("{} in edge {row}", weights[row]);
        return Err(Error::setting("weight", found, "finite numbers"));
    }
    if edges.get("time_s").is_some()
        && let Some(time) = edges.f64s("time_s")?.iter().find(|time| time.is_infinite())
    {
        return Err(Error::setting("time_s", time, "seconds, or NaN for always"));
    }
    match edges.get("window") {
        None | Some(Column::U32(_) | Column::Text(_)) => Ok(()),
        Some(other) => Err(Error::setting("window", other.kind(), "u32 or string")),
    }
}
