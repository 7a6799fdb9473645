//! The folders of demos and studies: artefacts of the kind `report`, so that they can be replaced.

use std::path::Path;
use std::time::Instant;

use nissl_core::Result;
use nissl_core::store::{self, Existing, Kind, Manifest, Provenance, Shard};
use serde::{Deserialize, Serialize};

use crate::Context;

/// What a report's manifest says of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Detail {
    complete: bool,
}

/// A report that is being made.
pub(crate) struct Unfinished<'a> {
    folder: &'a Path,
    manifest: Manifest<Detail>,
    begun: Instant,
}

/// Whether the user chose the folder of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Folder {
    /// They named it.
    Named,
    /// It is the verb's own, where a second report takes the place of the first.
    Usual,
}

/// Makes `folder` ready for a report made with `config`; one that was stopped begins anew.
pub(crate) fn begin<'a>(
    folder: &'a Path,
    chosen: Folder,
    config: &impl Serialize,
    context: &Context<'_>,
) -> Result<Unfinished<'a>> {
    let existing = match context.global.existing() {
        _ if chosen == Folder::Usual && is_report(folder) => Existing::Overwrite,
        Existing::Resume => Existing::Refuse,
        other => other,
    };
    store::prepare(folder, existing)?;
    let provenance = Provenance::here(config, context.global.seed, &context.global.device);
    let manifest = Manifest::new(Kind::Report, provenance, Detail { complete: false });
    manifest.write(folder)?;
    Ok(Unfinished { folder, manifest, begun: Instant::now() })
}

impl Unfinished<'_> {
    /// Marks the report as whole.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.manifest.shards.push(Shard::of(self.folder, "report.html", 0)?);
        self.manifest.detail.complete = true;
        self.manifest.provenance.seconds = self.begun.elapsed().as_secs_f64();
        self.manifest.write(self.folder)
    }
}

fn is_report(folder: &Path) -> bool {
    Manifest::<Detail>::read(folder, Kind::Report).is_ok()
}
