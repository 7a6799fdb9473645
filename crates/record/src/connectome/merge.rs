//! Neurons that belong together as one node: left and right, dorsal and ventral, or whole classes.
//!
//! Weights of edges of one type between two merged nodes add up; edges within a merged node become its
//! loop. Positions are means, types and transmitters those of any member.

use std::collections::{BTreeMap, BTreeSet};

use nissl_core::{Column, Graph, Result, Table};

use crate::worm::Merge;

/// The connectome with neurons merged by name as `how` says.
///
/// # Errors
/// A graph whose nodes have no `x`, `y` and `z`, or other columns than a connectome's.
pub fn merged(graph: &Graph, how: Merge) -> Result<Graph> {
    let nodes = graph.nodes();
    let names: Vec<String> = nodes.texts("name")?.iter().map(|name| how.name(name)).collect();
    let mut members: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (row, name) in names.iter().enumerate() {
        members.entry(name).or_default().push(row);
    }
    let number: BTreeMap<&str, u32> =
        members.keys().enumerate().map(|(place, name)| (*name, place as u32)).collect();
    let joined = |column: &str| -> Result<Column> {
        let values = nodes.texts(column)?;
        let all = members.values().map(|rows| {
            let parts: BTreeSet<&str> = rows
                .iter()
                .flat_map(|&row| values[row].split(';'))
                .filter(|part| !part.is_empty())
                .collect();
            parts.into_iter().collect::<Vec<_>>().join(";")
        });
        Ok(Column::Text(all.collect()))
    };
    let mean = |column: &str| -> Result<Column> {
        let values = nodes.f32s(column)?;
        let all = members
            .values()
            .map(|rows| rows.iter().map(|&row| values[row]).sum::<f32>() / rows.len() as f32);
        Ok(Column::F32(all.collect()))
    };
    let text =
        |of: &dyn Fn(&str) -> String| Column::Text(members.keys().map(|name| of(name)).collect());
    let table = Table::new()
        .with("node", Column::U32(number.values().copied().collect()))
        .with("kind", text(&|_| "neurons".to_owned()))
        .with("name", text(&str::to_owned))
        .with("class", joined("class")?)
        .with("type", joined("type")?)
        .with("neurotransmitter", joined("neurotransmitter")?)
        .with("x", mean("x")?)
        .with("y", mean("y")?)
        .with("z", mean("z")?)
        .with("members", Column::U32(members.values().map(|rows| rows.len() as u32).collect()));
    let kinds = graph.edges().texts("type")?;
    let mut sums: BTreeMap<(u32, u32, &str), f64> = BTreeMap::new();
    for ((source, target, weight), kind) in graph.links().zip(kinds) {
        let end = |node: u32| -> Result<u32> { Ok(number[names[graph.row(node)?].as_str()]) };
        *sums.entry((end(source)?, end(target)?, kind)).or_default() += weight;
    }
    let edges = Table::new()
        .with("source", Column::U32(sums.keys().map(|key| key.0).collect()))
        .with("target", Column::U32(sums.keys().map(|key| key.1).collect()))
        .with("type", Column::Text(sums.keys().map(|key| key.2.to_owned()).collect()))
        .with("weight", Column::F64(sums.values().copied().collect()));
    Graph::new(table, edges, graph.orientation())
}
