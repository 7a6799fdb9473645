//! Questions to a graph: degrees, strengths, neighbours, parts, strongest edges.

use std::collections::{BTreeSet, HashSet};

use super::{Graph, Orientation};
use crate::error::Result;
use crate::table::Table;

impl Graph {
    /// Edges that end in each node `[node]`, in the order of the node table. In an undirected
    /// graph all edges of the node, a loop twice.
    pub fn in_degree(&self) -> Vec<u32> {
        let mut degree = vec![0; self.nodes.rows()];
        self.each_end(|_, target, _| degree[target] += 1);
        degree
    }

    /// Edges that begin in each node `[node]`; in an undirected graph as [`Self::in_degree`].
    pub fn out_degree(&self) -> Vec<u32> {
        let mut degree = vec![0; self.nodes.rows()];
        self.each_end(|source, _, _| degree[source] += 1);
        degree
    }

    /// The sum of the signed weights of the edges that end in each node `[node]`.
    pub fn in_strength(&self) -> Vec<f64> {
        let mut strength = vec![0.0; self.nodes.rows()];
        self.each_end(|_, target, weight| strength[target] += weight);
        strength
    }

    /// The sum of the signed weights of the edges that begin in each node `[node]`.
    pub fn out_strength(&self) -> Vec<f64> {
        let mut strength = vec![0.0; self.nodes.rows()];
        self.each_end(|source, _, weight| strength[source] += weight);
        strength
    }

    /// Calls `see` with the rows of both ends; for undirected edges once in each direction.
    fn each_end(&self, mut see: impl FnMut(usize, usize, f64)) {
        for (source, target, weight) in self.links() {
            let (source, target) = (self.rows[&source], self.rows[&target]);
            see(source, target, weight);
            if self.orientation == Orientation::Undirected {
                see(target, source, weight);
            }
        }
    }

    /// The nodes with an edge to `node`, ascending, each once.
    ///
    /// # Errors
    /// No such node.
    pub fn sources_of(&self, node: u32) -> Result<Vec<u32>> {
        self.row(node)?;
        let undirected = self.orientation == Orientation::Undirected;
        let mut found = BTreeSet::new();
        for (source, target, _) in self.links() {
            if target == node {
                found.insert(source);
            }
            if undirected && source == node {
                found.insert(target);
            }
        }
        Ok(found.into_iter().collect())
    }

    /// The nodes with an edge from `node`, ascending, each once.
    ///
    /// # Errors
    /// No such node.
    pub fn targets_of(&self, node: u32) -> Result<Vec<u32>> {
        if self.orientation == Orientation::Undirected {
            return self.sources_of(node);
        }
        self.row(node)?;
        let ends = self.links().filter(|&(source, _, _)| source == node);
        Ok(ends.map(|(_, target, _)| target).collect::<BTreeSet<_>>().into_iter().collect())
    }

    /// The nodes with an edge to or from `node`, ascending, each once.
    ///
    /// # Errors
    /// No such node.
    pub fn neighbours(&self, node: u32) -> Result<Vec<u32>> {
        let mut all: BTreeSet<u32> = self.sources_of(node)?.into_iter().collect();
        all.extend(self.targets_of(node)?);
        Ok(all.into_iter().collect())
    }

    /// The part with only these nodes, in the order of the node table, and the edges between them;
    /// nodes keep their numbers.
    ///
    /// # Errors
    /// No node at all, or one that the graph has not.
    pub fn subgraph(&self, nodes: &[u32]) -> Result<Self> {
        let mut kept = nodes.iter().map(|&node| self.row(node)).collect::<Result<Vec<_>>>()?;
        kept.sort_unstable();
        kept.dedup();
        let wanted: HashSet<u32> = nodes.iter().copied().collect();
        let links = self.links().enumerate();
        let inside: Vec<usize> = links
            .filter(|(_, (source, target, _))| wanted.contains(source) && wanted.contains(target))
            .map(|(edge, _)| edge)
            .collect();
        let part = Self::new(self.nodes.take(&kept), self.edges.take(&inside), self.orientation)?;
        Ok(Self { layout_seed: self.layout_seed, ..part })
    }

    /// The `count` edges of largest absolute weight, strongest first; among equals the earlier.
    #[must_use]
    pub fn strongest_edges(&self, count: usize) -> Table {
        let weights = self.edges.f64s("weight").unwrap_or_default();
        let mut order: Vec<usize> = (0..weights.len()).collect();
        order.sort_by(|&a, &b| weights[b].abs().total_cmp(&weights[a].abs()));
        order.truncate(count);
        self.edges.take(&order)
    }
}
