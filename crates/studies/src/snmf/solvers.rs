//! Part A, once more: the published steps beside our faster ones.

use ndarray::ArrayView2;
use nissl_core::stats::matching::Sign;
use nissl_core::{Recording, Result};
use nissl_decompose::Snmf;
use nissl_decompose::snmf::{Fit, Solver};

use super::found;
use crate::report::{Axis, Bar, Bound, Cell, Lines, Note, Section, Series, Table};
use crate::study::{Findings, Setting};

/// Fits the same factors by the accelerated solver and draws loss against time; `published` are the
/// restarts of the multiplicative one.
pub(super) fn solvers(
    setting: &Setting<'_>,
    recording: &Recording,
    truth: ArrayView2<'_, f32>,
    snmf: &Snmf,
    published: &[Fit],
    findings: &mut Findings,
) -> Result<()> {
    let rows: Vec<usize> = (0..recording.samples()).collect();
    let accelerated = Snmf { solver: Solver::Accelerated, ..snmf.clone() };
    let accelerated = accelerated.fit_timed(recording, &rows, setting.progress)?;
    let (published, accelerated) = (lowest(published), lowest(&accelerated));
    let [slow, fast] = [published, accelerated].map(final_loss);
    let share = |fit: &Fit| found(&fit.dictionary, truth, Sign::Signed);
    // The time to the loss that the published steps end with, within a thousandth.
    let seconds = |fit: &Fit| {
        let reached = fit.curve().into_iter().find(|[_, loss]| *loss <= slow * 1.001);
        reached.map_or(f64::NAN, |[seconds, _]| seconds)
    };
    let columns = ["solver", "iterations", "lowest loss", "features found", "seconds to that loss"];
    let row = |name: &str, fit: &Fit| {
        [
            Cell::text(name),
            Cell::Number(fit.seconds.len() as f64),
            Cell::Number(final_loss(fit)),
            Cell::Number(share(fit)),
            Cell::Number(seconds(fit)),
        ]
    };
    let table = Table::new("Best restart of each solver", columns)
        .with_row(row("multiplicative", published))
        .with_row(row("accelerated", accelerated));
    findings.bars.bars.extend([
        Bar::new(
            "A: loss of the accelerated solver above that of the published steps, share",
            fast / slow - 1.0,
            Bound::AtMost(1e-3),
        ),
        Bar::new(
            "A: planted features found by it, share",
            share(accelerated),
            Bound::AtLeast(0.95),
        ),
    ]);
    let line = |label: &str, fit: &Fit| Series { label: label.to_owned(), points: fit.curve() };
    findings.sections.push(
        Section::new("A: two solvers")
            .says(
                "The published steps move every coefficient by a factor; ours solve for one \
                 coefficient at a time and extrapolate. Both keep the same number of units and \
                 begin at the same places.",
            )
            .with(table)
            .with(Lines {
                caption: "Loss against time".to_owned(),
                x: Axis::log("seconds"),
                y: Axis::log("loss"),
                series: vec![line("multiplicative", published), line("accelerated", accelerated)],
                bands: Vec::new(),
                references: Vec::new(),
            })
            .with(Note::how_to_read(
                "Times are of this run on this machine; they are no part of the verdict.",
            )),
    );
    Ok(())
}

fn lowest(fits: &[Fit]) -> &Fit {
    let mut best = &fits[0];
    for fit in fits {
        if final_loss(fit) < final_loss(best) {
            best = fit;
        }
    }
    best
}

/// The lowest loss that a fit reached.
fn final_loss(fit: &Fit) -> f64 {
    fit.curve().last().map_or(f64::INFINITY, |[_, loss]| *loss)
}
