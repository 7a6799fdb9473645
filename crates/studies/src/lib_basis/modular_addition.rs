//! Part B: the paper's experiment with the paper's networks.

use std::path::Path;

use nissl_core::section::{InteractionBasis, Samples};
use nissl_core::{Error, IoContext, Progress, Result};
use nissl_decompose::interaction_basis::{BasisKind, LocalInteractionBasis};
use nissl_networks::sections::{Outputs, Transformer};
use nissl_trace::interaction::{EdgeMatrix, Edges, Measure, Required, Waves, required};

use crate::modular_addition::{Adder, MODULUS, NETWORKS, folder};
use crate::report::{Bar, Bound, Cell, Section, Table};
use crate::study::{Findings, Setting};

/// The node layers, as the paper names them.
pub const LAYERS: [&str; 4] = ["ln1.0", "ln2.0", "unembed", "output"];
/// Accuracies of the whole networks that an independent program found.
const ACCURACIES: [f64; NETWORKS] = [0.99969, 0.99922, 1.0, 0.99984, 1.0];
/// The accuracy that an ablation may cost.
const TOLERANCE: f64 = 0.001;

/// One network in one basis.
pub struct Adding {
    /// The bases of the four node layers.
    pub bases: InteractionBasis,
    /// The edges between them.
    pub edges: Vec<EdgeMatrix>,
    /// What each node layer but the last needs; empty where that was not asked for.
    pub required: Vec<Required>,
    /// The waves of the first vectors at `unembed`, without the constant, most important first.
    pub waves: Vec<Waves>,
}

/// How far a network is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    /// Bases and edges.
    Edges,
    /// Also what is needed of them.
    Needs,
}

/// Finds bases and edges of the checkpoint at `path`, over all sums.
///
/// # Errors
/// A checkpoint that is not there or damaged, or an interruption.
pub fn adding(
    path: &Path,
    basis: BasisKind,
    follow: Follow,
    progress: &Progress,
) -> Result<Adding> {
    let network = Transformer::open(path)?;
    let cut = network.cut(&LAYERS.map(str::to_owned), 3, Outputs::Last)?;
    let pairs = (0..MODULUS * MODULUS).map(|n| [n / MODULUS, n % MODULUS, MODULUS]);
    let sequences = pairs.map(|tokens| tokens.map(|token| token as u32).to_vec()).collect();
    let samples = cut.samples(network.tokens(sequences)?);
    let settings = LocalInteractionBasis { basis, ..LocalInteractionBasis::default() };
    let bases = settings.fit(&cut.chain, &samples, progress)?;
    let edges = Edges::default().all(&cut.chain, &samples, &bases, progress)?;
    let mut required_of = Vec::new();
    let mut waves = Vec::new();
    if follow == Follow::Needs {
        let answers: Vec<u32> = (0..MODULUS * MODULUS)
            .map(|n| ((n / MODULUS + n % MODULUS) % MODULUS) as u32)
            .collect();
        let judged = (Measure::Accuracy, TOLERANCE);
        required_of = required(&cut.chain, &samples, &answers, (&bases, &edges), judged, progress)?;
        let mut rows = samples.rows(0..samples.samples())?;
        for section in &cut.chain.sections[..2] {
            rows = section.forward(rows.view())?;
        }
        let basis = &bases.node_layers[2];
        let new = basis.project(rows.view())?;
        for vector in (0..basis.vectors()).filter(|&n| basis.constant != Some(n)).take(24) {
            let values = new.column(vector).to_owned();
            let grid = values
                .into_shape_with_order((MODULUS, MODULUS))
                .map_err(|error| Error::setting("sums", error, "all of them"))?;
            waves.push(Waves::of(grid.view())?);
        }
    }
    Ok(Adding { bases, edges, required: required_of, waves })
}

/// What the authors found for one network in one basis.
struct Published {
    edges: [f64; 3],
    vectors: [f64; 3],
}

fn published(folder: &Path, basis: BasisKind, seed: usize) -> Result<Published> {
    let path = folder.join("published-results.json");
    let bytes = std::fs::read(&path).at(&path, "open")?;
    let wrong = |what: &str| Error::file(&path, "runs", what, "the published runs");
    let all: serde_json::Value = serde_json::from_slice(&bytes)
        .map_err(|error| Error::file(&path, "runs", error, "JSON"))?;
    let name = if basis == BasisKind::Lib { "lib" } else { "pca" };
    let runs = all["runs"].as_array().ok_or_else(|| wrong("absent"))?;
    let run = runs.iter().find(|run| run["basis"] == name && run["seed"] == seed);
    let run = run.ok_or_else(|| wrong("one is absent"))?;
    let full = run["unablated_accuracy"].as_f64().ok_or_else(|| wrong("no accuracy"))?;
    let (mut edges, mut vectors) = ([f64::NAN; 3], [f64::NAN; 3]);
    for (n, layer) in LAYERS[..3].iter().enumerate() {
        edges[n] = run["edges_required"][layer].as_f64().unwrap_or(f64::NAN);
        let curve = run["node_ablation_accuracy_by_vectors_kept"][layer].as_object();
        let enough = curve.into_iter().flatten().filter_map(|(kept, accuracy)| {
            let kept: f64 = kept.parse().ok()?;
            // The file has six digits.
            (accuracy.as_f64()? >= full - TOLERANCE - 1e-6).then_some(kept)
        });
        vectors[n] = enough.fold(f64::INFINITY, f64::min);
    }
    Ok(Published { edges, vectors })
}

pub(super) fn modular_addition(setting: &Setting<'_>, findings: &mut Findings) -> Result<()> {
    let Some(folder) = folder(setting, "B", findings) else { return Ok(()) };
    let mut table = Table::new(
        "Needed for the same accuracy to 0.001",
        ["network", "basis", "from", "vectors", "published", "edges", "published"],
    );
    let (mut accuracy_gap, mut vector_gap, mut edge_gap) = (0.0f64, 0.0f64, 0.0f64);
    // [basis][node layer], ours and theirs.
    let mut means = [[[0.0; 2]; 3]; 2];
    let mut least_pure = 1.0f64;
    for (seed, accuracy) in ACCURACIES.into_iter().enumerate() {
        let path = folder.join(format!("seed{seed}.pt"));
        let keys = Adder::open(&folder, seed)?.key_frequencies()?;
        for (of_basis, basis) in [BasisKind::Lib, BasisKind::Pca].into_iter().enumerate() {
            let found = adding(&path, basis, Follow::Needs, setting.progress)?;
            let theirs = published(&folder, basis, seed)?;
            if basis == BasisKind::Lib {
                for waves in found.waves.iter().take(2 * keys.len()) {
                    let (frequency, share) = waves.strongest();
                    let share = if keys.contains(&frequency) { share } else { 0.0 };
                    least_pure = least_pure.min(share);
                }
            }
            for (layer, needs) in found.required.iter().enumerate() {
                accuracy_gap = accuracy_gap.max((needs.full - accuracy).abs());
                let count = |it: Option<usize>| it.map_or(f64::NAN, |it| it as f64);
                let (vectors, edges) = (count(needs.vectors), count(needs.edges));
                vector_gap = vector_gap.max((vectors - theirs.vectors[layer]).abs());
                edge_gap = edge_gap.max((edges / theirs.edges[layer] - 1.0).abs());
                means[of_basis][layer][0] += edges / NETWORKS as f64;
                means[of_basis][layer][1] += theirs.edges[layer] / NETWORKS as f64;
                table = table.with_row([
                    Cell::text(format!("seed {seed}")),
                    Cell::text(if of_basis == 0 { "LIB" } else { "PCA" }),
                    Cell::text(LAYERS[layer]),
                    Cell::Number(vectors),
                    Cell::Number(theirs.vectors[layer]),
                    Cell::Number(edges),
                    Cell::Number(theirs.edges[layer]),
                ]);
            }
        }
    }
    let bars = &mut findings.bars.bars;
    let bar = |name: &str, value, bound| Bar::new(format!("B: {name}"), value, bound);
    bars.extend([
        bar("accuracy of the whole, greatest gap", accuracy_gap, Bound::AtMost(1e-4)),
        bar("vectors needed, greatest gap", vector_gap, Bound::AtMost(2.0)),
        bar("edges needed, greatest relative gap of a network", edge_gap, Bound::AtMost(0.2)),
        bar("power of first LIB vectors in one key frequency", least_pure, Bound::AtLeast(0.9)),
    ]);
    for (layer, name) in LAYERS[..3].iter().enumerate() {
        let [lib, pca] = [means[0][layer], means[1][layer]];
        for (basis, [ours, theirs]) in [("LIB", lib), ("PCA", pca)] {
            let bound = Bound::Within(0.88 * theirs, 1.12 * theirs);
            let name = format!("edges needed from {name}, {basis}, mean");
            bars.push(bar(&name, ours, bound).with_paper(theirs));
        }
        if layer < 2 {
            let name = format!("edges of LIB per edge of PCA from {name}");
            bars.push(bar(&name, lib[0] / pca[0], Bound::AtMost(1.0)).with_paper(lib[1] / pca[1]));
        }
    }
    let section = Section::new("B. Five networks that add modulo 113");
    findings.sections.push(
        section
            .says(
                "Bases and ablations on all 12,769 sums; the authors took a random 30 % of them. \
                 Edges from the constant are free.",
            )
            .with(table),
    );
    Ok(())
}
