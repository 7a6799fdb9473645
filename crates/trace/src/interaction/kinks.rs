//! Whether derivatives at the samples tell what the sections do on the way from zero.
//!
//! A section that bends, such as a GELU or a softmax, may have another slope at the sample than on the way to
//! it: edges from slopes at the samples are then no shares of what flows. Compared are the edges of some
//! samples with those integrated from zero, `Σ|Ê − Ê_∫| / ΣÊ_∫`; linear and ReLU sections need no look, as
//! their masks do not depend on the way.
//!
//! Source: Bushnaq et al. 2024, arXiv:2405.10928, §3 (integrated gradients); the measure is ours.
//! Memory: as [`Edges::all`] of the samples that are looked at.

use std::ops::Range;

use ndarray::Array2;
use nissl_core::section::{Chain, Form, InteractionBasis, Rule, Samples};
use nissl_core::{Progress, Result};

use super::edges::{EdgeFormula, Edges};

/// Samples that are looked at.
const SAMPLES: usize = 64;
/// Points of the integration less one.
const INTERVALS: usize = 4;
/// The difference from which it is told.
const TOLD: f64 = 0.5;

/// The first samples of others.
struct First<'a>(&'a dyn Samples);

impl Samples for First<'_> {
    fn samples(&self) -> usize {
        self.0.samples().min(SAMPLES)
    }

    fn rows(&self, range: Range<usize>) -> Result<Array2<f64>> {
        self.0.rows(range)
    }
}

impl Edges {
    /// A warning for each section whose edges at the samples differ by more than half from those integrated
    /// on the way from zero, on the first 64 samples. None where these edges are integrated themselves.
    ///
    /// # Errors
    /// As [`Self::all`].
    pub fn warnings(
        &self,
        chain: &Chain,
        samples: &dyn Samples,
        bases: &InteractionBasis,
        progress: &Progress,
    ) -> Result<Vec<String>> {
        if self.integration != Rule::Gradient || self.formula != EdgeFormula::Squared {
            return Ok(Vec::new());
        }
        let first = First(samples);
        let integrated = Self {
            integration: Rule::GaussLegendre,
            intervals: INTERVALS,
            draws: 0,
            ..self.clone()
        };
        let here = Self { draws: 0, ..self.clone() };
        let mut warnings = Vec::new();
        for (layer, section) in chain.sections.iter().enumerate() {
            if !matches!(section.form(), Form::General) {
                continue;
            }
            let [here, way] = [&here, &integrated]
                .map(|edges| edges.between(chain, &first, bases, layer, progress));
            let (here, way) = (here?.weights, way?.weights);
            let gap = (&here - &way).mapv(f64::abs).sum() / way.sum().max(f64::MIN_POSITIVE);
            if gap > TOLD {
                warnings.push(format!(
                    "{}: edges at the samples differ by {:.0} % from those on the way from zero; \
                     compare with --edge-integration gauss-legendre",
                    section.name(),
                    100.0 * gap
                ));
            }
        }
        Ok(warnings)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};
    use nissl_core::section::{Basis, Held, Hidden, Nonlinearity};

    use super::*;

    /// One hidden unit of weight `slope` beside nothing.
    fn case(slope: f64, nonlinearity: Nonlinearity) -> (Chain, InteractionBasis, Held) {
        let section = Hidden {
            name: "x".into(),
            positions: 1,
            straight: array![[0.0, 0.0], [0.0, 1.0]],
            into: array![[slope], [0.0]],
            out: array![[1.0, 0.0]],
            nonlinearity,
        };
        let rows =
            Array2::from_shape_fn(
                (100, 2),
                |(n, column)| {
                    if column == 0 { 1.0 + n as f64 / 100.0 } else { 1.0 }
                },
            );
        let chain = Chain { sections: vec![Box::new(section)], end: "y".to_owned() };
        let bases = InteractionBasis {
            settings: serde_json::Value::Null,
            samples: 0,
            warnings: Vec::new(),
            node_layers: ["x", "y"].map(|name| Basis::identity(name, 2)).to_vec(),
        };
        (chain, bases, Held { rows, positions: 1 })
    }

    #[test]
    fn a_saturated_unit_is_told_and_a_straight_one_is_not() {
        let quiet = Progress::silent();
        let told = |slope, nonlinearity| {
            let (chain, bases, held) = case(slope, nonlinearity);
            Edges::default().warnings(&chain, &held, &bases, &quiet).expect("looks")
        };
        // tanh(6 x) is flat at the samples, but all of its rise lies on the way.
        let found = told(6.0, Nonlinearity::Tanh);
        assert!(found.len() == 1 && found[0].starts_with("x: edges"), "{found:?}");
        assert!(told(0.05, Nonlinearity::Tanh).is_empty(), "almost straight");
        assert!(told(6.0, Nonlinearity::Relu).is_empty());
        let (chain, bases, held) = case(6.0, Nonlinearity::Tanh);
        let integrated = Edges { integration: Rule::GaussLegendre, ..Edges::default() };
        assert!(integrated.warnings(&chain, &held, &bases, &quiet).expect("looks").is_empty());
    }
}
