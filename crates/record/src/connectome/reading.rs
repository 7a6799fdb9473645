//! One measured connection of a file, before anything is pooled.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use nissl_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// What joins two neurons.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ValueEnum,
)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum EdgeKind {
    /// Gap junctions: both ways
    Electrical,
    /// Chemical synapses
    Chemical,
    /// What the activity of one does to that of the other
    Functional,
    /// A monoamine and its receptor, without a synapse
    Monoamine,
    /// A neuropeptide and its receptor, without a synapse
    Neuropeptide,
}

impl EdgeKind {
    /// All kinds.
    pub const ALL: [Self; 5] =
        [Self::Electrical, Self::Chemical, Self::Functional, Self::Monoamine, Self::Neuropeptide];

    /// Its name in the column `type` of edge tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Electrical => "electrical",
            Self::Chemical => "chemical",
            Self::Functional => "functional",
            Self::Monoamine => "monoamine",
            Self::Neuropeptide => "neuropeptide",
        }
    }

    /// The kind that a file calls `text`, in any of the usual words.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        Some(match text.as_str() {
            "electrical" | "gap" | "gapjunction" | "gap junction" | "gap-junction" | "ej" | "e" => {
                Self::Electrical
            }
            "chemical" | "chem" | "send" | "synapse" | "c" => Self::Chemical,
            "functional" => Self::Functional,
            "monoamine" | "monoaminergic" => Self::Monoamine,
            "neuropeptide" | "peptide" | "peptidergic" | "neuropeptidergic" => Self::Neuropeptide,
            _ => return None,
        })
    }
}

/// One connection as a file gives it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reading {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) kind: EdgeKind,
    pub(super) weight: f64,
    /// Readings of one pair and kind in different parts add up; within a part they are duplicates.
    pub(super) part: u8,
}

/// All connections of the files of one source.
#[derive(Clone, Debug, Default)]
pub(super) struct Readings {
    pub(super) all: Vec<Reading>,
    /// Rows that are no connections by the rules of the form, such as the mirrors of sends.
    pub(super) left_out: usize,
    /// Whether the file says that each gap junction stands in it both ways.
    pub(super) symmetric: bool,
}

/// Where in a file something stands.
#[derive(Clone, Debug)]
pub(super) struct Place {
    path: PathBuf,
    field: String,
    at: String,
}

impl Place {
    pub(super) fn new(path: &Path, field: impl Into<String>, at: impl Into<String>) -> Self {
        Self { path: path.to_owned(), field: field.into(), at: at.into() }
    }

    /// The complaint that at this place stands `found`.
    pub(super) fn error(&self, found: impl std::fmt::Display, expected: &str) -> Error {
        let found =
            if self.at.is_empty() { found.to_string() } else { format!("{found} in {}", self.at) };
        Error::file(&self.path, self.field.as_str(), found, expected)
    }

    /// A weight that may stand here: finite, and not negative unless the kind can be.
    pub(super) fn weight(&self, value: Option<f64>, text: &str, kind: EdgeKind) -> Result<f64> {
        let Some(value) = value.filter(|value| value.is_finite()) else {
            let shown = if text.is_empty() { "empty".to_owned() } else { format!("`{text}`") };
            return Err(self.error(shown, "a number"));
        };
        if value < 0.0 && kind != EdgeKind::Functional {
            return Err(self.error(value, "a count of at least 0"));
        }
        Ok(value)
    }

    /// A kind of edge that may stand here.
    pub(super) fn kind(&self, text: &str) -> Result<EdgeKind> {
        EdgeKind::parse(text).ok_or_else(|| {
            let known: Vec<&str> = EdgeKind::ALL.into_iter().map(EdgeKind::name).collect();
            self.error(format!("`{}`", text.trim()), &format!("one of {}", known.join(", ")))
        })
    }
}
