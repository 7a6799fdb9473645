//! `nissl train dictionary MODEL --site IN [--target OUT] --text FILE… -o OUT`

use std::path::PathBuf;
use std::process::ExitCode;

use nissl_core::features::{Features, FeaturesPlan, FeaturesWriter};
use nissl_core::network::LanguageNetwork;
use nissl_core::progress::significant;
use nissl_core::store::{Existing, Provenance, write_bytes};
use nissl_core::{Column, Error, Result, Site, Table};
use nissl_decompose::sparse_training::{Figures, Run, Training, UNFINISHED, forget, train};
use nissl_probe::dictionary::{Evaluate, Evaluated, Replacement, evaluate};
use nissl_record::stream::{NetworkStream, StreamNetwork};
use nissl_record::text::DocumentStream;

use crate::Context;
use crate::verbs::record;
use crate::verbs::texts::{Texts, sequences};

/// `nissl train dictionary`
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "nissl train dictionary <MODEL> --site <SITE> --text <FILE>... --out <FOLDER> [OPTIONS]\n       \
                      nissl train dictionary <MODEL> --site <SITE> --target <SITE> --text <FILE>... --out <FOLDER>",
    // Passes over a recording, and memory for its samples: a stream has neither.
    mut_arg("epochs", |arg| arg.hide(true)),
    mut_arg("memory_mib", |arg| arg.hide(true))
)]
pub(crate) struct TrainDictionary {
    /// A folder with a checkpoint, a .pt or .safetensors file, or hub:owner/name[@revision]
    model: String,
    /// The site that is read, and rebuilt: layers.3.resid.post, or layers.3.mlp.in of a transcoder
    #[arg(long, value_name = "SITE")]
    site: String,
    /// The site that is predicted in its place, such as layers.3.mlp.out: a transcoder
    #[arg(long, value_name = "SITE")]
    target: Option<String>,
    /// Let a linear map of the input add to the prediction (skip transcoder)
    #[arg(long, requires = "target")]
    skip: bool,
    #[command(flatten)]
    texts: Texts,
    /// Share of the documents that is held out to evaluate on, above 0 and at most a half
    #[arg(long, default_value_t = 0.02, value_name = "SHARE")]
    held_out: f64,
    /// Held-out tokens that are evaluated; 0 leaves the evaluation out
    #[arg(long, default_value_t = 16_384, value_name = "TOKENS")]
    evaluate: usize,
    #[command(flatten)]
    stream: StreamNetwork,
    #[command(flatten)]
    training: Training,
    /// The folder of the new features
    #[arg(short, long, value_name = "FOLDER")]
    out: PathBuf,
}

/// The settings that the manifest keeps.
#[derive(serde::Serialize)]
struct Config<'a> {
    train: &'a serde_json::Value,
    held_out: f64,
}

/// The file of the evaluation, beside the dictionary.
const EVALUATION: &str = "evaluation.json";

pub(crate) fn run(args: &TrainDictionary, context: &Context<'_>) -> Result<ExitCode> {
    let seed = context.global.seed;
    let training = Training { seed, ..args.training.clone() };
    let streaming = StreamNetwork { seed, ..args.stream.clone() };
    training.validate()?;
    streaming.validate()?;
    if training.memory_mib != Training::default().memory_mib {
        let expected =
            "unset for a network that runs meanwhile; --buffer says how many samples are shuffled";
        return Err(Error::setting("memory", training.memory_mib, expected));
    }
    if !(args.held_out > 0.0 && args.held_out <= 0.5) {
        return Err(Error::setting("held_out", args.held_out, "above 0 and at most 0.5"));
    }
    drop(args.texts.stream()?); // Texts that are not there are told before the network is loaded.
    let network = record::open(&args.model, context.global)?;
    let input = Site::new(&args.site);
    let target = args.target.as_ref().map(Site::new);
    let plan = plan(args, &training, &streaming, &network, context)?;
    let every = (1.0 / args.held_out).round().max(2.0) as usize;
    let texts = || Ok(kept(args.texts.stream()?, every, Side::Fit));
    if streaming.leave_out == 0 {
        context.printer.note(
            "the first position of each text is included, whose activity is huge in many networks; \
             --leave-out 1 trains without it",
        );
    }

    let (out, existing) = (args.out.as_path(), context.global.existing());
    let samples = training.samples(None)?;
    let progress = context.progress;
    let way = Run {
        samples,
        skip: args.skip,
        folder: Some(out),
        resume: existing == Existing::Resume,
        progress,
    };
    let fit = || {
        let sites = (&input, target.as_ref());
        let mut stream = NetworkStream::new(&network, sites, &texts, &streaming, progress)?;
        train(&training, &mut stream, &way)
    };
    let mut told = None;
    let writer = FeaturesWriter::create(out, &plan, existing, || {
        let trained = fit()?;
        told = Some((trained.table(), trained.columns(), trained.figures.last().copied()));
        Ok(trained.dictionary)
    })?;
    let mut features = writer.finish_dictionary()?;
    if told.is_none() && out.join(UNFINISHED).exists() {
        // The training had ended before the run was cut off: its state holds all that is told of it.
        let trained = fit()?;
        told = Some((trained.table(), trained.columns(), trained.figures.last().copied()));
    }
    let mut last = None;
    if let Some((table, columns, figures)) = told {
        table.write(&out.join("training.parquet"))?;
        features.set_columns(&columns)?;
        last = figures;
    }
    forget(out)?;
    let found = if args.evaluate > 0 {
        held_out(args, &network, &features, &streaming, every, context)?
    } else {
        None
    };
    show(args, &features, last, found.as_ref(), context)?;
    Ok(ExitCode::SUCCESS)
}

/// What the features will be, or an error of a site before anything is trained.
fn plan(
    args: &TrainDictionary,
    training: &Training,
    streaming: &StreamNetwork,
    network: &dyn LanguageNetwork,
    context: &Context<'_>,
) -> Result<FeaturesPlan> {
    let units = |site: &str| -> Result<Table> {
        let site = Site::new(site);
        nissl_core::network::require_site(network, &site)?;
        let Some(width) = network.width(&site) else {
            let expected = "a site whose number of units does not depend on the text";
            return Err(Error::setting("site", &site, expected));
        };
        let index: Vec<u32> = (0..width as u32).collect();
        Ok(Table::new()
            .with("unit", Column::U32(index.clone()))
            .with("site", Column::Text(vec![site.name().to_owned(); width]))
            .with("index", Column::U32(index)))
    };
    let read = units(&args.site)?;
    training.features(read.rows())?;
    let output = args.target.as_deref().map(units).transpose()?;
    let method = if args.target.is_some() { "transcoder" } else { "sae" };
    let json = |error: serde_json::Error| Error::setting("settings", error, "what JSON can hold");
    let mut tag = serde_json::to_value(training).map_err(json)?;
    tag["method"] = method.into();
    if let Some(target) = &args.target {
        tag["target"] = target.as_str().into();
        tag["input"] = args.site.as_str().into();
        tag["skip"] = args.skip.into();
    }
    tag["stream"] = serde_json::to_value(streaming).map_err(json)?;
    let config = Config { train: &tag, held_out: args.held_out };
    let mut provenance = Provenance::here(&config, context.global.seed, &context.global.device);
    let model = std::path::Path::new(&args.model);
    if model.exists() {
        provenance = provenance.with_input(model)?;
    }
    let provenance = args.texts.told(provenance)?;
    let mut plan = FeaturesPlan::new(read, tag, provenance);
    plan.output_units = output;
    Ok(plan)
}

/// A side of the texts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    /// Trained on.
    Fit,
    /// Held out: every so many-th document.
    HeldOut,
}

fn kept(documents: DocumentStream, every: usize, side: Side) -> DocumentStream {
    let held = move |number: usize| number % every == every - 1;
    let chosen = documents.enumerate().filter(move |(number, document)| {
        document.is_err() || held(*number) == (side == Side::HeldOut)
    });
    Box::new(chosen.map(|(_, document)| document))
}

/// The evaluation on documents that were not trained on, which also goes into the folder.
fn held_out(
    args: &TrainDictionary,
    network: &dyn LanguageNetwork,
    features: &Features,
    streaming: &StreamNetwork,
    every: usize,
    context: &Context<'_>,
) -> Result<Option<Evaluated>> {
    let documents = kept(args.texts.stream()?, every, Side::HeldOut);
    let text = sequences(network, documents, streaming.context, args.evaluate);
    let text = text.map_err(|error| match error {
        Error::Empty { .. } => {
            let expected = "texts of more documents, a larger --held-out, or --evaluate 0";
            Error::setting("held-out documents", "none", expected)
        }
        other => other,
    })?;
    let settings = Evaluate { first: streaming.leave_out, ..Evaluate::default() };
    if !text.iter().any(|row| row.len() > settings.first + 1) {
        context.printer.note(
            "not evaluated: no token follows the positions that are left out; see --task of \
             `nissl probe dictionary`",
        );
        return Ok(None);
    }
    let sets = [vec![Replacement::of(features, network)?]];
    let mut found = evaluate(network, &sets, &text, &settings, context.progress)?;
    let found = found.remove(0);
    let bytes = serde_json::to_vec_pretty(&found)
        .map_err(|error| Error::setting("evaluation", error, "what JSON can hold"))?;
    write_bytes(&features.path().join(EVALUATION), &bytes)?;
    Ok(Some(found))
}

fn show(
    args: &TrainDictionary,
    features: &Features,
    last: Option<Figures>,
    found: Option<&Evaluated>,
    context: &Context<'_>,
) -> Result<()> {
    let path = args.out.display();
    if context.printer.is_json() {
        let training = last.map(|it| {
            serde_json::json!({
                "samples": it.samples, "loss": it.loss, "fvu": it.fvu, "active": it.l0,
                "dead": it.dead,
            })
        });
        context.printer.json(&serde_json::json!({
            "path": args.out, "method": features.method(), "features": features.features(),
            "units": features.units(), "training": training, "held_out": found,
        }))?;
    }
    if let Some(last) = last {
        context.printer.note(&format!(
            "trained on {} samples · L0 {} · FVU {} · {:.1} % dead",
            last.samples,
            significant(last.l0),
            significant(last.fvu),
            100.0 * last.dead
        ));
    }
    if let Some(found) = found {
        let one = &found.dictionaries[0];
        context.printer.note(&format!(
            "held out, {} tokens: L0 {} · FVU {} · loss {:.4}, {:.4} with the dictionary, {:.4} \
             without the site: {:.1} % recovered",
            found.tokens,
            significant(one.active),
            significant(one.fvu),
            found.full,
            found.replaced,
            found.zero,
            100.0 * found.recovered
        ));
    }
    context.printer.note(&format!(
        "{path}: {} features of {} units · next: nissl probe dictionary {path} --model {} --text FILE",
        features.features(),
        features.units(),
        args.model
    ));
    Ok(())
}
