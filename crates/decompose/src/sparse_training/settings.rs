//! Settings that sparse autoencoders and transcoders have in common.

use nissl_core::features::Activation;
use nissl_core::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::range::at_least_1;

/// What becomes of the pre-activations `u = W_enc x + b_enc`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Architecture {
    /// max(0, u), kept sparse by a penalty on the activations (L1)
    Relu,
    /// The k largest of each sample
    #[default]
    TopK,
    /// The k largest a sample on average over a batch; a threshold afterwards
    BatchTopK,
    /// Those above a threshold that each feature learns, kept sparse by a penalty on their number (L0)
    JumpRelu,
    /// A gate that opens and a magnitude of its own, kept sparse by a penalty on the gates
    Gated,
    /// The largest of each of k groups of neighbouring features
    GroupMax,
}

/// What is made small, beside the penalty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Loss {
    /// Squared error as a share of the variance: does not depend on the scale of the activity
    #[default]
    Fvu,
    /// Squared error divided by the length of the target, as Dunefsky et al. 2024
    Dunefsky,
}

/// What brings features back that are never active.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Revival {
    /// aux-k where k features are kept, ghost with the loss of Dunefsky et al., else resample
    #[default]
    Auto,
    /// Dead features learn to predict the error (Gao et al. 2024)
    AuxK,
    /// As if dead features were active exponentially (ghost gradients)
    Ghost,
    /// Dead features begin anew at samples of large error (Bricken et al. 2023)
    Resample,
    /// Nothing
    None,
}

/// Hyperparameters of training a sparse dictionary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Training {
    /// What makes the activations sparse
    #[arg(long, value_enum, default_value_t, help_heading = "Dictionary")]
    pub architecture: Architecture,
    /// Features, at least 1; by default 4 for each unit (GPT-2 in the paper: 32)
    #[arg(short = 'm', long, help_heading = "Dictionary")]
    pub features: Option<usize>,
    /// Active features of a sample, 1 to the features (top-k, batch-top-k) or groups (group-max)
    #[arg(short, long, default_value_t = Training::default().k, help_heading = "Dictionary")]
    pub k: usize,
    /// Weight of the penalty, 0 or more (λ); by default 0.12 (relu), 0.4 (gated), 0.03 (jump-relu), which find planted directions, or 1.4e-4 with the loss of Dunefsky et al.; a lower one keeps more features active and explains more
    #[arg(long, help_heading = "Dictionary")]
    pub lambda: Option<f64>,
    /// What is made small beside the penalty
    #[arg(long, value_enum, default_value_t, help_heading = "Dictionary")]
    pub loss: Loss,
    /// Samples to train on, repeated ones as well (the paper: 60 million); by default 2 million
    #[arg(long, help_heading = "Training", conflicts_with = "epochs")]
    pub tokens: Option<u64>,
    /// Passes over the recording, above 0, in place of --tokens
    #[arg(long, help_heading = "Training")]
    pub epochs: Option<f64>,
    /// Samples of a step, at least 1 (the paper: 4096)
    #[arg(long, default_value_t = Training::default().batch, help_heading = "Training")]
    pub batch: usize,
    /// Learning rate, above 0 (the paper: 4e-4)
    #[arg(long, default_value_t = Training::default().rate, help_heading = "Training")]
    pub rate: f64,
    /// Share of the steps in which the learning rate grows, 0 to 1 (the paper: a third)
    #[arg(long, default_value_t = Training::default().warm_up, help_heading = "Training")]
    pub warm_up: f64,
    /// Share of the steps, at the end, in which the learning rate falls to 0, 0 to 1 (the paper: 0)
    #[arg(long, default_value_t = Training::default().decay, help_heading = "Training")]
    pub decay: f64,
    /// Share of the steps in which the penalty grows, 0 to 1 (the paper: 0)
    #[arg(long, default_value_t = Training::default().sparsity_warm_up, help_heading = "Training")]
    pub sparsity_warm_up: f64,
    /// What brings features back that are never active
    #[arg(long, value_enum, default_value_t, help_heading = "Training")]
    pub revival: Revival,
    /// Samples without activity after which a feature counts as dead; a twentieth of the run at most
    #[arg(long, default_value_t = Training::default().dead_after, help_heading = "Training")]
    pub dead_after: u64,
    /// Weight of what dead features predict of the error, 0 or more (aux-k, α)
    #[arg(long, default_value_t = Training::default().auxiliary, help_heading = "Training")]
    pub auxiliary: f64,
    /// Width of the window through which thresholds learn, above 0 (jump-relu, ε; the paper, with billions of samples: 0.001)
    #[arg(long, default_value_t = Training::default().bandwidth, help_heading = "Training")]
    pub bandwidth: f64,
    /// Threshold of every feature at the beginning, above 0 (jump-relu; the paper: 0.001)
    #[arg(long, default_value_t = Training::default().threshold, help_heading = "Training")]
    pub threshold: f64,
    /// Memory for shuffled samples; what does not fit is read anew (MiB)
    #[arg(
        long = "memory",
        value_name = "MIB",
        default_value_t = Training::default().memory_mib,
        help_heading = "Training"
    )]
    pub memory_mib: usize,
    /// Seconds after which an interrupted training can be resumed, at most; 0: always from the start
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = Training::default().checkpoint,
        help_heading = "Training"
    )]
    pub checkpoint: u64,
    /// The seed of every draw; set by the run
    #[arg(skip)]
    pub seed: u64,
}

impl Default for Training {
    fn default() -> Self {
        Self {
            architecture: Architecture::TopK,
            features: None,
            k: 32,
            lambda: None,
            loss: Loss::Fvu,
            tokens: None,
            epochs: None,
            batch: 512,
            rate: 1e-3,
            warm_up: 0.05,
            decay: 0.2,
            sparsity_warm_up: 0.05,
            revival: Revival::Auto,
            dead_after: 10_000_000,
            auxiliary: 1.0 / 32.0,
            bandwidth: 0.05,
            threshold: 0.05,
            memory_mib: 1024,
            checkpoint: 60,
            seed: 42,
        }
    }
}

/// Samples of a run for which neither number nor passes were asked.
const TOKENS: u64 = 2_000_000;

impl Training {
    /// Checks every field against its range.
    ///
    /// # Errors
    /// Names the first field that is outside its range.
    pub fn validate(&self) -> Result<()> {
        at_least_1(&[("k", self.k), ("batch", self.batch)])?;
        if let Some(features) = self.features {
            at_least_1(&[("features", features)])?;
            if self.keeps_k() && self.k > features {
                let expected = format!("at most {features}, the features");
                return Err(Error::setting("k", self.k, expected));
            }
        }
        if self.tokens.is_some() && self.epochs.is_some() {
            let expected = "only one of `tokens` and `epochs`";
            return Err(Error::setting("epochs", self.epochs.unwrap_or_default(), expected));
        }
        if self.tokens == Some(0) {
            return Err(Error::setting("tokens", 0, "at least 1"));
        }
        let above_0 = [
            ("epochs", self.epochs.unwrap_or(1.0)),
            ("rate", self.rate),
            ("bandwidth", self.bandwidth),
            ("threshold", self.threshold),
        ];
        for (field, value) in above_0 {
            if !(value > 0.0 && value.is_finite()) {
                return Err(Error::setting(field, value, "above 0"));
            }
        }
        let not_negative =
            [("lambda", self.lambda.unwrap_or_default()), ("auxiliary", self.auxiliary)];
        for (field, value) in not_negative {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(Error::setting(field, value, "0 or more"));
            }
        }
        let shares = [
            ("warm_up", self.warm_up),
            ("decay", self.decay),
            ("sparsity_warm_up", self.sparsity_warm_up),
        ];
        match shares.iter().find(|(_, share)| !(0.0..=1.0).contains(share)) {
            None => Ok(()),
            Some((field, share)) => Err(Error::setting(*field, share, "0 to 1")),
        }
    }

    /// The number of features over `units` units.
    ///
    /// # Errors
    /// Fewer than are to be active at once.
    pub fn features(&self, units: usize) -> Result<usize> {
        let features = self.features.unwrap_or(4 * units);
        if self.keeps_k() && self.k > features {
            return Err(Error::setting("k", self.k, format!("at most {features}, the features")));
        }
        Ok(features)
    }

    /// The samples of a run, over a recording of so many where there is one.
    ///
    /// # Errors
    /// Passes over a stream of unknown length, or fewer samples than a step takes.
    pub fn samples(&self, recorded: Option<usize>) -> Result<u64> {
        let batch = self.batch;
        if let Some(recorded) = recorded.filter(|&recorded| recorded < batch) {
            return Err(Error::setting(
                "batch",
                batch,
                format!("at most {recorded}, the samples to fit"),
            )
            .with_help("record more samples, or train with a smaller --batch"));
        }
        let samples = match (self.epochs, recorded) {
            (Some(epochs), Some(recorded)) => (epochs * recorded as f64).round() as u64,
            (Some(epochs), None) => {
                let expected = "`tokens` for samples that are not recorded";
                return Err(Error::setting("epochs", epochs, expected));
            }
            (None, _) => self.tokens.unwrap_or(TOKENS),
        };
        if samples < batch as u64 {
            let expected = format!("at most {samples}, the samples of the whole training");
            return Err(Error::setting("batch", batch, expected));
        }
        Ok(samples)
    }

    /// Whether `k` says how many features are active.
    pub fn keeps_k(&self) -> bool {
        matches!(
            self.architecture,
            Architecture::TopK | Architecture::BatchTopK | Architecture::GroupMax
        )
    }

    /// λ; 0 where `k` makes the activations sparse and none was set.
    ///
    /// The defaults are those at which 2 million samples of planted directions, one to three of them active,
    /// are told apart (nine in ten or more, by a cosine of 0.9); a tenth of them leaves all directions mixed.
    pub fn penalty(&self) -> f64 {
        self.lambda.unwrap_or(match (self.architecture, self.loss) {
            (Architecture::Relu | Architecture::Gated, Loss::Dunefsky) => 1.4e-4,
            (Architecture::Relu, Loss::Fvu) => 0.12,
            (Architecture::Gated, Loss::Fvu) => 0.4,
            (Architecture::JumpRelu, _) => 0.03,
            _ => 0.0,
        })
    }

    /// What brings dead features back, with what `auto` stands for.
    pub fn revival(&self) -> Revival {
        match (self.revival, self.loss) {
            (Revival::Auto, _) if self.keeps_k() => Revival::AuxK,
            (Revival::Auto, Loss::Dunefsky) => Revival::Ghost,
            (Revival::Auto, Loss::Fvu) => Revival::Resample,
            (other, _) => other,
        }
    }

    /// The rule by which new samples are encoded.
    pub(super) fn activation(&self) -> Activation {
        match self.architecture {
            Architecture::Relu => Activation::Relu,
            Architecture::TopK => Activation::TopK { k: self.k },
            Architecture::BatchTopK | Architecture::JumpRelu => Activation::JumpRelu,
            Architecture::Gated => Activation::Gated,
            Architecture::GroupMax => Activation::GroupMax { k: self.k },
        }
    }
}
