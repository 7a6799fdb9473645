//! A network that is cut at node layers, and the data that run through it: what `decompose lib` and
//! `trace interaction` are given.

use std::path::{Path, PathBuf};

use nissl_core::error::IoContext;
use nissl_core::section::{Held, Nonlinearity};
use nissl_core::store::Provenance;
use nissl_core::{Error, Recording, Result};
use nissl_networks::language::{Hub, Source};
use nissl_networks::sections::{Outputs, Perceptron};

use super::record;
use super::texts::{Texts, sequences};
use crate::Context;

/// What is cut, and where its samples come from.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Data {
    /// A transformer (GPT-2 family, TransformerLens's .pt) or perceptron (`layers.N.weight`): a folder or file
    #[arg(value_name = "MODEL")]
    pub(crate) model: String,
    /// Node layers in order, separated by commas [default: the residual streams and the logits, or all layers; with --bases theirs]
    #[arg(long, value_name = "SITE,...", value_delimiter = ',')]
    pub(crate) node_layers: Vec<String>,
    /// A file with one sequence of token numbers on each line, all of one length
    #[arg(long, value_name = "FILE", conflicts_with_all = ["sums", "recording", "text"])]
    tokens: Option<PathBuf>,
    /// All pairs `x y N` of numbers below N: the inputs of an adder modulo N, followed at its last position
    #[arg(long, value_name = "N", conflicts_with_all = ["recording", "text"])]
    pub(crate) sums: Option<u32>,
    /// A recording whose samples are the inputs of a perceptron
    #[arg(long, value_name = "REC", conflicts_with = "text")]
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
}

fn nonlinearity(text: &str) -> std::result::Result<Nonlinearity, String> {
    serde_json::from_value(text.into())
        .map_err(|_unknown| "expected relu, gelu, gelu-tanh, tanh or silu".to_owned())
}

impl Data {
    /// Where the checkpoint lies.
    pub(crate) fn path(&self, context: &Context<'_>) -> Result<PathBuf> {
        let source: Source = self.model.parse()?;
        source.folder(if context.global.offline { Hub::Offline } else { Hub::from_environment() })
    }

    /// The checkpoint at `path` as a perceptron.
    pub(crate) fn perceptron(&self, path: &Path) -> Result<Perceptron> {
        Perceptron::open(path, self.nonlinearity)
    }

    /// The positions that are followed from the last attention on.
    pub(crate) fn outputs(&self) -> Outputs {
        if self.last_position || self.sums.is_some() { Outputs::Last } else { Outputs::All }
    }

    /// The token sequences that the user named.
    pub(crate) fn sequences(&self, context: &Context<'_>) -> Result<Vec<Vec<u32>>> {
        if let Some(modulus) = self.sums {
            if !(1..=4096).contains(&modulus) {
                return Err(Error::setting("sums", modulus, "1 to 4096"));
            }
            let pairs = (0..modulus).flat_map(|x| (0..modulus).map(move |y| vec![x, y, modulus]));
            return Ok(pairs.collect());
        }
        match &self.tokens {
            Some(path) => numbers(path),
            None => self.read(context),
        }
    }

    fn read(&self, context: &Context<'_>) -> Result<Vec<Vec<u32>>> {
        if !self.texts.are_given() {
            let expected = "--text FILE, --world FOLDER, --tokens FILE or --sums N";
            return Err(Error::setting("data", "absent", expected));
        }
        let network = record::open(&self.model, context.global)?;
        let mut all = sequences(&network, self.texts.stream()?, self.context, self.read)?;
        all.retain(|sequence| sequence.len() == self.context);
        if all.is_empty() {
            let expected = format!("documents of {} tokens or more; lower --context", self.context);
            return Err(Error::Empty { what: "the text".to_owned(), expected });
        }
        Ok(all)
    }

    /// The samples of a recording as inputs with the constant 1.
    pub(crate) fn inputs(&self, units: usize) -> Result<Held> {
        let Some(path) = &self.recording else {
            let expected = "--recording REC, whose samples are the inputs of the perceptron";
            return Err(Error::setting("data", "absent", expected));
        };
        let recording = Recording::open(path)?;
        if recording.units() != units {
            return Err(Error::Units {
                left: path.display().to_string(),
                found: recording.units(),
                right: self.model.clone(),
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

    /// `provenance` with the network at `path` and the data.
    pub(crate) fn told(&self, path: &Path, provenance: Provenance) -> Result<Provenance> {
        let mut provenance = provenance.with_input(path)?;
        for input in self.tokens.iter().chain(&self.recording) {
            provenance = provenance.with_input(input)?;
        }
        self.texts.told(provenance)
    }
}

/// Token sequences of a file.
fn numbers(path: &Path) -> Result<Vec<Vec<u32>>> {
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
    sequences.collect()
}
