//! A trained network that another training begins from (fine-tuning).
//!
//! Its weights, `config.json` and tokenizer are taken over; the optimiser begins anew.
//!
//! Left out: frozen layers and low-rank updates; every weight is trained.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use nissl_core::error::IoContext;
use nissl_core::network::Tokenizer;
use nissl_core::store::{Input, MANIFEST, write_bytes};
use nissl_core::{Error, Result};

use super::super::checkpoint::Checkpoint;
use super::super::config::Config;
use super::super::gpt2::Gpt2;
use super::super::tokenizer::TextTokenizer;
use super::{Architecture, TrainLanguage};
use crate::files::NAMES;

/// What a checkpoint says of its tokenizer and of conversations; it is copied as it is.
const BESIDE: [&str; 3] = ["tokenizer_config.json", "chat_template.jinja", "chat_template.json"];

/// A GPT-2 checkpoint with its tokenizer, in memory.
#[derive(Debug)]
pub struct Base {
    folder: PathBuf,
    pub(super) config: Vec<u8>,
    pub(super) network: Gpt2,
    tokenizer: TextTokenizer,
    pub(super) input: Input,
    pub(super) device: Device,
}

impl Base {
    /// Loads the network in `folder` onto `device`, where it will be trained.
    ///
    /// # Errors
    /// Another architecture than GPT-2, weights that do not fit `config.json`, or no tokenizer.
    pub fn open(folder: &Path, device: &Device) -> Result<Self> {
        let path = folder.join("config.json");
        let text = std::fs::read(&path).at(&path, "open")?;
        let config = Config::parse(&path, &text)?;
        let family = config.text_or("model_type", "absent")?;
        if family != "gpt2" {
            return Err(config.wrong("model_type", family, "gpt2, the one that can be trained"));
        }
        let network = Gpt2::load(&config, Checkpoint::open(folder, device)?)?;
        let tokenizer = TextTokenizer::read(folder, config.end_token())?;
        if tokenizer.size() > network.shape.vocabulary {
            let expected = format!("{} tokens or more, as its tokenizer has", tokenizer.size());
            return Err(config.wrong("vocab_size", network.shape.vocabulary, &expected));
        }
        // An artefact's manifest holds the checksums of its weights; a foreign folder has none.
        let mut known = [MANIFEST].iter().chain(&NAMES).map(|name| folder.join(name));
        let input = match known.find(|path| path.exists()) {
            Some(path) if path.ends_with(MANIFEST) => Input::of(folder)?,
            Some(path) => Input::of(&path)?,
            None => Input::of(folder)?,
        };
        let folder = folder.to_owned();
        Ok(Self { folder, config: text, network, tokenizer, input, device: device.clone() })
    }

    /// The tokenizer; texts to fine-tune on must be encoded by it.
    pub fn tokenizer(&self) -> &TextTokenizer {
        &self.tokenizer
    }

    /// `settings` with the architecture of this network.
    #[must_use]
    pub fn shaped(&self, settings: TrainLanguage) -> TrainLanguage {
        let shape = &self.network.shape;
        TrainLanguage {
            arch: Architecture::Gpt2,
            layers: shape.layers,
            width: shape.width,
            heads: shape.heads,
            context: shape.context,
            ..settings
        }
    }

    /// # Errors
    /// A setting of the architecture that is not this network's, or windows longer than its context.
    pub fn check(&self, settings: &TrainLanguage) -> Result<()> {
        let shape = &self.network.shape;
        let same = [
            ("layers", settings.layers, shape.layers),
            ("width", settings.width, shape.width),
            ("heads", settings.heads, shape.heads),
        ];
        if let Some((field, found, expected)) = same.into_iter().find(|(_, a, b)| a != b) {
            let expected = format!("{expected}, as {} has", self.folder.display());
            return Err(Error::setting(field, found, expected));
        }
        if settings.context > shape.context {
            let expected = format!("at most {}, as {} has", shape.context, self.folder.display());
            return Err(Error::setting("context", settings.context, expected));
        }
        Ok(())
    }

    /// Copies what stands beside the tokenizer.
    pub(super) fn copy_beside(&self, folder: &Path) -> Result<()> {
        for name in BESIDE {
            let from = self.folder.join(name);
            if from.exists() {
                write_bytes(&folder.join(name), &std::fs::read(&from).at(&from, "open")?)?;
            }
        }
        Ok(())
    }
}
