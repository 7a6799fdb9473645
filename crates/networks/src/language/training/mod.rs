//! Trains a language network from first values to a checkpoint that loads like any other.
//!
//! Mean cross-entropy of the next token, AdamW, linear warm-up, then a cosine down to a tenth, all
//! gradients clipped to a common norm.
//!
//! Source: Radford et al. 2019; the schedule: Loshchilov & Hutter 2017, arXiv:1608.03983, §3. Left
//! out: dropout. Memory: the parameters six times over and the activations of one batch.

mod adamw;
mod corpus;
mod parameters;
mod state;

use std::path::Path;
use std::time::Instant;

use burn::tensor::{Device, Int, Tensor, TensorData};
use nissl_core::numbers::Precision;
use nissl_core::store::{self, Existing, Kind, Manifest, Provenance, write_bytes, write_shard};
use nissl_core::taps::Taps;
use nissl_core::{Error, Progress, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::config::Config;
use super::family::{Family, Input};
use super::gpt2::Gpt2;
use super::ngram::{NGram, unigram_loss};
use super::tokenizer::TextTokenizer;
use adamw::AdamW;
use nissl_core::network::Tokenizer;
use state::State;

pub use corpus::{Corpus, Packed};

/// Settings of the training of a language network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct TrainLanguage {
    /// Architecture
    #[arg(long, value_enum, default_value_t = TrainLanguage::default().arch)]
    pub arch: Architecture,
    /// Layers, 1 or more
    #[arg(long, default_value_t = TrainLanguage::default().layers)]
    pub layers: usize,
    /// Units of the residual stream, a multiple of `heads`
    #[arg(long, default_value_t = TrainLanguage::default().width)]
    pub width: usize,
    /// Attention heads
    #[arg(long, default_value_t = TrainLanguage::default().heads)]
    pub heads: usize,
    /// Tokens of a window, the longest text the network can read
    #[arg(long, default_value_t = TrainLanguage::default().context)]
    pub context: usize,
    /// Windows of a step
    #[arg(long, default_value_t = TrainLanguage::default().batch)]
    pub batch: usize,
    /// Steps
    #[arg(long, default_value_t = TrainLanguage::default().steps)]
    pub steps: usize,
    /// Largest learning rate, after the warm-up
    #[arg(long, default_value_t = TrainLanguage::default().learning_rate)]
    pub learning_rate: f64,
    /// Steps in which the learning rate rises from 0
    #[arg(long, default_value_t = TrainLanguage::default().warmup)]
    pub warmup: usize,
    /// Pull of the matrices towards 0
    #[arg(long, default_value_t = TrainLanguage::default().weight_decay)]
    pub weight_decay: f64,
    /// Largest norm of all gradients together
    #[arg(long, default_value_t = TrainLanguage::default().clip)]
    pub clip: f32,
    /// Steps between two points of the loss curve
    #[arg(long, default_value_t = TrainLanguage::default().evaluate_every)]
    pub evaluate_every: usize,
    /// Steps between two states on disk, from which an interrupted run goes on
    #[arg(long, default_value_t = TrainLanguage::default().checkpoint_every)]
    pub checkpoint_every: usize,
    /// Precision of the saved weights
    #[arg(skip)]
    pub precision: Precision,
    /// Seed of the first values
    #[arg(long, default_value_t = TrainLanguage::default().seed)]
    pub seed: u64,
}

/// Architectures that can be trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Architecture {
    /// GPT-2 with four hidden units for each unit of the residual stream
    Gpt2,
}

impl Default for TrainLanguage {
    fn default() -> Self {
        Self {
            arch: Architecture::Gpt2,
            layers: 4,
            width: 256,
            heads: 4,
            context: 128,
            batch: 16,
            steps: 5_000,
            learning_rate: 1e-3,
            warmup: 200,
            weight_decay: 0.1,
            clip: 1.0,
            evaluate_every: 250,
            checkpoint_every: 500,
            precision: Precision::F32,
            seed: 0,
        }
    }
}

/// What a network is trained on and compared with.
pub struct TrainingData<'a> {
    /// Windows of training text.
    pub corpus: &'a dyn Corpus,
    /// Text that is not in the corpus, at least two tokens; all of it is read at every evaluation.
    pub held_out: &'a [u32],
    /// The tokenizer that made the tokens; it is saved with the network.
    pub tokenizer: &'a TextTokenizer,
    /// What the held-out loss is to be seen beside.
    pub baselines: Baselines,
    /// How the network is made: command and inputs; settings, device and time are added.
    pub provenance: Provenance,
}

/// Losses in nats a token that frame a network's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Baselines {
    /// Of the tokens' frequencies.
    pub unigram: Option<f64>,
    /// Of a smoothed 5-gram.
    pub five_gram: Option<f64>,
    /// Entropy of the source: no model can do better.
    pub lower_bound: Option<f64>,
}

impl Baselines {
    /// Fits the unigram and the 5-gram to `training` and measures both on `held_out`.
    ///
    /// # Errors
    /// Texts that are too short, or tokens outside the vocabulary.
    pub fn measure(
        training: &[u32],
        held_out: &[u32],
        vocabulary: usize,
        lower_bound: Option<f64>,
    ) -> Result<Self> {
        Ok(Self {
            unigram: Some(unigram_loss(training, held_out, vocabulary)?),
            five_gram: Some(NGram::fit(training, 5, vocabulary)?.loss(held_out)?),
            lower_bound,
        })
    }
}

/// One point of a loss curve; losses in nats a token.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Steps made.
    pub step: usize,
    /// Tokens seen.
    pub tokens: u64,
    /// Mean training loss since the last point.
    pub train: f64,
    /// Loss on the held-out text.
    pub held_out: f64,
}

/// How a training went; the manifest of a trained network keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trained {
    /// Whether the run reached its last step.
    pub complete: bool,
    /// The number of parameters.
    pub parameters: usize,
    /// The loss at the end on the held-out text, in nats a token.
    pub held_out: Option<f64>,
    /// What it is to be seen beside.
    pub baselines: Baselines,
    /// The losses on the way.
    pub curve: Vec<Point>,
}

impl TrainLanguage {
    /// # Errors
    /// The first setting outside its range.
    pub fn validate(&self) -> Result<()> {
        let sizes = [
            ("layers", self.layers, 1..=256),
            ("width", self.width, 1..=16_384),
            ("heads", self.heads, 1..=self.width.max(1)),
            ("context", self.context, 1..=65_536),
            ("batch", self.batch, 1..=65_536),
            ("steps", self.steps, 1..=1_000_000_000),
            ("warmup", self.warmup, 0..=self.steps),
            ("evaluate_every", self.evaluate_every, 1..=usize::MAX),
            ("checkpoint_every", self.checkpoint_every, 1..=usize::MAX),
        ];
        for (field, found, range) in sizes {
            if !range.contains(&found) {
                let (low, high) = (range.start(), range.end());
                return Err(Error::setting(field, found, format!("{low} to {high}")));
            }
        }
        if !self.width.is_multiple_of(self.heads) {
            let expected = format!("a divisor of `width`, {}", self.width);
            return Err(Error::setting("heads", self.heads, expected));
        }
        let above_zero = [("learning_rate", self.learning_rate), ("clip", f64::from(self.clip))];
        for (field, found) in above_zero {
            if !(found > 0.0 && found.is_finite()) {
                return Err(Error::setting(field, found, "above 0"));
            }
        }
        if !(self.weight_decay >= 0.0 && self.weight_decay.is_finite()) {
            return Err(Error::setting("weight_decay", self.weight_decay, "0 or more"));
        }
        Ok(())
    }

    /// The learning rate of a step, counted from 0.
    pub fn rate(&self, step: usize) -> f64 {
        if step < self.warmup {
            return self.learning_rate * (step + 1) as f64 / self.warmup as f64;
        }
        let rest = (self.steps - self.warmup).max(1) as f64;
        let done = ((step - self.warmup) as f64 / rest).min(1.0);
        let cosine = 0.5 * (1.0 + (std::f64::consts::PI * done).cos());
        self.learning_rate * (0.1 + 0.9 * cosine)
    }

    /// Trains a network on `device` and writes it to `folder`.
    ///
    /// # Errors
    /// A setting outside its range, an output folder that `existing` forbids, a loss that leaves the
    /// finite numbers, an interruption (the state is kept), or a failed file operation.
    pub fn fit(
        &self,
        data: &TrainingData<'_>,
        folder: &Path,
        existing: Existing,
        device: &Device,
        progress: &Progress,
    ) -> Result<Trained> {
        self.validate()?;
        if data.held_out.len() < 2 {
            let what = "the held-out text".to_owned();
            return Err(Error::Empty { what, expected: "two tokens or more".to_owned() });
        }
        let vocabulary = data.tokenizer.size();
        let text = self.config(vocabulary, data.tokenizer.end())?;
        let fresh = parameters::fresh(&Config::parse("config.json", &text)?, self.seed, device)?;

        let goes_on = store::prepare(folder, existing)?;
        let mut manifest = self.manifest(data, device);
        let saved =
            if goes_on { State::resume(self, fresh.clone(), folder, device)? } else { None };
        if goes_on && saved.is_none() {
            let before = Manifest::<Trained>::read(folder, Kind::Network)?;
            if before.detail.complete {
                return Ok(before.detail);
            }
        }
        manifest.write(folder)?;
        let mut state = saved.unwrap_or_else(|| State {
            network: fresh,
            optimizer: AdamW::default(),
            step: 0,
            curve: Vec::new(),
            losses: Vec::new(),
            seconds: 0.0,
        });
        self.run(&mut state, data, folder, device, progress)?;

        let mut exported = state.network.clone();
        let detail = &mut manifest.detail;
        detail.complete = true;
        detail.held_out = state.curve.last().map(|point| point.held_out);
        detail.parameters =
            parameters::export(&mut exported)?.iter().map(|(_, values, _)| values.len()).sum();
        detail.curve = state.curve;
        manifest.provenance.seconds = state.seconds;
        write_bytes(&folder.join("config.json"), &text)?;
        write_bytes(&folder.join("tokenizer.json"), data.tokenizer.json())?;
        let weights = parameters::to_safetensors(&mut exported, self.precision)?;
        manifest.shards = vec![write_shard(folder, "model.safetensors", 0, &weights)?];
        manifest.write(folder)?;
        State::remove(folder)?;
        Ok(manifest.detail)
    }

    fn run(
        &self,
        state: &mut State,
        data: &TrainingData<'_>,
        folder: &Path,
        device: &Device,
        progress: &Progress,
    ) -> Result<()> {
        let window = (self.batch * self.context) as u64;
        let stage = progress.stage("train", self.steps as u64 * window, "tokens");
        stage.advance(state.step as u64 * window);
        let mut clock = Instant::now();
        while state.step < self.steps {
            let windows = data.corpus.windows(state.step, self.batch, self.context + 1)?;
            let loss = self.step(state, &windows, device)?;
            state.losses.push(loss);
            state.step += 1;
            stage.show("loss", loss);
            stage.advance(window);
            let last = state.step == self.steps;
            if last || state.step.is_multiple_of(self.evaluate_every) {
                let held_out = held_out_loss(&state.network, data.held_out, self.context, device)?;
                let train = state.losses.iter().sum::<f64>() / state.losses.len() as f64;
                state.losses.clear();
                let tokens = state.step as u64 * window;
                state.curve.push(Point { step: state.step, tokens, train, held_out });
                stage.show("held-out", held_out);
                tracing::info!(step = state.step, train, held_out, "evaluated");
            }
            let stop = progress.interrupted() && !last;
            if stop || last || state.step.is_multiple_of(self.checkpoint_every) {
                state.seconds += clock.elapsed().as_secs_f64();
                clock = Instant::now();
                state.save(self, folder)?;
            }
            if stop {
                return Err(Error::Interrupted { done: format!("step {}", state.step) });
            }
        }
        Ok(())
    }

    /// One step; gives its loss.
    fn step(&self, state: &mut State, windows: &[u32], device: &Device) -> Result<f64> {
        let mut tracked = parameters::tracked(&state.network);
        let (inputs, targets) = split(windows, self.context);
        let on = device.clone().autodiff();
        let losses = losses(&tracked, &inputs, &targets, self.context, &on);
        let loss = losses.mean();
        let tape = loss.backward();
        let mut gradients = parameters::gradients(&mut tracked, &tape);
        let value = f64::from(loss.into_scalar::<f32>());
        if !value.is_finite() {
            return Err(Error::Diverged {
                what: "the loss".to_owned(),
                found: value,
                step: state.step,
                help: Some(format!("lower `learning_rate`, now {}", self.learning_rate)),
            });
        }
        adamw::clip(&mut gradients, self.clip);
        let rate = self.rate(state.step);
        state.optimizer.step(&mut state.network, gradients, rate, self.weight_decay);
        Ok(value)
    }

    fn config(&self, vocabulary: usize, end: Option<u32>) -> Result<Vec<u8>> {
        let config = json!({
            "architectures": ["GPT2LMHeadModel"],
            "model_type": "gpt2",
            "activation_function": "gelu_new",
            "n_embd": self.width,
            "n_head": self.heads,
            "n_inner": 4 * self.width,
            "n_layer": self.layers,
            "n_positions": self.context,
            "vocab_size": vocabulary,
            "layer_norm_epsilon": 1e-5,
            "tie_word_embeddings": true,
            "bos_token_id": end,
            "eos_token_id": end,
        });
        let mut text = serde_json::to_vec_pretty(&config)
            .map_err(|error| Error::setting("config", error, "JSON"))?;
        text.push(b'\n');
        Ok(text)
    }

    fn manifest(&self, data: &TrainingData<'_>, device: &Device) -> Manifest<Trained> {
        let mut provenance = data.provenance.clone();
        provenance.config = serde_json::to_value(self).unwrap_or_default();
        provenance.seed = self.seed;
        provenance.device = format!("{device:?}");
        let detail = Trained {
            complete: false,
            parameters: 0,
            held_out: None,
            baselines: data.baselines,
            curve: Vec::new(),
        };
        Manifest::new(Kind::Network, provenance, detail)
    }
}

/// Windows of `context + 1` tokens to the tokens read and those to be predicted.
fn split(windows: &[u32], context: usize) -> (Vec<u32>, Vec<u32>) {
    let windows = windows.chunks_exact(context + 1);
    let inputs = windows.clone().flat_map(|window| &window[..context]).copied().collect();
    (inputs, windows.flat_map(|window| &window[1..]).copied().collect())
}

/// The loss of every target, `[batch · position]`.
fn losses(
    network: &Gpt2,
    inputs: &[u32],
    targets: &[u32],
    context: usize,
    device: &Device,
) -> Tensor<1> {
    let whole = |tokens: &[u32]| -> Tensor<1, Int> {
        let values: Vec<i64> = tokens.iter().map(|&token| i64::from(token)).collect();
        Tensor::from_data(TensorData::new(values, [tokens.len()]), device)
    };
    let tokens = whole(inputs).reshape([inputs.len() / context, context]);
    let input = Input { tokens, lengths: None, past: 0, cache: None };
    match network.run(input, &mut Taps::none()) {
        Some(logits) => nissl_kernels::cross_entropy(logits.flatten(0, 1), whole(targets)),
        None => unreachable!("no tap ends the run early"),
    }
}

/// Mean loss of every token but the first, read in windows of `context`.
fn held_out_loss(network: &Gpt2, tokens: &[u32], context: usize, device: &Device) -> Result<f64> {
    let predicted = tokens.len() - 1;
    let whole = predicted / context * context;
    let mut sum = 0.0;
    // Sixteen windows at once; what is left over is one shorter window.
    let batches = (0..whole)
        .step_by(16 * context)
        .map(|from| (from, (from + 16 * context).min(whole), context));
    let rest = (whole < predicted).then_some((whole, predicted, predicted - whole));
    for (from, to, context) in batches.chain(rest) {
        let losses = losses(network, &tokens[from..to], &tokens[from + 1..=to], context, device);
        sum += f64::from(losses.sum().into_scalar::<f32>());
    }
    let mean = sum / predicted as f64;
    if mean.is_finite() {
        Ok(mean)
    } else {
        Err(Error::Diverged {
            what: "the held-out loss".to_owned(),
            found: mean,
            step: 0,
            help: None,
        })
    }
}
