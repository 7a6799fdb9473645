//! Writing a recording shard by shard, so that a killed run loses at most one.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

use ndarray::ArrayView2;

use super::{Csr, Layout, RecordingDetail, Source};
use crate::error::{Error, IoContext, Result};
use crate::numbers::{Block, Precision, to_bytes};
use crate::store::{self, Existing, Kind, Manifest, Provenance};
use crate::table::{Table, TableWriter};

/// What a recording will be.
#[derive(Clone, Debug)]
pub struct RecordingPlan {
    /// One row for each unit: `unit`, `site`, `index`, and more.
    pub units: Table,
    /// The precision of the stored values.
    pub precision: Precision,
    /// Dense or sparse.
    pub layout: Layout,
    /// In sparse layout, values of this magnitude or less become zero.
    pub threshold: f32,
    /// Bytes of dense f32 activity after which a shard is closed.
    pub shard_bytes: usize,
    /// Where the activity comes from.
    pub source: Source,
    /// How it is made.
    pub provenance: Provenance,
}

impl RecordingPlan {
    /// A dense f32 recording with shards of 32 MiB.
    pub fn new(units: Table, source: Source, provenance: Provenance) -> Self {
        Self {
            units,
            precision: Precision::F32,
            layout: Layout::Dense,
            threshold: 0.0,
            shard_bytes: 32 << 20,
            source,
            provenance,
        }
    }
}

/// Writes a recording; shards go to disk in a thread of their own.
///
/// Memory: four shards.
pub struct RecordingWriter {
    folder: PathBuf,
    units: usize,
    shard_rows: usize,
    committed: u64,
    pending: Shard,
    sender: Option<SyncSender<Shard>>,
    worker: Option<JoinHandle<Result<Manifest<RecordingDetail>>>>,
    begun: Instant,
}

#[derive(Default)]
struct Shard {
    activity: Vec<f32>,
    samples: Table,
}

impl RecordingWriter {
    /// Begins a recording in `folder`, or continues an interrupted one.
    ///
    /// # Errors
    /// The folder exists and `existing` does not allow that, the interrupted run had other
    /// settings, or a failed file operation.
    pub fn create(folder: &Path, plan: RecordingPlan, existing: Existing) -> Result<Self> {
        let units = plan.units.rows();
        if units == 0 {
            return Err(Error::Empty {
                what: "the unit table".to_owned(),
                expected: "at least one unit".to_owned(),
            });
        }
        let detail = RecordingDetail {
            samples: 0,
            units,
            dtype: plan.precision,
            layout: plan.layout,
            source: plan.source.clone(),
            complete: false,
        };
        let mut manifest = Manifest::new(Kind::Recording, plan.provenance.clone(), detail);
        if store::prepare(folder, existing)? {
            let before = Manifest::<RecordingDetail>::read(folder, Kind::Recording)?;
            same_settings(folder, &before, &manifest)?;
            manifest = before;
        } else {
            // The manifest comes first: a folder without one could not be continued.
            manifest.write(folder)?;
        }
        let units_file = folder.join("units.parquet");
        if !units_file.exists() {
            plan.units.write(&units_file)?;
        }
        let committed = manifest.shards.iter().map(|shard| shard.rows).sum();
        let (sender, receiver) = sync_channel(1);
        let worker = std::thread::spawn({
            let folder = folder.to_owned();
            let plan = plan.clone();
            move || write_shards(&folder, &plan, manifest, &receiver)
        });
        Ok(Self {
            folder: folder.to_owned(),
            units,
            shard_rows: (plan.shard_bytes / (4 * units)).max(1),
            committed,
            pending: Shard::default(),
            sender: Some(sender),
            worker: Some(worker),
            begun: Instant::now(),
        })
    }

    /// The samples that an interrupted run had already written; pushing goes on after them.
    pub fn committed(&self) -> u64 {
        self.committed
    }

    /// Whether all that was pushed has gone to disk: a run that stops here and is resumed has the
    /// shards of one that was never stopped.
    pub fn between_shards(&self) -> bool {
        self.pending.samples.rows() == 0
    }

    /// Appends samples `[sample, unit]` with their rows of the sample table (`sequence`,
    /// `position`, and more; `sample` is added). A shard ends only between two calls.
    ///
    /// # Errors
    /// Other units or columns than before, or a failed file operation of an earlier shard.
    pub fn push(&mut self, activity: ArrayView2<'_, f32>, samples: Table) -> Result<()> {
        if activity.ncols() != self.units {
            return Err(Error::Units {
                left: "the activity".to_owned(),
                found: activity.ncols(),
                right: self.folder.display().to_string(),
                expected: self.units,
                help: None,
            });
        }
        if activity.nrows() != samples.rows() {
            return Err(Error::setting(
                "samples",
                samples.rows(),
                format!("{}, one row a sample", activity.nrows()),
            ));
        }
        match activity.as_slice() {
            Some(values) => self.pending.activity.extend_from_slice(values),
            None => self.pending.activity.extend(activity.iter()),
        }
        self.pending.samples.append(samples)?;
        if self.pending.samples.rows() >= self.shard_rows {
            self.commit()?;
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        let shard = std::mem::take(&mut self.pending);
        if shard.samples.rows() == 0 {
            return Ok(());
        }
        let sent = self.sender.as_ref().is_some_and(|sender| sender.send(shard).is_ok());
        if sent { Ok(()) } else { self.join().map(|_manifest| ()) }
    }

    /// Ends an interrupted run and gives the samples committed, from which it can be resumed.
    ///
    /// What has not filled a shard is dropped: shards then end where those of a run that was never
    /// stopped end, and the bytes are the same.
    ///
    /// # Errors
    /// A failed file operation.
    pub fn suspend(mut self) -> Result<u64> {
        let manifest = self.join()?;
        Ok(manifest.shards.iter().map(|shard| shard.rows).sum())
    }

    /// Writes the last shard and the whole sample table, and marks the recording complete.
    ///
    /// # Errors
    /// No sample was pushed, or a failed file operation.
    pub fn finish(mut self) -> Result<super::Recording> {
        self.commit()?;
        let mut manifest = self.join()?;
        if manifest.shards.is_empty() {
            return Err(Error::Empty {
                what: self.folder.display().to_string(),
                expected: "at least one sample".to_owned(),
            });
        }
        let mut whole = TableWriter::create(&self.folder.join("samples.parquet"));
        let mut first = 0;
        for number in 0..manifest.shards.len() {
            for group in Table::read_groups(&samples_part(&self.folder, number), None)? {
                let group = group?;
                let numbers = (first..first + group.rows() as u64).collect();
                first += group.rows() as u64;
                let numbered = Table::new().with("sample", crate::Column::U64(numbers));
                let numbered = group
                    .columns()
                    .fold(numbered, |table, (name, column)| table.with(name, column.clone()));
                whole.push(&numbered)?;
            }
        }
        whole.finish()?;
        manifest.detail.samples = first;
        manifest.detail.complete = true;
        manifest.provenance.seconds += self.begun.elapsed().as_secs_f64();
        manifest.write(&self.folder)?;
        for number in 0..manifest.shards.len() {
            let part = samples_part(&self.folder, number);
            std::fs::remove_file(&part).at(&part, "remove")?;
        }
        super::Recording::open(&self.folder)
    }

    fn join(&mut self) -> Result<Manifest<RecordingDetail>> {
        self.sender = None;
        let gone = || Error::Empty {
            what: "the writing thread".to_owned(),
            expected: "one that has not ended".to_owned(),
        };
        let worker = self.worker.take().ok_or_else(gone)?;
        worker.join().map_err(|_panicked| gone())?
    }
}

/// The sample table of one shard, until all are joined.
fn samples_part(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("samples-{number:05}.parquet"))
}

fn write_shards(
    folder: &Path,
    plan: &RecordingPlan,
    mut manifest: Manifest<RecordingDetail>,
    shards: &Receiver<Shard>,
) -> Result<Manifest<RecordingDetail>> {
    let units = plan.units.rows();
    for Shard { activity, samples } in shards {
        let number = manifest.shards.len();
        let rows = samples.rows();
        let bytes = match plan.layout {
            Layout::Dense => {
                let block = Block::rounded(&activity, &[rows, units], plan.precision);
                to_bytes(&[("activity", block)])?
            }
            Layout::Csr => {
                let mut csr = Csr::new(units);
                let dense = ArrayView2::from_shape((rows, units), &activity)
                    .map_err(|error| Error::setting("activity", error, "rows of all units"))?;
                csr.push_dense(dense, plan.threshold);
                to_bytes(&csr.blocks(plan.precision))?
            }
        };
        drop(activity);
        samples.write(&samples_part(folder, number))?;
        let file = format!("activity-{number:05}.safetensors");
        manifest.shards.push(store::write_shard(folder, &file, rows as u64, &bytes)?);
        manifest.detail.samples += rows as u64;
        manifest.write(folder)?;
    }
    Ok(manifest)
}

/// # Errors
/// An interrupted run that was made with other settings, inputs or units.
fn same_settings(
    folder: &Path,
    before: &Manifest<RecordingDetail>,
    now: &Manifest<RecordingDetail>,
) -> Result<()> {
    let compare = |field: &str, before: String, now: String| {
        if before == now {
            return Ok(());
        }
        let file = folder.join(store::MANIFEST);
        Err(Error::file(file, field, before, format!("{now}, as this command asks"))
            .with_help("resume with the settings of the interrupted run, or use --overwrite"))
    };
    if before.detail.complete {
        return Err(Error::Exists { path: folder.display().to_string() });
    }
    compare("units", before.detail.units.to_string(), now.detail.units.to_string())?;
    compare("dtype", format!("{:?}", before.detail.dtype), format!("{:?}", now.detail.dtype))?;
    compare("layout", format!("{:?}", before.detail.layout), format!("{:?}", now.detail.layout))?;
    compare(
        "provenance.config",
        before.provenance.config.to_string(),
        now.provenance.config.to_string(),
    )?;
    let inputs = |manifest: &Manifest<RecordingDetail>| format!("{:?}", manifest.provenance.inputs);
    compare("provenance.inputs", inputs(before), inputs(now))
}
