//! The table of a sweep, written anew after every setting, so that a stopped sweep goes on.

use std::path::{Path, PathBuf};
use std::time::Instant;

use nissl_core::store::{self, Existing, Kind, Manifest, Provenance, Shard};
use nissl_core::{Column, Error, Recording, Result, Site, Table};
use serde::{Deserialize, Serialize};

use super::{Choose, Outcome, Sweep};
use crate::{Method, Options};

/// The file of the table.
const FILE: &str = "sweep.parquet";

/// What the manifest of a sweep says of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Detail {
    settings: usize,
    complete: bool,
}

/// The settings that a manifest keeps.
#[derive(Serialize)]
struct Config<'a> {
    decompose: &'a Method,
    held_out: f64,
    sweep: &'a Sweep,
    sites: Vec<&'a str>,
}

/// The outcomes so far.
pub(super) struct Sheet {
    folder: PathBuf,
    manifest: Manifest<Detail>,
    outcomes: Vec<Outcome>,
    begun: Instant,
}

impl Sheet {
    /// Begins a sweep in `out`, or continues a stopped one.
    pub(super) fn begin(
        method: &Method,
        recording: &Recording,
        sites: &[Site],
        out: &Path,
        sweep: &Sweep,
        options: &Options,
    ) -> Result<Self> {
        let sites = sites.iter().map(Site::name).collect();
        let config = Config { decompose: method, held_out: options.held_out, sweep, sites };
        let provenance =
            Provenance::here(&config, options.seed, "cpu").with_input(recording.path())?;
        let begun = Instant::now();
        if store::prepare(out, options.existing)? && options.existing == Existing::Resume {
            let before = Manifest::<Detail>::read(out, Kind::Report)?;
            if before.detail.complete {
                return Err(Error::Exists { path: out.display().to_string() });
            }
            let same = |one: &Provenance, other: &Provenance| {
                let checksums = |it: &Provenance| -> Vec<String> {
                    it.inputs.iter().map(|input| input.sha256.clone()).collect()
                };
                (&one.config, one.seed, checksums(one))
                    == (&other.config, other.seed, checksums(other))
            };
            if !same(&before.provenance, &provenance) {
                let file = out.join(store::MANIFEST);
                let found = before.provenance.config.to_string();
                let expected = format!("{}, as this command asks", provenance.config);
                return Err(Error::file(file, "provenance.config", found, expected).with_help(
                    "resume with the settings of the stopped sweep, or use --overwrite",
                ));
            }
            let path = out.join(FILE);
            let outcomes = if path.exists() { read(&path)? } else { Vec::new() };
            return Ok(Self { folder: out.to_owned(), manifest: before, outcomes, begun });
        }
        let detail = Detail { settings: 0, complete: false };
        let manifest = Manifest::new(Kind::Report, provenance, detail);
        manifest.write(out)?;
        Ok(Self { folder: out.to_owned(), manifest, outcomes: Vec::new(), begun })
    }

    /// What was found so far.
    pub(super) fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    /// Whether a setting was finished.
    pub(super) fn has(&self, site: &str, value: &str) -> bool {
        self.outcomes.iter().any(|outcome| outcome.site == site && outcome.value == value)
    }

    /// Adds what a setting gave.
    pub(super) fn push(&mut self, outcome: Outcome) -> Result<()> {
        self.outcomes.push(outcome);
        write(&self.folder.join(FILE), &self.outcomes)
    }

    /// Chooses a setting for each site and marks the sweep complete.
    pub(super) fn finish(mut self, choose: Choose) -> Result<Vec<Outcome>> {
        let mut sites: Vec<String> = self.outcomes.iter().map(|it| it.site.clone()).collect();
        sites.dedup();
        for site in sites {
            let places: Vec<usize> =
                (0..self.outcomes.len()).filter(|&at| self.outcomes[at].site == site).collect();
            let own: Vec<&Outcome> = places.iter().map(|&at| &self.outcomes[at]).collect();
            if let Some((place, reason)) = choose.of(&own) {
                let chosen = &mut self.outcomes[places[place]];
                (chosen.chosen, chosen.reason) = (true, reason);
            }
        }
        write(&self.folder.join(FILE), &self.outcomes)?;
        let rows = self.outcomes.len();
        self.manifest.shards = vec![Shard::of(&self.folder, FILE, rows)?];
        self.manifest.detail = Detail { settings: rows, complete: true };
        self.manifest.provenance.seconds += self.begun.elapsed().as_secs_f64();
        self.manifest.write(&self.folder)?;
        Ok(self.outcomes)
    }
}

fn write(path: &Path, outcomes: &[Outcome]) -> Result<()> {
    fn column<T>(outcomes: &[Outcome], of: impl Fn(&Outcome) -> T) -> Vec<T> {
        outcomes.iter().map(of).collect()
    }
    let number = |of: fn(&Outcome) -> Option<f64>| {
        Column::F64(column(outcomes, |outcome| of(outcome).unwrap_or(f64::NAN)))
    };
    Table::new()
        .with("site", Column::Text(column(outcomes, |it| it.site.clone())))
        .with("value", Column::Text(column(outcomes, |it| it.value.clone())))
        .with("folder", Column::Text(column(outcomes, |it| it.folder.clone())))
        .with("features", Column::U32(column(outcomes, |it| it.features as u32)))
        .with("held_out", number(|it| it.held_out))
        .with("fit", number(|it| it.fit))
        .with("dead", Column::U32(column(outcomes, |it| it.dead as u32)))
        .with("loss", number(|it| it.loss))
        .with("stability", number(|it| it.stability))
        .with("seconds", number(|it| Some(it.seconds)))
        .with("chosen", Column::Bool(column(outcomes, |it| it.chosen)))
        .with("reason", Column::Text(column(outcomes, |it| it.reason.clone())))
        .write(path)
}

fn read(path: &Path) -> Result<Vec<Outcome>> {
    let table = Table::read(path, None)?;
    let number = |name: &str, row: usize| -> Result<Option<f64>> {
        Ok(Some(table.f64s(name)?[row]).filter(|value| !value.is_nan()))
    };
    let text = |name: &str, row: usize| -> Result<String> { Ok(table.texts(name)?[row].clone()) };
    (0..table.rows())
        .map(|row| {
            Ok(Outcome {
                site: text("site", row)?,
                value: text("value", row)?,
                folder: text("folder", row)?,
                features: table.u32s("features")?[row] as usize,
                held_out: number("held_out", row)?,
                fit: number("fit", row)?,
                dead: table.u32s("dead")?[row] as usize,
                loss: number("loss", row)?,
                stability: number("stability", row)?,
                seconds: number("seconds", row)?.unwrap_or_default(),
                chosen: table.bools("chosen")?[row],
                reason: text("reason", row)?,
            })
        })
        .collect()
}
