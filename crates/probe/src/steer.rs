//! Concept steering: what a network writes when a direction is added at one site.
//!
//! `h ← h ± α ẑ` at every position of every step, with `α` set by [`crate::strength`] so that the
//! next-token distribution of the prompt moves by a given divergence. Each text gets a concept score
//! (0, 1, 2 for no, one, several hits of a predicate on its tokens) and a fluency
//! `2 · clamp₀₁(1 − (nll − nll_base) / 3)` under the unsteered network (nll in nats a token); a
//! text's score is their harmonic mean. Controls are random directions at the same divergences.
//!
//! Source: Shafran, Geiger, Geva 2025, arXiv:2506.10920, concept steering.
//! Differs: offline scores in the place of a language model's judgement.
//! Memory: the logits of `samples` texts.

use nissl_core::network::{LanguageNetwork, Sampling};
use nissl_core::seed::rng;
use nissl_core::taps::{Change, Edit, Taps};
use nissl_core::{Error, Progress, Result, Site};
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use crate::continuation::continue_prompt;
use crate::likelihood::losses;
use crate::scores::Score;
use crate::strength::{Response, Sign, StrengthMatch};

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

/// What steering did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Steered {
    /// The texts without steering `[sample][token]`, by the same random numbers.
    pub plain: Vec<Vec<u32>>,
    /// Their mean concept score, 0 to 2.
    pub plain_concept: f64,
    /// Their mean loss, in nats a token.
    pub plain_loss: f64,
    /// One point for each sign and divergence, plus first.
    pub curve: Vec<Point>,
    /// The place in `curve` of the greatest score; `None` when no divergence was reached.
    pub best: Option<usize>,
    /// The curves of random directions.
    pub controls: Vec<Vec<Point>>,
}

impl Steered {
    /// The greatest score over signs and divergences, 0 to 2; 0 when none was reached.
    pub fn score(&self) -> f64 {
        self.best.map_or(0.0, |best| self.curve[best].score)
    }

    /// The mean over the controls of their greatest scores; NaN without controls.
    pub fn control_score(&self) -> f64 {
        let greatest = |curve: &Vec<Point>| best(curve).map_or(0.0, |at| curve[at].score);
        self.controls.iter().map(greatest).sum::<f64>() / self.controls.len() as f64
    }
}

/// The scorer's name in `scores.parquet`.
pub const SCORER: &str = "steering";

impl Steered {
    /// The row of `scores.parquet`: the greatest score, beside that of the controls.
    pub fn to_score(&self, feature: u32, concept: &str) -> Score {
        let best = self.best.map(|best| &self.curve[best]);
        let config = serde_json::json!({
            "concept": concept,
            "sign": best.map(|best| best.sign.symbol()),
            "kl": best.map(|best| best.target),
        });
        Score {
            feature,
            scorer: SCORER.to_owned(),
            score: self.score(),
            low: f64::NAN,
            high: f64::NAN,
            n: self.plain.len() as u64,
            baseline: self.control_score(),
            config: config.to_string(),
        }
    }
}

/// One sign and divergence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The side.
    pub sign: Sign,
    /// The wanted divergence, in nats.
    pub target: f64,
    /// The strength; `None` when no strength reaches the divergence.
    pub strength: Option<f64>,
    /// The divergence at that strength, or the nearest one met, in nats.
    pub divergence: f64,
    /// Mean concept score, 0 to 2; NaN when the divergence was not reached, as are the next two.
    pub concept: f64,
    /// Mean fluency, 0 to 2.
    pub fluency: f64,
    /// Mean over texts of the harmonic mean of both, 0 to 2.
    pub score: f64,
    /// The texts `[sample][token]`; none when the divergence was not reached.
    pub texts: Vec<Vec<u32>>,
}

/// Loss above the unsteered one at which a text is no longer fluent, in nats a token.
const FLUENCY_SPAN: f64 = 3.0;

/// Steers `network` along a target after `prompt`, for every sign and divergence.
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
    settings.validate()?;
    let stop = network.tokenizer().ok().and_then(nissl_core::network::Tokenizer::end);
    let sampling = settings.sampling(stop);
    let plain = continue_prompt(network, prompt, settings.samples, &sampling, &mut Taps::none())?;
    let plain_losses = text_losses(network, prompt, &plain)?;
    let plain_loss = mean(plain_losses.iter().copied().filter(|loss| !loss.is_nan()));
    let points = 2 * settings.strength.targets.len() * (1 + settings.controls);
    let stage = progress.stage("steer", points as u64, "points");
    let run = |direction: &[f32]| -> Result<Vec<Point>> {
        let response = Response::new(network, target.site, direction, prompt)?;
        let mut curve = Vec::new();
        for matched in response.match_strengths(&settings.strength)? {
            progress.check(|| format!("{} steered points", curve.len()))?;
            let mut point = Point {
                sign: matched.sign,
                target: matched.target,
                strength: matched.strength,
                divergence: matched.divergence,
                concept: f64::NAN,
                fluency: f64::NAN,
                score: f64::NAN,
                texts: Vec::new(),
            };
            if let Some(strength) = matched.strength {
                let scale = matched.sign.factor() * strength as f32;
                let shift = response.direction().iter().map(|z| scale * z).collect();
                let edit = Edit::new(target.site.name().parse()?, Change::Add(shift));
                let mut taps = Taps::none().edit(edit);
                point.texts =
                    continue_prompt(network, prompt, settings.samples, &sampling, &mut taps)?;
                let losses = text_losses(network, prompt, &point.texts)?;
                score_texts(&mut point, target.hits, &losses, plain_loss);
            }
            curve.push(point);
            stage.advance(1);
        }
        Ok(curve)
    };
    let curve = run(target.direction)?;
    let controls = (0..settings.controls)
        .map(|control| {
            run(&random_direction(target.direction.len(), settings.seed, control as u64))
        })
        .collect::<Result<_>>()?;
    Ok(Steered {
        plain_concept: mean(plain.iter().map(|text| concept_score((target.hits)(text)))),
        plain_loss,
        best: best(&curve),
        plain,
        curve,
        controls,
    })
}

/// A direction of unit length drawn evenly from the sphere `[unit]`.
pub fn random_direction(units: usize, seed: u64, number: u64) -> Vec<f32> {
    let mut rng = rng(seed, 0x57ee_0000 + number);
    let normal: Vec<f64> = (0..units).map(|_| StandardNormal.sample(&mut rng)).collect();
    let length = normal.iter().map(|z| z * z).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
    normal.iter().map(|z| (z / length) as f32).collect()
}

fn score_texts(point: &mut Point, hits: &dyn Fn(&[u32]) -> usize, losses: &[f64], plain_loss: f64) {
    let concepts: Vec<f64> = point.texts.iter().map(|text| concept_score(hits(text))).collect();
    let fluencies: Vec<f64> = losses
        .iter()
        .map(|loss| {
            // A text without tokens has no loss and is not fluent.
            let fluency = 2.0 * (1.0 - (loss - plain_loss) / FLUENCY_SPAN).clamp(0.0, 1.0);
            if fluency.is_nan() { 0.0 } else { fluency }
        })
        .collect();
    point.concept = mean(concepts.iter().copied());
    point.fluency = mean(fluencies.iter().copied());
    point.score = mean(concepts.iter().zip(&fluencies).map(|(&c, &f)| harmonic_mean(c, f)));
}

fn concept_score(hits: usize) -> f64 {
    hits.min(2) as f64
}

fn harmonic_mean(a: f64, b: f64) -> f64 {
    if a > 0.0 && b > 0.0 { 2.0 * a * b / (a + b) } else { 0.0 }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    sum / f64::from(count)
}

fn best(curve: &[Point]) -> Option<usize> {
    let reached = (0..curve.len()).filter(|&at| curve[at].strength.is_some());
    // Of equal scores the first.
    reached.rev().max_by(|&a, &b| curve[a].score.total_cmp(&curve[b].score))
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
    fn a_text_without_the_concept_or_without_sense_scores_nothing() {
        assert!(harmonic_mean(0.0, 2.0).abs() < 1e-12);
        assert!(harmonic_mean(2.0, 0.0).abs() < 1e-12);
        assert!((harmonic_mean(1.0, 2.0) - 4.0 / 3.0).abs() < 1e-12);
        let mut point = Point {
            sign: Sign::Plus,
            target: 0.1,
            strength: Some(1.0),
            divergence: 0.1,
            concept: f64::NAN,
            fluency: f64::NAN,
            score: f64::NAN,
            texts: vec![vec![1, 1, 1], vec![1], vec![0], vec![]],
        };
        let hits = |text: &[u32]| text.iter().filter(|&&token| token == 1).count();
        // Fluencies 2, 1, 2, 0; concepts 2, 1, 0, 0; harmonic means 2, 1, 0, 0.
        score_texts(&mut point, &hits, &[1.0, 3.5, 0.5, f64::NAN], 2.0);
        assert!((point.concept - 0.75).abs() < 1e-12);
        assert!((point.fluency - 1.25).abs() < 1e-12);
        assert!((point.score - 0.75).abs() < 1e-12);
    }

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
