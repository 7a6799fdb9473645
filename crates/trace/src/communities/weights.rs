//! The evidence of edge weights between two groups, their rate or their location integrated out.
//!
//! Exponential, rate `~ Gamma(1, x̄)`: `ln x̄ + ln Γ(m + 1) − (m + 1) ln(x̄ + X)`.
//! Log-normal, normal–inverse-gamma on `ln x` with `κ₀ = α₀ = 1`, `μ₀` and `β₀ = v₀` mean and variance of
//! all `ln x`: `κ = κ₀ + m`, `α = α₀ + m/2`, `β = β₀ + SS/2 + κ₀ m (ȳ − μ₀)²/2κ`, evidence
//! `ln Γ(α) − ln Γ(α₀) + α₀ ln β₀ − α ln β + ½ ln(κ₀/κ) − (m/2) ln 2π − Σ ln x`.
//!
//! Source: Peixoto 2018, Phys. Rev. E 97:012306, §II (integrated likelihoods).

use nissl_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::combinatorics::{ln_factorial, ln_gamma};
use super::graph::WeightedGraph;

/// How weights are distributed between two groups.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Weights {
    /// Exponentially: any positive weight, spread as wide as its mean
    #[default]
    Exponential,
    /// Log-normally: positive weights that lie close together
    LogNormal,
    /// Weights are ignored; only which edges there are counts
    None,
}

/// Edges between two groups: their number and the sums over their weights.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sums {
    /// m
    pub(super) edges: u32,
    /// X, of weights
    pub(super) x: f64,
    /// Of `ln x − μ₀`.
    pub(super) y: f64,
    /// Of `(ln x − μ₀)²`.
    pub(super) z: f64,
}

impl Sums {
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            edges: self.edges + other.edges,
            x: self.x + other.x,
            y: self.y + other.y,
            z: self.z + other.z,
        }
    }

    /// Without edges that are part of these.
    pub(super) fn minus(self, other: Self) -> Self {
        if self.edges == other.edges {
            // No remainder of rounding where nothing is left.
            return Self::default();
        }
        Self {
            edges: self.edges - other.edges,
            x: self.x - other.x,
            y: self.y - other.y,
            z: self.z - other.z,
        }
    }
}

/// The prior of the weights, set by all of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Prior {
    None,
    /// x̄ and its logarithm.
    Exponential {
        mean: f64,
        ln_mean: f64,
    },
    /// μ₀, v₀ and the logarithm of v₀.
    LogNormal {
        mean: f64,
        variance: f64,
        ln_variance: f64,
    },
}

impl Prior {
    /// # Errors
    /// A weight of at most 0, or weights that are all the same where their spread is needed.
    pub(super) fn new(graph: &WeightedGraph, weights: Weights) -> Result<Self> {
        let all = || graph.edges().iter().map(|edge| edge.2);
        let count = graph.edges().len().max(1) as f64;
        if weights == Weights::None || graph.edges().is_empty() {
            return Ok(Self::None);
        }
        if let Some(&(a, b, weight)) = graph.edges().iter().find(|edge| edge.2 <= 0.0) {
            let found = format!("{weight} between the nodes {a} and {b}");
            return Err(Error::setting("weight", found, "above 0 for this model of weights")
                .with_help("leave such edges out, or take the weights as absolute values, or ignore weights with --weights none"));
        }
        if weights == Weights::Exponential {
            let mean = all().sum::<f64>() / count;
            return Ok(Self::Exponential { mean, ln_mean: mean.ln() });
        }
        let mean = all().map(f64::ln).sum::<f64>() / count;
        let variance = all().map(|x| (x.ln() - mean).powi(2)).sum::<f64>() / count;
        if variance <= 1e-12 {
            return Err(Error::setting("weight", "the same for every edge", "weights that differ")
                .with_help("there is nothing to learn from the weights: use --weights none"));
        }
        Ok(Self::LogNormal { mean, variance, ln_variance: variance.ln() })
    }

    /// The sums of a single edge.
    pub(super) fn edge(self, weight: f64) -> Sums {
        let (x, y) = match self {
            Self::None => (0.0, 0.0),
            Self::Exponential { .. } => (weight, 0.0),
            Self::LogNormal { mean, .. } => (0.0, weight.ln() - mean),
        };
        Sums { edges: 1, x, y, z: y * y }
    }

    /// `−ln P(x)` of the weights between two groups.
    pub(super) fn cost(self, sums: &Sums) -> f64 {
        if sums.edges == 0 {
            return 0.0;
        }
        let m = f64::from(sums.edges);
        match self {
            Self::None => 0.0,
            Self::Exponential { mean, ln_mean } => {
                (m + 1.0) * (mean + sums.x).ln() - ln_mean - ln_factorial(u64::from(sums.edges))
            }
            Self::LogNormal { mean, variance, ln_variance } => {
                let (kappa, alpha) = (1.0 + m, 1.0 + m / 2.0);
                let squares = (sums.z - sums.y * sums.y / m).max(0.0);
                let beta = variance + squares / 2.0 + sums.y * sums.y / (m * 2.0 * kappa);
                let evidence = ln_gamma(alpha) + ln_variance
                    - alpha * beta.ln()
                    - 0.5 * kappa.ln()
                    - m / 2.0 * std::f64::consts::TAU.ln()
                    - (sums.y + m * mean);
                -evidence
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Evidence by numerical integration over the rate: `∫ Π λe^{−λx} · x̄ e^{−λ x̄} dλ`.
    #[test]
    fn exponential_evidence_is_the_integral() {
        let edges = [(0, 1, 2.0), (1, 2, 0.5), (0, 2, 1.25)];
        let graph = WeightedGraph::new(3, edges).expect("valid");
        let prior = Prior::new(&graph, Weights::Exponential).expect("positive");
        let sums = edges.iter().fold(Sums::default(), |sum, edge| sum.plus(prior.edge(edge.2)));
        let (mean, total) = (3.75 / 3.0, 3.75);
        let step = 1e-4;
        let integral: f64 = (0..400_000)
            .map(|n| (n as f64 + 0.5) * step)
            .map(|rate| rate.powi(3) * mean * (-rate * (total + mean)).exp() * step)
            .sum();
        assert!((prior.cost(&sums) + integral.ln()).abs() < 1e-6);
    }

    /// By the chain rule the evidence is a product of Student-t predictions.
    #[test]
    fn log_normal_evidence_is_the_product_of_its_predictions() {
        let values = [2.0f64, 0.5, 1.25, 3.0];
        let edges = values.iter().enumerate().map(|(n, &weight)| (n, n + 1, weight));
        let graph = WeightedGraph::new(5, edges).expect("valid");
        let prior = Prior::new(&graph, Weights::LogNormal).expect("positive");
        let logs: Vec<f64> = values.iter().map(|x| x.ln()).collect();
        let mu0 = logs.iter().sum::<f64>() / 4.0;
        let v0 = logs.iter().map(|y| (y - mu0).powi(2)).sum::<f64>() / 4.0;
        let (mut mu, mut kappa, mut alpha, mut beta) = (mu0, 1.0, 1.0, v0);
        let mut expected = 0.0;
        for &y in &logs {
            let (degrees, scale) = (2.0 * alpha, beta * (kappa + 1.0) / (alpha * kappa));
            let t = (y - mu).powi(2) / scale;
            expected += ln_gamma(f64::midpoint(degrees, 1.0))
                - ln_gamma(degrees / 2.0)
                - 0.5 * (degrees * std::f64::consts::PI * scale).ln()
                - f64::midpoint(degrees, 1.0) * (t / degrees).ln_1p()
                - y;
            beta += kappa * (y - mu).powi(2) / (2.0 * (kappa + 1.0));
            mu = (kappa * mu + y) / (kappa + 1.0);
            kappa += 1.0;
            alpha += 0.5;
        }
        let sums = values.iter().fold(Sums::default(), |sum, &x| sum.plus(prior.edge(x)));
        assert!((prior.cost(&sums) + expected).abs() < 1e-9, "{} {expected}", prior.cost(&sums));
        let apart = prior.edge(2.0).plus(prior.edge(0.5)).minus(prior.edge(0.5));
        assert!((prior.cost(&apart) - prior.cost(&prior.edge(2.0))).abs() < 1e-9);
    }

    #[test]
    fn weights_that_a_model_cannot_hold_are_refused() {
        let graph = |weight: f64| WeightedGraph::new(3, [(0, 1, 1.0), (1, 2, weight)]).expect("ok");
        for weights in [Weights::Exponential, Weights::LogNormal] {
            for wrong in [0.0, -1.0] {
                let error = Prior::new(&graph(wrong), weights).expect_err("not positive");
                assert!(error.to_string().contains("nodes 1 and 2"), "{error}");
            }
        }
        assert!(Prior::new(&graph(-1.0), Weights::None).is_ok());
        assert!(Prior::new(&graph(1.0), Weights::LogNormal).is_err(), "no spread");
        assert!(WeightedGraph::new(2, [(0, 1, f64::NAN)]).is_err());
        assert!(
            WeightedGraph::new(2, [(0, 2, 1.0)]).is_err() && WeightedGraph::new(0, []).is_err()
        );
    }
}
