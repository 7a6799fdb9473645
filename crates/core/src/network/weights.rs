//! `ResidualWeights`: the matrices that act on a residual stream, read from files block by block.
//!
//! What reads a network straight from its weights needs no forward pass and must not hold the
//! network: it asks for rows, and gets them as f32 whatever the file's layout and type.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{Half, StreamForm, StreamNorm, Tokenizer};
use crate::error::{Error, Result};

/// A matrix of a layer, seen as one vector of the residual stream for each of its units.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Part {
    /// What an MLP neuron reads: rows of the up projection (of an ungated MLP, its only input map)
    #[default]
    Up,
    /// What opens an MLP neuron's gate: rows of the gate projection
    Gate,
    /// What an MLP neuron writes: columns of the down projection
    Down,
    /// What a unit of a head's query reads
    Query,
    /// What a unit of a head's key reads
    Key,
    /// What a unit of a head's value reads
    Value,
    /// What a unit of a head's output writes
    AttentionOut,
}

impl Part {
    /// Its name in tables, as flags spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Gate => "gate",
            Self::Down => "down",
            Self::Query => "query",
            Self::Key => "key",
            Self::Value => "value",
            Self::AttentionOut => "attention-out",
        }
    }

    /// Whether its vectors are read from the residual stream, through a norm; else they are added to it.
    pub fn reads(self) -> bool {
        !matches!(self, Self::Down | Self::AttentionOut)
    }
}

/// A table with one vector of the residual stream for each token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum TokenTable {
    /// The output head: what raises a token's logit (`U`)
    #[default]
    Head,
    /// The embedding: what a token puts into the stream
    Embed,
}

/// The norm before the head, as far as it acts on a direction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeadNorm {
    /// `[residual]`, by which a normed residual is multiplied; `None` without one.
    pub gain: Option<Vec<f32>>,
    /// Whether the mean over the residual is taken off first (LayerNorm).
    pub centres: bool,
    /// Whether there is a norm at all.
    pub scales: bool,
}

/// The matrices of a network that act on its residual stream.
pub trait ResidualWeights: Send + Sync {
    /// A short name for messages and provenance.
    fn id(&self) -> &str;

    /// The number of layers.
    fn layers(&self) -> usize;

    /// The width of the residual stream.
    fn residual_width(&self) -> usize;

    /// The rows of the head.
    fn vocabulary(&self) -> usize;

    /// The parts that every layer has.
    fn parts(&self) -> &[Part];

    /// The vectors of a part of one layer; the same for every layer.
    fn units(&self, part: Part) -> usize;

    /// Copies the vectors `units` of a part to `out` `[unit, residual]`.
    ///
    /// # Errors
    /// A part or layer that is not there, a range beyond its end, or a file that cannot be read.
    fn read_units(
        &self,
        layer: usize,
        part: Part,
        units: Range<usize>,
        out: &mut [f32],
    ) -> Result<()>;

    /// Copies the vectors of `tokens` to `out` `[token, residual]`.
    ///
    /// # Errors
    /// A range beyond the vocabulary, a table that is not there, or a file that cannot be read.
    fn read_tokens(&self, table: TokenTable, tokens: Range<usize>, out: &mut [f32]) -> Result<()>;

    /// Whether the head and the embedding are one matrix.
    fn head_is_tied(&self) -> bool;

    /// The gain `[residual]` of the norm through which a reading part sees the stream; `None`
    /// without one, and for parts that write.
    ///
    /// # Errors
    /// A layer that is not there, or a file that cannot be read.
    fn input_gain(&self, layer: usize, part: Part) -> Result<Option<Vec<f32>>>;

    /// The norm before the head.
    ///
    /// # Errors
    /// A file that cannot be read.
    fn head_norm(&self) -> Result<HeadNorm>;

    /// The tokenizer that came with the checkpoint.
    ///
    /// # Errors
    /// When the checkpoint had none.
    fn tokenizer(&self) -> Result<&dyn Tokenizer>;

    /// How the layers are joined to the residual stream.
    ///
    /// # Errors
    /// Weights of which only directions are known.
    fn stream_form(&self) -> Result<StreamForm> {
        Err(unknown(self.id(), "the form of its attention"))
    }

    /// The norm through which a half of a layer reads the residual stream.
    ///
    /// # Errors
    /// A layer that is not there, weights of which only directions are known, or a file that cannot be
    /// read.
    fn norm_before(&self, layer: usize, half: Half) -> Result<StreamNorm> {
        let _ = (layer, half);
        Err(unknown(self.id(), "the norms before its halves"))
    }

    /// The norm before the head, bias and all.
    ///
    /// # Errors
    /// As [`Self::norm_before`].
    fn final_norm(&self) -> Result<StreamNorm> {
        Err(unknown(self.id(), "the bias of its final norm"))
    }

    /// What is added after a map: to the units of a part that reads `[unit]`, to the residual of one
    /// that writes `[residual]`; `None` without a bias.
    ///
    /// # Errors
    /// As [`Self::norm_before`].
    fn part_bias(&self, layer: usize, part: Part) -> Result<Option<Vec<f32>>> {
        let _ = (layer, part);
        Err(unknown(self.id(), "the biases of its maps"))
    }

    /// What is added to the logits `[token]`; `None` without a bias.
    ///
    /// # Errors
    /// As [`Self::norm_before`].
    fn head_bias(&self) -> Result<Option<Vec<f32>>> {
        Err(unknown(self.id(), "the bias of its head"))
    }

    /// What multiplies the vectors of the embedding before they enter the stream.
    ///
    /// # Errors
    /// As [`Self::norm_before`].
    fn embedding_scale(&self) -> Result<f32> {
        Err(unknown(self.id(), "the scale of its embedding"))
    }

    /// # Errors
    /// A part that the network has not, or a layer beyond its last.
    fn check(&self, layer: usize, part: Part) -> Result<()> {
        if !self.parts().contains(&part) {
            let known: Vec<_> = self.parts().iter().map(|part| part.name()).collect();
            return Err(Error::setting(
                "part",
                part.name(),
                format!("one of {}, as {} has", known.join(", "), self.id()),
            ));
        }
        if layer >= self.layers() {
            return Err(Error::setting(
                "layer",
                layer,
                format!("0 to {}, as {} has", self.layers().saturating_sub(1), self.id()),
            ));
        }
        Ok(())
    }
}

/// The error of weights that do not say how their network computes.
fn unknown(id: &str, what: &str) -> Error {
    Error::setting("weights", id, format!("a whole checkpoint, which tells {what}"))
}
