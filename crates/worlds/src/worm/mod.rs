//! Worms that a connectome moves: activity of named neurons whose wiring is known.
//!
//! Rate: `τ dx/dt = −x + tanh(M x) + g L x + τ σ ξ`, where `M = √chemical · sign`, scaled to a spectral radius, and
//! `L x` is what gap junctions even out. Conductance: see [`conductance`]. Either is seen every `interval` seconds with
//! noise, in each worm of some of the neurons only; what is not seen is NaN.
//! Source: Simeon et al. 2024, arXiv:2411.12091 (the form of recordings); Kunert, Shlizerman, Kutz 2014,
//! Phys. Rev. E 89:052805 (conductances).
//! Memory: one worm.

mod conductance;
mod rate;
#[cfg(test)]
mod tests;
mod wiring;

use std::path::Path;

use clap::{Args, ValueEnum};
use ndarray::Array2;
use nissl_core::graph::Graph;
use nissl_core::recording::{RecordingPlan, RecordingWriter, Source};
use nissl_core::store::{Existing, Provenance};
use nissl_core::{Column, Error, Progress, Recording, Result, Table};
use rand::RngExt;
use rand::seq::{SliceRandom, index};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

pub use self::wiring::Wiring;

/// The stream of what all worms share: signs and exchanged names.
const SHARED: u64 = u64::MAX;
/// Seconds of a worm's life before it is recorded.
const SETTLE: f64 = 20.0;

/// What a neuron is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum WormModel {
    /// A rate between −1 and 1
    #[default]
    Rate,
    /// A membrane with leak, gap junctions and graded synapses
    Conductance,
}

/// Which neurons inhibit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Signs {
    /// A share of them, drawn at random
    #[default]
    Random,
    /// Those whose transmitter is GABA
    Transmitter,
}

/// Worms simulated from a connectome.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Args)]
#[serde(default, deny_unknown_fields)]
pub struct WormWorld {
    /// What a neuron is
    #[arg(long, value_enum, default_value = "rate")]
    pub model: WormModel,
    /// Worms, at least 1
    #[arg(long, default_value_t = WormWorld::default().worms)]
    pub worms: usize,
    /// Samples of each worm, at least 1
    #[arg(long, default_value_t = WormWorld::default().samples)]
    pub samples: usize,
    /// Seconds between samples, above 0
    #[arg(long, value_name = "SECONDS", default_value_t = WormWorld::default().interval)]
    pub interval: f64,
    /// Strength of the noise that drives neurons, at least 0
    #[arg(long, default_value_t = WormWorld::default().noise)]
    pub noise: f64,
    /// Standard deviation of the noise of measurement, at least 0
    #[arg(long, default_value_t = WormWorld::default().measurement_noise)]
    pub measurement_noise: f64,
    /// Spectral radius of the synapses of rates, above 0
    #[arg(long, default_value_t = WormWorld::default().spectral_radius)]
    pub spectral_radius: f64,
    /// Strength of the gap junctions of rates, at least 0
    #[arg(long, default_value_t = WormWorld::default().gap)]
    pub gap: f64,
    /// Which neurons inhibit
    #[arg(long, value_enum, default_value = "random")]
    pub signs: Signs,
    /// Share of neurons that inhibit when signs are random, 0 to 1
    #[arg(long, default_value_t = WormWorld::default().inhibitory)]
    pub inhibitory: f64,
    /// Least share of neurons that are seen in a worm, above 0 to 1
    #[arg(long, default_value_t = WormWorld::default().labelled_least)]
    pub labelled_least: f64,
    /// Greatest share of neurons that are seen in a worm, `labelled_least` to 1
    #[arg(long, default_value_t = WormWorld::default().labelled_most)]
    pub labelled_most: f64,
    /// Seconds in which an indicator of calcium decays; 0 shows the neurons as they are
    #[arg(long, value_name = "SECONDS", default_value_t = WormWorld::default().decay)]
    pub decay: f64,
    /// Exchange the names of neurons at random: a control whose wiring is none of the connectome's
    #[arg(long)]
    pub shuffle: bool,
    /// Seed of signs, noise and labels
    #[arg(skip)]
    pub seed: u64,
}

impl Default for WormWorld {
    fn default() -> Self {
        Self {
            model: WormModel::Rate,
            worms: 1,
            samples: 1500,
            interval: 0.333,
            noise: 0.6,
            measurement_noise: 0.1,
            spectral_radius: 0.9,
            gap: 0.3,
            signs: Signs::Random,
            inhibitory: 0.25,
            labelled_least: 1.0,
            labelled_most: 1.0,
            decay: 0.0,
            shuffle: false,
            seed: 0,
        }
    }
}

/// One worm.
#[derive(Clone, Debug, PartialEq)]
pub struct SimulatedWorm {
    /// What was measured `[sample, neuron]`; NaN of neurons that are not seen in this worm.
    pub activity: Array2<f32>,
    /// Which neurons are seen `[neuron]`.
    pub labelled: Vec<bool>,
}

impl WormWorld {
    /// Checks every field against its range.
    pub fn validate(&self) -> Result<()> {
        let counts = [("worms", self.worms), ("samples", self.samples)];
        if let Some((field, found)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return Err(Error::setting(field, found, "at least 1"));
        }
        let above = [("interval", self.interval), ("spectral_radius", self.spectral_radius)];
        for (field, value) in above {
            if !(value.is_finite() && value > 0.0) {
                return Err(Error::setting(field, value, "above 0"));
            }
        }
        let least = [
            ("noise", self.noise),
            ("measurement_noise", self.measurement_noise),
            ("gap", self.gap),
            ("decay", self.decay),
        ];
        for (field, value) in least {
            if !(value.is_finite() && value >= 0.0) {
                return Err(Error::setting(field, value, "at least 0"));
            }
        }
        if !(0.0..=1.0).contains(&self.inhibitory) {
            return Err(Error::setting("inhibitory", self.inhibitory, "0 to 1"));
        }
        if !(self.labelled_least > 0.0 && self.labelled_least <= 1.0) {
            return Err(Error::setting(
                "labelled_least",
                self.labelled_least,
                "above 0, at most 1",
            ));
        }
        if !(self.labelled_least..=1.0).contains(&self.labelled_most) {
            let expected = format!("{} (labelled_least) to 1", self.labelled_least);
            return Err(Error::setting("labelled_most", self.labelled_most, expected));
        }
        Ok(())
    }

    /// The wiring of all worms: synapses with their sign, gap junctions, and exchanged names where
    /// they are asked for.
    ///
    /// # Errors
    /// A setting out of range, or a graph that is no connectome.
    pub fn wiring(&self, connectome: &Graph) -> Result<Wiring> {
        self.validate()?;
        let mut rng = nissl_core::seed::rng(self.seed, SHARED);
        let mut wiring = Wiring::new(connectome, self.signs, self.inhibitory, &mut rng)?;
        if self.shuffle {
            let mut order: Vec<usize> = (0..wiring.neurons()).collect();
            order.shuffle(&mut rng);
            wiring.exchange(&order);
        }
        Ok(wiring)
    }

    /// Simulates worm `number`; each depends on the seed and its number alone.
    pub fn simulate(&self, wiring: &Wiring, number: usize) -> SimulatedWorm {
        let mut rng = nissl_core::seed::rng(self.seed, number as u64);
        let labelled = self.labels(wiring.neurons(), &mut rng);
        let mut activity = match self.model {
            WormModel::Rate => rate::simulate(self, wiring, &mut rng),
            WormModel::Conductance => conductance::simulate(self, wiring, &mut rng),
        };
        if self.decay > 0.0 {
            indicate(&mut activity, self.interval, self.decay);
        }
        for value in &mut activity {
            *value += self.measurement_noise * normal(&mut rng);
        }
        let mut seen = activity.mapv(|value| value as f32);
        for (neuron, mut column) in seen.columns_mut().into_iter().enumerate() {
            if !labelled[neuron] {
                column.fill(f32::NAN);
            }
        }
        SimulatedWorm { activity: seen, labelled }
    }

    fn labels(&self, neurons: usize, rng: &mut ChaCha8Rng) -> Vec<bool> {
        let share = if self.labelled_least < self.labelled_most {
            rng.random_range(self.labelled_least..=self.labelled_most)
        } else {
            self.labelled_most
        };
        let count = ((share * neurons as f64).round() as usize).clamp(1, neurons);
        let mut labelled = vec![false; neurons];
        for neuron in index::sample(rng, neurons, count) {
            labelled[neuron] = true;
        }
        labelled
    }

    /// Simulates all worms into a recording: units are the neurons by name, each worm is a sequence.
    ///
    /// # Errors
    /// As [`Self::wiring`], a folder that `existing` does not allow, or a failed file operation.
    pub fn write(
        &self,
        connectome: &Graph,
        folder: &Path,
        provenance: Provenance,
        existing: Existing,
        progress: &Progress,
    ) -> Result<Recording> {
        let wiring = self.wiring(connectome)?;
        let source = Source { importer: Some("world worm".to_owned()), ..Source::default() };
        let plan = RecordingPlan::new(wiring.units(), source, provenance);
        let mut writer = RecordingWriter::create(folder, plan, existing)?;
        let done = (writer.committed() / self.samples as u64) as usize;
        if writer.committed() % self.samples as u64 != 0 {
            let found = format!("{} samples", writer.committed());
            return Err(Error::file(folder, "samples", found, "whole worms")
                .with_help("make it anew with --overwrite"));
        }
        let stage = progress.stage("simulate", self.worms as u64, "worms");
        stage.advance(done as u64);
        for worm in done..self.worms {
            progress.check(|| format!("{worm} worms"))?;
            let simulated = self.simulate(&wiring, worm);
            let positions = 0..self.samples as u32;
            let samples = Table::new()
                .with("sequence", Column::U32(vec![worm as u32; self.samples]))
                .with("position", Column::U32(positions.clone().collect()))
                .with(
                    "time_s",
                    Column::F64(positions.map(|p| f64::from(p) * self.interval).collect()),
                );
            writer.push(simulated.activity.view(), samples)?;
            stage.advance(1);
        }
        writer.finish()
    }
}

/// What an indicator shows that follows at once and decays slowly.
fn indicate(activity: &mut Array2<f64>, interval: f64, decay: f64) {
    let keep = (-interval / decay).exp();
    for mut column in activity.columns_mut() {
        let mut shown = 0.0;
        for value in &mut column {
            shown = keep * shown + (1.0 - keep) * *value;
            *value = shown;
        }
    }
}

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    StandardNormal.sample(rng)
}
