//! Strength of steering, matched by its effect on the next token.
//!
//! Finds `α > 0` with `KL(p_base ‖ p_steered) = target`, where the activity at one site becomes
//! `h ± α ẑ` at every position of a prompt and `p` is the distribution after its last token.
//! Doubling brackets the target from below, halving (in log `α`) closes in. The divergence need not
//! rise with `α`: of several crossings the one in the first doubling is found. A target that no
//! strength reaches is reported as such, never dropped.
//!
//! Source: Shafran, Geiger, Geva 2025, arXiv:2506.10920, concept steering.
//! Differs: the tolerance is relative, each sign has its own strength, strengths below 1 are tried.
//! Memory: the logits of the prompt for each strength tried at once, at most 64 MiB.

use burn::tensor::{Tensor, TensorData};
use nissl_core::network::{LanguageNetwork, TokenBatch};
use nissl_core::stats::information::kullback_leibler_of_logits;
use nissl_core::taps::{Change, Edit, Taps};
use nissl_core::{Error, Result, Site};
use serde::{Deserialize, Serialize};

/// To which side of zero a direction is pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sign {
    /// Along the direction.
    Plus,
    /// Against it.
    Minus,
}

impl Sign {
    /// Both, plus first.
    pub const BOTH: [Self; 2] = [Self::Plus, Self::Minus];

    /// 1 or −1.
    pub fn factor(self) -> f32 {
        match self {
            Self::Plus => 1.0,
            Self::Minus => -1.0,
        }
    }

    /// `+` or `-`, as in tables.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Plus => "+",
            Self::Minus => "-",
        }
    }
}

/// How the strength of an intervention is matched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct StrengthMatch {
    /// Divergences from the unsteered next-token distribution to reach, in nats, above 0
    #[arg(long = "kl", value_name = "NATS", value_delimiter = ',',
        default_values_t = StrengthMatch::default().targets)]
    pub targets: Vec<f64>,
    /// Allowed relative distance from the target, in (0, 1)
    #[arg(long, default_value_t = StrengthMatch::default().tolerance)]
    pub tolerance: f64,
    /// Largest strength tried, above 0
    #[arg(long, default_value_t = StrengthMatch::default().strongest)]
    pub strongest: f64,
    /// Halvings of a bracket at most
    #[arg(long, default_value_t = StrengthMatch::default().halvings)]
    pub halvings: usize,
}

impl Default for StrengthMatch {
    fn default() -> Self {
        Self {
            targets: vec![0.025, 0.05, 0.1, 0.15, 0.25, 0.35, 0.5],
            tolerance: 0.05,
            strongest: 2000.0,
            halvings: 30,
        }
    }
}

impl StrengthMatch {
    /// # Errors
    /// A value outside its range.
    pub fn validate(&self) -> Result<()> {
        let Self { targets, tolerance, strongest, halvings } = self;
        if targets.is_empty() {
            return Err(Error::Empty {
                what: "the list `kl`".to_owned(),
                expected: "at least one divergence to reach".to_owned(),
            });
        }
        if let Some(target) = targets.iter().find(|target| !(**target > 0.0 && target.is_finite()))
        {
            return Err(Error::setting("kl", target, "above 0 nats"));
        }
        if !(*tolerance > 0.0 && *tolerance < 1.0) {
            return Err(Error::setting("tolerance", tolerance, "above 0, below 1"));
        }
        if !(*strongest > 0.0 && strongest.is_finite()) {
            return Err(Error::setting("strongest", strongest, "above 0"));
        }
        if *halvings == 0 {
            return Err(Error::setting("halvings", halvings, "1 or more"));
        }
        Ok(())
    }
}

/// The strength found for one sign and one target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Matched {
    /// The side.
    pub sign: Sign,
    /// The wanted divergence, in nats.
    pub target: f64,
    /// The strength `α` whose divergence is within the tolerance; `None` when none was found.
    pub strength: Option<f64>,
    /// The divergence at that strength, or the nearest one met, in nats.
    pub divergence: f64,
}

/// What a direction at one site does to the distribution after a prompt.
pub struct Response<'a> {
    network: &'a dyn LanguageNetwork,
    site: &'a Site,
    prompt: &'a [u32],
    direction: Vec<f32>,
    activity: Tensor<3>,
    logits: Vec<f32>,
}

/// Logits held at once, in values.
pub(crate) const LOGITS_AT_ONCE: usize = 16 << 20;

/// Strengths are halved this often below 1 before a target counts as passed by any strength.
const HALVINGS_BELOW_ONE: i32 = 24;

impl<'a> Response<'a> {
    /// Runs `prompt` without steering; `direction` `[unit]` is scaled to unit length.
    ///
    /// # Errors
    /// A direction of another width than the site or of length 0, or a prompt the network refuses.
    pub fn new(
        network: &'a dyn LanguageNetwork,
        site: &'a Site,
        direction: &[f32],
        prompt: &'a [u32],
    ) -> Result<Self> {
        let direction = unit_length(direction)?;
        let glob = site.name().parse()?;
        let probe = Taps::none().edit(Edit::new(glob, Change::Add(direction.clone())));
        probe.check(network.id(), network.sites(), |site| network.width(site))?;
        let batch = TokenBatch::new(&[prompt])?;
        let mut seen = None;
        let mut taps =
            Taps::none().read(site.name().parse()?, |_, tensor| seen = Some(tensor.clone()));
        let logits = last_logits(network, &batch, &mut taps)?;
        drop(taps);
        let Some(activity) = seen else {
            return Err(Error::NoSuchSite {
                network: network.id().to_owned(),
                pattern: site.name().to_owned(),
                help: None,
            });
        };
        let logits = logits.into_iter().next().unwrap_or_default();
        Ok(Self { network, site, prompt, direction, activity, logits })
    }

    /// The direction at unit length `[unit]`.
    pub fn direction(&self) -> &[f32] {
        &self.direction
    }

    /// The logits after the prompt at each signed strength: `[strength][token]`.
    ///
    /// # Errors
    /// A run that the network refuses.
    pub fn logits(&self, strengths: &[f64]) -> Result<Vec<Vec<f32>>> {
        let room = LOGITS_AT_ONCE / (self.prompt.len() * self.network.vocabulary().max(1));
        let mut all = Vec::with_capacity(strengths.len());
        for some in strengths.chunks(room.max(1)) {
            let batch = TokenBatch::new(&vec![self.prompt; some.len()])?;
            // One patch for the whole batch: h + α ẑ for every strength, computed from the plain run.
            let shifts: Vec<f32> = some
                .iter()
                .flat_map(|&strength| self.direction.iter().map(move |&z| strength as f32 * z))
                .collect();
            let shape = [some.len(), 1, self.direction.len()];
            let shifts =
                Tensor::<3>::from_data(TensorData::new(shifts, shape), &self.activity.device());
            let patch = Change::Patch(self.activity.clone() + shifts);
            let mut taps = Taps::none().edit(Edit::new(self.site.name().parse()?, patch));
            all.extend(last_logits(self.network, &batch, &mut taps)?);
        }
        Ok(all)
    }

    /// How much each token's logit rises at a signed strength `[token]`.
    ///
    /// # Errors
    /// A run that the network refuses.
    pub fn logit_change(&self, strength: f64) -> Result<Vec<f32>> {
        let steered = self.logits(&[strength])?.into_iter().next().unwrap_or_default();
        Ok(steered.iter().zip(&self.logits).map(|(after, before)| after - before).collect())
    }

    /// `KL(p_base ‖ p_steered)` in nats at each signed strength.
    ///
    /// # Errors
    /// A run that the network refuses.
    pub fn divergences(&self, strengths: &[f64]) -> Result<Vec<f64>> {
        let logits = self.logits(strengths)?;
        Ok(logits.iter().map(|row| kullback_leibler_of_logits(&self.logits, row)).collect())
    }

    /// The strength for every sign and target, plus first, targets in their order.
    ///
    /// # Errors
    /// A setting outside its range, or a run that the network refuses.
    pub fn match_strengths(&self, settings: &StrengthMatch) -> Result<Vec<Matched>> {
        settings.matched_by(|strengths| self.divergences(strengths))
    }
}

impl StrengthMatch {
    /// The strength for every sign and target, plus first, targets in their order; `divergences`
    /// gives those at signed strengths, `[strength]`, whatever the intervention is.
    ///
    /// # Errors
    /// A setting outside its range, or what `divergences` says.
    pub fn matched_by(
        &self,
        divergences: impl Fn(&[f64]) -> Result<Vec<f64>>,
    ) -> Result<Vec<Matched>> {
        self.validate()?;
        let mut searches = Vec::new();
        for sign in Sign::BOTH {
            let curve = self.curve(sign, &divergences)?;
            searches
                .extend(self.targets.iter().map(|&target| Search::new(sign, target, self, &curve)));
        }
        for _ in 0..self.halvings {
            let open: Vec<usize> = (0..searches.len()).filter(|&at| searches[at].open()).collect();
            if open.is_empty() {
                break;
            }
            let tried: Vec<f64> = open.iter().map(|&at| searches[at].middle()).collect();
            let signed: Vec<f64> = open
                .iter()
                .zip(&tried)
                .map(|(&at, strength)| f64::from(searches[at].sign.factor()) * strength)
                .collect();
            for ((at, strength), found) in open.into_iter().zip(tried).zip(divergences(&signed)?) {
                searches[at].meet(strength, found);
            }
        }
        Ok(searches.into_iter().map(Search::finish).collect())
    }

    /// `(α, KL)` by doubling from below the smallest target up to the strongest, ascending.
    fn curve(
        &self,
        sign: Sign,
        divergences: &impl Fn(&[f64]) -> Result<Vec<f64>>,
    ) -> Result<Vec<(f64, f64)>> {
        let factor = f64::from(sign.factor());
        let evaluate = |strengths: &[f64]| -> Result<Vec<(f64, f64)>> {
            let signed: Vec<f64> = strengths.iter().map(|strength| factor * strength).collect();
            Ok(strengths.iter().copied().zip(divergences(&signed)?).collect())
        };
        let first = self.strongest.min(1.0);
        let mut doublings = vec![first];
        while let Some(&last) = doublings.last() {
            if last >= self.strongest {
                break;
            }
            doublings.push((2.0 * last).min(self.strongest));
        }
        let mut curve = evaluate(&doublings)?;
        let smallest = self.targets.iter().copied().fold(f64::INFINITY, f64::min);
        let mut halvings = 0;
        while curve[0].1 >= smallest && halvings < HALVINGS_BELOW_ONE {
            let below: Vec<f64> =
                (1..=6).rev().map(|halving| curve[0].0 * 0.5_f64.powi(halving)).collect();
            halvings += 6;
            curve.splice(0..0, evaluate(&below)?);
        }
        Ok(curve)
    }
}

/// The search for one target.
struct Search {
    sign: Sign,
    target: f64,
    tolerance: f64,
    bracket: Option<(f64, f64)>,
    nearest: (f64, f64),
}

impl Search {
    fn new(sign: Sign, target: f64, settings: &StrengthMatch, curve: &[(f64, f64)]) -> Self {
        let bracket = curve
            .windows(2)
            .find(|pair| pair[0].1 < target && pair[1].1 >= target)
            .map(|pair| (pair[0].0, pair[1].0));
        let mut search =
            Self { sign, target, tolerance: settings.tolerance, bracket, nearest: (0.0, 0.0) };
        for &(strength, found) in curve {
            search.remember(strength, found);
        }
        search
    }

    fn remember(&mut self, strength: f64, found: f64) {
        if (found - self.target).abs() < (self.nearest.1 - self.target).abs() {
            self.nearest = (strength, found);
        }
    }

    fn reached(&self) -> bool {
        (self.nearest.1 - self.target).abs() <= self.tolerance * self.target
    }

    fn open(&self) -> bool {
        self.bracket.is_some() && !self.reached()
    }

    fn middle(&self) -> f64 {
        let (low, high) = self.bracket.unwrap_or((1.0, 1.0));
        (low * high).sqrt()
    }

    /// Keeps `KL(low) < target ≤ KL(high)`, so that a crossing stays inside whatever lies between.
    fn meet(&mut self, strength: f64, found: f64) {
        self.remember(strength, found);
        if let Some((low, high)) = &mut self.bracket {
            // NaN, from logits that overflow, counts as too far.
            if found < self.target { *low = strength } else { *high = strength }
        }
    }

    fn finish(self) -> Matched {
        Matched {
            sign: self.sign,
            target: self.target,
            strength: self.reached().then_some(self.nearest.0),
            divergence: self.nearest.1,
        }
    }
}

/// `direction` at length 1.
pub(crate) fn unit_length(direction: &[f32]) -> Result<Vec<f32>> {
    let length = direction.iter().map(|&z| f64::from(z).powi(2)).sum::<f64>().sqrt();
    if !(length > 0.0 && length.is_finite()) {
        return Err(Error::setting("direction", format!("of length {length}"), "a length above 0"));
    }
    Ok(direction.iter().map(|&z| (f64::from(z) / length) as f32).collect())
}

/// The logits after the last token of each sequence of an unpadded batch `[sequence][token]`.
fn last_logits(
    network: &dyn LanguageNetwork,
    batch: &TokenBatch,
    taps: &mut Taps<'_>,
) -> Result<Vec<Vec<f32>>> {
    let logits = crate::likelihood::logits(network, batch, taps)?;
    let [sequences, positions, tokens] = logits.dims();
    let last = logits.slice([0..sequences, positions - 1..positions, 0..tokens]);
    let values = crate::likelihood::values(last)?;
    Ok(values.chunks(tokens).map(<[f32]>::to_vec).collect())
}
