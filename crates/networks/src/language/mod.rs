//! Language networks: GPT-2, Llama (with Mistral and Qwen2), Gemma 2, GPT-NeoX, BERT and state dicts
//! of TransformerLens, with the same sites for all, loaded from a folder, a file or the hub, and
//! trained here.

mod attention;
mod bert;
mod chat;
pub mod chat_template;
mod checkpoint;
pub(crate) mod config;
pub(crate) mod described;
mod family;
mod gemma2;
mod generate;
pub(crate) mod gpt2;
pub(crate) mod llama;
mod neox;
pub mod ngram;
mod numerals;
mod ops;
mod rotary;
mod source;
mod tokenizer;
pub mod training;
pub(crate) mod transformer_lens;

use std::path::Path;

use burn::tensor::{Device, Tensor};
use nissl_core::network::{
    FinalNorm, Generated, KeyValueCache, LanguageNetwork, Network, Sampling, TokenBatch, Tokenizer,
};
use nissl_core::taps::Taps;
use nissl_core::{Error, Result, Site};

pub use chat::{LocalChat, chat_tokens};
pub use generate::generate;
pub use source::{Hub, Source};
pub use tokenizer::TextTokenizer;

use checkpoint::Checkpoint;
use config::Config;
use described::{Described, TRANSFORMER_LENS, described, tokenizer_of};
use family::{Family, Form, Input};

/// A language network of any family.
pub struct Language {
    id: String,
    sites: Vec<Site>,
    device: Device,
    tokenizer: Result<Box<dyn Tokenizer>, String>,
    family: Box<dyn Family>,
}

/// The parts of a checkpoint that is held in memory, such as one compiled into a program.
#[derive(Clone, Copy, Debug)]
pub struct Embedded {
    /// Stands for the checkpoint in messages.
    pub name: &'static str,
    /// `config.json`.
    pub config: &'static [u8],
    /// `model.safetensors`.
    pub weights: &'static [u8],
    /// `tokenizer.json`.
    pub tokenizer: &'static [u8],
}

impl Language {
    /// Loads the network that `source` names, from a folder or the hub.
    ///
    /// # Errors
    /// What cannot be had, an unknown architecture, or weights that do not fit `config.json`.
    pub fn open(source: &Source, hub: Hub, device: &Device) -> Result<Self> {
        Self::load(&source.folder(hub)?, &source.to_string(), device)
    }

    /// Loads the network at `path`, a folder or a file of weights; `id` names it in messages and
    /// provenance.
    ///
    /// A file without `config.json` beside it must be a state dict in TransformerLens's naming; without
    /// `tokenizer.json` such a network reads the numbers of its tokens (`3 5 113`). On a device with
    /// autodiff gradients flow through the network.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn load(path: &Path, id: &str, device: &Device) -> Result<Self> {
        let Described { folder, config, architecture } = described(path)?;
        let family = family_of(&config, &architecture)?;
        let family = family(&config, Checkpoint::open(path, device)?)?;
        let tokenizer = tokenizer_of(&folder, &config, &architecture, family.shape().vocabulary)?;
        Ok(Self::new(id, tokenizer, family, device))
    }

    /// Loads a network that is held in memory.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn embedded(parts: Embedded, device: &Device) -> Result<Self> {
        let config = Config::parse(format!("{}/config.json", parts.name), parts.config)?;
        let weights = format!("{}/model.safetensors", parts.name);
        let architecture = config.text_or("model_type", "absent")?.to_owned();
        let checkpoint = Checkpoint::in_memory(&weights, parts.weights, device)?;
        let family = family_of(&config, &architecture)?(&config, checkpoint)?;
        let path = format!("{}/tokenizer.json", parts.name);
        let tokenizer = TextTokenizer::parse(path, parts.tokenizer.to_vec(), config.end_token())?;
        Ok(Self::new(parts.name, Ok(Box::new(tokenizer)), family, device))
    }

    fn new(
        id: &str,
        tokenizer: Result<Box<dyn Tokenizer>, String>,
        family: Box<dyn Family>,
        device: &Device,
    ) -> Self {
        let sites = family.shape().sites();
        Self { id: id.to_owned(), sites, device: device.clone(), tokenizer, family }
    }

    fn check(&self, batch: &TokenBatch, past: usize, taps: &Taps<'_>) -> Result<()> {
        let shape = self.family.shape();
        batch.check_vocabulary(shape.vocabulary)?;
        let positions = past + batch.positions();
        if positions > shape.context {
            return Err(Error::setting(
                "positions",
                positions,
                format!("at most {}, the context of {}", shape.context, self.id),
            ));
        }
        taps.check(&self.id, &self.sites, |site| shape.units(site))
    }
}

impl Network for Language {
    fn id(&self) -> &str {
        &self.id
    }

    fn sites(&self) -> &[Site] {
        &self.sites
    }

    fn width(&self, site: &Site) -> Option<usize> {
        self.family.shape().units(site)
    }

    fn device(&self) -> &Device {
        &self.device
    }
}

impl LanguageNetwork for Language {
    fn forward(&self, batch: &TokenBatch, taps: &mut Taps<'_>) -> Result<Option<Tensor<3>>> {
        self.check(batch, 0, taps)?;
        taps.begin(&self.sites);
        taps.set_position(0);
        let input = Input {
            tokens: batch.to_tensor(&self.device),
            lengths: batch.is_padded().then(|| batch.lengths()),
            past: 0,
            cache: None,
        };
        let output = self.family.run(input, taps);
        Ok(output.filter(|_| self.family.shape().form != Form::Encoder))
    }

    fn forward_cached(
        &self,
        batch: &TokenBatch,
        cache: &mut KeyValueCache,
        taps: &mut Taps<'_>,
    ) -> Result<Tensor<3>> {
        if self.family.shape().form == Form::Encoder {
            return Err(Error::setting(
                "network",
                &self.id,
                "one that predicts the next token (an encoder reads to both sides)",
            ));
        }
        if batch.is_padded() {
            let found = format!("lengths {:?}", batch.lengths());
            return Err(Error::setting("batch", found, "sequences of equal length with a cache"));
        }
        let past = cache.positions;
        self.check(batch, past, taps)?;
        taps.begin(&self.sites);
        taps.set_position(past);
        let tokens = batch.to_tensor(&self.device);
        let input = Input { tokens, lengths: None, past, cache: Some(cache) };
        let logits = self.family.run(input, taps);
        cache.positions = past + batch.positions();
        logits.ok_or_else(|| {
            Error::setting("taps", "without output", "taps that let the run reach its logits")
        })
    }

    fn generate(
        &self,
        prompt: &[u32],
        sampling: &Sampling,
        taps: &mut Taps<'_>,
    ) -> Result<Generated> {
        generate(self, prompt, sampling, taps)
    }

    fn layers(&self) -> usize {
        self.family.shape().layers
    }

    fn residual_width(&self) -> usize {
        self.family.shape().width
    }

    fn vocabulary(&self) -> usize {
        self.family.shape().vocabulary
    }

    fn context(&self) -> usize {
        self.family.shape().context
    }

    fn is_causal(&self) -> bool {
        self.family.shape().form != Form::Encoder
    }

    fn tokenizer(&self) -> Result<&dyn Tokenizer> {
        match &self.tokenizer {
            Ok(tokenizer) => Ok(tokenizer.as_ref()),
            Err(folder) => Err(Error::file(folder, "tokenizer.json", "absent", "a tokenizer")
                .with_help("save the network with its fast tokenizer")),
        }
    }

    fn down_projection(&self, layer: usize) -> Result<Tensor<2>> {
        let layers = self.layers();
        if layer >= layers {
            return Err(Error::setting("layer", layer, format!("0 to {}", layers - 1)));
        }
        Ok(self.family.down_projection(layer))
    }

    fn unembed(&self, directions: Tensor<2>, norm: FinalNorm) -> Result<Tensor<2>> {
        let [_, found] = directions.dims();
        let expected = self.residual_width();
        if found != expected {
            return Err(Error::Units {
                left: "the directions".to_owned(),
                found,
                right: format!("the residual stream of {}", self.id),
                expected,
                help: None,
            });
        }
        self.family.unembed(directions, norm).ok_or_else(|| {
            Error::setting("network", &self.id, "one with a head over its vocabulary")
        })
    }
}

/// Builds a family from its description and its weights.
type Load = fn(&Config, Checkpoint) -> Result<Box<dyn Family>>;

/// The architectures by the names that checkpoints use.
const FAMILIES: &[(&str, Load)] = &[
    ("gpt2", |config, from| Ok(Box::new(gpt2::Gpt2::load(config, from)?))),
    ("llama", |config, from| Ok(Box::new(llama::Llama::load(config, from)?))),
    ("mistral", |config, from| Ok(Box::new(llama::Llama::load(config, from)?))),
    ("qwen2", |config, from| Ok(Box::new(llama::Llama::load(config, from)?))),
    ("gemma2", |config, from| Ok(Box::new(gemma2::Gemma2::load(config, from)?))),
    ("gpt_neox", |config, from| Ok(Box::new(neox::NeoX::load(config, from)?))),
    (TRANSFORMER_LENS, |config, from| {
        Ok(Box::new(transformer_lens::TransformerLens::load(config, from)?))
    }),
    ("bert", |config, from| Ok(Box::new(bert::Bert::load(config, from)?))),
];

fn family_of(config: &Config, name: &str) -> Result<Load> {
    FAMILIES.iter().find(|(known, _)| *known == name).map(|(_, load)| *load).ok_or_else(|| {
        let known: Vec<_> = FAMILIES.iter().map(|(known, _)| *known).collect();
        config.wrong("model_type", name, &format!("one of {}", known.join(", ")))
    })
}
