//! Part B: the golden traces of the published steps.

use ndarray::Array2;
use nissl_core::{Error, Result};
use nissl_record::worm::{
    Fluorescence, Homogenise, Naming, Outcome, RawWorm, Signal, Worm, smooth,
};

use crate::report::{Bar, Bound};
use crate::study::{Findings, Setting};

/// How far a value may be from the published one.
const TOLERANCE: f64 = 2e-4;

/// `x(t) = sin(2πt/50) + 0.01 t` of one neuron, through the published steps.
fn golden(samples: usize, dt: f64, setting: &Setting<'_>) -> Result<Worm> {
    let time: Vec<f64> = (0..samples).map(|at| at as f64 * dt).collect();
    let x = time.iter().map(|t| (std::f64::consts::TAU * t / 50.0).sin() + 0.01 * t).collect();
    let traces = Array2::from_shape_vec((1, samples), x)
        .map_err(|error| Error::setting("samples", error, "one row"))?;
    let raw = RawWorm::new(traces, time, vec![Some("AVAL".to_owned())], Fluorescence::Relative);
    let wanted = [Signal::Raw];
    match Homogenise::default().worm(raw, "golden", Naming::Plain, &wanted, setting.progress)? {
        Outcome::Worm(worm) => Ok(*worm),
        Outcome::Skipped(why) => Err(Error::setting("golden trace", why, "a worm")),
    }
}

fn farthest(trace: ndarray::ArrayView1<'_, f32>, golden: &[(usize, f64)]) -> f64 {
    golden
        .iter()
        .map(|&(at, value)| trace.get(at).map_or(f64::NAN, |v| (f64::from(*v) - value).abs()))
        .fold(0.0, |most: f64, error| if error.is_nan() { error } else { most.max(error) })
}

pub(super) fn golden_traces(setting: &Setting<'_>, findings: &mut Findings) -> Result<()> {
    let bars = &mut findings.bars.bars;
    let fine = golden(1200, 0.25, setting)?;
    let coarse = golden(700, 0.6, setting)?;
    let exact = |name: &str, found: usize, expected: usize| {
        Bar::new(name, found as f64, Bound::Within(expected as f64, expected as f64))
            .with_paper(expected as f64)
    };
    bars.push(exact("golden trace at 0.25 s: samples", fine.time.len(), 900));
    bars.push(exact("golden trace at 0.6 s: samples", coarse.time.len(), 1260));
    let last = fine.time.last().copied().unwrap_or(f64::NAN);
    bars.push(
        Bar::new("golden trace at 0.25 s: last time", last, Bound::Within(299.366_5, 299.367_5))
            .with_paper(299.367),
    );
    let raw = [(0, 0.01882), (1, 0.06396), (100, -0.53805), (500, 2.53404), (899, 2.93300)];
    let error = farthest(fine.signals[0].1.row(0), &raw);
    bars.push(Bar::new("resampled values, farthest", error, Bound::AtMost(TOLERANCE)));
    let z = [(0, -1.41961), (1, -1.39796), (100, -1.89446), (500, 1.03769), (899, 1.27103)];
    let error = farthest(fine.calcium.row(0), &z);
    bars.push(Bar::new("normalised values at 0.25 s, farthest", error, Bound::AtMost(TOLERANCE)));
    let z = [(0, -1.51974), (1, -1.50345), (100, -1.79384), (500, 0.35748), (1259, 2.08446)];
    let error = farthest(coarse.calcium.row(0), &z);
    bars.push(Bar::new("normalised values at 0.6 s, farthest", error, Bound::AtMost(TOLERANCE)));
    let ramp: Vec<f64> = (0..20).map(f64::from).collect();
    let smooth = smooth::moving(&ramp, 15);
    let expected = [(0, 0.0), (3, 1.5), (7, 3.5), (10, 6.5), (19, 15.5)];
    let error = expected.iter().map(|&(at, y)| (smooth[at] - y).abs()).fold(0.0, f64::max);
    bars.push(Bar::new("moving average of 0 to 19, farthest", error, Bound::AtMost(1e-9)));
    Ok(())
}
