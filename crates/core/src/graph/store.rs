//! Graphs on disk: two Parquet tables whose checksums stand in the manifest; edges are streamed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::{Graph, GraphDetail, Orientation, check_edges, check_nodes, no_edges};
use crate::error::{Error, Result};
use crate::store::{Existing, Kind, MANIFEST, Manifest, Provenance, Shard, prepare};
use crate::table::{Table, TableGroups, TableWriter};

const NODES: &str = "nodes.parquet";
const EDGES: &str = "edges.parquet";

/// Rows that are written at once.
const GROUP: usize = 65_536;

impl Graph {
    /// Writes the graph to `folder`.
    ///
    /// # Errors
    /// A folder that `existing` does not allow, or a failed file operation.
    pub fn save(&self, folder: &Path, provenance: Provenance, existing: Existing) -> Result<()> {
        let (nodes, seed) = (self.nodes.clone(), self.layout_seed);
        let mut writer =
            GraphWriter::begin(folder, nodes, self.orientation, seed, provenance, existing)?;
        if self.edges.rows() <= GROUP {
            writer.push(&self.edges)?;
        } else {
            let rows: Vec<usize> = (0..self.edges.rows()).collect();
            for group in rows.chunks(GROUP) {
                writer.push(&self.edges.take(group))?;
            }
        }
        writer.finish()
    }

    /// Reads a whole graph.
    ///
    /// # Errors
    /// No graph, an unfinished one, or tables that are damaged or do not fit.
    pub fn open(folder: &Path) -> Result<Self> {
        let mut groups = EdgeGroups::open(folder)?;
        let mut edges = Table::new();
        for group in &mut groups {
            edges.append(group?)?;
        }
        let EdgeGroups { nodes, rows, manifest, .. } = groups;
        if edges.rows() == 0 {
            edges = no_edges();
        }
        let GraphDetail { orientation, layout_seed, .. } = manifest.detail;
        Ok(Self { nodes, edges, orientation, layout_seed, rows })
    }

    /// The edges in `folder`, a row group at a time.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn edge_groups(folder: &Path) -> Result<EdgeGroups> {
        EdgeGroups::open(folder)
    }

    /// Compares the tables in `folder` with their checksums.
    ///
    /// # Errors
    /// The first table that is missing, changed, or not listed in the manifest.
    pub fn verify(folder: &Path) -> Result<()> {
        let manifest = read_manifest(folder)?;
        manifest.verify(folder)
    }
}

/// Edges of a stored graph, checked a row group at a time: each item is an edge table.
pub struct EdgeGroups {
    path: PathBuf,
    nodes: Table,
    rows: HashMap<u32, usize>,
    manifest: Manifest<GraphDetail>,
    groups: TableGroups,
}

impl EdgeGroups {
    fn open(folder: &Path) -> Result<Self> {
        let manifest = read_manifest(folder)?;
        let path = folder.join(NODES);
        let nodes = Table::read(&path, None)?;
        fits(&path, nodes.rows(), manifest.detail.nodes)?;
        let rows = check_nodes(&nodes).map_err(|error| of_file(&path, error))?;
        let path = folder.join(EDGES);
        let groups = Table::read_groups(&path, None)?;
        fits(&path, groups.rows(), manifest.detail.edges)?;
        Ok(Self { path, nodes, rows, manifest, groups })
    }

    /// One row for each node.
    pub fn nodes(&self) -> &Table {
        &self.nodes
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest<GraphDetail> {
        &self.manifest
    }
}

impl Iterator for EdgeGroups {
    type Item = Result<Table>;

    fn next(&mut self) -> Option<Self::Item> {
        let checked = self.groups.next()?.and_then(|edges| {
            check_edges(&edges, &self.rows).map_err(|error| of_file(&self.path, error))?;
            Ok(edges)
        });
        Some(checked)
    }
}

/// Writes a graph whose edges come in parts.
pub struct GraphWriter {
    folder: PathBuf,
    rows: HashMap<u32, usize>,
    manifest: Manifest<GraphDetail>,
    edges: TableWriter,
}

impl GraphWriter {
    /// Begins a graph of `nodes` in `folder`.
    ///
    /// # Errors
    /// A node table that [`Graph::new`] would refuse, a folder that `existing` does not allow, or a
    /// failed file operation.
    pub fn create(
        folder: &Path,
        nodes: Table,
        orientation: Orientation,
        provenance: Provenance,
        existing: Existing,
    ) -> Result<Self> {
        Self::begin(folder, nodes, orientation, None, provenance, existing)
    }

    fn begin(
        folder: &Path,
        nodes: Table,
        orientation: Orientation,
        layout_seed: Option<u64>,
        provenance: Provenance,
        existing: Existing,
    ) -> Result<Self> {
        let rows = check_nodes(&nodes)?;
        if prepare(folder, existing)? {
            // What is there may be another artefact or a finished one: neither is written over.
            let before = Manifest::<GraphDetail>::read(folder, Kind::Graph)?;
            if before.detail.complete {
                return Err(Error::Exists { path: folder.display().to_string() });
            }
        }
        let count = nodes.rows();
        let detail =
            GraphDetail { nodes: count, edges: 0, orientation, layout_seed, complete: false };
        let mut manifest = Manifest::new(Kind::Graph, provenance, detail);
        manifest.write(folder)?;
        nodes.write(&folder.join(NODES))?;
        manifest.shards.push(Shard::of(folder, NODES, count)?);
        let edges = TableWriter::create(&folder.join(EDGES));
        Ok(Self { folder: folder.to_owned(), rows, manifest, edges })
    }

    /// Appends edges.
    ///
    /// # Errors
    /// Edges that [`Graph::new`] would refuse, other columns than before, or a failed file operation.
    pub fn push(&mut self, edges: &Table) -> Result<()> {
        check_edges(edges, &self.rows)?;
        self.edges.push(edges)?;
        self.manifest.detail.edges += edges.rows();
        Ok(())
    }

    /// Gives the edges their name and marks the graph complete.
    ///
    /// # Errors
    /// A failed file operation.
    pub fn finish(mut self) -> Result<()> {
        if self.manifest.detail.edges == 0 {
            self.edges = TableWriter::create(&self.folder.join(EDGES));
            self.edges.push(&no_edges())?;
        }
        self.edges.finish()?;
        let edges = self.manifest.detail.edges;
        self.manifest.shards.push(Shard::of(&self.folder, EDGES, edges)?);
        self.manifest.detail.complete = true;
        self.manifest.write(&self.folder)
    }
}

fn read_manifest(folder: &Path) -> Result<Manifest<GraphDetail>> {
    let manifest = Manifest::<GraphDetail>::read(folder, Kind::Graph)?;
    finished(folder, Kind::Graph, manifest.detail.complete)?;
    listed(folder, &manifest.shards, &[NODES, EDGES])?;
    Ok(manifest)
}

/// # Errors
/// An artefact whose writing was interrupted.
pub(crate) fn finished(folder: &Path, kind: Kind, complete: bool) -> Result<()> {
    if complete {
        return Ok(());
    }
    Err(Error::NotAnArtefact {
        path: folder.display().to_string(),
        expected: format!("finished {}", kind.name()),
        found: "it was interrupted while it was written".to_owned(),
        help: Some("run its command again with --resume or --overwrite".to_owned()),
    })
}

/// # Errors
/// A manifest without the checksum of one of `files`.
pub(crate) fn listed(folder: &Path, shards: &[Shard], files: &[&str]) -> Result<()> {
    match files.iter().find(|file| !shards.iter().any(|shard| shard.file == **file)) {
        None => Ok(()),
        Some(absent) => {
            let found = format!("without `{absent}`");
            Err(Error::file(folder.join(MANIFEST), "shards", found, files.join(", ")))
        }
    }
}

/// # Errors
/// A table with another number of rows than the manifest says.
pub(crate) fn fits(path: &Path, found: usize, expected: usize) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Error::file(path, "rows", found, format!("{expected}, as in the manifest")))
}

/// The same complaint, with the file it is about.
pub(crate) fn of_file(path: &Path, error: Error) -> Error {
    match error {
        Error::Setting { field, found, expected, .. } => Error::file(path, field, found, expected),
        Error::Empty { expected, .. } => Error::file(path, "rows", 0, expected),
        other => other,
    }
}
