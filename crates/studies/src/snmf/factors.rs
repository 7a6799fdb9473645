//! Part A: planted factors.

use ndarray::Array2;
use nissl_core::Result;
use nissl_core::features::{Decompose, Dictionary};
use nissl_core::stats::correlation::pearson;
use nissl_core::stats::matching::{Sign, match_rows};
use nissl_decompose::snmf::{Initial, Sparsity};
use nissl_decompose::{Kmeans, Pca, Snmf};
use nissl_worlds::planted::{Planted, PlantedFeatures};

use super::found;
use super::solvers::solvers;
use crate::matrix::recording_of;
use crate::report::{Axis, Bar, Bound, Cell, Lines, Note, Section, Series, Table};
use crate::study::{Findings, Setting};

/// Plants features in noise and looks for them.
pub(super) fn factors(
    setting: &Setting<'_>,
    findings: &mut Findings,
) -> Result<(Planted, Dictionary)> {
    let world = PlantedFeatures { seed: setting.seed, ..PlantedFeatures::default() };
    let planted = world.generate()?;
    let recording = recording_of(planted.activity.view(), &setting.folder.join("factors"))?;
    let rows: Vec<usize> = (0..recording.samples()).collect();
    let truth = planted.dictionary.view();
    let snmf = Snmf {
        k: world.features,
        sparsity: Sparsity::Fraction(0.02),
        iterations: 400,
        restarts: 4,
        seed: setting.seed,
        ..Snmf::default()
    };
    let fits = snmf.fit_timed(&recording, &rows, setting.progress)?;
    let mut runs: Vec<Dictionary> = fits.iter().map(|fit| fit.dictionary.clone()).collect();
    let losses = runs.first().map(|run| run.restarts.clone()).unwrap_or_default();
    let lowest = argmin(&losses);
    let shares: Vec<f64> = runs.iter().map(|run| found(run, truth, Sign::Signed)).collect();
    let best = &runs[lowest];
    let coefficients = best.encode(planted.activity.view())?;
    let error = loss(best, &coefficients, &planted);
    let without = Snmf {
        sparsity: Sparsity::Fraction(1.0),
        initial: Initial::Random,
        restarts: 1,
        ..snmf.clone()
    };
    let fit = |method: &dyn Decompose| method.fit(&recording, &rows, setting.progress);
    let pca = fit(&Pca { k: world.features, seed: setting.seed, ..Pca::default() })?;
    let kmeans = fit(&Kmeans { k: world.features, seed: setting.seed, ..Kmeans::default() })?;
    let without = fit(&without)?;
    let most = shares.iter().copied().fold(0.0, f64::max);
    let bars = [
        Bar::new("A: planted features found by SNMF, share", shares[lowest], Bound::AtLeast(0.95)),
        Bar::new(
            "A: correlation of found with planted coefficients, mean",
            coefficient_correlation(best, &coefficients, &planted),
            Bound::AtLeast(0.97),
        ),
        Bar::new(
            "A: loss relative to the noise floor",
            error / planted.noise_floor,
            Bound::AtMost(1.03),
        ),
        Bar::new(
            "A: features the restart of lowest loss misses of the best restart's",
            most - shares[lowest],
            Bound::AtMost(0.0),
        ),
        Bar::new("A: found by PCA, share", found(&pca, truth, Sign::Absolute), Bound::AtMost(0.1))
            .with_note("must fail"),
        Bar::new(
            "A: found by k-means, share",
            found(&kmeans, truth, Sign::Signed),
            Bound::AtMost(0.2),
        )
        .with_note("must fail"),
        Bar::new(
            "A: found by SNMF without winner-take-all, share",
            found(&without, truth, Sign::Signed),
            Bound::AtMost(0.3),
        )
        .with_note("must fail"),
    ];
    findings.bars.bars.extend(bars);
    let curve = best.loss.iter().enumerate().map(|(step, &loss)| [step as f64, f64::from(loss)]);
    let restarts = Table::new("Restarts", ["restart", "lowest loss", "features found"]);
    let restarts =
        losses.iter().zip(&shares).enumerate().fold(restarts, |table, (number, (loss, share))| {
            table.with_row([Cell::Number(number as f64), Cell::Number(*loss), Cell::Number(*share)])
        });
    findings.sections.push(
        Section::new("A: planted factors")
            .says(format!(
                "{} features, each of {} units with random signs, in {} samples of {} units with noise.",
                world.features, world.support, world.samples, world.units
            ))
            .with(Note::how_to_read(
                "A planted feature counts as found when a row of the dictionary has a cosine of 0.95 \
                 or more with it, sign included.",
            ))
            .with(restarts)
            .with(Lines {
                caption: "Loss of the best restart".to_owned(),
                x: Axis::linear("iteration"),
                y: Axis::log("loss"),
                series: vec![Series { label: "snmf".to_owned(), points: curve.collect() }],
                bands: Vec::new(),
                references: Vec::new(),
            }),
    );
    let best = runs.swap_remove(lowest);
    solvers(setting, &recording, planted.dictionary.view(), &snmf, &fits, findings)?;
    Ok((planted, best))
}

/// `‖A − Ŷ Z‖² / ‖A‖²`.
fn loss(dictionary: &Dictionary, coefficients: &Array2<f32>, planted: &Planted) -> f64 {
    let error = coefficients.dot(&dictionary.decoder) - &planted.activity;
    let squares = |values: &Array2<f32>| values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>();
    squares(&error) / squares(&planted.activity)
}

fn coefficient_correlation(
    dictionary: &Dictionary,
    coefficients: &Array2<f32>,
    planted: &Planted,
) -> f64 {
    let pairs = match_rows(dictionary.decoder.view(), planted.dictionary.view(), Sign::Signed);
    let sum: f64 = pairs
        .iter()
        .map(|pair| {
            pearson(
                &coefficients.column(pair.found).to_vec(),
                &planted.coefficients.column(pair.planted).to_vec(),
            )
        })
        .sum();
    sum / pairs.len() as f64
}

fn argmin(values: &[f64]) -> usize {
    (0..values.len()).min_by(|&a, &b| values[a].total_cmp(&values[b])).unwrap_or(0)
}
