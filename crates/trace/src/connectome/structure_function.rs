//! What wiring says about activity: is it stronger between neurons that are connected, and near ones?
//!
//! For pairs of neurons with `|v|`, the size of their correlation or of their functional weight, and the anatomical
//! weight `w = chemical + gap`: AUROC of `|v|` for `w > 0`, the rank correlation (Spearman) of `|v|` with `w` over all
//! pairs and over connected ones, and `|v|` by the steps of the shortest path. Correlations have no direction, so `w`
//! then has the synapses of both, and paths go either way.
//! Null: neurons exchanged at random, which keeps both matrices and breaks their match; or every trace turned round
//! by itself, which keeps each trace and breaks what they share. `p = (1 + #{null ≥ observed}) / (1 + draws)`.
//! Source: Randi et al. 2023, Nature 623:406–414, "Functional connectivity differs from anatomy" (the comparison);
//! Harris 2020, arXiv:2012.06862 (shifts).
//! Memory: six times the square of the neurons, and for shifts the activity once a thread.

use clap::{Args, ValueEnum};
use ndarray::Array2;
use nissl_core::stats::auroc::auroc;
use nissl_core::stats::correlation::spearman;
use nissl_core::{Error, Progress, Result};
use rand::seq::SliceRandom;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{ActivityCorrelation, CHEMICAL, Connectome, ELECTRICAL, FUNCTIONAL, path_lengths};

/// Steps from which on paths are told together.
const LONGEST: u32 = 5;

/// What chance is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Null {
    /// Neurons exchanged at random
    #[default]
    Permutation,
    /// Every trace turned round in time by itself
    CircularShift,
}

/// How wiring and activity are compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Args)]
#[serde(default, deny_unknown_fields)]
pub struct StructureFunction {
    /// What chance is
    #[arg(long, value_enum, default_value = "permutation")]
    pub null: Null,
    /// Draws of chance, at least 19
    #[arg(long, default_value_t = StructureFunction::default().draws)]
    pub draws: usize,
}

impl Default for StructureFunction {
    fn default() -> Self {
        Self { null: Null::Permutation, draws: 199 }
    }
}

/// What wiring is compared with.
#[derive(Clone, Copy, Debug)]
pub enum Function<'a> {
    /// Correlations of activity, over the neurons of the connectome.
    Activity(&'a ActivityCorrelation),
    /// The functional edges of a connectome. Neurons with one count as measured, pairs of them without
    /// as 0.
    Edges(&'a Connectome),
}

/// A figure beside what chance gives.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct TestedAgainstNull {
    /// What was observed.
    pub value: f64,
    /// The mean of the draws.
    pub null_mean: f64,
    /// The standard deviation of the draws.
    pub null_sd: f64,
    /// How often chance does as much, above 0 to 1; NaN when there is no value.
    pub p: f64,
}

/// Pairs at one distance.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ByLength {
    /// Steps of the shortest path, 5 for five or more; none where no path leads.
    pub steps: Option<u32>,
    /// The pairs.
    pub pairs: usize,
    /// The mean of `|v|`.
    pub mean: f64,
    /// The standard error of that mean.
    pub error: f64,
}

/// How wiring and activity agree.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// The connectome.
    pub connectome: String,
    /// What it was compared with.
    pub function: String,
    /// What chance is.
    pub null: Null,
    /// Neurons of both.
    pub neurons: usize,
    /// Pairs of them that were measured.
    pub pairs: usize,
    /// Measured pairs that are connected.
    pub connected: usize,
    /// How well `|v|` tells connected pairs from others, 0.5 by chance.
    pub auroc: TestedAgainstNull,
    /// The rank correlation of `|v|` with the anatomical weight, over all pairs.
    pub rank_correlation: TestedAgainstNull,
    /// The same over connected pairs.
    pub connected_rank_correlation: TestedAgainstNull,
    /// By the length of paths.
    pub by_length: Vec<ByLength>,
}

/// Pairs with their values, in one order.
struct Pairs {
    value: Vec<f32>,
    weight: Vec<f32>,
    length: Vec<u32>,
}

/// Both sides over the measured neurons.
struct Sides {
    /// `[from, to]`; NaN where not measured.
    value: Array2<f64>,
    weight: Array2<f64>,
    length: Array2<u32>,
    directed: bool,
}

impl Sides {
    /// The measured pairs, with neuron `i` taken for neuron `order[i]` on the side of the values.
    fn pairs(&self, value: &Array2<f64>, order: &[usize]) -> Pairs {
        let mut pairs = Pairs { value: Vec::new(), weight: Vec::new(), length: Vec::new() };
        for from in 0..order.len() {
            for to in 0..order.len() {
                let wanted = if self.directed { from != to } else { from < to };
                let v = value[[order[from], order[to]]];
                if wanted && !v.is_nan() {
                    pairs.value.push(v.abs() as f32);
                    pairs.weight.push(self.weight[[from, to]] as f32);
                    pairs.length.push(self.length[[from, to]]);
                }
            }
        }
        pairs
    }
}

impl Pairs {
    /// AUROC, rank correlation over all, and over connected pairs.
    fn statistics(&self) -> [f64; 3] {
        let connected: Vec<bool> = self.weight.iter().map(|&weight| weight > 0.0).collect();
        let only = |values: &[f32]| -> Vec<f32> {
            values.iter().zip(&connected).filter(|(_, is)| **is).map(|(&value, _)| value).collect()
        };
        [
            auroc(&self.value, &connected),
            spearman(&self.value, &self.weight),
            spearman(&only(&self.value), &only(&self.weight)),
        ]
    }

    fn by_length(&self) -> Vec<ByLength> {
        let mut groups: Vec<Option<u32>> = (1..=LONGEST).map(Some).collect();
        groups.push(None);
        let group = |length: u32| (length != u32::MAX).then_some(length.min(LONGEST));
        let of = |steps: Option<u32>| {
            let values: Vec<f64> = self
                .value
                .iter()
                .zip(&self.length)
                .filter(|(_, length)| group(**length) == steps)
                .map(|(&value, _)| f64::from(value))
                .collect();
            let count = values.len() as f64;
            let mean = values.iter().sum::<f64>() / count;
            let variance =
                values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / (count - 1.0);
            ByLength { steps, pairs: values.len(), mean, error: (variance / count).sqrt() }
        };
        groups.into_iter().map(of).filter(|one| one.pairs > 0).collect()
    }
}

impl StructureFunction {
    /// Checks every field against its range.
    pub fn validate(&self) -> Result<()> {
        if self.draws < 19 {
            return Err(Error::setting("draws", self.draws, "at least 19"));
        }
        Ok(())
    }

    /// Compares the wiring of `connectome` with `function`.
    ///
    /// # Errors
    /// Shifts of a graph, which has no traces; activity over other neurons; or fewer than three measured
    /// neurons of the connectome.
    pub fn compare(
        &self,
        connectome: &Connectome,
        function: Function<'_>,
        seed: u64,
        progress: &Progress,
    ) -> Result<Compared> {
        self.validate()?;
        let (value, directed, name) = match function {
            Function::Activity(activity) => {
                if activity.neurons != connectome.neurons {
                    let found = format!("{} of the activity", activity.neurons.len());
                    let expected =
                        format!("the {} of `{}`", connectome.neurons.len(), connectome.name);
                    return Err(Error::setting("neurons", found, expected));
                }
                (activity.correlation.clone(), false, format!("activity of {}", activity.animals))
            }
            Function::Edges(other) => {
                if self.null == Null::CircularShift {
                    return Err(Error::setting(
                        "null",
                        "circular-shift",
                        "permutation for functional edges",
                    )
                    .with_help("only recordings have traces that can be turned"));
                }
                (functional(connectome, other)?, true, other.name.clone())
            }
        };
        let (sides, measured) = sides(connectome, &value, directed)?;
        let identity: Vec<usize> = (0..measured.len()).collect();
        let pairs = sides.pairs(&sides.value, &identity);
        let observed = pairs.statistics();
        let stage = progress.stage("chance", self.draws as u64, "draws");
        let draws: Vec<[f64; 3]> = (0..self.draws as u64)
            .into_par_iter()
            .map(|draw| {
                progress.check(|| "no draw of chance".to_owned())?;
                let statistics = if let (Null::CircularShift, Function::Activity(activity)) =
                    (self.null, function)
                {
                    let shifted = select(&activity.shifted(seed, draw), &measured);
                    sides.pairs(&shifted, &identity).statistics()
                } else {
                    let mut order = identity.clone();
                    order.shuffle(&mut nissl_core::seed::rng(seed, draw));
                    sides.pairs(&sides.value, &order).statistics()
                };
                stage.advance(1);
                Ok(statistics)
            })
            .collect::<Result<_>>()?;
        let tested = |which: usize| {
            against(observed[which], draws.iter().map(|drawn| drawn[which]).collect())
        };
        Ok(Compared {
            connectome: connectome.name.clone(),
            function: name,
            null: self.null,
            neurons: measured.len(),
            pairs: pairs.value.len(),
            connected: pairs.weight.iter().filter(|&&weight| weight > 0.0).count(),
            auroc: tested(0),
            rank_correlation: tested(1),
            connected_rank_correlation: tested(2),
            by_length: pairs.by_length(),
        })
    }
}

/// Functional weights over the neurons of `connectome` `[from, to]`.
fn functional(connectome: &Connectome, other: &Connectome) -> Result<Array2<f64>> {
    let Some(matrix) = other.weights.get(FUNCTIONAL) else {
        let kinds: Vec<&str> = other.weights.keys().map(String::as_str).collect();
        let found = format!("{} in `{}`", kinds.join(", "), other.name);
        return Err(Error::setting("type", found, "functional edges"));
    };
    let count = matrix.nrows();
    let measured =
        |row: usize| (0..count).any(|k| matrix[[row, k]] != 0.0 || matrix[[k, row]] != 0.0);
    let rows = other.rows();
    let row_of: Vec<Option<usize>> = connectome
        .neurons
        .iter()
        .map(|name| rows.get(name.as_str()).copied().filter(|&row| measured(row)))
        .collect();
    let all = row_of.len();
    Ok(Array2::from_shape_fn((all, all), |(from, to)| match (row_of[from], row_of[to]) {
        (Some(from), Some(to)) => matrix[[from, to]],
        _ => f64::NAN,
    }))
}

/// Both sides over the neurons that were measured with another, and the rows of these.
fn sides(
    connectome: &Connectome,
    value: &Array2<f64>,
    directed: bool,
) -> Result<(Sides, Vec<usize>)> {
    let all = connectome.neurons.len();
    let connected = connectome.connected();
    let measured: Vec<usize> = (0..all)
        .filter(|&row| connected[row])
        .filter(|&row| (0..all).any(|k| k != row && connected[k] && !value[[row, k]].is_nan()))
        .collect();
    if measured.len() < 3 {
        let expected = format!("three neurons of `{}` or more with activity", connectome.name);
        return Err(Error::setting("neurons", measured.len(), expected));
    }
    let anatomy = connectome.anatomy();
    let (weight, reach) = if directed {
        (anatomy.clone(), anatomy)
    } else {
        let gap = |at| connectome.weights.get(ELECTRICAL).map_or(0.0, |matrix| matrix[at]);
        let chemical = |at| connectome.weights.get(CHEMICAL).map_or(0.0, |matrix| matrix[at]);
        let weight = Array2::from_shape_fn((all, all), |(a, b)| {
            chemical([a, b]) + chemical([b, a]) + gap([a, b]).max(gap([b, a]))
        });
        (weight.clone(), weight)
    };
    // Paths may lead through neurons that were not measured.
    let lengths = path_lengths(reach.view());
    let count = measured.len();
    let length =
        Array2::from_shape_fn((count, count), |(a, b)| lengths[[measured[a], measured[b]]]);
    let sides = Sides {
        value: select(value, &measured),
        weight: select(&weight, &measured),
        length,
        directed,
    };
    Ok((sides, measured))
}

fn select(matrix: &Array2<f64>, rows: &[usize]) -> Array2<f64> {
    Array2::from_shape_fn((rows.len(), rows.len()), |(a, b)| matrix[[rows[a], rows[b]]])
}

fn against(value: f64, draws: Vec<f64>) -> TestedAgainstNull {
    let drawn: Vec<f64> = draws.into_iter().filter(|drawn| !drawn.is_nan()).collect();
    let count = drawn.len() as f64;
    let null_mean = drawn.iter().sum::<f64>() / count;
    let square = |drawn: &f64| (drawn - null_mean) * (drawn - null_mean);
    let null_sd = (drawn.iter().map(square).sum::<f64>() / (count - 1.0)).sqrt();
    let exceeding = drawn.iter().filter(|&&drawn| drawn >= value).count();
    let p = if value.is_nan() || drawn.is_empty() {
        f64::NAN
    } else {
        nissl_core::stats::permutation::p_value(exceeding, drawn.len())
    };
    TestedAgainstNull { value, null_mean, null_sd, p }
}
