//! Traces of the same neurons in several animals, from recordings with named units.
//!
//! Units are matched by `name`, or where a recording has none by site and index. A unit that is NaN throughout
//! is missing in that animal. All animals are cut to the time that they have in common, from their first
//! samples or from the onset of a stimulus.
//! Memory: all traces in f32.

use nissl_core::{Error, Recording, Result};
use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::raw::{Raw, common_interval, common_neurons};

/// What becomes of traces with gaps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Gaps {
    /// They are an error
    #[default]
    Refuse,
    /// The neuron counts as missing in that animal
    Drop,
    /// Gaps are filled with straight lines
    Fill,
}

/// How recordings are read as animals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Reading {
    /// Line the animals up at the first onset of this stimulus
    #[arg(long, value_name = "STIMULUS")]
    pub align: Option<String>,
    /// What becomes of traces with gaps (NaN)
    #[arg(long, value_enum, default_value_t)]
    pub gaps: Gaps,
    /// Animals that must have a neuron for it to be kept, at least 1
    #[arg(long, default_value_t = Reading::default().min_animals)]
    pub min_animals: usize,
    /// Allow a single animal
    #[arg(long)]
    pub single: bool,
    /// Take each sequence of one recording for an animal
    #[arg(long)]
    pub by_sequence: bool,
}

impl Default for Reading {
    fn default() -> Self {
        let (align, gaps) = (None, Gaps::Refuse);
        Self { align, gaps, min_animals: 2, single: false, by_sequence: false }
    }
}

/// When a stimulus was on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// Its name.
    pub name: String,
    /// Its onset, seconds.
    pub start: f64,
    /// Its end, seconds.
    pub end: f64,
}

/// One animal.
#[derive(Clone, Debug, PartialEq)]
pub struct Animal {
    /// What it is called.
    pub name: String,
    /// A trace for each neuron, `None` where it is missing.
    pub traces: Vec<Option<Vec<f32>>>,
    /// When stimuli were on.
    pub windows: Vec<Window>,
}

/// The same neurons in several animals on one grid of time.
#[derive(Clone, Debug, PartialEq)]
pub struct Animals {
    /// The neurons, by name.
    pub neurons: Vec<String>,
    /// The animals.
    pub animals: Vec<Animal>,
    /// Seconds between samples.
    pub dt: f64,
    /// The time of the first sample, seconds.
    pub start: f64,
}

impl Animals {
    /// Reads recordings; `stimuli` besides those that stand in their sample tables, each of one animal or
    /// of all.
    ///
    /// # Errors
    /// Too few recordings, names that stand twice, no common neurons, traces with gaps, infinite activity,
    /// times that do not rise evenly or differ between animals, no common time, a stimulus that is nowhere
    /// or lies outside a recording.
    pub fn read(
        recordings: &[Recording],
        reading: &Reading,
        stimuli: &[(Option<String>, Window)],
    ) -> Result<Self> {
        let mut raw = Vec::new();
        if reading.by_sequence {
            let [recording] = recordings else {
                let found = format!("{} recordings", recordings.len());
                return Err(Error::setting(
                    "by_sequence",
                    found,
                    "one recording of several sequences",
                ));
            };
            raw.extend(Raw::sequences(recording)?);
        } else {
            for recording in recordings {
                raw.push(Raw::whole(recording)?);
            }
        }
        let least = if reading.single { 1 } else { 2 };
        if raw.len() < least {
            return Err(Error::setting("animals", raw.len(), "at least 2").with_help(
                "name several recordings; or --by-sequence for the sequences of one, or --single",
            ));
        }
        let stray = stimuli.iter().filter_map(|(animal, _)| animal.as_ref());
        if let Some(stray) = stray.into_iter().find(|name| raw.iter().all(|one| one.name != **name))
        {
            let names = raw.iter().map(|one| one.name.as_str());
            let near = nissl_core::error::nearest(stray, names).join(", ");
            return Err(Error::setting(
                "stimuli",
                format!("animal `{stray}`"),
                format!("one of {near}"),
            ));
        }
        for (animal, window) in stimuli {
            let of = |one: &&mut Raw| animal.as_ref().is_none_or(|name| *name == one.name);
            for one in raw.iter_mut().filter(of) {
                one.add_window(window)?;
            }
        }
        let dt = common_interval(&raw)?;
        let neurons = common_neurons(&raw, reading)?;
        for one in &mut raw {
            one.close_gaps(&neurons, reading.gaps)?;
            if let Some(name) = &reading.align {
                one.align(name)?;
            }
        }
        let start = raw.iter().map(|one| one.start).fold(f64::NEG_INFINITY, f64::max);
        let count = |one: &Raw| {
            let skip = ((start - one.start) / dt).round() as usize;
            one.samples.saturating_sub(skip)
        };
        let samples = raw.iter().map(count).min().unwrap_or(0);
        if samples < 3 {
            return Err(Error::setting("time", "none in common", "recordings that overlap")
                .with_help("look at time_s and at where --align puts each recording's zero"));
        }
        let animals = raw
            .into_iter()
            .map(|one| {
                let skip = ((start - one.start) / dt).round() as usize;
                let cut = |trace: &Vec<f32>| trace[skip..skip + samples].to_vec();
                let traces = neurons.iter().map(|name| one.traces.get(name).map(cut)).collect();
                Animal { name: one.name, traces, windows: one.windows }
            })
            .collect();
        Ok(Self { neurons, animals, dt, start })
    }

    /// Samples of each animal.
    pub fn samples(&self) -> usize {
        let traces = self.animals.iter().flat_map(|animal| animal.traces.iter().flatten());
        traces.map(Vec::len).min().unwrap_or(0)
    }

    /// The same with every trace moved on by a number of samples of its own, drawn from `seed`; what leaves at
    /// the end comes back at the beginning. What neurons have in common in time is gone.
    #[must_use]
    pub fn shifted(&self, seed: u64) -> Self {
        let mut out = self.clone();
        for (number, animal) in out.animals.iter_mut().enumerate() {
            let mut rng = nissl_core::seed::rng(seed, 0x5_41f7 + number as u64);
            for trace in &mut animal.traces {
                // Drawn for missing neurons too: which are missing changes nothing for the others.
                let share: f64 = rng.random();
                if let Some(trace) = trace {
                    let by = 1 + (share * trace.len().saturating_sub(1) as f64) as usize;
                    let length = trace.len();
                    trace.rotate_right(by.min(length));
                }
            }
        }
        out
    }
}
