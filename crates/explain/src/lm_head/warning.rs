//! What the reader of a decoded map must know.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What the reader of a decoded map must know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "warning", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Warning {
    /// The head has rows that the tokenizer does not know; they were left out.
    UnnamedTokens {
        /// Tokens of the tokenizer.
        tokenizer: usize,
        /// Rows of the head.
        vocabulary: usize,
    },
    /// The tokenizer knows tokens that the head has no row for.
    TokensWithoutRow {
        /// Tokens of the tokenizer.
        tokenizer: usize,
        /// Rows of the head.
        vocabulary: usize,
    },
    /// The first layer reads embeddings, and the head of this network is another matrix.
    UntiedFirstLayer,
    /// The head's norm has no gain, so that folding it changes nothing.
    NoGain,
    /// Units whose vectors hold NaN or infinity; they have no tokens.
    NotFinite {
        /// Their number.
        units: u64,
    },
    /// More than a fifth of all units have the same first token.
    CommonToken {
        /// The token.
        token: u32,
        /// Its text.
        text: String,
        /// The share of units.
        share: f64,
    },
    /// Probabilities and entropies are estimates with bounds.
    Estimates {
        /// Candidates scored exactly.
        candidates: usize,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnnamedTokens { tokenizer, vocabulary } => write!(
                f,
                "the head has {vocabulary} rows and the tokenizer {tokenizer} tokens; rows from \
                 {tokenizer} on were left out"
            ),
            Self::TokensWithoutRow { tokenizer, vocabulary } => write!(
                f,
                "the tokenizer has {tokenizer} tokens and the head only {vocabulary} rows; is this \
                 its tokenizer?"
            ),
            Self::UntiedFirstLayer => write!(
                f,
                "layer 0 reads embeddings, and this network's head is another matrix; decode its \
                 reading parts with --head embed"
            ),
            Self::NoGain => {
                write!(f, "the norm before the head has no gain; folding it changes nothing")
            }
            Self::NotFinite { units } => {
                write!(f, "{units} units hold NaN or infinity and were not decoded")
            }
            Self::CommonToken { token, text, share } => write!(
                f,
                "{:.0} % of all units have the first token {text:?} ({token}): they share a \
                 direction; take it off with --centre rows",
                share * 100.0
            ),
            Self::Estimates { candidates } => write!(
                f,
                "only {candidates} candidates of each unit were scored exactly: probabilities and \
                 entropies are estimates; `probability_low` and `probability_high` hold when no \
                 token was missed"
            ),
        }
    }
}
