//! Concept steering: what a network writes when a direction is added at one site.
//!
//! `h ← h ± α ẑ` at every position of every step, with `α` set by [`crate::strength`] so that the
//! next-token distribution of the prompt moves by a given divergence. A [`Judge`], a rule or a
//! language model, gives each text 0 to 2 for the concept and for fluency; a text's score is their
//! harmonic mean, a point's the mean over its texts that were judged. Controls are random directions
//! at the same divergences. Any direction at any site is steered alike: features, a difference of
//! means, a row of a decoder at the MLP's output.
//!
//! Source: Shafran, Geiger, Geva 2025, arXiv:2506.10920, concept steering.
//! Memory: the logits of `samples` texts.

mod judge;
mod steered;
mod summary;

use nissl_core::network::{LanguageNetwork, Sampling};
use nissl_core::seed::rng;
use nissl_core::taps::{Change, Edit, Taps};
use nissl_core::{Error, Progress, Result, Site};
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

pub use self::judge::{ChatJudge, Judge, Judgement, RuleJudge, WrittenText};
use self::steered::best;
pub use self::steered::{Point, SCORER, Steered};
pub use self::summary::{MeanPoint, Summary};
use crate::continuation::continue_prompt;
use crate::likelihood::losses;
use crate::strength::{Response, StrengthMatch};

/// Hyperparameters of concept steering.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Steer {
    /// How strengths are matched
    #[command(flatten)]
    pub strength: StrengthMatch,
    /// Texts for each sign and divergence, 1 or more
    #[arg(long, default_value_t = Steer::default().samples)]
    pub samples: usize,
    /// Tokens of each text, 1 or more
    #[arg(long, default_value_t = Steer::default().tokens)]
    pub tokens: usize,
    /// Draw among this many most likely tokens; 0 is all
    #[arg(long, default_value_t = Steer::default().top_k)]
    pub top_k: usize,
    /// Draw among the most likely tokens that hold this probability, in (0, 1]
    #[arg(long, default_value_t = Steer::default().top_p)]
    pub top_p: f32,
    /// Temperature of the draw; 0 takes the most likely token
    #[arg(long, default_value_t = Steer::default().temperature)]
    pub temperature: f32,
    /// Random directions that are steered along as a control
    #[arg(long, default_value_t = Steer::default().controls)]
    pub controls: usize,
    /// Seed of every draw
    #[arg(skip)]
    pub seed: u64,
}

impl Default for Steer {
    fn default() -> Self {
        Self {
            strength: StrengthMatch::default(),
            samples: 8,
            tokens: 50,
            top_k: 30,
            top_p: 0.3,
            temperature: 1.0,
            controls: 1,
            seed: 0,
        }
    }
}

impl Steer {
    /// # Errors
    /// A value outside its range.
    pub fn validate(&self) -> Result<()> {
        self.strength.validate()?;
        if self.samples == 0 {
            return Err(Error::setting("samples", 0, "1 or more"));
        }
        if self.tokens == 0 {
            return Err(Error::setting("tokens", 0, "1 or more"));
        }
        self.sampling(None).validate()
    }

    fn sampling(&self, stop: Option<u32>) -> Sampling {
        let &Self { tokens, temperature, top_k, top_p, seed, .. } = self;
        Sampling { tokens, temperature, top_k, top_p, seed, stop }
    }
}

/// A direction at a site, and how its concept is told in a text.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    /// Where activity is changed.
    pub site: &'a Site,
    /// The direction `[unit]`, of any length above 0.
    pub direction: &'a [f32],
    /// How often the concept stands in a text, given its tokens.
    pub hits: &'a dyn Fn(&[u32]) -> usize,
}

/// A direction at a site.
#[derive(Clone, Copy, Debug)]
pub struct Aim<'a> {
    /// Where activity is changed.
    pub site: &'a Site,
    /// The direction `[unit]`, of any length above 0.
    pub direction: &'a [f32],
}

/// Steers `network` along a target after `prompt`, for every sign and divergence, and judges by rule.
///
/// # Errors
/// A setting outside its range, a direction that does not fit, or a run that the network refuses.
pub fn steer(
    network: &dyn LanguageNetwork,
    prompt: &[u32],
    target: Target<'_>,
    settings: &Steer,
    progress: &Progress,
) -> Result<Steered> {
    let Target { site, direction, hits } = target;
    steer_judged(network, prompt, Aim { site, direction }, &RuleJudge { hits }, settings, progress)
}

/// Steers `network` along a direction after `prompt`, for every sign and divergence.
///
/// # Errors
/// A setting outside its range, a direction that does not fit, a run that the network refuses, or a
/// judge that cannot be asked.
pub fn steer_judged(
    network: &dyn LanguageNetwork,
    prompt: &[u32],
    aim: Aim<'_>,
    judge: &dyn Judge,
    settings: &Steer,
    progress: &Progress,
) -> Result<Steered> {
    settings.validate()?;
    let Aim { site, direction } = aim;
    let stop = network.tokenizer().ok().and_then(nissl_core::network::Tokenizer::end);
    let sampling = settings.sampling(stop);
    // Before anything is written: a direction that does not fit costs no time.
    let first = Response::new(network, site, direction, prompt)?;
    let plain = continue_prompt(network, prompt, settings.samples, &sampling, &mut Taps::none())?;
    let plain_losses = text_losses(network, prompt, &plain)?;
    let plain_loss = mean(plain_losses.iter().copied().filter(|loss| !loss.is_nan()));
    let judged = |texts: &[Vec<u32>], losses: &[f64]| {
        let written: Vec<WrittenText<'_>> = texts
            .iter()
            .zip(losses)
            .map(|(tokens, &loss)| WrittenText { prompt, tokens, loss, plain_loss })
            .collect();
        judge.judge(&written)
    };
    let points = 2 * settings.strength.targets.len() * (1 + settings.controls);
    let stage = progress.stage("steer", points as u64, "points");
    let run = |response: &Response<'_>| -> Result<Vec<Point>> {
        let mut curve = Vec::new();
        for matched in response.match_strengths(&settings.strength)? {
            progress.check(|| format!("{} steered points", curve.len()))?;
            let mut point = Point::unreached(&matched);
            if let Some(strength) = matched.strength {
                let scale = matched.sign.factor() * strength as f32;
                let shift = response.direction().iter().map(|z| scale * z).collect();
                let edit = Edit::new(site.name().parse()?, Change::Add(shift));
                let mut taps = Taps::none().edit(edit);
                point.texts =
                    continue_prompt(network, prompt, settings.samples, &sampling, &mut taps)?;
                let losses = text_losses(network, prompt, &point.texts)?;
                point.grade(&judged(&point.texts, &losses)?);
            }
            curve.push(point);
            stage.advance(1);
        }
        Ok(curve)
    };
    let curve = run(&first)?;
    let controls = (0..settings.controls)
        .map(|control| {
            let drawn = random_direction(direction.len(), settings.seed, control as u64);
            run(&Response::new(network, site, &drawn, prompt)?)
        })
        .collect::<Result<_>>()?;
    let of_plain = judged(&plain, &plain_losses)?;
    Ok(Steered {
        plain_concept: mean(of_plain.iter().filter_map(|one| one.concept)),
        plain_loss,
        best: best(&curve),
        plain,
        curve,
        controls,
        judge: judge.id(),
    })
}

/// A direction of unit length drawn evenly from the sphere `[unit]`.
pub fn random_direction(units: usize, seed: u64, number: u64) -> Vec<f32> {
    let mut rng = rng(seed, 0x57ee_0000 + number);
    let normal: Vec<f64> = (0..units).map(|_| StandardNormal.sample(&mut rng)).collect();
    let length = normal.iter().map(|z| z * z).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
    normal.iter().map(|z| (z / length) as f32).collect()
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    sum / f64::from(count)
}

/// The mean loss of each text after `prompt` under the unsteered network; NaN without tokens.
fn text_losses(
    network: &dyn LanguageNetwork,
    prompt: &[u32],
    texts: &[Vec<u32>],
) -> Result<Vec<f64>> {
    let whole: Vec<Vec<u32>> = texts.iter().map(|text| [prompt, text].concat()).collect();
    let rows: Vec<&[u32]> = whole.iter().map(Vec::as_slice).collect();
    let longest = rows.iter().map(|row| row.len()).max().unwrap_or(1);
    let mut means = Vec::with_capacity(texts.len());
    for some in rows.chunks(crate::likelihood::sequences_at_once(network, longest)) {
        for losses in losses(network, some, &mut Taps::none())? {
            means.push(mean(losses.into_iter().skip(prompt.len() - 1)));
        }
    }
    Ok(means)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_directions_have_unit_length_and_no_preferred_axis() {
        let mut squares = vec![0.0; 16];
        for number in 0..500 {
            let direction = random_direction(16, 3, number);
            let length: f32 = direction.iter().map(|z| z * z).sum();
            assert!((length - 1.0).abs() < 1e-5);
            squares.iter_mut().zip(&direction).for_each(|(s, z)| *s += f64::from(z * z) / 500.0);
        }
        assert!(squares.iter().all(|s| (s - 1.0 / 16.0).abs() < 0.02), "{squares:?}");
        assert_ne!(random_direction(16, 3, 0), random_direction(16, 4, 0));
    }
}
