//! The graphs in which communities are sought: one, or one for each component.

use nissl_core::components::TensorComponents;
use nissl_core::graph::{Graph, Orientation};
use nissl_core::store::read_value;
use nissl_core::{Column, Error, Result, Table};
use nissl_trace::communities::{ComponentGraph, WeightedGraph};

use super::CommunitiesArgs;

/// What was given.
pub(super) struct Input {
    /// The graph that is kept with its communities.
    pub(super) base: Graph,
    pub(super) subjects: Vec<Subject>,
    pub(super) warnings: Vec<String>,
}

/// One graph; its node `n` is row `first + n` of the base's node table.
pub(super) struct Subject {
    pub(super) component: Option<u32>,
    pub(super) graph: WeightedGraph,
    pub(super) first: usize,
    pub(super) numbers: Vec<u32>,
    pub(super) names: Vec<String>,
    pub(super) truth: Option<Vec<u32>>,
}

pub(super) fn open(args: &CommunitiesArgs) -> Result<Input> {
    if args.input.is_file() {
        return Err(Error::NotAnArtefact {
            path: args.input.display().to_string(),
            expected: "graph".to_owned(),
            found: "it is a file".to_owned(),
            help: Some(format!("import it first: nissl import {} -o graph", args.input.display())),
        });
    }
    let manifest = read_value(&args.input, "graph or features of pairs")?;
    if manifest["nissl"] == "features" { components(args) } else { graph(args) }
}

fn graph(args: &CommunitiesArgs) -> Result<Input> {
    if !args.component.is_empty() {
        let expected = "features of `nissl decompose ntf`; this is a graph";
        return Err(Error::setting("component", args.component[0], expected));
    }
    let base = Graph::open(&args.input)?;
    let mut graph = WeightedGraph::of(&base, &args.edge_type)?;
    if args.absolute {
        graph = graph.absolute();
    }
    let mut warnings = Vec::new();
    if base.orientation() == Orientation::Directed {
        warnings
            .push("directions are ignored: weights between the same two nodes add up".to_owned());
    }
    let loops = base.links().filter(|(a, b, _)| a == b).count();
    if loops > 0 {
        warnings.push(format!("{loops} edges from a node to itself are left out"));
    }
    let subject = Subject {
        component: None,
        graph,
        first: 0,
        numbers: base.nodes().u32s("node")?.to_vec(),
        names: base.nodes().texts("name")?.to_vec(),
        truth: args.truth.as_deref().map(|name| labels(base.nodes(), name)).transpose()?,
    };
    Ok(Input { base, subjects: vec![subject], warnings })
}

/// A column of numbers or text as labels.
fn labels(nodes: &Table, name: &str) -> Result<Vec<u32>> {
    if let Some(Column::U32(labels)) = nodes.get(name) {
        return Ok(labels.clone());
    }
    let texts = match nodes.get(name) {
        Some(Column::Text(texts)) => texts,
        Some(other) => {
            return Err(Error::setting("truth", other.kind(), "a column of u32 or string"));
        }
        None => {
            let known: Vec<&str> = nodes.names().collect();
            return Err(Error::setting(
                "truth",
                name,
                format!("a column among {}", known.join(", ")),
            ));
        }
    };
    let mut known = texts.clone();
    known.sort_unstable();
    known.dedup();
    Ok(texts.iter().map(|text| known.partition_point(|it| it < text) as u32).collect())
}

fn components(args: &CommunitiesArgs) -> Result<Input> {
    let of_graphs = [
        ("edge_type", !args.edge_type.is_empty()),
        ("absolute", args.absolute),
        ("truth", args.truth.is_some()),
    ];
    if let Some((field, _)) = of_graphs.iter().find(|(_, is_given)| *is_given) {
        return Err(Error::setting(*field, "given", "absent for features, whose pairs have none"));
    }
    let components = TensorComponents::open(&args.input)?;
    let wanted: Vec<usize> = if args.component.is_empty() {
        (0..components.rank()).collect()
    } else {
        args.component.clone()
    };
    let units = components.units.len();
    let (mut subjects, mut warnings) = (Vec::new(), Vec::new());
    let (mut ends, mut weights) = ([Vec::new(), Vec::new()], Vec::new());
    for number in wanted {
        let cut = match ComponentGraph::of_component(&components, number, args.threshold) {
            Ok(cut) => cut,
            Err(error) if number < components.rank() && args.component.is_empty() => {
                warnings.push(format!("component {number} is left out: {error}"));
                continue;
            }
            Err(error) => return Err(error),
        };
        let first = subjects.len() * units;
        let edges: Vec<(usize, usize, f64)> = cut
            .graph
            .edges()
            .iter()
            .map(|&(a, b, weight)| (cut.units[a as usize], cut.units[b as usize], weight))
            .collect();
        for &(a, b, weight) in &edges {
            ends[0].push((first + a) as u32);
            ends[1].push((first + b) as u32);
            weights.push(weight);
        }
        subjects.push(Subject {
            component: Some(number as u32),
            graph: WeightedGraph::new(units, edges)?,
            first,
            numbers: (first as u32..(first + units) as u32).collect(),
            names: components.units.clone(),
            truth: None,
        });
    }
    if subjects.is_empty() {
        let what = args.input.display().to_string();
        let expected = "at least one component with an edge".to_owned();
        return Err(Error::Empty { what, expected });
    }
    let count = subjects.len() * units;
    let of = |subject: &Subject| vec![subject.component.unwrap_or(0); units];
    let nodes = Table::new()
        .with("node", Column::U32((0..count as u32).collect()))
        .with("kind", Column::Text(vec!["neuron".to_owned(); count]))
        .with("name", Column::Text(subjects.iter().flat_map(|it| it.names.clone()).collect()))
        .with("component", Column::U32(subjects.iter().flat_map(of).collect()));
    let [sources, targets] = ends;
    let edges = Table::new()
        .with("source", Column::U32(sources))
        .with("target", Column::U32(targets))
        .with("type", Column::Text(vec!["affinity".to_owned(); weights.len()]))
        .with("weight", Column::F64(weights));
    let base = Graph::new(nodes, edges, Orientation::Undirected)?;
    Ok(Input { base, subjects, warnings })
}
