//! How strongly each pair of neurons acts together at each moment: a tensor of pairs, animals and time bins.
//!
//! Slopes `d_i(t)` of each trace, divided by their standard deviation. `geo`: `√max(0, d_i d_j)`; `min`:
//! `min(|d_i|, |d_j|)` where signs agree; `rise`: `√(d_i⁺ d_j⁺)`; `anti`: `√max(0, −d_i d_j)`; `corr`:
//! `max(0, r)` of the slopes in a window. Averaged into bins; where asked for, less the mean over circular
//! shifts of each trace, not below 0. The first and last 2σ are left out.
//!
//! Source: Dyballa et al. 2024, arXiv:2402.14102, §3.1.
//! Differs: the paper's formula is not published; this one keeps what it says of it (from derivatives, not
//! negative, a number for each pair).
//! Left out: ΔF/F and z-scores of the traces, for any scale and offset of a trace cancels.
//! Memory: slopes of all animals; the tensor where it is below the bound.

use std::ops::Range;
use std::sync::Arc;

use nissl_core::components::pair_index;
use nissl_core::{Error, Progress, Result};
use rand::RngExt;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::animals::Animals;
use super::derivative::Derivative;
use super::signals::{bins, correlations, signal, window_moments};
use super::tensor::{PairRows, PairTensor};

/// What counts as acting together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Moving the same way: √max(0, d_i d_j)
    #[default]
    Geo,
    /// Moving the same way: the smaller of the two slopes
    Min,
    /// Rising together: √(d_i⁺ d_j⁺)
    Rise,
    /// Moving opposite ways: √max(0, −d_i d_j)
    Anti,
    /// Correlation of the slopes in a window, where above 0
    Corr,
}

/// Settings of the affinity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Affinity {
    /// What counts as acting together
    #[arg(long = "affinity", value_enum, default_value_t)]
    pub kind: Kind,
    /// How slopes are taken
    #[arg(long, value_enum, default_value_t)]
    pub derivative: Derivative,
    /// Width σ of the filter that takes slopes, seconds, above 0
    #[arg(long, default_value_t = Affinity::default().sigma)]
    pub sigma: f64,
    /// Seconds of a time bin, above 0
    #[arg(long, default_value_t = Affinity::default().bin)]
    pub bin: f64,
    /// Seconds of the window of corr, above 0
    #[arg(long, default_value_t = Affinity::default().window)]
    pub window: f64,
    /// Circular shifts whose mean affinity is taken off, 0 for none
    #[arg(long = "null-shifts", default_value_t = Affinity::default().null_shifts)]
    pub null_shifts: usize,
    /// Affinities up to this size are held in memory, else computed anew in each step (MiB)
    #[arg(long = "memory", value_name = "MIB", default_value_t = Affinity::default().memory_mib)]
    pub memory_mib: usize,
    /// The seed of the shifts; set by the run
    #[arg(skip)]
    pub seed: u64,
}

impl Default for Affinity {
    fn default() -> Self {
        Self {
            kind: Kind::Geo,
            derivative: Derivative::Gaussian,
            sigma: 0.5,
            bin: 1.0,
            window: 5.0,
            null_shifts: 0,
            memory_mib: 2048,
            seed: 42,
        }
    }
}

/// The affinities of all pairs of neurons.
#[derive(Clone)]
pub struct Affinities {
    /// `[pair, animal, time]`; pairs are the upper triangle, row by row.
    pub tensor: PairTensor,
    /// The neurons.
    pub neurons: Vec<String>,
    /// The animals.
    pub animals: Vec<String>,
    /// The centre of each time bin, seconds.
    pub times: Vec<f64>,
    /// Seconds of a bin.
    pub bin: f64,
    /// Whether each animal has each neuron `[animal][neuron]`, those that never move left out.
    pub present: Vec<Vec<bool>>,
    /// Animals and neurons whose traces never move and were dropped.
    pub constant: Vec<(usize, usize)>,
}

impl Affinity {
    /// # Errors
    /// A value outside its range.
    pub fn validate(&self) -> Result<()> {
        for (name, value) in [("sigma", self.sigma), ("bin", self.bin), ("window", self.window)] {
            if !(value > 0.0 && value.is_finite()) {
                return Err(Error::setting(name, value, "seconds above 0"));
            }
        }
        Ok(())
    }

    /// The affinities of `animals`.
    ///
    /// # Errors
    /// Settings outside their range, too short a recording, no two neurons in one animal, neurons that
    /// never act together, or an interruption.
    pub fn of(&self, animals: &Animals, progress: &Progress) -> Result<Affinities> {
        self.validate()?;
        let rows = Rows::new(self, animals, progress)?;
        let neurons = animals.neurons.len();
        let (pairs, number) = (neurons * (neurons - 1) / 2, animals.animals.len());
        let shape = [pairs, number, rows.bins.len()];
        let mut observed = Vec::with_capacity(pairs * number);
        for first in 0..neurons {
            for second in first + 1..neurons {
                observed.extend(rows.present.iter().map(|own| own[first] && own[second]));
            }
        }
        if observed.iter().all(|&seen| !seen) {
            return Err(Error::setting("neurons", "no two in one animal", "pairs of neurons"));
        }
        let (present, constant) = (rows.present.clone(), rows.constant.clone());
        let times = rows.times.clone();
        let bytes = 4usize.saturating_mul(shape.iter().product());
        let tensor = if bytes <= self.memory_mib << 20 {
            PairTensor::kept(&rows, shape, observed, progress)?
        } else {
            PairTensor::computed(Arc::new(rows), shape, observed, progress)?
        };
        Ok(Affinities {
            tensor,
            neurons: animals.neurons.clone(),
            animals: animals.animals.iter().map(|animal| animal.name.clone()).collect(),
            times,
            bin: self.bin,
            present,
            constant,
        })
    }
}

impl Affinities {
    /// The pairs that a neuron is in.
    pub fn pairs_of(&self, neuron: usize) -> Vec<usize> {
        let neurons = self.neurons.len();
        let others = (0..neurons).filter(|&other| other != neuron);
        others.map(|other| pair_index(neuron.min(other), neuron.max(other), neurons)).collect()
    }
}

/// Rows of affinities, computed from slopes.
struct Rows {
    kind: Kind,
    /// `[animal][neuron]`, empty where missing; signed roots for the kinds that are products.
    signals: Vec<Vec<Vec<f32>>>,
    present: Vec<Vec<bool>>,
    constant: Vec<(usize, usize)>,
    bins: Vec<Range<usize>>,
    times: Vec<f64>,
    /// Samples on either side of the window of `corr`, and means and deviations of each trace in it.
    half: usize,
    windows: Vec<Vec<Vec<[f64; 2]>>>,
    /// What is taken off, `[animal][pair]`; empty for nothing.
    null: Vec<Vec<f32>>,
    /// Neurons of the first pair in each row of the triangle.
    neurons: usize,
}

impl Rows {
    fn new(settings: &Affinity, animals: &Animals, progress: &Progress) -> Result<Self> {
        let dt = animals.dt;
        let samples = animals.samples();
        let edge = (2.0 * settings.sigma / dt).round() as usize;
        let used = edge..samples.saturating_sub(edge);
        let bins = bins(used.clone(), settings.bin / dt);
        if bins.len() < 2 {
            let found = format!("{:.3} s after the ends are cut", used.len() as f64 * dt);
            return Err(Error::setting("duration", found, "two time bins or more")
                .with_help("choose a smaller --bin or --sigma, or longer recordings"));
        }
        let times = bins
            .iter()
            .map(|bin| animals.start + dt * 0.5 * (bin.start + bin.end - 1) as f64)
            .collect();
        let mut rows = Self {
            kind: settings.kind,
            signals: Vec::new(),
            present: Vec::new(),
            constant: Vec::new(),
            bins,
            times,
            half: ((settings.window / dt / 2.0).round() as usize).max(1),
            windows: Vec::new(),
            null: Vec::new(),
            neurons: animals.neurons.len(),
        };
        for (number, animal) in animals.animals.iter().enumerate() {
            progress.check(|| format!("{number} animals"))?;
            let signals: Vec<Vec<f32>> = animal
                .traces
                .par_iter()
                .map(|trace| match trace {
                    None => Vec::new(),
                    Some(trace) => signal(settings, trace, dt, used.clone()),
                })
                .collect();
            for (neuron, trace) in animal.traces.iter().enumerate() {
                if trace.is_some() && signals[neuron].is_empty() {
                    rows.constant.push((number, neuron));
                }
            }
            rows.present.push(signals.iter().map(|signal| !signal.is_empty()).collect());
            rows.signals.push(signals);
        }
        if settings.kind == Kind::Corr {
            let half = rows.half;
            let of_animal = |signals: &Vec<Vec<f32>>| {
                signals.iter().map(|signal| window_moments(signal, half)).collect()
            };
            rows.windows = rows.signals.iter().map(of_animal).collect();
        }
        if settings.null_shifts > 0 {
            rows.null = rows.null_means(settings, &used, progress)?;
        }
        Ok(rows)
    }

    /// The affinity of two neurons of an animal at one moment; `second` may be shifted.
    fn at(&self, x: f32, y: f32) -> f32 {
        match self.kind {
            Kind::Anti => (-x * y).max(0.0),
            Kind::Min => {
                if x * y > 0.0 {
                    x.abs().min(y.abs())
                } else {
                    0.0
                }
            }
            // Products of signed roots; `rise` has roots of what is above 0 only.
            Kind::Geo | Kind::Rise | Kind::Corr => (x * y).max(0.0),
        }
    }

    /// Affinities of one animal's pair, averaged in bins.
    fn pair(&self, animal: usize, [first, second]: [usize; 2], out: &mut [f32]) {
        let [x, y] = [first, second].map(|neuron| self.signals[animal][neuron].as_slice());
        if self.kind == Kind::Corr {
            let [of_x, of_y] = [first, second].map(|neuron| &self.windows[animal][neuron]);
            let correlations = correlations([x, y], [of_x, of_y], self.half);
            for (out, bin) in out.iter_mut().zip(&self.bins) {
                let sum: f64 = correlations[bin.clone()].iter().map(|r| r.max(0.0)).sum();
                *out = (sum / bin.len() as f64) as f32;
            }
            return;
        }
        for (out, bin) in out.iter_mut().zip(&self.bins) {
            let both = x[bin.clone()].iter().zip(&y[bin.clone()]);
            *out = both.map(|(&x, &y)| self.at(x, y)).sum::<f32>() / bin.len() as f32;
        }
    }

    /// Mean affinities `[animal][pair]` over circular shifts of each trace on its own.
    fn null_means(
        &self,
        settings: &Affinity,
        used: &Range<usize>,
        progress: &Progress,
    ) -> Result<Vec<Vec<f32>>> {
        let (neurons, length) = (self.neurons, used.len());
        let shifts: Vec<Vec<usize>> = (0..settings.null_shifts)
            .map(|number| {
                let mut rng = nissl_core::seed::rng(settings.seed, 0x5817 + number as u64);
                (0..neurons).map(|_| rng.random_range(0..length)).collect()
            })
            .collect();
        let firsts: Vec<usize> = (0..neurons).collect();
        let of_animal = |animal: usize| -> Result<Vec<f32>> {
            progress.check(|| format!("{animal} animals"))?;
            let lines = firsts.par_iter().map(|&first| -> Vec<f32> {
                let seconds = first + 1..neurons;
                let mean = |second: usize| {
                    if !self.present[animal][first] || !self.present[animal][second] {
                        return 0.0;
                    }
                    let sums = shifts.iter().map(|shift| {
                        let by = (shift[second] + length - shift[first]) % length;
                        self.shifted_mean(animal, [first, second], used, by)
                    });
                    (sums.sum::<f64>() / shifts.len() as f64) as f32
                };
                seconds.map(mean).collect()
            });
            Ok(lines.collect::<Vec<_>>().concat())
        };
        (0..self.present.len()).map(of_animal).collect()
    }

    /// The mean affinity over time with the second trace moved on by `by` samples.
    fn shifted_mean(
        &self,
        animal: usize,
        [first, second]: [usize; 2],
        used: &Range<usize>,
        by: usize,
    ) -> f64 {
        let [x, y] = [first, second].map(|neuron| &self.signals[animal][neuron][used.clone()]);
        let moved: Vec<f32> = y[by..].iter().chain(&y[..by]).copied().collect();
        let sum: f64 = if self.kind == Kind::Corr {
            let of = [x, &moved].map(|signal| window_moments(signal, self.half));
            correlations([x, &moved], [&of[0], &of[1]], self.half).iter().map(|r| r.max(0.0)).sum()
        } else {
            x.iter().zip(&moved).map(|(&x, &y)| f64::from(self.at(x, y))).sum()
        };
        sum / x.len() as f64
    }
}

impl PairRows for Rows {
    fn write(&self, pairs: Range<usize>, out: &mut [f32]) {
        let (animals, times) = (self.present.len(), self.bins.len());
        let [mut first, mut second] = nissl_core::components::pair_at(pairs.start, self.neurons);
        for (pair, row) in pairs.zip(out.chunks_exact_mut(animals * times)) {
            for (animal, out) in row.chunks_exact_mut(times).enumerate() {
                if !(self.present[animal][first] && self.present[animal][second]) {
                    out.fill(0.0);
                    continue;
                }
                self.pair(animal, [first, second], out);
                if let Some(null) = self.null.get(animal) {
                    for value in out {
                        *value = (*value - null[pair]).max(0.0);
                    }
                }
            }
            second += 1;
            if second == self.neurons {
                first += 1;
                second = first + 1;
            }
        }
    }
}
