//! The network, its weights and the dictionaries in place of its MLPs, as tracing verbs take them.

use std::path::PathBuf;
use std::sync::Arc;

use nissl_core::features::Features;
use nissl_core::network::{LanguageNetwork, ResidualWeights, StreamForm};
use nissl_core::store::Provenance;
use nissl_core::{Error, Result, Site};
use nissl_networks::language::{Hub, Language};
use nissl_networks::weights::CheckpointWeights;
use nissl_trace::frozen::{Reads, Replaced, neurons};

use crate::Context;

/// What a circuit is traced in.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Circuit {
    /// The network: a folder or a name of the hub
    #[arg(value_name = "MODEL")]
    pub model: String,
    /// Transcoders in the place of MLPs, at most one for a layer; without them, the neurons of MLPs of
    /// relu, and other MLPs whole
    #[arg(long, value_name = "FEATURES", num_args = 1..)]
    pub features: Vec<PathBuf>,
}

/// The parts, open.
pub(super) struct Opened {
    pub network: Language,
    pub weights: CheckpointWeights,
    features: Vec<Features>,
}

impl Circuit {
    pub(super) fn open(&self, context: &Context<'_>) -> Result<Opened> {
        let network = crate::verbs::record::open(&self.model, context.global)?;
        let hub = if context.global.offline { Hub::Offline } else { Hub::from_environment() };
        let weights = CheckpointWeights::from_source(&self.model.parse()?, hub)?;
        let features =
            self.features.iter().map(|path| Features::open(path)).collect::<Result<Vec<_>>>()?;
        Ok(Opened { network, weights, features })
    }
}

impl Opened {
    /// What stands for each MLP: the given transcoders, or without any the neurons where they can.
    pub(super) fn replaced(&self, context: &Context<'_>) -> Result<Vec<Replaced>> {
        if !self.features.is_empty() {
            let form = self.weights.stream_form()?;
            return self.features.iter().map(|one| replaced(one, &form)).collect();
        }
        let layers = 0..self.network.layers();
        match layers.map(|layer| neurons(&self.weights, layer)).collect::<Result<Vec<_>>>() {
            Ok(all) => Ok(all),
            Err(Error::Setting { .. }) => {
                context.printer.note(
                    "without transcoders the MLPs of this network are followed whole: their neurons are not relu without a gate; give --features",
                );
                Ok(Vec::new())
            }
            Err(other) => Err(other),
        }
    }

    /// A record of what went in.
    pub(super) fn inputs(&self, mut provenance: Provenance) -> Result<Provenance> {
        for features in &self.features {
            provenance.inputs.push(features.input()?);
        }
        Ok(provenance)
    }
}

/// A transcoder in the place of the MLP that it writes to.
///
/// # Errors
/// Features of other sites than those around an MLP of the network.
pub(super) fn replaced(features: &Features, form: &StreamForm) -> Result<Replaced> {
    let (from, layer) = sites(features)?;
    let reads = match from.part() {
        "mlp.in" => Reads::Normed,
        // Where the halves stand side by side, the MLP reads what the attention does.
        "resid.pre" if form.parallel => Reads::Stream,
        "resid.mid" if !form.parallel => Reads::Stream,
        _ => return Err(elsewhere(features, format!("features that read {from}"))),
    };
    Ok(Replaced { layer, dictionary: Arc::new(features.dictionary().clone()), reads })
}

/// What a transcoder reads, and its layer.
///
/// # Errors
/// Features that are no transcoder of an MLP.
pub(super) fn sites(features: &Features) -> Result<(Site, usize)> {
    let one = |table: &nissl_core::Table| -> Result<Option<Site>> {
        let sites = table.texts("site")?;
        let same = sites.iter().all(|site| *site == sites[0]);
        Ok(sites.first().filter(|_| same).map(|site| Site::new(site.as_str())))
    };
    let (from, to) = (one(features.unit_table())?, one(features.output_unit_table())?);
    if let (Some(from), Some(to)) = (&from, &to)
        && to.part() == "mlp.out"
        && from.layer() == to.layer()
        && let Some(layer) = to.layer()
    {
        return Ok((from.clone(), layer));
    }
    let name = |site: &Option<Site>| {
        site.as_ref().map_or_else(|| "several sites".to_owned(), |site| site.name().to_owned())
    };
    Err(elsewhere(features, format!("features from {} to {}", name(&from), name(&to))))
}

fn elsewhere(features: &Features, found: String) -> Error {
    let expected = "a transcoder from mlp.in to mlp.out of a layer";
    let help = "nissl decompose transcoder RECORDING --target layers.L.mlp.out -o FEATURES";
    Error::file(features.path(), "site", found, expected).with_help(help)
}
