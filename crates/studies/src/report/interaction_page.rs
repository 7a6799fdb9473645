//! A page about an interaction graph: its coordinates in layers, their modules, the edges between them.

use std::collections::BTreeMap;

use nissl_core::Result;
use nissl_core::section::InteractionBasis;
use nissl_trace::interaction::{EdgeMatrix, Required};
use nissl_trace::leiden::Communities;

use crate::report::{
    Cell, Facts, Form, LayeredEdge, LayeredGraph, LayeredNode, Note, Report, Section, Table, number,
};

/// An interaction graph as it is shown.
#[derive(Clone, Copy)]
pub struct Interactions<'a> {
    /// The bases of the node layers.
    pub bases: &'a InteractionBasis,
    /// The edges between neighbouring ones.
    pub edges: &'a [EdgeMatrix],
    /// The modules of all coordinates but the constants, in the order of the bases.
    pub modules: &'a Communities,
    /// What each node layer needs; empty where that was not asked for.
    pub required: &'a [Required],
    /// What a coordinate of a node layer says, or an empty text.
    pub label: &'a dyn Fn(usize, usize) -> String,
    /// Coordinates of each node layer that are drawn at most, the most important ones.
    pub shown: usize,
}

/// The page about a network's interactions.
///
/// # Errors
/// Edges of node layers that the bases do not have.
pub fn page(found: &Interactions<'_>, network: &str) -> Result<Report> {
    let lede = format!(
        "How the layers of `{network}` act on each other in coordinates in which they do so sparsely: \
         each node is one coordinate of a node layer, each edge how strongly it acts on one of the next."
    );
    let nodes: usize =
        found.bases.node_layers.iter().map(nissl_core::section::Basis::vectors).sum();
    let dropped: usize = found.bases.node_layers.iter().map(|it| it.dropped).sum();
    let facts = Facts::default()
        .with(number(nodes as f64), "coordinates, the constants among them")
        .with(number(dropped as f64), "directions dropped, which nothing downstream reads")
        .with(number(found.modules.modularity), "modularity of the modules");
    let mut report = Report::new(format!("Interactions in {network}"), lede)
        .with_section(Section::new("In short").with(facts))
        .with_section(
            Section::new("The graph")
                .with(Note::how_to_read(
                    "Node layers go upward from the input, modules stand side by side, each with its \
                     colour. A thick edge is a strong one beside the others between the same two \
                     node layers. Point at a node to light up its edges.",
                ))
                .with(drawing(found)?),
        );
    if !found.required.is_empty() {
        report = report.with_section(needs(found.required));
    }
    Ok(report.with_section(members(found)))
}

/// Each coordinate's module, without constants: by node layer and vector.
fn modules(found: &Interactions<'_>) -> BTreeMap<(usize, usize), usize> {
    let coordinates = found.bases.node_layers.iter().enumerate().flat_map(|(layer, basis)| {
        (0..basis.vectors()).filter(|&n| basis.constant != Some(n)).map(move |n| (layer, n))
    });
    coordinates.zip(found.modules.of.iter().copied()).collect()
}

/// The most important coordinates of each node layer, one column for each module.
///
/// # Errors
/// Edges of node layers that the bases do not have.
pub fn drawing(found: &Interactions<'_>) -> Result<LayeredGraph> {
    let of = modules(found);
    let mut sizes: BTreeMap<usize, usize> = BTreeMap::new();
    let drawn: Vec<(usize, usize)> = found
        .bases
        .node_layers
        .iter()
        .enumerate()
        .flat_map(|(layer, basis)| {
            let mut vectors: Vec<usize> =
                (0..basis.vectors()).filter(|&n| basis.constant != Some(n)).collect();
            let importance = &basis.importance;
            vectors.sort_by(|&a, &b| importance[b].total_cmp(&importance[a]));
            vectors.truncate(found.shown);
            vectors.into_iter().map(move |vector| (layer, vector))
        })
        .collect();
    for at in &drawn {
        *sizes.entry(of[at]).or_default() += 1;
    }
    let mut columns: Vec<usize> = sizes.keys().copied().collect();
    columns.sort_by_key(|module| std::cmp::Reverse(sizes[module]));
    let mut graph = LayeredGraph {
        caption: "Coordinates of the node layers and how they act on each other".to_owned(),
        rows: found.bases.node_layers.iter().map(|it| it.node_layer.clone()).collect(),
        columns: columns.iter().map(|module| format!("module\u{a0}{module}")).collect(),
        groups: std::iter::once("no module".to_owned())
            .chain(columns.iter().map(|module| format!("module {module}")))
            .collect(),
        ..LayeredGraph::default()
    };
    let mut places = BTreeMap::new();
    for &(layer, vector) in &drawn {
        let basis = &found.bases.node_layers[layer];
        let column = columns.iter().position(|module| *module == of[&(layer, vector)]);
        let column = column.unwrap_or_default();
        let most = basis.importance.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        let says = (found.label)(layer, vector);
        let told = if says.is_empty() { String::new() } else { format!(" · {says}") };
        let importance = number(basis.importance[vector]);
        places.insert((layer, vector), graph.nodes.len());
        graph.nodes.push(LayeredNode {
            row: layer,
            column,
            label: if says.is_empty() { vector.to_string() } else { says },
            title: format!("{} {vector}{told} · importance {importance}", basis.node_layer),
            group: column + 1,
            form: Form::Disc,
            weight: basis.importance[vector] / most,
        });
    }
    let place = |name: &str| {
        found.bases.of(name)?;
        Ok::<_, nissl_core::Error>(
            found.bases.node_layers.iter().position(|it| it.node_layer == name).unwrap_or_default(),
        )
    };
    for matrix in found.edges {
        let (from, to) = (place(&matrix.from)?, place(&matrix.to)?);
        let shown = matrix.weights.indexed_iter().filter_map(|((i, j), &weight)| {
            Some((*places.get(&(from, j))?, *places.get(&(to, i))?, weight))
        });
        let shown: Vec<(usize, usize, f64)> = shown.filter(|it| it.2 > 0.0).collect();
        let most = shown.iter().map(|it| it.2).fold(f64::MIN_POSITIVE, f64::max);
        graph.edges.extend(shown.into_iter().map(|(from, to, weight)| LayeredEdge {
            from,
            to,
            weight: weight / most,
        }));
    }
    Ok(graph)
}

fn needs(required: &[Required]) -> Section {
    let mut table = Table::new(
        "The fewest that are enough",
        ["from", "to", "whole network", "vectors", "edges"],
    );
    let count =
        |it: Option<usize>| it.map_or_else(|| Cell::text("more"), |it| Cell::Number(it as f64));
    for needs in required {
        table = table.with_row([
            Cell::text(&needs.node_layer),
            Cell::text(&needs.to),
            Cell::Number(needs.full),
            count(needs.vectors),
            count(needs.edges),
        ]);
    }
    Section::new("What the network needs")
        .says("One node layer at a time; edges from the constant are free.")
        .with(table)
}

fn members(found: &Interactions<'_>) -> Section {
    let of = modules(found);
    let mut rows: BTreeMap<usize, Vec<(usize, usize)>> = BTreeMap::new();
    for (at, module) in of {
        rows.entry(module).or_default().push(at);
    }
    let mut table =
        Table::new("Modules", ["module", "coordinates", "node layers", "most important"]);
    let alone = rows.values().filter(|members| members.len() == 1).count();
    rows.retain(|_, members| members.len() > 1);
    for (module, members) in rows {
        let layers: std::collections::BTreeSet<usize> = members.iter().map(|it| it.0).collect();
        let mut first = members.clone();
        first.sort_by(|a, b| {
            let of = |at: &(usize, usize)| found.bases.node_layers[at.0].importance[at.1];
            of(b).total_cmp(&of(a))
        });
        let named = first.iter().take(6).map(|&(layer, vector)| {
            let says = (found.label)(layer, vector);
            let name = format!("{}.{vector}", found.bases.node_layers[layer].node_layer);
            if says.is_empty() { name } else { format!("{name} ({says})") }
        });
        table = table.with_row([
            Cell::Number(module as f64),
            Cell::Number(members.len() as f64),
            Cell::Number(layers.len() as f64),
            Cell::text(named.collect::<Vec<_>>().join(", ")),
        ]);
    }
    let mut section = Section::new("The modules");
    if alone > 0 {
        section = section.says(format!("Another {alone} coordinates stand alone."));
    }
    section.with(table)
}
