//! Edges: how strongly each coordinate of a node layer acts on each of the next.
//!
//! With `F̂(f̂) = F(f̂ C⁺) C′`: squared `Ê_ij = 1/(N P) Σ_x Σ_t (∫ Σ_s ∂F̂_it/∂f̂_js(α f̂) f̂_js dα)²`;
//! functional `Ê_ij = 1/(N P) Σ_x ∫ 2 Σ_t (F̂_it(f̂) − F̂_it(α f̂)) Σ_s ∂F̂_it/∂f̂_js(α f̂) f̂_js dα`.
//! Closed forms: of a linear section `Ŵ_ji² E[f̂_j²]`; of a ReLU section, whose masks `m` do not depend
//! on `α` as the constant shrinks with the rest, `E[f̂_j² (L_ji + Σ_h a_jh m_h b_hi)²]`; of attention as
//! its section says.
//!
//! Source: Bushnaq et al. 2024, arXiv:2405.10928, §3; the closed forms are ours.
//! Memory: a block of samples; of a ReLU section also the sums of some parts of it.

use std::ops::Range;

use ndarray::{Array2, ArrayView2, Axis};
use nissl_core::features::product;
use nissl_core::section::{
    Basis, Chain, Form, Integration, InteractionBasis, Rule, Samples, Section,
};
use nissl_core::{Error, Progress, Result};
use nissl_kernels::gemm::{Into, MatRef, matmul_alone};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::random_signs::squares_by_signs;

/// What an edge measures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum EdgeFormula {
    /// Squared effects, averaged over samples
    #[default]
    Squared,
    /// Shares of the squared change from zero; needs an integration
    Functional,
}

/// Hyperparameters of the edges.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Edges {
    /// What an edge measures
    #[arg(long, value_enum, default_value_t)]
    pub formula: EdgeFormula,
    /// Where derivatives are taken
    #[arg(id = "edge_integration", long = "edge-integration", value_enum, default_value_t)]
    pub integration: Rule,
    /// Points of the integration less one, 0 to 1024 (n); 0 is the one point halfway
    #[arg(id = "edge_intervals", long = "edge-intervals", default_value_t)]
    pub intervals: usize,
    /// Draws of random signs over the output positions instead of their sum, 0 for the exact sum (r)
    #[arg(id = "edge_draws", long = "edge-draws", default_value_t)]
    pub draws: usize,
    /// The seed of the random signs; set by the run
    #[arg(skip)]
    pub seed: u64,
}

/// The edges from one node layer to the next.
#[derive(Clone, Debug, PartialEq)]
pub struct EdgeMatrix {
    /// The node layer they come from.
    pub from: String,
    /// The node layer they lead to.
    pub to: String,
    /// `Ê` `[target vector, source vector]`.
    pub weights: Array2<f64>,
    /// The constant vector of the source.
    pub constant: Option<usize>,
}

/// Numbers of a block of rows.
const BLOCK: usize = 1 << 19;

impl Edges {
    /// Checks every hyperparameter against its range.
    ///
    /// # Errors
    /// Too many intervals, or functional edges at the sample alone, where they are zero.
    pub fn validate(&self) -> Result<()> {
        if self.formula == EdgeFormula::Functional && self.integration == Rule::Gradient {
            let expected = "gauss-legendre or trapezoid: functional edges are zero at the sample";
            return Err(Error::setting("integration", "gradient", expected));
        }
        if self.formula == EdgeFormula::Functional && self.draws > 0 {
            let expected = "0: only squared edges are estimated by random signs";
            return Err(Error::setting("draws", self.draws, expected));
        }
        self.points().validate()
    }

    fn points(&self) -> Integration {
        Integration { rule: self.integration, intervals: self.intervals }
    }

    /// The edges between all neighbouring node layers.
    ///
    /// # Errors
    /// Settings outside their range, no samples, bases of another chain, or an interruption.
    pub fn all(
        &self,
        chain: &Chain,
        samples: &dyn Samples,
        bases: &InteractionBasis,
        progress: &Progress,
    ) -> Result<Vec<EdgeMatrix>> {
        self.over(chain, samples, bases, 0..chain.sections.len(), progress)
    }

    /// The edges from node layer `layer` to the next.
    ///
    /// # Errors
    /// As [`Self::all`].
    pub fn between(
        &self,
        chain: &Chain,
        samples: &dyn Samples,
        bases: &InteractionBasis,
        layer: usize,
        progress: &Progress,
    ) -> Result<EdgeMatrix> {
        let mut found = self.over(chain, samples, bases, layer..layer + 1, progress)?;
        Ok(found.remove(0))
    }

    /// The edges from each of some node layers, in one pass over the samples.
    fn over(
        &self,
        chain: &Chain,
        samples: &dyn Samples,
        bases: &InteractionBasis,
        layers: Range<usize>,
        progress: &Progress,
    ) -> Result<Vec<EdgeMatrix>> {
        self.validate()?;
        let pairs = layers.clone().map(|layer| ends(chain, bases, layer));
        let pairs = pairs.collect::<Result<Vec<_>>>()?;
        let count = samples.samples();
        if count == 0 {
            let what = "the data".to_owned();
            return Err(Error::Empty { what, expected: "at least one sample".to_owned() });
        }
        let widest = chain.sections.iter().map(|section| {
            let extent = section.extent();
            (extent.positions_in * extent.inputs).max(extent.positions_out * extent.outputs)
        });
        let size = (BLOCK / widest.max().unwrap_or(1).max(1)).max(1);
        let mut sums: Vec<Array2<f64>> = pairs
            .iter()
            .map(|[source, target]| Array2::zeros((target.vectors(), source.vectors())))
            .collect();
        let what = match layers.len() {
            1 => format!("edges from {}", chain.sections[layers.start].name()),
            _ => "edges".to_owned(),
        };
        let stage = progress.stage(&what, count as u64, "samples");
        for from in (0..count).step_by(size) {
            progress.check(|| format!("{from} samples"))?;
            let range = from..(from + size).min(count);
            let taken = range.len() as u64;
            let mut rows = samples.rows(range)?;
            for (layer, section) in chain.sections[..layers.end].iter().enumerate() {
                if let Some(at) = layer.checked_sub(layers.start) {
                    let new = pairs[at][0].project(rows.view())?;
                    let signs = self.signs(layer, from, section.extent(), &new);
                    sums[at] += &self.block(section.as_ref(), pairs[at], &new, signs.as_ref())?;
                }
                if layer + 1 < layers.end {
                    rows = section.forward(rows.view())?;
                }
            }
            stage.advance(taken);
        }
        let found = sums.into_iter().zip(pairs).zip(&chain.sections[layers]);
        found
            .map(|((mut sum, [source, target]), section)| {
                sum /= (count * section.extent().positions_in) as f64;
                match sum.iter().find(|value| !value.is_finite()) {
                    None => Ok(EdgeMatrix {
                        from: source.node_layer.clone(),
                        to: target.node_layer.clone(),
                        weights: sum,
                        constant: source.constant,
                    }),
                    Some(&found) => Err(Error::Diverged {
                        what: format!("the edges from {}", section.name()),
                        found,
                        step: count,
                        help: Some("look for samples with missing or huge numbers".to_owned()),
                    }),
                }
            })
            .collect()
    }

    /// Sums over a block of new coordinates `new` `[sample · position, source vector]`.
    fn block(
        &self,
        section: &dyn Section,
        [source, target]: [&Basis; 2],
        new: &Array2<f64>,
        signs: Option<&Array2<f64>>,
    ) -> Result<Array2<f64>> {
        let squared = self.formula == EdgeFormula::Squared;
        if signs.is_some() {
            return self.pushed(section, [source, target], new, signs);
        }
        match section.form() {
            Form::Linear(weight) if squared => {
                let map = seen(source, weight, target);
                let squares = new.map_axis(Axis(0), |column| column.dot(&column));
                Ok(map.mapv(|it| it * it).reversed_axes() * &squares)
            }
            Form::Relu { straight, into, out } if squared => {
                let beside = seen(source, straight, target);
                let a = product(source.back.view(), into);
                let b = product(out, target.into.view());
                Ok(hidden(new, &beside, &a, &b))
            }
            _ => {
                let points = self.points().points();
                let (back, into) = (source.back.view(), target.into.view());
                let closed = if squared {
                    section.squared_effects(new.view(), back, into, &points)?
                } else {
                    None
                };
                match closed {
                    Some(sum) => Ok(sum.reversed_axes()),
                    None => self.pushed(section, [source, target], new, None),
                }
            }
        }
    }

    /// The sums by one derivative for each source vector.
    pub(super) fn pushed(
        &self,
        section: &dyn Section,
        [source, target]: [&Basis; 2],
        new: &Array2<f64>,
        signs: Option<&Array2<f64>>,
    ) -> Result<Array2<f64>> {
        let points = self.points().points();
        let positions = section.extent().positions_out;
        let restored = source.restore(new.view())?;
        let here = match self.formula {
            EdgeFormula::Squared => None,
            EdgeFormula::Functional => Some(section.forward(restored.view())?),
        };
        let mut inputs = Vec::with_capacity(points.len());
        for &[alpha, weight] in &points {
            let at = &restored * alpha;
            let left = match &here {
                None => None,
                Some(here) => {
                    let change = here - &section.forward(at.view())?;
                    Some(product(change.view(), target.into.view()))
                }
            };
            inputs.push((at, weight, left));
        }
        let mut sum = Array2::zeros((target.vectors(), source.vectors()));
        for from in (0..source.vectors()).step_by(CHUNK) {
            let chunk = from..(from + CHUNK).min(source.vectors());
            let tangents: Vec<Array2<f64>> = chunk
                .clone()
                .map(|j| {
                    let along = source.back.row(j).insert_axis(Axis(0)).to_owned();
                    product(new.column(j).insert_axis(Axis(1)), along.view())
                })
                .collect();
            let mut means: Vec<Option<Array2<f64>>> = vec![None; chunk.len()];
            for (at, weight, left) in &inputs {
                for (n, pushed) in section.pushes(at.view(), &tangents)?.iter().enumerate() {
                    let effect = product(pushed.view(), target.into.view());
                    let mut column = sum.column_mut(from + n);
                    if let Some(left) = left {
                        column += &((&effect * left).sum_axis(Axis(0)) * (2.0 * weight));
                        continue;
                    }
                    match &mut means[n] {
                        Some(mean) => mean.scaled_add(*weight, &effect),
                        none => *none = Some(effect * *weight),
                    }
                }
            }
            for (n, mean) in means.into_iter().enumerate() {
                if let Some(mean) = mean {
                    let squares = match signs {
                        None => mean.mapv(|it| it * it).sum_axis(Axis(0)),
                        Some(signs) => squares_by_signs(&mean, signs, positions),
                    };
                    sum.column_mut(from + n).assign(&squares);
                }
            }
        }
        Ok(sum)
    }
}

/// Derivatives that are pushed at once.
const CHUNK: usize = 8;

/// The bases at both ends of a section.
///
/// # Errors
/// Bases of another chain.
pub(super) fn ends<'a>(
    chain: &Chain,
    bases: &'a InteractionBasis,
    layer: usize,
) -> Result<[&'a Basis; 2]> {
    chain.validate()?;
    let names = chain.node_layers();
    if layer + 1 >= names.len() {
        let expected = format!("0 to {}", chain.sections.len() - 1);
        return Err(Error::setting("layer", layer, expected));
    }
    let pair = [bases.of(names[layer])?, bases.of(names[layer + 1])?];
    let extent = chain.sections[layer].extent();
    for (basis, expected) in pair.into_iter().zip([extent.inputs, extent.outputs]) {
        if basis.coordinates() != expected {
            let what = format!("basis of {}", basis.node_layer);
            let found = format!("{} coordinates", basis.coordinates());
            return Err(Error::setting(what, found, format!("{expected}, as in the network")));
        }
    }
    Ok(pair)
}

/// `C⁺ W C′`.
pub(super) fn seen(source: &Basis, weight: ArrayView2<'_, f64>, target: &Basis) -> Array2<f64> {
    product(product(source.back.view(), weight).view(), target.into.view())
}

/// Rows that a thread takes at once.
const ROWS: usize = 64;

/// `Σ_x f̂_j² (L_ji + Σ_h a_jh m_h b_hi)²` `[i, j]`, only the active hidden units being multiplied.
fn hidden(
    new: &Array2<f64>,
    beside: &Array2<f64>,
    a: &Array2<f64>,
    b: &Array2<f64>,
) -> Array2<f64> {
    let before = product(new.view(), a.view());
    let [sources, targets] = [beside.nrows(), beside.ncols()];
    let units = a.ncols();
    let standard = |matrix: ArrayView2<'_, f64>| -> Vec<f64> { matrix.iter().copied().collect() };
    let (from, to, beside) = (standard(a.t()), standard(b.view()), standard(beside.view()));
    // Parts of fixed size, added in order: the same bytes on any number of threads.
    let parts: Vec<Vec<f64>> = (0..new.nrows().div_ceil(ROWS))
        .into_par_iter()
        .map(|part| {
            let mut sum = vec![0.0; sources * targets];
            let mut effect = vec![0.0; sources * targets];
            let (mut left, mut right) = (Vec::new(), Vec::new());
            for row in part * ROWS..((part + 1) * ROWS).min(new.nrows()) {
                left.clear();
                right.clear();
                for unit in (0..units).filter(|&unit| before[[row, unit]] > 0.0) {
                    left.extend_from_slice(&from[unit * sources..][..sources]);
                    right.extend_from_slice(&to[unit * targets..][..targets]);
                }
                let active = left.len() / sources.max(1);
                effect.copy_from_slice(&beside);
                let left = MatRef::row_major(&left, active, sources).transposed();
                let right = MatRef::row_major(&right, active, targets);
                matmul_alone(left, right, &mut effect, Into::Add);
                let lines = sum.chunks_exact_mut(targets).zip(effect.chunks_exact(targets));
                for ((sum, effect), scale) in lines.zip(new.row(row)) {
                    for (sum, effect) in sum.iter_mut().zip(effect) {
                        let moved = scale * effect;
                        *sum += moved * moved;
                    }
                }
            }
            sum
        })
        .collect();
    let mut sum = vec![0.0; sources * targets];
    for part in parts {
        sum.iter_mut().zip(&part).for_each(|(sum, part)| *sum += part);
    }
    let sum = Array2::from_shape_vec((sources, targets), sum).expect("as many as made");
    sum.reversed_axes()
}
