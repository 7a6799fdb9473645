//! Worms as a folder of recordings, with a table that tells what is in it.
//!
//! Written aside and renamed when all is there, so that an error leaves nothing.
//! Memory: one worm.

use std::path::{Path, PathBuf};

use nissl_core::store::{self, Existing, Input};
use nissl_core::{Column, Error, IoContext, Recording, RecordingWriter, Result, Table};
use serde::{Deserialize, Serialize};

use super::form::Worm;
use super::layouts::Dataset;
use super::recording;

/// The table of a set of worms.
pub const TABLE: &str = "worms.parquet";

/// What is told of one worm.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WormSummary {
    /// The data set.
    pub dataset: String,
    /// Its name within the data set.
    pub worm: String,
    /// Its folder within that of the set.
    pub folder: String,
    /// The raw file.
    pub file: String,
    /// Samples.
    pub samples: usize,
    /// Seconds from the first to the last sample.
    pub seconds: f64,
    /// The median interval of the raw samples, in seconds; NaN when not known.
    pub original_dt: f64,
    /// Neurons.
    pub neurons: usize,
    /// Neurons with a name.
    pub labelled: usize,
    /// Neurons that were left out.
    pub left_out: usize,
    /// The paper to cite; empty when not known.
    pub citation: String,
    /// The names of the labelled neurons.
    #[serde(skip)]
    pub labels: Vec<String>,
}

impl WormSummary {
    /// What is told of `worm`, to be found in `folder`.
    pub fn of(worm: &Worm, folder: &str) -> Self {
        let labelled = worm.neurons.iter().filter(|neuron| neuron.labelled);
        let labels: Vec<String> = labelled.map(|neuron| neuron.name.clone()).collect();
        Self {
            dataset: worm.dataset.clone(),
            worm: worm.worm.clone(),
            folder: folder.to_owned(),
            file: worm.file.clone(),
            samples: worm.time.len(),
            seconds: worm.time.last().copied().unwrap_or(0.0)
                - worm.time.first().copied().unwrap_or(0.0),
            original_dt: super::resample::median_interval(&worm.original_time),
            neurons: worm.neurons.len(),
            labelled: labels.len(),
            left_out: worm.left_out.len(),
            citation: Dataset::called(&worm.dataset).map_or("", Dataset::citation).to_owned(),
            labels,
        }
    }
}

/// The table of a set of worms, one row each.
pub fn table(worms: &[WormSummary]) -> Table {
    let text = |of: fn(&WormSummary) -> &str| {
        Column::Text(worms.iter().map(|worm| of(worm).to_owned()).collect())
    };
    let count = |of: fn(&WormSummary) -> usize| {
        Column::U32(worms.iter().map(|worm| of(worm) as u32).collect())
    };
    let number = |of: fn(&WormSummary) -> f64| Column::F64(worms.iter().map(of).collect());
    Table::new()
        .with("dataset", text(|w| &w.dataset))
        .with("worm", text(|w| &w.worm))
        .with("folder", text(|w| &w.folder))
        .with("file", text(|w| &w.file))
        .with("samples", count(|w| w.samples))
        .with("seconds", number(|w| w.seconds))
        .with("original_dt", number(|w| w.original_dt))
        .with("neurons", count(|w| w.neurons))
        .with("labelled", count(|w| w.labelled))
        .with("left_out", count(|w| w.left_out))
        .with("citation", text(|w| &w.citation))
        .with("labels", Column::Texts(worms.iter().map(|w| w.labels.clone()).collect()))
}

/// Writes worms as recordings into one folder.
pub struct WormSet {
    out: PathBuf,
    aside: PathBuf,
    replace: bool,
    align: bool,
    worms: Vec<WormSummary>,
    joined: Option<RecordingWriter>,
}

/// How worms lie in the folder of a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Arrangement {
    /// A recording for each worm, with the neurons that were recorded.
    #[default]
    Separate,
    /// A recording for each worm, with all 300 neurons.
    Aligned,
    /// One recording of all worms, a sequence each, with all 300 neurons.
    Joined,
}

impl WormSet {
    /// Begins a set in the folder `out`.
    ///
    /// # Errors
    /// A folder that `existing` protects, or one to be replaced that holds something else.
    pub fn create(out: &Path, arrangement: Arrangement, existing: Existing) -> Result<Self> {
        let occupied = out.is_file() || out.read_dir().is_ok_and(|mut all| all.next().is_some());
        let ours = out.join(TABLE).exists() || out.join(store::MANIFEST).exists();
        match (occupied, existing) {
            (true, Existing::Overwrite) if !ours => {
                return Err(Error::NotAnArtefact {
                    path: out.display().to_string(),
                    expected: "set of worms".to_owned(),
                    found: "there is something else".to_owned(),
                    help: Some("nothing was removed; choose another output folder".to_owned()),
                });
            }
            (true, Existing::Refuse | Existing::Resume) => {
                return Err(Error::Exists { path: out.display().to_string() });
            }
            _ => {}
        }
        let aside = store::aside(out);
        remove(&aside)?;
        std::fs::create_dir_all(&aside).at(&aside, "create")?;
        Ok(Self {
            out: out.to_owned(),
            aside,
            replace: occupied,
            align: arrangement != Arrangement::Separate,
            worms: Vec::new(),
            joined: None,
        })
    }

    /// Adds `worm` as a recording in a folder of its own.
    ///
    /// # Errors
    /// A worm of the same name, or a failed file operation.
    pub fn push(&mut self, worm: &Worm, config: &impl Serialize, inputs: &[Input]) -> Result<()> {
        let several = |w: &WormSummary| w.dataset != worm.dataset;
        let folder = if self.worms.iter().any(several) || self.taken(&worm.worm) {
            format!("{}-{}", worm.dataset, worm.worm)
        } else {
            worm.worm.clone()
        };
        if self.taken(&folder) || folder.contains(['/', '\\']) || folder.starts_with('.') {
            return Err(Error::setting("worm", folder, "a name that no other worm has"));
        }
        let path = self.aside.join(&folder);
        if self.align {
            recording::write(&worm.aligned(), &path, config, inputs, Existing::Refuse)?;
        } else {
            recording::write(worm, &path, config, inputs, Existing::Refuse)?;
        }
        self.worms.push(WormSummary::of(worm, &folder));
        Ok(())
    }

    /// Adds `worm` as the next sequence of one recording of all worms.
    ///
    /// # Errors
    /// A failed file operation.
    pub fn join(&mut self, worm: &Worm, config: &impl Serialize, inputs: &[Input]) -> Result<()> {
        let aligned = worm.aligned();
        if self.joined.is_none() {
            let about = serde_json::json!({"joined": true});
            let writer = recording::begin(
                &clean_slots(&aligned),
                &about,
                config,
                inputs,
                &self.aside,
                Existing::Refuse,
            )?;
            self.joined = Some(writer);
        }
        let number = self.worms.len() as u32;
        let samples = aligned.time.len();
        // Behaviour differs from worm to worm, so that only what all have is kept.
        let table = Table::new()
            .with("sequence", Column::U32(vec![number; samples]))
            .with("position", Column::U32((0..samples as u32).collect()))
            .with("time_s", Column::F64(aligned.time.clone()))
            .with("dataset", Column::Text(vec![worm.dataset.clone(); samples]))
            .with("worm", Column::Text(vec![worm.worm.clone(); samples]));
        if let Some(writer) = &mut self.joined {
            writer.push(aligned.calcium.t(), table)?;
        }
        self.worms.push(WormSummary::of(worm, ""));
        Ok(())
    }

    fn taken(&self, folder: &str) -> bool {
        self.worms.iter().any(|worm| worm.folder == folder)
    }

    /// The worms so far.
    pub fn worms(&self) -> &[WormSummary] {
        &self.worms
    }

    /// Gives the set its name.
    ///
    /// # Errors
    /// No worm, or a failed file operation.
    pub fn finish(mut self) -> Result<Vec<WormSummary>> {
        if self.worms.is_empty() {
            return Err(Error::Empty {
                what: self.out.display().to_string(),
                expected: "at least one worm".to_owned(),
            });
        }
        if let Some(writer) = self.joined.take() {
            writer.finish()?;
        }
        table(&self.worms).write(&self.aside.join(TABLE))?;
        if self.replace {
            remove(&self.out)?;
        } else if self.out.is_dir() {
            std::fs::remove_dir(&self.out).at(&self.out, "replace")?;
        }
        if let Some(parent) = self.out.parent() {
            std::fs::create_dir_all(parent).at(parent, "create")?;
        }
        std::fs::rename(&self.aside, &self.out).at(&self.out, "rename")?;
        Ok(std::mem::take(&mut self.worms))
    }
}

impl Drop for WormSet {
    fn drop(&mut self) {
        // After `finish` nothing is there any more; after an error this is what was begun.
        drop(self.joined.take());
        std::fs::remove_dir_all(&self.aside).ok();
    }
}

fn remove(folder: &Path) -> Result<()> {
    if folder.exists() { std::fs::remove_dir_all(folder).at(folder, "remove") } else { Ok(()) }
}

/// Units of all worms together: what only one of them knows is left out.
fn clean_slots(worm: &Worm) -> Vec<super::form::WormNeuron> {
    let mut neurons = worm.neurons.clone();
    for neuron in &mut neurons {
        neuron.raw = String::new();
        neuron.confidence = super::Confidence::None;
        neuron.imputed = f32::NAN;
        neuron.labelled = true;
        if let Some(slot) = neuron.slot {
            super::slots()[slot].clone_into(&mut neuron.name);
        }
    }
    neurons
}

/// The recordings of the set in `folder`, with what its table tells of them.
///
/// # Errors
/// A folder without such a table, or a recording that cannot be opened.
pub fn open(folder: &Path) -> Result<Vec<(WormSummary, Recording)>> {
    let worms = summaries(folder)?;
    worms
        .into_iter()
        .map(|worm| {
            let recording = Recording::open(&folder.join(&worm.folder))?;
            Ok((worm, recording))
        })
        .collect()
}

/// What the table of the set in `folder` tells.
///
/// # Errors
/// A folder without such a table.
pub fn summaries(folder: &Path) -> Result<Vec<WormSummary>> {
    let path = folder.join(TABLE);
    if !path.is_file() {
        return Err(Error::NotAnArtefact {
            path: folder.display().to_string(),
            expected: "set of worms".to_owned(),
            found: format!("there is no {TABLE}"),
            help: Some("make one with `nissl import worm FILES -o FOLDER`".to_owned()),
        });
    }
    let table = Table::read(&path, None)?;
    let (samples, neurons) = (table.u32s("samples")?, table.u32s("neurons")?);
    let (labelled, left_out) = (table.u32s("labelled")?, table.u32s("left_out")?);
    let (seconds, original_dt) = (table.f64s("seconds")?, table.f64s("original_dt")?);
    let texts = |name: &str| table.texts(name).map(<[String]>::to_vec);
    let (dataset, worm, folder) = (texts("dataset")?, texts("worm")?, texts("folder")?);
    let (file, citation, labels) =
        (texts("file")?, texts("citation")?, table.text_lists("labels")?);
    Ok((0..table.rows())
        .map(|row| WormSummary {
            dataset: dataset[row].clone(),
            worm: worm[row].clone(),
            folder: folder[row].clone(),
            file: file[row].clone(),
            samples: samples[row] as usize,
            seconds: seconds[row],
            original_dt: original_dt[row],
            neurons: neurons[row] as usize,
            labelled: labelled[row] as usize,
            left_out: left_out[row] as usize,
            citation: citation[row].clone(),
            labels: labels[row].clone(),
        })
        .collect())
}
