//! Traces at one sampling interval: interpolation, and averages where the interval grows.
//!
//! `Δt` below the median interval of the recording: values at `0, Δt, 2Δt, … < t_max`. Otherwise
//! values at every `Δt/6`, and the means of six in a row; each mean is stamped with the start of
//! its bin, though it belongs to the centre, `2.5/6 Δt` later.
//!
//! Source: Simeon et al. 2024, arXiv:2411.12091, and the code published with it.
//! Differs: both steps are one sparse matrix, made once for all traces of a recording.
//! Memory: that matrix, at most 24 weights a sample.

use nissl_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::spline::Spline;

/// How values between samples are found.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Interpolation {
    /// Straight lines.
    #[default]
    Linear,
    /// A spline of degree two.
    Quadratic,
    /// A spline of degree three.
    Cubic,
}

impl Interpolation {
    /// Its name, as flags and the published tables write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Quadratic => "quadratic",
            Self::Cubic => "cubic",
        }
    }

    fn degree(self) -> usize {
        match self {
            Self::Linear => 1,
            Self::Quadratic => 2,
            Self::Cubic => 3,
        }
    }
}

/// Fine steps that are averaged where the interval grows.
const FINE: usize = 6;

/// The most samples a resampled recording may have: 250 days at three a second.
const MOST_SAMPLES: f64 = 67_108_864.0;

/// From samples at uneven times to samples at every `dt` seconds, for all traces of a recording.
pub struct Resampling {
    spline: Option<Spline>,
    /// The first sample or coefficient of each output sample, and where its weights end.
    bins: Vec<(usize, usize)>,
    weights: Vec<f64>,
    inputs: usize,
    averaged: bool,
    dt: f64,
}

impl Resampling {
    /// From strictly rising `times` in seconds, the first of them zero, to an interval of `dt` s.
    ///
    /// # Errors
    /// Fewer times than the interpolation needs, times that do not rise, or far too many samples.
    pub fn new(times: &[f64], dt: f64, method: Interpolation) -> Result<Self> {
        let needed = method.degree() + 1;
        if times.len() < needed {
            let expected = format!("at least {needed} for {} interpolation", method.name());
            return Err(Error::setting("time", format!("{} samples", times.len()), expected));
        }
        if let Some(at) = (1..times.len()).find(|&at| {
            !matches!(times[at].partial_cmp(&times[at - 1]), Some(std::cmp::Ordering::Greater))
        }) {
            let found = format!("{} s after {} s at sample {at}", times[at], times[at - 1]);
            return Err(Error::setting("time", found, "times that rise strictly"));
        }
        let span = times[times.len() - 1] - times[0];
        if !span.is_finite() || dt.is_nan() || dt <= 0.0 || span / dt > MOST_SAMPLES {
            let found = format!("{span} s in steps of {dt} s");
            return Err(Error::setting("time", found, format!("at most {MOST_SAMPLES} samples")));
        }
        let averaged = dt >= median_interval(times);
        let (step, group) = if averaged { (dt / FINE as f64, FINE) } else { (dt, 1) };
        // As many as numpy's arange gives; what does not fill a last bin is left out.
        let count = (span / step).ceil() as usize / group;
        let spline = (needed > 2).then(|| Spline::through(times, method.degree()));
        let mut plan = Self {
            spline,
            bins: Vec::with_capacity(count),
            weights: Vec::with_capacity(count * (group + needed)),
            inputs: times.len(),
            averaged,
            dt,
        };
        let mut piece = 0;
        let mut points: Vec<(usize, f64)> = Vec::new();
        for bin in 0..count {
            points.clear();
            for fine in 0..group {
                let time = times[0] + (bin * group + fine) as f64 * step;
                plan.weigh(times, time, &mut piece, &mut points);
            }
            plan.gather(&mut points, group);
        }
        Ok(plan)
    }

    /// Adds the weights of samples or coefficients for the value at `time`.
    fn weigh(&self, times: &[f64], time: f64, piece: &mut usize, points: &mut Vec<(usize, f64)>) {
        if let Some(spline) = &self.spline {
            let (first, values) = spline.basis(time);
            points.extend(values.iter().enumerate().map(|(i, &weight)| (first + i, weight)));
            return;
        }
        while *piece + 2 < times.len() && times[*piece + 1] <= time {
            *piece += 1;
        }
        let share = (time - times[*piece]) / (times[*piece + 1] - times[*piece]);
        points.extend([(*piece, 1.0 - share), (*piece + 1, share)]);
    }

    /// Makes one output sample of the weights of its points.
    fn gather(&mut self, points: &mut Vec<(usize, f64)>, group: usize) {
        // Weights of nothing would let a missing sample spoil a bin that does not need it.
        points.retain(|&(_, weight)| weight != 0.0);
        let first = points.iter().map(|&(at, _)| at).min().unwrap_or(0);
        let start = self.weights.len();
        for &(at, weight) in points.iter() {
            let place = start + at - first;
            if place >= self.weights.len() {
                self.weights.resize(place + 1, 0.0);
            }
            self.weights[place] += weight / group as f64;
        }
        self.bins.push((first, self.weights.len()));
    }

    /// The number of samples it gives.
    pub fn samples(&self) -> usize {
        self.bins.len()
    }

    /// Whether each sample is the mean of a bin, not a value at its time.
    pub fn averaged(&self) -> bool {
        self.averaged
    }

    /// The times of the samples in seconds, at the starts of bins.
    pub fn times(&self) -> Vec<f64> {
        (0..self.samples()).map(|at| at as f64 * self.dt).collect()
    }

    /// How much later the centre of a bin is than its start, in seconds.
    pub fn centre(&self) -> f64 {
        if self.averaged { self.dt * (FINE - 1) as f64 / 2.0 / FINE as f64 } else { 0.0 }
    }

    /// The resampled trace; a bin that needs a missing sample is missing.
    ///
    /// # Panics
    /// When the trace has another length than the times had: an error of the calling code.
    pub fn apply(&self, trace: &[f64]) -> Vec<f64> {
        assert_eq!(trace.len(), self.inputs, "one value for each time");
        let coefficients = self.spline.as_ref().map(|spline| spline.coefficients(trace));
        let values = coefficients.as_deref().unwrap_or(trace);
        let mut start = 0;
        let one = |&(first, end): &(usize, usize)| {
            let weights = &self.weights[start..end];
            start = end;
            weights.iter().zip(&values[first..]).map(|(weight, value)| weight * value).sum()
        };
        self.bins.iter().map(one).collect()
    }
}

/// The median of the differences of `times`; NaN for fewer than two.
pub fn median_interval(times: &[f64]) -> f64 {
    let mut steps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    if steps.is_empty() {
        return f64::NAN;
    }
    steps.sort_unstable_by(f64::total_cmp);
    let half = steps.len() / 2;
    if steps.len() % 2 == 1 { steps[half] } else { f64::midpoint(steps[half - 1], steps[half]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every(dt: f64, count: usize) -> Vec<f64> {
        (0..count).map(|at| at as f64 * dt).collect()
    }

    #[test]
    fn straight_lines_stay_straight_in_every_method() {
        for dt in [0.25, 0.6] {
            let times = every(dt, 100);
            let line: Vec<f64> = times.iter().map(|t| 3.0 - 2.0 * t).collect();
            for method in [Interpolation::Linear, Interpolation::Quadratic, Interpolation::Cubic] {
                let plan = Resampling::new(&times, 0.333, method).expect("plans");
                assert_eq!(plan.averaged(), dt < 0.333);
                for (value, time) in plan.apply(&line).iter().zip(plan.times()) {
                    let expected = 3.0 - 2.0 * (time + plan.centre());
                    assert!((value - expected).abs() < 1e-9, "{method:?} {value} {expected}");
                }
            }
        }
    }

    #[test]
    fn the_numbers_of_samples_are_those_of_the_published_code() {
        let count = |dt, samples| {
            let plan = Resampling::new(&every(dt, samples), 0.333, Interpolation::Linear);
            plan.expect("plans").samples()
        };
        assert_eq!(count(0.25, 1200), 900);
        assert_eq!(count(0.6, 700), 1260);
    }

    #[test]
    fn a_missing_sample_spoils_only_the_bins_that_need_it() {
        let times = every(1.0, 6);
        let mut trace = every(1.0, 6);
        trace[3] = f64::NAN;
        let plan = Resampling::new(&times, 0.5, Interpolation::Linear).expect("plans");
        let out = plan.apply(&trace);
        let missing: Vec<usize> = (0..out.len()).filter(|&at| out[at].is_nan()).collect();
        assert_eq!(missing, [5, 6, 7], "{out:?}");
    }

    #[test]
    fn bad_times_are_named() {
        let told = |times: &[f64]| {
            let plan = Resampling::new(times, 0.333, Interpolation::Linear);
            plan.err().expect("refused").to_string()
        };
        assert!(told(&[0.0, 1.0, 1.0]).contains("sample 2"));
        assert!(told(&[0.0, 2.0, 1.0]).contains("rise strictly"));
        assert!(told(&[0.0, f64::NAN]).contains("rise strictly"));
        assert!(told(&[0.0]).contains("1 samples"));
        assert!(told(&[0.0, 1e12]).contains("at most"));
    }

    #[test]
    fn the_median_interval_ignores_a_gap() {
        assert!((median_interval(&[0.0, 1.0, 2.0, 50.0, 51.0]) - 1.0).abs() < 1e-12);
        assert!(median_interval(&[0.0]).is_nan());
    }
}
