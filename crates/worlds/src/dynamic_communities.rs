//! Traces of neurons that change partners over time: communities with a known window and known animals.
//!
//! Trace `= 0.6 private events + gain · events of the neuron's groups + noise`, in each animal anew. Events come at
//! random times (private: 0.25 a second; of a group: 0.5 a second, only inside the motif's window and animals),
//! have sizes from `Gamma(4, 0.25)` and decay in 1.5 s; gains are drawn evenly from 0.7 to 1.3 for each
//! neuron, group and animal.
//!
//! Source: the planted study for Dyballa et al. 2024, arXiv:2402.14102.
//! Memory: all traces.

use std::ops::Range;
use std::path::{Path, PathBuf};

use ndarray::{Array2, ArrayViewMut1};
use nissl_core::recording::{RecordingPlan, Source};
use nissl_core::store::{Existing, Provenance};
use nissl_core::{Column, Error, Recording, RecordingWriter, Result, Table};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Gamma, Poisson, StandardNormal, Uniform};
use serde::{Deserialize, Serialize};

/// Settings of planted communities; the groups and windows are fixed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct DynamicCommunities {
    /// Animals, 8 or more; further ones act as the first eight do
    #[arg(long, default_value_t = DynamicCommunities::default().animals)]
    pub animals: usize,
    /// Neurons, 38 or more; further ones are in no group
    #[arg(long, default_value_t = DynamicCommunities::default().neurons)]
    pub neurons: usize,
    /// Seconds, 150 or more
    #[arg(long, default_value_t = DynamicCommunities::default().seconds)]
    pub seconds: f64,
    /// Samples a second, above 0
    #[arg(long, default_value_t = DynamicCommunities::default().rate)]
    pub rate: f64,
    /// Size of private events, at least 0
    #[arg(long, default_value_t = DynamicCommunities::default().private)]
    pub private: f64,
    /// Standard deviation of the noise, at least 0
    #[arg(long, default_value_t = DynamicCommunities::default().noise)]
    pub noise: f64,
    /// Seed of everything; set by the run
    #[arg(skip)]
    pub seed: u64,
}

impl Default for DynamicCommunities {
    fn default() -> Self {
        let (animals, neurons, seconds, rate) = (8, 40, 150.0, 4.0);
        Self { animals, neurons, seconds, rate, private: 0.6, noise: 0.15, seed: 0 }
    }
}

/// Groups of neurons that act together for a while in some animals.
#[derive(Clone, Debug, PartialEq)]
pub struct PlantedMotif {
    /// The groups, each a range of neurons.
    pub groups: Vec<Range<usize>>,
    /// From when to when, seconds.
    pub window: [f64; 2],
    /// The animals, of every eight.
    pub animals: Vec<usize>,
}

impl PlantedMotif {
    /// Whether two neurons are in one group.
    pub fn joins(&self, first: usize, second: usize) -> bool {
        self.groups.iter().any(|group| group.contains(&first) && group.contains(&second))
    }

    /// The group of each of `neurons`, counting from 1; 0 in none.
    pub fn labels(&self, neurons: usize) -> Vec<u32> {
        (0..neurons)
            .map(|neuron| {
                let place = self.groups.iter().position(|group| group.contains(&neuron));
                place.map_or(0, |place| place as u32 + 1)
            })
            .collect()
    }

    /// Whether it acts in `animal`.
    pub fn acts_in(&self, animal: usize) -> bool {
        self.animals.contains(&(animal % 8))
    }

    /// Whether it acts at `time`, seconds.
    pub fn acts_at(&self, time: f64) -> bool {
        (self.window[0]..self.window[1]).contains(&time)
    }
}

/// The four motifs.
pub fn motifs() -> Vec<PlantedMotif> {
    let motif = |groups: &[Range<usize>], window, animals: &[usize]| PlantedMotif {
        groups: groups.to_vec(),
        window,
        animals: animals.to_vec(),
    };
    vec![
        motif(&[0..10, 10..20], [0.0, 50.0], &[0, 1, 2, 3, 4, 5, 6, 7]),
        motif(std::slice::from_ref(&(5..17)), [50.0, 100.0], &[0, 1, 2, 3]),
        motif(&[20..30, 0..5], [50.0, 100.0], &[4, 5, 6, 7]),
        motif(&[15..25, 25..38], [100.0, 150.0], &[0, 2, 4, 6]),
    ]
}

/// Traces and what was planted in them.
#[derive(Clone, Debug, PartialEq)]
pub struct DynamicCommunitiesWorld {
    /// `[time, neuron]` of each animal.
    pub traces: Vec<Array2<f32>>,
    /// Seconds between samples.
    pub dt: f64,
    /// What was planted.
    pub motifs: Vec<PlantedMotif>,
}

/// Events a second, private and of a group.
const PRIVATE_RATE: f64 = 0.25;
const GROUP_RATE: f64 = 0.5;
/// Seconds in which an event decays to 1/e.
const DECAY: f64 = 1.5;
/// The names of the three windows, as stimuli.
const STIMULI: [(&str, [f64; 2]); 3] =
    [("first", [0.0, 50.0]), ("second", [50.0, 100.0]), ("third", [100.0, 150.0])];

impl DynamicCommunities {
    /// # Errors
    /// A value outside its range.
    pub fn validate(&self) -> Result<()> {
        for (name, found, least) in [("animals", self.animals, 8), ("neurons", self.neurons, 38)] {
            if found < least {
                return Err(Error::setting(name, found, format!("{least} or more")));
            }
        }
        if !(self.seconds >= 150.0 && self.seconds.is_finite()) {
            return Err(Error::setting("seconds", self.seconds, "150 or more"));
        }
        if !(self.rate > 0.0 && self.rate.is_finite()) {
            return Err(Error::setting("rate", self.rate, "above 0"));
        }
        for (name, found) in [("private", self.private), ("noise", self.noise)] {
            if !(found >= 0.0 && found.is_finite()) {
                return Err(Error::setting(name, found, "0 or more"));
            }
        }
        Ok(())
    }

    /// Makes the traces.
    ///
    /// # Errors
    /// A value outside its range.
    pub fn generate(&self) -> Result<DynamicCommunitiesWorld> {
        self.validate()?;
        let motifs = motifs();
        let traces =
            (0..self.animals).map(|animal| self.animal(animal, &motifs)).collect::<Result<_>>()?;
        Ok(DynamicCommunitiesWorld { traces, dt: 1.0 / self.rate, motifs })
    }

    fn animal(&self, animal: usize, motifs: &[PlantedMotif]) -> Result<Array2<f32>> {
        let times = (self.seconds * self.rate).round() as usize;
        let mut rng = nissl_core::seed::rng(self.seed, animal as u64);
        let gains =
            Uniform::new(0.7, 1.3).map_err(|error| Error::setting("gain", error, "a range"))?;
        let mut traces = Array2::<f64>::zeros((times, self.neurons));
        let always = [0.0, self.seconds];
        for mut trace in traces.columns_mut() {
            self.add_events(&mut trace, PRIVATE_RATE, always, self.private, &mut rng)?;
        }
        for motif in motifs.iter().filter(|motif| motif.acts_in(animal)) {
            for group in &motif.groups {
                let mut shared = Array2::<f64>::zeros((times, 1));
                self.add_events(
                    &mut shared.column_mut(0),
                    GROUP_RATE,
                    motif.window,
                    1.0,
                    &mut rng,
                )?;
                for neuron in group.clone() {
                    let gain: f64 = gains.sample(&mut rng);
                    traces.column_mut(neuron).scaled_add(gain, &shared.column(0));
                }
            }
        }
        Ok(traces.mapv(|value| {
            let noise: f64 = StandardNormal.sample(&mut rng);
            (value + self.noise * noise) as f32
        }))
    }

    fn add_events(
        &self,
        trace: &mut ArrayViewMut1<'_, f64>,
        rate: f64,
        [from, to]: [f64; 2],
        scale: f64,
        rng: &mut ChaCha8Rng,
    ) -> Result<()> {
        let wrong = |error: String| Error::setting("rate", error, "a rate above 0");
        let counts = Poisson::new(rate / self.rate).map_err(|error| wrong(error.to_string()))?;
        let sizes = Gamma::new(4.0, 0.25).map_err(|error| wrong(error.to_string()))?;
        let decay = (-1.0 / (DECAY * self.rate)).exp();
        let mut level = 0.0;
        for (at, value) in trace.iter_mut().enumerate() {
            level *= decay;
            let time = at as f64 / self.rate;
            if (from..to).contains(&time) {
                let count: f64 = counts.sample(rng);
                for _ in 0..count as usize {
                    level += sizes.sample(rng);
                }
            }
            *value += scale * level;
        }
        Ok(())
    }
}

impl DynamicCommunitiesWorld {
    /// The names of the neurons: `N00`, `N01`, …
    pub fn names(&self) -> Vec<String> {
        let neurons = self.traces.first().map_or(0, Array2::ncols);
        (0..neurons).map(|neuron| format!("N{neuron:02}")).collect()
    }

    /// Writes a recording for each animal into `folder/animal-00`, … with the names of the neurons, `time_s` and
    /// the window as `stimulus`, and `truth.parquet`.
    ///
    /// # Errors
    /// A folder that is there, or a failed file operation.
    pub fn write(
        &self,
        folder: &Path,
        settings: &DynamicCommunities,
        existing: Existing,
    ) -> Result<Vec<PathBuf>> {
        let names = self.names();
        let index: Vec<u32> = (0..names.len() as u32).collect();
        let units = Table::new()
            .with("unit", Column::U32(index.clone()))
            .with("site", Column::Text(vec!["planted".to_owned(); names.len()]))
            .with("index", Column::U32(index))
            .with("name", Column::Text(names));
        let mut paths = Vec::new();
        for (animal, traces) in self.traces.iter().enumerate() {
            let path = folder.join(format!("animal-{animal:02}"));
            let source = Source { importer: Some("planted".to_owned()), ..Source::default() };
            let provenance = Provenance::here(settings, settings.seed, "cpu");
            let plan = RecordingPlan::new(units.clone(), source, provenance);
            let mut writer = RecordingWriter::create(&path, plan, existing)?;
            let rows = traces.nrows();
            let times: Vec<f64> = (0..rows).map(|row| row as f64 * self.dt).collect();
            let stimulus = |time: &f64| {
                let on = STIMULI.iter().find(|(_, [from, to])| (*from..*to).contains(time));
                on.map_or_else(String::new, |(name, _)| (*name).to_owned())
            };
            let samples = Table::new()
                .with("sequence", Column::U32(vec![0; rows]))
                .with("position", Column::U32((0..rows as u32).collect()))
                .with("stimulus", Column::Text(times.iter().map(stimulus).collect()))
                .with("time_s", Column::F64(times));
            writer.push(traces.view(), samples)?;
            let recording: Recording = writer.finish()?;
            paths.push(recording.path().to_owned());
        }
        self.truth().write(&folder.join("truth.parquet"))?;
        Ok(paths)
    }

    /// One row for each motif, group and member: `motif`, `group` (from 1), `neuron` u32, `start_s`, `end_s` f64,
    /// `animals` list of names.
    pub fn truth(&self) -> Table {
        let (mut motif, mut group, mut neuron) = (Vec::new(), Vec::new(), Vec::new());
        let (mut start, mut end, mut animals) = (Vec::new(), Vec::new(), Vec::new());
        for (number, planted) in self.motifs.iter().enumerate() {
            let acting = (0..self.traces.len()).filter(|&animal| planted.acts_in(animal));
            let names: Vec<String> = acting.map(|animal| format!("animal-{animal:02}")).collect();
            for (place, members) in planted.groups.iter().enumerate() {
                for member in members.clone() {
                    motif.push(number as u32);
                    group.push(place as u32 + 1);
                    neuron.push(member as u32);
                    start.push(planted.window[0]);
                    end.push(planted.window[1]);
                    animals.push(names.clone());
                }
            }
        }
        Table::new()
            .with("motif", Column::U32(motif))
            .with("group", Column::U32(group))
            .with("neuron", Column::U32(neuron))
            .with("start_s", Column::F64(start))
            .with("end_s", Column::F64(end))
            .with("animals", Column::Texts(animals))
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "windows are copied, never computed")]
mod tests {
    use super::*;

    #[test]
    fn members_of_a_group_move_together_in_its_window_and_animals_alone() {
        for seed in 0..3 {
            let world =
                DynamicCommunities { seed, ..Default::default() }.generate().expect("world");
            let correlation = |animal: usize, window: [f64; 2], a: usize, b: usize| {
                let rows = (window[0] * 4.0) as usize..(window[1] * 4.0) as usize;
                let slope = |neuron: usize| -> Vec<f32> {
                    let trace = world.traces[animal].column(neuron);
                    rows.clone().skip(1).map(|row| trace[row] - trace[row - 1]).collect()
                };
                nissl_core::stats::correlation::pearson(&slope(a), &slope(b))
            };
            for motif in &world.motifs {
                for animal in 0..8 {
                    for group in &motif.groups {
                        let (a, b) = (group.start, group.end - 1);
                        let found = correlation(animal, motif.window, a, b);
                        if motif.acts_in(animal) {
                            // One pair may have little gain; neighbours all round the group have not.
                            let pairs = group.clone().zip(group.clone().cycle().skip(1));
                            let all: f64 =
                                pairs.map(|(a, b)| correlation(animal, motif.window, a, b)).sum();
                            let mean = all / group.len() as f64;
                            assert!(mean > 0.4, "{motif:?} {animal}: {mean}");
                        } else if !world.motifs.iter().any(|other| {
                            other.acts_in(animal)
                                && other.window == motif.window
                                && other.joins(a, b)
                        }) {
                            assert!(found < 0.3, "{motif:?} {animal}: {found}");
                        }
                    }
                }
            }
            // Private events come at their rate and have mean size 1: their mean is rate · size · decay.
            let mean = world.traces[1].column(39).mean().expect("samples");
            assert!((f64::from(mean) - 0.6 * 0.25 * 1.5).abs() < 0.15, "{mean}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_traces_and_labels_tell_groups() {
        let settings = DynamicCommunities::default();
        assert_eq!(settings.generate().expect("world"), settings.generate().expect("world"));
        let other = DynamicCommunities { seed: 1, ..settings.clone() };
        assert_ne!(settings.generate().expect("world"), other.generate().expect("world"));
        let labels = motifs()[2].labels(40);
        assert_eq!((labels[0], labels[4], labels[5], labels[20], labels[39]), (2, 2, 0, 1, 0));
        assert!(motifs()[3].acts_in(10) && !motifs()[3].acts_in(9) && motifs()[3].acts_at(149.9));
        for wrong in [
            DynamicCommunities { animals: 7, ..settings.clone() },
            DynamicCommunities { neurons: 30, ..settings.clone() },
            DynamicCommunities { rate: f64::NAN, ..settings.clone() },
            DynamicCommunities { noise: -1.0, ..settings },
        ] {
            assert!(wrong.generate().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn recordings_hold_names_times_and_stimuli() {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = DynamicCommunities::default();
        let world = settings.generate().expect("world");
        let paths = world.write(folder.path(), &settings, Existing::Refuse).expect("writes");
        let recording = Recording::open(&paths[3]).expect("opens");
        assert_eq!(recording.unit_table().texts("name").expect("names")[7], "N07");
        let table = recording.sample_columns(&["time_s", "stimulus"]).expect("columns");
        assert!((table.f64s("time_s").expect("times")[400] - 100.0).abs() < 1e-9);
        assert_eq!(table.texts("stimulus").expect("names")[399..401], ["second", "third"]);
        assert_eq!(recording.rows(&[5]).expect("rows").row(0), world.traces[3].row(5));
    }
}
