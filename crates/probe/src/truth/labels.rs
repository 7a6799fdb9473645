//! Planted truth: which samples carry which concept.

use nissl_core::{Column, Error, Recording, Result};

/// Before the name of a concept in a sample table.
pub const PREFIX: &str = "truth.";

/// Concepts with the samples that carry them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Truth {
    /// `[concept]`, without the `truth.` of the table.
    pub names: Vec<String>,
    /// `[concept][sample]`.
    pub labels: Vec<Vec<bool>>,
}

impl Truth {
    /// The columns `truth.<concept>` of a recording's sample table that hold yes or no.
    ///
    /// # Errors
    /// A recording without such a column, or a table that cannot be read.
    pub fn of(recording: &Recording) -> Result<Self> {
        let columns = recording.sample_column_names()?;
        let wanted: Vec<&str> =
            columns.iter().map(String::as_str).filter(|name| name.starts_with(PREFIX)).collect();
        let mut truth = Self::default();
        if !wanted.is_empty() {
            for (name, column) in recording.sample_columns(&wanted)?.columns() {
                if let Column::Bool(labels) = column {
                    truth.names.push(name[PREFIX.len()..].to_owned());
                    truth.labels.push(labels.clone());
                }
            }
        }
        if truth.names.is_empty() {
            let path = recording.path().join("samples.parquet");
            let found = columns.join(", ");
            return Err(Error::file(
                path,
                "columns",
                found,
                "a yes-or-no column `truth.<concept>`",
            )
            .with_help("record a world, whose tokens carry their concepts"));
        }
        Ok(truth)
    }

    /// The place of a concept.
    ///
    /// # Errors
    /// No such concept; names the nearest.
    pub fn place(&self, concept: &str) -> Result<usize> {
        self.names.iter().position(|name| name == concept).ok_or_else(|| {
            let near = nissl_core::error::nearest(concept, self.names.iter().map(String::as_str));
            Error::setting("concept", concept, format!("one such as {}", near.join(", ")))
        })
    }
}

/// The concepts of each of some samples, and how many of these carry each concept.
pub(super) struct Carried {
    starts: Vec<u32>,
    concepts: Vec<u16>,
    pub(super) positives: Vec<u64>,
}

impl Carried {
    /// Of the samples `rows`, for the concepts with `labels` `[concept][sample]`.
    pub(super) fn new(labels: &[&[bool]], rows: &[usize]) -> Self {
        let mut carried =
            Self { starts: vec![0], concepts: Vec::new(), positives: vec![0; labels.len()] };
        for &row in rows {
            for (concept, _) in labels.iter().enumerate().filter(|(_, labels)| labels[row]) {
                carried.concepts.push(concept as u16);
                carried.positives[concept] += 1;
            }
            carried.starts.push(carried.concepts.len() as u32);
        }
        carried
    }

    /// The concepts of the sample at `place`.
    pub(super) fn of(&self, place: u32) -> &[u16] {
        let place = place as usize;
        &self.concepts[self.starts[place] as usize..self.starts[place + 1] as usize]
    }

    /// The number of samples.
    pub(super) fn samples(&self) -> usize {
        self.starts.len() - 1
    }
}
