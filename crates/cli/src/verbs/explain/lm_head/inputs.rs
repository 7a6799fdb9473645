//! What is decoded: a checkpoint, features through one, or matrices of other tools.

use std::path::{Path, PathBuf};

use nissl_core::features::Features;
use nissl_core::network::{Part, ResidualWeights};
use nissl_core::store::{self, Kind, MANIFEST};
use nissl_core::{Error, IoContext, Result};
use nissl_explain::lm_head::{FeatureWeights, MatrixWeights};
use nissl_networks::language::Hub;
use nissl_networks::weights::CheckpointWeights;
use nissl_record::import::{Import, matrix};

use super::LmHeadArgs;
use crate::Context;

/// Where vectors and head come from.
pub(super) enum Source {
    /// A checkpoint has both.
    Checkpoint(Box<CheckpointWeights>),
    /// Features, through the head of a checkpoint.
    Features(Box<Features>, Box<CheckpointWeights>),
    /// Features or a matrix, through a matrix.
    Matrices { features: Option<Box<Features>>, weights: Box<MatrixWeights>, files: Vec<PathBuf> },
}

/// The checkpoint that `model` names.
pub(super) fn checkpoint(model: &str, context: &Context<'_>) -> Result<CheckpointWeights> {
    let hub = if context.global.offline { Hub::Offline } else { Hub::from_environment() };
    CheckpointWeights::from_source(&model.parse()?, hub)
}

impl Source {
    pub(super) fn open(args: &LmHeadArgs, context: &Context<'_>) -> Result<Self> {
        let path = Path::new(&args.input);
        let artefact = path.join(MANIFEST).exists();
        let features = if artefact && kind(path)? == Kind::Features.name() {
            Some(Box::new(Features::open(path)?))
        } else {
            None
        };
        match (&args.head_file, &args.model, features) {
            (Some(head), _, features) => matrices(args, head, features),
            (None, Some(model), Some(features)) => {
                Ok(Self::Features(features, Box::new(checkpoint(model, context)?)))
            }
            (None, None, Some(_)) => Err(Error::setting(
                "model",
                "absent",
                "the network that was recorded, with --model, or another head with --head-file",
            )),
            (None, Some(_), None) => Err(Error::setting(
                "model",
                "set",
                "unset for a checkpoint; it is for a folder of features",
            )),
            (None, None, None) => Ok(Self::Checkpoint(Box::new(checkpoint(&args.input, context)?))),
        }
    }

    /// Hands the weights, and the features if they are those of features, to `run`.
    pub(super) fn with<T>(
        &self,
        mut run: impl FnMut(&dyn ResidualWeights, Option<&Features>) -> Result<T>,
    ) -> Result<T> {
        match self {
            Self::Checkpoint(weights) => run(weights.as_ref(), None),
            Self::Features(features, network) => {
                let weights = FeatureWeights::of(network.as_ref(), features)?;
                run(&weights, Some(features))
            }
            Self::Matrices { features: None, weights, .. } => run(weights.as_ref(), None),
            Self::Matrices { features: Some(features), weights, .. } => {
                run(weights.as_ref(), Some(features))
            }
        }
    }

    /// What a map is made from, for its manifest.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::Checkpoint(weights) => config(weights).into_iter().collect(),
            Self::Features(features, weights) => {
                [features.path().to_owned()].into_iter().chain(config(weights)).collect()
            }
            Self::Matrices { files, .. } => files.clone(),
        }
    }
}

/// The folder of a checkpoint, when it has the file that tells it apart.
fn config(weights: &CheckpointWeights) -> Option<PathBuf> {
    let folder = weights.folder();
    let told = [MANIFEST, "config.json"].iter().any(|name| folder.join(name).exists());
    let file = Path::new(weights.id());
    if file.is_file() {
        return Some(file.to_owned());
    }
    told.then(|| folder.to_owned())
}

/// What the manifest in a folder says it is.
fn kind(path: &Path) -> Result<String> {
    let manifest = store::read_value(path, "artefact of nissl")?;
    Ok(manifest["nissl"].as_str().unwrap_or_default().to_owned())
}

fn matrices(args: &LmHeadArgs, head: &Path, features: Option<Box<Features>>) -> Result<Source> {
    let path = Path::new(&args.input);
    let mut files = vec![path.to_owned(), head.to_owned()];
    let rows = match &features {
        Some(features) => features.dictionary().written().to_owned(),
        None => matrix(path, &Import::default())?,
    };
    let mut weights =
        MatrixWeights::new(head.display().to_string(), matrix(head, &Import::default())?);
    if let Some(labels) = &args.labels {
        let text = std::fs::read_to_string(labels).at(labels, "read")?;
        weights = weights.with_labels(text.lines().map(|line| line.trim().to_owned()).collect())?;
        files.push(labels.clone());
    }
    let part = if features.is_some() { Part::Down } else { Part::Up };
    let weights = Box::new(weights.with_part(part, vec![rows])?);
    Ok(Source::Matrices { features, weights, files })
}
