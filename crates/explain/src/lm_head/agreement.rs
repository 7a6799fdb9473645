//! What a neuron reads beside what it writes.
//!
//! In a gated MLP `h = act(g·x)(w·x)` adds `h D` to the stream, so that a neuron that reads a token
//! need not write it. A neuron reads when its up or gate row is specialised, and writes when its
//! down column is.
//!
//! Source: Davies 2025, arXiv:2501.02688, for what is read; the comparison is ours.

use std::collections::BTreeMap;

use nissl_core::network::Part;
use serde::{Deserialize, Serialize};

use super::{Decoded, LmHead, Sign};

/// What a neuron does with tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// No part of it is specialised.
    Neither,
    /// It reads a token and writes none.
    Reads,
    /// It writes a token and reads none.
    Writes,
    /// It reads and writes the same word.
    Both,
    /// It reads one word and writes another.
    Differs,
}

impl Class {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Neither => "neither",
            Self::Reads => "reads",
            Self::Writes => "writes",
            Self::Both => "both",
            Self::Differs => "differs",
        }
    }

    /// The class of a name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Neither, Self::Reads, Self::Writes, Self::Both, Self::Differs]
            .into_iter()
            .find(|class| class.name() == name)
    }
}

/// The class of every neuron among the decoded parts of **one** layer, and how far the listed tokens
/// of what it reads and writes overlap: both are set in each of its rows. A neuron without both a
/// reading part (up or gate) and a writing one (down) keeps none.
///
/// `are_one` tells whether two tokens write the same word.
pub fn classify(decoded: &mut [Decoded], settings: &LmHead, are_one: &dyn Fn(u32, u32) -> bool) {
    let mut neurons: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (at, one) in decoded.iter().enumerate() {
        if matches!(one.part, Part::Up | Part::Gate | Part::Down) {
            neurons.entry(one.unit).or_default().push(at);
        }
    }
    for rows in neurons.values() {
        let of = |part: Part| {
            let mut rows = rows.iter().map(|&at| &decoded[at]);
            rows.find(|one| one.part == part && one.sign == Sign::Plus)
        };
        let (reads, down) = ([of(Part::Up), of(Part::Gate)], of(Part::Down));
        let (Some(down), Some(main)) = (down, reads[0].or(reads[1])) else { continue };
        let read: Vec<u32> =
            reads.into_iter().flatten().filter_map(|one| token(one, settings)).collect();
        let class = match (read.as_slice(), token(down, settings)) {
            ([], None) => Class::Neither,
            ([], Some(_)) => Class::Writes,
            (_, None) => Class::Reads,
            (read, Some(written)) if read.iter().any(|&read| are_one(read, written)) => Class::Both,
            _ => Class::Differs,
        };
        let overlap = overlap(&main.tokens, &down.tokens);
        for &at in rows {
            decoded[at].class = Some(class);
            decoded[at].overlap = overlap;
        }
    }
}

/// What one neuron, all of whose rows are `rows`, does with the tokens of a concept.
pub fn class_for(rows: &[&Decoded], tokens: &[u32], settings: &LmHead) -> Class {
    let does = |reads: bool| {
        rows.iter().any(|one| {
            one.part.reads() == reads
                && one.sign == Sign::Plus
                && token(one, settings).is_some_and(|token| tokens.contains(&token))
        })
    };
    match (does(true), does(false)) {
        (false, false) => Class::Neither,
        (true, false) => Class::Reads,
        (false, true) => Class::Writes,
        (true, true) => Class::Both,
    }
}

/// The token for which a unit is specialised.
fn token(one: &Decoded, settings: &LmHead) -> Option<u32> {
    one.first().filter(|_| settings.is_special(one.probability(), one.z))
}

/// The share of listed tokens that two lists have in common; NaN for an empty one.
fn overlap(a: &[(u32, f32)], b: &[(u32, f32)]) -> f32 {
    let common = a.iter().filter(|(token, _)| b.iter().any(|(other, _)| other == token)).count();
    if a.is_empty() || b.is_empty() {
        f32::NAN
    } else {
        common as f32 / a.len().min(b.len()) as f32
    }
}
