//! From a recording on disk to features on disk: hold out, fit, encode, measure, store.

use std::path::Path;

use ndarray::{Array2, ArrayView2};
use nissl_core::features::{Dictionary, ExplainedVariance, Features, FeaturesPlan, FeaturesWriter};
use nissl_core::recording::require_finite;
use nissl_core::split::{Split, held_out};
use nissl_core::store::{Existing, Provenance};
use nissl_core::{Error, Progress, Recording, Result};
use serde::Serialize;

use crate::sparse_training::{self, Trained, Training};
use crate::transcoder::Sides;
use crate::{Method, hierarchy};

/// What a run needs beside its method.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The fraction of sequences on which the dictionary is judged and not fitted, 0 to below 1.
    pub held_out: f64,
    /// The seed of the split and of the method, in place of the method's own.
    pub seed: u64,
    /// What to do when the output folder is already there.
    pub existing: Existing,
}

impl Default for Options {
    fn default() -> Self {
        Self { held_out: 0.1, seed: 0, existing: Existing::Refuse }
    }
}

/// The settings that a manifest keeps.
#[derive(Serialize)]
struct Config<'a> {
    decompose: &'a Method,
    held_out: f64,
}

/// Finds features in `recording` and writes them to `out` with the activations of every sample.
///
/// The samples of some whole sequences are held out from the fit. A run that was cut off while it
/// encoded goes on with the dictionary it had found.
///
/// # Errors
/// Settings outside their range, activity that the method cannot work with, an output folder that
/// is there, an interruption, or a failed file operation.
pub fn decompose(
    method: &Method,
    recording: &Recording,
    out: &Path,
    options: &Options,
    progress: &Progress,
) -> Result<Features> {
    let &Options { held_out: fraction, seed, existing } = options;
    if !(0.0..1.0).contains(&fraction) {
        return Err(Error::setting("held_out", fraction, "0 or more and below 1"));
    }
    let method = method.clone().seeded(seed);
    method.method().validate()?;
    let split = held_out(&recording.sequences()?, fraction, seed);
    let config = Config { decompose: &method, held_out: fraction };
    let provenance = Provenance::here(&config, seed, "cpu").with_input(recording.path())?;
    let tag = serde_json::to_value(&method)
        .map_err(|error| Error::setting("method", error, "settings that JSON can hold"))?;
    let sides = match &method {
        Method::Transcoder(transcoder) => Some(transcoder.sides(recording)?),
        _ => None,
    };
    let (read, target) = match &sides {
        Some(Sides { input, target }) => (input, Some(target)),
        None => (recording, None),
    };
    let mut plan = FeaturesPlan::new(read.unit_table().clone(), tag, provenance);
    plan.recording = Some(recording.input()?);
    plan.output_units = target.map(|target| target.unit_table().clone());
    let run = Run { recording: read, target, split: &split, plan: &plan, existing, progress };
    match &method {
        Method::Sae(sae) => {
            let fit = |way: &sparse_training::Run<'_>| sae.fit_in(recording, &split.fit, way);
            return trained(&sae.training, fit, false, out, &run);
        }
        Method::Transcoder(transcoder) => {
            let fit =
                |way: &sparse_training::Run<'_>| transcoder.fit_in(recording, &split.fit, way);
            return trained(&transcoder.training, fit, transcoder.skip, out, &run);
        }
        _ => {}
    }
    let fit = || method.method().fit(recording, &split.fit, progress);
    if let Method::Snmf(snmf) = &method
        && !snmf.recursion.levels.is_empty()
    {
        let features = match hierarchy::finest(out, &run)? {
            Some(features) => features,
            None => encode(FeaturesWriter::create(out, &plan, existing, fit)?, &run)?,
        };
        hierarchy::write(snmf, &features, &run)?;
        return Ok(features);
    }
    let mut features = encode(FeaturesWriter::create(out, &plan, existing, fit)?, &run)?;
    if let Some(columns) = method.columns(recording, &split.fit)? {
        features.set_columns(&columns)?;
    }
    Ok(features)
}

/// Features of a method that trains for long.
///
/// How the training went stands in `training.parquet` and in `log10_frequency` of the features. A run
/// that was cut off while it trained left its state, from which it goes on.
fn trained(
    training: &Training,
    fit: impl Fn(&sparse_training::Run<'_>) -> Result<Trained>,
    skip: bool,
    out: &Path,
    run: &Run<'_>,
) -> Result<Features> {
    let samples = training.samples(Some(run.split.fit.len()))?;
    let resume = run.existing == Existing::Resume;
    let folder = Some(out);
    let way = sparse_training::Run { samples, skip, folder, resume, progress: run.progress };
    let mut tables = None;
    let writer = FeaturesWriter::create(out, run.plan, run.existing, || {
        let trained = fit(&way)?;
        tables = Some((trained.table(), trained.columns()));
        Ok(trained.dictionary)
    })?;
    let mut features = encode(writer, run)?;
    if tables.is_none() && out.join(sparse_training::UNFINISHED).exists() {
        // The training had ended before the run was cut off: its state holds all that is told of it.
        let trained = fit(&way)?;
        tables = Some((trained.table(), trained.columns()));
    }
    if let Some((table, columns)) = tables {
        table.write(&out.join("training.parquet"))?;
        features.set_columns(&columns)?;
    }
    sparse_training::forget(out)?;
    Ok(features)
}

/// What every dictionary of a run is written with.
pub(crate) struct Run<'a> {
    pub(crate) recording: &'a Recording,
    /// The site that is predicted, of a transcoder.
    pub(crate) target: Option<&'a Recording>,
    pub(crate) split: &'a Split,
    pub(crate) plan: &'a FeaturesPlan,
    pub(crate) existing: Existing,
    pub(crate) progress: &'a Progress,
}

/// Encodes every sample by the dictionary of `writer`, measures what it explains, and finishes.
///
/// # Errors
/// Activity that cannot be read or encoded, an interruption, or a failed file operation.
pub(crate) fn encode(mut writer: FeaturesWriter, run: &Run<'_>) -> Result<Features> {
    let &Run { recording, target, split, progress, .. } = run;
    let dictionary = writer.dictionary().clone();
    let done = writer.committed() as usize;
    let mut fit = Explained::new(dictionary.output_units());
    let mut judged = Explained::new(dictionary.output_units());
    let stage = progress.stage("encode", recording.samples() as u64, "samples");
    let mut next_held_out = split.held_out.iter().copied().peekable();
    let rows = block_rows(&dictionary);
    let mut targets = target.map(|target| target.blocks(rows));
    for block in recording.blocks(rows) {
        if progress.interrupted() {
            let kept = writer.suspend();
            return Err(Error::Interrupted { done: format!("{kept} samples") });
        }
        let block = block?;
        require_finite(&block)?;
        let activations = dictionary.encode(block.activity.view())?;
        let predicted = dictionary.predict(block.activity.view(), activations.view())?;
        // Both recordings are cut into the same shards, and so into the same blocks.
        let aimed = targets.as_mut().and_then(Iterator::next).transpose()?;
        if let Some(aimed) = &aimed {
            require_finite(aimed)?;
        }
        let aim = &aimed.as_ref().unwrap_or(&block).activity;
        let error = predicted - aim;
        for (row, (sample, error)) in aim.rows().into_iter().zip(error.rows()).enumerate() {
            let held = next_held_out.next_if_eq(&(block.start + row)).is_some();
            let side = if held { &mut judged } else { &mut fit };
            side.add(sample.iter().zip(error.iter()));
        }
        if block.start >= done {
            writer.push(activations.view())?;
        }
        stage.advance(block.activity.nrows() as u64);
    }
    writer.finish(ExplainedVariance { fit: fit.fraction(), held_out: judged.fraction() })
}

/// Samples encoded at once: tens of megabytes of them.
fn block_rows(dictionary: &Dictionary) -> usize {
    let widest =
        dictionary.units().max(dictionary.features()).max(dictionary.output_units()).max(1);
    ((4 << 20) / widest).clamp(64, 8192)
}

/// Running sums for the explained variance.
struct Explained {
    samples: u64,
    errors: f64,
    squares: f64,
    sums: Vec<f64>,
}

impl Explained {
    fn new(units: usize) -> Self {
        Self { samples: 0, errors: 0.0, squares: 0.0, sums: vec![0.0; units] }
    }

    fn add<'a>(&mut self, values: impl Iterator<Item = (&'a f32, &'a f32)>) {
        self.samples += 1;
        for ((&value, &error), sum) in values.zip(&mut self.sums) {
            let value = f64::from(value);
            *sum += value;
            self.squares += value * value;
            self.errors += f64::from(error) * f64::from(error);
        }
    }

    /// `1 − Σ(x − x̂)² / Σ(x − mean)²`; `None` without samples or without variance.
    fn fraction(&self) -> Option<f64> {
        let count = self.samples as f64;
        let variance = self.squares - self.sums.iter().map(|sum| sum * sum / count).sum::<f64>();
        (self.samples > 0 && variance > 1e-12 * self.squares).then(|| 1.0 - self.errors / variance)
    }
}

/// The explained variance of a dictionary on `samples` `[sample, unit]`, as in the manifest.
///
/// # Errors
/// As [`Dictionary::encode`].
pub fn explained_variance(
    dictionary: &Dictionary,
    samples: ArrayView2<'_, f32>,
) -> Result<Option<f64>> {
    let activations: Array2<f32> = dictionary.encode(samples)?;
    let error = dictionary.reconstruct(activations.view())? - samples;
    let mut sums = Explained::new(samples.ncols());
    for (sample, error) in samples.rows().into_iter().zip(error.rows()) {
        sums.add(sample.iter().zip(error.iter()));
    }
    Ok(sums.fraction())
}
