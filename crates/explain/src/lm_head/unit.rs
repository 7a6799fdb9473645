//! `Decoded`: what the head tells of one unit.

use nissl_core::network::Part;
use nissl_kernels::RowScan;
use serde::Serialize;

use super::Class;
use super::vocabulary::Vocabulary;
use crate::sign::Sign;

/// What the head tells of one unit and sign.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decoded {
    /// The layer.
    pub layer: u32,
    /// Which of its matrices.
    pub part: Part,
    /// The unit within the part.
    pub unit: u32,
    /// The sign.
    pub sign: Sign,
    /// Tokens and their logits, greatest first, equal ones by token; none for a vector that is not
    /// finite.
    pub tokens: Vec<(u32, f32)>,
    /// Their probabilities, in the same order; estimates in the two-stage mode.
    pub probabilities: Vec<f32>,
    /// Bounds of the first token's probability; both are the probability itself in the exact mode.
    /// In the two-stage mode they hold when no missed token has a greater logit than the last
    /// listed one.
    pub bounds: (f32, f32),
    /// `log Σ exp ℓ`, in nats; an estimate in the two-stage mode.
    pub log_sum_exp: f64,
    /// Entropy of `p`, in nats; an estimate in the two-stage mode.
    pub entropy: f32,
    /// `(ℓ₍₁₎ − mean) / deviation` over tokens.
    pub z: f32,
    /// `ℓ₍₁₎ − ℓ₍₂₎`.
    pub margin: f32,
    /// Excess kurtosis of the logits over tokens; NaN in the two-stage mode.
    pub kurtosis: f32,
    /// Cosine of the vector with that of its first token.
    pub cosine: f32,
    /// Share of tokens whose vectors have a smaller cosine with it; NaN unless asked for.
    pub percentile: f32,
    /// Length of the vector as it met the head.
    pub length: f32,
    /// Share of tokens with a shorter vector than the first token has: near 0 or 1 is suspicious.
    pub length_percentile: f32,
    /// What the neuron does, where its reading and writing parts were decoded together.
    pub class: Option<Class>,
    /// Share of the listed tokens that what it reads and what it writes have in common; else NaN.
    pub overlap: f32,
}

/// Where a scanned vector stands.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) layer: usize,
    pub(super) part: Part,
    pub(super) unit: usize,
    pub(super) sign: Sign,
    /// The length of the vector.
    pub(super) length: f64,
}

impl Decoded {
    /// The greatest probability, 0 without tokens.
    pub fn probability(&self) -> f32 {
        self.probabilities.first().copied().unwrap_or(0.0)
    }

    /// The first token.
    pub fn first(&self) -> Option<u32> {
        self.tokens.first().map(|&(token, _)| token)
    }

    /// What an exact scan of a vector tells, `tokens` of it.
    pub(super) fn of(scan: &RowScan, place: Place, vocabulary: &Vocabulary) -> Self {
        let probabilities: Vec<f32> =
            scan.top.iter().map(|&(_, logit)| scan.probability(logit) as f32).collect();
        let first = probabilities.first().copied().unwrap_or(f32::NAN);
        let logit = scan.top.first().map_or(f32::NAN, |&(_, logit)| logit);
        Self {
            probabilities,
            bounds: (first, first),
            log_sum_exp: scan.plus.log_sum_exp,
            entropy: scan.entropy() as f32,
            z: scan.z_score(logit) as f32,
            kurtosis: scan.excess_kurtosis() as f32,
            ..Self::listed(&scan.top, place, vocabulary)
        }
    }

    /// What a list of places and logits, greatest first, tells without a normaliser.
    pub(super) fn listed(top: &[(u32, f32)], place: Place, vocabulary: &Vocabulary) -> Self {
        let Place { layer, part, unit, sign, length } = place;
        let (mut cosine, mut length_percentile) = (f32::NAN, f32::NAN);
        if let Some(&(first, logit)) = top.first() {
            let token = f64::from(vocabulary.length_as_seen(first as usize));
            cosine = (f64::from(logit) / (length * token)) as f32;
            length_percentile = vocabulary.length_percentile(first as usize);
        }
        let margin = match top {
            [(_, first), (_, second), ..] => first - second,
            _ => f32::NAN,
        };
        let tokens =
            top.iter().map(|&(place, logit)| (vocabulary.ids[place as usize], logit)).collect();
        Self {
            layer: layer as u32,
            part,
            unit: unit as u32,
            sign,
            tokens,
            probabilities: Vec::new(),
            bounds: (f32::NAN, f32::NAN),
            log_sum_exp: f64::NAN,
            entropy: f32::NAN,
            z: f32::NAN,
            margin,
            kurtosis: f32::NAN,
            cosine,
            percentile: f32::NAN,
            length: length as f32,
            length_percentile,
            class: None,
            overlap: f32::NAN,
        }
    }
}
