//! A task with right and wrong answers against the number of features, or of neurons, that are kept.
//!
//! The metric is the probability of the good answers less that of the bad ones, at the last token.
//! Units are ranked by their variance over the prompts; the others are held at 0 or at their mean.
//!
//! Source: Dunefsky, Chlenski, Nanda 2024, arXiv:2406.11944, §6.
//! Memory: the activations of all prompts at the places where units are held.

use ndarray::{Array2, Axis};
use nissl_core::network::{LanguageNetwork, TokenBatch};
use nissl_core::stats::information::log_softmax;
use nissl_core::stats::moments::Moments;
use nissl_core::taps::{Change, Edit, Positions, Selection, Taps};
use nissl_core::{Error, Progress, Result, Site, SiteGlob};
use serde::{Deserialize, Serialize};

use super::baselines::{held, largest, neurons_of};
use super::change::{Kept, Rest};
use super::prompts::TaskPrompt;
use super::replacement::{Replacement, matrix};
use crate::likelihood::{logits, sequences_at_once, values};

/// Where in a prompt units are ranked and held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum At {
    /// At its last token, which the answer follows.
    #[default]
    Last,
    /// At all tokens but the first.
    All,
}

/// Hyperparameters of a task's curves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Task {
    /// Numbers of features, and of neurons, that are kept
    #[arg(long, value_name = "COUNTS", value_delimiter = ',', default_values_t = Task::default().keep)]
    pub keep: Vec<usize>,
    /// Where the other units are held
    #[arg(long, value_enum, default_value_t = Rest::Mean)]
    pub rest: Rest,
    /// The places of a prompt at which units are ranked and held
    #[arg(long = "held-at", value_enum, default_value_t = At::Last)]
    pub at: At,
}

impl Default for Task {
    fn default() -> Self {
        Self { keep: vec![2, 4, 8, 16, 24, 32, 64, 128], rest: Rest::Mean, at: At::Last }
    }
}

/// What is kept along a curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Units {
    /// Features of the dictionary.
    Features,
    /// Neurons of the MLP.
    Neurons,
}

/// The metric against the number of units kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskCurve {
    /// Prompts.
    pub prompts: usize,
    /// The metric of the network as it is: mean probability of good answers less that of bad ones.
    pub full: f64,
    /// The metric with all features of the dictionary in its site's place.
    pub replaced: f64,
    /// The metric with that site at zero.
    pub zero: f64,
    /// Units, how many of them are kept, and the metric.
    pub points: Vec<(Units, usize, f64)>,
}

/// The curves of `replacement`'s features and, where it rebuilds an MLP's output, of that MLP's neurons.
///
/// # Errors
/// A replacement or prompts that do not fit the network, or no prompt.
pub fn task(
    network: &dyn LanguageNetwork,
    replacement: &Replacement<'_>,
    prompts: &[TaskPrompt],
    settings: &Task,
    progress: &Progress,
) -> Result<TaskCurve> {
    if prompts.is_empty() {
        let expected = "at least one".to_owned();
        return Err(Error::Empty { what: "the prompts".to_owned(), expected });
    }
    let prompts = Prompts { network, all: prompts, at: settings.at };
    let input = prompts.activity(&replacement.sites.input)?;
    let code = replacement.dictionary.encode(input.view())?;
    let (variances, means) = spread(&code);
    let rest: Vec<f32> = match settings.rest {
        Rest::Zero => vec![0.0; means.len()],
        Rest::Mean => means.iter().map(|&mean| mean as f32).collect(),
    };
    let stage = progress.stage("task", 3 + 2 * settings.keep.len() as u64, "runs");
    let with = |kept: Kept| {
        progress.check(|| "the task; nothing was written".to_owned())?;
        let metric = prompts.metric(|positions, _| {
            Ok(vec![Replacement { kept: kept.clone(), positions, ..replacement.clone() }])
        });
        stage.advance(1);
        metric
    };
    let full = prompts.metric(|_, _| Ok(Vec::new()))?;
    let replaced = with(Kept::All)?;
    let glob: SiteGlob = replacement.sites.output.name().parse()?;
    let zero = prompts.metric(|positions, edits| {
        let selection = Selection { positions, ..Selection::default() };
        edits.push(Edit::new(glob.clone(), Change::Set(0.0)).on(selection));
        Ok(Vec::new())
    })?;
    stage.advance(2);
    let mut points = Vec::new();
    for &count in &settings.keep {
        let kept = largest(&variances, count);
        points.push((Units::Features, count, with(Kept::TheseOver(kept, rest.clone()))?));
    }
    if let Some(hidden) = neurons_of(network, &replacement.sites.output) {
        let (variances, means) = spread(&prompts.activity(&hidden)?);
        for &count in &settings.keep {
            progress.check(|| "the task; nothing was written".to_owned())?;
            let edit = held(&hidden, &largest(&variances, count), &means, settings.rest)?;
            let metric = prompts.metric(|positions, edits| {
                let mut edit = edit.clone();
                edit.selection.positions = positions;
                edits.push(edit);
                Ok(Vec::new())
            })?;
            points.push((Units::Neurons, count, metric));
            stage.advance(1);
        }
    }
    Ok(TaskCurve { prompts: prompts.all.len(), full, replaced, zero, points })
}

/// Variance and mean of each column of `[place, unit]`.
fn spread(activity: &Array2<f32>) -> (Vec<f64>, Vec<f64>) {
    let mut moments = Moments::new(activity.ncols());
    moments.push(activity.view());
    (moments.variances(), moments.means())
}

/// Prompts that are run in groups of equal length, so that last tokens stand in one place.
struct Prompts<'a> {
    network: &'a dyn LanguageNetwork,
    all: &'a [TaskPrompt],
    at: At,
}

impl Prompts<'_> {
    /// Groups of prompts of equal length that are run together.
    fn groups(&self) -> Vec<Vec<&TaskPrompt>> {
        let mut order: Vec<&TaskPrompt> = self.all.iter().collect();
        order.sort_by_key(|prompt| prompt.tokens.len());
        let same = order.chunk_by(|a, b| a.tokens.len() == b.tokens.len());
        same.flat_map(|group| {
            let at_once = sequences_at_once(self.network, group[0].tokens.len());
            group.chunks(at_once).map(<[_]>::to_vec).collect::<Vec<_>>()
        })
        .collect()
    }

    fn positions(&self, length: usize) -> Positions {
        match self.at {
            At::Last => Positions::These(vec![length - 1]),
            At::All => Positions::From(usize::from(length > 1)),
        }
    }

    fn batch(group: &[&TaskPrompt]) -> Result<TokenBatch> {
        let rows: Vec<&[u32]> = group.iter().map(|prompt| prompt.tokens.as_slice()).collect();
        TokenBatch::new(&rows)
    }

    /// The activity `[place, unit]` of `site` at the places where units are held.
    fn activity(&self, site: &Site) -> Result<Array2<f32>> {
        let mut all: Option<Array2<f32>> = None;
        for group in self.groups() {
            let length = group[0].tokens.len();
            let mut seen = None;
            let mut taps = Taps::none()
                .read(site.name().parse()?, |_, x| seen = Some(x.clone()))
                .without_output();
            self.network.forward(&Self::batch(&group)?, &mut taps)?;
            drop(taps);
            let Some(seen) = seen else {
                return Err(Error::setting("site", site, "a site that the run reaches"));
            };
            let from = match self.positions(length) {
                Positions::These(these) => these[0],
                Positions::From(first) => first,
                Positions::All => 0,
            };
            let rows: Vec<usize> = (0..group.len())
                .flat_map(|prompt| (from..length).map(move |at| prompt * length + at))
                .collect();
            let rows = matrix(seen)?.select(Axis(0), &rows);
            if let Some(all) = &mut all {
                all.append(Axis(0), rows.view())
                    .map_err(|error| Error::setting("activity", error, "rows of all units"))?;
            } else {
                all = Some(rows);
            }
        }
        all.ok_or_else(|| Error::setting("prompts", 0, "1 or more"))
    }

    /// The mean metric, with what `make` gives and adds for the positions of a group.
    fn metric<'r>(
        &self,
        make: impl Fn(Positions, &mut Vec<Edit>) -> Result<Vec<Replacement<'r>>>,
    ) -> Result<f64> {
        let mut total = 0.0;
        for group in self.groups() {
            let mut edits = Vec::new();
            let replacements = make(self.positions(group[0].tokens.len()), &mut edits)?;
            let mut taps = Taps::none();
            for edit in edits {
                taps = taps.edit(edit);
            }
            for one in &replacements {
                taps = one.tap(taps)?;
            }
            let logits = logits(self.network, &Self::batch(&group)?, &mut taps)?;
            drop(taps);
            let [batch, positions, tokens] = logits.dims();
            let last = values(logits.slice([0..batch, positions - 1..positions, 0..tokens]))?;
            for (prompt, row) in group.iter().zip(last.chunks(tokens)) {
                let log = log_softmax(row);
                let sum = |side: &[u32]| -> f64 {
                    side.iter().filter_map(|&id| log.get(id as usize)).map(|log| log.exp()).sum()
                };
                total += sum(&prompt.good) - sum(&prompt.bad);
            }
        }
        Ok(total / self.all.len() as f64)
    }
}
