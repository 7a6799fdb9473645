//! K-means: centroids of clusters of samples as features.
//!
//! Lloyd's rounds from k-means++ seeds; a feature's activation is 1 in its cluster, or
//! `max(0, mean distance − distance)` ("triangle"). The restart of least inertia is kept.
//!
//! Source: Arthur and Vassilvitskii 2007 (seeds); Lloyd 1982; Coates, Lee, Ng 2011, §4.2 (triangle).
//! Differs: with more than 16,384 samples the seeds are chosen among that many random ones.
//! Memory: the samples that seeds are chosen among, `[unit, k]` in f64, and one tile.

use ndarray::{Array1, Array2, Axis};
use nissl_core::features::{Decompose, Dictionary, Encoding, Warning, product};
use nissl_core::seed::rng;
use nissl_core::{Progress, Recording, Result};
use rand::RngExt;
use rand::seq::index::sample;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::activity::Activity;
use crate::range::{at_least_1, tolerance};

/// What a cluster's activation is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// How much nearer than the average centroid
    #[default]
    Triangle,
    /// 1 for the nearest centroid, 0 for all others
    Nearest,
}

/// Hyperparameters of k-means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Kmeans {
    /// Clusters, 1 to the smaller of samples and units
    #[arg(short, long, default_value_t = Kmeans::default().k)]
    pub k: usize,
    /// Rounds at most, at least 1
    #[arg(long, default_value_t = Kmeans::default().rounds)]
    pub rounds: usize,
    /// Relative decrease of the inertia below which a restart is done
    #[arg(long, default_value_t = Kmeans::default().tolerance)]
    pub tolerance: f64,
    /// Runs from other seeds, of which the best is kept, at least 1
    #[arg(long, default_value_t = Kmeans::default().restarts)]
    pub restarts: usize,
    /// What a cluster's activation is
    #[arg(long, value_enum, default_value_t)]
    pub activation: Activation,
    /// Activity up to this size is held in memory (MiB)
    #[arg(long = "memory", value_name = "MIB", default_value_t = Kmeans::default().memory_mib)]
    pub memory_mib: usize,
    /// The seed of every draw; set by the run
    #[arg(skip)]
    pub seed: u64,
}

impl Default for Kmeans {
    fn default() -> Self {
        Self {
            k: 100,
            rounds: 100,
            tolerance: 1e-4,
            restarts: 3,
            activation: Activation::Triangle,
            memory_mib: 2048,
            seed: 0,
        }
    }
}

impl Decompose for Kmeans {
    fn name(&self) -> &'static str {
        "kmeans"
    }

    fn validate(&self) -> Result<()> {
        let counts = [("k", self.k), ("rounds", self.rounds), ("restarts", self.restarts)];
        at_least_1(&counts)?;
        tolerance(self.tolerance)
    }

    fn fit(
        &self,
        recording: &Recording,
        rows: &[usize],
        progress: &Progress,
    ) -> Result<Dictionary> {
        self.validate()?;
        let &Self { k, rounds, tolerance, restarts, activation, memory_mib, seed } = self;
        let activity = Activity::read(recording, rows, memory_mib, progress)?;
        activity.require_enough(k)?;
        let mut runs = Vec::with_capacity(restarts);
        for restart in 0..restarts {
            let mut rng = rng(seed, restart as u64);
            let seeds = far_seeds(&activity, k, &mut rng, progress)?;
            runs.push(lloyd(&activity, seeds, Rounds { rounds, tolerance }, &mut rng, progress)?);
        }
        let restarts: Vec<f64> =
            runs.iter().map(|run| run.inertia.last().copied().unwrap_or(0.0)).collect();
        let best = (0..runs.len()).min_by(|&a, &b| restarts[a].total_cmp(&restarts[b]));
        let run = runs.swap_remove(best.unwrap_or(0));
        let encoding = match activation {
            Activation::Triangle => Encoding::Triangle,
            Activation::Nearest => Encoding::Nearest,
        };
        let mut dictionary = Dictionary::new(run.centres, encoding);
        dictionary.loss = run.inertia.iter().map(|&value| value as f32).collect();
        dictionary.restarts = restarts;
        dictionary.warnings = activity.warnings(k);
        if !run.converged {
            dictionary.warnings.push(Warning::NotConverged { iterations: rounds });
        }
        Ok(dictionary)
    }
}

/// Samples among which the first centroids are chosen.
const SEED_POOL: usize = 16_384;

/// The k-means++ choice: each next sample with probability proportional to its squared distance.
fn far_seeds(
    activity: &Activity<'_>,
    k: usize,
    rng: &mut ChaCha8Rng,
    progress: &Progress,
) -> Result<Array2<f32>> {
    let samples = activity.samples();
    let mut places = if samples <= SEED_POOL {
        (0..samples).collect()
    } else {
        sample(rng, samples, SEED_POOL.max(k)).into_vec()
    };
    places.sort_unstable();
    let pool = activity.pick(&places)?;
    let mut chosen = vec![rng.random_range(0..pool.nrows())];
    let mut nearest = vec![f64::INFINITY; pool.nrows()];
    while chosen.len() < k {
        progress.check(|| format!("{} seeds; nothing was written", chosen.len()))?;
        let last = pool.row(chosen[chosen.len() - 1]);
        nearest.par_iter_mut().zip(pool.axis_iter(Axis(0))).for_each(|(nearest, row)| {
            let distance: f64 =
                row.iter().zip(&last).map(|(a, b)| f64::from(a - b) * f64::from(a - b)).sum();
            *nearest = nearest.min(distance);
        });
        let total: f64 = nearest.iter().sum();
        // Fewer different samples than clusters: any place will do, the cluster stays empty.
        let mut left = rng.random_range(0.0..1.0) * total;
        let drawn = nearest.iter().position(|&distance| {
            left -= distance;
            left < 0.0
        });
        chosen.push(drawn.unwrap_or_else(|| rng.random_range(0..pool.nrows())));
    }
    Ok(pool.select(Axis(0), &chosen))
}

/// When Lloyd's rounds end.
#[derive(Clone, Copy)]
pub(crate) struct Rounds {
    pub(crate) rounds: usize,
    pub(crate) tolerance: f64,
}

/// What Lloyd's rounds end with.
pub(crate) struct Clusters {
    /// `[cluster, unit]`
    pub(crate) centres: Array2<f32>,
    /// The cluster of each sample.
    pub(crate) places: Vec<u32>,
    /// The sum of squared distances after each round.
    pub(crate) inertia: Vec<f64>,
    /// Whether the last round changed little.
    pub(crate) converged: bool,
}

/// Lloyd's rounds; a cluster that loses all its samples begins anew at a random one.
pub(crate) fn lloyd(
    activity: &Activity<'_>,
    mut centres: Array2<f32>,
    until: Rounds,
    rng: &mut ChaCha8Rng,
    progress: &Progress,
) -> Result<Clusters> {
    let (k, units) = centres.dim();
    let mut places = vec![0u32; activity.samples()];
    let mut inertia: Vec<f64> = Vec::new();
    let stage = progress.stage("k-means", until.rounds as u64, "rounds");
    for round in 0..until.rounds {
        let halves: Array1<f32> = centres
            .rows()
            .into_iter()
            .map(|row| row.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>() as f32 / 2.0)
            .collect();
        let mut sums = Array2::<f64>::zeros((units, k));
        let mut sizes = vec![0usize; k];
        let mut total = activity.squares();
        activity.pass(|first, tile| {
            progress.check(|| format!("{round} rounds; nothing was written"))?;
            let places = &mut places[first..first + tile.ncols()];
            total += 2.0 * nearest(&product(centres.view(), tile), &halves, places);
            for &place in places.iter() {
                sizes[place as usize] += 1;
            }
            let places = &*places;
            sums.axis_iter_mut(Axis(0)).into_par_iter().zip(tile.axis_iter(Axis(0))).for_each(
                |(mut sums, row)| {
                    for (&value, &place) in row.iter().zip(places) {
                        sums[place as usize] += f64::from(value);
                    }
                },
            );
            Ok(())
        })?;
        stage.show("inertia", total);
        stage.advance(1);
        let before = inertia.last().copied().unwrap_or(f64::INFINITY);
        inertia.push(total);
        if before - total <= until.tolerance * total.abs() {
            return Ok(Clusters { centres, places, inertia, converged: true });
        }
        for (cluster, &size) in sizes.iter().enumerate() {
            if size == 0 {
                let place = rng.random_range(0..activity.samples());
                centres.row_mut(cluster).assign(&activity.pick(&[place])?.row(0));
            } else {
                for (unit, centre) in centres.row_mut(cluster).iter_mut().enumerate() {
                    *centre = (sums[[unit, cluster]] / size as f64) as f32;
                }
            }
        }
    }
    Ok(Clusters { centres, places, inertia, converged: false })
}

/// Fills in the nearest cluster of each sample, the lower on ties; gives the sum of their
/// `½‖c‖² − x·c`, from inner products `[cluster, sample]`.
fn nearest(products: &Array2<f32>, halves: &Array1<f32>, places: &mut [u32]) -> f64 {
    let mut best = vec![f32::INFINITY; places.len()];
    for (cluster, (row, &half)) in products.rows().into_iter().zip(halves).enumerate() {
        for ((&value, best), place) in row.iter().zip(&mut best).zip(places.iter_mut()) {
            if half - value < *best {
                *best = half - value;
                *place = cluster as u32;
            }
        }
    }
    best.iter().map(|&value| f64::from(value)).sum()
}
