//! A hierarchy on disk, beside the features of its finest level.
//!
//! `levels/2`, `levels/3`, …: the coarser levels, Features over the same units and samples.
//! `hierarchy`: a Graph with a node for each feature (`level` counted from 1, `feature`) and an edge
//! from a feature to each one above that it is part of, its weight that of `W`; beside its tables
//! `levels.parquet` (`level`, `features`, `error`: of the chain that ends there) and, where the
//! levels were tuned together, `tuning.parquet` (`step`, `error`).
//! Memory: the dictionaries of all levels.

use std::path::{Path, PathBuf};

use ndarray::Array2;
use nissl_core::features::{Features, FeaturesPlan, FeaturesWriter};
use nissl_core::graph::{Graph, Orientation};
use nissl_core::store::{Existing, Provenance};
use nissl_core::{Column, Error, Result, Table};

use super::{Hierarchy, Recursion, Tuned};
use crate::pipeline::{Run, encode};
use crate::{Method, Snmf};

/// The folder of the graph.
const GRAPH: &str = "hierarchy";
/// The folder of the coarser levels.
const LEVELS: &str = "levels";
/// The table of the levels' errors, in the folder of the graph.
const ERRORS: &str = "levels.parquet";
/// The table of the tuning's errors, in the folder of the graph.
const TUNING: &str = "tuning.parquet";

/// The folder of level `level`, counted from 1.
fn folder(features: &Path, level: usize) -> PathBuf {
    if level == 1 { features.to_owned() } else { features.join(LEVELS).join(level.to_string()) }
}

/// The finished finest level of an interrupted run that is continued.
///
/// # Errors
/// A hierarchy that is finished already.
pub(crate) fn finest(out: &Path, run: &Run<'_>) -> Result<Option<Features>> {
    if run.existing != Existing::Resume {
        return Ok(None);
    }
    let Ok(features) = Features::open(out) else { return Ok(None) };
    let before = features.manifest();
    let same = before.provenance.config == run.plan.provenance.config
        && before.provenance.seed == run.plan.provenance.seed
        && before.detail.recording.as_ref().map(|input| &input.sha256)
            == run.plan.recording.as_ref().map(|input| &input.sha256);
    if !same || Graph::open(&out.join(GRAPH)).is_ok() {
        return Err(Error::Exists { path: out.display().to_string() });
    }
    Ok(Some(features))
}

/// Factorises `features` further and writes the levels and their graph beside them.
///
/// # Errors
/// An interruption, a loss that is not finite, or a failed file operation.
pub(crate) fn write(snmf: &Snmf, features: &Features, run: &Run<'_>) -> Result<()> {
    let Recursion { levels, tuning } = &snmf.recursion;
    let (out, progress) = (features.path(), run.progress);
    let mut hierarchy = Hierarchy::build(features.dictionary().clone(), levels, snmf, progress)?;
    let tuned = if tuning.steps > 0 {
        let kept = snmf.sparsity.units(features.units())?;
        let rows = &run.split.fit;
        let memory = snmf.memory_mib;
        Some(hierarchy.fine_tune(run.recording, rows, tuning, kept, memory, progress)?)
    } else {
        None
    };
    let errors = hierarchy.errors(run.recording, &run.split.fit, progress)?;
    for (level, dictionary) in (2..).zip(&hierarchy.levels[1..]) {
        let folder = folder(out, level);
        let resumed = run.existing == Existing::Resume;
        let there = |found: Features| found.dictionary().decoder == dictionary.decoder;
        if resumed && Features::open(&folder).is_ok_and(there) {
            continue;
        }
        let plan = level_plan(snmf, level, dictionary.features(), features, run)?;
        let existing = if resumed { Existing::Resume } else { Existing::Refuse };
        let writer = FeaturesWriter::create(&folder, &plan, existing, || Ok(dictionary.clone()))?;
        encode(writer, run)?;
    }
    let provenance = Provenance { inputs: vec![features.input()?], ..run.plan.provenance.clone() };
    let existing =
        if run.existing == Existing::Resume { Existing::Resume } else { Existing::Refuse };
    let graph = out.join(GRAPH);
    hierarchy.graph()?.save(&graph, provenance, existing)?;
    let ranks = hierarchy.levels.iter().map(|level| level.features() as u32);
    Table::new()
        .with("level", Column::U32((1..=errors.len() as u32).collect()))
        .with("features", Column::U32(ranks.collect()))
        .with("error", Column::F64(errors))
        .write(&graph.join(ERRORS))?;
    if let Some(Tuned { errors, .. }) = tuned {
        Table::new()
            .with("step", Column::U32((0..errors.len() as u32).collect()))
            .with("error", Column::F64(errors))
            .write(&graph.join(TUNING))?;
    }
    Ok(())
}

/// How the features of a coarser level are written.
fn level_plan(
    snmf: &Snmf,
    level: usize,
    rank: usize,
    finest: &Features,
    run: &Run<'_>,
) -> Result<FeaturesPlan> {
    let method = Snmf { k: rank, recursion: Recursion::default(), ..snmf.clone() };
    let tag = serde_json::to_value(Method::Snmf(method))
        .map_err(|error| Error::setting("method", error, "settings that JSON can hold"))?;
    let mut plan = FeaturesPlan { method: tag, ..run.plan.clone() };
    if let Some(config) = plan.provenance.config.as_object_mut() {
        config.insert("level".to_owned(), level.into());
    }
    plan.provenance.inputs.push(finest.input()?);
    Ok(plan)
}

impl Hierarchy {
    /// A node for each feature, `level` counted from 1, and an edge from each feature to those above
    /// that it is part of; only weights above 0 stand.
    fn graph(&self) -> Result<Graph> {
        let (mut level, mut feature) = (Vec::new(), Vec::new());
        let mut first = vec![0u32];
        for (number, dictionary) in (1..).zip(&self.levels) {
            level.extend(std::iter::repeat_n(number, dictionary.features()));
            feature.extend(0..dictionary.features() as u32);
            first.push(level.len() as u32);
        }
        let names = level.iter().zip(&feature).map(|(level, feature)| format!("{level}:{feature}"));
        let nodes = Table::new()
            .with("node", Column::U32((0..level.len() as u32).collect()))
            .with("kind", Column::Text(vec!["feature".to_owned(); level.len()]))
            .with("name", Column::Text(names.collect()))
            .with("level", Column::U32(level))
            .with("feature", Column::U32(feature));
        let (mut source, mut target, mut weight) = (Vec::new(), Vec::new(), Vec::new());
        for (number, weights) in self.weights.iter().enumerate() {
            for ((below, above), &value) in weights.indexed_iter().filter(|(_, w)| **w > 0.0) {
                source.push(first[number] + below as u32);
                target.push(first[number + 1] + above as u32);
                weight.push(f64::from(value));
            }
        }
        let edges = Table::new()
            .with("type", Column::Text(vec!["part-of".to_owned(); source.len()]))
            .with("source", Column::U32(source))
            .with("target", Column::U32(target))
            .with("weight", Column::F64(weight));
        Graph::new(nodes, edges, Orientation::Directed)
    }
}

/// The levels of a hierarchy as they lie on disk.
#[derive(Clone, Debug)]
pub struct Levels {
    /// From the finest to the coarsest.
    pub features: Vec<Features>,
    /// `weights[l]` `[feature of features[l], feature of features[l + 1]]`, at least 0.
    pub weights: Vec<Array2<f32>>,
    /// The relative squared error of the chain that ends at each level `[level]`; empty where it was
    /// not measured.
    pub errors: Vec<f64>,
    /// What tuning the levels together did, where they were.
    pub tuned: Option<Tuned>,
}

impl Levels {
    /// Opens the levels whose finest are the features in `path`.
    ///
    /// # Errors
    /// Features without coarser levels, levels that are incomplete, or a graph that does not fit
    /// them.
    pub fn open(path: &Path) -> Result<Self> {
        let finest = Features::open(path)?;
        let file = path.join(GRAPH);
        if !file.exists() {
            return Err(Error::NotAnArtefact {
                path: path.display().to_string(),
                expected: "hierarchy".to_owned(),
                found: format!("these {} features have no coarser levels", finest.features()),
                help: Some(
                    "make them with `nissl decompose snmf RECORDING -k 400 --levels 200,100,50`"
                        .to_owned(),
                ),
            });
        }
        let graph = Graph::open(&file)?;
        let levels = graph.nodes().u32s("level")?;
        let numbers = graph.nodes().u32s("feature")?;
        let deepest = levels.iter().copied().max().unwrap_or(0) as usize;
        let mut features = vec![finest];
        for level in 2..=deepest {
            features.push(Features::open(&folder(path, level))?);
        }
        let wrong = |field: &str, found: String, expected: String| {
            Err(Error::file(file.join("nodes.parquet"), field, found, expected))
        };
        for (level, features) in (1..).zip(&features) {
            let found = levels.iter().filter(|&&other| other == level).count();
            if found != features.features() {
                let expected = format!("{}, as in level {level}", features.features());
                return wrong("level", format!("{found} features"), expected);
            }
        }
        let outside = |(&level, &number): (&u32, &u32)| {
            let level = (level as usize).checked_sub(1).and_then(|level| features.get(level));
            level.is_none_or(|level| number as usize >= level.features())
        };
        if let Some(row) = levels.iter().zip(numbers).position(outside) {
            let found = format!("{}:{} in row {row}", levels[row], numbers[row]);
            return wrong("feature", found, "a feature of its level".to_owned());
        }
        let mut weights: Vec<Array2<f32>> = features
            .windows(2)
            .map(|pair| Array2::zeros((pair[0].features(), pair[1].features())))
            .collect();
        for (source, target, weight) in graph.links() {
            let place = |node| graph.row(node).map(|row| (levels[row], numbers[row] as usize));
            let ((low, child), (high, parent)) = (place(source)?, place(target)?);
            if high != low + 1 || weight < 0.0 {
                let found = format!("{weight} from level {low} to level {high}");
                let expected = "at least 0, from one level to the next";
                return Err(Error::file(file.join("edges.parquet"), "weight", found, expected));
            }
            weights[low as usize - 1][[child, parent]] = weight as f32;
        }
        let column = |name: &str| -> Result<Option<Vec<f64>>> {
            let path = file.join(name);
            let table = path.exists().then(|| Table::read(&path, Some(&["error"]))).transpose()?;
            table.map(|table| Ok(table.f64s("error")?.to_vec())).transpose()
        };
        let errors = column(ERRORS)?.unwrap_or_default();
        let tuned = column(TUNING)?.map(Tuned::of);
        Ok(Self { features, weights, errors, tuned })
    }

    /// The number of levels.
    pub fn depth(&self) -> usize {
        self.features.len()
    }
}
