//! `LanguageNetwork`: a network that reads tokens and, mostly, predicts the next.

use burn::tensor::{Device, Int};
use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::{Network, Sampling};
use crate::chat::Message;
use crate::error::{Error, Result};
use crate::taps::Taps;

/// Token sequences of one batch, padded at their end to the same length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenBatch {
    tokens: Vec<u32>,
    lengths: Vec<usize>,
    positions: usize,
}

impl TokenBatch {
    /// A batch of `sequences`; shorter ones are padded with token 0, which causal networks never
    /// look back at and encoders mask.
    ///
    /// # Errors
    /// When there is no sequence, or an empty one.
    pub fn new(sequences: &[&[u32]]) -> Result<Self> {
        let positions = sequences.iter().map(|sequence| sequence.len()).max().unwrap_or(0);
        if positions == 0 || sequences.iter().any(|sequence| sequence.is_empty()) {
            return Err(Error::Empty {
                what: "a token sequence".to_owned(),
                expected: "at least one token".to_owned(),
            });
        }
        let mut tokens = Vec::with_capacity(positions * sequences.len());
        for sequence in sequences {
            tokens.extend_from_slice(sequence);
            tokens.resize(tokens.len() + positions - sequence.len(), 0);
        }
        let lengths = sequences.iter().map(|sequence| sequence.len()).collect();
        Ok(Self { tokens, lengths, positions })
    }

    /// The number of sequences.
    pub fn batch(&self) -> usize {
        self.lengths.len()
    }

    /// The padded length.
    pub fn positions(&self) -> usize {
        self.positions
    }

    /// The true length of each sequence.
    pub fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// Whether any sequence is padded.
    pub fn is_padded(&self) -> bool {
        self.lengths.iter().any(|&length| length != self.positions)
    }

    /// The padded tokens, sequence after sequence.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// The padded tokens as a tensor `[batch, position]`.
    pub fn to_tensor(&self, device: &Device) -> Tensor<2, Int> {
        let tokens: Vec<i64> = self.tokens.iter().map(|&token| i64::from(token)).collect();
        Tensor::from_data(TensorData::new(tokens, [self.batch(), self.positions]), device)
    }

    /// # Errors
    /// The first token that is outside a vocabulary of `size`.
    pub fn check_vocabulary(&self, size: usize) -> Result<()> {
        match self.tokens.iter().find(|&&token| token as usize >= size) {
            None => Ok(()),
            Some(token) => Err(Error::setting(
                "token",
                token,
                format!("below {size}, the network's vocabulary (is this its tokenizer?)"),
            )),
        }
    }
}

/// Keys and values of the positions seen so far, one pair a layer: `[batch, head, position, width]`.
#[derive(Clone, Debug, Default)]
pub struct KeyValueCache {
    /// One entry a layer, made at the first run.
    pub layers: Vec<Option<(Tensor<4>, Tensor<4>)>>,
    /// Positions held.
    pub positions: usize,
}

/// A text that a network wrote.
#[derive(Clone, Debug, PartialEq)]
pub struct Generated {
    /// The new tokens, without the prompt.
    pub tokens: Vec<u32>,
    /// Log-probability of each new token under the distribution at temperature 1, in nats.
    pub log_probabilities: Vec<f32>,
}

/// What stands between a direction of the residual stream and the vocabulary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FinalNorm {
    /// The network's final norm, gain included, as for a real residual (the logit lens).
    #[default]
    Apply,
    /// Only the gain of the final norm: linear, so that effects add up.
    Gain,
    /// The raw direction.
    Skip,
}

/// A network that reads tokens.
pub trait LanguageNetwork: Network {
    /// Runs a batch from position 0; every site's tensor passes through `taps`.
    ///
    /// Gives the logits `[batch, position, token]`, or `None` when the taps wanted no output and
    /// the run stopped early, or when the network has no head (an encoder).
    ///
    /// # Errors
    /// A token outside the vocabulary, a sequence longer than the context, an edit that does not fit.
    fn forward(&self, batch: &TokenBatch, taps: &mut Taps<'_>) -> Result<Option<Tensor<3>>>;

    /// Runs the next tokens of a batch of equal lengths after those in `cache`, and extends it.
    ///
    /// # Errors
    /// As [`Self::forward`]; encoders have no cache.
    fn forward_cached(
        &self,
        batch: &TokenBatch,
        cache: &mut KeyValueCache,
        taps: &mut Taps<'_>,
    ) -> Result<Tensor<3>>;

    /// Continues `prompt`; taps work at every step.
    ///
    /// # Errors
    /// As [`Self::forward_cached`], and a sampling setting outside its range.
    fn generate(
        &self,
        prompt: &[u32],
        sampling: &Sampling,
        taps: &mut Taps<'_>,
    ) -> Result<Generated>;

    /// The number of layers.
    fn layers(&self) -> usize;

    /// The width of the residual stream.
    fn residual_width(&self) -> usize;

    /// The number of tokens that logits are given for.
    fn vocabulary(&self) -> usize;

    /// The longest sequence it can read.
    fn context(&self) -> usize;

    /// Whether a position sees only those before it.
    fn is_causal(&self) -> bool;

    /// The tokenizer that came with the checkpoint.
    ///
    /// # Errors
    /// When the checkpoint had none.
    fn tokenizer(&self) -> Result<&dyn Tokenizer>;

    /// The map `[unit, residual]` from a layer's `mlp.act` to what is added to the residual stream
    /// (Gemma 2: with the gain of the norm after the MLP).
    ///
    /// # Errors
    /// When there is no such layer.
    fn down_projection(&self, layer: usize) -> Result<Tensor<2>>;

    /// Logits `[direction, token]` of directions `[direction, residual]` of the residual stream.
    ///
    /// # Errors
    /// When the network has no head over its vocabulary.
    fn unembed(&self, directions: Tensor<2>, norm: FinalNorm) -> Result<Tensor<2>>;
}

/// A token with its place in the text, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenSpan {
    /// Its number in the vocabulary.
    pub id: u32,
    /// First byte in the text.
    pub start: usize,
    /// One past its last byte.
    pub end: usize,
}

/// Text to tokens and back.
pub trait Tokenizer: Send + Sync {
    /// The tokens of a text, special tokens included as the network was trained with.
    ///
    /// # Errors
    /// When the text cannot be encoded.
    fn encode(&self, text: &str) -> Result<Vec<TokenSpan>>;

    /// The text of tokens.
    ///
    /// # Errors
    /// When a token is unknown.
    fn decode(&self, tokens: &[u32]) -> Result<String>;

    /// One token as it is shown to people, a leading space kept; `None` when there is no such token.
    fn token(&self, id: u32) -> Option<String>;

    /// The number of tokens.
    fn size(&self) -> usize;

    /// The token that ends a text, when there is one.
    fn end(&self) -> Option<u32>;

    /// The tokens that end an answer in a conversation.
    fn answer_ends(&self) -> Vec<u32> {
        self.end().into_iter().collect()
    }

    /// The prompt that stands for a conversation, ready for the assistant's next answer.
    ///
    /// # Errors
    /// When the network was not trained to converse: its tokenizer has no chat template.
    fn chat_prompt(&self, messages: &[Message]) -> Result<String> {
        let found = format!("{} messages", messages.len());
        Err(Error::setting("chat", found, "a plain prompt: this tokenizer has no chat template"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_padded_at_its_end() {
        let batch = TokenBatch::new(&[&[5, 6, 7], &[8]]).expect("fits");
        assert_eq!(batch.tokens(), &[5, 6, 7, 8, 0, 0]);
        assert_eq!(batch.lengths(), &[3, 1]);
        assert!(batch.is_padded());
        assert!(batch.check_vocabulary(8).is_err());
        assert!(batch.check_vocabulary(9).is_ok());
    }

    #[test]
    fn an_empty_sequence_is_refused() {
        assert!(TokenBatch::new(&[&[1], &[]]).is_err());
        assert!(TokenBatch::new(&[]).is_err());
    }
}
