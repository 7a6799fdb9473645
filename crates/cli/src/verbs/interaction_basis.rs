//! `nissl decompose lib MODEL --sums N|--tokens FILE|--text FILE…|--recording REC -o DIR`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nissl_core::features::{FeaturesPlan, FeaturesWriter};
use nissl_core::section::{Basis, InteractionBasis, Samples};
use nissl_core::store::{Existing, Provenance};
use nissl_core::{Column, Error, Result, Table};
use nissl_decompose::interaction_basis::{LocalInteractionBasis, dictionary, importance};
use nissl_networks::sections::{Cut, Transformer, is_transformer};

use crate::Context;
use crate::verbs::cut_network::Data;

/// `nissl decompose lib`
#[derive(Clone, Debug, clap::Args)]
#[command(
    override_usage = "nissl decompose lib <MODEL> --text <FILE>... --out <FOLDER> [OPTIONS]\n       \
                      nissl decompose lib <MODEL> --tokens <FILE> --out <FOLDER>\n       \
                      nissl decompose lib <MODEL> --sums <N> --out <FOLDER>\n       \
                      nissl decompose lib <MODEL> --recording <REC> --out <FOLDER>"
)]
pub(crate) struct Lib {
    #[command(flatten)]
    data: Data,
    #[command(flatten)]
    settings: LocalInteractionBasis,
    /// The folder of the new bases
    #[arg(short, long, value_name = "FOLDER")]
    out: PathBuf,
}

/// The file of all bases in f64.
const BASIS: &str = "basis.safetensors";

pub(crate) fn run(args: &Lib, context: &Context<'_>) -> Result<ExitCode> {
    let settings = LocalInteractionBasis { seed: context.global.seed, ..args.settings.clone() };
    settings.validate()?;
    let existing = context.global.existing();
    if existing == Existing::Refuse && args.out.join(BASIS).exists() {
        return Err(Error::Exists { path: args.out.display().to_string() });
    }
    let data = &args.data;
    let path = data.path(context)?;
    let fit =
        |cut: &Cut, samples: &dyn Samples| settings.fit(&cut.chain, samples, context.progress);
    let found = if is_transformer(&path)? {
        let network = Transformer::open(&path)?;
        let sequences = data.sequences(context)?;
        let positions = sequences.first().map_or(0, Vec::len);
        let tokens = network.tokens(sequences)?;
        let chosen = or(&data.node_layers, || network.usual_node_layers());
        let cut = network.cut(&chosen, positions, data.outputs())?;
        fit(&cut, &cut.samples(tokens))?
    } else {
        let network = data.perceptron(&path)?;
        let cut = network.cut(&or(&data.node_layers, || network.node_layers()))?;
        fit(&cut, &cut.samples(data.inputs(network.inputs())?))?
    };
    write(args, &settings, &found, &path, context)?;
    show(args, &found, context)?;
    Ok(ExitCode::SUCCESS)
}

fn or(chosen: &[String], usual: impl Fn() -> Vec<String>) -> Vec<String> {
    if chosen.is_empty() { usual() } else { chosen.to_vec() }
}

/// Writes all bases as one file, and each as features.
fn write(
    args: &Lib,
    settings: &LocalInteractionBasis,
    found: &InteractionBasis,
    model: &Path,
    context: &Context<'_>,
) -> Result<()> {
    let provenance =
        args.data.told(model, Provenance::here(settings, context.global.seed, "cpu"))?;
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
