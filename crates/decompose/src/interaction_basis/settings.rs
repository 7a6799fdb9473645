//! Hyperparameters of the Local Interaction Basis and its kin.

use nissl_core::section::{Chain, Integration, Rule};
use nissl_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// Which basis is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum BasisKind {
    /// By the Jacobian to the next node layer: the Local Interaction Basis
    #[default]
    Lib,
    /// By the Jacobian to the last node layer: the global interaction basis
    Global,
    /// Principal components
    Pca,
    /// Singular vectors: principal components without centring
    Svd,
    /// The coordinates as they are
    Neuron,
    /// An older formula, "(1-0)*alpha": gradients of the whole change from zero
    OneMinusZeroAlpha,
    /// The oldest formula, "(1-alpha)^2": gradients of the squared change that is left
    OneMinusAlphaSquared,
}

impl BasisKind {
    /// Whether data must be pulled back through the sections.
    pub fn needs_derivatives(self) -> bool {
        !matches!(self, Self::Pca | Self::Svd | Self::Neuron)
    }

    /// Whether it is one of the two older formulas.
    pub(super) fn is_older(self) -> bool {
        matches!(self, Self::OneMinusZeroAlpha | Self::OneMinusAlphaSquared)
    }
}

/// Over what the sum of squared derivatives is exact or estimated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Sources {
    /// Every output position and coordinate
    #[default]
    Exact,
    /// Random signs over the output positions
    Positions,
    /// Random signs over the output coordinates
    Hidden,
    /// Random signs over both
    Both,
}

/// The numbers that products are taken in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 64 bits, which the method needs
    #[default]
    F64,
    /// 32 bits: faster, with directions that are noise
    F32,
    /// 16 bits, which are refused
    F16,
}

/// Hyperparameters of the Local Interaction Basis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct LocalInteractionBasis {
    /// Which basis is found
    #[arg(long, value_enum, default_value_t)]
    pub basis: BasisKind,
    /// Take no means off
    #[arg(long)]
    pub uncentred: bool,
    /// Rotate the last node layer to its principal components
    #[arg(long)]
    pub rotate_final: bool,
    /// Directions of this variance or less, and of less importance, are dropped, at least 0 (τ)
    #[arg(long, default_value_t = LocalInteractionBasis::default().tau)]
    pub tau: f64,
    /// Where derivatives are taken
    #[arg(long, value_enum, default_value_t)]
    pub integration: Rule,
    /// Points of the integration less one, 0 to 1024 (n); 0 is the one point halfway
    #[arg(long, default_value_t = LocalInteractionBasis::default().intervals)]
    pub intervals: usize,
    /// What is estimated by random signs instead of summed
    #[arg(long, value_enum, default_value_t)]
    pub sources: Sources,
    /// Draws of random signs for each sample, at least 1 (r)
    #[arg(long, default_value_t = LocalInteractionBasis::default().draws)]
    pub draws: usize,
    /// Outputs that are pulled back at once, at least 1
    #[arg(long, default_value_t = LocalInteractionBasis::default().chunk)]
    pub chunk: usize,
    /// Numbers that products are taken in
    #[arg(long, value_enum, default_value_t)]
    pub precision: Precision,
    /// The seed of the random signs; set by the run
    #[arg(skip)]
    pub seed: u64,
}

impl Default for LocalInteractionBasis {
    fn default() -> Self {
        Self {
            basis: BasisKind::Lib,
            uncentred: false,
            rotate_final: false,
            tau: 1e-15,
            integration: Rule::Gradient,
            intervals: 4,
            sources: Sources::Exact,
            draws: 1,
            chunk: 8,
            precision: Precision::F64,
            seed: 0,
        }
    }
}

impl LocalInteractionBasis {
    /// Checks every hyperparameter against its range.
    ///
    /// # Errors
    /// Names the first field that is outside its range.
    pub fn validate(&self) -> Result<()> {
        if !(self.tau >= 0.0 && self.tau.is_finite()) {
            return Err(Error::setting("tau", self.tau, "a number of at least 0"));
        }
        crate::range::at_least_1(&[("draws", self.draws), ("chunk", self.chunk)])?;
        self.points().validate()?;
        if self.precision == Precision::F16 {
            let expected = "f64, or f32: in 16 bits no Gram matrix keeps its small directions";
            return Err(Error::setting("precision", "f16", expected));
        }
        if self.basis == BasisKind::OneMinusAlphaSquared && self.integration == Rule::Gradient {
            let expected = "gauss-legendre or trapezoid: at the sample itself nothing is left of the squared change";
            return Err(Error::setting("integration", "gradient", expected));
        }
        if self.basis.is_older() && self.sources != Sources::Exact {
            let expected = "exact: the older formulas pull back one vector for each sample";
            return Err(Error::setting("sources", "of random signs", expected));
        }
        Ok(())
    }

    /// The points at which derivatives are taken.
    pub fn points(&self) -> Integration {
        Integration { rule: self.integration, intervals: self.intervals }
    }

    /// Whether means are taken off.
    pub(super) fn centred(&self) -> bool {
        match self.basis {
            BasisKind::Pca => true,
            BasisKind::Svd => false,
            _ => !self.uncentred,
        }
    }

    /// # Errors
    /// Signs over positions where there is but one.
    pub(super) fn check_sources(&self, chain: &Chain, layer: usize) -> Result<()> {
        if !matches!(self.sources, Sources::Positions | Sources::Both) {
            return Ok(());
        }
        let has_positions = chain.sections.iter().any(|section| {
            let extent = section.extent();
            extent.positions_in > 1 || extent.positions_out > 1
        });
        if has_positions {
            return Ok(());
        }
        let found = format!("signs over the positions of {}", chain.node_layers()[layer]);
        Err(Error::setting("sources", found, "exact or hidden: this network has no positions"))
    }
}
