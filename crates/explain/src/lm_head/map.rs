//! A decoded map on disk: `units.parquet` with a row for each unit and sign.
//!
//! Memory: the units of one layer.

use std::path::{Path, PathBuf};
use std::time::Instant;

use nissl_core::network::{Part, ResidualWeights};
use nissl_core::store::{Existing, Kind, MANIFEST, Manifest, Provenance, Shard, prepare};
use nissl_core::{Error, IoContext, Progress, Result, Table, TableWriter};
use serde::{Deserialize, Serialize};

use super::decode::{CommonFirst, Pass, token_text};
use super::projection::Block;
use super::rows::{from_table, to_table};
use super::{Decoded, Families, LmHead, Warning, classify};

/// The table of units.
const UNITS: &str = "units.parquet";
/// Blocks in a shard of an unfinished map.
const BLOCKS: usize = 8;

/// The part of the manifest that only head maps have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeadMapDetail {
    /// The network whose head it is.
    pub network: String,
    /// The number of its layers, or 1 for features.
    pub layers: usize,
    /// The parts that were decoded.
    pub parts: Vec<Part>,
    /// The rows of the head.
    pub vocabulary: usize,
    /// The tokens that took part.
    pub tokens: usize,
    /// Rows of the table: units and signs.
    pub rows: u64,
    /// Rows that are specialised as the settings say.
    pub special: u64,
    /// What the reader must know.
    pub warnings: Vec<Warning>,
    /// Whether all units were decoded.
    pub complete: bool,
}

/// A decoded map on disk.
#[derive(Clone, Debug)]
pub struct HeadMap {
    path: PathBuf,
    manifest: Manifest<HeadMapDetail>,
    settings: LmHead,
}

impl HeadMap {
    /// Opens a complete map.
    ///
    /// # Errors
    /// No map, an unfinished one, or a manifest that is damaged.
    pub fn open(path: &Path) -> Result<Self> {
        let manifest = Manifest::<HeadMapDetail>::read(path, Kind::HeadMap)?;
        if !manifest.detail.complete {
            let found = manifest.shards.iter().map(|shard| shard.rows).sum();
            let expected = format!("all {}", manifest.detail.rows);
            return Err(Error::Incomplete { path: path.display().to_string(), found, expected });
        }
        let settings = serde_json::from_value(manifest.provenance.config.clone());
        let settings = settings.map_err(|error| {
            Error::file(path.join(MANIFEST), "provenance.config", error, "settings of lm-head")
        })?;
        Ok(Self { path: path.to_owned(), manifest, settings })
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its manifest.
    pub fn manifest(&self) -> &Manifest<HeadMapDetail> {
        &self.manifest
    }

    /// How it was made.
    pub fn settings(&self) -> &LmHead {
        &self.settings
    }

    /// Its units, some rows at a time, in order of layer, part and unit.
    ///
    /// # Errors
    /// A table that cannot be opened.
    pub fn units(&self) -> Result<Units> {
        Units::open(&self.path.join(UNITS))
    }

    /// Writes a line of JSON for each row to `path`.
    ///
    /// # Errors
    /// A table that is damaged, or a failed file operation.
    pub fn write_jsonl(&self, path: &Path) -> Result<()> {
        use std::io::Write;
        let aside = nissl_core::store::aside(path);
        let mut file = std::io::BufWriter::new(nissl_core::store::create_file(&aside)?);
        for group in Table::read_groups(&self.path.join(UNITS), None)? {
            let group = group?;
            let texts = group.text_lists("tokens")?;
            for (one, tokens) in from_table(&group)?.iter().zip(texts) {
                let mut line = serde_json::to_value(one)
                    .map_err(|error| Error::file(path, "line", error, "JSON"))?;
                line["texts"] = tokens.clone().into();
                writeln!(file, "{line}").at(path, "write")?;
            }
        }
        let file =
            file.into_inner().map_err(std::io::IntoInnerError::into_error).at(path, "write")?;
        file.sync_all().at(path, "sync")?;
        std::fs::rename(&aside, path).at(path, "rename")
    }
}

/// Rows of a map, some at a time.
pub struct Units {
    path: PathBuf,
    groups: nissl_core::table::TableGroups,
}

impl Units {
    fn open(path: &Path) -> Result<Self> {
        Ok(Self { path: path.to_owned(), groups: Table::read_groups(path, None)? })
    }
}

impl Iterator for Units {
    type Item = Result<Vec<Decoded>>;

    fn next(&mut self) -> Option<Self::Item> {
        let group = self.groups.next()?;
        Some(group.and_then(|group| {
            from_table(&group).map_err(|error| {
                Error::file(&self.path, "columns", error, "those of a map's units")
            })
        }))
    }
}

/// Decodes all units into the folder `target.0`; an interrupted run goes on with
/// [`Existing::Resume`], at the shard it was in.
///
/// # Errors
/// As [`super::decode`]; a folder that `target.1` does not allow, or an interrupted run of other
/// settings or weights.
pub fn decode_to(
    weights: &dyn ResidualWeights,
    settings: &LmHead,
    target: (&Path, Existing),
    provenance: Provenance,
    progress: &Progress,
) -> Result<HeadMap> {
    settings.validate()?;
    let (folder, existing) = target;
    let begun = Instant::now();
    let pass = Pass::of(weights, settings, progress)?;
    let blocks = pass.projection.blocks()?;
    let signs = if settings.signs == super::SignChoice::Both { 2 } else { 1 };
    let rows = blocks.iter().map(|block| block.units.len() as u64 * signs).sum();
    let detail = HeadMapDetail {
        network: weights.id().to_owned(),
        layers: weights.layers(),
        parts: settings.parts.clone(),
        vocabulary: weights.vocabulary(),
        tokens: pass.projection.vocabulary.size(),
        rows,
        special: 0,
        warnings: pass.projection.warnings.clone(),
        complete: false,
    };
    let mut manifest = Manifest::new(Kind::HeadMap, provenance, detail);
    manifest.provenance.config = serde_json::to_value(settings).unwrap_or_default();
    if prepare(folder, existing)? {
        let before = Manifest::<HeadMapDetail>::read(folder, Kind::HeadMap)?;
        let same = before.provenance.config == manifest.provenance.config
            && before.detail.network == manifest.detail.network
            && before.provenance.inputs == manifest.provenance.inputs
            && before.detail.rows == manifest.detail.rows;
        if !same {
            let file = folder.join(MANIFEST);
            let found = "of other settings or another network";
            return Err(Error::file(file, "provenance", found, "those of the interrupted run")
                .with_help("run the same command as before, or begin anew with --overwrite"));
        }
        if before.detail.complete {
            return HeadMap::open(folder);
        }
        manifest = before;
    }
    let seconds = manifest.provenance.seconds;
    manifest.write(folder)?;
    let text = |token: u32| token_text(weights, token);
    let groups: Vec<&[Block]> = blocks.chunks(BLOCKS).collect();
    for (number, group) in groups.iter().enumerate().skip(manifest.shards.len()) {
        let file = format!("part-{number:05}.parquet");
        let mut decoded = Vec::new();
        let outcome = pass.run(group, progress, |_, block| {
            decoded.extend_from_slice(block);
            Ok(())
        });
        outcome.map_err(|error| match error {
            Error::Interrupted { .. } => {
                let done = format!("{number} of {} shards in {}", groups.len(), folder.display());
                Error::Interrupted { done }
            }
            other => other,
        })?;
        to_table(&decoded, settings, &text).write(&folder.join(&file))?;
        manifest.shards.push(Shard::of(folder, &file, decoded.len())?);
        manifest.provenance.seconds = seconds + begun.elapsed().as_secs_f64();
        manifest.write(folder)?;
    }
    merge(folder, &mut manifest, settings, weights)?;
    manifest.provenance.seconds = seconds + begun.elapsed().as_secs_f64();
    manifest.write(folder)?;
    for number in 0..groups.len() {
        // The manifest does not name them any more; one that stays behind does no harm.
        std::fs::remove_file(folder.join(format!("part-{number:05}.parquet"))).ok();
    }
    HeadMap::open(folder)
}

/// Joins the shards of a run into one table, layer by layer, and compares what neurons read with
/// what they write.
fn merge(
    folder: &Path,
    manifest: &mut Manifest<HeadMapDetail>,
    settings: &LmHead,
    weights: &dyn ResidualWeights,
) -> Result<()> {
    let families = weights
        .tokenizer()
        .ok()
        .map(|tokenizer| Families::of(tokenizer, weights.vocabulary(), &[]));
    let are_one = |a: u32, b: u32| match &families {
        Some(families) => families.are_one(a, b),
        None => a == b,
    };
    let text = |token: u32| token_text(weights, token);
    let mut writer = TableWriter::create(&folder.join(UNITS));
    let mut common = CommonFirst::default();
    let (mut layer, mut special, mut rows) = (Vec::<Decoded>::new(), 0u64, 0usize);
    let mut flush = |layer: &mut Vec<Decoded>| -> Result<()> {
        if layer.is_empty() {
            return Ok(());
        }
        classify(layer, settings, &are_one);
        for one in layer.iter() {
            common.push(one);
            special += u64::from(settings.is_special(one.probability(), one.z));
        }
        rows += layer.len();
        writer.push(&to_table(layer, settings, &text))?;
        writer.end_group()?;
        layer.clear();
        Ok(())
    };
    for shard in &manifest.shards {
        for group in Units::open(&folder.join(&shard.file))? {
            for one in group? {
                if layer.first().is_some_and(|first| first.layer != one.layer) {
                    flush(&mut layer)?;
                }
                layer.push(one);
            }
        }
    }
    flush(&mut layer)?;
    writer.finish()?;
    let tokens = manifest.detail.tokens;
    manifest.detail.warnings.extend(common.warnings(tokens, &text));
    manifest.detail.special = special;
    manifest.detail.complete = true;
    manifest.shards = vec![Shard::of(folder, UNITS, rows)?];
    Ok(())
}
