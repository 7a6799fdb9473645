//! The study `dynamic-communities`: who acts with whom, when and in which animals, against planted truth.
//!
//! Part A plants neurons that change partners over time; part B shifts every trace on its own, a control in which
//! nothing may be found; part C tests the block model by itself.

mod baselines;
mod block_models;
mod chance;
mod found;
pub mod page;
mod removal;
#[cfg(test)]
mod tests;

use nissl_core::Result;
use nissl_decompose::ntf::{Animal, Animals, Window};
use nissl_worlds::dynamic_communities::DynamicCommunitiesWorld;

use crate::report::{Bar, Bars, Bound, Cell, Section, Table};
use crate::study::{Findings, Setting, Study};

pub use self::found::{Community, communities};
pub use self::removal::{Removal, removals};

use self::chance::Chance;
use self::found::Found;

/// The study.
pub const DYNAMIC_COMMUNITIES: Study = Study {
    name: "dynamic-communities",
    title: "Do factorised affinities tell who acts with whom, when and in which animals?",
    source: "Dyballa et al. 2024, arXiv:2402.14102",
    about: "Forty neurons of eight animals change partners over time: four motifs, each with its own groups, \
            window and animals. A non-negative factorisation of pairwise affinities must find the windows, \
            animals and pairs, and a weighted block model the groups, where a static correlation graph \
            does not. In data whose traces were shifted on their own nothing may be found.",
    run,
};

/// Worlds that are drawn.
const WORLDS: u64 = 5;
/// The planted number of components.
pub(crate) const RANK: usize = 4;

/// The animals of a world, with the names and windows that its recordings have.
pub(crate) fn animals(world: &DynamicCommunitiesWorld) -> Animals {
    let neurons = world.names();
    let windows: Vec<Window> = [("first", 0.0), ("second", 50.0), ("third", 100.0)]
        .map(|(name, start)| Window { name: name.to_owned(), start, end: start + 50.0 })
        .to_vec();
    let animals = world.traces.iter().enumerate().map(|(number, traces)| Animal {
        name: format!("animal-{number:02}"),
        traces: traces.columns().into_iter().map(|trace| Some(trace.to_vec())).collect(),
        windows: windows.clone(),
    });
    Animals { animals: animals.collect(), neurons, dt: world.dt, start: 0.0 }
}

fn run(setting: &Setting<'_>) -> Result<Findings> {
    let mut all = Vec::new();
    for number in 0..WORLDS {
        let found = Found::of(setting.seed + number, setting.progress)?;
        let chance = Chance::of(&found, setting.progress)?;
        let baselines = baselines::of(
            &found,
            &setting.folder.join(format!("world-{number}")),
            setting.progress,
        )?;
        all.push((found, chance, baselines));
    }
    let mut findings = Findings {
        bars: Bars::new("Planted motifs, and what is found of them in five worlds"),
        ..Findings::default()
    };
    judge(&all, &mut findings);
    findings.sections.push(table(&all));
    if let Some((found, chance, _)) = all.first() {
        findings.sections.extend(page::sections(
            &found.components,
            &found.communities,
            Some(&chance.p),
        ));
        findings.sections.push(page::curves(&found.scan));
    }
    block_models::judge(setting, &mut findings)?;
    Ok(findings)
}

/// Everything about one world.
type World = (Found, Chance, baselines::Baselines);

fn judge(all: &[World], findings: &mut Findings) {
    let each = |of: fn(&Found) -> &Vec<f64>| -> Vec<f64> {
        all.iter().flat_map(|(found, ..)| of(found).clone()).collect()
    };
    let least = |values: &[f64]| values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = |values: &[f64]| values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let of_world = |of: &dyn Fn(&World) -> f64| -> Vec<f64> { all.iter().map(of).collect() };
    let nmi = each(|found| &found.nmi);
    let ranks = of_world(&|(found, ..)| found.scan.rank as f64);
    let bar = |name: &str, value, bound| Bar::new(name, value, bound);
    let planted_p: Vec<f64> = all.iter().flat_map(|(_, chance, _)| chance.p.clone()).collect();
    let null_p: Vec<f64> = all.iter().flat_map(|(_, chance, _)| chance.null_p.clone()).collect();
    let quiet = null_p.iter().filter(|p| **p > 0.05).count() as f64 / null_p.len().max(1) as f64;
    let null_nmi: Vec<f64> =
        all.iter().flat_map(|(_, chance, _)| chance.null_nmi.clone()).collect();
    let fixed: Vec<f64> = all.iter().flat_map(|(.., base)| base.correlation.clone()).collect();
    findings.bars.bars.extend([
        bar(
            "A: cosine with the window, mean of a motif's worlds, least",
            least(&by_motif(all, |found| &found.times)),
            Bound::AtLeast(0.90),
        ),
        bar(
            "A: cosine with the animals, mean of a motif's worlds, least",
            least(&by_motif(all, |found| &found.animals)),
            Bound::AtLeast(0.95),
        ),
        bar(
            "A: AUROC of pairs, least of all components",
            least(&each(|found| &found.auroc)),
            Bound::AtLeast(0.98),
        ),
        bar(
            "A: stability of restarts, least",
            least(&of_world(&|(found, ..)| found.stability)),
            Bound::AtLeast(0.98),
        ),
        bar("A: number of components chosen, least", least(&ranks), Bound::AtLeast(4.0)),
        bar("A: number of components chosen, most", most(&ranks), Bound::AtMost(5.0)),
        bar("A: NMI of groups, mean", mean(&nmi), Bound::AtLeast(0.93)),
        bar("A: NMI of groups, least", least(&nmi), Bound::AtLeast(0.75)),
        bar(
            "A: NMI of groups of the static correlation graph, mean",
            mean(&fixed),
            Bound::AtMost(0.75),
        ),
        bar("A: p of the contrast within groups, largest", most(&planted_p), Bound::AtMost(0.05)),
        bar(
            "B: stability of restarts in shifted data, most",
            most(&of_world(&|(_, chance, _)| chance.null_stability)),
            Bound::AtMost(0.96),
        ),
        bar("B: NMI of groups with the planted ones, mean", mean(&null_nmi), Bound::AtMost(0.35)),
        bar("B: share of components with p above 0.05", quiet, Bound::AtLeast(0.70)),
    ]);
}

/// The mean over the worlds of each motif.
fn by_motif(all: &[World], of: fn(&Found) -> &Vec<f64>) -> Vec<f64> {
    let mean =
        |motif| all.iter().map(|(found, ..)| of(found)[motif]).sum::<f64>() / all.len() as f64;
    (0..RANK).map(mean).collect()
}

fn table(all: &[World]) -> Section {
    let mut table = Table::new(
        "Each planted motif in each world, beside the component that stands for it",
        [
            "world",
            "motif",
            "time",
            "animals",
            "pairs",
            "AUROC",
            "NMI",
            "p",
            "static NMI",
            "PCA + k-means NMI",
        ],
    );
    for (number, (found, chance, base)) in all.iter().enumerate() {
        for motif in 0..RANK {
            let figures = [
                found.times[motif],
                found.animals[motif],
                found.pairs[motif],
                found.auroc[motif],
                found.nmi[motif],
                chance.p[found.component[motif]],
                base.correlation[motif],
                base.clusters[motif],
            ];
            let names = [Cell::text(number.to_string()), Cell::text(format!("M{motif}"))];
            table = table.with_row(names.into_iter().chain(figures.map(Cell::Number)));
        }
    }
    Section::new("A. Planted motifs")
        .says(
            "Cosines of the time course with the planted window, of the animal loadings with the planted \
             animals, of pair loadings with pairs of one group; AUROC of pair loadings; agreement of the \
             block model's groups with the planted ones, background as a group of its own.",
        )
        .with(table)
}
