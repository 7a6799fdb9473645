//! Missing samples of traces, filled from the other traces or along time.
//!
//! `iterative`: each trace with gaps in turn is regressed on the ten others that correlate most with
//! it; `p(w) = N(0, λ⁻¹I)`, `p(y | w) = N(Xw, α⁻¹)`, with `α` and `λ` by maximal evidence:
//! `γ = n − λ tr Σ`, `λ = γ / wᵀw`, `α = (T − γ) / |y − Xw|²`; ten rounds over all traces.
//! `linear`: along straight lines in time; before the first and after the last sample that value.
//!
//! Source: van Buuren and Groothuis-Oudshoorn 2011, J. Stat. Softw. 45(3) (chained regression);
//! MacKay 1992, Neural Comput. 4 (evidence). Differs: the published code draws the ten regressors at
//! random by their correlation; here they are the ten strongest, so that no seed matters.
//! Memory: one copy of the traces.

use ndarray::{Array1, Array2, Axis};
use nissl_core::{Progress, Result};
use serde::{Deserialize, Serialize};

/// How missing samples are filled.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Imputation {
    /// From the neurons that correlate most.
    #[default]
    Iterative,
    /// Along straight lines in time.
    Linear,
    /// Not at all: missing samples stay missing.
    None,
}

const NEIGHBOURS: usize = 10;
const ROUNDS: usize = 10;
const EVIDENCE_STEPS: usize = 30;

/// Fills gaps of one trace along straight lines in time.
pub fn linear(trace: &mut [f64], times: &[f64]) {
    let known: Vec<usize> = (0..trace.len()).filter(|&j| trace[j].is_finite()).collect();
    let (Some(&first), Some(&last)) = (known.first(), known.last()) else { return };
    let (start, end) = (trace[first], trace[last]);
    trace[..first].fill(start);
    trace[last + 1..].fill(end);
    for pair in known.windows(2) {
        let (a, b) = (pair[0], pair[1]);
        for j in a + 1..b {
            let share = (times[j] - times[a]) / (times[b] - times[a]);
            trace[j] = trace[a] + share * (trace[b] - trace[a]);
        }
    }
}

/// Fills gaps of `traces` `[neuron, time]` by chained regression.
///
/// A trace without any sample is left as it is.
///
/// # Errors
/// An interrupt.
pub fn iterative(traces: &mut Array2<f64>, progress: &Progress) -> Result<()> {
    let missing = traces.map(|value| !value.is_finite());
    let gaps = |row: usize| missing.row(row).iter().filter(|&&gone| gone).count();
    let samples = traces.ncols();
    let mut order: Vec<usize> =
        (0..traces.nrows()).filter(|&row| (1..samples).contains(&gaps(row))).collect();
    order.sort_by_key(|&row| gaps(row));
    if order.is_empty() {
        return Ok(());
    }
    let usable: Vec<usize> = (0..traces.nrows()).filter(|&row| gaps(row) < samples).collect();
    for &row in &order {
        let mean = mean_of(traces.row(row).iter().copied().filter(|value| value.is_finite()));
        traces.row_mut(row).iter_mut().filter(|value| !value.is_finite()).for_each(|v| *v = mean);
    }
    let neighbours: Vec<Vec<usize>> =
        order.iter().map(|&row| strongest(traces, row, &usable)).collect();
    for _ in 0..ROUNDS {
        for (&row, others) in order.iter().zip(&neighbours) {
            progress.check(|| "no worm; nothing was written".to_owned())?;
            if !others.is_empty() {
                regress(traces, row, others, &missing.row(row).to_vec());
            }
        }
    }
    Ok(())
}

fn mean_of(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    for value in values {
        sum += value;
        count += 1.0;
    }
    if count > 0.0 { sum / count } else { 0.0 }
}

/// The rows that correlate most with `row`, at most ten.
fn strongest(traces: &Array2<f64>, row: usize, usable: &[usize]) -> Vec<usize> {
    let centred = |row: usize| {
        let trace = traces.row(row);
        let mean = trace.mean().unwrap_or(0.0);
        let mut centred = trace.to_owned();
        centred -= mean;
        let norm = centred.dot(&centred).sqrt();
        (centred, norm)
    };
    let (this, norm) = centred(row);
    let mut scored: Vec<(f64, usize)> = usable
        .iter()
        .filter(|&&other| other != row)
        .filter_map(|&other| {
            let (that, other_norm) = centred(other);
            let scale = norm * other_norm;
            (scale > 0.0).then(|| (this.dot(&that).abs() / scale, other))
        })
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    scored.into_iter().take(NEIGHBOURS).map(|(_, other)| other).collect()
}

/// Replaces the missing samples of `row` by a Bayesian ridge regression on `others`.
fn regress(traces: &mut Array2<f64>, row: usize, others: &[usize], missing: &[bool]) {
    let known: Vec<usize> = (0..missing.len()).filter(|&j| !missing[j]).collect();
    let x = traces.select(Axis(0), others);
    let x_known = x.select(Axis(1), &known);
    let y: Array1<f64> = known.iter().map(|&j| traces[[row, j]]).collect();
    let Some(x_mean) = x_known.mean_axis(Axis(1)) else { return };
    let y_mean = y.mean().unwrap_or(0.0);
    let x_known = &x_known - &x_mean.view().insert_axis(Axis(1));
    let y = y - y_mean;
    let gram = x_known.dot(&x_known.t());
    let moment = x_known.dot(&y);
    let total = y.dot(&y);
    let count = known.len() as f64;
    if total <= 0.0 {
        return;
    }
    let (mut alpha, mut lambda) = (count / total, 1.0);
    let mut weights = Array1::zeros(others.len());
    for _ in 0..EVIDENCE_STEPS {
        let mut precision = &gram * alpha;
        precision.diag_mut().iter_mut().for_each(|value| *value += lambda);
        let Some(covariance) = inverse(&precision) else { return };
        let next: Array1<f64> = covariance.dot(&moment) * alpha;
        let error = total - 2.0 * next.dot(&moment) + next.dot(&gram.dot(&next));
        let gamma = others.len() as f64 - lambda * covariance.diag().sum();
        lambda = (gamma + 1e-6) / (next.dot(&next) + 1e-12 * total / count + f64::MIN_POSITIVE);
        alpha = (count - gamma).max(1.0) / (error.max(0.0) + 1e-12 * total);
        let moved = (&next - &weights).iter().map(|d: &f64| d.abs()).sum::<f64>();
        let settled = moved <= 1e-6 * next.iter().map(|w: &f64| w.abs()).sum::<f64>();
        weights = next;
        if settled {
            break;
        }
    }
    for j in (0..missing.len()).filter(|&j| missing[j]) {
        let at = &x.column(j) - &x_mean;
        traces[[row, j]] = y_mean + weights.dot(&at);
    }
}

/// The inverse of a small symmetric positive matrix; `None` when it has none in f64.
fn inverse(matrix: &Array2<f64>) -> Option<Array2<f64>> {
    let n = matrix.nrows();
    let mut left = matrix.clone();
    let mut right = Array2::eye(n);
    for pivot in 0..n {
        let scale = left[[pivot, pivot]];
        if !scale.is_finite() || scale <= 0.0 {
            return None;
        }
        left.row_mut(pivot).mapv_inplace(|value| value / scale);
        right.row_mut(pivot).mapv_inplace(|value: f64| value / scale);
        let (pivot_left, pivot_right) = (left.row(pivot).to_owned(), right.row(pivot).to_owned());
        for row in (0..n).filter(|&row| row != pivot) {
            let factor = left[[row, pivot]];
            left.row_mut(row).scaled_add(-factor, &pivot_left);
            right.row_mut(row).scaled_add(-factor, &pivot_right);
        }
    }
    Some(right)
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these values are exact")]
mod tests {
    use super::*;

    /// Twelve traces that are mixtures of three rhythms, with a little of their own.
    fn mixtures(seed: u64) -> Array2<f64> {
        use rand::RngExt;
        let mut rng = nissl_core::seed::rng(seed, 0);
        let mix = Array2::from_shape_fn((12, 3), |_| rng.random_range(-1.0..1.0));
        let rhythm = Array2::from_shape_fn((3, 400), |(k, j)| {
            (j as f64 / (7.0 + 9.0 * k as f64)).sin() + 0.3 * (j as f64 / 3.3).cos()
        });
        let mut traces = mix.dot(&rhythm);
        traces.mapv_inplace(|value| value + 0.01 * rng.random_range(-1.0..1.0));
        traces
    }

    #[test]
    fn regression_fills_gaps_from_neighbours_better_than_lines() {
        for seed in 0..3 {
            let truth = mixtures(seed);
            let mut gaps = truth.clone();
            for row in 0..6 {
                for j in 0..40 {
                    gaps[[row, (row * 31 + j + 100) % 400]] = f64::NAN;
                }
            }
            let times: Vec<f64> = (0..400).map(f64::from).collect();
            let mut lines = gaps.clone();
            for mut row in lines.rows_mut() {
                let mut trace = row.to_vec();
                linear(&mut trace, &times);
                row.assign(&Array1::from(trace));
            }
            let mut filled = gaps.clone();
            iterative(&mut filled, &Progress::silent()).expect("fills");
            let error = |found: &Array2<f64>| {
                let squares = (found - &truth).mapv(|d| d * d);
                squares.sum().sqrt() / truth.mapv(|x| x * x).sum().sqrt()
            };
            assert!(filled.iter().all(|value| value.is_finite()));
            assert!(error(&filled) < 0.02, "seed {seed}: {}", error(&filled));
            assert!(error(&lines) > 5.0 * error(&filled), "seed {seed}: {}", error(&lines));
            let kept = gaps.iter().zip(&filled).all(|(gap, fill)| gap.is_nan() || gap == fill);
            assert!(kept, "measured samples are never changed");
        }
    }

    #[test]
    fn lines_join_samples_at_uneven_times_and_hold_the_ends() {
        let mut trace = [f64::NAN, 2.0, f64::NAN, 6.0, f64::NAN];
        linear(&mut trace, &[0.0, 1.0, 2.0, 5.0, 6.0]);
        assert_eq!(trace, [2.0, 2.0, 3.0, 6.0, 6.0]);
        let mut nothing = [f64::NAN; 3];
        linear(&mut nothing, &[0.0, 1.0, 2.0]);
        assert!(nothing.iter().all(|value| value.is_nan()));
    }

    #[test]
    fn constants_and_empty_traces_do_no_harm() {
        let mut traces = Array2::zeros((3, 5));
        traces.row_mut(1).fill(f64::NAN);
        traces[[0, 2]] = f64::NAN;
        iterative(&mut traces, &Progress::silent()).expect("fills");
        assert_eq!(traces.row(0).to_vec(), [0.0; 5]);
        assert!(traces.row(1).iter().all(|value| value.is_nan()));
    }
}
