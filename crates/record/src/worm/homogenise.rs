//! One worm in the common form: names cleaned, gaps filled, one sampling interval, normalised.
//!
//! For each neuron: `F → smooth → resample → normalise` is `calcium_data`; beside it, on request,
//! resampled `F`, `dF/dt`, smoothed `F` and smoothed `dF/dt`.
//!
//! Source: Simeon et al. 2024, arXiv:2411.12091, §2, and the code published with it.
//! Differs: all in f64, stored as f32 with f64 times; `reference_quirks` rounds values and times to
//! half precision, as the published tensors are, and makes the other defects again.
//! Memory: the recording once as f64, and each wanted signal once as f32.

use clap::Args;
use half::f16;
use ndarray::{Array2, Axis};
use nissl_core::{Error, Progress, Result};
use rand::seq::SliceRandom;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::form::{Signal, Worm, WormNeuron};
use super::impute::{self, Imputation};
use super::labels::{Label, Naming, Rules, clean};
use super::neurons::slots;
use super::normalise::{self, Normalisation};
use super::raw::{LeftOut, RawWorm};
use super::resample::{Interpolation, Resampling, median_interval};
use super::smooth::{self, Smoothing};

/// How recorded worms are brought into one form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Args)]
#[serde(default, deny_unknown_fields)]
pub struct Homogenise {
    /// The sampling interval in seconds, above 0
    #[arg(long, value_name = "SECONDS", default_value_t = Homogenise::default().dt)]
    pub dt: f64,
    /// How traces are smoothed; only past samples count
    #[arg(long, value_enum, default_value_t = Homogenise::default().smoothing)]
    pub smoothing: Smoothing,
    /// Twice the samples that `--smoothing moving` looks back, at least 1
    #[arg(long, default_value_t = Homogenise::default().window)]
    pub window: usize,
    /// Width of `--smoothing gaussian` in samples, above 0
    #[arg(long, default_value_t = Homogenise::default().sigma)]
    pub sigma: f64,
    /// Weight of the newest sample in `--smoothing exponential`, above 0 and at most 1
    #[arg(long, default_value_t = Homogenise::default().alpha)]
    pub alpha: f64,
    /// How values between samples are found
    #[arg(long, value_enum, default_value_t = Homogenise::default().interpolation)]
    pub interpolation: Interpolation,
    /// How traces are normalised
    #[arg(long, value_enum, default_value_t = Homogenise::default().normalisation)]
    pub normalisation: Normalisation,
    /// How missing samples are filled
    #[arg(long, value_enum, default_value_t = Homogenise::default().imputation)]
    pub imputation: Imputation,
    /// Skip recordings with fewer samples than this
    #[arg(long, default_value_t = Homogenise::default().min_samples)]
    pub min_samples: usize,
    /// The unit of the times in the files
    #[arg(long, value_enum, default_value_t = Homogenise::default().time_unit)]
    pub time_unit: TimeUnit,
    /// Stamp averages with the centre of their bin, not with its start
    #[arg(long)]
    pub centred_times: bool,
    /// Make the defects of the published code again: half precision, names that overwrite each other
    #[arg(long)]
    pub reference_quirks: bool,
    /// Put unlabelled neurons into free slots, drawn with this seed, as the published code does
    #[arg(long, value_name = "SEED")]
    pub reference_slots: Option<u64>,
}

/// The unit of times in raw files.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum TimeUnit {
    /// Seconds.
    #[default]
    S,
    /// Milliseconds.
    Ms,
    /// Minutes.
    Min,
}

impl TimeUnit {
    fn seconds(self) -> f64 {
        match self {
            Self::S => 1.0,
            Self::Ms => 1e-3,
            Self::Min => 60.0,
        }
    }
}

impl Default for Homogenise {
    fn default() -> Self {
        Self {
            dt: 0.333,
            smoothing: Smoothing::Moving,
            window: 15,
            sigma: 5.0,
            alpha: 0.5,
            interpolation: Interpolation::Linear,
            normalisation: Normalisation::Standard,
            imputation: Imputation::Iterative,
            min_samples: 600,
            time_unit: TimeUnit::S,
            centred_times: false,
            reference_quirks: false,
            reference_slots: None,
        }
    }
}

/// What became of a raw recording.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It is in the common form.
    Worm(Box<Worm>),
    /// It is too short or has no labelled neuron.
    Skipped(String),
}

impl Homogenise {
    /// # Errors
    /// A field outside its range.
    pub fn validate(&self) -> Result<()> {
        let positive = |field: &str, value: f64, most: f64, expected: &str| {
            if value > 0.0 && value <= most {
                Ok(())
            } else {
                Err(Error::setting(field, value, expected))
            }
        };
        positive("dt", self.dt, 3600.0, "above 0 and at most 3600 seconds")?;
        positive("sigma", self.sigma, 1e6, "above 0 and at most 1,000,000 samples")?;
        positive("alpha", self.alpha, 1.0, "above 0 and at most 1")?;
        if self.window == 0 {
            return Err(Error::setting("window", 0, "at least 1"));
        }
        Ok(())
    }

    /// Brings `raw` into the common form as the worm called `name`, with the signals `wanted`.
    ///
    /// # Errors
    /// Settings outside their range, parts that do not fit each other, times that do not rise or are
    /// in another unit, or an interrupt.
    pub fn worm(
        &self,
        mut raw: RawWorm,
        name: &str,
        naming: Naming,
        wanted: &[Signal],
        progress: &Progress,
    ) -> Result<Outcome> {
        self.validate()?;
        raw.validate()?;
        let time = self.seconds(&raw)?;
        if time.len() < self.min_samples {
            let (found, least) = (time.len(), self.min_samples);
            return Ok(Outcome::Skipped(format!("{found} samples, fewer than {least}")));
        }
        let rules = if self.reference_quirks { Rules::Reference } else { Rules::Corrected };
        let (labels, left_out) = clean(&raw.labels, &raw.columns, naming, rules);
        raw.left_out.extend(left_out);
        let empty = |row: usize| raw.traces.row(row).iter().all(|value| !value.is_finite());
        let (gone, mut labels): (Vec<Label>, Vec<Label>) =
            labels.into_iter().partition(|label| empty(label.row));
        for label in gone {
            let (column, reason) = (raw.columns[label.row], "no sample was measured".to_owned());
            raw.left_out.push(LeftOut { column, label: label.name, reason });
        }
        if labels.iter().all(|label| label.slot.is_none()) {
            return Ok(Outcome::Skipped("no labelled neuron".to_owned()));
        }
        // Labelled neurons in the order of their slots, the others as they come.
        labels.sort_by_key(|label| (label.slot.is_none(), label.slot, label.row));
        let rows: Vec<usize> = labels.iter().map(|label| label.row).collect();
        let mut traces = raw.traces.select(Axis(0), &rows);
        let imputed = self.fill(&mut traces, &time, progress)?;
        let plan = Resampling::new(&time, self.dt, self.interpolation)?;
        if plan.samples() == 0 {
            let found = format!("{} s long", time[time.len() - 1]);
            return Ok(Outcome::Skipped(format!(
                "{found}, shorter than one sample of {} s",
                self.dt
            )));
        }
        self.splines_need_all_samples(&traces, &raw.file)?;
        let (calcium, signals) = self.signals(&traces, &time, &plan, wanted);
        let shift = if self.centred_times { plan.centre() } else { 0.0 };
        let rounded =
            |value: f64| if self.reference_quirks { f16::from_f64(value).to_f64() } else { value };
        let behaviour =
            raw.behaviour.iter().map(|(name, values)| (name.clone(), plan.apply(values)));
        let neurons = labels.iter().zip(imputed).map(|(label, imputed)| WormNeuron {
            name: label.name.clone(),
            slot: label.slot,
            labelled: label.slot.is_some(),
            raw: raw.labels[label.row].clone().unwrap_or_default(),
            confidence: label.confidence,
            imputed,
        });
        let mut worm = Worm {
            dataset: raw.dataset,
            worm: name.to_owned(),
            neurons: neurons.collect(),
            calcium,
            signals,
            time: plan.times().into_iter().map(|time| rounded(time + shift)).collect(),
            original: self.stored(&raw.traces.select(Axis(0), &rows)),
            original_time: time.iter().map(|&time| rounded(time)).collect(),
            fluorescence: raw.fluorescence,
            methods: [self.smoothing.name(), self.interpolation.name(), self.normalisation.name()]
                .map(str::to_owned),
            behaviour: behaviour.collect(),
            stimuli: raw.stimuli,
            left_out: raw.left_out,
            file: raw.file,
        };
        let begin = raw.time[0] * self.time_unit.seconds();
        for stimulus in &mut worm.stimuli {
            stimulus.begin -= begin;
            stimulus.end -= begin;
        }
        if let Some(seed) = self.reference_slots {
            draw_slots(&mut worm, seed);
        }
        Ok(Outcome::Worm(Box::new(worm)))
    }

    /// The times in seconds from the start.
    fn seconds(&self, raw: &RawWorm) -> Result<Vec<f64>> {
        const SHORTEST: f64 = 0.01;
        const LONGEST: f64 = 10.0;
        let scale = self.time_unit.seconds();
        let place = |at: usize| format!("time, sample {at}");
        if let Some(at) = raw.time.iter().position(|time| !time.is_finite()) {
            return Err(Error::file(&raw.file, place(at), raw.time[at], "a finite time"));
        }
        let falls = |pair: &[f64]| pair[1] <= pair[0];
        if let Some(at) = raw.time.windows(2).position(falls) {
            let found = format!("{} after {}", raw.time[at + 1], raw.time[at]);
            return Err(Error::file(&raw.file, place(at + 1), found, "later than the one before"));
        }
        let first = raw.time.first().copied().unwrap_or(0.0);
        let time: Vec<f64> = raw.time.iter().map(|time| (time - first) * scale).collect();
        let median = median_interval(&time);
        if time.len() > 1 && !(SHORTEST..=LONGEST).contains(&median) {
            let found = format!("{median} s from sample to sample (the median)");
            let expected = format!("{SHORTEST} to {LONGEST} s");
            return Err(Error::file(&raw.file, "time", found, expected)
                .with_help("tell the unit of the times with --time-unit ms or --time-unit min"));
        }
        Ok(time)
    }

    /// Fills missing samples and gives the fraction of them for each neuron.
    fn fill(
        &self,
        traces: &mut Array2<f64>,
        time: &[f64],
        progress: &Progress,
    ) -> Result<Vec<f32>> {
        traces.mapv_inplace(|value| if value.is_finite() { value } else { f64::NAN });
        let samples = traces.ncols() as f32;
        let gaps = |row: ndarray::ArrayView1<'_, f64>| row.iter().filter(|v| v.is_nan()).count();
        let missing: Vec<f32> = traces.rows().into_iter().map(|row| gaps(row) as f32).collect();
        match self.imputation {
            Imputation::Iterative => impute::iterative(traces, progress)?,
            Imputation::Linear => {
                for mut row in traces.rows_mut() {
                    if let Some(row) = row.as_slice_mut() {
                        impute::linear(row, time);
                    }
                }
            }
            Imputation::None => return Ok(vec![0.0; missing.len()]),
        }
        Ok(missing.into_iter().map(|missing| missing / samples).collect())
    }

    fn splines_need_all_samples(&self, traces: &Array2<f64>, file: &str) -> Result<()> {
        if self.interpolation == Interpolation::Linear || traces.iter().all(|v| v.is_finite()) {
            return Ok(());
        }
        let found = format!("{} with missing samples in {file}", self.interpolation.name());
        Err(Error::setting("interpolation", found, "linear, or gaps filled by --imputation"))
    }

    /// All steps for every neuron: `calcium_data` and the signals `wanted`.
    fn signals(
        &self,
        traces: &Array2<f64>,
        time: &[f64],
        plan: &Resampling,
        wanted: &[Signal],
    ) -> (Array2<f32>, Vec<(Signal, Array2<f32>)>) {
        let smoothed = |trace: &[f64]| match self.smoothing {
            Smoothing::Moving => smooth::moving(trace, self.window),
            Smoothing::Gaussian => smooth::gaussian(trace, self.sigma),
            Smoothing::Exponential => smooth::exponential(trace, self.alpha),
            Smoothing::None => trace.to_vec(),
        };
        let one = |trace: &[f64]| -> Vec<Vec<f32>> {
            let smooth = plan.apply(&smoothed(trace));
            let residual =
                if wanted.iter().any(|s| matches!(s, Signal::Residual | Signal::SmoothResidual)) {
                    smooth::derivative(trace, time)
                } else {
                    Vec::new()
                };
            let mut calcium = smooth.clone();
            match self.normalisation {
                Normalisation::Standard => normalise::standard(&mut calcium),
                Normalisation::Causal => normalise::causal(&mut calcium),
                Normalisation::None => {}
            }
            let others = wanted.iter().map(|signal| match signal {
                Signal::Raw => plan.apply(trace),
                Signal::Smooth => smooth.clone(),
                Signal::Residual => plan.apply(&residual),
                Signal::SmoothResidual => plan.apply(&smoothed(&residual)),
            });
            let all = std::iter::once(calcium.clone()).chain(others);
            all.map(|trace| trace.into_iter().map(|value| self.narrow(value)).collect()).collect()
        };
        let rows: Vec<Vec<Vec<f32>>> =
            (0..traces.nrows()).into_par_iter().map(|row| one(&traces.row(row).to_vec())).collect();
        let mut stacks = (0..=wanted.len()).map(|at| {
            let mut all = Array2::zeros((rows.len(), plan.samples()));
            for (mut to, from) in all.rows_mut().into_iter().zip(&rows) {
                to.assign(&ndarray::ArrayView1::from(&from[at]));
            }
            all
        });
        let calcium = stacks.next().unwrap_or_default();
        (calcium, wanted.iter().copied().zip(stacks).collect())
    }

    /// A value as it is stored.
    fn narrow(&self, value: f64) -> f32 {
        if self.reference_quirks { f16::from_f64(value).to_f32() } else { value as f32 }
    }

    fn stored(&self, values: &Array2<f64>) -> Array2<f32> {
        values.mapv(|value| self.narrow(value))
    }
}

/// Puts unlabelled neurons into free slots at random; those that find none have no slot.
fn draw_slots(worm: &mut Worm, seed: u64) {
    let number = worm.worm.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(0);
    let taken: Vec<usize> = worm.neurons.iter().filter_map(|neuron| neuron.slot).collect();
    let mut free: Vec<usize> = (0..slots().len()).filter(|slot| !taken.contains(slot)).collect();
    free.shuffle(&mut nissl_core::seed::rng(seed, number));
    for neuron in worm.neurons.iter_mut().filter(|neuron| !neuron.labelled) {
        neuron.slot = free.pop();
    }
}
