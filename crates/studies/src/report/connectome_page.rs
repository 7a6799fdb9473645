//! Pages about connectomes: their measures, their matrix, a drawing, how far they agree, and what their
//! wiring says about activity.

use nissl_core::{Result, Table as Columns};
use nissl_trace::connectome::{
    Agreement, CHEMICAL, Compared, Connectome, ELECTRICAL, FUNCTIONAL, Measures, Null,
    TestedAgainstNull,
};
use nissl_trace::leiden;

use crate::report::{
    Adjacency, AdjacencyKind, Axis, Cell, Form, LayeredEdge, LayeredGraph, LayeredNode, Lines,
    Note, Report, Section, Series, Table, number,
};

/// The most communities that a drawing has columns for.
const COLUMNS: usize = 8;
/// Edges of the drawing, the strongest.
const DRAWN: usize = 500;

/// A page about `connectomes`, with the matrix and the drawing of each.
///
/// # Errors
/// Communities of negative weights, which synapses have not.
pub fn page(
    connectomes: &[Connectome],
    measured: &[Measures],
    agreements: &[Agreement],
    seed: u64,
) -> Result<Report> {
    let names: Vec<&str> = connectomes.iter().map(|one| one.name.as_str()).collect();
    let lede = format!(
        "Which neurons of {} are joined by chemical synapses and gap junctions, and how they are wired as a whole.",
        names.join(", ")
    );
    let mut report = Report::new("Connectomes", lede)
        .with_section(Section::new("Measures").with(measures(measured)));
    if !agreements.is_empty() {
        report = report.with_section(
            Section::new("Agreement")
                .says("Edges between neurons that both connectomes connect; weights are compared over edges of both.")
                .with(agreement(agreements)),
        );
    }
    for one in connectomes {
        let order = Order::of(one, seed)?;
        let section = Section::new(one.name.as_str())
            .with(Note::how_to_read(
                "Neurons stand by type, then by community: groups of neurons with more edges among them than \
                 their degrees give, found by the Leiden method without direction. In the drawing a row is a type \
                 and a column a community.",
            ))
            .with(order.matrix(one))
            .with(order.drawing(one));
        report = report.with_section(section);
    }
    Ok(report)
}

/// The table of measures.
pub fn measures(measured: &[Measures]) -> Table {
    let heads = [
        "connectome",
        "neurons",
        "pairs",
        "chemical",
        "synapses",
        "gap pairs",
        "gap weight",
        "degree",
        "reciprocity",
        "by chance",
        "clustering",
        "by chance",
        "path",
        "gaps with synapses",
        "by chance",
    ];
    measured.iter().fold(Table::new("Measures of each connectome", heads), |table, one| {
        let kind = |name: &str| one.kinds.iter().find(|kind| kind.kind == name);
        let of = |name: &str, get: &dyn Fn(&nissl_trace::connectome::EdgeMeasures) -> f64| {
            kind(name).map_or(Cell::Empty, |kind| figure(get(kind)))
        };
        table.with_row([
            Cell::text(one.name.as_str()),
            Cell::Number(one.neurons as f64),
            Cell::Number(one.pairs as f64),
            of(CHEMICAL, &|kind| kind.edges as f64),
            of(CHEMICAL, &|kind| kind.weight),
            Cell::Number(one.gap_pairs as f64),
            of(ELECTRICAL, &|kind| kind.weight),
            figure(one.mean_degree),
            of(CHEMICAL, &|kind| kind.reciprocity),
            of(CHEMICAL, &|kind| kind.density),
            figure(one.clustering),
            figure(one.chance_clustering),
            figure(one.mean_path),
            figure(one.gap_with_chemical),
            figure(one.chance_overlap),
        ])
    })
}

/// The table of agreements.
pub fn agreement(agreements: &[Agreement]) -> Table {
    let heads = [
        "first",
        "second",
        "kind",
        "neurons",
        "edges",
        "edges",
        "shared",
        "Jaccard",
        "rank correlation",
    ];
    agreements.iter().fold(Table::new("Agreement of two connectomes", heads), |table, one| {
        table.with_row([
            Cell::text(one.first.as_str()),
            Cell::text(one.second.as_str()),
            Cell::text(one.kind.as_str()),
            Cell::Number(one.neurons as f64),
            Cell::Number(one.first_edges as f64),
            Cell::Number(one.second_edges as f64),
            Cell::Number(one.shared as f64),
            figure(one.jaccard),
            figure(one.rank_correlation),
        ])
    })
}

/// A section about wiring and activity.
pub fn structure_function(compared: &Compared) -> Section {
    let chance = match compared.null {
        Null::Permutation => "neurons exchanged at random",
        Null::CircularShift => "every trace turned round in time by itself",
    };
    let says = format!(
        "{} neurons of {} were measured ({}): {} pairs, {} of them connected. Chance: {chance}.",
        compared.neurons,
        compared.connectome,
        compared.function,
        compared.pairs,
        compared.connected
    );
    let heads = ["figure", "value", "by chance", "± sd", "p"];
    let row = |name: &str, tested: &TestedAgainstNull| {
        [
            Cell::text(name),
            figure(tested.value),
            figure(tested.null_mean),
            figure(tested.null_sd),
            figure(tested.p),
        ]
    };
    let table = Table::new("What wiring says about activity", heads)
        .with_row(row("AUROC of connected pairs", &compared.auroc))
        .with_row(row("rank correlation with the weight", &compared.rank_correlation))
        .with_row(row("the same over connected pairs", &compared.connected_rank_correlation));
    let points = compared
        .by_length
        .iter()
        .filter_map(|one| one.steps.map(|steps| [f64::from(steps), one.mean]));
    let lines = Lines {
        caption:
            "Size of the correlation, or of the functional weight, by steps of the shortest path"
                .to_owned(),
        x: Axis::linear("steps (5: five or more)"),
        y: Axis::linear("mean |v|"),
        series: vec![Series { label: compared.connectome.clone(), points: points.collect() }],
        ..Lines::default()
    };
    Section::new("Wiring and activity").says(says).with(table).with(lines)
}

fn figure(value: f64) -> Cell {
    if value.is_nan() { Cell::Empty } else { Cell::Number(value) }
}

/// The order in which neurons stand: by type, then community.
struct Order {
    /// Rows of the connectome, in order.
    rows: Vec<usize>,
    /// The type of each row of the connectome, by index.
    kind: Vec<usize>,
    kinds: Vec<String>,
    community: Vec<usize>,
}

impl Order {
    fn of(one: &Connectome, seed: u64) -> Result<Self> {
        let connected = one.connected();
        let told = one.nodes.texts("type").map(<[String]>::to_vec).unwrap_or_default();
        let kinds: Vec<String> =
            ["sensory", "interneuron", "motor", "other"].map(str::to_owned).into();
        let kind = |row: usize| {
            let first =
                told.get(row).map_or("", |types| types.split(';').next().unwrap_or_default());
            kinds
                .iter()
                .position(|kind| !first.is_empty() && first.starts_with(kind.as_str()))
                .unwrap_or(3)
        };
        let kind: Vec<usize> = (0..one.neurons.len()).map(kind).collect();
        let community = leiden::leiden(&undirected(one)?, 1.0, seed)?.of;
        let mut rows: Vec<usize> = (0..one.neurons.len()).filter(|&row| connected[row]).collect();
        rows.sort_by_key(|&row| (kind[row], community[row], row));
        Ok(Self { rows, kind, kinds, community })
    }

    fn matrix(&self, one: &Connectome) -> Adjacency {
        let mut place = vec![usize::MAX; one.neurons.len()];
        for (at, &row) in self.rows.iter().enumerate() {
            place[row] = at;
        }
        let kinds = [CHEMICAL, ELECTRICAL, FUNCTIONAL].into_iter().filter_map(|name| {
            let matrix = one.weights.get(name)?;
            let edges = matrix
                .indexed_iter()
                .filter(|(_, weight)| **weight != 0.0)
                .map(|((from, to), &weight)| (place[from], place[to], weight))
                .collect();
            Some(AdjacencyKind { name: name.to_owned(), edges })
        });
        let groups = (0..self.kinds.len())
            .map(|kind| {
                let size = self.rows.iter().filter(|&&row| self.kind[row] == kind).count();
                (self.kinds[kind].clone(), size)
            })
            .filter(|(_, size)| *size > 0)
            .collect();
        Adjacency {
            caption: format!("Connections of {}", one.name),
            names: self.rows.iter().map(|&row| one.neurons[row].clone()).collect(),
            groups,
            kinds: kinds.collect(),
        }
    }

    fn drawing(&self, one: &Connectome) -> LayeredGraph {
        let anatomy = one.anatomy();
        let columns = 1 + self.rows.iter().map(|&row| self.community[row]).max().unwrap_or(0);
        let column = |row: usize| self.community[row].min(COLUMNS - 1);
        let mut place = vec![usize::MAX; one.neurons.len()];
        let mut graph = LayeredGraph {
            caption: format!("The strongest connections of {}", one.name),
            // From below: motor neurons at the bottom, sensory ones at the top.
            rows: self.kinds.iter().rev().cloned().collect(),
            columns: (0..columns.min(COLUMNS)).map(|at| format!("community {}", at + 1)).collect(),
            groups: std::iter::once(String::new()).chain(self.kinds.iter().cloned()).collect(),
            ..LayeredGraph::default()
        };
        for &row in &self.rows {
            place[row] = graph.nodes.len();
            let strength = anatomy.row(row).sum() + anatomy.column(row).sum();
            graph.nodes.push(LayeredNode {
                row: self.kinds.len() - 1 - self.kind[row],
                column: column(row),
                label: one.neurons[row].clone(),
                title: format!(
                    "{} · weight of all connections {}",
                    one.neurons[row],
                    number(strength)
                ),
                group: self.kind[row] + 1,
                form: Form::Disc,
                weight: strength,
            });
        }
        let mut edges: Vec<LayeredEdge> = anatomy
            .indexed_iter()
            .filter(|((from, to), weight)| **weight > 0.0 && from != to)
            .map(|((from, to), &weight)| LayeredEdge { from: place[from], to: place[to], weight })
            .collect();
        edges.sort_by(|a, b| {
            b.weight.total_cmp(&a.weight).then((a.from, a.to).cmp(&(b.from, b.to)))
        });
        edges.truncate(DRAWN);
        graph.edges = edges;
        graph
    }
}

/// The anatomy without direction, for communities.
fn undirected(one: &Connectome) -> Result<nissl_core::Graph> {
    use nissl_core::Column;
    let anatomy = one.anatomy();
    let (mut sources, mut targets, mut weights) = (Vec::new(), Vec::new(), Vec::new());
    for a in 0..one.neurons.len() {
        for b in a + 1..one.neurons.len() {
            let weight = anatomy[[a, b]] + anatomy[[b, a]];
            if weight != 0.0 {
                sources.push(a as u32);
                targets.push(b as u32);
                weights.push(weight);
            }
        }
    }
    let count = one.neurons.len();
    let text = |word: &str, count: usize| Column::Text(vec![word.to_owned(); count]);
    let nodes = Columns::new()
        .with("node", Column::U32((0..count as u32).collect()))
        .with("kind", text("neuron", count))
        .with("name", Column::Text(one.neurons.clone()));
    let edges = Columns::new()
        .with("type", text("anatomy", weights.len()))
        .with("source", Column::U32(sources))
        .with("target", Column::U32(targets))
        .with("weight", Column::F64(weights));
    nissl_core::Graph::new(nodes, edges, nissl_core::graph::Orientation::Undirected)
}
