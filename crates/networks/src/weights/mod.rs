//! A checkpoint's matrices, read from its files block by block without building the network.
//!
//! Memory: the files are mapped; a block of vectors and the gains of the norms.

mod layout;
mod stream;
mod view;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use nissl_core::network::{
    Half, HeadNorm, Part, ResidualWeights, StreamForm, StreamNorm, TokenTable, Tokenizer,
};
use nissl_core::{Error, Result};

use crate::files::Files;
use crate::language::config::Config;
use crate::language::described::{Described, described, tokenizer_of};
use crate::language::{Embedded, Hub, Source, TextTokenizer};

use layout::{Layout, Norm, layout};
use stream::StreamParts;
use view::View;

/// The matrices of a checkpoint that act on its residual stream.
///
/// Vectors are as they are stored, with two exceptions: numbers become f32, and what Gemma 2 writes is
/// multiplied by the gain of the norm it passes. Embeddings are not scaled, as Gemma's would be.
pub struct CheckpointWeights {
    id: String,
    files: Files,
    folder: PathBuf,
    layers: Vec<Layer>,
    parts: Vec<Part>,
    embed: View,
    /// `None` where the head is the embedding.
    head: Option<View>,
    head_norm: HeadNorm,
    stream: StreamParts,
    tokenizer: std::result::Result<Box<dyn Tokenizer>, String>,
}

struct Layer {
    views: BTreeMap<Part, View>,
    attn_gain: Option<Vec<f32>>,
    mlp_gain: Option<Vec<f32>>,
}

impl CheckpointWeights {
    /// Opens the checkpoint at `path`: a folder with `config.json` and weights (safetensors or
    /// PyTorch's), or a file of weights, as [`crate::language::Language::load`] takes.
    ///
    /// # Errors
    /// An architecture whose layout is not known, weights that are absent, quantised or do not fit
    /// `config.json`, or neither a head nor a tied embedding.
    pub fn open(path: &Path) -> Result<Self> {
        Self::named(path, &path.display().to_string())
    }

    /// Opens the checkpoint that `source` names, downloaded where need be.
    ///
    /// # Errors
    /// What cannot be had, and as [`Self::open`].
    pub fn from_source(source: &Source, hub: Hub) -> Result<Self> {
        Self::named(&source.folder(hub)?, &source.to_string())
    }

    fn named(path: &Path, id: &str) -> Result<Self> {
        let Described { folder, config, architecture } = described(path)?;
        let files = Files::open(path)?;
        let mut weights = Self::of(id, files, &config, &architecture, &folder)?;
        let vocabulary = weights.vocabulary();
        weights.tokenizer = tokenizer_of(&folder, &config, &architecture, vocabulary)?;
        Ok(weights)
    }

    /// Reads a checkpoint that is held in memory.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn embedded(parts: Embedded) -> Result<Self> {
        let folder = PathBuf::from(parts.name);
        let config = Config::parse(folder.join("config.json"), parts.config)?;
        let architecture = config.text_or("model_type", "absent")?.to_owned();
        let files = Files::in_memory(&format!("{}/model.safetensors", parts.name), parts.weights)?;
        let mut weights = Self::of(parts.name, files, &config, &architecture, &folder)?;
        let path = folder.join("tokenizer.json");
        let tokenizer = TextTokenizer::parse(path, parts.tokenizer.to_vec(), config.end_token())?;
        weights.tokenizer = Ok(Box::new(tokenizer));
        Ok(weights)
    }

    fn of(
        id: &str,
        files: Files,
        config: &Config,
        architecture: &str,
        folder: &Path,
    ) -> Result<Self> {
        if let Some(method) = config.section("quantization_config")? {
            let method = method.text_or("quant_method", "of an unnamed method")?.to_owned();
            return Err(config
                .wrong("quantization_config", method, "weights in F32, F16, BF16 or F64")
                .with_help(
                    "quantised tensors are not read; take the checkpoint from which they were made",
                ));
        }
        let Layout { prefix, offset, embed, head, final_norm, layers, stream } =
            layout(architecture, config, &files)?;
        let files = files.without_prefix(prefix);
        let stream = StreamParts::of(&files, stream, &final_norm, &layers);
        let embed = View::of(&files, &embed, None)?;
        let width = embed.width;
        let head = head.map(|head| View::of(&files, &head, Some(width))).transpose()?;
        let gain = |key: &str| -> Result<Vec<f32>> {
            let mut gain = view::vector(&files, key, width)?;
            for gain in &mut gain {
                *gain += offset;
            }
            Ok(gain)
        };
        let mut read = Vec::with_capacity(layers.len());
        for layer in layers {
            let mut views = BTreeMap::new();
            for (part, spec) in layer.parts {
                let mut view = View::of(&files, &spec, Some(width))?;
                if let Some((_, key)) = layer.folded.iter().find(|(folded, _)| *folded == part) {
                    view.gain = Some(gain(key)?);
                }
                views.insert(part, view);
            }
            let attn_gain = layer.attn_gain.as_deref().map(gain).transpose()?;
            let mlp_gain = layer.mlp_gain.as_deref().map(gain).transpose()?;
            read.push(Layer { views, attn_gain, mlp_gain });
        }
        let head_norm = match final_norm {
            Norm::Absent => HeadNorm::default(),
            Norm::Bare => HeadNorm { gain: None, centres: true, scales: true },
            Norm::Layer(key) => HeadNorm { gain: Some(gain(&key)?), centres: true, scales: true },
            Norm::Rms(key) => HeadNorm { gain: Some(gain(&key)?), centres: false, scales: true },
        };
        let parts: Vec<Part> =
            read.first().map_or_else(Vec::new, |layer| layer.views.keys().copied().collect());
        let weights = Self {
            id: id.to_owned(),
            files,
            folder: folder.to_owned(),
            layers: read,
            parts,
            embed,
            head,
            head_norm,
            stream,
            tokenizer: Err(folder.display().to_string()),
        };
        weights.check_layers()?;
        Ok(weights)
    }

    /// Every layer must have as many units of a part as the first.
    fn check_layers(&self) -> Result<()> {
        for part in &self.parts {
            let expected = self.layers[0].views[part].units;
            for (n, layer) in self.layers.iter().enumerate() {
                let found = layer.views[part].units;
                if found != expected {
                    let field = format!("{} of layer {n}", part.name());
                    let expected = format!("{expected} units, as layer 0 has");
                    return Err(Error::file(&self.files.path, field, found, expected));
                }
            }
        }
        Ok(())
    }

    /// How many tokens of the vocabulary the tokenizer knows: rows of the head beyond are padding.
    /// All of them without a tokenizer.
    pub fn tokens_known(&self) -> usize {
        let vocabulary = self.vocabulary();
        self.tokenizer.as_ref().map_or(vocabulary, |tokenizer| tokenizer.size().min(vocabulary))
    }

    /// The folder of the checkpoint.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A norm of the kind that all of this network are.
    fn norm(&self, gain: Option<Vec<f32>>, bias: Option<Vec<f32>>) -> StreamNorm {
        let HeadNorm { centres, scales, .. } = self.head_norm;
        StreamNorm { scales, centres, gain, bias, epsilon: self.stream.epsilon }
    }

    /// The files with the weights.
    pub(crate) fn files(&self) -> &Files {
        &self.files
    }

    /// How a part of a layer lies in the files.
    pub(crate) fn view(&self, layer: usize, part: Part) -> Result<&View> {
        self.check(layer, part)?;
        Ok(&self.layers[layer].views[&part])
    }
}

impl std::fmt::Debug for CheckpointWeights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CheckpointWeights")
            .field("id", &self.id)
            .field("layers", &self.layers.len())
            .finish_non_exhaustive()
    }
}

impl ResidualWeights for CheckpointWeights {
    fn id(&self) -> &str {
        &self.id
    }

    fn layers(&self) -> usize {
        self.layers.len()
    }

    fn residual_width(&self) -> usize {
        self.embed.width
    }

    fn vocabulary(&self) -> usize {
        self.head.as_ref().unwrap_or(&self.embed).units
    }

    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn units(&self, part: Part) -> usize {
        self.layers.first().and_then(|layer| layer.views.get(&part)).map_or(0, |view| view.units)
    }

    fn read_units(
        &self,
        layer: usize,
        part: Part,
        units: Range<usize>,
        out: &mut [f32],
    ) -> Result<()> {
        self.view(layer, part)?.read(&self.files, "units", units, out)
    }

    fn read_tokens(&self, table: TokenTable, tokens: Range<usize>, out: &mut [f32]) -> Result<()> {
        let view = match table {
            TokenTable::Head => self.head.as_ref().unwrap_or(&self.embed),
            TokenTable::Embed => &self.embed,
        };
        view.read(&self.files, "tokens", tokens, out)
    }

    fn head_is_tied(&self) -> bool {
        self.head.is_none()
    }

    fn input_gain(&self, layer: usize, part: Part) -> Result<Option<Vec<f32>>> {
        self.check(layer, part)?;
        let layer = &self.layers[layer];
        Ok(match part {
            Part::Up | Part::Gate => layer.mlp_gain.clone(),
            part if part.reads() => layer.attn_gain.clone(),
            _ => None,
        })
    }

    fn head_norm(&self) -> Result<HeadNorm> {
        Ok(self.head_norm.clone())
    }

    fn stream_form(&self) -> Result<StreamForm> {
        Ok(self.stream.form.clone())
    }

    fn norm_before(&self, layer: usize, half: Half) -> Result<StreamNorm> {
        let part = match half {
            Half::Attention => Part::Value,
            Half::Mlp => Part::Up,
        };
        let gain = self.input_gain(layer, part)?;
        let bias = self.stream.norm_bias(&self.files, layer, half, self.residual_width())?;
        Ok(self.norm(gain, bias))
    }

    fn final_norm(&self) -> Result<StreamNorm> {
        let bias = self.stream.final_bias(&self.files, self.residual_width())?;
        Ok(self.norm(self.head_norm.gain.clone(), bias))
    }

    fn part_bias(&self, layer: usize, part: Part) -> Result<Option<Vec<f32>>> {
        self.check(layer, part)?;
        let size = if part.reads() { self.units(part) } else { self.residual_width() };
        self.stream.part_bias(&self.files, layer, part, size)
    }

    fn head_bias(&self) -> Result<Option<Vec<f32>>> {
        self.stream.head_bias(&self.files, self.vocabulary())
    }

    fn embedding_scale(&self) -> Result<f32> {
        Ok(self.stream.embedding_scale)
    }

    fn tokenizer(&self) -> Result<&dyn Tokenizer> {
        match &self.tokenizer {
            Ok(tokenizer) => Ok(tokenizer.as_ref()),
            Err(folder) => Err(Error::file(folder, "tokenizer.json", "absent", "a tokenizer")
                .with_help("save the network with its fast tokenizer")),
        }
    }
}
