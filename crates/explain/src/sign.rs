//! `Sign`: along a vector, or against it.

use serde::{Deserialize, Serialize};

/// Along a vector, or against it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Sign {
    /// Along it
    #[default]
    #[serde(rename = "+")]
    Plus,
    /// Against it
    #[serde(rename = "-")]
    Minus,
}

impl Sign {
    /// `+` or `-`, as tables spell it.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Plus => "+",
            Self::Minus => "-",
        }
    }
}
