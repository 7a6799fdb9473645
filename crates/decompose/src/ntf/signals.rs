//! Traces as affinities read them: slopes by their deviation, bins, and moments in windows.

use std::ops::Range;

use super::affinity::{Affinity, Kind};

/// Whole bins of `width` samples in `used`.
pub(super) fn bins(used: Range<usize>, width: f64) -> Vec<Range<usize>> {
    let edge = |number: usize| used.start + (number as f64 * width + 1e-9).floor() as usize;
    let count = ((used.len() as f64 + 1e-9) / width).floor() as usize;
    (0..count).map(|n| edge(n)..edge(n + 1)).filter(|bin| !bin.is_empty()).collect()
}

/// The slopes of a trace by their deviation, as the kind of affinity reads them; empty where it never moves.
pub(super) fn signal(settings: &Affinity, trace: &[f32], dt: f64, used: Range<usize>) -> Vec<f32> {
    let trace: Vec<f64> = trace.iter().map(|&x| f64::from(x)).collect();
    let slopes = settings.derivative.slopes(&trace, settings.sigma / dt);
    let count = slopes.len() as f64;
    let mean = slopes.iter().sum::<f64>() / count;
    let deviation = (slopes.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / count).sqrt();
    let largest = trace.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
    if deviation <= 1e-9 * largest || deviation == 0.0 || used.is_empty() {
        return Vec::new();
    }
    let read = |d: f64| match settings.kind {
        Kind::Geo | Kind::Anti => d.signum() * d.abs().sqrt(),
        Kind::Rise => d.max(0.0).sqrt(),
        Kind::Min | Kind::Corr => d,
    };
    slopes.iter().map(|d| read(d / deviation) as f32).collect()
}

/// Mean and deviation of a signal in the window around each sample, cut off at the ends.
pub(super) fn window_moments(signal: &[f32], half: usize) -> Vec<[f64; 2]> {
    let sums = running(signal.iter().map(|&x| f64::from(x)));
    let squares = running(signal.iter().map(|&x| f64::from(x).powi(2)));
    (0..signal.len())
        .map(|at| {
            let (from, to) = (at.saturating_sub(half), (at + half + 1).min(signal.len()));
            let count = (to - from) as f64;
            let mean = (sums[to] - sums[from]) / count;
            let square = (squares[to] - squares[from]) / count - mean * mean;
            [mean, square.max(0.0).sqrt()]
        })
        .collect()
}

/// Pearson's correlation in the window around each sample; 0 where one does not vary.
pub(super) fn correlations([x, y]: [&[f32]; 2], of: [&Vec<[f64; 2]>; 2], half: usize) -> Vec<f64> {
    let products = running(x.iter().zip(y).map(|(&x, &y)| f64::from(x) * f64::from(y)));
    (0..x.len())
        .map(|at| {
            let (from, to) = (at.saturating_sub(half), (at + half + 1).min(x.len()));
            let [[mean_x, of_x], [mean_y, of_y]] = [of[0][at], of[1][at]];
            let shared = (products[to] - products[from]) / (to - from) as f64 - mean_x * mean_y;
            if of_x * of_y > 1e-12 { (shared / (of_x * of_y)).clamp(-1.0, 1.0) } else { 0.0 }
        })
        .collect()
}

pub(super) fn running(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut sum = 0.0;
    let sums = values.map(|value| {
        sum += value;
        sum
    });
    std::iter::once(0.0).chain(sums).collect()
}
