//! The undirected weighted graph without loops in which communities are sought.

use std::collections::BTreeMap;

use nissl_core::graph::Graph;
use nissl_core::{Error, Result};

/// An undirected graph without loops or parallel edges.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightedGraph {
    nodes: usize,
    edges: Vec<(u32, u32, f64)>,
}

impl WeightedGraph {
    /// A graph of nodes `0..nodes`; edges between the same two nodes add up, whatever their direction,
    /// and loops are left out.
    ///
    /// # Errors
    /// No nodes, an end that is no node, or a weight that is not finite.
    pub fn new(nodes: usize, edges: impl IntoIterator<Item = (usize, usize, f64)>) -> Result<Self> {
        if nodes == 0 {
            let what = "the graph".to_owned();
            return Err(Error::Empty { what, expected: "at least one node".to_owned() });
        }
        if u32::try_from(nodes).is_err() {
            return Err(Error::setting("nodes", nodes, "below 2³²"));
        }
        let mut sums: BTreeMap<(u32, u32), f64> = BTreeMap::new();
        for (a, b, weight) in edges {
            if a >= nodes || b >= nodes {
                return Err(Error::setting(
                    "edge",
                    format!("{a} to {b}"),
                    format!("nodes below {nodes}"),
                ));
            }
            if !weight.is_finite() {
                let found = format!("{weight} between {a} and {b}");
                return Err(Error::setting("weight", found, "finite numbers"));
            }
            if a != b {
                *sums.entry((a.min(b) as u32, a.max(b) as u32)).or_default() += weight;
            }
        }
        let edges = sums.into_iter().map(|((a, b), weight)| (a, b, weight)).collect();
        Ok(Self { nodes, edges })
    }

    /// The edges of `graph` whose type is one of `types`, or all when there are none; node `n` is row
    /// `n` of the node table, directions are ignored and weights between the same two nodes add up.
    ///
    /// # Errors
    /// A type that no edge has.
    pub fn of(graph: &Graph, types: &[String]) -> Result<Self> {
        let kinds = graph.edges().texts("type")?;
        if let Some(absent) = types.iter().find(|wanted| !kinds.contains(wanted)) {
            let mut known: Vec<&str> = kinds.iter().map(String::as_str).collect();
            known.sort_unstable();
            known.dedup();
            return Err(Error::setting(
                "edge_type",
                absent,
                format!("one of {}", known.join(", ")),
            ));
        }
        let wanted = |kind: &String| types.is_empty() || types.contains(kind);
        let edges = graph.links().zip(kinds).filter(|(_, kind)| wanted(kind));
        let rows = edges.map(|((a, b, weight), _)| Ok((graph.row(a)?, graph.row(b)?, weight)));
        Self::new(graph.nodes().rows(), rows.collect::<Result<Vec<_>>>()?)
    }

    /// The graph of a symmetric `[node, node]` matrix: an edge wherever an entry of its upper triangle
    /// is above 0.
    ///
    /// # Errors
    /// A matrix that is not square, or an entry that is not finite.
    pub fn from_matrix(matrix: ndarray::ArrayView2<'_, f64>) -> Result<Self> {
        let (nodes, columns) = matrix.dim();
        if nodes != columns {
            return Err(Error::setting("matrix", format!("{nodes} × {columns}"), "square"));
        }
        let upper = matrix.indexed_iter().filter(|((a, b), _)| a < b);
        // A NaN is refused as a weight, not passed over.
        let edges = upper.filter(|(_, weight)| weight.is_nan() || **weight > 0.0);
        Self::new(nodes, edges.map(|((a, b), &weight)| (a, b, weight)))
    }

    /// The same edges with the sizes of their weights, without those of weight 0.
    #[must_use]
    pub fn absolute(mut self) -> Self {
        self.edges.retain(|edge| edge.2 != 0.0);
        for edge in &mut self.edges {
            edge.2 = edge.2.abs();
        }
        self
    }

    /// The number of nodes.
    pub fn nodes(&self) -> usize {
        self.nodes
    }

    /// The edges as `(a, b, weight)` with `a < b`, ascending.
    pub fn edges(&self) -> &[(u32, u32, f64)] {
        &self.edges
    }

    /// Edges of each node `[node]`.
    pub fn degrees(&self) -> Vec<u32> {
        let mut degrees = vec![0; self.nodes];
        for &(a, b, _) in &self.edges {
            degrees[a as usize] += 1;
            degrees[b as usize] += 1;
        }
        degrees
    }

    /// The nodes that have an edge, ascending, and the graph of these alone, numbered anew.
    ///
    /// # Errors
    /// A graph without edges.
    pub fn connected(&self) -> Result<(Vec<usize>, Self)> {
        if self.edges.is_empty() {
            let what = "the graph's edge table".to_owned();
            let expected = "at least one edge between two nodes".to_owned();
            return Err(Error::Empty { what, expected });
        }
        let degrees = self.degrees();
        let kept: Vec<usize> = (0..self.nodes).filter(|&node| degrees[node] > 0).collect();
        let mut number = vec![0; self.nodes];
        for (place, &node) in kept.iter().enumerate() {
            number[node] = place as u32;
        }
        let renamed =
            |&(a, b, weight): &(u32, u32, f64)| (number[a as usize], number[b as usize], weight);
        let edges = self.edges.iter().map(renamed).collect();
        Ok((kept.clone(), Self { nodes: kept.len(), edges }))
    }
}

/// Labels numbered from 0 by the size of their group, the largest first, equal ones by first node.
pub(super) fn by_size(of: &[u32]) -> Vec<u32> {
    let mut sizes: BTreeMap<u32, (usize, usize)> = BTreeMap::new();
    for (node, &label) in of.iter().enumerate() {
        sizes.entry(label).or_insert((0, node)).0 += 1;
    }
    let mut order: Vec<(u32, (usize, usize))> = sizes.into_iter().collect();
    order.sort_by_key(|&(_, (size, first))| (usize::MAX - size, first));
    let rank: BTreeMap<u32, u32> =
        order.iter().enumerate().map(|(place, &(label, _))| (label, place as u32)).collect();
    of.iter().map(|label| rank[label]).collect()
}

/// The number of groups of labels that are numbered from 0.
pub(super) fn count(of: &[u32]) -> usize {
    of.iter().max().map_or(0, |&most| most as usize + 1)
}
