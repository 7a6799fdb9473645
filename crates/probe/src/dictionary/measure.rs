//! What a dictionary makes of a site, apart from what the network makes of that: L0, FVU, frequencies.

use ndarray::{Array2, Axis};
use nissl_core::Result;
use nissl_core::features::Dictionary;
use nissl_core::stats::histogram::Histogram;
use nissl_core::stats::moments::ExplainedVariance;
use serde::{Deserialize, Serialize};

/// Features that fire more often than this count as live.
pub(super) const LIVE: f64 = 1e-4;

/// A dictionary's figures on a text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The site that it reads.
    pub input: String,
    /// The site that it rebuilds.
    pub output: String,
    /// Its features.
    pub features: usize,
    /// Tokens it was measured on.
    pub tokens: u64,
    /// L0: mean number of features that are not 0.
    pub active: f64,
    /// `Σ‖y − ŷ‖² / Σ‖y − ȳ‖²`; NaN where the site does not vary.
    pub fvu: f64,
    /// The share of features that never fired.
    pub dead: f64,
    /// The share of features that fired on more than one of 10,000 tokens.
    pub live: f64,
    /// Log₁₀ of the frequencies of the features that fired, in bins of half a decade.
    pub histogram: Vec<Bin>,
    /// How often each feature fired, as a share of the tokens `[feature]`.
    #[serde(skip)]
    pub frequencies: Vec<f64>,
}

/// A bin of the histogram.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// Its lower end: log₁₀ of a frequency.
    pub from: f64,
    /// Its upper end.
    pub to: f64,
    /// Features in it.
    pub features: u64,
}

/// Running sums of a [`Measured`].
pub(super) struct Meter {
    fired: Vec<u64>,
    tokens: u64,
    explained: ExplainedVariance,
}

/// Numbers of a dense code that are held at once.
const CODE: usize = 8 << 20;

impl Meter {
    pub(super) fn new(dictionary: &Dictionary) -> Self {
        Self {
            fired: vec![0; dictionary.features()],
            tokens: 0,
            explained: ExplainedVariance::new(dictionary.output_units()),
        }
    }

    /// Takes in the `rows` of `input` `[token, unit]` and of `output`.
    ///
    /// # Errors
    /// Activity that is not finite.
    pub(super) fn push(
        &mut self,
        dictionary: &Dictionary,
        input: &Array2<f32>,
        output: &Array2<f32>,
        rows: &[usize],
    ) -> Result<()> {
        for rows in rows.chunks((CODE / dictionary.features().max(1)).max(1)) {
            let samples = input.select(Axis(0), rows);
            let code = dictionary.encode(samples.view())?;
            let said = dictionary.predict(samples.view(), code.view())?;
            self.explained.push(output.select(Axis(0), rows).view(), said.view());
            for row in code.rows() {
                for (fired, &value) in self.fired.iter_mut().zip(row) {
                    *fired += u64::from(value != 0.0);
                }
            }
            self.tokens += rows.len() as u64;
        }
        Ok(())
    }

    pub(super) fn fvu(&self) -> f64 {
        1.0 - self.explained.overall()
    }

    pub(super) fn finish(&self, input: &str, output: &str) -> Measured {
        let tokens = self.tokens.max(1) as f64;
        let frequencies: Vec<f64> = self.fired.iter().map(|&n| n as f64 / tokens).collect();
        let features = frequencies.len();
        let share = |count: usize| count as f64 / features.max(1) as f64;
        let mut histogram = Histogram::uniform(LOWEST, 0.0, BINS);
        histogram.extend(
            frequencies.iter().filter(|&&f| f > 0.0).map(|f| (f.log10() as f32).max(LOWEST)),
        );
        let width = -f64::from(LOWEST) / BINS as f64;
        let bin = |(place, &features): (usize, &u64)| {
            let from = f64::from(LOWEST) + place as f64 * width;
            Bin { from, to: from + width, features }
        };
        Measured {
            input: input.to_owned(),
            output: output.to_owned(),
            features,
            tokens: self.tokens,
            active: self.fired.iter().sum::<u64>() as f64 / tokens,
            fvu: self.fvu(),
            dead: share(frequencies.iter().filter(|&&f| f == 0.0).count()),
            live: share(frequencies.iter().filter(|&&f| f > LIVE).count()),
            histogram: histogram.counts().iter().enumerate().map(bin).collect(),
            frequencies,
        }
    }
}

/// The lower end of the histogram; rarer features are counted in its first bin.
const LOWEST: f32 = -6.0;
/// Bins of the histogram.
const BINS: usize = 12;
