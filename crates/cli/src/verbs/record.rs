//! `nissl record MODEL --site GLOB… --text FILE…|--world DIR -o DIR`

use std::path::PathBuf;
use std::process::ExitCode;

use nissl_core::store::Provenance;
use nissl_core::{Error, Result, device};
use nissl_networks::language::{Hub, Language, Source};
use nissl_record::{Documents, RecordNetwork, documents};

use crate::{Context, Global};

/// `nissl record`
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "nissl record <MODEL> --site <GLOB> --text <FILE>... --out <FOLDER> [OPTIONS]\n       \
                      nissl record <MODEL> --site <GLOB> --world <FOLDER> --out <FOLDER> [OPTIONS]"
)]
#[command(group(clap::ArgGroup::new("texts").args(["text", "world"]).required(true)))]
pub(crate) struct Record {
    /// A folder with a checkpoint, a .pt or .safetensors file, or hub:owner/name[@revision]
    model: String,
    /// Texts the network reads: .txt, .json, .jsonl, .csv, .parquet; several may follow
    #[arg(long, value_name = "FILE", num_args = 1..)]
    text: Vec<PathBuf>,
    /// A folder that `nissl world language` wrote; its truth goes into the sample table
    #[arg(long, value_name = "FOLDER")]
    world: Option<PathBuf>,
    /// The field of .json, .jsonl, .csv and .parquet that holds the text, or else `prompt`
    #[arg(long, default_value = "text", value_name = "NAME")]
    column: String,
    /// Where plain text is cut into documents
    #[arg(long, value_enum, default_value_t = Documents::Paragraph, value_name = "WHERE")]
    documents: Documents,
    #[command(flatten)]
    settings: RecordNetwork,
    /// The folder of the new recording
    #[arg(short, long, value_name = "FOLDER")]
    out: PathBuf,
}

/// The folder of the checkpoint that `model` names.
pub(crate) fn folder_of(model: &str, global: &Global) -> Result<PathBuf> {
    let source: Source = model.parse()?;
    source.folder(if global.offline { Hub::Offline } else { Hub::from_environment() })
}

/// The network that `model` names, on the device that the user chose.
pub(crate) fn open(model: &str, global: &Global) -> Result<Language> {
    let source: Source = model.parse()?;
    let hub = if global.offline { Hub::Offline } else { Hub::from_environment() };
    Language::open(&source, hub, &device::parse(&global.device)?)
}

pub(crate) fn run(args: &Record, context: &Context<'_>) -> Result<ExitCode> {
    args.settings.validate()?;
    let network = open(&args.model, context.global)?;
    let mut provenance =
        Provenance::here(&args.settings, context.global.seed, &context.global.device);
    let folder = std::path::Path::new(&args.model);
    if folder.exists() {
        provenance = provenance.with_input(folder)?;
    }
    for input in args.text.iter().chain(&args.world) {
        provenance = provenance.with_input(input)?;
    }
    let stream: nissl_record::text::DocumentStream = match &args.world {
        Some(world) => Box::new(nissl_record::world::stories(world)?),
        None => documents(&args.text, &args.column, args.documents)?,
    };
    let target = (args.out.as_path(), context.global.existing());
    let recorded = nissl_record::record(
        &network,
        stream,
        &args.settings,
        target,
        provenance,
        context.progress,
    );
    let recording = recorded.map_err(|error| match error {
        Error::Interrupted { done } => {
            Error::Interrupted { done: format!("{done} in {}", args.out.display()) }
        }
        other => other,
    })?;
    let (samples, units) = (recording.samples(), recording.units());
    if context.printer.is_json() {
        context.printer.json(&serde_json::json!({
            "path": args.out, "samples": samples, "units": units,
            "sites": recording.sites().iter().map(ToString::to_string).collect::<Vec<_>>(),
        }))?;
    }
    context.printer.note(&format!(
        "{}: {samples} tokens × {units} units · next: nissl decompose snmf {} -o FEATURES",
        args.out.display(),
        args.out.display()
    ));
    Ok(ExitCode::SUCCESS)
}
