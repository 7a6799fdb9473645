//! Part B: the paper's experiment with the paper's networks.
//!
//! Bases and edges from the sums that the networks were trained on, ablations on the others: the
//! authors' own split, without which their counts, which hang on single errors, do not come out.

use std::path::Path;

use nissl_core::section::{Chain, InteractionBasis, Samples};
use nissl_core::{Error, IoContext, Progress, Result};
use nissl_decompose::interaction_basis::{BasisKind, LocalInteractionBasis};
use nissl_networks::sections::{Outputs, Transformer};
use nissl_trace::interaction::{Ablate, Ablation, EdgeMatrix, Edges, Measure, Required, Waves};

use crate::modular_addition::{Adder, MODULUS, NETWORKS, folder, trained_and_others};
use crate::report::{Bar, Bound, Cell, Section, Table};
use crate::study::{Findings, Setting};

/// The node layers, as the paper names them.
pub const LAYERS: [&str; 4] = ["ln1.0", "ln2.0", "unembed", "output"];
/// Accuracies of the whole networks that an independent program found.
const ACCURACIES: [f64; NETWORKS] = [0.99969, 0.99922, 1.0, 0.99984, 1.0];
/// Of each network the frequency and the share of power that the authors' labels give the first LIB
/// vectors at `unembed`, twice as many as it has key frequencies (`*_rib_seed*_labels.csv` beside their
/// results, in whole per cent, the terms of one frequency added up).
const LABELS: [&[(usize, f64)]; NETWORKS] = [
    &[
        (15, 0.72),
        (15, 0.97),
        (1, 0.50),
        (18, 0.62),
        (1, 0.64),
        (18, 0.85),
        (56, 0.87),
        (8, 0.83),
        (18, 0.59),
        (15, 0.73),
    ],
    &[(49, 0.55), (30, 0.97), (1, 0.91), (1, 0.72), (49, 0.60), (30, 0.51), (38, 0.82), (38, 0.92)],
    &[(49, 0.95), (3, 0.61), (49, 0.60), (3, 0.84), (19, 0.89), (19, 0.78), (44, 0.90), (44, 0.91)],
    &[(36, 0.97), (38, 0.89), (36, 0.84), (38, 0.80), (49, 0.91), (49, 0.80)],
    &[
        (15, 0.87),
        (19, 0.86),
        (19, 0.91),
        (7, 0.50),
        (15, 0.61),
        (7, 0.80),
        (20, 0.82),
        (20, 0.64),
        (36, 0.78),
        (36, 0.71),
    ],
];
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
    /// The accuracy of the whole network on all sums; zero where nothing was ablated.
    pub accuracy: f64,
}

/// How far a network is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    /// Bases and edges, from all sums.
    Edges,
    /// Bases and edges from the sums that the network was trained on, and what is needed of them on the
    /// others.
    Needs,
}

/// Finds bases and edges of the checkpoint at `path`.
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
    let of = |sums: &mut dyn Iterator<Item = usize>| {
        let tokens = sums.map(|n| [n / MODULUS, n % MODULUS, MODULUS].map(|it| it as u32).to_vec());
        network.tokens(tokens.collect())
    };
    let all = 0..MODULUS * MODULUS;
    let [trained, others] = trained_and_others();
    let samples = match follow {
        Follow::Edges => cut.samples(of(&mut all.clone())?),
        Follow::Needs => cut.samples(of(&mut trained.into_iter())?),
    };
    let settings = LocalInteractionBasis { basis, ..LocalInteractionBasis::default() };
    let bases = settings.fit(&cut.chain, &samples, progress)?;
    let edges = Edges::default().all(&cut.chain, &samples, &bases, progress)?;
    let mut found = Adding { bases, edges, required: Vec::new(), waves: Vec::new(), accuracy: 0.0 };
    if follow == Follow::Needs {
        let answer = |n: usize| ((n / MODULUS + n % MODULUS) % MODULUS) as u32;
        let answers: Vec<u32> = others.iter().map(|&n| answer(n)).collect();
        let samples = cut.samples(of(&mut others.into_iter())?);
        let ablate = Ablate { tolerance: TOLERANCE, ..Ablate::default() };
        let interaction = (&found.bases, found.edges.as_slice());
        found.required = ablate.required(&cut.chain, &samples, &answers, interaction, progress)?;
        let samples = cut.samples(of(&mut all.clone())?);
        let answers: Vec<u32> = all.map(answer).collect();
        let whole = Ablation::new(&cut.chain, &samples, &answers, Measure::Accuracy, 2)?;
        found.accuracy = whole.full();
        found.waves = waves(&cut.chain, &samples, &found.bases)?;
    }
    Ok(found)
}

/// The waves of the first vectors at `unembed` over all sums.
fn waves(chain: &Chain, samples: &dyn Samples, bases: &InteractionBasis) -> Result<Vec<Waves>> {
    let mut rows = samples.rows(0..samples.samples())?;
    for section in &chain.sections[..2] {
        rows = section.forward(rows.view())?;
    }
    let basis = &bases.node_layers[2];
    let new = basis.project(rows.view())?;
    let vectors = (0..basis.vectors()).filter(|&n| basis.constant != Some(n));
    let of = |vector: usize| {
        let grid = new.column(vector).to_owned().into_shape_with_order((MODULUS, MODULUS));
        Waves::of(grid.map_err(|error| Error::setting("sums", error, "all of them"))?.view())
    };
    vectors.take(24).map(of).collect()
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
    let (mut labelled, mut same, mut pure, mut power_gap) = (0.0, 0.0, [0.0; 2], 0.0);
    let mut exact = 0.0;
    for (seed, accuracy) in ACCURACIES.into_iter().enumerate() {
        let path = folder.join(format!("seed{seed}.pt"));
        let keys = Adder::open(&folder, seed)?.key_frequencies()?;
        for (of_basis, basis) in [BasisKind::Lib, BasisKind::Pca].into_iter().enumerate() {
            let found = adding(&path, basis, Follow::Needs, setting.progress)?;
            let theirs = published(&folder, basis, seed)?;
            if basis == BasisKind::Lib {
                for (waves, &(wave, power)) in found.waves.iter().zip(LABELS[seed]) {
                    let (frequency, share) = waves.strongest();
                    labelled += 1.0;
                    same += f64::from(u8::from(frequency == wave && keys.contains(&wave)));
                    pure[0] += share;
                    pure[1] += power;
                    power_gap += (share - power).abs();
                }
            }
            for (layer, needs) in found.required.iter().enumerate() {
                accuracy_gap = accuracy_gap.max((found.accuracy - accuracy).abs());
                let count = |it: Option<usize>| it.map_or(f64::NAN, |it| it as f64);
                let (vectors, edges) = (count(needs.vectors), count(needs.edges));
                vector_gap = vector_gap.max((vectors - theirs.vectors[layer]).abs());
                edge_gap = edge_gap.max((edges / theirs.edges[layer] - 1.0).abs());
                exact += f64::from(u8::from(edges.total_cmp(&theirs.edges[layer]).is_eq()));
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
        bar(
            "first LIB vectors of the published frequency, share",
            same / labelled,
            Bound::AtLeast(0.9),
        )
        .with_paper(1.0),
        bar(
            "their power in it, mean gap to the published",
            power_gap / labelled,
            Bound::AtMost(0.03),
        ),
        bar("their power in it, mean", pure[0] / labelled, Bound::AtLeast(0.75))
            .with_paper(pure[1] / labelled),
        bar("edges needed exactly as published, of 30", exact, Bound::AtLeast(24.0))
            .with_paper(30.0),
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
                "Bases and edges from the 3,830 sums that the networks were trained on, ablations on the \
                 other 8,939: the authors' split, drawn anew with their generator. Edges from the \
                 constant are free.",
            )
            .with(table),
    );
    Ok(())
}
