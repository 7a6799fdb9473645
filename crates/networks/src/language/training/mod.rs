//! Trains a language network, from first values or from another's weights, to a checkpoint that loads
//! like any other.
//!
//! Mean cross-entropy of the next token, AdamW, linear warm-up, then a cosine down to a tenth, all
//! gradients clipped to a common norm.
//!
//! Source: Radford et al. 2019; the schedule: Loshchilov & Hutter 2017, arXiv:1608.03983, §3. Left
//! out: dropout. Memory: the parameters six times over and the activations of one batch.

mod adamw;
mod base;
mod corpus;
mod parameters;
mod settings;
mod state;

use std::path::Path;
use std::time::Instant;

use burn::tensor::{Device, Int, Tensor, TensorData};
use nissl_core::store::{self, Existing, Kind, Manifest, Provenance, write_bytes, write_shard};
use nissl_core::taps::Taps;
use nissl_core::{Error, Progress, Result};
use serde::{Deserialize, Serialize};

use super::config::Config;
use super::family::{Family, Input};
use super::gpt2::Gpt2;
use super::ngram::{NGram, unigram_loss};
use super::tokenizer::TextTokenizer;
use adamw::AdamW;
use nissl_core::network::Tokenizer;
use state::State;

pub use base::Base;
pub use corpus::{Corpus, Packed};
pub use settings::{Architecture, TrainLanguage};

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
    /// How the network is made: command, inputs and device; settings and time are added.
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
    pub train: f32,
    /// Loss on the held-out text.
    pub held_out: f32,
}

/// How a training went; the manifest of a trained network keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trained {
    /// Whether the run reached its last step.
    pub complete: bool,
    /// The number of parameters.
    pub parameters: usize,
    /// The loss of the network it began from on the held-out text; `None` from first values.
    pub held_out_before: Option<f32>,
    /// The loss at the end on the held-out text, in nats a token.
    pub held_out: Option<f32>,
    /// What it is to be seen beside.
    pub baselines: Baselines,
    /// The losses on the way.
    pub curve: Vec<Point>,
}

impl TrainLanguage {
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
        let config = self.config(data.tokenizer.size(), data.tokenizer.end())?;
        let network =
            parameters::fresh(&Config::parse("config.json", &config)?, self.seed, device)?;
        let begin = Begin { config: &config, network, base: None };
        self.train(begin, data, folder, existing, device, progress)
    }

    /// Goes on training the network `base` with a new optimiser and writes it to `folder`.
    ///
    /// The settings' architecture must be that of `base` ([`Base::shaped`] makes it so); windows
    /// may be shorter than its context. The manifest names `base` as an input.
    ///
    /// # Errors
    /// As [`Self::fit`]; an architecture or a tokenizer that is not that of `base`.
    pub fn fine_tune(
        &self,
        base: &Base,
        data: &TrainingData<'_>,
        folder: &Path,
        existing: Existing,
        progress: &Progress,
    ) -> Result<Trained> {
        self.validate()?;
        base.check(self)?;
        if data.tokenizer.json() != base.tokenizer().json() {
            let expected = "that of the network to begin from";
            return Err(Error::setting("tokenizer", "another", expected));
        }
        let begin = Begin { config: &base.config, network: base.network.clone(), base: Some(base) };
        self.train(begin, data, folder, existing, &base.device, progress)
    }

    fn train(
        &self,
        begin: Begin<'_>,
        data: &TrainingData<'_>,
        folder: &Path,
        existing: Existing,
        device: &Device,
        progress: &Progress,
    ) -> Result<Trained> {
        if data.held_out.len() < 2 {
            let what = "the held-out text".to_owned();
            return Err(Error::Empty { what, expected: "two tokens or more".to_owned() });
        }
        let Begin { config, network, base } = begin;
        let begun_from = base.map(|base| base.input.sha256.as_str());
        let goes_on = store::prepare(folder, existing)?;
        let mut manifest = self.manifest(data, base);
        let saved = if goes_on {
            State::resume(self, begun_from, network.clone(), folder, device)?
        } else {
            None
        };
        if goes_on && saved.is_none() {
            let before = Manifest::<Trained>::read(folder, Kind::Network)?;
            if before.detail.complete {
                return Ok(before.detail);
            }
        }
        if base.is_some() {
            let before = held_out_loss(&network, data.held_out, self.context, device)?;
            manifest.detail.held_out_before = Some(before);
        }
        manifest.write(folder)?;
        let mut state = saved.unwrap_or_else(|| State {
            begun_from: begun_from.map(str::to_owned),
            network,
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
        write_bytes(&folder.join("config.json"), config)?;
        write_bytes(&folder.join("tokenizer.json"), data.tokenizer.json())?;
        if let Some(base) = base {
            base.copy_beside(folder)?;
        }
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
            stage.show("loss", f64::from(loss));
            stage.advance(window);
            let last = state.step == self.steps;
            if last || state.step.is_multiple_of(self.evaluate_every) {
                let held_out = held_out_loss(&state.network, data.held_out, self.context, device)?;
                let sum: f64 = state.losses.iter().map(|&loss| f64::from(loss)).sum();
                let train = (sum / state.losses.len() as f64) as f32;
                state.losses.clear();
                let tokens = state.step as u64 * window;
                state.curve.push(Point { step: state.step, tokens, train, held_out });
                stage.show("held-out", f64::from(held_out));
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
    fn step(&self, state: &mut State, windows: &[u32], device: &Device) -> Result<f32> {
        let mut tracked = parameters::tracked(&state.network);
        let (inputs, targets) = split(windows, self.context);
        let on = device.clone().autodiff();
        let losses = losses(&tracked, &inputs, &targets, self.context, &on);
        let loss = losses.mean();
        let tape = loss.backward();
        let mut gradients = parameters::gradients(&mut tracked, &tape);
        let value = loss.into_scalar::<f32>();
        if !value.is_finite() {
            return Err(Error::Diverged {
                what: "the loss".to_owned(),
                found: f64::from(value),
                step: state.step,
                help: Some(format!("lower `learning_rate`, now {}", self.learning_rate)),
            });
        }
        adamw::clip(&mut gradients, self.clip);
        let rate = self.rate(state.step);
        state.optimizer.step(&mut state.network, gradients, rate, self.weight_decay);
        Ok(value)
    }

    fn manifest(&self, data: &TrainingData<'_>, base: Option<&Base>) -> Manifest<Trained> {
        let mut provenance = data.provenance.clone();
        provenance.inputs.extend(base.map(|base| base.input.clone()));
        provenance.config = serde_json::to_value(self).unwrap_or_default();
        provenance.seed = self.seed;
        let detail = Trained {
            complete: false,
            parameters: 0,
            held_out_before: None,
            held_out: None,
            baselines: data.baselines,
            curve: Vec::new(),
        };
        Manifest::new(Kind::Network, provenance, detail)
    }
}

/// Where a training begins.
struct Begin<'a> {
    config: &'a [u8],
    network: Gpt2,
    base: Option<&'a Base>,
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
fn held_out_loss(network: &Gpt2, tokens: &[u32], context: usize, device: &Device) -> Result<f32> {
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
        Ok(mean as f32)
    } else {
        Err(Error::Diverged {
            what: "the held-out loss".to_owned(),
            found: mean,
            step: 0,
            help: None,
        })
    }
}
