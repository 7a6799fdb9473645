//! The settings of a training: what can be chosen, and within which range.

use nissl_core::numbers::Precision;
use nissl_core::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;

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
    /// Precision of the saved weights: f32, f16 or bf16
    #[arg(long, value_parser = precision, default_value = "f32")]
    pub precision: Precision,
    /// Seed of the first values
    #[arg(skip)]
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

    /// The `config.json` of the network to be.
    pub(super) fn config(&self, vocabulary: usize, end: Option<u32>) -> Result<Vec<u8>> {
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
}

fn precision(name: &str) -> std::result::Result<Precision, String> {
    match name {
        "f32" => Ok(Precision::F32),
        "f16" => Ok(Precision::F16),
        "bf16" => Ok(Precision::Bf16),
        _ => Err("expected f32, f16 or bf16".to_owned()),
    }
}
