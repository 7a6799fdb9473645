//! `scores.parquet`: how well a feature does, by each scorer.

use nissl_core::features::{Annotation, Features};
use nissl_core::{Column, Result, Table};
use serde::{Deserialize, Serialize};

/// A row of `scores.parquet`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The feature.
    pub feature: u32,
    /// What measured it.
    pub scorer: String,
    /// The figure.
    pub score: f64,
    /// The lower end of its 95 % interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// The samples it was measured on.
    pub n: u64,
    /// The figure of chance, or of the plainest answer.
    pub baseline: f64,
    /// What the figure is about and how it was measured, as JSON.
    pub config: String,
}

/// Replaces the rows of `scorers` by `scores` and keeps all others.
///
/// # Errors
/// Scores on disk with other columns, or a failed file operation.
pub fn set_scores(features: &Features, scorers: &[&str], scores: &[Score]) -> Result<()> {
    write(features, scores, |_, scorer| scorers.contains(&scorer))
}

/// Replaces the rows of the same feature and scorer as one of `scores`, and keeps all others.
///
/// # Errors
/// Scores on disk with other columns, or a failed file operation.
pub fn add_scores(features: &Features, scores: &[Score]) -> Result<()> {
    write(features, scores, |feature, scorer| {
        scores.iter().any(|score| score.feature == feature && score.scorer == scorer)
    })
}

/// Writes `scores` in the place of the rows that are `replaced`, given their feature and scorer.
fn write(
    features: &Features,
    scores: &[Score],
    replaced: impl Fn(u32, &str) -> bool,
) -> Result<()> {
    fn column<T>(scores: &[Score], of: impl Fn(&Score) -> T) -> Vec<T> {
        scores.iter().map(of).collect()
    }
    let mut table = Table::new()
        .with("feature", Column::U32(column(scores, |s| s.feature)))
        .with("scorer", Column::Text(column(scores, |s| s.scorer.clone())))
        .with("score", Column::F64(column(scores, |s| s.score)))
        .with("low", Column::F64(column(scores, |s| s.low)))
        .with("high", Column::F64(column(scores, |s| s.high)))
        .with("n", Column::U64(column(scores, |s| s.n)))
        .with("baseline", Column::F64(column(scores, |s| s.baseline)))
        .with("config", Column::Text(column(scores, |s| s.config.clone())));
    if let Some(before) = features.annotation(Annotation::Scores)? {
        let (numbers, names) = (before.u32s("feature")?, before.texts("scorer")?);
        let others: Vec<usize> =
            (0..names.len()).filter(|&row| !replaced(numbers[row], &names[row])).collect();
        let mut merged = before.take(&others);
        merged.append(table)?;
        table = merged;
    }
    features.set_annotation(Annotation::Scores, &table)
}
