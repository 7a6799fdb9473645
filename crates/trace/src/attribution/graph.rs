//! An attribution graph as a `Graph` and as viewers' JSON.

use nissl_core::graph::{AttributionMetadata, Graph, Orientation};
use nissl_core::{Column, Result, Table};

use super::{Attributed, Node};

/// What nodes are called.
pub struct Names<'a> {
    /// The text of a token, by its vocabulary index.
    pub token: &'a dyn Fn(u32) -> String,
    /// What is known of a feature, by layer and number; may be empty.
    pub feature: &'a dyn Fn(usize, usize) -> String,
}

impl Attributed {
    /// The last position of the prompt, where the logits are.
    pub fn last_position(&self) -> usize {
        let positions = self.graph.nodes().iter().filter_map(|node| match node {
            Node::Token { position, .. } => Some(*position),
            _ => None,
        });
        positions.max().unwrap_or(0)
    }

    /// The prompt's tokens `[position]`.
    pub fn tokens(&self) -> Vec<u32> {
        let tokens = self.graph.nodes().iter().filter_map(|node| match node {
            Node::Token { token, .. } => Some(*token),
            _ => None,
        });
        tokens.collect()
    }

    /// The kept nodes and edges as a graph: node numbers are places among all nodes; the columns
    /// `layer` (`E` for tokens, one past the last but one for logits), `feature`, `position`,
    /// `activation`, `influence`, `cumulative_influence`, `token_prob`, `target` as viewers want them.
    ///
    /// # Errors
    /// Never with a graph that was made by this crate.
    pub fn to_graph(&self, names: &Names<'_>) -> Result<Graph> {
        let nodes = self.graph.nodes();
        let kept: Vec<usize> = (0..nodes.len()).filter(|&node| self.pruned.kept[node]).collect();
        let last = self.last_position();
        let logit_layer = (self.layers + 1).to_string();
        let first_logit = nodes.iter().position(|node| matches!(node, Node::Logit { .. }));
        let row = |&place: &usize| -> Row {
            let none = f64::NAN;
            match nodes[place] {
                Node::Feature { layer, position, feature, activation } => Row {
                    kind: "feature",
                    name: (names.feature)(layer, feature),
                    layer: layer.to_string(),
                    feature: feature as u32,
                    position: position as u32,
                    activation: f64::from(activation),
                    probability: none,
                },
                Node::Error { layer, position } => Row {
                    kind: "error",
                    name: String::new(),
                    layer: layer.to_string(),
                    feature: 0,
                    position: position as u32,
                    activation: none,
                    probability: none,
                },
                Node::Token { position, token } => Row {
                    kind: "token",
                    name: (names.token)(token),
                    layer: "E".to_owned(),
                    feature: token,
                    position: position as u32,
                    activation: none,
                    probability: none,
                },
                Node::Logit { token, probability } => Row {
                    kind: "logit",
                    name: (names.token)(token),
                    layer: logit_layer.clone(),
                    feature: token,
                    position: last as u32,
                    activation: none,
                    probability: f64::from(probability),
                },
            }
        };
        let rows: Vec<Row> = kept.iter().map(row).collect();
        let numbers =
            |of: &dyn Fn(usize) -> f64| Column::F64(kept.iter().map(|&n| of(n)).collect());
        let is_logit = |node: usize| matches!(nodes[node], Node::Logit { .. });
        let shown = |values: &[f64], node| if is_logit(node) { f64::NAN } else { values[node] };
        let table = Table::new()
            .with("node", Column::U32(kept.iter().map(|&node| node as u32).collect()))
            .with("kind", Column::Text(rows.iter().map(|row| row.kind.to_owned()).collect()))
            .with("name", Column::Text(rows.iter().map(|row| row.name.clone()).collect()))
            .with("layer", Column::Text(rows.iter().map(|row| row.layer.clone()).collect()))
            .with("feature", Column::U32(rows.iter().map(|row| row.feature).collect()))
            .with("position", Column::U32(rows.iter().map(|row| row.position).collect()))
            .with("activation", Column::F64(rows.iter().map(|row| row.activation).collect()))
            .with("influence", numbers(&|node| shown(&self.pruned.influence, node)))
            .with("cumulative_influence", numbers(&|node| shown(&self.pruned.cumulative, node)))
            .with("token_prob", Column::F64(rows.iter().map(|row| row.probability).collect()))
            .with("target", Column::Bool(kept.iter().map(|&n| Some(n) == first_logit).collect()));
        let edges = &self.pruned.edges;
        let weights = self.graph.weights();
        let links = Table::new()
            .with("source", Column::U32(edges.iter().map(|edge| edge.1 as u32).collect()))
            .with("target", Column::U32(edges.iter().map(|edge| edge.0 as u32).collect()))
            .with("type", Column::Text(vec!["attribution".to_owned(); edges.len()]))
            .with(
                "weight",
                Column::F64(edges.iter().map(|&edge| f64::from(weights[edge])).collect()),
            );
        Graph::new(table, links, Orientation::Directed)
    }

    /// What viewers are told about the graph of `prompt` in the network `scan`.
    pub fn metadata(
        &self,
        slug: &str,
        scan: &str,
        prompt: &str,
        dictionaries: Vec<String>,
        names: &Names<'_>,
    ) -> AttributionMetadata {
        AttributionMetadata {
            slug: slug.to_owned(),
            scan: scan.to_owned(),
            transcoder_list: dictionaries,
            prompt_tokens: self.tokens().into_iter().map(names.token).collect(),
            prompt: prompt.to_owned(),
            node_threshold: Some(self.settings.node_threshold),
            edge_threshold: Some(self.settings.edge_threshold),
        }
    }
}

struct Row {
    kind: &'static str,
    name: String,
    layer: String,
    feature: u32,
    position: u32,
    activation: f64,
    probability: f64,
}
