//! Writing features shard by shard, so that a killed run loses at most one.

use std::path::{Path, PathBuf};
use std::time::Instant;

use ndarray::ArrayView2;

use super::{
    DICTIONARY, Dictionary, ExplainedVariance, FEATURE_TABLE, Features, FeaturesDetail,
    OUTPUT_UNIT_TABLE, UNIT_TABLE, Warning, dictionary_bytes, read_dictionary, shards,
};
use crate::error::{Error, Result};
use crate::numbers::{Precision, to_bytes};
use crate::recording::Csr;
use crate::store::{self, Existing, Input, Kind, MANIFEST, Manifest, Provenance};
use crate::table::{Column, Table};

/// What features will be.
#[derive(Clone, Debug)]
pub struct FeaturesPlan {
    /// One row for each unit: `unit`, `site`, `index`, and more.
    pub units: Table,
    /// The units of the site that the dictionary writes to, where that is another.
    pub output_units: Option<Table>,
    /// The method's tag and settings.
    pub method: serde_json::Value,
    /// The recording they are found in.
    pub recording: Option<Input>,
    /// How they are made.
    pub provenance: Provenance,
    /// Bytes of indices and values after which a shard is closed.
    pub shard_bytes: usize,
}

impl FeaturesPlan {
    /// Features with shards of 32 MiB.
    pub fn new(units: Table, method: serde_json::Value, provenance: Provenance) -> Self {
        let shard_bytes = 32 << 20;
        Self { units, output_units: None, method, recording: None, provenance, shard_bytes }
    }
}

/// Writes features; every shard is committed before the next begins.
///
/// Memory: the dictionary and one shard.
pub struct FeaturesWriter {
    folder: PathBuf,
    manifest: Manifest<FeaturesDetail>,
    dictionary: Dictionary,
    shard_bytes: usize,
    pending: Csr,
    tally: Tally,
    begun: Instant,
}

/// Running sums of each feature's activations.
struct Tally {
    active: Vec<u64>,
    sum: Vec<f64>,
    most: Vec<f32>,
    largest: Vec<f32>,
}

impl Tally {
    fn new(features: usize) -> Self {
        Self {
            active: vec![0; features],
            sum: vec![0.0; features],
            most: vec![f32::NEG_INFINITY; features],
            largest: vec![0.0; features],
        }
    }

    fn add(&mut self, csr: &Csr, from: usize) {
        for (&feature, &value) in csr.indices[from..].iter().zip(&csr.values[from..]) {
            let feature = feature as usize;
            self.active[feature] += 1;
            self.sum[feature] += f64::from(value);
            self.most[feature] = self.most[feature].max(value);
            self.largest[feature] = self.largest[feature].max(value.abs());
        }
    }

    /// The table of features after `samples` samples.
    fn table(&self, samples: u64) -> Table {
        let features = self.active.len();
        let count = samples.max(1) as f64;
        let peak = self.largest.iter().fold(0f32, |most, &value| most.max(value));
        let most = |feature: usize| {
            let all = samples > 0 && self.active[feature] == samples;
            if all { self.most[feature] } else { self.most[feature].max(0.0) }
        };
        let column = |value: &dyn Fn(usize) -> f32| Column::F32((0..features).map(value).collect());
        Table::new()
            .with("feature", Column::U32((0..features as u32).collect()))
            .with("density", column(&|feature| (self.active[feature] as f64 / count) as f32))
            .with("mean", column(&|feature| (self.sum[feature] / count) as f32))
            .with("max", column(&most))
            .with(
                "dead",
                Column::Bool(
                    self.largest.iter().map(|&most| samples > 0 && most <= DEAD * peak).collect(),
                ),
            )
    }
}

/// Activations below this fraction of the largest of all features count as none.
const DEAD: f32 = 1e-6;
/// Samples read at once when an interrupted run is continued.
const BLOCK: usize = 4096;

impl FeaturesWriter {
    /// Begins features in `folder`, or continues interrupted ones with the dictionary that was
    /// found then; `fit` is called only where there is none. With [`Existing::Overwrite`] the old
    /// artefact stays until `fit` has succeeded.
    ///
    /// # Errors
    /// The folder exists and `existing` does not allow that, the interrupted run had other
    /// settings, `fit` fails, or a failed file operation.
    pub fn create(
        folder: &Path,
        plan: &FeaturesPlan,
        existing: Existing,
        fit: impl FnOnce() -> Result<Dictionary>,
    ) -> Result<Self> {
        let begun = Instant::now();
        let careful = if existing == Existing::Overwrite { Existing::Resume } else { existing };
        let there = store::prepare(folder, careful)?;
        if there && existing == Existing::Resume {
            return Self::resume(folder, plan, begun);
        }
        let outcome = fit().and_then(|dictionary| {
            fits("the dictionary", dictionary.units(), "the unit table", &plan.units)?;
            if let Some(outputs) = &plan.output_units {
                let found = dictionary.output_units();
                fits("the output decoder", found, "the table of output units", outputs)?;
            }
            if there {
                store::prepare(folder, Existing::Overwrite)?;
            }
            Self::begin(folder, plan, dictionary, begun)
        });
        if outcome.is_err() && !there {
            // Takes the folder away again only when nothing is in it.
            std::fs::remove_dir(folder).ok();
        }
        outcome
    }

    fn begin(
        folder: &Path,
        plan: &FeaturesPlan,
        dictionary: Dictionary,
        begun: Instant,
    ) -> Result<Self> {
        let bytes = dictionary_bytes(&dictionary)?;
        let detail = FeaturesDetail {
            features: dictionary.features(),
            units: dictionary.units(),
            samples: 0,
            method: plan.method.clone(),
            recording: plan.recording.clone(),
            encoding: dictionary.encoding,
            explained_variance: ExplainedVariance::default(),
            restarts: dictionary.restarts.clone(),
            warnings: dictionary.warnings.clone(),
            dictionary: store::sha256_bytes(&bytes),
            complete: false,
        };
        let manifest = Manifest::new(Kind::Features, plan.provenance.clone(), detail);
        store::write_bytes(&folder.join(DICTIONARY), &bytes)?;
        plan.units.write(&folder.join(UNIT_TABLE))?;
        if let Some(outputs) = &plan.output_units {
            outputs.write(&folder.join(OUTPUT_UNIT_TABLE))?;
        }
        manifest.write(folder)?;
        let features = dictionary.features();
        Ok(Self {
            folder: folder.to_owned(),
            manifest,
            dictionary,
            shard_bytes: plan.shard_bytes,
            pending: Csr::new(features),
            tally: Tally::new(features),
            begun,
        })
    }

    fn resume(folder: &Path, plan: &FeaturesPlan, begun: Instant) -> Result<Self> {
        let manifest = Manifest::<FeaturesDetail>::read(folder, Kind::Features)?;
        let detail = &manifest.detail;
        if detail.complete {
            return Err(Error::Exists { path: folder.display().to_string() });
        }
        let compare = |field: &str, before: String, now: String| {
            if before == now {
                return Ok(());
            }
            let file = folder.join(MANIFEST);
            Err(Error::file(file, field, before, format!("{now}, as this command asks"))
                .with_help("resume with the settings of the interrupted run, or use --overwrite"))
        };
        compare("method", detail.method.to_string(), plan.method.to_string())?;
        compare("units", detail.units.to_string(), plan.units.rows().to_string())?;
        compare(
            "provenance.seed",
            manifest.provenance.seed.to_string(),
            plan.provenance.seed.to_string(),
        )?;
        compare(
            "provenance.config",
            manifest.provenance.config.to_string(),
            plan.provenance.config.to_string(),
        )?;
        let checksum = |input: &Option<Input>| {
            input.as_ref().map_or_else(|| "none".to_owned(), |input| input.sha256.clone())
        };
        compare("recording.sha256", checksum(&detail.recording), checksum(&plan.recording))?;
        manifest.verify(folder)?;
        let dictionary = read_dictionary(folder, detail)?;
        let mut tally = Tally::new(detail.features);
        for shard in &manifest.shards {
            let file = shards::open_shard(folder, shard)?;
            for from in (0..shard.rows as usize).step_by(BLOCK) {
                let to = (from + BLOCK).min(shard.rows as usize);
                tally.add(&shards::read_rows(&file, detail.features, from, to)?, 0);
            }
        }
        Ok(Self {
            folder: folder.to_owned(),
            pending: Csr::new(detail.features),
            manifest,
            dictionary,
            shard_bytes: plan.shard_bytes,
            tally,
            begun,
        })
    }

    /// The dictionary, found now or by the run that is continued.
    pub fn dictionary(&self) -> &Dictionary {
        &self.dictionary
    }

    /// The samples that an interrupted run had already written; pushing goes on after them.
    pub fn committed(&self) -> u64 {
        self.manifest.shards.iter().map(|shard| shard.rows).sum()
    }

    /// Appends the activations of the next samples `[sample, feature]`; zeros take no room. A
    /// shard ends only between two calls.
    ///
    /// # Errors
    /// Another number of features, a value that is not finite, or a failed file operation.
    pub fn push(&mut self, activations: ArrayView2<'_, f32>) -> Result<()> {
        let features = self.manifest.detail.features;
        if activations.ncols() != features {
            let expected = format!("{features}, as in the dictionary");
            return Err(Error::setting("features", activations.ncols(), expected));
        }
        let before = self.pending.values.len();
        let place = self.committed() + self.pending.rows() as u64;
        if let Some(((row, feature), &found)) =
            activations.indexed_iter().find(|(_, value)| !value.is_finite())
        {
            return Err(Error::Diverged {
                what: format!(
                    "the activation of feature {feature} for sample {}",
                    place + row as u64
                ),
                found: f64::from(found),
                step: 0,
                help: Some(
                    "look at that sample's activity: it may be too large for f32".to_owned(),
                ),
            });
        }
        self.pending.push_dense(activations, 0.0);
        self.tally.add(&self.pending, before);
        if 8 * (self.pending.values.len() + self.pending.rows()) >= self.shard_bytes {
            self.commit()?;
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        if self.pending.rows() == 0 {
            return Ok(());
        }
        let csr = std::mem::replace(&mut self.pending, Csr::new(self.manifest.detail.features));
        let bytes = to_bytes(&csr.blocks(Precision::F32))?;
        let file = format!("activations-{:05}.safetensors", self.manifest.shards.len());
        let rows = csr.rows() as u64;
        self.manifest.shards.push(store::write_shard(&self.folder, &file, rows, &bytes)?);
        self.manifest.detail.samples += rows;
        self.manifest.write(&self.folder)
    }

    /// Ends an interrupted run and gives the samples committed, from which it can be continued.
    ///
    /// What has not filled a shard is dropped: shards then end where those of a run that was never
    /// stopped end, and the bytes are the same.
    pub fn suspend(self) -> u64 {
        self.committed()
    }

    /// Writes the last shard and the table of features, and marks the features complete.
    ///
    /// # Errors
    /// No sample was pushed, or a failed file operation.
    pub fn finish(mut self, explained_variance: ExplainedVariance) -> Result<Features> {
        self.commit()?;
        if self.manifest.detail.samples == 0 {
            return Err(Error::Empty {
                what: self.folder.display().to_string(),
                expected: "at least one sample".to_owned(),
            });
        }
        self.complete(explained_variance)
    }

    /// Marks the features complete with the dictionary alone, such as one that was trained elsewhere:
    /// 0 samples, and `density`, `mean` and `max` of 0 in the table of features, none `dead`.
    ///
    /// # Errors
    /// Samples were pushed, or a failed file operation.
    pub fn finish_dictionary(self) -> Result<Features> {
        let samples = self.committed() + self.pending.rows() as u64;
        if samples > 0 {
            return Err(Error::setting("samples", samples, "none in a dictionary alone"));
        }
        self.complete(ExplainedVariance::default())
    }

    fn complete(mut self, explained_variance: ExplainedVariance) -> Result<Features> {
        let samples = self.manifest.detail.samples;
        let table = self.tally.table(samples);
        let features = self.manifest.detail.features;
        let dead = table.bools("dead")?.iter().filter(|&&dead| dead).count();
        if dead > 0 {
            self.manifest.detail.warnings.push(Warning::DeadFeatures { dead, features });
        }
        table.write(&self.folder.join(FEATURE_TABLE))?;
        self.manifest.detail.explained_variance = explained_variance;
        self.manifest.detail.complete = true;
        self.manifest.provenance.seconds += self.begun.elapsed().as_secs_f64();
        self.manifest.write(&self.folder)?;
        Features::open(&self.folder)
    }
}

/// # Errors
/// Another number of units than the table has rows.
fn fits(left: &str, found: usize, right: &str, table: &Table) -> Result<()> {
    if found == table.rows() {
        return Ok(());
    }
    Err(Error::Units {
        left: left.to_owned(),
        found,
        right: right.to_owned(),
        expected: table.rows(),
        help: None,
    })
}
