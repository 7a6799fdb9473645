//! How many units a feature keeps.

use std::fmt;
use std::str::FromStr;

use nissl_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// The units kept in each feature.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum Sparsity {
    /// A fraction of all units, above 0 and at most 1.
    Fraction(f64),
    /// A number of units, at least 1.
    Count(usize),
}

/// How it stands in files: 0.01, 31, "1%".
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Count(usize),
    Fraction(f64),
    Text(String),
}

impl Sparsity {
    pub(super) fn validate(self) -> Result<()> {
        match self {
            Self::Fraction(p) if !(p > 0.0 && p <= 1.0) => {
                Err(Error::setting("sparsity", p, "a fraction above 0 and at most 1"))
            }
            Self::Count(0) => Err(Error::setting("sparsity", 0, "at least 1 unit")),
            _ => Ok(()),
        }
    }

    /// The number of units kept of `units`: exactly `⌈p · units⌉`.
    ///
    /// # Errors
    /// More units than there are.
    pub fn units(self, units: usize) -> Result<usize> {
        match self {
            // The product may exceed a whole number by rounding alone: 0.07 · 100 = 7.000…1.
            Self::Fraction(p) => Ok(((p * units as f64 - 1e-9).ceil() as usize).clamp(1, units)),
            Self::Count(count) if count > units => {
                Err(Error::setting("sparsity", count, format!("at most {units}, the units")))
            }
            Self::Count(count) => Ok(count),
        }
    }
}

impl fmt::Display for Sparsity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fraction(p) => write!(f, "{p:?}"),
            Self::Count(count) => write!(f, "{count}"),
        }
    }
}

impl FromStr for Sparsity {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            Error::setting("sparsity", text, "a fraction such as 0.01 or 1%, or a number of units")
        };
        let found = if let Some(percent) = text.strip_suffix('%') {
            Self::Fraction(percent.trim().parse::<f64>().map_err(|_not_a_number| wrong())? / 100.0)
        } else if let Ok(count) = text.parse() {
            Self::Count(count)
        } else {
            Self::Fraction(text.parse().map_err(|_not_a_number| wrong())?)
        };
        found.validate()?;
        Ok(found)
    }
}

impl TryFrom<Written> for Sparsity {
    type Error = Error;

    fn try_from(written: Written) -> Result<Self> {
        match written {
            Written::Count(count) => Ok(Self::Count(count)),
            Written::Fraction(p) => Ok(Self::Fraction(p)),
            Written::Text(text) => text.parse(),
        }
    }
}

impl From<Sparsity> for Written {
    fn from(sparsity: Sparsity) -> Self {
        match sparsity {
            Sparsity::Fraction(p) => Self::Fraction(p),
            Sparsity::Count(count) => Self::Count(count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_and_counts_are_told_apart() {
        for (text, kept) in [("0.01", 31), ("1%", 31), ("5", 5), ("1.0", 3072), ("100%", 3072)] {
            let sparsity: Sparsity = text.parse().expect("valid");
            assert_eq!(sparsity.units(3072).expect("fits"), kept, "{text}");
            assert_eq!(sparsity.to_string().parse::<Sparsity>().expect("valid"), sparsity);
            let json = serde_json::to_string(&sparsity).expect("writes");
            assert_eq!(serde_json::from_str::<Sparsity>(&json).expect("reads"), sparsity);
        }
        assert_eq!(Sparsity::Fraction(0.07).units(100).expect("fits"), 7);
        assert_eq!(Sparsity::Fraction(1e-6).units(100).expect("fits"), 1);
        for text in ["0", "0.0", "1.5", "-1", "many", "101%", "nan"] {
            assert!(text.parse::<Sparsity>().is_err(), "{text}");
        }
        assert!(Sparsity::Count(101).units(100).is_err());
    }
}
