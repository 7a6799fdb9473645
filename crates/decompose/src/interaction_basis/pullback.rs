//! `M′`: the metric of the next node layer pulled back through a section, summed over samples.
//!
//! With `S = C Cᵀ`: of a linear section `W S Wᵀ`; of `f A + relu(f W_in) W_out` with `K = W_out S W_outᵀ`,
//! `B = W_out S Aᵀ`, `p = E[m]`, `Π = E[mᵀ m]` over the masks `m` of active hidden units
//! `A S Aᵀ + W_in diag(p) B + (·)ᵀ + W_in (K ∘ Π) W_inᵀ`, on the whole way from zero, as the constant
//! shrinks with the rest; of attention as its section says; of any other the sum of `gᵀ g` over
//! derivatives `g` of single outputs, or over random signed sums of them.
//!
//! Source: Bushnaq et al. 2024, arXiv:2405.10928, §3 and appendix A; the closed forms are ours.

use std::ops::Range;
use std::path::Path;

use ndarray::{Array2, ArrayView2, Axis};
use nissl_core::features::{add_product, product};
use nissl_core::section::{Arrays, Basis, Chain, Form, Samples, Section, fits};
use nissl_core::{Error, Progress, Result};
use serde::{Deserialize, Serialize};

use super::drawn::Drawn;
use super::moments::{add_gram, blocks};
use super::{BasisKind, LocalInteractionBasis, Precision, Sources};

/// The sums of step 4 of one node layer, over some samples; those of other samples can be added.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerSums {
    /// The node layer.
    pub node_layer: String,
    /// Samples times positions at the input.
    pub rows: u64,
    /// `N P M′` `[coordinate, coordinate]`
    pub sum: Array2<f64>,
    /// `Σ gᵀ f` of the older formulas.
    pub cross: Option<Array2<f64>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    kind: String,
    node_layer: String,
    rows: u64,
}

const KIND: &str = "node-layer-sums";

impl LayerSums {
    /// `M′`.
    pub(super) fn mean(&self) -> Array2<f64> {
        &self.sum / self.rows.max(1) as f64
    }

    /// `E[gᵀ f]`.
    pub(super) fn mean_cross(&self) -> Option<Array2<f64>> {
        self.cross.as_ref().map(|cross| cross / self.rows.max(1) as f64)
    }

    /// Adds the sums of other samples.
    ///
    /// # Errors
    /// Those of another node layer or kind of basis.
    pub fn add(&mut self, other: &Self) -> Result<()> {
        let key = |sums: &Self| (sums.node_layer.clone(), sums.sum.dim(), sums.cross.is_some());
        if key(self) != key(other) {
            let expected = format!("{:?}", key(self));
            return Err(Error::setting("sums", format!("{:?}", key(other)), expected));
        }
        self.rows += other.rows;
        self.sum += &other.sum;
        if let (Some(own), Some(other)) = (&mut self.cross, &other.cross) {
            *own += other;
        }
        Ok(())
    }

    /// Writes them as one file.
    ///
    /// # Errors
    /// A failed file operation.
    pub fn save(&self, path: &Path) -> Result<()> {
        let (kind, node_layer) = (KIND.to_owned(), self.node_layer.clone());
        let mut file = Arrays::new(&Header { kind, node_layer, rows: self.rows })?;
        file.arrays.insert("sum".to_owned(), self.sum.clone().into_dyn());
        if let Some(cross) = &self.cross {
            file.arrays.insert("cross".to_owned(), cross.clone().into_dyn());
        }
        file.write(path)
    }

    /// Reads what [`Self::save`] wrote.
    ///
    /// # Errors
    /// A file that is damaged or of another kind.
    pub fn load(path: &Path) -> Result<Self> {
        let mut file = Arrays::read(path)?;
        let Header { kind, node_layer, rows } = file.typed(path)?;
        if kind != KIND {
            return Err(Error::file(path, "kind", kind, KIND));
        }
        let sum = file.matrix(path, "sum")?;
        let there = file.arrays.contains_key("cross");
        let cross = there.then(|| file.matrix(path, "cross")).transpose()?;
        Ok(Self { node_layer, rows, sum, cross })
    }

    pub(super) fn of(
        settings: &LocalInteractionBasis,
        chain: &Chain,
        samples: &dyn Samples,
        range: Range<usize>,
        layer: usize,
        target: &Basis,
        progress: &Progress,
    ) -> Result<Self> {
        if range.is_empty() {
            let what = "the data".to_owned();
            return Err(Error::Empty { what, expected: "at least one sample".to_owned() });
        }
        let is_global = settings.basis == BasisKind::Global;
        let through =
            if is_global { &chain.sections[layer..] } else { &chain.sections[layer..=layer] };
        let through = Through { sections: through };
        let last = through.sections[through.sections.len() - 1].extent();
        if target.coordinates() != last.outputs {
            let found = format!("{} coordinates", target.coordinates());
            return Err(Error::setting(
                format!("basis of {}", target.node_layer),
                found,
                format!("{}, the outputs of the section", last.outputs),
            ));
        }
        let first = through.sections[0].extent();
        let name = through.sections[0].name();
        let mut sums = Self {
            node_layer: name.to_owned(),
            rows: 0,
            sum: Array2::zeros((first.inputs, first.inputs)),
            cross: settings.basis.is_older().then(|| Array2::zeros((first.inputs, first.inputs))),
        };
        let rows = (range.len() * first.positions_in) as u64;
        let exact = settings.sources == Sources::Exact && !settings.basis.is_older();
        let alone = through.sections.len() == 1;
        let form = through.sections[0].form();
        if let (Form::Linear(weight), true, true) = (form, exact, alone) {
            let seen = product(weight, target.into.view());
            add_gram(&mut sums.sum, seen.t(), Precision::F64);
            sums.sum *= rows as f64;
            sums.rows = rows;
            return Ok(sums);
        }
        let mut masks = match form {
            Form::Relu { into, .. } if exact && alone => Some(Masks::new(into)),
            _ => None,
        };
        let points = settings.points().points();
        let stage = progress.stage(&format!("M′ of {name}"), range.len() as u64, "samples");
        for part in blocks(chain, range) {
            progress.check(|| format!("the node layers after {name}"))?;
            let mut inputs = samples.rows(part.clone())?;
            let extent = chain.sections[0].extent();
            let name = chain.sections[0].name();
            fits(name, "samples", inputs.view(), extent.positions_in, extent.inputs)?;
            for section in &chain.sections[..layer] {
                inputs = section.forward(inputs.view())?;
            }
            let inputs = inputs.view();
            let closed = match &mut masks {
                None if exact && alone => {
                    through.sections[0].metric(inputs, target.into.view(), &points)?
                }
                _ => None,
            };
            match (&mut masks, closed) {
                (Some(masks), _) => masks.add(inputs),
                (None, Some(closed)) => sums.sum += &closed,
                (None, None) if settings.basis.is_older() => {
                    sums.older(settings, &through, inputs, target)?;
                }
                (None, None) => {
                    let sources = Drawn { settings, layer, first: part.start };
                    sums.squared(&sources, &through, inputs, target)?;
                }
            }
            sums.rows += inputs.nrows() as u64;
            stage.advance(part.len() as u64);
        }
        if let (Some(masks), Form::Relu { straight, out, .. }) = (masks, form) {
            sums.sum = masks.pulled(sums.rows as f64, straight, out, target.into.view());
        }
        match sums.sum.iter().find(|value| !value.is_finite()) {
            None => Ok(sums),
            Some(&found) => Err(Error::Diverged {
                what: format!("M′ of {name}"),
                found,
                step: sums.rows as usize,
                help: Some("look for samples with missing or huge numbers".to_owned()),
            }),
        }
    }

    /// Adds `gᵀ g` over single outputs, or over random signed sums of them.
    fn squared(
        &mut self,
        drawn: &Drawn<'_>,
        through: &Through<'_>,
        inputs: ArrayView2<'_, f64>,
        target: &Basis,
    ) -> Result<()> {
        let extent = through.sections[through.sections.len() - 1].extent();
        let samples = inputs.nrows() / through.sections[0].extent().positions_in;
        let settings = drawn.settings;
        let count = drawn.cotangents(extent.positions_out, target.vectors());
        let points = settings.points().points();
        let weight = if settings.sources == Sources::Exact { 1.0 } else { settings.draws as f64 };
        for from in (0..count).step_by(settings.chunk) {
            let chunk = from..(from + settings.chunk).min(count);
            let cotangents: Vec<Array2<f64>> = chunk
                .map(|which| drawn.cotangent(which, samples, extent.positions_out, target))
                .collect();
            let mut pulled = through.pulled(inputs, &points, &cotangents)?;
            for g in &mut pulled {
                if settings.sources != Sources::Exact {
                    *g /= weight.sqrt();
                }
                add_gram(&mut self.sum, g.view(), settings.precision);
            }
        }
        Ok(())
    }

    /// Adds `gᵀ g` and `gᵀ f` of an older formula.
    fn older(
        &mut self,
        settings: &LocalInteractionBasis,
        through: &Through<'_>,
        inputs: ArrayView2<'_, f64>,
        target: &Basis,
    ) -> Result<()> {
        let metric = product(target.into.view(), target.into.t());
        let here = through.forward(inputs)?;
        let positions = through.sections[0].extent().positions_in;
        let none = through.forward(Array2::zeros((positions, inputs.ncols())).view())?;
        let mut g = Array2::zeros(inputs.dim());
        for [alpha, weight] in settings.points().points() {
            let point = &inputs * alpha;
            let mut change = here.clone();
            if settings.basis == BasisKind::OneMinusZeroAlpha {
                for mut sample in change.axis_chunks_iter_mut(Axis(0), none.nrows()) {
                    sample -= &none;
                }
            } else {
                change = (through.forward(point.view())? - change) * 2.0;
            }
            let cotangent = product(change.view(), metric.view());
            let pulled = through.pulled(point.view(), &[[1.0, 1.0]], &[cotangent])?;
            g.scaled_add(weight, &pulled[0]);
        }
        add_gram(&mut self.sum, g.view(), settings.precision);
        if let Some(cross) = &mut self.cross {
            add_product(cross.view_mut(), g.t(), inputs);
        }
        Ok(())
    }
}

/// Sections one after the other.
struct Through<'a> {
    sections: &'a [Box<dyn Section>],
}

impl Through<'_> {
    fn forward(&self, inputs: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
        let mut now = self.sections[0].forward(inputs)?;
        for section in &self.sections[1..] {
            now = section.forward(now.view())?;
        }
        Ok(now)
    }

    /// Derivatives of `Σ cotangents ∘ outputs`, averaged over points on the way from zero.
    fn pulled(
        &self,
        inputs: ArrayView2<'_, f64>,
        points: &[[f64; 2]],
        cotangents: &[Array2<f64>],
    ) -> Result<Vec<Array2<f64>>> {
        let mut sums: Option<Vec<Array2<f64>>> = None;
        for &[alpha, weight] in points {
            let mut all = vec![&inputs * alpha];
            for section in &self.sections[..self.sections.len() - 1] {
                let next = section.forward(all[all.len() - 1].view())?;
                all.push(next);
            }
            let mut now = cotangents.to_vec();
            for (section, inputs) in self.sections.iter().zip(&all).rev() {
                now = section.pulls(inputs.view(), &now)?;
            }
            match &mut sums {
                None if points.len() == 1 => return Ok(now),
                None => sums = Some(now.into_iter().map(|it| it * weight).collect()),
                Some(sums) => {
                    for (sum, now) in sums.iter_mut().zip(&now) {
                        sum.scaled_add(weight, now);
                    }
                }
            }
        }
        Ok(sums.unwrap_or_default())
    }
}

/// How often hidden units are active, alone and together.
struct Masks<'a> {
    into: ArrayView2<'a, f64>,
    /// `N P Π` `[hidden, hidden]`, `N P p` on its diagonal; counts, exact in f32 for a block.
    together: Array2<f64>,
}

impl<'a> Masks<'a> {
    fn new(into: ArrayView2<'a, f64>) -> Self {
        let hidden = into.ncols();
        Self { into, together: Array2::zeros((hidden, hidden)) }
    }

    fn add(&mut self, inputs: ArrayView2<'_, f64>) {
        let before = product(inputs, self.into);
        let active = before.mapv(|value| if value > 0.0 { 1.0f32 } else { 0.0 });
        let counts = product(active.t(), active.view());
        self.together.zip_mut_with(&counts, |sum, &count| *sum += f64::from(count));
    }

    fn pulled(
        self,
        rows: f64,
        straight: ArrayView2<'_, f64>,
        out: ArrayView2<'_, f64>,
        basis: ArrayView2<'_, f64>,
    ) -> Array2<f64> {
        let beside = product(straight, basis); // A C
        let inside = product(out, basis); // W_out C
        let mut sum = product(beside.view(), beside.t()) * rows;
        // W_in diag(p) B and its transpose.
        let counts = self.together.diag();
        let weighed = &self.into * &counts.insert_axis(Axis(0));
        let mixed = product(weighed.view(), product(inside.view(), beside.t()).view());
        sum += &mixed;
        sum += &mixed.t();
        let pairs = product(inside.view(), inside.t()) * &self.together;
        let half = product(self.into, pairs.view());
        add_product(sum.view_mut(), half.view(), self.into.t());
        sum
    }
}
