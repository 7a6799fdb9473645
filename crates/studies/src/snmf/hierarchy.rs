//! Part B: planted hierarchy.

use nissl_core::features::{self, Decompose, Dictionary};
use nissl_core::stats::agreement::purity;
use nissl_core::stats::matching::{Pair, Sign, match_rows};
use nissl_core::{Progress, Recording, Result};
use nissl_decompose::snmf::{Initial, Sparsity};
use nissl_decompose::{Hierarchy, Snmf};
use nissl_worlds::planted::{Planted, PlantedHierarchy};

use super::found;
use crate::matrix::recording_of;
use crate::report::{Bar, Bound, Cell, Section, Table};
use crate::study::{Findings, Setting};

/// Plants groups of features that share a core, and looks for the groups.
pub(super) fn hierarchy(setting: &Setting<'_>, findings: &mut Findings) -> Result<()> {
    let world = PlantedHierarchy { seed: setting.seed, ..PlantedHierarchy::default() };
    let planted = world.generate()?;
    let recording = recording_of(planted.activity.view(), &setting.folder.join("hierarchy"))?;
    let first = Snmf {
        k: world.groups * world.children,
        sparsity: Sparsity::Count(world.core + world.own),
        iterations: 400,
        restarts: 16,
        initial: Initial::Kmeans,
        seed: setting.seed,
        ..Snmf::default()
    };
    let low = fit_all(&first, &recording, setting.progress)?;
    let pairs = match_rows(low.decoder.view(), planted.dictionary.view(), Sign::Signed);
    let share = found(&low, planted.dictionary.view(), Sign::Signed);
    let (inside, across) = shared_units(&low, &pairs, &planted);
    let levels = Hierarchy::build(low, &[world.groups], &first, setting.progress)?;
    let parents = levels.parents(0);
    let found_groups: Vec<u32> = pairs.iter().map(|pair| parents[pair.found] as u32).collect();
    let true_groups: Vec<u32> =
        pairs.iter().map(|pair| planted.group[pair.planted] as u32).collect();
    let bars = [
        Bar::new("B: planted children found, share", share, Bound::AtLeast(0.85)),
        Bar::new("B: units shared within a group, mean", inside, Bound::AtLeast(7.0)),
        Bar::new("B: units shared across groups, mean", across, Bound::AtMost(0.5)),
        Bar::new(
            "B: purity of the groups found at the second level",
            purity(&found_groups, &true_groups),
            Bound::AtLeast(0.9),
        ),
    ];
    findings.bars.bars.extend(bars);
    let table = Table::new(
        "Children and parents",
        ["planted feature", "planted group", "cosine", "found group"],
    );
    let table = pairs.iter().zip(&found_groups).fold(table, |table, (pair, group)| {
        table.with_row([
            Cell::Number(pair.planted as f64),
            Cell::Number(planted.group[pair.planted] as f64),
            Cell::Number(pair.score),
            Cell::Number(f64::from(*group)),
        ])
    });
    findings.sections.push(
        Section::new("B: planted hierarchy")
            .says(format!(
                "{} groups of {} features; the features of a group share {} units and have {} each of \
                 their own. The features that SNMF finds are factorised once more, into as many as \
                 there are groups.",
                world.groups, world.children, world.core, world.own
            ))
            .with(table),
    );
    Ok(())
}

fn fit_all(method: &Snmf, recording: &Recording, progress: &Progress) -> Result<Dictionary> {
    let rows: Vec<usize> = (0..recording.samples()).collect();
    method.fit(recording, &rows, progress)
}

/// Units that two found features have in common: mean within planted groups, and across.
fn shared_units(dictionary: &Dictionary, pairs: &[Pair], planted: &Planted) -> (f64, f64) {
    let units = features::shared_units(dictionary.decoder.view());
    let (mut inside, mut across) = ((0.0, 0.0), (0.0, 0.0));
    for (at, one) in pairs.iter().enumerate() {
        for other in &pairs[at + 1..] {
            let shared = f64::from(units[[one.found, other.found]]);
            let same = planted.group[one.planted] == planted.group[other.planted];
            let sums = if same { &mut inside } else { &mut across };
            sums.0 += shared;
            sums.1 += 1.0;
        }
    }
    (inside.0 / inside.1, across.0 / across.1)
}
