//! Running scores of one row while tokens go by.

use super::{
    RowScan, Signs, Softmax,
    shortlist::{Exact, Shortlist},
};
use crate::simd::logits;

/// `Σ exp(ℓ − high)` and `Σ exp(ℓ − high) (ℓ − high)` of the tokens so far.
#[derive(Clone, Copy, Debug)]
struct Running {
    high: f32,
    sum: f64,
    weighted: f64,
}

impl Running {
    const NONE: Self = Self { high: f32::NEG_INFINITY, sum: 0.0, weighted: 0.0 };

    /// Lets no logit to come be above `high`.
    fn raise(&mut self, high: f32) {
        if high > self.high {
            if self.sum > 0.0 {
                let step = f64::from(self.high) - f64::from(high);
                let factor = step.exp();
                self.weighted = (self.weighted + step * self.sum) * factor;
                self.sum *= factor;
            }
            self.high = high;
        }
    }

    fn add(&mut self, [sum, weighted]: [f64; 2]) {
        self.sum += sum;
        self.weighted += weighted;
    }

    fn softmax(&self) -> Softmax {
        let high = f64::from(self.high);
        Softmax {
            log_sum_exp: if self.sum > 0.0 { high + self.sum.ln() } else { f64::NEG_INFINITY },
            expected: high + self.weighted / self.sum,
        }
    }
}

/// The part for one sign: a softmax and the largest.
#[derive(Clone, Debug)]
struct Side {
    running: Running,
    list: Shortlist,
}

impl Side {
    fn new(top: usize) -> Self {
        Self { running: Running::NONE, list: Shortlist::new(top) }
    }

    fn finish(&self) -> Softmax {
        let mut running = self.running;
        if running.sum > 0.0 {
            // The extremes carry most of a peaked softmax, and are known exactly.
            let largest = self.list.sorted().next();
            running.raise(largest.map_or(f32::NEG_INFINITY, |(_, logit)| logit));
            running.add(self.list.correction(running.high));
        }
        running.softmax()
    }
}

/// A run of tokens whose logits are at hand.
pub(super) struct Run<'a> {
    /// Their logits
    pub(super) logits: &'a [f32],
    /// Number of the first
    pub(super) first: u32,
    /// Whether no token with a higher number was seen before
    pub(super) latest: bool,
}

/// Running scores of one row.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// Moments are those of `scale ℓ − shift`, which is near zero and of the size of one
    scale: f32,
    shift: f32,
    powers: [f64; 4],
    low: f32,
    plus: Side,
    minus: Option<Side>,
}

impl Row {
    pub(super) fn new(top: usize, signs: Signs) -> Self {
        Self {
            scale: 1.0,
            shift: 0.0,
            powers: [0.0; 4],
            low: f32::INFINITY,
            plus: Side::new(top),
            minus: (signs == Signs::Both).then(|| Side::new(top)),
        }
    }

    /// Says, before the first logits come, about where and how wide they will be.
    pub(super) fn expect(&mut self, mean: f64, deviation: f64) {
        // A power of two, so that scaling rounds nothing.
        let deviation = deviation.max(mean.abs() * 1e-7);
        let scale = (-deviation.log2().round()).clamp(-126.0, 126.0).exp2();
        let shift = mean * scale;
        if scale.is_finite() && (shift as f32).is_finite() {
            (self.scale, self.shift) = (scale as f32, shift as f32);
        }
    }

    /// Takes the logits of a run of tokens.
    pub(super) fn take<F: FnMut(u32) -> f32>(&mut self, run: &Run<'_>, exact: &mut Exact<F>) {
        let spread = logits::spread(run.logits, self.scale, self.shift);
        for (sum, more) in self.powers.iter_mut().zip(spread.powers) {
            *sum += more;
        }
        self.low = self.low.min(spread.low);
        let Side { running, list } = &mut self.plus;
        running.raise(spread.high);
        running.add(logits::weights(run.logits, running.high));
        offer(list, spread.high, run, |logit| logit, exact);
        if let Some(Side { running, list }) = &mut self.minus {
            running.raise(-spread.low);
            running.add(logits::weights_of_negative(run.logits, running.high));
            let mut negative = Exact { slack: exact.slack, logit: |token| -(exact.logit)(token) };
            offer(list, -spread.low, run, |logit| -logit, &mut negative);
        }
    }

    /// Computes exactly what is listed, before the tokens' rows go away.
    pub(super) fn settle<F: FnMut(u32) -> f32>(&mut self, exact: &mut Exact<F>) {
        self.plus.list.settle(exact);
        if let Some(minus) = &mut self.minus {
            let mut negative = Exact { slack: exact.slack, logit: |token| -(exact.logit)(token) };
            minus.list.settle(&mut negative);
        }
    }

    /// Scores of the `count` tokens that went by.
    pub(super) fn finish(self, count: u64) -> RowScan {
        // One logit that is not finite leaves its mark in the first sum.
        if !self.powers[0].is_finite() {
            let broken = Softmax { log_sum_exp: f64::NAN, expected: f64::NAN };
            return RowScan {
                top: Vec::new(),
                bottom: Vec::new(),
                plus: broken,
                minus: self.minus.map(|_| broken),
                moments: [f64::NAN; 4],
                count,
            };
        }
        let bottom = self.minus.iter().flat_map(|side| side.list.sorted());
        RowScan {
            top: self.plus.list.sorted().collect(),
            bottom: bottom.map(|(token, logit)| (token, 0.0 - logit)).collect(),
            plus: self.plus.finish(),
            minus: self.minus.as_ref().map(Side::finish),
            moments: self.central(count),
            count,
        }
    }

    /// `Σ ℓ` and the central sums of powers.
    fn central(&self, count: u64) -> [f64; 4] {
        if count == 0 {
            return [0.0; 4];
        }
        let number = count as f64;
        if self.low >= self.plus.running.high {
            return [f64::from(self.low) * number, 0.0, 0.0, 0.0];
        }
        let (scale, shift) = (f64::from(self.scale), f64::from(self.shift));
        let [one, two, three, four] = self.powers.map(|sum| sum / number);
        let second = (two - one * one).max(0.0);
        let third = three - 3.0 * one * two + 2.0 * one.powi(3);
        let fourth = four - 4.0 * one * three + 6.0 * one * one * two - 3.0 * one.powi(4);
        [
            (one + shift) / scale * number,
            second / scale.powi(2) * number,
            third / scale.powi(3) * number,
            fourth.max(0.0) / scale.powi(4) * number,
        ]
    }
}

/// Offers to `list` the logits that could be among its largest; `high` is the largest of them.
fn offer<F: FnMut(u32) -> f32>(
    list: &mut Shortlist,
    high: f32,
    run: &Run<'_>,
    signed: impl Fn(f32) -> f32,
    exact: &mut Exact<F>,
) {
    let mut threshold = list.threshold(exact.slack, run.latest);
    // Also false where there is nothing but NaN.
    if high >= threshold {
        for (token, &logit) in (run.first..).zip(run.logits) {
            // Zero has one sign.
            let logit = signed(logit) + 0.0;
            if logit >= threshold {
                list.offer(token, logit, exact);
                threshold = list.threshold(exact.slack, run.latest);
            }
        }
    }
}
