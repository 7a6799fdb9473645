//! Paths merged into one graph.
//!
//! A node is a part of the network at a token, its value what it gives over all distinct paths that end in
//! it; an edge's weight the sum over the distinct paths that end with it. Beside them: one node for each
//! error of a dictionary at a token, one for all biases, and one for what was pruned, the rest of each
//! node's value.
//!
//! Source: Dunefsky, Chlenski, Nanda 2024, arXiv:2406.11944, appendix D.

use std::collections::{BTreeMap, BTreeSet};

use nissl_core::graph::Orientation;
use nissl_core::{Column, Graph, Result, Table};
use serde::{Deserialize, Serialize};

use super::search::Traced;
use super::step::{Component, Path};

/// What becomes one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Merge {
    /// A part of the network at one token
    #[default]
    Token,
    /// A part of the network, summed over tokens
    Sum,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Part(Component),
    Error(usize),
    Bias,
    Pruned,
}

type Place = (Key, Option<usize>);

/// Whatever is smaller beside the value it is a part of is rounding.
const ROUNDING: f64 = 1e-9;

#[derive(Default)]
struct Merged {
    values: BTreeMap<Place, f64>,
    edges: BTreeMap<(Place, Place), f64>,
}

impl Merged {
    fn add(&mut self, source: Place, target: Place, weight: f64) {
        *self.values.entry(source).or_default() += weight;
        *self.edges.entry((source, target)).or_default() += weight;
    }
}

impl Traced {
    /// Merges the paths to a graph; `names` `[position]` are the prompt's tokens as they are shown.
    ///
    /// Node columns: `layer` (text, `E` for embeddings), `position` and `feature` u32, `value` f64.
    ///
    /// # Errors
    /// Contributions that are not finite.
    pub fn graph(&self, names: &[String], merge: Merge) -> Result<Graph> {
        let place = |component, position: usize| -> Place {
            (Key::Part(component), (merge == Merge::Token).then_some(position))
        };
        let at = |path: &Path, back: usize| -> Option<Place> {
            let step = path.steps.iter().rev().nth(back)?;
            Some(place(step.component, step.position))
        };
        let mut merged = Merged::default();
        merged
            .values
            .insert(place(self.start.component, self.start.position), self.start.contribution);
        let mut seen = BTreeSet::new();
        for path in &self.paths {
            let prefix: Vec<_> = path.steps.iter().map(super::Step::place).collect();
            if let (Some(source), Some(target)) = (at(path, 0), at(path, 1))
                && seen.insert(prefix)
            {
                merged.add(source, target, path.contribution());
            }
        }
        for one in &self.expanded {
            let (Some(target), Some(step)) = (at(&one.path, 0), one.path.steps.last()) else {
                continue;
            };
            let position = (merge == Merge::Token).then_some(step.position);
            for (layer, &error) in one.errors.iter().enumerate() {
                if error != 0.0 {
                    merged.add((Key::Error(layer), position), target, error);
                }
            }
            if one.bias != 0.0 {
                merged.add((Key::Bias, None), target, one.bias);
            }
        }
        let expanded: BTreeSet<Place> =
            self.expanded.iter().filter_map(|one| at(&one.path, 0)).collect();
        for target in expanded {
            let incoming: f64 = merged
                .edges
                .iter()
                .filter(|((_, to), _)| *to == target)
                .map(|(_, weight)| weight)
                .sum();
            let value = merged.values.get(&target).copied().unwrap_or_default();
            let rest = value - incoming;
            if rest.abs() > ROUNDING * value.abs() {
                merged.add((Key::Pruned, None), target, rest);
            }
        }
        table(&merged, names)
    }
}

fn table(merged: &Merged, names: &[String]) -> Result<Graph> {
    let numbers: BTreeMap<Place, u32> =
        merged.values.keys().enumerate().map(|(number, &place)| (place, number as u32)).collect();
    let places = || merged.values.keys();
    let texts = |text: &dyn Fn(&Place) -> String| Column::Text(places().map(text).collect());
    let nodes = Table::new()
        .with("node", Column::U32(numbers.values().copied().collect()))
        .with("kind", texts(&|(key, _)| kind(key).to_owned()))
        .with("name", texts(&|place| name(place, names)))
        .with(
            "layer",
            texts(&|(key, _)| {
                let layer = match key {
                    Key::Part(component) => component.layer(),
                    Key::Error(layer) => Some(*layer),
                    Key::Bias | Key::Pruned => None,
                };
                layer.map_or_else(|| "E".to_owned(), |layer| layer.to_string())
            }),
        )
        .with(
            "position",
            Column::U32(places().map(|(_, position)| position.unwrap_or(0) as u32).collect()),
        )
        .with("feature", Column::U32(places().map(|(key, _)| number(key)).collect()))
        .with("value", Column::F64(merged.values.values().copied().collect()));
    let ends = |end: &dyn Fn(&(Place, Place)) -> Place| {
        Column::U32(merged.edges.keys().map(|edge| numbers[&end(edge)]).collect())
    };
    let edges = Table::new()
        .with("source", ends(&|edge| edge.0))
        .with("target", ends(&|edge| edge.1))
        .with("type", Column::Text(vec!["contribution".to_owned(); merged.edges.len()]))
        .with("weight", Column::F64(merged.edges.values().copied().collect()));
    Graph::new(nodes, edges, Orientation::Directed)
}

fn kind(key: &Key) -> &'static str {
    match key {
        Key::Part(component) => component.kind(),
        Key::Error(_) => "error",
        Key::Bias => "bias",
        Key::Pruned => "pruned",
    }
}

fn number(key: &Key) -> u32 {
    match key {
        Key::Part(Component::Feature { feature, .. }) => *feature,
        Key::Part(Component::Head { head, .. }) => *head as u32,
        _ => 0,
    }
}

fn name((key, position): &Place, names: &[String]) -> String {
    let part = match key {
        Key::Part(component) => component.to_string(),
        Key::Error(layer) => format!("layers.{layer}.mlp error"),
        Key::Bias => "biases".to_owned(),
        Key::Pruned => "pruned".to_owned(),
    };
    match position {
        None => part,
        Some(position) => {
            let token = names.get(*position).map_or("", String::as_str);
            format!("{part}@{position} {token:?}")
        }
    }
}
