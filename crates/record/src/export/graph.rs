//! From a Graph to a file that other tools read.
//!
//! GraphML; CSV or Parquet of edges with the names at both ends; NumPy's archive with a matrix `[from, to]` for each
//! type of edge; PyTorch's file with the tensors of the homogenised data set (`edge_index` `[2, n²]`, `edge_attr`
//! `[n², 2]` as gap and chemical weight, `pos` `[n, 3]`, `y`, `node_label`, `node_class`, `node_type`); a folder gets
//! `nodes.csv` and `edges.csv`.
//! Memory: for matrices the square of the nodes for each type.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nissl_core::files::{Item, write_arrays, write_torch};
use nissl_core::graph::Orientation;
use nissl_core::store::{self, Existing};
use nissl_core::{Column, Error, Graph, IoContext, Result, Table};
use serde::Serialize;
use serde_json::json;

/// What was exported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExportedGraph {
    /// The file or folder.
    pub path: PathBuf,
    /// Its format.
    pub format: &'static str,
    /// Nodes.
    pub nodes: usize,
    /// Edges.
    pub edges: usize,
}

/// Writes `graph` to `out`, whose extension tells the format: `.graphml`, `.csv`, `.parquet`, `.npz`,
/// `.pt`, or none for a folder of CSV.
///
/// # Errors
/// Another extension, a file that `existing` protects, or a failed file operation.
pub fn export_graph(graph: &Graph, out: &Path, existing: Existing) -> Result<ExportedGraph> {
    let extension =
        out.extension().map_or_else(String::new, |e| e.to_string_lossy().to_lowercase());
    let known = ["graphml", "csv", "parquet", "npz", "pt", ""];
    let Some(format) = known.into_iter().find(|known| *known == extension) else {
        let expected =
            "a name ending in .graphml, .csv, .parquet, .npz or .pt, or a folder without extension";
        return Err(Error::setting("out", out.display(), expected));
    };
    let taken = if format.is_empty() { out.join("nodes.csv").exists() } else { out.exists() };
    if (taken && existing != Existing::Overwrite) || (!format.is_empty() && out.is_dir()) {
        return Err(Error::Exists { path: out.display().to_string() });
    }
    let format = match format {
        "graphml" => {
            let mut bytes = Vec::new();
            graph.to_graphml(&mut bytes)?;
            store::write_bytes(out, &bytes)?;
            "graphml"
        }
        "csv" => {
            let named = Graph::new(graph.nodes().clone(), named(graph)?, graph.orientation())?;
            let mut bytes = Vec::new();
            named.edges_to_csv(&mut bytes)?;
            store::write_bytes(out, &bytes)?;
            "csv"
        }
        "parquet" => {
            named(graph)?.write(out)?;
            "parquet"
        }
        "npz" => {
            arrays(graph, out)?;
            "npz"
        }
        "pt" => {
            torch(graph, out)?;
            "pt"
        }
        _ => {
            std::fs::create_dir_all(out).at(out, "create")?;
            graph.to_csv(out)?;
            "csv folder"
        }
    };
    let (nodes, edges) = (graph.nodes().rows(), graph.edges().rows());
    Ok(ExportedGraph { path: out.to_owned(), format, nodes, edges })
}

/// The edges with the names of both ends.
fn named(graph: &Graph) -> Result<Table> {
    let names = graph.nodes().texts("name")?;
    let (mut from, mut to) = (Vec::new(), Vec::new());
    for (source, target, _) in graph.links() {
        from.push(names[graph.row(source)?].clone());
        to.push(names[graph.row(target)?].clone());
    }
    let base = Table::new().with("from", Column::Text(from)).with("to", Column::Text(to));
    Ok(graph.edges().columns().fold(base, |table, (name, column)| table.with(name, column.clone())))
}

/// A matrix `[from, to]` for each type of edge, row by row.
fn matrices(graph: &Graph) -> Result<BTreeMap<String, Vec<f32>>> {
    let count = graph.nodes().rows();
    let mut found: BTreeMap<String, Vec<f32>> = BTreeMap::new();
    let kinds = graph.edges().texts("type")?;
    for ((source, target, weight), kind) in graph.links().zip(kinds) {
        let (from, to) = (graph.row(source)?, graph.row(target)?);
        let matrix = found.entry(kind.clone()).or_insert_with(|| vec![0.0; count * count]);
        matrix[from * count + to] += weight as f32;
        if graph.orientation() == Orientation::Undirected && from != to {
            matrix[to * count + from] += weight as f32;
        }
    }
    Ok(found)
}

/// Places `[node, axis]`; none when nodes have none.
fn places(graph: &Graph) -> Option<Vec<f32>> {
    let axes: Vec<&[f32]> =
        ["x", "y", "z"].iter().filter_map(|axis| graph.nodes().f32s(axis).ok()).collect();
    if axes.len() < 3 {
        return None;
    }
    Some((0..graph.nodes().rows()).flat_map(|row| axes.iter().map(move |axis| axis[row])).collect())
}

fn arrays(graph: &Graph, out: &Path) -> Result<()> {
    let count = graph.nodes().rows();
    let (matrices, places) = (matrices(graph)?, places(graph));
    let mut all: Vec<(&str, &[f32], Vec<usize>)> = matrices
        .iter()
        .map(|(kind, matrix)| (kind.as_str(), matrix.as_slice(), vec![count, count]))
        .collect();
    if let Some(places) = &places {
        all.push(("pos", places, vec![count, 3]));
    }
    write_arrays(out, &all)
}

fn torch(graph: &Graph, out: &Path) -> Result<()> {
    let count = graph.nodes().rows();
    let matrices = matrices(graph)?;
    let weight = |kind: &str, at: usize| matrices.get(kind).map_or(0.0, |matrix| matrix[at]);
    let pairs = count * count;
    let index: Vec<i64> = (0..pairs)
        .map(|at| (at / count) as i64)
        .chain((0..pairs).map(|at| (at % count) as i64))
        .collect();
    let attributes: Vec<f32> =
        (0..pairs).flat_map(|at| [weight("electrical", at), weight("chemical", at)]).collect();
    let text = |name: &str| graph.nodes().texts(name).map(<[String]>::to_vec).unwrap_or_default();
    let types = text("type");
    let mut classes = types.clone();
    classes.sort_unstable();
    classes.dedup();
    let y: Vec<i64> =
        types.iter().map(|kind| classes.partition_point(|other| other < kind) as i64).collect();
    let mut items = vec![
        ("edge_index", Item::I64s(index, vec![2, pairs])),
        ("edge_attr", Item::F32s(Cow::Owned(attributes), vec![pairs, 2])),
    ];
    if let Some(places) = places(graph) {
        items.push(("pos", Item::F32s(Cow::Owned(places), vec![count, 3])));
    }
    if !types.is_empty() {
        items.push(("y", Item::I64s(y, vec![count])));
    }
    items.extend([
        ("node_label", Item::Plain(json!(text("name")))),
        ("node_class", Item::Plain(json!(text("class")))),
        ("node_type", Item::Plain(json!(types))),
        ("node_index", Item::I64s((0..count as i64).collect(), vec![count])),
        ("num_classes", Item::Plain(json!(classes.len()))),
    ]);
    write_torch(out, &items)
}

#[cfg(test)]
mod tests {
    use nissl_core::files::TensorFile;

    use super::*;

    fn graph() -> Graph {
        let text =
            |words: &[&str]| Column::Text(words.iter().map(|&word| word.to_owned()).collect());
        let nodes = Table::new()
            .with("node", Column::U32(vec![7, 9]))
            .with("kind", text(&["neuron"; 2]))
            .with("name", text(&["AVAL", "AVAR"]))
            .with("type", text(&["motor", "interneuron"]))
            .with("x", Column::F32(vec![1.0, 2.0]))
            .with("y", Column::F32(vec![3.0, 4.0]))
            .with("z", Column::F32(vec![5.0, 6.0]));
        let edges = Table::new()
            .with("source", Column::U32(vec![7, 7, 9]))
            .with("target", Column::U32(vec![9, 9, 7]))
            .with("type", text(&["chemical", "electrical", "electrical"]))
            .with("weight", Column::F64(vec![3.0, 0.5, 0.5]));
        Graph::new(nodes, edges, Orientation::Directed).expect("fits")
    }

    #[test]
    fn every_format_has_the_edges_under_their_names() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str| {
            let path = folder.path().join(name);
            export_graph(&graph(), &path, Existing::Refuse).expect(name);
            path
        };
        let csv = std::fs::read_to_string(write("edges.csv")).expect("reads");
        assert!(
            csv.starts_with("from,to,source,target,type,weight\r\nAVAL,AVAR,7,9,chemical,3\r\n"),
            "{csv}"
        );
        let back = Table::read(&write("edges.parquet"), None).expect("reads");
        assert_eq!(back.texts("from").expect("there"), ["AVAL", "AVAL", "AVAR"]);
        assert!(std::fs::read_to_string(write("g.graphml")).expect("reads").contains("AVAR"));
        assert!(write("both").join("nodes.csv").is_file());
        let arrays = TensorFile::open(&write("g.npz")).expect("opens");
        assert_eq!(arrays.f32s("chemical").expect("there"), [0.0, 3.0, 0.0, 0.0]);
        assert_eq!(arrays.f32s("electrical").expect("there"), [0.0, 0.5, 0.5, 0.0]);
        assert_eq!(arrays.f32s("pos").expect("there"), [1.0, 3.0, 5.0, 2.0, 4.0, 6.0]);
        let torch = TensorFile::open(&write("g.pt")).expect("opens");
        let attributes = torch.f32s("edge_attr").expect("there");
        assert_eq!(attributes, [0.0, 0.0, 0.5, 3.0, 0.5, 0.0, 0.0, 0.0]);
        assert_eq!(torch.tensors()["edge_index"].shape, [2, 4]);
        assert_eq!(torch.tensors()["y"].shape, [2]);
    }

    #[test]
    fn what_is_there_is_kept_and_other_formats_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("g.csv");
        export_graph(&graph(), &path, Existing::Refuse).expect("writes");
        assert!(matches!(
            export_graph(&graph(), &path, Existing::Refuse),
            Err(Error::Exists { .. })
        ));
        export_graph(&graph(), &path, Existing::Overwrite).expect("writes");
        let error = export_graph(&graph(), &folder.path().join("g.gexf"), Existing::Refuse);
        assert!(error.expect_err("unknown").to_string().contains(".graphml"));
    }
}
