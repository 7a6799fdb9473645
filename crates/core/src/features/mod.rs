//! `Features`: a dictionary over units with its sparse activations, whatever method found it.
//!
//! On disk: see `docs/formats.md`. Other stages add tables (examples, explanations, scores,
//! effects, neighbours) and histograms; they never change what is there.
//! Memory: dictionary, units and feature table; activations are streamed.

mod code;
mod decompose;
mod dictionary;
mod nonnegative;
mod product;
mod shards;
mod sharing;
mod sparse;
mod tables;
#[cfg(test)]
mod tests;
mod warning;
mod writer;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use decompose::Decompose;
pub use dictionary::{Dictionary, Encoding};
pub use product::{add_product, product, product_into};
pub use sharing::{Groups, groups, shared_units};
pub use sparse::{Activation, InputNorm, Taken};
pub use tables::Annotation;
pub use warning::Warning;
pub use writer::{FeaturesPlan, FeaturesWriter};

use crate::error::{Error, Result};
use crate::numbers::{Block, NumberFile, to_bytes};
use crate::store::{self, Input, Kind, MANIFEST, Manifest};
use crate::table::Table;

/// The file of the dictionary.
const DICTIONARY: &str = "dictionary.safetensors";
/// The table with a row for each feature.
const FEATURE_TABLE: &str = "features.parquet";
/// The table with a row for each unit.
const UNIT_TABLE: &str = "units.parquet";
/// The table with a row for each unit of the site that a transcoder writes to.
const OUTPUT_UNIT_TABLE: &str = "output_units.parquet";

/// The part of the manifest that only features have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeaturesDetail {
    /// The number of features.
    pub features: usize,
    /// The number of units.
    pub units: usize,
    /// The number of samples with activations.
    pub samples: u64,
    /// The method's tag and settings.
    pub method: serde_json::Value,
    /// The recording they were found in, when it is known.
    #[serde(default)]
    pub recording: Option<Input>,
    /// How samples are encoded.
    pub encoding: Encoding,
    /// How much of the activity they explain.
    #[serde(default)]
    pub explained_variance: ExplainedVariance,
    /// The final loss of each restart.
    #[serde(default)]
    pub restarts: Vec<f64>,
    /// What the reader must know.
    #[serde(default)]
    pub warnings: Vec<Warning>,
    /// The checksum of `dictionary.safetensors`.
    pub dictionary: String,
    /// Whether all activations were written.
    pub complete: bool,
}

/// `1 − Σ(x − x̂)² / Σ(x − mean)²`, at most 1; `None` where it is undefined or was not measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ExplainedVariance {
    /// On the samples the dictionary was fitted to.
    pub fit: Option<f64>,
    /// On samples held out.
    pub held_out: Option<f64>,
}

/// A dictionary over units with its activations.
#[derive(Clone, Debug)]
pub struct Features {
    path: PathBuf,
    manifest: Manifest<FeaturesDetail>,
    dictionary: Dictionary,
    unit_table: Table,
    output_unit_table: Option<Table>,
    table: Table,
}

impl Features {
    /// Opens complete features.
    ///
    /// # Errors
    /// No features, incomplete ones, or files that do not fit the manifest.
    pub fn open(path: &Path) -> Result<Self> {
        let manifest = Manifest::<FeaturesDetail>::read(path, Kind::Features)?;
        let detail = &manifest.detail;
        let rows: u64 = manifest.shards.iter().map(|shard| shard.rows).sum();
        if !detail.complete {
            let expected = "all".to_owned();
            return Err(Error::Incomplete {
                path: path.display().to_string(),
                found: rows,
                expected,
            });
        }
        if rows != detail.samples {
            return Err(Error::file(
                path.join(MANIFEST),
                "samples",
                detail.samples,
                format!("{rows}, the rows of its shards"),
            ));
        }
        let dictionary = read_dictionary(path, detail)?;
        let unit_table = table_of(path, UNIT_TABLE, detail.units)?;
        let outputs = path.join(OUTPUT_UNIT_TABLE).exists();
        let output_unit_table = outputs
            .then(|| table_of(path, OUTPUT_UNIT_TABLE, dictionary.output_units()))
            .transpose()?;
        let table = table_of(path, FEATURE_TABLE, detail.features)?;
        for column in ["density", "mean", "max"] {
            table.f32s(column)?;
        }
        table.bools("dead")?;
        Ok(Self {
            path: path.to_owned(),
            manifest,
            dictionary,
            unit_table,
            output_unit_table,
            table,
        })
    }

    /// Their folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Their manifest.
    pub fn manifest(&self) -> &Manifest<FeaturesDetail> {
        &self.manifest
    }

    /// The number of features.
    pub fn features(&self) -> usize {
        self.manifest.detail.features
    }

    /// The number of units.
    pub fn units(&self) -> usize {
        self.manifest.detail.units
    }

    /// The number of samples with activations.
    pub fn samples(&self) -> usize {
        self.manifest.detail.samples as usize
    }

    /// The tag of the method that found them.
    pub fn method(&self) -> &str {
        self.manifest.detail.method["method"].as_str().unwrap_or("unknown")
    }

    /// That there are activations, for those who need them.
    ///
    /// # Errors
    /// A dictionary alone, with what to do.
    pub fn require_samples(&self) -> Result<()> {
        if self.samples() > 0 {
            return Ok(());
        }
        let expected = "features with the activations of samples";
        Err(Error::file(self.path.join(MANIFEST), "samples", 0, expected).with_help(
            "this is a dictionary alone; import it again with --recording, which encodes a recording's samples",
        ))
    }

    /// The directions and how samples are encoded.
    pub fn dictionary(&self) -> &Dictionary {
        &self.dictionary
    }

    /// The recording's units: `unit`, `site`, `index`, and more.
    pub fn unit_table(&self) -> &Table {
        &self.unit_table
    }

    /// The units of the site that the features write to: of a transcoder those of its target, else the
    /// recording's.
    pub fn output_unit_table(&self) -> &Table {
        self.output_unit_table.as_ref().unwrap_or(&self.unit_table)
    }

    /// One row for each feature: `feature`, `density` (fraction of samples active), `mean` and
    /// `max` over all samples, `dead`, and more.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// How much of the activity they explain.
    pub fn explained_variance(&self) -> ExplainedVariance {
        self.manifest.detail.explained_variance
    }

    /// The path and checksum of these features, for the provenance of what is made from them.
    ///
    /// # Errors
    /// A manifest that has gone.
    pub fn input(&self) -> Result<Input> {
        Input::of(&self.path)
    }

    /// # Errors
    /// The dictionary or a shard, when its bytes are not those that were written.
    pub fn verify(&self) -> Result<()> {
        let path = self.path.join(DICTIONARY);
        let found = store::sha256_file(&path)?;
        if found != self.manifest.detail.dictionary {
            let expected = self.manifest.detail.dictionary.clone();
            return Err(Error::Checksum { path: path.display().to_string(), found, expected });
        }
        self.manifest.verify(&self.path)
    }
}

/// # Errors
/// A table that is missing, damaged, or has not `rows` rows.
fn table_of(folder: &Path, name: &str, rows: usize) -> Result<Table> {
    let path = folder.join(name);
    let table = Table::read(&path, None)?;
    if table.rows() == rows {
        return Ok(table);
    }
    Err(Error::file(path, "rows", table.rows(), format!("{rows}, as in the manifest")))
}

/// The bytes of `dictionary.safetensors`.
fn dictionary_bytes(dictionary: &Dictionary) -> Result<Vec<u8>> {
    let mut blocks = vec![("decoder", Block::matrix(dictionary.decoder.view()))];
    let matrices = [
        ("encoder", &dictionary.encoder),
        ("output_decoder", &dictionary.output_decoder),
        ("skip", &dictionary.skip),
    ];
    for (name, matrix) in matrices {
        if let Some(matrix) = matrix {
            blocks.push((name, Block::matrix(matrix.view())));
        }
    }
    let vectors = [
        ("encoder_bias", &dictionary.encoder_bias),
        ("decoder_bias", &dictionary.decoder_bias),
        ("threshold", &dictionary.threshold),
        ("output_bias", &dictionary.output_bias),
        ("gate_bias", &dictionary.gate_bias),
        ("log_magnitude", &dictionary.log_magnitude),
    ];
    let vectors = vectors.map(|(name, vector)| {
        (name, vector.as_ref().map(|vector| vector.iter().copied().collect::<Vec<f32>>()))
    });
    for (name, vector) in &vectors {
        if let Some(vector) = vector {
            blocks.push((*name, Block::f32s(vector, &[vector.len()])));
        }
    }
    if !dictionary.loss.is_empty() {
        blocks.push(("loss", Block::f32s(&dictionary.loss, &[dictionary.loss.len()])));
    }
    to_bytes(&blocks)
}

/// # Errors
/// A file that is damaged, or arrays that do not fit the manifest or are not finite.
fn read_dictionary(folder: &Path, detail: &FeaturesDetail) -> Result<Dictionary> {
    let &FeaturesDetail { features, units, .. } = detail;
    let path = folder.join(DICTIONARY);
    let file = NumberFile::open(&path)?;
    let there = |name: &str| file.shape(name).is_some();
    let fits = |name: &str, expected: &[usize]| {
        let found = file.shape(name).unwrap_or_default();
        if found == expected {
            return Ok(());
        }
        Err(Error::file(&path, name, format!("{found:?}"), format!("{expected:?}")))
    };
    let finite = |name: &str, values: &[f32]| match values.iter().find(|value| !value.is_finite()) {
        None => Ok(()),
        Some(value) => Err(Error::file(&path, name, value, "finite numbers")),
    };
    let matrix = |name: &str, shape: [usize; 2]| {
        fits(name, &shape)?;
        let matrix = file.matrix(name)?;
        finite(name, matrix.as_slice().unwrap_or_default())?;
        Ok::<_, Error>(matrix)
    };
    let vector = |name: &str, size: usize| {
        if !there(name) {
            return Ok(None);
        }
        fits(name, &[size])?;
        let vector = file.vector(name)?;
        finite(name, vector.as_slice().unwrap_or_default())?;
        Ok::<_, Error>(Some(vector))
    };
    let mut dictionary = Dictionary::new(matrix("decoder", [features, units])?, detail.encoding);
    if there("encoder") {
        dictionary.encoder = Some(matrix("encoder", [features, units])?);
    }
    if there("output_decoder") {
        let outputs = file.shape("output_decoder").and_then(|shape| shape.get(1)).copied();
        let shape = [features, outputs.unwrap_or(0)];
        dictionary.output_decoder = Some(matrix("output_decoder", shape)?);
    }
    let outputs = dictionary.output_units();
    if there("skip") {
        dictionary.skip = Some(matrix("skip", [outputs, units])?);
    }
    dictionary.output_bias = vector("output_bias", outputs)?;
    dictionary.gate_bias = vector("gate_bias", features)?;
    dictionary.log_magnitude = vector("log_magnitude", features)?;
    dictionary.encoder_bias = vector("encoder_bias", features)?;
    dictionary.decoder_bias = vector("decoder_bias", units)?;
    dictionary.threshold = vector("threshold", features)?;
    if there("loss") {
        dictionary.loss = file.vector("loss")?.to_vec();
    }
    dictionary.restarts.clone_from(&detail.restarts);
    dictionary.warnings.clone_from(&detail.warnings);
    Ok(dictionary)
}
