//! The settings of a clamp: to which values, where, and what is written under it.

use nissl_core::network::Sampling;
use nissl_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::held::ClampedPositions;
use super::reference::UnitRange;
use crate::strength::StrengthMatch;

/// Hyperparameters of clamping.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Clamp {
    /// Values the units are set to, separated by commas
    #[arg(long, value_name = "C", value_delimiter = ',', allow_negative_numbers = true)]
    pub to: Vec<f32>,
    /// Sweep from minus to plus this multiple of each unit's largest observed value, above 0
    #[arg(long, value_name = "TIMES", conflicts_with_all = ["to", "times_deviation"])]
    pub times_max: Option<f64>,
    /// Sweep from minus to plus this multiple of each unit's standard deviation, above 0
    #[arg(long, value_name = "TIMES", conflicts_with = "to")]
    pub times_deviation: Option<f64>,
    /// Points of a sweep on each side of zero, 1 or more
    #[arg(long, value_name = "POINTS", default_value_t = Clamp::default().steps)]
    pub steps: usize,
    /// Also find, for each sign, the values at which the next token's distribution has moved by
    /// these divergences, in nats, above 0
    #[arg(long, value_name = "NATS", value_delimiter = ',')]
    pub kl: Vec<f64>,
    /// Positions at which the units are held
    #[arg(long, value_enum, default_value_t = Clamp::default().positions)]
    pub positions: ClampedPositions,
    /// Random units of the same site, of about the same length of write vector, as a control
    #[arg(long, default_value_t = Clamp::default().controls)]
    pub controls: usize,
    /// Texts written without and with each clamp; 0 writes none
    #[arg(long, default_value_t = Clamp::default().samples)]
    pub samples: usize,
    /// Tokens of each text, 1 or more
    #[arg(long, default_value_t = Clamp::default().tokens)]
    pub tokens: usize,
    /// Draw among this many most likely tokens; 0 is all
    #[arg(long, default_value_t = Clamp::default().top_k)]
    pub top_k: usize,
    /// Draw among the most likely tokens that hold this probability, in (0, 1]
    #[arg(long, default_value_t = Clamp::default().top_p)]
    pub top_p: f32,
    /// Temperature of the draw; 0 takes the most likely token
    #[arg(long, default_value_t = Clamp::default().temperature)]
    pub temperature: f32,
    /// Seed of every draw
    #[arg(skip)]
    pub seed: u64,
}

impl Default for Clamp {
    fn default() -> Self {
        Self {
            to: Vec::new(),
            times_max: None,
            times_deviation: None,
            steps: 4,
            kl: Vec::new(),
            positions: ClampedPositions::All,
            controls: 8,
            samples: 8,
            tokens: 50,
            top_k: 30,
            top_p: 0.3,
            temperature: 1.0,
            seed: 0,
        }
    }
}

impl Clamp {
    /// # Errors
    /// A value outside its range, or no value at all.
    pub fn validate(&self) -> Result<()> {
        if let Some(value) = self.to.iter().find(|value| !value.is_finite()) {
            return Err(Error::setting("to", value, "finite numbers"));
        }
        let ways = [!self.to.is_empty(), self.times_max.is_some(), self.times_deviation.is_some()];
        match ways.iter().filter(|&&given| given).count() {
            0 if self.kl.is_empty() => {
                let expected =
                    "a value, or one of `times_max`, `times_deviation`, `kl` in its place";
                return Err(Error::setting("to", "absent", expected));
            }
            0 | 1 => {}
            _ => {
                let expected = "only one of `to`, `times_max` and `times_deviation`";
                return Err(Error::setting("to", "one of several ways", expected));
            }
        }
        for (field, times) in
            [("times_max", self.times_max), ("times_deviation", self.times_deviation)]
        {
            if let Some(times) = times.filter(|times| !(*times > 0.0 && times.is_finite())) {
                return Err(Error::setting(field, times, "above 0"));
            }
        }
        if self.steps == 0 {
            return Err(Error::setting("steps", 0, "1 or more"));
        }
        if let Some(matching) = self.matching() {
            matching.validate()?;
        }
        if self.tokens == 0 {
            return Err(Error::setting("tokens", 0, "1 or more"));
        }
        self.sampling(None).validate()
    }

    /// Whether the values are multiples of what the units do by themselves.
    pub fn needs_ranges(&self) -> bool {
        self.times_max.is_some() || self.times_deviation.is_some()
    }

    /// How values are matched by divergence, where that is wanted.
    pub(super) fn matching(&self) -> Option<StrengthMatch> {
        let targets = self.kl.clone();
        (!targets.is_empty()).then(|| StrengthMatch { targets, ..StrengthMatch::default() })
    }

    /// The signed strengths of the sweep, ascending, zero-ablation among them.
    pub(super) fn strengths(&self) -> Vec<f64> {
        let mut strengths: Vec<f64> = match self.times_max.or(self.times_deviation) {
            None => self.to.iter().map(|&value| f64::from(value)).collect(),
            Some(times) => {
                let steps = self.steps as i64;
                (-steps..=steps).map(|step| times * step as f64 / steps as f64).collect()
            }
        };
        strengths.push(0.0);
        // Minus zero is zero.
        let mut strengths: Vec<f64> =
            strengths.into_iter().map(|strength| strength + 0.0).collect();
        strengths.sort_by(f64::total_cmp);
        strengths.dedup_by(|a, b| a.total_cmp(b).is_eq());
        strengths
    }

    /// The value of each unit at strength 1.
    pub(super) fn bases(&self, units: usize, ranges: Option<&[UnitRange]>) -> Result<Vec<f64>> {
        if !self.needs_ranges() {
            return Ok(vec![1.0; units]);
        }
        let (field, base): (_, fn(&UnitRange) -> f64) = if self.times_max.is_some() {
            ("times_max", UnitRange::peak)
        } else {
            ("times_deviation", |range| range.deviation)
        };
        let Some(ranges) = ranges.filter(|ranges| ranges.len() == units) else {
            let found = "without a reference";
            return Err(Error::setting(field, found, "a reference recording or reference texts"));
        };
        let bases: Vec<f64> = ranges.iter().map(base).collect();
        match bases.iter().find(|base| !(**base > 0.0 && base.is_finite())) {
            None => Ok(bases),
            Some(base) => {
                let found = format!("a multiple of {base}, all that the reference shows");
                Err(Error::setting(field, found, "a unit that varies there; or give `to`"))
            }
        }
    }

    pub(super) fn sampling(&self, stop: Option<u32>) -> Sampling {
        let &Self { tokens, temperature, top_k, top_p, seed, .. } = self;
        Sampling { tokens, temperature, top_k, top_p, seed, stop }
    }
}
