//! `Span`: consecutive numbers, as flags and files spell them: `7` or `3..5`, the end left out.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Consecutive numbers from `start` up to, without, `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span {
    /// The first.
    pub start: usize,
    /// One past the last.
    pub end: usize,
}

impl Span {
    /// As a range.
    pub fn range(self) -> Range<usize> {
        self.start..self.end
    }
}

impl From<Range<usize>> for Span {
    fn from(range: Range<usize>) -> Self {
        Self { start: range.start, end: range.end }
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.trim().parse::<usize>().ok();
        let found = match text.split_once("..") {
            None => number(text).map(|start| (start, start + 1)),
            Some((start, end)) => number(start).zip(number(end)),
        };
        match found {
            Some((start, end)) if start < end => Ok(Self { start, end }),
            _ => Err(format!("`{text}` is no number such as 3, nor a range such as 3..5")),
        }
    }
}

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.end == self.start + 1 {
            write!(f, "{}", self.start)
        } else {
            write!(f, "{}..{}", self.start, self.end)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_written() {
        for (text, range) in [("7", 7..8), ("3..5", 3..5), ("0..1", 0..1)] {
            let span: Span = text.parse().expect("a span");
            assert_eq!(span.range(), range);
            assert_eq!(span.to_string().parse::<Span>(), Ok(span));
        }
        for wrong in ["", "..", "5..5", "7..3", "-1", "a", "1..b"] {
            assert!(wrong.parse::<Span>().is_err(), "{wrong}");
        }
    }
}
