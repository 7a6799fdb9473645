//! Directed coupling of neurons from recordings each of which sees only some of them.
//!
//! `C₀ = ⟨x_t x_tᵀ⟩`, `C₁ = ⟨x_{t+1} x_tᵀ⟩`, each entry over the recordings in which both neurons were
//! seen, every trace less its mean in its recording; `A = C₁ (C₀ + λI)⁻¹`, from column to row.
//!
//! Source: the multivariate autoregression of Harrison, Penny, Friston 2003, NeuroImage 19:1477, with
//! covariances of available pairs (Little and Rubin, Statistical Analysis with Missing Data, §3.4).
//! Differs: pairs that were never seen together have covariance zero; entries that are missing in
//! some samples of a trace count as its mean.
//! Memory: four squares of the neurons as f64, and one recording.

use clap::Args;
use faer::Mat;
use faer::linalg::solvers::Solve;
use ndarray::{Array2, ArrayView2};
use nissl_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// How coupling is found from recordings that overlap.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Args)]
#[serde(default, deny_unknown_fields)]
pub struct PooledDynamics {
    /// What is added to the variances, above 0 (λ)
    #[arg(long, default_value_t = PooledDynamics::default().ridge)]
    pub ridge: f64,
}

impl Default for PooledDynamics {
    fn default() -> Self {
        Self { ridge: 0.1 }
    }
}

/// Coupling found from recordings, and what it rests on.
#[derive(Clone, Debug, PartialEq)]
pub struct Coupling {
    /// `A` `[to, from]`; NaN for pairs that were never seen together.
    pub coupling: Array2<f64>,
    /// Correlation of the same samples `[neuron, neuron]`; NaN as above.
    pub correlation: Array2<f64>,
    /// The recordings in which both were seen `[neuron, neuron]`.
    pub together: Array2<u32>,
}

impl PooledDynamics {
    /// # Errors
    /// A field outside its range.
    pub fn validate(&self) -> Result<()> {
        if self.ridge.is_finite() && self.ridge > 0.0 {
            Ok(())
        } else {
            Err(Error::setting("ridge", self.ridge, "above 0"))
        }
    }

    /// Finds the coupling from recordings `[sample, neuron]` of the same neurons; NaN is not seen.
    ///
    /// # Errors
    /// A ridge out of range, no recording, other numbers of neurons, fewer than two samples, or
    /// covariances that have no inverse with this ridge.
    pub fn fit<'a>(
        &self,
        recordings: impl IntoIterator<Item = ArrayView2<'a, f32>>,
    ) -> Result<Coupling> {
        self.validate()?;
        let mut sums: Option<Sums> = None;
        for recording in recordings {
            let neurons = recording.ncols();
            let sums = sums.get_or_insert_with(|| Sums::new(neurons));
            if neurons != sums.together.nrows() {
                let expected = format!("{}, as the first recording", sums.together.nrows());
                return Err(Error::setting("neurons", neurons, expected));
            }
            if recording.nrows() < 2 {
                return Err(Error::setting("samples", recording.nrows(), "at least 2"));
            }
            sums.add(recording);
        }
        let sums = sums.ok_or_else(|| Error::Empty {
            what: "the recordings".to_owned(),
            expected: "at least one".to_owned(),
        })?;
        sums.coupling(self.ridge)
    }
}

/// What is summed over recordings.
struct Sums {
    now: Array2<f64>,
    next: Array2<f64>,
    samples: Array2<f64>,
    together: Array2<u32>,
}

impl Sums {
    fn new(neurons: usize) -> Self {
        let square = (neurons, neurons);
        Self {
            now: Array2::zeros(square),
            next: Array2::zeros(square),
            samples: Array2::zeros(square),
            together: Array2::zeros(square),
        }
    }

    fn add(&mut self, recording: ArrayView2<'_, f32>) {
        let (samples, neurons) = recording.dim();
        let mut centred = Array2::<f64>::zeros((samples, neurons));
        let mut seen = Vec::new();
        for (neuron, trace) in recording.columns().into_iter().enumerate() {
            let present = trace.iter().copied().filter(|v| v.is_finite()).map(f64::from);
            let count = present.clone().count();
            if count == 0 {
                continue;
            }
            let mean = present.sum::<f64>() / count as f64;
            seen.push(neuron);
            for (to, value) in centred.column_mut(neuron).iter_mut().zip(trace) {
                *to = if value.is_finite() { f64::from(*value) - mean } else { 0.0 };
            }
        }
        // Only neurons that were seen take part in the products.
        let part = centred.select(ndarray::Axis(1), &seen);
        let now = part.t().dot(&part);
        let next = part.slice(ndarray::s![1.., ..]).t().dot(&part.slice(ndarray::s![..-1, ..]));
        // One step fewer than samples, brought to the same number.
        let scale = samples as f64 / (samples - 1) as f64;
        for (a, &i) in seen.iter().enumerate() {
            for (b, &j) in seen.iter().enumerate() {
                self.now[[i, j]] += now[[a, b]];
                self.next[[i, j]] += scale * next[[a, b]];
                self.samples[[i, j]] += samples as f64;
                self.together[[i, j]] += 1;
            }
        }
    }

    fn coupling(self, ridge: f64) -> Result<Coupling> {
        let neurons = self.together.nrows();
        let of = |sum: &Array2<f64>, i: usize, j: usize| {
            if self.together[[i, j]] == 0 { 0.0 } else { sum[[i, j]] / self.samples[[i, j]] }
        };
        let now = Mat::from_fn(neurons, neurons, |i, j| {
            of(&self.now, i, j) + if i == j { ridge } else { 0.0 }
        });
        // A (C₀ + λI) = C₁, and C₀ is symmetric: solved for the transpose of A.
        let next = Mat::from_fn(neurons, neurons, |i, j| of(&self.next, j, i));
        let turned = now.partial_piv_lu().solve(&next);
        let unseen = |i: usize, j: usize| self.together[[i, j]] == 0;
        let coupling = Array2::from_shape_fn((neurons, neurons), |(i, j)| {
            if unseen(i, j) { f64::NAN } else { turned[(j, i)] }
        });
        let lost = coupling.indexed_iter().any(|((i, j), v)| !unseen(i, j) && !v.is_finite());
        if lost {
            let expected = "a larger one; the covariances have no inverse";
            return Err(Error::setting("ridge", ridge, expected));
        }
        let correlation = Array2::from_shape_fn((neurons, neurons), |(i, j)| {
            let scale = (of(&self.now, i, i) * of(&self.now, j, j)).sqrt();
            if unseen(i, j) { f64::NAN } else { of(&self.now, i, j) / scale.max(f64::MIN_POSITIVE) }
        });
        Ok(Coupling { coupling, correlation, together: self.together })
    }
}

#[cfg(test)]
mod tests {
    use nissl_core::stats::auroc::auroc;
    use rand::RngExt;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;

    /// A chain of influences `i → i + 1`, and six recordings of half of twelve neurons.
    fn planted(seed: u64) -> (Array2<f64>, Vec<Array2<f32>>) {
        let neurons = 12;
        let truth = Array2::from_shape_fn((neurons, neurons), |(to, from)| {
            if to == (from + 1) % neurons { 0.6 } else { 0.0 }
        });
        let recordings = (0..8).map(|number| {
            let mut rng = nissl_core::seed::rng(seed, number);
            let mut x = ndarray::Array1::<f64>::zeros(neurons);
            let mut seen = Array2::from_elem((1500, neurons), f32::NAN);
            let hidden: Vec<bool> = (0..neurons).map(|_| rng.random_bool(0.4)).collect();
            for mut row in seen.rows_mut() {
                let draw = |_| -> f64 { StandardNormal.sample(&mut rng) };
                let noise = ndarray::Array1::from_shape_fn(neurons, draw);
                x = truth.dot(&x) + &noise * 0.5;
                for (i, value) in row.iter_mut().enumerate().filter(|(i, _)| !hidden[*i]) {
                    *value = x[i] as f32 + 3.0;
                }
            }
            seen
        });
        let recordings = recordings.collect();
        (truth, recordings)
    }

    fn score(found: &Array2<f64>, truth: &Array2<f64>) -> f64 {
        let pairs = found.indexed_iter().filter(|((i, j), v)| i != j && v.is_finite());
        let (scores, labels): (Vec<f32>, Vec<bool>) =
            pairs.map(|(at, v)| (v.abs() as f32, truth[at] != 0.0)).unzip();
        auroc(&scores, &labels)
    }

    #[test]
    fn a_planted_chain_is_found_with_its_direction() {
        for seed in 0..3 {
            let (truth, recordings) = planted(seed);
            let found = PooledDynamics { ridge: 0.01 }
                .fit(recordings.iter().map(|recording| recording.view()))
                .expect("fits");
            assert!(score(&found.coupling, &truth) > 0.95, "{}", score(&found.coupling, &truth));
            // Correlation has no direction, and a chain turned round is none of its edges.
            let turned = truth.t().to_owned();
            assert!(score(&found.coupling, &turned) < 0.7);
            assert!(score(&found.correlation, &truth) < score(&found.coupling, &truth));
        }
    }

    #[test]
    fn one_whole_recording_gives_the_ordinary_estimate() {
        let (_, recordings) = planted(9);
        let whole = recordings[0].mapv(|v| if v.is_finite() { v } else { 0.0 });
        let found = PooledDynamics::default().fit([whole.view()]).expect("fits");
        assert!(found.together.iter().all(|&count| count == 1));
        assert!(found.coupling.iter().all(|value| value.is_finite()));
        let diagonal = (0..12).filter(|&i| found.correlation[[i, i]] > 0.0);
        for i in diagonal {
            assert!((found.correlation[[i, i]] - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn pairs_never_seen_together_are_missing() {
        let mut a = Array2::from_shape_fn((50, 3), |(t, n)| ((t * (n + 2)) as f32).sin());
        a.column_mut(2).fill(f32::NAN);
        let found = PooledDynamics::default().fit([a.view()]).expect("fits");
        assert!(found.coupling[[0, 2]].is_nan() && found.coupling[[0, 1]].is_finite());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let method = PooledDynamics::default();
        assert!(method.fit(std::iter::empty()).is_err());
        let (a, b) = (Array2::zeros((5, 2)), Array2::zeros((5, 3)));
        assert!(method.fit([a.view(), b.view()]).is_err());
        assert!(method.fit([Array2::zeros((1, 2)).view()]).is_err());
        assert!(PooledDynamics { ridge: 0.0 }.fit([a.view()]).is_err());
    }
}
