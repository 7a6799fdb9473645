//! The network that is cut, the data that run through it, and the answers it is judged by.

use std::path::{Path, PathBuf};

use nissl_core::error::IoContext;
use nissl_core::section::{Chain, Held, Nonlinearity, Samples};
use nissl_core::store::Provenance;
use nissl_core::{Error, Recording, Result};
use nissl_networks::language::{Hub, Source};
use nissl_networks::sections::{Outputs, Perceptron, Transformer};

use crate::Context;
use crate::verbs::record;
use crate::verbs::texts::{Texts, sequences};

/// What is cut, and where its samples come from.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Data {
    /// A transformer (GPT-2 family, TransformerLens's .pt) or perceptron (`layers.N.weight`): a folder or file
    #[arg(value_name = "MODEL")]
    pub(crate) model: String,
    /// Node layers in order, separated by commas [default: those of the bases; the residual streams and the logits; or all layers]
    #[arg(long, value_name = "SITE,...", value_delimiter = ',')]
    pub(crate) node_layers: Vec<String>,
    /// A file with one sequence of token numbers on each line, all of one length
    #[arg(long, value_name = "FILE", conflicts_with_all = ["sums", "recording", "text"])]
    tokens: Option<PathBuf>,
    /// All pairs `x y N` of numbers below N: the inputs of an adder modulo N, followed at its last position
    #[arg(long, value_name = "N", conflicts_with_all = ["recording", "text"])]
    sums: Option<u32>,
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

/// A cut network, its samples, and the right outputs where the data tell them.
pub(crate) struct Opened<'a> {
    pub(crate) chain: &'a Chain,
    pub(crate) samples: &'a dyn Samples,
    /// The last node layer of the whole network: only there are answers.
    pub(crate) end: String,
    /// One for each sample and position at the end; `None`: the data tell none.
    pub(crate) answers: Option<Vec<u32>>,
}

fn nonlinearity(text: &str) -> std::result::Result<Nonlinearity, String> {
    serde_json::from_value(text.into())
        .map_err(|_unknown| "expected relu, gelu, gelu-tanh, tanh or silu".to_owned())
}

impl Data {
    /// Cuts the network at `node_layers`, or where none are given at its usual ones, and hands it on.
    pub(crate) fn open<T>(
        &self,
        node_layers: &[String],
        context: &Context<'_>,
        follow: impl FnOnce(&Opened<'_>) -> Result<T>,
    ) -> Result<T> {
        let source: Source = self.model.parse()?;
        let hub = if context.global.offline { Hub::Offline } else { Hub::from_environment() };
        let path = source.folder(hub)?;
        if let Some(recording) = &self.recording {
            let network = Perceptron::open(&path, self.nonlinearity)?;
            let all = network.node_layers();
            let cut = network.cut(if node_layers.is_empty() { &all } else { node_layers })?;
            let samples = cut.samples(self.held(recording, network.inputs())?);
            let end = all.last().cloned().unwrap_or_default();
            return follow(&Opened { chain: &cut.chain, samples: &samples, end, answers: None });
        }
        let network = Transformer::open(&path)?;
        let last = self.last_position || self.sums.is_some();
        let (inputs, answers) = self.questions(last, context)?;
        let positions = inputs.first().map_or(0, Vec::len);
        let usual = network.usual_node_layers();
        let chosen = if node_layers.is_empty() { &usual } else { node_layers };
        let outputs = if last { Outputs::Last } else { Outputs::All };
        let cut = network.cut(chosen, positions, outputs)?;
        let samples = cut.samples(network.tokens(inputs)?);
        let end = usual.last().cloned().unwrap_or_default();
        follow(&Opened { chain: &cut.chain, samples: &samples, end, answers: Some(answers) })
    }

    /// Sequences, and the token that follows at each position that is judged.
    fn questions(&self, last: bool, context: &Context<'_>) -> Result<(Vec<Vec<u32>>, Vec<u32>)> {
        if let Some(modulus) = self.sums {
            if !(1..=4096).contains(&modulus) {
                return Err(Error::setting("sums", modulus, "1 to 4096"));
            }
            let pairs = (0..modulus).flat_map(|x| (0..modulus).map(move |y| vec![x, y, modulus]));
            let answers = (0..modulus).flat_map(|x| (0..modulus).map(move |y| (x + y) % modulus));
            return Ok((pairs.collect(), answers.collect()));
        }
        let mut all = match &self.tokens {
            Some(path) => numbers(path)?,
            None => self.read(context)?,
        };
        let mut answers = Vec::new();
        for (n, sequence) in all.iter_mut().enumerate() {
            let Some(next) = sequence.pop().filter(|_| !sequence.is_empty()) else {
                let found = format!("sequence {n} of fewer than 2 tokens");
                return Err(Error::setting("data", found, "2 tokens: the last one is the answer"));
            };
            if !last {
                answers.extend_from_slice(&sequence[1..]);
            }
            answers.push(next);
        }
        Ok((all, answers))
    }

    fn read(&self, context: &Context<'_>) -> Result<Vec<Vec<u32>>> {
        if !self.texts.are_given() {
            let expected =
                "--text FILE, --world FOLDER, --tokens FILE, --sums N or --recording REC";
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
    fn held(&self, path: &Path, units: usize) -> Result<Held> {
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

    /// `provenance` with the network and the data.
    pub(crate) fn told(&self, mut provenance: Provenance) -> Result<Provenance> {
        let model = Path::new(&self.model);
        if model.exists() {
            provenance = provenance.with_input(model)?;
        }
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
