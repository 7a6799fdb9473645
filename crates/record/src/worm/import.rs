//! Recorded worms from files, folders and the published table, into recordings or that table.
//!
//! Memory: one file, and one worm.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use nissl_core::store::{Existing, Input};
use nissl_core::{Error, Progress, Result};
use serde::{Deserialize, Serialize};

use super::form::{Signal, Worm};
use super::homogenise::{Homogenise, Outcome};
use super::hub::{Hub, HubWriter, Selection, is_hub};
use super::layouts::{self, Dataset};
use super::raw::{LeftOut, Stimulus};
use super::recording;
use super::set::{self, Arrangement, WormSet, WormSummary};

/// How recorded worms are imported.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Args)]
#[serde(default, deny_unknown_fields)]
pub struct ImportWorms {
    /// The data set that the files are of, instead of what their names tell; in the published table,
    /// only this one
    #[arg(long, value_enum, ignore_case = true, hide_possible_values = true, value_name = "NAME")]
    pub dataset: Option<Dataset>,
    /// What to take of them
    #[command(flatten)]
    pub selection: Selection,
    /// How the worms lie in the folder
    #[arg(long, value_enum, default_value_t = Arrangement::default())]
    pub arrange: Arrangement,
    /// A table of what was shown (columns name, begin_s and end_s), for all worms
    #[arg(long, value_name = "CSV")]
    pub stimuli: Option<PathBuf>,
    /// How they are brought into one form
    #[command(flatten)]
    pub homogenise: Homogenise,
}

/// A recording that was not taken, and why.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Skipped {
    /// The data set.
    pub dataset: String,
    /// The raw file.
    pub file: String,
    /// Why.
    pub reason: String,
}

/// A neuron that was left out, and of which worm.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LeftOutOf {
    /// The data set.
    pub dataset: String,
    /// The worm.
    pub worm: String,
    /// What and why.
    #[serde(flatten)]
    pub neuron: LeftOut,
}

/// What was imported.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Imported {
    /// The worms.
    pub worms: Vec<WormSummary>,
    /// Recordings that were not taken.
    pub skipped: Vec<Skipped>,
    /// Neurons that were left out.
    pub left_out: Vec<LeftOutOf>,
}

/// Imports the worms in `paths` into the folder `out`, or into the published table when the name of
/// `out` ends in `.parquet`.
///
/// After an error nothing is left of what was begun.
///
/// # Errors
/// Files of no known layout or damaged ones, settings that do not fit, nothing to import, an output
/// that `existing` protects, an interrupt, or a failed file operation.
pub fn import(
    paths: &[PathBuf],
    settings: &ImportWorms,
    out: &Path,
    existing: Existing,
    progress: &Progress,
) -> Result<Imported> {
    let is_table =
        out.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("parquet"));
    if is_table {
        if settings.arrange != Arrangement::Separate {
            let found = "set for a table";
            return Err(Error::setting("arrange", found, "separate; a table has one form"));
        }
        let mut writer = HubWriter::create(out, existing)?;
        let wanted = [Signal::Residual, Signal::Smooth, Signal::SmoothResidual];
        let imported = each(paths, settings, &wanted, progress, |worm, _| writer.push(worm))?;
        writer.finish()?;
        return Ok(imported);
    }
    let mut set = WormSet::create(out, settings.arrange, existing)?;
    let config = serde_json::to_value(settings).unwrap_or_default();
    let mut imported = each(paths, settings, &[], progress, |worm, inputs| {
        if settings.arrange == Arrangement::Joined {
            set.join(worm, &config, inputs)
        } else {
            set.push(worm, &config, inputs)
        }
    })?;
    imported.worms = set.finish()?;
    Ok(imported)
}

/// What `paths` hold, without writing anything: sets of worms, the published table, or raw files.
///
/// # Errors
/// As [`import`], except for the output.
pub fn survey(paths: &[PathBuf], settings: &ImportWorms, progress: &Progress) -> Result<Imported> {
    if let [folder] = paths
        && folder.join(set::TABLE).is_file()
    {
        let worms = set::summaries(folder)?;
        return Ok(Imported { worms, ..Imported::default() });
    }
    if let [table] = paths
        && is_table(table)?
    {
        let hub = Hub::open(table)?;
        let datasets: Vec<Dataset> = settings.dataset.into_iter().collect();
        let worms = hub.worms(&datasets, &settings.selection)?;
        let worms = worms.iter().map(|worm| hub.summary(worm)).collect();
        return Ok(Imported { worms, ..Imported::default() });
    }
    each(paths, settings, &[], progress, |_, _| Ok(()))
}

fn is_table(path: &Path) -> Result<bool> {
    let parquet =
        path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("parquet"));
    if !parquet || path.is_dir() {
        return Ok(false);
    }
    if is_hub(path) {
        return Ok(true);
    }
    // What its name promises and its content does not keep is told at once.
    Hub::open(path).map(|_hub| true)
}

/// Hands every worm in `paths`, in the common form, with the files it came from.
///
/// # Errors
/// As [`import`], or whatever `take` gives.
pub fn each(
    paths: &[PathBuf],
    settings: &ImportWorms,
    wanted: &[Signal],
    progress: &Progress,
    mut take: impl FnMut(&Worm, &[Input]) -> Result<()>,
) -> Result<Imported> {
    settings.homogenise.validate()?;
    settings.selection.validate()?;
    let stimuli = settings.stimuli.as_deref().map(stimuli).transpose()?.unwrap_or_default();
    let mut imported = Imported::default();
    let mut numbers: BTreeMap<Dataset, usize> = BTreeMap::new();
    let mut files = Vec::new();
    for path in paths {
        files.extend(layouts::files(path)?);
    }
    let stage = progress.stage("import", files.len() as u64, "files");
    for path in &files {
        progress.check(|| "nothing; what was begun is removed".to_owned())?;
        let inputs = [Input::of(path)?];
        if is_table(path)? {
            from_table(path, settings, progress, &inputs, &mut imported, &mut take)?;
            stage.advance(1);
            continue;
        }
        let (dataset, raws) = layouts::read(path, settings.dataset)?;
        for mut raw in raws {
            let number = numbers.entry(dataset).or_default();
            let name = format!("worm{number}");
            raw.stimuli.extend(stimuli.iter().cloned());
            let file = raw.file.clone();
            let made = settings.homogenise.worm(raw, &name, dataset.naming(), wanted, progress)?;
            let worm = match made {
                Outcome::Worm(worm) => *worm,
                Outcome::Skipped(reason) => {
                    let dataset = dataset.name().to_owned();
                    imported.skipped.push(Skipped { dataset, file, reason });
                    continue;
                }
            };
            *number += 1;
            imported.left_out.extend(worm.left_out.iter().map(|neuron| LeftOutOf {
                dataset: worm.dataset.clone(),
                worm: worm.worm.clone(),
                neuron: neuron.clone(),
            }));
            if let Some(worm) = settings.selection.of(worm) {
                take(&worm, &inputs)?;
                imported.worms.push(WormSummary::of(&worm, ""));
            }
        }
        stage.advance(1);
    }
    if imported.worms.is_empty() {
        return Err(nothing(&imported, files.len()));
    }
    Ok(imported)
}

fn from_table(
    path: &Path,
    settings: &ImportWorms,
    progress: &Progress,
    inputs: &[Input],
    imported: &mut Imported,
    take: &mut impl FnMut(&Worm, &[Input]) -> Result<()>,
) -> Result<()> {
    if settings.homogenise != Homogenise::default() {
        let expected = "none of them; the published table holds activity that is processed already";
        return Err(Error::setting("smoothing, dt, …", "set for a table", expected));
    }
    let hub = Hub::open(path)?;
    let datasets: Vec<Dataset> = settings.dataset.into_iter().collect();
    let worms = hub.worms(&datasets, &settings.selection)?;
    let stage = progress.stage("read", worms.len() as u64, "worms");
    for place in &worms {
        progress.check(|| "nothing; what was begun is removed".to_owned())?;
        let worm = hub.read(place, &settings.selection)?;
        take(&worm, inputs)?;
        imported.worms.push(WormSummary::of(&worm, ""));
        stage.advance(1);
    }
    Ok(())
}

fn nothing(imported: &Imported, files: usize) -> Error {
    let mut reasons: Vec<String> =
        imported.skipped.iter().map(|one| format!("{}: {}", one.file, one.reason)).collect();
    reasons.truncate(5);
    let found = format!("none in {files} files");
    let error = Error::setting("worms", found, "at least one");
    if reasons.is_empty() {
        error.with_help("no worm and neuron is what --worm, --neuron, --from and --to ask for")
    } else {
        error.with_help(format!("skipped: {}", reasons.join("; ")))
    }
}

/// The stimuli in a table with the columns `name`, `begin_s` and `end_s`.
///
/// # Errors
/// A table without these columns, or a stimulus that ends before it begins.
pub fn stimuli(path: &Path) -> Result<Vec<Stimulus>> {
    let broken = |error: csv::Error| Error::file(path, "content", error, "a CSV table");
    drop(crate::import::open_file(path)?);
    let mut reader =
        csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(path).map_err(broken)?;
    let heads = reader.headers().map_err(broken)?.clone();
    let column = |name: &str| {
        heads.iter().position(|head| head == name).ok_or_else(|| {
            let found = heads.iter().collect::<Vec<_>>().join(", ");
            Error::file(path, "columns", found, "name, begin_s and end_s")
        })
    };
    let (name, begin, end) = (column("name")?, column("begin_s")?, column("end_s")?);
    let mut stimuli = Vec::new();
    for (line, record) in reader.records().enumerate() {
        let record = record.map_err(broken)?;
        let seconds = |at: usize| {
            let text = record.get(at).unwrap_or("");
            text.parse::<f64>().ok().filter(|time| time.is_finite()).ok_or_else(|| {
                Error::file(path, format!("line {}", line + 2), format!("`{text}`"), "seconds")
            })
        };
        let (begin, end) = (seconds(begin)?, seconds(end)?);
        if end <= begin {
            let found = format!("{begin} to {end} s");
            return Err(Error::file(path, format!("line {}", line + 2), found, "a rising range"));
        }
        let name = record.get(name).unwrap_or("").to_owned();
        stimuli.push(Stimulus { name, begin, end });
    }
    Ok(stimuli)
}

/// Writes recordings of worms to the published table `out`; gives its rows.
///
/// # Errors
/// Recordings of something else, a file that `existing` protects, or a failed file operation.
pub fn export(
    recordings: &[PathBuf],
    out: &Path,
    existing: Existing,
    progress: &Progress,
) -> Result<usize> {
    let mut folders = Vec::new();
    for folder in recordings {
        if folder.join(set::TABLE).is_file() && !folder.join("manifest.json").exists() {
            folders.extend(set::summaries(folder)?.iter().map(|worm| folder.join(&worm.folder)));
        } else {
            folders.push(folder.clone());
        }
    }
    let mut writer = HubWriter::create(out, existing)?;
    let stage = progress.stage("export", folders.len() as u64, "worms");
    for folder in &folders {
        progress.check(|| "nothing; what was begun is removed".to_owned())?;
        writer.push(&recording::read(&nissl_core::Recording::open(folder)?)?)?;
        stage.advance(1);
    }
    writer.finish()
}
