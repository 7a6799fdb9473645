//! Difference of means: the supervised baseline, one direction for each label.
//!
//! `v = mean(x | label) − mean(x | other samples)`, scaled to unit norm; a sample is encoded by its
//! projection `(x − μ) · v`, `μ` the mean of all samples.
//!
//! Labels come from columns of the sample table: yes or no (the label is the column's name, without
//! `truth.`), text or whole numbers (a label is a value), lists of text (a sample has several).
//! An empty text is no label. Labels that all samples of the fit carry, or none, are left out.
//!
//! Source: Marks, Tegmark 2023, arXiv:2310.06824, §4.1 (mass-mean probing, without its covariance);
//! Shafran, Geiger, Geva 2025, arXiv:2506.10920, §4 (as a baseline).
//! Memory: two `[label, unit]` matrices, the labels of all samples and one block of activity.

use std::collections::BTreeMap;

use ndarray::{Array1, Array2};
use nissl_core::error::nearest;
use nissl_core::features::{Decompose, Dictionary, Encoding};
use nissl_core::recording::{ActivityBlock, require_finite};
use nissl_core::{Column, Error, Progress, Recording, Result, Table};
use serde::{Deserialize, Serialize};

/// Hyperparameters of the difference of means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct DiffMeans {
    /// Columns of the sample table that hold the labels: a name, or a pattern such as truth.*
    #[arg(long, default_value_t = DiffMeans::default().labels)]
    pub labels: String,
}

impl Default for DiffMeans {
    fn default() -> Self {
        Self { labels: "label".to_owned() }
    }
}

/// Before the name of a concept in a sample table.
const TRUTH: &str = "truth.";
/// Labels beyond which a column is taken for something else.
const MOST: usize = 4096;
/// Samples read at once.
const BLOCK: usize = 1024;

impl Decompose for DiffMeans {
    fn name(&self) -> &'static str {
        "diff-means"
    }

    fn validate(&self) -> Result<()> {
        if self.labels.is_empty() {
            return Err(Error::setting("labels", "empty", "the name of a column, or a pattern"));
        }
        Ok(())
    }

    fn fit(
        &self,
        recording: &Recording,
        rows: &[usize],
        progress: &Progress,
    ) -> Result<Dictionary> {
        self.validate()?;
        let labels = Labels::read(recording, &self.labels)?.told_apart(rows)?;
        let (count, units) = (labels.names.len(), recording.units());
        let mut sums = Array2::<f64>::zeros((count, units));
        let mut all = Array1::<f64>::zeros(units);
        let stage = progress.stage("means", rows.len() as u64, "samples");
        for block in rows.chunks(BLOCK) {
            progress.check(|| "the means; nothing was written".to_owned())?;
            // A gathered block has no single first sample: the wrong one is looked up.
            let gathered = ActivityBlock { start: 0, activity: recording.rows(block)? };
            require_finite(&gathered).map_err(|error| match error {
                Error::NotFinite { sample, unit, found } => {
                    Error::NotFinite { sample: block[sample as usize] as u64, unit, found }
                }
                other => other,
            })?;
            let activity = gathered.activity.mapv(f64::from);
            for (&sample, values) in block.iter().zip(activity.rows()) {
                all += &values;
                for &label in labels.of(sample) {
                    let mut sum = sums.row_mut(label as usize);
                    sum += &values;
                }
            }
            stage.advance(block.len() as u64);
        }
        let carried = labels.counts(rows);
        let mut decoder = Array2::<f32>::zeros((count, units));
        for (label, mut row) in decoder.rows_mut().into_iter().enumerate() {
            let with = carried[label] as f64;
            let without = rows.len() as f64 - with;
            let sum = sums.row(label);
            let gap: Array1<f64> = &sum / with - (&all - &sum) / without;
            let norm = gap.dot(&gap).sqrt();
            if norm > 0.0 {
                row.assign(&gap.mapv(|value| (value / norm) as f32));
            } else {
                tracing::warn!(
                    "{}: the means with and without it are the same",
                    labels.names[label]
                );
            }
        }
        let mut dictionary = Dictionary::new(decoder, Encoding::Projection);
        let mean = all / rows.len() as f64;
        dictionary.decoder_bias = Some(mean.mapv(|value| value as f32));
        Ok(dictionary)
    }
}

impl DiffMeans {
    /// The column `label` `[feature]` of the feature table: feature `k` is that of the `k`-th label.
    ///
    /// # Errors
    /// As in the fit, for the same samples.
    pub(crate) fn columns(&self, recording: &Recording, rows: &[usize]) -> Result<Table> {
        let labels = Labels::read(recording, &self.labels)?.told_apart(rows)?;
        Ok(Table::new().with("label", Column::Text(labels.names)))
    }
}

/// Labels and the samples that carry them.
struct Labels {
    names: Vec<String>,
    starts: Vec<usize>,
    /// Of each sample in turn.
    carried: Vec<u32>,
}

impl Labels {
    /// The labels in the columns of the sample table that `pattern` selects.
    fn read(recording: &Recording, pattern: &str) -> Result<Self> {
        let file = recording.path().join("samples.parquet");
        let columns = recording.sample_column_names()?;
        let chosen: Vec<&str> =
            columns.iter().map(String::as_str).filter(|name| matches(pattern, name)).collect();
        if chosen.is_empty() {
            let near = nearest(pattern, columns.iter().map(String::as_str)).join(", ");
            return Err(Error::file(file, "columns", columns.join(", "), format!("`{pattern}`"))
                .with_help(format!("choose others with --labels, such as {near}")));
        }
        let table = recording.sample_columns(&chosen)?;
        let alone = chosen.len() == 1;
        let mut names = Vec::new();
        let mut of: Vec<Vec<u32>> = vec![Vec::new(); recording.samples()];
        for (column, values) in table.columns() {
            let Some(found) = values_of(values) else {
                let expected = "yes or no, text, whole numbers, or lists of text";
                return Err(Error::file(file, column, values.kind(), expected)
                    .with_help("choose columns that hold labels with --labels"));
            };
            let short = column.strip_prefix(TRUTH).unwrap_or(column);
            let mut numbers: BTreeMap<&str, u32> = BTreeMap::new();
            for value in found.iter().flatten() {
                numbers.insert(value, 0);
            }
            if names.len() + numbers.len() > MOST {
                let found = format!("{} labels", names.len() + numbers.len());
                return Err(Error::file(file, column, found, format!("at most {MOST}")));
            }
            for (value, number) in &mut numbers {
                *number = names.len() as u32;
                names.push(match (value.is_empty(), alone) {
                    (true, _) => short.to_owned(),
                    (false, true) => (*value).to_owned(),
                    (false, false) => format!("{short}={value}"),
                });
            }
            for (sample, values) in of.iter_mut().zip(&found) {
                sample.extend(values.iter().map(|value| numbers[value.as_str()]));
            }
        }
        let mut labels = Self { names, starts: vec![0], carried: Vec::new() };
        for mut sample in of {
            sample.sort_unstable();
            sample.dedup();
            labels.carried.extend(sample);
            labels.starts.push(labels.carried.len());
        }
        Ok(labels)
    }

    /// Only the labels that some of the samples `rows` carry and some do not.
    fn told_apart(self, rows: &[usize]) -> Result<Self> {
        let counts = self.counts(rows);
        let apart = |label: usize| counts[label] > 0 && (counts[label] as usize) < rows.len();
        let mut numbers = vec![None; self.names.len()];
        let (mut names, mut left_out) = (Vec::new(), Vec::new());
        for (label, name) in self.names.iter().enumerate() {
            if apart(label) {
                numbers[label] = Some(names.len() as u32);
                names.push(name.clone());
            } else {
                left_out.push(name.as_str());
            }
        }
        if names.is_empty() {
            return Err(Error::setting(
                "labels",
                format!("{} that tell no samples apart", self.names.len()),
                "at least one that some of the fitted samples carry and some do not",
            ));
        }
        if !left_out.is_empty() {
            tracing::warn!(
                "labels left out, since all fitted samples carry them or none: {}",
                left_out.join(", ")
            );
        }
        let mut labels = Self { names, starts: vec![0], carried: Vec::new() };
        for sample in 0..self.starts.len() - 1 {
            labels.carried.extend(self.of(sample).iter().filter_map(|&old| numbers[old as usize]));
            labels.starts.push(labels.carried.len());
        }
        Ok(labels)
    }

    /// The labels of a sample.
    fn of(&self, sample: usize) -> &[u32] {
        &self.carried[self.starts[sample]..self.starts[sample + 1]]
    }

    /// How many of the samples `rows` carry each label.
    fn counts(&self, rows: &[usize]) -> Vec<u64> {
        let mut counts = vec![0; self.names.len()];
        for label in rows.iter().flat_map(|&row| self.of(row)) {
            counts[*label as usize] += 1;
        }
        counts
    }
}

/// The values of each sample; an empty one stands for the column itself.
fn values_of(column: &Column) -> Option<Vec<Vec<String>>> {
    let texts = |texts: &[String]| {
        texts.iter().filter(|text| !text.is_empty()).cloned().collect::<Vec<_>>()
    };
    Some(match column {
        Column::Bool(values) => {
            values.iter().map(|&yes| if yes { vec![String::new()] } else { Vec::new() }).collect()
        }
        Column::Text(values) => {
            values.iter().map(|value| texts(std::slice::from_ref(value))).collect()
        }
        Column::Texts(values) => values.iter().map(|values| texts(values)).collect(),
        Column::U32(values) => values.iter().map(|value| vec![value.to_string()]).collect(),
        Column::U64(values) => values.iter().map(|value| vec![value.to_string()]).collect(),
        _ => return None,
    })
}

/// Whether `name` follows `pattern`, in which `*` stands for anything.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|name| {
            let places = name.char_indices().map(|(at, _)| at).chain([name.len()]);
            places.into_iter().any(|at| matches(rest, &name[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything() {
        assert!(matches("truth.*", "truth.is.animal") && matches("*.animal", "truth.is.animal"));
        assert!(matches("label", "label") && !matches("label", "labels"));
        assert!(matches("a*b*c", "aXbYbc") && !matches("a*b*c", "aXbY"));
        assert!(matches("*", "") && matches("größe*", "größen"));
    }
}
