//! The demo: the whole way from a network to scored, named and tested features.
//!
//! On the embedded model every step is scored against planted truth; on a checkpoint of the user's
//! the same steps are taken without a truth.

mod cards;
pub mod model;
mod page;
mod steering;

use std::path::{Path, PathBuf};
use std::time::Instant;

use nissl_core::network::{LanguageNetwork, Network};
use nissl_core::store::{Existing, Provenance, write_bytes};
use nissl_core::{Error, Progress, Recording, Result, device};
use nissl_decompose::snmf::{Initial, Sparsity};
use nissl_decompose::sparse_training::Training;
use nissl_decompose::{Kmeans, Method, Neurons, Options, Pca, Sae, Snmf, Transcoder};
use nissl_explain::{Explain, Explained};
use nissl_networks::language::Language;
use nissl_record::{Documents, RecordNetwork};
use nissl_worlds::language::LanguageWorld;
use serde::Serialize;

use crate::compare::{Compared, HELD_OUT, compare};

/// What the demo records.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// Tokens of fresh stories, or of the user's texts.
    pub tokens: usize,
    /// The site that is decomposed.
    pub site: String,
    /// What the MLP of that site reads and writes, for a transcoder.
    pub around: [String; 2],
}

impl Default for Stage {
    fn default() -> Self {
        Self {
            tokens: 16_000,
            site: "layers.1.mlp.act".to_owned(),
            around: ["layers.1.mlp.in", "layers.1.mlp.out"].map(str::to_owned),
        }
    }
}

/// The embedded model with what it did over fresh stories.
pub struct Recorded {
    /// The model.
    pub network: Language,
    /// Its activity at the site.
    pub recording: Recording,
    /// Its activity around the MLP.
    pub around: Recording,
}

impl Recorded {
    /// Each method with the recording that it is given.
    pub fn methods(&self, stage: &Stage) -> Vec<(Method, &Recording)> {
        let of = |method: Method| {
            let around = matches!(method, Method::Transcoder(_));
            (method, if around { &self.around } else { &self.recording })
        };
        methods(stage).into_iter().map(of).collect()
    }
}

/// What the demo prints.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The methods against the truth; none without a truth.
    pub methods: Vec<MethodSummary>,
    /// The site that was decomposed.
    pub site: String,
    /// Features whose examples show a pattern.
    pub named: usize,
    /// The report.
    pub report: String,
    /// How long it took.
    pub seconds: f64,
}

/// A method against the truth.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MethodSummary {
    /// Its name.
    pub method: String,
    /// Mean over concepts of the held-out AUROC of the best feature.
    pub mean_auroc: f64,
    /// Lower end of its 95 % interval over concepts.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Concepts with a feature of held-out AUROC 0.9 or more.
    pub recovered: usize,
    /// Concepts that were judged.
    pub concepts: usize,
    /// Features of the method.
    pub features: usize,
}

/// The methods that the demo compares: all get the same number of features, but for the neurons.
fn methods(stage: &Stage) -> Vec<Method> {
    let [input, target] = stage.around.clone().map(Some);
    vec![
        Method::Neurons(Neurons::default()),
        Method::Pca(Pca { k: FEATURES, ..Pca::default() }),
        Method::Kmeans(Kmeans { k: FEATURES, rounds: 30, restarts: 1, ..Kmeans::default() }),
        Method::Sae(Sae { training: training() }),
        Method::Transcoder(Transcoder { target, input, skip: false, training: training() }),
        Method::Snmf(snmf()),
    ]
}

/// How the sparse autoencoder and the transcoder are trained.
fn training() -> Training {
    Training {
        features: Some(FEATURES),
        k: 8,
        tokens: Some(400_000),
        dead_after: 50_000,
        ..Training::default()
    }
}

/// Features of each method.
const FEATURES: usize = 300;

fn snmf() -> Snmf {
    Snmf {
        k: FEATURES,
        sparsity: Sparsity::Fraction(0.15),
        iterations: 100,
        patience: 100,
        restarts: 1,
        initial: Initial::Kmeans,
        ..Snmf::default()
    }
}

/// Stories with this seed and above are never trained on.
const FRESH: u64 = 1_000_000;

/// Unpacks the embedded model under `folder`, tells fresh stories and records the model over them, at
/// the site and around its MLP.
///
/// # Errors
/// A failed file operation, or an interruption.
pub fn record_world(
    folder: &Path,
    stage: &Stage,
    seed: u64,
    progress: &Progress,
) -> Result<Recorded> {
    let model = model::unpack(&folder.join("model"))?;
    let network = Language::load(&model, "the embedded model", &device::parse("cpu")?)?;
    let world =
        LanguageWorld { tokens: stage.tokens, seed: FRESH + seed, ..LanguageWorld::default() };
    let stories = folder.join("world");
    let provenance = Provenance::here(&world, world.seed, "cpu");
    world.write(&stories, provenance, Existing::Refuse, progress)?;
    let record = |sites: &[&String], name: &str| {
        let sites = sites.iter().map(|site| site.parse()).collect::<Result<_>>()?;
        let settings = RecordNetwork { sites, ..RecordNetwork::default() };
        let provenance =
            Provenance::here(&settings, seed, "cpu").with_input(&model)?.with_input(&stories)?;
        nissl_record::record(
            &network,
            nissl_record::world::stories(&stories)?,
            &settings,
            (&folder.join(name), Existing::Refuse),
            provenance,
            progress,
        )
    };
    let recording = record(&[&stage.site], "recording")?;
    let around = record(&[&stage.around[0], &stage.around[1]], "around-mlp")?;
    Ok(Recorded { network, recording, around })
}

/// The demo on the embedded model.
///
/// # Errors
/// A failed file operation, or an interruption.
pub fn embedded(out: &Path, seed: u64, progress: &Progress) -> Result<Summary> {
    let begun = Instant::now();
    let stage = Stage::default();
    let recorded = record_world(out, &stage, seed, progress)?;
    let methods = recorded.methods(&stage);
    let compared = compare(&methods, &out.join("features"), seed, progress)?;
    let Recorded { network, recording, .. } = &recorded;
    let chosen = compared
        .iter()
        .find(|one| one.method == "snmf")
        .ok_or_else(|| Error::setting("methods", "without snmf", "snmf among them"))?;
    let explained = explain(&chosen.features, recording, network, progress)?;
    let steered = steering::steer_five(network, chosen, recording, &explained, seed, progress)?;
    let cards = cards::cards(chosen, recording, network, &explained, progress)?;
    let summary = Summary {
        methods: compared.iter().map(summary_of).collect(),
        site: stage.site.clone(),
        named: explained.good().len(),
        report: out.join("report.html").display().to_string(),
        seconds: begun.elapsed().as_secs_f64(),
    };
    page::with_truth(&compared, cards, steered, recording, &summary, seed)?
        .write(&out.join("report.html"))?;
    finish(out, &summary)?;
    Ok(summary)
}

/// The demo on a checkpoint and texts of the user's.
///
/// # Errors
/// Texts that cannot be read, a failed file operation, or an interruption.
pub fn checkpoint(
    network: &Language,
    texts: &[PathBuf],
    out: &Path,
    seed: u64,
    progress: &Progress,
) -> Result<Summary> {
    let begun = Instant::now();
    let site = format!("layers.{}.mlp.act", network.layers() / 2);
    let settings = RecordNetwork {
        sites: vec![site.parse()?],
        context: network.context().min(256),
        max_tokens: Stage::default().tokens / 2,
        ..RecordNetwork::default()
    };
    let mut provenance = Provenance::here(&settings, seed, "cpu");
    for text in texts {
        provenance = provenance.with_input(text)?;
    }
    let recording = nissl_record::record(
        network,
        nissl_record::documents(texts, "text", Documents::Paragraph)?,
        &settings,
        (&out.join("recording"), Existing::Refuse),
        provenance,
        progress,
    )?;
    let k = FEATURES.min(recording.samples() / 5).min(recording.units()).max(1);
    let method = Method::Snmf(Snmf { k, sparsity: Sparsity::Fraction(0.01), ..snmf() });
    let options = Options { seed, held_out: HELD_OUT, ..Options::default() };
    let folder = out.join("features").join("snmf");
    let features = nissl_decompose::decompose(&method, &recording, &folder, &options, progress)?;
    let explained = explain(&features, &recording, network, progress)?;
    let cards = cards::without_truth(&features, &recording, network, &explained, progress)?;
    let summary = Summary {
        methods: Vec::new(),
        site,
        named: explained.good().len(),
        report: out.join("report.html").display().to_string(),
        seconds: begun.elapsed().as_secs_f64(),
    };
    page::without_truth(network.id(), &features, cards, &recording, &summary, seed)
        .write(&out.join("report.html"))?;
    finish(out, &summary)?;
    Ok(summary)
}

fn explain(
    features: &nissl_core::features::Features,
    recording: &Recording,
    network: &dyn LanguageNetwork,
    progress: &Progress,
) -> Result<Explained> {
    nissl_explain::all(features, recording, Some(network), &Explain::default(), progress)
}

fn summary_of(one: &Compared) -> MethodSummary {
    let matches = &one.matches;
    MethodSummary {
        method: one.method.clone(),
        mean_auroc: matches.mean_auroc,
        low: matches.low,
        high: matches.high,
        recovered: matches.recovered,
        concepts: matches.concepts.len(),
        features: one.features.features(),
    }
}

fn finish(out: &Path, summary: &Summary) -> Result<()> {
    let text = serde_json::to_vec_pretty(summary)
        .map_err(|error| Error::setting("summary", error, "a JSON document"))?;
    write_bytes(&out.join("demo.json"), &text)
}
