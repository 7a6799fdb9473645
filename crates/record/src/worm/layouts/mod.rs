//! The twelve data sets of recorded worms, each in the raw layout of its laboratory.
//!
//! A layout is a small function from a file's named parts to raw worms. Which one a file has is told
//! by the names in it.
//!
//! Source: the twelve data sets cited by Simeon et al. 2024, arXiv:2411.12091, table 1.
//! Memory: one file.

mod dag;
mod fields;
mod flavell;
mod leifer;
mod lin;
mod nejatbakhsh;
mod structs;
#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these values are exact")]
mod tests;
mod venkatachalam;
mod yemini;

use std::path::{Path, PathBuf};

use nissl_core::{Error, IoContext, Result};
use serde::{Deserialize, Serialize};

use super::labels::Naming;
use super::raw::{Fluorescence, RawWorm};
use crate::files::Container;

/// A published data set of recorded worms.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    clap::ValueEnum,
)]
#[expect(missing_docs, reason = "each is a name; `citation` tells what it is")]
pub enum Dataset {
    #[value(name = "Kato2015")]
    Kato2015,
    #[value(name = "Nichols2017")]
    Nichols2017,
    #[value(name = "Skora2018")]
    Skora2018,
    #[value(name = "Kaplan2020")]
    Kaplan2020,
    #[value(name = "Nejatbakhsh2020")]
    Nejatbakhsh2020,
    #[value(name = "Yemini2021")]
    Yemini2021,
    #[value(name = "Uzel2022")]
    Uzel2022,
    #[value(name = "Dag2023")]
    Dag2023,
    #[value(name = "Leifer2023")]
    Leifer2023,
    #[value(name = "Lin2023")]
    Lin2023,
    #[value(name = "Flavell2023")]
    Flavell2023,
    #[value(name = "Venkatachalam2024")]
    Venkatachalam2024,
}

/// What is known of a data set: its name, the worms in it, and the paper to cite.
struct About(&'static str, usize, &'static str);

impl Dataset {
    /// All of them, in the order of the published table.
    pub const ALL: [Self; 12] = [
        Self::Kato2015,
        Self::Nichols2017,
        Self::Skora2018,
        Self::Kaplan2020,
        Self::Nejatbakhsh2020,
        Self::Yemini2021,
        Self::Uzel2022,
        Self::Dag2023,
        Self::Leifer2023,
        Self::Lin2023,
        Self::Flavell2023,
        Self::Venkatachalam2024,
    ];

    fn about(self) -> About {
        match self {
            Self::Kato2015 => About("Kato2015", 12, "Kato et al. 2015, Cell 163:656"),
            Self::Nichols2017 => {
                About("Nichols2017", 44, "Nichols et al. 2017, Science 356:eaam6851")
            }
            Self::Skora2018 => About("Skora2018", 12, "Skora et al. 2018, Cell Rep. 22:953"),
            Self::Kaplan2020 => About("Kaplan2020", 19, "Kaplan et al. 2020, Neuron 105:562"),
            Self::Nejatbakhsh2020 => {
                About("Nejatbakhsh2020", 21, "Nejatbakhsh et al. 2020, MICCAI 2020")
            }
            Self::Yemini2021 => About("Yemini2021", 49, "Yemini et al. 2021, Cell 184:272"),
            Self::Uzel2022 => About("Uzel2022", 6, "Uzel et al. 2022, Curr. Biol. 32:3443"),
            Self::Dag2023 => About("Dag2023", 7, "Dag et al. 2023, Cell 186:2574"),
            Self::Leifer2023 => About("Leifer2023", 103, "Randi et al. 2023, Nature 623:406"),
            Self::Lin2023 => About("Lin2023", 577, "Lin et al. 2023, Sci. Adv. 9:eade1249"),
            Self::Flavell2023 => About("Flavell2023", 40, "Atanas et al. 2023, Cell 186:4134"),
            Self::Venkatachalam2024 => {
                About("Venkatachalam2024", 22, "Seyedolmohadesin et al. 2024, bioRxiv")
            }
        }
    }

    /// Its name, as tables write it.
    pub fn name(self) -> &'static str {
        self.about().0
    }

    /// The worms that the published table counts.
    pub fn worms(self) -> usize {
        self.about().1
    }

    /// The paper to cite for its recordings.
    pub fn citation(self) -> &'static str {
        self.about().2
    }

    /// The data set called `name`, whatever the case of its letters.
    pub fn called(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dataset| dataset.name().eq_ignore_ascii_case(name))
    }

    /// How its names of neurons are to be read.
    pub fn naming(self) -> Naming {
        if self == Self::Leifer2023 { Naming::ClassesAreSides } else { Naming::Plain }
    }

    fn fluorescence(self) -> Fluorescence {
        match self {
            Self::Nejatbakhsh2020 | Self::Leifer2023 | Self::Lin2023 => Fluorescence::Raw,
            Self::Dag2023 => Fluorescence::OverF20,
            Self::Yemini2021 | Self::Flavell2023 | Self::Venkatachalam2024 => {
                Fluorescence::Normalised
            }
            _ => Fluorescence::Relative,
        }
    }

    /// What a user should look for, when a file has another layout.
    fn keys(self) -> &'static str {
        match self {
            Self::Kato2015 => {
                "IDs or NeuronNames, traces or deltaFOverF_bc, timeVectorSeconds or tv"
            }
            Self::Nichols2017 | Self::Skora2018 => "IDs, traces, timeVectorSeconds",
            Self::Kaplan2020 => "neuron_ID, traces_bleach_corrected, time_vector",
            Self::Uzel2022 => "IDs, traces, tv",
            Self::Nejatbakhsh2020 => "processing/CalciumActivity",
            Self::Yemini2021 => "fps, files, neurons, is_L, norm_traces",
            Self::Dag2023 => "gcamp/traces_array_F_F20, timing/timestamp_confocal",
            Self::Leifer2023 => "N_gcamp.txt, N_labels.txt, N_t.txt",
            Self::Lin2023 => "use_flag, proofread_neurons, times, corrected_F, F_0",
            Self::Flavell2023 => "timestamp_confocal, trace_array, labeled",
            Self::Venkatachalam2024 => "a column `neuron` and columns of frames from the 107th on",
        }
    }
}

/// The raw worms in the file at `path`, of the data set that is given or that its names tell.
///
/// # Errors
/// A file of no known layout (the keys that were found are told), a damaged one, or parts of it that
/// do not fit each other.
pub fn read(path: &Path, dataset: Option<Dataset>) -> Result<(Dataset, Vec<RawWorm>)> {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("").to_ascii_lowercase();
    let by_name = match extension.as_str() {
        "txt" => Some(Dataset::Leifer2023),
        "csv" | "zip" => Some(Dataset::Venkatachalam2024),
        _ => None,
    };
    let text_like = [Some(Dataset::Leifer2023), Some(Dataset::Venkatachalam2024)];
    let (dataset, worms) = if by_name.is_some() || text_like.contains(&dataset) {
        match dataset.or(by_name) {
            Some(Dataset::Leifer2023) => (Dataset::Leifer2023, leifer::read(path)?),
            Some(Dataset::Venkatachalam2024) => {
                (Dataset::Venkatachalam2024, venkatachalam::read(path)?)
            }
            other => {
                let expected =
                    format!("{} of {}", other.map_or("keys", Dataset::keys), "a container");
                return Err(Error::file(path, "content", format!("a .{extension} file"), expected));
            }
        }
    } else {
        let file = Container::open(path)?;
        let dataset = match dataset {
            Some(dataset) => dataset,
            None => detect(&file)?.ok_or_else(|| unknown(&file))?,
        };
        (dataset, read_container(&file, dataset)?)
    };
    let worms = worms.into_iter().map(|mut worm| {
        dataset.name().clone_into(&mut worm.dataset);
        if worm.file.is_empty() {
            worm.file = path.display().to_string();
        }
        worm.fluorescence = dataset.fluorescence();
        worm
    });
    Ok((dataset, worms.collect()))
}

fn read_container(file: &Container, dataset: Dataset) -> Result<Vec<RawWorm>> {
    match dataset {
        Dataset::Kato2015
        | Dataset::Nichols2017
        | Dataset::Skora2018
        | Dataset::Kaplan2020
        | Dataset::Uzel2022 => structs::read(file, dataset),
        Dataset::Nejatbakhsh2020 => nejatbakhsh::read(file),
        Dataset::Yemini2021 => yemini::read(file),
        Dataset::Dag2023 => dag::read(file),
        Dataset::Lin2023 => lin::read(file),
        Dataset::Flavell2023 => flavell::read(file),
        Dataset::Leifer2023 | Dataset::Venkatachalam2024 => Err(unknown(file)),
    }
}

/// The data set whose names stand in `file`.
fn detect(file: &Container) -> Result<Option<Dataset>> {
    let names = file.names("")?;
    let has = |name: &str| names.iter().any(|other| other == name);
    if let Some(dataset) = structs::detect(&names) {
        return Ok(Some(dataset));
    }
    if has("norm_traces") && has("neurons") {
        return Ok(Some(Dataset::Yemini2021));
    }
    if has("corrected_F") && has("proofread_neurons") {
        return Ok(Some(Dataset::Lin2023));
    }
    if has("processing") && file.names("processing")?.iter().any(|n| n == "CalciumActivity") {
        return Ok(Some(Dataset::Nejatbakhsh2020));
    }
    let gcamp = file.names("gcamp")?;
    if gcamp.iter().any(|name| name == "traces_array_F_F20") {
        return Ok(Some(Dataset::Dag2023));
    }
    if has("trace_array") || gcamp.iter().any(|name| name == "trace_array") {
        return Ok(Some(Dataset::Flavell2023));
    }
    Ok(None)
}

fn unknown(file: &Container) -> Error {
    let layouts: Vec<String> = Dataset::ALL
        .iter()
        .filter(|dataset| !matches!(dataset, Dataset::Leifer2023 | Dataset::Venkatachalam2024))
        .map(|dataset| format!("{}: {}", dataset.name(), dataset.keys()))
        .collect();
    let found = file.without("the keys of a known data set");
    let told = match found {
        Error::File { help: Some(help), .. } => help,
        _ => String::new(),
    };
    Error::file(file.path(), "layout", "unknown", "that of one of the twelve data sets").with_help(
        format!(
            "{told}; name the data set with --dataset, or take one array with `nissl import \
             --tensor KEY`. Known keys: {}",
            layouts.join("; ")
        ),
    )
}

/// The files with recordings in `path`: itself, or all those below it in natural order.
///
/// # Errors
/// A folder that cannot be read or holds no such file.
pub fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        drop(crate::import::open_file(path)?);
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    let mut waiting = vec![path.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(&folder).at(&folder, "list")? {
            let path = entry.at(&folder, "list")?.path();
            if path.is_dir() {
                waiting.push(path);
            } else if is_recording(&path) {
                found.push(path);
            }
        }
    }
    found.sort_by_cached_key(|path| natural(&path.display().to_string()));
    if found.is_empty() {
        let expected = ".mat, .nwb, .h5, .json, .csv, .zip or N_gcamp.txt";
        return Err(Error::file(path, "files", "none that hold recordings", expected));
    }
    Ok(found)
}

fn is_recording(path: &Path) -> bool {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("").to_ascii_lowercase();
    match extension.as_str() {
        "mat" | "nwb" | "h5" | "hdf5" | "csv" | "zip" | "parquet" => !name.starts_with('.'),
        "json" => !name.contains("dict") && !name.starts_with('.'),
        "txt" => name.ends_with("_gcamp.txt"),
        _ => false,
    }
}

/// Text in which numbers sort by value: `worm10` comes after `worm9`.
fn natural(text: &str) -> Vec<(String, u64)> {
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let words = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (word, tail) = rest.split_at(words);
        let digits = tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len());
        let (number, tail) = tail.split_at(digits);
        parts.push((word.to_owned(), number.parse().unwrap_or(0)));
        rest = tail;
    }
    parts
}
