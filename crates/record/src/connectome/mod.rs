//! Published connectomes of C. elegans to a Graph: the same 300 neurons in the same order for all.
//!
//! Nodes are the 300 neurons, numbered by slot, with class, type, transmitter and position (`x`, `y`,
//! `z` in millimetres); edges are directed and have a `type` (see [`EdgeKind`]) and a `weight`.
//! Source: Simeon et al. 2024, arXiv:2411.12091, and the code of its data set (rules); the tables name
//! their own papers, see [`Identity::citation`].
//! Differs: names with zeros are read, and monadic sends of Chklovskii's table are counted; with
//! `reference_quirks` they are not.
//! Memory: the files, which have a few megabytes.

mod assemble;
#[cfg(test)]
mod damaged;
mod grid;
mod json;
mod lists;
mod matrices;
mod merge;
mod names;
#[cfg(test)]
mod published;
mod reading;
mod source;
#[cfg(test)]
mod tests;
mod xml;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use nissl_core::{Error, Graph, IoContext, Result};
use serde::{Deserialize, Serialize};

pub use self::assemble::{Asymmetric, EdgeCount, ImportReport};
pub use self::merge::merged;
pub use self::names::CellKind;
pub use self::reading::EdgeKind;
pub use self::source::{Form, Identity, Source};

use self::grid::Grid;
use self::reading::Readings;
use crate::worm::Merge;

/// How readings of a gap junction in both directions become one weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Symmetrise {
    /// Their mean
    #[default]
    Mean,
    /// Their sum
    Sum,
    /// The largest
    Max,
}

/// What becomes of several chemical readings of one ordered pair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Duplicates {
    /// The first counts
    #[default]
    First,
    /// They add up
    Sum,
}

/// Whether the published data set's mistakes are made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quirks {
    Corrected,
    Reference,
}

/// How published tables become a connectome.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Args)]
#[serde(default, deny_unknown_fields)]
pub struct ImportConnectome {
    /// The connectome that the files are of
    #[arg(long, value_enum, default_value = "auto")]
    pub source: Source,
    /// Make the mistakes of the published homogenised data: no zero-padded names, no monadic sends
    #[arg(long)]
    pub reference_quirks: bool,
    /// How readings of a gap junction in both directions become one weight
    #[arg(long, value_enum, default_value = "mean")]
    pub symmetrise: Symmetrise,
    /// What becomes of several chemical readings of one ordered pair
    #[arg(long, value_enum, default_value = "first")]
    pub duplicates: Duplicates,
    /// Functional edges have a significance below this, above 0 to 1
    #[arg(long, value_name = "Q", default_value_t = ImportConnectome::default().significance)]
    pub significance: f64,
    /// Make one node of neurons that belong together
    #[arg(long, value_enum, value_name = "HOW")]
    pub merge: Option<Merge>,
}

impl Default for ImportConnectome {
    fn default() -> Self {
        Self {
            source: Source::Auto,
            reference_quirks: false,
            symmetrise: Symmetrise::Mean,
            duplicates: Duplicates::First,
            significance: 0.05,
            merge: None,
        }
    }
}

/// A connectome and what became of its readings.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// The connectome.
    pub graph: Graph,
    /// The readings.
    pub report: ImportReport,
}

impl ImportConnectome {
    /// Checks every field against its range.
    pub fn validate(&self) -> Result<()> {
        if self.significance > 0.0 && self.significance <= 1.0 {
            return Ok(());
        }
        Err(Error::setting("significance", self.significance, "above 0, at most 1"))
    }

    fn quirks(&self) -> Quirks {
        if self.reference_quirks { Quirks::Reference } else { Quirks::Corrected }
    }

    /// Reads the files of one connectome; several files give its parts, such as one for chemical
    /// synapses and one for gap junctions.
    ///
    /// # Errors
    /// No file, one of a form that no reader knows or that the source never had, an unknown type of
    /// edge, a count that is negative or no number, mostly unknown names, or no connection at all.
    pub fn read<P: AsRef<Path>>(&self, files: &[P]) -> Result<Imported> {
        self.validate()?;
        let Some(first) = files.first().map(AsRef::as_ref) else {
            let what = "the list of files".to_owned();
            return Err(Error::Empty { what, expected: "a published connectome".to_owned() });
        };
        let mut readings = Readings::default();
        let mut form = None;
        for file in files {
            let file = file.as_ref();
            let found = self.read_file(file, &mut readings)?;
            if let Some(before) = form.replace(found)
                && before != found
            {
                let expected = format!("{}, as {}", before.name(), first.display());
                return Err(Error::file(file, "form", found.name(), expected));
            }
        }
        let form = form.unwrap_or(Form::Synapses);
        let identity = source::identify(self.source, form, first);
        let (graph, report) = assemble::assemble(&readings, identity, form, self, first)?;
        let graph = match self.merge {
            Some(merge) => merged(&graph, merge)?,
            None => graph,
        };
        Ok(Imported { graph, report })
    }

    fn read_file(&self, file: &Path, into: &mut Readings) -> Result<Form> {
        let opened = Opened::read(file)?;
        let form = opened.form(file)?;
        if let Some(expected) = self.source.refuses(form) {
            let help = format!(
                "leave out --source {}, or give the file of that connectome",
                self.source.name()
            );
            return Err(Error::file(file, "form", form.name(), expected).with_help(help));
        }
        match opened {
            Opened::Json(bytes) => json::read(file, &bytes, into)?,
            Opened::Xml(text) => xml::read(file, &text, form, into)?,
            Opened::Sheets(grids) => match form {
                Form::Matrices => matrices::cook(&grids, into)?,
                Form::Amplitudes => matrices::amplitudes(&grids, self.significance, into)?,
                _ => {
                    let of_form = |grid: &&Grid| lists::form(grid) == Some(form);
                    for grid in grids.iter().filter(of_form).take(1) {
                        lists::read(grid, form, self.quirks(), into)?;
                    }
                }
            },
        }
        Ok(form)
    }
}

/// A file by its outer form.
enum Opened {
    Sheets(Vec<Grid>),
    Json(Vec<u8>),
    Xml(String),
}

impl Opened {
    fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).at(path, "read")?;
        let start = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes).trim_ascii_start();
        let html = start.get(..14).is_some_and(|head| head.eq_ignore_ascii_case(b"<!doctype html"))
            || start.get(..5).is_some_and(|head| head.eq_ignore_ascii_case(b"<html"));
        if html {
            return Err(Error::file(path, "content", "a web page", "a published connectome")
                .with_help("the server sent a page instead of the file; fetch it again"));
        }
        match start.first() {
            Some(b'[' | b'{') => Ok(Self::Json(bytes)),
            Some(b'<') => match String::from_utf8(start.to_vec()) {
                Ok(text) => Ok(Self::Xml(text)),
                Err(error) => Err(Error::file(path, "content", error, "XML in UTF-8")),
            },
            _ => grid::read(path, bytes).map(Self::Sheets),
        }
    }

    fn form(&self, path: &Path) -> Result<Form> {
        match self {
            Self::Json(_) => Ok(Form::WormWideWeb),
            Self::Xml(text) => xml::form(text).ok_or_else(|| {
                Error::file(path, "content", "XML of another kind", "<graphml> or <neuroml>")
            }),
            Self::Sheets(grids) => {
                if matrices::is_cook(grids) {
                    return Ok(Form::Matrices);
                }
                if let Some(form) = grids.iter().find_map(lists::form) {
                    return Ok(form);
                }
                if matrices::is_amplitudes(grids) {
                    return Ok(Form::Amplitudes);
                }
                Err(lists::unknown(path, grids))
            }
        }
    }
}

/// Files of the connectomes in `folder` that belong together, for tools that take all of them: a name
/// for each, and its files.
pub fn known_files(folder: &Path) -> Vec<(Source, Vec<PathBuf>)> {
    let sets: [(Source, &[&str]); 6] = [
        (Source::White1986Whole, &["aconnectome_white_1986_whole.csv"]),
        (Source::Witvliet7, &["witvliet_2020_7.xlsx"]),
        (Source::Witvliet8, &["witvliet_2020_8.xlsx"]),
        (Source::Chklovskii, &["NeuronConnectFormatted.xlsx"]),
        (Source::Cook2019, &["cook2019_herm_chemical.csv", "cook2019_herm_gap_symmetric.csv"]),
        (Source::Openworm, &["CElegansNeuronTables.xls"]),
    ];
    sets.into_iter()
        .map(|(source, names)| (source, names.iter().map(|name| folder.join(name)).collect()))
        .filter(|(_, files): &(Source, Vec<PathBuf>)| files.iter().all(|file| file.is_file()))
        .collect()
}
