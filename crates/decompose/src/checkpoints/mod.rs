//! Dictionaries of other tools: sparse autoencoders and transcoders read into a [`Dictionary`], and
//! written back out.
//!
//! One file a maker, with the formula of its encoder. What a file means is decided by the keys of its
//! configuration, then by the names of its tensors, then by their shapes. Scales that a maker keeps beside
//! the weights are folded into them, so that encoding and prediction stay what they were.
//!
//! Left out: checkpoints in several shards, quantised weights, and the training state beside the weights.
//! Memory: the dictionary, and once more while it is written.

mod circuit_tracer;
mod cross_layer;
mod detect;
mod dictionary_learning;
mod dunefsky;
mod find;
mod gemma_scope;
mod goodfire;
mod import;
mod llama_scope;
mod openai;
mod opened;
mod pieces;
mod places;
mod sae_lens;
mod sites;
mod sparsify;
mod target;
mod weights;

use std::fmt;
use std::path::{Path, PathBuf};

use nissl_core::features::{Activation, Dictionary, Encoding};
use nissl_core::site::Site;
use nissl_core::store::Existing;
use nissl_core::{Error, Result};
use serde::{Deserialize, Serialize};

pub use import::{Import, import};
use opened::Opened;
use pieces::Pieces;
pub use places::{Fit, best_sites};
use target::Target;

/// Who laid out a checkpoint.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Maker {
    /// EleutherAI sparsify: cfg.json and sae.safetensors
    Sparsify,
    /// SAELens: cfg.json and sae_weights.safetensors
    SaeLens,
    /// Gemma Scope: params.npz
    GemmaScope,
    /// Llama Scope: hyperparams.json and checkpoints/final.safetensors
    LlamaScope,
    /// dictionary_learning: config.json and ae.pt
    DictionaryLearning,
    /// OpenAI's autoencoders of GPT-2: a .pt file
    #[serde(rename = "openai")]
    #[value(name = "openai")]
    OpenAi,
    /// transcoder_circuits of Dunefsky et al. 2024: a .pt file
    Dunefsky,
    /// circuit-tracer: layer_N.safetensors and config.yaml
    CircuitTracer,
    /// Cross-layer transcoders of mntss: W_enc_N.safetensors and W_dec_N.safetensors
    CrossLayer,
    /// Goodfire's autoencoders of R1: a .pt file
    Goodfire,
}

impl Maker {
    /// All makers.
    pub const ALL: [Self; 10] = [
        Self::Sparsify,
        Self::SaeLens,
        Self::GemmaScope,
        Self::LlamaScope,
        Self::DictionaryLearning,
        Self::OpenAi,
        Self::Dunefsky,
        Self::CircuitTracer,
        Self::CrossLayer,
        Self::Goodfire,
    ];

    /// Its name in flags, files and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sparsify => "sparsify",
            Self::SaeLens => "sae-lens",
            Self::GemmaScope => "gemma-scope",
            Self::LlamaScope => "llama-scope",
            Self::DictionaryLearning => "dictionary-learning",
            Self::OpenAi => "openai",
            Self::Dunefsky => "dunefsky",
            Self::CircuitTracer => "circuit-tracer",
            Self::CrossLayer => "cross-layer",
            Self::Goodfire => "goodfire",
        }
    }
}

impl fmt::Display for Maker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a row of a square decoder is, where the shape does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum DecoderRows {
    /// Rows are features, columns units
    Features,
    /// Rows are units, columns features
    Units,
}

/// Whether a dictionary describes the site it reads, or another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// It describes the site it reads: a sparse autoencoder
    Autoencoder,
    /// It predicts another site: a transcoder
    Transcoder,
}

/// What a checkpoint does not tell by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Load {
    /// Read the checkpoint as this maker's; without it the maker is found out
    #[arg(long, value_enum, value_name = "MAKER")]
    pub maker: Option<Maker>,
    /// The layer to read, where the checkpoint holds one dictionary for each
    #[arg(long, value_name = "N")]
    pub layer: Option<usize>,
    /// What a row of the decoder is, where it has as many features as units
    #[arg(long, value_enum, value_name = "WHAT")]
    pub decoder_rows: Option<DecoderRows>,
    /// What the dictionary describes, where the checkpoint does not tell
    #[arg(long, value_enum, value_name = "ROLE")]
    pub role: Option<Role>,
}

/// Where a dictionary comes from and what it belongs to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// Who laid it out.
    pub maker: Maker,
    /// The file of its weights.
    #[serde(default)]
    pub weights: Option<PathBuf>,
    /// The model it was trained on, as the maker names it.
    #[serde(default)]
    pub model: Option<String>,
    /// The place it reads, as the maker names it.
    #[serde(default)]
    pub hook: Option<String>,
    /// The site it reads, where the maker's name for it is understood.
    #[serde(default)]
    pub site: Option<Site>,
    /// Of a transcoder the sites it predicts, side by side in its output units; one but for dictionaries
    /// across layers. Empty where unknown.
    #[serde(default)]
    pub targets: Vec<Site>,
    /// Whether texts began with a token for their beginning in training.
    #[serde(default)]
    pub prepend_bos: Option<bool>,
    /// What the user must know.
    #[serde(default)]
    pub notes: Vec<String>,
}

impl Source {
    /// A source of which nothing is known but who laid it out.
    pub fn new(maker: Maker) -> Self {
        Self {
            maker,
            weights: None,
            model: None,
            hook: None,
            site: None,
            targets: Vec::new(),
            prepend_bos: None,
            notes: Vec::new(),
        }
    }
}

/// A dictionary with its source.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// The dictionary.
    pub dictionary: Dictionary,
    /// Where it comes from.
    pub source: Source,
}

impl Checkpoint {
    /// What the dictionary describes.
    pub fn role(&self) -> Role {
        if self.dictionary.output_decoder.is_some() { Role::Transcoder } else { Role::Autoencoder }
    }
}

/// Reads the checkpoint at `path`: a file of weights, or the folder it lies in.
///
/// # Errors
/// No known layout, weights that are damaged, missing, not finite or of shapes that fit neither
/// orientation, a square decoder without [`Load::decoder_rows`], an unknown activation, or more active
/// features than there are.
pub fn load(path: &Path, settings: &Load) -> Result<Checkpoint> {
    let opened = Opened::open(path, settings)?;
    let maker = match settings.maker {
        Some(maker) => maker,
        None => detect::maker(&opened)?,
    };
    let mut checkpoint = match maker {
        Maker::Sparsify => sparsify::read(&opened),
        Maker::SaeLens => sae_lens::read(&opened),
        Maker::GemmaScope => gemma_scope::read(&opened),
        Maker::LlamaScope => llama_scope::read(&opened),
        Maker::DictionaryLearning => dictionary_learning::read(&opened),
        Maker::OpenAi => openai::read(&opened),
        Maker::Dunefsky => dunefsky::read(&opened),
        Maker::CircuitTracer => circuit_tracer::read(&opened),
        Maker::CrossLayer => cross_layer::read(&opened),
        Maker::Goodfire => goodfire::read(&opened),
    }?;
    check(&opened, &checkpoint.dictionary)?;
    checkpoint.source.weights = Some(opened.path().to_owned());
    opened.notes(&mut checkpoint.source);
    Ok(checkpoint)
}

/// Writes a checkpoint in the layout of `maker` into the folder `out`; of makers with one file, `out` may
/// also be that file.
///
/// # Errors
/// A dictionary that the layout cannot express, with what it cannot; files that are there, unless
/// `existing` is [`Existing::Overwrite`]; or a failed file operation.
pub fn save(checkpoint: &Checkpoint, maker: Maker, out: &Path, existing: Existing) -> Result<()> {
    let pieces = Pieces::of(&checkpoint.dictionary, maker)?;
    let target = Target { out, existing };
    let source = &checkpoint.source;
    match maker {
        Maker::Sparsify => sparsify::write(pieces, &target),
        Maker::SaeLens => sae_lens::write(pieces, source, &target),
        Maker::GemmaScope => gemma_scope::write(pieces, &target),
        Maker::LlamaScope => llama_scope::write(pieces, source, &target),
        Maker::DictionaryLearning => dictionary_learning::write(pieces, source, &target),
        Maker::OpenAi => openai::write(pieces, &target),
        Maker::Dunefsky => dunefsky::write(pieces, source, &target),
        Maker::CircuitTracer => circuit_tracer::write(pieces, source, &target),
        Maker::CrossLayer => cross_layer::write(pieces, source, &target),
        Maker::Goodfire => goodfire::write(pieces, &target),
    }
}

/// # Errors
/// More active features than there are, groups of unequal size, or a threshold that is missing.
fn check(opened: &Opened, dictionary: &Dictionary) -> Result<()> {
    let features = dictionary.features();
    let Encoding::Sparse { activation, .. } = dictionary.encoding else { return Ok(()) };
    let wrong = |field: &str, found: String, expected: String| {
        Err(Error::file(opened.path(), field, found, expected))
    };
    match activation {
        Activation::TopK { k } | Activation::SignedTopK { k } | Activation::GroupMax { k }
            if k == 0 || k > features =>
        {
            wrong("k", k.to_string(), format!("from 1 to {features}, the number of features"))
        }
        Activation::GroupMax { k } if !features.is_multiple_of(k) => wrong(
            "k",
            k.to_string(),
            format!("a number of groups that divides {features} features"),
        ),
        Activation::JumpRelu if dictionary.threshold.is_none() => {
            wrong("threshold", "absent".to_owned(), "one for each feature, by JumpReLU".to_owned())
        }
        _ => Ok(()),
    }
}
