//! Running scores of sixteen rows side by side, while tokens go by.

use super::{
    RowScan, Signs, Softmax, TILE,
    shortlist::{Exact, Shortlist},
};
use crate::simd::logits::{self, LANES, Lanes};

/// `Σ exp(ℓ − high)` and `Σ exp(ℓ − high) (ℓ − high)` of the tokens so far, and the largest logits.
#[derive(Clone, Debug)]
struct Side {
    high: Lanes,
    sum: [f64; LANES],
    weighted: [f64; LANES],
    lists: [Shortlist; LANES],
    /// Least logit that can be among the largest
    threshold: Lanes,
}

impl Side {
    fn new(tops: [usize; LANES]) -> Self {
        Self {
            high: [f32::NEG_INFINITY; LANES],
            sum: [0.0; LANES],
            weighted: [0.0; LANES],
            lists: tops.map(Shortlist::new),
            threshold: [f32::INFINITY; LANES],
        }
    }

    /// Lets no logit to come be above `high`.
    fn raise(&mut self, high: &Lanes) {
        if (0..LANES).any(|lane| high[lane] > self.high[lane]) {
            for (lane, high) in high.iter().enumerate() {
                self.raise_lane(lane, *high);
            }
        }
    }

    fn raise_lane(&mut self, lane: usize, high: f32) {
        if high > self.high[lane] {
            if self.sum[lane] > 0.0 {
                let step = f64::from(self.high[lane]) - f64::from(high);
                let factor = step.exp();
                self.weighted[lane] = (self.weighted[lane] + step * self.sum[lane]) * factor;
                self.sum[lane] *= factor;
            }
            self.high[lane] = high;
        }
    }

    fn add(&mut self, [sum, weighted]: [Lanes; 2]) {
        for lane in 0..LANES {
            self.sum[lane] += f64::from(sum[lane]);
            self.weighted[lane] += f64::from(weighted[lane]);
        }
    }

    fn softmax(&mut self, lane: usize) -> Softmax {
        if self.sum[lane] > 0.0 {
            // The extremes carry most of a peaked softmax, and are known exactly.
            let largest = self.lists[lane].sorted().next();
            self.raise_lane(lane, largest.map_or(f32::NEG_INFINITY, |(_, logit)| logit));
            let [weight, weighted] = self.lists[lane].correction(self.high[lane]);
            self.sum[lane] += weight;
            self.weighted[lane] += weighted;
        }
        let (high, sum) = (f64::from(self.high[lane]), self.sum[lane]);
        Softmax {
            log_sum_exp: if sum > 0.0 { high + sum.ln() } else { f64::NEG_INFINITY },
            expected: high + self.weighted[lane] / sum,
        }
    }
}

/// Logits of a run of tokens.
#[derive(Clone, Copy)]
pub(super) struct Run<'a> {
    /// `[token, lane]`, tokens `stride` apart
    pub(super) logits: &'a [f32],
    pub(super) stride: usize,
    /// Number of the first token
    pub(super) first: u32,
    /// Whether no token with a higher number was seen before
    pub(super) latest: bool,
}

/// Running scores of up to sixteen rows.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// Norms of the rows; zero in lanes without a row
    norms: [f64; LANES],
    rows: usize,
    /// Moments are those of `scale ℓ − shift`, which is near zero and of the size of one
    scale: Lanes,
    shift: Lanes,
    powers: [[f64; LANES]; 4],
    low: Lanes,
    plus: Side,
    minus: Option<Side>,
}

impl Group {
    /// Nothing seen yet by the rows with these norms, at most sixteen.
    pub(super) fn new(norms: &[f64], top: usize, signs: Signs) -> Self {
        let norm = |lane: usize| norms.get(lane).copied();
        // A row that is not finite lists nothing, nor does a lane without a row.
        let tops: [usize; LANES] =
            std::array::from_fn(
                |lane| if norm(lane).is_some_and(f64::is_finite) { top } else { 0 },
            );
        Self {
            norms: std::array::from_fn(|lane| norm(lane).unwrap_or(0.0)),
            rows: norms.len(),
            scale: [1.0; LANES],
            shift: [0.0; LANES],
            powers: [[0.0; LANES]; 4],
            low: [f32::INFINITY; LANES],
            plus: Side::new(tops),
            minus: (signs == Signs::Both).then(|| Side::new(tops)),
        }
    }

    /// Says, before the first logits come, about where those of a lane will be, and how wide for a
    /// row of norm 1.
    pub(super) fn expect(&mut self, lane: usize, mean: f64, deviation: f64) {
        let deviation = (deviation * self.norms[lane]).max(mean.abs() * 1e-7);
        // A power of two, so that scaling rounds nothing.
        let scale = (-deviation.log2().round()).clamp(-126.0, 126.0).exp2();
        let shift = mean * scale;
        if scale.is_finite() && (shift as f32).is_finite() {
            (self.scale[lane], self.shift[lane]) = (scale as f32, shift as f32);
        }
    }

    /// Takes the logits of a run of tokens, which are within `error` of the exact ones for a row of
    /// norm 1; `exact` computes that of a lane and a token.
    pub(super) fn take(&mut self, run: &Run<'_>, error: f64, exact: &impl Fn(usize, u32) -> f32) {
        let spread = logits::spread(run.logits, run.stride, &self.scale, &self.shift);
        for lane in 0..LANES {
            for (power, sums) in spread.powers.iter().zip(&mut self.powers) {
                sums[lane] += f64::from(power[lane]);
            }
            self.low[lane] = self.low[lane].min(spread.low[lane]);
        }
        let slack = self.norms.map(|norm| norm * error);
        self.plus.raise(&spread.high);
        self.plus.add(logits::weights(run.logits, run.stride, &self.plus.high));
        offer(&mut self.plus, &spread.high, run, &slack, 1.0, exact);
        if let Some(minus) = &mut self.minus {
            let high = spread.low.map(|low| -low);
            minus.raise(&high);
            minus.add(logits::weights_of_negative(run.logits, run.stride, &minus.high));
            let negative = |lane, token| 0.0 - exact(lane, token);
            offer(minus, &high, run, &slack, -1.0, &negative);
        }
    }

    /// Computes exactly what is listed, before the tokens' rows go away.
    pub(super) fn settle(&mut self, error: f64, exact: &impl Fn(usize, u32) -> f32) {
        for lane in 0..self.rows {
            let slack = self.norms[lane] * error;
            self.plus.lists[lane].settle(&mut Exact { slack, logit: |token| exact(lane, token) });
            if let Some(minus) = &mut self.minus {
                let logit = |token| 0.0 - exact(lane, token);
                minus.lists[lane].settle(&mut Exact { slack, logit });
            }
        }
    }

    /// Scores of the rows, after `count` tokens; `broken` where one of these was not finite.
    pub(super) fn finish(mut self, count: u64, broken: bool) -> Vec<RowScan> {
        if broken {
            self.norms.fill(f64::NAN);
        }
        (0..self.rows).map(|lane| self.finish_lane(lane, count)).collect()
    }

    fn finish_lane(&mut self, lane: usize, count: u64) -> RowScan {
        // One logit that is not finite leaves its mark in the first sum.
        if !self.norms[lane].is_finite() || !self.powers[0][lane].is_finite() {
            let broken = Softmax { log_sum_exp: f64::NAN, expected: f64::NAN };
            return RowScan {
                top: Vec::new(),
                bottom: Vec::new(),
                plus: broken,
                minus: self.minus.as_ref().map(|_| broken),
                moments: [f64::NAN; 4],
                count,
            };
        }
        let bottom = self.minus.iter().flat_map(|side| side.lists[lane].sorted());
        RowScan {
            top: self.plus.lists[lane].sorted().collect(),
            bottom: bottom.map(|(token, logit)| (token, 0.0 - logit)).collect(),
            moments: self.central(lane, count),
            plus: self.plus.softmax(lane),
            minus: self.minus.as_mut().map(|side| side.softmax(lane)),
            count,
        }
    }

    /// `Σ ℓ` and the central sums of powers.
    fn central(&self, lane: usize, count: u64) -> [f64; 4] {
        if count == 0 {
            return [0.0; 4];
        }
        let number = count as f64;
        if self.low[lane] >= self.plus.high[lane] {
            return [f64::from(self.low[lane]) * number, 0.0, 0.0, 0.0];
        }
        let (scale, shift) = (f64::from(self.scale[lane]), f64::from(self.shift[lane]));
        let [one, two, three, four] = self.powers.map(|sums| sums[lane] / number);
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

/// Offers to the lists the logits, times `sign`, that could be among their largest; `high` are the
/// largest.
fn offer(
    side: &mut Side,
    high: &Lanes,
    run: &Run<'_>,
    slack: &[f64; LANES],
    sign: f32,
    exact: &impl Fn(usize, u32) -> f32,
) {
    let Side { lists, threshold, .. } = side;
    for (lane, list) in lists.iter().enumerate() {
        threshold[lane] = list.threshold(slack[lane], run.latest);
    }
    // Also false where there is nothing but NaN.
    if !(0..LANES).any(|lane| high[lane] >= threshold[lane]) {
        return;
    }
    let mut reaching = [false; TILE];
    logits::reaching(run.logits, run.stride, sign, threshold, &mut reaching);
    let tokens = (run.first..).zip(run.logits.chunks(run.stride)).zip(reaching);
    for ((token, logits), _) in tokens.filter(|(_, reaches)| *reaches) {
        for (lane, list) in lists.iter_mut().enumerate() {
            // Zero has one sign.
            let logit = sign * logits[lane] + 0.0;
            if logit >= threshold[lane] {
                let logit_of = |token| exact(lane, token);
                list.offer(token, logit, &mut Exact { slack: slack[lane], logit: logit_of });
                threshold[lane] = list.threshold(slack[lane], run.latest);
            }
        }
    }
}
