//! The Local Interaction Basis: coordinates in which the layers of a network interact sparsely.
//!
//! For the node layers from the last to the first, row vectors, biases folded:
//! 1. `Y` takes the mean off by the constant; `G = E[(f − μ)ᵀ(f − μ)]`.
//! 2. `G = U D Uᵀ`, the constant direction first, directions with `D ≤ τ` dropped.
//! 3. `W = Y U`, `R = W D^{−1/2}`, `R⁺ = D^{1/2} W⁺`.
//! 4. `M′ = 1/(N P) Σ_x Σ_t Σ_s J_ts C C ᵀ J_tsᵀ` with `J` the Jacobian to the next node layer and `C`
//!    that layer's basis.
//! 5. `M = R⁺ M′ R⁺ᵀ = V Λ Vᵀ`, the constant (and a layer norm's variance) kept apart.
//! 6. `C = R V Λ^{1/2}`, `C⁺ = Λ^{−1/2} Vᵀ R⁺`, in the order of `Λ`, columns with `Λ < τ` dropped.
//!
//! Source: Bushnaq et al. 2024, arXiv:2405.10928, §3 and appendix A; 2024, arXiv:2405.10927. The older
//! formulas are those of the authors' code.
//! Differs: where the last coordinate is the constant to rounding, its direction is taken as it is, so
//! that no other eigenvalue of 1 can mix with it; `Λ` is also dropped below the rounding of the largest
//! (as many ε as there are coordinates).
//! Memory: for each node layer its `[coordinate, coordinate]` Gram matrix, and a block of samples with
//! a chunk of their derivatives; data are streamed, once for the moments and once for each section
//! whose form needs them.

mod drawn;
mod features;
mod moments;
mod pullback;
mod rotation;
mod settings;
#[cfg(test)]
mod tests;

use std::ops::Range;

use nissl_core::section::{Basis, Chain, InteractionBasis, Samples};
use nissl_core::{Error, Progress, Result};

pub use features::{dictionary, importance};
pub use moments::{LayerMoments, Moments};
pub use pullback::LayerSums;
pub use settings::{BasisKind, LocalInteractionBasis, Precision, Sources};

use rotation::Whitened;

impl LocalInteractionBasis {
    /// Finds the bases of all node layers of `chain`.
    ///
    /// # Errors
    /// Settings outside their range, no samples, a node layer without a single constant direction,
    /// numbers that are not finite, or a section whose output does not depend on its input.
    pub fn fit(
        &self,
        chain: &Chain,
        samples: &dyn Samples,
        progress: &Progress,
    ) -> Result<InteractionBasis> {
        let moments = self.moments(chain, samples, 0..samples.samples(), progress)?;
        self.fit_with(chain, samples, &moments, progress)
    }

    /// The same with moments that were found before, perhaps by several processes.
    ///
    /// # Errors
    /// As [`Self::fit`], or moments of other node layers.
    pub fn fit_with(
        &self,
        chain: &Chain,
        samples: &dyn Samples,
        moments: &Moments,
        progress: &Progress,
    ) -> Result<InteractionBasis> {
        let mut found: Vec<Basis> = vec![self.end(chain, moments)?];
        let mut warnings = Vec::new();
        for layer in (0..chain.sections.len()).rev() {
            let target =
                if self.basis == BasisKind::Global { &found[0] } else { &found[found.len() - 1] };
            let sums = if self.basis.needs_derivatives() {
                let all = 0..samples.samples();
                Some(self.sums(chain, samples, all, layer, target, progress)?)
            } else {
                None
            };
            let (basis, told) = self.layer(chain, moments, layer, sums.as_ref())?;
            warnings.extend(told);
            found.push(basis);
        }
        found.reverse();
        self.finish(found, moments, warnings)
    }

    /// The mean and scatter of all node layers over a range of samples.
    ///
    /// # Errors
    /// No samples, rows that do not fit, or numbers that are not finite.
    pub fn moments(
        &self,
        chain: &Chain,
        samples: &dyn Samples,
        range: Range<usize>,
        progress: &Progress,
    ) -> Result<Moments> {
        self.validate()?;
        chain.validate()?;
        Moments::of(self, chain, samples, range, progress)
    }

    /// Step 4 for the section that begins at node layer `layer`, over a range of samples; `target` is
    /// the basis of the next node layer, or of the last one where all are found by that.
    ///
    /// Sums over parts of the samples add up: [`LayerSums::add`].
    ///
    /// # Errors
    /// As [`Self::fit`].
    pub fn sums(
        &self,
        chain: &Chain,
        samples: &dyn Samples,
        range: Range<usize>,
        layer: usize,
        target: &Basis,
        progress: &Progress,
    ) -> Result<LayerSums> {
        self.validate()?;
        self.check_sources(chain, layer)?;
        LayerSums::of(self, chain, samples, range, layer, target, progress)
    }

    /// Steps 1 to 3 and 5 to 6 for one node layer, and what the reader must know of it.
    ///
    /// # Errors
    /// As [`Self::fit`]; `sums` absent where the basis needs them.
    pub fn layer(
        &self,
        chain: &Chain,
        moments: &Moments,
        layer: usize,
        sums: Option<&LayerSums>,
    ) -> Result<(Basis, Vec<String>)> {
        moments.fits(chain)?;
        let of = &moments.node_layers[layer];
        let name = of.node_layer.as_str();
        if self.basis == BasisKind::Neuron {
            return Ok((Basis::identity(name, of.mean.len()), Vec::new()));
        }
        let isolated = chain.sections[layer].isolated();
        let whitened = Whitened::of(self, of, isolated)?;
        let mut warnings = Vec::new();
        let coordinates = of.mean.len();
        if of.rows < 2 * coordinates as u64 {
            let kept = whitened.kept();
            warnings.push(format!(
                "{name}: {} rows for {coordinates} coordinates leave the Gram matrix without full rank; {kept} directions are kept",
                of.rows
            ));
        }
        if !self.basis.needs_derivatives() {
            return Ok((whitened.principal(name), warnings));
        }
        let Some(sums) = sums else {
            return Err(Error::setting("sums", "absent", "those of this node layer"));
        };
        let basis = whitened.rotated(self, name, sums)?;
        warnings.extend(condition(self, &basis));
        Ok((basis, warnings))
    }

    /// The basis of the last node layer.
    ///
    /// # Errors
    /// As [`Self::fit`].
    pub fn end(&self, chain: &Chain, moments: &Moments) -> Result<Basis> {
        moments.fits(chain)?;
        match moments.node_layers.last() {
            Some(last) if self.rotate_final && self.basis != BasisKind::Neuron => {
                Ok(Whitened::of(self, last, None)?.principal(&chain.end))
            }
            _ => {
                let outputs = chain.sections[chain.sections.len() - 1].extent().outputs;
                Ok(Basis::identity(&chain.end, outputs))
            }
        }
    }

    /// The bases of all node layers, in order, as one.
    ///
    /// # Errors
    /// Settings that JSON cannot hold.
    pub fn finish(
        &self,
        node_layers: Vec<Basis>,
        moments: &Moments,
        mut warnings: Vec<String>,
    ) -> Result<InteractionBasis> {
        if self.precision == Precision::F32 {
            let text = "products were taken in f32: small directions are noise, and f64 is needed for results to be trusted";
            warnings.push(text.to_owned());
        }
        let settings = serde_json::to_value(self)
            .map_err(|error| Error::setting("settings", error, "what JSON can hold"))?;
        Ok(InteractionBasis { settings, samples: moments.samples, warnings, node_layers })
    }
}

/// A warning where `Λ` spans more than f64 resolves and nothing was asked to be dropped.
fn condition(settings: &LocalInteractionBasis, basis: &Basis) -> Option<String> {
    let free = basis.importance.iter().enumerate();
    let free = free.filter(|(vector, _)| basis.constant != Some(*vector)).map(|(_, value)| *value);
    let (least, most) = free
        .fold((f64::INFINITY, 0.0f64), |(least, most), value| (least.min(value), most.max(value)));
    let default = LocalInteractionBasis::default().tau;
    let wide = most > 1e12 * least && settings.tau <= default;
    wide.then(|| {
        format!(
            "{}: the importance spans {:.0e}, more than f64 resolves; drop the smallest with a larger τ",
            basis.node_layer,
            most / least
        )
    })
}
