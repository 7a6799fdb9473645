//! The settings of reading units through the head.

use nissl_core::network::{Part, ResidualWeights, TokenTable};
use nissl_core::{Error, Result};
use nissl_kernels::Signs;
use serde::{Deserialize, Serialize};

use super::Span;

/// How vectors are scaled before the head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Normalise {
    /// As they are
    #[default]
    None,
    /// To length 1, then divided by the temperature
    Unit,
    /// As the head's norm would a residual, its gain included
    Rms,
}

/// What is taken off as common to all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Centre {
    /// Nothing
    #[default]
    None,
    /// The mean over tokens of the head's vectors (moves logits and cosines, not probabilities)
    Tokens,
    /// The mean vector of each part of each layer
    Rows,
    /// Both means
    Both,
}

impl Centre {
    /// Whether the mean over tokens is taken off.
    pub fn tokens(self) -> bool {
        matches!(self, Self::Tokens | Self::Both)
    }

    /// Whether the mean of a part's vectors is taken off.
    pub fn rows(self) -> bool {
        matches!(self, Self::Rows | Self::Both)
    }
}

/// Which signs of a vector are decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum SignChoice {
    /// The vector
    #[default]
    Plus,
    /// The vector and its negative: what is held back, or read with a negative sign
    Both,
}

impl SignChoice {
    /// The same for a scan.
    pub(super) fn signs(self) -> Signs {
        match self {
            Self::Plus => Signs::Plus,
            Self::Both => Signs::Both,
        }
    }
}

/// Hyperparameters of reading units through the head.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct LmHead {
    /// Parts that are decoded, separated by commas
    #[arg(long = "part", value_enum, value_delimiter = ',', default_values_t = LmHead::default().parts)]
    pub parts: Vec<Part>,
    /// Layers that are decoded, such as 3 or 0..8, separated by commas [default: all]
    #[arg(long, value_delimiter = ',', value_name = "LAYER")]
    pub layers: Vec<Span>,
    /// Units of each part that are decoded, such as 0..512, separated by commas [default: all]
    #[arg(long, value_delimiter = ',', value_name = "UNIT")]
    pub units: Vec<Span>,
    /// Tokens kept of each unit, 1 to 50
    #[arg(long, default_value_t = LmHead::default().top)]
    pub top: usize,
    /// Which table the tokens' vectors come from; early layers of untied models read embeddings
    #[arg(long, value_enum, default_value_t = LmHead::default().head)]
    pub head: TokenTable,
    /// Fold, scale and centre so that units and models can be compared: --fold-out, --normalise rms,
    /// --centre both
    #[arg(long)]
    pub recommended: bool,
    /// Multiply what reads by the gain of the norm before it: what the neuron sees
    #[arg(long)]
    pub fold_in: bool,
    /// Multiply by the gain of the norm before the head: what the head sees
    #[arg(long)]
    pub fold_out: bool,
    /// How vectors are scaled
    #[arg(long, value_enum, default_value_t = LmHead::default().normalise)]
    pub normalise: Normalise,
    /// Divides the logits of vectors of length 1, above 0
    #[arg(long, default_value_t = LmHead::default().temperature)]
    pub temperature: f32,
    /// What is taken off as common to all
    #[arg(long, value_enum, default_value_t = LmHead::default().centre)]
    pub centre: Centre,
    /// Which signs are decoded
    #[arg(long, value_enum, default_value_t = LmHead::default().signs)]
    pub signs: SignChoice,
    /// Probability of its first token from which a unit counts as specialised (τ), above 0 to 1
    #[arg(long, default_value_t = LmHead::default().threshold)]
    pub threshold: f32,
    /// Standard deviations above the mean over tokens from which a unit counts as specialised,
    /// in the place of --threshold
    #[arg(long, value_name = "DEVIATIONS")]
    pub least_z: Option<f32>,
    /// Share of the tokens, those with the shortest vectors, that are left out, 0 to 1: hardly
    /// trained tokens win by accident
    #[arg(long, default_value_t = LmHead::default().norm_floor, value_name = "SHARE")]
    pub norm_floor: f32,
    /// Only tokens whose text matches this regular expression
    #[arg(long, value_name = "REGEX")]
    pub only: Option<String>,
    /// Only this many first tokens; they are the most frequent in most vocabularies
    #[arg(long, value_name = "TOKENS")]
    pub first_tokens: Option<usize>,
    /// Find candidates in a random projection and score only these exactly: about 16 times less
    /// work, but probabilities are estimates with bounds
    #[arg(long)]
    pub two_stage: bool,
    /// Dimensions of that projection, 1 or more
    #[arg(long, default_value_t = LmHead::default().projection, value_name = "DIMENSIONS")]
    pub projection: usize,
    /// Candidates scored exactly, at least --top
    #[arg(long, default_value_t = LmHead::default().candidates, value_name = "TOKENS")]
    pub candidates: usize,
    /// Tell for each unit the share of tokens less aligned with it than its first, by a second pass
    #[arg(long)]
    pub percentile: bool,
    /// Units in memory at once, 1 or more
    #[arg(long, default_value_t = LmHead::default().block, hide = true)]
    pub block: usize,
    /// Tokens in memory at once, 1 or more
    #[arg(long, default_value_t = LmHead::default().tile, hide = true)]
    pub tile: usize,
    /// Seed of the random projection
    #[arg(skip)]
    pub seed: u64,
}

impl Default for LmHead {
    fn default() -> Self {
        Self {
            parts: vec![Part::Up],
            layers: Vec::new(),
            units: Vec::new(),
            top: 10,
            head: TokenTable::Head,
            recommended: false,
            fold_in: false,
            fold_out: false,
            normalise: Normalise::None,
            temperature: 1.0,
            centre: Centre::None,
            signs: SignChoice::Plus,
            threshold: 0.1,
            least_z: None,
            norm_floor: 0.0,
            only: None,
            first_tokens: None,
            two_stage: false,
            projection: 256,
            candidates: 200,
            percentile: false,
            block: 1024,
            tile: 4096,
            seed: 0,
        }
    }
}

/// Most tokens kept of a unit.
const MOST_TOKENS: usize = 50;

impl LmHead {
    /// The preset in which units and models can be compared: `fold_out`, `rms`, both means off.
    pub fn recommended() -> Self {
        Self { recommended: true, ..Self::default() }.resolved()
    }

    /// The same settings with the preset written out.
    #[must_use]
    pub fn resolved(&self) -> Self {
        if !self.recommended {
            return self.clone();
        }
        Self { fold_out: true, normalise: Normalise::Rms, centre: Centre::Both, ..self.clone() }
    }

    /// # Errors
    /// A value outside its range.
    pub fn validate(&self) -> Result<()> {
        if self.parts.is_empty() {
            return Err(Error::setting("part", "empty", "one part or more, such as up"));
        }
        if !(1..=MOST_TOKENS).contains(&self.top) {
            return Err(Error::setting("top", self.top, format!("1 to {MOST_TOKENS}")));
        }
        if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            return Err(Error::setting("temperature", self.temperature, "above 0"));
        }
        if !(self.threshold > 0.0 && self.threshold <= 1.0) {
            return Err(Error::setting("threshold", self.threshold, "above 0, at most 1"));
        }
        if self.least_z.is_some_and(|z| !z.is_finite()) {
            return Err(Error::setting("least_z", "not a number", "a finite number such as 5.5"));
        }
        if !(0.0..1.0).contains(&self.norm_floor) {
            return Err(Error::setting("norm_floor", self.norm_floor, "0 or more, below 1"));
        }
        if self.first_tokens == Some(0) {
            return Err(Error::setting("first_tokens", 0, "1 or more"));
        }
        if self.projection == 0 {
            return Err(Error::setting("projection", 0, "1 or more"));
        }
        if self.candidates < self.top {
            let expected = format!("{} or more, the tokens kept", self.top);
            return Err(Error::setting("candidates", self.candidates, expected));
        }
        if self.two_stage && self.percentile {
            let expected = "unset with two_stage, which never sees all tokens";
            return Err(Error::setting("percentile", "set", expected));
        }
        for (name, value) in [("block", self.block), ("tile", self.tile)] {
            if value == 0 {
                return Err(Error::setting(name, 0, "1 or more"));
            }
        }
        Ok(())
    }

    /// The layers that are decoded, ascending.
    ///
    /// # Errors
    /// A layer that `weights` has not.
    pub fn layers_of(&self, weights: &dyn ResidualWeights) -> Result<Vec<usize>> {
        chosen("layers", &self.layers, weights.layers(), weights.id())
    }

    /// The units of a part that are decoded, as ascending ranges that do not touch.
    ///
    /// # Errors
    /// A unit that the part has not.
    pub fn units_of(&self, weights: &dyn ResidualWeights, part: Part) -> Result<Vec<usize>> {
        chosen("units", &self.units, weights.units(part), weights.id())
    }

    /// Whether a unit with this greatest probability and z-score counts as specialised.
    pub fn is_special(&self, probability: f32, z: f32) -> bool {
        match self.least_z {
            Some(least) => z >= least,
            None => probability >= self.threshold,
        }
    }
}

fn chosen(name: &str, spans: &[Span], size: usize, id: &str) -> Result<Vec<usize>> {
    if spans.is_empty() {
        return Ok((0..size).collect());
    }
    let mut all = Vec::new();
    for span in spans {
        if span.start >= span.end || span.end > size {
            let last = size.saturating_sub(1);
            return Err(Error::setting(name, span, format!("within 0 to {last}, as {id} has")));
        }
        all.extend(span.range());
    }
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_the_papers() {
        let paper = LmHead::default();
        assert_eq!(paper.parts, [Part::Up]);
        assert_eq!((paper.normalise, paper.centre), (Normalise::None, Centre::None));
        assert!(!paper.fold_in && !paper.fold_out && !paper.two_stage);
        assert!(paper.validate().is_ok());
        assert_eq!(LmHead::recommended().centre, Centre::Both);
    }

    #[test]
    fn values_outside_their_range_are_named() {
        let wrong = [
            ("part", LmHead { parts: Vec::new(), ..LmHead::default() }),
            ("top", LmHead { top: 51, ..LmHead::default() }),
            ("top", LmHead { top: 0, ..LmHead::default() }),
            ("temperature", LmHead { temperature: 0.0, ..LmHead::default() }),
            ("threshold", LmHead { threshold: f32::NAN, ..LmHead::default() }),
            ("least_z", LmHead { least_z: Some(f32::NAN), ..LmHead::default() }),
            ("norm_floor", LmHead { norm_floor: 1.0, ..LmHead::default() }),
            ("first_tokens", LmHead { first_tokens: Some(0), ..LmHead::default() }),
            ("candidates", LmHead { candidates: 3, ..LmHead::default() }),
            ("percentile", LmHead { two_stage: true, percentile: true, ..LmHead::default() }),
            ("tile", LmHead { tile: 0, ..LmHead::default() }),
        ];
        for (field, settings) in wrong {
            let error = settings.validate().expect_err(field).to_string();
            assert!(error.contains(&format!("`{field}`")), "{error}");
        }
    }

    #[test]
    fn chosen_numbers_must_exist() {
        let spans = [Span::from(2..4), Span::from(0..3)];
        assert_eq!(chosen("layers", &spans, 4, "m").expect("there"), [0, 1, 2, 3]);
        assert!(chosen("layers", &spans, 3, "m").is_err());
    }
}
