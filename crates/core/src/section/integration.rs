//! Points on the way from zero to a node layer's values, for integrated gradients.
//!
//! `∫₀¹ g(α f) dα ≈ Σ w g(α f)`, weights that sum to 1. With `n = 0` the one point is `α = 0.5`.
//!
//! Source: Bushnaq et al. 2024, arXiv:2405.10928, §3; Gauss–Legendre nodes by Newton's method from
//! Tricomi's estimate (Abramowitz and Stegun 1964, 22.16.6).

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Where gradients are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// At the sample itself
    #[default]
    Gradient,
    /// At n + 1 Gauss–Legendre points between zero and the sample
    GaussLegendre,
    /// At n + 1 equal steps between zero and the sample
    Trapezoid,
}

/// A rule and how fine it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Integration {
    /// The rule.
    pub rule: Rule,
    /// `n`: one point less than there are; of no account for [`Rule::Gradient`].
    pub intervals: usize,
}

/// More intervals than this are an error of units.
const MOST: usize = 1024;

impl Integration {
    /// # Errors
    /// More than 1024 intervals.
    pub fn validate(&self) -> Result<()> {
        if self.intervals <= MOST {
            return Ok(());
        }
        Err(Error::setting("intervals", self.intervals, format!("0 to {MOST}")))
    }

    /// Points `α` and their weights, ascending.
    pub fn points(&self) -> Vec<[f64; 2]> {
        let count = self.intervals + 1;
        match self.rule {
            Rule::Gradient => vec![[1.0, 1.0]],
            _ if count == 1 => vec![[0.5, 1.0]],
            Rule::GaussLegendre => (0..count).map(|at| gauss_legendre(at, count)).collect(),
            Rule::Trapezoid => {
                let edge = 1e-3 / count as f64;
                let step = (1.0 - 2.0 * edge) / (count - 1) as f64;
                let weight = |at: usize| if at == 0 || at + 1 == count { 0.5 } else { 1.0 };
                let total = (count - 1) as f64;
                (0..count).map(|at| [edge + step * at as f64, weight(at) / total]).collect()
            }
        }
    }
}

/// The `at`th of `count` points on [0, 1] and its weight.
fn gauss_legendre(at: usize, count: usize) -> [f64; 2] {
    let n = count as f64;
    let mut x = -(std::f64::consts::PI * (at as f64 + 0.75) / (n + 0.5)).cos();
    let mut slope = 1.0;
    for _ in 0..100 {
        let (mut before, mut value) = (1.0, x);
        for k in 2..=count {
            let k = k as f64;
            (before, value) = (value, ((2.0 * k - 1.0) * x * value - (k - 1.0) * before) / k);
        }
        slope = n * (x * value - before) / (x * x - 1.0);
        let step = value / slope;
        x -= step;
        if step.abs() < 1e-15 {
            break;
        }
    }
    [0.5 * (x + 1.0), 1.0 / ((1.0 - x * x) * slope * slope)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn integral(rule: Rule, intervals: usize, f: impl Fn(f64) -> f64) -> f64 {
        Integration { rule, intervals }.points().iter().map(|&[at, weight]| weight * f(at)).sum()
    }

    #[test]
    fn gauss_legendre_is_exact_to_its_degree_and_no_further() {
        for intervals in 1..12 {
            let degree = 2 * intervals as i32 + 1;
            let found = integral(Rule::GaussLegendre, intervals, |x| x.powi(degree));
            assert!((found * f64::from(degree + 1) - 1.0).abs() < 1e-12, "{intervals}: {found}");
        }
        let beyond = integral(Rule::GaussLegendre, 1, |x| x.powi(4));
        assert!((beyond - 0.2).abs() > 1e-3, "two points cannot do the fourth power");
    }

    #[test]
    fn the_other_rules_are_as_described() {
        for rule in [Rule::GaussLegendre, Rule::Trapezoid] {
            assert_eq!(Integration { rule, intervals: 0 }.points(), [[0.5, 1.0]]);
            let total = integral(rule, 7, |_| 1.0);
            assert!((total - 1.0).abs() < 1e-12, "{rule:?}: {total}");
        }
        assert_eq!(Integration::default().points(), [[1.0, 1.0]]);
        let points = Integration { rule: Rule::Trapezoid, intervals: 4 }.points();
        assert!((points[0][0] - 2e-4).abs() < 1e-15 && (points[4][0] - (1.0 - 2e-4)).abs() < 1e-15);
        assert!((integral(Rule::Trapezoid, 200, |x| x * x) - 1.0 / 3.0).abs() < 1e-4);
        assert!(Integration { rule: Rule::Trapezoid, intervals: 5000 }.validate().is_err());
    }
}
