//! Reading: rows are chosen by row groups and small columns before any trace is touched.

use std::collections::HashMap;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use nissl_core::{Error, IoContext, Result};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::file::statistics::Statistics;

use super::select::Selection;
use crate::worm::layouts::Dataset;
use crate::worm::neurons::slot;
use crate::worm::set::WormSummary;

/// One worm of a table: where its rows are.
#[derive(Clone, Debug, PartialEq)]
pub struct HubWorm {
    /// The data set; empty when the table does not tell.
    pub dataset: String,
    /// Its name within the data set.
    pub worm: String,
    pub(super) neurons: Vec<String>,
    pub(super) rows: Vec<usize>,
}

/// An open table of worms.
pub struct Hub {
    pub(super) path: PathBuf,
    pub(super) metadata: ArrowReaderMetadata,
}

/// Whether the file at `path` is Parquet with the columns of a table of worms.
pub fn is_hub(path: &Path) -> bool {
    Hub::open(path).is_ok()
}

const NEEDED: [&str; 3] = ["worm", "neuron", "calcium_data"];

impl Hub {
    /// Opens the table at `path`.
    ///
    /// # Errors
    /// A damaged file, or one without `worm`, `neuron` and `calcium_data` (its columns are told).
    pub fn open(path: &Path) -> Result<Self> {
        let file = crate::import::open_file(path)?;
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let metadata = guarded(path, || {
            ArrowReaderMetadata::load(&file, options).map_err(|error| broken(path, error))
        })?;
        let hub = Self { path: path.to_owned(), metadata };
        if let Some(absent) = NEEDED.into_iter().find(|name| !hub.has(name)) {
            let names: Vec<&str> =
                hub.metadata.schema().fields().iter().map(|f| f.name().as_str()).collect();
            return Err(Error::file(path, "columns", "without it", format!("`{absent}`"))
                .with_help(format!("the file has {}", names.join(", "))));
        }
        Ok(hub)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.metadata.schema().column_with_name(name).is_some()
    }

    /// The worms that hold something of what is asked for, in the order of the table.
    ///
    /// # Errors
    /// A damaged file, a neuron that a worm has twice, or nothing that was asked for.
    pub fn worms(&self, datasets: &[Dataset], selection: &Selection) -> Result<Vec<HubWorm>> {
        selection.validate()?;
        let columns: Vec<&str> = ["source_dataset", "worm", "neuron"]
            .into_iter()
            .filter(|name| self.has(name))
            .collect();
        let names: Vec<&str> = datasets.iter().map(|dataset| dataset.name()).collect();
        let worm_names: Vec<&str> = selection.worms.iter().map(String::as_str).collect();
        let (groups, starts) = self.groups(&[("source_dataset", &names), ("worm", &worm_names)]);
        let mut worms: Vec<HubWorm> = Vec::new();
        let mut seen: HashMap<(String, String), usize> = HashMap::new();
        let wanted =
            |list: &[String], name: &str| list.is_empty() || list.iter().any(|n| n == name);
        let mut within = 0;
        let (mut group, mut left) = (0, self.rows_of(groups.first().copied()));
        for batch in self.batches(&columns, groups.clone(), None)? {
            let batch = batch?;
            let (worm, neuron) = (self.texts(&batch, "worm")?, self.texts(&batch, "neuron")?);
            let dataset = if self.has("source_dataset") {
                self.texts(&batch, "source_dataset")?
            } else {
                vec![String::new(); worm.len()]
            };
            for at in 0..batch.num_rows() {
                while within == left && group + 1 < groups.len() {
                    (group, within) = (group + 1, 0);
                    left = self.rows_of(Some(groups[group]));
                }
                let row = starts[group] + within;
                within += 1;
                let of_set = names.is_empty()
                    || names.iter().any(|name| name.eq_ignore_ascii_case(&dataset[at]));
                if !of_set || !wanted(&selection.worms, &worm[at]) {
                    continue;
                }
                let key = (dataset[at].clone(), worm[at].clone());
                let place = *seen.entry(key).or_insert_with(|| {
                    worms.push(HubWorm {
                        dataset: dataset[at].clone(),
                        worm: worm[at].clone(),
                        neurons: Vec::new(),
                        rows: Vec::new(),
                    });
                    worms.len() - 1
                });
                if worms[place].neurons.contains(&neuron[at]) {
                    let found = format!("{} of {} {}", neuron[at], dataset[at], worm[at]);
                    return Err(Error::file(
                        &self.path,
                        "neuron",
                        format!("{found} twice"),
                        "once",
                    ));
                }
                worms[place].neurons.push(neuron[at].clone());
                worms[place].rows.push(row);
            }
        }
        for worm in &mut worms {
            let kept: Vec<usize> = (0..worm.rows.len())
                .filter(|&at| wanted(&selection.neurons, &worm.neurons[at]))
                .collect();
            worm.rows = kept.iter().map(|&at| worm.rows[at]).collect();
            worm.neurons = kept.iter().map(|&at| worm.neurons[at].clone()).collect();
        }
        worms.retain(|worm| !worm.rows.is_empty());
        if worms.is_empty() {
            return Err(Error::file(&self.path, "rows", "none that was asked for", "at least one")
                .with_help("look at what it holds with `nissl import worm FILE --coverage`"));
        }
        Ok(worms)
    }

    /// What the small columns tell of a worm; its length is not among them.
    pub fn summary(&self, worm: &HubWorm) -> WormSummary {
        let labels: Vec<String> =
            worm.neurons.iter().filter(|name| slot(name).is_some()).cloned().collect();
        WormSummary {
            dataset: worm.dataset.clone(),
            worm: worm.worm.clone(),
            folder: String::new(),
            file: self.path.display().to_string(),
            samples: 0,
            seconds: f64::NAN,
            original_dt: f64::NAN,
            neurons: worm.neurons.len(),
            labelled: labels.len(),
            left_out: 0,
            citation: Dataset::called(&worm.dataset).map_or("", Dataset::citation).to_owned(),
            labels,
        }
    }

    fn rows_of(&self, group: Option<usize>) -> usize {
        group
            .map_or(0, |group| self.metadata.metadata().row_group(group).num_rows().max(0) as usize)
    }

    /// The row groups that can hold one of the texts in each column, and their first rows.
    fn groups(&self, wanted: &[(&str, &[&str])]) -> (Vec<usize>, Vec<usize>) {
        let metadata = self.metadata.metadata();
        let (mut groups, mut starts, mut start) = (Vec::new(), Vec::new(), 0);
        for (at, group) in metadata.row_groups().iter().enumerate() {
            let can = wanted.iter().all(|(column, texts)| {
                texts.is_empty()
                    || group
                        .columns()
                        .iter()
                        .find(|chunk| chunk.column_path().string() == *column)
                        .and_then(|chunk| chunk.statistics())
                        .is_none_or(|statistics| {
                            texts.iter().any(|text| can_hold(statistics, text))
                        })
            });
            if can {
                groups.push(at);
                starts.push(start);
            }
            start += group.num_rows().max(0) as usize;
        }
        (groups, starts)
    }

    /// Batches of the columns `names` of these row groups.
    pub(super) fn batches(
        &self,
        names: &[&str],
        groups: Vec<usize>,
        selection: Option<RowSelection>,
    ) -> Result<impl Iterator<Item = Result<RecordBatch>> + use<>> {
        let path = self.path.clone();
        let file = File::open(&path).at(&path, "open")?;
        let schema = self.metadata.schema();
        let roots: Vec<usize> = names
            .iter()
            .filter_map(|name| schema.column_with_name(name).map(|(at, _)| at))
            .collect();
        let mask = ProjectionMask::roots(self.metadata.parquet_schema(), roots);
        let mut builder =
            ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone())
                .with_projection(mask)
                .with_row_groups(groups)
                .with_batch_size(1024);
        if let Some(selection) = selection {
            builder = builder.with_row_selection(selection);
        }
        let mut reader = guarded(&path, || builder.build().map_err(|error| broken(&path, error)))?;
        let mut over = false;
        Ok(std::iter::from_fn(move || {
            if over {
                return None;
            }
            let batch =
                guarded(&path, || reader.next().transpose().map_err(|error| broken(&path, error)));
            over = !matches!(batch, Ok(Some(_)));
            batch.transpose()
        }))
    }

    pub(super) fn texts(&self, batch: &RecordBatch, name: &str) -> Result<Vec<String>> {
        let Some(array) = batch.column_by_name(name) else { return Ok(Vec::new()) };
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        if let Some(texts) = array.as_string_opt::<i32>() {
            return Ok(texts.iter().map(text).collect());
        }
        if let Some(texts) = array.as_string_opt::<i64>() {
            return Ok(texts.iter().map(text).collect());
        }
        Err(Error::file(&self.path, name, array.data_type(), "text"))
    }
}

/// Whether a column chunk with these statistics can hold `text`.
fn can_hold(statistics: &Statistics, text: &str) -> bool {
    let Statistics::ByteArray(values) = statistics else { return true };
    let least = values.min_opt().is_none_or(|min| min.data() <= text.as_bytes());
    let most = values.max_opt().is_none_or(|max| text.as_bytes() <= max.data());
    least && (most || !values.max_is_exact())
}

/// Damaged pages can make the decoder panic; that is an error of the file, not of ours.
fn guarded<T>(path: &Path, read: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_panic| Err(broken(path, "damaged so that it cannot be decoded")))
}

fn broken(path: &Path, error: impl ToString) -> Error {
    Error::file(path, "content", error, "a readable Parquet file")
        .with_help("the file may be cut off or damaged; copy it again from its source")
}
