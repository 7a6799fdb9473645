//! What a network loses without a feature, concept by concept.
//!
//! For each token the change of its next-token loss, `ℓ(ablated) − ℓ(plain)` in nats, when the
//! feature is taken out of one site at every position: by projection `h − (h · ẑ) ẑ`, or by setting
//! the feature's units to zero or to their means. For each concept the mean change over tokens with
//! it and over those without, and the interval of the difference from a bootstrap by sequence.
//!
//! Source: the ablation baseline of Shafran, Geiger, Geva 2025, arXiv:2506.10920.
//! Memory: activity and logits of one batch of sequences, and one number for each token.

use burn::tensor::{Tensor, TensorData};
use nissl_core::network::LanguageNetwork;
use nissl_core::stats::bootstrap::Bootstrap;
use nissl_core::taps::{Change, Edit, Taps};
use nissl_core::{Error, Progress, Recording, Result, Site};
use serde::{Deserialize, Serialize};

use crate::likelihood::{losses, sequences_at_once};
use crate::scores::Score;
use crate::strength::unit_length;
use crate::truth::Truth;

/// How a feature is taken out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Removal {
    /// The part of the activity along the feature's direction becomes zero.
    #[default]
    Project,
    /// The feature's units become zero.
    Zero,
    /// The feature's units take their mean over the recording.
    Mean,
}

/// The token whose concepts a loss is counted under.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum CountedAt {
    /// The token that was just read, where the feature acts.
    #[default]
    Read,
    /// The token that is to be predicted.
    Predicted,
}

/// Hyperparameters of ablation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Ablate {
    /// How a feature is taken out
    #[arg(long, value_enum, default_value_t = Ablate::default().removal)]
    pub removal: Removal,
    /// The token whose concepts a loss is counted under
    #[arg(long, value_enum, default_value_t = Ablate::default().counted_at)]
    pub counted_at: CountedAt,
    /// Sequences of the recording that are run, from its start; 1 or more
    #[arg(long, default_value_t = Ablate::default().sequences)]
    pub sequences: usize,
    /// Resamples of the interval, 1 or more
    #[arg(long, default_value_t = Ablate::default().resamples)]
    pub resamples: usize,
    /// Seed of the resamples
    #[arg(skip)]
    pub seed: u64,
}

impl Default for Ablate {
    fn default() -> Self {
        Self {
            removal: Removal::Project,
            counted_at: CountedAt::Read,
            sequences: 200,
            resamples: 500,
            seed: 0,
        }
    }
}

impl Ablate {
    /// # Errors
    /// A value outside its range.
    pub fn validate(&self) -> Result<()> {
        for (field, value) in [("sequences", self.sequences), ("resamples", self.resamples)] {
            if value == 0 {
                return Err(Error::setting(field, value, "1 or more"));
            }
        }
        Ok(())
    }
}

/// The effect of one ablation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ablated {
    /// Mean change of loss over all tokens, in nats.
    pub change: f64,
    /// Tokens whose loss was compared.
    pub tokens: usize,
    /// Sequences they belong to.
    pub sequences: usize,
    /// For each concept, in the order of the truth.
    pub concepts: Vec<ConceptLoss>,
}

/// The scorer's name in `scores.parquet`.
pub const SCORER: &str = "ablation";

impl Ablated {
    /// The rows of `scores.parquet`: for each concept with tokens the difference in nats, beside 0.
    pub fn scores(&self, feature: u32) -> Vec<Score> {
        let row = |found: &ConceptLoss| Score {
            feature,
            scorer: SCORER.to_owned(),
            score: found.difference,
            low: found.low,
            high: found.high,
            n: found.tokens as u64,
            baseline: 0.0,
            config: serde_json::json!({"concept": found.concept}).to_string(),
        };
        self.concepts.iter().filter(|found| found.tokens > 0).map(row).collect()
    }
}

/// The effect of one ablation on one concept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConceptLoss {
    /// The concept.
    pub concept: String,
    /// Mean change of loss over tokens with the concept, in nats; NaN when there is none.
    pub with: f64,
    /// Mean change over tokens without it.
    pub without: f64,
    /// `with − without`.
    pub difference: f64,
    /// The 95 % interval of the difference, by sequence.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// Tokens with the concept.
    pub tokens: usize,
}

/// Token sequences with the concepts of each token.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelledText {
    /// `[sequence][token]`.
    pub sequences: Vec<Vec<u32>>,
    /// One row for each token, sequence after sequence.
    pub truth: Truth,
}

impl LabelledText {
    /// The first `sequences` sequences of a recording of a language network, with its truth columns.
    ///
    /// # Errors
    /// A sample table without `token_id` or without a truth column.
    pub fn of(recording: &Recording, sequences: usize) -> Result<Self> {
        let table = recording.sample_columns(&["sequence", "token_id"])?;
        let (names, tokens) = (table.u32s("sequence")?, table.u32s("token_id")?);
        let mut texts = Vec::new();
        let mut start = 0;
        for same in names.chunk_by(|a, b| a == b).take(sequences) {
            texts.push(tokens[start..start + same.len()].to_vec());
            start += same.len();
        }
        let mut truth = Truth::of(recording)?;
        for labels in &mut truth.labels {
            labels.truncate(start);
        }
        Ok(Self { sequences: texts, truth })
    }
}

/// The loss of each token with and without a feature `[feature][concept]`, for several
/// `directions` `[feature][unit]` at `site`.
///
/// `means` `[unit]` are the units' means, needed only for [`Removal::Mean`].
///
/// # Errors
/// A setting outside its range, a direction that does not fit the site, or a run that the network
/// refuses.
pub fn ablate(
    network: &dyn LanguageNetwork,
    site: &Site,
    directions: &[&[f32]],
    means: &[f32],
    text: &LabelledText,
    settings: &Ablate,
    progress: &Progress,
) -> Result<Vec<Ablated>> {
    settings.validate()?;
    let glob: nissl_core::SiteGlob = site.name().parse()?;
    let mut removals = Vec::with_capacity(directions.len());
    for direction in directions {
        let fits = Taps::none().edit(Edit::new(glob.clone(), Change::Add(direction.to_vec())));
        fits.check(network.id(), network.sites(), |site| network.width(site))?;
        removals.push(Taken::new(direction, means, settings.removal)?);
    }
    // A sequence of one token predicts nothing.
    let context = network.context().max(1);
    let rows: Vec<&[u32]> = text.sequences.iter().flat_map(|all| all.chunks(context)).collect();
    let longest = rows.iter().map(|row| row.len()).max().unwrap_or(1);
    let at_once = sequences_at_once(network, longest);
    let stage = progress.stage("ablate", (rows.len() * (1 + directions.len())) as u64, "sequences");
    let mut changes = vec![Vec::new(); directions.len()];
    for some in rows.chunks(at_once) {
        let mut seen = None;
        let mut reading = Taps::none().read(glob.clone(), |_, x| seen = Some(x.clone()));
        let plain = losses(network, some, &mut reading)?;
        drop(reading);
        stage.advance(some.len() as u64);
        let Some(activity) = seen else {
            return Err(Error::NoSuchSite {
                network: network.id().to_owned(),
                pattern: site.name().to_owned(),
                help: None,
            });
        };
        for (removal, changes) in removals.iter().zip(&mut changes) {
            progress.check(|| format!("{} ablated tokens", changes.len()))?;
            let patch = Change::Patch(removal.apply(&activity));
            let mut taps = Taps::none().edit(Edit::new(glob.clone(), patch));
            for (ablated, plain) in losses(network, some, &mut taps)?.iter().zip(&plain) {
                let change = ablated.iter().zip(plain).map(|(after, before)| after - before);
                changes.extend(change.map(|change| change as f32));
            }
            stage.advance(some.len() as u64);
        }
    }
    let (places, groups) = counted_places(&text.sequences, context, settings.counted_at);
    Ok(changes.iter().map(|change| summarise(change, &places, &groups, text, settings)).collect())
}

/// One removal, ready for a batch.
struct Taken {
    direction: Vec<f32>,
    kept: Vec<f32>,
    fill: Vec<f32>,
    removal: Removal,
}

impl Taken {
    fn new(direction: &[f32], means: &[f32], removal: Removal) -> Result<Self> {
        let unit = unit_length(direction)?;
        if removal == Removal::Mean && means.len() != direction.len() {
            return Err(Error::Units {
                left: "the table of means".to_owned(),
                found: means.len(),
                right: "the direction".to_owned(),
                expected: direction.len(),
                help: None,
            });
        }
        let kept: Vec<f32> = direction.iter().map(|&z| f32::from(u8::from(z == 0.0))).collect();
        let fill = kept
            .iter()
            .enumerate()
            .map(|(at, kept)| if removal == Removal::Mean { (1.0 - kept) * means[at] } else { 0.0 })
            .collect();
        Ok(Self { direction: unit, kept, fill, removal })
    }

    /// `[batch, position, unit]` without the feature.
    fn apply(&self, activity: &Tensor<3>) -> Tensor<3> {
        let row = |values: &[f32]| {
            let data = TensorData::new(values.to_vec(), [1, 1, values.len()]);
            Tensor::<3>::from_data(data, &activity.device())
        };
        match self.removal {
            Removal::Project => {
                let direction = row(&self.direction);
                let along = (activity.clone() * direction.clone()).sum_dim(2);
                activity.clone() - along * direction
            }
            Removal::Zero | Removal::Mean => activity.clone() * row(&self.kept) + row(&self.fill),
        }
    }
}

/// For each loss the row of the truth it counts under, and its sequence.
///
/// Sequences longer than the `context` are read in windows, whose last tokens predict nothing.
fn counted_places(
    sequences: &[Vec<u32>],
    context: usize,
    counted_at: CountedAt,
) -> (Vec<usize>, Vec<u32>) {
    let (mut places, mut groups, mut start) = (Vec::new(), Vec::new(), 0);
    for (number, sequence) in sequences.iter().enumerate() {
        let shift = usize::from(counted_at == CountedAt::Predicted);
        for window in sequence.chunks(context) {
            for position in 0..window.len() - 1 {
                places.push(start + position + shift);
                groups.push(number as u32);
            }
            start += window.len();
        }
    }
    (places, groups)
}

fn summarise(
    changes: &[f32],
    places: &[usize],
    groups: &[u32],
    text: &LabelledText,
    settings: &Ablate,
) -> Ablated {
    let mean = |values: &mut dyn Iterator<Item = f32>| {
        let (sum, count) =
            values.fold((0.0, 0), |(sum, count), value| (sum + f64::from(value), count + 1));
        (sum / f64::from(count), count as usize)
    };
    let bootstrap = Bootstrap { resamples: settings.resamples, level: 0.95, seed: settings.seed };
    let of_concept = |(concept, labels): (&String, &Vec<bool>)| {
        let side = |class: bool| {
            let both = changes.iter().zip(places);
            mean(&mut both.filter(|(_, place)| labels[**place] == class).map(|(change, _)| *change))
        };
        let ((with, tokens), (without, _)) = (side(true), side(false));
        let sums = sums_by_group(changes, places, groups, labels);
        let numbers: Vec<u32> = (0..sums.len() as u32).collect();
        let interval = bootstrap.by_group(&numbers, |drawn| {
            let mut total = [0.0; 4];
            for &group in drawn {
                total.iter_mut().zip(sums[group]).for_each(|(total, sum)| *total += sum);
            }
            total[0] / total[1] - total[2] / total[3]
        });
        ConceptLoss {
            concept: concept.clone(),
            with,
            without,
            difference: with - without,
            low: interval.low,
            high: interval.high,
            tokens,
        }
    };
    Ablated {
        change: mean(&mut changes.iter().copied()).0,
        tokens: changes.len(),
        sequences: text.sequences.len(),
        concepts: text.truth.names.iter().zip(&text.truth.labels).map(of_concept).collect(),
    }
}

/// For each sequence: sum and count with the concept, sum and count without it.
fn sums_by_group(
    changes: &[f32],
    places: &[usize],
    groups: &[u32],
    labels: &[bool],
) -> Vec<[f64; 4]> {
    let mut sums = vec![[0.0; 4]; groups.last().map_or(0, |last| *last as usize + 1)];
    for ((change, &place), &group) in changes.iter().zip(places).zip(groups) {
        let side = if labels[place] { 0 } else { 2 };
        sums[group as usize][side] += f64::from(*change);
        sums[group as usize][side + 1] += 1.0;
    }
    sums
}
