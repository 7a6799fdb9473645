//! How many components: four criteria over a range, and a recommendation.
//!
//! (a) Relative error; (b) stability of the restarts; (c) normalised nuclear norm: columns of the pair factor of
//! unit norm, centred over components, singular values `s`, `Σ s² / max s²`, smoothed over ranks by a
//! Gaussian of `σ = 1.5`, and the rank at which it levels off (farthest above the chord from first to
//! last); (d) core consistency. Recommended is the largest rank of stability `≥ 0.95` whose decrease of the
//! error is `≥ 1.5` times the next one.
//!
//! Source: Dyballa et al. 2024, arXiv:2402.14102, appendix, and the authors' `NeuralEncodingManifolds` (c);
//! Bro and Kiers 2003 (d).
//! Differs: "levels off" is the point farthest above the chord.
//! Memory: the best factors of two ranks.

use std::fmt;
use std::str::FromStr;

use ndarray::{Array2, Axis};
use nissl_core::{Column, Error, Progress, Result, Table};
use serde::{Deserialize, Serialize};

use super::Ntf;
use super::core_consistency::core_consistency;
use super::restarts::Restarts;
use super::tensor::PairTensor;

/// Stability that a rank must have to be recommended.
const STABLE: f64 = 0.95;
/// How much larger its decrease of the error must be than the next one.
const WORTH: f64 = 1.5;
/// Width of the smoothing over ranks.
const SMOOTHING: f64 = 1.5;
/// More components than anybody asks for.
const MOST: usize = 256;

/// The numbers of components to choose from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Ranks {
    /// The fewest.
    pub from: usize,
    /// The most, included.
    pub to: usize,
}

impl Ranks {
    /// From two to eight.
    pub const AUTO: Self = Self { from: 2, to: 8 };

    /// One number of components.
    pub fn one(rank: usize) -> Self {
        Self { from: rank, to: rank }
    }

    /// Whether there is a choice.
    pub fn is_range(self) -> bool {
        self.from != self.to
    }

    pub(super) fn validate(self) -> Result<()> {
        if 1 <= self.from && self.from <= self.to && self.to <= MOST {
            return Ok(());
        }
        let expected = format!("numbers from 1 to {MOST}, the smaller one first");
        Err(Error::setting("rank", self, expected))
    }
}

impl fmt::Display for Ranks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            &Self::AUTO => f.write_str("auto"),
            Self { from, to } if from == to => write!(f, "{from}"),
            Self { from, to } => write!(f, "{from}..{to}"),
        }
    }
}

impl FromStr for Ranks {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let number = |text: &str| {
            let says = "expected auto, a number, or a range such as 2..8";
            text.trim().parse::<usize>().map_err(|error| format!("{error}: {says}"))
        };
        if text == "auto" {
            return Ok(Self::AUTO);
        }
        let ranks = match text.split_once("..") {
            Some((from, to)) => {
                Self { from: number(from)?, to: number(to.trim_start_matches('='))? }
            }
            None => Self::one(number(text)?),
        };
        ranks.validate().map_err(|error| error.to_string())?;
        Ok(ranks)
    }
}

impl TryFrom<String> for Ranks {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        text.parse()
    }
}

impl From<Ranks> for String {
    fn from(ranks: Ranks) -> Self {
        ranks.to_string()
    }
}

/// The criteria at one rank.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RankRow {
    /// Components.
    pub rank: usize,
    /// Relative error of the best run.
    pub error: f64,
    /// Mean factor match score of the restarts.
    pub stability: f64,
    /// Normalised nuclear norm, the mean over runs.
    pub nuclear_norm: f64,
    /// That, smoothed over ranks.
    pub smoothed_nuclear_norm: f64,
    /// Core consistency, at most 100.
    pub core_consistency: f64,
    /// Runs that failed.
    pub failed: usize,
}

/// Why a rank is recommended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// It was asked for.
    Asked,
    /// The largest stable rank that still lowers the error by much.
    Criteria,
    /// No rank lowers the error by much more than the next: the largest stable one.
    Stable,
    /// No rank is stable: the most stable one.
    NoneStable,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Asked => "as asked",
            Self::Criteria => "the largest stable rank that still lowers the error by much",
            Self::Stable => {
                "the largest stable rank, though none lowers the error by much more than the next"
            }
            Self::NoneStable => "the most stable rank, though restarts disagree at every rank",
        })
    }
}

/// All ranks that were tried, and the one to use.
#[derive(Clone, Debug)]
pub struct Scan {
    /// The criteria at each rank.
    pub rows: Vec<RankRow>,
    /// The rank to use.
    pub rank: usize,
    /// Why.
    pub reason: Reason,
    /// The rank at which the nuclear norm levels off; of three ranks or more.
    pub levels_off: Option<usize>,
    /// The runs with that rank.
    pub chosen: Restarts,
}

impl Ntf {
    /// Tries every rank and recommends one.
    ///
    /// # Errors
    /// Settings outside their range, more components than the tensor allows, or an interruption.
    pub fn scan(&self, tensor: &PairTensor, progress: &Progress) -> Result<Scan> {
        self.validate()?;
        let Ranks { from, to } = self.rank;
        super::fits(tensor, to)?;
        let mut found: Vec<Restarts> = Vec::new();
        let mut rows = Vec::new();
        for rank in from..=to {
            let restarts = self.fit(tensor, rank, found.last().map(|last| &last.best), progress)?;
            rows.push(RankRow {
                rank,
                error: restarts.best.error,
                stability: restarts.stability,
                nuclear_norm: restarts.nuclear_norm,
                smoothed_nuclear_norm: f64::NAN,
                core_consistency: core_consistency(tensor, &restarts.best)?,
                failed: restarts.failed,
            });
            found.push(restarts);
        }
        let raw: Vec<f64> = rows.iter().map(|row| row.nuclear_norm).collect();
        let smooth = smoothed(&raw);
        rows.iter_mut().zip(&smooth).for_each(|(row, &value)| row.smoothed_nuclear_norm = value);
        let (rank, reason) = recommend(&rows);
        let levels_off = knee(&smooth).map(|place| rows[place].rank);
        let chosen = found.swap_remove(rank - from);
        Ok(Scan { rows, rank, reason, levels_off, chosen })
    }
}

impl Scan {
    /// One row for each rank: `rank` u32, the criteria f64, `failed` u32.
    pub fn table(&self) -> Table {
        let numbers = |of: fn(&RankRow) -> f64| Column::F64(self.rows.iter().map(of).collect());
        let counts = |of: fn(&RankRow) -> usize| {
            Column::U32(self.rows.iter().map(|r| of(r) as u32).collect())
        };
        Table::new()
            .with("rank", counts(|row| row.rank))
            .with("error", numbers(|row| row.error))
            .with("stability", numbers(|row| row.stability))
            .with("nuclear_norm", numbers(|row| row.nuclear_norm))
            .with("smoothed_nuclear_norm", numbers(|row| row.smoothed_nuclear_norm))
            .with("core_consistency", numbers(|row| row.core_consistency))
            .with("failed", counts(|row| row.failed))
    }
}

/// The rank to use, of rows in rising order.
fn recommend(rows: &[RankRow]) -> (usize, Reason) {
    let stable = |row: &RankRow| row.stability >= STABLE;
    if let [only] = rows {
        return (only.rank, Reason::Asked);
    }
    let worth = rows.windows(3).rfind(|rows| {
        let (now, next) = (rows[0].error - rows[1].error, rows[1].error - rows[2].error);
        stable(&rows[1]) && now >= WORTH * next
    });
    if let Some(rows) = worth {
        return (rows[1].rank, Reason::Criteria);
    }
    if let Some(row) = rows.iter().rfind(|row| stable(row)) {
        return (row.rank, Reason::Stable);
    }
    let key = |row: &RankRow| if row.stability.is_nan() { -1.0 } else { row.stability };
    let best = rows.iter().max_by(|a, b| key(a).total_cmp(&key(b)));
    (best.map_or(1, |row| row.rank), Reason::NoneStable)
}

/// `Σ s² / max s²` of the unit columns of `factor`, centred over components.
pub(super) fn nuclear_norm(factor: &Array2<f64>) -> f64 {
    let mut columns = factor.clone();
    for mut column in columns.columns_mut() {
        let norm = column.dot(&column).sqrt();
        if norm > 0.0 {
            column /= norm;
        }
    }
    if let Some(mean) = columns.mean_axis(Axis(1)) {
        columns -= &mean.insert_axis(Axis(1));
    }
    let gram = super::factors::gram(&columns);
    let rank = gram.nrows();
    let matrix = faer::Mat::from_fn(rank, rank, |row, column| gram[[row, column]]);
    let squares = matrix.self_adjoint_eigenvalues(faer::Side::Lower).unwrap_or_default();
    let most = squares.iter().copied().fold(0.0, f64::max);
    if most > 0.0 { squares.iter().map(|s| s.max(0.0)).sum::<f64>() / most } else { 0.0 }
}

/// Values smoothed over their neighbours, reflected at the ends.
fn smoothed(values: &[f64]) -> Vec<f64> {
    super::derivative::gaussian(values, SMOOTHING)
}

/// The place farthest above the chord from the first value to the last.
fn knee(values: &[f64]) -> Option<usize> {
    let last = values.len().checked_sub(1).filter(|&last| last >= 2)?;
    let above = |place: usize| {
        let chord = values[0] + (values[last] - values[0]) * place as f64 / last as f64;
        values[place] - chord
    };
    let best = (1..last).max_by(|&a, &b| above(a).total_cmp(&above(b)))?;
    (above(best) > 0.0).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(errors: &[f64], stability: &[f64]) -> Vec<RankRow> {
        let of = errors.iter().zip(stability).enumerate();
        of.map(|(n, (&error, &stability))| RankRow {
            rank: n + 2,
            error,
            stability,
            nuclear_norm: 0.0,
            smoothed_nuclear_norm: 0.0,
            core_consistency: 0.0,
            failed: 0,
        })
        .collect()
    }

    #[test]
    fn the_rule_finds_the_bend_of_stable_ranks() {
        // The curves of the specification's prototype: four motifs were planted.
        let errors = [0.519, 0.494, 0.474, 0.462, 0.452, 0.443];
        let found = recommend(&rows(&errors, &[1.0, 1.0, 1.0, 0.999, 0.85, 0.85]));
        assert_eq!(found, (4, Reason::Criteria));
        // An unstable bend is passed over.
        let found = recommend(&rows(&errors, &[1.0, 1.0, 0.9, 0.97, 0.85, 0.85]));
        assert_eq!(found, (5, Reason::Stable));
        let found = recommend(&rows(&errors, &[0.5, 0.7, 0.9, 0.6, 0.85, f64::NAN]));
        assert_eq!(found, (4, Reason::NoneStable));
        assert_eq!(recommend(&rows(&errors[..1], &[f64::NAN])), (2, Reason::Asked));
    }

    #[test]
    fn ranks_are_read_as_they_are_written() {
        for text in ["auto", "4", "2..6"] {
            let ranks: Ranks = text.parse().expect("ranks");
            assert_eq!(ranks.to_string(), text);
        }
        assert_eq!("2..=6".parse(), Ok(Ranks { from: 2, to: 6 }));
        for text in ["0", "6..2", "many", "1..9999"] {
            assert!(text.parse::<Ranks>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_nuclear_norm_counts_directions() {
        // Two unit columns, centred: one direction. Three orthogonal ones: two directions of equal strength.
        let two = ndarray::array![[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]];
        assert!((nuclear_norm(&two) - 1.0).abs() < 1e-12);
        let three = Array2::eye(3) * 7.0;
        assert!((nuclear_norm(&three) - 2.0).abs() < 1e-12);
        assert!(nuclear_norm(&Array2::ones((4, 3))).abs() < 1e-12);
        assert_eq!(knee(&[0.0, 3.0, 3.5, 3.6]), Some(1));
        assert_eq!(knee(&[0.0, 1.0, 2.0]), None);
    }
}
