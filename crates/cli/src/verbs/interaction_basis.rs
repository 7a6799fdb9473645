//! `nissl decompose lib MODEL --sums N|--tokens FILE|--text FILE…|--recording REC -o DIR`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nissl_core::error::IoContext;
use nissl_core::features::{FeaturesPlan, FeaturesWriter};
use nissl_core::section::{Basis, Held, InteractionBasis, Nonlinearity, Samples};
use nissl_core::store::{Existing, Provenance};
use nissl_core::{Column, Error, Recording, Result, Table};
use nissl_decompose::interaction_basis::{LocalInteractionBasis, dictionary, importance};
use nissl_networks::language::{Hub, Source};
use nissl_networks::sections::{Cut, Outputs, Perceptron, Transformer, is_transformer};

use crate::Context;
use crate::verbs::record;
use crate::verbs::texts::{Texts, sequences};

/// `nissl decompose lib`
#[derive(Clone, Debug, clap::Args)]
#[command(
    override_usage = "nissl decompose lib <MODEL> --text <FILE>... --out <FOLDER> [OPTIONS]\n       \
                      nissl decompose lib <MODEL> --tokens <FILE> --out <FOLDER>\n       \
                      nissl decompose lib <MODEL> --sums <N> --out <FOLDER>\n       \
                      nissl decompose lib <MODEL> --recording <REC> --out <FOLDER>"
)]
pub(crate) struct Lib {
    /// A transformer (GPT-2 family, TransformerLens's .pt) or perceptron (`layers.N.weight`): a folder or file
    model: String,
    /// Node layers in order, separated by commas [default: the residual streams and the logits, or all layers]
    #[arg(long, value_name = "SITE,...", value_delimiter = ',')]
    node_layers: Vec<String>,
    /// A file with one sequence of token numbers on each line, all of one length
    #[arg(long, value_name = "FILE", conflicts_with_all = ["sums", "recording"])]
    tokens: Option<PathBuf>,
    /// All pairs `x y N` of numbers below N: the inputs of an adder modulo N, followed at its last position
    #[arg(long, value_name = "N", conflicts_with = "recording")]
    sums: Option<u32>,
    /// A recording whose samples are the inputs of a perceptron
    #[arg(long, value_name = "REC")]
    recording: Option<PathBuf>,
    #[command(flatten)]
    texts: Texts,
    /// Tokens of a sequence cut from texts, at least 2
    #[arg(long, default_value_t = 32, value_name = "TOKENS")]
    context: usize,
    /// Tokens that are read from texts
    #[arg(long, default_value_t = 65_536, value_name = "TOKENS")]
    read: usize,
    /// Follow only the last position of each sequence from the last attention on
    #[arg(long)]
    last_position: bool,
    /// The function of the units of a perceptron: relu, gelu, gelu-tanh, tanh or silu
    #[arg(long, default_value = "relu", value_parser = nonlinearity, value_name = "NAME")]
    nonlinearity: Nonlinearity,
    #[command(flatten)]
    settings: LocalInteractionBasis,
    /// The folder of the new bases
    #[arg(short, long, value_name = "FOLDER")]
    out: PathBuf,
}

/// The file of all bases in f64.
const BASIS: &str = "basis.safetensors";

fn nonlinearity(text: &str) -> std::result::Result<Nonlinearity, String> {
    serde_json::from_value(text.into())
        .map_err(|_unknown| "expected relu, gelu, gelu-tanh, tanh or silu".to_owned())
}

pub(crate) fn run(args: &Lib, context: &Context<'_>) -> Result<ExitCode> {
    let settings = LocalInteractionBasis { seed: context.global.seed, ..args.settings.clone() };
    settings.validate()?;
    let existing = context.global.existing();
    if existing == Existing::Refuse && args.out.join(BASIS).exists() {
        return Err(Error::Exists { path: args.out.display().to_string() });
    }
    let source: Source = args.model.parse()?;
    let hub = if context.global.offline { Hub::Offline } else { Hub::from_environment() };
    let path = source.folder(hub)?;
    let fit =
        |cut: &Cut, samples: &dyn Samples| settings.fit(&cut.chain, samples, context.progress);
    let found = if is_transformer(&path)? {
        let network = Transformer::open(&path)?;
        let sequences = tokens(args, context)?;
        let positions = sequences.first().map_or(0, Vec::len);
        let tokens = network.tokens(sequences)?;
        let chosen = or(&args.node_layers, || network.usual_node_layers());
        let last = args.last_position || args.sums.is_some();
        let outputs = if last { Outputs::Last } else { Outputs::All };
        let cut = network.cut(&chosen, positions, outputs)?;
        fit(&cut, &cut.samples(tokens))?
    } else {
        let network = Perceptron::open(&path, args.nonlinearity)?;
        let cut = network.cut(&or(&args.node_layers, || network.node_layers()))?;
        fit(&cut, &cut.samples(inputs(args, network.inputs())?))?
    };
    write(args, &settings, &found, &path, context)?;
    show(args, &found, context)?;
    Ok(ExitCode::SUCCESS)
}

fn or(chosen: &[String], usual: impl Fn() -> Vec<String>) -> Vec<String> {
    if chosen.is_empty() { usual() } else { chosen.to_vec() }
}

/// The token sequences that the user named, all of one length.
fn tokens(args: &Lib, context: &Context<'_>) -> Result<Vec<Vec<u32>>> {
    if let Some(modulus) = args.sums {
        if !(1..=4096).contains(&modulus) {
            return Err(Error::setting("sums", modulus, "1 to 4096"));
        }
        let pairs = (0..modulus).flat_map(|x| (0..modulus).map(move |y| vec![x, y, modulus]));
        return Ok(pairs.collect());
    }
    if let Some(path) = &args.tokens {
        let text = std::fs::read_to_string(path).at(path, "read")?;
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let sequences = lines.map(|(n, line)| {
            let ids = line.split([' ', ',', '\t']).filter(|word| !word.is_empty());
            let ids: std::result::Result<Vec<u32>, _> = ids.map(str::parse).collect();
            ids.map_err(|error| {
                let expected = "whole numbers separated by spaces or commas";
                Error::file(path, format!("line {}", n + 1), error, expected)
            })
        });
        return sequences.collect();
    }
    if !args.texts.are_given() {
        let expected = "--text FILE, --world FOLDER, --tokens FILE or --sums N";
        return Err(Error::setting("data", "absent", expected));
    }
    let network = record::open(&args.model, context.global)?;
    let mut all = sequences(&network, args.texts.stream()?, args.context, args.read)?;
    all.retain(|sequence| sequence.len() == args.context);
    if all.is_empty() {
        let what = "the text".to_owned();
        let expected = format!("documents of {} tokens or more; lower --context", args.context);
        return Err(Error::Empty { what, expected });
    }
    Ok(all)
}

/// The samples of a recording as inputs with the constant 1.
fn inputs(args: &Lib, units: usize) -> Result<Held> {
    let Some(path) = &args.recording else {
        let expected = "--recording REC, whose samples are the inputs of the perceptron";
        return Err(Error::setting("data", "absent", expected));
    };
    let recording = Recording::open(path)?;
    if recording.units() != units {
        return Err(Error::Units {
            left: path.display().to_string(),
            found: recording.units(),
            right: args.model.clone(),
            expected: units,
            help: Some("the recording must hold the inputs of the first layer".to_owned()),
        });
    }
    let mut rows = ndarray::Array2::ones((recording.samples(), units + 1));
    for block in recording.blocks(4096) {
        let block = block?;
        let numbers = block.activity.mapv(f64::from);
        let range = block.start..block.start + numbers.nrows();
        rows.slice_mut(ndarray::s![range, ..units]).assign(&numbers);
    }
    Ok(Held { rows, positions: 1 })
}

/// Writes all bases as one file, and each as features.
fn write(
    args: &Lib,
    settings: &LocalInteractionBasis,
    found: &InteractionBasis,
    model: &Path,
    context: &Context<'_>,
) -> Result<()> {
    let mut provenance =
        Provenance::here(settings, context.global.seed, "cpu").with_input(model)?;
    for input in args.tokens.iter().chain(&args.recording) {
        provenance = provenance.with_input(input)?;
    }
    let provenance = args.texts.told(provenance)?;
    let mut method = serde_json::json!({ "method": "lib" });
    if let (Some(method), Some(own)) = (method.as_object_mut(), found.settings.as_object()) {
        method.extend(own.clone());
    }
    for basis in featured(found) {
        let plan = FeaturesPlan::new(units(basis), method.clone(), provenance.clone());
        let folder = args.out.join(&basis.node_layer);
        let existing = context.global.existing();
        let writer = FeaturesWriter::create(&folder, &plan, existing, || dictionary(basis))?;
        writer.finish_dictionary()?.set_columns(&importance(basis))?;
    }
    found.save(&args.out.join(BASIS))
}

/// The bases that are more than the coordinates themselves: the last one is where it was rotated.
fn featured(found: &InteractionBasis) -> impl Iterator<Item = &Basis> {
    let rotated = found.settings["rotate_final"].as_bool().unwrap_or(false);
    let last = found.node_layers.len().saturating_sub(usize::from(!rotated));
    found.node_layers[..last]
        .iter()
        .filter(|basis| basis.vectors() > usize::from(basis.constant.is_some()))
}

fn units(basis: &Basis) -> Table {
    let width = basis.coordinates() - 1;
    let index: Vec<u32> = (0..width as u32).collect();
    Table::new()
        .with("unit", Column::U32(index.clone()))
        .with("site", Column::Text(vec![basis.node_layer.clone(); width]))
        .with("index", Column::U32(index))
}

fn show(args: &Lib, found: &InteractionBasis, context: &Context<'_>) -> Result<()> {
    for warning in &found.warnings {
        context.printer.note(&format!("warning: {warning}"));
    }
    let first = |basis: &Basis| {
        let at = usize::from(basis.constant == Some(0));
        basis.importance.get(at).copied().unwrap_or(0.0)
    };
    if context.printer.is_json() {
        let layers = found.node_layers.iter().map(|basis| {
            serde_json::json!({
                "node_layer": basis.node_layer, "coordinates": basis.coordinates(),
                "vectors": basis.vectors(), "dropped": basis.dropped, "constant": basis.constant,
                "importance": basis.importance.to_vec(),
            })
        });
        return context.printer.json(&serde_json::json!({
            "path": args.out, "basis": BASIS, "settings": found.settings, "samples": found.samples,
            "node_layers": layers.collect::<Vec<_>>(), "warnings": found.warnings,
        }));
    }
    let rows: Vec<Vec<String>> = found
        .node_layers
        .iter()
        .map(|basis| {
            vec![
                basis.node_layer.clone(),
                basis.coordinates().to_string(),
                basis.vectors().to_string(),
                basis.dropped.to_string(),
                nissl_core::progress::significant(first(basis)),
            ]
        })
        .collect();
    let headers = ["node layer", ">coordinates", ">vectors", ">dropped", ">largest importance"];
    context.printer.table(&headers, &rows);
    let next = featured(found).next().map_or_else(String::new, |basis| {
        format!(" · features of each in {}", args.out.join(&basis.node_layer).display())
    });
    let path = args.out.join(BASIS);
    context.printer.note(&format!("{} samples · {}{next}", found.samples, path.display()));
    Ok(())
}
