//! Several decompositions of one recording, each judged by the same planted truth.

use std::path::Path;

use nissl_core::features::Features;
use nissl_core::{Progress, Recording, Result};
use nissl_decompose::{Method, Options};
use nissl_probe::truth::{Matches, Told, TruthMatch, match_features};

use crate::report::{Cell, Score, ScoreBars, ScoreRow, Table};

/// A method's features and how well they match the truth.
pub struct Compared {
    /// The method's name.
    pub method: String,
    /// What it found.
    pub features: Features,
    /// Against the truth.
    pub matches: Matches,
}

/// Decomposes each recording by its method into a folder of the method's under `folder`, and matches the
/// features with the truth: chosen on the samples that were fitted, scored on those held out.
/// A feature tells a concept by the cosine between the activity and its direction, the same rule
/// for every method and that of the SNMF paper.
///
/// # Errors
/// What keeps a method from being fitted or matched.
pub fn compare(
    methods: &[(Method, &Recording)],
    folder: &Path,
    seed: u64,
    progress: &Progress,
) -> Result<Vec<Compared>> {
    let options = Options { seed, held_out: HELD_OUT, ..Options::default() };
    let settings =
        TruthMatch { held_out: Some(HELD_OUT), by: Told::Cosine, seed, ..TruthMatch::default() };
    methods
        .iter()
        .map(|(method, recording)| {
            let out = folder.join(method.method().name());
            let mut features =
                nissl_decompose::decompose(method, recording, &out, &options, progress)?;
            let matches = match_features(&features, recording, &settings, progress)?;
            matches.write(&mut features)?;
            Ok(Compared { method: method.method().name().to_owned(), features, matches })
        })
        .collect()
}

/// The share of the stories on which features are judged.
pub const HELD_OUT: f64 = 0.2;

/// The methods' scores, drawn.
pub fn score_bars(compared: &[Compared], chosen: &str) -> ScoreBars {
    let mut bars = ScoreBars::new(
        "How well the best feature of each method tells each planted concept",
        "mean AUROC",
    );
    "chance".clone_into(&mut bars.baseline);
    "concepts".clone_into(&mut bars.counted);
    compared.iter().fold(bars, |bars, one| {
        let Matches { mean_auroc, low, high, recovered, concepts, .. } = &one.matches;
        let score = Score::new(*mean_auroc)
            .with_interval(*low, *high)
            .with_baseline(0.5)
            .with_count(concepts.len() as u64);
        let note = format!(
            "{recovered} of {} concepts found, with {} features",
            concepts.len(),
            one.features.features()
        );
        let row = ScoreRow::new(one.method.as_str(), score).with_note(note);
        bars.with_row(if one.method == chosen { row.chosen() } else { row })
    })
}

/// Every concept with the held-out AUROC of each method's best feature.
pub fn concept_table(compared: &[Compared]) -> Table {
    let columns = ["concept".to_owned(), "held-out tokens".to_owned()]
        .into_iter()
        .chain(compared.iter().map(|one| one.method.clone()));
    let table = Table::new("Each planted concept: held-out AUROC of the best feature", columns);
    let Some(first) = compared.first() else { return table };
    first.matches.concepts.iter().enumerate().fold(table, |table, (at, concept)| {
        let name = Cell::Token(concept.concept.clone());
        let count = Cell::Number(concept.positives as f64);
        let scores = compared.iter().map(|one| {
            one.matches.concepts.get(at).map_or(Cell::Empty, |found| {
                Cell::Number((found.auroc.held_out * 1000.0).round() / 1000.0)
            })
        });
        table.with_row([name, count].into_iter().chain(scores))
    })
}
