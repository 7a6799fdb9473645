//! The network, its weights and the dictionaries in place of its MLPs, as tracing verbs take them.

use std::path::PathBuf;
use std::sync::Arc;

use nissl_core::features::Features;
use nissl_core::network::LanguageNetwork;
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
            return self.features.iter().map(replaced).collect();
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

fn replaced(features: &Features) -> Result<Replaced> {
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
        let reads = match from.part() {
            "mlp.in" => Some(Reads::Normed),
            "resid.mid" | "resid.pre" => Some(Reads::Stream),
            _ => None,
        };
        if let Some(reads) = reads {
            return Ok(Replaced {
                layer,
                dictionary: Arc::new(features.dictionary().clone()),
                reads,
            });
        }
    }
    let name = |site: &Option<Site>| {
        site.as_ref().map_or_else(|| "several sites".to_owned(), |site| site.name().to_owned())
    };
    let found = format!("features from {} to {}", name(&from), name(&to));
    let expected = "a transcoder from mlp.in to mlp.out of a layer";
    let help = "nissl decompose transcoder RECORDING --target layers.L.mlp.out -o FEATURES";
    Err(Error::file(features.path(), "site", found, expected).with_help(help))
}
