//! From a checkpoint to Features: alone, or with the activations of a recording's samples.
//!
//! Memory: the dictionary and one block of samples.

use std::path::Path;

use nissl_core::features::{Dictionary, ExplainedVariance, Features, FeaturesPlan, FeaturesWriter};
use nissl_core::site::Site;
use nissl_core::store::{Existing, Input, Provenance};
use nissl_core::{Column, Error, Progress, Recording, Result, Table};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::places::{Gap, Places, block_rows};
use super::{Checkpoint, Maker, Role, Source};

/// The tag of the method of imported features.
const TAG: &str = "checkpoint";

/// Where a checkpoint belongs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Import {
    /// The site the dictionary reads, in place of what the checkpoint says
    #[arg(long, value_name = "SITE")]
    pub site: Option<String>,
    /// The site a transcoder predicts, in place of what the checkpoint says
    #[arg(long, value_name = "SITE")]
    pub target_site: Option<String>,
    /// Import even where the dictionary explains less than the mean of its target does
    #[arg(long)]
    pub force: bool,
}

/// Writes the dictionary of a checkpoint as features to `out`; with a `recording` also the activations of
/// all its samples and the variance they explain.
///
/// # Errors
/// A site that is unknown or of other units than the dictionary's; a recording of which the dictionary
/// explains nothing, with the site that fits best, unless [`Import::force`] is set; an output folder that is
/// there, an interruption, or a failed file operation.
pub fn import(
    checkpoint: &Checkpoint,
    recording: Option<&Recording>,
    settings: &Import,
    out: &Path,
    existing: Existing,
    progress: &Progress,
) -> Result<Features> {
    let mut source = checkpoint.source.clone();
    if let Some(site) = &settings.site {
        source.site = Some(Site::new(site.as_str()));
    }
    if let Some(target) = &settings.target_site {
        if checkpoint.role() == Role::Autoencoder {
            let expected = "unset, for an autoencoder describes the site it reads";
            return Err(Error::setting("target_site", target, expected));
        }
        source.targets = vec![Site::new(target.as_str())];
    }
    let config = json!({"checkpoint": source, "force": settings.force});
    let mut provenance = Provenance::here(&config, 0, "cpu");
    if let Some(weights) = &source.weights {
        provenance = provenance.with_input(weights)?;
    }
    let method = json!({"method": TAG, "source": source});
    match recording {
        None => alone(&checkpoint.dictionary, &source, method, provenance, out, existing),
        Some(recording) => {
            provenance = provenance.with_input(recording.path())?;
            let places = Places::of(recording, checkpoint, &source)?;
            if !settings.force {
                places.explains(recording, checkpoint)?;
            }
            let mut plan = FeaturesPlan::new(places.input.unit_table().clone(), method, provenance);
            plan.recording = Some(Input::of(recording.path())?);
            if checkpoint.role() == Role::Transcoder {
                plan.output_units = Some(places.target_table()?);
            }
            let fit = || Ok(checkpoint.dictionary.clone());
            let writer = FeaturesWriter::create(out, &plan, existing, fit)?;
            encode(writer, &places, progress)
        }
    }
}

fn alone(
    dictionary: &Dictionary,
    source: &Source,
    method: serde_json::Value,
    provenance: Provenance,
    out: &Path,
    existing: Existing,
) -> Result<Features> {
    let Some(site) = &source.site else {
        return Err(Error::setting(
            "site",
            "unknown",
            "the site the dictionary reads, with --site SITE",
        ));
    };
    let mut plan = FeaturesPlan::new(units(&[site], dictionary.units())?, method, provenance);
    if dictionary.output_decoder.is_some() {
        let targets: Vec<&Site> = source.targets.iter().collect();
        if targets.is_empty() {
            let expected = "the site the transcoder predicts, with --target-site SITE";
            return Err(Error::setting("target_site", "unknown", expected));
        }
        plan.output_units = Some(units(&targets, dictionary.output_units())?);
    }
    FeaturesWriter::create(out, &plan, existing, || Ok(dictionary.clone()))?.finish_dictionary()
}

/// A table of `count` units that belong to `sites` in equal parts.
fn units(sites: &[&Site], count: usize) -> Result<Table> {
    let width = count / sites.len();
    if width * sites.len() != count {
        let expected = format!("a number that divides the {count} units of the output");
        return Err(Error::setting("target sites", sites.len(), expected));
    }
    let names = sites.iter().flat_map(|site| std::iter::repeat_n(site.name().to_owned(), width));
    Ok(Table::new()
        .with("unit", Column::U32((0..count as u32).collect()))
        .with("site", Column::Text(names.collect()))
        .with("index", Column::U32((0..count).map(|unit| (unit % width) as u32).collect())))
}

fn encode(mut writer: FeaturesWriter, places: &Places, progress: &Progress) -> Result<Features> {
    let dictionary = writer.dictionary().clone();
    let done = writer.committed() as usize;
    let mut gap = Gap::new(dictionary.output_units());
    let stage = progress.stage("encode", places.input.samples() as u64, "samples");
    let mut start = 0;
    for block in places.blocks(block_rows(&dictionary)) {
        if progress.interrupted() {
            let kept = writer.suspend();
            return Err(Error::Interrupted { done: format!("{kept} samples") });
        }
        let (samples, target) = block?;
        let activations = dictionary.encode(samples.view())?;
        gap.add(&target, &dictionary.predict(samples.view(), activations.view())?);
        if start >= done {
            writer.push(activations.view())?;
        }
        start += samples.nrows();
        stage.advance(samples.nrows() as u64);
    }
    // No sample was used for the fit.
    let held_out = gap.unexplained().map(|share| 1.0 - share);
    writer.finish(ExplainedVariance { fit: None, held_out })
}

impl Checkpoint {
    /// The dictionary of features with what their tables tell of its place.
    pub fn of(features: &Features) -> Self {
        let method = &features.manifest().detail.method;
        let kept = (features.method() == TAG)
            .then(|| serde_json::from_value(method["source"].clone()).ok())
            .flatten();
        let mut source: Source = kept.unwrap_or_else(|| Source::new(Maker::SaeLens));
        let sites = |table: &Table| {
            let mut sites: Vec<Site> = Vec::new();
            for name in table.texts("site").unwrap_or_default() {
                if sites.last().is_none_or(|last| last.name() != name) {
                    sites.push(Site::new(name.as_str()));
                }
            }
            sites
        };
        let read = sites(features.unit_table());
        if let [site] = read.as_slice() {
            source.site = Some(site.clone());
        }
        if features.dictionary().output_decoder.is_some() {
            source.targets = sites(features.output_unit_table());
        }
        source.notes.clear();
        Self { dictionary: features.dictionary().clone(), source }
    }
}
