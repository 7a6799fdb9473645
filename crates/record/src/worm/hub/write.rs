//! Writing: a row group for each worm, so that readers skip the others, and small texts only once.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::builder::{Float32Builder, ListBuilder};
use arrow_array::{ArrayRef, BooleanArray, Float32Array, Int32Array, RecordBatch, StringArray};
use nissl_core::store::{self, Existing};
use nissl_core::{Error, Result};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use crate::worm::form::{Signal, Worm};
use crate::worm::resample::median_interval;

/// Writes worms to a table; the file gets its name when all is there.
pub struct HubWriter {
    path: PathBuf,
    aside: PathBuf,
    writer: Option<ArrowWriter<File>>,
    signals: Vec<Signal>,
    rows: usize,
}

impl HubWriter {
    /// A writer of the table at `path`.
    ///
    /// # Errors
    /// A file that `existing` protects.
    pub fn create(path: &Path, existing: Existing) -> Result<Self> {
        if path.is_dir() || (path.exists() && existing != Existing::Overwrite) {
            return Err(Error::Exists { path: path.display().to_string() });
        }
        let aside = store::aside(path);
        Ok(Self { path: path.to_owned(), aside, writer: None, signals: Vec::new(), rows: 0 })
    }

    /// Adds the neurons of `worm`; those whose activity is all zero or missing are left out.
    ///
    /// # Errors
    /// Other signals than those of the first worm, or a failed file operation.
    pub fn push(&mut self, worm: &Worm) -> Result<()> {
        let signals: Vec<Signal> = worm.signals.iter().map(|(signal, _)| *signal).collect();
        if self.writer.is_some() && signals != self.signals {
            return Err(Error::setting("signals", "others", "those of the first worm"));
        }
        self.signals = signals;
        let kept: Vec<usize> = (0..worm.neurons.len())
            .filter(|&row| worm.calcium.row(row).iter().any(|&v| v.is_finite() && v != 0.0))
            .collect();
        if kept.is_empty() {
            return Ok(());
        }
        self.rows += kept.len();
        let batch = batch(worm, &kept)?;
        if self.writer.is_none() {
            let level = ZstdLevel::try_new(3).map_err(|error| self.failed(error))?;
            let properties = WriterProperties::builder()
                .set_compression(Compression::ZSTD(level))
                .set_statistics_enabled(EnabledStatistics::Chunk)
                .set_created_by("nissl".to_owned())
                .build();
            let file = store::create_file(&self.aside)?;
            let writer = ArrowWriter::try_new(file, batch.schema(), Some(properties));
            self.writer = Some(writer.map_err(|error| self.failed(error))?);
        }
        if let Some(writer) = &mut self.writer {
            let outcome = writer.write(&batch).and_then(|()| writer.flush());
            outcome.map_err(|error| self.failed(error))?;
        }
        Ok(())
    }

    /// Gives the file its name, and the number of its rows.
    ///
    /// # Errors
    /// No row at all, or a failed file operation.
    pub fn finish(mut self) -> Result<usize> {
        use nissl_core::IoContext;
        let Some(writer) = self.writer.take() else {
            return Err(Error::Empty {
                what: self.path.display().to_string(),
                expected: "at least one neuron with activity".to_owned(),
            });
        };
        let file = writer.into_inner().map_err(|error| self.failed(error))?;
        file.sync_all().at(&self.aside, "sync")?;
        std::fs::rename(&self.aside, &self.path).at(&self.path, "rename")?;
        Ok(self.rows)
    }

    fn failed(&self, error: parquet::errors::ParquetError) -> Error {
        if let parquet::errors::ParquetError::External(inner) = error {
            return match inner.downcast::<std::io::Error>() {
                Ok(io) => Error::io(&self.path, "write", *io),
                Err(other) => Error::file(&self.path, "content", other, "a table of worms"),
            };
        }
        Error::file(&self.path, "content", error, "a table of worms")
    }
}

impl Drop for HubWriter {
    fn drop(&mut self) {
        if self.writer.take().is_some() {
            std::fs::remove_file(&self.aside).ok();
        }
    }
}

/// The name of a signal's column.
fn column_of(signal: Signal) -> &'static str {
    match signal {
        Signal::Raw => "resampled_calcium_data",
        Signal::Residual => "residual_calcium",
        Signal::Smooth => "smooth_calcium_data",
        Signal::SmoothResidual => "smooth_residual_calcium",
    }
}

fn batch(worm: &Worm, kept: &[usize]) -> Result<RecordBatch> {
    let rows = kept.len();
    let same = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text; rows])) };
    let whole = |value: usize| -> ArrayRef { Arc::new(Int32Array::from(vec![value as i32; rows])) };
    let number = |value: f32| -> ArrayRef { Arc::new(Float32Array::from(vec![value; rows])) };
    let neurons = || kept.iter().map(|&row| &worm.neurons[row]);
    let texts = |of: fn(&super::super::WormNeuron) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(neurons().map(of)))
    };
    let lists = |values: &ndarray::Array2<f32>| -> ArrayRef {
        let mut list = ListBuilder::new(Float32Builder::with_capacity(rows * values.ncols()));
        for &row in kept {
            for &value in values.row(row) {
                list.values().append_value(value);
            }
            list.append(true);
        }
        Arc::new(list.finish())
    };
    let times = |times: &[f64]| -> ArrayRef {
        let times: Vec<f32> = times.iter().map(|&time| time as f32).collect();
        let mut list = ListBuilder::new(Float32Builder::with_capacity(rows * times.len()));
        for _ in 0..rows {
            list.values().append_slice(&times);
            list.append(true);
        }
        Arc::new(list.finish())
    };
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        ("source_dataset", same(&worm.dataset)),
        ("raw_data_file", same(&worm.file)),
        ("worm", same(&worm.worm)),
        ("neuron", texts(|neuron| &neuron.name)),
        (
            "slot",
            Arc::new(neurons().map(|n| n.slot.map(|slot| slot as i32)).collect::<Int32Array>()),
        ),
        (
            "is_labeled_neuron",
            Arc::new(BooleanArray::from(neurons().map(|n| n.labelled).collect::<Vec<_>>())),
        ),
        ("smooth_method", same(&worm.methods[0])),
        ("interpolate_method", same(&worm.methods[1])),
        ("normalization_method", same(&worm.methods[2])),
    ];
    if !worm.original.is_empty() {
        columns.push(("original_calcium_data", lists(&worm.original)));
    }
    columns.push(("calcium_data", lists(&worm.calcium)));
    for (signal, values) in &worm.signals {
        columns.push((column_of(*signal), lists(values)));
    }
    if !worm.original.is_empty() {
        columns.push(("original_time_in_seconds", times(&worm.original_time)));
        columns.push(("original_max_timesteps", whole(worm.original_time.len())));
        columns.push(("original_median_dt", number(median_interval(&worm.original_time) as f32)));
    }
    columns.extend([
        ("time_in_seconds", times(&worm.time)),
        ("max_timesteps", whole(worm.time.len())),
        ("median_dt", number(median_interval(&worm.time) as f32)),
        ("label_raw", texts(|neuron| &neuron.raw)),
        ("label_confidence", texts(|neuron| neuron.confidence.name())),
        (
            "imputed_fraction",
            Arc::new(Float32Array::from_iter_values(neurons().map(|n| n.imputed))) as ArrayRef,
        ),
        ("units", same(worm.fluorescence.name())),
    ]);
    RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
    .map_err(|error| Error::setting("columns", error, "columns of equal length"))
}
