//! Recording a language network: texts in, activity at the chosen sites out.
//!
//! Long documents are read in windows of `context` tokens that begin every `stride` tokens; each
//! token is recorded once, with as much context as the windows give. Padding and the special tokens
//! that a tokenizer adds are left out. Layers past the last wanted site are not computed.
//! Memory: one batch of activity and four shards.

use std::cell::RefCell;
use std::path::Path;

use clap::Args;
use ndarray::Array2;
use nissl_core::network::{LanguageNetwork, TokenBatch};
use nissl_core::numbers::Precision;
use nissl_core::recording::{Layout, RecordingPlan, Source};
use nissl_core::site::select;
use nissl_core::store::{Existing, Provenance};
use nissl_core::taps::Taps;
use nissl_core::{Column, Error, Progress, Recording, RecordingWriter, Result, SiteGlob, Table};
use serde::{Deserialize, Serialize};

use crate::text::Document;
use crate::windows::{Window, Windows, cut};

/// How a network is recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Args)]
#[serde(default, deny_unknown_fields)]
pub struct RecordNetwork {
    /// Sites to record, such as `layers.*.mlp.act`; may be given several times
    #[arg(long = "site", value_name = "GLOB", required = true)]
    pub sites: Vec<SiteGlob>,
    /// Tokens the network sees at once; 0 is as many as it can [default: 0]
    #[arg(long, value_name = "TOKENS", default_value_t = 0, hide_default_value = true)]
    pub context: usize,
    /// Tokens between the beginnings of two windows; 0 is `context` [default: 0]
    #[arg(long, value_name = "TOKENS", default_value_t = 0, hide_default_value = true)]
    pub stride: usize,
    /// Windows computed together
    #[arg(long, value_name = "WINDOWS", default_value_t = RecordNetwork::default().batch)]
    pub batch: usize,
    /// Stop after this many tokens; 0 is all [default: 0]
    #[arg(long, value_name = "TOKENS", default_value_t = 0, hide_default_value = true)]
    pub max_tokens: usize,
    /// Precision of the stored activity
    #[arg(long, value_enum, default_value_t = Dtype::F32)]
    pub dtype: Dtype,
    /// Store sparsely, with values of this magnitude or less as zero
    #[arg(long, value_name = "MAGNITUDE")]
    pub sparse_above: Option<f32>,
    /// Record the tokens that the tokenizer adds (such as [CLS]) too
    #[arg(long)]
    pub keep_special: bool,
}

/// The precision of stored activity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// 32 bits.
    #[default]
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of an f32.
    Bf16,
}

impl From<Dtype> for Precision {
    fn from(dtype: Dtype) -> Self {
        match dtype {
            Dtype::F32 => Self::F32,
            Dtype::F16 => Self::F16,
            Dtype::Bf16 => Self::Bf16,
        }
    }
}

impl Default for RecordNetwork {
    fn default() -> Self {
        Self {
            sites: Vec::new(),
            context: 0,
            stride: 0,
            batch: 16,
            max_tokens: 0,
            dtype: Dtype::F32,
            sparse_above: None,
            keep_special: false,
        }
    }
}

impl RecordNetwork {
    /// # Errors
    /// A setting outside its range.
    pub fn validate(&self) -> Result<()> {
        if self.sites.is_empty() {
            return Err(Error::setting("site", "absent", "at least one site glob"));
        }
        if self.batch == 0 {
            return Err(Error::setting("batch", 0, "1 or more"));
        }
        if self.sparse_above.is_some_and(|bound| !(bound >= 0.0 && bound.is_finite())) {
            return Err(Error::setting("sparse_above", "negative or not finite", "0 or more"));
        }
        Ok(())
    }
}

/// Records `network` over `documents` into the folder `out`.
///
/// # Errors
/// A site that the network lacks, a text that cannot be read, no token at all, an output folder that
/// exists, a failed file operation, or an interruption (what was committed can be resumed).
pub fn record(
    network: &dyn LanguageNetwork,
    documents: impl Iterator<Item = Result<Document>>,
    settings: &RecordNetwork,
    (out, existing): (&Path, Existing),
    provenance: Provenance,
    progress: &Progress,
) -> Result<Recording> {
    settings.validate()?;
    let sites: Vec<String> = select(network.id(), network.sites(), &settings.sites)?
        .into_iter()
        .map(|site| site.name().to_owned())
        .collect();
    let limit = network.context();
    let context = if settings.context == 0 { limit } else { settings.context };
    if context > limit {
        return Err(Error::setting(
            "context",
            context,
            format!("at most {limit}, the context of {}", network.id()),
        ));
    }
    let stride = if settings.stride == 0 { context } else { settings.stride };
    let windows = Windows { context, stride, keep_special: settings.keep_special };
    let tokenizer = network.tokenizer()?;

    let stage = progress.stage("record", settings.max_tokens as u64, "tokens");
    let mut writer: Option<RecordingWriter> = None;
    let (mut seen, mut skipped) = (0, 0);
    let mut stopped = false;
    let mut batch: Vec<Window> = Vec::with_capacity(settings.batch);
    let mut incoming = documents.enumerate().flat_map(|(number, document)| {
        match document.and_then(|document| windows.cut(tokenizer, number as u32, &document)) {
            Ok(windows) => windows.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        }
    });
    loop {
        batch.clear();
        for window in incoming.by_ref().take(settings.batch) {
            batch.push(window?);
        }
        let wanted = settings.max_tokens;
        if batch.is_empty() || (wanted > 0 && seen >= wanted) {
            break;
        }
        if wanted > 0 {
            cut(&mut batch, wanted - seen);
        }
        let rows: usize = batch.iter().map(|window| window.rows.len()).sum();
        if let Some(writer) = &writer
            && skipped < writer.committed()
        {
            skipped += rows as u64;
            seen += rows;
            continue;
        }
        let activity = run(network, &batch, &sites, &settings.sites)?;
        let writer = if let Some(writer) = &mut writer {
            writer
        } else {
            let plan = plan(&activity, settings, network, &provenance);
            let created = RecordingWriter::create(out, plan, existing)?;
            let committed = created.committed();
            writer = Some(created);
            if committed > 0 {
                skipped = rows as u64;
                seen = rows;
                continue;
            }
            writer.as_mut().ok_or_else(nothing)?
        };
        if skipped != writer.committed() {
            return Err(Error::file(
                out,
                "samples",
                writer.committed(),
                "the end of a batch (resume with the --batch of the interrupted run)",
            ));
        }
        let mut table = Table::new();
        for window in &batch {
            table.append(window.table.clone())?;
        }
        writer.push(assemble(&activity, &batch, rows)?.view(), table)?;
        seen += rows;
        stage.advance(rows as u64);
        // The shard is finished first, so that the resumed recording has the bytes of a whole one.
        if progress.interrupted() && writer.between_shards() {
            stopped = true;
            break;
        }
    }
    drop(incoming);
    let writer = writer.ok_or_else(nothing)?;
    if stopped {
        let kept = writer.suspend()?;
        return Err(Error::Interrupted { done: format!("{kept} tokens") });
    }
    writer.finish()
}

fn nothing() -> Error {
    Error::Empty { what: "the text".to_owned(), expected: "at least one token".to_owned() }
}

/// A site's activity `[batch, position, unit]`, flattened.
pub(crate) struct SiteActivity {
    site: String,
    values: Vec<f32>,
    positions: usize,
    units: usize,
    /// Units as they are stored; attention patterns are as wide as the context in every batch.
    stored: usize,
}

impl SiteActivity {
    /// The units at a position of a sequence of the batch.
    pub(crate) fn row(&self, sequence: usize, position: usize) -> &[f32] {
        let begin = (sequence * self.positions + position) * self.units;
        &self.values[begin..begin + self.units]
    }
}

/// Runs a batch; the activity of `sites`, which `globs` select, in their order.
pub(crate) fn run(
    network: &dyn LanguageNetwork,
    batch: &[Window],
    sites: &[String],
    globs: &[SiteGlob],
) -> Result<Vec<SiteActivity>> {
    let sequences: Vec<&[u32]> = batch.iter().map(|window| window.tokens.as_slice()).collect();
    let tokens = TokenBatch::new(&sequences)?;
    let seen = RefCell::new(Vec::with_capacity(sites.len()));
    let mut taps = Taps::none().without_output();
    for glob in globs {
        taps = taps.read(glob.clone(), |site, tensor| {
            seen.borrow_mut().push((site.to_owned(), tensor.clone()));
        });
    }
    network.forward(&tokens, &mut taps)?;
    drop(taps);
    let mut activity = Vec::with_capacity(sites.len());
    for site in sites {
        let at = seen.borrow().iter().position(|(name, _)| name == site);
        let Some(at) = at else {
            return Err(Error::NoSuchSite {
                network: network.id().to_owned(),
                pattern: site.clone(),
                help: Some("the network lists this site but did not reach it".to_owned()),
            });
        };
        let (site, tensor) = seen.borrow_mut().swap_remove(at);
        let [_, positions, units] = tensor.dims();
        let stored = match network.width(&nissl_core::Site::new(site.as_str())) {
            Some(_) => units,
            None => units / positions.max(1) * network.context(),
        };
        let values = tensor
            .into_data()
            .convert::<f32>()
            .try_to_vec::<f32>()
            .map_err(|error| Error::setting(site.as_str(), format!("{error:?}"), "numbers"))?;
        activity.push(SiteActivity { site, values, positions, units, stored });
    }
    Ok(activity)
}

/// The recorded rows of a batch `[sample, unit]`, sites side by side.
fn assemble(activity: &[SiteActivity], batch: &[Window], rows: usize) -> Result<Array2<f32>> {
    let width: usize = activity.iter().map(|site| site.stored).sum();
    let mut out = Vec::with_capacity(rows * width);
    for (number, window) in batch.iter().enumerate() {
        for &row in &window.rows {
            for site in activity {
                let values = site.row(number, row);
                if site.stored == site.units {
                    out.extend_from_slice(values);
                } else {
                    let heads = site.units / site.positions;
                    for head in values.chunks(site.positions) {
                        out.extend_from_slice(head);
                        out.resize(out.len() + site.stored / heads - site.positions, 0.0);
                    }
                }
            }
        }
    }
    Array2::from_shape_vec((rows, width), out)
        .map_err(|error| Error::setting("activity", error, "rows of all units"))
}

fn plan(
    activity: &[SiteActivity],
    settings: &RecordNetwork,
    network: &dyn LanguageNetwork,
    provenance: &Provenance,
) -> RecordingPlan {
    let (mut sites, mut index) = (Vec::new(), Vec::new());
    for site in activity {
        sites.extend(std::iter::repeat_n(site.site.clone(), site.stored));
        index.extend(0..site.stored as u32);
    }
    let units = Table::new()
        .with("unit", Column::U32((0..index.len() as u32).collect()))
        .with("site", Column::Text(sites))
        .with("index", Column::U32(index));
    let source = Source {
        network: Some(network.id().to_owned()),
        sites: settings.sites.iter().map(|glob| glob.pattern().to_owned()).collect(),
        importer: None,
        files: provenance.inputs.iter().map(|input| input.path.clone()).collect(),
    };
    let mut plan = RecordingPlan::new(units, source, provenance.clone());
    plan.precision = settings.dtype.into();
    if let Some(threshold) = settings.sparse_above {
        plan.layout = Layout::Csr;
        plan.threshold = threshold;
    }
    plan
}
